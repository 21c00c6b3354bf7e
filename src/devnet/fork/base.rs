//! What has been read of the forked chain: the layer under the devnet's own state.

use std::{collections::BTreeMap, fmt, sync::Arc};

use rpds::{HashTrieMapSync, HashTrieSetSync};

use super::{
    missing::Missing,
    record::{self, Answer, Contract, Deployed, Doubt, Held},
};
use crate::{
    devnet::{
        contracts::Row,
        history,
        state::Account,
        vm::{Code, ContractEnergy, Word, word_bytes, word_of},
    },
    tron::contract::{AssetIssueContract, Message, SmartContract},
    types::Address,
};

/// What one question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Account(Address),
    /// A TRC-10 token, by its id.
    Token(i64),
    Contract(Address),
    /// A row of a contract's storage.
    Slot(Address, Row),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(address) => write!(f, "account {address}"),
            Self::Token(id) => write!(f, "token {id}"),
            Self::Contract(address) => write!(f, "contract {address}"),
            Self::Slot(address, row) => {
                let digits = hex::encode(row);
                let digits = match digits.trim_start_matches('0') {
                    "" => "0",
                    digits => digits,
                };
                write!(f, "storage slot 0x{digits} of {address}")
            }
        }
    }
}

/// The answers so far. None is ever changed or taken away. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Base {
    accounts: HashTrieMapSync<Address, Option<Arc<Account>>>,
    tokens: HashTrieMapSync<i64, Option<Arc<AssetIssueContract>>>,
    contracts: HashTrieMapSync<Address, Option<Arc<Contract>>>,
    slots: HashTrieMapSync<(Address, Row), Word>,
    /// About what they take in memory.
    bytes: usize,
}

/// What an answer takes in memory beside texts and code.
const ANSWER_BYTES: usize = 512;

impl Base {
    pub(crate) fn has(&self, key: &Key) -> bool {
        match key {
            Key::Account(address) => self.accounts.contains_key(address),
            Key::Token(id) => self.tokens.contains_key(id),
            Key::Contract(address) => self.contracts.contains_key(address),
            Key::Slot(address, row) => self.slots.contains_key(&(*address, *row)),
        }
    }

    /// About what the answers take in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes an answer in; the first to a question stays.
    ///
    /// # Errors
    /// Why it cannot be true. Nothing is changed then.
    pub(crate) fn add(&mut self, answer: &Answer) -> Result<(), Doubt> {
        let mut bytes = ANSWER_BYTES;
        match answer {
            Answer::Account { address, found } => {
                let found = found.as_ref().map(|held| held.account(*address));
                let found = found.transpose()?.map(Arc::new);
                bytes += found
                    .as_ref()
                    .map_or(0, |account| account.assets.len() * 32);
                if !self.accounts.contains_key(address) {
                    self.accounts.insert_mut(*address, found);
                }
            }
            Answer::Token { id, found } => {
                let found = found.as_ref().map(|digits| record::token(*id, digits));
                let found = found.transpose()?.map(Arc::new);
                if !self.tokens.contains_key(id) {
                    self.tokens.insert_mut(*id, found);
                }
            }
            Answer::Contract { address, found } => {
                bytes += found
                    .as_ref()
                    .map_or(0, |deployed| deployed.contract.len() + deployed.code.len());
                let found = found.as_ref().map(|deployed| deployed.contract(*address));
                let found = found.transpose()?.map(Arc::new);
                if !self.contracts.contains_key(address) {
                    self.contracts.insert_mut(*address, found);
                }
            }
            Answer::Slot {
                address,
                row,
                value,
            } => {
                let row = record::bytes(row)?;
                let row = Row::try_from(row).map_err(|_| "a row that is not 16 bytes")?;
                let value = record::bytes(value)?;
                let value: [u8; 32] = value.try_into().map_err(|_| "a slot that is no word")?;
                if !self.slots.contains_key(&(*address, row)) {
                    self.slots.insert_mut((*address, row), word_of(&value));
                }
            }
        }
        self.bytes += bytes;
        Ok(())
    }

