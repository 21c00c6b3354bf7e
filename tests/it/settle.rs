//! Tests of `settle` from outside: the real planner, engine and ledger against
//! a simulated chain. A failing seed is in the panic's message and replays.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod counter;
mod crash;
mod devnet;
mod hidden;
mod holders;
mod orders;
mod sim;
mod slow;
mod storm;
mod witnesses;
mod world;

use std::time::Duration;

use seedrail::{
    ledger::{
        ChainLog, PayoutState, Payouts, Receipts, Recovery, Remainder, SqliteLedger, TransferRow,
        Transfers,
    },
    settle::{Engine, Event, Policy, Question, SettleError},
    tron::keys::SecretKey,
    types::{Address, Clock as _, Salt, Token, TokenId, TxId, UnixMs},
};

use crash::{CrashingLedger, Ending};
use sim::{Faults, Process, View};
use world::{World, block_on, payee, raw};

#[test]
fn debts_are_paid_once_and_a_second_run_finds_nothing() {
    let world = World::new(1, 2);
    world.owe(payee(0), 500);
    world.owe(payee(1), 300);
    let report = world
        .with(&world.ledger, async |engine| {
            engine
                .run(&world.key, TokenId::BTT, &Policy::default(), |question| {
                    assert!(matches!(question, Question::Pay(plan) if plan.total == raw(800)));
                    true
                })
                .await
        })
        .unwrap();
    assert_eq!(report.batches.len(), 1);
    let batch = &report.batches[0];
    assert_eq!((batch.counts.payouts, batch.counts.confirmed), (2, 2));
    assert_eq!(batch.txids.len(), 2);
    assert_eq!(
        batch.totals,
        [(Token::Trc10(TokenId::BTT), raw(800))].into()
    );
    assert_eq!(batch.fee.0, 2000);
    world.check(&[500, 300], "first");

    world.owe(payee(0), 50);
    let plan = world
        .with(&world.ledger, async |engine| {
            engine.plan(TokenId::BTT, &Policy::default()).await
        })
        .unwrap();
    assert_eq!(plan.payouts.len(), 1);
    assert_eq!(
        (plan.payouts[0].debt.range_from, plan.payouts[0].range_to()),
        (raw(500), raw(550))
    );
    assert!(world.run().unwrap());
    world.check(&[550, 300], "second");
    let report = world
        .with(&world.ledger, async |engine| {
            engine
                .run(&world.key, TokenId::BTT, &Policy::default(), |_| true)
                .await
        })
        .unwrap();
    assert!(report.batches.is_empty(), "nothing is left to pay");
}

/// What is in a block waits in no node: on a chain that is solid a minute later,
/// thousands are paid in little more than that minute, and no node has more than
/// 1,000 of them waiting.
#[test]
fn what_is_in_a_block_makes_room_for_more() {
    let world = World::new(3, 18);
    let payees = (0..2500u16).map(|number| {
        let mut body = [0x77; 20];
        body[..2].copy_from_slice(&number.to_be_bytes());
        Address::from_body(body)
    });
    for payee in payees.clone() {
        world.sim().fund(payee, 1, 0);
        world.owe(payee, 1);
    }
    let begin = world.sim().clock.now();
    assert!(world.run().unwrap());
    let took = world.sim().clock.now().since(begin);
    for payee in payees {
        assert_eq!(world.sim().paid(world.key.address(), payee), (1, 1));
    }
    assert!(took < Duration::from_secs(90), "{took:?}");
    assert_eq!(world.sim().most_pending(), 1000);
}

/// A node that lies about its solid head makes the payer sign a since block of
/// the far future: what settlement paid still counts.
#[test]
fn a_since_block_of_the_future_is_not_paid_twice() {
    let world = World::new(2, 2);
    let pair = world.pair(payee(0));
    drop(world.ledger.claim_epoch(&pair, 1_000_000_000).unwrap());
    world.owe(payee(0), 500);
    assert!(world.run().unwrap());
    assert!(world.run().unwrap());
    world.check(&[500], "since block of the future");
}

#[test]
fn a_crash_at_every_durable_step_pays_once() {
    // How many half writes an undisturbed run makes.
    let steps = {
        let world = World::new(5, 2);
        world.owe(payee(0), 500);
        world.owe(payee(1), 300);
        let process = Process::default();
        let ledger = CrashingLedger::new(world.ledger.another().unwrap(), None, &process);
        world
            .on(&ledger, &process, async |engine| {
                engine
                    .run(&world.key, TokenId::BTT, &Policy::default(), |_| true)
                    .await
            })
            .unwrap();
        ledger.half_writes()
    };
    assert!(steps >= 16, "{steps} half writes");
    for at in 0..steps {
        for kind in [Ending::Killed, Ending::Unsure] {
            let world = World::new(5, 2);
            world.owe(payee(0), 500);
            world.owe(payee(1), 300);
            let ended = world.run_until(Some((at, kind))).unwrap();
            assert!(!ended, "{kind:?} at {at} of {steps}");
            assert!(world.run().unwrap(), "{kind:?} at {at}");
            world.check(&[500, 300], &format!("{kind:?} at {at}"));
        }
    }
}

