//! Contracts in the state: what they are, their code, their storage, their use of energy.

use std::sync::Arc;

use rpds::HashTrieMapSync;

use crate::{
    devnet::{
        params::Parameter,
        state::State,
        vm::{Code, ContractEnergy, Word},
    },
    tron::contract::{Abi, SmartContract},
    types::Address,
};

/// A row of storage: the low half of its slot's number (`Storage.compose`).
pub(crate) type Row = [u8; 16];

/// All contracts. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contracts {
    contracts: HashTrieMapSync<Address, Arc<SmartContract>>,
    codes: HashTrieMapSync<Address, Arc<Code>>,
    storage: HashTrieMapSync<Address, HashTrieMapSync<Row, Word>>,
    energy: HashTrieMapSync<Address, ContractEnergy>,
}

impl Contracts {
    /// Where they are.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.contracts.keys()
    }
}

/// What a contract is made of: its code, its storage, its use of energy.
#[cfg(test)]
type Kept = (
    Option<Vec<u8>>,
    std::collections::BTreeMap<Row, Word>,
    Option<ContractEnergy>,
);

impl State {
    pub(crate) fn contract(&self, address: &Address) -> Option<&Arc<SmartContract>> {
        match self.contracts.contracts.get(address) {
            None => self.fork.as_deref()?.contract(address),
            found => found,
        }
    }

    /// The contract with the address a message names.
    pub(crate) fn contract_at(&self, address: &[u8]) -> Option<&Arc<SmartContract>> {
        self.contract(&Address::from_bytes(address).ok()?)
    }

    pub(crate) fn put_contract(&mut self, address: Address, contract: SmartContract) {
        let contract = Arc::new(contract);
        self.contracts.contracts.insert_mut(address, contract);
    }

    /// Puts a contract where there was none: all that it keeps is of here, even in a fork.
    pub(crate) fn put_new_contract(&mut self, address: Address, contract: SmartContract) {
        self.put_contract(address, contract);
        if let Some(layer) = &mut self.fork {
            Arc::make_mut(layer).own_contract(address);
        }
    }

    /// The contracts whose code has these bytes in it, in no order; of a forked chain those
    /// that were read.
    pub(crate) fn contracts_with(&self, bytes: &[u8]) -> Vec<Address> {
        let has = |code: &Code| code.bytes().windows(bytes.len()).any(|at| at == bytes);
        let own = &self.contracts.codes;
        let read = self.fork.iter().flat_map(|layer| layer.codes());
        let read = read.filter(|(address, _)| !own.contains_key(*address));
        own.iter()
            .chain(read)
            .filter(|(_, code)| has(code))
            .map(|(address, _)| *address)
            .collect()
    }

    /// A contract's code, once it is kept.
    pub(crate) fn code(&self, address: &Address) -> Option<&Arc<Code>> {
        match self.contracts.codes.get(address) {
            None => self.fork.as_deref()?.code(address),
            found => found,
        }
    }

    pub(crate) fn put_code(&mut self, address: Address, code: Arc<Code>) {
        self.contracts.codes.insert_mut(address, code);
    }

    /// Keeps a contract's code, and its hash with the contract.
    pub(crate) fn save_code(&mut self, address: Address, code: Arc<Code>) {
        if let Some(contract) = self.contract(&address) {
            let contract = SmartContract {
                code_hash: code.hash().to_vec(),
                ..contract.as_ref().clone()
            };
            self.put_contract(address, contract);
        }
        self.put_code(address, code);
    }

    /// What a row holds; nothing when it holds 0.
    pub(crate) fn storage(&self, address: &Address, row: &Row) -> Option<Word> {
        let rows = self.contracts.storage.get(address);
        match rows.and_then(|rows| rows.get(row)) {
            None => self.fork.as_deref()?.slot(address, row),
            Some(value) => Some(*value).filter(|value| !value.is_zero()),
        }
    }

