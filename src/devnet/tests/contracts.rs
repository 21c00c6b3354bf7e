//! Lives of contracts with any code on a chain, with blocks, forks and a revert between them:
//! nothing is made or lost, nobody pays more than was allowed, a replay comes out equal, and
//! what is taken back leaves nothing.

use std::time::Duration;

use proptest::prelude::*;

use super::invariants::{accept, bytes, chain, key, live, repool, same, seal};
use crate::{
    devnet::{
        chain::{Chain, Sealed},
        incoming::Incoming,
        vm::CONTRACT,
    },
    tron::{
        contract::{
            Contract, CreateSmartContract, SmartContract, TransferAssetContract,
            TriggerSmartContract,
        },
        transaction::{Draft, RefBlock},
    },
    types::{Address, TokenId, UnixMs},
};

/// Sun that a transaction may burn for energy: 200,000 units.
const FEE_LIMIT: i64 = 20_000_000;
/// Who sends: those that begin with something.
const SENDERS: u8 = 4;

#[derive(Debug, Clone)]
enum Step {
    /// A contract with this code, which gets some sun.
    Deploy {
        from: u8,
        code: Vec<u8>,
        sun: i64,
    },
    /// A call of one of the contracts there are, with some sun and BTT.
    Call {
        from: u8,
        which: usize,
        data: Vec<u8>,
        sun: i64,
        btt: i64,
    },
    /// BTT to one of them, which its code does not hear of.
    Give {
        from: u8,
        which: usize,
        btt: i64,
    },
    Seal,
    Fork {
        blocks: u64,
        keep: bool,
    },
}

/// Opcodes, those that move something among them often, with small words and the senders'
/// addresses. SELFDESTRUCT is left out: what a contract has of a token when it leaves it to
/// itself is gone.
fn code() -> impl Strategy<Value = Vec<u8>> {
    let moving = vec![
        0xd0u8, 0xd1, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xf0, 0xf1, 0xf2, 0xf4, 0xf5,
        0xfa, 0x55, 0x54, 0x5d, 0xa1, 0x52, 0x5a, 0x30, 0x33,
    ];
    let piece = prop_oneof![
        3 => any::<u8>().prop_map(|op| vec![if op == 0xff { 0 } else { op }]),
        4 => (0u8..8).prop_map(|n| vec![0x60, n]),
        // A million, BTT's id.
        1 => Just(vec![0x62, 0x0f, 0x42, 0x40]),
        1 => Just(vec![0x62, 0x0f, 0x4a, 0x10]),
        2 => (0..SENDERS).prop_map(|actor| {
            let address = key(actor).address();
            [&[0x73], address.body().as_slice()].concat()
        }),
        3 => proptest::sample::select(moving).prop_map(|op| vec![op]),
    ];
    proptest::collection::vec(piece, 1..50).prop_map(|pieces| pieces.concat())
}

fn step() -> impl Strategy<Value = Step> {
    let data = || proptest::collection::vec(any::<u8>(), 0..40);
    let sun = || prop_oneof![3 => Just(0i64), 2 => 1..5_000_000i64, 1 => Just(i64::MAX)];
    let btt = || prop_oneof![3 => Just(0i64), 2 => 1..5_000i64];
    prop_oneof![
        3 => (0..SENDERS, code(), sun()).prop_map(|(from, code, sun)| Step::Deploy { from, code, sun }),
        6 => (0..SENDERS, any::<usize>(), data(), sun(), btt()).prop_map(
            |(from, which, data, sun, btt)| Step::Call { from, which, data, sun, btt }
        ),
        1 => (0..SENDERS, any::<usize>(), 1..5_000i64)
            .prop_map(|(from, which, btt)| Step::Give { from, which, btt }),
        2 => Just(Step::Seal),
        1 => (1..4u64, any::<bool>()).prop_map(|(blocks, keep)| Step::Fork { blocks, keep }),
    ]
}

/// What makes a contract of this code: CODECOPY of what comes after, RETURN.
fn constructor(code: &[u8]) -> Vec<u8> {
    let length = u16::try_from(code.len()).unwrap().to_be_bytes();
    let head = [0x61, length[0], length[1], 0x60, 12, 0x5f, 0x39];
    let tail = [0x61, length[0], length[1], 0x5f, 0xf3];
    [head.as_slice(), &tail, code].concat()
}

