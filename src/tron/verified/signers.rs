//! Which keys sign for which witnesses.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use crate::types::Address;

/// Of so many witnesses the keys are kept: TRON elects 27 at a time, of a few
/// hundred. Beyond, the lowest address makes room: it is asked for again.
pub const MAX_WITNESSES: usize = 1024;

/// So many keys of one witness are kept: the one it signs with, and those that it
/// signed older blocks with. The oldest makes room.
pub const MAX_SIGNERS: usize = 4;

/// Which keys sign for which witnesses. Shared by its clones.
#[derive(Debug, Clone, Default)]
pub struct Signers(Arc<Mutex<BTreeMap<Address, VecDeque<Address>>>>);

impl Signers {
    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<Address, VecDeque<Address>>) -> T) -> T {
        // A map of addresses is whole after any panic.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the key signs for the witness: its own always does.
    pub fn knows(&self, witness: Address, signer: Address) -> bool {
        witness == signer
            || self.with(|known| {
                known
                    .get(&witness)
                    .is_some_and(|signers| signers.contains(&signer))
            })
    }

    /// Remembers that the key signs for the witness.
    pub fn learn(&self, witness: Address, signer: Address) {
        if self.knows(witness, signer) {
            return;
        }
        self.with(|known| {
            let signers = known.entry(witness).or_default();
            if signers.len() >= MAX_SIGNERS {
                signers.pop_front();
            }
            signers.push_back(signer);
            if known.len() > MAX_WITNESSES {
                let lowest = known.keys().find(|kept| **kept != witness).copied();
                lowest.and_then(|lowest| known.remove(&lowest));
            }
        });
        tracing::info!("witness {witness} signs its blocks with the key of {signer}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> Address {
        let mut body = [0; 20];
        body[..4].copy_from_slice(&number.to_be_bytes());
        Address::from_body(body)
    }

    #[test]
    fn no_more_is_kept_than_a_chain_has() {
        let signers = Signers::default();
        let most = u32::try_from(MAX_WITNESSES).unwrap();
        for number in 0..=most {
            signers.learn(address(number), address(1_000_000 + number));
        }
        assert!(!signers.knows(address(0), address(1_000_000)));
        assert!(
            signers.knows(address(0), address(0)),
            "its own key always signs"
        );
        assert!(signers.knows(address(most), address(1_000_000 + most)));
        for key in 0..=u32::try_from(MAX_SIGNERS).unwrap() {
            signers.learn(address(7), address(2_000_000 + key));
        }
        assert!(!signers.knows(address(7), address(2_000_000)));
        assert!(signers.knows(address(7), address(2_000_001)));
    }
}
