//! Accounts, tokens, and what things cost.

use serde_json::{Value, json};

use super::{
    Account, AccountResources, Asset, ChainParameters, Finality, Node, NodeError, StakeYield,
    answers,
    http::{Endpoint, MAX_ANSWER_BYTES},
};
use crate::{
    tron::permission::Permissions,
    types::{Address, TokenId},
};

impl Node {
    /// An account, or `None` when this node knows none.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn account(
        &self,
        finality: Finality,
        address: Address,
    ) -> Result<Option<Account>, NodeError> {
        let body = json!({ "address": address.to_string(), "visible": true });
        self.ask(finality, "getaccount", body, |url, answer| {
            answers::account(answer, address).map_err(|reason| NodeError::unknown(url, reason))
        })
        .await
    }

    /// An account in solid blocks as each node knows it, in the order of configuration;
    /// `None` where it knows none.
    pub async fn account_everywhere(
        &self,
        address: Address,
    ) -> Vec<Result<Option<Account>, NodeError>> {
        let body = json!({ "address": address.to_string(), "visible": true });
        let answers = self
            .solidity
            .ask_everyone("walletsolidity/getaccount", &body, MAX_ANSWER_BYTES)
            .await;
        let read = |(endpoint, answer): (Endpoint, Result<Value, NodeError>)| {
            endpoint.distrust(
                answers::account(&answer?, address)
                    .map_err(|reason| NodeError::unknown(endpoint.url(), reason)),
            )
        };
        answers.into_iter().map(read).collect()
    }

    /// Who may sign for an account at the head; `None` when this node knows no
    /// such account.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn permissions(&self, address: Address) -> Result<Option<Permissions>, NodeError> {
        let body = json!({ "address": address.to_string(), "visible": true });
        self.ask(Finality::Head, "getaccount", body, |url, answer| {
            let account =
                answers::account(answer, address).map_err(|e| NodeError::unknown(url, e))?;
            account
                .map(|_| Permissions::from_account_json(address, answer))
                .transpose()
                .map_err(|error| NodeError::unknown(url, error))
        })
        .await
    }

    /// An account's bandwidth at the head.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn resources(&self, address: Address) -> Result<AccountResources, NodeError> {
        let body = json!({ "address": address.to_string(), "visible": true });
        self.ask(Finality::Head, "getaccountresource", body, |url, answer| {
            answers::resources(answer).map_err(|reason| NodeError::unknown(url, reason))
        })
        .await
    }

    /// What `holder` has used of the bandwidth that the issuer of `token` offers,
    /// in points, recovered to now.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn resources_of_holder(
        &self,
        holder: Address,
        token: TokenId,
    ) -> Result<u64, NodeError> {
        let body = json!({ "address": holder.to_string(), "visible": true });
        self.ask(Finality::Head, "getaccountresource", body, |url, answer| {
            answers::holder_usage(answer, token).map_err(|reason| NodeError::unknown(url, reason))
        })
        .await
    }

    /// The chain's parameters.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn chain_parameters(&self) -> Result<ChainParameters, NodeError> {
        self.ask(
            Finality::Head,
            "getchainparameters",
            json!({}),
            |url, answer| {
                answers::chain_parameters(answer).map_err(|reason| NodeError::unknown(url, reason))
            },
        )
        .await
    }

    /// A TRC-10 token, or `None` when this node knows none of that id.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn asset(&self, id: TokenId) -> Result<Option<Asset>, NodeError> {
        let body = json!({ "value": id.to_string(), "visible": true });
        self.ask(Finality::Head, "getassetissuebyid", body, |url, answer| {
            answers::asset(answer, id).map_err(|reason| NodeError::unknown(url, reason))
        })
        .await
    }

    /// A page of the chain's tokens, `offset` of them left out, at most `limit`
    /// (the node gives no more than 1,000) in an order of the node's.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn assets(&self, offset: u32, limit: u32) -> Result<Vec<Asset>, NodeError> {
        let body = json!({ "offset": offset, "limit": limit, "visible": true });
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let method = "getpaginatedassetissuelist";
        self.ask(Finality::Head, method, body, |url, answer| {
            answers::assets(answer, most, None).map_err(|reason| NodeError::unknown(url, reason))
        })
        .await
    }

    /// The tokens that an account has issued: none, or one.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn assets_of(&self, issuer: Address) -> Result<Vec<Asset>, NodeError> {
        let body = json!({ "address": issuer.to_string(), "visible": true });
        self.ask(
            Finality::Head,
            "getassetissuebyaccount",
            body,
            |url, answer| {
                answers::assets(answer, 1, Some(issuer))
                    .map_err(|reason| NodeError::unknown(url, reason))
            },
        )
        .await
    }

    /// What stake gives on this chain, and the account's energy, at the head.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn stake_yield(&self, address: Address) -> Result<StakeYield, NodeError> {
        let body = json!({ "address": address.to_string(), "visible": true });
        self.ask(Finality::Head, "getaccountresource", body, |url, answer| {
            answers::stake_yield(answer).map_err(|reason| NodeError::unknown(url, reason))
        })
        .await
    }
}
