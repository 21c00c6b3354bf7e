//! Peers that cheat: each test fails without the rule it is about (`DESIGN.md`
//! has them in a table).

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::{duo::*, *};
use crate::{
    ledger::{EpochId, Origin},
    swarm::hooks::UploadClass,
    types::{BlockId, InfoHash, RawAmount, Salt, TokenId, UnixMs},
};

#[test]
fn an_honest_payer_is_never_held() {
    let mut duo = Duo::new();
    duo.deliver(100);
    for _ in 0..400 {
        assert!(duo.piece());
        duo.tick(2);
        assert!(!duo.seller.machine.held());
        duo.deliver(100);
    }
    let window = duo.seller.credit.window().bytes();
    assert_eq!(window, 16 << 20, "the window has grown to its end");
    duo.buyer.input(Input::Settle, duo.now);
    duo.tick(60);
    duo.deliver(100);
    assert!(duo.buyer.debt.settled());
    assert_eq!(duo.seller.credit.unpaid_bytes(), 0);
    assert_eq!(duo.buyer.disk, duo.seller.disk);
    let amount = duo.seller.disk.values().next().unwrap().receipt.amount;
    assert_eq!(u128::from(amount.unsigned()), duo.verified >> 30);
}

#[test]
fn a_quote_tells_the_cap_that_holds_for_whom_it_is_made() {
    let mut duo = awarded();
    assert_eq!(duo.buyer.debt.cap(), Some(raw(10_000_000)));
    duo.seller.settled = raw(50_000_000);
    duo.connect();
    duo.deliver(100);
    assert_eq!(duo.buyer.debt.cap(), Some(raw(25_000_000)), "half of it");
}

#[test]
fn late_receipts_are_for_what_was_served() {
    let mut credit = Credit::new(PIECE);
    let (one, two) = (InfoHash::from_bytes([1; 20]), InfoHash::from_bytes([2; 20]));
    credit.served_of(one, 3 << 20, PRICE, PRICE);
    credit.served_of(two, 1 << 20, PRICE, PRICE);
    let all = (PRICE << 22) >> 30;
    let mut paid: BTreeMap<_, u64> = BTreeMap::new();
    // Several receipts pay for it after all of it was served, and then one unit more.
    for raised in [all / 2, all / 3, all - all / 2 - all / 3, 1] {
        let origin = Origin {
            torrents: credit.origin(),
            ..Origin::default()
        };
        let shares = origin.share(raised);
        credit.paid_for(&shares);
        for (torrent, share) in shares {
            let torrent = torrent.expect("it was served for a torrent");
            *paid.entry(torrent).or_default() += share;
        }
    }
    let quarter = all / 4;
    assert!(paid[&two].abs_diff(quarter) <= 2, "{paid:?}");
    assert_eq!(paid[&one] + paid[&two], all + 1);
}

#[test]
fn what_no_receipt_could_be_signed_for_is_still_for_its_torrent() {
    let mut debt = Debt::new(pair());
    let torrent = InfoHash::from_bytes([1; 20]);
    debt.due_for(torrent, &[(PRICE, 1 << 20)]);
    let first = debt.origin();
    // The ledger was busy; more became due before the next draft.
    assert_eq!(debt.origin(), first);
    debt.paid_for(&[(Some(torrent), (PRICE << 20) >> 30)]);
    debt.due_for(torrent, &[(PRICE, 1 << 20)]);
    let [(of, weight)] = debt.origin()[..] else {
        panic!("one torrent")
    };
    assert_eq!(of, torrent);
    assert!(weight.abs_diff(first[0].1) < 1 << 20, "but for a fraction");
}

#[test]
fn receipts_of_one_unit_buy_one_unit() {
    let mut duo = awarded();
    let before = duo.seller.credit.window().bytes();
    let served = serve_all(&mut duo);
    for sequence in 1..=8 {
        let amount = i64::try_from(sequence).unwrap();
        duo.seller
            .take(signed(body(sequence, amount, served)), duo.now);
    }
    // 8 units and the epoch's tolerance of one, at 5 BTT a GiB.
    let bought = served - duo.seller.credit.unpaid_bytes();
    assert!(bought <= (9 << 30) / PRICE, "{bought}");
    assert_eq!(duo.seller.credit.window().bytes(), before);
    assert!(serve_all(&mut duo) < u64::from(CHUNK));
}

