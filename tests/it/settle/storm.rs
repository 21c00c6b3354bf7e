//! Whole lives of a payer, a seed each: faults of every kind at once, and after
//! them everybody has what the receipts say.
//!
//! `SEEDRAIL_SEEDS=n` runs so many, `SEEDRAIL_FIRST_SEED=n` from there on.

use std::{
    pin::pin,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use seedrail::{
    ledger::{ChainLog, LedgerError, Receipts, SqliteLedger},
    settle::{Policy, SettleError},
    tron::keys::SecretKey,
    types::TokenId,
};

use super::{
    counter::{Counter, FACTS},
    crash::{CrashingLedger, Ending},
    holders::Holders,
    sim::{Counts, Faults, Pace, Process, Rng, SimChain},
    world::{World, forgiving, logged, payee, poll},
};

/// In this time all that was signed, and all that floats about, is in a block or dead.
pub(super) const TO_AN_END: Duration = Duration::from_secs(420);

/// More blocks than are read one by one.
const QUIET: u64 = 1_260;

/// What must happen, or the test shows nothing.
const FAULTS: [&str; 41] = [
    "answers of a node behind",
    "both sides paying",
    "batches of holders expired",
    "batches of holders sent",
    "busy answers",
    "changed keys",
    "doubled broadcasts",
    "empty answers",
    "forks",
    "gaps passed over",
    "garbage blocks",
    "held back",
    "holders sending by themselves",
    "holders too few",
    "home copies put back",
    "impostors",
    "included after expiration",
    "invented blocks",
    "invented heads",
    "killed processes",
    "lapsed leases",
    "leases lost",
    "lies about inclusion",
    "lost as duplicates",
    "lost broadcasts",
    "lost ledgers",
    "missed slots",
    "new witnesses",
    "old backups restored",
    "pruned answers",
    "quiet weeks",
    "refused but delivered",
    "second machines refused",
    "shared accounts paid by hand",
    "shared accounts refused to one key",
    "short answers",
    "suspended processes",
    "unanswered broadcasts",
    "unanswered questions",
    "unknown commits",
    "wrong clocks",
];

/// A payer, perhaps another who owes it, and what happens to them.
struct Storm {
    seed: u64,
    rng: Rng,
    world: World,
    owed: [i64; 4],
    counts: Counts,
    /// A copy of the ledger, made earlier.
    copy: Option<SqliteLedger>,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let pace = Pace::drawn(&mut rng);
        let world = World::new(seed, pace);
        world.chain.set_faults(Faults::storm(&mut rng));
        Self {
            seed,
            rng,
            world,
            owed: [0; 4],
            counts: Counts::new(),
            copy: None,
        }
    }

    fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    fn owe(&mut self) {
        for index in 0..4 {
            if self.rng.chance(600) {
                let more = i64::try_from(1 + self.rng.below(1000)).unwrap();
                self.world.owe(payee(index), more);
                self.owed[usize::from(index)] += more;
            }
        }
    }

    fn unexpected(&self, what: &str, error: &SettleError) -> ! {
        panic!("seed {}, {what}: {error}", self.seed);
    }

    /// A process that comes to some end.
    fn run(&mut self) {
        let at = self.rng.below(120);
        let (end, name) = match self.rng.below(10) {
            0..5 => (Some((at, Ending::Killed)), "killed processes"),
            5..7 => (Some((at, Ending::Unsure)), "unknown commits"),
            _ => (None, "processes cut off by their node"),
        };
        match self.world.run_until(end) {
            Ok(true) => {}
            Ok(false) => self.count(name),
            Err(error) => self.unexpected("a run", &error),
        }
    }

    /// A process stands still until its lease has run out and another one, on
    /// another machine, has done the work; then it goes on.
    fn lapse(&mut self) {
        let freeze_at = self.rng.below(60);
        let (lapsed, lost) = self.freeze(freeze_at);
        if lapsed {
            self.count("lapsed leases");
        }
        if lost {
            self.count("leases lost");
        }
    }

    /// Whether it came to stand still, and whether it noticed.
    fn freeze(&self, freeze_at: u64) -> (bool, bool) {
        let process = Process::freezing(freeze_at);
        let ledger = CrashingLedger::new(self.world.ledger.another().unwrap(), None, &process);
        let world = &self.world;
        let run = world.begin(&ledger, &process, async |engine| {
            engine
                .run(&world.key, TokenId::BTT, &Policy::default(), |_| true)
                .await
        });
        let mut run = pin!(run);
        let mut outcome = poll(run.as_mut());
        let lapsed = outcome.is_none();
        if lapsed {
            let successor = Process::default();
            let other = world.ledger.another_machine().unwrap();
            let done = world.on(&other, &successor, async |engine| {
                engine
                    .run(&world.key, TokenId::BTT, &Policy::default(), |_| true)
                    .await
            });
            if let Err(error) = forgiving(done.map(|_| ()), &successor) {
                self.unexpected("a successor", &error);
            }
            process.thaw();
            outcome = poll(run.as_mut());
        }
        let lost = match outcome.expect("it was thawed") {
            Err(SettleError::Ledger(LedgerError::LeaseLost(_))) => true,
            done => match forgiving(done.map(|_| ()), &process) {
                Ok(_) => false,
                Err(error) => self.unexpected("a lapsed lease", &error),
            },
        };
        (lapsed, lost)
    }
    /// A copy that says what it is, on another machine or from a backup: it is
    /// refused, and after its recovery it is the ledger.
    fn restore(&mut self) {
        let Some(copy) = self.copy.take() else {
            return;
        };
        copy.mark_restored().unwrap();
        // What the original signed a moment ago may still be on its way.
        self.run();
        let original = std::mem::replace(&mut self.world.ledger, copy);
        match self.world.run() {
            Err(SettleError::Ledger(LedgerError::Restored(_))) => {
                self.count("second machines refused");
            }
            Ok(false) => {}
            Ok(true) => panic!("seed {}: a copy was let sign", self.seed),
            Err(error) => self.unexpected("a copy", &error),
        }
        drop(original);
        self.count("old backups restored");
        for _ in 0..20 {
            let process = Process::default();
            let world = &self.world;
            let done = world.on(&world.ledger, &process, async |engine| {
                engine.recover(false).await
            });
            let report = match done {
                Ok(report) => report,
                Err(SettleError::UsedElsewhere { .. }) => continue,
                Err(error) => match forgiving(Err(error), &process) {
                    Ok(_) => continue,
                    Err(error) => self.unexpected("a recovery", &error),
                },
            };
            if report.done {
                self.world.adopt(&self.world.receipts());
                return;
            }
            self.world.adopt_transfers();
        }
        panic!("seed {}: the recovery never ends", self.seed);
    }

    /// A copy that does not say so is put in the place of the original, when
    /// nothing the original signed can still happen.
    fn put_back(&mut self) {
        let Some(copy) = self.copy.take() else {
            return;
        };
        self.world.chain.advance(TO_AN_END);
        self.world.ledger = copy;
        self.count("home copies put back");
        self.run();
        self.world.adopt(&self.world.receipts());
    }

    /// The ledger is lost. A new one begins at an honest node, and peers bring the receipts
    /// back, some of them late.
    fn lose(&mut self) {
        // Nothing that the lost one signed can still happen.
        self.world.chain.advance(TO_AN_END);
        let faults = self.world.chain.faults();
        self.world.chain.set_faults(Faults::default());
        self.world.begin_anew();
        self.world.chain.set_faults(faults);
        self.copy = None;
        self.count("lost ledgers");
        let receipts = self.world.receipts();
        let first = usize::try_from(self.rng.below(1 + receipts.len() as u64)).unwrap();
        self.world.adopt(&receipts[..first]);
        self.run();
        self.world.adopt(&receipts);
    }

    fn calm(&mut self) {
        self.world.chain.set_faults(Faults::default());
        self.world.ahead_ms.store(0, Ordering::SeqCst);
        for _ in 0..5 {
            match self.world.run_calmly() {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => self.unexpected("calm", &error),
            }
        }
        // Whatever still floats about arrives now.
        self.world.chain.advance(TO_AN_END);
        match self.world.run() {
            Ok(true) => {}
            Ok(false) => panic!("seed {}: the node is calm, and yet it stops", self.seed),
            Err(error) => self.unexpected("the end", &error),
        }
    }

    /// Nobody settles for longer than is read block by block.
    fn quiet_week(&mut self) {
        self.world.chain.be_patient();
        let before = self.world.chain.solid_now();
        while self.world.chain.solid_now() < before + QUIET {
            self.world.chain.advance(Duration::from_secs(300));
        }
        self.count("quiet weeks");
        self.run();
        if self.world.scanned_from() > before {
            self.count("gaps passed over");
        }
    }

    fn pass(mut self) -> Counts {
        for round in 0..4 {
            self.owe();
            if round > 0 && self.rng.chance(30) {
                self.quiet_week();
            }
            if self.rng.chance(150) {
                let ahead = i64::try_from(self.rng.below(240_000)).unwrap() - 120_000;
                self.world.ahead_ms.store(ahead, Ordering::SeqCst);
                self.count("wrong clocks");
            }
            if self.rng.chance(200) {
                self.copy = Some(self.world.ledger.copy_in_memory().unwrap());
                self.owe();
            }
            match self.rng.below(10) {
                0 | 1 => self.lapse(),
                2 if round > 0 => self.restore(),
                3 if round > 0 => self.put_back(),
                4 if round > 0 => self.lose(),
                _ => self.run(),
            }
            let time = self.rng.seconds(200);
            self.world.chain.advance(time);
            self.world.ahead_ms.store(0, Ordering::SeqCst);
        }
        self.calm();
        self.world.adopt_transfers();
        self.world.check(&self.owed, &format!("seed {}", self.seed));
        for (name, count) in self.world.chain.counts() {
            *self.counts.entry(name).or_default() += count;
        }
        self.counts
    }
}

