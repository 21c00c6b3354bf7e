//! One answer of the forked chain as the state file keeps it, and what it must be to be believed,
//! whether it comes from a node or from a file.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    devnet::{
        state::{Account, FrozenSupply, Resource, Unfreezing},
        vm::{Code, ContractEnergy},
    },
    tron::{
        contract::{AssetIssueContract, Message, Permission, SmartContract},
        keys::keccak256,
    },
    types::{Address, UnixMs},
};

/// Why something read is not believed.
pub(super) type Doubt = String;

/// An account as it is on the forked chain. What it has used of bandwidth and energy, its votes
/// and its rewards are left there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Held {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name_hex: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) account_id_hex: String,
    /// Normal 0, AssetIssue 1, Contract 2.
    pub(super) kind: i32,
    pub(super) balance_sun: i64,
    /// Raw units by token id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tokens: BTreeMap<i64, i64>,
    pub(super) create_time_ms: i64,
    pub(super) latest_operation_ms: i64,
    /// Permissions as protobuf has them, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) active: Vec<String>,
    /// A resource's number and how much is staked for it, sun.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) staked: Vec<(i32, i64)>,
    /// A resource's number, an amount and when it can be withdrawn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) unstaking: Vec<(i32, i64, i64)>,
    /// Bandwidth and energy: stake that is delegated to others, sun.
    pub(super) delegated: (i64, i64),
    /// And by others.
    pub(super) acquired: (i64, i64),
    /// The name in hex and the id of the token it issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) issued: Option<(String, i64)>,
    /// Supply of that token which waits, and until when.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) frozen_supply: Vec<(i64, i64)>,
}

pub(super) fn bytes(digits: &str) -> Result<Vec<u8>, Doubt> {
    hex::decode(digits).map_err(|_| "hex with a character that is no digit of it".to_owned())
}

/// Adds up amounts of which none is negative; `None` if no chain can hold their sum.
fn sum(amounts: impl IntoIterator<Item = i64>) -> Result<i64, Doubt> {
    amounts.into_iter().try_fold(0i64, |sum, amount| {
        if amount < 0 {
            return Err(format!("a negative amount, {amount}"));
        }
        sum.checked_add(amount)
            .ok_or_else(|| "amounts whose sum is more than a chain can hold".to_owned())
    })
}

fn message<M: Message>(digits: &str) -> Result<M, Doubt> {
    M::decode(&bytes(digits)?).map_err(|error| error.to_string())
}

fn permission(digits: &str) -> Result<Arc<Permission>, Doubt> {
    let permission: Permission = message(digits)?;
    for key in &permission.keys {
        Address::from_bytes(&key.address).map_err(|error| error.to_string())?;
        if key.weight < 0 {
            return Err(format!("a key with the negative weight {}", key.weight));
        }
    }
    Ok(Arc::new(permission))
}

fn resource(number: i32) -> Result<Resource, Doubt> {
    Resource::from_number(number).ok_or_else(|| format!("no resource has the number {number}"))
}

fn number_of(resource: Resource) -> i32 {
    match resource {
        Resource::Bandwidth => 0,
        Resource::Energy => 1,
        Resource::TronPower => 2,
    }
}

impl Held {
    /// The account, once every number in it is one that a chain can have.
    pub(super) fn account(&self, address: Address) -> Result<Account, Doubt> {
        let staked = self.staked.iter().map(|(_, amount)| *amount);
        let unstaking = self.unstaking.iter().map(|(_, amount, _)| *amount);
        sum(staked.chain(unstaking).chain([
            self.balance_sun,
            self.delegated.0,
            self.delegated.1,
            self.acquired.0,
            self.acquired.1,
        ]))?;
        sum(self.frozen_supply.iter().map(|(amount, _)| *amount))?;
        for (id, amount) in &self.tokens {
            if *id <= 0 || *amount < 0 {
                return Err(format!("{amount} of the token {id}"));
            }
        }
        if !(0..=2).contains(&self.kind) {
            return Err(format!("an account of the kind {}", self.kind));
        }
        let times = self.unstaking.iter().map(|(_, _, time)| *time);
        let times = times.chain(self.frozen_supply.iter().map(|(_, time)| *time));
        for time in times.chain([self.create_time_ms, self.latest_operation_ms]) {
            if time < 0 {
                return Err(format!("the negative time {time}"));
            }
        }
        let issued = match &self.issued {
            Some((name, id)) if *id > 0 => Some((bytes(name)?, *id)),
            Some((_, id)) => return Err(format!("an issued token with the id {id}")),
            None => None,
        };
        Ok(Account {
            account_id: bytes(&self.account_id_hex)?,
            kind: self.kind,
            assets: self
                .tokens
                .iter()
                .filter(|(_, amount)| **amount != 0)
                .map(|(id, amount)| (*id, *amount))
                .collect(),
            create_time: UnixMs(self.create_time_ms),
            latest_operation: UnixMs(self.latest_operation_ms),
            owner_permission: self.owner.as_deref().map(permission).transpose()?,
            active_permissions: self
                .active
                .iter()
                .map(|digits| permission(digits))
                .collect::<Result<_, _>>()?,
            frozen: self
                .staked
                .iter()
                .map(|(number, amount)| Ok((resource(*number)?, *amount)))
                .collect::<Result<_, Doubt>>()?,
            unfreezing: self
                .unstaking
                .iter()
                .map(|(number, amount, time)| {
                    Ok(Unfreezing {
                        resource: resource(*number)?,
                        amount: *amount,
                        expire: UnixMs(*time),
                    })
                })
                .collect::<Result<_, Doubt>>()?,
            delegated: self.delegated,
            acquired: self.acquired,
            issued,
            frozen_supply: self
                .frozen_supply
                .iter()
                .map(|(amount, time)| FrozenSupply {
                    amount: *amount,
                    expire: UnixMs(*time),
                })
                .collect(),
            ..Account::genesis(address, &bytes(&self.name_hex)?, self.balance_sun)
        })
    }

