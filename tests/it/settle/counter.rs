//! Whole lives of a person who pays at a counter, a seed each: payments typed alone and
//! in files, with and without names, beside debts; two commands at once, signatures that
//! are declined, ledgers restored in place, second homes, and every fault of the chain.
//! In the end each order was paid once, or declined and not paid.

use std::{collections::BTreeSet, time::Duration};

use seedrail::{
    ledger::{PastOrigin, PastPayment, PayoutId, PayoutState, SqliteLedger},
    settle::{
        Begun, OrderName, PayoutFile, Policy, Question, RowEnd, SLOWEST_SIGNER, SendEnd, SendOrder,
        SettleError, Until, payout_file::key_of_id,
    },
    tron::keys::{SignRequest, Signature, Signer, SignerError},
    types::{Address, Token, TokenId},
};

use super::{
    crash::{CrashingLedger, Ending},
    sim::{Counts, Faults, Pace, Process, Rng},
    slow::Slow,
    storm::TO_AN_END,
    world::{World, forgiving, payee, raw},
};

const BTT: Token = Token::Trc10(TokenId::BTT);

/// What must happen, or the test shows nothing.
pub(super) const FACTS: [&str; 11] = [
    "equal payments asked about",
    "found by their memo",
    "orders declined",
    "orders found again",
    "orders killed",
    "orders paid beside debts",
    "restored in place",
    "second homes",
    "signed slowly",
    "signed too late",
    "two commands at once",
];

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

#[derive(Debug, Clone)]
enum Order {
    Alone(SendOrder),
    File(PayoutFile),
}

/// An order as its person remembers it.
struct Placed {
    order: Order,
    /// What it pays. No two orders pay the same, so an equal payment is this one.
    pays: Vec<(u8, i64)>,
    /// It has a name and a memo: no restored ledger can mistake it.
    sure: bool,
    done: bool,
    /// It was declined on the device, and nobody wants it any more.
    unwanted: bool,
}

pub(super) struct Counter {
    seed: u64,
    rng: Rng,
    world: World,
    /// The ledger of another home, which has read the chain since the beginning.
    other: SqliteLedger,
    /// A copy of the ledger, made earlier.
    copy: Option<SqliteLedger>,
    placed: Vec<Placed>,
    owed: i64,
    is_calm: bool,
    counts: Counts,
}

/// The number of a past payment for which nothing was signed.
fn planned(past: &PastPayment) -> Option<PayoutId> {
    match past.origin {
        PastOrigin::Payout {
            id,
            state: PayoutState::Planned,
            ..
        } => Some(id),
        _ => None,
    }
}

