//! What every store must do: run against each by `ledger.rs`.

#![expect(clippy::indexing_slicing, reason = "a panic is how a test fails")]

use seedrail::{
    ledger::{
        AccountLease, AttemptEnd, AttemptRow, AttemptState, BatchId, BatchRow, BlockRow, EpochId,
        LEARNING, Ledger, LedgerError, Pair, PayoutId, PayoutKind, PayoutRow, PayoutState,
        ReceiptFilter, ReceiptKind, ReceiptRow, Recovery, Remainder, Stored, TransferRow,
    },
    types::{Address, BlockId, RawAmount, Salt, Token, TokenId, TxId, UnixMs},
};

/// A store under test, and another process's handle on it.
pub(crate) trait Store {
    fn first(&self) -> &dyn Ledger;
    fn open_another(&self) -> Box<dyn Ledger>;
}

/// Rows with plain defaults.
pub(crate) struct Rows {
    pub(crate) pair: Pair,
}

pub(crate) fn raw(amount: i64) -> RawAmount {
    RawAmount::new(amount).unwrap()
}

pub(crate) fn block(number: u64) -> BlockId {
    let mut bytes = [0xbb; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    BlockId::from_bytes(bytes)
}

pub(crate) fn txid(byte: u8) -> TxId {
    TxId::from_bytes([byte; 32])
}

impl Rows {
    pub(crate) fn new() -> Self {
        Self {
            pair: Pair {
                payer: Address::from_body([1; 20]),
                payee: Address::from_body([2; 20]),
                token: TokenId::BTT,
            },
        }
    }

    pub(crate) fn remainder(&self, rest: u32) -> Remainder {
        Remainder::new(rest).unwrap()
    }

    pub(crate) fn receipt(
        &self,
        epoch: EpochId,
        since_block: u64,
        sequence: u64,
        amount: i64,
    ) -> ReceiptRow {
        ReceiptRow {
            pair: self.pair,
            signer: self.pair.payer,
            epoch,
            since_block,
            sequence,
            amount: raw(amount),
            delivered_bytes: amount.unsigned_abs() * 10,
            issued_at: 1_790_000_000 + sequence,
            grant: Salt::ZERO,
            signature: [9; 65],
        }
    }

    fn epoch(number: i64) -> EpochId {
        EpochId::new(number).unwrap()
    }

    pub(crate) fn transfer(&self, id: u8, block: u64, amount: i64) -> TransferRow {
        TransferRow {
            txid: txid(id),
            block,
            block_time: UnixMs(i64::try_from(block).unwrap() * 3000),
            payer: self.pair.payer,
            payee: self.pair.payee,
            token: Token::Trc10(self.pair.token),
            amount: raw(amount),
        }
    }

    fn batch(&self, id: i64) -> BatchRow {
        BatchRow {
            id: BatchId::new(id).unwrap(),
            payer: self.pair.payer,
            kind: PayoutKind::Settle,
            created_at: UnixMs(id),
        }
    }

    fn payout(&self, id: i64, batch: i64, from: i64, amount: i64) -> PayoutRow {
        PayoutRow {
            id: PayoutId::new(id).unwrap(),
            batch: BatchId::new(batch).unwrap(),
            kind: PayoutKind::Settle,
            payer: self.pair.payer,
            payee: self.pair.payee,
            token: Token::Trc10(self.pair.token),
            from: raw(from),
            amount: raw(amount),
            memo: Vec::new(),
            label: String::new(),
            not_for_debts: false,
            state: PayoutState::Planned,
            reason: String::new(),
            owed: raw(amount),
            owed_to_us: RawAmount::ZERO,
        }
    }

    /// Refers to block 10, expires at block 20's time.
    fn attempt(&self, id: u8, payout: i64, ordinal: u32) -> AttemptRow {
        AttemptRow {
            txid: txid(id),
            payout: PayoutId::new(payout).unwrap(),
            ordinal,
            bytes: vec![id; 200],
            reference: block(10),
            expiration: UnixMs(60_000),
            signed_at: UnixMs(30_000),
            state: AttemptState::Signed,
            block: None,
            fee: None,
            remark: String::new(),
        }
    }

    pub(crate) fn block(&self, number: u64) -> BlockRow {
        BlockRow {
            id: block(number),
            parent: block(number - 1),
            time: UnixMs(i64::try_from(number).unwrap() * 3000),
            witness: Address::from_body([0xee; 20]),
            signer: Address::from_body([0xee; 20]),
            transfers: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// A leased account, bound at block 10.
    fn bound(&self, ledger: &dyn Ledger) -> AccountLease {
        let lease = ledger.lease_account(self.pair.payer, "test").unwrap();
        ledger
            .bind_account(&lease, block(10), UnixMs(30_000))
            .unwrap();
        lease
    }
}

pub(crate) fn receipts_supersede_and_never_go_back(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = ledger.claim_epoch(&rows.pair, 5).unwrap();
    let issue = |sequence, amount| {
        ledger.issue(
            &lease,
            &rows.receipt(lease.epoch, 5, sequence, amount),
            rows.remainder(1),
            None,
        )
    };
    issue(1, 100).unwrap();
    issue(3, 250).unwrap();
    assert!(matches!(issue(2, 200), Err(LedgerError::Sequence { .. })));
    assert!(matches!(issue(3, 251), Err(LedgerError::Sequence { .. })));
    assert!(matches!(issue(4, 249), Err(LedgerError::Sequence { .. })));
    issue(3, 250).expect("the newest once more changes nothing");
    let issued = ledger.issued(&rows.pair).unwrap();
    assert_eq!(issued.len(), 1);
    assert_eq!(issued[0].get().amount, raw(250));
    let position = ledger.position(&rows.pair).unwrap();
    assert_eq!((position.issued, position.net()), (raw(250), 250));
    assert_eq!(position.owed_since, 1_790_000_001);
    let mirrored = ledger.position(&rows.pair.reversed()).unwrap();
    assert_eq!(mirrored.issued, RawAmount::ZERO);
}

pub(crate) fn epochs_are_exclusive_and_bounded(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let first = ledger.claim_epoch(&rows.pair, 5).unwrap();
    let other = store.open_another();
    let second = other.claim_epoch(&rows.pair, 6).unwrap();
    assert_ne!(first.epoch, second.epoch);
    // Freed by dropping the lease, for the same handle.
    let epoch = first.epoch;
    drop(first);
    let first = ledger.claim_epoch(&rows.pair, 7).unwrap();
    assert_eq!((first.epoch, first.since_block), (epoch, 5));
    // Freed by the other process's end.
    let epoch = second.epoch;
    drop(second);
    drop(other);
    let second = ledger.claim_epoch(&rows.pair, 8).unwrap();
    assert_eq!(second.epoch, epoch);
    let more: Vec<_> = (0..6)
        .map(|_| ledger.claim_epoch(&rows.pair, 9).unwrap())
        .collect();
    assert!(matches!(
        ledger.claim_epoch(&rows.pair, 9),
        Err(LedgerError::TooManyEpochs(_))
    ));
    drop(more);
    // A lease of one epoch says nothing in another.
    assert!(
        ledger
            .issue(
                &first,
                &rows.receipt(second.epoch, 6, 1, 1),
                Remainder::default(),
                None
            )
            .is_err()
    );
}

pub(crate) fn received_receipts_are_compared_with_the_newest(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let epoch = Rows::epoch(1);
    let store_it = |receipt: &ReceiptRow| ledger.store_received(receipt).unwrap().into_inner();
    let second = rows.receipt(epoch, 5, 2, 200);
    assert_eq!(store_it(&second), Stored::New);
    assert_eq!(store_it(&second), Stored::Unchanged);
    let resigned = ReceiptRow {
        signature: [8; 65],
        ..second
    };
    assert_eq!(store_it(&resigned), Stored::Unchanged);
    assert_eq!(
        store_it(&rows.receipt(epoch, 5, 1, 100)),
        Stored::Unchanged,
        "an older one that fits"
    );
    let regress = Stored::Regress {
        sequence: 2,
        amount: raw(200),
    };
    assert_eq!(store_it(&rows.receipt(epoch, 5, 1, 201)), regress);
    assert_eq!(store_it(&rows.receipt(epoch, 5, 3, 199)), regress);
    assert_eq!(store_it(&rows.receipt(epoch, 4, 3, 300)), regress);
    let twin = rows.receipt(epoch, 5, 2, 150);
    assert_eq!(store_it(&twin), Stored::Equivocation);
    assert_eq!(store_it(&twin), Stored::Equivocation);
    let kept = ledger.equivocations(&rows.pair).unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].first, kept[0].second), (second, twin));
    assert_eq!(
        store_it(&rows.receipt(epoch, 5, 9, 300)),
        Stored::Superseded { before: raw(200) }
    );
    // Epochs add.
    store_it(&rows.receipt(Rows::epoch(2), 9, 1, 50));
    let seen = ledger.position(&rows.pair.reversed()).unwrap();
    assert_eq!((seen.received, seen.net()), (raw(350), -350));
    assert_eq!(seen.first_since, 5);
    for number in 0..40 {
        store_it(&rows.receipt(epoch, 5, 9, 301 + number));
    }
    assert_eq!(
        ledger.equivocations(&rows.pair).unwrap().len(),
        seedrail::ledger::MAX_EQUIVOCATIONS,
        "a peer cannot fill the disk"
    );
}

