//! Sellers that cheat: what a buyer can lose to them.

use super::{duo::*, *};
use crate::{swarm::hooks::PriceTag, types::Address};

/// The buyer's hello was answered by this address, and signed by that key.
fn greeted_by(address: Address, key: u8) -> Duo {
    let mut duo = Duo::new();
    let Message::Hello(mut hello) = duo.seller.sent.remove(0) else {
        panic!("a hello comes first");
    };
    let Message::Hello(own) = duo.buyer.sent.remove(0) else {
        panic!("a hello comes first");
    };
    hello.address = address;
    let said = Hello {
        this: address,
        peer: own.address,
        nonce_self: hello.nonce,
        nonce_peer: own.nonce,
        peer_ids: Hello::peer_ids(&[2; 20], &[1; 20]),
    };
    let auth = domain().sign(&said, &k(key)).unwrap();
    duo.buyer.take(Message::Hello(hello), duo.now);
    duo.buyer.take(Message::Auth(auth), duo.now);
    duo
}

fn quote(payee: u8, signed_by: u8) -> Message {
    let quote = Quote {
        payee: k(payee).address(),
        token: crate::types::TokenId::BTT,
        floor_price: PRICE,
        window: Window::start_bytes(PIECE),
        cap: raw(10_000_000),
        valid_until: 1_790_009_999,
    };
    Message::Quote {
        floor_price: quote.floor_price,
        window: quote.window,
        cap: quote.cap,
        valid_until: quote.valid_until,
        signature: domain().sign(&quote, &k(signed_by)).unwrap(),
    }
}

#[test]
fn a_payee_is_never_put_in_anothers_place() {
    // Somebody says a third one's address, and cannot sign for it.
    let duo = greeted_by(k(3).address(), 2);
    assert!(duo.buyer.closed);
    // It is itself, but passes on the terms of another.
    for (payee, signed_by) in [(3, 3), (2, 3), (3, 2)] {
        let mut duo = greeted_by(k(2).address(), 2);
        assert!(duo.buyer.machine.established());
        duo.buyer.take(quote(payee, signed_by), duo.now);
        assert!(duo.buyer.closed, "{payee} {signed_by}");
        let bids = |message: &Message| matches!(message, Message::Bid(_));
        assert!(!duo.buyer.sent.iter().any(bids));
    }
    let mut duo = greeted_by(k(2).address(), 2);
    duo.buyer.take(quote(2, 2), duo.now);
    assert!(!duo.buyer.closed);
    assert_eq!(duo.buyer.sent.last(), Some(&Message::Bid(PRICE)));
}

#[test]
fn a_seller_that_stops_is_paid_for_what_came_and_asked_for_no_more() {
    let mut duo = awarded();
    let before = duo.budget.left();
    (0..4).for_each(|_| assert!(duo.piece()));
    duo.deliver(100);
    // It lets itself be asked, and sends nothing.
    let mut asked = Vec::new();
    let buyer = &mut duo.buyer;
    while let Some(tag) =
        buyer
            .machine
            .price_request(99, CHUNK, &mut buyer.debt, &mut duo.budget, duo.now)
    {
        asked.push(tag);
        if asked.len() == 16 {
            break;
        }
    }
    let hold = Message::Hold {
        unpaid: 1 << 20,
        window: 1 << 20,
        why: None,
    };
    duo.buyer.take(hold.clone(), duo.now);
    duo.tick(100);
    duo.deliver(100);
    assert!(duo.buyer.debt.settled(), "what came is paid at once");
    duo.buyer.take(hold, duo.now);
    duo.tick(14_000);
    assert_eq!(duo.buyer.machine.purchase_price(), Some(PRICE));
    duo.tick(1_000);
    assert_eq!(duo.buyer.machine.purchase_price(), None);
    let buyer = &mut duo.buyer;
    for tag in asked {
        buyer
            .machine
            .request_dropped(tag, CHUNK, &mut buyer.debt, &mut duo.budget);
    }
    // Four pieces were paid for, and nothing else is set aside.
    let paid = u64::try_from(duo.verified >> 30).unwrap();
    assert!(before - duo.budget.left() <= paid + 1);
    let issued = duo.buyer.disk.values().next().unwrap().receipt.amount;
    assert_eq!(issued.unsigned(), paid);
    let buyer = &mut duo.buyer;
    let tag = buyer
        .machine
        .price_request(100, CHUNK, &mut buyer.debt, &mut duo.budget, duo.now);
    assert_eq!(tag, Some(PriceTag(0)), "it is a peer as any other now");
}

#[test]
fn an_automatic_bid_is_not_driven_up_by_a_word() {
    let mut duo = Duo::bidding(Bid::Auto(10 * PRICE));
    duo.deliver(100);
    assert_eq!(duo.buyer.machine.purchase_price(), Some(PRICE));
    // "Others bid more": nothing above what was bid is agreed to.
    let window = Window::start_bytes(PIECE);
    let price = PRICE + 1;
    duo.buyer.take(Message::Award { price, window }, duo.now);
    assert!(duo.buyer.closed);
    // With all that was asked for on time, it stays where it is for an hour.
    let mut duo = Duo::bidding(Bid::Auto(10 * PRICE));
    duo.deliver(100);
    for _ in 0..60 {
        for _ in 0..8 {
            assert!(duo.piece());
            duo.tick(100);
            duo.deliver(100);
        }
        duo.tick(60_000);
        duo.deliver(100);
        assert_eq!(duo.buyer.machine.purchase_price(), Some(PRICE));
    }
}
