//! What the node's answers say, each checked against what was asked.

use std::collections::BTreeMap;

use serde_json::Value;

use super::is_empty;
use crate::types::{Address, Decimals, RawAmount, Sun, TokenId, TxId, UnixMs};

/// An account that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its address.
    pub address: Address,
    /// TRX.
    pub balance: Sun,
    /// TRC-10 holdings by token id.
    pub tokens: BTreeMap<TokenId, RawAmount>,
    /// When it last did something (`latest_opration_time`); 0 never.
    pub latest_operation: UnixMs,
    /// Its name; empty for none. Cut to 300 characters, without control ones.
    pub name: String,
    /// What it has staked.
    pub stake: Stake,
    /// Whether it is a smart contract.
    pub is_contract: bool,
}

/// An account's stake, in sun.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stake {
    /// For bandwidth, and not lent.
    pub bandwidth: Sun,
    /// For energy, and not lent.
    pub energy: Sun,
    /// For bandwidth, lent to others.
    pub lent_bandwidth: Sun,
    /// For energy, lent to others.
    pub lent_energy: Sun,
    /// Stake of others that lend their bandwidth to it.
    pub borrowed_bandwidth: Sun,
    /// Stake of others that lend their energy to it.
    pub borrowed_energy: Sun,
    /// What is being unstaked, and when it can be withdrawn.
    pub unstaking: Vec<(Sun, UnixMs)>,
}

/// What stake gives on a chain, and an account's energy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StakeYield {
    /// Energy the account has a day.
    pub energy_limit: u64,
    /// Of it used.
    pub energy_used: u64,
    /// Bandwidth that all stake together gives a day, in points.
    pub total_bandwidth: u64,
    /// TRX staked for bandwidth by all.
    pub bandwidth_stake_trx: u64,
    /// Energy that all stake together gives a day.
    pub total_energy: u64,
    /// TRX staked for energy by all.
    pub energy_stake_trx: u64,
}

impl StakeYield {
    /// Whole TRX to stake for so many points of bandwidth a day, at today's stake
    /// of all others; `None` when nobody stakes.
    pub fn trx_for_bandwidth(&self, points: u64) -> Option<u64> {
        let needed = u128::from(points) * u128::from(self.bandwidth_stake_trx);
        let trx = needed.div_ceil(u128::from(
            Some(self.total_bandwidth).filter(|all| *all > 0)?,
        ));
        u64::try_from(trx)
            .ok()
            .filter(|_| self.bandwidth_stake_trx > 0)
    }
}

/// An account's bandwidth, in points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountResources {
    /// Free points a day.
    pub free_limit: u64,
    /// Of them used.
    pub free_used: u64,
    /// Points from stake.
    pub staked_limit: u64,
    /// Of them used.
    pub staked_used: u64,
}

impl AccountResources {
    /// Free points left.
    pub fn free_left(&self) -> u64 {
        self.free_limit.saturating_sub(self.free_used)
    }

    /// Staked points left.
    pub fn staked_left(&self) -> u64 {
        self.staked_limit.saturating_sub(self.staked_used)
    }
}

/// The chain's parameters, by the names `getchainparameters` gives them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChainParameters(BTreeMap<String, i64>);

impl ChainParameters {
    /// A parameter; the node leaves zero out.
    pub fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// A fee in sun; never negative.
    pub fn fee(&self, name: &str) -> Sun {
        Sun(u64::try_from(self.get(name)).unwrap_or(0))
    }

    /// Sun burnt per byte that no bandwidth covers.
    pub fn transaction_fee(&self) -> Sun {
        self.fee("getTransactionFee")
    }

    /// For the bandwidth of a transaction that makes an account.
    pub fn create_account_fee(&self) -> Sun {
        self.fee("getCreateAccountFee")
    }

    /// For making an account.
    pub fn create_new_account_fee(&self) -> Sun {
        self.fee("getCreateNewAccountFeeInSystemContract")
    }

