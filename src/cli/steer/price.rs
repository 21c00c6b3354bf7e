//! `seedrail price`: what the daemon sells and buys at.

use clap::Args;
use serde_json::{Value, json};

use super::{find, http::Daemon, list, text};
use crate::cli::{
    Context,
    failure::{Failure, Outcome},
    units::{BidArg, Price},
};

#[derive(Debug, Args)]
pub(crate) struct PriceCommand {
    /// Torrent: the first digits of its info-hash, or its name. Default: all that have no
    /// price of their own.
    torrent: Option<String>,
    /// Lowest price for peers that pay, for example 5BTT/GiB; `free` asks for nothing,
    /// `default` takes a torrent's own price away.
    #[arg(long, value_name = "PRICE|free|default", value_parser = named::<Price>)]
    ask: Option<Named<Price>>,
    /// Highest price that you pay, for example 20BTT/GiB; `auto` pays as little as is needed,
    /// `free` nothing; `default` takes a torrent's own bid away.
    #[arg(long, value_name = "PRICE|auto|free|default", value_parser = named::<BidArg>)]
    bid: Option<Named<BidArg>>,
    /// Highest bid of `--bid auto`.
    #[arg(long, value_name = "PRICE", requires = "bid")]
    max_bid: Option<Price>,
}

/// A price, or a word for one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Named<T> {
    Free,
    Default,
    At(T),
}

fn named<T: std::str::FromStr<Err = String>>(text: &str) -> Result<Named<T>, String> {
    Ok(match text {
        "free" => Named::Free,
        "default" => Named::Default,
        price => Named::At(price.parse()?),
    })
}

impl PriceCommand {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let daemon = Daemon::new(context);
        if self.ask.is_none() && self.bid.is_none() {
            return Err(Failure::usage("give a price: --ask PRICE or --bid PRICE"));
        }
        let (method, path, now, name) = match &self.torrent {
            Some(meant) => {
                let rows = list(context, &daemon).await?;
                let one = find(&rows, meant)?;
                let row = rows.iter().find(|row| text(row, "info_hash") == one.hash);
                let now = row.and_then(|row| row.get("prices")).cloned();
                let path = format!("/api/v1/torrents/{}", one.hash);
                ("PATCH", path, now, one.name)
            }
            None => {
                let state = daemon.ask(context, "GET", "/api/v1/state", None).await?;
                let now = state.pointer("/transfer/prices").cloned();
                let all = "all torrents without a price of their own".to_owned();
                ("PUT", "/api/v1/prices".to_owned(), now, all)
            }
        };
        // The other one stays as it is.
        let mut prices = now.unwrap_or_else(|| json!({}));
        if let Some(object) = prices.as_object_mut() {
            if let Some(ask) = self.ask {
                let raw = match ask {
                    Named::Free => json!("0"),
                    Named::Default => Value::Null,
                    Named::At(price) => json!(price.0.to_string()),
                };
                object.insert("ask_raw".to_owned(), raw);
            }
            if let Some(bid) = self.bid {
                let (raw, auto) = self.bid(bid)?;
                object.insert("bid_raw".to_owned(), json!(raw.map(|raw| raw.to_string())));
                object.insert("bid_auto".to_owned(), json!(auto));
            }
        }
        let body = match self.torrent {
            Some(_) => json!({ "prices": prices }),
            None => prices.clone(),
        };
        let asked = (method, path.as_str());
        match self.bid {
            Some(Named::At(_)) => {
                context
                    .out
                    .note(format!("{name}: peers that sell are paid from now on"));
                context.out.confirm("Pay them?", context.settings.yes)?;
                daemon.ask_for_money(context, asked, Some(&body)).await?
            }
            _ => daemon.ask(context, method, &path, Some(&body)).await?,
        };
        let document = json!({ "name": name, "prices": prices });
        let raw = |field: &str| prices.get(field)?.as_str()?.parse::<u64>().ok();
        let shown = |field: &str| match raw(field) {
            None => "the default".to_owned(),
            Some(0) => "free".to_owned(),
            Some(raw) => Price(raw).to_string(),
        };
        context.out.result(&document, || {
            format!("{name}: ask {}, bid {}", shown("ask_raw"), shown("bid_raw"))
        })
    }

    /// Raw units for a GiB, and whether it is the most of an automatic bid.
    fn bid(&self, bid: Named<BidArg>) -> Outcome<(Option<u64>, bool)> {
        match (bid, self.max_bid) {
            (Named::At(BidArg::Auto), Some(most)) => Ok((Some(most.0), true)),
            (Named::At(BidArg::Auto), None) => {
                Err(Failure::usage("--bid auto needs an upper limit")
                    .hint("give --max-bid 20BTT/GiB"))
            }
            (_, Some(_)) => Err(Failure::usage("--max-bid goes with --bid auto")),
            (Named::At(BidArg::Fixed(price)), None) => Ok((Some(price.0), false)),
            (Named::Free, None) => Ok((Some(0), false)),
            (Named::Default, None) => Ok((None, false)),
        }
    }
}
