//! What one cheat can take from an honest party, over whole extensions with
//! ledgers. Each test fails without its rule: `src/receipts/DESIGN.md` has them
//! in a table.

use std::{sync::Arc, time::Duration};

use seedrail::{
    ledger::Pair,
    receipts::{Ask, Exposure, Message, pay::PayEvent},
    swarm::hooks::UploadClass,
    types::{Clock, ManualClock, SystemClock, TokenId},
};

use crate::support::{link::*, scripted::Scripted};

fn pair(payer: u8, payee: u8) -> Pair {
    Pair {
        payer: key(payer).address(),
        payee: key(payee).address(),
        token: TokenId::BTT,
    }
}

fn rich(keys: std::ops::RangeInclusive<u8>) -> Arc<FakeChain> {
    let all: Vec<_> = keys.map(|n| (key(n).address(), 1_000_000_000)).collect();
    FakeChain::with(&all)
}

fn standing_clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(SystemClock.now()))
}

/// What a seller with the terms of these tests says that it risks.
fn printed(piece_length: u32) -> Exposure {
    let ask = Ask {
        floor_price: PRICE,
        unproven_cap: raw(seller().unproven_cap),
    };
    Exposure::of(&ask, piece_length)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_address_with_a_huge_bid_that_vanishes_takes_a_window_once() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, clock) = (rich(1..=2), standing_clock());
    let bidder = buyer(1000 * PRICE);
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), bidder).await;
    let wary = Wants {
        clock: clock.clone(),
        ..seller()
    };
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain, wary).await;
    let mut line = Joined::new(&payer, &payee);
    line.wait_for_award();
    // It weighs as the floor price, whatever it bids.
    let weight = *line.seller_end.class.lock().unwrap();
    assert_eq!(weight, UploadClass::Paid { weight: PRICE });
    let bounds = printed(PIECE);
    let mut taken = line.take();
    assert_eq!(taken, bounds.first_window);
    // Coming back again and again brings what is written off, and that ends.
    for _ in 0..8 {
        line.close();
        line = Joined::new(&payer, &payee);
        line.wait_for_award();
        taken += line.take();
    }
    assert!(taken <= bounds.first_window + bounds.written_off, "{taken}");
    clock.advance(Duration::from_secs(61));
    wait_until("it is not served on credit any more", || {
        payee.events().iter().any(|event| {
            matches!(event, PayEvent::NotSelling { reason, .. } if reason.contains("did not pay"))
        })
    });
    assert_eq!(*line.seller_end.class.lock().unwrap(), UploadClass::Free);
    let standing = payee
        .ledger
        .standing(key(1).address(), TokenId::BTT)
        .unwrap();
    assert_eq!(standing.defaults, 1);
    line.close();
}

