//! Either side dies at each durable step: totals never fall, nothing that was
//! acknowledged is lost, and what is sent again is the same to the byte.

use std::{collections::HashMap, sync::Arc};

use seedrail::{
    ledger::{EpochId, Pair, ReceiptRow},
    receipts::{Message, SignedReceipt},
    types::TokenId,
};

use crate::support::{
    failing_ledger::{Failing, When},
    link::*,
};

fn pair() -> Pair {
    Pair {
        payer: key(1).address(),
        payee: key(2).address(),
        token: TokenId::BTT,
    }
}

/// What went over a line, looked at by nobody's side.
#[derive(Default)]
struct Witness {
    receipts: HashMap<(EpochId, u64), Vec<u8>>,
    acknowledged: HashMap<EpochId, u64>,
}

impl Witness {
    fn look(&mut self, line: &Joined) {
        for bytes in line.buyer_end.sent.lock().expect("not poisoned").iter() {
            let seen: Vec<SignedReceipt> = match Message::decode(bytes).expect("we sent it") {
                Message::Receipt(signed) => vec![*signed],
                Message::Sync { issued, .. } => issued,
                _ => continue,
            };
            for signed in seen {
                let receipt = signed.receipt;
                let bytes = Message::Receipt(Box::new(signed)).encode();
                let before = self
                    .receipts
                    .entry((receipt.epoch, receipt.sequence))
                    .or_insert_with(|| bytes.clone());
                assert_eq!(*before, bytes, "sent again, it is the same to the byte");
            }
        }
        for bytes in line.seller_end.sent.lock().expect("not poisoned").iter() {
            if let Ok(Message::Ack {
                epoch,
                sequence,
                durable: true,
            }) = Message::decode(bytes)
            {
                let highest = self.acknowledged.entry(epoch).or_default();
                *highest = sequence.max(*highest);
            }
        }
    }
}

fn rows(party: &Party, issued: bool) -> HashMap<EpochId, ReceiptRow> {
    let rows = if issued {
        party.ledger.issued(&pair())
    } else {
        party.ledger.received(&pair())
    };
    rows.expect("the ledger reads")
        .into_iter()
        .map(|row| (row.get().epoch, *row.get()))
        .collect()
}

fn total(rows: &HashMap<EpochId, ReceiptRow>) -> i64 {
    rows.values().map(|row| row.amount.get()).sum()
}

async fn one_death(at: u64, when: When, of_payer: bool) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = FakeChain::with(&[(key(1).address(), 1_000_000_000)]);
    let mut witness = Witness::default();
    let died;
    {
        let (mut a, mut b) = (sqlite(folder.path(), "a"), sqlite(folder.path(), "b"));
        let failing = Failing::new(Arc::clone(if of_payer { &a } else { &b }), at, when);
        *(if of_payer { &mut a } else { &mut b }) = failing.clone();
        let payer = Party::start(1, a, chain.clone(), buyer(PRICE)).await;
        let payee = Party::start(2, b, chain.clone(), seller()).await;
        let line = Joined::new(&payer, &payee);
        line.wait_for_award();
        line.download(8);
        line.buyer.finished();
        wait_until("it ends, well or not", || {
            failing.has_failed() || line.buyer.drained() || line.broken()
        });
        died = failing.has_failed();
        line.close();
        payer.pay.shutdown();
        payee.pay.shutdown();
        witness.look(&line);
    }
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), buyer(PRICE)).await;
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain, seller()).await;
    let (issued, received) = (rows(&payer, true), rows(&payee, false));
    for (epoch, sequence) in &witness.acknowledged {
        assert!(
            received[epoch].sequence >= *sequence,
            "acknowledged and lost"
        );
    }
    for (epoch, row) in &received {
        assert!(
            issued[epoch].sequence >= row.sequence,
            "sent and not on disk"
        );
    }
    let line = Joined::new(&payer, &payee);
    line.wait_for_award();
    line.download(3);
    line.finish();
    assert!(!line.broken());
    witness.look(&line);
    let after = (rows(&payer, true), rows(&payee, false));
    assert_eq!(after.0, after.1);
    assert!(total(&after.0) >= total(&issued) && total(&after.1) >= total(&received));
    line.close();
    died
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payer_dies_at_each_step() {
    for when in [When::Before, When::After] {
        let mut deaths = 0;
        for at in 1..=5 {
            deaths += u32::from(one_death(at, when, true).await);
        }
        assert!(deaths >= 2, "{when:?}: a claim and a receipt at least");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payee_dies_at_each_step() {
    for when in [When::Before, When::After] {
        let mut deaths = 0;
        for at in 1..=4 {
            deaths += u32::from(one_death(at, when, false).await);
        }
        assert!(deaths >= 1, "{when:?}: a receipt at least");
    }
}
