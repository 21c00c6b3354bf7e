//! `seedrail token`: the TRC-10 tokens of a chain.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Context,
    act::{ActFlags, act},
    chain,
    failure::Outcome,
    tx_build::TokenTerms,
};
use crate::{
    tron::rpc::Asset,
    types::{Address, TokenId},
};

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Show what the chain says of tokens: name, decimals, supply, issuer, the bandwidth it offers.
    Info {
        /// Their ids; BTT's if none is given.
        #[arg(value_name = "ID")]
        ids: Vec<TokenId>,
    },
    /// List the chain's tokens, a page at a time, or what an account issued.
    List {
        /// Only tokens that this account issued.
        #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["offset", "limit"])]
        issuer: Option<Address>,
        /// Skip this many.
        #[arg(long, value_name = "N", default_value_t = 0)]
        offset: u32,
        /// Show at most this many.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Issue a token; an account can do it once, and it costs a fee (1,024 TRX on mainnet).
    Issue {
        #[command(flatten)]
        terms: Box<TokenTerms>,
        #[command(flatten)]
        flags: ActFlags,
    },
}

impl TokenCommand {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Info { mut ids } => {
                if ids.is_empty() {
                    ids.push(TokenId::BTT);
                }
                let chain = chain::connect(context).await?;
                let mut assets = Vec::with_capacity(ids.len());
                for id in ids {
                    assets.push(chain.asset(id).await?);
                }
                let mut rows: Vec<_> = assets.iter().map(row).collect();
                let document = match rows.len() {
                    1 => rows.swap_remove(0),
                    _ => Value::from(rows),
                };
                let text = assets.iter().map(text).collect::<Vec<_>>().join("\n\n");
                context.out.result(&document, || text)
            }
            Self::List {
                issuer,
                offset,
                limit,
            } => {
                let chain = chain::connect(context).await?;
                let assets = match issuer {
                    Some(issuer) => chain.node.assets_of(issuer).await?,
                    None => chain.node.assets(offset, limit).await?,
                };
                let document: Value = assets.iter().map(row).collect();
                context.out.result(&document, || {
                    if assets.is_empty() {
                        return "no tokens".into();
                    }
                    let line = |asset: &Asset| {
                        let Asset { id, abbr, name, .. } = asset;
                        let supply = asset.total_supply.to_decimal(asset.decimals);
                        format!("{id}  {abbr:<10}  {supply:>24}  {name}")
                    };
                    assets.iter().map(line).collect::<Vec<_>>().join("\n")
                })
            }
            Self::Issue { terms, flags } => {
                act(context, &flags, |from| {
                    let contract = terms.contract(from.to_bytes().to_vec())?;
                    Ok((contract, format!("issues {}", terms.words())))
                })
                .await
            }
        }
    }
}

fn row(asset: &Asset) -> Value {
    json!({
        "id": asset.id,
        "name": asset.name,
        "abbr": asset.abbr,
        "decimals": asset.decimals.get(),
        "issuer": asset.owner,
        "supply": asset.total_supply.to_decimal(asset.decimals),
        "supply_raw": asset.total_supply,
        "bandwidth_per_holder": asset.free_limit,
        "bandwidth_for_all": asset.public_free_limit,
        "description": asset.description,
        "url": asset.url,
    })
}

fn text(asset: &Asset) -> String {
    let mut text = format!(
        "TRC-10 {}  {} ({})\n  {} decimals, {} in all\n  issued by {}",
        asset.id,
        asset.name,
        asset.abbr,
        asset.decimals.get(),
        asset.total_supply.to_decimal(asset.decimals),
        asset.owner
    );
    text.push_str(&match (asset.free_limit, asset.public_free_limit) {
        (0, _) | (_, 0) => "\n  its issuer pays nobody's bandwidth".to_owned(),
        (each, all) => format!(
            "\n  its issuer offers {each} points of bandwidth a day to each holder, {all} to all"
        ),
    });
    for words in [&asset.description, &asset.url] {
        if !words.is_empty() {
            text.push_str(&format!("\n  {words}"));
        }
    }
    if asset.id == TokenId::BTT {
        text.push_str(&format!("\n  {}", chain::REDENOMINATION));
    }
    text
}
