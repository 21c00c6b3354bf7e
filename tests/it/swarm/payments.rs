//! The hooks that payments use, with an extension that only pretends.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use seedrail::{
    swarm::{
        Event, SeedOptions, Session,
        hooks::{
            Extension, PeerContext, PeerExtension, PeerLink, PriceTag, UploadClass, Violation,
        },
    },
    types::InfoHash,
};

use crate::support::torrents::{add, file, noise, of, session, torrent, until, within};

/// Counts everything and does as told.
#[derive(Default)]
struct Pretend {
    /// What to send as our weight when attached; 0: nothing.
    weight: u64,
    /// Requests are allowed.
    go: AtomicBool,
    /// There is always something left to send.
    stuck: AtomicBool,
    peers: Mutex<Vec<Arc<PretendPeer>>>,
}

struct PretendPeer {
    link: Arc<dyn PeerLink>,
    pretend: Arc<Pretend>,
    out: AtomicU64,
    verified: AtomicU64,
    dropped: AtomicU64,
    served: AtomicU64,
    allowance: AtomicU64,
    finished: AtomicBool,
    closed: AtomicBool,
}

struct Registered(Arc<Pretend>);

impl Extension for Registered {
    fn name(&self) -> &str {
        "x_pretend"
    }

    fn enabled(&self, _: InfoHash, _: bool) -> bool {
        true
    }

    fn attach(&self, _: PeerContext, link: Arc<dyn PeerLink>) -> Arc<dyn PeerExtension> {
        if self.0.weight > 0 {
            assert!(link.send(self.0.weight.to_string().into_bytes()));
        }
        let peer = Arc::new(PretendPeer {
            link,
            pretend: self.0.clone(),
            out: AtomicU64::new(0),
            verified: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            served: AtomicU64::new(0),
            allowance: AtomicU64::new(u64::MAX),
            finished: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        self.0.peers.lock().unwrap().push(peer.clone());
        peer
    }
}

impl PretendPeer {
    fn open(&self) {
        assert!(!self.closed.load(Ordering::Relaxed), "called after closed");
    }
}

impl PeerExtension for PretendPeer {
    fn message(&self, payload: &[u8]) -> Result<(), Violation> {
        self.open();
        let weight = std::str::from_utf8(payload)
            .ok()
            .and_then(|t| t.parse().ok());
        let weight = weight.ok_or_else(|| Violation("no weight".into()))?;
        self.link.set_class(UploadClass::Paid { weight });
        Ok(())
    }

    fn price_request(&self, _: u32, bytes: u32) -> Option<PriceTag> {
        self.open();
        if !self.pretend.go.load(Ordering::Relaxed) {
            return None;
        }
        self.out.fetch_add(bytes.into(), Ordering::Relaxed);
        Some(PriceTag(7))
    }

    fn piece_verified(&self, _: u32, chunks: &[(PriceTag, u32)]) {
        self.open();
        for (tag, bytes) in chunks {
            assert_eq!(*tag, PriceTag(7));
            self.verified
                .fetch_add(u64::from(*bytes), Ordering::Relaxed);
        }
    }

    fn request_dropped(&self, tag: PriceTag, bytes: u32) {
        self.open();
        assert_eq!(tag, PriceTag(7));
        self.dropped.fetch_add(bytes.into(), Ordering::Relaxed);
    }

    fn upload_allowance(&self) -> u64 {
        self.open();
        self.allowance.load(Ordering::Relaxed)
    }

    fn served(&self, _: u32, bytes: u32) {
        self.open();
        self.served.fetch_add(bytes.into(), Ordering::Relaxed);
        self.allowance
            .update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                if left == u64::MAX {
                    left
                } else {
                    left - u64::from(bytes)
                }
            });
    }

    fn peer_interested(&self, _: bool) {
        self.open();
    }

    fn choked(&self) {
        self.open();
    }

    fn finished(&self) {
        self.open();
        self.finished.store(true, Ordering::Relaxed);
    }

    fn drained(&self) -> bool {
        !self.pretend.stuck.load(Ordering::Relaxed)
    }

    fn closed(&self) {
        assert!(!self.closed.swap(true, Ordering::Relaxed), "closed twice");
    }
}

impl Pretend {
    fn paying(weight: u64) -> Arc<Self> {
        Arc::new(Self {
            weight,
            go: AtomicBool::new(true),
            stuck: AtomicBool::new(false),
            peers: Mutex::default(),
        })
    }

    fn only(&self) -> Arc<PretendPeer> {
        let peers = self.peers.lock().unwrap();
        assert_eq!(peers.len(), 1);
        peers[0].clone()
    }
}

