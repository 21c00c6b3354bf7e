//! What a run does that comes to something nobody has read yet: it stops there and then.
//!
//! The state gives references and no errors, to code that must not pay for a fork it does not
//! have. So a missing answer ends the run by unwinding (no panic: nothing is printed, and no
//! hook hears of it) up to [`caught`]. Nothing wrong can be computed from it, and a run works on
//! copies, so nothing has to be taken back. Who runs something on a state of a fork does so
//! within [`caught`]; a run that is not ends as loudly as a defect does.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::Key;

/// What has to be read before the run can be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing(pub(crate) Key);

impl Missing {
    /// Ends the run.
    pub(super) fn stop(key: Key) -> ! {
        resume_unwind(Box::new(Self(key)))
    }
}

/// Runs something; what it needs, if it stopped for that.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, Missing> {
    // What a run has changed is on copies that are gone with it. Locks that it held are
    // poisoned, which their users take no notice of.
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| match payload.downcast::<Missing>() {
        Ok(missing) => *missing,
        Err(panic) => resume_unwind(panic),
    })
}
