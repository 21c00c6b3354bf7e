//! Tests of `settle` from outside: the real planner, engine and ledger against
//! a simulated chain. A failing seed is in the panic's message and replays.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod crash;
mod devnet;
mod sim;

use std::{
    future::Future,
    pin::pin,
    sync::Mutex,
    task::{Context, Poll, Waker},
    time::Duration,
};

use seedrail::{
    ledger::{Ledger, Pair, PayoutState, Remainder, SqliteLedger, TransferRow, Upkeep},
    receipts::{Receipt, ReceiptDomain, SignedReceipt},
    settle::{Engine, Event, Policy, SendOrder, SettleError, Until},
    tron::{
        contract::Contract,
        keys::SecretKey,
        transaction::{Draft, RefBlock},
    },
    types::{Address, Clock, RawAmount, Salt, Token, TokenId, TxId, UnixMs},
};

use crash::CrashingLedger;
use sim::{Counts, Faults, Rng, SimChain};

/// Drives a future that never waits for anything but the simulation.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1_000_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("the simulation waits for something that never comes");
}

fn raw(amount: i64) -> RawAmount {
    RawAmount::new(amount).unwrap()
}

fn payee(index: u8) -> Address {
    Address::from_body([0x20 + index; 20])
}

/// One payer with its key and ledger on a simulated chain.
struct World {
    chain: SimChain,
    ledger: SqliteLedger,
    key: SecretKey,
    random: Mutex<Rng>,
}

impl World {
    fn new(seed: u64, lag: usize, faults: Faults) -> Self {
        let chain = SimChain::new(seed, lag, faults);
        let ledger = SqliteLedger::in_memory(chain.genesis_id()).unwrap();
        let key = SecretKey::from_bytes(&[1; 32]).unwrap();
        chain.fund(key.address(), 1_000_000_000, 1_000_000);
        for index in 0..4 {
            chain.fund(payee(index), 1, 0);
        }
        Self {
            chain,
            ledger,
            key,
            random: Mutex::new(Rng(seed ^ 0xabcd)),
        }
    }

    fn pair(&self, payee: Address) -> Pair {
        Pair {
            payer: self.key.address(),
            payee,
            token: TokenId::BTT,
        }
    }

    /// Issues a receipt that raises the debt to `payee` by `more`.
    fn owe(&self, payee: Address, more: i64) {
        let pair = self.pair(payee);
        let since = self.chain.solid_now();
        let lease = self.ledger.claim_epoch(&pair, since).unwrap();
        let (sequence, amount) = lease.last.map_or((1, raw(more)), |last| {
            (
                last.sequence + 1,
                last.amount.checked_add(raw(more)).unwrap(),
            )
        });
        let receipt = Receipt {
            payer: pair.payer,
            payee,
            signer: pair.payer,
            vault: Address::ZERO,
            token: pair.token,
            epoch: lease.epoch,
            since_block: lease.since_block,
            sequence,
            amount,
            delivered_bytes: amount.unsigned(),
            issued_at: u64::try_from(self.chain.clock.now().secs()).unwrap(),
            grant: Salt::ZERO,
        };
        let domain = ReceiptDomain::new(self.ledger.genesis());
        let signed = SignedReceipt::sign(receipt, &domain, &self.key).unwrap();
        self.ledger
            .issue(&lease, &signed.to_row(), Remainder::default(), None)
            .unwrap();
    }

    fn random(&self) -> Result<i64, SettleError> {
        let number = self.random.lock().unwrap().next() >> 1;
        Ok(i64::try_from(number).unwrap())
    }

