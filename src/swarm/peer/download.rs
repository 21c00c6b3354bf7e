//! Requesting chunks from the peer, and taking what it sends.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Came, Conn, Link, Named, Told,
    asking::{Asked, Cancelled},
};
use crate::swarm::{
    hooks::{PriceTag, UploadClass},
    lock::lock,
    scheduler::MAX_CREDIT,
    torrent::{Of, Wish},
    wire::{Block, CHUNK, Message},
};

/// How long the first requests wait for the peer's extension handshake, where an
/// extension of ours may want to price them. It follows the handshake at once.
const GREETING: Duration = Duration::from_secs(2);

impl Conn {
    /// Our wish to be served, from what the peer has. While it is asked for something there is
    /// one.
    pub(super) fn update_interest(&self) {
        {
            let link = lock(&self.link);
            let complete = self.torrent.is_complete();
            let known = match link.interested {
                true => !link.asking.is_idle(),
                false => complete,
            };
            if known {
                return;
            }
        }
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

    /// Requests as many chunks as make sense. True if what it brought was looked at, where that
    /// was due.
    pub(super) fn fill(&self) -> bool {
        let room = self.room();
        if room == 0 {
            return false;
        }
        let chunk = u64::from(CHUNK);
        let Some(named) = self.named() else {
            return false;
        };
        let covered = self.down_allowance.covers(chunk, room);
        let now = self.torrent.now_ms();
        let wish = {
            let asking = &lock(&self.link).asking;
            asking.wish(self.id, self.is_metered(), now)
        };
        let (asked, raced) = self.ask_for(wish, &named, covered);
        for _ in &asked {
            self.down_allowance.spend(chunk);
        }
        let found_all = asked.len() == covered;
        if !found_all {
            self.down_allowance.release();
        } else if covered < room {
            let left = u64::try_from(room - covered).unwrap_or(1);
            let most = chunk.saturating_mul(left).min(MAX_CREDIT);
            self.down_allowance.ask(chunk, || (UploadClass::Free, most));
        }
        let mut link = lock(&self.link);
        if !found_all {
            link.asking.found_nothing(now);
        }
        if asked.is_empty() {
            return covered > 0;
        }
        link.held_since = None;
        link.asking.note(&asked, now);
        for block in raced {
            link.asking.note_race(&block);
        }
        drop(link);
        self.send_all(asked.into_iter().map(|(block, _)| Message::Request(block)));
        true
    }

    /// Chunks to request, `most` at most, with their prices; and those of them that another
    /// connection was asked for too.
    fn ask_for(
        &self,
        wish: Wish,
        named: &Named,
        most: usize,
    ) -> (Vec<(Block, Option<PriceTag>)>, Vec<Block>) {
        let (mut asked, mut raced) = (Vec::new(), Vec::new());
        let mut held = false;
        // Where no other piece may be begun, those that it takes part in can be finished.
        for of in [Of::Any, Of::Own] {
            let more = most - asked.len();
            if more == 0 {
                break;
            }
            let wish = wish.after(asked.len());
            let (lease, others) = self.torrent.lease(wish, named, of, more);
            let prices = lease.iter();
            let prices = prices.map_while(|block| Some((*block, self.price(*block)?)));
            let before = asked.len();
            asked.extend(prices);
            raced.extend(others);
            let refused = lease.get(asked.len() - before..).unwrap_or_default();
            if refused.is_empty() {
                break;
            }
            held = true;
            self.torrent.unpick_all(self.id, refused);
        }
        if held && asked.len() < most {
            lock(&self.link).held_since.get_or_insert_with(Instant::now);
        }
        (asked, raced)
    }

    /// The price of a chunk that was picked: none where nobody sets prices. `None` if it
    /// may not be requested now.
    fn price(&self, block: Block) -> Option<Option<PriceTag>> {
        // A cancelled request of it may still be answered.
        if lock(&self.link).asking.has(&block) {
            return None;
        }
        match self.meter.get() {
            None => Some(None),
            Some(meter) => meter.price_request(block.piece, block.length).map(Some),
        }
    }

    pub(super) fn on_piece(&self, piece: u32, begin: u32, data: Bytes) {
        let length = u32::try_from(data.len()).expect("messages are shorter than 4 GiB");
        let block = Block {
            piece,
            begin,
            length,
        };
        let now = self.torrent.now_ms();
        let (asked, more) = {
            let asking = &mut lock(&self.link).asking;
            (asking.arrived(&block, now), asking.has_any_of(piece))
        };
        let Some(asked) = asked else {
            self.torrent.count_waste(u64::from(length));
            return;
        };
        self.traffic
            .down
            .fetch_add(length.into(), Ordering::Relaxed);
        self.torrent.count_down(length.into());
        let tag = asked.tag;
        let mut brought = lock(&self.brought);
        let due = asked.is_urgent() || !more;
        brought.put(Came { block, tag }, &data, due, &self.shared.buffers);
        let full = brought.is_full();
        drop(brought);
        if full && !self.fill() {
            self.torrent.take_in(self.id);
        }
    }

    /// What must not wait any longer is looked at.
    pub(super) fn take_in_due(&self) {
        if lock(&self.brought).is_due() {
            self.torrent.take_in(self.id);
        }
    }

    /// Another connection was asked for a chunk too.
    pub(in crate::swarm) fn is_raced(&self, block: Block) {
        if !lock(&self.link).asking.note_race(&block) {
            // It came a moment ago.
            lock(&self.brought).hurry();
            self.ask_ready.notify_one();
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
