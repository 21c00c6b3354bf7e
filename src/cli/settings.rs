//! Settings: flag, environment, `config.toml`, default, in that order.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt, fs,
    io::Read as _,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use zeroize::Zeroizing;

use super::{
    Global,
    failure::{Failure, Outcome},
    settle::policy::{PolicyConfig, PolicyFlags},
};
use crate::{
    ledger::PostgresUrl,
    tron::rpc::{NodeConfig, Quota},
    types::BlockId,
};

/// The largest file with a secret: a recovery phrase has some hundred bytes.
const MAX_SECRET_BYTES: usize = 64 << 10;

/// What a public node is sent a second: below what they are known to allow.
const PUBLIC_REQUESTS: u32 = 10;

/// Where a node's API key may stand.
const API_KEY_VARIABLE: &str = "TRON_PRO_API_KEY";

/// A TRON network this program knows by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Network {
    Devnet,
    Nile,
    Shasta,
    Mainnet,
}

/// The genesis blocks of the public networks.
const MAINNET: &str = "00000000000000001ebf88508a03865c71d452e25f4d51194196a1d22b6653dc";
const NILE: &str = "0000000000000000d698d4192c56cb6be724a558448e2684802de4d6cd8690dc";
const SHASTA: &str = "0000000000000000de1aa88295e1fcf982742f773e0419c5a9c134c994a9059e";

impl Network {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Devnet, "devnet", "http://127.0.0.1:9090"),
        (Self::Nile, "nile", "https://nile.trongrid.io"),
        (Self::Shasta, "shasta", "https://api.shasta.trongrid.io"),
        (Self::Mainnet, "mainnet", "https://api.trongrid.io"),
    ];

    /// Reads a network's name from the command line; near misses are told of.
    pub(crate) fn parser() -> impl TypedValueParser<Value = Self> {
        let names = Self::ALL.map(|(_, name, _)| name);
        PossibleValuesParser::new(names).try_map(|name| name.parse::<Self>())
    }

    /// The chain's genesis block, where it never changes.
    pub(crate) fn genesis(self) -> Option<BlockId> {
        match self {
            Self::Mainnet => MAINNET.parse().ok(),
            Self::Devnet | Self::Nile | Self::Shasta => None,
        }
    }

    /// The public network that has this genesis block.
    pub(crate) fn of(genesis: BlockId) -> Option<Self> {
        match genesis.to_string().as_str() {
            MAINNET => Some(Self::Mainnet),
            NILE => Some(Self::Nile),
            SHASTA => Some(Self::Shasta),
            _ => None,
        }
    }

    fn default_url(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(network, ..)| *network == self)
            .map_or("", |(_, _, url)| url)
    }
}

/// The home folder of somebody who names none.
pub(super) fn default_home() -> Result<PathBuf, etcetera::HomeDirError> {
    Ok(etcetera::choose_base_strategy()?
        .data_dir()
        .join("seedrail"))
}

/// The home folder of the environment, or the default one, if it can be known.
pub(crate) fn usual_home() -> Option<PathBuf> {
    std::env::var_os("SEEDRAIL_HOME")
        .map(PathBuf::from)
        .or_else(|| default_home().ok())
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .find(|(_, name, _)| *name == text)
            .map(|(network, ..)| *network)
            .ok_or_else(|| format!("`{text}` is not a network: devnet, nile, shasta or mainnet"))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL
            .iter()
            .find(|(network, ..)| network == self)
            .map_or("", |(_, name, _)| name);
        f.write_str(name)
    }
}

/// `config.toml`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "options are known here, and read by `file_options`"
)]
pub(crate) struct ConfigFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<Network>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) networks: BTreeMap<Network, NetworkConfig>,
    #[serde(default, skip_serializing_if = "PolicyConfig::is_empty")]
    pub(crate) settle: PolicyConfig,
    // Options of the command line, which `file_options` reads.
    #[serde(default, skip_serializing)]
    api_key_file: IgnoredAny,
    #[serde(default, skip_serializing)]
    checkpoint: IgnoredAny,
    #[serde(default, skip_serializing)]
    key_file: IgnoredAny,
    #[serde(default, skip_serializing)]
    ledger: IgnoredAny,
    #[serde(default, skip_serializing)]
    passphrase_file: IgnoredAny,
    #[serde(default, skip_serializing)]
    requests_per_second: IgnoredAny,
    #[serde(default, skip_serializing)]
    signer: IgnoredAny,
    #[serde(default, skip_serializing)]
    daemon: BTreeMap<String, IgnoredAny>,
    #[serde(default, skip_serializing)]
    get: BTreeMap<String, IgnoredAny>,
    #[serde(default, skip_serializing)]
    seed: BTreeMap<String, IgnoredAny>,
}

