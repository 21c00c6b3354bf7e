//! One key on two machines, and ledgers that are older than what was signed.

use std::{collections::BTreeSet, fs, path::Path};

use seedrail::{
    ledger::{Pair, ReceiptRow},
    receipts::pay::PayEvent,
    types::TokenId,
};

use crate::support::link::*;

fn pair() -> Pair {
    Pair {
        payer: key(1).address(),
        payee: key(2).address(),
        token: TokenId::BTT,
    }
}

fn owed(pieces: u32) -> i64 {
    let bytes = u128::from(pieces) * u128::from(PIECE);
    i64::try_from((bytes * u128::from(PRICE)) >> 30).unwrap()
}

fn rows(party: &Party, issued: bool) -> Vec<ReceiptRow> {
    let rows = if issued {
        party.ledger.issued(&pair())
    } else {
        party.ledger.received(&pair())
    };
    rows.unwrap()
        .into_iter()
        .map(|row| row.into_inner())
        .collect()
}

fn total(rows: &[ReceiptRow]) -> i64 {
    rows.iter().map(|row| row.amount.get()).sum()
}

/// Copies a ledger's files, which nobody has open.
fn copy(folder: &Path, from: &str, to: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        // Beside the ledger is a folder of locks, which no backup has.
        if !entry.file_type().unwrap().is_file() {
            continue;
        }
        if let Some(rest) = name.strip_prefix(from) {
            fs::copy(folder.join(&name), folder.join(format!("{to}{rest}"))).unwrap();
        }
    }
}

async fn trade(folder: &Path, payer: &str, payee: &str, pieces: u32) -> (Party, Party) {
    let chain = FakeChain::with(&[(key(1).address(), 1_000_000_000)]);
    let payer = Party::start(1, sqlite(folder, payer), chain.clone(), buyer(PRICE)).await;
    let payee = Party::start(2, sqlite(folder, payee), chain, seller()).await;
    let line = Joined::new(&payer, &payee);
    line.wait_for_award();
    line.download(pieces);
    line.finish();
    assert!(!line.broken());
    line.close();
    payer.pay.shutdown();
    payee.pay.shutdown();
    (payer, payee)
}

fn contradicted(party: &Party) -> bool {
    let is = |event: &PayEvent| matches!(event, PayEvent::Contradiction { .. });
    party.events().iter().any(is) || !party.ledger.equivocations(&pair()).unwrap().is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_on_two_machines_at_once_owes_what_both_took() {
    let folder = tempfile::tempdir().unwrap();
    let chain = FakeChain::with(&[(key(1).address(), 1_000_000_000)]);
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain.clone(), seller()).await;
    let mut machines = Vec::new();
    for name in ["home", "office"] {
        let ledger = sqlite(folder.path(), name);
        machines.push(Party::start(1, ledger, chain.clone(), buyer(PRICE)).await);
    }
    let lines: Vec<_> = machines.iter().map(|m| Joined::new(m, &payee)).collect();
    std::thread::scope(|scope| {
        for line in &lines {
            scope.spawn(|| {
                line.wait_for_award();
                line.download(30);
                line.finish();
                assert!(!line.broken());
            });
        }
    });
    let received = rows(&payee, false);
    let epochs: BTreeSet<_> = received.iter().map(|row| row.epoch).collect();
    assert_eq!(epochs.len(), 2, "each machine has a series of its own");
    assert_eq!(total(&received), 2 * owed(30));
    assert!(!contradicted(&payee));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_whose_disk_was_set_back_contradicts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    drop(trade(folder, "a", "b", 5).await);
    copy(folder, "a", "old");
    drop(trade(folder, "a", "b", 6).await);
    // Over the file itself, as a disk is set back: a copy would be noticed.
    fs::write(folder.join("a"), fs::read(folder.join("old")).unwrap()).unwrap();
    let (payer, payee) = trade(folder, "a", "b", 7).await;
    let shown: Vec<_> = payer
        .events()
        .into_iter()
        .filter_map(|event| match event {
            PayEvent::Evidence { amount, .. } => Some(amount.get()),
            _ => None,
        })
        .collect();
    assert_eq!(shown, [owed(11)]);
    assert!(!contradicted(&payee));
    let received = rows(&payee, false);
    assert_eq!(received.len(), 2, "what was signed elsewhere is left alone");
    assert_eq!(total(&received), owed(11) + owed(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payee_with_an_old_copy_of_its_ledger_gets_back_what_it_lost() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    drop(trade(folder, "a", "b", 5).await);
    copy(folder, "b", "old");
    drop(trade(folder, "a", "b", 6).await);
    let chain = FakeChain::with(&[(key(1).address(), 1_000_000_000)]);
    let payer = Party::start(1, sqlite(folder, "a"), chain.clone(), buyer(PRICE)).await;
    let payee = Party::start(2, sqlite(folder, "old"), chain, seller()).await;
    assert_eq!(total(&rows(&payee, false)), owed(5));
    // Nothing is bought: to meet is enough.
    let line = Joined::new(&payer, &payee);
    wait_until("it has what it lost", || {
        rows(&payee, false) == rows(&payer, true)
    });
    assert_eq!(total(&rows(&payee, false)), owed(11));
    assert!(!contradicted(&payee));
    line.close();
}
