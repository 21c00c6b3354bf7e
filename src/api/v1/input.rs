//! Bodies that change something.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Deserializer};

use crate::client::{
    command::{Files, QueueTo},
    snapshot::{FilePriority, Goals, Limits, Prices, Queue, raw},
};

/// Trackers, peers and tags of one request.
pub(super) const MAX_LIST: usize = 1000;

/// `null` is something else than nothing.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Bytes a second; absent or `null`: no limit.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsIn {
    up: Option<u64>,
    down: Option<u64>,
}

impl From<LimitsIn> for Limits {
    fn from(given: LimitsIn) -> Self {
        let LimitsIn { up, down } = given;
        // 0 has never meant that nothing goes.
        let limit = |limit: Option<u64>| limit.filter(|limit| *limit > 0);
        Self {
            up: limit(up),
            down: limit(down),
        }
    }
}

/// How many run at once; absent or `null`: all.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct QueueIn {
    downloads: Option<u32>,
    seeds: Option<u32>,
}

impl From<QueueIn> for Queue {
    fn from(given: QueueIn) -> Self {
        let QueueIn { downloads, seeds } = given;
        Self { downloads, seeds }
    }
}

/// Where a torrent is moved.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceIn {
    pub(super) to: QueueTo,
}

/// What ends sharing.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GoalsIn {
    ratio_permille: Option<u64>,
    seeding_secs: Option<u64>,
    #[serde(deserialize_with = "raw::optional::deserialize")]
    earned_raw: Option<u64>,
}

impl From<GoalsIn> for Goals {
    fn from(given: GoalsIn) -> Self {
        Self {
            ratio_permille: given.ratio_permille,
            seeding_secs: given.seeding_secs,
            earned_raw: given.earned_raw,
        }
    }
}

/// Raw units per GiB, as text or as numbers.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PricesIn {
    #[serde(deserialize_with = "raw::optional::deserialize")]
    ask_raw: Option<u64>,
    #[serde(deserialize_with = "raw::optional::deserialize")]
    pub(super) bid_raw: Option<u64>,
    bid_auto: bool,
}

impl From<PricesIn> for Prices {
    fn from(given: PricesIn) -> Self {
        Self {
            ask_raw: given.ask_raw,
            bid_raw: given.bid_raw,
            bid_auto: given.bid_auto,
        }
    }
}

/// Positions from 0 on, or text as the command line takes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum FilesIn {
    Positions(Vec<u32>),
    Pattern(String),
}

impl From<FilesIn> for Files {
    fn from(given: FilesIn) -> Self {
        match given {
            FilesIn::Positions(positions) => Self::Positions(positions),
            FilesIn::Pattern(text) if text == "all" => Self::All,
            FilesIn::Pattern(text) => Self::Pattern(text),
        }
    }
}

/// A torrent to add.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AddIn {
    /// A magnet link or an info-hash.
    pub(super) link: Option<String>,
    /// Or a torrent file, in base64.
    pub(super) file: Option<String>,
    pub(super) folder: Option<PathBuf>,
    pub(super) move_to: Option<PathBuf>,
    pub(super) name: Option<String>,
    pub(super) category: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) files: Option<FilesIn>,
    pub(super) limits: LimitsIn,
    pub(super) goals: GoalsIn,
    pub(super) prices: PricesIn,
    pub(super) paused: bool,
    pub(super) trackers: Vec<String>,
    pub(super) peers: Vec<SocketAddr>,
    pub(super) recheck: bool,
    pub(super) overwrite: bool,
    pub(super) preallocate: bool,
}

/// Tags to add and to take away.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TagsIn {
    pub(super) add: Vec<String>,
    pub(super) remove: Vec<String>,
}

/// What is to be changed of a torrent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ChangeIn {
    #[serde(deserialize_with = "given")]
    pub(super) name: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    pub(super) category: Option<Option<String>>,
    pub(super) tags: Option<TagsIn>,
    pub(super) files: Option<FilesIn>,
    /// By position from 0 on.
    pub(super) priorities: Option<BTreeMap<u32, FilePriority>>,
    pub(super) limits: Option<LimitsIn>,
    pub(super) goals: Option<GoalsIn>,
    pub(super) prices: Option<PricesIn>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FolderIn {
    pub(super) folder: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CategoryIn {
    pub(super) folder: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UrlsIn {
    pub(super) urls: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeersIn {
    pub(super) peers: Vec<SocketAddr>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReasonIn {
    pub(super) reason: String,
}
