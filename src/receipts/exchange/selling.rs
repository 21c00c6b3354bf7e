//! The seller: quotes, awards, holds.

use super::{
    Ask, CHUNK_BYTES, Dearer, Exchange, Held, Output, QUOTE_VALID, RAISE_INTERVAL, Sale, Stage,
    violation,
};
use crate::{
    receipts::{
        body::Quote,
        credit::Credit,
        message::{HoldReason, Message},
        meter::GIB_BITS,
        window::{PIPELINE_BYTES, Window},
    },
    swarm::hooks::UploadClass,
    types::UnixMs,
};

impl Exchange {
    pub(super) fn quote(&self, ask: &Ask, credit: &Credit, now: UnixMs) -> Vec<Output> {
        let quote = Quote {
            payee: self.own(),
            token: self.setup.token,
            // Nothing is asked of friends.
            floor_price: if self.friend { 0 } else { ask.floor_price },
            window: Window::start_bytes(self.setup.piece_length),
            cap: credit.cap(ask.unproven_cap),
            valid_until: Self::secs(now.plus(QUOTE_VALID)),
        };
        match self.setup.domain.sign(&quote, self.setup.identity.signer()) {
            Ok(signature) => vec![Output::Send(Message::Quote {
                floor_price: quote.floor_price,
                window: quote.window,
                cap: quote.cap,
                valid_until: quote.valid_until,
                signature,
            })],
            Err(error) => vec![violation(format!("sr_pay: {error}"))],
        }
    }

    pub(super) fn bid(&mut self, price: u64, now: UnixMs) -> Vec<Output> {
        let Some(ask) = self.setup.ask.filter(|_| !self.friend) else {
            return Vec::new();
        };
        if price == 0 {
            self.bid_of_peer = None;
            self.at_cap = false;
            return self.stop_selling(now);
        }
        if price < ask.floor_price {
            return Vec::new();
        }
        // Withdrawn or not, the last one counts.
        if let Some((last, at)) = self.last_bid
            && price > last
            && now.since(at) < RAISE_INTERVAL
        {
            return Vec::new();
        }
        self.bid_of_peer = Some(price);
        self.last_bid = Some((price, now));
        self.at_cap = false;
        vec![Output::Admit { bid: price }]
    }

    pub(super) fn stop_selling(&mut self, now: UnixMs) -> Vec<Output> {
        if let Some(sale) = self.sale.take() {
            self.may_be_dearer(sale.price, Window::LARGEST_BYTES);
        }
        self.set_held(false, now);
        vec![Output::Class(UploadClass::Free), Output::Wake]
    }

    /// What was asked for at `price` may come until so many bytes were sent.
    fn may_be_dearer(&mut self, price: u64, bytes: u64) {
        let price = if self.dearer.bytes > 0 {
            price.max(self.dearer.price)
        } else {
            price
        };
        self.dearer = Dearer { price, bytes };
    }

    /// The bidder is not served on credit.
    pub(super) fn not_admitted(
        &mut self,
        why: HoldReason,
        credit: &Credit,
        now: UnixMs,
    ) -> Vec<Output> {
        if !self.established() || self.bid_of_peer.is_none() {
            return Vec::new();
        }
        let mut outputs = vec![Output::Send(Message::Hold {
            unpaid: credit.unpaid_bytes(),
            window: credit.window().bytes(),
            why: Some(why),
        })];
        outputs.extend(self.stop_selling(now));
        outputs
    }

    /// Whether what the address owes leaves less than a chunk, whatever its window does.
    fn cap_is_used_up(&self, price: u64, ask: &Ask, credit: &Credit) -> bool {
        credit.room(price, credit.cap(ask.unproven_cap)) < CHUNK_BYTES
    }

    /// It owes as much as it may: it is served as any free peer, and its bid is kept.
    fn end_at_cap(&mut self, credit: &Credit, now: UnixMs) -> Vec<Output> {
        self.at_cap = true;
        self.not_admitted(HoldReason::Cap, credit, now)
    }

    /// It settled, or there is more for strangers: its bid is looked at again. Not for a
    /// few chunks, that would end at once.
    pub(super) fn room_again(&mut self, credit: &Credit) -> Vec<Output> {
        let (true, Some(bid), Some(ask)) = (self.at_cap, self.bid_of_peer, self.setup.ask) else {
            return Vec::new();
        };
        let cap = credit.cap(ask.unproven_cap);
        let all = u128::from(cap.unsigned()) << GIB_BITS;
        let quarter = all / u128::from(bid.max(1)) / 4;
        let enough = u64::try_from(quarter)
            .unwrap_or(u64::MAX)
            .clamp(CHUNK_BYTES, PIPELINE_BYTES);
        if credit.room(bid, cap) < enough {
            return Vec::new();
        }
        self.at_cap = false;
        vec![Output::Admit { bid }]
    }

