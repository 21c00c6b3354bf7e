//! What takes long, away from the chain: judging a transaction, making a block. Both run
//! contracts' code on a copy of the state, which costs a few pointers, so that nobody who
//! asks the chain waits for it.

use std::{collections::BTreeMap, sync::Arc};

use super::{BLOCK_VERSION, MAX_BLOCK_BYTES, Sealed};
use crate::{
    devnet::{
        committee,
        execute::{self, Slot},
        fork::{ForkError, Missing, caught},
        history,
        incoming::Incoming,
        reject::Reject,
        rules::ChainRules,
        state::{Place, State, reference_of},
    },
    tron::block::{Block, BlockHeader, merkle_root},
    types::{TxId, UnixMs},
};

/// A transaction that asks to be taken into the pool.
pub(crate) struct Candidate {
    pub(super) incoming: Incoming,
    /// The head's with the pool on top.
    pub(super) state: State,
    /// What its expiration must reach.
    pub(super) next_slot: UnixMs,
    pub(super) slot: Slot,
}

/// A transaction that is sound on top of the pool, and the state with it.
pub(crate) struct Judged {
    pub(super) incoming: Incoming,
    pub(super) state: State,
}

impl Candidate {
    /// Executes it.
    ///
    /// # Errors
    /// The node's own refusal.
    pub(crate) fn judge(self) -> Result<Judged, Reject> {
        execute::check_broadcast(&self.state, &self.incoming, self.next_slot)?;
        let (state, _) = execute::apply(&self.state, &self.incoming, self.next_slot, self.slot)?;
        Ok(Judged {
            incoming: self.incoming,
            state,
        })
    }
}

/// A block that is to be made.
pub(crate) struct Plan {
    pub(super) rules: Arc<ChainRules>,
    pub(super) parent: Arc<Sealed>,
    /// The parent's.
    pub(super) state: State,
    pub(super) incoming: Vec<Incoming>,
    pub(super) time: UnixMs,
    /// What expirations must reach.
    pub(super) next_slot: UnixMs,
    /// Transactions that are left out, since what they need could not be read.
    pub(super) unread: BTreeMap<TxId, ForkError>,
}

/// A transaction that cannot be executed before something is read of the forked chain.
#[derive(Debug)]
pub(crate) struct Blocked {
    pub(crate) txid: TxId,
    pub(crate) missing: Missing,
}

/// A block that was made but is not on the chain yet.
pub(crate) struct Made {
    pub(super) sealed: Arc<Sealed>,
    pub(super) state: State,
    /// What the block had no room for.
    pub(super) left: Vec<Incoming>,
    /// Why the others are not in it.
    pub(super) dropped: Vec<(Incoming, Reject)>,
}

impl Plan {
    /// Makes the block that the transactions give on top of the parent.
    ///
    /// # Errors
    /// One of them needs what was not read yet: nothing is made.
    pub(crate) fn make(self) -> Result<Made, Blocked> {
        let Self {
            rules,
            parent,
            state: before,
            incoming,
            time,
            next_slot,
            unread,
        } = self;
        let number = parent.number() + 1;
        let (witness, signer) = rules.turn(number, &before);
        let slot = rules.slot(number, time, &before);
        let mut state = before.clone();
        history::note_parent(&mut state, number, &parent.id);
        let mut transactions = Vec::new();
        let mut receipts = Vec::new();
        let mut left = Vec::new();
        let mut dropped = Vec::new();
        let mut bytes = 0usize;
        for incoming in incoming {
            let size = incoming.transaction().size_without_results();
            if bytes + size > MAX_BLOCK_BYTES {
                left.push(incoming);
                continue;
            }
            let txid = incoming.txid();
            if let Some(why) = unread.get(&txid) {
                dropped.push((incoming, Reject::Fork(why.clone())));
                continue;
            }
            let applied = caught(|| execute::apply(&state, &incoming, next_slot, slot))
                .map_err(|missing| Blocked { txid, missing })?;
            match applied {
                Ok((next, receipt)) => {
                    state = next;
                    state.put_place(
                        txid,
                        Place {
                            block: number,
                            index: transactions.len(),
                        },
                    );
                    let mut transaction = incoming.transaction().clone();
                    transaction.set_results(vec![receipt.result()]);
                    bytes += size;
                    transactions.push(transaction);
                    receipts.push(receipt);
                }
                Err(reject) => dropped.push((incoming, reject)),
            }
        }
        let header = BlockHeader {
            number,
            timestamp: time,
            tx_trie_root: merkle_root(&transactions),
            parent_hash: parent.id,
            witness_address: witness.to_bytes().to_vec(),
            version: BLOCK_VERSION,
            account_state_root: Vec::new(),
        };
        let witness_signature = header.sign(signer).to_vec();
        let block = Block {
            header,
            witness_signature,
            transactions,
        };
        let id = block.id();
        let (reference, hash) = reference_of(&id);
        state.put_reference(reference, hash);
        state.put_block_id(id);
        state.properties.head = id;
        state.properties.head_time = time;
        committee::after_block(&mut state, number, witness);
        Ok(Made {
            sealed: Arc::new(Sealed {
                id,
                block,
                receipts,
                next_slot,
            }),
            state,
            left,
            dropped,
        })
    }
}