    /// For a memo.
    pub fn memo_fee(&self) -> Sun {
        self.fee("getMemoFee")
    }
}

impl FromIterator<(String, i64)> for ChainParameters {
    fn from_iter<I: IntoIterator<Item = (String, i64)>>(parameters: I) -> Self {
        Self(parameters.into_iter().collect())
    }
}

/// A TRC-10 token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// Its id.
    pub id: TokenId,
    /// Its name.
    pub name: String,
    /// Its short name.
    pub abbr: String,
    /// Its decimals.
    pub decimals: Decimals,
    /// Who issued it.
    pub owner: Address,
    /// How much there is.
    pub total_supply: RawAmount,
    /// Bandwidth the issuer offers each holder.
    pub free_limit: u64,
    /// Bandwidth the issuer offers all holders together.
    pub public_free_limit: u64,
    /// Of that used, as it was at `public_free_slot`: it recovers over a day.
    pub public_free_used: u64,
    /// The slot since genesis in which it was last used.
    pub public_free_slot: i64,
    /// What the issuer says of it; cut to 300 characters, without control ones.
    pub description: String,
    /// Where he says more; likewise.
    pub url: String,
}

/// What became of a transaction that is in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionInfo {
    /// Its id.
    pub txid: TxId,
    /// The block that holds it.
    pub block: u64,
    /// That block's time.
    pub block_time: UnixMs,
    /// All that was burnt.
    pub fee: Sun,
    /// Bandwidth points used.
    pub net_usage: u64,
    /// Of the fee, for bandwidth.
    pub net_fee: Sun,
    /// False when the chain says FAILED.
    pub succeeded: bool,
    /// The node's words on a failure.
    pub message: String,
}

/// Why an answer is not believed.
type Doubt = String;

fn unsigned(object: &Value, name: &str) -> Result<u64, Doubt> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => value
            .as_u64()
            .ok_or_else(|| format!("`{name}` is {value}, not a count")),
    }
}

fn signed(object: &Value, name: &str) -> Result<i64, Doubt> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => value
            .as_i64()
            .ok_or_else(|| format!("`{name}` is {value}, not an integer")),
    }
}

fn text<'a>(object: &'a Value, name: &str) -> Result<&'a str, Doubt> {
    match object.get(name) {
        None => Ok(""),
        Some(value) => value
            .as_str()
            .ok_or_else(|| format!("`{name}` is not text")),
    }
}

fn address(object: &Value, name: &str) -> Result<Address, Doubt> {
    text(object, name)?
        .parse()
        .map_err(|error| format!("`{name}`: {error}"))
}

pub(super) fn account(answer: &Value, asked: Address) -> Result<Option<Account>, Doubt> {
    if is_empty(answer) {
        return Ok(None);
    }
    let echoed = address(answer, "address")?;
    if echoed != asked {
        return Err(format!("asked for account {asked}, it sent {echoed}"));
    }
    let mut tokens = BTreeMap::new();
    for entry in answer
        .get("assetV2")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let id: TokenId = text(entry, "key")?
            .parse()
            .map_err(|e| format!("`assetV2`: {e}"))?;
        let amount =
            RawAmount::new(signed(entry, "value")?).map_err(|e| format!("`assetV2`: {e}"))?;
        tokens.insert(id, amount);
    }
    Ok(Some(Account {
        address: asked,
        balance: Sun(unsigned(answer, "balance")?),
        tokens,
        latest_operation: UnixMs(signed(answer, "latest_opration_time")?),
        name: super::clip(text(answer, "account_name")?),
        stake: stake(answer)?,
        is_contract: text(answer, "type")? == "Contract",
    }))
}

