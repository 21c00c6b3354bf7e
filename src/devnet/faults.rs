//! Faults on demand: what a client must survive, by endpoint and probability,
//! the same for the same seed.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

/// Faults that can be set at once: enough for one of each kind per endpoint
/// that matters.
const MAX_FAULTS: usize = 64;
/// The longest a request is held back, ms.
const MAX_DELAY_MS: u64 = 60_000;
/// Probabilities are counted in millionths.
const MILLION: u64 = 1_000_000;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// The answer comes this much later.
    Delay {
        /// Milliseconds, at most a minute.
        ms: u64,
    },
    /// An HTTP status in place of an answer (429 with `Retry-After`, 500, 503);
    /// nothing was done.
    Status {
        /// 400 to 599.
        code: u16,
    },
    /// Bytes that are no JSON in place of the answer; nothing was done.
    Garbage,
    /// `{}`, as if there were nothing; nothing was looked up.
    NotFound,
    /// The connection is cut before anything is done.
    DropBefore,
    /// It is done, and the connection is cut instead of an answer.
    DropAfter,
    /// A broadcast is answered with success and forgotten.
    LostBroadcast,
    /// A broadcast reaches the node twice; the second answer is given.
    DoubleBroadcast,
}

/// A fault with its place and its chance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// A path such as `/wallet/broadcasthex`, a part ending in `*`, or `*` for
    /// all but `/devnet/`.
    pub endpoint: String,
    /// How often, in millionths of the requests: 1,000,000 is always.
    pub per_million: u32,
    /// What happens.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// How many more times; none is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// A fault that cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// More than 64.
    #[error("there are at most {MAX_FAULTS} faults; clear some first")]
    TooMany,
    /// Over a million per million.
    #[error("`per_million` is {0}: it is from 0 to 1000000")]
    Probability(u32),
    /// A status that is no error.
    #[error("status {0} is not an error: use 400 to 599")]
    Status(u16),
    /// Too long.
    #[error("a delay of {0} ms is too long: it is at most {MAX_DELAY_MS}")]
    Delay(u64),
}

/// The faults of a node.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    list: Mutex<Vec<Fault>>,
    seed: AtomicU64,
    draws: AtomicU64,
    /// The solid head is held at this block; `u64::MAX` where it is not.
    held_solid: Mutex<Option<u64>>,
}

impl Faults {
    fn list(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a fault.
    pub(crate) fn add(&self, fault: Fault) -> Result<(), FaultError> {
        match &fault.kind {
            FaultKind::Delay { ms } if *ms > MAX_DELAY_MS => {
                return Err(FaultError::Delay(*ms));
            }
            FaultKind::Status { code } if !(400..600).contains(code) => {
                return Err(FaultError::Status(*code));
            }
            _ => {}
        }
        if u64::from(fault.per_million) > MILLION {
            return Err(FaultError::Probability(fault.per_million));
        }
        let mut list = self.list();
        if list.len() >= MAX_FAULTS {
            return Err(FaultError::TooMany);
        }
        list.push(fault);
        Ok(())
    }

    /// Removes all faults and lets the solid head go.
    pub(crate) fn clear(&self) {
        self.list().clear();
        self.hold_solid(None);
    }

    pub(crate) fn all(&self) -> Vec<Fault> {
        self.list().clone()
    }

    /// Starts the sequence of chances anew.
    pub(crate) fn seed(&self, seed: u64) {
        self.seed.store(seed, Ordering::SeqCst);
        self.draws.store(0, Ordering::SeqCst);
    }

    pub(crate) fn hold_solid(&self, at: Option<u64>) {
        *self
            .held_solid
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = at;
    }

    pub(crate) fn held_solid(&self) -> Option<u64> {
        *self
            .held_solid
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The faults that strike a request to `path`.
    pub(crate) fn strike(&self, path: &str) -> Vec<FaultKind> {
        let mut list = self.list();
        if list.is_empty() {
            return Vec::new();
        }
        let mut struck = Vec::new();
        for fault in list.iter_mut() {
            if !matches(&fault.endpoint, path) || fault.times == Some(0) {
                continue;
            }
            if self.draw() % MILLION >= u64::from(fault.per_million) {
                continue;
            }
            if let Some(times) = &mut fault.times {
                *times -= 1;
            }
            struck.push(fault.kind.clone());
        }
        list.retain(|fault| fault.times != Some(0));
        struck
    }

    /// The next number of the seed's sequence (splitmix64).
    fn draw(&self) -> u64 {
        let count = self.draws.fetch_add(1, Ordering::SeqCst);
        let mut z = self
            .seed
            .load(Ordering::SeqCst)
            .wrapping_add(count.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn matches(endpoint: &str, path: &str) -> bool {
    match endpoint.strip_suffix('*') {
        Some(start) => path.starts_with(start) && !path.starts_with("/devnet"),
        None => endpoint == path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(endpoint: &str, per_million: u32) -> Fault {
        Fault {
            endpoint: endpoint.to_owned(),
            per_million,
            kind: FaultKind::Garbage,
            times: None,
        }
    }

    #[test]
    fn the_same_seed_strikes_the_same_requests() {
        let run = |seed| {
            let faults = Faults::default();
            faults.seed(seed);
            faults.add(fault("/wallet/*", 300_000)).unwrap();
            (0..200)
                .map(|_| !faults.strike("/wallet/getnowblock").is_empty())
                .collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let struck = run(7).iter().filter(|struck| **struck).count();
        assert!((30..90).contains(&struck), "{struck} of 200");
    }

    #[test]
    fn a_fault_strikes_only_where_and_as_often_as_told() {
        let faults = Faults::default();
        faults
            .add(Fault {
                times: Some(1),
                ..fault("/wallet/broadcasthex", 1_000_000)
            })
            .unwrap();
        assert!(faults.strike("/wallet/getnowblock").is_empty());
        assert_eq!(faults.strike("/wallet/broadcasthex").len(), 1);
        assert!(faults.strike("/wallet/broadcasthex").is_empty());
        faults.add(fault("*", 1_000_000)).unwrap();
        assert!(faults.strike("/devnet/mine").is_empty());
        assert!(matches!(
            faults.add(fault("*", 1_000_001)),
            Err(FaultError::Probability(_))
        ));
    }
}
