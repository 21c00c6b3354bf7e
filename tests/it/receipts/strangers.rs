//! Addresses are cheap: what those that never settled can take together.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use seedrail::{
    ledger::{EpochId, Pair, ReceiptRow, TransferRow},
    receipts::{Ask, Exposure, Held, pay::PayEvent},
    swarm::hooks::PriceTag,
    types::{Clock, ManualClock, RawAmount, Salt, SystemClock, Token, TokenId, TxId, UnixMs},
};

use crate::support::link::*;

/// What one stranger may owe; a window costs 7,324 at the price.
const CAP: i64 = 20_000;

fn at(network: u8, host: u8) -> SocketAddr {
    ([203, 0, network, host], 6881).into()
}

fn bounds() -> Exposure {
    let ask = Ask {
        floor_price: PRICE,
        unproven_cap: raw(CAP),
    };
    Exposure::of(&ask, PIECE)
}

fn everybody() -> Arc<FakeChain> {
    let all: Vec<_> = (1..=40)
        .map(|n| (key(n).address(), 1_000_000_000))
        .collect();
    FakeChain::with(&all)
}

async fn wary(ledger: Arc<dyn seedrail::ledger::Ledger>, chain: &Arc<FakeChain>) -> Party {
    let wants = Wants {
        unproven_cap: CAP,
        ..seller()
    };
    Party::start(1, ledger, chain.clone(), wants).await
}

/// Whether the newest bidder was turned away, with these words.
fn turned_away(payee: &Party, payer: u8, words: &str) -> bool {
    payee.events().iter().any(|event| {
        matches!(event, PayEvent::NotSelling { peer, reason }
            if *peer == key(payer).address() && reason.contains(words))
    })
}

fn units(bytes: u64) -> u128 {
    (u128::from(bytes) * u128::from(PRICE)) >> 30
}

#[tokio::test(flavor = "multi_thread")]
async fn ever_new_addresses_of_one_network_take_no_more_than_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let chain = everybody();
    let payee = wary(sqlite(folder.path(), "payee"), &chain).await;
    let (mut taken, mut served) = (0, 0);
    for n in 10..=30 {
        let ledger = sqlite(folder.path(), &n.to_string());
        let fresh = Party::start(n, ledger, chain.clone(), buyer(PRICE)).await;
        let line = Joined::from(&fresh, at(113, n), &payee);
        wait_until("it is served or turned away", || {
            payee
                .pay
                .peers()
                .iter()
                .any(|view| view.sale_price.is_some())
                || turned_away(&payee, n, "of its network")
        });
        if turned_away(&payee, n, "of its network") {
            // The next network is not theirs to use up.
            let ledger = sqlite(folder.path(), "other");
            let other = Party::start(31, ledger, chain.clone(), buyer(PRICE)).await;
            let elsewhere = Joined::from(&other, at(112, n), &payee);
            elsewhere.wait_for_award();
            line.close();
            elsewhere.close();
            break;
        }
        taken += line.take();
        served += 1;
        line.close();
    }
    assert_eq!(served, 5);
    // What was written off as they went is in it.
    assert!(units(taken) <= bounds().per_network, "{taken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_off_and_given_up_is_within_what_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let chain = everybody();
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let cap = CAP / 2;
    let ask = Ask {
        floor_price: PRICE,
        unproven_cap: raw(cap),
    };
    let bounds = Exposure::of(&ask, PIECE);
    let open = || {
        let wants = Wants {
            unproven_cap: cap,
            clock: clock.clone(),
            ..seller()
        };
        let ledger = sqlite(folder.path(), "payee");
        Party::start(1, ledger, chain.clone(), wants)
    };
    let mut payee = open().await;
    let (mut taken, mut away) = (0, false);
    for n in 10..=30 {
        let ledger = sqlite(folder.path(), &n.to_string());
        let fresh = Party::start(n, ledger, chain.clone(), buyer(PRICE)).await;
        let mut line = Joined::from(&fresh, at(n, 1), &payee);
        let served = |payee: &Party| {
            payee
                .pay
                .peers()
                .iter()
                .any(|view| view.sale_price.is_some())
        };
        wait_until("it is served or turned away", || {
            served(&payee) || turned_away(&payee, n, "owe enough together")
        });
        if !served(&payee) {
            line.close();
            away = true;
            break;
        }
        taken += line.take();
        line.close();
        // It comes back for what was written off, and lets its time run out.
        line = Joined::from(&fresh, at(n, 1), &payee);
        line.wait_for_award();
        taken += line.take();
        clock.advance(Duration::from_secs(61));
        wait_until("its debt is given up", || {
            let gave_up = |event: &PayEvent| matches!(event, PayEvent::Defaulted { peer, .. } if *peer == key(n).address());
            payee.events().iter().any(gave_up)
        });
        line.close();
        if n == 14 {
            // Who did not pay before a restart is not forgotten.
            payee.pay.shutdown();
            drop(payee);
            payee = open().await;
        }
    }
    assert!(away, "{taken}");
    // What was written off before the restart is remembered, too.
    assert!(units(taken) <= bounds.total, "{taken}");
    assert!(units(taken) > bounds.total * 3 / 4, "{taken}");
}

