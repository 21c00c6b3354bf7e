//! The rows of the ledger as plain data: who owes whom by which receipts.
//!
//! Nothing here knows cryptography: a signature is 65 bytes, and whether it
//! is good is decided by `receipts` before a row gets here.

use crate::types::{Address, RawAmount, Salt, Token, TokenId, TxId, UnixMs};

/// Who owes whom, in which token. Direction matters: A→B and B→A are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// Who owes.
    pub payer: Address,
    /// Who is owed.
    pub payee: Address,
    /// Of which TRC-10 token.
    pub token: TokenId,
}

impl Pair {
    /// The other direction.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self {
            payer: self.payee,
            payee: self.payer,
            token: self.token,
        }
    }
}

/// One ledger incarnation's series of receipts for a pair: a random number of
/// 63 bits, so that two machines with one key do not continue each other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochId(i64);

impl EpochId {
    /// From its number; `None` if negative.
    pub const fn new(number: i64) -> Option<Self> {
        if number < 0 { None } else { Some(Self(number)) }
    }

    /// The number, never negative.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl std::fmt::Display for EpochId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One receipt as it was signed, without the genesis id (the ledger is bound
/// to one chain) and the vault (always zero).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptRow {
    /// Who owes whom.
    pub pair: Pair,
    /// Whose key signed: the payer's own or a granted session key's.
    pub signer: Address,
    /// The series.
    pub epoch: EpochId,
    /// The payer's solid head when the epoch began: transfers in later blocks
    /// count against the debt. At most `i64::MAX`.
    pub since_block: u64,
    /// Strictly increasing within the epoch. At most `i64::MAX`.
    pub sequence: u64,
    /// Owed in all by this epoch, in raw units.
    pub amount: RawAmount,
    /// Bytes delivered in all in this epoch. At most `i64::MAX`.
    pub delivered_bytes: u64,
    /// When it was signed, in seconds since the Unix epoch. At most `i64::MAX`.
    pub issued_at: u64,
    /// Struct hash of the spend grant in use; zero when signer = payer.
    pub grant: Salt,
    /// r ‖ s ‖ v over the receipt's TIP-712 digest.
    pub signature: [u8; 65],
}

impl ReceiptRow {
    /// Whether both say the same, whatever their signatures' bytes.
    pub fn same_statement(&self, other: &Self) -> bool {
        Self {
            signature: other.signature,
            ..*self
        } == *other
    }
}

/// What is left of an accumulator bytes × price after the whole units were
/// taken: `accumulator = amount << 30 | remainder`, always below 2^30.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remainder(u32);

impl Remainder {
    /// The bound: bytes are priced per GiB.
    pub const BITS: u32 = 30;

    /// From a number below 2^30; `None` otherwise.
    pub const fn new(rest: u32) -> Option<Self> {
        if rest >> Self::BITS == 0 {
            Some(Self(rest))
        } else {
            None
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// In which role this ledger holds a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReceiptKind {
    /// Signed by us from this ledger's own log, or adopted into it: a debt we
    /// made and will pay.
    Issued,
    /// Signed by a payer, held by us: a claim.
    Received,
    /// Our own signature, but not from this ledger's log (imported, synced):
    /// never paid until the user adopts it.
    Evidence,
}

/// What storing a received receipt or evidence did. A peer's misbehaviour is
/// an outcome, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The first of its epoch.
    New,
    /// Took the place of an older one of its epoch.
    Superseded {
        /// What the older one said.
        before: RawAmount,
    },
    /// Nothing new in it: known already, or older than what is known.
    Unchanged,
    /// Another statement under the same sequence: both are kept, and the
    /// newest is what it was.
    Equivocation,
    /// Contradicts the newest of its epoch: a higher sequence with a lower
    /// amount, fewer bytes or another signer's start, or the reverse. Not
    /// stored.
    Regress {
        /// Sequence of the newest.
        sequence: u64,
        /// Amount of the newest.
        amount: RawAmount,
    },
}

/// Which receipts to list; `None` is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiptFilter {
    /// In this role.
    pub kind: Option<ReceiptKind>,
    /// Owed by this address.
    pub payer: Option<Address>,
    /// Owed to this address.
    pub payee: Option<Address>,
    /// In this token.
    pub token: Option<TokenId>,
    /// Of this epoch.
    pub epoch: Option<EpochId>,
}

/// A receipt with its role: one line of a list or an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptEntry {
    /// The role.
    pub kind: ReceiptKind,
    /// The receipt.
    pub receipt: ReceiptRow,
}

/// Two statements of one payer under one sequence, both validly signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Equivocation {
    /// What was the newest when the second came.
    pub first: ReceiptRow,
    /// The other one.
    pub second: ReceiptRow,
}

/// One transfer read from the solid chain, by whoever looked for himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferRow {
    /// The transaction; counted once.
    pub txid: TxId,
    /// Its solid block's number.
    pub block: u64,
    /// That block's time.
    pub block_time: UnixMs,
    /// The owner that paid.
    pub payer: Address,
    /// Who was paid.
    pub payee: Address,
    /// In what.
    pub token: Token,
    /// How much, above zero.
    pub amount: RawAmount,
}

/// Everything between two addresses in one token, seen from `pair.payer`: all
/// epochs of both directions, and the transfers after the first `since_block`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The direction that counts as positive.
    pub pair: Pair,
    /// Σ newest receipts of our issued log, payer → payee.
    pub issued: RawAmount,
    /// Σ newest receipts held from the payee, payee → payer.
    pub received: RawAmount,
    /// Σ solid transfers payer → payee after the first since block.
    pub paid: RawAmount,
    /// Σ solid transfers payee → payer after the first since block.
    pub paid_back: RawAmount,
    /// Σ payouts payer → payee that may still happen: planned and in flight.
    pub live: RawAmount,
    /// Where the payouts' ranges end: the next one begins here.
    pub range_end: RawAmount,
    /// The lowest since block of any receipt of the two.
    pub first_since: u64,
    /// `issued_at` of the receipt that first left something unpaid, in
    /// seconds; zero when nothing was ever issued.
    pub owed_since: u64,
    /// What the payee lets be owed and unsettled, as it quoted last, if it ever did.
    pub cap: Option<RawAmount>,
    /// Of `received`, what was signed for nothing that was sold: the payee's own word,
    /// which counts neither as earned nor against its limits.
    pub unsold: RawAmount,
}

impl Position {
    /// What the payer owes by receipts and solid transfers alone: positive,
    /// or negative when the payee owes. Both sides compute the same number.
    pub fn net(&self) -> i128 {
        let raw = |amount: RawAmount| i128::from(amount.get());
        raw(self.issued) - raw(self.received) - raw(self.paid) + raw(self.paid_back)
    }

    /// What was earned of the payee: its receipts, as far as something was sold for them.
    pub fn earned(&self) -> RawAmount {
        self.received.checked_sub(self.unsold).unwrap_or_default()
    }

    /// What the payee owes for what it bought, less what is owed to it: positive, or
    /// negative when the payer owes.
    pub fn owed_for_sales(&self) -> i128 {
        -self.net() - i128::from(self.unsold.get())
    }
}

/// What adopting evidence added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Adopted {
    /// How many receipts are now debts of ours.
    pub receipts: u64,
    /// By how much that raised what we owe.
    pub added: RawAmount,
}
