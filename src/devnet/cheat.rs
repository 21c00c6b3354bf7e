//! Cheats: changes of the chain that no transaction makes. They are data, so
//! that a state file can hold them beside the blocks.

use serde::{Deserialize, Serialize};

use crate::{
    devnet::{
        fork::ForkError,
        genesis::{self, trc20_owner},
        history,
        params::ParameterError,
        state::{Account, State, Usage},
        trc20::{Trc20, Trc20Error},
        vm::{CONTRACT, Code, Word, storage_row as row},
    },
    tron::contract::SmartContract,
    types::{Address, UnixMs},
};

/// A cheat that cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheatError {
    /// Negative, or more than an account can hold.
    #[error(
        "{amount} cannot be given to {address}: it holds {held}, and the most is {}",
        i64::MAX
    )]
    Amount {
        /// To whom.
        address: Address,
        /// What was to be given, in the smallest unit.
        amount: i64,
        /// What is there.
        held: i64,
    },
    /// No such token on this chain.
    #[error("there is no token {0} on this chain")]
    Token(i64),
    /// A chain parameter that does not exist, or a value it cannot have.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// A field that cannot be negative.
    #[error("{field} of {address} cannot be {value}: it is from 0 on")]
    Negative {
        /// Whose.
        address: Address,
        /// Which.
        field: &'static str,
        /// What was given.
        value: i64,
    },
    /// No word of 32 bytes.
    #[error("`{0}` is not a 256-bit word: write at most 64 hex digits")]
    Word(String),
    /// Code that is no hex, or too long.
    #[error("the code for {0} is not hex of at most 1 MiB")]
    Code(Address),
    /// A token that cannot be deployed.
    #[error(transparent)]
    Trc20(#[from] Trc20Error),
    /// The state that was to be loaded is none, or the one to be dumped is no
    /// longer there.
    #[error("{0}")]
    State(String),
    /// What it changes could not be read from the forked chain.
    #[error(transparent)]
    Fork(#[from] ForkError),
    /// The state file cannot be written; the node makes no blocks any more.
    #[error("the state file cannot be written: the devnet has stopped")]
    Stopped,
}

/// Fields of an account to be set; those that are not given stay.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountFields {
    /// TRX, in sun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance_sun: Option<i64>,
    /// A token's id, and how many raw units of it are held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<(i64, i64)>,
    /// The account's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free bandwidth used, in bytes, as of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_net_used: Option<i64>,
    /// Staked bandwidth used, in bytes, as of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net_used: Option<i64>,
    /// When it last signed something, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_operation_ms: Option<i64>,
}

/// A change made by hand at the head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Cheat {
    /// TRX (`token` none) or a token out of nothing; the account is created if
    /// need be.
    Fund {
        address: Address,
        token: Option<i64>,
        amount: i64,
    },
    SetAccount {
        address: Address,
        fields: AccountFields,
    },
    SetParameter {
        name: String,
        value: i64,
    },
    /// Transactions may refer to this block, as if it were a recent one.
    Reference {
        bytes: [u8; 2],
        hash: [u8; 8],
    },
    /// Transactions of these accounts need no valid signature.
    Unlock {
        addresses: Vec<Address>,
    },
    /// They need one again.
    Lock {
        addresses: Vec<Address>,
    },
    /// Code at an address, in hex; it becomes a contract if it is none.
    SetCode {
        address: Address,
        code: String,
    },
    /// A word of a contract's storage; both in hex.
    SetStorage {
        address: Address,
        slot: String,
        value: String,
    },
    /// A TRC-20 token of our own; all of it is the holder's.
    Trc20 {
        token: Trc20,
        holder: Address,
    },
}