/// Where a network's nodes are, if not where this program expects them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkConfig {
    #[serde(default)]
    pub(crate) node: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) solidity_node: Vec<String>,
}

/// Where a setting's value came from, in the order in which they count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    Flag,
    Environment,
    Config,
    Default,
}

/// The origin of each setting that has one.
#[derive(Debug, Clone)]
pub(crate) struct Origins {
    pub(crate) home: Origin,
    pub(crate) network: Origin,
    pub(crate) node: Origin,
    pub(crate) solidity_node: Origin,
    pub(crate) api_key: Origin,
    pub(crate) requests_per_second: Origin,
    pub(crate) account: Origin,
    pub(crate) signer: Origin,
    pub(crate) ledger: Origin,
    pub(crate) key_file: Origin,
    pub(crate) passphrase_file: Origin,
}

/// Where the ledger is. Neither form shows a password.
#[derive(Debug, Clone)]
pub(crate) enum LedgerPlace {
    File(PathBuf),
    Server(Box<PostgresUrl>),
    /// A URL that is none; why, without the URL.
    Refused(String),
}

impl LedgerPlace {
    /// Never fails, since the parser of arguments would repeat what it was
    /// given; [`Settings::read`] refuses.
    pub(crate) fn of(text: &str) -> Result<Self, Infallible> {
        Ok(if let Some(why) = no_place(text) {
            Self::Refused(why)
        } else if !PostgresUrl::is_one(text) {
            Self::File(PathBuf::from(text))
        } else {
            match PostgresUrl::parse(text) {
                Ok(url) => Self::Server(Box::new(url)),
                Err(error) => Self::Refused(error.to_string()),
            }
        })
    }

    fn check(&self, from: Origin) -> Outcome {
        match self {
            Self::Refused(why) => Err(Failure::usage(why)),
            Self::Server(url) if url.has_password() && from == Origin::Flag => {
                Err(Failure::usage(format!(
                    "a password on the command line can be read by everybody on this machine: {url}"
                ))
                .hint("give the URL by SEEDRAIL_LEDGER, or the password by PGPASSFILE"))
            }
            Self::Server(_) | Self::File(_) => Ok(()),
        }
    }
}

/// Why a text that looks like the address of a server is none that is known. As
/// a file's name it would make an empty ledger, which knows of no payment. The
/// sentence does not repeat the text, which may hold a password.
fn no_place(text: &str) -> Option<String> {
    const FORMS: &str = "a ledger is a file, or postgres://USER@HOST:PORT/DATABASE; a file whose \
                         name looks like this is written with ./ in front";
    let is_word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
    };
    if PostgresUrl::is_one(text) {
        return None;
    }
    if let Some((scheme, _)) = text.split_once("://")
        && is_word(scheme)
    {
        return Some(format!("no ledger is opened by a {scheme}:// URL: {FORMS}"));
    }
    let (key, _) = text.split_once('=')?;
    is_word(key).then(|| format!("no ledger is opened by a {key}=... connection string: {FORMS}"))
}

impl fmt::Display for LedgerPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(url) => url.fmt(f),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

/// Everything a command may need to know, with the precedence applied.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) origins: Origins,
    pub(crate) home: PathBuf,
    pub(crate) network: Network,
    pub(crate) node: NodeConfig,
    /// The most requests a second to each node; none is no limit.
    pub(crate) requests_per_second: Option<u32>,
    pub(crate) account: Option<String>,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) signer: Option<PathBuf>,
    pub(crate) passphrase_file: Option<PathBuf>,
    pub(crate) ledger: Option<LedgerPlace>,
    pub(crate) checkpoint: Option<BlockId>,
    pub(crate) yes: bool,
    /// What `config.toml` says of settling.
    pub(crate) settle: PolicyFlags,
}

