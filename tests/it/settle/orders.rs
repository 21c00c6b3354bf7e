//! Orders against the simulated chain: what a person typed is paid once, whatever
//! was paid, restored or ordered beside it.

use std::time::Duration;

use seedrail::{
    ledger::{
        BatchId, BatchRow, ChainLog as _, Ledger, LedgerError, PayoutId, PayoutKind, PayoutRow,
        PayoutState, Payouts as _, SqliteLedger, Transfers as _,
    },
    settle::{
        Engine, Event, FileQuote, PAID_ELSEWHERE, PayoutFile, Policy, Question, RowEnd, SendEnd,
        SendOrder, SendQuote, SendReport, SettleError, Until, payout_file::key_of_id,
    },
    tron::keys::{SignRequest, Signature, Signer, SignerError},
    types::{Address, Clock as _, ManualClock, Token, TokenId},
};

use super::{
    sim::{Faults, Process, View},
    world::{World, block_on, payee, raw},
};

const BTT: Token = Token::Trc10(TokenId::BTT);

fn order(payee: Address, amount: i64) -> SendOrder {
    SendOrder {
        payee,
        token: BTT,
        amount: raw(amount),
        memo: Vec::new(),
        name: None,
        again: false,
        not_for_debts: false,
    }
}

fn named(payee: Address, amount: i64, id: &str) -> SendOrder {
    SendOrder {
        name: Some(seedrail::settle::OrderName {
            key: key_of_id(id),
            label: id.to_owned(),
        }),
        ..order(payee, amount)
    }
}

/// Sends as a person would who says no when an equal payment is known.
fn send_on(
    world: &World,
    ledger: &dyn Ledger,
    order: &SendOrder,
    until: Until,
) -> Result<SendEnd, SettleError> {
    world.with(ledger, async |engine| {
        let begun = engine.begin_order(order)?;
        let mut agree = |quote: &SendQuote| order.again || quote.alike.is_empty();
        engine
            .send(&world.key, order, &begun, until, &mut agree)
            .await
    })
}

fn send(world: &World, order: &SendOrder, until: Until) -> SendEnd {
    send_on(world, &world.ledger, order, until).unwrap()
}

fn payout(end: SendEnd) -> SendReport {
    match end {
        SendEnd::Payout(report) => *report,
        other => panic!("{other:?}"),
    }
}

fn paid(world: &World, payee: Address) -> (i64, usize) {
    world.chain.paid(world.key.address(), payee)
}

#[test]
fn a_send_is_shown_again_while_unresolved_and_an_equal_one_is_asked_about() {
    let world = World::new(4, 2);
    let order = order(payee(1), 70);
    let first = payout(send(&world, &order, Until::Sent));
    assert!(!first.found);
    let second = payout(send(&world, &order, Until::Ended));
    assert!(second.found);
    assert_eq!(first.txid, second.txid);
    assert_eq!(second.state().unwrap().0, PayoutState::Confirmed);
    // It is over: from now on it is another payment, and nobody said that it is meant.
    assert_eq!(send(&world, &order, Until::Ended), SendEnd::Declined);
    let again = SendOrder {
        again: true,
        ..order.clone()
    };
    let third = payout(send(&world, &again, Until::Sent));
    assert!(!third.found);
    // It became solid while nobody looked: still the same payment.
    world.chain.advance(Duration::from_secs(60));
    let fourth = payout(send(&world, &order, Until::Included));
    assert!(fourth.found);
    assert_eq!(third.txid, fourth.txid);
    assert_eq!(paid(&world, payee(1)), (140, 2));
    // It is asked about for thirty-five days.
    assert_eq!(alike_in(&world, 34, &order), 2);
    assert_eq!(alike_in(&world, 36, &order), 0);
    let too_much = super::orders::order(payee(1), 1_000_001);
    let refused = send_on(&world, &world.ledger, &too_much, Until::Ended);
    assert!(matches!(refused, Err(SettleError::Balance { .. })));
}

/// How many equal payments are shown in so many days.
fn alike_in(world: &World, days: u64, order: &SendOrder) -> usize {
    let later = world
        .chain
        .clock
        .now()
        .plus(Duration::from_secs(days * 86_400));
    let process = Process::default();
    let engine = Engine {
        ledger: &world.ledger,
        chain: &View {
            chain: &world.chain,
            process: &process,
        },
        clock: &ManualClock::new(later),
        account: world.key.address(),
        permission_id: 0,
        holder: "test",
        report: &|_: &Event| {},
        random: &|| world.random(),
    };
    block_on(engine.quote(order)).unwrap().alike.len()
}

