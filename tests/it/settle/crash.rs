//! A ledger whose process dies at a chosen write, just before or just after
//! the commit. Everything else it passes on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::sim::Process;
use crate::support::gated_ledger::{Gate, Gated};
use seedrail::ledger::LedgerError;

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// At once.
    Killed,
    /// By itself, since a commit could not be confirmed.
    Unsure,
}

/// Ends at a write (counted in half writes: even before the commit, odd after).
pub(crate) struct Crash {
    end: Option<(u64, Ending)>,
    half_writes: AtomicU64,
    dead: Arc<AtomicBool>,
}

/// A ledger in a process that [dies](Crash).
pub(crate) type CrashingLedger<L> = Gated<Box<L>, Crash>;

impl<L> CrashingLedger<L> {
    pub(crate) fn new(ledger: L, end: Option<(u64, Ending)>, process: &Process) -> Self {
        Gated {
            ledger: Box::new(ledger),
            gate: Crash {
                end,
                half_writes: AtomicU64::new(0),
                dead: process.dead.clone(),
            },
        }
    }

    pub(crate) fn half_writes(&self) -> u64 {
        self.gate.half_writes.load(Ordering::SeqCst)
    }
}

impl Crash {
    fn step(&self) -> Result<(), LedgerError> {
        let step = self.half_writes.fetch_add(1, Ordering::SeqCst);
        if self.end.is_some_and(|(at, _)| at == step) {
            self.dead.store(true, Ordering::SeqCst);
        }
        self.read()
    }
}

impl Gate for Crash {
    fn read(&self) -> Result<(), LedgerError> {
        if !self.dead.load(Ordering::SeqCst) {
            return Ok(());
        }
        let reason = "the process is gone".to_owned();
        Err(match self.end {
            Some((_, Ending::Unsure)) => LedgerError::CommitUnknown(reason),
            _ => LedgerError::Store(reason),
        })
    }

    fn write<T>(&self, write: impl FnOnce() -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        self.step()?;
        let done = write()?;
        self.step()?;
        Ok(done)
    }
}
