//! Prices that change while a download runs.

use std::collections::HashMap;

use seedrail::{
    receipts::{
        Ask, Bid,
        pay::{PayError, Terms},
    },
    swarm::{AddOptions, SeedOptions, Session},
    types::RawAmount,
};

use crate::support::{
    market,
    torrents::{file, of, torrent, until},
};

fn ask(floor_price: u64) -> Option<Ask> {
    Some(Ask {
        floor_price,
        unproven_cap: RawAmount::new(1_000_000_000).unwrap(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_free_is_sold_and_is_free_again() {
    let (_content, path) = file(24 << 20, 5);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let hash = metainfo.info.hash();
    let ledgers = tempfile::tempdir().unwrap();
    let seller_pay = market::pay(1, None, None, ledgers.path()).await;
    let buyer_pay = market::pay(2, None, None, ledgers.path()).await;
    let builder = Session::builder().up_limit(Some(1 << 20));
    let seller = builder.extension(seller_pay.clone()).start().await.unwrap();
    let options = SeedOptions {
        trusted: true,
        ..SeedOptions::default()
    };
    let _seeding = seller.seed(&metainfo, &path, options).unwrap();
    let buyer = Session::builder()
        .extension(buyer_pay.clone())
        .start()
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = AddOptions {
        peers: vec![seller.listen_addr()],
        ..AddOptions::default()
    };
    let download = buyer.add(of(&metainfo), folder.path(), options).unwrap();
    until("it is free at first", || {
        download.stats().downloaded > 1 << 20
    })
    .await;
    assert_eq!(seller_pay.totals().earned_raw, 0);

    let free = seller_pay.set_terms(Terms {
        ask: ask(0),
        ..Terms::default()
    });
    assert!(matches!(free, Err(PayError::FreeAsk)));
    // A price of this torrent alone, and a bid for it alone.
    let buys = |bid| Terms {
        bid_for: HashMap::from([(hash, bid)]),
        ..Terms::default()
    };
    let sells = |ask| Terms {
        ask_for: HashMap::from([(hash, ask)]),
        ..Terms::default()
    };
    seller_pay.set_terms(sells(ask(1 << 30))).unwrap();
    buyer_pay
        .set_terms(buys(Some(Bid::Fixed(1 << 30))))
        .unwrap();
    assert!(seller_pay.terms().sells() && buyer_pay.terms().buys());
    until("it is sold", || {
        // Who was hung up on is called again after a while; here that is not waited for.
        if download.stats().peers.is_empty() {
            download.add_peer(seller.listen_addr());
        }
        seller_pay.totals().earned_raw > 0
    })
    .await;
    until("the buyer has signed as much", || {
        buyer_pay.totals().spent_raw >= seller_pay.totals().earned_raw
    })
    .await;

    // The same terms again change nothing.
    let conns: Vec<_> = seller_pay.peers().iter().map(|peer| peer.conn).collect();
    seller_pay.set_terms(sells(ask(1 << 30))).unwrap();
    let same: Vec<_> = seller_pay.peers().iter().map(|peer| peer.conn).collect();
    assert_eq!(conns, same);

    buyer_pay.set_terms(buys(None)).unwrap();
    until("it is free again", || {
        if download.stats().peers.is_empty() {
            download.add_peer(seller.listen_addr());
        }
        let peers = buyer_pay.peers();
        peers.iter().any(|peer| peer.peer.is_some())
            && peers.iter().all(|peer| peer.purchase_price.is_none())
    })
    .await;
    assert!(!buyer_pay.terms().buys());
}
