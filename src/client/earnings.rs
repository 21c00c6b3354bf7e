//! What an account has earned and spent, and what of it is on the chain: one look, for which
//! no client needs to run.

pub use crate::settle::earnings::{By, Key};
use crate::{
    ledger::{FlowKind, ReceiptBook},
    settle::{Claim, Claims, NodeChain, SettleError, claims, earnings, stored_claims},
    types::{Address, RawAmount, TokenId},
};

/// Sums of one day, torrent, peer or of all, in raw units of the token: `earned = pending +
/// in flight + final`, as far as no sum passes [`RawAmount::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// By receipts held.
    pub earned_raw: RawAmount,
    /// Of that, in no block.
    pub pending_raw: RawAmount,
    /// Of that, in blocks that may still be forked out.
    pub in_flight_raw: RawAmount,
    /// Of that, final.
    pub final_raw: RawAmount,
    /// By receipts of our own.
    pub spent_raw: RawAmount,
    /// Bytes that earned it.
    pub sent_bytes: u64,
    /// Bytes that were paid for.
    pub bought_bytes: u64,
}

/// What one payer owes by its receipts, and what of it was seen on the chain. In raw units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed {
    /// Who owes.
    pub payer: Address,
    /// Σ newest receipts held from it.
    pub earned_raw: RawAmount,
    /// Of that, in no block.
    pub pending_raw: RawAmount,
    /// Of that, in blocks that may still be forked out.
    pub in_flight_raw: RawAmount,
    /// Of that, final, or paid for what we owe the payer in turn.
    pub final_raw: RawAmount,
    /// Of what is final, what paid for what we owe in turn.
    pub offset_raw: RawAmount,
}

/// What was earned and spent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Earnings {
    /// Of all rows.
    pub total: Figures,
    /// In the order of their keys.
    pub rows: Vec<(Key, Figures)>,
    /// How many receipts the payers signed.
    pub receipts: u64,
    /// By payer, in the order of the ledger.
    pub by_payer: Vec<Owed>,
}

/// What `account` earned and spent in `token`. With a chain it looks first which receipts were
/// paid, and records that in the ledger; without one it says what the ledger knows. The
/// ledger must know the chain's witnesses by then.
///
/// # Errors
/// See [`SettleError`].
pub async fn earnings(
    ledger: &(impl ReceiptBook + ?Sized),
    chain: Option<&NodeChain>,
    account: Address,
    token: TokenId,
    by: By,
) -> Result<Earnings, SettleError> {
    let claims = match chain {
        Some(chain) => claims(ledger, chain, account, token).await?,
        None => stored_claims(ledger, account, token)?,
    };
    let earned = ledger.flows(account, token, FlowKind::Earned)?;
    let spent = ledger.flows(account, token, FlowKind::Spent)?;
    let rows = earnings::divide(by, &earned, &spent, &claims.by_payer);
    Ok(told(&claims, rows))
}

fn told(claims: &Claims, rows: impl IntoIterator<Item = (Key, earnings::Sums)>) -> Earnings {
    let rows: Vec<_> = rows.into_iter().collect();
    let mut total = earnings::Sums::default();
    for (_, sums) in &rows {
        total.earned += sums.earned;
        total.pending += sums.pending;
        total.in_flight += sums.in_flight;
        total.settled += sums.settled;
        total.spent += sums.spent;
        total.sent_bytes += sums.sent_bytes;
        total.bought_bytes += sums.bought_bytes;
    }
    Earnings {
        total: figures(&total),
        rows: rows
            .iter()
            .map(|(key, sums)| (*key, figures(sums)))
            .collect(),
        receipts: claims.receipts,
        by_payer: claims.by_payer.iter().map(owed).collect(),
    }
}

fn figures(sums: &earnings::Sums) -> Figures {
    let bytes = |sum: u128| u64::try_from(sum).unwrap_or(u64::MAX);
    Figures {
        earned_raw: raw(sums.earned),
        pending_raw: raw(sums.pending),
        in_flight_raw: raw(sums.in_flight),
        final_raw: raw(sums.settled),
        spent_raw: raw(sums.spent),
        sent_bytes: bytes(sums.sent_bytes),
        bought_bytes: bytes(sums.bought_bytes),
    }
}

/// Sums are of amounts that the ledger keeps below its own bound.
fn raw(sum: u128) -> RawAmount {
    i64::try_from(sum)
        .ok()
        .and_then(|sum| RawAmount::new(sum).ok())
        .unwrap_or(RawAmount::MAX)
}

fn owed(claim: &Claim) -> Owed {
    Owed {
        payer: claim.payer,
        earned_raw: claim.earned,
        pending_raw: claim.pending(),
        in_flight_raw: claim.in_flight,
        final_raw: claim.settled,
        offset_raw: claim.offset,
    }
}
