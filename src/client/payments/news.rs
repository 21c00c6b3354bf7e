//! What payments tell the client, and which problems come of it.

use super::{Running, settling::Round};
use crate::{
    client::{event::Happened, owner::Owner, snapshot::ProblemCode},
    receipts::{HoldReason, pay::PayEvent},
    types::{Address, Decimals, RawAmount},
};

/// Something happened to payments.
#[derive(Debug)]
pub(in crate::client) enum News {
    Pay(PayEvent),
    Settled(Round),
    /// The session key was renewed, or why not.
    Renewed(Result<(), String>),
}

fn btt(amount: RawAmount) -> String {
    format!("{} BTT", amount.to_decimal(Decimals::BTT))
}

impl Owner {
    pub(in crate::client) fn hear(&mut self, news: News) {
        match news {
            News::Pay(event) => self.hear_pay(event),
            News::Settled(Round::Done(paid)) => {
                self.over(ProblemCode::SettleFailed, None);
                self.over(ProblemCode::DebtsDue, None);
                if let Some(paid) = paid {
                    self.tell(Happened::Settled {
                        payouts: paid.payouts,
                        total_raw: paid.total,
                    });
                }
            }
            News::Renewed(Ok(())) => self.over(ProblemCode::KeyEnds, None),
            News::Renewed(Err(why)) => self.problem(
                ProblemCode::KeyEnds,
                None,
                format!("the session key ends soon and could not be renewed: {why}"),
                "Start again to make a new one: buying and selling stop when it ends.",
            ),
            News::Settled(Round::Declined(why)) => self.problem(
                ProblemCode::DebtsDue,
                None,
                format!("debts are due that are not paid by themselves: {why}"),
                "Settle them now, or allow more a day.",
            ),
            News::Settled(Round::Failed(why)) => self.problem(
                ProblemCode::SettleFailed,
                None,
                format!("debts could not be paid: {why}"),
                "It is tried again by itself; if it stays, look with `seedrail settle plan`.",
            ),
        }
    }

    fn hear_pay(&mut self, event: PayEvent) {
        let about = |peer: Address| Some(peer.to_string());
        match event {
            PayEvent::TurnedBack {
                peer,
                why: HoldReason::Cap,
                owed,
            } => {
                let settler = self.pay.as_ref().and_then(|pay| pay.settler.as_ref());
                if let Some(settler) = settler {
                    settler.limit.notify_one();
                }
                self.problem(
                    ProblemCode::CreditLimit,
                    about(peer),
                    format!("{peer} sells no more on credit: you owe it {}", btt(owed)),
                    "Settle your debts: buying goes on by itself then.",
                );
            }
            PayEvent::Defaulted { peer, amount } => self.problem(
                ProblemCode::Default,
                about(peer),
                format!("{peer} did not pay {}", btt(amount)),
                "It gets no more credit; forgive it, or ban it, with `seedrail peers`.",
            ),
            PayEvent::Contradiction { peer } => self.problem(
                ProblemCode::Contradiction,
                about(peer),
                format!("{peer} signed two different receipts under one number"),
                "It is not served again; `seedrail peers forgive` undoes that.",
            ),
            PayEvent::Evidence { peer, amount } => self.problem(
                ProblemCode::KeyElsewhere,
                about(peer),
                format!(
                    "{peer} holds a receipt of yours over {} that this ledger did not make",
                    btt(amount)
                ),
                "Look whether this wallet is used on another machine.",
            ),
            PayEvent::LimitReached => self.problem(
                ProblemCode::SpendingLimit,
                None,
                "the spending limit is used up: the rest is downloaded for free".to_owned(),
                "Start again with a higher limit to go on buying.",
            ),
            PayEvent::KeyEnds { .. } if self.pay.as_ref().is_some_and(Running::renew_key) => {}
            PayEvent::KeyEnds { left } => self.problem(
                ProblemCode::KeyEnds,
                None,
                format!("the session key ends in {}", span(left.as_secs())),
                "Start again to make a new one: buying and selling stop when it ends.",
            ),
            PayEvent::NodeSilent {
                reason: Some(reason),
            } => self.problem(
                ProblemCode::NodeSilent,
                None,
                format!("the node does not answer: {reason}"),
                "No new payer gets credit until it does; name another with --node.",
            ),
            PayEvent::NodeSilent { reason: None } => self.over(ProblemCode::NodeSilent, None),
            PayEvent::NodeBehind { seen, now } => self.problem(
                ProblemCode::NodeBehind,
                None,
                format!("the node's newest final block is {now}, and was {seen} before"),
                "Look whether it is on another chain.",
            ),
            PayEvent::Stopped { reason } => self.problem(
                ProblemCode::PaymentsStopped,
                None,
                format!("nothing is bought or sold any more: {reason}"),
                "Start again to go on.",
            ),
            PayEvent::TurnedBack { .. }
            | PayEvent::Met { .. }
            | PayEvent::Selling { .. }
            | PayEvent::NotSelling { .. }
            | PayEvent::Issued { .. }
            | PayEvent::Received { .. }
            | PayEvent::Settled { .. }
            | PayEvent::PayeeUnknown { .. } => {}
        }
    }

    /// There is a problem; it is told when it is new.
    pub(in crate::client) fn problem(
        &mut self,
        code: ProblemCode,
        subject: Option<String>,
        message: String,
        hint: &str,
    ) {
        let now = self.clock.now();
        if self
            .board
            .set(code, subject.clone(), message.clone(), hint, now)
        {
            let hint = hint.to_owned();
            self.tell(Happened::Problem {
                code,
                subject,
                message,
                hint,
            });
        }
    }

    /// A problem is over, if it was there.
    pub(in crate::client) fn over(&mut self, code: ProblemCode, subject: Option<String>) {
        if self.board.clear(code, subject.as_deref()) {
            self.tell(Happened::ProblemOver { code, subject });
        }
    }
}

/// A time that is left, in words.
fn span(secs: u64) -> String {
    match secs {
        0..7_200 => format!("{} minutes", secs / 60),
        7_200..172_800 => format!("{} hours", secs / 3_600),
        _ => format!("{} days", secs / 86_400),
    }
}
