//! Between rows of a database and records: every value checked on both ways.

use crate::{
    ledger::{
        AttemptRow, AttemptState, BatchId, BatchRow, EpochId, LedgerError, OrderKey, Pair,
        PayoutId, PayoutKind, PayoutRow, PayoutState, ReceiptKind, ReceiptRow, TransferRow,
        sql::{FromValue, Row},
    },
    types::{Address, BlockId, RawAmount, Salt, Sun, Token, TokenId, TokenKey, TxId, UnixMs},
};

pub(in crate::ledger) fn int(what: &'static str, value: u64) -> Result<i64, LedgerError> {
    i64::try_from(value).map_err(|_| LedgerError::TooLarge {
        what,
        value: value.to_string(),
    })
}

pub(in crate::ledger) fn sum(
    what: &'static str,
    a: RawAmount,
    b: RawAmount,
) -> Result<RawAmount, LedgerError> {
    a.checked_add(b).ok_or_else(|| LedgerError::TooLarge {
        what,
        value: format!("{a} + {b}"),
    })
}

fn damaged(column: &str, why: impl std::fmt::Display) -> LedgerError {
    LedgerError::Damaged(format!("{column}: {why}"))
}

/// One column by name, as SQLite has it.
pub(in crate::ledger) fn get<T: FromValue>(row: &Row, column: &str) -> Result<T, LedgerError> {
    row.get(column)
}

pub(in crate::ledger) fn unsigned(row: &Row, column: &str) -> Result<u64, LedgerError> {
    u64::try_from(get::<i64>(row, column)?).map_err(|error| damaged(column, error))
}

pub(in crate::ledger) fn amount(row: &Row, column: &str) -> Result<RawAmount, LedgerError> {
    RawAmount::new(get(row, column)?).map_err(|error| damaged(column, error))
}

pub(in crate::ledger) fn optional_amount(
    row: &Row,
    column: &str,
) -> Result<Option<RawAmount>, LedgerError> {
    get::<Option<i64>>(row, column)?
        .map(|raw| RawAmount::new(raw).map_err(|error| damaged(column, error)))
        .transpose()
}

pub(in crate::ledger) fn address(row: &Row, column: &str) -> Result<Address, LedgerError> {
    get::<[u8; 20]>(row, column).map(Address::from_body)
}

pub(in crate::ledger) fn block_id(row: &Row, column: &str) -> Result<BlockId, LedgerError> {
    get::<[u8; 32]>(row, column).map(BlockId::from_bytes)
}

pub(in crate::ledger) fn txid(row: &Row, column: &str) -> Result<TxId, LedgerError> {
    get::<[u8; 32]>(row, column).map(TxId::from_bytes)
}

pub(in crate::ledger) fn token_id(row: &Row, column: &str) -> Result<TokenId, LedgerError> {
    TokenId::new(get(row, column)?).map_err(|error| damaged(column, error))
}

pub(in crate::ledger) fn token(row: &Row, column: &str) -> Result<Token, LedgerError> {
    let key = TokenKey::new(get(row, column)?).map_err(|error| damaged(column, error))?;
    key.token().ok_or_else(|| {
        damaged(
            column,
            "it is a contract's token, which this version does not know",
        )
    })
}

/// A token as it is stored.
pub(in crate::ledger) fn token_number(token: Token) -> Result<i64, LedgerError> {
    match TokenKey::of(token) {
        Ok(key) => Ok(key.get()),
        Err(_) => Err(LedgerError::TooLarge {
            what: "the id of a token",
            value: token.to_string(),
        }),
    }
}

/// The token of a pair, as it is stored.
pub(in crate::ledger) fn pair_token(pair: &Pair) -> Result<i64, LedgerError> {
    token_number(Token::Trc10(pair.token))
}

pub(in crate::ledger) fn pair(row: &Row) -> Result<Pair, LedgerError> {
    Ok(Pair {
        payer: address(row, "payer")?,
        payee: address(row, "payee")?,
        token: token_id(row, "token")?,
    })
}

pub(in crate::ledger) const fn kind_number(kind: ReceiptKind) -> i64 {
    match kind {
        ReceiptKind::Issued => 0,
        ReceiptKind::Received => 1,
        ReceiptKind::Evidence => 2,
    }
}

