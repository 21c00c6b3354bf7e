//! What is said of the payments of a run that did not happen.

use crate::{
    cli::units::counted,
    ledger::PayoutState,
    settle::{BatchReport, CANCELLED, PAID_ELSEWHERE, PLANNED_ANEW, RESTORED},
};

/// Payments of batches that did not happen, by why.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    pub(super) failed: usize,
    pub(super) pending: usize,
    /// They were paid by another ledger or by hand.
    elsewhere: usize,
    /// Debts of an earlier command, which the plan of this one has again.
    replanned: usize,
    /// Their user gave them up.
    cancelled: usize,
}

impl GivenUp {
    pub(super) fn of(reports: &[BatchReport]) -> Self {
        let mut sums = Self::default();
        for payout in reports.iter().flat_map(|report| &report.payouts) {
            let reason = payout.payout.reason.as_str();
            match payout.payout.state {
                PayoutState::Confirmed => {}
                PayoutState::Planned | PayoutState::InFlight => sums.pending += 1,
                PayoutState::Failed if reason.starts_with(PAID_ELSEWHERE) => sums.elsewhere += 1,
                PayoutState::Failed if [PLANNED_ANEW, RESTORED].contains(&reason) => {
                    sums.replanned += 1;
                }
                PayoutState::Failed if reason == CANCELLED => sums.cancelled += 1,
                PayoutState::Failed => sums.failed += 1,
            }
        }
        sums
    }

    pub(super) fn harmless(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.elsewhere > 0 {
            words.push(format!(
                "{} not sent: {PAID_ELSEWHERE}",
                counted(self.elsewhere, "payment")
            ));
        }
        if self.cancelled > 0 {
            words.push(format!("{} cancelled", counted(self.cancelled, "payment")));
        }
        words
    }

    pub(super) fn text(&self) -> String {
        let mut words = Vec::new();
        if self.failed > 0 {
            words.push(format!("{} failed", counted(self.failed, "payment")));
        }
        if self.pending > 0 {
            words.push(format!(
                "{} on the way or not signed",
                counted(self.pending, "payment")
            ));
        }
        words.extend(self.harmless());
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::{BatchId, BatchRow, PayoutId, PayoutKind, PayoutRow},
        types::{Address, RawAmount, Token, UnixMs},
    };

    fn batch(payouts: &[(PayoutState, &str)]) -> BatchReport {
        let payer = Address::from_body([1; 20]);
        let batch = BatchRow {
            id: BatchId::new(1).unwrap(),
            payer,
            kind: PayoutKind::Settle,
            created_at: UnixMs(0),
        };
        let rows = payouts
            .iter()
            .zip(1..)
            .map(|((state, reason), n)| PayoutRow {
                id: PayoutId::new(n).unwrap(),
                batch: batch.id,
                kind: batch.kind,
                payer,
                payee: Address::from_body([2; 20]),
                token: Token::Trx,
                from: RawAmount::ZERO,
                amount: RawAmount::new(5).unwrap(),
                memo: Vec::new(),
                label: String::new(),
                not_for_debts: false,
                state: *state,
                reason: (*reason).to_owned(),
                owed: RawAmount::ZERO,
                owed_to_us: RawAmount::ZERO,
            });
        BatchReport::new(batch, rows.collect(), Vec::new())
    }

    #[test]
    fn what_was_paid_elsewhere_cancelled_or_planned_anew_did_not_fail() {
        let equal = format!("{PAID_ELSEWHERE}: an equal payment is transaction 17");
        let batches = [
            batch(&[
                (PayoutState::Confirmed, ""),
                (PayoutState::Failed, PAID_ELSEWHERE),
            ]),
            batch(&[
                (PayoutState::Failed, &equal),
                (PayoutState::Failed, PLANNED_ANEW),
                (PayoutState::Failed, RESTORED),
                (PayoutState::Failed, CANCELLED),
            ]),
        ];
        let sums = GivenUp::of(&batches);
        assert_eq!((sums.failed, sums.pending), (0, 0));
        let said = "2 payments not sent: it was paid outside of this ledger meanwhile";
        assert_eq!(sums.harmless(), [said, "1 payment cancelled"]);
        assert_eq!(sums.text(), format!("{said}, 1 payment cancelled"));
    }

    #[test]
    fn what_failed_and_what_may_still_happen_are_told_apart() {
        let sums = GivenUp::of(&[batch(&[
            (PayoutState::Failed, "its transaction was refused"),
            (PayoutState::InFlight, ""),
            (PayoutState::Planned, ""),
        ])]);
        assert_eq!((sums.failed, sums.pending), (1, 2));
        assert_eq!(
            sums.text(),
            "1 payment failed, 2 payments on the way or not signed"
        );
    }
}
