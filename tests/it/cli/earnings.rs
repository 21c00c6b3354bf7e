//! `earnings` against a chain: whatever was paid, and however far it got,
//! earned = pending + in flight + final.

use std::{fs, path::Path, time::Duration};

use seedrail::{
    devnet::{Devnet, Pace},
    ledger::{ChainBound, EpochId, Origin, Pair, Receipts, Remainder, SqliteLedger, Transfers},
    receipts::{Receipt, ReceiptDomain, SignedReceipt},
    tron::{
        contract::Contract,
        keys::SecretKey,
        transaction::{Draft, RefBlock},
    },
    types::{Address, InfoHash, RawAmount, Salt, Token, TokenId, UnixMs},
};
use serde_json::Value;

use crate::support::home::Home;

const DAY_MS: i64 = 86_400_000;
/// 2026-11-20.
const FIRST_DAY: i64 = 20_777;

fn torrent(n: u8) -> InfoHash {
    InfoHash::from_bytes([n; 20])
}

/// The one ledger of a home.
fn ledger_of(home: &Path) -> SqliteLedger {
    let file = fs::read_dir(home.join("ledgers"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "sqlite"))
        .unwrap();
    SqliteLedger::open_existing(&file).unwrap()
}

fn receipt(payer: Address, payee: Address, epoch: EpochId, sequence: u64, amount: i64) -> Receipt {
    Receipt {
        payer,
        payee,
        signer: payer,
        vault: Address::ZERO,
        token: TokenId::BTT,
        epoch,
        since_block: 0,
        sequence,
        amount: RawAmount::new(amount).unwrap(),
        delivered_bytes: sequence * 1_000,
        issued_at: 1_795_000_000,
        grant: Salt::ZERO,
    }
}

/// A payer's receipts to us: one a day, for two torrents.
fn earn(ledger: &SqliteLedger, key: &SecretKey, us: Address, amounts: &[i64]) {
    let domain = ReceiptDomain::new(ledger.genesis());
    let epoch = EpochId::new(1).unwrap();
    for ((sequence, amount), day) in (1..).zip(amounts).zip(FIRST_DAY..) {
        let body = receipt(key.address(), us, epoch, sequence, *amount);
        let signed = SignedReceipt::sign(body, &domain, key).unwrap();
        let origin = Origin {
            at: Some(UnixMs(day * DAY_MS)),
            torrents: vec![(torrent(1), 2), (torrent(2), 1)],
            ..Origin::default()
        };
        ledger
            .store_received_for(&signed.to_row(), &origin)
            .unwrap();
    }
}

fn owe(ledger: &SqliteLedger, key: &SecretKey, payee: Address, amount: i64) {
    let pair = Pair {
        payer: key.address(),
        payee,
        token: TokenId::BTT,
    };
    let lease = ledger.claim_epoch(&pair, 0).unwrap();
    let body = receipt(pair.payer, payee, lease.epoch, 1, amount);
    let domain = ReceiptDomain::new(ledger.genesis());
    let signed = SignedReceipt::sign(body, &domain, key).unwrap();
    ledger
        .issue(&lease, &signed.to_row(), Remainder::default(), None)
        .unwrap();
}

fn pay(devnet: &Devnet, from: usize, to: Address, amount: i64) {
    let from = &devnet.accounts()[from];
    let head = devnet.block(devnet.head_number()).unwrap();
    let token = Token::Trc10(TokenId::BTT);
    let contract = Contract::transfer(from.address, to, token, RawAmount::new(amount).unwrap());
    let transaction = Draft::new(
        contract,
        RefBlock::from(head.id()),
        head.header.timestamp.plus(Duration::from_secs(60)),
        UnixMs(amount),
    )
    .build()
    .sign(&from.key)
    .unwrap();
    devnet.submit(transaction).unwrap();
}

fn number(value: &Value) -> i64 {
    value.as_str().unwrap().parse().unwrap()
}

/// The parts of a document or a row, which add up.
fn parts(value: &Value) -> [i64; 4] {
    let of = |name: &str| number(&value[name]);
    let parts = [
        of("earned_raw"),
        of("pending_raw"),
        of("in_flight_raw"),
        of("final_raw"),
    ];
    assert_eq!(parts[0], parts[1] + parts[2] + parts[3], "{value}");
    parts
}

