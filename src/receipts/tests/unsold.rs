//! A receipt counts as far as something was sold, and what is free is nobody's debt; a
//! payer at its limit is a free peer. Each test fails without its rule.

use super::{duo::*, *};
use crate::{
    ledger::EpochId,
    swarm::hooks::{ConnId, PriceTag, UploadClass},
    types::{RawAmount, UnixMs},
};

/// A cheat's own hand: its last claim, and what it took.
struct Cheat {
    duo: Duo,
    sequence: u64,
    amount: i64,
    delivered: u64,
}

impl Cheat {
    fn new(duo: Duo) -> Self {
        Self {
            duo,
            sequence: 0,
            amount: 0,
            delivered: 0,
        }
    }

    fn receipt(&mut self, raised: i64, bytes: u64) {
        self.sequence += 1;
        self.amount += raised;
        self.delivered += bytes;
        let statement = body(self.sequence, self.amount, self.delivered);
        let seller = &mut self.duo.seller;
        // As one a second, so that it is no flood.
        self.duo.now = UnixMs(self.duo.now.0 + 1_000);
        seller.take(signed(statement), self.duo.now);
        assert!(!seller.closed);
    }

    fn serve(&mut self, bytes: u64) -> u64 {
        let mut served = 0;
        let seller = &mut self.duo.seller;
        while served < bytes && seller.machine.upload_allowance(&seller.credit) >= u64::from(CHUNK)
        {
            seller.machine.served(CHUNK, &mut seller.credit);
            served += u64::from(CHUNK);
        }
        served
    }
}

fn units(bytes: u64) -> u128 {
    cost(bytes, PRICE) >> 30
}

#[test]
fn a_receipt_for_nothing_that_was_sold_is_kept_aside() {
    let mut cheat = Cheat::new(awarded());
    cheat.receipt(100_000_000, 0);
    let seller = &cheat.duo.seller;
    assert_eq!(seller.credit.owed(), RawAmount::ZERO);
    assert!(seller.disk.is_empty(), "nothing is stored for a stranger");
    let acked = |message: &Message| matches!(message, Message::Ack { .. });
    assert!(!seller.sent.iter().any(acked), "nor acknowledged");
    assert!(seller.credit.is_blank());
    // After a chunk was really bought, that chunk is owed.
    cheat.serve(u64::from(CHUNK));
    cheat.receipt(78, u64::from(CHUNK));
    let seller = &cheat.duo.seller;
    assert_eq!(
        seller.credit.owed(),
        raw(78),
        "76.3 units, and one of tolerance"
    );
    assert_eq!(seller.disk.len(), 1);
}

#[test]
fn one_chunk_and_a_huge_receipt_are_worth_one_chunk() {
    let mut cheat = Cheat::new(awarded());
    cheat.serve(u64::from(CHUNK));
    for _ in 0..5 {
        cheat.receipt(1_000_000, u64::from(CHUNK));
    }
    let credit = &cheat.duo.seller.credit;
    assert!(credit.owed() <= raw(78), "{}", credit.owed());
    assert_eq!(credit.unpaid_bytes(), 0);
}

#[test]
fn receipts_that_raise_nothing_are_not_stored() {
    let mut cheat = Cheat::new(awarded());
    cheat.serve(u64::from(CHUNK));
    cheat.receipt(70, u64::from(CHUNK));
    let stored = cheat.duo.seller.disk.clone();
    cheat.duo.seller.sent.clear();
    for _ in 0..5 {
        cheat.receipt(0, 1);
    }
    let seller = &cheat.duo.seller;
    assert_eq!(seller.disk, stored);
    let last = EpochId::new(7).unwrap();
    let acked = Message::Ack {
        epoch: last,
        sequence: 6,
        durable: true,
    };
    assert!(seller.sent.contains(&acked), "its debt is on disk");
}

#[test]
fn bytes_at_no_price_grow_no_window_and_their_grace_is_one() {
    let mut cheat = Cheat::new(Duo::new());
    cheat.duo.deliver(100);
    let before = cheat.duo.seller.credit.window().bytes();
    let mut beside = 0;
    for _ in 0..46 {
        let now = UnixMs(cheat.duo.now.0 + 61_000);
        cheat.duo.now = now;
        cheat.duo.seller.take(Message::Bid(0), now);
        cheat.serve(PIPELINE_BYTES);
        cheat.duo.seller.take(Message::Bid(PRICE), now);
        let owed = cheat.duo.seller.credit.unpaid_bytes();
        let served = cheat.serve(PIPELINE_BYTES);
        beside += served - (cheat.duo.seller.credit.unpaid_bytes() - owed);
        cheat.receipt(0, 2 * PIPELINE_BYTES);
    }
    let credit = &cheat.duo.seller.credit;
    assert_eq!(credit.window().bytes(), before, "nothing was paid for");
    let unit = (1 << 30) / PRICE;
    assert!(credit.credited_bytes() <= unit, "what one unit buys");
    assert!(
        beside <= PIPELINE_BYTES + unit,
        "at no price after an award, once"
    );
}