pub(crate) fn evidence_is_no_debt_until_adopted(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = ledger.claim_epoch(&rows.pair, 5).unwrap();
    let own = rows.receipt(lease.epoch, 5, 1, 100);
    ledger
        .issue(&lease, &own, Remainder::default(), None)
        .unwrap();
    let foreign = rows.receipt(Rows::epoch(77), 3, 5, 1000);
    let higher = rows.receipt(lease.epoch, 5, 4, 400);
    let stored = ledger.store_evidence(&[own, foreign, higher, foreign]);
    assert_eq!(
        stored.unwrap().into_inner(),
        // Our log has the first.
        [
            Stored::Unchanged,
            Stored::New,
            Stored::New,
            Stored::Unchanged
        ]
    );
    assert_eq!(ledger.position(&rows.pair).unwrap().issued, raw(100));

    let both = [(rows.pair, foreign.epoch), (rows.pair, lease.epoch)];
    assert!(matches!(
        ledger.adopt(&both),
        Err(LedgerError::EpochInUse(_))
    ));
    assert_eq!(
        ledger.position(&rows.pair).unwrap().issued,
        raw(100),
        "all or none"
    );
    drop(lease);
    let adopted = ledger.adopt(&both).unwrap().into_inner();
    assert_eq!((adopted.receipts, adopted.added), (2, raw(1300)));
    let position = ledger.position(&rows.pair).unwrap();
    assert_eq!((position.issued, position.first_since), (raw(1400), 3));
    assert_eq!(
        ledger.adopt(&both).unwrap().into_inner().receipts,
        0,
        "nothing is left"
    );
    let next = ledger.claim_epoch(&rows.pair, 50).unwrap();
    assert!(
        both.iter().all(|(_, epoch)| *epoch != next.epoch),
        "nobody issues in an adopted epoch"
    );
}