/// A payer is killed twice in the middle of a piece. The first time little is left over, which
/// is written off; the second time it is a default.
#[tokio::test(flavor = "multi_thread")]
async fn less_than_a_piece_is_written_off_and_a_default_when_it_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, clock) = (rich(1..=2), standing_clock());
    let wary = Wants {
        clock: clock.clone(),
        ..seller()
    };
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain, wary).await;
    let greet = || {
        let remote = ([203, 0, 113, 1], 6881).into();
        let payer = Scripted::greet(1, remote, &payee, key(2).address());
        payer.buy_at(PRICE);
        payer
    };
    let standing = || {
        let known = payee.ledger.standing(key(1).address(), TokenId::BTT);
        let known = known.unwrap();
        (known.defaults, known.written_off)
    };
    let units = |bytes: u64| raw(i64::try_from((bytes * PRICE) >> 30).unwrap());
    // A piece and a pipeline are written off as it goes; four chunks are not.
    let at_once = u64::from(PIECE) + (1 << 20);
    let (first, rest) = (at_once + (64 << 10), u64::from(PIECE) - (64 << 10));
    assert_eq!(greet().take(first), first);
    let back = greet();
    clock.advance(Duration::from_secs(61));
    wait_until("the rest is written off", || standing().1 >= units(first));
    assert_eq!(standing().0, 0);
    // It is sold to as before; now there is no room for as much again.
    let more = rest + (64 << 10);
    assert_eq!(back.take(more), more);
    drop(back);
    let _back = greet();
    clock.advance(Duration::from_secs(61));
    wait_until("it is a default", || standing().0 == 1);
    let gave_up = |event: &PayEvent| matches!(event, PayEvent::Defaulted { amount, .. } if *amount >= units(64 << 10));
    wait_until("that is told", || payee.events().iter().any(gave_up));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_of_an_address_take_one_window() {
    let folder = tempfile::tempdir().unwrap();
    let chain = rich(1..=2);
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), buyer(PRICE)).await;
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain, seller()).await;
    let lines = [0, 1].map(|_| Joined::new(&payer, &payee));
    let mut taken = 0;
    for line in &lines {
        line.wait_for_award();
    }
    for line in &lines {
        taken += line.take();
    }
    assert_eq!(taken, printed(PIECE).first_window);
    for line in lines {
        line.close();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_make_another_default_by_saying_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, clock) = (rich(1..=2), standing_clock());
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), buyer(PRICE)).await;
    let wary = Wants {
        clock: clock.clone(),
        ..seller()
    };
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain, wary).await;
    let line = Joined::new(&payer, &payee);
    line.wait_for_award();
    line.take();
    line.close();
    let liar = Joined::pretending(&payer, &payee);
    wait_until("the seller has looked the name up", || {
        let sent = liar.seller_end.sent.lock().unwrap();
        sent.iter()
            .any(|bytes| matches!(Message::decode(bytes), Ok(Message::Auth(_))))
    });
    clock.advance(Duration::from_secs(61));
    let back = Joined::new(&payer, &payee);
    back.wait_for_award();
    assert!(
        !payee
            .events()
            .iter()
            .any(|event| matches!(event, PayEvent::Defaulted { .. }))
    );
    liar.close();
    back.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_never_promises_more_than_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let holds = 10_000;
    let mut balances = vec![(key(1).address(), holds)];
    balances.extend([2, 3].map(|n| (key(n).address(), 0)));
    let chain = FakeChain::with(&balances);
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), buyer(PRICE)).await;
    let mut promised = 0;
    for n in [2, 3] {
        let ledger = sqlite(folder.path(), &n.to_string());
        let payee = Party::start(n, ledger, chain.clone(), seller()).await;
        let line = Joined::new(&payer, &payee);
        line.wait_for_award();
        // 6,103 raw units from each.
        line.download(5);
        line.buyer.finished();
        wait_until("it is signed, or refused", || {
            line.buyer.drained()
                || payer
                    .events()
                    .iter()
                    .any(|event| matches!(event, PayEvent::Stopped { .. }))
        });
        // The second one's loss is within its window.
        assert!(payee.pay.peers()[0].unpaid_bytes <= printed(PIECE).first_window);
        let rows = payee.ledger.received(&pair(1, n)).unwrap();
        promised += rows.iter().map(|row| row.get().amount.get()).sum::<i64>();
        line.close();
    }
    assert!((6_000..=holds).contains(&promised), "{promised}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_may_pay_each_other_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let chain = rich(1..=2);
    let trader = Wants {
        ask: Some(PRICE),
        ..buyer(PRICE)
    };
    let one = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), trader.clone()).await;
    let other = Party::start(2, sqlite(folder.path(), "b"), chain, trader).await;
    let line = Joined::new(&one, &other);
    line.buyer.peer_interested(true);
    line.wait_for_award();
    wait_until("the other way is awarded too", || {
        matches!(
            *line.buyer_end.class.lock().unwrap(),
            UploadClass::Paid { .. }
        )
    });
    let (down, up) = std::thread::scope(|scope| {
        let up = scope.spawn(|| line.upload(40));
        (line.download(60), up.join().expect("it ends"))
    });
    assert_eq!((down, up), (60 * u64::from(PIECE), 40 * u64::from(PIECE)));
    line.finish();
    line.seller.finished();
    wait_until("the other is done, too", || line.seller.drained());
    assert!(!line.broken());
    let owed = |bytes: u64| i64::try_from((u128::from(bytes) * u128::from(PRICE)) >> 30).unwrap();
    for (payer, payee, n, bytes) in [(&one, &other, (1, 2), down), (&other, &one, (2, 1), up)] {
        let issued = payer.ledger.issued(&pair(n.0, n.1)).unwrap();
        assert_eq!(issued, payee.ledger.received(&pair(n.0, n.1)).unwrap());
        assert_eq!(issued[0].get().amount.get(), owed(bytes));
    }
    // Only the imbalance is owed, and both say so.
    let net = i128::from(owed(down) - owed(up));
    assert_eq!(i128::from(other.pay.peers()[0].owed_raw.get()), net);
    assert_eq!(one.pay.peers()[0].owed_raw, raw(0));
    assert_eq!(one.ledger.position(&pair(1, 2)).unwrap().net(), net);
    assert_eq!(other.ledger.position(&pair(2, 1)).unwrap().net(), -net);
}

/// The files below a folder that hold tests, as one text.
fn sources(folder: &std::path::Path, all: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            all.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn the_table_of_attacks_names_tests_that_there_are() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    sources(&root.join("src"), &mut all);
    sources(&root.join("tests"), &mut all);
    let page = std::fs::read_to_string(root.join("src/receipts/DESIGN.md")).unwrap();
    let table = page.split_once("| attack | rule |").unwrap().1;
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut named = 0;
    for row in rows {
        let tests = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap();
        for test in tests.split('`').skip(1).step_by(2) {
            // The longest names are cut short.
            let begins = test.split('…').next().unwrap();
            assert!(all.contains(&format!("fn {begins}")), "{test}");
            named += 1;
        }
    }
    assert!(named > 30, "{named}");
}
