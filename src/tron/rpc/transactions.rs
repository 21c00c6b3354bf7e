//! Transactions: what became of one, and sending one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Finality, Node, NodeError, TransactionInfo, answers, clip,
    http::{Endpoint, MAX_ANSWER_BYTES},
    is_empty,
};
use crate::{
    tron::{json::transaction_from_json, transaction::Transaction},
    types::TxId,
};

impl Node {
    /// A transaction; from `/wallet` it may be merely pending.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn transaction(
        &self,
        finality: Finality,
        txid: TxId,
    ) -> Result<Option<Transaction>, NodeError> {
        let body = json!({ "value": txid.to_string(), "visible": false });
        self.ask(finality, "gettransactionbyid", body, |url, answer| {
            if is_empty(answer) {
                return Ok(None);
            }
            let transaction = transaction_from_json(answer, false)
                .map_err(|error| NodeError::unknown(url, error))?;
            if transaction.txid() != txid {
                return Err(NodeError::unknown(
                    url,
                    format!("asked for {txid}, it sent another"),
                ));
            }
            Ok(Some(transaction))
        })
        .await
    }

    /// What became of a transaction that is in a block.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn transaction_info(
        &self,
        finality: Finality,
        txid: TxId,
    ) -> Result<Option<TransactionInfo>, NodeError> {
        let body = json!({ "value": txid.to_string(), "visible": true });
        self.ask(finality, "gettransactioninfobyid", body, |url, answer| {
            answers::transaction_info(answer, txid)
                .map_err(|reason| NodeError::unknown(url, reason))
        })
        .await
    }

    /// The infos of a whole block's transactions.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn transaction_infos(
        &self,
        finality: Finality,
        number: u64,
    ) -> Result<BTreeMap<TxId, TransactionInfo>, NodeError> {
        let body = json!({ "num": number, "visible": true });
        self.ask(
            finality,
            "gettransactioninfobyblocknum",
            body,
            |url, answer| {
                answers::transaction_infos(answer).map_err(|reason| NodeError::unknown(url, reason))
            },
        )
        .await
    }

    /// Sends a signed transaction to the first node that takes a connection.
    /// `Ok` means accepted, which is no promise: follow it until solid.
    ///
    /// # Errors
    /// `Retry`: it was not sent. `Refused`: the node's check failed; other nodes,
    /// or the same one a moment later, may say otherwise. `Unknown`: it may be on
    /// its way (time-outs, cut connections, and the codes that do not prove the
    /// contrary: DUP_TRANSACTION_ERROR, SERVER_BUSY, NO_CONNECTION,
    /// NOT_ENOUGH_EFFECTIVE_CONNECTION, BLOCK_UNSOLIDIFIED, OTHER_ERROR).
    pub async fn broadcast(&self, transaction: &Transaction) -> Result<(), NodeError> {
        let mut last = None;
        for endpoint in self.full.in_order() {
            match self.broadcast_to(&endpoint, transaction).await {
                Err(error @ NodeError::Retry { .. }) => last = Some(error),
                other => return other,
            }
        }
        Err(last.unwrap_or_else(|| NodeError::unknown("", "no node is configured")))
    }

    /// Sends a signed transaction to every node at once; the answers in the order
    /// the nodes were configured in.
    pub async fn broadcast_everywhere(
        &self,
        transaction: &Transaction,
    ) -> Vec<Result<(), NodeError>> {
        let body = broadcast_body(transaction);
        let answers = self
            .full
            .ask_everyone("wallet/broadcasthex", &body, MAX_ANSWER_BYTES)
            .await;
        answers
            .into_iter()
            .map(|(endpoint, answer)| {
                answer.and_then(|answer| read_broadcast(endpoint.url(), &answer, transaction))
            })
            .collect()
    }

    async fn broadcast_to(
        &self,
        endpoint: &Endpoint,
        transaction: &Transaction,
    ) -> Result<(), NodeError> {
        let body = broadcast_body(transaction);
        let answer = self
            .full
            .post(endpoint, "wallet/broadcasthex", &body, MAX_ANSWER_BYTES)
            .await?;
        read_broadcast(endpoint.url(), &answer, transaction)
    }
}

fn broadcast_body(transaction: &Transaction) -> Value {
    json!({ "transaction": hex::encode(transaction.encode()) })
}

fn read_broadcast(url: &str, answer: &Value, transaction: &Transaction) -> Result<(), NodeError> {
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
    // The node hashes its own re-serialisation: another id is another transaction.
    if let Some(echo) = answer.get("txid").and_then(Value::as_str)
        && echo.parse::<TxId>() != Ok(transaction.txid())
    {
        let txid = transaction.txid();
        return Err(NodeError::unknown(
            url,
            format!("sent transaction {txid}, it answered for `{echo}`"),
        ));
    }
    if answer.get("result").and_then(Value::as_bool) == Some(true) {
        return Ok(());
    }
    let code = text("code");
    match code {
        "SIGERROR"
        | "CONTRACT_VALIDATE_ERROR"
        | "CONTRACT_EXE_ERROR"
        | "BANDWITH_ERROR"
        | "TAPOS_ERROR"
        | "TOO_BIG_TRANSACTION_ERROR"
        | "TRANSACTION_EXPIRATION_ERROR" => Err(NodeError::Refused {
            url: url.to_owned(),
            code: code.to_owned(),
            message: clip(text("message")),
        }),
        "" => Err(NodeError::unknown(
            url,
            format!("an answer without a code: {}", clip(&answer.to_string())),
        )),
        other => Err(NodeError::unknown(
            url,
            format!("{} ({})", clip(text("message")), clip(other)),
        )),
    }
}