pub(crate) fn reservations_stop_at_the_ceiling(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = ledger.claim_epoch(&rows.pair, 5).unwrap();
    let issue = |sequence, amount, ceiling| {
        ledger.issue(
            &lease,
            &rows.receipt(lease.epoch, 5, sequence, amount),
            Remainder::default(),
            Some(raw(ceiling)),
        )
    };
    issue(1, 100, 100).unwrap();
    assert!(matches!(
        issue(2, 101, 100),
        Err(LedgerError::OverCeiling { .. })
    ));
    assert_eq!(
        ledger.reserved(rows.pair.payer, TokenId::BTT).unwrap(),
        raw(100)
    );
    ledger.record_transfer(&rows.transfer(1, 6, 60)).unwrap();
    issue(2, 150, 100).unwrap();
    assert_eq!(
        ledger.reserved(rows.pair.payer, TokenId::BTT).unwrap(),
        raw(90)
    );
}

pub(crate) fn transfers_count_once_and_after_the_first_since_block(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    ledger
        .store_received(&rows.receipt(Rows::epoch(1), 5, 1, 500))
        .unwrap();
    let at = |id, block, amount| rows.transfer(id, block, amount);
    assert!(ledger.record_transfer(&at(1, 5, 40)).unwrap().into_inner());
    assert!(ledger.record_transfer(&at(2, 6, 30)).unwrap().into_inner());
    assert!(!ledger.record_transfer(&at(2, 6, 30)).unwrap().into_inner());
    assert!(matches!(
        ledger.record_transfer(&at(2, 6, 31)),
        Err(LedgerError::Contradiction(_))
    ));
    let position = ledger.position(&rows.pair.reversed()).unwrap();
    assert_eq!(position.paid_back, raw(30), "block 5 is not after block 5");
    assert_eq!(position.net(), -470);
    let since = |ms| {
        ledger
            .transferred_since(
                rows.pair.payer,
                rows.pair.payee,
                Token::Trc10(TokenId::BTT),
                UnixMs(ms),
            )
            .unwrap()
    };
    assert_eq!(
        (since(0), since(15_001), since(18_001)),
        (raw(70), raw(30), raw(0))
    );
    assert_eq!(ledger.transfers(rows.pair.payee, 10).unwrap().len(), 2);
}

pub(crate) fn pages_walk_through_all_receipts(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    for epoch in 0..7 {
        ledger
            .store_received(&rows.receipt(Rows::epoch(epoch), 5, 1, 10))
            .unwrap();
        ledger
            .store_evidence(&[ReceiptRow {
                pair: rows.pair.reversed(),
                ..rows.receipt(Rows::epoch(epoch), 5, 1, 10)
            }])
            .unwrap();
    }
    let mut seen = Vec::new();
    loop {
        let page = ledger
            .receipts(&ReceiptFilter::default(), seen.last(), 4)
            .unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen.len(), 14);
    let only = ReceiptFilter {
        kind: Some(ReceiptKind::Evidence),
        epoch: EpochId::new(3),
        payer: Some(rows.pair.payee),
        ..ReceiptFilter::default()
    };
    assert_eq!(ledger.receipts(&only, None, 100).unwrap().len(), 1);
}

pub(crate) fn one_signer_per_account(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let other = store.open_another();
    let old = rows.bound(ledger);
    assert!(matches!(
        other.lease_account(rows.pair.payer, "second"),
        Err(LedgerError::AccountHeld { .. })
    ));
    assert_eq!(
        other.account_holder(rows.pair.payer).unwrap().as_deref(),
        Some("test")
    );
    other
        .lease_account(rows.pair.payee, "another account is free")
        .unwrap();
    let fence = old.fence;
    drop(old);
    assert_eq!(other.account_holder(rows.pair.payer).unwrap(), None);
    let new = other.lease_account(rows.pair.payer, "second").unwrap();
    assert!(new.fence > fence);
}

