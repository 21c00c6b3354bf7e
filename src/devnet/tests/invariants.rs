//! What must hold whatever is sent: random transactions, valid and not, with
//! blocks, days, forks and reverts between them.

use std::{path::Path, sync::Arc, time::Duration};

use proptest::prelude::*;

use crate::{
    devnet::{
        chain::{Chain, Sealed},
        cheat::Cheat,
        genesis::{Genesis, GenesisAccount, NetworkStake, well_known_key},
        incoming::Incoming,
        journal::{Journal, Record},
        params::{Parameters, Preset},
        reject::Reject,
        resource::TRX,
        rules::ChainRules,
        state::{Account, Operations, Resource, State},
    },
    tron::{
        contract::{
            AccountCreateContract, AssetIssueContract, CancelAllUnfreezeV2Contract, Contract,
            DelegateResourceContract, FreezeBalanceV2Contract, FrozenSupply,
            ParticipateAssetIssueContract, TransferAssetContract, TransferContract,
            UnDelegateResourceContract, UnfreezeAssetContract, UnfreezeBalanceV2Contract,
            UpdateAssetContract, WithdrawExpireUnfreezeContract,
        },
        keys::SecretKey,
        transaction::{Draft, RefBlock, Transaction},
    },
    types::{Address, UnixMs},
};

const GENESIS: UnixMs = UnixMs(1_700_000_000_000);
const ACTORS: u8 = 5;

pub(super) fn key(actor: u8) -> SecretKey {
    SecretKey::from_bytes(&[actor + 1; 32]).unwrap()
}

pub(super) fn bytes(actor: u8) -> Vec<u8> {
    key(actor).address().to_bytes().to_vec()
}

fn genesis() -> Genesis {
    Genesis {
        time: GENESIS,
        parameters: Parameters::new(Preset::MainnetLike),
        // The last actor begins with nothing, not even an account.
        accounts: (0..ACTORS - 1)
            .map(|actor| GenesisAccount {
                address: key(actor).address(),
                name: String::new(),
                balance: 5_000 * TRX,
                btt: 1_000_000,
            })
            .collect(),
        issuer: Some(well_known_key("issuer of BTT").address()),
        witness: well_known_key("witness").address(),
        more_witnesses: Vec::new(),
        witness_signers: Vec::new(),
        operations: Operations::Voted,
        network_stake: NetworkStake::default(),
        parent: None,
        unfreeze_delay_ms: None,
        transaction_opcodes: None,
        fork: None,
        trc20: Vec::new(),
    }
}

pub(super) fn rules() -> ChainRules {
    ChainRules {
        witnesses: vec![well_known_key("witness")],
        signers: Vec::new(),
        interval_ms: 3_000,
        keep_blocks: None,
        solid_lag: 4,
    }
}

/// Takes a transaction into the pool.
pub(super) fn accept(chain: &mut Chain, incoming: Incoming) -> Result<(), Reject> {
    let judged = chain.candidate(incoming)?.judge()?;
    chain.admit(judged);
    Ok(())
}

/// Judges again what a change put out of the pool.
pub(super) fn repool(chain: &mut Chain) {
    for incoming in chain.take_unpooled() {
        // What no longer holds is gone.
        let _ = accept(chain, incoming);
    }
}

/// Makes the next block, and puts it on the chain.
pub(super) fn seal(chain: &mut Chain, time: UnixMs) -> Arc<Sealed> {
    let made = chain.plan(time).make().expect("nothing is forked");
    let sealed = chain.seal(made);
    repool(chain);
    sealed
}

pub(super) fn chain() -> Chain {
    Chain::new(rules(), &genesis())
}

/// A chain that writes a state file.
fn kept(path: &Path) -> Chain {
    let (mut journal, document) = Journal::open(path).unwrap();
    assert!(document.is_none());
    let mut chain = chain();
    journal.replace(&chain.document().unwrap()).unwrap();
    chain.keep_journal(journal);
    chain
}

#[derive(Debug, Clone)]
enum Step {
    Send {
        kind: u8,
        from: u8,
        to: u8,
        amount: i64,
        memo: bool,
    },
    Seal,
    Wait {
        hours: u64,
    },
    Fund {
        to: u8,
        amount: i64,
    },
    Fork {
        blocks: u64,
        keep: bool,
    },
}

fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![
        0..10i64,
        1..3_000i64,
        (1..2_000i64).prop_map(|trx| trx * TRX),
        Just(-1),
        Just(i64::MAX),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..14u8, 0..ACTORS, 0..ACTORS, amount(), any::<bool>()).prop_map(
            |(kind, from, to, amount, memo)| Step::Send { kind, from, to, amount, memo }
        ),
        3 => Just(Step::Seal),
        1 => (1..400u64).prop_map(|hours| Step::Wait { hours }),
        1 => (1..4u64, any::<bool>()).prop_map(|(blocks, keep)| Step::Fork { blocks, keep }),
        1 => (0..ACTORS, 0..1_000i64).prop_map(|(to, amount)| Step::Fund { to, amount }),
    ]
}

/// The token an actor may have issued: the first ids, in order.
fn token(to: u8) -> Vec<u8> {
    match to {
        0 | 1 => b"1002000".to_vec(),
        other => (1_000_000 + i64::from(other) - 1).to_string().into_bytes(),
    }
}

fn contract(kind: u8, from: u8, to: u8, amount: i64, now: i64) -> Contract {
    let owner_address = bytes(from);
    let other = bytes(to);
    let resource = i32::from(to % 2);
    match kind {
        0 | 1 => TransferContract {
            owner_address,
            to_address: other,
            amount,
        }
        .into(),
        2 | 3 => TransferAssetContract {
            asset_name: token(from),
            owner_address,
            to_address: other,
            amount,
        }
        .into(),
        4 => AccountCreateContract {
            owner_address,
            account_address: other,
            ..AccountCreateContract::default()
        }
        .into(),
        5 => FreezeBalanceV2Contract {
            owner_address,
            frozen_balance: amount,
            resource,
        }
        .into(),
        6 => UnfreezeBalanceV2Contract {
            owner_address,
            unfreeze_balance: amount,
            resource,
        }
        .into(),
        7 => WithdrawExpireUnfreezeContract { owner_address }.into(),
        8 => CancelAllUnfreezeV2Contract { owner_address }.into(),
        9 => DelegateResourceContract {
            owner_address,
            resource,
            balance: amount,
            receiver_address: other,
            lock: amount % 2 == 0,
            lock_period: 3,
        }
        .into(),
        10 => UnDelegateResourceContract {
            owner_address,
            resource,
            balance: amount,
            receiver_address: other,
        }
        .into(),
        11 => AssetIssueContract {
            owner_address,
            name: b"Some".to_vec(),
            total_supply: amount,
            frozen_supply: vec![FrozenSupply {
                frozen_amount: amount / 2,
                frozen_days: 1,
            }],
            trx_num: 3,
            num: 7,
            start_time: now + 4_000,
            end_time: now + 900_000_000,
            url: b"x".to_vec(),
            free_asset_net_limit: 10_000,
            public_free_asset_net_limit: 100_000,
            ..AssetIssueContract::default()
        }
        .into(),
        12 => ParticipateAssetIssueContract {
            owner_address,
            to_address: other,
            asset_name: token(to),
            amount,
        }
        .into(),
        _ if amount % 2 == 0 => UnfreezeAssetContract { owner_address }.into(),
        _ => UpdateAssetContract {
            owner_address,
            url: b"y".to_vec(),
            new_limit: amount,
            new_public_limit: amount,
            ..UpdateAssetContract::default()
        }
        .into(),
    }
}

fn run(chain: &mut Chain, step: &Step, salt: i64) {
    match step {
        Step::Send {
            kind,
            from,
            to,
            amount,
            memo,
        } => {
            let head = chain.head();
            let now = head.time();
            let mut draft = Draft::new(
                contract(*kind, *from, *to, *amount, now.0),
                RefBlock::from(head.id),
                now.plus(Duration::from_secs(60)),
                UnixMs(salt),
            );
            if *memo {
                draft.memo = b"memo".to_vec();
            }
            let transaction = draft.build().sign(&key(*from)).unwrap();
            let incoming = Incoming::new(transaction).unwrap();
            let before = accounts(chain.pending_state());
            if accept(chain, incoming).is_err() {
                // A refusal leaves nothing behind.
                assert_eq!(accounts(chain.pending_state()), before);
            }
        }
        Step::Seal => {
            let next = chain.next_slot();
            seal(chain, next);
        }
        Step::Wait { hours } => {
            let later = chain.head().time().plus(Duration::from_secs(hours * 3_600));
            seal(chain, later);
        }
        Step::Fork { blocks, keep } => {
            chain.fork_out(*blocks, *keep);
            repool(chain);
        }
        Step::Fund { to, amount } => chain
            .cheat(Cheat::Fund {
                address: key(*to).address(),
                token: None,
                amount: *amount,
            })
            .unwrap(),
    }
}

