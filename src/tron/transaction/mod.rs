//! Transactions: drafts of ours, what is signed of them, and foreign ones.
//!
//! A [`Draft`] is built here and encoded canonically; [`Draft::build`] gives the
//! [`UnsignedTransaction`] whose id is what gets signed; signing it gives a
//! [`Transaction`]. A `Transaction` is also what comes from elsewhere: its bytes
//! are kept, and hashed, as received.

mod canonical;
mod draft;
mod raw;
#[cfg(test)]
mod tests;
mod wire;

use sha2::{Digest, Sha256};

pub use self::{
    draft::{Draft, UnsignedTransaction},
    raw::{RawContract, RawData},
    wire::{CONTRACT_RET, Transaction, TransactionResult},
};
use super::{
    keys::{SignatureError, SignerError},
    proto::ProtoError,
};
use crate::types::{BlockId, TxId};

/// A transaction may take 500 KiB (`Constant.TRANSACTION_MAX_BYTE_SIZE`).
pub const MAX_TRANSACTION_BYTES: usize = 500 * 1024;
/// Charged per contract on top of the size (`Constant.MAX_RESULT_SIZE_IN_TX`).
pub const MAX_RESULT_SIZE_IN_TX: usize = 64;
/// The furthest an expiration may lie ahead of the head block
/// (`Constant.MAXIMUM_TIME_UNTIL_EXPIRATION`).
pub const MAX_EXPIRATION_AHEAD: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
/// Signatures a transaction may carry (`totalSignNum`).
pub const MAX_SIGNATURES: usize = 5;

/// Why bytes are no transaction, or one that will not be signed.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    /// No protobuf message.
    #[error("these bytes are not a transaction: {0}")]
    Proto(#[from] ProtoError),
    /// Too big for any node.
    #[error("a transaction has at most {MAX_TRANSACTION_BYTES} bytes, not {0}")]
    TooBig(usize),
    /// Nothing in it.
    #[error("these bytes are not a transaction: they hold no raw_data")]
    Empty,
    /// The chain takes exactly one contract.
    #[error("a transaction has exactly one contract, not {0}")]
    ContractCount(usize),
    /// A contract type this crate cannot read.
    #[error("contract type {0} is not known here")]
    UnknownContract(i32),
    /// `type` and `type_url` disagree.
    #[error("the contract's type says {contract_type} but its type_url says `{type_url}`")]
    TypeUrl {
        /// The number's name.
        contract_type: &'static str,
        /// What the url says.
        type_url: String,
    },
    /// A field of a fixed size has another.
    #[error("{field} has {bytes} bytes, not {expected}")]
    FieldSize {
        /// Its name.
        field: &'static str,
        /// How many there are.
        bytes: usize,
        /// How many there should be.
        expected: usize,
    },
    /// Encoding it again gives other bytes: unknown fields, or fields out of
    /// order. A node would hash something else.
    #[error(
        "refusing to sign {0}: its bytes are not in canonical form, so a node would hash other bytes than the signature covers"
    )]
    NotCanonical(TxId),
    /// The signer would not.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A signature from which no address can be recovered.
    #[error("signature {index} is not valid: {source}")]
    Signature {
        /// Which one, from 0.
        index: usize,
        /// Why.
        source: SignatureError,
    },
}

/// The reference to a recent block that ties a transaction to one chain and
/// time (TAPOS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefBlock {
    /// Bytes 6..8 of the block number.
    pub bytes: [u8; 2],
    /// Bytes 8..16 of the block id.
    pub hash: [u8; 8],
}

impl From<BlockId> for RefBlock {
    fn from(id: BlockId) -> Self {
        let [_, _, _, _, _, _, n0, n1, h0, h1, h2, h3, h4, h5, h6, h7, ..] = *id.as_bytes();
        Self {
            bytes: [n0, n1],
            hash: [h0, h1, h2, h3, h4, h5, h6, h7],
        }
    }
}

fn txid_of(raw: &[u8]) -> TxId {
    TxId::from_bytes(Sha256::digest(raw).into())
}