#[test]
fn a_transfer_made_by_hand_counts_and_is_told_by_the_audit() {
    let world = World::new(3, 2);
    world.owe(payee(0), 500);
    world
        .with(&world.ledger, async |engine| {
            engine.plan(TokenId::BTT, &Policy::default()).await
        })
        .unwrap();
    let txid = world.by_hand(payee(0), 200);
    world.chain.advance(Duration::from_secs(30));
    let plan = world
        .with(&world.ledger, async |engine| {
            engine.plan(TokenId::BTT, &Policy::default()).await
        })
        .unwrap();
    assert_eq!(plan.total, raw(300));
    assert!(world.run().unwrap());
    assert_eq!(world.chain.paid(world.key.address(), payee(0)).0, 500);
    let differences = world
        .with(&world.ledger, async |engine| engine.audit().await)
        .unwrap();
    assert_eq!(differences.len(), 1);
    assert_eq!(differences[0].txid, txid);
    assert_eq!(differences[0].kind.name(), "unknown");
}

#[test]
fn what_they_owe_us_is_subtracted_and_their_payments_are_not_sent_back() {
    let world = World::new(6, 2);
    world.owe(payee(0), 500);
    let theirs = world.pair(payee(0)).reversed();
    let row = seedrail::ledger::ReceiptRow {
        pair: theirs,
        signer: theirs.payer,
        epoch: seedrail::ledger::EpochId::new(3).unwrap(),
        since_block: 1,
        sequence: 1,
        amount: raw(120),
        delivered_bytes: 1,
        issued_at: 1,
        grant: Salt::ZERO,
        signature: [1; 65],
    };
    world.ledger.store_received(&row).unwrap();
    let plan = || {
        world
            .with(&world.ledger, async |engine| {
                engine.plan(TokenId::BTT, &Policy::default()).await
            })
            .unwrap()
    };
    let planned = plan().payouts[0];
    assert_eq!(
        (planned.amount, planned.debt.owed, planned.debt.owed_to_us),
        (raw(380), raw(500), raw(120))
    );
    world
        .ledger
        .record_transfer(&TransferRow {
            txid: TxId::from_bytes([5; 32]),
            block: 3,
            block_time: UnixMs(1),
            payer: theirs.payer,
            payee: theirs.payee,
            token: Token::Trc10(TokenId::BTT),
            amount: raw(1_000),
        })
        .unwrap();
    assert_eq!(plan().total, raw(500));
}

#[test]
fn a_receipt_that_does_not_verify_is_not_paid() {
    let world = World::new(7, 2);
    world.owe(payee(0), 500);
    let pair = world.pair(payee(1));
    let lease = world.ledger.claim_epoch(&pair, 1).unwrap();
    let forged = seedrail::ledger::ReceiptRow {
        pair,
        signer: pair.payer,
        epoch: lease.epoch,
        since_block: 1,
        sequence: 1,
        amount: raw(120),
        delivered_bytes: 1,
        issued_at: 1,
        grant: Salt::ZERO,
        signature: [27; 65],
    };
    world
        .ledger
        .issue(&lease, &forged, Remainder::default(), None)
        .unwrap();
    assert!(world.run().unwrap());
    assert_eq!(world.chain.paid(world.key.address(), payee(0)), (500, 1));
    assert_eq!(world.chain.paid(world.key.address(), payee(1)), (0, 0));
    let batch = world.ledger.batches(world.key.address(), 1).unwrap()[0].id;
    let payouts = world.ledger.payouts(batch).unwrap();
    let bad = payouts
        .iter()
        .find(|payout| payout.payee == payee(1))
        .unwrap();
    assert_eq!(bad.state, PayoutState::Failed);
    assert!(bad.reason.contains("does not verify"), "{}", bad.reason);
    assert!(
        world.ledger.attempts(batch).unwrap().len() == 1,
        "it was never signed"
    );
}

#[test]
fn another_chain_and_another_key_are_refused() {
    let world = World::new(8, 2);
    let other = SqliteLedger::in_memory(seedrail::types::BlockId::from_bytes([9; 32])).unwrap();
    let refused = world.with(&other, async |engine| {
        engine.plan(TokenId::BTT, &Policy::default()).await
    });
    assert!(matches!(refused, Err(SettleError::OtherChain { .. })));
    let stranger = SecretKey::from_bytes(&[2; 32]).unwrap();
    let refused = world.with(&world.ledger, async |engine| {
        engine.resume(Some(&stranger), |_| true).await.map(|_| ())
    });
    assert!(matches!(refused, Err(SettleError::OtherKey { .. })));
}

#[test]
fn nothing_is_signed_while_the_clocks_disagree() {
    let world = World::new(9, 2);
    world.owe(payee(0), 500);
    let ahead =
        seedrail::types::ManualClock::new(world.chain.clock.now().plus(Duration::from_secs(3600)));
    let random = || world.random();
    let process = Process::default();
    let chain = View {
        chain: &world.chain,
        process: &process,
    };
    let engine = Engine {
        ledger: &world.ledger,
        chain: &chain,
        clock: &ahead,
        account: world.key.address(),
        permission_id: 0,
        holder: "test",
        report: &|_: &Event| {},
        random: &random,
    };
    let refused = block_on(engine.run(&world.key, TokenId::BTT, &Policy::default(), |_| true));
    assert!(matches!(refused, Err(SettleError::ClockSkew { .. })));
    assert!(
        world
            .ledger
            .live_attempts(world.key.address())
            .unwrap()
            .is_empty()
    );
}