fn accounts(state: &State) -> Vec<Account> {
    let mut list: Vec<Account> = state
        .accounts()
        .map(|account| account.as_ref().clone())
        .collect();
    list.sort_by_key(|account| account.address);
    list
}

fn check(state: &State) {
    let accounts = accounts(state);
    let mut trx = 0i64;
    let mut weights = [0i64; 2];
    let mut lent = (0i64, 0i64);
    let mut borrowed = (0i64, 0i64);
    for account in &accounts {
        let staked = [Resource::Bandwidth, Resource::Energy].map(|kind| account.staked(kind));
        let delegated = [account.delegated.0, account.delegated.1];
        let waiting: i64 = account.unfreezing.iter().map(|entry| entry.amount).sum();
        let parts = [
            account.balance,
            waiting,
            account.acquired.0,
            account.acquired.1,
        ];
        for part in parts.iter().chain(&staked).chain(&delegated) {
            assert!(*part >= 0, "negative in {account:?}");
        }
        assert!(account.assets.values().all(|amount| *amount > 0));
        assert!(account.unfreezing.len() <= 32);
        trx += account.balance + waiting;
        for ((weight, staked), delegated) in weights.iter_mut().zip(staked).zip(delegated) {
            trx += staked + delegated;
            *weight += (staked + delegated) / TRX;
        }
        lent = (lent.0 + delegated[0], lent.1 + delegated[1]);
        borrowed = (
            borrowed.0 + account.acquired.0,
            borrowed.1 + account.acquired.1,
        );
    }
    let in_exchanges = |token: &[u8]| -> i64 {
        let sides = state
            .exchanges()
            .flat_map(|(_, one)| [&one.first, &one.second]);
        sides
            .filter(|(id, _)| id == token)
            .map(|(_, amount)| amount)
            .sum()
    };
    trx += in_exchanges(b"_");
    let properties = &state.properties;
    assert_eq!(
        trx + properties.burnt,
        properties.minted,
        "TRX is conserved"
    );
    assert_eq!(weights, [properties.net_weight, properties.energy_weight]);
    assert_eq!(lent, borrowed);
    let listed = state.delegations().fold((0, 0), |sum, (_, delegation)| {
        (sum.0 + delegation.bandwidth, sum.1 + delegation.energy)
    });
    assert_eq!(lent, listed);
    for (id, asset) in state.assets() {
        let held: i64 = accounts.iter().map(|account| account.asset(*id)).sum();
        let frozen: i64 = accounts
            .iter()
            .filter(|account| account.issued.as_ref().is_some_and(|(_, own)| own == id))
            .flat_map(|account| &account.frozen_supply)
            .map(|frozen| frozen.amount)
            .sum();
        let traded = in_exchanges(id.to_string().as_bytes());
        let all = held + frozen + traded;
        assert_eq!(all, asset.total_supply, "token {id} is conserved");
    }
}

/// The same blocks and cheats on a fresh chain: the same ids, so the same transactions and
/// results, and the same state.
fn replayed(chain: &Chain) -> Chain {
    let mut other = self::chain();
    for record in chain.document().unwrap().records {
        match record {
            Record::Block {
                id,
                time_ms,
                transactions,
                ..
            } => {
                for text in transactions {
                    let bytes = hex::decode(text).unwrap();
                    let transaction = Transaction::decode(&bytes).unwrap();
                    accept(&mut other, Incoming::new(transaction).unwrap()).unwrap();
                }
                assert_eq!(seal(&mut other, time_ms).id, id);
            }
            Record::Cheat(cheat) => other.cheat(cheat).unwrap(),
            other => panic!("{other:?} in a document"),
        }
    }
    other
}

