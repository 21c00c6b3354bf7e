//! Many that pay at once share a transaction, and what was acknowledged is on disk.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use seedrail::{
    ledger::{Ledger, LedgerError, Pair},
    receipts::Message,
    types::{Clock, ManualClock, SystemClock, TokenId},
};

use crate::support::{
    gated_ledger::{Gate, Gated},
    link::*,
    scripted::Scripted,
};

const CHUNK: u64 = 16 << 10;
/// What a chunk costs, rounded down.
const UNITS: i64 = 76;

/// A write that fails.
#[derive(Clone, Copy)]
enum Failure {
    /// Before anything was written.
    Full,
    /// After it, and nobody knows.
    Unknown,
    /// For one of those that it is of.
    OfOne,
}

/// Holds writes up, counts them, and has one of them fail.
#[derive(Default)]
struct Turnstile {
    shut: Mutex<bool>,
    opened: Condvar,
    writes: AtomicUsize,
    /// The write of this number, from 0 on, fails.
    failure: Mutex<Option<(usize, Failure)>>,
}

impl Turnstile {
    fn shut(&self) {
        *self.shut.lock().unwrap() = true;
        self.writes.store(0, Ordering::SeqCst);
    }

    fn open(&self) {
        *self.shut.lock().unwrap() = false;
        self.opened.notify_all();
    }
}

impl Gate for Turnstile {
    fn read(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    fn write<T>(&self, write: impl FnOnce() -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        let shut = self.shut.lock().unwrap();
        drop(self.opened.wait_while(shut, |shut| *shut).unwrap());
        let failure = *self.failure.lock().unwrap();
        match failure.filter(|(at, _)| *at == number) {
            None => write(),
            Some((_, Failure::Full)) => Err(LedgerError::DiskFull),
            Some((_, Failure::OfOne)) => Err(LedgerError::TooManyGrants(key(10).address())),
            Some((_, Failure::Unknown)) => {
                write()?;
                Err(LedgerError::CommitUnknown("the test said so".to_owned()))
            }
        }
    }
}

fn at(network: u8) -> SocketAddr {
    ([203, 0, network, 1], 6881).into()
}

fn pair(n: u8) -> Pair {
    Pair {
        payer: key(n).address(),
        payee: key(2).address(),
        token: TokenId::BTT,
    }
}

fn acknowledged(payer: &Scripted) -> bool {
    let is_ack = |message: &Message| matches!(message, Message::Ack { durable: true, .. });
    payer.heard().iter().any(is_ack)
}

/// A seller whose disk is slow, and payers who all pay while it stores the first one's receipt.
struct Rush {
    gate: Arc<Gated<Arc<dyn Ledger>, Turnstile>>,
    seller: Party,
    payers: Vec<Scripted>,
}

impl Rush {
    async fn of(payers: std::ops::Range<u8>, ledger: Arc<dyn Ledger>) -> Self {
        let gate = Arc::new(Gated {
            ledger,
            gate: Turnstile::default(),
        });
        let wants = Wants {
            // Nothing happens by the clock.
            clock: Arc::new(ManualClock::new(SystemClock.now())),
            ..seller()
        };
        let seller = Party::start(2, gate.clone(), rich(), wants).await;
        let payers: Vec<_> = payers
            .map(|n| {
                let payer = Scripted::greet(n, at(n), &seller, key(2).address());
                payer.buy_at(PRICE);
                assert_eq!(payer.take(CHUNK), CHUNK);
                payer
            })
            .collect();
        gate.gate.shut();
        let (first, others) = payers.split_first().unwrap();
        first.pay(7, 1, UNITS, CHUNK);
        wait_until("the first one's receipt is being stored", || {
            gate.gate.writes.load(Ordering::SeqCst) == 1
        });
        for payer in others {
            payer.pay(7, 1, UNITS, CHUNK);
        }
        Self {
            gate,
            seller,
            payers,
        }
    }

    fn writes(&self) -> usize {
        self.gate.gate.writes.load(Ordering::SeqCst)
    }