    pub(crate) fn put_storage(&mut self, address: Address, row: Row, value: Word) {
        let storage = &mut self.contracts.storage;
        let mut rows = storage.get(&address).cloned().unwrap_or_default();
        // Over a forked chain a 0 is kept: what is below it must not show.
        if value.is_zero() && self.fork.is_none() {
            rows.remove_mut(&row);
        } else {
            rows.insert_mut(row, value);
        }
        storage.insert_mut(address, rows);
    }

    /// Every contract's code, what its storage holds, and its use of energy.
    #[cfg(test)]
    pub(crate) fn kept_by_contracts(&self) -> std::collections::BTreeMap<Address, Kept> {
        let all = self.contracts.contracts.keys();
        all.map(|address| {
            let code = self.code(address).map(|code| code.bytes().to_vec());
            let rows = self.contracts.storage.get(address);
            let rows = rows.into_iter().flatten();
            let rows = rows.map(|(row, word)| (*row, *word)).collect();
            let energy = self.contract_energy(address);
            (*address, (code, rows, energy))
        })
        .collect()
    }

    pub(crate) fn contract_energy(&self, address: &Address) -> Option<ContractEnergy> {
        match self.contracts.energy.get(address) {
            None => self.fork.as_deref()?.energy(address),
            found => found.copied(),
        }
    }

    /// A contract's use of energy as of this cycle.
    pub(crate) fn contract_energy_now(&self, address: &Address) -> ContractEnergy {
        let energy = self.contract_energy(address).unwrap_or_default();
        let parameter = |parameter| self.parameters.get(parameter);
        energy.caught_up(
            self.properties.cycle,
            parameter(Parameter::DynamicEnergyThreshold),
            parameter(Parameter::DynamicEnergyIncreaseFactor),
            parameter(Parameter::DynamicEnergyMaxFactor),
        )
    }

    pub(crate) fn put_contract_energy(&mut self, address: Address, energy: ContractEnergy) {
        self.contracts.energy.insert_mut(address, energy);
    }

    /// Takes a contract off the chain, with its account and all it kept.
    pub(crate) fn delete_contract(&mut self, address: &Address) {
        self.remove_account(address);
        self.contracts.contracts.remove_mut(address);
        self.contracts.codes.remove_mut(address);
        self.contracts.storage.remove_mut(address);
        if let Some(layer) = &mut self.fork {
            Arc::make_mut(layer).own_contract(*address);
        }
    }

    /// Whether the contract's ABI says that a call changes nothing
    /// (`WalletUtil.isConstant`).
    pub(crate) fn is_constant(&self, address: &Address, data: &[u8]) -> bool {
        const FUNCTION: i32 = 2;
        const VIEWS: [i32; 2] = [1, 2];
        let (Some(contract), Some(selector)) = (self.contract(address), data.first_chunk::<4>())
        else {
            return false;
        };
        let entries = contract.abi.as_ref().map_or(&[][..], |abi| &abi.entrys);
        entries
            .iter()
            .filter(|entry| entry.r#type == FUNCTION)
            .find(|entry| selector_of(&signature(&entry.name, &entry.inputs)) == *selector)
            .is_some_and(|entry| entry.constant || VIEWS.contains(&entry.stateMutability))
    }
}

/// `transfer(address,uint256)`.
pub(crate) fn signature(name: &str, inputs: &[crate::tron::contract::AbiParam]) -> String {
    let types: Vec<&str> = inputs.iter().map(|input| input.r#type.as_str()).collect();
    format!("{name}({})", types.join(","))
}

/// The first four bytes of a signature's hash.
pub(crate) fn selector_of(signature: &str) -> [u8; 4] {
    let [a, b, c, d, ..] = crate::tron::keys::keccak256(signature);
    [a, b, c, d]
}

/// Takes a contract's ABI away.
pub(crate) fn without_abi(contract: &SmartContract) -> SmartContract {
    SmartContract {
        abi: Some(Abi::default()),
        ..contract.clone()
    }
}