/// What a copy planned, and what the original paid since, is not paid again.
#[test]
fn a_restored_copy_signs_nothing_before_it_is_recovered() {
    let mut world = World::new(10, 3);
    world.owe(payee(0), 500);
    world.owe(payee(1), 300);
    // The copy is made with a batch planned and its first attempts signed.
    let process = Process::default();
    let ledger = CrashingLedger::new(
        world.ledger.another().unwrap(),
        Some((13, Ending::Killed)),
        &process,
    );
    let cut = world.on(&ledger, &process, async |engine| {
        engine
            .run(&world.key, TokenId::BTT, &Policy::default(), |_| true)
            .await
    });
    assert!(cut.is_err());
    drop(ledger);
    let copy = world.ledger.copy_in_memory().unwrap();
    copy.mark_restored().unwrap();
    assert!(!copy.unfinished(world.key.address()).unwrap().is_empty());
    assert!(world.run().unwrap());
    world.owe(payee(2), 70);
    let receipts = world.receipts();
    assert!(world.run().unwrap());

    world.ledger = copy;
    let refused = world.run().unwrap_err();
    assert!(
        matches!(&refused, SettleError::Ledger(error) if error.to_string().contains("settle recover")),
        "{refused}"
    );
    let before = world.chain.clock.now();
    let report = world.recover();
    assert!(world.chain.clock.now().since(before) >= Duration::from_secs(120));
    // 500 and 300 are explained by receipts here; what is paid to the third payee
    // is not, since its receipt was signed after the copy was made.
    assert!(!report.done);
    assert_eq!(report.unassigned.len(), 1);
    assert_eq!(report.unassigned[0].payee, payee(2));
    assert!(matches!(world.run(), Err(SettleError::Ledger(_))));
    world
        .ledger
        .adopt_transfer(report.unassigned[0].txid, "the original paid it")
        .unwrap();
    assert!(world.recover().done);
    assert_eq!(
        world.ledger.recovery(world.key.address()).unwrap(),
        Recovery::Current
    );
    world.adopt(&receipts);
    assert!(world.run().unwrap());
    world.check(&[500, 300, 70], "restored");
}

/// A copy that nothing marks: its debts were paid by the original meanwhile.
#[test]
fn what_another_ledger_paid_meanwhile_is_not_paid_again() {
    let mut world = World::new(11, 3);
    world.owe(payee(0), 500);
    let copy = world.ledger.copy_in_memory().unwrap();
    assert!(world.run().unwrap());
    world.chain.advance(Duration::from_secs(300));
    world.ledger = copy;
    assert!(world.run().unwrap());
    assert_eq!(world.chain.paid(world.key.address(), payee(0)), (500, 1));
}

/// A ledger that is lost, with receipts that come back from peers: what was paid
/// before is read from the chain.
#[test]
fn receipts_of_a_lost_ledger_are_not_paid_again() {
    let mut world = World::new(12, 3);
    world.owe(payee(0), 500);
    world.owe(payee(1), 300);
    assert!(world.run().unwrap());
    world.owe(payee(1), 40);
    let receipts = world.receipts();
    world.chain.advance(Duration::from_secs(300));
    world.ledger = SqliteLedger::in_memory(world.chain.genesis_id()).unwrap();
    assert!(world.run().unwrap());
    world.adopt(&receipts);
    assert!(world.run().unwrap());
    assert_eq!(world.chain.paid(world.key.address(), payee(0)), (500, 1));
    assert_eq!(world.chain.paid(world.key.address(), payee(1)), (340, 2));
}

/// A node invents the block of the first receipt, with a time after which nothing was done: what
/// the lost ledger paid is looked for all the same.
#[test]
fn an_invented_block_does_not_hide_what_a_lost_ledger_paid() {
    let mut invented = 0;
    for seed in 300..360 {
        let mut world = World::new(seed, 2);
        world.owe(payee(0), 500);
        assert!(world.run().unwrap());
        let receipts = world.receipts();
        world.chain.advance(Duration::from_secs(300));
        world.begin_anew();
        world.adopt(&receipts);
        world.chain.set_faults(Faults {
            invented: 300,
            ..Faults::default()
        });
        // It may come to no end at such a node.
        world.run().unwrap();
        let counts = world.chain.counts();
        invented += counts.get("invented blocks").copied().unwrap_or_default();
        world.chain.set_faults(Faults::default());
        world.chain.advance(Duration::from_secs(420));
        assert!(world.run().unwrap(), "seed {seed}");
        let paid = world.chain.paid(world.key.address(), payee(0));
        assert_eq!(paid, (500, 1), "seed {seed}");
    }
    assert!(invented > 60, "{invented}");
}
