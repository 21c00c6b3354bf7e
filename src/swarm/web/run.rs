//! A web seed's task: while its torrent downloads, one run of chunks after the other.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, RANGE};
use tokio::time::{Interval, MissedTickBehavior, timeout};
use url::Url;

use super::{
    Failed, WebSeed, answer,
    places::{Part, base, parts, place},
};
use crate::swarm::{
    fetch::{Reach, http},
    hooks::UploadClass,
    limiter::Allowance,
    lock::lock,
    metainfo::Info,
    peer::Came,
    phase::Phase,
    scheduler::MAX_CREDIT,
    torrent::Torrent,
    wire::{Block, CHUNK},
};

/// Headers, and then each further part of a body, come within this time.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often an idle web seed looks whether what others were asked for is late.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Chunks of one run, 4 MiB: what is held up if it stalls.
const MAX_RUN: usize = 256;

/// Asks a web seed for chunks until its torrent ends or it is given up.
pub(in crate::swarm) async fn run(torrent: Arc<Torrent>, seed: Arc<WebSeed>) {
    let Some(url) = base(&seed.url) else {
        return;
    };
    let shared = torrent.shared.clone();
    let limits = [&torrent.down_limit, &shared.down];
    let allowance = Allowance::new(seed.id, limits[0], limits[1], &seed.ready);
    let mut phase = torrent.phase();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = 0;
    loop {
        let now = phase.borrow_and_update().clone();
        if now.is_ending() || seed.given_up.get().is_some() {
            break;
        }
        let (Phase::Downloading, Some(info)) = (&now, torrent.info()) else {
            seed.down_rate.store(0, Ordering::Relaxed);
            if phase.changed().await.is_err() {
                break;
            }
            continue;
        };
        torrent.web_seed_came(&seed);
        let worker = Worker {
            torrent: &torrent,
            seed: &seed,
            allowance: &allowance,
            url: &url,
            info: &info,
        };
        let outcome = tokio::select! {
            outcome = worker.work() => Some(outcome),
            () = worker.watch(&mut ticks) => None,
            changed = phase.changed() => match changed {
                Ok(()) => None,
                Err(_) => break,
            },
        };
        worker.give_back();
        let failed = match outcome {
            Some(Err(failed)) => failed,
            Some(Ok(())) => {
                failures = 0;
                continue;
            }
            None => continue,
        };
        let (pause, why) = failed.consequence(failures);
        failures = failures.saturating_add(1);
        tracing::debug!(url = seed.url, why, "web seed");
        match pause {
            None => seed.give_up(&why),
            // What it was picked for is for others meanwhile.
            Some(pause) => {
                let _woken = timeout(pause, phase.wait_for(Phase::is_ending)).await;
            }
        }
    }
    torrent.web_seed_left(&seed);
    allowance.end();
}

struct Worker<'a> {
    torrent: &'a Arc<Torrent>,
    seed: &'a WebSeed,
    allowance: &'a Allowance,
    url: &'a Url,
    info: &'a Info,
}

