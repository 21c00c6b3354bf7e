//! Peers that want to harm, not to gain: what they say costs nobody else anything. The
//! attacker is a script of its own, without the buyer's code.

use std::{net::SocketAddr, sync::Arc, sync::atomic::Ordering, time::Duration};

use seedrail::{
    ledger::{FlowKind, Pair, TransferRow},
    receipts::{HoldReason, Message, pay::PayEvent},
    swarm::hooks::{PriceTag, UploadClass},
    types::{Clock, ManualClock, SystemClock, Token, TokenId, TxId},
};

use crate::support::{link::*, scripted::Scripted};

fn at(network: u8, host: u8) -> SocketAddr {
    ([203, 0, network, host], 6881).into()
}

fn rich(keys: std::ops::RangeInclusive<u8>) -> Arc<FakeChain> {
    let all: Vec<_> = keys.map(|n| (key(n).address(), 1_000_000_000)).collect();
    FakeChain::with(&all)
}

fn pair(payer: u8) -> Pair {
    Pair {
        payer: key(payer).address(),
        payee: key(2).address(),
        token: TokenId::BTT,
    }
}

/// A hundred BTT: ten caps of one address.
const WORTHLESS: i64 = 100_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn worthless_receipts_of_strangers_end_nobodys_credit() {
    let folder = tempfile::tempdir().unwrap();
    let chain = rich(1..=2);
    for life in 0..2 {
        let ledger = sqlite(folder.path(), "seller");
        let payee = Party::start(2, ledger, chain.clone(), seller()).await;
        let liars: Vec<_> = (100..112)
            .map(|n| Scripted::greet(n, at(n, 1), &payee, key(2).address()))
            .collect();
        for liar in &liars {
            liar.say(&Message::Sync {
                issued: (1..=8).map(|epoch| liar.receipt(epoch, 1, 1, 0)).collect(),
                received: Vec::new(),
            });
            liar.pay(9, 1, WORTHLESS, 0);
            // Who is heard after it was read.
            liar.say(&Message::Bid(PRICE));
            liar.wait("the answer to its bid", |message| {
                matches!(message, Message::Hold { .. }).then_some(())
            });
            assert_eq!(liar.turned_away(), Some(HoldReason::Account));
            assert_eq!(liar.closed(), None);
        }
        for stay in [true, false] {
            if !stay {
                assert!(!liars.is_empty());
            }
            let name = format!("payer-{life}-{stay}");
            let honest =
                Party::start(1, sqlite(folder.path(), &name), chain.clone(), buyer(PRICE)).await;
            let line = Joined::new(&honest, &payee);
            line.wait_for_award();
            assert_eq!(line.download(2), 2 * u64::from(PIECE));
            line.finish();
            line.close();
        }
        let earned = payee
            .ledger
            .flows(key(2).address(), TokenId::BTT, FlowKind::Earned);
        let earned: i64 = earned.unwrap().iter().map(|flow| flow.amount.get()).sum();
        assert!((1..50_000).contains(&earned), "{earned}");
        for n in 100..112 {
            assert!(payee.ledger.received(&pair(n)).unwrap().is_empty());
        }
        drop(liars);
        payee.pay.shutdown();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_and_a_huge_receipt_earn_a_chunk_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let chain = rich(1..=10);
    let start = || Party::start(2, sqlite(folder.path(), "seller"), chain.clone(), seller());
    let payee = start().await;
    let liar = Scripted::greet(3, at(3, 1), &payee, key(2).address());
    liar.buy_at(PRICE);
    assert_eq!(liar.take(16 << 10), 16 << 10);
    liar.pay(7, 1, WORTHLESS, 16 << 10);
    liar.wait("its receipt is on disk", |message| {
        matches!(message, Message::Ack { durable: true, .. }).then_some(())
    });
    // 76.3 units were sold.
    assert!((76..=78).contains(&payee.pay.totals().earned_raw));
    let torrents = payee.pay.torrents();
    assert!(torrents[0].1.earned_raw <= 78, "a goal counts it so, too");
    drop(liar);
    payee.pay.shutdown();
    drop(payee);
    let payee = start().await;
    let position = payee.ledger.position(&pair(3).reversed()).unwrap();
    assert_eq!(
        position.received,
        raw(WORTHLESS),
        "it is kept, and may be paid"
    );
    assert!(position.earned() <= raw(78));
    assert_eq!(
        payee
            .ledger
            .flows(key(2).address(), TokenId::BTT, FlowKind::Earned)
            .unwrap()[0]
            .amount,
        position.earned()
    );
    let honest = Party::start(1, sqlite(folder.path(), "payer"), chain, buyer(PRICE)).await;
    let line = Joined::new(&honest, &payee);
    line.wait_for_award();
    line.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_counts_for_who_is_gone_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let chain = rich(1..=40);
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let wary = Wants {
        // A window and a little; ten of them are what all may owe.
        unproven_cap: 8_000,
        clock: clock.clone(),
        ..seller()
    };
    let payee = Party::start(2, sqlite(folder.path(), "seller"), chain.clone(), wary).await;
    for n in 10..30 {
        let debtor = Scripted::greet(n, at(n, 1), &payee, key(2).address());
        debtor.say(&Message::Bid(PRICE));
        wait_until("it is served or turned away", || {
            debtor.turned_away().is_some()
                || debtor
                    .heard()
                    .iter()
                    .any(|m| matches!(m, Message::Award { .. }))
        });
        let taken = debtor.take(u64::MAX);
        let owed = i64::try_from((u128::from(taken) * u128::from(PRICE)) >> 30).unwrap();
        if owed == 0 {
            break;
        }
        debtor.pay(7, 1, owed, taken);
        debtor.wait("it is on disk", |m| {
            matches!(m, Message::Ack { .. }).then_some(())
        });
    }
    let honest = Party::start(1, sqlite(folder.path(), "payer"), chain, buyer(PRICE)).await;
    let line = Joined::from(&honest, at(1, 1), &payee);
    let away = |payee: &Party| {
        payee.events().iter().any(|event| {
            matches!(event, PayEvent::NotSelling { peer, reason }
                if *peer == key(1).address() && reason.contains("owe enough together"))
        })
    };
    wait_until("it is turned away", || away(&payee));
    let now = clock.now();
    for n in 10..30 {
        payee
            .ledger
            .ban(key(n).address(), TokenId::BTT, "gone", now)
            .unwrap();
    }
    wait_until("it is served", || {
        clock.advance(Duration::from_secs(5));
        matches!(
            *line.seller_end.class.lock().unwrap(),
            UploadClass::Paid { .. }
        )
    });
    line.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_owes_nothing_costs_the_node_no_question() {
    let folder = tempfile::tempdir().unwrap();
    let chain = rich(1..=2);
    let payee = Party::start(2, sqlite(folder.path(), "seller"), chain.clone(), seller()).await;
    let liar = Scripted::greet(100, at(1, 1), &payee, key(2).address());
    for n in 0..60 {
        liar.says_it_paid(n);
    }
    let honest = Party::start(
        1,
        sqlite(folder.path(), "payer"),
        chain.clone(),
        buyer(PRICE),
    )
    .await;
    let line = Joined::new(&honest, &payee);
    line.wait_for_award();
    assert_eq!(chain.looks.load(Ordering::SeqCst), 0);
    line.close();
    // One that owes something is believed a few times, at once.
    let debtor = Scripted::greet(1, at(1, 1), &payee, key(2).address());
    debtor.buy_at(PRICE);
    debtor.take(1 << 20);
    for n in 0..60 {
        debtor.says_it_paid(n);
    }
    wait_until("it is looked for", || {
        chain.looks.load(Ordering::SeqCst) > 0
    });
    let again = Joined::new(&honest, &payee);
    again.wait_for_award();
    assert!(chain.looks.load(Ordering::SeqCst) <= 10);
    again.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn bids_again_and_again_are_one_question_to_the_node() {
    let folder = tempfile::tempdir().unwrap();
    let chain = rich(1..=2);
    let payee = Party::start(2, sqlite(folder.path(), "seller"), chain.clone(), seller()).await;
    let bidder = Scripted::greet(1, at(1, 1), &payee, key(2).address());
    bidder.buy_at(PRICE);
    for _ in 0..6 {
        bidder.say(&Message::Bid(PRICE));
    }
    // Read in order, so the bids were looked at when this is.
    bidder.pay(7, 1, 0, 0);
    bidder.wait("its receipt", |m| {
        matches!(m, Message::Ack { .. }).then_some(())
    });
    assert_eq!(chain.questions.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_at_its_limit_goes_on_for_free_and_pays_again_once_it_settled() {
    let folder = tempfile::tempdir().unwrap();
    let chain = rich(1..=2);
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), buyer(PRICE)).await;
    let wary = Wants {
        unproven_cap: 20_000,
        ..seller()
    };
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain.clone(), wary).await;
    let line = Joined::new(&payer, &payee);
    line.wait_for_award();
    // 1,220 units a piece: sixteen are the cap, and all of these come.
    let paid = line.download(60);
    assert!((10..30).contains(&(paid / u64::from(PIECE))), "{paid}");
    let told = |payer: &Party| {
        payer.events().into_iter().find_map(|event| match event {
            PayEvent::TurnedBack { why, owed, .. } => Some((why, owed)),
            _ => None,
        })
    };
    wait_until("it is told", || told(&payer).is_some());
    let (why, owed) = told(&payer).unwrap();
    assert_eq!(why, HoldReason::Cap);
    assert!(owed > raw(10_000), "{owed}");
    assert!(!line.broken());
    // Another process of its home settles, while the two talk.
    let position = payer.ledger.position(&pair(1)).unwrap();
    let txid = TxId::from_bytes([5; 32]);
    let row = TransferRow {
        txid,
        block: 150,
        block_time: SystemClock.now(),
        payer: key(1).address(),
        payee: key(2).address(),
        token: Token::Trc10(TokenId::BTT),
        amount: position.issued,
    };
    chain.transfers.lock().unwrap().insert(txid, row);
    payer.ledger.record_transfer(&row).unwrap();
    wait_until("it is sold to again", || {
        matches!(
            *line.seller_end.class.lock().unwrap(),
            UploadClass::Paid { .. }
        )
    });
    wait_until("it buys again", || {
        line.buyer
            .price_request(10_000, 16)
            .is_some_and(|tag| tag != PriceTag(0))
    });
    line.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_that_restarts_again_and_again_is_bought_from() {
    let folder = tempfile::tempdir().unwrap();
    let chain = rich(1..=2);
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), buyer(PRICE)).await;
    for life in 1..=10u32 {
        let payee = Party::start(2, sqlite(folder.path(), "b"), chain.clone(), seller()).await;
        let line = Joined::new(&payer, &payee);
        line.wait_for_award();
        assert_eq!(line.download(1), u64::from(PIECE), "life {life}");
        line.finish();
        assert!(!line.broken(), "life {life}");
        line.close();
        payee.pay.shutdown();
    }
    assert!(payer.ledger.issued(&pair(1)).unwrap().len() <= 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_does_not_lift_the_buyers_limit_by_a_promise() {
    let folder = tempfile::tempdir().unwrap();
    let chain = rich(1..=2);
    // Both sell and buy, so that one's receipts offset the other's.
    let wants = Wants {
        ask: Some(PRICE),
        max_spend: Some(5_000),
        ..buyer(PRICE)
    };
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), wants).await;
    let liar = Scripted::greet(2, at(1, 1), &payer, key(1).address());
    liar.buy_at(PRICE);
    liar.take(16 << 10);
    liar.pay(7, 1, i64::MAX, 16 << 10);
    liar.wait("it is on disk", |m| {
        matches!(m, Message::Ack { .. }).then_some(())
    });
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain, seller()).await;
    let line = Joined::new(&payer, &payee);
    wait_until("a price is agreed", || {
        matches!(
            *line.seller_end.class.lock().unwrap(),
            UploadClass::Paid { .. }
        )
    });
    line.download(4);
    // What is signed counts against the limit only now, less what was earned back.
    wait_until("most of it is paid", || {
        payer.pay.totals().spent_raw >= 3_000
    });
    line.download(10);
    line.finish();
    let spent = payer.pay.totals().spent_raw;
    assert!((3_000..=5_100).contains(&spent), "{spent}");
    line.close();
}
