//! Receipts that come in: checked, then stored, then credited.

use super::*;

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
            outputs.extend(self.take_receipt(signed, credit, now));
        }
        for signed in received {
            let checked = signed.check(&Expected {
                domain: &self.setup.domain,
                payer: Some(self.own()),
                payee: Some(peer),
                token: Some(self.setup.token),
                last: None,
                grant: None,
                grants: GrantContext::default(),
                now_secs: Self::secs(now),
            });
            // Only what we really signed counts; anything else says nothing.
            if checked.is_ok() {
                debt.acknowledged(signed.receipt.epoch, signed.receipt.sequence);
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
        self.take_receipt(signed, credit, now)
    }

    pub(super) fn take_receipt(
        &mut self,
        signed: &SignedReceipt,
        credit: &mut Credit,
        now: UnixMs,
    ) -> Vec<Output> {
        let Some(peer) = &self.peer else {
            return Vec::new();
        };
        let pair = self.incoming(peer.address);
        let grant: Option<&SignedGrant> = peer.grant.as_ref();
        let checked = signed.check(&Expected {
            domain: &self.setup.domain,
            payer: Some(pair.payer),
            payee: Some(pair.payee),
            token: Some(pair.token),
            last: credit.last(signed.receipt.epoch),
            grant,
            grants: GrantContext::default(),
            now_secs: Self::secs(now),
        });
        match checked {
            // Not yet on disk: the store that is under way will acknowledge it.
            Ok(Accepted::Unchanged) if !credit.is_durable(signed.receipt.epoch) => Vec::new(),
            Ok(Accepted::Unchanged) => vec![Output::Send(Message::Ack {
                epoch: signed.receipt.epoch,
                sequence: signed.receipt.sequence,
                durable: true,
            })],
            Ok(Accepted::Higher) => {
                if !credit.follow(signed) {
                    return self.refuse("too many epochs");
                }
                vec![Output::Store(Box::new(*signed))]
            }
            Ok(Accepted::Equivocation) => {
                credit.set_contradicted();
                let mut outputs = vec![Output::Store(Box::new(*signed))];
                outputs.extend(self.refuse("equivocation"));
                outputs
            }
            Err(refusal) => vec![
                Output::Send(Message::Bye(refusal.code().to_owned())),
                violation(format!("sr_pay: a receipt was refused: {refusal}")),
            ],
        }
    }

    pub(super) fn stored(
        &mut self,
        signed: &SignedReceipt,
        stored: Stored,
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
        credit.credit(signed, raised);
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
}