#[test]
fn coming_and_going_brings_a_window_once_and_two_percent() {
    let mut cheat = Cheat::new(awarded());
    let (mut got, mut paid) = (0u64, 0u64);
    for _ in 0..60 {
        let served = cheat.serve(5 * u64::from(PIECE));
        got += served;
        let pays = served.min(4 * u64::from(PIECE));
        if pays > 0 {
            cheat.receipt(i64::try_from(units(pays)).unwrap() + 1, pays);
            paid += pays;
        }
        cheat.duo.connect();
        cheat.duo.deliver(100);
    }
    let window = cheat.duo.seller.credit.window().bytes();
    let slack = Credit::never_paid_write_off(PIECE) + paid / 50;
    let bound = window + slack;
    assert!(got - paid <= bound + 2 * u64::from(CHUNK), "{got} {paid}");
    let credit = &cheat.duo.seller.credit;
    let lost = u64::try_from(credit.lost_units()).unwrap();
    assert!(u128::from(lost) <= units(slack) + 60);
    assert!(lost > 0);
}

#[test]
fn who_claims_only_what_it_was_charged_for_is_never_held() {
    // Half of what it takes at first was asked for before the award.
    let mut duo = Duo::new();
    let seller = &mut duo.seller;
    for _ in 0..PIPELINE_BYTES / u64::from(CHUNK) {
        seller.machine.served(CHUNK, &mut seller.credit);
    }
    duo.deliver(100);
    let mut cheat = Cheat::new(duo);
    let free = PIPELINE_BYTES;
    assert_eq!(cheat.serve(free), free);
    assert_eq!(cheat.duo.seller.credit.unpaid_bytes(), 0);
    for n in 1..200u64 {
        let served = cheat.serve(u64::from(PIECE));
        assert_eq!(served, u64::from(PIECE), "it is held at piece {n}");
        let owed = i64::try_from(units(n * u64::from(PIECE))).unwrap();
        cheat.receipt(owed - cheat.amount, u64::from(PIECE));
    }
    assert_eq!(cheat.duo.seller.credit.unpaid_bytes(), 0);
}

#[test]
fn what_was_asked_for_at_an_earlier_dearer_price_counts_when_it_is_paid() {
    let mut duo = awarded();
    duo.tick(60_000);
    duo.seller.take(Message::Bid(4 * PRICE), duo.now);
    let mut cheat = Cheat::new(duo);
    let sold = |cheat: &Cheat| cheat.duo.seller.credit.sold_left(EpochId::new(7).unwrap());
    cheat
        .duo
        .seller
        .input(Input::Admitted(4 * PRICE), cheat.duo.now);
    let dear = i64::try_from(4 * units(u64::from(PIECE))).unwrap();
    // What is on the way was asked for at either price.
    cheat.serve(u64::from(PIECE));
    assert!(sold(&cheat) >= raw(dear), "it became dearer");
    cheat.receipt(dear, u64::from(PIECE));
    cheat
        .duo
        .seller
        .input(Input::Admitted(PRICE), cheat.duo.now);
    cheat.serve(u64::from(PIECE));
    assert!(sold(&cheat) >= raw(dear), "it became cheaper");
    cheat.receipt(dear, u64::from(PIECE));
    // Nothing at all is asked for it any more.
    cheat.duo.seller.take(Message::Bid(0), cheat.duo.now);
    cheat.serve(u64::from(PIECE));
    assert!(sold(&cheat) >= raw(dear / 4), "the bid was withdrawn");
}

#[test]
fn at_its_cap_a_payer_goes_on_for_free_and_buys_again_once_it_settled() {
    let mut duo = awarded();
    assert!(duo.piece());
    duo.buyer.input(Input::Settle, duo.now);
    duo.tick(100);
    duo.deliver(100);
    let owed = duo.seller.credit.owed();
    assert!(owed > RawAmount::ZERO);
    // It may owe this much and no more.
    duo.seller
        .credit
        .set_ceiling(Some(u128::from(owed.unsigned())));
    duo.tick(250);
    duo.deliver(100);
    assert_eq!(duo.seller.class, Some(UploadClass::Free));
    assert_eq!(
        duo.seller.machine.held_why(&duo.seller.credit),
        Some(Held::Cap)
    );
    assert_eq!(duo.buyer.machine.purchase_price(), None);
    // Never less than a free peer gets, for as long as it takes.
    for _ in 0..40 {
        assert!(!duo.piece(), "it is not paid for");
        duo.tick(1_000);
        duo.deliver(100);
    }
    let served = duo.verified;
    assert_eq!(
        served,
        cost(u64::from(PIECE), PRICE),
        "one piece was bought"
    );
    assert_eq!(duo.seller.credit.owed(), owed);
    // A transfer becomes solid meanwhile: it buys on, by itself.
    duo.seller.credit.settled(owed);
    duo.seller.credit.set_ceiling(None);
    duo.seller.input(Input::Credited, duo.now);
    duo.deliver(100);
    assert_eq!(duo.buyer.machine.purchase_price(), Some(PRICE));
    assert!(duo.piece());
}

