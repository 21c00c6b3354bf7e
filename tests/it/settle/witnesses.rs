//! A payer that was away while witnesses were elected and changed their keys.

use std::{sync::atomic::Ordering, time::Duration};

use seedrail::{
    ledger::{LedgerError, Payouts},
    settle::{Policy, SettleError},
    types::TokenId,
};

use super::{
    sim::{Faults, Process, SimChain},
    world::{World, payee, payer},
};

fn blocks(count: u32) -> Duration {
    Duration::from_secs(3) * count
}

/// Pays a debt, and says how often the chain was asked.
fn pays(world: &World, amount: i64) -> Result<u64, SettleError> {
    let owed = world.sim().paid(world.key.address(), payee(0)).0 + amount;
    world.owe(payee(0), amount);
    let process = Process::default();
    world.on(&world.ledger, &process, async |engine| {
        engine
            .run(&world.key, TokenId::BTT, &Policy::default(), |_| true)
            .await
    })?;
    assert_eq!(world.sim().paid(world.key.address(), payee(0)).0, owed);
    Ok(process.asked.load(Ordering::SeqCst))
}

/// As many as TRON elects.
fn with_all_witnesses(seed: u64) -> World {
    let world = World::new(seed, 2);
    for place in 3..27 {
        world.sim().elect(place);
    }
    world.sim().advance(blocks(100));
    pays(&world, 1).unwrap();
    world
}

#[test]
fn a_new_witness_and_a_new_key_are_met_whatever_number_of_blocks_a_node_gives() {
    for at_most in [1, 2, 50] {
        let world = World::new(21, 2);
        world.sim().answer_at_most(at_most);
        world.sim().elect(3);
        world.sim().rekey(0);
        world.sim().rekey(1);
        world.sim().advance(blocks(40));
        pays(&world, 5).unwrap();
    }
}

/// More blocks in a row than a node gives at once are by strangers, and then one by a
/// witness that is known.
#[test]
fn a_known_witness_vouches_for_more_blocks_than_one_answer_has() {
    let world = with_all_witnesses(22);
    for place in 0..26 {
        world.sim().elect(place);
    }
    world.sim().answer_at_most(10);
    world.sim().advance(blocks(60));
    pays(&world, 5).unwrap();
}

#[test]
fn a_payer_comes_back_after_every_witness_changed_and_does_not_read_every_block() {
    let world = with_all_witnesses(23);
    world.sim().be_patient();
    let before = world.scanned_from();
    for round in 0..3 {
        for place in 0..27 {
            if (place + round) % 3 == 0 {
                world.sim().rekey(place);
            } else {
                world.sim().elect(place);
            }
            world.sim().advance(blocks(300));
        }
    }
    let asked = pays(&world, 5).unwrap();
    assert!(world.scanned_from() > before + 20_000);
    assert!(asked < 400, "it asked {asked} times for 24,300 blocks");
}

/// With nobody left who is known, a chain cannot be told from an invented one: nothing
/// is signed, and the command that the error names goes on.
#[test]
fn where_every_witness_changed_at_once_the_user_decides() {
    let world = World::new(24, 2);
    for place in 0..3 {
        world.sim().elect(place);
    }
    world.sim().advance(blocks(100));
    let refused = pays(&world, 5).unwrap_err();
    assert!(
        matches!(&refused, SettleError::Ledger(LedgerError::Strangers { .. })),
        "{refused}"
    );
    let says = refused.to_string();
    assert!(says.contains("settle recover --trust-witnesses"), "{says}");
    assert!(
        world
            .ledger
            .live_attempts(world.key.address())
            .unwrap()
            .is_empty()
    );
    let report = world.with(&world.ledger, async |engine| engine.recover(true).await);
    assert!(report.unwrap().done);
    assert!(world.run().unwrap());
    assert_eq!(world.sim().paid(world.key.address(), payee(0)), (5, 1));
}

/// A node showed the payer a chain of its own from the first byte on, in which he paid. With
/// a true one, a recovery takes that back, and he pays.
#[test]
fn a_recovery_goes_back_from_an_invented_chain() {
    let liar = SimChain::new(25, 2);
    for place in 0..3 {
        liar.elect(place);
    }
    liar.fund(payer().address(), 1_000_000_000, 1_000_000);
    liar.fund(payee(0), 1, 0);
    let deceived: World = World::on_chain(liar, payer(), 25);
    deceived.settle_in();
    deceived.owe(payee(0), 500);
    assert!(deceived.run().unwrap());
    let mut world = World::new(26, 2);
    world.chain.advance(blocks(600));
    world.ledger = deceived.ledger;
    assert!(!world.run().unwrap(), "the true chain is another one");
    assert_eq!(world.chain.paid(world.key.address(), payee(0)), (0, 0));
    let report = world.recover();
    assert!(report.done, "{report:?}");
    assert!(world.run().unwrap());
    world.check(&[500], "the true chain");
}

#[test]
fn an_answer_without_blocks_is_no_proof_that_there_are_none() {
    let world = World::new(27, 2);
    world.chain.advance(blocks(100));
    world.chain.set_faults(Faults {
        empty: 1000,
        ..Faults::default()
    });
    let refused = pays(&world, 5).unwrap_err();
    assert!(matches!(refused, SettleError::NoBlocks(_)), "{refused}");
    let living = world.ledger.live_attempts(world.key.address()).unwrap();
    assert!(living.is_empty());
    world.chain.set_faults(Faults::default());
    assert!(world.run().unwrap());
    assert_eq!(world.chain.paid(world.key.address(), payee(0)), (5, 1));
}