/// The key of a witness's permission, which signs its blocks: its own if it never
/// changed it; `None` for an account that the node does not know.
pub(super) fn witness_key(answer: &Value, witness: Address) -> Result<Option<Address>, Doubt> {
    if account(answer, witness)?.is_none() {
        return Ok(None);
    }
    let Some(permission) = answer.get("witness_permission") else {
        return Ok(Some(witness));
    };
    let keys = permission.get("keys").and_then(Value::as_array);
    match keys.map(Vec::as_slice) {
        Some([key]) => address(key, "address").map(Some),
        _ => Err("`witness_permission` has not one key".to_owned()),
    }
}

fn stake(answer: &Value) -> Result<Stake, Doubt> {
    let none = Value::Null;
    let energy = answer.get("account_resource").unwrap_or(&none);
    let sun = |object: &Value, name: &str| unsigned(object, name).map(Sun);
    let mut stake = Stake {
        lent_bandwidth: sun(answer, "delegated_frozenV2_balance_for_bandwidth")?,
        borrowed_bandwidth: sun(answer, "acquired_delegated_frozenV2_balance_for_bandwidth")?,
        lent_energy: sun(energy, "delegated_frozenV2_balance_for_energy")?,
        borrowed_energy: sun(energy, "acquired_delegated_frozenV2_balance_for_energy")?,
        ..Stake::default()
    };
    let list = |name: &str| answer.get(name).and_then(Value::as_array);
    for entry in list("frozenV2").into_iter().flatten() {
        match text(entry, "type")? {
            "" | "BANDWIDTH" => stake.bandwidth = sun(entry, "amount")?,
            "ENERGY" => stake.energy = sun(entry, "amount")?,
            // TRON_POWER: votes without a resource.
            _ => {}
        }
    }
    for entry in list("unfrozenV2").into_iter().flatten() {
        let until = UnixMs(signed(entry, "unfreeze_expire_time")?);
        stake
            .unstaking
            .push((sun(entry, "unfreeze_amount")?, until));
    }
    Ok(stake)
}

pub(super) fn stake_yield(answer: &Value) -> Result<StakeYield, Doubt> {
    Ok(StakeYield {
        energy_limit: unsigned(answer, "EnergyLimit")?,
        energy_used: unsigned(answer, "EnergyUsed")?,
        total_bandwidth: unsigned(answer, "TotalNetLimit")?,
        bandwidth_stake_trx: unsigned(answer, "TotalNetWeight")?,
        total_energy: unsigned(answer, "TotalEnergyLimit")?,
        energy_stake_trx: unsigned(answer, "TotalEnergyWeight")?,
    })
}

pub(super) fn resources(answer: &Value) -> Result<AccountResources, Doubt> {
    Ok(AccountResources {
        free_limit: unsigned(answer, "freeNetLimit")?,
        free_used: unsigned(answer, "freeNetUsed")?,
        staked_limit: unsigned(answer, "NetLimit")?,
        staked_used: unsigned(answer, "NetUsed")?,
    })
}

/// What a holder used of the bandwidth offered with `token`, from
/// `getaccountresource`.
pub(super) fn holder_usage(answer: &Value, token: TokenId) -> Result<u64, Doubt> {
    let list = answer.get("assetNetUsed").and_then(Value::as_array);
    for entry in list.into_iter().flatten() {
        if text(entry, "key")?.parse() == Ok(token) {
            return unsigned(entry, "value");
        }
    }
    Ok(0)
}

pub(super) fn chain_parameters(answer: &Value) -> Result<ChainParameters, Doubt> {
    let list = answer
        .get("chainParameter")
        .and_then(Value::as_array)
        .ok_or("it sent no `chainParameter` list")?;
    list.iter()
        .map(|entry| Ok((text(entry, "key")?.to_owned(), signed(entry, "value")?)))
        .collect()
}

pub(super) fn asset(answer: &Value, asked: TokenId) -> Result<Option<Asset>, Doubt> {
    if is_empty(answer) {
        return Ok(None);
    }
    let asset = one_asset(answer)?;
    if asset.id != asked {
        return Err(format!("asked for token {asked}, it sent `{}`", asset.id));
    }
    Ok(Some(asset))
}

