//! What every store must remember of other parties: run against each by
//! `ledger.rs`.

use seedrail::{
    ledger::{
        Arrived, EpochId, FlowKind, GrantRow, LedgerError, MAX_KEPT_GRANTS, MAX_REVOCATIONS,
        Origin, Remainder, RevocationRow, Stored, TransferRow, WatchRow,
    },
    types::{Address, InfoHash, Salt, TokenId, UnixMs},
};

use super::conformance::{Rows, Store, block, raw, txid};

fn grant(serial: u64, max_per_payee: i64, max_total: i64) -> GrantRow {
    GrantRow {
        hash: Salt::from_bytes([u8::try_from(serial).unwrap(); 32]),
        payer: Address::from_body([1; 20]),
        signer: Address::from_body([5; 20]),
        token: TokenId::BTT,
        max_per_payee: raw(max_per_payee),
        max_total: raw(max_total),
        not_before: 10,
        not_after: 20,
        serial,
        signature: [3; 65],
    }
}

pub(crate) fn grants_bound_what_is_issued(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let given = grant(1, 100, 150);
    let lease = ledger.claim_epoch(&rows.pair, 5).unwrap();
    let mut receipt = rows.receipt(lease.epoch, 5, 1, 100);
    receipt.grant = given.hash;
    receipt.signer = given.signer;
    let issue = |lease: &_, receipt: &_| ledger.issue(lease, receipt, Remainder::default(), None);
    assert!(matches!(
        issue(&lease, &receipt),
        Err(LedgerError::Missing(_))
    ));
    ledger.store_grant(&given, 15).unwrap();
    ledger.store_grant(&given, 15).unwrap();
    assert_eq!(ledger.grant(given.hash).unwrap(), Some(given));
    issue(&lease, &receipt).unwrap();
    // One payee may not be owed more, nor all of them together.
    receipt.sequence = 2;
    receipt.amount = raw(101);
    assert!(matches!(
        issue(&lease, &receipt),
        Err(LedgerError::GrantSpent { .. })
    ));
    let mut other = rows.pair;
    other.payee = Address::from_body([6; 20]);
    let second = ledger.claim_epoch(&other, 5).unwrap();
    let mut to_other = rows.receipt(second.epoch, 5, 1, 51);
    to_other.pair = other;
    to_other.grant = given.hash;
    to_other.signer = given.signer;
    assert!(matches!(
        issue(&second, &to_other),
        Err(LedgerError::GrantSpent { .. })
    ));
    to_other.amount = raw(50);
    issue(&second, &to_other).unwrap();
    let uses = ledger.grants(given.payer).unwrap();
    assert_eq!(uses.len(), 1);
    assert_eq!((uses[0].grant, uses[0].issued), (given, raw(150)));
    // Evidence under it cannot be adopted past its total either.
    let mut stolen = rows.receipt(EpochId::new(77).unwrap(), 5, 1, 1);
    stolen.pair.payee = Address::from_body([7; 20]);
    stolen.grant = given.hash;
    stolen.signer = given.signer;
    ledger.store_evidence(&[stolen]).unwrap();
    assert!(matches!(
        ledger.adopt(&[(stolen.pair, stolen.epoch)]),
        Err(LedgerError::GrantSpent { .. })
    ));
    assert_eq!(
        ledger.reserved(given.payer, TokenId::BTT).unwrap(),
        raw(150)
    );
}

