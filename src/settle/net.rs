//! From a position to a debt. Pure.

use crate::{
    ledger::Position,
    types::{Address, RawAmount},
};

/// What a payer should pay a payee now, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debt {
    /// To whom.
    pub payee: Address,
    /// Owed by our receipts and not paid: issued − paid, at least zero.
    pub owed: RawAmount,
    /// What counts against it: their receipts that they have not paid, and
    /// what we paid beyond ours.
    pub owed_to_us: RawAmount,
    /// Already on its way.
    pub live: RawAmount,
    /// To be paid: `owed − owed_to_us − live`, at least zero. Never more than
    /// our own receipts say, whatever the payee sent us.
    pub due: RawAmount,
    /// Start of the range it would cover.
    pub range_from: RawAmount,
    /// Since when something is unpaid, in seconds.
    pub since: u64,
    /// What the payee lets be unsettled, if it said so.
    pub cap: Option<RawAmount>,
}

impl Debt {
    /// Whether it is near, at 80 %, to what the payee lets be unsettled: it would soon
    /// sell nothing more. What the payee quotes below `min_payout` is no cap: nobody else
    /// decides when so little is worth its fee.
    pub fn is_pressing(&self, min_payout: RawAmount) -> bool {
        let times = |amount: RawAmount, n: u128| u128::from(amount.unsigned()) * n;
        self.cap
            .is_some_and(|cap| cap >= min_payout && times(self.due, 5) >= times(cap, 4))
    }
}

/// Nets a position, seen from its payer.
///
/// What the payee has paid beyond its own receipts is not sent back: that is
/// no debt that we signed.
pub fn net(position: &Position) -> Debt {
    let less = |a: RawAmount, b: RawAmount| a.checked_sub(b).unwrap_or(RawAmount::ZERO);
    let owed = less(position.issued, position.paid);
    let owed_to_us = less(position.received, position.paid_back)
        .checked_add(less(position.paid, position.issued))
        .unwrap_or(RawAmount::MAX);
    Debt {
        payee: position.pair.payee,
        owed,
        owed_to_us,
        live: position.live,
        due: less(less(owed, owed_to_us), position.live),
        range_from: position.range_end,
        since: position.owed_since,
        cap: position.cap,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ledger::Pair, types::TokenId};

    fn position(numbers: [i64; 5]) -> Position {
        let [issued, received, paid, paid_back, live] = numbers.map(|n| RawAmount::new(n).unwrap());
        Position {
            pair: Pair {
                payer: Address::from_body([1; 20]),
                payee: Address::from_body([2; 20]),
                token: TokenId::BTT,
            },
            issued,
            received,
            paid,
            paid_back,
            live,
            range_end: paid,
            first_since: 0,
            owed_since: 0,
            cap: None,
            unsold: RawAmount::ZERO,
        }
    }

    #[test]
    fn the_net_debtor_pays_the_difference_once() {
        let due = |numbers| net(&position(numbers)).due.get();
        assert_eq!(due([100, 0, 0, 0, 0]), 100);
        assert_eq!(due([100, 40, 0, 0, 0]), 60);
        assert_eq!(due([100, 40, 0, 40, 0]), 100, "they paid theirs");
        assert_eq!(due([40, 100, 0, 0, 0]), 0, "the creditor waits");
        assert_eq!(due([100, 0, 30, 0, 0]), 70);
        assert_eq!(due([100, 0, 130, 0, 0]), 0);
        assert_eq!(due([100, 0, 0, 0, 100]), 0, "in flight counts as paid");
        assert_eq!(due([100, 0, 0, 0, 60]), 40);
        assert_eq!(
            due([100, 0, 0, 500, 0]),
            100,
            "their gift is no debt of ours"
        );
        assert_eq!(due([0, 0, 0, 500, 0]), 0);
    }

    proptest::proptest! {
        #[test]
        fn both_sides_agree_and_nobody_overpays(numbers: [u32; 4]) {
            let [issued, received, paid, paid_back] = numbers.map(i64::from);
            let ours = position([issued, received, paid, paid_back, 0]);
            let theirs = position([received, issued, paid_back, paid, 0]);
            proptest::prop_assert_eq!(ours.net(), -theirs.net());
            let (us, them) = (net(&ours), net(&theirs));
            proptest::prop_assert!(us.due.get() == 0 || them.due.get() == 0);
            proptest::prop_assert!(i128::from(us.due.get()) <= ours.net().max(0));
            proptest::prop_assert!(us.due <= us.owed);
            // Paying what is due leaves nothing due on either side.
            let after = position([issued, received, paid + us.due.get(), paid_back, 0]);
            proptest::prop_assert_eq!(net(&after).due, RawAmount::ZERO);
        }
    }
}
