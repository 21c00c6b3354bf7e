//! Payouts of a file: `send --csv`, through the same ledger.
//!
//! A row is a payout by its number, which comes from the row's key: what the
//! ledger's primary key holds apart is never paid twice, by whichever process
//! and after whichever crash. A payout that failed (it is proven dead) leaves
//! its row to the next number.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::{
    Engine, OrderName, SendOrder, SettleError, Until,
    board::Board,
    drive::{Order, Signs},
    orders::elsewhere,
};
use crate::{
    ledger::{
        AccountLease, AttemptRow, BatchId, Durable, LedgerError, OrderKey, PastPayment, PayoutId,
        PayoutKind, PayoutRow, PayoutState, TransferRow, Wanted,
    },
    settle::{
        chain::Chain,
        payout_file::{FileRow, PayoutFile},
        plan::{Cost, cost, transfer_bandwidth},
        report::{Event, PAID_ELSEWHERE},
    },
    tron::{
        fees::Situation,
        keys::Signer,
        rpc::{Finality, NodeError},
    },
    types::{Address, RawAmount, Sun, Token},
};

/// How many failed payouts a row may leave behind.
const MAX_TRIES: u32 = 1_000;

/// Where a row of a file stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowState {
    /// Not paid yet, or proven not to have been: it would get this number.
    Due(PayoutId),
    /// Paid, or on its way, as the file says.
    Known(PayoutRow),
    /// Paid outside of this ledger, by this transfer, as the file says.
    Elsewhere(TransferRow),
    /// Paid, or on its way, but not as the file says now.
    Differs(Before),
}

/// How a row was paid, or is on its way, otherwise than its file says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// By this payout.
    Payout(PayoutRow),
    /// By this transfer, outside of this ledger.
    Elsewhere(TransferRow),
}

impl Before {
    /// What was paid.
    pub fn wanted(&self) -> Wanted {
        match self {
            Self::Payout(payout) => payout.into(),
            Self::Elsewhere(transfer) => Wanted {
                payee: transfer.payee,
                token: transfer.token,
                amount: transfer.amount,
            },
        }
    }
}

/// Where a row of a file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowEnd {
    /// Its payout, with the attempt that paid, may pay, or was the last to die.
    Payout(Box<PayoutRow>, Option<AttemptRow>),
    /// The transfer that paid it, outside of this ledger.
    Elsewhere(TransferRow),
}

/// What paying a file would do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileQuote {
    /// Where each row stands, in the file's order.
    pub rows: Vec<RowState>,
    /// Σ amounts of the rows that are due, by token.
    pub totals: BTreeMap<Token, RawAmount>,
    /// What the due rows burn.
    pub cost: Cost,
    /// How many accounts they make.
    pub activates: usize,
    /// Payees of due rows, never paid before, that are smart contracts.
    pub contracts: BTreeSet<Address>,
    /// Rows to be paid, by number, each with an equal payment that the account is known to have
    /// made or ordered; a past payment stands beside one row.
    pub alike: Vec<(usize, PastPayment)>,
    /// How many rows were ordered before and nothing is signed for yet: they are paid,
    /// too.
    pub unsigned: usize,
    /// What is owed by receipts to payees of due rows, in the rows' tokens: the payments
    /// count against it.
    pub owed: BTreeMap<Wanted, RawAmount>,
}

impl FileQuote {
    /// How many rows are due.
    pub fn due(&self) -> usize {
        let due = |row: &&RowState| matches!(row, RowState::Due(_));
        self.rows.iter().filter(due).count()
    }
}

/// How the rows of a file stand after they were paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// One for each row.
    pub rows: Vec<RowEnd>,
    /// How many rows were paid or on their way before.
    pub found: usize,
    /// The last answer of a node that was no acceptance, if there was one.
    pub refusal: Option<NodeError>,
}