/// Two who owe each other, pay at the same time, and hear of each other's
/// receipts late or early.
fn both(seed: u64) -> Counts {
    let mut rng = Rng(seed ^ 0x5eed);
    let pace = Pace::drawn(&mut rng);
    let left = World::new(seed, pace);
    let key = SecretKey::from_bytes(&[2; 32]).unwrap();
    let (us, them) = (left.key.address(), key.address());
    left.chain.fund(them, 1_000_000_000, 1_000_000);
    let right: World<&SimChain> = World::on_chain(&left.chain, key, seed ^ 1);
    right.settle_in();
    left.chain.set_faults(Faults::storm(&mut rng));
    let mut owed = (0, 0);
    let mut untold = (Vec::new(), Vec::new());
    let end = |rng: &mut Rng| {
        let at = rng.below(120);
        rng.chance(500).then_some((at, Ending::Killed))
    };
    let good = |done: Result<bool, SettleError>| match done {
        Ok(done) => done,
        Err(error) => panic!("seed {seed}, both sides: {error}"),
    };
    for _ in 0..4 {
        for (side, sum, receipts) in [
            (0, &mut owed.0, &mut untold.0),
            (1, &mut owed.1, &mut untold.1),
        ] {
            if rng.chance(700) {
                let more = i64::try_from(1 + rng.below(1000)).unwrap();
                *sum += more;
                receipts.push(match side {
                    0 => left.owe(them, more),
                    _ => right.owe(us, more),
                });
            }
        }
        if rng.chance(500) {
            for row in untold.0.drain(..) {
                right.ledger.store_received(&row).unwrap();
            }
        }
        if rng.chance(500) {
            for row in untold.1.drain(..) {
                left.ledger.store_received(&row).unwrap();
            }
        }
        good(left.run_until(end(&mut rng)));
        good(right.run_until(end(&mut rng)));
        left.chain.advance(rng.seconds(200));
    }
    left.chain.set_faults(Faults::default());
    for row in untold.0 {
        right.ledger.store_received(&row).unwrap();
    }
    for row in untold.1 {
        left.ledger.store_received(&row).unwrap();
    }
    for _ in 0..3 {
        good(left.run_calmly());
        good(right.run_calmly());
        left.chain.advance(TO_AN_END);
    }
    assert!(
        good(left.run_calmly()) && good(right.run_calmly()),
        "seed {seed}: the node is calm, and yet it stops"
    );
    let (ours, _) = left.chain.paid(us, them);
    let (theirs, _) = left.chain.paid(them, us);
    assert_eq!(
        ours - theirs,
        owed.0 - owed.1,
        "seed {seed}: {ours} and {theirs} were paid, {owed:?} owed"
    );
    assert!(ours <= owed.0 && theirs <= owed.1, "seed {seed}");
    left.agrees(&format!("seed {seed}, left"));
    right.agrees(&format!("seed {seed}, right"));
    let mut counts = left.chain.counts();
    counts.insert("both sides paying", 1);
    counts
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(otherwise, |text| text.parse().unwrap())
}