#[test]
fn two_sends_at_once_are_one() {
    let world = World::new(21, 3);
    let order = order(payee(1), 70);
    // Both commands look at the ledger before either has the account.
    let begun = world.with(&world.ledger, async |engine| {
        engine.begin_order(&order).unwrap()
    });
    let first = payout(send(&world, &order, Until::Ended));
    let second = world
        .with(&world.ledger, async |engine| {
            engine
                .send(&world.key, &order, &begun, Until::Ended, &mut |_| {
                    panic!("it was ordered since: nothing is to be asked")
                })
                .await
        })
        .unwrap();
    let second = payout(second);
    assert!(second.found);
    assert_eq!(first.txid, second.txid);
    assert_eq!(paid(&world, payee(1)), (70, 1));
}

#[test]
fn an_order_with_an_id_is_paid_once_for_good() {
    let world = World::new(22, 2);
    let order = named(payee(1), 70, "INV-1");
    let first = payout(send(&world, &order, Until::Ended));
    let second = payout(send(&world, &order, Until::Ended));
    assert!(second.found);
    assert_eq!(first.txid, second.txid);
    // Another id is another payment, and needs no question.
    let other = payout(send(&world, &named(payee(1), 70, "INV-2"), Until::Ended));
    assert!(!other.found);
    // The same id for something else is none.
    let refused = send_on(
        &world,
        &world.ledger,
        &named(payee(1), 71, "INV-1"),
        Until::Ended,
    );
    assert!(matches!(refused, Err(SettleError::IdTaken { .. })));
    // A row of a file with that id is the same payment.
    let address = payee(1);
    let file = format!("address,amount,id\n{address},70raw:1002000,INV-1\n");
    let file = PayoutFile::parse(file.as_bytes()).unwrap();
    let report = world
        .with(&world.ledger, async |engine| {
            engine
                .pay_file(&world.key, &file, Until::Ended, &mut |_| true)
                .await
        })
        .unwrap()
        .unwrap();
    assert_eq!(report.found, 1);
    assert_eq!(paid(&world, payee(1)), (140, 2));
}

/// Rows with and without ids, and a payment with a memo and an id.
fn files() -> [PayoutFile; 2] {
    let (one, two) = (payee(1), payee(2));
    let with_ids =
        format!("address,amount,id,memo\n{one},70raw:1002000,a,\n{two},30raw:1002000,b,for b\n");
    let without = format!("address,amount\n{one},11raw:1002000\n{two},12raw:1002000\n");
    [with_ids, without].map(|text| PayoutFile::parse(text.as_bytes()).unwrap())
}

/// Pays a file as a person who agrees to nothing that was paid before. `None` when he
/// was asked about equal payments.
fn pay(world: &World, ledger: &dyn Ledger, file: &PayoutFile) -> Option<Vec<RowEnd>> {
    world
        .with(ledger, async |engine| {
            engine
                .pay_file(&world.key, file, Until::Ended, &mut |quote| {
                    quote.alike.is_empty()
                })
                .await
        })
        .unwrap()
        .map(|report| report.rows)
}

#[test]
fn a_ledger_restored_in_place_pays_no_row_again() {
    let world = World::new(23, 2);
    let copy = world.ledger.copy_in_memory().unwrap();
    let [with_ids, without] = files();
    for file in [&with_ids, &without] {
        assert_eq!(pay(&world, &world.ledger, file).unwrap().len(), 2);
    }
    let (before, moved) = (paid(&world, payee(1)), paid(&world, payee(2)));
    assert_eq!((before, moved), ((81, 2), (42, 2)));
    // The file is put back, and nothing marks it.
    for file in [&with_ids, &without] {
        assert_eq!(pay(&world, &copy, file), None, "it was not asked");
    }
    assert_eq!(paid(&world, payee(1)), before);
    assert_eq!(paid(&world, payee(2)), moved);
    // The row with a memo was found by it; the other one its user names.
    let by_memo = payout_file_rows(&copy, &world, &with_ids, 1);
    assert!(matches!(by_memo, RowEnd::Elsewhere(_)), "{by_memo:?}");
}

/// Where a row ends once its user named the transfer of the other one.
fn payout_file_rows(copy: &SqliteLedger, world: &World, file: &PayoutFile, row: usize) -> RowEnd {
    let payer = world.key.address();
    let outgoing = copy.outgoing(payer, 0, u32::MAX).unwrap();
    let first = outgoing
        .iter()
        .find(|known| {
            known.transfer.payee == file.rows[0].payee && known.transfer.amount == raw(70)
        })
        .unwrap();
    world.with(copy, async |engine| {
        assert!(
            engine
                .adopt_as(first.transfer.txid, &file.rows[0].key, "a")
                .unwrap()
        );
    });
    pay(world, copy, file).unwrap().swap_remove(row)
}

