//! What can stop a settlement, each in one sentence.

use std::time::Duration;

use crate::{
    ledger::{LedgerError, PayoutId},
    settle::engine::Before,
    tron::{keys::SignerError, permission::PermissionError, rpc::NodeError},
    types::{Address, BlockId, RawAmount, Sun, Token, TxId, UnitAmount, UnixMs},
};

/// Why a settlement stopped. What was durable stays so, and `resume` goes on
/// from there.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The ledger refused or failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The node gave no usable answer for too long.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The key would not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The node is on another chain than the ledger.
    #[error("the node is on the chain with genesis block {node}, the ledger belongs to {ledger}")]
    OtherChain {
        /// The node's.
        node: BlockId,
        /// The ledger's.
        ledger: BlockId,
    },
    /// A signature that took so long that its transaction could not get into a block.
    #[error(
        "the signature came after {} s, too late for its transaction to get into a block: it is not \
         kept, and nothing was sent",
        .0.as_secs()
    )]
    SlowSigner(Duration),
    /// A key that a permission of the account does not name.
    #[error("permission {permission} of {account} does not name the key of {key}")]
    NotInPermission {
        /// Whose key it is.
        key: Address,
        /// Who is to pay.
        account: Address,
        /// Which of its permissions.
        permission: i32,
    },
    /// The key is another account's.
    #[error("the key is {key}'s, not {account}'s")]
    OtherKey {
        /// Whose key it is.
        key: Address,
        /// Whose it should be.
        account: Address,
    },
    /// The chain wants more than the account's own signature.
    #[error("the keys of {0} are in several hands: its own signature alone does not pay")]
    Shared(Address),
    /// Not what a permission of the account allows, or none it has.
    #[error(transparent)]
    Permission(#[from] PermissionError),
    /// A transaction that was brought back and is none of this ledger's.
    #[error("this ledger never offered transaction {0} to be signed")]
    NotOffered(TxId),
    /// Transactions brought back with too few signatures.
    #[error(
        "{count} of the transactions are not signed by enough of the keys: {txid}, the first, has \
         weight {weight} of the {threshold} that are needed"
    )]
    NotApproved {
        /// How many.
        count: usize,
        /// The first.
        txid: TxId,
        /// What its signatures weigh.
        weight: i64,
        /// What they should.
        threshold: i64,
        /// Who did not sign it.
        missing: Vec<Address>,
    },
    /// The clocks disagree too much to set an expiration.
    #[error(
        "the chain's newest block is from {}, this machine's clock says {}: nothing is signed while \
         they differ by more than 60 s (is the node stuck, or the clock wrong?)",
        head.to_utc(),
        clock.to_utc()
    )]
    ClockSkew {
        /// The head's time.
        head: UnixMs,
        /// Ours.
        clock: UnixMs,
    },
    /// The nodes do not show blocks that they must have.
    #[error(
        "no node shows block {0}, though the chain is further: a node that keeps only the newest \
         blocks cannot tell what was paid in it"
    )]
    NoBlocks(u64),
    /// A block that is not in the nodes' chain.
    #[error("block {0} is not in the chain that the node shows")]
    NotTheChains(BlockId),
    /// A block that the user knows and that is not by the witnesses that the ledger knows.
    #[error(
        "of the {made} witnesses that made the blocks up to the checkpoint {block}, this ledger \
         knows {known}: it learned its witnesses from another chain, or they changed since"
    )]
    StrangeCheckpoint {
        /// The checkpoint.
        block: BlockId,
        /// How many of them the ledger knows.
        known: usize,
        /// How many witnesses made the blocks up to it.
        made: usize,
    },
    /// The account moves without us.
    #[error(
        "{account} keeps acting on the chain without this ledger: another program or machine uses \
         its key; stop it, then run again"
    )]
    UsedElsewhere {
        /// The account.
        account: Address,
    },
    /// What happened lately is not final.
    #[error(
        "the newest block that the nodes hold as final is from {}, and their newest is from {}: \
         nothing is signed while what was done since is not known (is the node behind, or the \
         chain stuck?)",
        solid.to_utc(),
        head.to_utc()
    )]
    SolidBehind {
        /// The time of the newest solid block that was read.
        solid: UnixMs,
        /// The head's time.
        head: UnixMs,
    },
    /// The ledger's rows contradict each other.
    #[error("payout {payout} is in a state that cannot be: {reason}")]
    Broken {
        /// Which payout.
        payout: PayoutId,
        /// What is wrong.
        reason: &'static str,
    },
    /// Not enough of what is sent.
    #[error("{account} has {} free, and {} are needed", text(.have, .token), text(.need, .token))]
    Balance {
        /// The account.
        account: Address,
        /// Of what.
        token: Token,
        /// How much there is.
        have: RawAmount,
        /// How much is needed.
        need: RawAmount,
    },
    /// Not enough TRX for the fee.
    #[error("the fee of {need} is more than the {have} that {account} has")]
    Fee {
        /// The account.
        account: Address,
        /// What there is.
        have: Sun,
        /// What is needed.
        need: Sun,
    },
    /// A payment to oneself, which the chain refuses.
    #[error("{0} cannot pay itself")]
    ToSelf(Address),
    /// A row of a file that was paid, or is on its way, with other content.
    #[error("row {row} was paid before with another recipient, amount or memo")]
    RowChanged {
        /// The row's number.
        row: usize,
    },
    /// An order under an id that names another one.
    #[error("id `{id}` names another payment: {}", describe(before))]
    IdTaken {
        /// The id.
        id: String,
        /// What it names.
        before: Box<Before>,
    },
    /// A row of a file whose every payout failed.
    #[error("a row of the file has failed {0} times: give it another id")]
    TooManyTries(u32),
    /// No random numbers.
    #[error("the system gave no random numbers: {0}")]
    Random(String),
}

fn text(amount: &RawAmount, token: &Token) -> UnitAmount {
    UnitAmount {
        token: *token,
        raw: *amount,
    }
}

fn describe(before: &Before) -> String {
    let wanted = before.wanted();
    let amount = text(&wanted.amount, &wanted.token);
    match before {
        Before::Payout(_) => format!("{amount} to {}", wanted.payee),
        Before::Elsewhere(transfer) => {
            format!(
                "{amount} to {}, transaction {}",
                wanted.payee, transfer.txid
            )
        }
    }
}
