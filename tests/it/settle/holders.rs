//! A payer whose keys are in several hands: what is offered is signed elsewhere,
//! brought back late, in part, twice or never, or sent by a holder himself.

use std::time::Duration;

use seedrail::{
    ledger::{AttemptState, ChainLog, LedgerError, Payouts, Receipts},
    settle::{OFFER_LIFETIME, OfferReport, OfferTerms, Policy, SettleError},
    tron::{
        contract::Key,
        keys::SecretKey,
        permission::{OWNER_ID, Permissions},
        transaction::Transaction,
    },
    types::{Clock as _, TokenId},
};

use super::{
    crash::{CrashingLedger, Ending},
    sim::{Counts, Faults, Pace, Process, Rng},
    world::{World, forgiving, payee},
};

fn holder(index: u8) -> SecretKey {
    SecretKey::from_bytes(&[0x31 + index; 32]).unwrap()
}

/// A payer of whose three holders two must sign.
fn shared(seed: u64, pace: impl Into<Pace>) -> World {
    let world = World::new(seed, pace);
    let account = world.key.address();
    let mut permissions = Permissions::default_of(account);
    permissions.owner.threshold = 2;
    permissions.owner.keys = (0..3)
        .map(|index| Key {
            address: holder(index).address().to_bytes().to_vec(),
            weight: 1,
        })
        .collect();
    world.chain.share(account, permissions);
    world
}

fn terms(lifetime: Duration) -> OfferTerms {
    OfferTerms {
        permission_id: OWNER_ID,
        lifetime,
    }
}

impl World {
    fn offer(
        &self,
        lifetime: Duration,
        end: Option<(u64, Ending)>,
    ) -> (Result<OfferReport, SettleError>, Process) {
        let process = Process::default();
        let ledger = CrashingLedger::new(self.ledger.another().unwrap(), end, &process);
        let offered = self.on(&ledger, &process, async |engine| {
            let policy = Policy::default();
            engine
                .offer(terms(lifetime), TokenId::BTT, &policy, |_| true)
                .await
        });
        (offered, process)
    }

    fn bring_back(
        &self,
        signed: &[Transaction],
        end: Option<(u64, Ending)>,
    ) -> Result<bool, SettleError> {
        let process = Process::default();
        let ledger = CrashingLedger::new(self.ledger.another().unwrap(), end, &process);
        let done = self.on(&ledger, &process, async |engine| {
            engine.bring_back(signed).await.map(|_| ())
        });
        forgiving(done, &process)
    }
}

/// What the holders get to see.
fn file(report: &OfferReport) -> Vec<Transaction> {
    let offered = report.offered.iter();
    offered
        .map(|attempt| Transaction::decode(&attempt.get().bytes).unwrap())
        .collect()
}

fn signed(file: &[Transaction], holders: &[u8]) -> Vec<Transaction> {
    let mut signed = file.to_vec();
    for transaction in &mut signed {
        for index in holders {
            transaction.sign(&holder(*index)).unwrap();
        }
    }
    signed
}

/// A life of such a payer.
pub(crate) struct Holders {
    seed: u64,
    rng: Rng,
    world: World,
    owed: [i64; 4],
    counts: Counts,
    /// Files that were written, the newest last.
    files: Vec<Vec<Transaction>>,
}