pub(crate) fn receipts_that_arrived_are_stored_with_their_grants_or_none_is(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    // A receipt of each of these payers; the first one's is under a grant.
    let arrived = |payer: u8, amount: i64, sold: Option<i64>| {
        let mut receipt = rows.receipt(EpochId::new(1).unwrap(), 5, 1, amount);
        receipt.pair.payer = Address::from_body([payer; 20]);
        let given = (payer == 40).then(|| GrantRow {
            payer: receipt.pair.payer,
            ..grant(1, 1_000, 1_000)
        });
        if let Some(given) = given {
            (receipt.grant, receipt.signer) = (given.hash, given.signer);
        }
        Arrived {
            receipt,
            origin: Origin {
                sold: sold.map(raw),
                ..Origin::default()
            },
            grant: given,
        }
    };
    let all = [
        arrived(40, 100, None),
        arrived(41, 100, Some(30)),
        arrived(40, 99, None),
    ];
    let stored = ledger.store_arrived(&all, 15).unwrap().into_inner();
    assert_eq!(
        stored,
        [Stored::New, Stored::New, Stored::Equivocation],
        "one after the other"
    );
    let given = all[0].grant.unwrap();
    assert_eq!(ledger.grant(given.hash).unwrap(), Some(given));
    let position = |one: &Arrived| ledger.position(&one.receipt.pair.reversed()).unwrap();
    assert_eq!(position(&all[1]).received, raw(100));
    assert_eq!(position(&all[1]).earned(), raw(30), "what was sold");
    assert_eq!(ledger.equivocations(&all[0].receipt.pair).unwrap().len(), 1);
    assert_eq!(ledger.store_arrived(&[], 15).unwrap().into_inner(), []);
    // One payer has too many grants: nothing of the others is there.
    let payer = Address::from_body([50; 20]);
    for number in 0..MAX_KEPT_GRANTS {
        let grant = GrantRow {
            payer,
            ..numbered(number, 1_000)
        };
        ledger.store_grant(&grant, 15).unwrap();
    }
    let mut refused = arrived(50, 7, None);
    refused.grant = Some(GrantRow {
        payer,
        ..numbered(MAX_KEPT_GRANTS, 1_000)
    });
    let others = [arrived(42, 7, None), refused, arrived(43, 7, None)];
    assert!(matches!(
        ledger.store_arrived(&others, 15),
        Err(LedgerError::TooManyGrants(found)) if found == payer
    ));
    for one in &others {
        assert!(ledger.received(&one.receipt.pair).unwrap().is_empty());
    }
}

pub(crate) fn renewed_grants_share_the_limit_of_the_first(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let now = 15;
    let granted = |number: u8, per_payee, total| GrantRow {
        signer: Address::from_body([number; 20]),
        ..grant(u64::from(number), per_payee, total)
    };
    let (first, second) = (granted(1, 100, 150), granted(2, 90, 140));
    // By another process that had the first one, too.
    let third = granted(3, 100, 150);
    assert!(matches!(
        ledger.store_renewal(&second, first.hash, now),
        Err(LedgerError::Missing(_))
    ));
    assert_eq!(ledger.grant(second.hash).unwrap(), None);
    assert_eq!(ledger.grant_left(first.hash, None).unwrap(), raw(0));
    ledger.store_grant(&first, now).unwrap();
    ledger.store_renewal(&second, first.hash, now).unwrap();
    ledger.store_renewal(&second, first.hash, now).unwrap();
    ledger.store_renewal(&third, second.hash, now).unwrap();
    let others = GrantRow {
        payer: Address::from_body([9; 20]),
        ..granted(4, 100, 150)
    };
    assert!(matches!(
        ledger.store_renewal(&others, first.hash, now),
        Err(LedgerError::Missing(_))
    ));
    let issue = |payee: u8, grant: &GrantRow, amount| {
        let mut pair = rows.pair;
        pair.payee = Address::from_body([payee; 20]);
        let lease = ledger.claim_epoch_under(&pair, 5, grant.hash).unwrap();
        let sequence = lease.last.map_or(1, |last| last.sequence + 1);
        let mut receipt = rows.receipt(lease.epoch, 5, sequence, amount);
        (receipt.pair, receipt.since_block) = (pair, lease.since_block);
        (receipt.grant, receipt.signer) = (grant.hash, grant.signer);
        ledger.issue(&lease, &receipt, Remainder::default(), None)
    };
    let left = |grant: &GrantRow| {
        let payee = Some(Address::from_body([60; 20]));
        let left = |payee| ledger.grant_left(grant.hash, payee).unwrap().get();
        (left(payee), left(None))
    };
    let is_spent = |result| matches!(result, Err(LedgerError::GrantSpent { .. }));
    issue(60, &first, 30).unwrap();
    assert_eq!((left(&first), left(&second)), ((70, 120), (70, 120)));
    issue(60, &second, 60).unwrap();
    assert_eq!(left(&second), (10, 60), "its own limits are lower still");
    for (one, left) in [(&first, 60), (&second, 60), (&third, 60)] {
        let uses = ledger.grants(one.payer).unwrap();
        let listed = uses.iter().find(|used| used.grant == *one).unwrap();
        assert_eq!((listed.first, listed.left), (first.hash, raw(left)));
    }
    // The one before may be in use elsewhere: what it signs meanwhile counts.
    issue(60, &first, 10).unwrap();
    assert!(is_spent(issue(60, &second, 1)));
    assert!(is_spent(issue(60, &third, 1)));
    issue(61, &third, 50).unwrap();
    assert_eq!((left(&first), left(&third)), ((0, 0), (0, 0)));
    for one in [&first, &second, &third] {
        assert!(is_spent(issue(62, one, 1)));
    }
    // The first one stays as long as one of the others may sign.
    let longer = GrantRow {
        not_after: 1_000,
        ..granted(5, 1, 1)
    };
    let begins = GrantRow {
        payer: Address::from_body([8; 20]),
        ..granted(6, 100, 100)
    };
    let follows = GrantRow {
        payer: begins.payer,
        ..longer
    };
    ledger.store_grant(&begins, now).unwrap();
    ledger.store_renewal(&follows, begins.hash, now).unwrap();
    let more = |number| GrantRow {
        payer: begins.payer,
        ..numbered(number, 20)
    };
    for number in 0..MAX_KEPT_GRANTS - 2 {
        ledger.store_grant(&more(number), now).unwrap();
    }
    ledger.store_grant(&more(MAX_KEPT_GRANTS), 21).unwrap();
    assert_eq!(ledger.grant(more(0).hash).unwrap(), None);
    assert_eq!(ledger.grant(begins.hash).unwrap(), Some(begins));
    assert_eq!(ledger.grant_left(follows.hash, None).unwrap(), raw(1));
}