pub(in crate::ledger) fn receipt_kind(row: &Row) -> Result<ReceiptKind, LedgerError> {
    match get::<i64>(row, "kind")? {
        0 => Ok(ReceiptKind::Issued),
        1 => Ok(ReceiptKind::Received),
        2 => Ok(ReceiptKind::Evidence),
        other => Err(damaged("receipt kind", other)),
    }
}

pub(in crate::ledger) fn epoch_id(row: &Row) -> Result<EpochId, LedgerError> {
    let number = get(row, "epoch")?;
    EpochId::new(number).ok_or_else(|| damaged("epoch", number))
}

pub(in crate::ledger) fn receipt(row: &Row) -> Result<ReceiptRow, LedgerError> {
    Ok(ReceiptRow {
        pair: pair(row)?,
        signer: address(row, "signer")?,
        epoch: epoch_id(row)?,
        since_block: unsigned(row, "since_block")?,
        sequence: unsigned(row, "sequence")?,
        amount: amount(row, "amount")?,
        delivered_bytes: unsigned(row, "delivered_bytes")?,
        issued_at: unsigned(row, "issued_at")?,
        grant: Salt::from_bytes(get(row, "grant_hash")?),
        signature: get(row, "signature")?,
    })
}

/// A receipt in 213 bytes, for the table of contradictions: every field in
/// order, integers big-endian.
pub(in crate::ledger) fn pack(receipt: &ReceiptRow) -> Result<Vec<u8>, LedgerError> {
    let mut bytes = Vec::with_capacity(213);
    bytes.extend_from_slice(receipt.pair.payer.body());
    bytes.extend_from_slice(receipt.pair.payee.body());
    bytes.extend_from_slice(receipt.signer.body());
    for number in [
        receipt.pair.token.get(),
        receipt.epoch.get(),
        int("since_block", receipt.since_block)?,
        int("sequence", receipt.sequence)?,
        receipt.amount.get(),
        int("delivered_bytes", receipt.delivered_bytes)?,
        int("issued_at", receipt.issued_at)?,
    ] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(receipt.grant.as_bytes());
    bytes.extend_from_slice(&receipt.signature);
    Ok(bytes)
}

pub(in crate::ledger) fn unpack(bytes: &[u8]) -> Result<ReceiptRow, LedgerError> {
    fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], LedgerError> {
        let (head, rest) = bytes
            .split_first_chunk::<N>()
            .ok_or_else(|| damaged("equivocation", "too short"))?;
        *bytes = rest;
        Ok(*head)
    }
    fn number(bytes: &mut &[u8]) -> Result<i64, LedgerError> {
        take(bytes).map(i64::from_be_bytes)
    }
    fn unsigned(bytes: &mut &[u8]) -> Result<u64, LedgerError> {
        u64::try_from(number(bytes)?).map_err(|error| damaged("equivocation", error))
    }
    let rest = &mut { bytes };
    let payer = Address::from_body(take(rest)?);
    let payee = Address::from_body(take(rest)?);
    let signer = Address::from_body(take(rest)?);
    let token = TokenId::new(number(rest)?).map_err(|error| damaged("equivocation", error))?;
    let epoch =
        EpochId::new(number(rest)?).ok_or_else(|| damaged("equivocation", "negative epoch"))?;
    Ok(ReceiptRow {
        pair: Pair {
            payer,
            payee,
            token,
        },
        signer,
        epoch,
        since_block: unsigned(rest)?,
        sequence: unsigned(rest)?,
        amount: RawAmount::new(number(rest)?).map_err(|error| damaged("equivocation", error))?,
        delivered_bytes: unsigned(rest)?,
        issued_at: unsigned(rest)?,
        grant: Salt::from_bytes(take(rest)?),
        signature: take(rest)?,
    })
}

pub(in crate::ledger) fn transfer(row: &Row) -> Result<TransferRow, LedgerError> {
    Ok(TransferRow {
        txid: txid(row, "txid")?,
        block: unsigned(row, "block")?,
        block_time: UnixMs(get(row, "block_time")?),
        payer: address(row, "payer")?,
        payee: address(row, "payee")?,
        token: token(row, "token")?,
        amount: amount(row, "amount")?,
    })
}

pub(in crate::ledger) const fn payout_kind_number(kind: PayoutKind) -> i64 {
    match kind {
        PayoutKind::Settle => 0,
        PayoutKind::Send => 1,
    }
}

