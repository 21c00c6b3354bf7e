//! The rows of settlement: batches, payouts, attempts, and how far the solid
//! chain has been read.

use crate::types::{Address, BlockId, RawAmount, Sun, Token, TxId, UnitAmount, UnixMs};

use sha2::{Digest, Sha256};

use super::records::TransferRow;

/// A batch's number: random, 63 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub(in crate::ledger) i64);

/// A payout's number: random, 63 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayoutId(pub(in crate::ledger) i64);

macro_rules! random_id {
    ($name:ident) => {
        impl $name {
            /// From its number; `None` if negative.
            pub const fn new(number: i64) -> Option<Self> {
                if number < 0 { None } else { Some(Self(number)) }
            }

            /// The number, never negative.
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
random_id!(BatchId);
random_id!(PayoutId);

/// Why a payout exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PayoutKind {
    /// Planned from receipts.
    Settle,
    /// Typed by the user: `send`.
    Send,
}

/// Where a payout stands. Only `Confirmed` and `Failed` are ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PayoutState {
    /// Durable, nothing signed.
    Planned,
    /// At least one attempt is durable.
    InFlight,
    /// An attempt is in a solid block.
    Confirmed,
    /// Given up, with every attempt proven dead or none ever durable.
    Failed,
}

impl PayoutState {
    /// Whether it may still happen.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Planned | Self::InFlight)
    }
}

/// Where an attempt stands. Only `Solid` and `Dead` are ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttemptState {
    /// Durable without the signatures of those who hold the account's keys: they
    /// may sign and send it themselves.
    Offered,
    /// Durable, perhaps not sent.
    Signed,
    /// Handed to a node at least once.
    Sent,
    /// Seen in a block that may still be forked out.
    Included,
    /// In a solid block.
    Solid,
    /// Seen to be in no solid block up to its expiration, or included and
    /// failed: it can never pay.
    Dead,
}

impl AttemptState {
    /// Whether it may still pay.
    pub const fn is_live(self) -> bool {
        matches!(
            self,
            Self::Offered | Self::Signed | Self::Sent | Self::Included
        )
    }
}

/// The payouts of one plan, or of one `send`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchRow {
    /// Its number.
    pub id: BatchId,
    /// Who pays.
    pub payer: Address,
    /// Why.
    pub kind: PayoutKind,
    /// When it was planned.
    pub created_at: UnixMs,
}

/// One transfer to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutRow {
    /// Its number.
    pub id: PayoutId,
    /// Of this batch.
    pub batch: BatchId,
    /// Why.
    pub kind: PayoutKind,
    /// Who pays.
    pub payer: Address,
    /// Who is paid.
    pub payee: Address,
    /// In what.
    pub token: Token,
    /// Start of its range of all that was ever paid between the two in this
    /// token; the range is `[from, from + amount)`.
    pub from: RawAmount,
    /// How much, above zero.
    pub amount: RawAmount,
    /// A memo that the user asked for (it costs a fee); empty for none.
    pub memo: Vec<u8>,
    /// What its user calls it: an id of his own, or a period and a row; empty for none.
    pub label: String,
    /// Whether it counts against no debt to its payee: wages beside receipts, say.
    pub not_for_debts: bool,
    /// Where it stands.
    pub state: PayoutState,
    /// Why it failed; empty otherwise.
    pub reason: String,
    /// What it owed by receipts when planned, payer → payee.
    pub owed: RawAmount,
    /// What was owed back by receipts when planned, payee → payer.
    pub owed_to_us: RawAmount,
}

impl PayoutRow {
    /// End of its range (exclusive). A store never holds one above the limit.
    pub fn to(&self) -> RawAmount {
        self.from.checked_add(self.amount).unwrap_or(RawAmount::MAX)
    }
}

/// The identity of an order that its user named: whoever orders it, from whichever
/// ledger, means the same payment. A hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderKey([u8; 32]);

impl OrderKey {
    /// From the 32 bytes of its hash.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The order of one account: two accounts may name theirs alike.
    #[must_use]
    pub fn of_account(&self, account: Address) -> Self {
        let hash = Sha256::new()
            .chain_update(b"seedrail order\0")
            .chain_update(account.body())
            .chain_update(self.0);
        Self(hash.finalize().into())
    }
}

/// What an order pays: past payments are compared with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wanted {
    /// Who is paid.
    pub payee: Address,
    /// In what.
    pub token: Token,
    /// How much.
    pub amount: RawAmount,
}

impl Wanted {
    /// What is paid, as it is typed: of a token that is not built in, with its id.
    pub fn unit_amount(&self) -> UnitAmount {
        UnitAmount {
            token: self.token,
            raw: self.amount,
        }
    }
}

/// A payment that the account is known to have made or ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastPayment {
    /// What it pays.
    pub wanted: Wanted,
    /// When it was ordered; of a transfer made outside of this ledger, the time of its
    /// block.
    pub at: UnixMs,
    /// The block that its transaction was seen in.
    pub block: Option<u64>,
    /// Its transaction, if one was signed.
    pub txid: Option<TxId>,
    /// How it is known.
    pub origin: PastOrigin,
}

