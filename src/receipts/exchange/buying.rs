//! The buyer: bids, asks at a price, signs what is due.

use super::*;

impl Exchange {
    pub(super) fn quoted(&mut self, quote: &Quote, now: UnixMs) -> Vec<Output> {
        self.floor = Some(quote.floor_price);
        let Some(bid) = self.setup.bid else {
            return Vec::new();
        };
        if quote.valid_until < Self::secs(now) || quote.floor_price > bid || self.no_budget {
            // Too dear: shared as with any other peer.
            return vec![Output::Wake];
        }
        self.our_bid = bid;
        vec![Output::Send(Message::Bid(bid))]
    }

    pub(super) fn awarded(&mut self, price: u64, window: u64, debt: &mut Debt) -> Vec<Output> {
        if self.our_bid == 0 {
            // It crossed our withdrawal.
            return Vec::new();
        }
        if price > self.our_bid {
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
        vec![Output::Wake]
    }

    pub(super) fn withdraw(&mut self, why: &'static str) -> Vec<Output> {
        tracing::debug!(conn = self.setup.conn.0, why, "the bid is withdrawn");
        self.our_bid = 0;
        self.price = None;
        self.stalled_since = None;
        vec![Output::Send(Message::Bid(0)), Output::Wake]
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
        if !debt.begin_piece(self.setup.conn, piece, self.setup.piece_length) {
            return None;
        }
        if !budget.reserve(bytes, price) {
            self.no_budget = true;
            return None;
        }
        self.asked_bytes = self.asked_bytes.saturating_add(bytes);
        debt.asked(bytes);
        Some(PriceTag(price))
    }

    /// Whether the terms may still come, so that requests wait for them.
    pub(super) fn negotiating(&self, now: UnixMs) -> bool {
        let (Some(bid), false) = (self.setup.bid, self.no_budget) else {
            return false;
        };
        let sells = self.peer.as_ref().is_none_or(|hello| hello.sells);
        let affordable = self.floor.is_none_or(|floor| floor <= bid);
        let withdrawn = self.floor.is_some() && self.our_bid == 0;
        self.stage != Stage::Over
            && sells
            && affordable
            && !withdrawn
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
                debt.returned(bytes);
            }
            // Free chunks are told too while a price is in force: the seller
            // may have counted them.
            if tag.0 > 0 || self.price.is_some() {
                due.push((tag.0, bytes));
            }
        }
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
        debt.returned(bytes);
        if self.asked_bytes == 0 {
            debt.forget_pieces(self.setup.conn);
        }
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