/// A list of tokens: at most `most`, each once, all of `issuer` if one is given.
pub(super) fn assets(
    answer: &Value,
    most: usize,
    issuer: Option<Address>,
) -> Result<Vec<Asset>, Doubt> {
    let list = match answer.get("assetIssue") {
        None => return Ok(Vec::new()),
        Some(list) => list.as_array().ok_or("`assetIssue` is no list")?,
    };
    if list.len() > most {
        return Err(format!("asked for {most} tokens, it sent {}", list.len()));
    }
    let mut ids = std::collections::BTreeSet::new();
    let mut assets = Vec::with_capacity(list.len());
    for entry in list {
        let asset = one_asset(entry)?;
        if !ids.insert(asset.id) {
            return Err(format!("it sent token {} twice", asset.id));
        }
        if issuer.is_some_and(|issuer| issuer != asset.owner) {
            return Err(format!("token {} is {}'s", asset.id, asset.owner));
        }
        assets.push(asset);
    }
    Ok(assets)
}

fn one_asset(answer: &Value) -> Result<Asset, Doubt> {
    Ok(Asset {
        id: text(answer, "id")?
            .parse()
            .map_err(|error| format!("`id`: {error}"))?,
        name: super::clip(text(answer, "name")?),
        abbr: super::clip(text(answer, "abbr")?),
        decimals: Decimals::new(signed(answer, "precision")?).map_err(|e| e.to_string())?,
        owner: address(answer, "owner_address")?,
        total_supply: RawAmount::new(signed(answer, "total_supply")?).map_err(|e| e.to_string())?,
        free_limit: unsigned(answer, "free_asset_net_limit")?,
        public_free_limit: unsigned(answer, "public_free_asset_net_limit")?,
        public_free_used: unsigned(answer, "public_free_asset_net_usage")?,
        public_free_slot: signed(answer, "public_latest_free_net_time")?,
        description: super::clip(text(answer, "description")?),
        url: super::clip(text(answer, "url")?),
    })
}

pub(super) fn transaction_info(
    answer: &Value,
    asked: TxId,
) -> Result<Option<TransactionInfo>, Doubt> {
    if is_empty(answer) {
        return Ok(None);
    }
    let info = one_info(answer)?;
    if info.txid != asked {
        return Err(format!(
            "asked for transaction {asked}, it sent {}",
            info.txid
        ));
    }
    Ok(Some(info))
}

pub(super) fn transaction_infos(answer: &Value) -> Result<BTreeMap<TxId, TransactionInfo>, Doubt> {
    let list = answer
        .as_array()
        .ok_or("it sent no list of transaction infos")?;
    list.iter()
        .map(|info| one_info(info).map(|info| (info.txid, info)))
        .collect()
}

