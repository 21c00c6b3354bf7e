//! A ledger that fails at a chosen write, before it or after it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::gated_ledger::{Gate, Gated};
use seedrail::ledger::{Ledger, LedgerError};

/// When the write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Nothing was written.
    Before,
    /// It was written, and nobody knows.
    After,
}

/// Fails at a write, and at all after it.
pub(crate) struct Fail {
    left: AtomicU64,
    when: When,
}

/// A ledger that [fails](Fail) at some time.
pub(crate) type Failing = Gated<Arc<dyn Ledger>, Fail>;

impl Failing {
    /// The write number `at`, from 1 on, and all after it fail.
    pub(crate) fn new(ledger: Arc<dyn Ledger>, at: u64, when: When) -> Arc<Self> {
        Arc::new(Gated {
            ledger,
            gate: Fail {
                left: AtomicU64::new(at),
                when,
            },
        })
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.gate.left.load(Ordering::SeqCst) == 0
    }
}

impl Gate for Fail {
    fn read(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    fn write<T>(&self, write: impl FnOnce() -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        let left = self.left.load(Ordering::SeqCst);
        if left > 1 {
            self.left.store(left - 1, Ordering::SeqCst);
            return write();
        }
        self.left.store(0, Ordering::SeqCst);
        if self.when == When::After && left == 1 {
            write()?;
        }
        Err(match self.when {
            When::Before => LedgerError::DiskFull,
            When::After => LedgerError::CommitUnknown("the test said so".to_owned()),
        })
    }
}
