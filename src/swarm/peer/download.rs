//! Requesting chunks from the peer, and taking what it sends.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Conn, Link, Named, Told,
    asking::{Asked, Cancelled},
};
use crate::swarm::{
    hooks::{PriceTag, UploadClass},
    lock::lock,
    picker::Received,
    scheduler::MAX_CREDIT,
    torrent::Wish,
    wire::{Block, CHUNK, Message},
};

/// How long the first requests wait for the peer's extension handshake, where an
/// extension of ours may want to price them. It follows the handshake at once.
const GREETING: Duration = Duration::from_secs(2);

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
        if unasked || !link.interested || !link.live || self.awaits_greeting(&link) {
            return 0;
        }
        link.asking.room(self.torrent.now_ms())
    }

    /// Requests as many chunks as make sense.
    pub(super) fn fill(&self) {
        let room = self.room();
        if room == 0 {
            return;
        }
        let chunk = u64::from(CHUNK);
        let Some(named) = self.named() else {
            return;
        };
        let now = self.torrent.now_ms();
        let (first, second, races, more_races) = {
            let asking = &lock(&self.link).asking;
            (
                asking.answer_ms(0, now),
                asking.answer_ms(1, now),
                asking.may_race(now, 0),
                asking.may_race(now, 1),
            )
        };
        let mut wish = Wish {
            conn: self.id,
            metered: self.is_metered(),
            races,
            answer_ms: first,
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
            match self.ask_one(wish, &named) {
                Some(request) => {
                    asked.push(request);
                    wish.races = more_races;
                    wish.answer_ms = wish.answer_ms.saturating_add(second - first);
                }
                None => {
                    more = false;
                    self.down_allowance.release();
                }
            }
        }
        let mut link = lock(&self.link);
        if !more {
            link.asking.found_nothing(now);
        }
        if asked.is_empty() {
            drop(link);
            if !more && races {
                self.take_over(now, wish);
            }
            return;
        }
        link.held_since = None;
        link.asking.note(&asked, now);
        drop(link);
        self.send_all(asked.into_iter().map(|(block, _)| Message::Request(block)));
    }

    /// Nothing is left to request: what a slower seller holds up is cancelled there. When
    /// that is answered, it can be requested here.
    fn take_over(&self, now: u64, wish: Wish) {
        if let Some((other, block)) = self.torrent.take_over(now, wish)
            && let Some(other) = self.torrent.conn(other)
        {
            other.cancel(block);
        }
    }

    /// The next chunk to request, with its price.
    fn ask_one(&self, wish: Wish, named: &Named) -> Option<(Block, Option<PriceTag>)> {
        let block = self.torrent.pick(wish, named, false)?;
        if let Some(tag) = self.price(block) {
            return Some((block, tag));
        }
        // No other piece may be begun: those that it takes part in can be finished.
        let more = self.torrent.pick(wish, named, true);
        if let Some(block) = more
            && let Some(tag) = self.price(block)
        {
            return Some((block, tag));
        }
        lock(&self.link).held_since.get_or_insert_with(Instant::now);
        None
    }

    /// The price of a chunk that was picked: none where nobody sets prices. `None` if it
    /// may not be requested now; it is given back then.
    fn price(&self, block: Block) -> Option<Option<PriceTag>> {
        // A cancelled request of it may still be answered.
        if !lock(&self.link).asking.has(&block) {
            match self.meter.get() {
                None => return Some(None),
                Some(meter) => {
                    if let Some(tag) = meter.price_request(block.piece, block.length) {
                        return Some(Some(tag));
                    }
                }
            }
        }
        self.torrent.unpick(self.id, block);
        None
    }

    pub(super) fn on_piece(&self, piece: u32, begin: u32, data: Bytes) {
        let length = u32::try_from(data.len()).expect("messages are shorter than 4 GiB");
        let block = Block {
            piece,
            begin,
            length,
        };
        let now = self.torrent.now_ms();
        let asked = lock(&self.link).asking.arrived(&block, now);
        let Some(asked) = asked else {
            self.torrent.count_waste(u64::from(length));
            return;
        };
        self.traffic
            .down
            .fetch_add(length.into(), Ordering::Relaxed);
        let received = self.torrent.received(self.id, block, asked.tag, &data);
        if !matches!(received, Received::Used { .. }) {
            self.torrent.count_waste(u64::from(length));
        }
        match (received, asked.tag) {
            (Received::Unwanted, _) => self.tell_dropped(asked, length),
            (Received::Owed, Some(tag)) => self.tell(Told::Verified {
                piece,
                chunks: vec![(tag, length)],
            }),
            (Received::Owed | Received::Duplicate, _) => {}
            (Received::Used { cancel, .. }, _) => {
                self.torrent.cancel(cancel, block);
            }
        }
    }

    /// The peer will not serve this request.
    pub(super) fn on_reject(&self, block: Block) {
        let mut link = lock(&self.link);
        let serves = !link.peer_choking;
        let Some((asked, refuses)) = link.asking.rejected(&block, serves) else {
            return;
        };
        if !serves {
            link.fast.forbid(block.piece);
        }
        drop(link);
        self.tell_dropped(asked, block.length);
        self.close_request(block);
        if !asked.is_cancelled() {
            self.freed.store(true, Ordering::Relaxed);
        }
        if refuses {
            self.close("it refuses what it says to have");
        }
    }

    /// Somebody else was faster.
    pub(in crate::swarm) fn cancel(&self, block: Block) {
        let now = self.torrent.now_ms();
        let mut link = lock(&self.link);
        let cancelled = link.asking.cancel(&block, self.fast, now);
        // Before the lock is given back, so that an end of the connection comes after it.
        if let Cancelled::Forgotten(asked) = &cancelled {
            self.tell_dropped(*asked, block.length);
        }
        drop(link);
        match cancelled {
            Cancelled::Nothing => return,
            Cancelled::Waits => {}
            Cancelled::Forgotten(_) => self.close_request(block),
        }
        self.send(Message::Cancel(block));
        self.ask_ready.notify_one();
    }

    pub(super) fn on_choke(&self) {
        {
            let mut link = lock(&self.link);
            if link.peer_choking {
                return;
            }
            link.peer_choking = true;
        }
        // With the fast extension each request is answered, if only by a reject.
        if !self.fast {
            self.drop_all_asked();
        } else if self.torrent.release(self.id) {
            self.freed.store(true, Ordering::Relaxed);
        }
        if let Some(meter) = self.meter.get() {
            meter.choked();
        }
    }

    /// Nothing of what was asked will come.
    pub(super) fn drop_all_asked(&self) {
        let mut link = lock(&self.link);
        let asked = link.asking.take_all();
        self.tell_all_dropped(&asked);
        drop(link);
        self.give_up(asked, false);
    }

    /// Requests that were taken out and told to the extension: others may be asked.
    pub(super) fn give_up(&self, requests: Vec<(Block, Asked)>, cancel: bool) {
        let released = self.torrent.release(self.id);
        let any = released || !requests.is_empty();
        for (block, _) in requests {
            self.close_request(block);
            if cancel {
                self.send(Message::Cancel(block));
            }
        }
        if any {
            self.torrent.wake_all();
        }
    }

    fn close_request(&self, block: Block) {
        if self.torrent.unpick(self.id, block) {
            self.tell(Told::Over { piece: block.piece });
        }
    }

    fn tell_dropped(&self, asked: Asked, bytes: u32) {
        if let Some(tag) = asked.tag {
            self.tell(Told::Dropped { tag, bytes });
        }
    }

    pub(super) fn tell_all_dropped(&self, requests: &[(Block, Asked)]) {
        for (block, asked) in requests {
            self.tell_dropped(*asked, block.length);
        }
    }
}