impl Settings {
    pub(crate) fn read(global: &Global) -> Outcome<Self> {
        let (home, home_from) = match &global.home {
            Some(home) => (home.clone(), global.given("home")),
            None => {
                let home = default_home().map_err(|error| {
                    Failure::failed("home", format!("no home folder is known: {error}"))
                        .hint("name one with --home DIR")
                })?;
                (home, Origin::Default)
            }
        };
        let config = read_config(&home.join("config.toml"))?;
        let (network, network_from) = match (global.network, config.network) {
            (Some(network), _) => (network, global.given("network")),
            (None, Some(network)) => (network, Origin::Config),
            (None, None) => (Network::Devnet, Origin::Default),
        };
        let configured = config.networks.get(&network);
        let (urls, node_from) = match configured {
            _ if !global.node.is_empty() => (global.node.clone(), global.given("node")),
            Some(configured) if !configured.node.is_empty() => {
                (configured.node.clone(), Origin::Config)
            }
            _ => (vec![network.default_url().to_owned()], Origin::Default),
        };
        let (solidity_urls, solidity_node_from) = match configured {
            _ if !global.solidity_node.is_empty() => {
                (global.solidity_node.clone(), global.given("solidity_node"))
            }
            Some(configured) if global.node.is_empty() && !configured.solidity_node.is_empty() => {
                (configured.solidity_node.clone(), Origin::Config)
            }
            _ => (Vec::new(), Origin::Default),
        };
        let (api_key, api_key_from) = match &global.api_key_file {
            Some(path) => {
                let key = read_secret(path)?.trim().to_owned();
                (Some(key), global.given("api_key_file"))
            }
            None => match std::env::var(API_KEY_VARIABLE) {
                Ok(key) if !key.is_empty() => (Some(key), Origin::Environment),
                _ => (None, Origin::Default),
            },
        };
        let (account, account_from) = match (&global.account, config.account) {
            (Some(account), _) => (Some(account.clone()), global.given("account")),
            (None, Some(account)) => (Some(account), Origin::Config),
            (None, None) => (None, Origin::Default),
        };
        let ledger_from = global
            .ledger
            .as_ref()
            .map_or(Origin::Default, |_| global.given("ledger"));
        if let Some(place) = &global.ledger {
            place.check(ledger_from)?;
        }
        let mut node = NodeConfig::new("");
        node.urls = urls;
        node.solidity_urls = solidity_urls;
        node.api_key = api_key;
        let public = node_from == Origin::Default && network != Network::Devnet;
        let rate = global
            .requests_per_second
            .or(public.then_some(PUBLIC_REQUESTS));
        node.quota = rate.and_then(|rate| Quota::new(rate, Duration::from_secs(1)));
        Ok(Self {
            origins: Origins {
                home: home_from,
                network: network_from,
                node: node_from,
                solidity_node: solidity_node_from,
                api_key: api_key_from,
                requests_per_second: global
                    .requests_per_second
                    .map_or(Origin::Default, |_| global.given("requests_per_second")),
                account: account_from,
                signer: global
                    .signer
                    .as_ref()
                    .map_or(Origin::Default, |_| global.given("signer")),
                ledger: ledger_from,
                key_file: global
                    .key_file
                    .as_ref()
                    .map_or(Origin::Default, |_| global.given("key_file")),
                passphrase_file: global
                    .passphrase_file
                    .as_ref()
                    .map_or(Origin::Default, |_| global.given("passphrase_file")),
            },
            home,
            network,
            node,
            requests_per_second: rate,
            account,
            key_file: global.key_file.clone(),
            signer: global.signer.clone(),
            passphrase_file: global.passphrase_file.clone(),
            ledger: global.ledger.clone(),
            checkpoint: global.checkpoint,
            yes: global.yes,
            settle: config.settle.flags()?,
        })
    }

