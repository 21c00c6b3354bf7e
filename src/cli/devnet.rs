//! `seedrail devnet`: the embedded TRON node.

use std::{
    io::Read,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Context,
    failure::{Failure, Outcome},
    settings::read_secret,
    units,
};
use crate::{
    devnet::{Devnet as Running, Pace, Parameters, Preset, Trc20},
    types::{Address, Decimals, RawAmount, Sun, Token, TokenId, UnitAmount, UnixMs},
};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Devnet {
    #[command(subcommand)]
    action: Option<Action>,
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
    /// How many witnesses take turns making blocks; at most 27.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=27))]
    witnesses: u8,
    /// Sign blocks with the key of each witness's permission instead of its own, as TRON allows.
    #[arg(long)]
    witness_permission_keys: bool,
    /// How many accounts start with TRX and BTT.
    #[arg(long, value_name = "N", default_value_t = 10)]
    accounts: u32,
    /// TRX for each of them.
    #[arg(long, value_name = "AMOUNT", default_value = "1000000TRX", value_parser = units::trx)]
    balance: Sun,
    /// BTT for each of them.
    #[arg(long, value_name = "AMOUNT", default_value = "1000000000BTT", value_parser = units::btt)]
    btt: RawAmount,
    /// TRC-20 tokens to deploy at genesis, each with its decimals: USDT:6,BTT:18. Every account
    /// gets 1,000,000,000 of each.
    #[arg(long, value_name = "SYMBOL:DECIMALS", value_delimiter = ',')]
    trc20: Vec<Trc20>,
    /// A file with a recovery phrase of your own; it is never shown.
    #[arg(long, value_name = "FILE")]
    mnemonic_file: Option<PathBuf>,
    /// The genesis block's time, in ms since 1970: the same time gives the same chain.
    #[arg(long, value_name = "MS")]
    genesis_time: Option<i64>,
    /// Fees and limits to begin with: as on mainnet, or as on a fresh java-tron chain.
    #[arg(long, value_name = "PRESET", default_value = "mainnet-like", value_parser = preset)]
    preset: Preset,
    /// A chain parameter to begin with, such as getMemoFee=0; repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    parameter: Vec<(String, i64)>,
    /// How long unstaked TRX wait before they can be withdrawn, such as 1m; by default the 14
    /// days of the chain parameter.
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    unfreeze_delay: Option<Duration>,
    /// End a transaction whose code runs more opcodes than this as OUT_OF_TIME; without, only
    /// its energy ends it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    transaction_opcodes: Option<u64>,
    /// Fork the chain of the node at this URL: accounts, TRC-10 tokens and contracts that the
    /// devnet does not have are read from there when they are first needed.
    #[arg(long, value_name = "URL")]
    fork: Option<String>,
    /// URL of the forked node's JSON-RPC, by which storage is read; default: that of --fork with
    /// /jsonrpc.
    #[arg(long, value_name = "URL", requires = "fork")]
    fork_jsonrpc: Option<String>,
    /// A JSON file with more accounts, parameters and the time of genesis.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Keep the chain in this file and go on from it: each block is on disk before it is seen.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// How many blocks stay in memory; all of them if not given.
    #[arg(long, value_name = "N")]
    keep_blocks: Option<u64>,
    /// Make no empty blocks while nothing happens, with `--block-time instant`.
    #[arg(long)]
    no_idle_blocks: bool,
    /// Take transactions that expire before the chain's time but not before this machine's
    /// clock, for programs that go on after the chain's time was changed.
    #[arg(long)]
    lenient_expiration: bool,
    /// Where in the phrase's tree the accounts are; /0, /1 and so on are added.
    #[arg(long, value_name = "PATH", default_value = "m/44'/195'/0'/0")]
    hd_path: String,
    /// Let pages of this origin call the devnet, beside those of this machine; repeatable, `*`
    /// for all.
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// Write what --json prints to this file as well, when the devnet answers.
    #[arg(long, value_name = "FILE")]
    config_out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Give an account of a running devnet TRX or tokens out of nothing.
    Fund(Fund),
    /// Deploy a TRC-20 token on a running devnet; all of it is the holder's.
    DeployTrc20(DeployTrc20),
}

#[derive(Debug, Args)]
struct DeployTrc20 {
    /// Its symbol and decimals: USDT:6.
    token: Trc20,
    /// Who gets 1,000,000,000 of it.
    holder: Address,
    /// Where the devnet answers.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    url: String,
}

impl DeployTrc20 {
    async fn run(&self, context: &Context) -> Outcome {
        let (symbol, decimals) = (self.token.symbol(), self.token.decimals());
        let body = json!({ "symbol": symbol, "decimals": decimals, "holder": self.holder });
        let answer = command(&self.url, "deploytrc20", &body).await?;
        let address = answer.get("address").and_then(serde_json::Value::as_str);
        let address = address.unwrap_or_default();
        let document = json!({ "symbol": symbol, "decimals": decimals, "address": address });
        context
            .out
            .result(&document, || format!("{symbol} is at {address}."))
    }
}

