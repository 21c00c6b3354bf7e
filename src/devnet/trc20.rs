//! A TRC-20 token of our own (`trc20/Token.sol`), for tests: deployed at genesis, or later
//! by hand.

use std::{str::FromStr, sync::LazyLock};

use serde::{Deserialize, Serialize};

use crate::{
    devnet::{
        execute::{Slot, created_address},
        state::{Account, State},
        vm::{self, CONTRACT, Code, Ended, Env, Program},
    },
    tron::contract::{Abi, AbiEntry, AbiParam, CreateSmartContract, SmartContract},
    types::{Address, TxId},
};

/// What each holder gets, in whole tokens.
const EACH: u128 = 1_000_000_000;
/// Characters of a symbol.
const MAX_SYMBOL: usize = 32;
/// Decimals that an amount of 256 bits has room for, with what each holder gets.
const MAX_DECIMALS: u8 = 36;
/// Far more than the constructor uses for a thousand holders.
const ENERGY: i64 = 1_000_000_000;

/// A TRC-20 token to be deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trc20 {
    symbol: String,
    decimals: u8,
}

/// A text that names no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trc20Error {
    /// Not a symbol, a colon and decimals.
    #[error("`{0}` is not a TRC-20 token: write its symbol and decimals, such as USDT:6")]
    Form(String),
    /// A symbol of nothing, too long, or of other characters.
    #[error("`{0}` is not a token symbol: it must be 1 to {MAX_SYMBOL} letters and digits")]
    Symbol(String),
    /// More decimals than there is room for.
    #[error("a token of the devnet has at most {MAX_DECIMALS} decimals, not {0}")]
    Decimals(u8),
    /// It is there already.
    #[error("{symbol} with {decimals} decimals is there already, at {address}")]
    Exists {
        /// Its symbol.
        symbol: String,
        /// Its decimals.
        decimals: u8,
        /// Its address.
        address: Address,
    },
    /// Its constructor did not end well.
    #[error("{0} could not be deployed: {1}")]
    Failed(String, String),
}

impl Trc20 {
    /// A token.
    ///
    /// # Errors
    /// A symbol that is none, or too many decimals.
    pub fn new(symbol: &str, decimals: u8) -> Result<Self, Trc20Error> {
        let is_plain = symbol.chars().all(|c| c.is_ascii_alphanumeric());
        if !is_plain || !(1..=MAX_SYMBOL).contains(&symbol.len()) {
            let shown = symbol.chars().take(40).collect();
            return Err(Trc20Error::Symbol(shown));
        }
        if decimals > MAX_DECIMALS {
            return Err(Trc20Error::Decimals(decimals));
        }
        Ok(Self {
            symbol: symbol.to_owned(),
            decimals,
        })
    }

    /// Its symbol.
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// Its decimals.
    pub const fn decimals(&self) -> u8 {
        self.decimals
    }

    /// The transaction's contract that deploys it for an owner.
    pub(crate) fn contract(&self, owner: Address, holders: &[Address]) -> CreateSmartContract {
        let mut bytecode = COMPILED.1.clone();
        bytecode.extend(self.arguments(holders));
        CreateSmartContract {
            owner_address: owner.to_bytes().to_vec(),
            new_contract: Some(SmartContract {
                origin_address: owner.to_bytes().to_vec(),
                abi: Some(COMPILED.0.clone()),
                bytecode,
                consume_user_resource_percent: 100,
                name: self.symbol.clone(),
                origin_energy_limit: 10_000_000,
                ..SmartContract::default()
            }),
            ..CreateSmartContract::default()
        }
    }

    /// The constructor's arguments: name, symbol, decimals, what each holder gets, holders.
    fn arguments(&self, holders: &[Address]) -> Vec<u8> {
        fn number(words: &mut Vec<u8>, number: u128) {
            words.extend([0; 16]);
            words.extend(number.to_be_bytes());
        }
        // A symbol fits one word.
        let text = |words: &mut Vec<u8>| {
            number(words, u128::try_from(self.symbol.len()).unwrap_or_default());
            let mut padded = [0; 32];
            for (place, byte) in padded.iter_mut().zip(self.symbol.bytes()) {
                *place = byte;
            }
            words.extend(padded);
        };
        let each = vm::power_of_ten(self.decimals, EACH);
        let mut words = Vec::new();
        number(&mut words, 160);
        number(&mut words, 224);
        number(&mut words, self.decimals.into());
        words.extend(each);
        number(&mut words, 288);
        text(&mut words);
        text(&mut words);
        number(
            &mut words,
            u128::try_from(holders.len()).unwrap_or_default(),
        );
        for holder in holders {
            words.extend([0; 12]);
            words.extend(holder.body());
        }
        words
    }