#[test]
fn paying_ahead_buys_nothing_later() {
    let mut duo = awarded();
    duo.seller
        .take(signed(body(1, 5_000_000, 1 << 30)), duo.now);
    assert_eq!(
        duo.seller.credit.window().bytes(),
        Window::start_bytes(PIECE)
    );
    assert_eq!(serve_all(&mut duo), Window::start_bytes(PIECE));
}

#[test]
fn an_equivocation_is_kept_and_ends_the_service() {
    let mut duo = awarded();
    duo.seller.take(signed(body(1, 10, 1)), duo.now);
    duo.seller.take(signed(body(1, 11, 1)), duo.now);
    assert_eq!(duo.seller.class, Some(UploadClass::Refused));
    assert!(duo.seller.credit.contradicted());
    duo.connect();
    duo.deliver(100);
    assert_eq!(duo.seller.class, Some(UploadClass::Refused));
}

#[test]
fn what_is_not_this_pairs_or_chains_receipt_closes_the_connection() {
    let foreign = |change: &dyn Fn(&mut Receipt)| {
        let mut duo = awarded();
        let mut receipt = body(1, 10, 1);
        change(&mut receipt);
        duo.seller.take(signed(receipt), duo.now);
        assert!(duo.seller.disk.is_empty());
        duo.seller.closed
    };
    assert!(foreign(&|r| r.payee = k(3).address()));
    assert!(foreign(&|r| {
        r.payer = k(3).address();
        r.signer = k(3).address();
    }));
    assert!(foreign(&|r| r.signer = k(3).address()));
    assert!(foreign(&|r| r.token = TokenId::new(1_000_001).unwrap()));
    assert!(foreign(&|r| r.vault = k(3).address()));
    assert!(foreign(&|r| r.sequence = 0));
    assert!(foreign(&|r| r.issued_at += 3600));
    // Another's receipt to us, good in itself, passed on by this peer.
    let mut duo = awarded();
    let theirs = Receipt {
        payer: k(3).address(),
        signer: k(3).address(),
        ..body(1, 10, 1)
    };
    let theirs = SignedReceipt::sign(theirs, &domain(), &k(3)).unwrap();
    duo.seller.take(Message::Receipt(Box::new(theirs)), duo.now);
    assert!(duo.seller.closed && duo.seller.disk.is_empty());
    let mut duo = awarded();
    let other = ReceiptDomain::new(BlockId::from_bytes([8; 32]));
    let replayed = SignedReceipt::sign(body(1, 10, 1), &other, &k(1)).unwrap();
    duo.seller
        .take(Message::Receipt(Box::new(replayed)), duo.now);
    assert!(duo.seller.closed && duo.seller.disk.is_empty());
}

#[test]
fn an_older_receipt_changes_nothing_and_a_lower_amount_is_refused() {
    let mut duo = awarded();
    serve_all(&mut duo);
    duo.seller.take(signed(body(5, 100, 50)), duo.now);
    let before = duo.seller.disk.clone();
    duo.seller.take(signed(body(4, 90, 40)), duo.now);
    assert!(!duo.seller.closed);
    assert_eq!(duo.seller.disk, before);
    duo.seller.take(signed(body(6, 99, 60)), duo.now);
    assert!(duo.seller.closed);
    assert_eq!(duo.seller.disk, before);
}

#[test]
fn a_flood_of_receipts_is_passed_over_then_cut() {
    let mut duo = awarded();
    for sequence in 1..=200 {
        duo.seller.take(signed(body(sequence, 0, 0)), duo.now);
        if duo.seller.closed {
            assert!(sequence > 64);
            return;
        }
        assert!(duo.seller.disk.len() <= 1);
    }
    panic!("the flood was read to its end");
}

