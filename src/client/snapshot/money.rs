//! What is owed and paid, as readers see it. Amounts are in raw units of the token.

use serde::{Deserialize, Serialize};

use crate::types::{Address, RawAmount, TokenId, TxId, UnixMs};

/// What is owed and paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Money {
    /// Our account.
    pub account: Address,
    /// What is paid in.
    pub token: TokenId,
    /// Spent since the client was started.
    #[serde(serialize_with = "super::raw::serialize")]
    pub session_spent_raw: u64,
    /// Earned since the client was started.
    #[serde(serialize_with = "super::raw::serialize")]
    pub session_earned_raw: u64,
    /// What the account holds; `None`: the node has not said yet.
    pub balance: Option<Balance>,
    /// How debts are settled.
    pub policy: SettlePolicy,
    /// Who owes whom, one for each other account.
    pub positions: Vec<Position>,
    /// The newest settlements, the newest first, at most 100.
    pub batches: Vec<Batch>,
    /// The session keys, the newest first.
    pub grants: Vec<Grant>,
    /// The node.
    pub node: NodeState,
}

/// What an account holds, by the newest final block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// The account is on the chain.
    pub activated: bool,
    /// TRX, in SUN.
    pub trx_sun: u64,
    /// The token.
    pub token_raw: RawAmount,
    /// Bytes of transactions that cost nothing today.
    pub bandwidth_left: u64,
    /// When the node was asked.
    pub at: UnixMs,
}

/// How debts are settled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum SettlePolicy {
    /// By a person.
    #[default]
    Off,
    /// By themselves, as long as no fee is burnt.
    Free,
    /// By themselves, fees included, up to an amount a day.
    UpTo {
        /// Of the token, each day (UTC).
        day_raw: RawAmount,
    },
}

/// Who owes whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The other account.
    pub account: Address,
    /// It owes us so much, by receipts that are not settled.
    pub owes_us_raw: RawAmount,
    /// We owe it so much, by receipts that are not settled.
    pub we_owe_raw: RawAmount,
    /// How often it did not pay what was due.
    pub defaults: u32,
    /// What it did not pay, in all.
    pub defaulted_raw: RawAmount,
    /// It is not served, by the user's word.
    pub banned: bool,
}

/// What a settlement would pay now, and what waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettlementPlan {
    /// When it was made.
    pub at: UnixMs,
    /// Who pays.
    pub payer: Address,
    /// In the order in which they are paid, at most 1,000.
    pub payouts: Vec<PlannedPayout>,
    /// How many there are.
    pub payouts_in_all: u64,
    /// Debts that are left for later, at most 1,000.
    pub deferred: Vec<Waits>,
    /// How many there are.
    pub deferred_in_all: u64,
    /// All payouts together.
    pub total_raw: RawAmount,
    /// What they are expected to burn, in SUN.
    pub fee_sun_estimate: u64,
    /// The most that they may burn, in SUN.
    pub fee_sun_worst: u64,
    /// Bytes of transactions that they need.
    pub bandwidth_needed: u64,
    /// Bytes of transactions that cost nothing now.
    pub bandwidth_available: u64,
    /// So much more TRX staked for bandwidth, in SUN, and nothing would be burnt in a day;
    /// `None`: nothing is, or the chain does not say.
    pub stake_to_be_free_sun: Option<u64>,
}

/// A payout that would be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedPayout {
    /// Who is paid.
    pub payee: Address,
    /// How much.
    pub amount_raw: RawAmount,
    /// We owe it so much, by receipts.
    pub owed_raw: RawAmount,
    /// It owes us so much, by receipts, which is taken off.
    pub owed_to_us_raw: RawAmount,
    /// It makes the payee's account.
    pub activates: bool,
    /// What it is expected to burn, in SUN.
    pub fee_sun: u64,
}

/// A debt that is left for later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waits {
    /// Who is owed.
    pub payee: Address,
    /// How much.
    pub amount_raw: RawAmount,
    /// Why it waits, in words.
    pub reason: String,
}

/// The payouts of one settlement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Batch {
    /// Its number, in decimal: it may be larger than a JavaScript number.
    pub id: String,
    /// When it was planned.
    pub created: UnixMs,
    /// Its payouts that are final.
    pub confirmed: u64,
    /// Its payouts that are on their way.
    pub pending: u64,
    /// Its payouts that were given up.
    pub failed: u64,
    /// Each payout, at most 200.
    pub payouts: Vec<Payout>,
}

/// One transfer of a settlement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Payout {
    /// Who is paid.
    pub payee: Address,
    /// How much.
    pub amount_raw: RawAmount,
    /// Where it stands.
    pub state: PayoutState,
    /// The transaction that pays it, if one was signed.
    pub txid: Option<TxId>,
    /// The block that holds it.
    pub block: Option<u64>,
    /// Why it was given up; empty otherwise.
    pub reason: String,
}

/// Where a payout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PayoutState {
    /// Nothing is signed.
    Planned,
    /// It is signed, and may be sent.
    Signed,
    /// A node has taken it.
    Accepted,
    /// It is in a block.
    Included,
    /// It is in a block that stays.
    Solid,
    /// It was given up, and can never pay.
    Failed,
}

/// What a session key may sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// The key's address.
    pub signer: Address,
    /// Whether it is good.
    pub state: GrantState,
    /// The most that it may sign away.
    pub max_raw: RawAmount,
    /// The most that it may sign away to one account.
    pub max_per_peer_raw: RawAmount,
    /// What it has signed away.
    pub used_raw: RawAmount,
    /// It is good from then on.
    pub from: UnixMs,
    /// It is good until then.
    pub until: UnixMs,
}

/// Whether a session key is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    /// It may still sign something away.
    Open,
    /// It says who we are, and signs nothing away.
    Identity,
    /// All of it is signed away.
    UsedUp,
    /// A later one replaces it.
    Replaced,
    /// Its time is over.
    Ended,
    /// It was taken back.
    Revoked,
}

/// How the node answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NodeState {
    /// The number of the newest final block.
    pub solid_head: Option<u64>,
    /// Why it does not answer, if it does not.
    pub silent: Option<String>,
}