/// One address loses its seller money in every way there is, one after the other: receipts that
/// it never settles, a window, what is written off, and what is given up.
#[tokio::test(flavor = "multi_thread")]
async fn one_address_takes_by_all_ways_together_no_more_than_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let chain = everybody();
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let wants = Wants {
        unproven_cap: CAP,
        clock: clock.clone(),
        ..seller()
    };
    let payee = Party::start(1, sqlite(folder.path(), "payee"), chain.clone(), wants).await;
    let payer = Party::start(10, sqlite(folder.path(), "payer"), chain, buyer(PRICE)).await;
    let join = || Joined::from(&payer, at(10, 1), &payee);
    let line = join();
    line.wait_for_award();
    // Receipts that nobody settles.
    let promised = line.download(4);
    line.finish();
    // A window without receipts, of which a part is written off.
    let mut taken = promised + line.take();
    line.close();
    let line = join();
    line.wait_for_award();
    let again = line.take();
    assert!(again > 0, "what was written off is sent once more");
    taken += again;
    // What is left is given up.
    clock.advance(Duration::from_secs(61));
    wait_until("its debt is given up", || {
        let gave_up = |event: &PayEvent| matches!(event, PayEvent::Defaulted { .. });
        payee.events().iter().any(gave_up)
    });
    line.close();
    // Then it is served no more on credit.
    let line = join();
    wait_until("it is turned away", || {
        turned_away(&payee, 10, "did not pay")
    });
    line.close();
    assert!(units(taken) <= bounds().per_address, "{taken}");
    assert!(units(taken) > bounds().per_address / 2, "{taken}");
    // The payer owes what it signed, for what came whole, and not a unit more: the rest was
    // never verified.
    let pair = Pair {
        payer: key(10).address(),
        payee: key(1).address(),
        token: TokenId::BTT,
    };
    let issued = payer.ledger.position(&pair).unwrap().issued;
    assert_eq!(u128::from(issued.unsigned()), units(promised));
}