impl Holders {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng(seed ^ 0x401d);
        let pace = Pace::drawn(&mut rng);
        let world = shared(seed, pace);
        world.chain.set_faults(Faults::storm(&mut rng));
        Self {
            seed,
            rng,
            world,
            owed: [0; 4],
            counts: Counts::new(),
            files: Vec::new(),
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

    fn end(&mut self) -> Option<(u64, Ending)> {
        let at = self.rng.below(60);
        match self.rng.below(10) {
            0..3 => Some((at, Ending::Killed)),
            3..5 => Some((at, Ending::Unsure)),
            _ => None,
        }
    }

    fn offer(&mut self) {
        let lifetime = Duration::from_secs(60 + self.rng.below(600));
        let end = self.end();
        let (offered, process) = self.world.offer(lifetime, end);
        match offered {
            Ok(report) => self.files.push(file(&report)),
            Err(error) => match forgiving(Err(error), &process) {
                Ok(_) => self.count("killed processes"),
                Err(error) => self.unexpected("an offer", &error),
            },
        }
    }

    /// One of the files, signed by so many, is brought back or sent by its signers.
    fn sign(&mut self) {
        if self.files.is_empty() {
            return;
        }
        let place = usize::try_from(self.rng.below(self.files.len() as u64)).unwrap();
        let file = self.files[place].clone();
        if file.is_empty() {
            return;
        }
        let first = u8::try_from(self.rng.below(3)).unwrap();
        let both = [first, (first + 1) % 3];
        match self.rng.below(10) {
            0 => {
                let few = signed(&file, &both[..1]);
                match self.world.bring_back(&few, None) {
                    Err(SettleError::NotApproved { .. }) => self.count("holders too few"),
                    // All of it was brought back, or has ended, before; or it did not
                    // come so far.
                    Ok(_) => {}
                    Err(error) => self.unexpected("too few holders", &error),
                }
            }
            1 | 2 => {
                for transaction in signed(&file, &both) {
                    self.world.chain.submit(transaction);
                }
                self.count("holders sending by themselves");
            }
            _ => {
                let end = self.end();
                match self.world.bring_back(&signed(&file, &both), end) {
                    Ok(true) => self.count("batches of holders sent"),
                    Ok(false) => self.count("killed processes"),
                    Err(error) => self.unexpected("bringing back", &error),
                }
            }
        }
    }

    /// The account's own key, which does not suffice, finds nothing to do or is refused.
    fn alone(&mut self) {
        match self.world.run() {
            Ok(_) => {}
            Err(SettleError::Shared(_)) => self.count("shared accounts refused to one key"),
            Err(error) => self.unexpected("one key", &error),
        }
    }

    /// Two holders pay by hand what is owed to one payee, or a part of it.
    fn by_hand(&mut self) {
        let index = u8::try_from(self.rng.below(4)).unwrap();
        let position = self.world.ledger.position(&self.world.pair(payee(index)));
        let position = position.unwrap();
        let owed = position.issued.get() - position.paid.get() - position.live.get();
        if owed <= 0 {
            return;
        }
        let amount = 1 + i64::try_from(self.rng.below(owed.unsigned_abs())).unwrap();
        let keys = [holder(0), holder(2)];
        self.world.by_hand_of(&keys, payee(index), amount);
        self.count("shared accounts paid by hand");
        // Its fate is sealed before anything else is offered: no ledger can see what
        // two holders have signed and not sent.
        self.world.chain.advance(Duration::from_secs(60));
        let latest = self.world.chain.head_now().time;
        while self.world.chain.solid_time() <= latest {
            self.world.chain.advance(Duration::from_secs(3));
        }
    }

    fn calm(&mut self) {
        self.world.chain.set_faults(Faults::default());
        // What was signed by hand, and what still floats about, arrives or dies.
        self.world.chain.advance(Duration::from_secs(900));
        for _ in 0..5 {
            let (offered, _) = self.world.offer(OFFER_LIFETIME, None);
            let report = offered.unwrap_or_else(|error| self.unexpected("calm", &error));
            if report.offered.is_empty() {
                break;
            }
            let signed = signed(&file(&report), &[2, 0]);
            match self.world.bring_back(&signed, None) {
                Ok(true) => {}
                Ok(false) => panic!("seed {}: the node is calm, and yet it stops", self.seed),
                Err(error) => self.unexpected("the end", &error),
            }
        }
    }

    pub(crate) fn pass(mut self) -> Counts {
        for _ in 0..4 {
            self.owe();
            match self.rng.below(10) {
                0 => self.alone(),
                1 => self.by_hand(),
                _ => {}
            }
            self.offer();
            let time = self.rng.seconds(150);
            self.world.chain.advance(time);
            for _ in 0..self.rng.below(4) {
                self.sign();
                let time = self.rng.seconds(200);
                self.world.chain.advance(time);
            }
        }
        self.calm();
        self.world.adopt_transfers();
        self.world
            .check(&self.owed, &format!("seed {}, holders", self.seed));
        let expired = self.expired();
        for (name, count) in self.world.chain.counts() {
            *self.counts.entry(name).or_default() += count;
        }
        *self.counts.entry("batches of holders expired").or_default() += expired;
        self.counts
    }

    fn expired(&self) -> u64 {
        let ledger = &self.world.ledger;
        let mut expired = 0;
        for batch in ledger.batches(self.world.key.address(), 1000).unwrap() {
            let attempts = ledger.attempts(batch.id).unwrap();
            let mut dead = attempts.iter().map(|row| row.get().state);
            expired += u64::from(dead.any(|state| state == AttemptState::Dead));
        }
        expired
    }
}

#[test]
fn a_batch_is_signed_by_two_of_three_holders_and_paid_once() {
    let world = shared(1, 2);
    world.owe(payee(0), 500);
    world.owe(payee(1), 70);
    assert!(matches!(world.run(), Err(SettleError::Shared(_))));
    let (offered, _) = world.offer(Duration::from_secs(3600), None);
    let offered = offered.unwrap();
    assert_eq!(offered.plan.payouts.len(), 2);
    let first = file(&offered);
    assert_eq!(first.len(), 2);

    // The file was lost: it is written again, and nothing is planned twice.
    let (again, _) = world.offer(Duration::from_secs(3600), None);
    let again = again.unwrap();
    assert_eq!(
        (again.plan.payouts.len(), again.offered),
        (0, offered.offered)
    );

    let few = world.bring_back(&signed(&first, &[1]), None);
    match few {
        Err(SettleError::NotApproved {
            count,
            weight,
            threshold,
            ref missing,
            ..
        }) => {
            assert_eq!((count, weight, threshold), (2, 1, 2));
            assert_eq!(*missing, [holder(0).address(), holder(2).address()]);
        }
        other => panic!("{other:?}"),
    }
    let strange = signed(&first[..1], &[1, 7]);
    assert!(matches!(
        world.bring_back(&strange, None),
        Err(SettleError::NotApproved { weight: 1, .. })
    ));
    let living = world.ledger.live_attempts(world.key.address()).unwrap();
    assert!(
        living
            .iter()
            .all(|row| row.get().state == AttemptState::Offered),
        "a refusal changes nothing"
    );

    // One of them comes back first. The other is not waited for.
    assert!(
        world
            .bring_back(&signed(&first[..1], &[2, 0]), None)
            .unwrap()
    );
    let paid = |index| world.chain.paid(world.key.address(), payee(index)).1;
    assert_eq!(paid(0) + paid(1), 1);
    // Both again: the one is known, the other paid now.
    assert!(world.bring_back(&signed(&first, &[1, 2]), None).unwrap());
    world.check(&[500, 70], "both holders");

    let foreign = shared(2, 2);
    foreign.owe(payee(0), 5);
    let (other, _) = foreign.offer(Duration::from_secs(3600), None);
    let other = signed(&file(&other.unwrap()), &[0, 1]);
    assert!(matches!(
        world.bring_back(&other, None),
        Err(SettleError::NotOffered(txid)) if txid == other[0].txid()
    ));
}

#[test]
fn what_was_paid_by_hand_meanwhile_is_not_sent() {
    let world = shared(3, 2);
    world.owe(payee(0), 500);
    let (offered, _) = world.offer(Duration::from_secs(3600), None);
    let batch = signed(&file(&offered.unwrap()), &[0, 1]);
    world.by_hand_of(&[holder(0), holder(1)], payee(0), 200);
    world.chain.advance(Duration::from_secs(3));
    assert!(world.bring_back(&batch, None).unwrap());
    assert_eq!(world.chain.paid(world.key.address(), payee(0)), (200, 1));
    // When it has died, the rest is planned anew.
    world.chain.advance(Duration::from_secs(3700));
    let (offered, _) = world.offer(Duration::from_secs(3600), None);
    let offered = offered.unwrap();
    assert_eq!(offered.plan.total.get(), 300);
    world
        .bring_back(&signed(&file(&offered), &[0, 1]), None)
        .unwrap();
    world.adopt_transfers();
    world.check(&[500], "by hand");
}

#[test]
fn a_copy_waits_a_day_for_what_the_original_may_have_offered() {
    let world = shared(4, 2);
    world.chain.be_patient();
    world.owe(payee(0), 500);
    let copy = world.ledger.copy_in_memory().unwrap();
    let (offered, _) = world.offer(OFFER_LIFETIME, None);
    let batch = signed(&file(&offered.unwrap()), &[0, 1]);

    copy.mark_restored().unwrap();
    let mut world = world;
    world.ledger = copy;
    let (refused, _) = world.offer(Duration::from_secs(3600), None);
    assert!(matches!(
        refused,
        Err(SettleError::Ledger(LedgerError::Restored(_)))
    ));
    // A holder sends it after 20 hours.
    world.chain.advance(Duration::from_secs(20 * 3600));
    let began = world.chain.clock.now();
    world.chain.submit(batch[0].clone());
    let report = world.recover();
    assert!(report.done, "{report:?}");
    assert_eq!(report.matched.len(), 1);
    let waited = world.chain.clock.now().since(began);
    assert!(waited >= OFFER_LIFETIME, "{waited:?}");
    let (offered, _) = world.offer(Duration::from_secs(3600), None);
    assert_eq!(offered.unwrap().offered, []);
    world.check(&[500], "the copy");
}
