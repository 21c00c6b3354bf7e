//! Several nodes of one chain: which is asked, for how long, and which of them
//! is believed to be on that chain at all.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

use super::{
    NodeError,
    http::{Endpoint, MAX_ANSWER_BYTES},
};
use crate::types::BlockId;

/// Once one node has named block 0, the others have this long to do the same;
/// who is slower is asked again before it is used.
const GENESIS_STRAGGLERS: Duration = Duration::from_secs(2);

/// Endpoints that are asked in turn.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    endpoints: Arc<[Endpoint]>,
    /// For an answer, however many endpoints it takes.
    patience: Duration,
    /// The chain, once the first node has named it.
    chain: Arc<OnceLock<BlockId>>,
}

impl Pool {
    pub(super) fn new(endpoints: Arc<[Endpoint]>, patience: Duration) -> Self {
        Self {
            endpoints,
            patience,
            chain: Arc::default(),
        }
    }

    /// Other endpoints of the same chain.
    pub(super) fn of_the_same_chain(&self, endpoints: Arc<[Endpoint]>) -> Self {
        Self {
            endpoints,
            ..self.clone()
        }
    }

    pub(super) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Those that work first, then those that failed lately, each in the order
    /// they were configured in; last those that asked to be left alone.
    pub(super) fn in_order(&self) -> Vec<Endpoint> {
        let mut endpoints = self.endpoints.to_vec();
        endpoints.sort_by_key(|endpoint| (endpoint.limited_until(), endpoint.failing()));
        endpoints
    }

    /// Asks each in turn until one gives an answer that `read` takes. The time
    /// left is shared among the endpoints left.
    pub(super) async fn ask<T>(
        &self,
        path: &str,
        body: &Value,
        limit: usize,
        read: impl Fn(&str, &Value) -> Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        let deadline = Instant::now() + self.patience;
        loop {
            let endpoints = self.in_order();
            let mut last = None;
            for (index, endpoint) in endpoints.iter().enumerate() {
                let left = deadline.saturating_duration_since(Instant::now());
                let share = left / u32::try_from(endpoints.len() - index).unwrap_or(u32::MAX);
                let answer = self
                    .post_within(endpoint, path, body, limit, share)
                    .await
                    .and_then(|answer| endpoint.distrust(read(endpoint.url(), &answer)));
                match answer {
                    Ok(value) => return Ok(value),
                    Err(error @ NodeError::Refused { .. }) => return Err(error),
                    Err(error) => last = Some(error),
                }
            }
            // One that says when it takes requests again is waited for, if that is soon.
            let soonest = endpoints.iter().filter_map(Endpoint::limited_until).min();
            match soonest.filter(|until| *until < deadline) {
                Some(until) => tokio::time::sleep_until(until).await,
                None => {
                    return Err(
                        last.unwrap_or_else(|| NodeError::unknown("", "no node is configured"))
                    );
                }
            }
        }
    }

    /// Asks all of them at once; the answers in the order of configuration.
    pub(super) async fn ask_everyone(
        &self,
        path: &str,
        body: &Value,
        limit: usize,
    ) -> Vec<(Endpoint, Result<Value, NodeError>)> {
        let mut tasks = JoinSet::new();
        for (index, endpoint) in self.endpoints.iter().cloned().enumerate() {
            let (pool, path, body) = (self.clone(), path.to_owned(), body.clone());
            tasks.spawn(async move {
                let answer = pool.post(&endpoint, &path, &body, limit).await;
                (index, endpoint, answer)
            });
        }
        let mut answers = tasks.join_all().await;
        answers.sort_by_key(|(index, ..)| *index);
        answers
            .into_iter()
            .map(|(_, endpoint, answer)| (endpoint, answer))
            .collect()
    }

    /// Asks one, with all the patience there is.
    pub(super) async fn post(
        &self,
        endpoint: &Endpoint,
        path: &str,
        body: &Value,
        limit: usize,
    ) -> Result<Value, NodeError> {
        self.post_within(endpoint, path, body, limit, self.patience)
            .await
    }