#[derive(Debug, Args)]
struct Fund {
    /// Who gets it; an account that does not exist is made.
    address: Address,
    /// How much, with its unit: 5TRX, 12.5BTT, 7raw:1000001.
    amount: UnitAmount,
    /// Where the devnet answers.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    url: String,
}

/// How long a devnet may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// What a running devnet answers to a command.
async fn command(url: &str, name: &str, body: &serde_json::Value) -> Outcome<serde_json::Value> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed("devnet", format!("{url}: {error}"))
            .hint("is it running? `seedrail devnet` starts one; name another with --url URL")
    };
    // An error says that it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .timeout(ANSWER_TIME)
        .build()
        .map_err(|error| failed(&error))?;
    let asked = client
        .post(format!("{}/devnet/{name}", url.trim_end_matches('/')))
        .header("content-type", "application/json")
        .body(body.to_string());
    let answer = asked.send().await.map_err(|error| failed(&error))?;
    let text = answer.text().await.map_err(|error| failed(&error))?;
    let answer: serde_json::Value = serde_json::from_str(&text).map_err(|_| {
        failed(&format!(
            "this is no devnet: it does not know /devnet/{name}"
        ))
    })?;
    match answer.get("error").and_then(serde_json::Value::as_str) {
        Some(error) => Err(failed(&error)),
        None => Ok(answer),
    }
}

impl Fund {
    async fn run(&self, context: &Context) -> Outcome {
        let mut body = json!({ "address": self.address, "amount_raw": self.amount.raw });
        if let (Token::Trc10(id), Some(body)) = (self.amount.token, body.as_object_mut()) {
            body.insert("token".into(), id.get().into());
        }
        command(&self.url, "fund", &body).await?;
        let document = json!({ "address": self.address, "amount_raw": self.amount.raw });
        context.out.result(&document, || {
            format!("{} has {} more.", self.address, self.amount)
        })
    }
}

fn preset(text: &str) -> Result<Preset, String> {
    match text {
        "mainnet-like" => Ok(Preset::MainnetLike),
        "genesis" => Ok(Preset::Genesis),
        other => Err(format!("`{other}` is neither mainnet-like nor genesis")),
    }
}

fn parameter(text: &str) -> Result<(String, i64), String> {
    let wrong = || format!("`{text}` is no parameter: write it as getMemoFee=0");
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    let value = value.trim().parse().map_err(|_| wrong())?;
    // Of a name that does not exist, before anything is started.
    Parameters::new(Preset::MainnetLike)
        .set(name.trim(), value)
        .map_err(|error| error.to_string())?;
    Ok((name.trim().to_owned(), value))
}

fn pace(text: &str) -> Result<Pace, String> {
    if text == "instant" {
        return Ok(Pace::Instant);
    }
    units::duration(text).map(Pace::Every)
}

impl Devnet {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match &self.action {
            Some(Action::Fund(fund)) => return fund.run(context).await,
            Some(Action::DeployTrc20(deploy)) => return deploy.run(context).await,
            None => {}
        }
        let mut builder = Running::builder()
            .address(self.listen)
            .port(self.port)
            .pace(self.block_time)
            .accounts(self.accounts)
            .balance(self.balance)
            .btt(self.btt)
            .hd_path(&self.hd_path)
            .idle_blocks(!self.no_idle_blocks);
        for token in &self.trc20 {
            builder = builder.trc20(token.clone());
        }
        if self.lenient_expiration {
            builder = builder.lenient_expiration();
        }
        for origin in &self.allow_origin {
            builder = builder.allow_origin(origin);
        }
        let out = context.out;
        if !out.quiet && !out.json {
            builder = builder.log(move |event| out.note(event.to_string()));
        }
        let failed = |error| Failure::failed("devnet", error);
        builder = builder.witnesses(self.witnesses.into());
        if self.witness_permission_keys {
            builder = builder.separate_witness_keys();
        }
        builder = builder.preset(self.preset);
        for (name, value) in &self.parameter {
            builder = builder
                .parameter(name, *value)
                .map_err(|error| failed(error.into()))?;
        }
        if let Some(wait) = self.unfreeze_delay {
            builder = builder.unfreeze_delay(wait);
        }
        if let Some(opcodes) = self.transaction_opcodes {
            builder = builder.transaction_opcodes(opcodes);
        }
        if let Some(path) = &self.genesis {
            let text = read_genesis(path)?;
            builder = builder.genesis_json(&text).map_err(failed)?;
        }
        if let Some(url) = &self.fork {
            let urls = self.fork.iter().chain(&self.fork_jsonrpc);
            context.settings.refuse_open_api_key_to(urls)?;
            builder = builder.fork(context.settings.node_at(url));
        }
        if let Some(url) = &self.fork_jsonrpc {
            builder = builder.fork_json_rpc(url);
        }
        if let Some(path) = &self.state {
            builder = builder.state(path);
        }
        if let Some(blocks) = self.keep_blocks {
            builder = builder.keep_blocks(blocks);
        }
        if let Some(lag) = self.solid_lag {
            builder = builder.solid_lag(lag);
        }
        if let Some(time) = self.genesis_time {
            builder = builder.genesis_time(UnixMs(time));
        }
        if let Some(path) = &self.mnemonic_file {
            builder = builder.mnemonic(read_secret(path)?.trim());
        }
        let mut devnet = builder.start().await.map_err(failed)?;
        if !self.listen.is_loopback() {
            context.out.warn(format!(
                "the devnet listens on {}: everybody who reaches it may do anything",
                self.listen
            ));
        }
        announce(context, &devnet, &self)?;
        tokio::select! {
            error = devnet.wait() => Err(failed(error)),
            // Nothing was cut short: a devnet runs until it is told to end.
            () = context.interrupt.wait() => Ok(()),
        }
    }
}