#[test]
fn a_signature_is_good_for_its_own_statement_alone() {
    // Replayed in another epoch, at another place of it, for more.
    let good = SignedReceipt::sign(body(5, 100, 50), &domain(), &k(1)).unwrap();
    let changes: [fn(&mut Receipt); 6] = [
        |r| r.epoch = EpochId::new(8).unwrap(),
        |r| r.sequence += 1,
        |r| r.amount = raw(101),
        |r| r.delivered_bytes += 1,
        |r| r.since_block += 1,
        |r| r.issued_at += 1,
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut duo = awarded();
        let mut replayed = good;
        change(&mut replayed.receipt);
        duo.seller
            .take(Message::Receipt(Box::new(replayed)), duo.now);
        assert!(
            duo.seller.closed && duo.seller.disk.is_empty(),
            "change {n}"
        );
    }
    let mut duo = awarded();
    serve_all(&mut duo);
    duo.seller.take(Message::Receipt(Box::new(good)), duo.now);
    assert_eq!(duo.seller.disk.len(), 1);
    // In another session it is what is known already, and raises nothing.
    duo.connect();
    duo.deliver(100);
    let owed = duo.seller.credit.owed();
    duo.seller.take(Message::Receipt(Box::new(good)), duo.now);
    assert_eq!((duo.seller.credit.owed(), duo.seller.closed), (owed, false));
}

#[test]
fn a_flood_of_quotes_or_bids_is_passed_over_then_cut() {
    let mut duo = Duo::new();
    let mut quote = None;
    for _ in 0..20 {
        let mut sent = duo.seller.sent.iter();
        quote = quote.or(sent
            .find(|message| matches!(message, Message::Quote { .. }))
            .cloned());
        duo.deliver(1);
    }
    let quote = quote.expect("the seller quotes");
    duo.buyer.sent.clear();
    for _ in 0..80 {
        duo.buyer.take(quote.clone(), duo.now);
    }
    // Each that was looked at was answered by a bid.
    assert!(duo.buyer.sent.len() < 8, "{}", duo.buyer.sent.len());
    assert!(duo.buyer.closed);

    let mut duo = awarded();
    let (mut asked, mut closed) = (0, false);
    for _ in 0..80 {
        let seller = &mut duo.seller;
        let outputs = seller.machine.message(
            Message::Bid(PRICE),
            &mut seller.debt,
            &mut seller.credit,
            duo.now,
        );
        for output in outputs {
            asked += u32::from(matches!(output, Output::Admit { .. }));
            closed |= matches!(output, Output::Close(_));
        }
    }
    assert!(asked < 8, "the node is asked {asked} times");
    assert!(closed);
}

#[test]
fn nobody_speaks_for_another() {
    let now = UnixMs(1_790_000_000_000);
    let mut duo = Duo::new();
    // The third party says it is the buyer, and cannot sign it.
    let hello = duo.buyer.sent.remove(0);
    duo.seller.take(hello, now);
    let theirs = Hello {
        this: k(1).address(),
        peer: k(2).address(),
        nonce_self: Salt::from_bytes([1; 32]),
        nonce_peer: Salt::from_bytes([1; 32]),
        peer_ids: Hello::peer_ids(&[1; 20], &[2; 20]),
    };
    let forged = domain().sign(&theirs, &k(3)).unwrap();
    duo.seller.take(Message::Auth(forged), now);
    assert!(duo.seller.closed);
    // The buyer's own signature, on a connection between other peers.
    let mut duo = Duo::new();
    let hello = duo.buyer.sent.remove(0);
    duo.seller.take(hello, now);
    let elsewhere = Hello {
        peer_ids: Hello::peer_ids(&[1; 20], &[9; 20]),
        ..theirs
    };
    let relayed = domain().sign(&elsewhere, &k(1)).unwrap();
    duo.seller.take(Message::Auth(relayed), now);
    assert!(duo.seller.closed);
    let mut duo = Duo::new();
    let hello = duo.buyer.sent.remove(0);
    duo.seller.take(hello, now);
    let own = domain().sign(&theirs, &k(1)).unwrap();
    duo.seller.take(Message::Auth(own), now);
    assert!(
        !duo.seller.closed,
        "the very same is good on its own connection"
    );
    // A greeting recorded on another connection is for other nonces.
    let mut duo = Duo::new();
    let mut recorded = Vec::new();
    for _ in 0..10 {
        recorded.extend(duo.buyer.sent.iter().cloned());
        duo.deliver(1);
    }
    let auth = recorded
        .into_iter()
        .find(|message| matches!(message, Message::Auth(_)))
        .unwrap();
    duo.connect();
    let hello = duo.buyer.sent.remove(0);
    duo.seller.take(hello, now);
    duo.seller.take(auth, now);
    assert!(duo.seller.closed);
}