    fn fail(&self, at: usize, failure: Failure) {
        *self.gate.gate.failure.lock().unwrap() = Some((at, failure));
    }
}

fn rich() -> Arc<FakeChain> {
    let all: Vec<_> = (1..=250)
        .map(|n| (key(n).address(), 1_000_000_000))
        .collect();
    FakeChain::with(&all)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_pay_at_once_share_a_transaction_up_to_a_bound() {
    // The first one's, and as many as it takes for the others: 65 at most in each.
    for (payers, commits) in [(10..50, 2), (10..160, 4)] {
        let folder = tempfile::tempdir().unwrap();
        let rush = Rush::of(payers, sqlite(folder.path(), "seller")).await;
        assert!(!rush.payers.iter().any(acknowledged), "nothing is on disk");
        rush.gate.gate.open();
        wait_until("all are acknowledged", || {
            rush.payers.iter().all(acknowledged)
        });
        assert_eq!(rush.writes(), commits);
        let count = u64::try_from(rush.payers.len()).unwrap();
        let totals = rush.seller.pay.totals();
        assert_eq!(totals.received, count);
        assert_eq!(totals.earned_raw, count * u64::try_from(UNITS).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payers_own_receipts_are_stored_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let rush = Rush::of(10..12, sqlite(folder.path(), "seller")).await;
    let second = &rush.payers[1];
    second.pay(7, 2, UNITS, CHUNK);
    second.pay(8, 1, 1, CHUNK);
    rush.gate.gate.open();
    wait_until("both epochs are acknowledged", || {
        let epochs = second
            .heard()
            .into_iter()
            .filter_map(|message| match message {
                Message::Ack { epoch, .. } => Some(epoch),
                _ => None,
            });
        epochs.collect::<std::collections::BTreeSet<_>>().len() == 2
    });
    // One unit of tolerance for each epoch, and no more than was sold.
    let position = rush.seller.ledger.position(&pair(11).reversed()).unwrap();
    assert_eq!(position.received, raw(UNITS + 1));
    assert!(position.earned() <= raw(UNITS + 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_refused_takes_nobody_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let rush = Rush::of(10..20, sqlite(folder.path(), "seller")).await;
    rush.fail(1, Failure::OfOne);
    rush.gate.gate.open();
    wait_until("all are acknowledged", || {
        rush.payers.iter().all(acknowledged)
    });
    // The first one's, the one that failed, and each of nine by itself.
    assert_eq!(rush.writes(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_was_not_stored_is_not_acknowledged_and_one_that_was_is_not_lost() {
    for (failure, stored) in [(Failure::Full, 1), (Failure::Unknown, 10)] {
        let folder = tempfile::tempdir().unwrap();
        {
            let rush = Rush::of(10..20, sqlite(folder.path(), "seller")).await;
            rush.fail(1, failure);
            rush.gate.gate.open();
            let (first, others) = rush.payers.split_first().unwrap();
            wait_until("all others are closed", || {
                others.iter().all(|payer| payer.closed().is_some())
            });
            assert!(acknowledged(first));
            assert!(!others.iter().any(acknowledged));
            assert_eq!(rush.writes(), 2);
            drop(rush.payers);
            rush.seller.pay.shutdown();
        }
        let ledger = sqlite(folder.path(), "seller");
        let held = |n: u8| ledger.received(&pair(n)).unwrap().len();
        assert_eq!((10..20).map(held).sum::<usize>(), stored);
        // What is on disk is acknowledged when its payer shows it again.
        let seller = Party::start(2, ledger, rich(), seller()).await;
        for n in (10..20).filter(|n| stored == 10 || *n == 10) {
            let payer = Scripted::greet(n, at(n), &seller, key(2).address());
            payer.say(&Message::Sync {
                issued: vec![payer.receipt(7, 1, UNITS, CHUNK)],
                received: Vec::new(),
            });
            wait_until("it is acknowledged", || acknowledged(&payer));
        }
    }
}
