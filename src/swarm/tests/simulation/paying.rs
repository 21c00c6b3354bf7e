//! Price tags, and both ledgers.

use super::*;

impl World {
    pub(super) fn drop_tag(
        &mut self,
        me: usize,
        peer: usize,
        tag: Option<PriceTag>,
        bytes: u32,
        came: bool,
    ) {
        let (Some(tag), Some(duo)) = (tag, self.pays.get_mut(&(me, peer))) else {
            return;
        };
        let buyer = &mut duo.buyer;
        buyer
            .machine
            .request_dropped(tag, bytes, &mut buyer.debt, &mut duo.budget);
        let account = self.accounts.get_mut(&(me, peer)).unwrap();
        account.dropped += u64::from(bytes);
        account.delivered += u64::from(bytes) * u64::from(came);
    }

    pub(super) fn owe(&mut self, me: usize, peer: usize, piece: u32, chunks: &[(PriceTag, u32)]) {
        let duo = self.pays.get_mut(&(me, peer)).unwrap();
        let (buyer, now) = (&mut duo.buyer, duo.now);
        buyer
            .machine
            .piece_verified(piece, chunks, &mut buyer.debt, &mut duo.budget, now);
        let account = self.accounts.get_mut(&(me, peer)).unwrap();
        account.owed += chunks.iter().map(|(_, n)| u64::from(*n)).sum::<u64>();
    }

    pub(super) fn over(&mut self, me: usize, peer: usize, piece: u32) {
        if let Some(duo) = self.pays.get_mut(&(me, peer)) {
            duo.buyer.machine.piece_over(piece, &mut duo.buyer.debt);
        }
    }

    pub(super) fn end(mut self, least: u64) -> Life {
        let last = self
            .honest()
            .map(|node| node.done_ms.expect("it can finish"));
        let percent = last.max().unwrap_or(0) * 100 / least;
        let mut duplicates = 0;
        for node in self.nodes.iter().filter(|node| node.alive) {
            let Some(picker) = node.core.as_ref().and_then(TorrentCore::picker) else {
                continue;
            };
            assert!(picker.duplicate_bytes() <= node.duplicate_limit);
            duplicates += picker.duplicate_bytes();
        }
        let count = self.nodes.len();
        for one in 0..count {
            for other in 0..one {
                self.part(one, other);
            }
        }
        for me in 0..count {
            if self.nodes[me].alive {
                self.check_complete(me);
            }
        }
        for ((buyer, seller), mut duo) in std::mem::take(&mut self.pays) {
            let account = &self.accounts[&(buyer, seller)];
            let back = account.owed + account.dropped;
            assert_eq!(account.priced, back, "every tag comes back once");
            let wait = i64::try_from(SIGN_AFTER.as_millis()).unwrap();
            duo.tick(wait);
            let now = duo.now;
            duo.buyer.input(Input::Settle, now);
            duo.deliver(1000);
            duo.check();
            let signed = |side: &crate::receipts::tests::duo::Side| {
                let receipts = side.disk.values().map(|signed| &signed.receipt);
                receipts.map(|receipt| receipt.amount.get()).sum::<i64>()
            };
            assert_eq!(
                signed(&duo.buyer),
                signed(&duo.seller),
                "both ledgers agree"
            );
            let due = (u128::from(account.owed) * u128::from(self.price)) >> 30;
            assert_eq!(
                i128::from(signed(&duo.seller)),
                i128::try_from(due).unwrap()
            );
            // What the seller counts as unpaid was on its way, or cancelled, or wrong.
            let unpaid = duo.seller.credit.unpaid_bytes();
            assert!(unpaid <= account.dropped + u64::from(CHUNK), "{unpaid}");
        }
        Life {
            percent,
            duplicates,
        }
    }
}