pub(crate) fn serials_and_revocations_only_rise(store: &dyn Store) {
    let ledger = store.first();
    let (payer, signer) = (grant(1, 1, 1).payer, grant(1, 1, 1).signer);
    let marks = || {
        let marks = store.open_another().grant_marks(payer, signer).unwrap();
        (marks.highest, marks.revoked)
    };
    assert_eq!(marks(), (None, None));
    ledger.store_grant(&grant(4, 1, 1), 15).unwrap();
    ledger.store_grant(&grant(2, 1, 1), 15).unwrap();
    assert_eq!(marks(), (Some(4), None));
    let revoke = |serial| RevocationRow {
        payer,
        signer,
        serial,
        signature: [8; 65],
    };
    ledger.store_revocation(&revoke(3), 15).unwrap();
    ledger.store_revocation(&revoke(2), 15).unwrap();
    assert_eq!(marks(), (Some(4), Some(3)));
    assert_eq!(ledger.revocations(payer).unwrap(), [revoke(3)]);
}

/// A grant to a signer of its own that ends at `not_after`.
fn numbered(number: u32, not_after: u64) -> GrantRow {
    let mut body = [0; 20];
    body[..4].copy_from_slice(&number.to_be_bytes());
    let mut hash = [9; 32];
    hash[..4].copy_from_slice(&number.to_be_bytes());
    GrantRow {
        hash: Salt::from_bytes(hash),
        signer: Address::from_body(body),
        not_after,
        ..grant(7, 1000, 1000)
    }
}

pub(crate) fn grants_that_ran_out_make_room(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let payer = rows.pair.payer;
    for number in 0..MAX_KEPT_GRANTS {
        ledger.store_grant(&numbered(number, 20), 15).unwrap();
    }
    let next = numbered(MAX_KEPT_GRANTS, 1_000);
    // While they are valid, and in their last second, the bound holds.
    for now in [15, 20] {
        assert!(matches!(
            ledger.store_grant(&next, now),
            Err(LedgerError::TooManyGrants(found)) if found == payer
        ));
    }
    // Two of them carry receipts: one is settled, one is not.
    let mut to_pay = Vec::new();
    for number in [0, 1] {
        let used = numbered(number, 20);
        let mut receipt = rows.receipt(EpochId::new(1).unwrap(), 5, 1, 40);
        receipt.pair.payee = Address::from_body([60 + u8::try_from(number).unwrap(); 20]);
        receipt.grant = used.hash;
        receipt.signer = used.signer;
        ledger.store_received(&receipt).unwrap();
        to_pay.push(receipt);
    }
    let mut paid = rows.transfer(1, 6, 40);
    paid.payee = to_pay[0].pair.payee;
    ledger.record_transfer(&paid).unwrap();
    ledger.store_grant(&next, 21).unwrap();
    assert_eq!(ledger.grant(next.hash).unwrap(), Some(next));
    let kept = ledger.grants(payer).unwrap();
    assert_eq!(kept.len(), 3, "those with receipts stay, with the new one");
    // Of the two, only the unsettled one counts.
    for number in 1..MAX_KEPT_GRANTS - 1 {
        let more = numbered(MAX_KEPT_GRANTS + number, 1_000);
        ledger.store_grant(&more, 21).unwrap();
    }
    assert!(matches!(
        ledger.store_grant(&numbered(9_999, 1_000), 21),
        Err(LedgerError::TooManyGrants(_))
    ));
    let mut paid = rows.transfer(2, 7, 40);
    paid.payee = to_pay[1].pair.payee;
    ledger.record_transfer(&paid).unwrap();
    ledger.store_grant(&numbered(9_999, 1_000), 21).unwrap();
}

