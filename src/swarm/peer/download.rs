//! Asking the peer for chunks, and taking what it sends.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Asked, Conn, Link, MAX_REFUSALS, Named, Told};
use crate::swarm::{
    extended::OUR_REQQ,
    hooks::UploadClass,
    lock::lock,
    picker::Received,
    scheduler::MAX_CREDIT,
    wire::{Block, CHUNK, Message},
};

/// How long the first requests wait for the peer's extension handshake, where an
/// extension of ours may want to price them. It follows the handshake at once.
const GREETING: Duration = Duration::from_secs(2);
/// Requests outstanding to begin with: a slow start must not keep a fast peer
/// slow.
const FIRST_PIPELINE: u64 = 48;
/// Requests outstanding at least, once the rate is known. A slow peer with a long
/// queue would hold up the end of the download.
const MIN_PIPELINE: u64 = 8;

impl Conn {
    /// Our wish to be served, from what the peer has.
    pub(super) fn update_interest(&self) {
        let wanted = self.torrent.is_interested_in(self.id);
        let mut link = lock(&self.link);
        if link.interested != wanted {
            link.interested = wanted;
            drop(link);
            self.send(if wanted {
                Message::Interested
            } else {
                Message::NotInterested
            });
        }
    }

    /// Whether its extension handshake is on its way: what is asked for before
    /// an extension is attached has no price, and a seller could not be paid for
    /// it.
    fn awaits_greeting(&self, link: &Link) -> bool {
        self.extended
            && !link.greeted
            && !self.shared.extensions.is_empty()
            && self.traffic.age() < GREETING
    }

    /// How many more chunks to ask for now.
    fn room(&self) -> usize {
        let link = lock(&self.link);
        let unasked = link.peer_choking && (self.is_metered() || !link.fast.allows());
        if unasked
            || !link.interested
            || !link.live
            || link.paused_until.is_some()
            || self.awaits_greeting(&link)
        {
            return 0;
        }
        // One second's worth: several round trips anywhere.
        let rate = self.traffic.down_rate.load(Ordering::Relaxed);
        let least = if self.traffic.is_unmeasured() {
            FIRST_PIPELINE
        } else {
            MIN_PIPELINE
        };
        let depth = if link.snubbed {
            1
        } else {
            (rate / u64::from(CHUNK)).clamp(least, OUR_REQQ.into())
        };
        let depth = depth.min(link.reqq.into());
        let depth = usize::try_from(depth).unwrap_or(usize::MAX);
        let room = depth.saturating_sub(link.asked.len());
        // Ask in runs: a request a chunk costs a packet a chunk.
        if room * 4 < depth && !link.asked.is_empty() && depth > 8 {
            return 0;
        }
        room
    }

    /// Asks for as many chunks as make sense.
    pub(super) fn fill(&self) {
        let room = self.room();
        if room == 0 {
            return;
        }
        let chunk = u64::from(CHUNK);
        let Some(named) = self.named() else {
            return;
        };
        let mut asked = Vec::new();
        let mut more = true;
        while more && asked.len() < room {
            let left = u64::try_from(room - asked.len()).unwrap_or(1);
            let wanted = || {
                let most = chunk.saturating_mul(left).min(MAX_CREDIT);
                (UploadClass::Free, most)
            };
            if !self.down_allowance.take(chunk, wanted) {
                break;
            }
            match self.ask_one(&named) {
                Some(entry) => asked.push(entry),
                None => {
                    more = false;
                    self.down_allowance.release();
                }
            }
        }
        if asked.is_empty() {
            return;
        }
        let mut link = lock(&self.link);
        if link.asked.is_empty() {
            link.asked_at = Instant::now();
        }
        link.held_since = None;
        link.asked.extend(asked.iter().copied());
        drop(link);
        self.send_all(asked.into_iter().map(|(block, _)| Message::Request(block)));
    }

    fn ask_one(&self, named: &Named) -> Option<(Block, Asked)> {
        let meter = self.meter.get();
        let exclusive = meter.is_some() || self.suspect.load(Ordering::Relaxed);
        let block = self.torrent.pick(self.id, exclusive, named)?;
        let tag = match meter {
            None => None,
            Some(meter) => match meter.price_request(block.piece, block.length) {
                Some(tag) => Some(tag),
                None => {
                    self.torrent.unpick(self.id, block);
                    lock(&self.link).held_since.get_or_insert_with(Instant::now);
                    return None;
                }
            },
        };
        Some((block, Asked { tag }))
    }

    pub(super) fn on_piece(&self, piece: u32, begin: u32, data: Bytes) {
        let length = u32::try_from(data.len()).expect("messages are shorter than 4 GiB");
        let block = Block {
            piece,
            begin,
            length,
        };
        let mut link = lock(&self.link);
        let Some(asked) = link.asked.remove(&block) else {
            drop(link);
            self.torrent.count_waste(u64::from(length));
            return;
        };
        link.answered_at = Instant::now();
        link.snubbed = false;
        link.paused_until = None;
        link.refusals = 0;
        drop(link);
        self.traffic
            .down
            .fetch_add(length.into(), Ordering::Relaxed);
        match self.torrent.received(self.id, block, asked.tag, &data) {
            Received::Unwanted => {
                self.torrent.count_waste(u64::from(length));
                self.tell_dropped(asked, length);
            }
            Received::Used { cancel, .. } => {
                if let Some(other) = cancel.and_then(|other| self.torrent.conn(other)) {
                    other.cancel(block);
                }
            }
        }
    }

    /// The peer will not serve this request.
    pub(super) fn on_reject(&self, block: Block) {
        let mut link = lock(&self.link);
        let asked = link.asked.remove(&block);
        if asked.is_some() && link.peer_choking {
            link.fast.forbid(block.piece);
        }
        if asked.is_some() && !link.peer_choking {
            link.refusals = link.refusals.saturating_add(1);
        }
        let refuses = link.refusals > MAX_REFUSALS;
        drop(link);
        if let Some(asked) = asked {
            self.torrent.unpick(self.id, block);
            self.tell_dropped(asked, block.length);
            self.torrent.wake_all();
        }
        if refuses {
            self.close("it refuses what it says to have");
        }
    }

    /// Somebody else was faster.
    fn cancel(self: &Arc<Self>, block: Block) {
        let asked = lock(&self.link).asked.remove(&block);
        if let Some(asked) = asked {
            self.send(Message::Cancel(block));
            self.tell_dropped(asked, block.length);
            self.ask_ready.notify_one();
        }
    }

    pub(super) fn on_choke(&self) {
        lock(&self.link).peer_choking = true;
        // With the fast extension each request is answered, if only by a reject.
        if self.fast {
            self.torrent.release(self.id);
        } else {
            self.drop_all_asked(false);
        }
        if let Some(meter) = self.meter.get() {
            meter.choked();
        }
    }

    /// Nothing of what was asked will come.
    pub(super) fn drop_all_asked(&self, cancel: bool) {
        let asked = std::mem::take(&mut lock(&self.link).asked);
        for (block, asked) in asked {
            self.torrent.unpick(self.id, block);
            self.tell_dropped(asked, block.length);
            if cancel {
                self.send(Message::Cancel(block));
            }
        }
        self.torrent.release(self.id);
        self.torrent.wake_all();
    }

    fn tell_dropped(&self, asked: Asked, bytes: u32) {
        if let Some(tag) = asked.tag {
            self.tell(Told::Dropped { tag, bytes });
        }
    }
}
