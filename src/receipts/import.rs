//! Taking receipts in from elsewhere: everything is verified, the newest of
//! each epoch is kept, and doing it twice changes nothing.

use std::io::{self, BufRead};

use super::{
    body::{ReceiptDomain, Refusal},
    file::{LineRefusal, ReceiptLines},
    grant::GrantRefusal,
};
use crate::{
    ledger::{EpochId, Ledger, LedgerError, Pair, Stored},
    types::{Address, RawAmount},
};

/// How many refused lines are listed one by one; the rest are only counted.
pub const MAX_REFUSED_LISTED: usize = 1_000;

/// Why an import stopped. What was stored before stays stored.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read on.
    #[error("the receipts cannot be read: {0}")]
    Read(#[from] io::Error),
    /// The ledger refused.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What an import did, line by line.
#[derive(Debug, Default)]
pub struct ImportReport {
    /// First receipts of their epochs.
    pub new: u64,
    /// Took the place of older ones.
    pub superseded: u64,
    /// Known, or older than what is known.
    pub unchanged: u64,
    /// Refused lines, at most [`MAX_REFUSED_LISTED`] of them.
    pub refused: Vec<(u64, LineRefusal)>,
    /// How many were refused in all.
    pub refused_count: u64,
    /// Receipts that the importing account would have to pay: evidence until
    /// adopted. The newest of each epoch and what it says.
    pub to_adopt: Vec<(Pair, EpochId, RawAmount)>,
}

impl ImportReport {
    fn refuse(&mut self, line: u64, refusal: LineRefusal) {
        self.refused_count += 1;
        if self.refused.len() < MAX_REFUSED_LISTED {
            self.refused.push((line, refusal));
        }
    }
}

/// Reads receipts in which `account` is payee (stored as claims) or payer
/// (stored as evidence, to be adopted by the user).
///
/// # Errors
/// The file cannot be read, or the ledger refuses. A bad line is no error.
pub fn import(
    reader: impl BufRead,
    account: Address,
    ledger: &dyn Ledger,
    now_secs: u64,
) -> Result<ImportReport, ImportError> {
    let domain = ReceiptDomain::new(ledger.genesis());
    let mut report = ImportReport::default();
    for line in ReceiptLines::new(reader) {
        let (number, read) = line?;
        let checked = read.and_then(|line| {
            if line.genesis != domain.genesis() {
                return Err(Refusal::Domain.into());
            }
            line.verify(now_secs)?;
            Ok(line)
        });
        let (signed, grant) = match checked {
            Ok(line) => (line.signed, line.grant),
            Err(refusal) => {
                report.refuse(number, refusal);
                continue;
            }
        };
        let (row, receipt) = (signed.to_row(), signed.receipt);
        if let Some(grant) = grant
            && (receipt.payee == account || receipt.payer == account)
        {
            let marks = ledger.grant_marks(grant.grant.payer, grant.grant.signer)?;
            if let Some(serial) = marks.revoked.filter(|up_to| *up_to >= grant.grant.serial) {
                let revoked = Refusal::Grant(GrantRefusal::Revoked(serial));
                report.refuse(number, revoked.into());
                continue;
            }
            ledger.store_grant(&grant.to_row())?;
        }
        let stored = if receipt.payee == account {
            ledger.store_received(&row)?.into_inner()
        } else if receipt.payer == account {
            let stored = ledger.store_evidence(&row)?.into_inner();
            if matches!(stored, Stored::New | Stored::Superseded { .. }) {
                report
                    .to_adopt
                    .retain(|(pair, epoch, _)| (*pair, *epoch) != (row.pair, row.epoch));
                report.to_adopt.push((row.pair, row.epoch, row.amount));
            }
            stored
        } else {
            report.refuse(number, Refusal::Parties.into());
            continue;
        };
        match stored {
            Stored::New => report.new += 1,
            Stored::Superseded { .. } => report.superseded += 1,
            Stored::Unchanged => report.unchanged += 1,
            Stored::Equivocation => {
                report.refuse(number, LineRefusal::Equivocation(receipt.sequence));
            }
            Stored::Regress { sequence, amount } => {
                report.refuse(number, Refusal::Regress { sequence, amount }.into());
            }
        }
    }
    Ok(report)
}