#[test]
fn a_bidder_that_is_turned_away_does_not_wait_for_an_award() {
    let mut duo = Duo::new();
    duo.deliver(4);
    for why in HoldReason::ALL.into_iter().skip(1) {
        let hold = Message::Hold {
            unpaid: 0,
            window: 1 << 20,
            why: Some(why),
        };
        duo.buyer.take(hold, duo.now);
    }
    let buyer = &mut duo.buyer;
    let tag = buyer
        .machine
        .price_request(1, CHUNK, &mut buyer.debt, &mut duo.budget, duo.now);
    assert_eq!(tag, Some(PriceTag(0)));
    // And buys as soon as it is awarded after all.
    duo.deliver(100);
    assert_eq!(duo.buyer.machine.purchase_price(), Some(PRICE));
}

#[test]
fn a_buyer_that_is_held_with_something_due_waits_fifteen_seconds_at_most() {
    let mut duo = awarded();
    assert!(duo.piece());
    assert!(duo.buyer.debt.due_bytes() > 0);
    duo.buyer.take(
        Message::Hold {
            unpaid: 1 << 20,
            window: 1 << 20,
            why: None,
        },
        duo.now,
    );
    // Its receipt goes out, and no second `hold` comes.
    duo.tick(100);
    duo.deliver(100);
    assert!(duo.buyer.debt.settled());
    duo.buyer.input(Input::Tick, duo.now);
    duo.tick(14_900);
    assert_eq!(duo.buyer.machine.purchase_price(), Some(PRICE));
    duo.tick(200);
    assert_eq!(duo.buyer.machine.purchase_price(), None);
}

#[test]
fn a_cap_below_a_window_is_no_cap() {
    let mut duo = Duo::new();
    duo.deliver(100);
    let before = duo.buyer.debt.cap();
    for cap in [0, 1, 6_000] {
        let quote = Quote {
            payee: k(2).address(),
            token: crate::types::TokenId::BTT,
            floor_price: PRICE,
            window: Window::start_bytes(PIECE),
            cap: raw(cap),
            valid_until: 1_800_000_000,
        };
        let signature = domain().sign(&quote, &k(2)).unwrap();
        let message = Message::Quote {
            floor_price: quote.floor_price,
            window: quote.window,
            cap: quote.cap,
            valid_until: quote.valid_until,
            signature,
        };
        duo.buyer.take(message, duo.now);
        assert_eq!(duo.buyer.debt.cap(), before, "cap {cap}");
    }
}

#[test]
fn a_withdrawn_bid_is_not_raised_sooner() {
    let mut duo = awarded();
    duo.seller.take(Message::Bid(0), duo.now);
    duo.seller.take(Message::Bid(2 * PRICE), duo.now);
    assert_eq!(duo.seller.machine.sale_bid(), None);
    duo.seller.take(Message::Bid(PRICE), duo.now);
    assert_eq!(duo.seller.machine.sale_bid(), Some(PRICE));
}

/// What is on the way when a seller ends the sale is owed: a piece at most above its cap. A
/// seller that goes on above it has a higher one by now.
#[test]
fn a_buyer_begins_no_more_pieces_than_its_sellers_cap_leaves() {
    const MIB: u32 = 1 << 20;
    let conn = ConnId(1);
    let mut debt = Debt::new(pair());
    debt.set_window(16 << 20);
    debt.set_cap(raw(10_000));
    debt.set_owed(raw(4_000));
    let begin = |debt: &mut Debt, piece| debt.begin_piece(conn, piece, MIB, PRICE);
    // Each comes to 4,882 units.
    assert!(begin(&mut debt, 0));
    assert!(!begin(&mut debt, 1));
    assert!(begin(&mut debt, 0), "what was begun is gone on with");
    let verified = |debt: &mut Debt, piece| {
        debt.verified(conn, piece, &[(PRICE, u64::from(MIB))], UnixMs(0));
    };
    verified(&mut debt, 0);
    assert!(begin(&mut debt, 1), "nothing else is begun: one more");
    assert!(!begin(&mut debt, 2));
    verified(&mut debt, 1);
    // It still sells at 13,764.
    for piece in 2..6 {
        assert!(begin(&mut debt, piece));
    }
    // It was settled with: its cap counts again, from there.
    debt.set_owed(raw(0));
    assert!(!begin(&mut debt, 6));
    for piece in 2..6 {
        debt.piece_over(conn, piece);
    }
    assert!(begin(&mut debt, 6));
    assert!(!begin(&mut debt, 7));
    // Without a cap the window alone counts.
    let mut debt = Debt::new(pair());
    debt.set_window(4 << 20);
    for piece in 0..4 {
        assert!(begin(&mut debt, piece));
    }
    assert!(!begin(&mut debt, 4));
}
