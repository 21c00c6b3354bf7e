//! What is exclusive between processes, and free when its holder dies:
//! operating-system locks on files beside the ledger.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions, TryLockError},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use crate::ledger::{LedgerError, store::Guard};

/// Where the locks of one ledger live.
#[derive(Debug, Clone)]
pub(super) enum LockSpace {
    /// Files in this folder, locked by the operating system.
    Folder(PathBuf),
    /// Names in memory, for a ledger that lives there.
    Memory(Arc<Mutex<BTreeSet<String>>>),
}

struct MemoryGuard {
    held: Arc<Mutex<BTreeSet<String>>>,
    name: String,
}

impl Drop for MemoryGuard {
    fn drop(&mut self) {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.name);
    }
}

impl LockSpace {
    /// Takes the lock `name`, or `None` if a living holder has it.
    pub(super) fn try_lock(&self, name: &str) -> Result<Option<Guard>, LedgerError> {
        match self {
            Self::Folder(folder) => {
                let failed = |error: std::io::Error| LedgerError::Open {
                    path: folder.join(name),
                    reason: error.to_string(),
                };
                std::fs::create_dir_all(folder).map_err(failed)?;
                let file: File = OpenOptions::new()
                    .create(true)
                    .truncate(false)
                    .write(true)
                    .open(folder.join(name))
                    .map_err(failed)?;
                match file.try_lock() {
                    // Closing the file frees the lock, and so does the
                    // process's end, however it ends.
                    Ok(()) => Ok(Some(Box::new(file))),
                    Err(TryLockError::WouldBlock) => Ok(None),
                    Err(TryLockError::Error(error)) => Err(failed(error)),
                }
            }
            Self::Memory(held) => {
                let fresh = held
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(name.to_owned());
                Ok(fresh.then(|| -> Guard {
                    Box::new(MemoryGuard {
                        held: Arc::clone(held),
                        name: name.to_owned(),
                    })
                }))
            }
        }
    }

    /// Removes the file of a lock that nobody will ask for again. Only its
    /// holder may call this.
    pub(super) fn forget(&self, name: &str) {
        if let Self::Folder(folder) = self {
            // A file left behind costs an inode and is locked by nobody.
            let _ = std::fs::remove_file(folder.join(name));
        }
    }
}