    pub(super) fn admitted(&mut self, price: u64, credit: &mut Credit, now: UnixMs) -> Vec<Output> {
        let (Some(ask), Some(bid)) = (self.setup.ask, self.bid_of_peer) else {
            return Vec::new();
        };
        if credit.contradicted() {
            return self.refuse("equivocation");
        }
        if credit.banned() {
            return self.refuse("banned");
        }
        // Never cheaper than what is bought from the same peer: so that between
        // two who trade, bytes offset bytes, and only the imbalance costs.
        let price = price.max(self.price.unwrap_or(0));
        let price = price.clamp(ask.floor_price, bid.max(ask.floor_price));
        let changed = self
            .sale
            .is_none_or(|sale| sale.price != price || sale.bid != bid);
        if !changed {
            return Vec::new();
        }
        if self.sale.is_none() && self.cap_is_used_up(price, &ask, credit) {
            return self.end_at_cap(credit, now);
        }
        self.at_cap = false;
        credit.admit_piece(self.setup.piece_length);
        let (before, grace) = match self.sale {
            // Dearer: what is on the way was asked for at the old price.
            Some(sale) if sale.price < price => (sale.price, PIPELINE_BYTES),
            // Cheaper: what is on the way may be paid for at the old price.
            Some(sale) => {
                if sale.price > price {
                    self.may_be_dearer(sale.price, Window::LARGEST_BYTES);
                }
                (price, 0)
            }
            None => (0, credit.grace(PIPELINE_BYTES.min(self.served_free))),
        };
        self.served_free = 0;
        self.sale = Some(Sale {
            bid,
            price,
            before,
            grace,
        });
        vec![
            Output::Send(Message::Award {
                price,
                window: credit.window().bytes(),
            }),
            self.class(credit, &ask, bid),
            Output::Wake,
        ]
    }

    /// An unproven address weighs as the floor price until it has paid once.
    pub(super) fn class(&self, credit: &Credit, ask: &Ask, bid: u64) -> Output {
        let weight = if credit.proven() || credit.has_paid() {
            bid
        } else {
            ask.floor_price
        };
        Output::Class(UploadClass::Paid {
            weight: weight.max(1),
        })
    }

    pub(super) fn refuse(&mut self, reason: &str) -> Vec<Output> {
        self.stage = Stage::Over;
        self.sale = None;
        vec![
            Output::Send(Message::Bye(reason.to_owned())),
            Output::Class(UploadClass::Refused),
            Output::Wake,
        ]
    }

    /// How many more bytes may be sent to the peer.
    pub fn upload_allowance(&self, credit: &Credit) -> u64 {
        match (self.sale, self.setup.ask) {
            (Some(sale), Some(ask)) => credit.allowance(sale.price, credit.cap(ask.unproven_cap)),
            _ => u64::MAX,
        }
    }

    /// Why the peer is held, if it is.
    pub fn held_why(&self, credit: &Credit) -> Option<Held> {
        if self.at_cap {
            return Some(Held::Cap);
        }
        let ahead = credit
            .window()
            .bytes()
            .saturating_sub(credit.unpaid_bytes());
        match (self.held, ahead < CHUNK_BYTES) {
            (false, _) => None,
            (true, true) => Some(Held::Window),
            (true, false) => Some(Held::Cap),
        }
    }

    /// `bytes` were sent. True when the window is used up now, and the worker is
    /// to be told.
    pub fn served(&mut self, bytes: u32, credit: &mut Credit) -> bool {
        let (bytes, torrent) = (u64::from(bytes), self.setup.torrent);
        let dear = bytes.min(self.dearer.bytes);
        self.dearer.bytes -= dear;
        let dearest = if dear > 0 { self.dearer.price } else { 0 };
        let Some(sale) = &mut self.sale else {
            self.served_free = self.served_free.saturating_add(bytes);
            // It is free, but may have been asked for at a price: then a receipt for it
            // is no gift.
            credit.served_of(torrent, dear, 0, dearest);
            return false;
        };
        let early = bytes.min(sale.grace);
        sale.grace -= early;
        let (price, before) = (sale.price, sale.before);
        if before > 0 || early < bytes {
            self.served_paid = self.served_paid.saturating_add(bytes);
        }
        if early > 0 {
            credit.served_of(torrent, early, before, price.max(dearest));
        }
        if bytes > early {
            credit.served_of(torrent, bytes - early, price, price.max(dearest));
        }
        !self.held && self.upload_allowance(credit) < CHUNK_BYTES
    }

    /// Nothing may be sent and the peer was not told: tells it.
    pub(super) fn hold(&mut self, credit: &Credit, now: UnixMs) -> Vec<Output> {
        let (Some(sale), Some(ask)) = (self.sale, self.setup.ask) else {
            return Vec::new();
        };
        if self.upload_allowance(credit) >= CHUNK_BYTES {
            return Vec::new();
        }
        let barred = credit.contradicted() || credit.banned();
        if !barred && self.cap_is_used_up(sale.price, &ask, credit) {
            return self.end_at_cap(credit, now);
        }
        if self.held {
            return Vec::new();
        }
        self.set_held(true, now);
        vec![Output::Send(Message::Hold {
            unpaid: credit.unpaid_bytes(),
            window: credit.window().bytes(),
            why: Some(HoldReason::Window),
        })]
    }

    pub(super) fn resume(&mut self, credit: &Credit, now: UnixMs) -> Vec<Output> {
        if self.upload_allowance(credit) < CHUNK_BYTES {
            return Vec::new();
        }
        let mut outputs = Vec::new();
        if self.held {
            self.set_held(false, now);
            outputs.push(Output::Send(Message::Resume {
                unpaid: credit.unpaid_bytes(),
                window: credit.window().bytes(),
            }));
        }
        outputs.push(Output::Wake);
        outputs
    }
}