/// How a past payment is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PastOrigin {
    /// It is a payout of this ledger.
    Payout {
        /// Its number.
        id: PayoutId,
        /// Its batch.
        batch: BatchId,
        /// Where it stands; never failed.
        state: PayoutState,
        /// Why it exists.
        kind: PayoutKind,
        /// Its memo.
        memo: Vec<u8>,
        /// What its user calls it.
        label: String,
    },
    /// The chain shows it, and no payout of this ledger made it.
    Elsewhere {
        /// Whether the user said that he knows it.
        adopted: bool,
        /// Which order of its user it is known to be.
        order: Option<OrderKey>,
    },
}

/// One transaction of a payout, before and after it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    /// Id of `bytes`.
    pub txid: TxId,
    /// Of this payout.
    pub payout: PayoutId,
    /// 1 for a payout's first, then 2…; one is only made when those before it
    /// are dead.
    pub ordinal: u32,
    /// The whole transaction as it goes over the wire: signed, unless it is offered.
    pub bytes: Vec<u8>,
    /// The block it refers to: no block up to this one can hold it.
    pub reference: BlockId,
    /// The chain refuses it in a block whose parent is at or after this.
    pub expiration: UnixMs,
    /// When it was signed or offered, by our clock.
    pub signed_at: UnixMs,
    /// Where it stands.
    pub state: AttemptState,
    /// The block it was seen in; `None` before, and after a fork took it.
    pub block: Option<u64>,
    /// What it burnt, when known (only once solid).
    pub fee: Option<Sun>,
    /// The last answer of a node, in words: a remark, never an end.
    pub remark: String,
}

impl AttemptRow {
    /// The remark of an attempt that a node accepted.
    pub const ACCEPTED: &str = "accepted";

    /// Whether a node accepted it, and none has refused it since.
    pub fn is_accepted(&self) -> bool {
        self.remark == Self::ACCEPTED
    }
}

impl AsRef<Self> for AttemptRow {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// A solid block as far as one account's ledger cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRow {
    /// Its id, with its number in it.
    pub id: BlockId,
    /// Its parent's id.
    pub parent: BlockId,
    /// Its time.
    pub time: UnixMs,
    /// Who made it.
    pub witness: Address,
    /// Whose key signed it: the witness's own, or that of its witness permission.
    pub signer: Address,
    /// Transfers in it that the account sent or received.
    pub transfers: Vec<TransferRow>,
    /// Ends of this account's attempts that this block proves.
    pub ends: Vec<AttemptEnd>,
}

/// How an attempt ended, by a solid block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The block holds it and it paid.
    Solid(TxId),
    /// The block holds it and the chain says it failed: it burnt a fee and
    /// paid nothing.
    IncludedFailed(TxId),
    /// The block is the first at or after its expiration, and neither it nor
    /// any block since the reference holds it.
    Expired(TxId),
}

/// How far the solid chain was read for an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorRow {
    /// The account.
    pub account: Address,
    /// Where the ledger was bound to it: earlier transfers are not ours.
    pub bound: BlockId,
    /// Every block from here (exclusive) to `last` was read and linked.
    pub from: u64,
    /// The last block read.
    pub last: BlockId,
    /// Its time.
    pub last_time: UnixMs,
    /// What the account sent in blocks after this one is recorded: `bound`'s
    /// number, or one before it.
    pub history: u64,
    /// The newest transfer of the account that no attempt of this ledger made.
    pub foreign: Option<Foreign>,
}

/// A transfer that the account made outside of this ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign {
    /// Its transaction.
    pub txid: TxId,
    /// The time of its block.
    pub at: UnixMs,
}

/// A recorded transfer that the account made, and by which right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutgoingRow {
    /// The transfer.
    pub transfer: TransferRow,
    /// Whether it is an attempt of this ledger; otherwise it was made
    /// elsewhere.
    pub ours: bool,
    /// Whether it was made elsewhere and the user said that he knows it.
    pub adopted: bool,
}

impl OutgoingRow {
    /// Whether the ledger explains it, or its user did.
    pub const fn is_explained(&self) -> bool {
        self.ours || self.adopted
    }
}

/// Whether an account of this ledger may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recovery {
    /// The ledger is no copy, or was recovered.
    Current,
    /// It is a copy, and nothing was done about it yet.
    Restored,
    /// Recovery began at this time of the solid chain.
    Began(UnixMs),
}

/// A witness that was seen to make a solid block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WitnessRow {
    /// Who.
    pub address: Address,
    /// Whose key it signs with.
    pub signer: Address,
    /// The first solid block seen from it.
    pub first_block: u64,
    /// The newest solid block seen from it.
    pub last_block: u64,
}

/// A block that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrailRow {
    /// Its id, with its number in it.
    pub block: BlockId,
    /// Its time.
    pub time: UnixMs,
}

/// From how many blocks a ledger learns its witnesses: three rounds of 27.
pub const LEARNING: u32 = 81;

/// Counts of a batch, as `settle status` shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchCounts {
    /// All payouts.
    pub payouts: u64,
    /// Solid.
    pub confirmed: u64,
    /// Planned and in flight.
    pub pending: u64,
    /// Given up.
    pub failed: u64,
}
