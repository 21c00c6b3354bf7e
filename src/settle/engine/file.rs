//! Payouts of a file: `send --csv`, through the same ledger.
//!
//! A row is a payout by its number, which comes from the row's key: what the
//! ledger's primary key holds apart is never paid twice, by whichever process
//! and after whichever crash. A payout that failed (it is proven dead) leaves
//! its row to the next number.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::{Engine, SendOrder, SettleError, Until};
use crate::{
    ledger::{
        AccountLease, AttemptRow, BatchId, Durable, LedgerError, PayoutId, PayoutKind, PayoutRow,
        PayoutState,
    },
    settle::{
        chain::Chain,
        payout_file::{FileRow, PayoutFile, RowKey},
        plan::{Cost, Signatures, cost, transfer_bandwidth},
        report::Event,
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

/// Batches looked at for rows that were paid under another name.
const RECENT_BATCHES: u32 = 100;

/// Where a row of a file stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowState {
    /// Not paid yet, or proven not to have been: it would get this number.
    Due(PayoutId),
    /// Paid, or on its way, as the file says.
    Known(PayoutRow),
    /// Paid, or on its way, but not as the file says now.
    Differs(PayoutRow),
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
    /// Numbers of due rows, of a file without ids, that pay what a recent
    /// payment paid: the file may be a changed one.
    pub paid_alike: Vec<usize>,
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
    /// One for each row: its payout, with the attempt that paid, may pay, or was
    /// the last to die.
    pub rows: Vec<(PayoutRow, Option<AttemptRow>)>,
    /// How many rows were paid or on their way before.
    pub found: usize,
    /// The last refusal of a node, if there was one.
    pub refusal: Option<NodeError>,
}

/// The number of a row's payout after `tries` that failed.
fn number(payer: Address, key: &RowKey, tries: u32) -> PayoutId {
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
            paid_alike: if file.has_ids {
                Vec::new()
            } else {
                self.paid_alike(file, &rows)?
            },
            rows,
        };
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
            let new = seen.insert(row.payee) && self.is_missing(row).await?;
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

    /// Pays every row of the file that was not paid before, and drives those that
    /// are on their way to their end.
    ///
    /// # Errors
    /// See [`SettleError`]; running it again goes on with the same payouts.
    pub async fn pay_file(
        &self,
        signer: &dyn Signer,
        file: &PayoutFile,
        until: Until,
    ) -> Result<FileReport, SettleError> {
        let lease = self.take_alone(signer).await?;
        self.catch_up(&lease).await?;
        self.bury(&lease, &file.rows)?;
        let rows = self.standing(&file.rows)?;
        for (row, state) in file.rows.iter().zip(&rows) {
            if let RowState::Differs(payout) = state {
                return Err(SettleError::RowChanged {
                    row: row.number,
                    payout: payout.id,
                });
            }
        }
        let fresh: Vec<_> = due(file, &rows).collect();
        let found = rows.len() - fresh.len();
        if !fresh.is_empty() {
            self.quote_file(file).await?;
            self.insert_rows(&lease, &fresh)?;
        }
        let mut numbers = Vec::with_capacity(rows.len());
        for state in &rows {
            numbers.push(match state {
                RowState::Due(id) => *id,
                RowState::Known(payout) | RowState::Differs(payout) => payout.id,
            });
        }
        let open: BTreeSet<_> = self
            .ledger
            .payouts_numbered(&numbers)?
            .iter()
            .filter(|payout| payout.state.is_open())
            .map(|payout| payout.batch)
            .collect();
        let open: Vec<_> = open.into_iter().collect();
        let refusal = if open.is_empty() {
            None
        } else {
            self.drive(&lease, Some(signer), &open, until).await?
        };
        self.report_rows(&numbers, found, refusal)
    }

    /// Where each row stands, by what is on disk.
    fn standing(&self, rows: &[FileRow]) -> Result<Vec<RowState>, SettleError> {
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
                        return Err(SettleError::RowChanged {
                            row: row.number,
                            payout: id,
                        });
                    }
                    Some(payout) if payout.state == PayoutState::Failed => None,
                    Some(payout) if pays(row, payout) => Some(RowState::Known(payout.clone())),
                    Some(payout) => Some(RowState::Differs(payout.clone())),
                };
            }
        }
        let states: Option<Vec<_>> = states.into_iter().collect();
        states.ok_or(SettleError::TooManyTries(MAX_TRIES))
    }

    /// Ends payouts of these rows that can never happen any more, so that their
    /// rows are due again.
    fn bury(&self, lease: &AccountLease, rows: &[FileRow]) -> Result<(), SettleError> {
        let mut batches = BTreeSet::new();
        let mut own = HashSet::new();
        for state in self.standing(rows)? {
            if let RowState::Known(payout) | RowState::Differs(payout) = state
                && payout.state.is_open()
            {
                batches.insert(payout.batch);
                own.insert(payout.id);
            }
        }
        for batch in batches {
            for payout in self
                .batch_report(batch)?
                .into_iter()
                .flat_map(|report| report.payouts)
            {
                let dead = payout.current().is_none() && !payout.attempts.is_empty();
                if dead && payout.payout.state.is_open() && own.contains(&payout.payout.id) {
                    let reason = "it expired without getting into a block";
                    self.ledger.fail_payout(lease, payout.payout.id, reason)?;
                    self.tell(Event::GivenUp(payout.payout.id, reason.to_owned()));
                }
            }
        }
        Ok(())
    }

    /// Due rows that pay what a recent payment paid.
    fn paid_alike(&self, file: &PayoutFile, rows: &[RowState]) -> Result<Vec<usize>, SettleError> {
        let own: HashSet<PayoutId> = rows
            .iter()
            .filter_map(|state| match state {
                RowState::Due(_) => None,
                RowState::Known(payout) | RowState::Differs(payout) => Some(payout.id),
            })
            .collect();
        let mut paid: HashMap<_, usize> = HashMap::new();
        for batch in self.ledger.batches(self.account, RECENT_BATCHES)? {
            if batch.kind != PayoutKind::Send {
                continue;
            }
            for payout in self.ledger.payouts(batch.id)? {
                if payout.state != PayoutState::Failed && !own.contains(&payout.id) {
                    let what = (payout.payee, payout.token, payout.amount, payout.memo);
                    *paid.entry(what).or_default() += 1;
                }
            }
        }
        let mut alike = Vec::new();
        for (row, _) in due(file, rows) {
            let what = (row.payee, row.token, row.amount, row.memo.clone());
            if let Some(left) = paid.get_mut(&what)
                && *left > 0
            {
                *left -= 1;
                alike.push(row.number);
            }
        }
        Ok(alike)
    }

    /// Whether paying the row makes its payee's account. Whom we paid before
    /// exists.
    async fn is_missing(&self, row: &FileRow) -> Result<bool, SettleError> {
        let paid = self.ledger.range_end(self.account, row.payee, row.token)?;
        if paid > RawAmount::ZERO {
            return Ok(false);
        }
        let account = self
            .patiently(|| self.chain.account(Finality::Head, row.payee))
            .await?;
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
            Signatures::ONE,
        );
        let cost = cost(
            row.token,
            points,
            activates,
            !row.memo.is_empty(),
            Signatures::ONE,
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
        numbers: &[PayoutId],
        found: usize,
        refusal: Option<NodeError>,
    ) -> Result<FileReport, SettleError> {
        let payouts = self.ledger.payouts_numbered(numbers)?;
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
        let mut rows = Vec::with_capacity(numbers.len());
        for number in numbers {
            let payout = payouts
                .remove(number)
                .ok_or_else(|| LedgerError::Missing(format!("payout {number}")))?;
            rows.push((payout, last.remove(number)));
        }
        Ok(FileReport {
            rows,
            found,
            refusal,
        })
    }
}

/// The row as if it had been typed alone.
fn order(row: &FileRow) -> SendOrder {
    SendOrder {
        payee: row.payee,
        token: row.token,
        amount: row.amount,
        memo: row.memo.clone(),
        again: false,
    }
}

fn too_large() -> SettleError {
    LedgerError::TooLarge {
        what: "the sum of a file's payouts",
        value: "more than i64".to_owned(),
    }
    .into()
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