    /// All of them, in an order that is the same for the same answers.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        let mut answers = Vec::new();
        let accounts: BTreeMap<_, _> = self.accounts.iter().collect();
        answers.extend(
            accounts
                .into_iter()
                .map(|(address, found)| Answer::Account {
                    address: *address,
                    found: found.as_ref().map(|account| Box::new(Held::of(account))),
                }),
        );
        let tokens: BTreeMap<_, _> = self.tokens.iter().collect();
        answers.extend(tokens.into_iter().map(|(id, found)| Answer::Token {
            id: *id,
            found: found.as_ref().map(|token| hex::encode(token.encode())),
        }));
        let contracts: BTreeMap<_, _> = self.contracts.iter().collect();
        answers.extend(
            contracts
                .into_iter()
                .map(|(address, found)| Answer::Contract {
                    address: *address,
                    found: found.as_ref().map(|deployed| Deployed {
                        contract: hex::encode(deployed.contract.encode()),
                        code: deployed
                            .code
                            .as_ref()
                            .map(|code| hex::encode(code.bytes()))
                            .unwrap_or_default(),
                        energy_factor: deployed.energy.factor,
                        cycle: deployed.energy.cycle,
                    }),
                }),
        );
        let slots: BTreeMap<_, _> = self.slots.iter().collect();
        answers.extend(
            slots
                .into_iter()
                .map(|((address, row), value)| Answer::Slot {
                    address: *address,
                    row: hex::encode(row),
                    value: hex::encode(word_bytes(value)),
                }),
        );
        answers
    }
}

/// What a state has under it: what was read, and where that no longer counts.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    base: Arc<Base>,
    /// Accounts that are as they are here, or are not there.
    own_accounts: HashTrieSetSync<Address>,
    /// Contracts of which code, storage and use of energy are here, or are nothing.
    own_contracts: HashTrieSetSync<Address>,
}

impl Layer {
    /// Nothing read yet, over which the devnet has these contracts.
    pub(crate) fn new<'a>(own: impl Iterator<Item = &'a Address>) -> Self {
        let mut layer = Self {
            base: Arc::default(),
            own_accounts: HashTrieSetSync::new_sync(),
            own_contracts: own.copied().collect(),
        };
        // It notes the ids of this chain's blocks.
        layer.own_accounts.insert_mut(history::ADDRESS);
        layer.own_contracts.insert_mut(history::ADDRESS);
        layer
    }

    pub(crate) fn set_base(&mut self, base: &Arc<Base>) {
        self.base = Arc::clone(base);
    }

    /// From here on an account that is not in the state is not there.
    pub(crate) fn own_account(&mut self, address: Address) {
        self.own_accounts.insert_mut(address);
    }

    /// From here on what a contract has not in the state, it has not.
    pub(crate) fn own_contract(&mut self, address: Address) {
        self.own_contracts.insert_mut(address);
    }

    pub(crate) fn account(&self, address: &Address) -> Option<&Arc<Account>> {
        if self.own_accounts.contains(address) {
            return None;
        }
        match self.base.accounts.get(address) {
            Some(found) => found.as_ref(),
            None => Missing::stop(Key::Account(*address)),
        }
    }

    pub(crate) fn token(&self, id: i64) -> Option<&Arc<AssetIssueContract>> {
        match self.base.tokens.get(&id) {
            Some(found) => found.as_ref(),
            None => Missing::stop(Key::Token(id)),
        }
    }

    fn deployed(&self, address: &Address) -> Option<&Contract> {
        if self.own_contracts.contains(address) {
            return None;
        }
        match self.base.contracts.get(address) {
            Some(found) => found.as_deref(),
            None => Missing::stop(Key::Contract(*address)),
        }
    }

    pub(crate) fn contract(&self, address: &Address) -> Option<&Arc<SmartContract>> {
        self.deployed(address).map(|deployed| &deployed.contract)
    }

    pub(crate) fn code(&self, address: &Address) -> Option<&Arc<Code>> {
        self.deployed(address)?.code.as_ref()
    }

    pub(crate) fn energy(&self, address: &Address) -> Option<ContractEnergy> {
        self.deployed(address).map(|deployed| deployed.energy)
    }

    /// What a row holds; nothing when it holds 0.
    pub(crate) fn slot(&self, address: &Address, row: &Row) -> Option<Word> {
        self.deployed(address)?;
        match self.base.slots.get(&(*address, *row)) {
            Some(value) => Some(*value).filter(|value| !value.is_zero()),
            None => Missing::stop(Key::Slot(*address, *row)),
        }
    }

    /// The contracts that were read, and the code of each.
    pub(crate) fn codes(&self) -> impl Iterator<Item = (&Address, &Arc<Code>)> {
        let read = self.base.contracts.iter();
        read.filter(|(address, _)| !self.own_contracts.contains(*address))
            .filter_map(|(address, found)| Some((address, found.as_ref()?.code.as_ref()?)))
    }
}
