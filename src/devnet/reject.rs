//! Why a transaction is refused: java-tron's codes and its very words, odd
//! spellings included, since clients match on them.

use crate::devnet::fork::ForkError;

/// A refused transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// A signature, or the permission it should satisfy.
    #[error("Validate signature error: {0}")]
    Signature(String),
    /// The contract's own checks.
    #[error("Contract validate error : {0}")]
    Validate(String),
    /// The contract's execution.
    #[error("Contract execute error : {0}")]
    Execute(String),
    /// Neither bandwidth nor TRX to burn for it.
    #[error("Account resource insufficient error.")]
    Bandwidth,
    /// Known already.
    #[error("Dup transaction.")]
    Duplicate,
    /// The reference block is not on this chain, or too old.
    #[error("Tapos check error.")]
    Tapos,
    /// Too many bytes.
    #[error("{0}")]
    TooBig(String),
    /// Expired, or expiring more than a day ahead.
    #[error("Transaction expired")]
    Expired,
    /// The pool of pending transactions is full.
    #[error("Server busy.")]
    Busy,
    /// What it needs of the forked chain could not be read; that it is needed is no fault of
    /// the transaction's.
    #[error("Server busy: {0}")]
    Fork(ForkError),
}

impl Reject {
    /// The name of its `response_code` (`BANDWITH_ERROR` is the node's own
    /// spelling).
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Signature(_) => "SIGERROR",
            Self::Validate(_) => "CONTRACT_VALIDATE_ERROR",
            Self::Execute(_) => "CONTRACT_EXE_ERROR",
            Self::Bandwidth => "BANDWITH_ERROR",
            Self::Duplicate => "DUP_TRANSACTION_ERROR",
            Self::Tapos => "TAPOS_ERROR",
            Self::TooBig(_) => "TOO_BIG_TRANSACTION_ERROR",
            Self::Expired => "TRANSACTION_EXPIRATION_ERROR",
            Self::Busy | Self::Fork(_) => "SERVER_BUSY",
        }
    }

    pub(crate) fn validate<T>(message: impl Into<String>) -> Result<T, Self> {
        Err(Self::Validate(message.into()))
    }
}
