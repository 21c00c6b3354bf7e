//! Settings: flag, environment, `config.toml`, default, in that order.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    Global,
    failure::{Failure, Outcome},
};
use crate::{tron::rpc::NodeConfig, types::BlockId};

/// The largest settings or secret file read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A TRON network this program knows by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Network {
    Devnet,
    Nile,
    Shasta,
    Mainnet,
}

impl Network {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Devnet, "devnet", "http://127.0.0.1:9090"),
        (Self::Nile, "nile", "https://nile.trongrid.io"),
        (Self::Shasta, "shasta", "https://api.shasta.trongrid.io"),
        (Self::Mainnet, "mainnet", "https://api.trongrid.io"),
    ];

    /// The chain's genesis block, where it never changes.
    pub(crate) fn genesis(self) -> Option<BlockId> {
        let mainnet = "00000000000000001ebf88508a03865c71d452e25f4d51194196a1d22b6653dc";
        match self {
            Self::Mainnet => mainnet.parse().ok(),
            Self::Devnet | Self::Nile | Self::Shasta => None,
        }
    }

    fn default_url(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(network, ..)| *network == self)
            .map_or("", |(_, _, url)| url)
    }
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
pub(crate) struct ConfigFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<Network>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) networks: BTreeMap<Network, NetworkConfig>,
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

/// Everything a command may need to know, with the precedence applied.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) home: PathBuf,
    pub(crate) network: Network,
    pub(crate) node: NodeConfig,
    pub(crate) account: Option<String>,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) passphrase_file: Option<PathBuf>,
    pub(crate) ledger: Option<PathBuf>,
    pub(crate) yes: bool,
}

impl Settings {
    pub(crate) fn read(global: &Global) -> Outcome<Self> {
        let home = match &global.home {
            Some(home) => home.clone(),
            None => etcetera::choose_base_strategy()
                .map_err(|error| {
                    Failure::failed("home", format!("no home folder is known: {error}"))
                        .hint("name one with --home DIR")
                })?
                .data_dir()
                .join("seedrail"),
        };
        let config = read_config(&home.join("config.toml"))?;
        let network = global.network.or(config.network).unwrap_or(Network::Devnet);
        let configured = config.networks.get(&network);
        let urls = if !global.node.is_empty() {
            global.node.clone()
        } else {
            match configured {
                Some(configured) if !configured.node.is_empty() => configured.node.clone(),
                _ => vec![network.default_url().to_owned()],
            }
        };
        let solidity_urls = if !global.solidity_node.is_empty() || !global.node.is_empty() {
            global.solidity_node.clone()
        } else {
            configured
                .map(|configured| configured.solidity_node.clone())
                .unwrap_or_default()
        };
        let api_key = match &global.api_key_file {
            Some(path) => Some(read_secret(path)?.trim().to_owned()),
            None => std::env::var("TRON_PRO_API_KEY")
                .ok()
                .filter(|key| !key.is_empty()),
        };
        let mut node = NodeConfig::new("");
        node.urls = urls;
        node.solidity_urls = solidity_urls;
        node.api_key = api_key;
        Ok(Self {
            home,
            network,
            node,
            account: global.account.clone().or(config.account),
            key_file: global.key_file.clone(),
            passphrase_file: global.passphrase_file.clone(),
            ledger: global.ledger.clone(),
            yes: global.yes,
        })
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
            Failure::failed("config", format!("{}: {}", path.display(), error.message()))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(ConfigFile::default()),
        Err(error) => Err(Failure::file(path, error)),
    }
}

/// A small file with a secret in it.
pub(crate) fn read_secret(path: &Path) -> Outcome<Zeroizing<String>> {
    let metadata = fs::metadata(path).map_err(|error| Failure::file(path, error))?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(Failure::file(path, "too large for a secret"));
    }
    fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| Failure::file(path, error))
}
