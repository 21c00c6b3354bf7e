//! Programs of the user's: one is run for each torrent that is complete, one for each problem.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use tokio::{process::Command, sync::Semaphore, task::JoinSet, time::timeout};

use super::{
    failure::{Failure, Outcome},
    output::Output,
};
use crate::{
    client::{
        Client,
        event::Happened,
        snapshot::{Problem, ProblemCode, Snapshot},
    },
    types::InfoHash,
};

/// Runs of one program at the same time; others wait.
const AT_ONCE: usize = 4;

/// Runs of one program that are under way or wait for their turn. What comes on top is not
/// run, and that is told.
const MAX_WAITING: usize = 1000;

/// One takes no longer: then it is killed.
const LIMIT: Duration = Duration::from_secs(600);

/// The programs, as options name them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Programs {
    pub(super) on_complete: Option<PathBuf>,
    pub(super) on_problem: Option<PathBuf>,
}

impl Programs {
    pub(super) fn check(&self) -> Outcome {
        let programs = [&self.on_complete, &self.on_problem];
        match programs.into_iter().flatten().find(|path| !path.is_file()) {
            Some(missing) => Err(Failure::file(missing, "there is no such program")),
            None => Ok(()),
        }
    }
}

/// What runs them.
pub(super) struct Errands {
    complete: Option<Runs>,
    problem: Option<Runs>,
    /// Problems that stand, and were told already.
    told: BTreeSet<(ProblemCode, Option<String>)>,
    out: Output,
}

impl Errands {
    pub(super) fn new(programs: Programs, out: Output) -> Self {
        let mut errands = Self {
            complete: None,
            problem: None,
            told: BTreeSet::new(),
            out,
        };
        errands.set(programs);
        errands
    }

    /// Other programs from now on. What runs or waits is given up where the program is another
    /// one.
    pub(super) fn set(&mut self, programs: Programs) {
        let out = self.out;
        for (runs, path) in [
            (&mut self.complete, programs.on_complete),
            (&mut self.problem, programs.on_problem),
        ] {
            if runs.as_ref().map(|runs| &runs.program) != path.as_ref() {
                *runs = path.map(|path| Runs::new(path, out));
            }
        }
        if self.problem.is_none() {
            self.told.clear();
        }
    }

    /// Whether problems are to be shown to [`look`](Self::look).
    pub(super) fn wants_problems(&self) -> bool {
        self.problem.is_some()
    }

    /// A torrent may be complete.
    pub(super) fn hear(&mut self, client: &Client, event: &Happened) {
        let Some(runs) = &mut self.complete else {
            return;
        };
        match event {
            Happened::Completed { hash, name } => {
                let path = path_of(client.clone(), *hash);
                let (hash, own) = (hash.to_string(), name.clone());
                runs.tell(name.clone(), async move {
                    Some(Errand::complete(&hash, &own, &path.await?))
                });
            }
            Happened::Resync => self.out.warn(
                "too much happened at once: the program may not have been run for some torrents",
            ),
            _ => {}
        }
    }

    /// There may be problems that were not there before.
    pub(super) fn look(&mut self, snapshot: &Snapshot) {
        let Some(runs) = &mut self.problem else {
            return;
        };
        let problems = &snapshot.problems.value.problems;
        let key = |problem: &Problem| (problem.code, problem.subject.clone());
        let mut stand = BTreeSet::new();
        for problem in problems {
            stand.insert(key(problem));
            if self.told.contains(&key(problem)) {
                continue;
            }
            let hash = problem
                .subject
                .as_deref()
                .and_then(|hash| hash.parse().ok());
            let torrent = hash.and_then(|hash: InfoHash| snapshot.torrents.get(&hash));
            let name = torrent.map(|torrent| torrent.row.value.name.clone());
            let errand = Errand::problem(problem, name);
            runs.tell(problem.message.clone(), async { Some(errand) });
        }
        self.told = stand;
    }
}

/// Where a torrent is that is complete, as soon as the snapshots show that it stays there; none
/// if it is removed.
async fn path_of(client: Client, hash: InfoHash) -> Option<PathBuf> {
    let mut snapshot = client.snapshot();
    loop {
        let row = &snapshot.torrents.get(&hash)?.row.value;
        if row.is_in_place() {
            return row.path.clone();
        }
        snapshot = client.changed(snapshot.revision).await?;
    }
}

/// What one run is told: what others wrote is an argument and a variable of its own, and no
/// part of a command.
#[derive(Debug, PartialEq, Eq)]
struct Errand {
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
}

impl Errand {
    fn complete(hash: &str, name: &str, path: &Path) -> Self {
        Self {
            arguments: vec![hash.into(), name.into(), path.into()],
            variables: vec![
                ("SEEDRAIL_EVENT", "complete".into()),
                ("SEEDRAIL_HASH", hash.into()),
                ("SEEDRAIL_NAME", name.into()),
                ("SEEDRAIL_PATH", path.into()),
            ],
        }
    }

    /// `name`: of the torrent that it is about, if it is about one.
    fn problem(problem: &Problem, name: Option<String>) -> Self {
        let code = serde_json::to_value(problem.code).unwrap_or_default();
        let code = code.as_str().unwrap_or_default();
        let subject = problem.subject.as_deref().unwrap_or_default();
        let (message, hint) = (&problem.message, &problem.hint);
        let mut variables = vec![
            ("SEEDRAIL_EVENT", "problem".into()),
            ("SEEDRAIL_CODE", code.into()),
            ("SEEDRAIL_SUBJECT", subject.into()),
            ("SEEDRAIL_MESSAGE", message.into()),
            ("SEEDRAIL_HINT", hint.into()),
        ];
        if let Some(name) = name {
            variables.push(("SEEDRAIL_HASH", subject.into()));
            variables.push(("SEEDRAIL_NAME", name.into()));
        }
        Self {
            arguments: vec![code.into(), subject.into(), message.into(), hint.into()],
            variables,
        }
    }
}