#[test]
fn greetings_of_another_chain_token_or_ourselves_end_the_exchange_only() {
    let now = UnixMs(0);
    let refused = |change: &dyn Fn(&mut HelloMessage)| {
        let mut duo = Duo::new();
        let Message::Hello(mut hello) = duo.buyer.sent.remove(0) else {
            panic!("a hello comes first");
        };
        change(&mut hello);
        duo.seller.take(Message::Hello(hello), now);
        assert!(!duo.seller.closed, "it is shared with as with any peer");
        matches!(duo.seller.sent.last(), Some(Message::Bye(_)))
    };
    assert!(refused(&|h| h.chain = BlockId::from_bytes([1; 32])));
    assert!(refused(&|h| h.token = TokenId::new(1_000_001).unwrap()));
    assert!(refused(&|h| h.address = k(2).address()));
    assert!(refused(&|h| h.version = 2));
}

#[test]
fn an_award_above_the_bid_is_a_violation() {
    let mut duo = awarded();
    let (price, window) = (PRICE + 1, 4 << 20);
    duo.buyer.take(Message::Award { price, window }, duo.now);
    assert!(duo.buyer.closed);
}

#[test]
fn bids_rise_at_most_once_a_minute() {
    let mut duo = awarded();
    duo.seller.take(Message::Bid(2 * PRICE), duo.now);
    assert_eq!(duo.seller.machine.sale_bid(), Some(PRICE));
    duo.tick(60_000);
    duo.seller.take(Message::Bid(2 * PRICE), duo.now);
    assert_eq!(duo.seller.machine.sale_bid(), Some(2 * PRICE));
    duo.seller.take(Message::Bid(0), duo.now);
    assert_eq!(duo.seller.class, Some(UploadClass::Free));
}

#[test]
fn all_connections_of_an_address_share_one_window() {
    let mut duo = awarded();
    let (mut second, _) = Exchange::new(setup(2, 99, duo.now));
    // The same credit is handed to both machines.
    let served = serve_all(&mut duo);
    assert_eq!(served, Window::start_bytes(PIECE));
    assert_eq!(
        duo.seller
            .credit
            .allowance(PRICE, duo.seller.credit.cap(raw(10_000_000))),
        0
    );
    second.closed(&mut duo.seller.debt, &mut duo.seller.credit, duo.now);
    assert_eq!(duo.seller.credit.unpaid_bytes(), served, "it sold nothing");
}

#[test]
fn the_cap_on_unsettled_debts_ends_the_credit() {
    let mut credit = Credit::new(PIECE);
    let all = body(1, 9_999_000, 1);
    let receipt = SignedReceipt::sign(all, &domain(), &k(1)).unwrap();
    assert!(credit.follow(&receipt));
    credit.credit(&receipt, all.amount);
    let cap = credit.cap(raw(10_000_000));
    // A thousand units are left of the cap: 209 KiB at the price.
    let left = credit.allowance(PRICE, cap);
    assert_eq!(left, (1_000 << 30) / PRICE);
    credit.served(left, PRICE);
    assert!(credit.allowance(PRICE, cap) < 256);
    credit.settled(raw(9_000_000));
    assert!(credit.allowance(PRICE, credit.cap(raw(10_000_000))) > 0);
}