pub(crate) fn a_grant_that_replaced_a_valid_one_stays(store: &dyn Store) {
    let ledger = store.first();
    let replaced = GrantRow {
        serial: 1,
        hash: Salt::from_bytes([1; 32]),
        ..numbered(0, 1_000)
    };
    let newest = GrantRow {
        serial: 2,
        ..numbered(0, 20)
    };
    ledger.store_grant(&replaced, 15).unwrap();
    ledger.store_grant(&newest, 15).unwrap();
    for number in 2..MAX_KEPT_GRANTS {
        ledger.store_grant(&numbered(number, 20), 15).unwrap();
    }
    ledger.store_grant(&numbered(1_000, 1_000), 21).unwrap();
    let marks = ledger.grant_marks(newest.payer, newest.signer).unwrap();
    assert_eq!(
        marks.highest,
        Some(2),
        "the replaced grant is not good again"
    );
    // When that has run out too, both go.
    for number in 0..MAX_KEPT_GRANTS {
        let more = numbered(2_000 + number, 5_000);
        ledger.store_grant(&more, 1_001).unwrap();
    }
    let marks = ledger.grant_marks(newest.payer, newest.signer).unwrap();
    assert_eq!(marks.highest, None);
}

pub(crate) fn revocations_of_grants_that_ran_out_make_room(store: &dyn Store) {
    let ledger = store.first();
    let revoke = |number| RevocationRow {
        payer: grant(1, 1, 1).payer,
        signer: numbered(number, 20).signer,
        serial: 7,
        signature: [8; 65],
    };
    for number in 0..MAX_REVOCATIONS {
        ledger.store_grant(&numbered(number, 20), 15).unwrap();
        ledger.store_revocation(&revoke(number), 15).unwrap();
    }
    assert!(matches!(
        ledger.store_revocation(&revoke(MAX_REVOCATIONS), 15),
        Err(LedgerError::TooManyGrants(_))
    ));
    ledger
        .store_revocation(&revoke(MAX_REVOCATIONS), 21)
        .unwrap();
    assert_eq!(
        ledger.revocations(grant(1, 1, 1).payer).unwrap(),
        [revoke(MAX_REVOCATIONS)]
    );
}

pub(crate) fn what_others_did_is_remembered_until_forgiven(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let (payer, token) = (rows.pair.payer, rows.pair.token);
    ledger
        .note_default(payer, token, raw(7), UnixMs(5))
        .unwrap();
    ledger
        .note_default(payer, token, raw(3), UnixMs(6))
        .unwrap();
    ledger.ban(payer, token, "rude", UnixMs(9)).unwrap();
    let known = store.open_another().standing(payer, token).unwrap();
    assert_eq!((known.defaults, known.defaulted), (2, raw(10)));
    let written_off = ledger.note_written_off(payer, token, raw(4)).unwrap();
    assert_eq!(written_off.get().written_off, raw(4));
    let written_off = ledger.note_written_off(payer, token, raw(2)).unwrap();
    assert_eq!(written_off.get().written_off, raw(6));
    let known = store.open_another().standing(payer, token).unwrap();
    assert_eq!((known.defaults, known.written_off), (2, raw(6)));
    assert_eq!(known.banned_at, Some(UnixMs(9)));
    assert_eq!(ledger.standings(token).unwrap(), [known]);
    // Two statements under one sequence.
    let epoch = EpochId::new(3).unwrap();
    ledger
        .store_received(&rows.receipt(epoch, 5, 1, 10))
        .unwrap();
    let stored = ledger
        .store_received(&rows.receipt(epoch, 5, 1, 11))
        .unwrap();
    assert_eq!(*stored.get(), Stored::Equivocation);
    ledger.forgive(payer, token).unwrap();
    let known = ledger.standing(payer, token).unwrap();
    assert_eq!((known.defaults, known.banned_at), (0, None));
    assert_eq!(known.forgiven, 1);
    assert_eq!(
        ledger.all_equivocations().unwrap().len(),
        1,
        "kept as proof"
    );
}