    /// Puts it into a state, as if a transaction of this id had made it.
    pub(crate) fn deploy(
        &self,
        state: &mut State,
        owner: Address,
        contract: &CreateSmartContract,
        txid: TxId,
    ) -> Result<Address, Trc20Error> {
        let at = created_address(&txid, &contract.owner_address);
        if state.account(&at).is_some() {
            return Err(Trc20Error::Exists {
                symbol: self.symbol.clone(),
                decimals: self.decimals,
                address: at,
            });
        }
        let new = contract.new_contract.clone().unwrap_or_default();
        let mut made = state.clone();
        made.put_account(Account {
            kind: CONTRACT,
            ..Account::genesis(at, new.name.as_bytes(), 0)
        });
        let code = Code::new(new.bytecode.clone());
        made.put_new_contract(
            at,
            SmartContract {
                contract_address: at.to_bytes().to_vec(),
                ..new
            },
        );
        let slot = Slot {
            number: state.properties.head.number(),
            time: state.properties.head_time,
            witness: Address::ZERO,
        };
        let env = Env {
            number: i64::try_from(slot.number).unwrap_or(i64::MAX),
            time: slot.time,
            witness: slot.witness,
            txid,
            origin: owner,
            deadline: None,
            opcodes: None,
        };
        let program = Program {
            code,
            address: at,
            caller: owner,
            value: 0,
            token_value: 0,
            token_id: 0,
            data: Vec::new(),
            is_creation: true,
            energy_limit: ENERGY,
        };
        let ran = vm::run(state.clone(), made, &env, program);
        match ran.ended {
            Ended::Done => {
                *state = ran.state;
                Ok(at)
            }
            other => Err(Trc20Error::Failed(
                self.symbol.clone(),
                format!("{other:?}"),
            )),
        }
    }
}

impl FromStr for Trc20 {
    type Err = Trc20Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || Trc20Error::Form(text.chars().take(60).collect());
        let (symbol, decimals) = text.trim().split_once(':').ok_or_else(wrong)?;
        let decimals = decimals.parse().map_err(|_| wrong())?;
        Self::new(symbol, decimals)
    }
}

/// What `scripts/solc` keeps beside the source.
#[derive(Deserialize)]
struct Compiled {
    abi: Vec<Entry>,
    bytecode: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    r#type: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    state_mutability: String,
    #[serde(default)]
    inputs: Vec<Parameter>,
    #[serde(default)]
    outputs: Vec<Parameter>,
}

#[derive(Deserialize)]
struct Parameter {
    #[serde(default)]
    name: String,
    r#type: String,
    #[serde(default)]
    indexed: bool,
}

impl From<&Parameter> for AbiParam {
    fn from(parameter: &Parameter) -> Self {
        Self {
            indexed: parameter.indexed,
            name: parameter.name.clone(),
            r#type: parameter.r#type.clone(),
        }
    }
}

fn place(names: &[&str], name: &str) -> i32 {
    let found = names
        .iter()
        .position(|known| known.eq_ignore_ascii_case(name));
    i32::try_from(found.unwrap_or_default()).unwrap_or_default()
}

/// The token's ABI and its code, as compiled.
static COMPILED: LazyLock<(Abi, Vec<u8>)> = LazyLock::new(|| {
    let compiled: Compiled = serde_json::from_str(include_str!("trc20/Token.json"))
        .expect("scripts/solc writes what is read here");
    let entrys = compiled
        .abi
        .iter()
        .map(|entry| AbiEntry {
            name: entry.name.clone(),
            inputs: entry.inputs.iter().map(AbiParam::from).collect(),
            outputs: entry.outputs.iter().map(AbiParam::from).collect(),
            r#type: place(crate::tron::contract::ABI_ENTRY_TYPE, &entry.r#type),
            stateMutability: place(
                crate::tron::contract::ABI_MUTABILITY,
                &entry.state_mutability,
            ),
            ..AbiEntry::default()
        })
        .collect();
    let code = hex::decode(&compiled.bytecode).expect("the compiler writes hex");
    (Abi { entrys }, code)
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_and_refused() {
        let usdt: Trc20 = "USDT:6".parse().unwrap();
        assert_eq!((usdt.symbol(), usdt.decimals()), ("USDT", 6));
        assert!("X:36".parse::<Trc20>().is_ok());
        for wrong in ["USDT", "USDT:", "USDT:x", ":6", "US DT:6", "X:37", "X:256"] {
            assert!(wrong.parse::<Trc20>().is_err(), "{wrong}");
        }
        assert!(Trc20::new(&"A".repeat(32), 0).is_ok());
        assert!(Trc20::new(&"A".repeat(33), 0).is_err());
    }
}