#[test]
fn a_debt_that_stays_shrinks_the_window_and_is_remembered() {
    let mut credit = Credit::new(PIECE);
    credit.served(8 << 20, PRICE);
    credit.write_off(8 << 20, PIECE);
    let written_off = u64::from(PIECE) + PIPELINE_BYTES;
    assert_eq!(credit.unpaid_bytes(), (8 << 20) - written_off);
    let left = credit.unpaid_bytes();
    let units = (u128::from(left) * u128::from(PRICE)).div_ceil(1 << 30);
    assert_eq!(u128::from(credit.default_on(left)), units);
    assert_eq!(credit.defaults(), 1);
    assert_eq!(credit.unpaid_bytes(), 0);
    assert_eq!(credit.window().bytes(), Window::start_bytes(PIECE));
}

#[test]
fn less_than_a_piece_is_no_default_until_it_comes_to_what_may_be_written_off() {
    let chunk = u64::from(CHUNK);
    let mut credit = Credit::new(PIECE);
    let (mut written_off, most) = (0, Credit::never_paid_write_off(PIECE));
    credit.served(16 << 20, PRICE);
    while written_off + 15 * chunk <= most {
        assert!(credit.write_off_rest(15 * chunk), "{written_off}");
        written_off += 15 * chunk;
        assert_eq!(credit.window().bytes(), Window::start_bytes(PIECE));
    }
    assert_eq!(credit.unpaid_bytes(), (16 << 20) - written_off);
    let price = (u128::from(written_off) * u128::from(PRICE)) >> 30;
    assert!(
        credit.lost_units().abs_diff(price) <= 8,
        "it counts as lost"
    );
    assert_eq!(credit.defaults(), 0);
    assert!(!credit.write_off_rest(15 * chunk), "{written_off}");
    // What was written off before a restart counts, too; so does what is no remainder.
    let mut again = Credit::new(PIECE);
    let standing = crate::ledger::Standing {
        written_off: raw(i64::try_from(price).unwrap()),
        ..crate::ledger::Standing::unknown(k(1).address(), TokenId::BTT)
    };
    again.set_standing(&standing, false);
    again.served(1 << 20, PRICE);
    assert!(!again.write_off_rest(15 * chunk));
    let mut fresh = Credit::new(PIECE);
    fresh.served(1 << 20, PRICE);
    assert!(!fresh.write_off_rest(16 * chunk), "a piece");
    assert!(fresh.write_off_rest(15 * chunk));
}

#[test]
fn what_was_lost_counts_against_the_cap_until_as_much_was_settled() {
    let cap = raw(20_000);
    let fresh = Credit::new(PIECE).allowance(PRICE, cap);
    let mut credit = Credit::new(PIECE);
    credit.served(fresh, PRICE);
    credit.write_off(fresh, PIECE);
    credit.default_on(fresh);
    assert_eq!(credit.unpaid_bytes(), 0);
    let price = |bytes: u64| (u128::from(bytes) * u128::from(PRICE)).div_ceil(1 << 30);
    let lost = credit.lost_units();
    assert!(lost.abs_diff(price(fresh)) <= 1, "{lost}");
    // Whatever is taken again and again, it ends at the cap.
    let (mut taken, mut last) = (fresh, fresh);
    while last > 0 {
        last = credit.allowance(PRICE, cap);
        credit.served(last, PRICE);
        credit.default_on(last);
        taken += last;
    }
    assert!(price(taken) <= 20_000, "{taken}");
    assert!(price(taken) >= 19_990, "{taken}");
    credit.settled(raw(20_000));
    assert_eq!(credit.allowance(PRICE, cap), fresh);
}

