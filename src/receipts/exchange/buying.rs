//! The buyer: bids, asks at a price, signs what is due.

use super::{Bid, Exchange, MAX_SETTLED, NEGOTIATION, Output, RAISE_INTERVAL, Stage, violation};
use crate::{
    receipts::{
        autobid::AutoBid,
        body::Quote,
        credit::Credit,
        debt::{Budget, Debt},
        message::{HoldReason, Message},
        window::Window,
    },
    swarm::hooks::PriceTag,
    types::{TxId, UnixMs},
};

impl Exchange {
    pub(super) fn quoted(&mut self, quote: &Quote, now: UnixMs) -> Vec<Output> {
        self.floor = Some(quote.floor_price);
        let Some(bid) = self.setup.bid else {
            return Vec::new();
        };
        let free = quote.floor_price == 0;
        let late = quote.valid_until < Self::secs(now);
        if free || late || quote.floor_price > bid.most() || self.no_budget {
            // Free for us, or too dear: shared as with any other peer.
            return vec![Output::Wake];
        }
        let price = match bid {
            Bid::Fixed(price) => price,
            Bid::Auto(_) => {
                let auto = AutoBid::new(quote.floor_price, now);
                let price = auto.bid();
                self.auto = Some(auto);
                price
            }
        };
        self.our_bid = price;
        vec![Output::Send(Message::Bid(price))]
    }

    pub(super) fn awarded(
        &mut self,
        price: u64,
        window: u64,
        debt: &mut Debt,
        credit: &mut Credit,
        now: UnixMs,
    ) -> Vec<Output> {
        if self.our_bid == 0 {
            // It crossed our withdrawal.
            return Vec::new();
        }
        // It may have crossed a lower bid of ours: then it counts until the next.
        let most = self.lowered.map_or(0, |(bid, _)| bid).max(self.our_bid);
        if price > most {
            return vec![violation(format!(
                "sr_pay: awarded at {price}, above our bid of {}",
                self.our_bid
            ))];
        }
        if window < Window::start_bytes(self.setup.piece_length) {
            return self.withdraw("window smaller than two pieces and a pipeline");
        }
        debt.set_window(window);
        self.price = Some(price);
        self.turned_back = None;
        if price <= self.our_bid {
            self.lowered = None;
        }
        let mut outputs = vec![Output::Wake];
        if let Some(sale) = self.sale {
            // Who buys from whom it sells to asks as much as it pays.
            outputs.extend(self.admitted(sale.price, credit, now));
        }
        outputs
    }

    /// With `--bid auto`: bids more or less, once a minute at most.
    pub(super) fn look_at_bid(&mut self, debt: &Debt, now: UnixMs) -> Vec<Output> {
        if let Some((_, at)) = self.lowered
            && now.since(at) >= NEGOTIATION
        {
            // A seller that does not answer a lower bid is not paid above it.
            self.lowered = None;
            self.price = self.price.map(|price| price.min(self.our_bid));
        }
        let (Some(auto), Some(bid)) = (&mut self.auto, self.setup.bid) else {
            return Vec::new();
        };
        if self.our_bid == 0 {
            return Vec::new();
        }
        let unmet = self.asked_bytes > 0 && debt.window() > 0;
        let most = bid.most().min(self.affordable);
        match auto.look(now, unmet, most) {
            Some(price) => {
                if price < self.our_bid {
                    self.lowered = Some((self.our_bid, now));
                }
                self.our_bid = price;
                vec![Output::Send(Message::Bid(price))]
            }
            None => Vec::new(),
        }
    }

    pub(super) fn withdraw(&mut self, why: &'static str) -> Vec<Output> {
        tracing::debug!(conn = self.setup.conn.0, why, "the bid is withdrawn");
        self.our_bid = 0;
        self.price = None;
        self.held_by_peer = false;
        self.stalled_since = None;
        vec![Output::Send(Message::Bid(0)), Output::Wake]
    }

    /// The user is told, however often the seller says so.
    pub(super) fn tell_turned_back(&mut self, why: HoldReason, now: UnixMs) -> Option<Output> {
        let lately = self
            .told_back
            .is_some_and(|at| now.since(at) < RAISE_INTERVAL);
        if lately || self.setup.bid.is_none() {
            return None;
        }
        self.told_back = Some(now);
        Some(Output::TurnedBack(why))
    }

    /// A transfer of ours became solid while we talk: the seller may look for it.
    pub(super) fn tell_settled(&mut self, txid: TxId) -> Vec<Output> {
        if !self.established() || self.settled_told >= MAX_SETTLED {
            return Vec::new();
        }
        self.settled_told += 1;
        vec![Output::Send(Message::Settled(txid))]
    }