    /// The node at another URL, asked as the nodes of the settings are: with their API key, and
    /// as many requests as was said, or as a public node is to get.
    pub(crate) fn node_at(&self, url: &str) -> NodeConfig {
        let host = |url: &str| url::Url::parse(url).ok()?.host_str().map(str::to_owned);
        let public = Network::ALL.iter().any(|(network, _, public)| {
            *network != Network::Devnet && host(url).is_some_and(|at| Some(at) == host(public))
        });
        let rate = match self.origins.requests_per_second {
            Origin::Default => public.then_some(PUBLIC_REQUESTS),
            _ => self.requests_per_second,
        };
        NodeConfig {
            urls: vec![url.to_owned()],
            solidity_urls: Vec::new(),
            quota: rate.and_then(|rate| Quota::new(rate, Duration::from_secs(1))),
            ..self.node.clone()
        }
    }

    /// Refuses to send an API key over the network as it is: everybody on the way could read it.
    pub(crate) fn refuse_open_api_key(&self) -> Outcome {
        let urls = self.node.urls.iter().chain(&self.node.solidity_urls);
        self.refuse_open_api_key_to(urls)
    }

    /// The same, of these URLs.
    pub(crate) fn refuse_open_api_key_to<'a>(
        &self,
        urls: impl IntoIterator<Item = &'a String>,
    ) -> Outcome {
        let open = urls
            .into_iter()
            .filter_map(|url| url::Url::parse(url).ok())
            .find(|url| {
                let loopback = match url.host() {
                    Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
                    Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
                    Some(url::Host::Domain(name)) => name == "localhost",
                    None => false,
                };
                url.scheme() == "http" && !loopback
            });
        match open {
            Some(url) if self.node.api_key.is_some() => Err(Failure::usage(format!(
                "the API key would go to {url} without encryption: everybody on the way could read \
                 it"
            ))
            .hint("name the node with https://, or leave the API key out")),
            _ => Ok(()),
        }
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.home.join("config.toml")
    }

    pub(crate) fn wallets(&self) -> PathBuf {
        self.home.join("wallets")
    }
}

pub(crate) fn read_config(path: &Path) -> Outcome<ConfigFile> {
    match fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|error| {
            let place = error.span().map_or_else(String::new, |span| {
                format!(", {}", line_and_column(&text, span.start))
            });
            let message = format!("{}{place}: {}", path.display(), error.message());
            Failure::failed("config", message)
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(ConfigFile::default()),
        Err(error) => Err(Failure::file(path, error)),
    }
}

/// Makes a folder that only its owner can enter, whatever the umask. One that is there
/// stays as it is.
pub(crate) fn private_folder(folder: &Path) -> Outcome {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(folder)
        .map_err(|error| Failure::file(folder, error))
}

/// A small file with a secret in it, or a pipe. A pipe is read once and kept, since it
/// has nothing more to give; a file that everybody can read is warned of.
pub(crate) fn read_secret(path: &Path) -> Outcome<Zeroizing<String>> {
    static PIPES: Mutex<BTreeMap<PathBuf, Zeroizing<String>>> = Mutex::new(BTreeMap::new());
    // Whole entries or none: a thread that panicked left one of the two.
    let mut pipes = PIPES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(text) = pipes.get(path) {
        return Ok(text.clone());
    }
    let failed = |error| Failure::file(path, error);
    let file = fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    warn_of_readers(path, &metadata);
    // All the room that may be needed, so that nothing is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SECRET_BYTES + 1));
    let most = u64::try_from(MAX_SECRET_BYTES + 1).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > MAX_SECRET_BYTES {
        return Err(Failure::file(path, "too large for a secret"));
    }
    let text = std::str::from_utf8(&bytes)
        .map(|text| Zeroizing::new(text.to_owned()))
        .map_err(|_| Failure::file(path, "it is not UTF-8 text"))?;
    if !metadata.is_file() {
        pipes.insert(path.to_owned(), text.clone());
    }
    Ok(text)
}

/// Once for each file.
#[cfg(unix)]
fn warn_of_readers(path: &Path, metadata: &fs::Metadata) {
    use std::os::unix::fs::PermissionsExt as _;
    static WARNED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
    let open = metadata.is_file() && metadata.permissions().mode() & 0o004 != 0;
    if open && warned.insert(path.to_owned()) {
        super::output::warn(&format!(
            "everybody on this machine can read {}: chmod 600 it",
            path.display()
        ));
    }
}

#[cfg(not(unix))]
fn warn_of_readers(_: &Path, _: &fs::Metadata) {}

/// The line and column of a byte.
pub(super) fn line_and_column(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}")
}
