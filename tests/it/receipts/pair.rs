//! A buyer and a seller over one link.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use seedrail::{
    ledger::{FlowKind, Pair, ReceiptRow},
    receipts::{
        Held, Identity,
        pay::{PayConfig, PayEvent, PayExtension, Terms},
    },
    swarm::hooks::{PriceTag, UploadClass},
    types::{InfoHash, SystemClock, TokenId, TxId, UnixMs},
};

use crate::support::link::*;

fn pair() -> Pair {
    Pair {
        payer: key(1).address(),
        payee: key(2).address(),
        token: TokenId::BTT,
    }
}

fn both_rich() -> Arc<FakeChain> {
    FakeChain::with(&[
        (key(1).address(), 1_000_000_000),
        (key(2).address(), 1_000_000_000),
    ])
}

fn newest(party: &Party, issued: bool) -> Vec<ReceiptRow> {
    let rows = if issued {
        party.ledger.issued(&pair())
    } else {
        party.ledger.received(&pair())
    };
    rows.expect("the ledger reads")
        .into_iter()
        .map(|row| row.into_inner())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_delivered_is_owed_to_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let chain = both_rich();
    let payer = Party::start(
        1,
        sqlite(folder.path(), "a"),
        chain.clone(),
        buyer(20_000_000),
    )
    .await;
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain, seller()).await;
    let line = Joined::new(&payer, &payee);
    line.wait_for_award();
    let bytes = line.download(100);
    assert_eq!(bytes, 100 * u64::from(PIECE));
    line.finish();

    let (issued, received) = (newest(&payer, true), newest(&payee, false));
    assert_eq!(issued, received);
    assert_eq!(issued.len(), 1);
    // Uncontended: the floor price, not the bid.
    let owed = (u128::from(bytes) * u128::from(PRICE)) >> 30;
    assert_eq!(u128::from(issued[0].amount.unsigned()), owed);
    assert_eq!(issued[0].delivered_bytes, bytes);
    assert_eq!(u128::from(payer.pay.totals().spent_raw), owed);
    assert_eq!(u128::from(payee.pay.totals().earned_raw), owed);
    // All of it for the one torrent, in the view and in the ledger.
    let torrents = payee.pay.torrents();
    assert_eq!(torrents.len(), 1);
    assert_eq!(u128::from(torrents[0].1.earned_raw), owed);
    let flows = payee
        .ledger
        .flows(key(2).address(), TokenId::BTT, FlowKind::Earned);
    for flow in flows.unwrap() {
        assert_eq!(flow.torrent, Some(torrents[0].0), "{flow:?}");
    }
    assert!(!line.broken());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_torrent_came_to_is_forgotten_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let chain = both_rich();
    let (a, b) = (sqlite(folder.path(), "a"), sqlite(folder.path(), "b"));
    let payer = Party::start(1, a, chain.clone(), buyer(20_000_000)).await;
    let payee = Party::start(2, b, chain, seller()).await;
    let line = Joined::new(&payer, &payee);
    line.wait_for_award();
    line.download(10);
    line.finish();
    line.close();
    let spent = payer.pay.totals().spent_raw;
    assert!(spent > 0);
    for party in [&payer, &payee] {
        let torrents = party.pay.torrents();
        assert_eq!(torrents.len(), 1);
        party.pay.forget(torrents[0].0);
        assert!(party.pay.torrents().is_empty());
    }
    // What the session came to stays, and it is sold and bought again from nothing.
    assert_eq!(payer.pay.totals().spent_raw, spent);
    let line = Joined::new(&payer, &payee);
    line.wait_for_award();
    line.download(10);
    line.finish();
    let (all, torrents) = (payer.pay.totals().spent_raw, payer.pay.torrents());
    assert_eq!(torrents[0].1.spent_raw, all - spent);
}

