//! Runs the real binary in a home of its own.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use seedrail::devnet::Devnet;
use serde_json::Value;

use super::schema;

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The one JSON document on stdout of a run that worked.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The `error` of a run with `--json` that failed with `code`: the last line on
    /// stderr, after what was noted, and nothing on stdout.
    pub(crate) fn error(&self, code: i32) -> Value {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        let mut document: Value =
            serde_json::from_str(self.stderr.lines().last().unwrap_or_default())
                .unwrap_or_else(|e| panic!("{e}: {self:?}"));
        schema::check_error(&document);
        let error = document["error"].take();
        for key in ["code", "message"] {
            assert!(
                error[key].as_str().is_some_and(|text| !text.is_empty()),
                "{self:?}"
            );
        }
        error
    }
}

/// A home of its own, and what every run of it is given.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    env: Vec<(&'static str, String)>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            env: Vec::new(),
        }
    }

    /// On a devnet of its own, with the key of its second account.
    pub(crate) async fn on_a_devnet() -> (Devnet, Self) {
        let devnet = Devnet::builder()
            .block_time(Duration::from_millis(200))
            .start()
            .await
            .unwrap();
        let key = devnet.accounts()[1].key.expose_bytes();
        let home = Self::new()
            .env("SEEDRAIL_NODE", &devnet.url())
            .env("SEEDRAIL_PRIVATE_KEY", &hex::encode(key.as_slice()));
        (devnet, home)
    }

    /// With the raw key number `n`, as the recordings number them.
    pub(crate) fn with_key(n: u8) -> Self {
        let mut home = Self::new();
        home.env.push(("SEEDRAIL_PRIVATE_KEY", format!("{n:064x}")));
        home
    }

    pub(crate) fn env(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file in the home's folder.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The same, of mode 0600: a file with a secret.
    pub(crate) fn secret(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name, content);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
        path
    }

    pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Run {
        self.run_with_stdin(arguments, "")
    }

    pub(crate) fn run_with_stdin<S: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        stdin: &str,
    ) -> Run {
        let mut command = self.command();
        command.args(arguments);
        let arguments = command
            .get_args()
            .map(|one| one.to_string_lossy().into_owned());
        let arguments: Vec<String> = arguments.collect();
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        // A command that fails early does not read its stdin.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let run = Run {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        schema::check(&arguments, &run.stdout);
        run
    }

    /// The command in this home, its output caught; no variable of the caller's
    /// gets in.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seedrail"));
        command
            .env_clear()
            .env("SEEDRAIL_HOME", self.path())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// A recording of a java-tron node.
pub(crate) fn recording(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/tron")
        .join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
