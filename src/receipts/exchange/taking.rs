//! Receipts that come in: checked, then stored, then credited.

use super::{Exchange, MAX_IGNORED_RECEIPTS, Output, RECEIPT_BURST, violation};
use crate::{
    ledger::Stored,
    receipts::{
        body::{Accepted, Expected, Refusal, SignedReceipt},
        credit::Credit,
        debt::{Debt, MIN_INTERVAL},
        grant::SignedGrant,
        message::Message,
    },
    types::{Address, RawAmount, UnixMs},
};

impl Exchange {
    /// What the peer holds: its debts to us are stored as if they came now; our
    /// own signatures that our log does not have are kept as evidence.
    pub(super) fn sync(
        &mut self,
        peer: Address,
        issued: &[SignedReceipt],
        received: &[SignedReceipt],
        debt: &mut Debt,
        credit: &mut Credit,
        now: UnixMs,
    ) -> Vec<Output> {
        let mut outputs = Vec::new();
        for signed in issued {
            // Only what holds counts; what does not (its grant has ended, say)
            // is no reason not to talk.
            let taken = self.take_receipt(signed, credit, now);
            outputs.extend(taken.unwrap_or_default());
        }
        for signed in received {
            let receipt = &signed.receipt;
            let ours = receipt.payer == self.own()
                && receipt.payee == peer
                && receipt.token == self.setup.token;
            let grant = self.own_grants.get(receipt.grant);
            // Only what we really signed counts; anything else says nothing.
            if ours && signed.is_authentic(&self.setup.domain, grant) {
                debt.acknowledged(receipt.epoch, receipt.sequence);
                outputs.push(Output::Evidence(Box::new(*signed)));
            }
        }
        outputs.extend(self.sign_if_due(debt, now));
        outputs
    }

    pub(super) fn receipt(
        &mut self,
        signed: &SignedReceipt,
        credit: &mut Credit,
        now: UnixMs,
    ) -> Vec<Output> {
        let interval = MIN_INTERVAL;
        let passed = now.since(self.refilled);
        let refill = u32::try_from(passed.as_millis() / interval.as_millis()).unwrap_or(u32::MAX);
        if refill > 0 {
            self.tokens = self.tokens.saturating_add(refill).min(RECEIPT_BURST);
            self.refilled = now;
        }
        // A receipt over a quarter of a window is never too early.
        let last = credit.last(signed.receipt.epoch);
        let claimed = signed
            .receipt
            .delivered_bytes
            .saturating_sub(last.map_or(0, |last| last.receipt.delivered_bytes));
        let large = claimed >= credit.window().bytes() / 4 && claimed <= credit.unpaid_bytes();
        if self.tokens > 0 {
            self.tokens -= 1;
        } else if !large {
            self.ignored += 1;
            return if self.ignored > MAX_IGNORED_RECEIPTS {
                vec![violation("sr_pay: a flood of receipts")]
            } else {
                Vec::new()
            };
        }
        match self.take_receipt(signed, credit, now) {
            Ok(outputs) => outputs,
            Err(refusal) => vec![
                Output::Send(Message::Bye(refusal.code().to_owned())),
                violation(format!("sr_pay: a receipt was refused: {refusal}")),
            ],
        }
    }