impl Cheat {
    /// Changes the state; nothing is changed when it cannot be done.
    pub(crate) fn apply(&self, state: &mut State) -> Result<(), CheatError> {
        match self {
            Self::Fund {
                address,
                token,
                amount,
            } => fund(state, *address, *token, *amount),
            Self::SetAccount { address, fields } => set_account(state, *address, fields),
            Self::SetParameter { name, value } => {
                let mut parameters = state.parameters.as_ref().clone();
                parameters.set(name, *value)?;
                state.parameters = std::sync::Arc::new(parameters);
                history::install(state);
                Ok(())
            }
            Self::Reference { bytes, hash } => {
                state.put_reference(*bytes, *hash);
                Ok(())
            }
            Self::Unlock { addresses } => {
                for address in addresses {
                    state.unlock(*address);
                }
                Ok(())
            }
            Self::SetCode { address, code } => set_code(state, *address, code),
            Self::SetStorage {
                address,
                slot,
                value,
            } => {
                let (slot, value) = (word(slot)?, word(value)?);
                state.put_storage(*address, row(&slot), value);
                Ok(())
            }
            Self::Trc20 { token, holder } => {
                let owner = trc20_owner();
                let contract = token.contract(owner, &[*holder]);
                let txid = genesis::transaction(&contract.clone().into()).txid();
                token.deploy(state, owner, &contract, txid)?;
                Ok(())
            }
            Self::Lock { addresses } => {
                for address in addresses {
                    state.lock(address);
                }
                Ok(())
            }
        }
    }
}

/// A word in hex, with or without `0x`.
fn word(text: &str) -> Result<Word, CheatError> {
    let digits = text.trim().trim_start_matches("0x");
    Word::from_str_radix(digits, 16)
        .ok()
        .filter(|_| !digits.is_empty())
        .ok_or_else(|| CheatError::Word(text.chars().take(80).collect()))
}

/// The longest code that is set by hand, bytes.
const MAX_CODE: usize = 1 << 20;

fn set_code(state: &mut State, address: Address, code: &str) -> Result<(), CheatError> {
    let digits = code.trim().trim_start_matches("0x");
    let bytes = hex::decode(digits)
        .ok()
        .filter(|bytes| bytes.len() <= MAX_CODE)
        .ok_or(CheatError::Code(address))?;
    let account = Account {
        kind: CONTRACT,
        ..account(state, address)
    };
    state.put_account(account);
    if state.contract(&address).is_none() {
        let contract = SmartContract {
            origin_address: address.to_bytes().to_vec(),
            contract_address: address.to_bytes().to_vec(),
            consume_user_resource_percent: 100,
            ..SmartContract::default()
        };
        state.put_new_contract(address, contract);
    }
    state.save_code(address, Code::new(bytes));
    Ok(())
}

/// The account, or a new one that is not in the state yet.
fn account(state: &State, address: Address) -> Account {
    match state.account(&address) {
        Some(account) => account.as_ref().clone(),
        None => Account::created(address, &state.properties),
    }
}

fn fund(
    state: &mut State,
    address: Address,
    token: Option<i64>,
    amount: i64,
) -> Result<(), CheatError> {
    if let Some(id) = token
        && state.asset(id).is_none()
    {
        return Err(CheatError::Token(id));
    }
    let mut account = account(state, address);
    let held = token.map_or(account.balance, |id| account.asset(id));
    let sum = held.checked_add(amount).filter(|_| amount >= 0);
    let Some(sum) = sum else {
        return Err(CheatError::Amount {
            address,
            amount,
            held,
        });
    };
    match token {
        Some(id) => account.set_asset(id, sum),
        None => {
            account.balance = sum;
            state.properties.minted = state.properties.minted.saturating_add(amount);
        }
    }
    state.put_account(account);
    Ok(())
}

fn set_account(
    state: &mut State,
    address: Address,
    fields: &AccountFields,
) -> Result<(), CheatError> {
    let check = |field, value: Option<i64>| match value {
        Some(value) if value < 0 => Err(CheatError::Negative {
            address,
            field,
            value,
        }),
        value => Ok(value),
    };
    let mut account = account(state, address);
    let slot = state.head_slot();
    let mut minted = 0;
    if let Some(sun) = check("balance_sun", fields.balance_sun)? {
        minted = sun.saturating_sub(account.balance);
        account.balance = sun;
    }
    if let Some((id, amount)) = fields.token {
        if state.asset(id).is_none() {
            return Err(CheatError::Token(id));
        }
        check("token", Some(amount))?;
        account.set_asset(id, amount);
    }
    if let Some(name) = &fields.name {
        account.name = name.clone().into_bytes();
    }
    if let Some(used) = check("free_net_used", fields.free_net_used)? {
        account.free_net = Usage { used, slot };
    }
    if let Some(used) = check("net_used", fields.net_used)? {
        account.net.usage = Usage { used, slot };
    }
    if let Some(ms) = check("latest_operation_ms", fields.latest_operation_ms)? {
        account.latest_operation = UnixMs(ms);
    }
    state.properties.minted = state.properties.minted.saturating_add(minted);
    state.put_account(account);
    Ok(())
}