    /// The same, of an account that came from here.
    pub(super) fn of(account: &Account) -> Self {
        let permission =
            |permission: &Arc<Permission>| hex::encode(Message::encode(permission.as_ref()));
        Self {
            name_hex: hex::encode(&account.name),
            account_id_hex: hex::encode(&account.account_id),
            kind: account.kind,
            balance_sun: account.balance,
            tokens: account.assets.clone(),
            create_time_ms: account.create_time.0,
            latest_operation_ms: account.latest_operation.0,
            owner: account.owner_permission.as_ref().map(permission),
            active: account.active_permissions.iter().map(permission).collect(),
            staked: account
                .frozen
                .iter()
                .map(|(resource, amount)| (number_of(*resource), *amount))
                .collect(),
            unstaking: account
                .unfreezing
                .iter()
                .map(|entry| (number_of(entry.resource), entry.amount, entry.expire.0))
                .collect(),
            delegated: account.delegated,
            acquired: account.acquired,
            issued: account
                .issued
                .as_ref()
                .map(|(name, id)| (hex::encode(name), *id)),
            frozen_supply: account
                .frozen_supply
                .iter()
                .map(|supply| (supply.amount, supply.expire.0))
                .collect(),
        }
    }
}

/// A contract as it is on the forked chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deployed {
    /// `SmartContract` as protobuf has it, in hex.
    pub(super) contract: String,
    /// In hex.
    pub(super) code: String,
    /// What its energy costs beyond the usual, in parts of 10,000.
    pub(super) energy_factor: i64,
    /// The devnet's maintenance cycle when that was read.
    pub(super) cycle: i64,
}

/// The largest energy factor taken, in parts of 10,000: ten times what the chain parameter
/// `getDynamicEnergyMaxFactor` may be.
const MAX_FACTOR: i64 = 1_000_000;

/// A contract that was read.
#[derive(Debug)]
pub(super) struct Contract {
    pub(super) contract: Arc<SmartContract>,
    pub(super) code: Option<Arc<Code>>,
    pub(super) energy: ContractEnergy,
}

impl Deployed {
    pub(super) fn contract(&self, address: Address) -> Result<Contract, Doubt> {
        let contract: SmartContract = message(&self.contract)?;
        if contract.contract_address != address.to_bytes() {
            let other = hex::encode(&contract.contract_address);
            return Err(format!("the contract at another address, {other}"));
        }
        Address::from_bytes(&contract.origin_address).map_err(|error| error.to_string())?;
        let numbers = [
            contract.consume_user_resource_percent,
            contract.origin_energy_limit,
            contract.call_value,
            self.energy_factor,
            self.cycle,
        ];
        if let Some(number) = numbers.iter().find(|number| **number < 0) {
            return Err(format!("a negative number, {number}"));
        }
        if self.energy_factor > MAX_FACTOR {
            return Err(format!("the energy factor {}", self.energy_factor));
        }
        if contract.version != 0 {
            return Err(format!(
                "a contract of version {}, whose storage is laid out in another way",
                contract.version
            ));
        }
        let code = bytes(&self.code)?;
        if !contract.code_hash.is_empty() && contract.code_hash != keccak256(&code) {
            return Err("code that has not the contract's code hash".to_owned());
        }
        Ok(Contract {
            contract: Arc::new(contract),
            code: (!code.is_empty()).then(|| Code::new(code)),
            energy: ContractEnergy {
                cycle: self.cycle,
                usage: 0,
                factor: self.energy_factor,
            },
        })
    }
}

/// One answer of the forked chain, as the state file keeps it. That something is not there is
/// an answer, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Answer {
    Account {
        address: Address,
        found: Option<Box<Held>>,
    },
    Token {
        id: i64,
        /// `AssetIssueContract` as protobuf has it, in hex.
        found: Option<String>,
    },
    Contract {
        address: Address,
        found: Option<Deployed>,
    },
    Slot {
        address: Address,
        /// Both in hex.
        row: String,
        value: String,
    },
}

/// A token, once every number in it is one that a chain can have.
pub(super) fn token(id: i64, digits: &str) -> Result<AssetIssueContract, Doubt> {
    let token: AssetIssueContract = message(digits)?;
    if token.id != id.to_string() {
        return Err(format!("the token {}", token.id.escape_debug()));
    }
    Address::from_bytes(&token.owner_address).map_err(|error| error.to_string())?;
    let numbers = [
        token.total_supply,
        token.start_time,
        token.end_time,
        token.free_asset_net_limit,
        token.public_free_asset_net_limit,
    ];
    if let Some(number) = numbers.iter().find(|number| **number < 0) {
        return Err(format!("a negative number, {number}"));
    }
    if token.num < 1 || token.trx_num < 1 || !(0..=6).contains(&token.precision) {
        return Err("a price or decimals that no token has".to_owned());
    }
    Ok(AssetIssueContract {
        // Counted in slots of the other chain.
        public_free_asset_net_usage: 0,
        public_latest_free_net_time: 0,
        ..token
    })
}
