//! Taking receipts in from elsewhere: everything is verified, the newest of
//! each epoch is kept, and doing it twice changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::{self, BufRead},
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
};

use super::{
    body::{ReceiptDomain, Refusal},
    file::{LineRefusal, ReceiptLine, ReceiptLines},
    grant::{GrantRefusal, SignedGrant},
};
use crate::{
    ledger::{EpochId, LedgerError, Pair, ReceiptBook, ReceiptRow, Stored},
    types::{Address, RawAmount, Salt},
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
    /// adopted. What the newest of each epoch says.
    pub to_adopt: BTreeMap<(Pair, EpochId), RawAmount>,
}

impl ImportReport {
    fn refuse(&mut self, line: u64, refusal: LineRefusal) {
        self.refused_count += 1;
        if self.refused.len() < MAX_REFUSED_LISTED {
            self.refused.push((line, refusal));
        }
    }
}

/// Lines that are verified and stored together: a commit for each group costs
/// little beside them.
const GROUP: usize = 1_000;

/// A line with its number.
type Line = (u64, Result<ReceiptLine, LineRefusal>);

/// Lines on their way through a verifying thread.
struct Job {
    lines: Vec<Line>,
    done: SyncSender<Vec<Line>>,
}

/// Reads receipts in which `account` is payee (stored as claims) or payer
/// (stored as evidence, to be adopted by the user). They are verified on all
/// processors while those before them are stored.
///
/// # Errors
/// The file cannot be read, or the ledger refuses. A bad line is no error.
pub fn import(
    reader: impl BufRead,
    account: Address,
    ledger: &dyn ReceiptBook,
    now_secs: u64,
) -> Result<ImportReport, ImportError> {
    let mut intake = Intake {
        domain: ReceiptDomain::new(ledger.genesis()),
        account,
        ledger,
        now_secs,
        grants: BTreeSet::new(),
        report: ImportReport::default(),
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let (jobs, queue) = mpsc::channel::<Job>();
    let queue = Mutex::new(queue);
    let domain = intake.domain;
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| verify_jobs(&queue, &domain, now_secs));
        }
        // In the order of the file; twice as many as threads are under way.
        let mut under_way = VecDeque::new();
        let mut lines = ReceiptLines::new(reader);
        // Dropped at the end, and with it the threads' work.
        let jobs = jobs;
        loop {
            let group: Vec<_> = lines.by_ref().take(GROUP).collect::<io::Result<_>>()?;
            let at_end = group.is_empty();
            if !at_end {
                let (done, verified) = mpsc::sync_channel(1);
                let job = Job { lines: group, done };
                if jobs.send(job).is_err() {
                    break;
                }
                under_way.push_back(verified);
            }
            while under_way.len() > if at_end { 0 } else { 2 * threads } {
                let next = under_way.pop_front().and_then(|next| next.recv().ok());
                intake.store(next.expect("the threads live as long as this scope"))?;
            }
            if at_end {
                break;
            }
        }
        Ok::<_, ImportError>(())
    })?;
    intake.report.refused.sort_by_key(|(line, _)| *line);
    Ok(intake.report)
}

/// Verifies jobs until there are no more.
fn verify_jobs(queue: &Mutex<Receiver<Job>>, domain: &ReceiptDomain, now_secs: u64) {
    loop {
        // Held only while one waits for the next job.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let verified = job
            .lines
            .into_iter()
            .map(|(number, read)| (number, read.and_then(|line| check(line, domain, now_secs))))
            .collect();
        // Nobody waits for it when the import has failed.
        let _ = job.done.send(verified);
    }
}

fn check(
    line: ReceiptLine,
    domain: &ReceiptDomain,
    now_secs: u64,
) -> Result<ReceiptLine, LineRefusal> {
    if line.genesis != domain.genesis() {
        return Err(Refusal::Domain.into());
    }
    line.verify(now_secs)?;
    Ok(line)
}

/// What is done with verified lines.
struct Intake<'a> {
    domain: ReceiptDomain,
    account: Address,
    ledger: &'a dyn ReceiptBook,
    now_secs: u64,
    /// Grants that are stored.
    grants: BTreeSet<Salt>,
    report: ImportReport,
}

impl Intake<'_> {
    fn store(&mut self, lines: Vec<Line>) -> Result<(), LedgerError> {
        let mut received = Vec::new();
        let mut evidence = Vec::new();
        for (number, verified) in lines {
            let line = match verified {
                Ok(line) => line,
                Err(refusal) => {
                    self.report.refuse(number, refusal);
                    continue;
                }
            };
            let receipt = line.signed.receipt;
            if receipt.payee != self.account && receipt.payer != self.account {
                self.report.refuse(number, Refusal::Parties.into());
                continue;
            }
            if let Some(grant) = &line.grant
                && !self.keep_grant(number, grant)?
            {
                continue;
            }
            let row = line.signed.to_row();
            if receipt.payee == self.account {
                received.push((number, row));
            } else {
                evidence.push((number, row));
            }
        }
        let (numbers, rows): (Vec<_>, Vec<_>) = received.into_iter().unzip();
        let stored = self.ledger.store_received_all(&rows)?.into_inner();
        for ((number, row), stored) in numbers.iter().zip(&rows).zip(stored) {
            self.count(*number, row, stored);
        }
        let (numbers, rows): (Vec<_>, Vec<_>) = evidence.into_iter().unzip();
        let stored = self.ledger.store_evidence(&rows)?.into_inner();
        for ((number, row), stored) in numbers.iter().zip(&rows).zip(stored) {
            if matches!(stored, Stored::New | Stored::Superseded { .. }) {
                let epoch = (row.pair, row.epoch);
                self.report.to_adopt.insert(epoch, row.amount);
            }
            self.count(*number, row, stored);
        }
        Ok(())
    }

    /// Stores a receipt's grant; `false` when it was taken back.
    fn keep_grant(&mut self, number: u64, grant: &SignedGrant) -> Result<bool, LedgerError> {
        let marks = self
            .ledger
            .grant_marks(grant.grant.payer, grant.grant.signer)?;
        if let Some(serial) = marks.revoked.filter(|up_to| *up_to >= grant.grant.serial) {
            let revoked = Refusal::Grant(GrantRefusal::Revoked(serial));
            self.report.refuse(number, revoked.into());
            return Ok(false);
        }
        let row = grant.to_row();
        if !self.grants.contains(&row.hash) {
            self.ledger.store_grant(&row, self.now_secs)?;
            self.grants.insert(row.hash);
        }
        Ok(true)
    }

    fn count(&mut self, number: u64, row: &ReceiptRow, stored: Stored) {
        match stored {
            Stored::New => self.report.new += 1,
            Stored::Superseded { .. } => self.report.superseded += 1,
            Stored::Unchanged => self.report.unchanged += 1,
            Stored::Equivocation => {
                self.report
                    .refuse(number, LineRefusal::Equivocation(row.sequence));
            }
            Stored::Regress { sequence, amount } => {
                self.report
                    .refuse(number, Refusal::Regress { sequence, amount }.into());
            }
        }
    }
}