/// The largest genesis file read, bytes: far more than 1,000 accounts need.
const MAX_GENESIS: u64 = 1 << 20;

fn read_genesis(path: &Path) -> Outcome<String> {
    let wrong = |error: std::io::Error| {
        Failure::failed(
            "file",
            format!("the genesis file {}: {error}", path.display()),
        )
    };
    let mut text = String::new();
    let mut file = std::fs::File::open(path)
        .map_err(wrong)?
        .take(MAX_GENESIS + 1);
    file.read_to_string(&mut text).map_err(wrong)?;
    if file.limit() == 0 {
        return Err(Failure::failed(
            "file",
            format!(
                "the genesis file {} is longer than {MAX_GENESIS} bytes",
                path.display()
            ),
        ));
    }
    Ok(text)
}

fn announce(context: &Context, devnet: &Running, options: &Devnet) -> Outcome {
    let (own_phrase, pace) = (options.mnemonic_file.is_some(), options.block_time);
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
    let mut document = json!({
        "url": url,
        "chain_id": devnet.chain_id(),
        "genesis": devnet.genesis_id(),
        "mnemonic": (!own_phrase).then(|| devnet.mnemonic()),
        "accounts": accounts.iter().map(|(address, key)| json!({ "address": address, "private_key": key })).collect::<Vec<_>>(),
        "trc20": devnet.trc20().iter().map(|(token, address)| json!({
            "symbol": token.symbol(), "decimals": token.decimals(), "address": address,
        })).collect::<Vec<_>>(),
        "btt": { "id": TokenId::BTT, "decimals": Decimals::BTT.get() },
    });
    let fork = devnet.forked().zip(options.fork.as_deref());
    if let (Some((forked, url)), Some(document)) = (fork, document.as_object_mut()) {
        let fork = json!({
            "url": url, "genesis": forked.chain, "block": forked.block, "time_ms": forked.time,
        });
        document.insert("fork".to_owned(), fork);
    }
    if let Some(path) = &options.config_out {
        std::fs::write(path, format!("{document}\n")).map_err(|error| {
            Failure::failed("file", format!("cannot write {}: {error}", path.display()))
        })?;
    }
    context.out.result(&document, || {
        let mut text = format!("Seedrail devnet at {url}\n\nAccounts\n");
        let held = |token, raw| UnitAmount { token, raw };
        for (index, (address, _)) in accounts.iter().enumerate() {
            let balance = |token| held(token, devnet.balance(*address, token));
            let (trx, btt) = (balance(Token::Trx), balance(Token::Trc10(TokenId::BTT)));
            text.push_str(&format!("  ({index}) {address}  {trx}, {btt}\n"));
        }
        text.push_str("\nPrivate keys\n");
        for (index, (_, key)) in accounts.iter().enumerate() {
            let key = key.as_deref().unwrap_or("of your own phrase");
            text.push_str(&format!("  ({index}) {key}\n"));
        }
        if !own_phrase {
            text.push_str(&format!("\nMnemonic   {}\n", devnet.mnemonic()));
            text.push_str(&format!(
                "           {}/i; known to everybody: never use it with real money\n",
                options.hd_path
            ));
        }
        let every = match pace {
            Pace::Every(time) => format!("every {time:?}"),
            Pace::Instant => "one for each transaction".into(),
            Pace::Manual => "when told to".into(),
        };
        text.push_str(&format!(
            "Chain      {}\nGenesis    {}\n",
            devnet.chain_id(),
            devnet.genesis_id()
        ));
        text.push_str(&format!("Blocks     {every}\n"));
        text.push_str(&format!(
            "BTT        TRC-10 {}, {} decimals\n",
            TokenId::BTT,
            Decimals::BTT.get()
        ));
        for (token, address) in devnet.trc20() {
            text.push_str(&format!(
                "{:<10} TRC-20 {address}, {} decimals\n",
                token.symbol(),
                token.decimals()
            ));
        }
        text.push_str(&format!(
            "Endpoints  /wallet /walletsolidity /jsonrpc /tre /v1 /devnet; {url}/ is a page\n"
        ));
        if let Some((forked, url)) = fork {
            text.push_str(&format!(
                "Fork       {url}, forked at block {}, genesis {}\n",
                forked.block, forked.chain
            ));
        }
        if let Some(path) = &options.state {
            text.push_str(&format!("State      {}\n", path.display()));
        }
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
        assert_eq!(units::trx("2TRX"), Ok(Sun(2_000_000)));
        assert!(units::trx("2BTT").is_err());
    }
}
