//! Reads the ledger and the node for readers, by itself and in the background.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::MissedTickBehavior,
};

use crate::{
    client::snapshot::{
        Balance, Batch, Grant, GrantState, NodeState, Payout, PayoutState, Position,
    },
    ledger::{self, AttemptState, Durable, Ledger, LedgerError},
    settle::{Chain as _, NodeChain},
    tron::rpc::{Finality, NodeError},
    types::{Address, Clock as _, RawAmount, SystemClock, TokenId, UnixMs},
};

/// How often the ledger is read.
const EVERY: Duration = Duration::from_secs(5);
/// The node is asked at each reading of so many: every 30 s.
const NODE_READINGS: u64 = 6;
/// Settlements that are shown.
const BATCHES: u32 = 100;
/// Payouts of each that are shown.
const PAYOUTS: usize = 200;

/// What ledger and node said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::client) struct Reading {
    pub(in crate::client) positions: Vec<Position>,
    pub(in crate::client) batches: Vec<Batch>,
    pub(in crate::client) grants: Vec<Grant>,
    pub(in crate::client) balance: Option<Balance>,
    pub(in crate::client) node: NodeState,
    /// When the oldest debt of ours that is not settled began.
    pub(in crate::client) owed_raw: RawAmount,
}

/// Reads until nobody listens any more; also when it is told to.
pub(super) fn start(
    ledger: Arc<dyn Ledger>,
    chain: NodeChain,
    account: Address,
    token: TokenId,
    again: Arc<Notify>,
) -> watch::Receiver<Option<Arc<Reading>>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut balance, mut node) = (None, NodeState::default());
        let mut count = 0u64;
        loop {
            let is_time = tokio::select! {
                _ = ticks.tick() => true,
                () = again.notified() => false,
                () = sender.closed() => return,
            };
            let asks_node = is_time && count.is_multiple_of(NODE_READINGS);
            count += u64::from(is_time);
            if asks_node {
                match ask(&chain, account, token).await {
                    Ok((held, head)) => {
                        balance = Some(held);
                        node = NodeState {
                            solid_head: Some(head),
                            silent: None,
                        };
                    }
                    Err(error) => node.silent = Some(error.to_string()),
                }
            }
            let of = Arc::clone(&ledger);
            let read = tokio::task::spawn_blocking(move || read(of.as_ref(), account, token));
            let reading = match read.await {
                Ok(Ok(reading)) => reading,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the ledger could not be read");
                    continue;
                }
                // The runtime shuts down.
                Err(_) => return,
            };
            sender.send_replace(Some(Arc::new(Reading {
                balance,
                node: node.clone(),
                ..reading
            })));
        }
    });
    receiver
}

async fn ask(
    chain: &NodeChain,
    account: Address,
    token: TokenId,
) -> Result<(Balance, u64), NodeError> {
    let head = chain.solid_head().await?;
    let held = chain.account(Finality::Solid, account).await?;
    let resources = match held {
        Some(_) => Some(chain.resources(account).await?),
        None => None,
    };
    let balance = Balance {
        activated: held.is_some(),
        trx_sun: held.as_ref().map_or(0, |held| held.balance.0),
        token_raw: held
            .as_ref()
            .and_then(|held| held.tokens.get(&token).copied())
            .unwrap_or_default(),
        bandwidth_left: resources.map_or(0, |left| {
            left.free_left().saturating_add(left.staked_left())
        }),
        at: SystemClock.now(),
    };
    Ok((balance, head.id.number()))
}

/// The newest batches of an account.
pub(super) fn batches(ledger: &dyn Ledger, account: Address) -> Result<Vec<Batch>, LedgerError> {
    let rows = ledger.batches(account, BATCHES)?;
    rows.iter().map(|row| batch(ledger, row)).collect()
}

fn read(ledger: &dyn Ledger, account: Address, token: TokenId) -> Result<Reading, LedgerError> {
    let batches = batches(ledger, account)?;
    let mut owed = RawAmount::ZERO;
    let positions = positions(ledger, account, token)?;
    for position in &positions {
        owed = owed
            .checked_add(position.we_owe_raw)
            .unwrap_or(RawAmount::MAX);
    }
    Ok(Reading {
        positions,
        batches,
        grants: grants(ledger, account)?,
        owed_raw: owed,
        ..Reading::default()
    })
}