    /// A receipt that holds is followed. It is stored when it raises a debt for something
    /// that was sold; a few of an address that bought something also when they do not.
    /// Anything else is the payer's own word: it is kept aside, and neither counts nor is
    /// acknowledged.
    fn take_receipt(
        &mut self,
        signed: &SignedReceipt,
        credit: &mut Credit,
        now: UnixMs,
    ) -> Result<Vec<Output>, Refusal> {
        let Some(peer) = &self.peer else {
            return Ok(Vec::new());
        };
        let pair = self.incoming(peer.address);
        let receipt = &signed.receipt;
        let elsewhere = credit.owed_under(receipt.grant, receipt.epoch);
        let checked = signed.check(&Expected {
            domain: &self.setup.domain,
            payer: Some(pair.payer),
            payee: Some(pair.payee),
            token: Some(pair.token),
            last: credit.last(signed.receipt.epoch),
            grant: self.grants.get(receipt.grant),
            grants: self.grants.context(receipt.signer, elsewhere),
            now_secs: Self::secs(now),
        })?;
        let epoch = receipt.epoch;
        let aside = credit.is_aside(epoch);
        Ok(match checked {
            Accepted::Unchanged if credit.is_durable(epoch) => vec![Output::Send(Message::Ack {
                epoch,
                sequence: receipt.sequence,
                durable: true,
            })],
            // Something may have been sold since.
            Accepted::Unchanged if aside => Self::store_or_keep_aside(signed, credit, now),
            // The store that is under way will acknowledge it.
            Accepted::Unchanged => Vec::new(),
            Accepted::Higher => {
                let before = credit.last(epoch).map(|last| last.receipt.amount);
                let durable = credit.is_durable(epoch);
                if !credit.follow(signed) {
                    return Ok(self.refuse("too many epochs"));
                }
                let raised = receipt.amount.checked_sub(before.unwrap_or_default());
                if raised.unwrap_or_default() == RawAmount::ZERO && !aside {
                    // Nothing is owed that is not on disk; there is nothing to store.
                    if !durable && before.is_some() {
                        return Ok(Vec::new());
                    }
                    let window = credit.window().bytes();
                    credit.same_debt(signed);
                    return Ok(self.acknowledge(signed, window, false, credit, now));
                }
                Self::store_or_keep_aside(signed, credit, now)
            }
            Accepted::Equivocation => {
                credit.set_contradicted();
                let mut outputs = vec![Output::Store(Box::new(*signed))];
                outputs.extend(self.refuse("equivocation"));
                outputs
            }
        })
    }

    fn store_or_keep_aside(
        signed: &SignedReceipt,
        credit: &mut Credit,
        now: UnixMs,
    ) -> Vec<Output> {
        let receipt = &signed.receipt;
        let sold = credit.sold_left(receipt.epoch) > RawAmount::ZERO;
        let aside = !sold && !credit.may_store_unsold(now);
        credit.set_aside(receipt.epoch, aside);
        if aside {
            tracing::debug!(payer = %receipt.payer, amount = %receipt.amount,
                "a receipt for nothing that was sold is kept aside");
            return Vec::new();
        }
        vec![Output::Store(Box::new(*signed))]
    }

    pub(super) fn stored(
        &mut self,
        signed: &SignedReceipt,
        stored: Stored,
        sold: RawAmount,
        credit: &mut Credit,
        now: UnixMs,
    ) -> Vec<Output> {
        let raised = match stored {
            Stored::New => signed.receipt.amount,
            Stored::Superseded { before } => signed
                .receipt
                .amount
                .checked_sub(before)
                .unwrap_or(RawAmount::ZERO),
            // Another process of ours took it, and its credit.
            Stored::Unchanged => RawAmount::ZERO,
            Stored::Equivocation | Stored::Regress { .. } => {
                credit.set_contradicted();
                return self.refuse("equivocation");
            }
        };
        let first = !credit.has_paid();
        let window = credit.window().bytes();
        credit.credit(signed, raised.min(sold));
        self.acknowledge(signed, window, first, credit, now)
    }

    /// What a receipt states is on disk: its payer is told, and served on.
    fn acknowledge(
        &mut self,
        signed: &SignedReceipt,
        window: u64,
        first: bool,
        credit: &mut Credit,
        now: UnixMs,
    ) -> Vec<Output> {
        let mut outputs = vec![Output::Send(Message::Ack {
            epoch: signed.receipt.epoch,
            sequence: signed.receipt.sequence,
            durable: true,
        })];
        if let (true, Some(sale), Some(ask)) = (first, self.sale, self.setup.ask) {
            outputs.push(self.class(credit, &ask, sale.bid));
        }
        if let Some(sale) = self.sale {
            if credit.window().bytes() != window {
                // The payer signs by halves of the window: it is told of each step.
                outputs.push(Output::Send(Message::Award {
                    price: sale.price,
                    window: credit.window().bytes(),
                }));
            }
            outputs.extend(self.resume(credit, now));
        }
        outputs
    }

    /// The grant a receipt of the peer's, or of ours, is under, if any.
    pub fn grant_of(&self, signed: &SignedReceipt) -> Option<SignedGrant> {
        let known = if signed.receipt.payer == self.own() {
            &self.own_grants
        } else {
            &self.grants
        };
        known.get(signed.receipt.grant).copied()
    }
}