#[tokio::test(flavor = "multi_thread")]
async fn settling_next_to_nothing_frees_nobody_from_the_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let chain = everybody();
    let ledger = sqlite(folder.path(), "payee");
    let mut taken = 0;
    for n in 10..=30u8 {
        ledger
            .record_transfer(&TransferRow {
                txid: TxId::from_bytes([n; 32]),
                block: 150,
                block_time: UnixMs(1_790_000_000_000),
                payer: key(n).address(),
                payee: key(1).address(),
                token: Token::Trc10(TokenId::BTT),
                amount: raw(1),
            })
            .unwrap();
    }
    let payee = wary(ledger, &chain).await;
    let mut lines = Vec::new();
    for n in 10..=30 {
        let ledger = sqlite(folder.path(), &n.to_string());
        let fresh = Party::start(n, ledger, chain.clone(), buyer(PRICE)).await;
        let line = Joined::from(&fresh, at(113, n), &payee);
        line.wait_for_award();
        taken += units(line.take());
        lines.push((fresh, line));
    }
    let settled = u128::try_from(lines.len()).unwrap();
    assert!(taken > bounds().per_network / 2);
    assert!(taken <= bounds().per_network + settled, "{taken}");
    for (_, line) in lines {
        line.close();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_of_one_network_owe_no_more_than_is_printed_however_long_they_pay() {
    let folder = tempfile::tempdir().unwrap();
    let chain = everybody();
    let payee = wary(sqlite(folder.path(), "payee"), &chain).await;
    let mut owed = 0;
    for (n, pieces) in [(10, 12), (11, 12), (12, 8)] {
        let ledger = sqlite(folder.path(), &n.to_string());
        let fresh = Party::start(n, ledger, chain.clone(), buyer(PRICE)).await;
        let line = Joined::from(&fresh, at(113, n), &payee);
        line.wait_for_award();
        owed += units(line.download(pieces));
        line.finish();
        if n == 12 {
            // Its own cap is far, its network's is not.
            let more = line.take();
            assert!(
                owed + units(more) <= bounds().per_network,
                "{owed} and {more}"
            );
            assert!(owed + units(more + (16 << 10)) + 1 >= bounds().per_network);
            wait_until("it is held", || {
                payee
                    .pay
                    .peers()
                    .iter()
                    .any(|view| view.held == Some(Held::Cap))
            });
        }
        line.close();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_owe_from_before_counts_until_they_are_banned() {
    let folder = tempfile::tempdir().unwrap();
    let chain = everybody();
    let ledger = sqlite(folder.path(), "payee");
    let token = TokenId::BTT;
    // Ten that went away and left a cap each, but for a little.
    let debtors = 20..=29;
    for n in debtors.clone() {
        let row = ReceiptRow {
            pair: Pair {
                payer: key(n).address(),
                payee: key(1).address(),
                token,
            },
            signer: key(n).address(),
            epoch: EpochId::new(i64::from(n)).unwrap(),
            since_block: 1,
            sequence: 1,
            amount: RawAmount::new(CAP - 500).unwrap(),
            delivered_bytes: 1,
            issued_at: 1_790_000_000,
            grant: Salt::ZERO,
            signature: [1; 65],
        };
        ledger.store_received(&row).unwrap();
    }
    let stranger = Party::start(10, sqlite(folder.path(), "x"), chain.clone(), buyer(PRICE)).await;
    {
        let payee = wary(ledger.clone(), &chain).await;
        let line = Joined::from(&stranger, at(1, 1), &payee);
        wait_until("it is turned away", || {
            turned_away(&payee, 10, "owe enough together")
        });
        line.close();
    }
    // The user gives one of them up.
    let now = seedrail::types::Clock::now(&seedrail::types::SystemClock);
    ledger.ban(key(20).address(), token, "gone", now).unwrap();
    let payee = wary(ledger, &chain).await;
    let line = Joined::from(&stranger, at(1, 1), &payee);
    line.wait_for_award();
    line.close();
}

/// One chunk at a price, asked for and sent; its tag.
fn one_chunk(line: &Joined, piece: u32) -> PriceTag {
    let chunk = 16 << 10;
    let mut asked = None;
    wait_until("a chunk may be asked for", || {
        asked = line.buyer.price_request(piece, chunk);
        asked.is_some()
    });
    wait_until("it may be sent", || {
        line.seller.upload_allowance() >= u64::from(chunk)
    });
    line.seller.served(piece, chunk);
    asked.unwrap()
}

/// A buyer loses its money in every way there is: it pays for what it uses, for chunks that two
/// sellers sent since one was late, and not for garbage nor for what was never verified. The
/// limit that it set is all that can be lost.
#[tokio::test(flavor = "multi_thread")]
async fn one_buyer_pays_by_all_ways_together_no_more_than_its_limit() {
    const LIMIT: i64 = 8_000;
    let folder = tempfile::tempdir().unwrap();
    let chain = everybody();
    let wants = Wants {
        max_spend: Some(LIMIT),
        ..buyer(PRICE)
    };
    let payer = Party::start(1, sqlite(folder.path(), "payer"), chain.clone(), wants).await;
    let mut lines = Vec::new();
    for n in [2, 3] {
        let ledger = sqlite(folder.path(), &n.to_string());
        let payee = Party::start(n, ledger, chain.clone(), seller()).await;
        let line = Joined::new(&payer, &payee);
        line.wait_for_award();
        lines.push((n, payee, line));
    }
    let [(_, _, one), (_, _, other)] = &lines[..] else {
        panic!("two sellers");
    };
    let chunk: u32 = 16 << 10;
    let chunks = PIECE / chunk;
    let used = one.download(2);
    // Both are asked for a whole piece, and both bring it.
    let both = [one, other].map(|line| {
        let tags = (0..chunks).map(|_| (one_chunk(line, 100), chunk));
        (line, tags.collect::<Vec<_>>())
    });
    for (line, tags) in &both {
        line.buyer.piece_verified(100, tags);
    }
    let duplicates = u64::from(PIECE);
    // Garbage, and what the seller stops in the middle of.
    for piece in [101, 102] {
        for _ in 0..4 {
            let tag = one_chunk(other, piece);
            assert_ne!(tag, PriceTag(0));
            other.buyer.request_dropped(tag, chunk);
        }
        other.buyer.piece_over(piece);
    }
    let signed = || {
        let issued = lines.iter().map(|(n, ..)| {
            let pair = Pair {
                payer: key(1).address(),
                payee: key(*n).address(),
                token: TokenId::BTT,
            };
            payer.ledger.position(&pair).unwrap().issued.unsigned()
        });
        u128::from(issued.sum::<u64>())
    };
    for (.., line) in &lines {
        line.finish();
    }
    // Rounded down once for each seller.
    let due = units(used + u64::from(PIECE) + duplicates);
    assert!((due - 2..=due).contains(&signed()), "{} of {due}", signed());
    // It goes on to its limit, and is shared with for free then.
    one.download(10);
    for (.., line) in &lines {
        line.finish();
    }
    let limit = u128::try_from(LIMIT).unwrap();
    let whole = units(u64::from(PIECE));
    assert!(
        (limit - whole - 2..=limit).contains(&signed()),
        "{}",
        signed()
    );
    for (n, payee, line) in &lines {
        let pair = Pair {
            payer: key(*n).address(),
            payee: key(1).address(),
            token: TokenId::BTT,
        };
        let position = payee.ledger.position(&pair).unwrap();
        assert_eq!(position.earned(), position.received, "all of it was sold");
        line.close();
    }
}
