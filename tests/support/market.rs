//! A market: one seeder with a limited line, and leechers that pay or do not.
//! Real sessions over loopback, real ledgers; only the chain is made up. The
//! benchmark of the economy and the tests of its properties share it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use seedrail::{
    ledger::{SqliteLedger, TransferRow},
    receipts::{
        Ask, Bid, Identity,
        pay::{Answer, ChainView, PayConfig, PayExtension, Terms},
    },
    swarm::{
        AddOptions, Session, Source, TorrentHandle,
        metainfo::{CreateOptions, Metainfo},
    },
    tron::keys::SecretKey,
    types::{Address, BlockId, RawAmount, SystemClock, TokenId, TxId},
};
use tempfile::TempDir;

use super::waiting::wait_until;

const SAMPLE: Duration = Duration::from_millis(100);
/// What is on its way arrives in this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than anybody here comes to owe.
pub(crate) const NO_CAP: i64 = 1_000_000_000;

/// One who downloads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leecher {
    /// Raw units per GiB; `None` is a client without the extension.
    pub(crate) bid: Option<u64>,
    /// What it uploads to others at most, in bytes a second.
    pub(crate) up: Option<u64>,
    /// Whom it serves at once.
    pub(crate) slots: Option<usize>,
}

/// One experiment.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// The seeder's line, in bytes a second.
    pub(crate) rate: Option<u64>,
    /// Of the content.
    pub(crate) bytes: usize,
    pub(crate) piece: u32,
    /// The seeder's floor price; `None` is a seeder without the extension.
    pub(crate) floor: Option<u64>,
    /// What the seeder lets one who never settled owe, in raw units.
    pub(crate) cap: i64,
    /// The leechers know each other too.
    pub(crate) meeting: bool,
    /// Ends then; otherwise when everybody has everything.
    pub(crate) seconds: Option<f64>,
    pub(crate) leechers: Vec<Leecher>,
}

/// What became of one.
#[derive(Debug, Clone)]
pub(crate) struct Downloaded {
    /// Seconds until it had everything.
    pub(crate) done: Option<f64>,
    /// Bytes received by then, every tenth of a second, and when all was over.
    pub(crate) samples: Vec<(f64, u64)>,
    pub(crate) spent_raw: u64,
    pub(crate) receipts: u64,
}

/// What became of all.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) leechers: Vec<Downloaded>,
    pub(crate) earned_raw: u64,
    pub(crate) holds: u64,
    pub(crate) held: Duration,
    pub(crate) wire_bytes: u64,
    pub(crate) seconds: f64,
}

fn genesis() -> BlockId {
    BlockId::from_bytes([9; 32])
}

fn key(n: usize) -> SecretKey {
    SecretKey::from_hex(&format!("{n:064x}")).expect("small numbers are keys")
}

/// Everybody exists and is rich.
#[derive(Default)]
struct RichChain(Mutex<HashMap<TxId, TransferRow>>);

impl ChainView for RichChain {
    fn solid_head(&self) -> Answer<'_, u64> {
        Box::pin(async { Ok(100) })
    }

    fn balance(&self, _: Address, _: TokenId) -> Answer<'_, Option<RawAmount>> {
        Box::pin(async { Ok(Some(RawAmount::new(i64::MAX / 2).unwrap_or_default())) })
    }

    fn settlement(&self, txid: TxId) -> Answer<'_, Option<TransferRow>> {
        let row = self.0.lock().expect("not poisoned").get(&txid).copied();
        Box::pin(async move { Ok(row) })
    }
}

pub(crate) async fn pay(
    n: usize,
    ask: Option<(u64, i64)>,
    bid: Option<u64>,
    folder: &Path,
) -> Arc<PayExtension> {
    let path = folder.join(format!("ledger-{n}"));
    PayExtension::start(PayConfig {
        identity: Identity::own(Arc::new(key(n))),
        genesis: genesis(),
        token: TokenId::BTT,
        terms: Terms {
            ask: ask.map(|(floor_price, cap)| Ask {
                floor_price,
                unproven_cap: RawAmount::new(cap).expect("not negative"),
            }),
            bid: bid.map(Bid::Fixed),
            ..Terms::default()
        },
        // Private, so that nobody is introduced to anybody.
        on_private: true,
        ledger: Arc::new(SqliteLedger::open(&path, genesis()).expect("a new ledger")),
        chain: Arc::new(RichChain::default()),
        clock: Arc::new(SystemClock),
        on_event: Arc::new(|_| {}),
    })
    .await
    .expect("the chain answers")
}

fn content(path: &Path, bytes: usize) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut all = Vec::with_capacity(bytes + 8);
    while all.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        all.extend(state.to_le_bytes());
    }
    all.truncate(bytes);
    std::fs::write(path, all).expect("room on disk");
}

struct Running {
    session: Session,
    handle: TorrentHandle,
    pay: Option<Arc<PayExtension>>,
    /// When it had everything.
    done: Arc<OnceLock<Instant>>,
    samples: Vec<(f64, u64)>,
}