/// The number of a row's payout after `tries` that failed.
fn number(payer: Address, key: &OrderKey, tries: u32) -> PayoutId {
    let hash: [u8; 32] = Sha256::new()
        .chain_update(b"seedrail payout number\0")
        .chain_update(payer.body())
        .chain_update(key.as_bytes())
        .chain_update(tries.to_be_bytes())
        .finalize()
        .into();
    let [a, b, c, d, e, f, g, h, ..] = hash;
    let number = i64::from_be_bytes([a & 0x7f, b, c, d, e, f, g, h]);
    PayoutId::new(number).expect("its highest bit is cleared")
}

fn pays(row: &FileRow, payout: &PayoutRow) -> bool {
    payout.payee == row.payee
        && payout.token == row.token
        && payout.amount == row.amount
        && payout.memo == row.memo
}

impl<C: Chain> Engine<'_, C> {
    /// What paying the file would do and cost now. Signs nothing.
    ///
    /// # Errors
    /// See [`SettleError`]; `Balance` and `Fee` when the account lacks it.
    pub async fn quote_file(&self, file: &PayoutFile) -> Result<FileQuote, SettleError> {
        let rows = self.standing(&file.rows)?;
        let due: Vec<&FileRow> = due(file, &rows).map(|(row, _)| row).collect();
        if let Some(row) = due.iter().find(|row| row.payee == self.account) {
            return Err(SettleError::ToSelf(row.payee));
        }
        let mut quote = FileQuote {
            totals: BTreeMap::new(),
            cost: Cost {
                bandwidth: 0,
                expected: Sun(0),
                worst: Sun(0),
            },
            activates: 0,
            contracts: BTreeSet::new(),
            alike: self.alike(file, &rows)?,
            unsigned: rows.iter().filter(|state| is_unsigned(state)).count(),
            owed: BTreeMap::new(),
            rows,
        };
        for row in &due {
            let owed = self.owed_to(row.payee, row.token)?;
            if owed > RawAmount::ZERO {
                quote.owed.insert((*row).into(), owed);
            }
        }
        // What an issuer pays of his token's transfers counts where the file has
        // one token; of several it is left out, and the price is above the real one.
        let priced = match due.split_first() {
            Some((first, rest)) if rest.iter().all(|row| row.token == first.token) => first.token,
            _ => Token::Trx,
        };
        let means = self.means(priced).await?;
        let mut situation = means.situation.clone();
        let mut seen = HashSet::new();
        for row in &due {
            let new = seen.insert(row.payee) && self.is_missing(row, &mut quote.contracts).await?;
            quote.activates += usize::from(new);
            self.add(&mut quote, row, new, &mut situation)?;
        }
        for (&token, &need) in &quote.totals {
            let have = self.means(token).await?.token_balance;
            if need > have {
                return Err(SettleError::Balance {
                    account: self.account,
                    token,
                    have,
                    need,
                });
            }
        }
        let spent = quote
            .totals
            .get(&Token::Trx)
            .map_or(0, |total| total.unsigned());
        let for_fees = Sun(means.trx.0.saturating_sub(spent));
        if quote.cost.expected > for_fees {
            return Err(SettleError::Fee {
                account: self.account,
                have: for_fees,
                need: quote.cost.expected,
            });
        }
        Ok(quote)
    }

    /// [`quote_file`](Self::quote_file), with what the chain shows until now.
    ///
    /// # Errors
    /// See [`SettleError`].
    pub async fn preview_file(&self, file: &PayoutFile) -> Result<FileQuote, SettleError> {
        self.look_unless_held().await?;
        self.quote_file(file).await
    }

    /// Pays every row of the file that was not paid before, if `confirm` says so of what
    /// it would do, and drives those that are on their way to their end. `None` when the
    /// answer was no: nothing was stored.
    ///
    /// # Errors
    /// See [`SettleError`]; running it again goes on with the same payouts. Rows that
    /// nothing was signed for are given up.
    pub async fn pay_file(
        &self,
        signer: &dyn Signer,
        file: &PayoutFile,
        until: Until,
        confirm: &mut (dyn FnMut(&FileQuote) -> bool + Send),
    ) -> Result<Option<FileReport>, SettleError> {
        let tokens = file.rows.iter().map(|row| row.token);
        let lease = self.take_alone(signer, tokens).await?;
        self.catch_up(&lease).await?;
        self.bury(&lease)?;
        let rows = self.standing(&file.rows)?;
        let unpaid: Vec<_> = unpaid(file, &rows).collect();
        if !unpaid.is_empty() {
            // What was signed elsewhere and may still happen is waited for first, so that
            // the rows are compared with it.
            let mut board = Board::load(self.ledger, self.account, &[])?;
            self.fresh(&lease, &mut board).await?;
            self.find_by_memo(&unpaid).await?;
            self.end_adopted(&lease, &file.rows)?;
        }
        let quote = self.quote_file(file).await?;
        let wanted: Vec<Wanted> = file.rows.iter().map(Wanted::from).collect();
        let compared = elsewhere(&self.past(&wanted)?);
        if !confirm(&quote) {
            return Ok(None);
        }
        for (row, state) in file.rows.iter().zip(&quote.rows) {
            if let RowState::Differs(_) = state {
                return Err(SettleError::RowChanged { row: row.number });
            }
        }
        let rows = &quote.rows;
        let fresh: Vec<_> = due(file, rows).collect();
        let found = rows.len() - fresh.len();
        if !fresh.is_empty() {
            self.insert_rows(&lease, &fresh)?;
        }
        let mut numbers = Vec::with_capacity(rows.len());
        for state in rows {
            match state {
                RowState::Due(id) => numbers.push(*id),
                RowState::Known(payout) => numbers.push(payout.id),
                RowState::Elsewhere(_) | RowState::Differs(_) => {}
            }
        }
        let open: BTreeSet<_> = self
            .ledger
            .payouts_numbered(&numbers)?
            .iter()
            .filter(|payout| payout.state.is_open())
            .map(|payout| payout.batch)
            .collect();
        let open: Vec<_> = open.into_iter().collect();
        for batch in &open {
            self.tell(Event::Resumed(*batch));
        }
        let refusal = if open.is_empty() {
            None
        } else {
            let signs = numbers.iter().copied().collect();
            let order = Order {
                signer: Some(signer),
                batches: &open,
                until,
                signs: Signs::Only(&signs),
                known: compared,
            };
            let driven = self.drive(&lease, order).await;
            self.or_end_unsigned(&lease, &open, driven)?
        };
        self.fetch_missing_fees().await?;
        self.report_rows(rows, found, refusal).map(Some)
    }

    /// Where each row stands, by what is on disk.
    pub(super) fn standing(&self, rows: &[FileRow]) -> Result<Vec<RowState>, SettleError> {
        let mut states: Vec<Option<RowState>> = vec![None; rows.len()];
        for tries in 0..MAX_TRIES {
            let asked: Vec<PayoutId> = rows
                .iter()
                .zip(&states)
                .filter(|(_, state)| state.is_none())
                .map(|(row, _)| number(self.account, &row.key, tries))
                .collect();
            if asked.is_empty() {
                break;
            }
            let found: HashMap<PayoutId, PayoutRow> = self
                .ledger
                .payouts_numbered(&asked)?
                .into_iter()
                .map(|payout| (payout.id, payout))
                .collect();
            for (row, state) in rows.iter().zip(&mut states) {
                if state.is_some() {
                    continue;
                }
                let id = number(self.account, &row.key, tries);
                *state = match found.get(&id) {
                    None => Some(RowState::Due(id)),
                    Some(payout) if payout.payer != self.account => {
                        return Err(SettleError::RowChanged { row: row.number });
                    }
                    Some(payout) if payout.state == PayoutState::Failed => None,
                    Some(payout) if pays(row, payout) => Some(RowState::Known(payout.clone())),
                    Some(payout) => Some(RowState::Differs(Before::Payout(payout.clone()))),
                };
            }
        }
        let adopted = self.adopted_as(rows)?;
        for (row, state) in rows.iter().zip(&mut states) {
            if let (Some(RowState::Due(_)), Some(transfer)) = (&state, adopted.get(&row.key)) {
                let before = Before::Elsewhere(*transfer);
                *state = Some(if before.wanted() == row.into() {
                    RowState::Elsewhere(*transfer)
                } else {
                    RowState::Differs(before)
                });
            }
        }
        let states: Option<Vec<_>> = states.into_iter().collect();
        states.ok_or(SettleError::TooManyTries(MAX_TRIES))
    }

    /// Ends orders that nothing was signed for, of rows that are known to be transfers made
    /// outside of this ledger.
    pub(super) fn end_adopted(
        &self,
        lease: &AccountLease,
        rows: &[FileRow],
    ) -> Result<(), SettleError> {
        let adopted = self.adopted_as(rows)?;
        let states = self.standing(rows)?;
        let ended: Vec<_> = rows
            .iter()
            .zip(&states)
            .filter(|(row, _)| adopted.contains_key(&row.key))
            .filter_map(|(_, state)| match state {
                RowState::Known(payout) if is_unsigned(state) => {
                    Some((payout.id, PAID_ELSEWHERE.to_owned()))
                }
                _ => None,
            })
            .collect();
        self.give_up_all(lease, &ended)
    }

    /// Rows that are due, or that nothing was signed for yet, and that pay what the account
    /// is known to have paid or ordered, but for what the rows of the file themselves are.
    fn alike(
        &self,
        file: &PayoutFile,
        rows: &[RowState],
    ) -> Result<Vec<(usize, PastPayment)>, SettleError> {
        let own = rows
            .iter()
            .filter_map(|state| match state {
                RowState::Known(payout) | RowState::Differs(Before::Payout(payout)) => {
                    Some(payout.id)
                }
                _ => None,
            })
            .collect();
        let unpaid: Vec<&FileRow> = unpaid(file, rows).collect();
        if unpaid.is_empty() {
            return Ok(Vec::new());
        }
        let wanted: Vec<Wanted> = unpaid.iter().map(|row| (*row).into()).collect();
        let mut comparison = self.compare(&wanted, &own)?;
        let mut alike = Vec::new();
        for row in unpaid {
            if let Some(past) = comparison.take(&row.into(), !row.label.is_empty()) {
                alike.push((row.number, past));
            }
        }
        Ok(alike)
    }

    /// Whether paying the row makes its payee's account. A payee that was paid before
    /// has one. Of the others, smart contracts are noted.
    async fn is_missing(
        &self,
        row: &FileRow,
        contracts: &mut BTreeSet<Address>,
    ) -> Result<bool, SettleError> {
        let paid = self.ledger.range_end(self.account, row.payee, row.token)?;
        if paid > RawAmount::ZERO {
            return Ok(false);
        }
        let account = self
            .patiently(|| self.chain.account(Finality::Head, row.payee))
            .await?;
        if account.as_ref().is_some_and(|account| account.is_contract) {
            contracts.insert(row.payee);
        }
        Ok(account.is_none())
    }

    fn add(
        &self,
        quote: &mut FileQuote,
        row: &FileRow,
        activates: bool,
        situation: &mut Situation,
    ) -> Result<(), SettleError> {
        let points = transfer_bandwidth(
            self.account,
            row.payee,
            row.token,
            row.amount,
            &row.memo,
            self.clock.now(),
            self.one_signature(),
        );
        let cost = cost(
            row.token,
            points,
            activates,
            !row.memo.is_empty(),
            self.one_signature(),
            situation,
        );
        let sum = &mut quote.cost;
        sum.bandwidth = sum.bandwidth.saturating_add(cost.bandwidth);
        sum.expected = Sun(sum.expected.0.saturating_add(cost.expected.0));
        sum.worst = Sun(sum.worst.0.saturating_add(cost.worst.0));
        let total = quote.totals.entry(row.token).or_default();
        *total = total.checked_add(row.amount).ok_or_else(too_large)?;
        Ok(())
    }

    fn insert_rows(
        &self,
        lease: &AccountLease,
        rows: &[(&FileRow, PayoutId)],
    ) -> Result<BatchId, SettleError> {
        let batch = self.new_batch(PayoutKind::Send)?;
        let mut ends: HashMap<(Address, Token), RawAmount> = HashMap::new();
        let mut payouts = Vec::with_capacity(rows.len());
        for (row, id) in rows {
            let from = match ends.get(&(row.payee, row.token)) {
                Some(end) => *end,
                None => self.ledger.range_end(self.account, row.payee, row.token)?,
            };
            let to = from.checked_add(row.amount).ok_or_else(too_large)?;
            ends.insert((row.payee, row.token), to);
            payouts.push(self.typed(&batch, *id, from, &order(row)));
        }
        self.insert(lease, &batch, &payouts)
    }

    fn report_rows(
        &self,
        states: &[RowState],
        found: usize,
        refusal: Option<NodeError>,
    ) -> Result<FileReport, SettleError> {
        let number = |state: &RowState| match state {
            RowState::Due(id) => Some(*id),
            RowState::Known(payout) | RowState::Differs(Before::Payout(payout)) => Some(payout.id),
            RowState::Elsewhere(_) | RowState::Differs(Before::Elsewhere(_)) => None,
        };
        let numbers: Vec<_> = states.iter().filter_map(number).collect();
        let payouts = self.ledger.payouts_numbered(&numbers)?;
        let batches: BTreeSet<_> = payouts.iter().map(|payout| payout.batch).collect();
        let mut last: HashMap<PayoutId, AttemptRow> = HashMap::new();
        for batch in batches {
            // By ordinal: the last one is the one that counts.
            for attempt in self
                .ledger
                .attempts(batch)?
                .into_iter()
                .map(Durable::into_inner)
            {
                last.insert(attempt.payout, attempt);
            }
        }
        let mut payouts: HashMap<PayoutId, PayoutRow> = payouts
            .into_iter()
            .map(|payout| (payout.id, payout))
            .collect();
        let mut rows = Vec::with_capacity(states.len());
        for state in states {
            let number = match state {
                RowState::Elsewhere(transfer) | RowState::Differs(Before::Elsewhere(transfer)) => {
                    rows.push(RowEnd::Elsewhere(*transfer));
                    continue;
                }
                RowState::Due(id) => *id,
                RowState::Known(payout) | RowState::Differs(Before::Payout(payout)) => payout.id,
            };
            let payout = payouts
                .remove(&number)
                .ok_or_else(|| LedgerError::Missing(format!("payout {number}")))?;
            rows.push(RowEnd::Payout(Box::new(payout), last.remove(&number)));
        }
        Ok(FileReport {
            rows,
            found,
            refusal,
        })
    }
}

