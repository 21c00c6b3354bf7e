//! Ctrl-C, SIGTERM and the end of the terminal (SIGHUP): told once to all who wait. A daemon
//! reads its configuration again on SIGHUP, unless its terminal has ended.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use super::failure::{Exit, Failure, Outcome};

/// How long a command has to notice a signal before it is ended in the middle of what
/// it does.
const MOMENT: Duration = Duration::from_millis(500);

/// How long a command has that ends in order.
const IN_ORDER: Duration = Duration::from_secs(10);

/// The terminal as it was found: a prompt for a passphrase that is ended leaves it
/// without an echo.
static TERMINAL: OnceLock<Termios> = OnceLock::new();

/// Ends the process with the terminal as it was found.
fn end() -> ! {
    if let Some(found) = TERMINAL.get() {
        // Nobody is left to tell if that fails.
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, found);
    }
    std::process::exit(Exit::Interrupted as i32)
}

/// With this variable set, the end of standard input ends the program like
/// Ctrl-C: a parent that dies takes its children with it.
pub(crate) const END_WITH_STDIN_VARIABLE: &str = "SEEDRAIL_END_WITH_STDIN";

/// The one that took the signals over, for questions on the terminal.
static LISTENING: OnceLock<Interrupt> = OnceLock::new();

/// Whether a signal has come.
pub(crate) fn is_interrupted() -> bool {
    LISTENING
        .get()
        .is_some_and(|interrupt| *interrupt.raised.borrow())
}

/// Whether the signal of a terminal that ends shall be ignored, as far as it is known.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The bit of signal 1.
    mask.is_some_and(|mask| mask & 1 == 1)
}

async fn heard(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether the terminal that was there at the start is not any more.
fn is_terminal_gone() -> bool {
    TERMINAL.get().is_some() && tcgetattr(rustix::stdio::stdin()).is_err()
}

/// SIGHUP as service managers send it: read the configuration again. The end of the terminal
/// sends it, too, and ends the program as before.
#[derive(Debug)]
pub(crate) struct Reloads(Signal);

impl Reloads {
    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        loop {
            match self.0.recv().await {
                Some(()) if is_terminal_gone() => {}
                Some(()) => return,
                // None comes any more.
                None => std::future::pending().await,
            }
        }
    }
}

/// Cheap to clone; every clone hears the same signal.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt {
    raised: watch::Receiver<bool>,
    /// SIGHUP does not end the program while its terminal is there.
    reloads: Arc<AtomicBool>,
}

impl Interrupt {
    /// Takes the signals over. A second one ends the process at once.
    pub(crate) fn listen() -> Outcome<Self> {
        let failed = |error: std::io::Error| Failure::failed("signals", error);
        let mut int = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut term = signal(SignalKind::terminate()).map_err(failed)?;
        // A program that was started by `nohup` outlives its terminal.
        let mut hangup = match is_hangup_ignored() {
            true => None,
            false => Some(signal(SignalKind::hangup()).map_err(failed)?),
        };
        // It fails where standard input is no terminal.
        if let Ok(found) = tcgetattr(rustix::stdio::stdin()) {
            TERMINAL.get_or_init(|| found);
        }
        let (sender, receiver) = watch::channel(false);
        if std::env::var_os(END_WITH_STDIN_VARIABLE).is_some() {
            let sender = sender.clone();
            // A thread of its own: a read of a pipe cannot be given up.
            std::thread::spawn(move || {
                // Whatever ends the input, an error included, ends the program.
                let _ended = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
                sender.send_replace(true);
            });
        }
        let reloads = Arc::new(AtomicBool::new(false));
        let is_reload = Arc::clone(&reloads);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                    () = heard(&mut hangup) => {
                        if is_reload.load(Ordering::SeqCst) && !is_terminal_gone() {
                            continue;
                        }
                    }
                }
                if sender.send_replace(true) {
                    end();
                }
            }
        });
        let interrupt = Self {
            raised: receiver,
            reloads,
        };
        // A second one, in one process, would be told of the same signals.
        LISTENING.get_or_init(|| interrupt.clone());
        Ok(interrupt)
    }

    /// A moment after a signal, tells it and ends the process, whatever it is in the middle of: a read
    /// of a pipe or a prompt cannot be given up. For commands that may be dropped; work
    /// that `ends_in_order` has some seconds for that.
    pub(crate) fn end_what_blocks(
        &self,
        told: impl FnOnce() + Send + 'static,
        ends_in_order: &Arc<AtomicBool>,
    ) {
        let (interrupt, ends_in_order) = (self.clone(), Arc::clone(ends_in_order));
        tokio::spawn(async move {
            interrupt.wait().await;
            tokio::time::sleep(MOMENT).await;
            if ends_in_order.load(Ordering::SeqCst) {
                tokio::time::sleep(IN_ORDER).await;
            }
            told();
            end();
        });
    }

    /// From now on SIGHUP is a wish to read the configuration again.
    pub(crate) fn reloads(&self) -> Outcome<Reloads> {
        let failed = |error: std::io::Error| Failure::failed("signals", error);
        let heard = signal(SignalKind::hangup()).map_err(failed)?;
        self.reloads.store(true, Ordering::SeqCst);
        Ok(Reloads(heard))
    }

    /// Returns once a signal has come.
    pub(crate) async fn wait(&self) {
        let mut receiver = self.raised.clone();
        // The sender lives as long as the runtime; without it nothing ever comes.
        if receiver.wait_for(|raised| *raised).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