impl Worker<'_> {
    /// Asks for one run, or waits until there may be one.
    async fn work(&self) -> Result<(), Failed> {
        let run = self.pick();
        if run.is_empty() {
            let _sooner = timeout(LOOK_EVERY, self.seed.ready.notified()).await;
            return Ok(());
        }
        self.fetch(run).await
    }

    /// Measures, until it is given up or stalls: what it was asked for is for others then.
    async fn watch(&self, ticks: &mut Interval) {
        loop {
            ticks.tick().await;
            let seed = self.seed;
            let down = seed.down.load(Ordering::Relaxed);
            let last = down - seed.down_before.swap(down, Ordering::Relaxed);
            let before = seed.down_rate.load(Ordering::Relaxed);
            let rate = if before == 0 {
                last
            } else {
                (before + last) / 2
            };
            seed.down_rate.store(rate, Ordering::Relaxed);
            if lock(&seed.brought).tick() {
                self.torrent.take_in(seed.id);
            }
            let late = lock(&seed.asking).tick(self.torrent.now_ms());
            for (block, _) in &late.given_up {
                self.torrent.unpick(seed.id, *block);
            }
            if !late.given_up.is_empty() {
                self.torrent.release(seed.id);
                self.torrent.wake_all();
                return;
            }
            if seed.given_up.get().is_some() {
                return;
            }
        }
    }

    /// Chunks that lie together.
    fn pick(&self) -> VecDeque<Block> {
        let now = self.torrent.now_ms();
        let (room, wish) = {
            let asking = lock(&self.seed.asking);
            let room = asking.room(now).min(MAX_RUN);
            (room, asking.wish(self.seed.id, false, now))
        };
        let chunk = u64::from(CHUNK);
        let wanted = || (UploadClass::Free, MAX_CREDIT);
        let room = self.allowance.covers(chunk, room);
        if room == 0 {
            self.allowance.ask(chunk, wanted);
            return VecDeque::new();
        }
        let (lease, raced) = self.torrent.lease_run(wish, room);
        for _ in &lease {
            self.allowance.spend(chunk);
        }
        if lease.is_empty() {
            self.allowance.release();
        }
        let mut asking = lock(&self.seed.asking);
        if lease.is_empty() {
            asking.found_nothing(now);
        } else {
            let asked: Vec<_> = lease.iter().map(|block| (*block, None)).collect();
            asking.note(&asked, now);
        }
        for block in &raced {
            asking.note_race(block);
        }
        lease.into()
    }

    async fn fetch(&self, mut run: VecDeque<Block>) -> Result<(), Failed> {
        let (Some(first), Some(last)) = (run.front(), run.back()) else {
            return Ok(());
        };
        let layout = self.info.layout();
        let start = layout.offset(first.piece) + u64::from(first.begin);
        let end = layout.offset(last.piece) + u64::from(last.begin) + u64::from(last.length);
        let mut held = BytesMut::new();
        for part in parts(self.info.files(), start, end - start) {
            let (at, from, mut left) = match part {
                Part::Zeros(mut zeros) => {
                    while zeros > 0 {
                        let some = zeros.min(CHUNK.into());
                        held.resize(held.len() + size(some), 0);
                        self.take(&mut held, &mut run);
                        zeros -= some;
                    }
                    continue;
                }
                Part::File { at, from, length } => (at, from, length),
            };
            let mut response = self.ask(at, from, left).await?;
            while left > 0 {
                let part = timeout(PATIENCE, response.chunk()).await;
                let part = part.map_err(|_| Failed::Silent)?;
                let part = part.map_err(|error| Failed::Fetch(http(error)))?;
                let part = part.ok_or(Failed::Short)?;
                // What comes beyond what was asked for is not read.
                let useful = part.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                held.extend_from_slice(part.get(..useful).unwrap_or_default());
                left -= u64::try_from(useful).unwrap_or(left);
                self.take(&mut held, &mut run);
                if run.iter().all(|block| !lock(&self.seed.asking).has(block)) {
                    // Others were faster with all that is left.
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn ask(&self, at: usize, from: u64, length: u64) -> Result<reqwest::Response, Failed> {
        let never = |why: &str| Failed::Refused(answer::Refusal::Never(why.to_owned()));
        let file = self.info.files().get(at);
        let file = file.ok_or_else(|| never("the torrent has no such file"))?;
        let url = place(self.url, self.info, file);
        let url = url.ok_or_else(|| never("its URL cannot have files below it"))?;
        let mut headers = HeaderMap::new();
        let range = format!("bytes={from}-{}", from + length - 1);
        let range = HeaderValue::from_str(&range).map_err(|_| never("its range is too long"))?;
        headers.insert(RANGE, range);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let reach = match self.seed.named {
            true => Reach::Anywhere,
            false => Reach::Public,
        };
        let asked = self.torrent.shared.web.get(url, &headers, |_| reach);
        let answered = timeout(PATIENCE, asked).await;
        let response = answered
            .map_err(|_| Failed::Silent)?
            .map_err(Failed::Fetch)?;
        answer::check(response.status(), response.headers(), from, file.length)
            .map_err(Failed::Refused)?;
        Ok(response)
    }

    /// Takes the chunks that are whole out of what came.
    fn take(&self, held: &mut BytesMut, run: &mut VecDeque<Block>) {
        while let Some(block) = run.front().copied()
            && held.len() >= size(block.length.into())
        {
            run.pop_front();
            let data = held.split_to(size(block.length.into()));
            let now = self.torrent.now_ms();
            let (asked, more) = {
                let mut asking = lock(&self.seed.asking);
                let asked = asking.arrived(&block, now);
                (asked, asking.has_any_of(block.piece))
            };
            let bytes = u64::from(block.length);
            self.seed.down.fetch_add(bytes, Ordering::Relaxed);
            let Some(asked) = asked else {
                self.torrent.count_waste(bytes);
                continue;
            };
            self.torrent.count_down(bytes);
            let came = Came { block, tag: None };
            let due = asked.is_urgent() || !more;
            let mut brought = lock(&self.seed.brought);
            brought.put(came, data.chunk(), due, &self.torrent.shared.buffers);
            let full = brought.is_full();
            drop(brought);
            if full {
                self.torrent.take_in(self.seed.id);
            }
        }
        if lock(&self.seed.brought).is_due() {
            self.torrent.take_in(self.seed.id);
        }
    }

    /// What did not come is for others.
    fn give_back(&self) {
        let left = lock(&self.seed.asking).take_all();
        if left.is_empty() {
            return;
        }
        for (block, _) in left {
            self.torrent.unpick(self.seed.id, block);
        }
        self.torrent.wake_all();
    }
}

fn size(length: u64) -> usize {
    usize::try_from(length).expect("chunks are short")
}