    async fn post_within(
        &self,
        endpoint: &Endpoint,
        path: &str,
        body: &Value,
        limit: usize,
        patience: Duration,
    ) -> Result<Value, NodeError> {
        let deadline = Instant::now() + patience;
        if let Some(until) = endpoint.limited_until() {
            if until > deadline {
                return Err(NodeError::Retry {
                    url: endpoint.url().to_owned(),
                    reason: "it has limited us: it is left alone until it takes requests again"
                        .into(),
                    after: Some(until.saturating_duration_since(Instant::now())),
                });
            }
            tokio::time::sleep_until(until).await;
        }
        if let Some(chain) = self.chain.get()
            && endpoint.genesis().is_none()
        {
            // Nothing was sent yet that could have an effect: whatever goes wrong
            // here, the request itself may be made again.
            let genesis = genesis_of(endpoint, deadline.saturating_duration_since(Instant::now()))
                .await
                .map_err(not_sent)?;
            if genesis != *chain {
                return Err(not_sent(another_chain(endpoint, genesis, *chain)));
            }
        }
        // A node of another chain is not asked again.
        if let (Some(chain), Some(genesis)) = (self.chain.get(), endpoint.genesis())
            && genesis != *chain
        {
            return Err(not_sent(another_chain(endpoint, genesis, *chain)));
        }
        // A timer, even one that is due, takes a millisecond or two.
        if let Some(turn) = endpoint.turn(deadline)? {
            tokio::time::sleep_until(turn).await;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        endpoint.post(path, body, limit, left).await
    }

    /// Asks every endpoint for the id of block 0; they must agree.
    pub(super) async fn agree_on_genesis(
        &self,
        endpoints: Vec<Endpoint>,
    ) -> Result<BlockId, NodeError> {
        let mut tasks = JoinSet::new();
        for endpoint in endpoints {
            let patience = self.patience;
            tasks.spawn(async move {
                let genesis = genesis_of(&endpoint, patience).await;
                (endpoint, genesis)
            });
        }
        let mut agreed: Option<BlockId> = None;
        let mut last = None;
        let mut deadline = Instant::now() + self.patience + GENESIS_STRAGGLERS;
        while let Ok(Some(answer)) = tokio::time::timeout_at(deadline, tasks.join_next()).await {
            let Ok((endpoint, answer)) = answer else {
                continue;
            };
            match (answer, agreed) {
                (Ok(genesis), Some(first)) if genesis != first => {
                    return Err(another_chain(&endpoint, genesis, first));
                }
                (Ok(genesis), None) => {
                    agreed = Some(genesis);
                    deadline = deadline.min(Instant::now() + GENESIS_STRAGGLERS);
                }
                (Ok(_), Some(_)) => {}
                (Err(error), _) => last = Some(error),
            }
        }
        let genesis = agreed
            .ok_or_else(|| last.unwrap_or_else(|| NodeError::unknown("", "no node answered")))?;
        // What was agreed on first stays the chain of this client. What the nodes name now is
        // the answer all the same: who asks compares it, and says what it means.
        self.chain.get_or_init(|| genesis);
        Ok(genesis)
    }
}

fn another_chain(endpoint: &Endpoint, genesis: BlockId, chain: BlockId) -> NodeError {
    NodeError::unknown(
        endpoint.url(),
        format!("it is on another chain (genesis {genesis}) than the one seen first ({chain})"),
    )
}

fn not_sent(error: NodeError) -> NodeError {
    match error {
        NodeError::Unknown { url, reason } => NodeError::Retry {
            url,
            reason,
            after: None,
        },
        other => other,
    }
}

async fn genesis_of(endpoint: &Endpoint, patience: Duration) -> Result<BlockId, NodeError> {
    let body = json!({ "num": 0, "visible": false });
    let deadline = Instant::now() + patience;
    let answer = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = endpoint
            .post("wallet/getblockbynum", &body, MAX_ANSWER_BYTES, left)
            .await;
        match (answer, endpoint.limited_until()) {
            // As in `ask`: a short while is waited for.
            (Err(NodeError::Retry { .. }), Some(until)) if until < deadline => {
                tokio::time::sleep_until(until).await;
            }
            (answer, _) => break answer?,
        }
    };
    let genesis = endpoint.distrust(super::blocks::genesis_id(endpoint.url(), &answer))?;
    endpoint.set_genesis(genesis);
    Ok(genesis)
}
