//! What is held by the database's clock is kept by a beat: a thread with a
//! connection of its own renews it every three seconds, whatever the process
//! is busy with. When the process stops, so does the beat.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{PostgresUrl, backend::NOW, locked, open::Connection};
use crate::{
    ledger::{LedgerError, statements::leases::LEASE_MS},
    types::Address,
};

/// Three beats may fail before a lease of ten seconds runs out.
const BEAT: Duration = Duration::from_secs(3);

/// What is to be renewed.
#[derive(Default)]
pub(super) struct Alive {
    /// Leased accounts and their fencing numbers.
    pub(super) accounts: BTreeMap<Address, i64>,
    /// This handle's name, once it holds epochs.
    pub(super) worker: Option<String>,
}

/// The running beat; dropped, it stops.
pub(super) struct Pulse {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    pub(super) fn start(url: PostgresUrl, alive: Arc<Mutex<Alive>>) -> Result<Self, LedgerError> {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("ledger-lease".to_owned())
            .spawn(move || {
                let mut connection = None;
                while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                    if let Err(error) = beat(&url, &alive, &mut connection) {
                        connection = None;
                        tracing::warn!(%error, "a lease could not be renewed; trying again");
                    }
                }
            })
            .map_err(|error| LedgerError::Store(format!("no thread for leases: {error}")))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only logs its errors; a panic of it was printed.
            let _ = thread.join();
        }
    }
}

fn beat(
    url: &PostgresUrl,
    alive: &Mutex<Alive>,
    connection: &mut Option<Connection>,
) -> Result<(), LedgerError> {
    let (accounts, worker) = {
        let alive = locked(alive);
        (alive.accounts.clone(), alive.worker.clone())
    };
    if accounts.is_empty() && worker.is_none() {
        return Ok(());
    }
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(Connection::open(url)?),
    };
    let failed = |error: postgres::Error| super::backend::failed(&error);
    for (account, fence) in accounts {
        let renewed = connection
            .client
            .execute(
                &format!(
                    "UPDATE account SET expires = {NOW} + $3
                     WHERE account = $1 AND fence = $2 AND expires > {NOW}"
                ),
                &[&account.body().as_slice(), &fence, &LEASE_MS],
            )
            .map_err(failed)?;
        if renewed == 0 {
            tracing::warn!(%account, "the right to sign for this account was lost");
            locked(alive).accounts.remove(&account);
        }
    }
    if let Some(worker) = worker {
        connection
            .client
            .execute(
                &format!(
                    "INSERT INTO worker (name, expires) VALUES ($1, {NOW} + $2)
                     ON CONFLICT (name) DO UPDATE SET expires = excluded.expires"
                ),
                &[&worker, &LEASE_MS],
            )
            .map_err(failed)?;
    }
    Ok(())
}