pub(crate) fn ranges_are_contiguous_and_disjoint(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = rows.bound(ledger);
    let insert = |batch: i64, payouts: &[PayoutRow]| {
        ledger.insert_batch(&lease, &rows.batch(batch), payouts)
    };
    insert(1, &[rows.payout(1, 1, 0, 100)]).unwrap();
    for (from, what) in [(0, "the same range"), (99, "overlap"), (101, "gap")] {
        assert!(
            matches!(
                insert(2, &[rows.payout(2, 2, from, 10)]),
                Err(LedgerError::Range { .. })
            ),
            "{what}"
        );
    }
    insert(2, &[rows.payout(2, 2, 100, 10), rows.payout(3, 2, 110, 5)]).unwrap();
    assert_eq!(ledger.position(&rows.pair).unwrap().live, raw(115));
    assert_eq!(ledger.unfinished(rows.pair.payer).unwrap().len(), 2);

    ledger
        .fail_payout(&lease, PayoutId::new(1).unwrap(), "given up")
        .unwrap();
    let ranges: Vec<_> = ledger
        .payouts(BatchId::new(2).unwrap())
        .unwrap()
        .iter()
        .map(|payout| (payout.from.get(), payout.to().get()))
        .collect();
    assert_eq!(ranges, [(0, 10), (10, 15)]);
    insert(3, &[rows.payout(4, 3, 15, 100)]).unwrap();
    assert_eq!(ledger.position(&rows.pair).unwrap().range_end, raw(115));
    let counts = ledger.counts(BatchId::new(1).unwrap()).unwrap();
    assert_eq!((counts.payouts, counts.failed, counts.pending), (1, 1, 0));
}

pub(crate) fn a_payout_has_one_living_attempt(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = rows.bound(ledger);
    ledger
        .insert_batch(&lease, &rows.batch(1), &[rows.payout(1, 1, 0, 100)])
        .unwrap();
    ledger
        .insert_attempts(&lease, &[rows.attempt(1, 1, 1)])
        .unwrap();
    assert!(matches!(
        ledger.insert_attempts(&lease, &[rows.attempt(2, 1, 2)]),
        Err(LedgerError::AttemptLive(id)) if id == txid(1)
    ));
    assert!(matches!(
        ledger.fail_payout(&lease, PayoutId::new(1).unwrap(), "refused by a node"),
        Err(LedgerError::AttemptLive(_))
    ));
    assert!(matches!(
        ledger.skip_to(&lease, &[rows.block(500)]),
        Err(LedgerError::AttemptLive(_))
    ));
    ledger
        .mark_sent(&lease, &[(txid(1), "DUP_TRANSACTION_ERROR".to_owned())])
        .unwrap();
    let attempt = ledger.attempt(txid(1)).unwrap().unwrap().into_inner();
    assert_eq!(attempt.state, AttemptState::Sent);
    assert_eq!(attempt.remark, "DUP_TRANSACTION_ERROR");
    ledger
        .mark_included(&lease, &[(txid(1), Some(12))])
        .unwrap();
    ledger.mark_included(&lease, &[(txid(1), None)]).unwrap();
    assert_eq!(
        ledger.live_attempts(rows.pair.payer).unwrap()[0]
            .get()
            .state,
        AttemptState::Sent
    );
}

pub(crate) fn what_is_offered_is_brought_back_once(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = rows.bound(ledger);
    ledger
        .insert_batch(
            &lease,
            &rows.batch(1),
            &[rows.payout(1, 1, 0, 100), rows.payout(2, 1, 100, 1)],
        )
        .unwrap();
    let offer = |id, payout| AttemptRow {
        state: AttemptState::Offered,
        ..rows.attempt(id, payout, 1)
    };
    ledger
        .insert_attempts(&lease, &[offer(1, 1), offer(2, 2)])
        .unwrap();
    let state = |id| ledger.attempt(txid(id)).unwrap().unwrap().get().state;
    assert_eq!(state(1), AttemptState::Offered);
    assert_eq!(ledger.live_attempts(rows.pair.payer).unwrap().len(), 2);
    assert!(matches!(
        ledger.insert_attempts(&lease, &[rows.attempt(3, 1, 2)]),
        Err(LedgerError::AttemptLive(id)) if id == txid(1)
    ));
    // What lacks signatures is sent by nobody.
    ledger
        .mark_sent(&lease, &[(txid(1), "accepted".to_owned())])
        .unwrap();
    ledger
        .mark_included(&lease, &[(txid(1), Some(12))])
        .unwrap();
    assert_eq!(state(1), AttemptState::Offered);

    let signed = |id: u8| (txid(id), vec![id; 265]);
    assert!(matches!(
        ledger.bring_back(&lease, &[signed(1), signed(9)]),
        Err(LedgerError::Missing(_))
    ));
    assert_eq!(state(1), AttemptState::Offered, "all of them or none");
    let back = ledger.bring_back(&lease, &[signed(1)]).unwrap();
    assert_eq!(back.len(), 1);
    assert_eq!(Some(&back[0]), ledger.attempt(txid(1)).unwrap().as_ref());
    assert_eq!(
        (state(1), state(2)),
        (AttemptState::Signed, AttemptState::Offered)
    );
    // What was brought back stays, whatever is brought after it.
    let other = (txid(1), vec![7; 300]);
    assert_eq!(
        ledger
            .bring_back(&lease, &[other, signed(2)])
            .unwrap()
            .len(),
        1
    );
    assert_eq!(ledger.attempt(txid(1)).unwrap().as_ref(), Some(&back[0]));
    let another = store.open_another();
    drop(lease);
    let newer = another.lease_account(rows.pair.payer, "other").unwrap();
    assert_eq!(another.bring_back(&newer, &[signed(2)]).unwrap(), []);
}