/// Whether a row was ordered before and nothing is signed for it.
fn is_unsigned(state: &RowState) -> bool {
    matches!(state, RowState::Known(payout) if payout.state == PayoutState::Planned)
}

/// The row as if it had been typed alone.
fn order(row: &FileRow) -> SendOrder {
    SendOrder {
        payee: row.payee,
        token: row.token,
        amount: row.amount,
        memo: row.memo.clone(),
        name: (!row.label.is_empty()).then(|| OrderName {
            key: row.key,
            label: row.label.clone(),
        }),
        again: false,
        not_for_debts: row.not_for_debts,
    }
}

fn too_large() -> SettleError {
    LedgerError::TooLarge {
        what: "the sum of a file's payouts",
        value: "more than i64".to_owned(),
    }
    .into()
}

/// Rows that are due, and those that were ordered before and nothing is signed for.
fn unpaid<'f>(file: &'f PayoutFile, rows: &[RowState]) -> impl Iterator<Item = &'f FileRow> {
    file.rows
        .iter()
        .zip(rows)
        .filter(|(_, state)| matches!(state, RowState::Due(_)) || is_unsigned(state))
        .map(|(row, _)| row)
}

fn due<'f>(
    file: &'f PayoutFile,
    rows: &[RowState],
) -> impl Iterator<Item = (&'f FileRow, PayoutId)> {
    file.rows
        .iter()
        .zip(rows)
        .filter_map(|(row, state)| match state {
            RowState::Due(id) => Some((row, *id)),
            _ => None,
        })
}
