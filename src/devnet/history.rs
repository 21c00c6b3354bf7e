//! The ids of the last 8,191 blocks in the storage of a contract, where other contracts can
//! ask for them (TIP-2935, `AllowTvmPrague`).

use super::{
    params::Parameter,
    state::State,
    vm::{Code, Word, contract_account, storage_row},
};
use crate::{
    tron::contract::SmartContract,
    types::{Address, BlockId},
};

/// 0x0000F90827F1C53a10cb7A02335B175320002935, as on Ethereum.
pub(crate) const ADDRESS: Address = Address::from_body([
    0x00, 0x00, 0xf9, 0x08, 0x27, 0xf1, 0xc5, 0x3a, 0x10, 0xcb, 0x7a, 0x02, 0x33, 0x5b, 0x17, 0x53,
    0x20, 0x00, 0x29, 0x35,
]);
/// Who deployed it on Ethereum.
const DEPLOYER: Address = Address::from_body([
    0x34, 0x62, 0x41, 0x3a, 0xf4, 0x60, 0x90, 0x98, 0xe1, 0xe2, 0x7a, 0x49, 0x0f, 0x55, 0x4f, 0x26,
    0x02, 0x13, 0xd6, 0x85,
]);
const NAME: &str = "BlockHashHistory";
/// EIP-2935's: asked with a block's number, it answers its hash.
const CODE: [u8; 83] = [
    0x33, 0x73, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x14, 0x60, 0x46, 0x57, 0x60, 0x20, 0x36, 0x03, 0x60, 0x42,
    0x57, 0x5f, 0x35, 0x60, 0x01, 0x43, 0x03, 0x81, 0x11, 0x60, 0x42, 0x57, 0x61, 0x1f, 0xff, 0x81,
    0x43, 0x03, 0x11, 0x60, 0x42, 0x57, 0x61, 0x1f, 0xff, 0x90, 0x06, 0x54, 0x5f, 0x52, 0x60, 0x20,
    0x5f, 0xf3, 0x5b, 0x5f, 0x5f, 0xfd, 0x5b, 0x5f, 0x35, 0x61, 0x1f, 0xff, 0x60, 0x01, 0x43, 0x03,
    0x06, 0x55, 0x00,
];
/// Blocks whose ids are kept.
const WINDOW: u64 = 8_191;

fn is_on(state: &State) -> bool {
    state.parameters.get(Parameter::AllowTvmPrague) == 1
}

/// Puts the contract on the chain once its parameter is on, unless another one is there.
pub(crate) fn install(state: &mut State) {
    let is_taken = state.contract(&ADDRESS).is_some() || state.code(&ADDRESS).is_some();
    if !is_on(state) || is_taken {
        return;
    }
    let account = contract_account(state, ADDRESS, NAME.as_bytes());
    state.put_account(account);
    let contract = SmartContract {
        origin_address: DEPLOYER.to_bytes().to_vec(),
        contract_address: ADDRESS.to_bytes().to_vec(),
        name: NAME.to_owned(),
        consume_user_resource_percent: 100,
        ..SmartContract::default()
    };
    state.put_new_contract(ADDRESS, contract);
    state.put_code(ADDRESS, Code::new(CODE.to_vec()));
}

/// Notes the id of block `number`'s parent, before its transactions run.
pub(crate) fn note_parent(state: &mut State, number: u64, parent: &BlockId) {
    let is_ours = state
        .code(&ADDRESS)
        .is_some_and(|code| code.bytes() == CODE);
    let Some(place) = number.checked_sub(1).filter(|_| is_on(state) && is_ours) else {
        return;
    };
    let row = storage_row(&Word::from(place % WINDOW));
    state.put_storage(ADDRESS, row, Word::from_be_bytes(*parent.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devnet::{fuzzing::Machine, state::Account, vm::CONTRACT};

    fn state(is_on: i64) -> State {
        Machine::default()
            .with_parameter("getAllowTvmPrague", is_on)
            .into_state()
    }

    fn held(state: &State, slot: u64) -> Option<Word> {
        state.storage(&ADDRESS, &storage_row(&Word::from(slot)))
    }

    const ID: BlockId = BlockId::from_bytes([9; 32]);

    #[test]
    fn the_code_is_the_published_one() {
        assert_eq!(
            hex::encode(crate::tron::keys::keccak256(CODE)),
            "6e49e66782037c0555897870e29fa5e552daf4719552131a0abce779daec0a5d"
        );
    }

    #[test]
    fn nothing_is_there_before_the_parameter_is_on() {
        let mut state = state(0);
        install(&mut state);
        note_parent(&mut state, 5, &ID);
        assert!(state.contract(&ADDRESS).is_none() && state.account(&ADDRESS).is_none());
        assert_eq!(held(&state, 4), None);
    }

    #[test]
    fn a_block_takes_the_place_of_the_one_8191_before() {
        let mut state = state(1);
        install(&mut state);
        note_parent(&mut state, 0, &ID);
        note_parent(&mut state, 1, &ID);
        note_parent(&mut state, 8_191, &ID);
        let word = Word::from_be_bytes([9; 32]);
        assert_eq!(
            (held(&state, 0), held(&state, 8_190)),
            (Some(word), Some(word))
        );
        let other = BlockId::from_bytes([8; 32]);
        note_parent(&mut state, 8_192, &other);
        assert_eq!(held(&state, 0), Some(Word::from_be_bytes([8; 32])));
    }

    #[test]
    fn who_had_the_address_before_keeps_what_it_has() {
        let mut state = state(1);
        state.put_account(Account::genesis(ADDRESS, b"early", 7));
        install(&mut state);
        let account = state.account(&ADDRESS).unwrap();
        assert_eq!((account.balance, account.kind), (7, CONTRACT));
        assert_eq!(account.name, b"early");
        // Twice is once.
        note_parent(&mut state, 1, &ID);
        install(&mut state);
        assert!(held(&state, 0).is_some());
    }

    #[test]
    fn another_contract_at_its_address_stays_as_it_is() {
        let mut state = state(1);
        state.put_code(ADDRESS, Code::new(vec![0]));
        install(&mut state);
        note_parent(&mut state, 1, &ID);
        assert!(state.contract(&ADDRESS).is_none());
        assert_eq!(held(&state, 0), None);
    }
}