pub(crate) fn ends_must_be_proven(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = rows.bound(ledger);
    ledger
        .insert_batch(
            &lease,
            &rows.batch(1),
            &[rows.payout(1, 1, 0, 100), rows.payout(2, 1, 100, 1)],
        )
        .unwrap();
    ledger
        .insert_attempts(&lease, &[rows.attempt(1, 1, 1), rows.attempt(2, 2, 1)])
        .unwrap();
    let apply = |block: BlockRow| ledger.apply_blocks(&lease, &[block]);
    let with = |number, end| BlockRow {
        ends: vec![end],
        ..rows.block(number)
    };
    let unproven = |result: Result<_, LedgerError>| {
        let _: &dyn std::fmt::Debug = &result;
        matches!(result, Err(LedgerError::NotProven { .. }))
    };
    assert!(matches!(
        apply(rows.block(12)),
        Err(LedgerError::NotLinked { .. })
    ));
    assert!(unproven(apply(with(11, AttemptEnd::Expired(txid(1))))));
    assert!(unproven(apply(with(11, AttemptEnd::Solid(txid(1))))));
    let paid = |amount| BlockRow {
        transfers: vec![rows.transfer(1, 11, amount)],
        ..with(11, AttemptEnd::Solid(txid(1)))
    };
    assert!(unproven(apply(paid(99))), "another amount");
    apply(paid(100)).unwrap();
    for number in 12..20 {
        apply(rows.block(number)).unwrap();
    }
    apply(with(20, AttemptEnd::Expired(txid(2)))).unwrap();
    assert!(unproven(apply(with(21, AttemptEnd::Expired(txid(1))))));
    let states: Vec<_> = ledger
        .attempts(BatchId::new(1).unwrap())
        .unwrap()
        .into_iter()
        .map(|attempt| (attempt.get().state, attempt.get().block))
        .collect();
    assert_eq!(
        states,
        [(AttemptState::Solid, Some(11)), (AttemptState::Dead, None)]
    );
    let counts = ledger.counts(BatchId::new(1).unwrap()).unwrap();
    assert_eq!((counts.confirmed, counts.pending), (1, 1));
    assert!(matches!(
        ledger.fail_payout(&lease, PayoutId::new(1).unwrap(), "paid already"),
        Err(LedgerError::AttemptLive(_))
    ));
    ledger
        .insert_attempts(&lease, &[rows.attempt(3, 2, 2)])
        .unwrap();
}

pub(crate) fn payments_that_are_kept_apart_count_against_no_debt(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = rows.bound(ledger);
    let epoch = ledger.claim_epoch(&rows.pair, 5).unwrap();
    let receipt = rows.receipt(epoch.epoch, 5, 1, 100);
    ledger
        .issue(&epoch, &receipt, Remainder::default(), None)
        .unwrap();
    let apart = PayoutRow {
        kind: PayoutKind::Send,
        not_for_debts: true,
        ..rows.payout(1, 1, 0, 30)
    };
    ledger
        .insert_batch(&lease, &rows.batch(1), &[apart])
        .unwrap();
    let check = |live, paid, range_end| {
        let position = ledger.position(&rows.pair).unwrap();
        let all = ledger.positions(rows.pair.payer, rows.pair.token).unwrap();
        assert_eq!(all, [position]);
        assert_eq!(
            (position.live, position.paid, position.range_end),
            (raw(live), raw(paid), raw(range_end))
        );
        let reserved = ledger.reserved(rows.pair.payer, rows.pair.token).unwrap();
        assert_eq!(reserved, raw(100 - paid));
    };
    check(0, 0, 30);
    let attempt = AttemptRow {
        payout: PayoutId::new(1).unwrap(),
        ..rows.attempt(9, 1, 1)
    };
    ledger.insert_attempts(&lease, &[attempt]).unwrap();
    check(0, 0, 30);
    let paid = BlockRow {
        transfers: vec![rows.transfer(9, 11, 30)],
        ends: vec![AttemptEnd::Solid(txid(9))],
        ..rows.block(11)
    };
    ledger.apply_blocks(&lease, &[paid]).unwrap();
    let known = ledger.payouts(BatchId::new(1).unwrap()).unwrap();
    assert!(known[0].not_for_debts && known[0].state == PayoutState::Confirmed);
    check(0, 0, 30);
    // The debt itself is paid in full beside it.
    let debt = rows.payout(2, 2, 30, 100);
    ledger
        .insert_batch(&lease, &rows.batch(2), &[debt])
        .unwrap();
    check(100, 0, 130);
}