fn one_info(answer: &Value) -> Result<TransactionInfo, Doubt> {
    let none = Value::Null;
    let receipt = answer.get("receipt").unwrap_or(&none);
    let message = hex::decode(text(answer, "resMessage")?).unwrap_or_default();
    Ok(TransactionInfo {
        txid: text(answer, "id")?
            .parse()
            .map_err(|error| format!("`id`: {error}"))?,
        block: unsigned(answer, "blockNumber")?,
        block_time: UnixMs(signed(answer, "blockTimeStamp")?),
        fee: Sun(unsigned(answer, "fee")?),
        net_usage: unsigned(receipt, "net_usage")?,
        net_fee: Sun(unsigned(receipt, "net_fee")?),
        succeeded: match text(answer, "result")? {
            "" | "SUCESS" => true,
            "FAILED" => false,
            other => return Err(format!("`result` is `{}`", super::clip(other))),
        },
        message: super::clip(&String::from_utf8_lossy(&message)),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn recorded(name: &str) -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/tron")
            .join(name);
        let mut case: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        case["response"].take()
    }

    const BTT: i64 = 1_000_001;

    #[test]
    fn recorded_accounts_are_read_and_others_refused() {
        let asked: Address = "TCo75zcxTuWn5nnFqZUeK5socdVnG11f2T".parse().unwrap();
        let answer = recorded("04-getaccount-activated-visible.json");
        let account_read = account(&answer, asked).unwrap().unwrap();
        assert_eq!(account_read.balance, Sun(1_000_000_070));
        let token = TokenId::new(BTT).unwrap();
        assert_eq!(
            account_read.tokens.get(&token),
            Some(&RawAmount::new(124_456).unwrap())
        );
        assert!(account(&answer, Address::ZERO).is_err());
        assert_eq!(
            account(&recorded("04-getaccount-non-existing.json"), asked),
            Ok(None)
        );
    }

    #[test]
    fn recorded_infos_resources_assets_and_parameters_are_read() {
        let answer = recorded("03-trc10-gettransactioninfobyid-visible.json");
        let txid = "1ea4d26b4ae5b034374b75b8543e7a6177a6612e50c864cf3f0a5a7acf2cdb27";
        let info = transaction_info(&answer, txid.parse().unwrap())
            .unwrap()
            .unwrap();
        assert_eq!(
            (info.block, info.fee, info.succeeded),
            (169, Sun(282_000), true)
        );
        assert!(transaction_info(&answer, TxId::from_bytes([0; 32])).is_err());

        let read = resources(&recorded("04-getaccountresource-frozen-visible.json")).unwrap();
        assert_eq!(
            (read.free_left(), read.staked_left()),
            (45, 43_200_000_000 - 254)
        );

        let asked = TokenId::new(BTT).unwrap();
        let answer = recorded("02-getassetissuebyid.json");
        // Not visible: the owner is hex, which an address is read from as well.
        let read = asset(&answer, asked).unwrap().unwrap();
        assert_eq!(read.decimals, Decimals::BTT);
        assert_eq!(
            read.total_supply,
            RawAmount::new(990_000_000_000_000_000).unwrap()
        );
        assert!(asset(&answer, TokenId::BTT).is_err());

        let parameters = chain_parameters(&recorded("01-getchainparameters.json")).unwrap();
        assert_eq!(parameters.transaction_fee(), Sun(1000));
        assert_eq!(parameters.get("getAllowPBFT"), 0);
    }

    #[test]
    fn recorded_stakes_and_lists_of_tokens_are_read() {
        let asked: Address = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC".parse().unwrap();
        let read = account(&recorded("04-getaccount-frozen-visible.json"), asked);
        let read = read.unwrap().unwrap();
        assert_eq!(read.name, "Zion");
        assert_eq!(read.stake.bandwidth, Sun(1_000_000_000_000));
        assert_eq!(read.stake.energy, Sun(2_000_000_000_000));
        let given = stake_yield(&recorded("04-getaccountresource-frozen-visible.json")).unwrap();
        assert_eq!(given.energy_limit, 180_000_000_000);
        // 43,200 points for each of the million TRX that are staked.
        assert_eq!(given.trx_for_bandwidth(43_201), Some(2));
        assert_eq!(StakeYield::default().trx_for_bandwidth(1), None);

        let answer = recorded("02-getpaginatedassetissuelist-visible.json");
        let listed = assets(&answer, 1, None).unwrap();
        assert_eq!(listed.first().unwrap().id, TokenId::new(BTT).unwrap());
        assert!(assets(&answer, 0, None).is_err());
        assert!(assets(&answer, 1, Some(Address::ZERO)).is_err());
    }

    #[test]
    fn a_failed_contract_call_is_a_failure() {
        let answer = recorded("07-triggersmartcontract-revert-info.json");
        let txid = answer["id"].as_str().unwrap().parse().unwrap();
        assert!(!transaction_info(&answer, txid).unwrap().unwrap().succeeded);
    }

    #[test]
    fn floats_are_refused() {
        assert!(unsigned(&serde_json::json!({ "balance": 1.0 }), "balance").is_err());
        assert!(unsigned(&serde_json::json!({ "balance": -1 }), "balance").is_err());
    }
}
