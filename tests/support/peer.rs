//! Programs of others as child processes that answer questions.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::OnceLock,
};

use serde_json::Value;

/// Where the peers are. The first to ask has them installed, if they are not.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/peers");
        let run = |arguments: &[&str]| {
            let output = Command::new(&script)
                .args(arguments)
                .output()
                .unwrap_or_else(|error| panic!("{}: {error}", script.display()));
            assert!(
                output.status.success(),
                "the programs to test against could not be installed; scripts/peers says:\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
            String::from_utf8(output.stdout).unwrap()
        };
        run(&[]);
        PathBuf::from(run(&["--where"]).trim())
    })
}

/// The command that runs a script of `tests/oracle`.
pub(crate) fn command(script: &str) -> Command {
    let folder = folder();
    let interpreter = match script.rsplit_once('.') {
        Some((_, "mjs")) => PathBuf::from("node"),
        Some((_, "py")) => folder.join("python/bin/python"),
        _ => panic!("no interpreter for {script}"),
    };
    let mut command = Command::new(interpreter);
    command
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/oracle")
                .join(script),
        )
        .env("SEEDRAIL_PEERS", folder)
        .env("NODE_NO_WARNINGS", "1");
    command
}

/// One of them, running. It ends when this is dropped.
pub(crate) struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    pub(crate) name: &'static str,
}

impl Peer {
    fn start(name: &'static str, script: &str) -> Self {
        let mut child = command(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self {
            stdin: child.stdin.take().unwrap(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
            name,
        }
    }

    /// TronWeb, and ethers for keystores.
    pub(crate) fn javascript() -> Self {
        Self::start("TronWeb", "javascript.mjs")
    }

    /// tronpy, and eth-account for keystores.
    pub(crate) fn python() -> Self {
        Self::start("tronpy", "python.py")
    }

    /// Asks; the peer may say no.
    pub(crate) fn try_ask(&mut self, op: &str, mut question: Value) -> Result<Value, String> {
        question["op"] = op.into();
        writeln!(self.stdin, "{question}").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let mut answer: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{} answered `{line}` ({error})", self.name));
        match answer.get_mut("ok") {
            Some(ok) => Ok(ok.take()),
            None => Err(format!("{} on {question}: {answer}", self.name)),
        }
    }

    /// Asks; an error of the peer's is one here.
    pub(crate) fn ask(&mut self, op: &str, question: Value) -> Value {
        self.try_ask(op, question)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Asks for a text; a leading `0x` is cut off.
    pub(crate) fn text(&mut self, op: &str, question: Value) -> String {
        let answer = self.ask(op, question);
        let text = answer.as_str().unwrap_or_else(|| panic!("{answer}"));
        text.strip_prefix("0x").unwrap_or(text).to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Its stdin is closed only after this; it may be busy, so end it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