pub(crate) fn transfers_made_by_hand_take_a_range(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = rows.bound(ledger);
    let epoch = ledger.claim_epoch(&rows.pair, 5).unwrap();
    ledger
        .issue(
            &epoch,
            &rows.receipt(epoch.epoch, 5, 1, 100),
            Remainder::default(),
            None,
        )
        .unwrap();
    ledger
        .apply_blocks(
            &lease,
            &[BlockRow {
                transfers: vec![rows.transfer(9, 11, 30)],
                ..rows.block(11)
            }],
        )
        .unwrap();
    let position = ledger.position(&rows.pair).unwrap();
    assert_eq!((position.paid, position.range_end), (raw(30), raw(30)));
    assert_eq!(position.net(), 70);
    assert!(matches!(
        ledger.insert_batch(&lease, &rows.batch(1), &[rows.payout(1, 1, 0, 70)]),
        Err(LedgerError::Range { .. })
    ));
    ledger
        .insert_batch(&lease, &rows.batch(1), &[rows.payout(1, 1, 30, 70)])
        .unwrap();
    let all = ledger.positions(rows.pair.payer, TokenId::BTT).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0], ledger.position(&rows.pair).unwrap());
}

pub(crate) fn transfers_made_by_hand_are_adopted_once(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = rows.bound(ledger);
    assert!(matches!(
        ledger.adopt_transfer(txid(9), "rent"),
        Err(LedgerError::Missing(_))
    ));
    let blocks = [BlockRow {
        transfers: vec![rows.transfer(9, 11, 30)],
        ..rows.block(11)
    }];
    ledger.apply_blocks(&lease, &blocks).unwrap();
    let adopted = || ledger.outgoing(rows.pair.payer, 0, 9).unwrap()[0].adopted;
    assert!(!adopted());
    assert!(*ledger.adopt_transfer(txid(9), "rent").unwrap().get());
    assert!(!*ledger.adopt_transfer(txid(9), "rent").unwrap().get());
    assert!(adopted());
}

pub(crate) fn a_restored_ledger_signs_nothing_before_it_is_recovered(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let payer = rows.pair.payer;
    let lease = rows.bound(ledger);
    let before = ledger.claim_epoch(&rows.pair, 5).unwrap().epoch;
    assert_eq!(ledger.recovery(payer).unwrap(), Recovery::Current);
    ledger.mark_restored().unwrap();
    assert_eq!(ledger.recovery(payer).unwrap(), Recovery::Restored);
    assert!(matches!(
        ledger.claim_epoch(&rows.pair, 5),
        Err(LedgerError::Restored(_))
    ));
    for at in [70, 90] {
        let began = ledger.begin_recovery(&lease, UnixMs(at)).unwrap();
        assert_eq!(*began.get(), UnixMs(70), "the first time counts");
    }
    assert_eq!(ledger.recovery(payer).unwrap(), Recovery::Began(UnixMs(70)));
    ledger.end_recovery(&lease).unwrap();
    assert_eq!(ledger.recovery(payer).unwrap(), Recovery::Current);
    let after = ledger.claim_epoch(&rows.pair, 5).unwrap().epoch;
    assert_ne!(
        before, after,
        "peers may hold newer receipts of the old one"
    );
    let stranger = Address::from_body([8; 20]);
    assert_eq!(ledger.recovery(stranger).unwrap(), Recovery::Restored);
    ledger.mark_restored().unwrap();
    assert_eq!(ledger.recovery(payer).unwrap(), Recovery::Restored);
}

pub(crate) fn blocks_of_strangers_wait_for_a_known_witness(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = rows.bound(ledger);
    let apply = |first: u64, witnesses: &[u8]| {
        let blocks: Vec<_> = (first..)
            .zip(witnesses)
            .map(|(number, byte)| BlockRow {
                witness: Address::from_body([*byte; 20]),
                signer: Address::from_body([*byte; 20]),
                ..rows.block(number)
            })
            .collect();
        let cursor = ledger.apply_blocks(&lease, &blocks)?;
        Ok::<_, LedgerError>(cursor.get().last.number())
    };
    // Three rounds of learning.
    for number in 11..11 + u64::from(LEARNING) {
        apply(number, &[u8::try_from(number % 27).unwrap()]).unwrap();
    }
    let last = 10 + u64::from(LEARNING);
    assert_eq!(ledger.witnesses().unwrap().len(), 27);
    let refused = apply(last + 1, &[100, 100, 101]).unwrap_err();
    assert!(
        matches!(&refused, LedgerError::Strangers { block, .. } if block.number() == last + 1),
        "{refused}"
    );
    // Up to the one by a known witness; the rest waits.
    let all = [100, 5, 101, 102];
    assert_eq!(apply(last + 1, &all).unwrap(), last + 2);
    assert_eq!(apply(last + 1, &all[..2]).unwrap(), last + 2, "again");
    assert!(apply(last + 3, &all[2..]).is_err());
    assert_eq!(apply(last + 3, &[101, 102, 100]).unwrap(), last + 5);
    assert_eq!(ledger.witnesses().unwrap().len(), 30);
    apply(last + 6, &[103]).unwrap_err();
    ledger.trust_witnesses(&lease).unwrap();
    assert_eq!(apply(last + 6, &[103]).unwrap(), last + 6);
}

/// `count` linked blocks from `first` on, by these witnesses in turn, each under
/// its own key.
fn by_witnesses(rows: &Rows, first: u64, count: u64, witnesses: u8) -> Vec<BlockRow> {
    (first..first + count)
        .map(|number| {
            let byte = u8::try_from(number % u64::from(witnesses)).unwrap();
            BlockRow {
                witness: Address::from_body([byte; 20]),
                signer: Address::from_body([byte; 20]),
                ..rows.block(number)
            }
        })
        .collect()
}

