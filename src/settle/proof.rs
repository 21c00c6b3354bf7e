//! Proof that a transfer was made: the transaction, its way up the Merkle tree
//! of its block, and the block's header with its witness's signature. Pure.
//!
//! Without a node it shows that a witness signed a block that holds the transfer.
//! That the block is the chain's, its id says, which any node tells.

use serde::{Deserialize, Serialize};

use super::state::transfer_of;
use crate::{
    ledger::TransferRow,
    tron::{
        block::{Block, BlockError, BlockHeader, Sibling, merkle_branch, merkle_climb},
        transaction::Transaction,
        verified::{Sealed, Signers},
    },
    types::{Address, BlockId, Salt, TxId, UnixMs},
};

/// The longest proof read, in bytes: a transfer with its results and memo, a
/// header, and a branch of a block with 16 million transactions.
pub const MAX_PROOF_BYTES: usize = 16 << 10;

/// One transfer, provably in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentProof {
    /// As the block holds it, results included.
    pub transaction: Transaction,
    /// From the transaction to the header's root.
    pub branch: Vec<Sibling>,
    /// The block's header.
    pub header: BlockHeader,
    /// Its witness's signature of the header.
    pub witness_signature: Vec<u8>,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not of this form.
    #[error("not a proof of a payment: {0}")]
    Shape(String),
    /// The branch leads elsewhere.
    #[error("transaction {txid} is not in block {block}: its branch leads to another root")]
    Root {
        /// The transaction.
        txid: TxId,
        /// The block's number.
        block: u64,
    },
    /// The header's signature.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A transaction that paid nobody.
    #[error("transaction {0} is not a successful transfer")]
    NoTransfer(TxId),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    payment: PaymentJson,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PaymentJson {
    txid: String,
    block: String,
    transaction: String,
    branch: Vec<SiblingJson>,
    header: HeaderJson,
    witness_signature: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SiblingJson {
    Left(String),
    Right(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderJson {
    number: u64,
    timestamp: i64,
    tx_trie_root: String,
    parent_hash: String,
    witness_address: String,
    version: i32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    account_state_root: String,
}

impl PaymentProof {
    /// For transaction `txid` of the block; `None` if it is not in it.
    pub fn new(block: &Block, txid: TxId) -> Option<Self> {
        let index = block
            .transactions
            .iter()
            .position(|transaction| transaction.txid() == txid)?;
        Some(Self {
            transaction: block.transactions.get(index)?.clone(),
            branch: merkle_branch(&block.transactions, index)?,
            header: block.header.clone(),
            witness_signature: block.witness_signature.clone(),
        })
    }

    /// Checks everything that can be checked without a node; the transfer that it
    /// proves. Whether the block was signed by its witness is [`Self::signed_by_witness`].
    ///
    /// # Errors
    /// See [`ProofError`].
    pub fn check(&self) -> Result<TransferRow, ProofError> {
        let txid = self.transaction.txid();
        if merkle_climb(&self.transaction, &self.branch) != self.header.tx_trie_root {
            return Err(ProofError::Root {
                txid,
                block: self.header.number,
            });
        }
        Sealed::header(self.block(), self.header.clone(), &self.witness_signature)?;
        let block = Block {
            header: self.header.clone(),
            witness_signature: Vec::new(),
            transactions: Vec::new(),
        };
        transfer_of(&block, &self.transaction).ok_or(ProofError::NoTransfer(txid))
    }

    /// Whether the block's signature is of its witness's own key.
    ///
    /// # Errors
    /// [`BlockError::Witness`] for any other key: whether that one is of the witness's
    /// permission only a node can tell.
    pub fn signed_by_witness(&self) -> Result<(), ProofError> {
        Sealed::header(self.block(), self.header.clone(), &self.witness_signature)?
            .believe(&Signers::default())?;
        Ok(())
    }

    /// The id of the block.
    pub fn block(&self) -> BlockId {
        self.header.id()
    }

    /// Who made the block; `None` where the header names nobody.
    pub fn witness(&self) -> Option<Address> {
        self.header.witness()
    }

    /// One line of JSON.
    ///
    /// # Panics
    /// Never: these types have a JSON form.
    pub fn to_json(&self) -> String {
        let header = &self.header;
        let line = Line {
            payment: PaymentJson {
                txid: self.transaction.txid().to_string(),
                block: self.block().to_string(),
                transaction: hex::encode(self.transaction.encode()),
                branch: self
                    .branch
                    .iter()
                    .map(|sibling| match sibling {
                        Sibling::Left(hash) => SiblingJson::Left(hex::encode(hash)),
                        Sibling::Right(hash) => SiblingJson::Right(hex::encode(hash)),
                    })
                    .collect(),
                header: HeaderJson {
                    number: header.number,
                    timestamp: header.timestamp.0,
                    tx_trie_root: hex::encode(header.tx_trie_root),
                    parent_hash: header.parent_hash.to_string(),
                    witness_address: hex::encode(&header.witness_address),
                    version: header.version,
                    account_state_root: hex::encode(&header.account_state_root),
                },
                witness_signature: hex::encode(&self.witness_signature),
            },
        };
        serde_json::to_string(&line).expect("strings, numbers and lists have a JSON form")
    }

    /// Whether a line of a file is meant to be one of these, not a receipt.
    pub fn is_meant(line: &str) -> bool {
        line.trim_start().starts_with("{\"payment\"")
    }

    /// Reads one line of JSON; checks its shape and its ids, nothing more.
    ///
    /// # Errors
    /// [`ProofError::Shape`].
    pub fn from_json(line: &str) -> Result<Self, ProofError> {
        let shape = |reason: &dyn std::fmt::Display| ProofError::Shape(reason.to_string());
        if line.len() > MAX_PROOF_BYTES {
            return Err(shape(&format!("longer than {MAX_PROOF_BYTES} bytes")));
        }
        let Line { payment } = serde_json::from_str(line).map_err(|error| shape(&error))?;
        let bytes = |text: &str| hex::decode(text).map_err(|error| shape(&error));
        let hash = |text: &str| {
            text.parse::<Salt>()
                .map(|hash| *hash.as_bytes())
                .map_err(|error| shape(&error))
        };
        let branch = payment
            .branch
            .iter()
            .map(|sibling| match sibling {
                SiblingJson::Left(text) => hash(text).map(Sibling::Left),
                SiblingJson::Right(text) => hash(text).map(Sibling::Right),
            })
            .collect::<Result<_, _>>()?;
        let proof = Self {
            transaction: Transaction::decode(&bytes(&payment.transaction)?)
                .map_err(|error| shape(&error))?,
            branch,
            header: BlockHeader {
                number: payment.header.number,
                timestamp: UnixMs(payment.header.timestamp),
                tx_trie_root: hash(&payment.header.tx_trie_root)?,
                parent_hash: payment
                    .header
                    .parent_hash
                    .parse()
                    .map_err(|error| shape(&error))?,
                witness_address: bytes(&payment.header.witness_address)?,
                version: payment.header.version,
                account_state_root: bytes(&payment.header.account_state_root)?,
            },
            witness_signature: bytes(&payment.witness_signature)?,
        };
        if proof.transaction.txid().to_string() != payment.txid {
            return Err(shape(&"its transaction has another id"));
        }
        if proof.block().to_string() != payment.block {
            return Err(shape(&"its header has another id"));
        }
        Ok(proof)
    }
}