/// The runs of one program, without a shell.
struct Runs {
    program: PathBuf,
    turns: Arc<Semaphore>,
    running: JoinSet<()>,
    out: Output,
}

impl Runs {
    fn new(program: PathBuf, out: Output) -> Self {
        Self {
            program,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            running: JoinSet::new(),
            out,
        }
    }

    /// Runs it for `what`, in words, when the errand is known; none: there is nothing to run it
    /// for any more. False: too many wait.
    fn tell(
        &mut self,
        what: String,
        errand: impl Future<Output = Option<Errand>> + Send + 'static,
    ) -> bool {
        // Those that have ended.
        while self.running.try_join_next().is_some() {}
        let (out, program) = (self.out, self.program.display().to_string());
        if self.running.len() >= MAX_WAITING {
            out.warn(format!(
                "{program} is not run for {what}: {MAX_WAITING} runs of it wait already"
            ));
            return false;
        }
        let (turns, path) = (Arc::clone(&self.turns), self.program.clone());
        self.running.spawn(async move {
            let Ok(_turn) = turns.acquire().await else {
                return;
            };
            let Some(errand) = errand.await else {
                return;
            };
            let ended = match command(&path, errand).spawn() {
                Ok(mut child) => timeout(LIMIT, child.wait()).await,
                Err(error) => Ok(Err(error)),
            };
            match ended {
                Ok(Ok(status)) if status.success() => {
                    tracing::info!(%program, what, "ran for this");
                }
                Ok(Ok(status)) => out.warn(format!("{program} failed for {what}: {status}")),
                Ok(Err(error)) => out.warn(format!("{program} cannot be run for {what}: {error}")),
                Err(_late) => out.warn(format!(
                    "{program} ran longer than {} s for {what} and is killed",
                    LIMIT.as_secs()
                )),
            }
        });
        true
    }
}

fn command(program: &Path, errand: Errand) -> Command {
    let mut command = Command::new(program);
    command.args(errand.arguments);
    // The program gets none of our secrets, and what it prints is no result of ours.
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_str();
        if name.is_some_and(|variable| variable.starts_with("SEEDRAIL")) {
            command.env_remove(variable);
        }
    }
    command
        .envs(errand.variables)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    const QUIET: Output = Output {
        json: false,
        quiet: true,
    };

    #[tokio::test]
    async fn a_thousand_runs_wait_and_the_next_one_is_refused_until_one_has_ended() {
        let mut runs = Runs::new(PathBuf::from("/nowhere/program"), QUIET);
        let (go, gate) = watch::channel(false);
        let waits = || {
            let mut gate = gate.clone();
            async move {
                let opened = gate.wait_for(|open| *open).await;
                opened.expect("the gate is there");
                None
            }
        };
        for nth in 0..MAX_WAITING {
            assert!(runs.tell(nth.to_string(), waits()), "{nth} has no place");
        }
        assert!(!runs.tell("one more".to_owned(), waits()));
        assert_eq!(runs.running.len(), MAX_WAITING);
        go.send(true).expect("somebody waits");
        runs.running
            .join_next()
            .await
            .expect("one ends")
            .expect("it does not panic");
        assert!(runs.tell("one more".to_owned(), waits()));
    }

    #[tokio::test]
    async fn four_run_at_once() {
        let mut runs = Runs::new(PathBuf::from("/nowhere/program"), QUIET);
        let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
        let (go, gate) = watch::channel(0);
        for nth in 0..AT_ONCE + 2 {
            let (begun, mut gate) = (begun.clone(), gate.clone());
            runs.tell(nth.to_string(), async move {
                begun.send(nth).expect("somebody looks");
                let opened = gate.wait_for(|open| *open > nth).await;
                opened.expect("the gate is there");
                None
            });
        }
        let mut seen = Vec::new();
        for _ in 0..AT_ONCE {
            seen.push(begins.recv().await);
        }
        // Everything that can go on has done so.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(begins.try_recv().is_err());
        go.send(1).expect("somebody waits");
        assert_eq!(begins.recv().await, Some(AT_ONCE));
        assert_eq!(seen, (0..AT_ONCE).map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn a_name_like_an_option_is_a_variable_as_well() {
        let problem = Problem {
            code: ProblemCode::TorrentFailed,
            subject: Some("ab".repeat(20)),
            message: "-rf: broken".to_owned(),
            hint: "Mend it.".to_owned(),
            since: crate::types::UnixMs(0),
        };
        let errand = Errand::problem(&problem, Some("-rf".to_owned()));
        let hash = "ab".repeat(20);
        assert_eq!(
            errand.arguments,
            ["torrent_failed", &hash, "-rf: broken", "Mend it."].map(OsString::from)
        );
        let variable = |name: &str| {
            let found = errand.variables.iter().find(|(own, _)| *own == name);
            found.and_then(|(_, value)| value.to_str())
        };
        assert_eq!(variable("SEEDRAIL_NAME"), Some("-rf"));
        assert_eq!(variable("SEEDRAIL_HASH"), Some(hash.as_str()));
        assert_eq!(variable("SEEDRAIL_CODE"), Some("torrent_failed"));
        let whole = Errand::problem(&problem, None);
        assert!(
            whole
                .variables
                .iter()
                .all(|(name, _)| *name != "SEEDRAIL_HASH")
        );
    }
}
