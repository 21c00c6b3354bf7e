//! A program that is run for each torrent that is complete.

use std::{path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use tokio::{process::Command, sync::Semaphore, task::JoinSet, time::timeout};

use crate::{cli::output::Output, types::InfoHash};

/// Runs at the same time; others wait.
const AT_ONCE: usize = 4;

/// Waits for its turn. What comes on top is not run, and that is told.
const MAX_WAITING: usize = 1000;

/// One takes no longer: then it is killed.
const LIMIT: Duration = Duration::from_secs(600);

/// Runs a program, without a shell, with the info-hash, the name and the path of a torrent as
/// its arguments.
pub(super) struct OnComplete {
    program: PathBuf,
    turns: Arc<Semaphore>,
    running: JoinSet<()>,
    out: Output,
}

impl OnComplete {
    pub(super) fn new(program: PathBuf, out: Output) -> Self {
        Self {
            program,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            running: JoinSet::new(),
            out,
        }
    }

    /// A torrent is complete; `path` comes when that is known.
    pub(super) fn tell(
        &mut self,
        hash: InfoHash,
        name: &str,
        path: impl Future<Output = Option<PathBuf>> + Send + 'static,
    ) {
        // Those that have ended.
        while self.running.try_join_next().is_some() {}
        let out = self.out;
        if self.running.len() >= MAX_WAITING {
            out.warn(format!(
                "{} is not run for {name}: {MAX_WAITING} runs of it wait already",
                self.program.display()
            ));
            return;
        }
        let mut command = Command::new(&self.program);
        command.arg(hash.to_string()).arg(name);
        // The program gets none of our secrets, and what it prints is no result of ours.
        for (variable, _) in std::env::vars_os() {
            if variable
                .to_str()
                .is_some_and(|variable| variable.starts_with("SEEDRAIL"))
            {
                command.env_remove(variable);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let (turns, name) = (Arc::clone(&self.turns), name.to_owned());
        let program = self.program.display().to_string();
        self.running.spawn(async move {
            let Ok(_turn) = turns.acquire().await else {
                return;
            };
            // None: it is removed already.
            let Some(path) = path.await else {
                return;
            };
            command.arg(path);
            let ended = match command.spawn() {
                Ok(mut child) => timeout(LIMIT, child.wait()).await,
                Err(error) => Ok(Err(error)),
            };
            match ended {
                Ok(Ok(status)) if status.success() => {
                    tracing::info!(%program, name, "ran for a complete torrent");
                }
                Ok(Ok(status)) => out.warn(format!("{program} failed for {name}: {status}")),
                Ok(Err(error)) => out.warn(format!("{program} cannot be run for {name}: {error}")),
                Err(_late) => out.warn(format!(
                    "{program} ran longer than {} s for {name} and is killed",
                    LIMIT.as_secs()
                )),
            }
        });
    }
}