async fn with(pretend: &Arc<Pretend>, up_limit: Option<u64>) -> Session {
    Session::builder()
        .extension(Arc::new(Registered(pretend.clone())))
        .up_limit(up_limit)
        .start()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_and_shares_become_rates() {
    let (_dir, path) = file(16 << 20, 50);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let seeder = with(&Pretend::paying(0), Some(4 << 20)).await;
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    seed.wait_ready().await.unwrap();
    let mut leechers = Vec::new();
    for weight in [2, 1, 0] {
        // Nobody gives the others anything.
        let leecher = if weight == 0 {
            Session::builder().up_limit(Some(1)).start().await.unwrap()
        } else {
            with(&Pretend::paying(weight), Some(1)).await
        };
        let (leech, out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
        leechers.push((leecher, leech, out));
    }
    let got = |at: usize| leechers[at].1.stats().downloaded;
    until("all are served", || (0..3).all(|at| got(at) > 256 << 10)).await;
    let before: Vec<u64> = (0..3).map(got).collect();
    let began = std::time::Instant::now();
    until("some seconds of it", || got(0) - before[0] > 5 << 20).await;
    let seconds = began.elapsed().as_secs_f64();
    let rate = |at: usize| {
        let bytes = u32::try_from(got(at) - before[at]).unwrap();
        f64::from(bytes) / seconds / f64::from(1 << 20)
    };
    let (double, single, free) = (rate(0), rate(1), rate(2));
    let near = |is: f64, wanted: f64| (is / wanted - 1.0).abs() < 0.15;
    assert!(near(double / single, 2.0), "{double} {single} {free}");
    // The free peer gets a quarter of what the lower payer gets.
    assert!(near(double + single, 3.69), "{double} {single} {free}");
    assert!(near(single / free, 4.0), "{double} {single} {free}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_chunk_is_priced_and_accounted_once() {
    let (_dir, path) = file(1 << 20, 51);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let sellers = [Pretend::paying(0), Pretend::paying(0)];
    let mut seeders = Vec::new();
    for seller in &sellers {
        let seeder = with(seller, None).await;
        let seed = seeder
            .seed(&metainfo, &path, SeedOptions::default())
            .unwrap();
        seed.wait_ready().await.unwrap();
        seeders.push(seeder);
    }
    let payer = Pretend::paying(1);
    let leecher = with(&payer, None).await;
    let addrs: Vec<_> = seeders.iter().map(Session::listen_addr).collect();
    let (leech, _out) = add(&leecher, of(&metainfo), &addrs);
    let got = within(leech.wait_complete()).await.unwrap();
    assert_eq!(fs::read(got).unwrap(), fs::read(&path).unwrap());
    leecher.finish(Duration::from_secs(1)).await;
    let peers = payer.peers.lock().unwrap();
    let sum = |count: fn(&PretendPeer) -> &AtomicU64| -> u64 {
        peers
            .iter()
            .map(|peer| count(peer).load(Ordering::Relaxed))
            .sum()
    };
    let (content, piece) = (1 << 20, 64 << 10);
    // A chunk that both sent is owed to both, within 1 % and a piece.
    let twice = sum(|peer| &peer.verified) - content;
    assert!(twice <= content / 100 + piece, "{twice}");
    assert_eq!(leech.stats().paid_duplicates, twice);
    let owed = content + twice;
    assert_eq!(sum(|peer| &peer.out), owed + sum(|peer| &peer.dropped));
    for peer in peers.iter() {
        assert!(peer.finished.load(Ordering::Relaxed));
    }
    let served: u64 = sellers
        .iter()
        .flat_map(|seller| seller.peers.lock().unwrap().clone())
        .map(|peer| peer.served.load(Ordering::Relaxed))
        .sum();
    // What was on its way at the end, or was cancelled too late, is nobody's debt.
    assert!(served >= owed, "{served} {owed}");
}

/// Files are chosen anew while chunks of others are on their way.
#[tokio::test(flavor = "multi_thread")]
async fn tags_of_what_is_not_wanted_any_more_come_back_once() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("album");
    fs::create_dir(&root).unwrap();
    let (one, piece) = (1usize << 20, 64 << 10);
    for (name, seed) in [("a", 56), ("b", 57), ("c", 58)] {
        fs::write(root.join(name), noise(one, seed)).unwrap();
    }
    let metainfo = torrent(&root, piece, &[]);
    let seller = Pretend::paying(0);
    let seeder = with(&seller, None).await;
    let seed = seeder.seed(&metainfo, &root, SeedOptions::default());
    seed.unwrap().wait_ready().await.unwrap();
    let payer = Pretend::paying(1);
    let leecher = with(&payer, None).await;
    let (leech, out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
    let mut events = leech.events();
    // With each piece that comes, others are wanted.
    let choices = ["a", "b,c", "c", "a,b", "b"];
    for files in choices {
        loop {
            let event = within(events.recv()).await.unwrap();
            let completed = matches!(event, Event::Completed { .. });
            if completed || matches!(event, Event::PieceVerified { .. }) {
                break;
            }
        }
        let chosen = leech.choose_files(files.parse().unwrap());
        within(chosen).await.unwrap();
    }
    within(leech.wait_complete()).await.unwrap();
    let got = fs::read(out.path().join("album/b")).unwrap();
    assert_eq!(got, noise(one, 57));
    leecher.finish(Duration::from_secs(1)).await;
    let peers = payer.peers.lock().unwrap();
    let sum = |count: fn(&PretendPeer) -> &AtomicU64| -> u64 {
        let all = peers.iter();
        all.map(|peer| count(peer).load(Ordering::Relaxed)).sum()
    };
    let back = sum(|peer| &peer.verified) + sum(|peer| &peer.dropped);
    assert_eq!(sum(|peer| &peer.out), back);
    assert!(sum(|peer| &peer.verified) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_match_its_hash_is_never_to_be_paid() {
    let (_dir, path) = file(1 << 20, 52);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let seller = Pretend::paying(0);
    let seeder = with(&seller, None).await;
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    seed.wait_ready().await.unwrap();
    // All of it is something else now, and the seller does not know.
    fs::write(&path, vec![0xee; 1 << 20]).unwrap();
    let payer = Pretend::paying(1);
    let leecher = with(&payer, None).await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
    until("the seller is left", || {
        let peers = payer.peers.lock().unwrap();
        let left = peers.iter().all(|peer| peer.closed.load(Ordering::Relaxed));
        leech.stats().wasted > 0 && !peers.is_empty() && left
    })
    .await;
    let peers = payer.peers.lock().unwrap();
    for peer in peers.iter() {
        assert_eq!(peer.verified.load(Ordering::Relaxed), 0);
    }
    assert!(
        peers
            .iter()
            .any(|peer| peer.dropped.load(Ordering::Relaxed) >= 64 << 10)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_price_holds_and_a_wake_resumes() {
    let (_dir, path) = file(256 << 10, 52);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let seller = Pretend::paying(0);
    let seeder = with(&seller, None).await;
    seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    let payer = Pretend::paying(1);
    payer.go.store(false, Ordering::Relaxed);
    let leecher = with(&payer, None).await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
    let served = || {
        let peers = seller.peers.lock().unwrap();
        peers
            .first()
            .map(|peer| peer.served.load(Ordering::Relaxed))
    };
    until("they are unchoked", || {
        let rows = leech.stats().peers;
        rows.first()
            .is_some_and(|row| row.interested && !row.peer_choking)
    })
    .await;
    assert_eq!(served(), Some(0));
    // The seller holds too, after a chunk and a half.
    seller.only().allowance.store(24 << 10, Ordering::Relaxed);
    payer.go.store(true, Ordering::Relaxed);
    payer.only().link.wake();
    until("one chunk came", || leech.stats().downloaded == 16 << 10).await;
    let began = std::time::Instant::now();
    seller.only().allowance.store(u64::MAX, Ordering::Relaxed);
    seller.only().link.wake();
    within(leech.wait_complete()).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(500));
    until("the seller counted all of it", || {
        served() == Some(256 << 10)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_peer_gets_nothing_and_a_violation_closes() {
    let (_dir, path) = file(256 << 10, 53);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let seller = Pretend::paying(0);
    let seeder = with(&seller, None).await;
    seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    let payer = Pretend::paying(0);
    payer.go.store(false, Ordering::Relaxed);
    let leecher = with(&payer, None).await;
    let (leech, _out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
    let attached = || payer.peers.lock().unwrap().len() + seller.peers.lock().unwrap().len();
    until("both are attached", || attached() == 2).await;
    seller.only().link.set_class(UploadClass::Refused);
    payer.go.store(true, Ordering::Relaxed);
    payer.only().link.wake();
    until("it is choked", || {
        leech
            .stats()
            .peers
            .first()
            .is_some_and(|row| row.peer_choking)
    })
    .await;
    assert_eq!(leech.stats().downloaded, 0);
    seller.only().link.set_class(UploadClass::Free);
    within(leech.wait_complete()).await.unwrap();

    let (first, second) = (payer.only(), seller.only());
    assert!(first.link.send(b"nonsense".to_vec()));
    until("both are closed", || {
        first.closed.load(Ordering::Relaxed) && second.closed.load(Ordering::Relaxed)
    })
    .await;
    let _unpaid = session().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finish_that_nobody_waits_for_goes_on() {
    let (_dir, path) = file(256 << 10, 54);
    let metainfo = torrent(&path, 64 << 10, &[]);
    let seller = Pretend::paying(0);
    let seeder = with(&seller, None).await;
    let seed = seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    let payer = Pretend::paying(1);
    payer.go.store(false, Ordering::Relaxed);
    seller.stuck.store(true, Ordering::Relaxed);
    let leecher = with(&payer, None).await;
    let (_leech, _out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
    until("it is attached", || {
        !seller.peers.lock().unwrap().is_empty()
    })
    .await;
    let grace = Duration::from_secs(1);
    tokio::select! {
        biased;
        () = seed.finish(grace) => panic!("something is left to send"),
        () = std::future::ready(()) => {}
    }
    within(seed.finish(grace)).await;
    assert!(seeder.torrents().is_empty());
}