fn amount(sum: i128) -> RawAmount {
    let raw = i64::try_from(sum.max(0)).unwrap_or(i64::MAX);
    RawAmount::new(raw).unwrap_or(RawAmount::MAX)
}

fn positions(
    ledger: &dyn Ledger,
    account: Address,
    token: TokenId,
) -> Result<Vec<Position>, LedgerError> {
    let mut rows: BTreeMap<Address, Position> = BTreeMap::new();
    let empty = |account| Position {
        account,
        owes_us_raw: RawAmount::ZERO,
        we_owe_raw: RawAmount::ZERO,
        defaults: 0,
        defaulted_raw: RawAmount::ZERO,
        banned: false,
    };
    for position in ledger.positions(account, token)? {
        let payee = position.pair.payee;
        let row = rows.entry(payee).or_insert_with(|| empty(payee));
        row.we_owe_raw = amount(position.net());
        row.owes_us_raw = amount(-position.net());
    }
    for standing in ledger.standings(token)? {
        let other = standing.address;
        let row = rows.entry(other).or_insert_with(|| empty(other));
        row.defaults = standing.defaults;
        row.defaulted_raw = standing.defaulted;
        row.banned = standing.banned_at.is_some();
    }
    Ok(rows.into_values().collect())
}

fn batch(ledger: &dyn Ledger, row: &ledger::BatchRow) -> Result<Batch, LedgerError> {
    let counts = ledger.counts(row.id)?;
    let mut newest = BTreeMap::new();
    for attempt in ledger.attempts(row.id)?.iter().map(Durable::get) {
        newest.insert(attempt.payout, attempt.clone());
    }
    let payouts = ledger.payouts(row.id)?.into_iter().take(PAYOUTS);
    let payouts = payouts.map(|payout| {
        let attempt = newest.get(&payout.id);
        let state = match (payout.state, attempt.map(|attempt| attempt.state)) {
            (ledger::PayoutState::Failed, _) => PayoutState::Failed,
            (ledger::PayoutState::Confirmed, _) => PayoutState::Solid,
            (_, Some(AttemptState::Solid)) => PayoutState::Solid,
            (_, Some(AttemptState::Included)) => PayoutState::Included,
            (_, Some(AttemptState::Sent)) => PayoutState::Accepted,
            (_, Some(AttemptState::Signed | AttemptState::Offered)) => PayoutState::Signed,
            (_, Some(AttemptState::Dead) | None) => PayoutState::Planned,
        };
        Payout {
            payee: payout.payee,
            amount_raw: payout.amount,
            state,
            txid: attempt.map(|attempt| attempt.txid),
            block: attempt.and_then(|attempt| attempt.block),
            reason: payout.reason,
        }
    });
    Ok(Batch {
        id: row.id.to_string(),
        created: row.created_at,
        confirmed: counts.confirmed,
        pending: counts.pending,
        failed: counts.failed,
        payouts: payouts.collect(),
    })
}

fn grants(ledger: &dyn Ledger, account: Address) -> Result<Vec<Grant>, LedgerError> {
    let now = u64::try_from(SystemClock.now().secs()).unwrap_or(0);
    let time = |secs: u64| UnixMs(i64::try_from(secs).unwrap_or(i64::MAX).saturating_mul(1000));
    let mut grants = Vec::new();
    for used in ledger.grants(account)? {
        let grant = &used.grant;
        let marks = ledger.grant_marks(account, grant.signer)?;
        let state = if marks.revoked.is_some_and(|serial| serial >= grant.serial) {
            GrantState::Revoked
        } else if grant.not_after < now {
            GrantState::Ended
        } else if marks.highest.is_some_and(|serial| serial > grant.serial) {
            GrantState::Replaced
        } else if grant.max_total == RawAmount::ZERO {
            GrantState::Identity
        } else if used.issued >= grant.max_total {
            GrantState::UsedUp
        } else {
            GrantState::Open
        };
        grants.push(Grant {
            signer: grant.signer,
            state,
            max_raw: grant.max_total,
            max_per_peer_raw: grant.max_per_payee,
            used_raw: used.issued,
            from: time(grant.not_before),
            until: time(grant.not_after),
        });
    }
    grants.sort_by_key(|grant| std::cmp::Reverse(grant.from));
    Ok(grants)
}