pub(crate) fn flows_sum_to_the_receipts(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let (one, two) = (InfoHash::from_bytes([1; 20]), InfoHash::from_bytes([2; 20]));
    let day = 86_400_000;
    let origin = |at, torrents| Origin {
        at: Some(UnixMs(at)),
        torrents,
        ..Origin::default()
    };
    let epoch = EpochId::new(3).unwrap();
    let store_it = |sequence, amount, origin: &Origin| {
        let receipt = rows.receipt(epoch, 5, sequence, amount);
        ledger.store_received_for(&receipt, origin).unwrap();
        // Again: nothing is counted twice.
        ledger.store_received_for(&receipt, origin).unwrap();
    };
    store_it(1, 10, &origin(day, vec![(one, 1), (two, 2)]));
    store_it(2, 20, &origin(3 * day, vec![(one, 5)]));
    store_it(3, 23, &Origin::default());
    let flows = ledger
        .flows(rows.pair.payee, TokenId::BTT, FlowKind::Earned)
        .unwrap();
    let seen: Vec<_> = flows
        .iter()
        .map(|flow| (flow.day, flow.torrent, flow.amount.get(), flow.bytes))
        .collect();
    assert_eq!(
        seen,
        [
            (1, Some(one), 3, 33),
            (1, Some(two), 7, 67),
            (3, Some(one), 10, 100),
            (20_717, None, 3, 30),
        ]
    );
    let spent = ledger
        .flows(rows.pair.payer, TokenId::BTT, FlowKind::Spent)
        .unwrap();
    assert!(spent.is_empty(), "it is not ours: {spent:?}");
}

pub(crate) fn the_payees_last_cap_is_kept(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = ledger.claim_epoch(&rows.pair, 5).unwrap();
    let issue = |sequence, cap| {
        let receipt = rows.receipt(lease.epoch, 5, sequence, 10);
        let origin = Origin {
            cap,
            ..Origin::default()
        };
        ledger
            .issue_for(&lease, &receipt, Remainder::default(), None, &origin)
            .unwrap();
    };
    let cap = || {
        let another = store.open_another();
        let one = another.position(&rows.pair).unwrap().cap;
        let all = another.positions(rows.pair.payer, rows.pair.token).unwrap();
        assert_eq!(all[0].cap, one);
        one
    };
    issue(1, None);
    assert_eq!(cap(), None);
    issue(2, Some(raw(70)));
    issue(3, None);
    assert_eq!(cap(), Some(raw(70)), "what is not said changes nothing");
    issue(4, Some(raw(30)));
    assert_eq!(cap(), Some(raw(30)));
}

pub(crate) fn income_and_its_cursor_are_kept_together(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let (account, token) = (rows.pair.payee, rows.pair.token);
    assert_eq!(ledger.watched(account, token).unwrap(), None);
    let watch = WatchRow {
        account,
        token,
        from: 5,
        last: block(9),
    };
    let learnt = ledger.learn_witnesses(&[rows.block(5)]).unwrap();
    assert_eq!(learnt.into_inner(), 1);
    let transfer = rows.transfer(1, 8, 40);
    let blocks = |transfers: &[TransferRow]| -> Vec<_> {
        (6..10)
            .map(|number| {
                let mut block = rows.block(number);
                block.transfers = transfers.to_vec();
                block.transfers.retain(|transfer| transfer.block == number);
                block
            })
            .collect()
    };
    let seen = |from, found: &[_]| {
        let watch = ledger.watch_blocks(account, token, from, found)?;
        Ok::<_, LedgerError>(watch.into_inner().unwrap())
    };
    assert!(matches!(
        seen(4, &blocks(&[transfer])),
        Err(LedgerError::NotLinked { .. })
    ));
    assert_eq!(seen(5, &blocks(&[transfer])).unwrap(), watch);
    assert_eq!(seen(5, &blocks(&[transfer])).unwrap(), watch, "again");
    let another = store.open_another();
    assert_eq!(another.watched(account, token).unwrap(), Some(watch));
    assert_eq!(another.transfers(account, 9).unwrap()[0].txid, txid(1));
    // A contradiction moves nothing.
    let mut other = rows.transfer(1, 10, 41);
    other.txid = transfer.txid;
    let mut next = rows.block(10);
    next.transfers = vec![other];
    assert!(seen(5, &[next]).is_err());
    assert_eq!(ledger.watched(account, token).unwrap(), Some(watch));
    // Who makes a block is known now: a stranger's is not taken in, nor one under a
    // known name by another key.
    for stranger in [(0x11, 0x11), (0xee, 0x11)] {
        let mut next = rows.block(10);
        next.witness = Address::from_body([stranger.0; 20]);
        next.signer = Address::from_body([stranger.1; 20]);
        next.transfers = vec![rows.transfer(2, 10, 7)];
        assert!(matches!(
            seen(5, &[next]),
            Err(LedgerError::Strangers { .. })
        ));
    }
}