impl Counter {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let pace = Pace::drawn(&mut rng);
        let world = World::new(seed, pace);
        let other = world.second_home();
        world.chain.set_faults(Faults::storm(&mut rng));
        Self {
            seed,
            rng,
            world,
            other,
            copy: None,
            placed: Vec::new(),
            owed: 0,
            is_calm: false,
            counts: Counts::new(),
        }
    }

    fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    fn unexpected(&self, what: &str, error: &SettleError) -> ! {
        panic!("seed {}, {what}: {error}", self.seed);
    }

    /// An order that pays what no other pays.
    fn place(&mut self) {
        let first = 1 + 10 * i64::try_from(self.placed.len()).unwrap();
        let to = u8::try_from(2 + self.rng.below(2)).unwrap();
        let name = format!("order {first}");
        let kind = self.rng.below(4);
        let (order, pays) = match kind {
            0 | 1 => {
                let named = kind == 1;
                let order = SendOrder {
                    payee: payee(to),
                    token: BTT,
                    amount: raw(first),
                    memo: if named {
                        name.clone().into_bytes()
                    } else {
                        Vec::new()
                    },
                    name: named.then(|| OrderName {
                        key: key_of_id(&name),
                        label: name.clone(),
                    }),
                    again: false,
                    not_for_debts: false,
                };
                (Order::Alone(order), vec![(to, first)])
            }
            _ => {
                let named = kind == 3;
                // The second row goes to a payee of debts.
                let pays = vec![(to, first), (1, first + 1)];
                let mut text = String::from(if named {
                    "address,amount,id,memo\n"
                } else {
                    "address,amount\n"
                });
                for (n, (to, amount)) in pays.iter().enumerate() {
                    text.push_str(&format!("{},{amount}raw:1002000", payee(*to)));
                    if named {
                        text.push_str(&format!(",{name} {n},memo {name} {n}"));
                    }
                    text.push('\n');
                }
                self.count("orders paid beside debts");
                (
                    Order::File(PayoutFile::parse(text.as_bytes()).unwrap()),
                    pays,
                )
            }
        };
        self.placed.push(Placed {
            order,
            pays,
            sure: kind % 2 == 1,
            done: false,
            unwanted: false,
        });
    }

    /// Runs an order's command on one of the ledgers, until a process ends somewhere. Its
    /// person says no to equal payments: then it was paid.
    fn attempt(&mut self, index: usize, on_other: bool, end: Option<(u64, Ending)>) {
        let process = Process::default();
        let ledger = if on_other {
            &self.other
        } else {
            &self.world.ledger
        };
        let ledger = CrashingLedger::new(ledger.another().unwrap(), end, &process);
        let takes = (!self.is_calm && self.rng.chance(150)).then(|| self.rng.seconds(130));
        let placed = &self.placed[index];
        let world = &self.world;
        let slow = Slow {
            world,
            takes: takes.unwrap_or_default(),
            // Not each of them says that it may take long.
            patience: takes.map_or(Duration::ZERO, |takes| {
                SLOWEST_SIGNER * u32::from(takes.as_secs() % 2 == 0)
            }),
        };
        let signer: &dyn Signer = if takes.is_some() { &slow } else { &world.key };
        let (mut asked, mut unsigned) = (false, Vec::new());
        let outcome = world.on(&ledger, &process, async |engine| match &placed.order {
            Order::Alone(order) => {
                let begun = engine.begin_order(order)?;
                let mut confirm = |quote: &seedrail::settle::SendQuote| {
                    asked = !quote.alike.is_empty();
                    unsigned = quote.alike.iter().filter_map(planned).collect();
                    !asked
                };
                let end = engine
                    .send(signer, order, &begun, Until::Ended, &mut confirm)
                    .await?;
                Ok(match end {
                    SendEnd::Declined => (true, 0, 0),
                    SendEnd::Elsewhere(_) => (true, 1, 0),
                    SendEnd::Payout(report) => (
                        report.state().unwrap().0 == PayoutState::Confirmed,
                        0,
                        u64::from(report.found),
                    ),
                })
            }
            Order::File(file) => {
                let mut confirm = |quote: &seedrail::settle::FileQuote| {
                    asked = !quote.alike.is_empty();
                    let alike = quote.alike.iter().map(|(_, past)| past);
                    unsigned = alike.filter_map(planned).collect();
                    !asked
                };
                let report = engine
                    .pay_file(signer, file, Until::Ended, &mut confirm)
                    .await?;
                Ok(match report {
                    // The rows that are not equal to past payments are paid in another file,
                    // as a person does.
                    None => (false, 0, 0),
                    Some(report) => {
                        let paid = |row: &RowEnd| match row {
                            RowEnd::Elsewhere(_) => true,
                            RowEnd::Payout(payout, _) => payout.state == PayoutState::Confirmed,
                        };
                        let by_memo = report
                            .rows
                            .iter()
                            .filter(|row| matches!(row, RowEnd::Elsewhere(_)))
                            .count();
                        (
                            report.rows.iter().all(paid),
                            u64::try_from(by_memo).unwrap(),
                            u64::try_from(report.found).unwrap(),
                        )
                    }
                })
            }
        });
        let (done, by_memo, found) = match outcome {
            Ok(end) => end,
            // The account is used from another home right now.
            Err(SettleError::UsedElsewhere { .. }) => return,
            Err(SettleError::SlowSigner(_)) => {
                self.count("signed too late");
                return;
            }
            Err(error) => match forgiving(Err(error), &process) {
                Ok(_) => {
                    self.count("orders killed");
                    return;
                }
                Err(error) => self.unexpected("an order", &error),
            },
        };
        if takes.is_some() {
            self.count("signed slowly");
        }
        *self.counts.entry("found by their memo").or_default() += by_memo;
        *self.counts.entry("orders found again").or_default() += found;
        if asked {
            self.count("equal payments asked about");
            // What a killed command left unsigned was not paid: it is given up, and the
            // order is given again.
            if !unsigned.is_empty() {
                let cancelled = self.world.on(&ledger, &process, async |engine| {
                    engine.cancel(Some(&unsigned)).map(drop)
                });
                match forgiving(cancelled, &process) {
                    Ok(true) => self.count("unsigned orders given up"),
                    Ok(false) => {}
                    Err(error) => self.unexpected("a cancellation", &error),
                }
                return;
            }
            if self.placed[index].sure {
                // A pruned node does not show the memo; any other does.
                assert!(!self.is_calm, "seed {}: a name was forgotten", self.seed);
                return;
            }
            self.divide(index);
            return;
        }
        self.placed[index].done |= done;
    }

    /// A person who is shown that some rows were paid leaves them out: what remains is a
    /// file of its own.
    fn divide(&mut self, index: usize) {
        let chain = &self.world.chain;
        let payer = self.world.key.address();
        let left: Vec<_> = self.placed[index]
            .pays
            .iter()
            .copied()
            .filter(|(to, amount)| chain.times_paid(payer, payee(*to), *amount) == 0)
            .collect();
        self.placed[index].done = true;
        if left.is_empty() {
            return;
        }
        let mut text = String::from("address,amount\n");
        for (to, amount) in &left {
            text.push_str(&format!("{},{amount}raw:1002000\n", payee(*to)));
        }
        self.placed[index].pays.retain(|pay| !left.contains(pay));
        self.placed.push(Placed {
            order: Order::File(PayoutFile::parse(text.as_bytes()).unwrap()),
            pays: left,
            sure: false,
            done: false,
            unwanted: false,
        });
    }

    /// The same command twice: the second one looks at the ledger before the first one has
    /// the account, and waits for its end.
    fn twice(&mut self) {
        self.place();
        let index = self.placed.len() - 1;
        let Order::Alone(order) = self.placed[index].order.clone() else {
            return;
        };
        let world = &self.world;
        let begun = world
            .with(&world.ledger, async |engine| engine.begin_order(&order))
            .unwrap();
        self.attempt(index, false, None);
        if !self.placed[index].done {
            return;
        }
        let process = Process::default();
        let world = &self.world;
        let second = world.on(&world.ledger, &process, async |engine| {
            engine
                .send(&world.key, &order, &begun, Until::Ended, &mut |_| {
                    panic!(
                        "seed {}: the first command's payment is asked about",
                        self.seed
                    )
                })
                .await
        });
        match second {
            Ok(SendEnd::Payout(report)) => assert!(report.found, "seed {}", self.seed),
            Ok(other) => panic!("seed {}, the second command: {other:?}", self.seed),
            Err(error) => {
                if let Err(error) = forgiving(Err(error), &process) {
                    self.unexpected("the second command", &error);
                }
            }
        }
        self.count("two commands at once");
    }

    fn some_end(&mut self) -> Option<(u64, Ending)> {
        let at = self.rng.below(60);
        match self.rng.below(10) {
            0..4 => Some((at, Ending::Killed)),
            4..6 => Some((at, Ending::Unsure)),
            _ => None,
        }
    }

    /// An order is declined on the device. Nobody orders it again.
    fn decline(&mut self) {
        self.place();
        let index = self.placed.len() - 1;
        let device = Declines(self.world.key.address());
        let placed = &self.placed[index];
        let process = Process::default();
        let world = &self.world;
        let outcome = world.on(&world.ledger, &process, async |engine| {
            match &placed.order {
                Order::Alone(order) => engine
                    .send(&device, order, &Begun::default(), Until::Ended, &mut |_| {
                        true
                    })
                    .await
                    .map(|_| ()),
                Order::File(file) => engine
                    .pay_file(&device, file, Until::Ended, &mut |_| true)
                    .await
                    .map(|_| ()),
            }
        });
        match outcome {
            Err(SettleError::Signer(_)) => self.count("orders declined"),
            Err(SettleError::UsedElsewhere { .. }) => {}
            other => {
                if let Err(error) = forgiving(other, &process) {
                    self.unexpected("a declined order", &error);
                }
            }
        }
        self.placed[index].unwanted = true;
    }

    /// Debts are settled; its person agrees to finish what he ordered and nothing else.
    fn settle(&mut self, end: Option<(u64, Ending)>) -> bool {
        let process = Process::default();
        let ledger = CrashingLedger::new(self.world.ledger.another().unwrap(), end, &process);
        let unwanted: BTreeSet<i64> = self
            .placed
            .iter()
            .filter(|placed| placed.unwanted)
            .flat_map(|placed| placed.pays.iter().map(|(_, amount)| *amount))
            .collect();
        let (world, seed) = (&self.world, self.seed);
        let done = world.on(&ledger, &process, async |engine| {
            engine
                .run(&world.key, TokenId::BTT, &Policy::default(), |question| {
                    if let Question::Finish(orders) = question {
                        for order in *orders {
                            assert!(
                                !unwanted.contains(&order.payout.amount.get()),
                                "seed {seed}: a declined order is still there"
                            );
                        }
                        return orders.iter().all(|order| order.alike.is_empty());
                    }
                    true
                })
                .await
        });
        match done {
            Ok(_) => true,
            Err(SettleError::UsedElsewhere { .. }) => false,
            Err(error) => match forgiving(Err(error), &process) {
                Ok(done) => done,
                Err(error) => self.unexpected("a settlement", &error),
            },
        }
    }

    /// An old copy is put in the ledger's place, and nothing marks it. Its person runs all
    /// his commands again.
    fn put_back(&mut self) {
        let Some(copy) = self.copy.take() else {
            return;
        };
        self.world.chain.advance(TO_AN_END);
        self.world.ledger = copy;
        self.count("restored in place");
        self.again();
        self.world.adopt(&self.world.receipts());
    }

    /// Everything that was ordered is to be ordered again.
    fn again(&mut self) {
        for placed in &mut self.placed {
            placed.done &= placed.unwanted;
        }
    }

    fn wanted(&self) -> Vec<usize> {
        let wanted = |placed: &Placed| !placed.done && !placed.unwanted;
        (0..self.placed.len())
            .filter(|index| wanted(&self.placed[*index]))
            .collect()
    }

    fn run_all(&mut self, on_other: bool, tries: usize) {
        for _ in 0..tries {
            for index in self.wanted() {
                self.attempt(index, on_other, None);
            }
            if self.wanted().is_empty() {
                return;
            }
            self.world.chain.advance(Duration::from_secs(300));
        }
    }

    pub(super) fn pass(mut self) -> Counts {
        for _ in 0..5 {
            if self.rng.chance(700) {
                let more = i64::try_from(1 + self.rng.below(1000)).unwrap();
                self.world.owe(payee(0), more);
                self.owed += more;
            }
            if self.rng.chance(200) {
                self.world.owe(payee(1), 1_000);
            }
            if self.rng.chance(300) {
                self.copy = Some(self.world.ledger.copy_in_memory().unwrap());
            }
            self.place();
            match self.rng.below(10) {
                0 | 1 => self.decline(),
                7 | 8 => self.twice(),
                2 | 3 => self.put_back(),
                4 | 5 => {
                    // Nothing that the first home signed can still happen.
                    self.world.chain.advance(TO_AN_END);
                    self.count("second homes");
                    for index in self.wanted() {
                        let end = self.some_end();
                        self.attempt(index, true, end);
                    }
                    self.world.chain.advance(TO_AN_END);
                }
                6 => {
                    let end = self.some_end();
                    self.settle(end);
                }
                _ => {}
            }
            for index in self.wanted() {
                let end = self.some_end();
                self.attempt(index, false, end);
            }
            let time = self.rng.seconds(200);
            self.world.chain.advance(time);
        }
        self.calm();
        for (name, count) in self.world.chain.counts() {
            *self.counts.entry(name).or_default() += count;
        }
        self.counts
    }

    fn calm(&mut self) {
        self.world.chain.set_faults(Faults::default());
        self.is_calm = true;
        self.world.chain.advance(TO_AN_END);
        self.run_all(false, 10);
        self.is_paid_once("calm");
        // Both homes, once more, with everything.
        for on_other in [true, false] {
            self.world.chain.advance(TO_AN_END);
            self.again();
            self.run_all(on_other, 10);
            self.is_paid_once("again");
        }
        self.world.chain.advance(TO_AN_END);
        assert!(self.settle(None), "seed {}: the node is calm", self.seed);
        let (paid, _) = self.world.chain.paid(self.world.key.address(), payee(0));
        assert_eq!(paid, self.owed, "seed {}: the debts", self.seed);
        self.world.adopt_transfers();
        self.world.agrees(&format!("seed {}", self.seed));
    }

    fn is_paid_once(&self, what: &str) {
        let seed = self.seed;
        assert!(
            self.wanted().is_empty(),
            "seed {seed}, {what}: an order is never done"
        );
        let payer = self.world.key.address();
        for placed in &self.placed {
            for (to, amount) in &placed.pays {
                let times = self.world.chain.times_paid(payer, payee(*to), *amount);
                let right = usize::from(!placed.unwanted);
                assert_eq!(
                    times, right,
                    "seed {seed}, {what}: {amount} was paid {times} times"
                );
            }
        }
    }
}