/// The number of a transfer that was seen and is no payout of ours.
pub(in crate::ledger) const OBSERVED: i64 = 2;

pub(in crate::ledger) fn payout_kind(row: &Row) -> Result<PayoutKind, LedgerError> {
    match get::<i64>(row, "kind")? {
        0 => Ok(PayoutKind::Settle),
        1 => Ok(PayoutKind::Send),
        other => Err(damaged("payout kind", other)),
    }
}

fn payout_state(row: &Row) -> Result<PayoutState, LedgerError> {
    match get::<i64>(row, "state")? {
        0 => Ok(PayoutState::Planned),
        1 => Ok(PayoutState::InFlight),
        2 => Ok(PayoutState::Confirmed),
        3 => Ok(PayoutState::Failed),
        other => Err(damaged("payout state", other)),
    }
}

pub(in crate::ledger) const fn attempt_state_number(state: AttemptState) -> i64 {
    match state {
        AttemptState::Offered | AttemptState::Signed => 0,
        AttemptState::Sent => 1,
        AttemptState::Included => 2,
        AttemptState::Solid => 3,
        AttemptState::Dead => 4,
    }
}

pub(in crate::ledger) fn attempt_state(row: &Row) -> Result<AttemptState, LedgerError> {
    match get::<i64>(row, "state")? {
        0 if get(row, "offered")? => Ok(AttemptState::Offered),
        0 => Ok(AttemptState::Signed),
        1 => Ok(AttemptState::Sent),
        2 => Ok(AttemptState::Included),
        3 => Ok(AttemptState::Solid),
        4 => Ok(AttemptState::Dead),
        other => Err(damaged("attempt state", other)),
    }
}

pub(in crate::ledger) fn batch(row: &Row) -> Result<BatchRow, LedgerError> {
    Ok(BatchRow {
        id: BatchId(get(row, "id")?),
        payer: address(row, "payer")?,
        kind: payout_kind(row)?,
        created_at: UnixMs(get(row, "created_at")?),
    })
}

pub(in crate::ledger) fn payout(row: &Row) -> Result<PayoutRow, LedgerError> {
    let (from, to) = (amount(row, "range_from")?, amount(row, "range_to")?);
    Ok(PayoutRow {
        id: PayoutId(get(row, "id")?),
        batch: BatchId(get(row, "batch")?),
        kind: payout_kind(row)?,
        payer: address(row, "payer")?,
        payee: address(row, "payee")?,
        token: token(row, "token")?,
        from,
        amount: to
            .checked_sub(from)
            .ok_or_else(|| damaged("range", format!("{from}..{to}")))?,
        memo: get(row, "memo")?,
        label: get(row, "label")?,
        not_for_debts: get(row, "apart")?,
        state: payout_state(row)?,
        reason: get(row, "reason")?,
        owed: amount(row, "owed")?,
        owed_to_us: amount(row, "owed_to_us")?,
    })
}

pub(in crate::ledger) fn order_key(row: &Row, column: &str) -> Result<OrderKey, LedgerError> {
    Ok(OrderKey::from_bytes(get(row, column)?))
}

pub(in crate::ledger) fn attempt(row: &Row) -> Result<AttemptRow, LedgerError> {
    let optional = |column: &str| -> Result<Option<u64>, LedgerError> {
        get::<Option<i64>>(row, column)?
            .map(|number| u64::try_from(number).map_err(|error| damaged(column, error)))
            .transpose()
    };
    Ok(AttemptRow {
        txid: txid(row, "txid")?,
        payout: PayoutId(get(row, "payout")?),
        ordinal: u32::try_from(get::<i64>(row, "ordinal")?)
            .map_err(|error| damaged("ordinal", error))?,
        bytes: get(row, "bytes")?,
        reference: block_id(row, "reference")?,
        expiration: UnixMs(get(row, "expiration")?),
        signed_at: UnixMs(get(row, "signed_at")?),
        state: attempt_state(row)?,
        block: optional("block")?,
        fee: optional("fee")?.map(Sun),
        remark: get(row, "remark")?,
    })
}

/// The rows, each read by `read`.
pub(super) fn collect<T>(
    found: &[Row],
    read: impl Fn(&Row) -> Result<T, LedgerError>,
) -> Result<Vec<T>, LedgerError> {
    found.iter().map(read).collect()
}