async fn join(
    n: usize,
    leecher: &Leecher,
    metainfo: &Metainfo,
    (folder, contents): (&Path, &Path),
    peers: Vec<SocketAddr>,
) -> Running {
    let pay = match leecher.bid {
        Some(bid) => Some(pay(n, None, Some(bid).filter(|bid| *bid > 0), folder).await),
        None => None,
    };
    let mut builder = Session::builder().up_limit(leecher.up);
    if let Some(slots) = leecher.slots {
        builder = builder.upload_slots(slots);
    }
    if let Some(pay) = &pay {
        builder = builder.extension(pay.clone());
    }
    let session = builder.start().await.expect("a free port");
    let to = contents.join(n.to_string());
    std::fs::create_dir_all(&to).expect("room on disk");
    let options = AddOptions {
        peers,
        ..AddOptions::default()
    };
    let handle = session
        .add(Source::Torrent(Box::new(metainfo.clone())), &to, options)
        .expect("it can be added");
    Running {
        session,
        handle,
        pay,
        done: Arc::default(),
        samples: Vec::new(),
    }
}

/// Runs one experiment to its end.
pub(crate) async fn run(scenario: &Scenario) -> Outcome {
    let folder = TempDir::new().expect("room on disk");
    // The content may be elsewhere than the ledgers: a benchmark of payments is
    // not one of how the kernel writes gigabytes back.
    let elsewhere = std::env::var_os("SEEDRAIL_BENCH_CONTENT");
    let contents = elsewhere
        .map_or_else(TempDir::new, TempDir::new_in)
        .expect("room for the content");
    let path = contents.path().join("content.bin");
    content(&path, scenario.bytes);
    let seller = match scenario.floor {
        Some(floor) => Some(pay(1, Some((floor, scenario.cap)), None, folder.path()).await),
        None => None,
    };
    let mut builder = Session::builder().up_limit(scenario.rate).upload_slots(16);
    if let Some(seller) = &seller {
        builder = builder.extension(seller.clone());
    }
    let seeder = builder.start().await.expect("a free port");
    let options = CreateOptions {
        piece_size: Some(scenario.piece),
        private: true,
        ..CreateOptions::default()
    };
    let (metainfo, handle) = seeder
        .seed_path(&path, options, Vec::new(), |_, _| {})
        .await
        .expect("it can be seeded");
    handle.wait_ready().await.expect("it was hashed just now");

    let mut all: Vec<Running> = Vec::new();
    for (n, leecher) in scenario.leechers.iter().enumerate() {
        let mut peers = vec![seeder.listen_addr()];
        if scenario.meeting {
            peers.extend(all.iter().map(|other| other.session.listen_addr()));
        }
        let folders = (folder.path(), contents.path());
        all.push(join(n + 2, leecher, &metainfo, folders, peers).await);
    }
    for one in &all {
        let (handle, done) = (one.handle.clone(), Arc::clone(&one.done));
        tokio::spawn(async move {
            if handle.wait_complete().await.is_ok() {
                // Set once only: there is one such task.
                let _ = done.set(Instant::now());
            }
        });
    }
    let start = Instant::now();
    let mut tick = tokio::time::interval(SAMPLE);
    let seconds = loop {
        tick.tick().await;
        let now = start.elapsed().as_secs_f64();
        for one in &mut all {
            let sampled = one.samples.last().map(|(time, _)| *time);
            let done = one.done.get().map(|at| at.saturating_duration_since(start));
            // Once more after its end, for the last bytes.
            if done.is_none_or(|done| sampled.is_none_or(|time| time < done.as_secs_f64())) {
                one.samples.push((now, one.handle.stats().downloaded));
            }
        }
        let over = match scenario.seconds {
            Some(limit) => now >= limit,
            None => all.iter().all(|one| one.done.get().is_some()),
        };
        if over {
            break now;
        }
        assert!(now < 300.0, "it takes too long");
    };
    let mut leechers = Vec::new();
    for mut one in all {
        // What is due is receipted before anybody counts.
        one.session.finish(Duration::from_secs(5)).await;
        let received = one.handle.stats().downloaded;
        one.samples.push((start.elapsed().as_secs_f64(), received));
        let totals = one.pay.as_ref().map(|pay| pay.totals()).unwrap_or_default();
        leechers.push(Downloaded {
            done: one
                .done
                .get()
                .map(|at| at.saturating_duration_since(start).as_secs_f64()),
            samples: one.samples,
            spent_raw: totals.spent_raw,
            receipts: totals.issued,
        });
    }
    let spent: u64 = leechers.iter().map(|one| one.spent_raw).sum();
    let totals = || seller.as_ref().map(|pay| pay.totals()).unwrap_or_default();
    wait_until("the seller has what was spent", PATIENCE, || {
        seller.is_none() || totals().earned_raw == spent
    });
    let totals = totals();
    seeder.finish(Duration::from_secs(1)).await;
    Outcome {
        leechers,
        earned_raw: totals.earned_raw,
        holds: totals.holds,
        held: Duration::from_millis(totals.held_ms),
        wire_bytes: totals.wire_bytes,
        seconds,
    }
}
