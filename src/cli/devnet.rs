//! `seedrail devnet`: the embedded TRON node.

use std::{net::IpAddr, path::PathBuf};

use clap::Args;
use serde_json::json;

use super::{
    Context,
    failure::{Failure, Outcome},
    settings::read_secret,
    units,
};
use crate::{
    devnet::{Devnet as Running, Pace},
    types::{Decimals, RawAmount, Sun, Token, TokenId, UnitAmount, UnixMs},
};

#[derive(Debug, Args)]
pub(crate) struct Devnet {
    /// The port on this machine; 0 takes a free one.
    #[arg(long, default_value_t = 9090)]
    port: u16,
    /// The address to listen on; anybody who reaches it may do anything.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    listen: IpAddr,
    /// The time between blocks, or `instant`: a block for every transaction.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = pace)]
    block_time: Pace,
    /// How many blocks on top make a block solid.
    #[arg(long, value_name = "N")]
    solid_lag: Option<u64>,
    /// How many accounts start with TRX and BTT.
    #[arg(long, value_name = "N", default_value_t = 10)]
    accounts: u32,
    /// TRX for each of them.
    #[arg(long, value_name = "AMOUNT", default_value = "1000000TRX", value_parser = trx)]
    balance: Sun,
    /// BTT for each of them.
    #[arg(long, value_name = "AMOUNT", default_value = "1000000000BTT", value_parser = units::btt)]
    btt: RawAmount,
    /// A file with a recovery phrase of your own; it is never shown.
    #[arg(long, value_name = "FILE")]
    mnemonic_file: Option<PathBuf>,
    /// The genesis block's time, in ms since 1970: the same time gives the same chain.
    #[arg(long, value_name = "MS")]
    genesis_time: Option<i64>,
}

fn pace(text: &str) -> Result<Pace, String> {
    if text == "instant" {
        return Ok(Pace::Instant);
    }
    units::duration(text).map(Pace::Every)
}

fn trx(text: &str) -> Result<Sun, String> {
    let amount: UnitAmount = text.parse().map_err(|error| format!("{error}"))?;
    match amount.token {
        Token::Trx => Ok(Sun(amount.raw.unsigned())),
        other => Err(format!("`{text}` is in {other}, not in TRX")),
    }
}

impl Devnet {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let mut builder = Running::builder()
            .address(self.listen)
            .port(self.port)
            .pace(self.block_time)
            .accounts(self.accounts)
            .balance(self.balance)
            .btt(self.btt);
        if let Some(lag) = self.solid_lag {
            builder = builder.solid_lag(lag);
        }
        if let Some(time) = self.genesis_time {
            builder = builder.genesis_time(UnixMs(time));
        }
        if let Some(path) = &self.mnemonic_file {
            builder = builder.mnemonic(read_secret(path)?.trim());
        }
        let mut devnet = builder
            .start()
            .await
            .map_err(|error| Failure::failed("devnet", error))?;
        if !self.listen.is_loopback() {
            context.out.warn(format!(
                "the devnet listens on {}: everybody who reaches it may do anything",
                self.listen
            ));
        }
        announce(
            context,
            &devnet,
            self.mnemonic_file.is_some(),
            self.block_time,
        )?;
        tokio::select! {
            () = devnet.wait() => Err(Failure::failed("devnet", "the devnet stopped listening")),
            () = context.interrupt.wait() => Err(Failure::interrupted()),
        }
    }
}

fn announce(context: &Context, devnet: &Running, own_phrase: bool, pace: Pace) -> Outcome {
    // The keys of a phrase of the user's own are the user's own.
    let accounts: Vec<_> = devnet
        .accounts()
        .iter()
        .map(|account| {
            let key = (!own_phrase).then(|| hex::encode(account.key.expose_bytes().as_slice()));
            (account.address, key)
        })
        .collect();
    let url = format!("http://{}", devnet.address());
    let document = json!({
        "url": url,
        "chain_id": devnet.chain_id(),
        "genesis": devnet.genesis_id(),
        "mnemonic": (!own_phrase).then(|| devnet.mnemonic()),
        "accounts": accounts.iter().map(|(address, key)| json!({ "address": address, "private_key": key })).collect::<Vec<_>>(),
        "btt": { "id": TokenId::BTT, "decimals": Decimals::BTT.get() },
    });
    context.out.result(&document, || {
        let mut text = format!("Seedrail devnet at {url}\n\nAccounts\n");
        for (index, (address, key)) in accounts.iter().enumerate() {
            text.push_str(&format!(
                "  ({index}) {address}  {}\n",
                key.as_deref().unwrap_or("key of your own phrase")
            ));
        }
        if !own_phrase {
            text.push_str(&format!("\nMnemonic   {}\n", devnet.mnemonic()));
            text.push_str(
                "           m/44'/195'/0'/0/i; known to everybody: never use it with real money\n",
            );
        }
        let every = match pace {
            Pace::Every(time) => format!("every {time:?}"),
            Pace::Instant => "one for each transaction".into(),
            Pace::Manual => "when told to".into(),
        };
        text.push_str(&format!(
            "Chain      {} (genesis {})\n",
            devnet.chain_id(),
            devnet.genesis_id()
        ));
        text.push_str(&format!("Blocks     {every}\n"));
        text.push_str(&format!(
            "BTT        TRC-10 {}, {} decimals\n",
            TokenId::BTT,
            Decimals::BTT.get()
        ));
        text.push_str("\nCtrl-C ends it.");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn paces_and_amounts_are_read() {
        assert_eq!(pace("instant"), Ok(Pace::Instant));
        assert_eq!(pace("250ms"), Ok(Pace::Every(Duration::from_millis(250))));
        assert_eq!(trx("2TRX"), Ok(Sun(2_000_000)));
        assert!(trx("2BTT").is_err());
    }
}
