//! A chain that was recorded elsewhere, gone on with: its blocks have the ids, times and
//! transactions they had there.

use std::{collections::VecDeque, sync::Arc};

use super::{BLOCK_VERSION, Chain, Position, Sealed};
use crate::{
    devnet::{
        committee,
        execute::{self, Receipt, Slot},
        genesis::Genesis,
        incoming::Incoming,
        reject::Reject,
        rules::ChainRules,
        state::{Place, State, reference_of},
    },
    tron::block::{Block, BlockHeader, merkle_root},
    types::BlockId,
};

impl Chain {
    /// A chain whose head is a block of which only its id, its place and the state after
    /// it are known.
    pub(crate) fn going_on(rules: ChainRules, genesis: &Genesis, at: Slot, state: State) -> Self {
        let mut chain = Self::new(rules, genesis);
        let header = header(&chain, at, [0; 32]);
        let sealed = Arc::new(Sealed {
            id: state.properties.head,
            block: Block {
                header,
                witness_signature: Vec::new(),
                transactions: Vec::new(),
            },
            receipts: Vec::new(),
            next_slot: at.time,
        });
        chain.at = Position {
            blocks: VecDeque::from([sealed]),
            first: at.number,
            states: VecDeque::from([state.clone()]),
            pending_state: state,
            solid: at.number,
            ..chain.at
        };
        chain
    }

    /// Puts a block on top that has this id, whatever comes of its transactions; those
    /// that are refused are not in it.
    pub(crate) fn push_recorded(
        &mut self,
        id: BlockId,
        at: Slot,
        transactions: Vec<Incoming>,
    ) -> Vec<(Incoming, Reject)> {
        let mut state = self.head_state().clone();
        let (mut refused, mut kept) = (Vec::new(), Vec::new());
        let mut receipts: Vec<Receipt> = Vec::new();
        for incoming in transactions {
            match execute::apply(&state, &incoming, at.time, at) {
                Ok((next, receipt)) => {
                    state = next;
                    let place = Place {
                        block: at.number,
                        index: kept.len(),
                    };
                    state.put_place(incoming.txid(), place);
                    let mut transaction = incoming.transaction().clone();
                    transaction.set_results(vec![receipt.result()]);
                    kept.push(transaction);
                    receipts.push(receipt);
                }
                Err(why) => refused.push((incoming, why)),
            }
        }
        let header = header(self, at, merkle_root(&kept));
        let (_, signer) = self.rules.turn(at.number, self.head_state());
        let witness_signature = header.sign(signer).to_vec();
        let (reference, hash) = reference_of(&id);
        state.put_reference(reference, hash);
        state.put_block_id(id);
        state.properties.head = id;
        state.properties.head_time = at.time;
        committee::after_block(&mut state, at.number, at.witness);
        let sealed = Arc::new(Sealed {
            id,
            block: Block {
                header,
                witness_signature,
                transactions: kept,
            },
            receipts,
            next_slot: at.time,
        });
        self.push(sealed, state);
        self.unpool(Vec::new());
        refused
    }

    /// Says up to where the chain is solid.
    pub(crate) fn set_solid(&mut self, number: u64) {
        self.at.solid = number;
    }
}

fn header(chain: &Chain, at: Slot, tx_trie_root: [u8; 32]) -> BlockHeader {
    BlockHeader {
        number: at.number,
        timestamp: at.time,
        tx_trie_root,
        parent_hash: chain.head().id,
        witness_address: at.witness.to_bytes().to_vec(),
        version: BLOCK_VERSION,
        account_state_root: Vec::new(),
    }
}