#[tokio::test(flavor = "multi_thread")]
async fn torrents_that_are_gone_are_no_part_of_what_comes_after_them() {
    let folder = tempfile::tempdir().unwrap();
    let chain = both_rich();
    let (a, b) = (sqlite(folder.path(), "a"), sqlite(folder.path(), "b"));
    let payer = Party::start(1, a, chain.clone(), buyer(20_000_000)).await;
    let payee = Party::start(2, b, chain, seller()).await;
    for number in 1..8 {
        let torrent = InfoHash::from_bytes([number; 20]);
        let before = payer.pay.totals().spent_raw;
        let line = Joined::about(torrent, &payer, &payee);
        line.wait_for_award();
        line.download(10);
        line.finish();
        line.close();
        let spent = payer.pay.totals().spent_raw - before;
        assert!(spent > 0);
        let torrents = payer.pay.torrents();
        assert_eq!(torrents.len(), 1, "those before are forgotten");
        assert_eq!((torrents[0].0, torrents[0].1.spent_raw), (torrent, spent));
        let torrents = payee.pay.torrents();
        assert_eq!(torrents.len(), 1, "those before are forgotten");
        assert_eq!((torrents[0].0, torrents[0].1.earned_raw), (torrent, spent));
        payer.pay.forget(torrent);
        payee.pay.forget(torrent);
    }
    let account = key(1).address();
    let flows = payer
        .ledger
        .flows(account, TokenId::BTT, FlowKind::Spent)
        .unwrap();
    assert_eq!(flows.len(), 7);
    assert!(flows.iter().all(|flow| flow.torrent.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_nothing_is_paid_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let chain = both_rich();
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), buyer(PRICE)).await;
    let free = Party::start(2, sqlite(folder.path(), "b"), chain, buyer(PRICE)).await;
    let line = Joined::new(&payer, &free);
    assert_eq!(line.download(20), 0);
    line.finish();
    assert!(newest(&payer, true).is_empty());
    assert_eq!(*line.seller_end.class.lock().unwrap(), UploadClass::Free);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bid_below_the_floor_downloads_for_free() {
    let folder = tempfile::tempdir().unwrap();
    let chain = both_rich();
    let payer = Party::start(
        1,
        sqlite(folder.path(), "a"),
        chain.clone(),
        buyer(PRICE - 1),
    )
    .await;
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain, seller()).await;
    let line = Joined::new(&payer, &payee);
    assert_eq!(line.download(20), 0);
    line.finish();
    assert!(newest(&payer, true).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_without_an_account_or_money_is_not_served_on_credit() {
    let folder = tempfile::tempdir().unwrap();
    let own = FakeChain::with(&[(key(1).address(), 1_000_000_000)]);
    let payer = Party::start(1, sqlite(folder.path(), "a"), own, buyer(PRICE)).await;
    for (name, chain) in [
        ("does not exist", FakeChain::default().into()),
        ("it holds 1 raw", FakeChain::with(&[(key(1).address(), 1)])),
    ] {
        let payee = Party::start(2, sqlite(folder.path(), name), chain, seller()).await;
        let line = Joined::new(&payer, &payee);
        wait_until("the bidder is looked at", || {
            payee.events().iter().any(|event| {
                matches!(event, PayEvent::NotSelling { reason, .. } if reason.contains(name))
            })
        });
        assert_eq!(*line.seller_end.class.lock().unwrap(), UploadClass::Free);
        line.close();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vanishing_payer_takes_no_more_than_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let chain = both_rich();
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), buyer(PRICE)).await;
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain, seller()).await;
    let line = Joined::new(&payer, &payee);
    line.wait_for_award();
    let window = payee.pay.peers()[0].window_bytes;
    let mut taken = 0;
    while line.seller.upload_allowance() >= 16 << 10 {
        line.seller.served(0, 16 << 10);
        taken += 16 << 10;
        assert!(taken <= window);
    }
    assert_eq!(taken, window);
    wait_until("the seller says so", || {
        payee.pay.peers()[0].held == Some(Held::Window)
    });
    assert_eq!(payee.pay.totals().holds, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_ends_the_spending_and_the_rest_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let chain = both_rich();
    let mut wants = buyer(PRICE);
    // About 2.1 MB at the price.
    wants.max_spend = Some(10_000);
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), wants).await;
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain, seller()).await;
    let line = Joined::new(&payer, &payee);
    line.wait_for_award();
    let paid = line.download(40);
    line.finish();
    let spent = payer.pay.totals().spent_raw;
    assert_eq!(
        spent,
        u64::try_from((u128::from(paid) * u128::from(PRICE)) >> 30).unwrap()
    );
    assert!((9_000..=10_000).contains(&spent), "{spent}");
    assert_eq!(newest(&payer, true), newest(&payee, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_brings_what_was_signed_and_never_arrived() {
    let folder = tempfile::tempdir().unwrap();
    let chain = both_rich();
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), buyer(PRICE)).await;
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain, seller()).await;
    let line = Joined::new(&payer, &payee);
    line.wait_for_award();
    line.download(4);
    // From here on nothing of the payer's arrives.
    line.buyer_end
        .passes
        .store(0, std::sync::atomic::Ordering::SeqCst);
    line.buyer.finished();
    wait_until("the last receipt is on disk", || {
        newest(&payer, true)
            .first()
            .is_some_and(|row| row.delivered_bytes == 4 * u64::from(PIECE))
    });
    line.close();
    let before = newest(&payer, true);
    assert_ne!(before, newest(&payee, false));

    let again = Joined::new(&payer, &payee);
    wait_until("the seller has it", || newest(&payee, false) == before);
    again.wait_for_award();
    again.download(4);
    again.finish();
    let after = newest(&payer, true);
    assert_eq!(after, newest(&payee, false));
    assert_eq!(after.len(), 1, "the same epoch goes on");
    assert_eq!(after[0].delivered_bytes, 8 * u64::from(PIECE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_in_the_same_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let chain = both_rich();
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain.clone(), seller()).await;
    let mut bytes = 0;
    for round in 1..=3 {
        let ledger = sqlite(folder.path(), "a");
        let payer = Party::start(1, ledger, chain.clone(), buyer(PRICE)).await;
        let line = Joined::new(&payer, &payee);
        line.wait_for_award();
        bytes += line.download(7);
        line.finish();
        line.close();
        let rows = newest(&payer, true);
        assert_eq!(rows.len(), 1, "round {round}");
        // The remainder was kept: not a unit is lost over restarts.
        let owed = (u128::from(bytes) * u128::from(PRICE)) >> 30;
        assert_eq!(u128::from(rows[0].amount.unsigned()), owed);
        payer.pay.shutdown();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_is_believed_from_ones_own_node_only_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let chain = both_rich();
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), buyer(PRICE)).await;
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain.clone(), seller()).await;
    let txid = TxId::from_bytes([5; 32]);
    let row = seedrail::ledger::TransferRow {
        txid,
        block: 150,
        block_time: UnixMs(1_790_000_000_000),
        payer: key(1).address(),
        payee: key(2).address(),
        token: seedrail::types::Token::Trc10(TokenId::BTT),
        amount: raw(1_000),
    };
    payer.ledger.record_transfer(&row).unwrap();
    // The payee's node does not know it yet: told, and not believed.
    let line = Joined::new(&payer, &payee);
    line.wait_for_award();
    line.download(1);
    line.finish();
    line.close();
    assert!(
        payee
            .ledger
            .transfers(key(2).address(), 10)
            .unwrap()
            .is_empty()
    );
    chain.transfers.lock().unwrap().insert(txid, row);
    for _ in 0..2 {
        let line = Joined::new(&payer, &payee);
        line.wait_for_award();
        wait_until("it is recorded", || {
            payee.ledger.transfers(key(2).address(), 10).unwrap() == [row]
        });
        line.close();
    }
    let settled = |event: &PayEvent| matches!(event, PayEvent::Settled { .. });
    assert_eq!(payee.events().into_iter().filter(settled).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_does_not_hang_up_before_the_last_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let chain = both_rich();
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), buyer(PRICE)).await;
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain, seller()).await;
    let line = Joined::new(&payer, &payee);
    line.wait_for_award();
    assert!(line.seller.drained());
    line.seller.served(1, 16 << 10);
    assert!(!line.seller.drained(), "it is about to be paid for");
    wait_until("nobody pays for it", || line.seller.drained());
    line.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_may_be_the_last_to_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let chain = both_rich();
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain.clone(), seller()).await;
    let (give, taken) = mpsc::channel::<Arc<PayExtension>>();
    let (said, heard) = mpsc::channel();
    let taken = Mutex::new(taken);
    let pay = PayExtension::start(PayConfig {
        identity: Identity::own(Arc::new(key(1))),
        genesis: genesis(),
        token: TokenId::BTT,
        terms: Terms::default(),
        on_private: false,
        ledger: sqlite(folder.path(), "a"),
        chain,
        clock: Arc::new(SystemClock),
        on_event: Arc::new(move |_| {
            // The first event waits for what it is to drop; later ones find nothing.
            if let Ok(last) = taken.lock().unwrap().recv() {
                drop(last);
                said.send(()).unwrap();
            }
        }),
    })
    .await
    .unwrap();
    let payer = Party {
        ledger: sqlite(folder.path(), "unused"),
        pay,
        events: Arc::default(),
    };
    let line = Joined::new(&payer, &payee);
    give.send(payer.pay).unwrap();
    drop(give);
    // That the two have met is the first event; the worker lets go, and lives.
    heard.recv_timeout(Duration::from_secs(20)).unwrap();
    line.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_closes_the_connection_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let chain = both_rich();
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain.clone(), seller()).await;
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain, buyer(PRICE)).await;
    let line = Joined::new(&payer, &payee);
    wait_until("the buyer has greeted", || {
        !line.buyer_end.sent.lock().unwrap().is_empty()
    });
    assert!(line.seller.message(b"i1e").is_err());
    assert!(line.seller.message(&[b'd'; 70_000]).is_err());
    // A known message at the wrong time.
    line.seller.message(b"d5:pricei1e1:t3:bide").unwrap();
    line.seller.message(b"d1:t7:unknowne").unwrap();
    let first = line.buyer_end.sent.lock().unwrap()[0].clone();
    line.seller.message(&first).unwrap();
    wait_until("a second hello closes it", || line.seller_end.is_closed());
    line.close();
    let good = Joined::new(&payer, &payee);
    good.wait_for_award();
    assert_eq!(good.download(1), u64::from(PIECE));
    assert_ne!(good.buyer.price_request(9, 16), Some(PriceTag(0)));
}
