//! How a command fails: one sentence, a code, a hint, an exit status.

use std::fmt;

use crate::{tron::rpc::NodeError, types::TxId};

/// Exit statuses, as documented in the README.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed = 1,
    Usage = 2,
    Node = 3,
    Refused = 4,
    Funds = 5,
    Partly = 6,
    Disagree = 7,
    MayHaveHappened = 8,
    Interrupted = 130,
    /// Nobody reads stdout any more: what a shell shows for SIGPIPE.
    Unread = 141,
}

/// A failed command.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// For programs: lower-case words with underscores, or the chain's own code.
    pub(crate) code: String,
    /// One sentence: what was wrong, with which value.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// The transaction that may have happened.
    pub(crate) txid: Option<TxId>,
}

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl ToString) -> Self {
        Self {
            exit,
            code: code.to_owned(),
            message: message.to_string(),
            hint: None,
            txid: None,
        }
    }

    pub(crate) fn usage(message: impl ToString) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    pub(crate) fn failed(code: &str, message: impl ToString) -> Self {
        Self::new(Exit::Failed, code, message)
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted", "interrupted")
    }

    pub(crate) fn funds(message: impl ToString) -> Self {
        Self::new(Exit::Funds, "insufficient_funds", message)
    }

    pub(crate) fn hint(mut self, hint: impl ToString) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    pub(crate) fn may_have_happened(txid: TxId, message: impl fmt::Display) -> Self {
        let mut failure = Self::new(
            Exit::MayHaveHappened,
            "unknown",
            format!("transaction {txid} may have happened: {message}"),
        )
        .hint(format!(
            "look with `seedrail tx wait {txid}`; never send it again as a new one"
        ));
        failure.txid = Some(txid);
        failure
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, error: impl fmt::Display) -> Self {
        Self::failed("file", format!("{}: {error}", path.display()))
    }

    /// The broadcast of a transaction.
    pub(crate) fn broadcast(txid: TxId, error: NodeError) -> Self {
        match error {
            NodeError::Unknown { .. } | NodeError::TooLarge { .. } => {
                Self::may_have_happened(txid, error)
            }
            other => other.into(),
        }
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        match &error {
            NodeError::Retry { after: Some(_), .. } => {
                Self::new(Exit::Node, "node_limited", &error).hint(
                    "wait a little, give an API key by --api-key-file, or name another node with --node URL",
                )
            }
            NodeError::Retry { .. } => Self::new(Exit::Node, "node_unreachable", &error).hint(
                "is the node running? name another with --node URL, or start `seedrail devnet`",
            ),
            NodeError::Unknown { .. } | NodeError::TooLarge { .. } => {
                Self::new(Exit::Node, "node_answer", &error)
                    .hint("name another node with --node URL")
            }
            NodeError::Refused { code, message, .. } => {
                let funds = code == "BANDWITH_ERROR"
                    || [
                        "balance is not sufficient",
                        "assetBalance must be greater",
                        "insufficient fee",
                    ]
                    .iter()
                    .any(|words| message.contains(words));
                let exit = if funds { Exit::Funds } else { Exit::Refused };
                Self::new(exit, code, &error)
            }
        }
    }
}