#[test]
fn the_budget_is_never_passed_by_what_is_on_the_way() {
    let mut budget = Budget::new(Some(raw(10)));
    let gib = 1 << 30;
    assert!(budget.reserve(gib, 6));
    assert!(!budget.reserve(gib, 5));
    budget.release(gib, 6);
    assert!(budget.reserve(gib, 10));
    budget.spend(gib, 10);
    assert!(!budget.reserve(1, 1));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Pieces(u8),
    Deliver(u8),
    Tick(u16),
    Cut,
    RestartBuyer,
    RestartSeller,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u8..6).prop_map(Step::Pieces),
        4 => (1u8..20).prop_map(Step::Deliver),
        2 => (1u16..3000).prop_map(Step::Tick),
        1 => Just(Step::Cut),
        1 => Just(Step::RestartBuyer),
        1 => Just(Step::RestartSeller),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn over_any_cuts_and_restarts_totals_never_fall_and_both_agree(
        steps in proptest::collection::vec(step(), 1..60)
    ) {
        let mut duo = Duo::new();
        let mut issued = RawAmount::ZERO;
        let mut held: HashMap<(EpochId, u64), SignedReceipt> = HashMap::new();
        for step in steps {
            match step {
                Step::Pieces(n) => (0..n).for_each(|_| {
                    duo.piece();
                }),
                Step::Deliver(n) => duo.deliver(usize::from(n)),
                Step::Tick(ms) => duo.tick(i64::from(ms)),
                Step::Cut => duo.connect(),
                Step::RestartBuyer => {
                    duo.buyer.debt = Debt::new(pair());
                    duo.connect();
                }
                Step::RestartSeller => {
                    duo.seller.credit = Credit::new(PIECE);
                    // Another process of the seller's: what it is owed is counted apart.
                    duo.buyer.debt = Debt::new(pair());
                    duo.connect();
                }
            }
            duo.check();
            for receipt in duo.buyer.disk.values() {
                prop_assert!(receipt.receipt.amount >= issued);
                issued = receipt.receipt.amount;
                let key = (receipt.receipt.epoch, receipt.receipt.sequence);
                // Never two statements under one sequence.
                prop_assert_eq!(*held.entry(key).or_insert(*receipt), *receipt);
            }
            prop_assert!(!duo.seller.closed && !duo.buyer.closed);
            prop_assert!(!duo.seller.credit.contradicted());
        }
        duo.connect();
        duo.deliver(1000);
        duo.buyer.input(Input::Settle, duo.now);
        duo.tick(3000);
        duo.deliver(1000);
        for (epoch, own) in &duo.buyer.disk {
            // A seller that died before it stored any receipt hears of the debt, too, and
            // stores it with the next that it sells for.
            prop_assert_eq!(duo.seller.credit.last(*epoch), Some(own));
            if duo.seller.credit.has_traded() {
                prop_assert!(duo.buyer.debt.settled());
                prop_assert_eq!(duo.seller.disk.get(epoch), Some(own));
            }
        }
        prop_assert!(u128::from(issued.unsigned()) <= duo.verified >> 30);
    }

    #[test]
    fn any_bytes_are_a_message_or_not(bytes: Vec<u8>) {
        let _ = Message::decode(&bytes);
    }

    #[test]
    fn any_messages_in_any_order_cost_no_panic(picks in proptest::collection::vec(0usize..13, 0..40)) {
        let mut duo = awarded();
        let all = [
            Message::Bid(0),
            Message::Bid(PRICE),
            Message::Bid(u64::MAX >> 1),
            Message::Award { price: 1, window: 0 },
            Message::Award { price: PRICE, window: u64::MAX >> 1 },
            Message::Hold { unpaid: 1, window: 1, why: None },
            Message::Resume { unpaid: 1, window: 1 },
            signed(body(1, i64::MAX, u64::MAX >> 1)),
            Message::Ack { epoch: EpochId::new(7).unwrap(), sequence: u64::MAX >> 1, durable: true },
            Message::Settled(crate::types::TxId::from_bytes([1; 32])),
            Message::Bye("x".to_owned()),
            Message::Sync { issued: Vec::new(), received: Vec::new() },
            Message::Grants { grants: Vec::new(), revokes: Vec::new() },
        ];
        for pick in picks {
            let message = all[pick].clone();
            duo.seller.take(message.clone(), duo.now);
            duo.buyer.take(message, duo.now);
            duo.tick(100);
            duo.piece();
        }
    }
}
