//! Why something failed, at the bottom of it.

use std::error::Error;

/// The cause at the bottom: what is above it often says no more than that something failed.
pub fn root_cause<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}
