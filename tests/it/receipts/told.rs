//! What ends or changes money is told, once.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use seedrail::{
    receipts::{ReceiptDomain, SignedGrant, SpendGrant, pay::PayEvent},
    types::{Clock, ManualClock, SystemClock, TokenId},
};

use crate::support::link::*;

fn standing_clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(SystemClock.now()))
}

/// A session key from a time up to another one, in Unix seconds.
fn session_key(not_before: u64, not_after: u64) -> SignedGrant {
    let grant = SpendGrant {
        payer: key(2).address(),
        signer: key(3).address(),
        token: TokenId::BTT,
        max_per_payee: raw(0),
        max_total: raw(0),
        not_before,
        not_after,
        serial: 1,
    };
    SignedGrant::sign(grant, &ReceiptDomain::new(genesis()), &key(2)).unwrap()
}

fn count(party: &Party, is: impl Fn(&PayEvent) -> bool) -> usize {
    party.events().iter().filter(|event| is(event)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_used_up_and_a_payee_without_an_account_are_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let chain = FakeChain::with(&[(key(1).address(), 1_000_000_000)]);
    let wants = Wants {
        max_spend: Some(3_000),
        ..buyer(PRICE)
    };
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), wants).await;
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain, seller()).await;
    let line = Joined::new(&payer, &payee);
    line.wait_for_award();
    line.download(10);
    line.finish();
    let used_up = |event: &PayEvent| matches!(event, PayEvent::LimitReached);
    wait_until("the limit is told", || count(&payer, used_up) == 1);
    let unknown = |event: &PayEvent| matches!(event, PayEvent::PayeeUnknown { peer } if *peer == key(2).address());
    wait_until("the payee's account is told of", || {
        count(&payer, unknown) == 1
    });
    line.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_key_is_told_a_week_a_day_an_hour_and_five_minutes_before() {
    let folder = tempfile::tempdir().unwrap();
    let clock = standing_clock();
    let chain = FakeChain::with(&[(key(2).address(), 0)]);
    let now = u64::try_from(clock.now().secs()).unwrap();
    let days = |n: u64| n * 24 * 3600;
    let wants = Wants {
        grant: Some(session_key(now - 60, now + days(30))),
        clock: clock.clone(),
        ..seller()
    };
    let payee = Party::start(3, sqlite(folder.path(), "b"), chain, wants).await;
    let ends = |event: &PayEvent| matches!(event, PayEvent::KeyEnds { .. });
    let mut passed = 0;
    for (told, at) in [
        (1, days(23) + 1),
        (2, days(29) + 1),
        (3, days(30) - 3_599),
        (4, days(30) - 299),
    ] {
        assert_eq!(count(&payee, ends), told - 1);
        clock.advance(Duration::from_secs(at - passed));
        passed = at;
        wait_until("it is told", || count(&payee, ends) == told);
    }
    clock.advance(Duration::from_secs(3_700));
    let stopped = |event: &PayEvent| matches!(event, PayEvent::Stopped { .. });
    wait_until("its end is told", || count(&payee, stopped) == 1);
}

/// The shortest that are made: nobody is told a day before.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_key_for_minutes_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let clock = standing_clock();
    let chain = FakeChain::with(&[(key(2).address(), 0)]);
    let now = u64::try_from(clock.now().secs()).unwrap();
    let wants = Wants {
        grant: Some(session_key(now - 60, now + 601)),
        clock: clock.clone(),
        ..seller()
    };
    let payee = Party::start(3, sqlite(folder.path(), "b"), chain, wants).await;
    let ends = |event: &PayEvent| matches!(event, PayEvent::KeyEnds { .. });
    assert_eq!(count(&payee, ends), 0);
    clock.advance(Duration::from_secs(302));
    wait_until("it is told", || count(&payee, ends) == 1);
    clock.advance(Duration::from_secs(300));
    let stopped = |event: &PayEvent| matches!(event, PayEvent::Stopped { .. });
    wait_until("its end is told", || count(&payee, stopped) == 1);
    assert_eq!(count(&payee, ends), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_silent_or_shows_another_chain_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let clock = standing_clock();
    let chain = FakeChain::with(&[(key(2).address(), 0)]);
    let wants = Wants {
        clock: clock.clone(),
        ..seller()
    };
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain.clone(), wants).await;
    let silent = |event: &PayEvent| matches!(event, PayEvent::NodeSilent { reason: Some(_) });
    let back = |event: &PayEvent| matches!(event, PayEvent::NodeSilent { reason: None });
    let behind = |event: &PayEvent| matches!(event, PayEvent::NodeBehind { .. });
    chain.silent.store(true, Ordering::SeqCst);
    wait_until("its silence is told", || {
        clock.advance(Duration::from_secs(5));
        count(&payee, silent) == 1
    });
    chain.silent.store(false, Ordering::SeqCst);
    wait_until("it answers again", || {
        clock.advance(Duration::from_secs(5));
        count(&payee, back) == 1
    });
    assert_eq!((count(&payee, silent), count(&payee, behind)), (1, 0));
    chain.behind.store(500, Ordering::SeqCst);
    wait_until("another chain is told of", || {
        clock.advance(Duration::from_secs(5));
        count(&payee, behind) == 1
    });
}
