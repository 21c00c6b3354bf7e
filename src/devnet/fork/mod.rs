//! A devnet over another chain: what it has not itself, it reads from a node of that chain, the
//! first time it is needed.
//!
//! A run (a transaction, a call, a request) that comes to something nobody has read stops there
//! ([`caught`]); its caller reads the answer without holding anything, writes it into the state
//! file, and makes the run again from the start. So a run depends on the state and the answers
//! alone, and the same lines of a state file give the same chain without the node.

mod answers;
mod base;
mod missing;
mod record;
mod source;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub(crate) use self::{
    base::{Base, Key, Layer},
    missing::{Missing, caught},
    record::Answer,
    source::Source,
};
use crate::types::{BlockId, UnixMs};

/// Answers that one run may need: reading many slots takes long, and each makes the run once
/// more.
const MAX_ANSWERS: usize = 10_000;
/// How long reading what one run needs may take.
const MAX_TIME: Duration = Duration::from_secs(60);
/// What all answers together may take in memory.
const MAX_BYTES: usize = 512 << 20;

/// The chain that was forked, and its newest block then. It is read as it is when it is read:
/// a node keeps no older state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forked {
    /// The id of its first block, which is the chain's identity.
    pub chain: BlockId,
    /// The number of its newest block when the fork was made.
    pub block: u64,
    /// That block's time.
    #[serde(rename = "time_ms")]
    pub time: UnixMs,
}

/// Why something could not be read from the forked node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForkError {
    /// A URL that is none.
    #[error("the forked node: {0}")]
    Setup(String),
    /// It does not answer, or what it says cannot be.
    #[error("the forked node was asked for {what}: {reason}")]
    Node {
        /// What was asked for.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// Too many wait for it.
    #[error("too many questions wait for the forked node: ask again in a moment")]
    Busy,
    /// More answers than one request may take.
    #[error("this needs more than {MAX_ANSWERS} answers of the forked node")]
    Answers,
    /// Longer than one request may take.
    #[error("this needs answers of the forked node for longer than {} s; those that came are kept: ask again", MAX_TIME.as_secs())]
    Time,
    /// More than is kept.
    #[error("the answers of the forked node take more than {} MiB of memory: start the devnet anew", MAX_BYTES >> 20)]
    Memory,
    /// The devnet ends, or its state file cannot be written.
    #[error("the devnet has stopped")]
    Stopped,
}

/// What reading for one run has taken so far.
#[derive(Debug)]
pub(crate) struct Spent {
    begun: Instant,
    answers: usize,
}

impl Spent {
    pub(crate) fn nothing() -> Self {
        Self {
            begun: Instant::now(),
            answers: 0,
        }
    }

    /// Counts one answer more, before it is asked for.
    pub(crate) fn one_more(&mut self) -> Result<(), ForkError> {
        self.answers += 1;
        if self.answers > MAX_ANSWERS {
            return Err(ForkError::Answers);
        }
        match self.begun.elapsed() > MAX_TIME {
            true => Err(ForkError::Time),
            false => Ok(()),
        }
    }
}

/// Whether there is room for one answer more.
pub(crate) fn has_room(base: &Base) -> Result<(), ForkError> {
    match base.bytes() > MAX_BYTES {
        true => Err(ForkError::Memory),
        false => Ok(()),
    }
}
