//! What paying buys: properties of the economy, on loopback, each in a few
//! seconds. The benchmark draws them as figures.

use crate::support::market::{Downloaded, Leecher, NO_CAP, Outcome, Scenario, run};

const MIB: u32 = 1 << 20;
/// Raw units per GiB.
const FLOOR: u64 = 5_000_000;

/// On a line of 4 MiB/s, for six seconds.
fn market(leechers: Vec<Leecher>) -> Scenario {
    Scenario {
        rate: Some(u64::from(4 * MIB)),
        bytes: 64 << 20,
        piece: 256 << 10,
        floor: Some(FLOOR),
        cap: NO_CAP,
        meeting: false,
        seconds: Some(6.0),
        leechers,
    }
}

fn bids(bid: u64) -> Leecher {
    Leecher {
        bid: Some(bid),
        ..Leecher::default()
    }
}

fn free() -> Leecher {
    Leecher::default()
}

/// Bytes received between two times, in seconds.
fn between(one: &Downloaded, from: f64, to: f64) -> f64 {
    let at = |time: f64| {
        let sample = one.samples.iter().find(|(t, _)| *t >= time);
        sample.or(one.samples.last()).expect("it was sampled").1
    };
    f64::from(u32::try_from(at(to) - at(from)).expect("a few MiB"))
}

/// When shares are compared, in seconds.
const FROM: f64 = 2.0;
const TO: f64 = 5.5;

/// Runs it again, at most four times, while something else than the line is what was shared, or
/// a payer was held: on a machine with other work the processor may be what is short.
async fn run_on_a_full_line(scenario: &Scenario) -> Outcome {
    let line = 4.0 * f64::from(MIB) * (TO - FROM);
    let mut outcome = run(scenario).await;
    for _ in 0..4 {
        let all = outcome.leechers.iter().map(|one| between(one, FROM, TO));
        let held = outcome.held.as_secs_f64() / outcome.seconds;
        if all.sum::<f64>() >= 0.97 * line && held < 0.01 {
            break;
        }
        outcome = run(scenario).await;
    }
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn bids_two_to_one_give_rates_two_to_one() {
    let outcome = run_on_a_full_line(&market(vec![bids(2 * FLOOR), bids(FLOOR)])).await;
    let [two, one] = [0, 1].map(|n| between(&outcome.leechers[n], FROM, TO));
    let ratio = two / one;
    assert!((1.8..=2.2).contains(&ratio), "{ratio}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bidder_gets_four_times_what_one_gets_who_does_not_bid() {
    let outcome = run_on_a_full_line(&market(vec![bids(FLOOR), free()])).await;
    let [bidder, other] = [0, 1].map(|n| between(&outcome.leechers[n], FROM, TO));
    let ratio = bidder / other;
    assert!(ratio >= 3.9, "{ratio}");
    assert!(other > 0.0, "the free share is never starved");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_payer_alone_reaches_the_line_at_the_floor_price() {
    let outcome = run(&market(vec![bids(10 * FLOOR)])).await;
    let payer = &outcome.leechers[0];
    let rate = between(payer, 1.5, 5.5) / 4.0;
    assert!(rate >= 0.95 * 4.0 * f64::from(MIB), "{rate}");
    // At the floor, not at its bid.
    let most = (u128::from(payer.samples.last().unwrap().1) * u128::from(FLOOR)) >> 30;
    assert!(payer.spent_raw > 0);
    assert!(u128::from(payer.spent_raw) <= most, "{}", payer.spent_raw);
    assert_eq!(outcome.earned_raw, payer.spent_raw);
    // Never held, and the payments themselves are next to nothing.
    let held = outcome.held.as_secs_f64() / outcome.seconds;
    assert!(held < 0.01, "{} holds, {held} of the time", outcome.holds);
    let last = payer.samples.last().unwrap().1;
    assert!(outcome.wire_bytes * 200 < last, "{outcome:?}");
    assert!(payer.receipts < last / u64::from(MIB / 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bid_of_nothing_still_finishes_beside_payers() {
    let mut small = market(vec![bids(0), bids(FLOOR), free()]);
    small.bytes = 6 << 20;
    small.seconds = None;
    let outcome = run(&small).await;
    let done = |n: usize| outcome.leechers[n].done.expect("it finished");
    assert!(done(1) < done(0) && done(1) < done(2));
    assert_eq!(outcome.leechers[0].spent_raw, 0);
}

/// Whoever owes as much as it may is served as a free peer, and was served better before.
#[tokio::test(flavor = "multi_thread")]
async fn a_payer_at_its_limit_finishes_no_later_than_who_pays_nothing() {
    let mut small = market(vec![bids(FLOOR), free(), free()]);
    small.bytes = 12 << 20;
    small.seconds = None;
    // 6 MiB at the floor.
    small.cap = i64::try_from((6 * FLOOR) >> 10).unwrap();
    let outcome = run(&small).await;
    let done = |n: usize| outcome.leechers[n].done.expect("it finished");
    assert!(done(0) <= done(1).min(done(2)), "{outcome:?}");
    // It came to its limit: it owes that, and a piece that was on the way at most.
    let spent = outcome.leechers[0].spent_raw;
    let piece = (FLOOR >> 12) + 1;
    let limit = small.cap.unsigned_abs();
    assert!(spent <= limit + piece, "{spent}");
    assert!(spent >= limit - piece, "{spent}");
    assert_eq!(outcome.earned_raw, spent);
}