    /// The seller sends nothing more at a price for now: what is due is signed. But for
    /// the window, what is asked for from here on is free, as for any other peer.
    pub(super) fn held_back(
        &mut self,
        why: Option<HoldReason>,
        debt: &mut Debt,
        now: UnixMs,
    ) -> Vec<Output> {
        self.urgent = true;
        let mut outputs = Vec::new();
        match why.unwrap_or(HoldReason::Window) {
            HoldReason::Window => self.held_by_peer = true,
            why => {
                self.price = None;
                self.held_by_peer = false;
                self.stalled_since = None;
                self.turned_back = Some(why);
                outputs.extend(self.tell_turned_back(why, now));
                outputs.push(Output::Wake);
            }
        }
        outputs.extend(self.sign_if_due(debt, now));
        outputs
    }

    /// The tag to ask for a chunk at; `None`: nothing now.
    pub fn price_request(
        &mut self,
        piece: u32,
        bytes: u32,
        debt: &mut Debt,
        budget: &mut Budget,
        now: UnixMs,
    ) -> Option<PriceTag> {
        let Some(price) = self.price else {
            return (!self.negotiating(now)).then_some(PriceTag(0));
        };
        let bytes = u64::from(bytes);
        if !debt.begin_piece(self.setup.conn, piece, self.setup.piece_length, price) {
            return None;
        }
        if !budget.reserve(bytes, price) {
            self.no_budget = true;
            return None;
        }
        if !debt.ask(bytes, price) {
            budget.release(bytes, price);
            self.no_budget = true;
            return None;
        }
        self.asked_bytes = self.asked_bytes.saturating_add(bytes);
        Some(PriceTag(price))
    }

    /// A limit of the user's is reached: the bid is withdrawn at the next tick.
    pub fn out_of_budget(&mut self) {
        self.no_budget = true;
    }

    /// Whether the terms may still come, so that requests wait for them.
    pub(super) fn negotiating(&self, now: UnixMs) -> bool {
        let (Some(bid), false) = (self.setup.bid, self.no_budget) else {
            return false;
        };
        let sells = self.peer.as_ref().is_none_or(|hello| hello.sells);
        let affordable = self.floor.is_none_or(|floor| floor <= bid.most());
        let withdrawn = self.floor.is_some() && self.our_bid == 0;
        self.stage != Stage::Over
            && sells
            && affordable
            && !withdrawn
            && self.turned_back.is_none()
            && now.since(self.setup.now) < NEGOTIATION
    }

    /// A piece of ours is verified, with these chunks of the peer's.
    pub fn piece_verified(
        &mut self,
        piece: u32,
        chunks: &[(PriceTag, u32)],
        debt: &mut Debt,
        budget: &mut Budget,
        now: UnixMs,
    ) {
        let mut due = Vec::with_capacity(chunks.len());
        for (tag, bytes) in chunks {
            let bytes = u64::from(*bytes);
            if tag.0 > 0 {
                budget.spend(bytes, tag.0);
                self.asked_bytes = self.asked_bytes.saturating_sub(bytes);
                debt.arrived(bytes);
                if let Some(auto) = &mut self.auto {
                    auto.received(bytes);
                }
                due.push((tag.0, bytes));
            }
        }
        debt.due_for(self.setup.torrent, &due);
        debt.verified(self.setup.conn, piece, &due, now);
        self.stalled_since = None;
        if self.asked_bytes == 0 {
            debt.forget_pieces(self.setup.conn);
        }
    }

    /// What was asked for will not come.
    pub fn request_dropped(
        &mut self,
        tag: PriceTag,
        bytes: u32,
        debt: &mut Debt,
        budget: &mut Budget,
    ) {
        if tag.0 == 0 {
            return;
        }
        let bytes = u64::from(bytes);
        budget.release(bytes, tag.0);
        self.asked_bytes = self.asked_bytes.saturating_sub(bytes);
        debt.dropped(bytes, tag.0);
        if self.asked_bytes == 0 {
            debt.forget_pieces(self.setup.conn);
        }
    }

    /// Nothing of the piece is asked of the peer any more, or waits for its hash: the room
    /// in the window that was kept for it is free.
    pub fn piece_over(&self, piece: u32, debt: &mut Debt) {
        debt.piece_over(self.setup.conn, piece);
    }

    /// Whether something is to be signed: for the connection's task to ring the
    /// worker, nothing more.
    pub fn wants_attention(&self, debt: &Debt, now: UnixMs) -> bool {
        self.established()
            && (debt.wants_receipt(now, self.urgent) || (self.no_budget && self.price.is_some()))
    }

    pub(super) fn sign_if_due(&mut self, debt: &mut Debt, now: UnixMs) -> Vec<Output> {
        // Nothing new is signed before the peer's `sync` was merged.
        if !self.established() || !self.synced || !debt.wants_receipt(now, self.urgent) {
            return Vec::new();
        }
        vec![Output::Issue]
    }
}
