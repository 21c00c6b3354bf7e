//! The price of a transaction, to the sun, before it is paid.
//!
//! What the chain charges (`BandwidthProcessor.java`, `Manager.java`):
//!
//! - **Bandwidth**: the size with signatures and without results, plus 64. It is
//!   taken whole from one bucket, tried in this order: the token's issuer (for a
//!   TRC-10 transfer, if he offers it), the sender's stake, the sender's free
//!   points; else every byte is burnt. Buckets never combine.
//! - **A new account**: its transfer takes no free and no issuer's bandwidth. Stake
//!   pays if size × rate fits; else a flat fee is burnt. The account itself costs
//!   another fee on top.
//! - A **memo**, a **second signature**, a permission update and a token issue each
//!   cost a fee of their own.
//!
//! System contracts have no fee limit: what bandwidth lacks is burnt, so every
//! [`Estimate`] has a worst case beside the expected one.
//!
//! ```
//! use seedrail::{
//!     tron::{
//!         contract::Contract,
//!         fees::{Bucket, Situation, estimate},
//!         rpc::{AccountResources, ChainParameters},
//!         transaction::{Draft, RefBlock, Transaction},
//!     },
//!     types::{Address, RawAmount, Sun, Token, TokenId, UnixMs},
//! };
//!
//! let to = Address::from_body([7; 20]);
//! let amount = RawAmount::new(1_000_000)?;
//! let contract = Contract::transfer(Address::ZERO, to, Token::Trc10(TokenId::BTT), amount);
//! let ref_block = RefBlock { bytes: [0; 2], hash: [1; 8] };
//! let now = UnixMs(1_795_363_320_609);
//! let draft = Draft::new(contract, ref_block, now, now);
//!
//! let prices = [("getTransactionFee", 1000)].map(|(name, sun)| (name.to_owned(), sun));
//! let mut situation = Situation::new(prices.into_iter().collect());
//! situation.resources = AccountResources { free_limit: 600, ..Default::default() };
//! let transaction = Transaction::from(draft.build());
//! let price = estimate(&transaction, 1, &situation)?;
//! assert_eq!((price.bandwidth, price.from), (281, Bucket::Free));
//! assert_eq!((price.total_sun, price.worst_case_sun), (Sun(0), Sun(281_000)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::{
    contract::{Contract, ContractType},
    keys::Signature,
    rpc::{AccountResources, Asset, ChainParameters, Finality, Node, NodeError, TransactionInfo},
    transaction::{MAX_RESULT_SIZE_IN_TX, Transaction, TransactionError},
};
use crate::types::{Address, Sun, Token, TokenId, UnixMs};

/// A day in slots of 3 s: the time in which used bandwidth recovers.
const DAY_SLOTS: i64 = 28_800;
/// Milliseconds in a slot.
const SLOT_MS: i64 = 3_000;
/// Averages are kept in millionths (`ChainConstant.PRECISION`).
const PRECISION: i64 = 1_000_000;

/// Who pays a transaction's bandwidth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// The issuer of the token that is sent, from his stake.
    Issuer,
    /// The sender's stake, or stake delegated to him.
    Staked,
    /// The sender's free points.
    Free,
    /// Nobody: TRX of the sender is burnt.
    Burnt,
}

impl Bucket {
    /// For people and programs: `issuer`, `staked`, `free`, `burnt`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Staked => "staked",
            Self::Free => "free",
            Self::Burnt => "burnt",
        }
    }
}

/// What a transaction will cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Its bandwidth in points: bytes with all signatures, plus 64.
    pub bandwidth: u64,
    /// Who pays them.
    pub from: Bucket,
    /// Burnt for bandwidth.
    pub burn_sun: Sun,
    /// Burnt for the account it makes.
    pub activation_sun: Sun,
    /// Burnt for the memo.
    pub memo_sun: Sun,
    /// Burnt because there is more than one signature.
    pub multisig_sun: Sun,
    /// Burnt for what the contract does: a permission update, a token issue.
    pub contract_sun: Sun,
    /// All that is burnt, if the bandwidth is still there when a block takes it.
    pub total_sun: Sun,
    /// All that is burnt at most, at today's prices: with no bandwidth left.
    pub worst_case_sun: Sun,
}