pub(super) fn same(one: &State, other: &State) {
    assert_eq!(accounts(one), accounts(other));
    assert_eq!(one.properties, other.properties);
    assert!(one.assets().eq(other.assets()));
    assert!(one.delegations().eq(other.delegations()));
    assert_eq!(one.kept_by_contracts(), other.kept_by_contracts());
}

/// The chain of a state file.
fn restored(path: &Path) -> Chain {
    let (_, document) = Journal::open(path).unwrap();
    Chain::restore(rules(), &document.unwrap()).unwrap()
}

/// Carries the steps out on a chain that is kept in a file. A replay comes out equal, what is
/// reverted leaves nothing, and the file tells all of it; the block that ends the steps.
pub(super) fn live<S>(steps: &[S], run: impl Fn(&mut Chain, &S, i64)) -> Arc<Sealed> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let mut chain = kept(&path);
    let next = chain.next_slot();
    seal(&mut chain, next);
    let middle = steps.len() / 2;
    let mut snapshot = None;
    for (salt, step) in (1i64..).zip(steps) {
        run(&mut chain, step, salt);
        check(chain.pending_state());
        check(chain.head_state());
        if usize::try_from(salt) == Ok(middle) {
            let id = chain.snapshot(0);
            snapshot = Some((id, chain.head().id, chain.pending_state().clone()));
        }
    }
    let next = chain.next_slot();
    let last = seal(&mut chain, next);
    let again = replayed(&chain);
    same(again.head_state(), chain.head_state());
    assert_eq!(again.head().receipts, last.receipts);
    if let Some((id, head, pending)) = snapshot {
        assert_eq!(chain.revert(id), Some(0));
        assert_eq!(chain.head().id, head);
        same(chain.pending_state(), &pending);
    }
    // What the file tells, forks and the revert carried out.
    let (head, state) = (chain.head().id, chain.head_state().clone());
    drop(chain);
    let again = restored(&path);
    assert_eq!(again.head().id, head);
    same(again.head_state(), &state);
    last
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_made_or_lost(steps in proptest::collection::vec(step(), 1..60)) {
        live(&steps, run);
    }
}

#[test]
fn every_kind_of_contract_is_accepted_at_least_once() {
    let mut chain = chain();
    let next = chain.next_slot();
    seal(&mut chain, next);
    let mut salt = 0;
    let mut send = |chain: &mut Chain, kind: u8, from: u8, to: u8, amount: i64| {
        salt += 1;
        let head = chain.head();
        let now = head.time();
        let draft = Draft::new(
            contract(kind, from, to, amount, now.0),
            RefBlock::from(head.id),
            now.plus(Duration::from_secs(60)),
            UnixMs(salt),
        );
        let transaction = draft.build().sign(&key(from)).unwrap();
        accept(chain, Incoming::new(transaction).unwrap()).unwrap();
        let next = chain.next_slot();
        seal(chain, next);
        check(chain.head_state());
    };
    let new = Address::from_bytes(&bytes(4)).unwrap();
    send(&mut chain, 0, 0, 1, 5);
    send(&mut chain, 2, 0, 1, 5);
    send(&mut chain, 4, 0, 4, 0);
    assert!(chain.head_state().account(&new).is_some());
    send(&mut chain, 5, 0, 2, 100 * TRX);
    send(&mut chain, 9, 0, 2, 10 * TRX + 1);
    send(&mut chain, 6, 0, 2, 40 * TRX);
    send(&mut chain, 10, 0, 2, 4 * TRX);
    send(&mut chain, 8, 0, 2, 0);
    send(&mut chain, 6, 0, 2, 40 * TRX);
    send(&mut chain, 11, 2, 2, 1_000);
    let tomorrow = chain.head().time().plus(Duration::from_secs(3 * 86_400));
    seal(&mut chain, tomorrow);
    send(&mut chain, 12, 1, 2, 30);
    send(&mut chain, 13, 2, 2, 0);
    send(&mut chain, 13, 2, 2, 1);
    let later = chain.head().time().plus(Duration::from_secs(15 * 86_400));
    seal(&mut chain, later);
    send(&mut chain, 7, 0, 0, 0);
}