pub(crate) fn a_known_name_under_another_key_is_a_stranger(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = rows.bound(ledger);
    let learning = by_witnesses(&rows, 11, LEARNING.into(), 27);
    ledger.apply_blocks(&lease, &learning).unwrap();
    let next = 11 + u64::from(LEARNING);
    let rekey = |mut block: BlockRow| {
        block.signer = Address::from_body([200; 20]);
        block
    };
    let blocks = by_witnesses(&rows, next, 3, 27);
    let alone = ledger.apply_blocks(&lease, &[rekey(blocks[0].clone())]);
    assert!(matches!(alone, Err(LedgerError::Strangers { .. })));
    // With a known witness on top of it, the chain took the key.
    let both = [rekey(blocks[0].clone()), blocks[1].clone()];
    ledger.apply_blocks(&lease, &both).unwrap();
    let witnesses = ledger.witnesses().unwrap();
    let changed = witnesses
        .iter()
        .find(|known| known.address == blocks[0].witness)
        .unwrap();
    assert_eq!(changed.signer, Address::from_body([200; 20]));
    // The old key signs no more, the new one does.
    let until = by_witnesses(&rows, next + 2, 25, 27);
    ledger.apply_blocks(&lease, &until).unwrap();
    let theirs = by_witnesses(&rows, next + 27, 1, 27);
    assert!(ledger.apply_blocks(&lease, &theirs).is_err());
    ledger
        .apply_blocks(&lease, &[rekey(theirs[0].clone())])
        .unwrap();
}

pub(crate) fn a_gap_is_passed_over_by_blocks_of_known_witnesses_alone(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = rows.bound(ledger);
    let learning = by_witnesses(&rows, 11, LEARNING.into(), 9);
    let before = ledger.apply_blocks(&lease, &learning).unwrap();
    let refused = |headers: &[BlockRow]| ledger.skip_to(&lease, headers).unwrap_err();
    // One header that anybody may have signed.
    let mut lone = rows.block(5_000);
    lone.witness = Address::from_body([77; 20]);
    lone.signer = lone.witness;
    assert!(matches!(refused(&[lone]), LedgerError::Strangers { .. }));
    // Two of three of the nine that make blocks must be among them: six.
    let five = by_witnesses(&rows, 5_000, 5, 9);
    assert!(matches!(refused(&five), LedgerError::Strangers { .. }));
    let mut torn = by_witnesses(&rows, 5_000, 12, 9);
    torn.remove(4);
    assert!(matches!(refused(&torn), LedgerError::NotLinked { .. }));
    let mut impostors = by_witnesses(&rows, 5_000, 12, 9);
    for block in &mut impostors {
        block.signer = Address::from_body([200; 20]);
    }
    assert!(matches!(refused(&impostors), LedgerError::Strangers { .. }));
    let now = ledger.cursor(rows.pair.payer).unwrap().unwrap();
    assert_eq!(now.last, before.get().last, "nothing moved it");
    // Who makes the newest blocks must be known, or reading ends there.
    let mut strangers = by_witnesses(&rows, 5_000, 54, 9);
    for block in &mut strangers[27..] {
        block.signer = Address::from_body([200; 20]);
    }
    assert!(matches!(refused(&strangers), LedgerError::Strangers { .. }));
    // Backwards is no gap.
    let old = by_witnesses(&rows, 20, 12, 9);
    assert!(matches!(refused(&old), LedgerError::NotLinked { .. }));
    let moved = ledger
        .skip_to(&lease, &by_witnesses(&rows, 5_000, 12, 9))
        .unwrap();
    assert_eq!(moved.get().last, block(5_011));
    assert_eq!(moved.get().from, 5_011);
}