#[test]
fn after_a_backup_a_recovery_and_an_adoption_no_row_is_paid_again() {
    let mut world = World::new(24, 2);
    let copy = world.ledger.copy_in_memory().unwrap();
    let [with_ids, without] = files();
    for file in [&with_ids, &without] {
        pay(&world, &world.ledger, file).unwrap();
    }
    copy.mark_restored().unwrap();
    world.ledger = copy;
    assert!(!world.recover().done);
    world.adopt_transfers();
    assert!(world.recover().done);
    for file in [&with_ids, &without] {
        assert_eq!(pay(&world, &world.ledger, file), None);
    }
    // However long ago it was.
    assert_eq!(alike_in(&world, 100, &order(payee(1), 70)), 1);
    assert_eq!(paid(&world, payee(1)), (81, 2));
}

#[test]
fn a_second_ledger_pays_no_row_that_the_first_one_paid_meanwhile() {
    let world = World::new(25, 2);
    let other = SqliteLedger::in_memory(world.chain.genesis_id()).unwrap();
    let look = |ledger: &dyn Ledger| {
        world
            .with(ledger, async |engine| {
                engine.plan(TokenId::BTT, &Policy::default()).await
            })
            .unwrap();
    };
    look(&other);
    world.chain.advance(Duration::from_secs(300));
    look(&other);
    let [with_ids, _] = files();
    // The second one is agreed to while the first one pays.
    let report = world
        .with(&other, async |engine| {
            engine
                .pay_file(&world.key, &with_ids, Until::Ended, &mut |quote| {
                    assert!(quote.alike.is_empty());
                    pay(&world, &world.ledger, &with_ids).unwrap();
                    true
                })
                .await
        })
        .unwrap()
        .unwrap();
    for row in &report.rows {
        match row {
            RowEnd::Payout(payout, None) => {
                assert_eq!(payout.state, PayoutState::Failed);
                assert!(
                    payout.reason.starts_with(PAID_ELSEWHERE),
                    "{}",
                    payout.reason
                );
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(paid(&world, payee(1)), (70, 1));
    assert_eq!(paid(&world, payee(2)), (30, 1));
}

/// A device on which its user says no.
struct Declines(Address);

impl Signer for Declines {
    fn address(&self) -> Address {
        self.0
    }

    fn sign_request(&self, _: &SignRequest<'_>) -> Result<Signature, SignerError> {
        Err(SignerError {
            address: self.0,
            reason: "its user declined".to_owned(),
        })
    }
}

#[test]
fn an_order_that_was_not_signed_does_not_outlive_its_command() {
    let world = World::new(26, 2);
    let device = Declines(world.key.address());
    let order = order(payee(1), 70);
    let [file, _] = files();
    world.owe(payee(0), 500);
    let refused = world.with(&world.ledger, async |engine| {
        let begun = engine.begin_order(&order).unwrap();
        let sent = engine
            .send(&device, &order, &begun, Until::Ended, &mut |_| true)
            .await;
        assert!(matches!(sent, Err(SettleError::Signer(_))));
        let rows = engine
            .pay_file(&device, &file, Until::Ended, &mut |_| true)
            .await;
        assert!(matches!(rows, Err(SettleError::Signer(_))));
        engine
            .run(&device, TokenId::BTT, &Policy::default(), |_| true)
            .await
    });
    assert!(matches!(refused, Err(SettleError::Signer(_))));
    assert!(
        world
            .ledger
            .unfinished(world.key.address())
            .unwrap()
            .is_empty()
    );
    // The debt is still one; nothing else is paid.
    assert!(world.run().unwrap());
    assert_eq!(paid(&world, payee(0)), (500, 1));
    assert_eq!(paid(&world, payee(1)), (0, 0));
    assert_eq!(paid(&world, payee(2)), (0, 0));
}

/// What fails when, once it was confirmed, the node does this: a payment, a file of them, a
/// settlement. Nothing of it is left.
fn fails_for_its_node(world: &World, kind: u8, node: &(dyn Fn() + Sync)) -> SettleError {
    let order = order(payee(1), 71);
    let [file, _] = files();
    let fails = || {
        node();
        // Blocks come that it has to read before it signs.
        world.chain.advance(Duration::from_secs(60));
        true
    };
    let mut confirm_one = |_: &SendQuote| fails();
    let mut confirm_all = |_: &FileQuote| fails();
    let outcome = world.with(&world.ledger, async |engine| match kind {
        0 => {
            let begun = engine.begin_order(&order)?;
            let sent = engine.send(&world.key, &order, &begun, Until::Ended, &mut confirm_one);
            sent.await.map(drop)
        }
        1 => {
            let rows = engine.pay_file(&world.key, &file, Until::Ended, &mut confirm_all);
            rows.await.map(drop)
        }
        _ => {
            let policy = Policy::default();
            let run = engine.run(&world.key, TokenId::BTT, &policy, |_| fails());
            run.await.map(drop)
        }
    });
    let error = outcome.expect_err("its node is of no use");
    let left = world.ledger.unfinished(world.key.address()).unwrap();
    assert!(left.is_empty(), "{error}: {left:?}");
    assert_eq!(paid(world, payee(1)), (0, 0));
    error
}

/// A command that fails for its node, whatever that did, leaves no order behind, as one that
/// was declined.
#[test]
fn an_order_whose_node_failed_before_it_was_signed_does_not_outlive_its_command() {
    let world = World::new(60, 2);
    world.owe(payee(0), 500);
    for kind in 0..3 {
        let error = fails_for_its_node(&world, kind, &|| {
            world.chain.set_faults(Faults {
                failing: 1_000,
                ..Faults::default()
            });
        });
        assert!(matches!(error, SettleError::Node(_)), "{error}");
        world.chain.set_faults(Faults::default());
    }
    // What is ordered again is paid once, and unasked.
    let order = order(payee(1), 71);
    let [file, _] = files();
    assert!(!payout(send(&world, &order, Until::Ended)).found);
    pay(&world, &world.ledger, &file).unwrap();
    assert!(world.run().unwrap());
    assert_eq!(paid(&world, payee(0)), (500, 1));
    assert_eq!(paid(&world, payee(1)), (141, 2));
    assert_eq!(paid(&world, payee(2)), (30, 1));

    for kind in 0..3 {
        // Each block is solid at once, so that no known one is left to be read.
        let world = World::new(61, 0);
        world.owe(payee(0), 500);
        let error = fails_for_its_node(&world, kind, &|| {
            for place in 0..3 {
                world.chain.elect(place);
            }
        });
        let is_of_strangers = matches!(error, SettleError::Ledger(LedgerError::Strangers { .. }));
        assert!(is_of_strangers, "{error}");
    }
}

/// What a command leaves that was killed before it signed.
fn leave_unsigned(world: &World, payee: Address, amount: i64) {
    let payer = world.key.address();
    let lease = world.ledger.lease_account(payer, "killed").unwrap();
    let batch = BatchRow {
        id: BatchId::new(amount).unwrap(),
        payer,
        kind: PayoutKind::Send,
        created_at: world.chain.clock.now(),
    };
    let row = PayoutRow {
        id: PayoutId::new(amount).unwrap(),
        batch: batch.id,
        kind: PayoutKind::Send,
        payer,
        payee,
        token: BTT,
        from: world.ledger.range_end(payer, payee, BTT).unwrap(),
        amount: raw(amount),
        memo: Vec::new(),
        label: String::new(),
        not_for_debts: false,
        state: PayoutState::Planned,
        reason: String::new(),
        owed: raw(0),
        owed_to_us: raw(0),
    };
    world.ledger.insert_batch(&lease, &batch, &[row]).unwrap();
}

#[test]
fn what_another_command_left_unsigned_is_asked_about_and_can_be_cancelled() {
    let world = World::new(27, 2);
    leave_unsigned(&world, payee(1), 70);
    world.owe(payee(0), 500);
    let mut asked = 0;
    world
        .with(&world.ledger, async |engine| {
            engine
                .run(
                    &world.key,
                    TokenId::BTT,
                    &Policy::default(),
                    |question| match question {
                        Question::Finish(orders) => {
                            asked += orders.len();
                            false
                        }
                        Question::Pay(_) => true,
                    },
                )
                .await
        })
        .unwrap();
    assert_eq!(asked, 1);
    assert_eq!(
        (paid(&world, payee(0)), paid(&world, payee(1))),
        ((500, 1), (0, 0))
    );
    let report = world
        .with(&world.ledger, async |engine| engine.cancel(None))
        .unwrap();
    assert_eq!((report.cancelled.len(), report.signed.len()), (1, 0));
    assert!(world.run().unwrap());
    assert_eq!(paid(&world, payee(1)), (0, 0));
    // One that is said to be wanted is finished.
    leave_unsigned(&world, payee(1), 71);
    assert!(world.run().unwrap());
    assert_eq!(paid(&world, payee(1)), (71, 1));
}