/// What an issuer offers a holder of his token, in points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IssuerBandwidth {
    /// Left of what he offers all holders together.
    pub public_left: u64,
    /// Left of what he offers this holder.
    pub holder_left: u64,
    /// Left of his stake.
    pub staked_left: u64,
}

impl IssuerBandwidth {
    fn covers(&self, bandwidth: u64) -> bool {
        bandwidth <= self.public_left
            && bandwidth <= self.holder_left
            && bandwidth <= self.staked_left
    }
}

/// What the price depends on besides the transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Situation {
    /// The chain's prices.
    pub parameters: ChainParameters,
    /// The sender's bandwidth.
    pub resources: AccountResources,
    /// What the issuer of the token offers, for a TRC-10 transfer.
    pub issuer: Option<IssuerBandwidth>,
    /// Whether the recipient does not exist yet.
    pub creates_account: bool,
}

impl Situation {
    /// No bandwidth anywhere, and a recipient that exists.
    pub fn new(parameters: ChainParameters) -> Self {
        Self {
            parameters,
            resources: AccountResources::default(),
            issuer: None,
            creates_account: false,
        }
    }

    /// Asks a node for all of it. The network-wide limit of free points
    /// (`getPublicNetLimit`) is in no node's answer; it has never been reached.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn read(node: &Node, contract: &Contract) -> Result<Self, NodeError> {
        let parameters = node.chain_parameters().await?;
        let mut situation = Self::new(parameters);
        let Ok(owner) = Address::from_bytes(contract.owner_address()) else {
            return Ok(situation);
        };
        situation.resources = node.resources(owner).await?;
        let recipient = match contract {
            Contract::AccountCreate(create) => Address::from_bytes(&create.account_address).ok(),
            other => other.as_transfer().map(|transfer| transfer.to),
        };
        if let Some(recipient) = recipient {
            let account = node.account(Finality::Head, recipient).await?;
            situation.creates_account = account.is_none();
        }
        if let Some(Token::Trc10(id)) = contract.as_transfer().map(|transfer| transfer.token) {
            situation.issuer = read_issuer(node, id, owner).await?;
        }
        Ok(situation)
    }

    /// Takes what an estimate uses out of its bucket, so that several transactions
    /// can be priced one after the other.
    pub fn spend(&mut self, estimate: &Estimate) {
        let points = estimate.bandwidth;
        match estimate.from {
            Bucket::Staked => {
                let used = &mut self.resources.staked_used;
                *used = used.saturating_add(points);
            }
            Bucket::Free => {
                let used = &mut self.resources.free_used;
                *used = used.saturating_add(points);
            }
            Bucket::Issuer => {
                if let Some(issuer) = &mut self.issuer {
                    issuer.public_left = issuer.public_left.saturating_sub(points);
                    issuer.holder_left = issuer.holder_left.saturating_sub(points);
                    issuer.staked_left = issuer.staked_left.saturating_sub(points);
                }
            }
            Bucket::Burnt => {}
        }
    }
}

/// What the issuer of `id` offers `holder` now; `None` where he offers nothing.
///
/// # Errors
/// See [`NodeError`].
pub async fn read_issuer(
    node: &Node,
    id: TokenId,
    holder: Address,
) -> Result<Option<IssuerBandwidth>, NodeError> {
    let Some(asset) = node.asset(id).await? else {
        return Ok(None);
    };
    if asset.free_limit == 0 || asset.public_free_limit == 0 {
        return Ok(None);
    }
    let genesis = node.block(Finality::Head, 0).await?;
    let head = node.head(Finality::Head).await?;
    let start = genesis.map_or(UnixMs(0), |block| block.header.timestamp);
    let slot = head.timestamp.0.saturating_sub(start.0) / SLOT_MS;
    let holder = node.resources_of_holder(holder, id).await?;
    let stake = node.resources(asset.owner).await?;
    Ok(Some(IssuerBandwidth {
        public_left: asset
            .public_free_limit
            .saturating_sub(public_usage(&asset, slot)),
        holder_left: asset.free_limit.saturating_sub(holder),
        staked_left: stake.staked_left(),
    }))
}