    fn with<T>(
        &self,
        ledger: &dyn Ledger,
        body: impl AsyncFnOnce(&Engine<'_, SimChain>) -> T,
    ) -> T {
        let random = || self.random();
        let engine = Engine {
            ledger,
            chain: &self.chain,
            clock: &*self.chain.clock,
            account: self.key.address(),
            holder: "test",
            report: &|_: &Event| {},
            random: &random,
        };
        block_on(body(&engine))
    }

    /// Runs once on a process that may crash; `true` if it came to its end.
    fn run(&self, crash_at: Option<u64>) -> Result<bool, SettleError> {
        let process = CrashingLedger::new(
            self.ledger.another().unwrap(),
            crash_at,
            self.chain.dead.clone(),
        );
        let done = self.with(&process, async |engine| {
            engine
                .run(&self.key, TokenId::BTT, &Policy::default(), |_| true)
                .await
        });
        match done {
            Ok(_) => Ok(true),
            Err(_) if self.chain.dead.load(std::sync::atomic::Ordering::SeqCst) => Ok(false),
            Err(SettleError::Node(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn check(&self, owed: &[i64], what: &str) {
        let payer = self.key.address();
        for (index, owed) in (0..).zip(owed) {
            let (paid, _) = self.chain.paid(payer, payee(index));
            assert_eq!(paid, *owed, "{what}: payee {index}");
            let position = self.ledger.position(&self.pair(payee(index))).unwrap();
            assert_eq!(position.net(), 0, "{what}: payee {index}");
            assert_eq!(position.range_end, raw(paid), "{what}: payee {index}");
            assert_eq!(position.live, raw(0), "{what}: payee {index}");
        }
        let differences = self
            .with(&self.ledger, async |engine| engine.audit().await)
            .unwrap();
        assert!(differences.is_empty(), "{what}: {differences:?}");
        let contradictions = self.ledger.contradictions().unwrap();
        assert!(contradictions.is_empty(), "{what}: {contradictions:?}");
    }

    /// A transfer by hand, past the ledger.
    fn by_hand(&self, to: Address, amount: i64) -> TxId {
        let head = self.chain.head_now();
        let draft = Draft::new(
            Contract::transfer(
                self.key.address(),
                to,
                Token::Trc10(TokenId::BTT),
                raw(amount),
            ),
            RefBlock::from(head.id),
            head.time.plus(Duration::from_secs(60)),
            UnixMs(77),
        );
        let transaction = draft.build().sign(&self.key).unwrap();
        let txid = transaction.txid();
        self.chain.submit(transaction);
        txid
    }
}

#[test]
fn debts_are_paid_once_and_a_second_run_finds_nothing() {
    let world = World::new(1, 2, Faults::default());
    world.owe(payee(0), 500);
    world.owe(payee(1), 300);
    let report = world
        .with(&world.ledger, async |engine| {
            engine
                .run(&world.key, TokenId::BTT, &Policy::default(), |plan| {
                    assert_eq!(plan.total, raw(800));
                    true
                })
                .await
        })
        .unwrap();
    assert_eq!(report.batches.len(), 1);
    let batch = &report.batches[0];
    assert_eq!((batch.counts.payouts, batch.counts.confirmed), (2, 2));
    assert_eq!(batch.txids.len(), 2);
    assert_eq!(batch.total, raw(800));
    assert_eq!(batch.fee.0, 2000);
    world.check(&[500, 300], "first");

    world.owe(payee(0), 50);
    let plan = world
        .with(&world.ledger, async |engine| {
            engine.plan(TokenId::BTT, &Policy::default()).await
        })
        .unwrap();
    assert_eq!(plan.payouts.len(), 1);
    assert_eq!(
        (plan.payouts[0].debt.range_from, plan.payouts[0].range_to()),
        (raw(500), raw(550))
    );
    assert!(world.run(None).unwrap());
    world.check(&[550, 300], "second");
    let report = world
        .with(&world.ledger, async |engine| {
            engine
                .run(&world.key, TokenId::BTT, &Policy::default(), |_| true)
                .await
        })
        .unwrap();
    assert!(report.batches.is_empty(), "nothing is left to pay");
}

/// A node that lies about its solid head makes the payer sign a since block of
/// the far future: what settlement paid still counts.
#[test]
fn a_since_block_of_the_future_is_not_paid_twice() {
    let world = World::new(2, 2, Faults::default());
    let pair = world.pair(payee(0));
    drop(world.ledger.claim_epoch(&pair, 1_000_000_000).unwrap());
    world.owe(payee(0), 500);
    assert!(world.run(None).unwrap());
    assert!(world.run(None).unwrap());
    world.check(&[500], "since block of the future");
}

#[test]
fn a_crash_at_every_durable_step_pays_once() {
    // How many half writes an undisturbed run makes.
    let steps = {
        let world = World::new(5, 2, Faults::default());
        world.owe(payee(0), 500);
        world.owe(payee(1), 300);
        let process = CrashingLedger::new(
            world.ledger.another().unwrap(),
            None,
            world.chain.dead.clone(),
        );
        world
            .with(&process, async |engine| {
                engine
                    .run(&world.key, TokenId::BTT, &Policy::default(), |_| true)
                    .await
            })
            .unwrap();
        process.half_writes.into_inner()
    };
    assert!(steps >= 16, "{steps} half writes");
    for at in 0..steps {
        let world = World::new(5, 2, Faults::default());
        world.owe(payee(0), 500);
        world.owe(payee(1), 300);
        assert!(!world.run(Some(at)).unwrap(), "crash at {at} of {steps}");
        assert!(world.run(None).unwrap(), "crash at {at}");
        world.check(&[500, 300], &format!("crash at {at}"));
    }
}

/// One seed: faults and crashes, new debts in between, then a calm chain until
/// all is paid.
fn storm(seed: u64) -> Counts {
    let mut rng = Rng(seed);
    let lag = usize::try_from(1 + rng.below(18)).unwrap();
    let world = World::new(seed, lag, Faults::storm(&mut rng));
    let mut owed = [0; 4];
    let mut crashes = 0;
    for round in 0..4 {
        for index in 0..4 {
            if rng.chance(600) {
                let more = i64::try_from(1 + rng.below(1000)).unwrap();
                world.owe(payee(index), more);
                owed[usize::from(index)] += more;
            }
        }
        let crash_at = rng.chance(800).then(|| rng.below(120));
        match world.run(crash_at) {
            Ok(true) => {}
            Ok(false) => crashes += 1,
            Err(error) => panic!("seed {seed}, round {round}: {error}"),
        }
        world.chain.advance(Duration::from_secs(rng.below(200)));
    }
    world.chain.set_faults(Faults::default());
    for _ in 0..5 {
        match world.run(None) {
            Ok(_) => {}
            Err(error) => panic!("seed {seed}, calm: {error}"),
        }
    }
    // Whatever still floats about arrives now.
    world.chain.advance(Duration::from_secs(600));
    assert!(world.run(None).unwrap());
    world.check(&owed, &format!("seed {seed}"));
    let mut counts = world.chain.counts();
    *counts.entry("crashes").or_default() += crashes;
    counts
}

#[test]
fn storms_of_faults_pay_everybody_once() {
    let seeds: u64 = std::env::var("SEEDRAIL_SEEDS")
        .ok()
        .map_or(60, |text| text.parse().unwrap());
    let began = std::time::Instant::now();
    let mut total = Counts::new();
    for seed in 0..seeds {
        for (name, count) in storm(seed) {
            *total.entry(name).or_default() += count;
        }
    }
    println!(
        "{seeds} seeds, {} ms each",
        began.elapsed().as_millis() / u128::from(seeds.max(1))
    );
    for (name, count) in &total {
        println!("{count:>10} {name}");
    }
    for name in [
        "crashes",
        "doubled broadcasts",
        "forks",
        "held back",
        "included after expiration",
        "lies about inclusion",
        "lost broadcasts",
        "missed slots",
        "refused but delivered",
        "short answers",
        "unanswered broadcasts",
        "unanswered questions",
    ] {
        assert!(total.get(name).is_some_and(|count| *count > 0), "{name}");
    }
}

#[test]
fn a_transfer_made_by_hand_counts_and_is_told_by_the_audit() {
    let world = World::new(3, 2, Faults::default());
    world.owe(payee(0), 500);
    world
        .with(&world.ledger, async |engine| {
            engine.plan(TokenId::BTT, &Policy::default()).await
        })
        .unwrap();
    let txid = world.by_hand(payee(0), 200);
    world.chain.advance(Duration::from_secs(30));
    let plan = world
        .with(&world.ledger, async |engine| {
            engine.plan(TokenId::BTT, &Policy::default()).await
        })
        .unwrap();
    assert_eq!(plan.total, raw(300));
    assert!(world.run(None).unwrap());
    assert_eq!(world.chain.paid(world.key.address(), payee(0)).0, 500);
    let differences = world
        .with(&world.ledger, async |engine| engine.audit().await)
        .unwrap();
    assert_eq!(differences.len(), 1);
    assert_eq!(differences[0].txid, txid);
    assert_eq!(differences[0].kind.name(), "unknown");
}

#[test]
fn a_send_is_shown_again_while_unresolved_and_repeated_only_on_purpose() {
    let world = World::new(4, 2, Faults::default());
    let order = SendOrder {
        payee: payee(1),
        token: Token::Trc10(TokenId::BTT),
        amount: raw(70),
        memo: Vec::new(),
        again: false,
    };
    let send = |order: &SendOrder, until| {
        world
            .with(&world.ledger, async |engine| {
                engine.send(&world.key, order, until).await
            })
            .unwrap()
    };
    let first = send(&order, Until::Sent);
    assert!(!first.found);
    let second = send(&order, Until::Ended);
    assert!(second.found);
    assert_eq!(first.txid, second.txid);
    assert_eq!(second.state().unwrap().0, PayoutState::Confirmed);
    let third = send(&order, Until::Sent);
    assert!(!third.found);
    // It became solid while nobody looked: still the same payment.
    world.chain.advance(Duration::from_secs(60));
    let fourth = send(&order, Until::Included);
    assert!(fourth.found);
    assert_eq!(third.txid, fourth.txid);
    let fifth = send(&order, Until::Included);
    assert!(!fifth.found);
    let sixth = send(
        &SendOrder {
            again: true,
            ..order.clone()
        },
        Until::Ended,
    );
    assert_ne!(fifth.txid, sixth.txid);
    assert_eq!(world.chain.paid(world.key.address(), payee(1)), (280, 4));
    let too_much = SendOrder {
        amount: raw(1_000_001),
        ..order
    };
    let refused = world.with(&world.ledger, async |engine| {
        engine.send(&world.key, &too_much, Until::Ended).await
    });
    assert!(matches!(refused, Err(SettleError::Balance { .. })));
}

#[test]
fn what_they_owe_us_is_subtracted_and_their_payments_are_not_sent_back() {
    let world = World::new(6, 2, Faults::default());
    world.owe(payee(0), 500);
    let theirs = world.pair(payee(0)).reversed();
    let row = seedrail::ledger::ReceiptRow {
        pair: theirs,
        signer: theirs.payer,
        epoch: seedrail::ledger::EpochId::new(3).unwrap(),
        since_block: 1,
        sequence: 1,
        amount: raw(120),
        delivered_bytes: 1,
        issued_at: 1,
        grant: Salt::ZERO,
        signature: [1; 65],
    };
    world.ledger.store_received(&row).unwrap();
    let plan = || {
        world
            .with(&world.ledger, async |engine| {
                engine.plan(TokenId::BTT, &Policy::default()).await
            })
            .unwrap()
    };
    let planned = plan().payouts[0];
    assert_eq!(
        (planned.amount, planned.debt.owed, planned.debt.owed_to_us),
        (raw(380), raw(500), raw(120))
    );
    world
        .ledger
        .record_transfer(&TransferRow {
            txid: TxId::from_bytes([5; 32]),
            block: 3,
            block_time: UnixMs(1),
            payer: theirs.payer,
            payee: theirs.payee,
            token: Token::Trc10(TokenId::BTT),
            amount: raw(1_000),
        })
        .unwrap();
    assert_eq!(plan().total, raw(500));
}

#[test]
fn a_receipt_that_does_not_verify_is_not_paid() {
    let world = World::new(7, 2, Faults::default());
    world.owe(payee(0), 500);
    let pair = world.pair(payee(1));
    let lease = world.ledger.claim_epoch(&pair, 1).unwrap();
    let forged = seedrail::ledger::ReceiptRow {
        pair,
        signer: pair.payer,
        epoch: lease.epoch,
        since_block: 1,
        sequence: 1,
        amount: raw(120),
        delivered_bytes: 1,
        issued_at: 1,
        grant: Salt::ZERO,
        signature: [27; 65],
    };
    world
        .ledger
        .issue(&lease, &forged, Remainder::default(), None)
        .unwrap();
    let plan = world
        .with(&world.ledger, async |engine| {
            engine.plan(TokenId::BTT, &Policy::default()).await
        })
        .unwrap();
    assert_eq!(plan.total, raw(500));
    assert!(plan.deferred[0].reason.to_string().contains("verify"));
}

#[test]
fn another_chain_and_another_key_are_refused() {
    let world = World::new(8, 2, Faults::default());
    let other = SqliteLedger::in_memory(seedrail::types::BlockId::from_bytes([9; 32])).unwrap();
    let refused = world.with(&other, async |engine| {
        engine.plan(TokenId::BTT, &Policy::default()).await
    });
    assert!(matches!(refused, Err(SettleError::OtherChain { .. })));
    let stranger = SecretKey::from_bytes(&[2; 32]).unwrap();
    let refused = world.with(&world.ledger, async |engine| {
        engine.resume(&stranger).await.map(|_| ())
    });
    assert!(matches!(refused, Err(SettleError::OtherKey { .. })));
}

#[test]
fn nothing_is_signed_while_the_clocks_disagree() {
    let world = World::new(9, 2, Faults::default());
    world.owe(payee(0), 500);
    let ahead =
        seedrail::types::ManualClock::new(world.chain.clock.now().plus(Duration::from_secs(3600)));
    let random = || world.random();
    let engine = Engine {
        ledger: &world.ledger,
        chain: &world.chain,
        clock: &ahead,
        account: world.key.address(),
        holder: "test",
        report: &|_: &Event| {},
        random: &random,
    };
    let refused = block_on(engine.run(&world.key, TokenId::BTT, &Policy::default(), |_| true));
    assert!(matches!(refused, Err(SettleError::ClockSkew { .. })));
    assert!(
        world
            .ledger
            .live_attempts(world.key.address())
            .unwrap()
            .is_empty()
    );
}