/// What `earnings` says, after every way of dividing it adds up.
fn look(home: &Home, url: &str) -> [i64; 4] {
    let mut whole = None;
    for by in ["day", "torrent", "peer"] {
        let document = home
            .run(["earnings", "--json", "--node", url, "--by", by])
            .json();
        let total = parts(&document);
        let rows = document[format!("by_{by}")].as_array().unwrap();
        let mut sum = [0; 4];
        for row in rows {
            for (sum, part) in sum.iter_mut().zip(parts(row)) {
                *sum += part;
            }
        }
        assert_eq!(sum, total, "by {by}");
        let mut of_payers = [0; 4];
        for claim in document["by_payer"].as_array().unwrap() {
            for (sum, part) in of_payers.iter_mut().zip(parts(claim)) {
                *sum += part;
            }
        }
        assert_eq!(of_payers, total);
        assert_eq!(*whole.get_or_insert(total), total, "by {by}");
    }
    whole.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_earned_is_pending_in_flight_or_final_at_every_moment() {
    let devnet = Devnet::builder()
        .pace(Pace::Manual)
        .solid_lag(3)
        .start()
        .await
        .unwrap();
    devnet.mine(5);
    let url = devnet.url();
    let own = devnet.accounts()[0].key.clone();
    let us = own.address();
    let home = Home::new().env("SEEDRAIL_PRIVATE_KEY", &hex::encode(own.expose_bytes()));
    assert_eq!(look(&home, &url), [0; 4]);
    // Reading made no ledger; writing does.
    let made = home.run(["peers", "forgive", &us.to_string(), "--node", &url]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    {
        let ledger = ledger_of(home.path());
        for (n, amounts) in [
            (1, [500, 900, 1_200]),
            (2, [10, 20, 70]),
            (3, [1, 2, 3_000]),
        ] {
            earn(&ledger, &devnet.accounts()[n].key, us, &amounts);
        }
        // What we owe the third pays for a part of what it owes us.
        owe(&ledger, &own, devnet.accounts()[3].address, 1_000);
    }
    let all = 1_200 + 70 + 3_000;
    assert_eq!(look(&home, &url), [all, all - 1_000, 0, 1_000]);
    // One pays in two parts, one pays too much, one what is left of its debt; a
    // stranger's gift is nothing that was earned.
    pay(&devnet, 1, us, 700);
    pay(&devnet, 2, us, 100);
    pay(&devnet, 4, us, 5_000);
    assert_eq!(look(&home, &url)[2], 0, "a pool is no block");
    devnet.mine(1);
    assert_eq!(look(&home, &url), [all, all - 1_770, 770, 1_000]);
    pay(&devnet, 1, us, 500);
    devnet.mine(1);
    assert_eq!(look(&home, &url), [all, all - 2_270, 1_270, 1_000]);
    devnet.mine(2);
    assert_eq!(look(&home, &url), [all, all - 2_270, 500, 1_770]);
    let read = || {
        let ledger = ledger_of(home.path());
        ledger.watched(us, TokenId::BTT).unwrap().unwrap().last
    };
    let before = read();
    assert_eq!(before.number(), devnet.solid_number());
    pay(&devnet, 3, us, 2_000);
    devnet.mine(6);
    assert_eq!(look(&home, &url), [all, 0, 0, all]);
    assert_eq!(read().number(), before.number() + 6);

    // By day: what was owed first was settled first.
    let svg = home.path().join("earned.svg");
    let drawn = home.run([
        "earnings",
        "--node",
        &url,
        "--by",
        "day",
        "--plot",
        "--svg",
        svg.to_str().unwrap(),
    ]);
    assert_eq!(drawn.code, 0, "{drawn:?}");
    for day in ["2026-11-20", "2026-11-21", "2026-11-22"] {
        assert_eq!(drawn.stdout.matches(day).count(), 2, "{}", drawn.stdout);
        assert!(fs::read_to_string(&svg).unwrap().contains(day));
    }
    assert!(drawn.stdout.contains("█ final") && !drawn.stdout.contains("░░"));
}