/// One of the contracts, if there are any.
fn one(chain: &Chain, which: usize) -> Option<Address> {
    let accounts = chain.pending_state().accounts();
    let contracts = accounts.filter(|account| account.kind == CONTRACT);
    let mut all: Vec<Address> = contracts.map(|account| account.address).collect();
    all.sort();
    all.get(which.checked_rem(all.len())?).copied()
}

fn contract(chain: &Chain, step: &Step) -> Option<(u8, Contract)> {
    Some(match step {
        Step::Deploy { from, code, sun } => {
            let made = SmartContract {
                origin_address: bytes(*from),
                bytecode: constructor(code),
                call_value: *sun,
                consume_user_resource_percent: 100,
                origin_energy_limit: 1_000_000,
                ..SmartContract::default()
            };
            let create = CreateSmartContract {
                owner_address: bytes(*from),
                new_contract: Some(made),
                ..CreateSmartContract::default()
            };
            (*from, create.into())
        }
        Step::Call {
            from,
            which,
            data,
            sun,
            btt,
        } => {
            let call = TriggerSmartContract {
                owner_address: bytes(*from),
                contract_address: one(chain, *which)?.to_bytes().to_vec(),
                call_value: *sun,
                data: data.clone(),
                call_token_value: *btt,
                token_id: if *btt > 0 { TokenId::BTT.get() } else { 0 },
            };
            (*from, call.into())
        }
        Step::Give { from, which, btt } => {
            let give = TransferAssetContract {
                asset_name: TokenId::BTT.to_string().into_bytes(),
                owner_address: bytes(*from),
                to_address: one(chain, *which)?.to_bytes().to_vec(),
                amount: *btt,
            };
            (*from, give.into())
        }
        Step::Seal | Step::Fork { .. } => return None,
    })
}

/// Nobody burnt more for energy than was allowed.
fn check_bills(sealed: &Sealed) {
    for receipt in &sealed.receipts {
        let bill = receipt.energy();
        assert!((0..=FEE_LIMIT).contains(&bill.fee), "{bill:?}");
        assert!(bill.usage >= 0 && bill.origin_usage >= 0, "{bill:?}");
    }
}

fn run(chain: &mut Chain, step: &Step, salt: i64) {
    match step {
        Step::Seal => {
            let next = chain.next_slot();
            check_bills(&seal(chain, next));
        }
        Step::Fork { blocks, keep } => {
            chain.fork_out(*blocks, *keep);
            repool(chain);
        }
        _ => {
            let Some((from, contract)) = contract(chain, step) else {
                return;
            };
            let head = chain.head();
            let mut draft = Draft::new(
                contract,
                RefBlock::from(head.id),
                head.time().plus(Duration::from_secs(60)),
                UnixMs(salt),
            );
            draft.fee_limit_sun = FEE_LIMIT;
            let transaction = draft.build().sign(&key(from)).unwrap();
            let incoming = Incoming::new(transaction).unwrap();
            let before = chain.pending_state().clone();
            if accept(chain, incoming).is_err() {
                same(chain.pending_state(), &before);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn contracts_make_and_lose_nothing_and_are_replayed_and_taken_back(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        check_bills(&live(&steps, run));
    }
}

/// The steps above reach code that runs to its end, and code that fails.
#[test]
fn a_contract_is_made_called_and_forked_out() {
    let mut chain = chain();
    let next = chain.next_slot();
    seal(&mut chain, next);
    // SSTORE of what it was called with at 0.
    let code = vec![0x5f, 0x35, 0x5f, 0x55];
    let deploy = Step::Deploy {
        from: 0,
        code: code.clone(),
        sun: 5,
    };
    run(&mut chain, &deploy, 1);
    run(&mut chain, &Step::Seal, 2);
    let at = one(&chain, 0).unwrap();
    assert_eq!(chain.head_state().code(&at).unwrap().bytes(), code);
    let empty = chain.head_state().kept_by_contracts();
    let call = Step::Call {
        from: 1,
        which: 0,
        data: vec![7; 32],
        sun: 0,
        btt: 3,
    };
    run(&mut chain, &call, 3);
    run(&mut chain, &Step::Seal, 4);
    assert_ne!(chain.head_state().kept_by_contracts(), empty);
    let held = |chain: &Chain| {
        let account = chain.head_state().account(&at).unwrap();
        (account.balance, account.asset(TokenId::BTT.get()))
    };
    assert_eq!(held(&chain), (5, 3));
    run(
        &mut chain,
        &Step::Fork {
            blocks: 1,
            keep: false,
        },
        5,
    );
    assert_eq!(chain.head_state().kept_by_contracts(), empty);
    assert_eq!(held(&chain), (5, 0));
}
