//! Blocks: header, id, Merkle root and witness signature, so that what a node
//! says of a block can be recomputed. What is believed of it, [`verified`](super::verified)
//! says.

use sha2::{Digest, Sha256};

use super::{
    keys::{SecretKey, SignatureError},
    proto::Writer,
    transaction::Transaction,
};
use crate::types::{Address, BlockId, Salt, UnixMs};

/// `BlockHeader.raw`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockHeader {
    /// The block's number; genesis is 0.
    pub number: u64,
    /// When its slot began.
    pub timestamp: UnixMs,
    /// Merkle root of its transactions.
    pub tx_trie_root: [u8; 32],
    /// The block before.
    pub parent_hash: BlockId,
    /// The witness that made it, as on the wire (21 bytes; other in genesis).
    pub witness_address: Vec<u8>,
    /// The protocol version.
    pub version: i32,
    /// `accountStateRoot`; empty where the chain does not use it.
    pub account_state_root: Vec<u8>,
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its header.
    pub header: BlockHeader,
    /// 65 bytes; empty for genesis.
    pub witness_signature: Vec<u8>,
    /// Its transactions, in order, with their results.
    pub transactions: Vec<Transaction>,
}

/// Why a block is not what it says it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The header hashes to another id.
    #[error("block {number}: the header hashes to {computed}, not to {claimed}")]
    Id {
        /// Its number.
        number: u64,
        /// What the node said.
        claimed: BlockId,
        /// What the header gives.
        computed: BlockId,
    },
    /// The transactions give another root.
    #[error("block {number}: its transactions do not give the root in its header")]
    Root {
        /// Its number.
        number: u64,
    },
    /// No witness's signature.
    #[error("block {number}: the witness signature is not valid: {source}")]
    Signature {
        /// Its number.
        number: u64,
        /// Why.
        source: SignatureError,
    },
    /// Another's signature.
    #[error(
        "block {number}: signed by {signer}, which is not known to sign for the witness {witness} \
         of its header"
    )]
    Witness {
        /// Its number.
        number: u64,
        /// Who signed.
        signer: Address,
        /// Who should have.
        witness: String,
    },
}

impl BlockHeader {
    /// The protobuf bytes that are hashed and signed.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(128);
        writer
            .int64(1, self.timestamp.0)
            .bytes(2, &self.tx_trie_root)
            .bytes(3, self.parent_hash.as_bytes())
            .int64(7, self.number.cast_signed())
            .bytes(9, &self.witness_address)
            .int64(10, self.version.into())
            .bytes(11, &self.account_state_root);
        writer.into_bytes()
    }

    /// SHA-256 of the bytes: what the witness signs.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.encode()).into()
    }

    /// The block's id.
    pub fn id(&self) -> BlockId {
        let mut id = self.digest();
        id.split_at_mut(8)
            .0
            .copy_from_slice(&self.number.to_be_bytes());
        BlockId::from_bytes(id)
    }

    /// The witness that made it; `None` where the header holds no address, as in
    /// genesis.
    pub fn witness(&self) -> Option<Address> {
        Address::from_bytes(&self.witness_address).ok()
    }

    /// Signs it, v 0 or 1 as java-tron writes it.
    pub fn sign(&self, witness: &SecretKey) -> [u8; 65] {
        witness.sign(&self.digest()).to_transaction_bytes()
    }
}

impl Block {
    /// The block's id.
    pub fn id(&self) -> BlockId {
        self.header.id()
    }
}

/// A transaction's place in a block's Merkle tree: its leaf.
fn leaf(transaction: &Transaction) -> [u8; 32] {
    Sha256::digest(transaction.encode()).into()
}

fn parent(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// The level above: parent = SHA-256(left ‖ right), an odd last node goes up
/// unchanged.
fn above(level: &[[u8; 32]]) -> Vec<[u8; 32]> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => parent(left, right),
            odd => odd.first().copied().unwrap_or_default(),
        })
        .collect()
}

/// The root over whole transactions, results included; no transactions give 32
/// zero bytes.
pub fn merkle_root(transactions: &[Transaction]) -> [u8; 32] {
    let mut level: Vec<_> = transactions.iter().map(leaf).collect();
    while level.len() > 1 {
        level = above(&level);
    }
    level.first().copied().unwrap_or(*Salt::ZERO.as_bytes())
}

/// What a transaction's leaf is hashed with on its way up to the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sibling {
    /// It stands on the left.
    Left([u8; 32]),
    /// It stands on the right.
    Right([u8; 32]),
}

/// The way up from transaction number `index`; `None` if there is none such.
pub fn merkle_branch(transactions: &[Transaction], index: usize) -> Option<Vec<Sibling>> {
    transactions.get(index)?;
    let mut level: Vec<_> = transactions.iter().map(leaf).collect();
    let mut place = index;
    let mut branch = Vec::new();
    while level.len() > 1 {
        if place % 2 == 1 {
            branch.push(Sibling::Left(*level.get(place - 1)?));
        } else if let Some(right) = level.get(place + 1) {
            branch.push(Sibling::Right(*right));
        }
        level = above(&level);
        place /= 2;
    }
    Some(branch)
}

/// The root that a transaction's branch leads to.
pub fn merkle_climb(transaction: &Transaction, branch: &[Sibling]) -> [u8; 32] {
    branch
        .iter()
        .fold(leaf(transaction), |node, sibling| match sibling {
            Sibling::Left(left) => parent(left, &node),
            Sibling::Right(right) => parent(&node, right),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        tron::{
            contract::Contract,
            transaction::{Draft, RefBlock},
        },
        types::{RawAmount, Token},
    };

    /// Every transaction's branch leads to the root, in trees of every shape, and
    /// nobody else's does.
    #[test]
    fn branches_lead_to_the_root() {
        let transactions: Vec<_> = (0..18)
            .map(|salt| {
                let draft = Draft::new(
                    Contract::transfer(
                        Address::ZERO,
                        Address::ZERO,
                        Token::Trx,
                        RawAmount::new(1).unwrap(),
                    ),
                    RefBlock {
                        bytes: [0; 2],
                        hash: [0; 8],
                    },
                    UnixMs(9),
                    UnixMs(salt),
                );
                Transaction::from(draft.build())
            })
            .collect();
        for count in 1..transactions.len() {
            let block = &transactions[..count];
            let root = merkle_root(block);
            for (index, transaction) in block.iter().enumerate() {
                let branch = merkle_branch(block, index).unwrap();
                assert_eq!(
                    merkle_climb(transaction, &branch),
                    root,
                    "{index} of {count}"
                );
                assert_ne!(merkle_climb(&transactions[count], &branch), root);
            }
            assert_eq!(merkle_branch(block, count), None);
        }
    }
}
