//! Session keys: what they may sign, and what a stolen one is worth.

use seedrail::{
    ledger::{LedgerError, Pair, RevocationRow},
    receipts::{Identity, ReceiptDomain, Revoke, SignedGrant, SpendGrant, pay::PayEvent},
    swarm::hooks::UploadClass,
    types::{Clock, ManualClock, SystemClock, TokenId},
};

use crate::support::link::*;

/// The wallet's key, the session's, the seller's.
const WALLET: u8 = 1;
const SESSION: u8 = 7;
const SELLER: u8 = 2;

fn pair() -> Pair {
    Pair {
        payer: key(WALLET).address(),
        payee: key(SELLER).address(),
        token: TokenId::BTT,
    }
}

fn grant(max_per_payee: i64) -> SignedGrant {
    let now = u64::try_from(SystemClock.now().secs()).unwrap();
    let body = SpendGrant {
        payer: key(WALLET).address(),
        signer: key(SESSION).address(),
        token: TokenId::BTT,
        max_per_payee: raw(max_per_payee),
        max_total: raw(50_000),
        not_before: now - 60,
        not_after: now + 3600,
        serial: 5,
    };
    SignedGrant::sign(body, &ReceiptDomain::new(genesis()), &key(WALLET)).unwrap()
}

fn session(grant: SignedGrant) -> Wants {
    Wants {
        grant: Some(grant),
        ..buyer(PRICE)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_key_pays_within_its_grant_and_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let chain = FakeChain::with(&[(key(WALLET).address(), 1_000_000_000)]);
    let given = grant(10_000);
    let ledger = sqlite(folder.path(), "a");
    let payer = Party::start(SESSION, ledger, chain.clone(), session(given)).await;
    let payee = Party::start(SELLER, sqlite(folder.path(), "b"), chain, seller()).await;
    let line = Joined::new(&payer, &payee);
    line.wait_for_award();
    // About 2.1 MB at the price; the rest is shared for free.
    let paid = line.download(40);
    line.finish();
    assert!(!line.broken());
    let owed = (u128::from(paid) * u128::from(PRICE)) >> 30;
    assert!((9_000..=10_000).contains(&owed), "{owed}");
    let received = payee.ledger.received(&pair()).unwrap();
    assert_eq!(received, payer.ledger.issued(&pair()).unwrap());
    let row = received[0].get();
    assert_eq!(u128::from(row.amount.unsigned()), owed);
    assert_eq!(
        (row.signer, row.grant),
        (key(SESSION).address(), given.hash())
    );
    // Both sides keep the grant: the proof of the debt.
    for ledger in [&payer.ledger, &payee.ledger] {
        assert_eq!(ledger.grant(given.hash()).unwrap(), Some(given.to_row()));
    }
}

/// The wallet renews the session's key before its end, and after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_renewed_goes_on_buying_and_selling() {
    let folder = tempfile::tempdir().unwrap();
    let clock = std::sync::Arc::new(ManualClock::new(SystemClock.now()));
    let chain = FakeChain::with(&[(key(WALLET).address(), 1_000_000_000)]);
    let now = || u64::try_from(clock.now().secs()).unwrap();
    let granted = |signer: u8, max_total: i64| {
        let body = SpendGrant {
            payer: key(WALLET).address(),
            signer: key(signer).address(),
            token: TokenId::BTT,
            max_per_payee: raw(max_total),
            max_total: raw(max_total),
            not_before: now() - 60,
            not_after: now() + 3600,
            serial: now(),
        };
        SignedGrant::sign(body, &ReceiptDomain::new(genesis()), &key(WALLET)).unwrap()
    };
    let wants = Wants {
        clock: clock.clone(),
        ..session(granted(SESSION, 50_000))
    };
    let ledger = sqlite(folder.path(), "a");
    let payer = Party::start(SESSION, ledger, chain.clone(), wants).await;
    let wary = Wants {
        clock: clock.clone(),
        ..seller()
    };
    let payee = Party::start(SELLER, sqlite(folder.path(), "b"), chain, wary).await;
    let mut line = Joined::new(&payer, &payee);
    line.wait_for_award();
    let mut bytes = line.download(4);
    let stopped = || {
        let events = payer.events();
        let stopped = events.iter();
        let stopped = stopped.filter(|event| matches!(event, PayEvent::Stopped { .. }));
        stopped.count()
    };
    for (signer, wait, ends) in [(8, 3_000, 0), (9, 3_700, 1), (10, 3_000, 1)] {
        if ends > 0 {
            // What a key signed counts if it arrives before its end.
            line.finish();
        }
        clock.advance(std::time::Duration::from_secs(wait));
        wait_until("its end is told", || stopped() == ends);
        let left = 50_000 - i64::try_from(payer.pay.totals().spent_raw).unwrap();
        let given = granted(signer, left);
        let identity = Identity::session(std::sync::Arc::new(key(signer)), given).unwrap();
        payer.pay.renew(identity).unwrap();
        wait_until("it signs", || payer.pay.grant() == Some(given));
        wait_until("its connection is closed", || line.broken());
        line.close();
        line = Joined::new(&payer, &payee);
        line.wait_for_award();
        bytes += line.download(4);
    }
    line.finish();
    let all = payer.ledger.issued(&pair()).unwrap().len();
    wait_until("what was signed arrives", || {
        payee.ledger.received(&pair()).unwrap().len() == all
    });
    let received = payee.ledger.received(&pair()).unwrap();
    let mut signers: Vec<_> = received.iter().map(|row| row.get().signer).collect();
    signers.sort();
    let mut all = [SESSION, 8, 9, 10].map(|n| key(n).address());
    all.sort();
    assert_eq!(signers, all);
    let paid: u64 = received.iter().map(|row| row.get().delivered_bytes).sum();
    assert_eq!(paid, bytes, "nothing is lost between one key and the next");
    assert_eq!(payer.ledger.issued(&pair()).unwrap().len(), 4);
    // Another account's key is not taken.
    let foreign = Identity::own(std::sync::Arc::new(key(9)));
    assert!(payer.pay.renew(foreign).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_key_signs_no_more_than_the_one_before_still_could() {
    // 10,000 in all, and 10,000 for one payee.
    for total in [10_000, 50_000] {
        renewed_within(total).await;
    }
}

async fn renewed_within(max_total: i64) {
    let folder = tempfile::tempdir().unwrap();
    let chain = FakeChain::with(&[(key(WALLET).address(), 1_000_000_000)]);
    let of = |signer: u8| {
        let mut body = grant(10_000).grant;
        body.signer = key(signer).address();
        body.max_total = raw(max_total);
        SignedGrant::sign(body, &ReceiptDomain::new(genesis()), &key(WALLET)).unwrap()
    };
    let (old, new) = (of(SESSION), of(8));
    let ledger = sqlite(folder.path(), "a");
    let payer = Party::start(SESSION, ledger, chain.clone(), session(old)).await;
    let payee = Party::start(SELLER, sqlite(folder.path(), "b"), chain.clone(), seller()).await;
    let line = Joined::new(&payer, &payee);
    line.wait_for_award();
    line.download(4);
    line.finish();
    // The wallet was asked before any of that was signed.
    let identity = Identity::session(std::sync::Arc::new(key(8)), new).unwrap();
    payer.pay.renew(identity).unwrap();
    wait_until("its connection is closed", || line.broken());
    line.close();
    let line = Joined::new(&payer, &payee);
    line.wait_for_award();
    line.download(40);
    line.finish();
    let issued = payer.ledger.issued(&pair()).unwrap();
    assert_eq!(issued.len(), 2);
    let promised = promised_in(&payer);
    assert!((9_000..=10_000).contains(&promised), "{promised}");
    line.close();
    // Neither a restart nor another process that uses either key frees it from that.
    payer.pay.shutdown();
    drop(payer);
    for (n, grant) in [(8, new), (SESSION, old)] {
        let ledger = sqlite(folder.path(), "a");
        let again = Party::start(n, ledger, chain.clone(), session(grant)).await;
        let line = Joined::new(&again, &payee);
        line.download(40);
        line.finish();
        let promised = promised_in(&again);
        assert!((9_000..=10_000).contains(&promised), "{promised} with {n}");
        line.close();
        again.pay.shutdown();
    }
}

fn promised_in(payer: &Party) -> u64 {
    let issued = payer.ledger.issued(&pair()).unwrap();
    issued.iter().map(|row| row.get().amount.unsigned()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_key_that_was_taken_back_is_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let chain = FakeChain::with(&[(key(WALLET).address(), 1_000_000_000)]);
    let given = grant(10_000);
    // The thief has the key and the grant, and a ledger of its own.
    let ledger = sqlite(folder.path(), "thief");
    let thief = Party::start(SESSION, ledger, chain.clone(), session(given)).await;
    let payee = Party::start(SELLER, sqlite(folder.path(), "b"), chain, seller()).await;
    payee.ledger.store_grant(&given.to_row(), 0).unwrap();
    payee
        .ledger
        .store_revocation(
            &RevocationRow {
                payer: given.grant.payer,
                signer: given.grant.signer,
                serial: given.grant.serial,
                signature: [1; 65],
            },
            0,
        )
        .unwrap();
    let line = Joined::new(&thief, &payee);
    assert_eq!(line.download(4), 0, "it is shared with as with anybody");
    assert_eq!(*line.seller_end.class.lock().unwrap(), UploadClass::Free);
    assert!(payee.ledger.received(&pair()).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_session_key_is_worth_its_grant_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let chain = FakeChain::with(&[(key(WALLET).address(), 1_000_000_000)]);
    let given = grant(10_000);
    let mut promised = Vec::new();
    // A machine's ledger holds it to the grant, so the thief has many.
    for payee in 20..=25 {
        let seller = Party::start(
            payee,
            sqlite(folder.path(), &format!("seller-{payee}")),
            chain.clone(),
            seller(),
        )
        .await;
        for machine in ["one", "two"] {
            let ledger = sqlite(folder.path(), &format!("{machine}-{payee}"));
            let thief = Party::start(SESSION, ledger, chain.clone(), session(given)).await;
            let line = Joined::new(&thief, &seller);
            line.wait_for_award();
            line.download(7);
            line.buyer.finished();
            wait_until("it is taken or refused", || {
                line.buyer.drained() || line.broken()
            });
            line.close();
        }
        let pair = Pair {
            payee: key(payee).address(),
            ..pair()
        };
        let held = seller.ledger.received(&pair).unwrap();
        let sum: i64 = held.iter().map(|row| row.get().amount.get()).sum();
        // Two machines are one payer to a payee.
        assert!((8_000..=10_000).contains(&sum), "{sum}");
        promised.extend(held.into_iter().map(|row| row.into_inner()));
    }
    // The owner is shown what was signed in its name, and may pay it: up to the
    // grant's total, which its ledger never passes.
    let owner = sqlite(folder.path(), "owner");
    owner.store_grant(&given.to_row(), 0).unwrap();
    let (mut paid, mut refused) = (0, 0);
    for row in &promised {
        owner.store_evidence(&[*row]).unwrap();
        match owner.adopt(&[(row.pair, row.epoch)]) {
            Ok(adopted) => paid += adopted.get().added.get(),
            Err(LedgerError::GrantSpent { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    let total = given.grant.max_total.get();
    assert!(paid <= total && paid > total - 10_000, "{paid}");
    assert!(refused > 0, "more was signed than may be paid");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_machine_signed_under_its_own_session_key_is_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let chain = FakeChain::with(&[(key(WALLET).address(), 1_000_000_000)]);
    let payee = Party::start(SELLER, sqlite(folder.path(), "b"), chain.clone(), seller()).await;
    let given = grant(10_000);
    {
        let ledger = sqlite(folder.path(), "one");
        let one = Party::start(SESSION, ledger, chain.clone(), session(given)).await;
        let line = Joined::new(&one, &payee);
        line.wait_for_award();
        line.download(4);
        line.finish();
        line.close();
    }
    // The other machine has the wallet's key, and never heard of that grant.
    let other = Party::start(WALLET, sqlite(folder.path(), "two"), chain, buyer(PRICE)).await;
    assert_eq!(other.ledger.grant(given.hash()).unwrap(), None);
    let line = Joined::new(&other, &payee);
    line.wait_for_award();
    let held = payee.ledger.received(&pair()).unwrap()[0].get().amount;
    wait_until("it is shown what it owes", || {
        other
            .events()
            .iter()
            .any(|event| matches!(event, PayEvent::Evidence { amount, .. } if *amount == held))
    });
    assert!(other.ledger.grant(given.hash()).unwrap().is_some());
    line.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_revocation_reaches_who_can_be_harmed() {
    let folder = tempfile::tempdir().unwrap();
    let chain = FakeChain::with(&[(key(WALLET).address(), 1_000_000_000)]);
    let payee = Party::start(SELLER, sqlite(folder.path(), "b"), chain.clone(), seller()).await;
    let owner = sqlite(folder.path(), "a");
    let domain = ReceiptDomain::new(genesis());
    // Two session keys were taken back; the payee knows both of them.
    for (signer, serial) in [(SESSION, 5), (SESSION + 1, 6)] {
        let mut given = grant(10_000).grant;
        (given.signer, given.serial) = (key(signer).address(), serial);
        let given = SignedGrant::sign(given, &domain, &key(WALLET)).unwrap();
        payee.ledger.store_grant(&given.to_row(), 0).unwrap();
        let body = Revoke {
            payer: given.grant.payer,
            signer: given.grant.signer,
            serial,
        };
        let signature = domain.sign(&body, &key(WALLET)).unwrap();
        let row = RevocationRow {
            payer: body.payer,
            signer: body.signer,
            serial,
            signature: signature.to_bytes(),
        };
        owner.store_revocation(&row, 0).unwrap();
    }
    let party = Party::start(WALLET, owner, chain, buyer(PRICE)).await;
    let line = Joined::new(&party, &payee);
    wait_until("both are known", || {
        let known = payee.ledger.revocations(key(WALLET).address()).unwrap();
        known.len() == 2
    });
    line.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn friends_pay_nothing_and_the_banned_get_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let chain = FakeChain::with(&[(key(1).address(), 1_000_000_000)]);
    let payer = Party::start(1, sqlite(folder.path(), "a"), chain.clone(), buyer(PRICE)).await;
    let friendly = Wants {
        friends: vec![key(1).address()],
        ..seller()
    };
    let payee = Party::start(2, sqlite(folder.path(), "b"), chain.clone(), friendly).await;
    let line = Joined::new(&payer, &payee);
    assert_eq!(line.download(4), 0);
    wait_until("it is served before others", || {
        matches!(
            *line.seller_end.class.lock().unwrap(),
            UploadClass::Paid { .. }
        )
    });
    let strict = Party::start(3, sqlite(folder.path(), "c"), chain, seller()).await;
    strict
        .ledger
        .ban(key(1).address(), TokenId::BTT, "", SystemClock.now())
        .unwrap();
    let line = Joined::new(&payer, &strict);
    wait_until("it is refused", || {
        *line.seller_end.class.lock().unwrap() == UploadClass::Refused
    });
}
