//! The node's time beside the wall clock's: what mining, reverting and doing nothing
//! make of it.

use std::{sync::Arc, time::Duration};

use seedrail::{
    devnet::{Devnet, Pace},
    tron::{
        contract::Contract,
        transaction::{Draft, RefBlock, Transaction},
    },
    types::{Clock as _, ManualClock, RawAmount, Token, UnixMs},
};
use serde_json::json;

use super::http::{post, result};

const START: UnixMs = UnixMs(1_790_000_000_000);

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(START))
}

/// A payment as a program signs it that stamps by its own clock.
fn payment(devnet: &Devnet, now: UnixMs, salt: i64) -> Transaction {
    let (from, to) = (&devnet.accounts()[0], &devnet.accounts()[1]);
    let amount = RawAmount::new(salt).unwrap();
    Draft::new(
        Contract::transfer(from.address, to.address, Token::Trx, amount),
        RefBlock::from(devnet.block(devnet.head_number()).unwrap().id()),
        now.plus(Duration::from_secs(60)),
        now,
    )
    .build()
    .sign(&from.key)
    .unwrap()
}

#[tokio::test]
async fn instant_blocks_mined_by_hand_stay_within_a_millisecond_each_of_the_wall_clock() {
    let clock = clock();
    let builder = Devnet::builder().instant().clock(clock.clone());
    let devnet = builder.start().await.unwrap();
    devnet.mine(1_000);
    let head = devnet.block(devnet.head_number()).unwrap();
    let ahead = head.header.timestamp.0 - clock.now().0;
    assert!(ahead <= 1_000, "{ahead} ms ahead after 1,000 blocks");
    // Once the wall clock has caught up, the node's time is the wall clock's again.
    clock.advance(Duration::from_secs(2));
    assert_eq!(devnet.now(), clock.now());
    devnet.submit(payment(&devnet, clock.now(), 1)).unwrap();
    let head = devnet.block(devnet.head_number()).unwrap();
    assert_eq!(head.header.timestamp, clock.now());
}

#[tokio::test]
async fn a_revert_gives_the_time_back_as_well() {
    let clock = clock();
    let builder = Devnet::builder().instant().clock(clock.clone());
    let devnet = builder.start().await.unwrap();
    let snapshot = result(&devnet, "/jsonrpc", "evm_snapshot", json!([])).await;
    result(&devnet, "/jsonrpc", "evm_increaseTime", json!([86_400])).await;
    devnet.mine(1);
    assert!(devnet.now() > clock.now());
    let reverted = result(&devnet, "/jsonrpc", "evm_revert", json!([snapshot])).await;
    assert_eq!(reverted, true);
    assert_eq!(devnet.now(), clock.now());
    for salt in 1..4 {
        devnet.submit(payment(&devnet, clock.now(), salt)).unwrap();
    }
}

#[tokio::test]
async fn a_block_time_of_nothing_makes_no_block_while_nothing_happens() {
    let clock = clock();
    let builder = Devnet::builder().pace(Pace::Manual).clock(clock.clone());
    let devnet = builder.start().await.unwrap();
    result(&devnet, "/jsonrpc", "tre_blockTime", json!([0])).await;
    // What makes blocks is told of the time each time; a payment shows that it runs.
    clock.advance(Duration::from_secs(3_600));
    devnet.set_time(clock.now());
    devnet.submit(payment(&devnet, clock.now(), 1)).unwrap();
    let head = devnet.head_number();
    for _ in 0..5 {
        clock.advance(Duration::from_secs(3_600));
        devnet.set_time(clock.now());
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        let status = post(&devnet, "/devnet/status", json!({})).await;
        assert_eq!(status["head"], head, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_requests_are_answered_while_many_blocks_are_mined() {
    let devnet = Devnet::builder().instant().start().await.unwrap();
    let devnet = Arc::new(devnet);
    let before = devnet.head_number();
    let mining = {
        let devnet = Arc::clone(&devnet);
        tokio::spawn(async move { post(&devnet, "/devnet/mine", json!({ "blocks": 3_000 })).await })
    };
    // Seen in the middle: the chain was let go between two of the blocks.
    let mut seen = Vec::new();
    while !mining.is_finished() {
        let head = post(&devnet, "/wallet/getnowblock", json!({})).await;
        seen.push(
            head["block_header"]["raw_data"]["number"]
                .as_u64()
                .unwrap_or(0),
        );
    }
    let status = mining.await.unwrap();
    assert!(status["head"].as_u64().unwrap() >= before + 3_000);
    let between = seen
        .iter()
        .any(|head| *head > before + 1 && *head < before + 3_000);
    assert!(between, "{seen:?}");
}

/// Manual blocks are 3 s apart, so a hundred by hand are five minutes: what a program
/// signs that stamps by its own clock is expired for a node, but not for a lenient one.
#[tokio::test]
async fn a_lenient_node_takes_what_the_wall_clock_has_not_expired() {
    for lenient in [false, true] {
        let clock = clock();
        let mut builder = Devnet::builder().pace(Pace::Manual).clock(clock.clone());
        if lenient {
            builder = builder.lenient_expiration();
        }
        let devnet = builder.keep_blocks(1).start().await.unwrap();
        devnet.mine(1);
        devnet.advance(Duration::from_secs(30 * 86_400));
        devnet.mine(100);
        let transaction = payment(&devnet, clock.now(), 1);
        let taken = devnet.submit(transaction.clone());
        assert_eq!(taken.is_ok(), lenient, "{taken:?}");
        if lenient {
            // Its id is remembered for as long as it could come again.
            devnet.advance(Duration::from_secs(3 * 86_400));
            devnet.mine(300);
            let again = devnet.submit(transaction.clone()).unwrap_err();
            assert_eq!(again.to_string(), "DUP_TRANSACTION_ERROR: Dup transaction.");
            clock.advance(Duration::from_secs(61));
            let late = devnet.submit(transaction).unwrap_err().to_string();
            assert!(late.contains("Transaction expired"), "{late}");
        }
    }
}

#[tokio::test]
async fn instant_blocks_stop_while_nothing_happens_when_they_are_to() {
    let clock = clock();
    let builder = Devnet::builder().instant().idle_blocks(false);
    let devnet = builder.clock(clock.clone()).start().await.unwrap();
    for _ in 0..5 {
        clock.advance(Duration::from_secs(60));
        devnet.set_time(clock.now());
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(devnet.head_number(), 0);
}