/// What all holders together have used of an issuer's offer, at `slot`: the node
/// gives it as it was when it was last used (`ResourceProcessor.increase`).
pub fn public_usage(asset: &Asset, slot: i64) -> u64 {
    let used = i64::try_from(asset.public_free_used).unwrap_or(i64::MAX);
    let average = i128::from(used) * i128::from(PRECISION);
    let average = (average + i128::from(DAY_SLOTS - 1)) / i128::from(DAY_SLOTS);
    let passed = slot.saturating_sub(asset.public_free_slot);
    let left = match passed {
        0 => average,
        1..DAY_SLOTS => {
            (average * i128::from(DAY_SLOTS - passed) + i128::from(DAY_SLOTS / 2))
                / i128::from(DAY_SLOTS)
        }
        // Longer ago than a day; or in the future, which no chain says.
        _ => 0,
    };
    u64::try_from(left * i128::from(DAY_SLOTS) / i128::from(PRECISION)).unwrap_or(u64::MAX)
}

/// A transaction, as far as its price goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Its contract; `None` for one that is not known.
    pub kind: Option<ContractType>,
    /// Its bandwidth in points: bytes with all signatures, plus 64.
    pub bandwidth: u64,
    /// How many signatures it has.
    pub signatures: usize,
    /// Whether it has a memo.
    pub memo: bool,
}

/// Prices a transaction as it will be with `signatures` signatures (those it has
/// count; the rest are taken to have 65 bytes each).
///
/// For a smart contract's call this is the bandwidth alone: its energy depends on
/// what the code does.
///
/// # Errors
/// Raw data that cannot be read, or not exactly one contract.
pub fn estimate(
    transaction: &Transaction,
    signatures: usize,
    situation: &Situation,
) -> Result<Estimate, TransactionError> {
    let raw = transaction.raw_data()?;
    let present = transaction.signatures().len();
    // Tag and length take two bytes more.
    let missing = signatures.saturating_sub(present) * (Signature::LEN + 2);
    let bytes = transaction.size_without_results() + missing + MAX_RESULT_SIZE_IN_TX;
    let item = Item {
        kind: ContractType::from_number(raw.contract()?.contract_type),
        bandwidth: u64::try_from(bytes).unwrap_or(u64::MAX),
        signatures: signatures.max(present),
        memo: !raw.memo.is_empty(),
    };
    Ok(price(&item, situation))
}

/// Prices what is known of a transaction.
pub fn price(item: &Item, situation: &Situation) -> Estimate {
    let Situation {
        parameters,
        resources,
        issuer,
        creates_account,
    } = situation;
    let (kind, bandwidth) = (item.kind, item.bandwidth);
    let may_create = matches!(
        kind,
        Some(ContractType::Transfer | ContractType::TransferAsset | ContractType::AccountCreate)
    );
    let creates = may_create && *creates_account;
    let per_byte = parameters.transaction_fee().0;
    let burnt = Sun(bandwidth.saturating_mul(per_byte));
    let (from, burn_sun, worst_burn) = if creates {
        let rate = parameters.fee("getCreateNewAccountBandwidthRate").0;
        let flat = parameters.create_account_fee();
        if bandwidth.saturating_mul(rate) <= resources.staked_left() {
            (Bucket::Staked, Sun(0), flat)
        } else {
            (Bucket::Burnt, flat, flat)
        }
    } else if kind == Some(ContractType::TransferAsset)
        && issuer.is_some_and(|issuer| issuer.covers(bandwidth))
    {
        (Bucket::Issuer, Sun(0), burnt)
    } else if bandwidth <= resources.staked_left() {
        (Bucket::Staked, Sun(0), burnt)
    } else if bandwidth <= resources.free_left() {
        (Bucket::Free, Sun(0), burnt)
    } else {
        (Bucket::Burnt, burnt, burnt)
    };

    let when = |charged: bool, fee: Sun| if charged { fee } else { Sun(0) };
    let activation_sun = when(creates, parameters.create_new_account_fee());
    let memo_sun = when(item.memo, parameters.memo_fee());
    let multisig_sun = when(item.signatures > 1, parameters.fee("getMultiSignFee"));
    let contract_sun = match kind {
        Some(ContractType::AccountPermissionUpdate) => {
            parameters.fee("getUpdateAccountPermissionFee")
        }
        Some(ContractType::AssetIssue) => parameters.fee("getAssetIssueFee"),
        Some(ContractType::WitnessCreate) => parameters.fee("getAccountUpgradeCost"),
        Some(ContractType::ExchangeCreate) => parameters.fee("getExchangeCreateFee"),
        Some(ContractType::MarketSellAsset) => parameters.fee("getMarketSellFee"),
        Some(ContractType::MarketCancelOrder) => parameters.fee("getMarketCancelFee"),
        _ => Sun(0),
    };
    let fixed = [activation_sun, memo_sun, multisig_sun, contract_sun];
    let sum = |burn: Sun| {
        Sun(fixed
            .iter()
            .fold(burn.0, |sum, fee| sum.saturating_add(fee.0)))
    };
    Estimate {
        bandwidth,
        from,
        burn_sun,
        activation_sun,
        memo_sun,
        multisig_sun,
        contract_sun,
        total_sun: sum(burn_sun),
        worst_case_sun: sum(worst_burn),
    }
}