/// When one life fails, no other begins.
struct LastSeeds<'a>(&'a AtomicU64);

impl Drop for LastSeeds<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(u64::MAX / 2, Ordering::SeqCst);
        }
    }
}

/// What happens in the life of this seed.
fn live(seed: u64) -> Counts {
    match seed % 8 {
        3 => Holders::new(seed).pass(),
        5 => Counter::new(seed).pass(),
        7 => both(seed),
        _ => Storm::new(seed).pass(),
    }
}

/// Whatever else runs on the machine, a seed stands for one life.
#[test]
fn a_life_goes_the_same_way_twice() {
    // Two of each kind; in the last ledgers are lost.
    for seed in [0, 3, 5, 7, 8, 11, 13, 15, 21, 19_217] {
        let once = logged(|| drop(live(seed)));
        let again = logged(|| drop(live(seed)));
        assert!(once.len() > 100, "seed {seed}: {} lines", once.len());
        for (n, (before, after)) in once.iter().zip(&again).enumerate() {
            assert_eq!(before, after, "seed {seed}, line {n}");
        }
        assert_eq!(once.len(), again.len(), "seed {seed}");
    }
}

/// In the first, a payer came back after a quiet week to a block after which none of 50
/// was by a witness that he knew; in the second, a killed command left an order unsigned
/// that another file ordered as well; in the third, the time of an invented block made a
/// new ledger believe that nothing had been paid before it; in the fourth, the history of a
/// lost ledger was read from its start again after each wrong answer; in the fifth, an order
/// stayed whose command met nothing but invented blocks before it could sign; in the sixth,
/// every witness changed while nobody looked, and nobody said that the node is to be trusted.
#[test]
fn lives_that_failed_once_pass() {
    live(62_360_936);
    live(4_413);
    live(1_268);
    live(19_217);
    live(28_717);
    live(11_463);
}

#[test]
fn storms_of_faults_pay_everybody_once() {
    let seeds = number("SEEDRAIL_SEEDS", 200);
    let first = number("SEEDRAIL_FIRST_SEED", 0);
    let next = AtomicU64::new(first);
    let total = Mutex::new(Counts::new());
    let began = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let _last = LastSeeds(&next);
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first + seeds {
                        break;
                    }
                    let counts = live(seed);
                    let mut total = total.lock().unwrap();
                    for (name, count) in counts {
                        *total.entry(name).or_default() += count;
                    }
                }
            });
        }
    });
    let total = total.into_inner().unwrap();
    println!(
        "{seeds} seeds from {first} on, {} µs each on {cores} cores",
        began.elapsed().as_micros() / u128::from(seeds.max(1))
    );
    for (name, count) in &total {
        println!("{count:>10} {name}");
    }
    for name in FAULTS.into_iter().chain(FACTS) {
        assert!(
            seeds < 200 || total.get(name).is_some_and(|count| *count > 0),
            "{name} never happened"
        );
    }
}
