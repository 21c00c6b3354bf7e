//! What a chain is made with, and whose turn a block is.

use crate::{
    devnet::{execute::Slot, state::State},
    tron::keys::SecretKey,
    types::{Address, UnixMs},
};

/// States kept below the solid head, for `/walletsolidity` while it is held
/// back: a fault may hold it for this many blocks.
const KEPT_STATES: u64 = 128;

/// What a chain is made with.
#[derive(Debug, Clone)]
pub(crate) struct ChainRules {
    /// They take turns.
    pub(crate) witnesses: Vec<SecretKey>,
    /// Keys that may be in a witness permission.
    pub(crate) signers: Vec<SecretKey>,
    /// The time between two blocks, ms: the next slot is this far off.
    pub(crate) interval_ms: i64,
    /// Blocks that make the one below them solid.
    pub(crate) solid_lag: u64,
    /// Blocks kept in memory beside genesis; none for all of them. At least
    /// those whose states are kept.
    pub(crate) keep_blocks: Option<u64>,
}

impl ChainRules {
    /// Whose turn block `number` is, and the key that signs for it in the parent's
    /// state: that of its witness permission (`Manager.validBlock`). A witness whose
    /// key nobody here has misses its turn; when all do, the one in turn signs with
    /// its own, since a devnet goes on.
    pub(super) fn turn(&self, number: u64, state: &State) -> (Address, &SecretKey) {
        let count = self.witnesses.len();
        let first = usize::try_from(number).unwrap_or(0) % count.max(1);
        let in_turn = (0..count).filter_map(|n| self.witnesses.get((first + n) % count));
        for witness in in_turn {
            let address = witness.address();
            let permission = state
                .account(&address)
                .and_then(|account| account.witness_permission.clone());
            let Some(permission) = permission else {
                return (address, witness);
            };
            let named = permission.keys.first().map(|key| key.address.as_slice());
            let mut keys = self.witnesses.iter().chain(&self.signers);
            if let Some(key) = keys.find(|key| Some(key.address().to_bytes().as_slice()) == named) {
                return (address, key);
            }
        }
        let own = self
            .witnesses
            .get(first)
            .expect("a chain has at least one witness");
        (own.address(), own)
    }

    /// Block `number` on top of the parent's state, as contracts in it see it.
    pub(super) fn slot(&self, number: u64, time: UnixMs, state: &State) -> Slot {
        Slot {
            number,
            time,
            witness: self.turn(number, state).0,
        }
    }

    /// States kept: those of the blocks that are not solid, and some below.
    pub(super) fn kept_states(&self) -> usize {
        usize::try_from(self.solid_lag.saturating_add(KEPT_STATES)).unwrap_or(usize::MAX)
    }

    pub(super) fn kept_blocks(&self) -> usize {
        let keep = self.keep_blocks.unwrap_or(u64::MAX);
        usize::try_from(keep)
            .unwrap_or(usize::MAX)
            .max(self.kept_states())
    }
}