/// A receipt beside what the transaction's own bytes cost by the chain's prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptCheck {
    /// The transaction's bandwidth in points, from its bytes.
    pub bandwidth: u64,
    /// Who paid them, by the receipt; `None` when it agrees with no way there is.
    pub paid_by: Option<Bucket>,
    /// Whether the fee is exactly that of one of the ways there are: bandwidth
    /// that covers it, or burnt.
    pub agrees: bool,
}

/// Compares the receipt of an included transaction with its bytes, at the prices
/// of `parameters`: those of the time of its block, if the chain has changed them
/// since.
///
/// # Errors
/// Raw data that cannot be read.
pub fn check_receipt(
    transaction: &Transaction,
    info: &TransactionInfo,
    parameters: &ChainParameters,
) -> Result<ReceiptCheck, TransactionError> {
    let signatures = transaction.signatures().len();
    let mut situation = Situation::new(parameters.clone());
    let burnt = estimate(transaction, signatures, &situation)?;
    situation.creates_account = true;
    let creates = estimate(transaction, signatures, &situation)?;
    let points = burnt.bandwidth;
    let fixed = |estimate: &Estimate| Sun(estimate.total_sun.0 - estimate.burn_sun.0);
    // Each way a node may have charged it: the fee, of which for bandwidth, and
    // the points taken. Whose points they were no receipt says.
    let ways = [
        (Bucket::Staked, fixed(&burnt), Sun(0), points),
        (Bucket::Burnt, burnt.total_sun, burnt.burn_sun, 0),
        (Bucket::Staked, fixed(&creates), Sun(0), points),
        (Bucket::Burnt, creates.total_sun, creates.burn_sun, 0),
    ];
    let kind = ContractType::from_number(transaction.raw_data()?.contract()?.contract_type);
    // What a smart contract's work cost is not in its bytes.
    let bytes_only = matches!(
        kind,
        None | Some(ContractType::TriggerSmart | ContractType::CreateSmart)
    );
    let way = ways.into_iter().find(|&(_, fee, net_fee, used)| {
        (bytes_only || fee == info.fee) && net_fee == info.net_fee && used == info.net_usage
    });
    Ok(ReceiptCheck {
        bandwidth: points,
        paid_by: way.map(|(bucket, ..)| bucket),
        agrees: way.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        tron::transaction::{Draft, RefBlock},
        types::{Decimals, RawAmount},
    };

    const PRICES: [(&str, i64); 7] = [
        ("getTransactionFee", 1_000),
        ("getCreateAccountFee", 100_000),
        ("getCreateNewAccountFeeInSystemContract", 1_000_000),
        ("getCreateNewAccountBandwidthRate", 1),
        ("getMemoFee", 1_000_000),
        ("getMultiSignFee", 1_000_000),
        ("getUpdateAccountPermissionFee", 100_000_000),
    ];

    fn situation(free_left: u64, staked_left: u64) -> Situation {
        let prices = PRICES.map(|(name, sun)| (name.to_owned(), sun));
        let mut situation = Situation::new(prices.into_iter().collect());
        situation.resources.free_limit = free_left;
        situation.resources.staked_limit = staked_left;
        situation
    }

    /// 281 points with one signature.
    fn transfer(memo: &str) -> Transaction {
        let contract = Contract::transfer(
            Address::ZERO,
            Address::from_body([1; 20]),
            Token::Trc10(TokenId::BTT),
            RawAmount::new(1_000_000).unwrap(),
        );
        let ref_block = RefBlock {
            bytes: [1; 2],
            hash: [1; 8],
        };
        let now = UnixMs(1_795_363_380_000);
        let mut draft = Draft::new(contract, ref_block, now, now);
        draft.memo = memo.as_bytes().to_vec();
        Transaction::from(draft.build())
    }

    fn price(situation: &Situation) -> (Bucket, u64, u64) {
        let estimate = estimate(&transfer(""), 1, situation).unwrap();
        assert_eq!(estimate.bandwidth, 281);
        (
            estimate.from,
            estimate.total_sun.0,
            estimate.worst_case_sun.0,
        )
    }

    #[test]
    fn bandwidth_comes_whole_from_the_first_bucket_that_has_it() {
        assert_eq!(price(&situation(600, 600)), (Bucket::Staked, 0, 281_000));
        assert_eq!(price(&situation(600, 280)), (Bucket::Free, 0, 281_000));
        assert_eq!(price(&situation(281, 0)), (Bucket::Free, 0, 281_000));
        // 280 + 280 would do, but buckets never combine.
        assert_eq!(
            price(&situation(280, 280)),
            (Bucket::Burnt, 281_000, 281_000)
        );
        let mut offered = situation(600, 600);
        offered.issuer = Some(IssuerBandwidth {
            public_left: 281,
            holder_left: 281,
            staked_left: 281,
        });
        assert_eq!(price(&offered), (Bucket::Issuer, 0, 281_000));
        for short in 0..3 {
            let mut issuer = offered.issuer.unwrap();
            *[
                &mut issuer.public_left,
                &mut issuer.holder_left,
                &mut issuer.staked_left,
            ][short] = 280;
            let mut offered = offered.clone();
            offered.issuer = Some(issuer);
            assert_eq!(price(&offered).0, Bucket::Staked);
        }
    }

    #[test]
    fn a_new_account_takes_no_free_bandwidth_and_costs_itself() {
        let mut new = situation(600, 0);
        new.creates_account = true;
        assert_eq!(price(&new), (Bucket::Burnt, 1_100_000, 1_100_000));
        new.resources.staked_limit = 281;
        assert_eq!(price(&new), (Bucket::Staked, 1_000_000, 1_100_000));
    }

    #[test]
    fn six_hundred_free_points_are_two_transfers() {
        let mut day = situation(600, 0);
        let mut buckets = Vec::new();
        for _ in 0..3 {
            let price = estimate(&transfer(""), 1, &day).unwrap();
            day.spend(&price);
            buckets.push(price.from);
        }
        assert_eq!(buckets, [Bucket::Free, Bucket::Free, Bucket::Burnt]);
    }

    #[test]
    fn a_memo_and_more_signatures_cost_bytes_and_a_fee_each() {
        let price = estimate(&transfer("0123456789"), 3, &situation(0, 0)).unwrap();
        assert_eq!(price.bandwidth, 281 + 12 + 2 * 67);
        assert_eq!(price.memo_sun, Sun(1_000_000));
        assert_eq!(price.multisig_sun, Sun(1_000_000));
        assert_eq!(price.total_sun, Sun(price.bandwidth * 1_000 + 2_000_000));
    }

    #[test]
    fn what_holders_used_recovers_over_a_day() {
        let asset = |public_free_used| Asset {
            id: TokenId::BTT,
            name: String::new(),
            abbr: String::new(),
            decimals: Decimals::BTT,
            owner: Address::ZERO,
            total_supply: RawAmount::ZERO,
            free_limit: 1,
            public_free_limit: 1,
            public_free_used,
            public_free_slot: 1_000,
            description: String::new(),
            url: String::new(),
        };
        assert_eq!(public_usage(&asset(28_800), 1_000), 28_800);
        assert_eq!(public_usage(&asset(28_800), 1_000 + 14_400), 14_400);
        assert_eq!(public_usage(&asset(28_800), 1_000 + 28_800), 0);
        assert_eq!(public_usage(&asset(0), 1_001), 0);
        let _ = public_usage(&asset(u64::MAX), i64::MAX);
    }
}
