//! `seedrail balance`: what an account holds.

use clap::Args;
use serde_json::{Value, json};

use super::{Context, account, chain, failure::Outcome, printable};
use crate::{
    tron::rpc::Finality,
    types::{Address, Decimals, RawAmount, Sun, TokenId},
};

#[derive(Debug, Args)]
pub(crate) struct Balance {
    /// Accounts to show. Default: the current one.
    #[arg(value_name = "ADDRESS")]
    addresses: Vec<Address>,
    /// Show the final state, which can no longer be undone.
    #[arg(long)]
    solid: bool,
}

impl Balance {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let mut addresses = self.addresses;
        if addresses.is_empty() {
            addresses.push(account::address(context)?);
        }
        let chain = chain::connect(context).await?;
        let finality = if self.solid {
            Finality::Solid
        } else {
            Finality::Head
        };
        let mut rows = Vec::new();
        for address in addresses {
            rows.push(row(&chain, finality, address).await?);
        }
        let text = rows.iter().map(text).collect::<Vec<_>>().join("\n\n");
        let document = match rows.len() {
            1 => rows.swap_remove(0),
            _ => Value::from(rows),
        };
        context.out.result(&document, || text)
    }
}

async fn row(chain: &chain::Chain, finality: Finality, address: Address) -> Outcome<Value> {
    let account = chain.node.account(finality, address).await?;
    let mut tokens = Vec::new();
    let mut held: Vec<_> = account.iter().flat_map(|account| &account.tokens).collect();
    // The built-in token first: anybody may give another one its name.
    held.sort_by_key(|(id, _)| (**id != TokenId::BTT, **id));
    for (id, amount) in held {
        let asset = chain.asset(*id).await?;
        tokens.push(json!({
            "id": id,
            "abbr": asset.abbr,
            "name": chain::listed_name(*id, &asset.abbr),
            "decimals": asset.decimals.get(),
            "amount": amount.to_decimal(asset.decimals),
            "amount_raw": amount,
        }));
    }
    let resources = match account {
        Some(_) => chain.node.resources(address).await?,
        None => Default::default(),
    };
    let balance = account.as_ref().map_or(Sun(0), |account| account.balance);
    let trx =
        RawAmount::new(i64::try_from(balance.0).unwrap_or(i64::MAX)).unwrap_or(RawAmount::MAX);
    Ok(json!({
        "address": address,
        "activated": account.is_some(),
        "trx": { "amount": trx.to_decimal(Decimals::TRX), "amount_raw": trx },
        "tokens": tokens,
        "bandwidth": { "free_left": resources.free_left(), "staked_left": resources.staked_left() },
    }))
}

fn text(row: &Value) -> String {
    let get = |value: &Value, path: &str| -> String {
        match value.pointer(path) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    };
    let mut lines = vec![get(row, "/address")];
    if row.get("activated") == Some(&Value::Bool(false)) {
        lines.push("  not on the chain yet (nobody has paid it)".into());
        return lines.join("\n");
    }
    lines.push(format!("  {:>24} TRX", get(row, "/trx/amount")));
    for token in row
        .get("tokens")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let (amount, name) = (get(token, "/amount"), get(token, "/name"));
        lines.push(format!("  {amount:>24} {}", printable::line(&name)));
    }
    let (free, staked) = (
        get(row, "/bandwidth/free_left"),
        get(row, "/bandwidth/staked_left"),
    );
    lines.push(format!("  bandwidth left: {free} free, {staked} staked"));
    lines.join("\n")
}