pub(crate) fn what_was_read_is_taken_back_to_a_block_that_the_chain_holds(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = rows.bound(ledger);
    let (payer, payee) = (rows.pair.payer, rows.pair.payee);
    // True blocks, up to 15.
    let truth = by_witnesses(&rows, 11, 5, 5);
    ledger.apply_blocks(&lease, &truth).unwrap();
    // A payout, and invented blocks that confirm it, with a transfer from elsewhere.
    ledger
        .insert_batch(&lease, &rows.batch(1), &[rows.payout(1, 1, 0, 100)])
        .unwrap();
    ledger
        .insert_attempts(&lease, &[rows.attempt(1, 1, 1)])
        .unwrap();
    let paying = |mut block: BlockRow| {
        block.transfers = vec![rows.transfer(1, 16, 100)];
        block.ends = vec![AttemptEnd::Solid(txid(1))];
        block
    };
    let lying = |mut block: BlockRow| {
        block.witness = Address::from_body([200; 20]);
        block.signer = block.witness;
        block
    };
    let mut other = lying(rows.block(17));
    other.transfers = vec![rows.transfer(9, 17, 30)];
    let lies = [lying(paying(rows.block(16))), other];
    ledger.apply_blocks(&lease, &lies).unwrap();
    assert_eq!(ledger.position(&rows.pair).unwrap().paid, raw(130));
    let confirmed = |count| {
        let counts = ledger.counts(BatchId::new(1).unwrap()).unwrap();
        assert_eq!(counts.confirmed, count);
    };
    confirmed(1);
    // Who is known must have built on the block: a liar's own word is not enough.
    let trail = ledger.trail(payer).unwrap();
    assert_eq!(trail.first().unwrap().block, block(17));
    let to = *trail.iter().find(|row| row.block == block(15)).unwrap();
    let mut stranger = rows.block(16);
    stranger.witness = Address::from_body([201; 20]);
    stranger.signer = stranger.witness;
    assert!(matches!(
        ledger.step_back(&lease, to, &[stranger]),
        Err(LedgerError::Strangers { .. })
    ));
    assert!(ledger.step_back(&lease, to, &[]).is_err());
    assert_eq!(ledger.position(&rows.pair).unwrap().paid, raw(130));
    for _ in 0..2 {
        let cursor = ledger
            .step_back(&lease, to, &by_witnesses(&rows, 16, 1, 5))
            .unwrap();
        assert_eq!(cursor.get().unwrap().last, block(15));
    }
    confirmed(0);
    let another = store.open_another();
    let position = another.position(&rows.pair).unwrap();
    assert_eq!(position.paid, raw(0));
    assert_eq!(position.range_end, raw(100), "the payout keeps its range");
    let attempt = another.attempt(txid(1)).unwrap().unwrap().into_inner();
    assert_eq!(attempt.state, AttemptState::Sent);
    assert!(another.transfers(payee, 9).unwrap().is_empty());
    let witnesses = another.witnesses().unwrap();
    assert!(witnesses.iter().all(|known| known.first_block <= 15));
    // What was signed since may still happen: the account must be recovered first.
    assert_eq!(another.recovery(payer).unwrap(), Recovery::Restored);
    // And the truth is read from there.
    let next = by_witnesses(&rows, 16, 1, 5).remove(0);
    ledger.apply_blocks(&lease, &[paying(next)]).unwrap();
    confirmed(1);
    assert_eq!(ledger.position(&rows.pair).unwrap().paid, raw(100));
}

pub(crate) fn the_trail_stays_short_and_keeps_its_beginning(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = rows.bound(ledger);
    for number in 11..400 {
        ledger.apply_blocks(&lease, &[rows.block(number)]).unwrap();
    }
    let trail = ledger.trail(rows.pair.payer).unwrap();
    assert!(trail.len() <= 128, "{}", trail.len());
    assert_eq!(trail.first().unwrap().block, block(399));
    assert_eq!(trail.last().unwrap().block, block(10));
    // Every one of the newest, and ever fewer of the older.
    let newest: Vec<_> = trail
        .iter()
        .map(|row| row.block.number())
        .take(60)
        .collect();
    assert_eq!(newest, (340..400).rev().collect::<Vec<_>>());
}

pub(crate) fn history_goes_back_before_the_bound_block(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = rows.bound(ledger);
    assert_eq!(ledger.issued_since(rows.pair.payer).unwrap(), None);
    let epoch = ledger.claim_epoch(&rows.pair, 5).unwrap();
    ledger
        .issue(
            &epoch,
            &rows.receipt(epoch.epoch, 5, 1, 100),
            Remainder::default(),
            None,
        )
        .unwrap();
    assert_eq!(ledger.issued_since(rows.pair.payer).unwrap(), Some(5));
    let transfer = rows.transfer(9, 8, 30);
    assert!(matches!(
        ledger.extend_history(&lease, 8, &[transfer]),
        Err(LedgerError::Contradiction(_))
    ));
    for _ in 0..2 {
        let cursor = ledger.extend_history(&lease, 5, &[transfer]).unwrap();
        assert_eq!((cursor.get().history, cursor.get().bound), (5, block(10)));
        assert_eq!(cursor.get().foreign, None, "it is from before the ledger");
    }
    let position = ledger.position(&rows.pair).unwrap();
    assert_eq!((position.paid, position.range_end), (raw(30), raw(30)));
}

/// After a commit of unknown outcome the caller may do the same again.
pub(crate) fn writes_may_be_repeated(store: &dyn Store) {
    let (ledger, rows) = (store.first(), Rows::new());
    let lease = rows.bound(ledger);
    for _ in 0..2 {
        ledger.bind_account(&lease, block(400), UnixMs(0)).unwrap();
        ledger
            .insert_batch(&lease, &rows.batch(1), &[rows.payout(1, 1, 0, 100)])
            .unwrap();
        ledger
            .insert_attempts(&lease, &[rows.attempt(1, 1, 1)])
            .unwrap();
        let cursor = ledger
            .apply_blocks(
                &lease,
                &[
                    rows.block(11),
                    BlockRow {
                        transfers: vec![rows.transfer(1, 12, 100)],
                        ends: vec![AttemptEnd::Solid(txid(1))],
                        ..rows.block(12)
                    },
                ],
            )
            .unwrap()
            .into_inner();
        assert_eq!((cursor.bound, cursor.last), (block(10), block(12)));
    }
    let position = ledger.position(&rows.pair).unwrap();
    assert_eq!((position.live, position.range_end), (raw(0), raw(100)));
}
