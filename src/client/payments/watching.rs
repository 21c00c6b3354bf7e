//! Settling again and again for somebody who looks on: what is news from one round to the next.

use std::{collections::HashMap, mem::Discriminant};

use super::settling::pay;
use crate::{
    settle::{BatchReport, Chain, Deferred, Engine, Policy, SettleError, Why},
    tron::keys::Signer,
    types::{Address, RawAmount, TokenId},
};

/// Debts that are named at once.
const NAMED: usize = 20;

/// Settles what is due by a policy, and knows what was told of it.
#[derive(Debug)]
pub struct SettleWatch {
    token: TokenId,
    policy: Policy,
    /// Payments of other commands that wait, now and as they were told last.
    ordered: (usize, usize),
    waits: Waits,
}

/// What came of one round.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Looked {
    /// The batches that it worked on.
    pub batches: Vec<BatchReport>,
    /// Debts that wait for another reason than before, at most 20.
    pub waits: Vec<Waiting>,
    /// How many more of them there are.
    pub more_wait: u64,
}

/// A debt that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Whom it is owed.
    pub payee: Address,
    /// How much.
    pub amount_raw: RawAmount,
    /// Why it is not paid, in words.
    pub reason: String,
}

impl SettleWatch {
    /// Settles debts in `token` by `policy`.
    pub fn new(token: TokenId, policy: Policy) -> Self {
        Self {
            token,
            policy,
            ordered: (0, 0),
            waits: Waits::default(),
        }
    }

    /// Follows what is signed to its end and pays what is due. Payments that a person ordered
    /// by another command are left alone.
    ///
    /// # Errors
    /// See [`SettleError`]; the next round goes on.
    pub async fn round<C: Chain>(
        &mut self,
        engine: &Engine<'_, C>,
        signer: &dyn Signer,
    ) -> Result<Looked, SettleError> {
        let (token, policy, ordered) = (self.token, &self.policy, &mut self.ordered.0);
        let ran = pay(engine, signer, token, policy, ordered, |_| Ok(())).await?;
        let left = ran.report.plan.iter().flat_map(|plan| &plan.deferred);
        let (waits, more_wait) = self.waits.news(left, token);
        Ok(Looked {
            batches: ran.report.batches,
            waits,
            more_wait,
        })
    }

    /// How many payments of other commands wait, if that is another number than the last time
    /// that this was asked. Of a round that failed, too.
    pub fn newly_ordered(&mut self) -> Option<usize> {
        let (now, told) = self.ordered;
        self.ordered.1 = now;
        (now != told).then_some(now)
    }
}

/// Debts that wait, and why, as it was told last.
#[derive(Debug, Default)]
struct Waits(HashMap<Address, Discriminant<Why>>);

impl Waits {
    /// The debts that wait for another reason than before, and how many more there are. That
    /// one grew is no news.
    fn news<'a>(
        &mut self,
        left: impl Iterator<Item = &'a Deferred>,
        token: TokenId,
    ) -> (Vec<Waiting>, u64) {
        let mut news = Vec::new();
        let mut now = HashMap::new();
        let mut more = 0u64;
        for debt in left {
            let why = std::mem::discriminant(&debt.reason);
            let is_known = self.0.get(&debt.payee) == Some(&why);
            now.insert(debt.payee, why);
            if is_known {
                continue;
            }
            if news.len() >= NAMED {
                more += 1;
                continue;
            }
            news.push(Waiting {
                payee: debt.payee,
                amount_raw: debt.amount,
                reason: debt.reason.words(token),
            });
        }
        self.0 = now;
        (news, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Sun;

    #[test]
    fn a_debt_that_waits_is_told_once_for_each_reason() {
        let mut waits = Waits::default();
        let debt = |n: u8, amount: i64, reason: Why| {
            let mut bytes = [n; 21];
            bytes[0] = 0x41;
            Deferred {
                payee: Address::from_bytes(&bytes).unwrap(),
                amount: RawAmount::new(amount).unwrap(),
                reason,
            }
        };
        let mut news = |left: &[Deferred]| waits.news(left.iter(), TokenId::BTT);
        let least = RawAmount::new(1_000_000).unwrap();
        let small = |amount| debt(1, amount, Why::BelowMinimum(least));
        let (told, _) = news(&[small(5)]);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].amount_raw.get(), 5);
        let reason = "below the minimum payout of 1 BTT; left for later";
        assert_eq!(told[0].reason, reason);
        // It grew.
        assert_eq!(news(&[small(6)]), (vec![], 0));
        let (told, _) = news(&[
            debt(1, 7, Why::NotFree),
            debt(2, 1, Why::Fee(Sun(2), Sun(1))),
        ]);
        assert_eq!(told.len(), 2);
        assert_eq!(news(&[]), (vec![], 0));
        // It waits again.
        assert_eq!(news(&[debt(1, 7, Why::NotFree)]).0.len(), 1);
        let many: Vec<_> = (10..40).map(|n| debt(n, 1, Why::NotFree)).collect();
        let (told, more) = news(&many);
        assert_eq!((told.len(), more), (20, 10));
    }
}
