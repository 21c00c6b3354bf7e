//! Child processes of the demo: this same program, each with a home and an
//! account of its own.
//!
//! A child's standard input is a pipe that the demo holds and never writes to.
//! When the pipe closes, because the demo ended it or died, the child ends. With
//! `--keep` there is no pipe, and children live on.

use std::{
    collections::VecDeque,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{
    cli::{
        account::{PASSPHRASE_VARIABLE, PRIVATE_KEY_VARIABLE},
        failure::{Failure, Outcome},
        signals::END_WITH_STDIN_VARIABLE,
    },
    types::Address,
};

/// How long a child may take to end when told to.
const GRACE: Duration = Duration::from_secs(5);

/// Who a child acts as, and where it lives.
#[derive(Debug, Clone)]
pub(super) struct Party {
    pub(super) home: PathBuf,
    pub(super) address: Address,
    /// Hex; known to everybody who has read the devnet's mnemonic.
    pub(super) private_key: String,
}

impl Party {
    /// The file that makes a shell act as this party.
    pub(super) fn environment(&self) -> PathBuf {
        self.home.join("environment")
    }

    /// Writes it, for the node at `url`.
    pub(super) fn write_environment(&self, url: &str) -> Outcome {
        // A quote ends the quoted text, stands by itself, and begins another.
        let home = self.home.to_string_lossy().replace('\'', "'\\''");
        let text = format!(
            "export SEEDRAIL_HOME='{home}' SEEDRAIL_NETWORK=devnet SEEDRAIL_NODE='{url}' \
             {PRIVATE_KEY_VARIABLE}={}\n",
            self.private_key
        );
        let file = self.environment();
        fs::create_dir_all(&self.home)
            .and_then(|()| fs::write(&file, text))
            .map_err(|error| Failure::file(&file, error))
    }
}

/// Starts children against one devnet.
#[derive(Debug, Clone)]
pub(super) struct Launcher {
    program: PathBuf,
    logs: PathBuf,
    node: Option<String>,
    keep: bool,
}

impl Launcher {
    pub(super) fn new(root: &Path, keep: bool) -> Outcome<Self> {
        let program = std::env::current_exe().map_err(|error| Failure::failed("demo", error))?;
        let logs = root.join("logs");
        fs::create_dir_all(&logs).map_err(|error| Failure::file(&logs, error))?;
        Ok(Self {
            program,
            logs,
            node: None,
            keep,
        })
    }

    /// From now on children use this node.
    pub(super) fn use_node(&mut self, url: &str) {
        self.node = Some(url.to_owned());
    }

    /// Starts a child with `--json`.
    pub(super) fn start(
        &self,
        name: &'static str,
        party: Option<&Party>,
        arguments: &[&str],
    ) -> Outcome<Process> {
        let log = self.logs.join(format!("{name}.log"));
        let stderr = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|error| Failure::file(&log, error))?;
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .args(["--json", "--network", "devnet"])
            .stdin(if self.keep {
                Stdio::null()
            } else {
                Stdio::piped()
            })
            .stdout(Stdio::piped())
            .stderr(stderr)
            .env_remove(PRIVATE_KEY_VARIABLE)
            .env_remove(PASSPHRASE_VARIABLE)
            .env_remove("SEEDRAIL_LEDGER")
            .env_remove("SEEDRAIL_NETWORK")
            .env_remove(END_WITH_STDIN_VARIABLE)
            .kill_on_drop(!self.keep);
        if !self.keep {
            command.env(END_WITH_STDIN_VARIABLE, "1");
        }
        if let Some(node) = &self.node {
            command.args(["--node", node]);
        }
        match party {
            Some(party) => {
                command
                    .env("SEEDRAIL_HOME", &party.home)
                    .env(PRIVATE_KEY_VARIABLE, &party.private_key);
            }
            None => {
                command.env("SEEDRAIL_HOME", self.logs.join("no-home"));
            }
        }
        let mut child = command
            .spawn()
            .map_err(|error| Failure::failed("demo", format!("cannot start {name}: {error}")))?;
        let pid = child.id().unwrap_or_default();
        let stdin = child.stdin.take();
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| Failure::failed("demo", format!("{name} has no output")))?;
        Ok(Process {
            name,
            pid,
            log,
            child,
            stdin,
            lines: BufReader::new(stdout).lines(),
        })
    }

    /// Runs a child to its end and gives the last document it printed.
    pub(super) async fn run(
        &self,
        name: &'static str,
        party: &Party,
        arguments: &[&str],
    ) -> Outcome<Value> {
        let mut process = self.start(name, Some(party), arguments)?;
        let mut last = None;
        while let Some(document) = process.next().await? {
            last = Some(document);
        }
        process.succeed().await?;
        last.ok_or_else(|| Failure::failed("demo", format!("{name} printed nothing")))
    }
}

/// A running child.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) name: &'static str,
    pub(super) pid: u32,
    log: PathBuf,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// The next document it prints; `None` when it has closed its output.
    pub(super) async fn next(&mut self) -> Outcome<Option<Value>> {
        let failed = |error: std::io::Error| Failure::failed("demo", error);
        let Some(line) = self.lines.next_line().await.map_err(failed)? else {
            return Ok(None);
        };
        serde_json::from_str(&line).map(Some).map_err(|error| {
            Failure::failed("demo", format!("{} printed no JSON: {error}", self.name))
        })
    }

    /// The next document, which must come.
    pub(super) async fn expect(&mut self) -> Outcome<Value> {
        match self.next().await? {
            Some(document) => Ok(document),
            None => Err(self.failure()),
        }
    }

    /// Waits for its end, which must be a success.
    pub(super) async fn succeed(mut self) -> Outcome {
        let status = self
            .child
            .wait()
            .await
            .map_err(|error| Failure::failed("demo", error))?;
        if status.success() {
            Ok(())
        } else {
            Err(self.failure())
        }
    }

    fn failure(&self) -> Failure {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let mut tail: VecDeque<&str> = VecDeque::with_capacity(3);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if tail.len() == 3 {
                tail.pop_front();
            }
            tail.push_back(line);
        }
        let said = Vec::from(tail).join(" / ");
        Failure::failed("demo", format!("{} failed: {said}", self.name))
    }

    /// Lets it live on after this program: its name and number. It would end when nobody
    /// reads its output, so `cat` does.
    pub(super) fn leave(self) -> Outcome<(&'static str, u32)> {
        let failed = |error: std::io::Error| {
            let message = format!("{} cannot be left running: {error}", self.name);
            Failure::failed("demo", message)
        };
        let output = self.lines.into_inner().into_inner();
        Command::new("cat")
            .stdin(output.into_owned_fd().map_err(failed)?)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        Ok((self.name, self.pid))
    }

    /// Ends one that only looks, at once.
    pub(super) async fn kill(mut self) -> Outcome {
        let killed = self.child.kill().await;
        killed.map_err(|error| Failure::failed("demo", error))
    }

    /// Ends it: first by closing its input, then by force.
    pub(super) async fn end(self) {
        let Self {
            name,
            stdin,
            mut child,
            ..
        } = self;
        drop(stdin);
        if timeout(GRACE, child.wait()).await.is_err() {
            tracing::warn!("{name} did not end in time and is killed");
            if let Err(error) = child.kill().await {
                tracing::warn!("{name} cannot be killed: {error}");
            }
        }
    }
}
