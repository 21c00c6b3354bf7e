//! The rows of the list, read and written.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Change, StoreError, dictionaries::Dictionaries};
use crate::{
    client::{
        command::Files,
        days::MAX_DAYS,
        entry::{Known, Life, Place, Standing, Wish},
        snapshot::{Day, Goals, Limits, Prices, Queue, ReachedGoal, SettlePolicy},
    },
    swarm::{
        FilePriorities,
        metainfo::{Magnet, Metainfo},
    },
    types::InfoHash,
};

/// All that is in a list.
#[derive(Debug, Default)]
pub(in crate::client) struct Kept {
    pub(in crate::client) torrents: Vec<Stored>,
    pub(in crate::client) days: Vec<Day>,
    /// `None`: nothing was set so far.
    pub(in crate::client) settings: Option<Settings>,
}

/// A torrent of the list.
#[derive(Debug)]
pub(in crate::client) struct Stored {
    pub(in crate::client) wish: Wish,
    pub(in crate::client) life: Life,
    pub(in crate::client) standing: Standing,
}

/// What is not of one torrent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::client) struct Settings {
    /// Folders as bytes in hex: they may be no text.
    pub(in crate::client) categories: BTreeMap<String, Option<Folder>>,
    pub(in crate::client) tags: BTreeSet<String>,
    /// `None`: those that the client was opened with.
    pub(in crate::client) limits: Option<Limits>,
    pub(in crate::client) prices: Option<Prices>,
    pub(in crate::client) policy: Option<SettlePolicy>,
    #[serde(default)]
    pub(in crate::client) queue: Queue,
    /// What torrents that are not in the list any more received and sent.
    pub(in crate::client) past: (u64, u64),
}

/// A folder, whose name may be no text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(in crate::client) struct Folder(pub(in crate::client) PathBuf);

impl From<Folder> for String {
    fn from(folder: Folder) -> Self {
        hex::encode(folder.0.as_os_str().as_bytes())
    }
}

impl TryFrom<String> for Folder {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, hex::FromHexError> {
        let bytes = hex::decode(text)?;
        Ok(Self(OsString::from_vec(bytes).into()))
    }
}

/// The part of a [`Wish`] that is one text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WishText {
    #[serde(default)]
    move_to: Option<Folder>,
    #[serde(default)]
    moving: Option<Folder>,
    name: Option<String>,
    category: Option<String>,
    tags: BTreeSet<String>,
    files: Option<Files>,
    #[serde(default)]
    priorities: FilePriorities,
    limits: Limits,
    goals: Goals,
    reached: Option<ReachedGoal>,
    prices: Prices,
    paused: bool,
    #[serde(default)]
    position: i64,
    trackers: Vec<String>,
    #[serde(default)]
    web_seeds: Vec<String>,
    #[serde(default)]
    peers: Vec<std::net::SocketAddr>,
    overwrite: bool,
    preallocate: bool,
    removing: Option<bool>,
}

fn damaged(what: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(what.to_string())
}

fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::Write(error.to_string())
}

fn text<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Write(error.to_string()))
}

fn parse<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| damaged(format!("{what}: {error}")))
}

/// A row as it lies in the table.
type Raw = (
    [u8; 20],
    bool,
    Vec<u8>,
    bool,
    Vec<u8>,
    String,
    Option<String>,
    Option<String>,
);

pub(super) fn read_all(
    conn: &Connection,
    dictionaries: &Arc<Dictionaries>,
) -> Result<Kept, StoreError> {
    let mut query = conn
        .prepare(
            "SELECT hash, is_file, source, is_content, place, wish, life, standing
             FROM torrent LEFT JOIN totals USING (hash) ORDER BY hash",
        )
        .map_err(damaged)?;
    let rows = query.query_map([], |row| {
        Ok((
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
            row.get(5)?,
            row.get(6)?,
            row.get(7)?,
        ))
    });
    let mut torrents = Vec::new();
    for row in rows.map_err(damaged)? {
        let row = stored(row.map_err(damaged)?)?;
        keep_away(&row.wish, dictionaries);
        torrents.push(row);
    }
    Ok(Kept {
        torrents,
        days: Vec::new(),
        settings: settings(conn)?,
    })
}

/// What is not of one torrent.
pub(super) fn settings(conn: &Connection) -> Result<Option<Settings>, StoreError> {
    let settings: Option<String> = conn
        .query_row(
            "SELECT value FROM setting WHERE name = 'client'",
            [],
            |row| row.get(0),
        )
        .optional()
        .map_err(damaged)?;
    settings
        .map(|text| parse("the settings", &text))
        .transpose()
}

/// The torrents with their own prices. What they are is not read: of thousands that takes a
/// while.
pub(super) fn prices(conn: &Connection) -> Result<Vec<(InfoHash, Prices)>, StoreError> {
    let mut query = conn
        .prepare("SELECT hash, wish FROM torrent ORDER BY hash")
        .map_err(damaged)?;
    let rows = query.query_map([], |row| {
        Ok((row.get::<_, [u8; 20]>(0)?, row.get::<_, String>(1)?))
    });
    rows.map_err(damaged)?
        .map(|row| {
            let (hash, wish) = row.map_err(damaged)?;
            let hash = InfoHash::from_bytes(hash);
            let wish: WishText = parse(&hash.to_string(), &wish)?;
            Ok((hash, wish.prices))
        })
        .collect()
}

/// The days. A list of an older version has none before it is opened to be written.
pub(super) fn days(conn: &Connection) -> Result<Vec<Day>, StoreError> {
    let mut query = conn
        .prepare("SELECT figures FROM day ORDER BY day DESC LIMIT ?1")
        .map_err(damaged)?;
    let rows = query.query_map([MAX_DAYS], |row| row.get::<_, String>(0));
    rows.map_err(damaged)?
        .map(|row| parse("a day", &row.map_err(damaged)?))
        .collect()
}

fn stored(row: Raw) -> Result<Stored, StoreError> {
    let (hash, is_file, source, is_content, place, wish, life, standing) = row;
    let hash = InfoHash::from_bytes(hash);
    let known = match is_file {
        true => {
            let metainfo = Metainfo::from_bytes(&source);
            Known::File(Arc::new(
                metainfo.map_err(|error| damaged(format!("{hash}: {error}")))?,
            ))
        }
        false => {
            let link = std::str::from_utf8(&source).map_err(damaged)?;
            let magnet: Magnet = link
                .parse()
                .map_err(|error| damaged(format!("{hash}: {error}")))?;
            Known::Link(Box::new(magnet))
        }
    };
    if known.hash() != hash {
        return Err(damaged(format!(
            "{hash} is another torrent, {}",
            known.hash()
        )));
    }
    let place = PathBuf::from(OsString::from_vec(place));
    let what = hash.to_string();
    let wish: WishText = parse(&what, &wish)?;
    Ok(Stored {
        wish: Wish {
            known,
            place: match is_content {
                true => Place::Content(place),
                false => Place::Folder(place),
            },
            move_to: wish.move_to.map(|Folder(folder)| folder),
            moving: wish.moving.map(|Folder(folder)| folder),
            name: wish.name,
            category: wish.category,
            tags: wish.tags,
            files: wish.files,
            priorities: wish.priorities,
            limits: wish.limits,
            goals: wish.goals,
            reached: wish.reached,
            prices: wish.prices,
            paused: wish.paused,
            position: wish.position,
            trackers: wish.trackers,
            web_seeds: wish.web_seeds,
            peers: wish.peers,
            overwrite: wish.overwrite,
            preallocate: wish.preallocate,
            removing: wish.removing,
        },
        life: life
            .map(|life| parse(&what, &life))
            .transpose()?
            .unwrap_or_default(),
        standing: standing
            .map(|text| parse(&what, &text))
            .transpose()?
            .unwrap_or_default(),
    })
}

/// All changes, or none.
pub(super) fn write(conn: &mut Connection, changes: &[Change]) -> Result<(), StoreError> {
    let transaction = conn.transaction().map_err(failed)?;
    for change in changes {
        match change {
            Change::Put(hash, wish) => put(&transaction, *hash, wish)?,
            Change::Totals(rows) => {
                let mut put = transaction
                    .prepare_cached(
                        "INSERT INTO totals (hash, life, standing) VALUES (?1, ?2, ?3)
                         ON CONFLICT (hash) DO UPDATE SET life = ?2, standing = ?3",
                    )
                    .map_err(failed)?;
                for (hash, life, standing) in rows {
                    put.execute(params![hash.as_bytes(), text(life)?, text(standing)?])
                        .map_err(failed)?;
                }
            }
            Change::Days(days) => {
                for row in days {
                    transaction
                        .execute(
                            "INSERT INTO day (day, figures) VALUES (?1, ?2)
                             ON CONFLICT (day) DO UPDATE SET figures = ?2",
                            params![row.day, text(row)?],
                        )
                        .map_err(failed)?;
                }
                transaction
                    .execute(
                        "DELETE FROM day WHERE day NOT IN
                         (SELECT day FROM day ORDER BY day DESC LIMIT ?1)",
                        [MAX_DAYS],
                    )
                    .map_err(failed)?;
            }
            Change::Delete(hash) => {
                transaction
                    .execute("DELETE FROM torrent WHERE hash = ?1", [hash.as_bytes()])
                    .map_err(failed)?;
            }
            Change::Settings(settings) => {
                transaction
                    .execute(
                        "INSERT INTO setting (name, value) VALUES ('client', ?1)
                         ON CONFLICT (name) DO UPDATE SET value = ?1",
                        [text(settings)?],
                    )
                    .map_err(failed)?;
            }
        }
    }
    transaction.commit().map_err(failed)
}

/// What was written can be read again: it need not be in memory.
pub(super) fn put_away(changes: &[Change], dictionaries: &Arc<Dictionaries>) {
    for change in changes {
        if let Change::Put(_, wish) = change {
            keep_away(wish, dictionaries);
        }
    }
}

fn keep_away(wish: &Wish, dictionaries: &Arc<Dictionaries>) {
    if let Some(info) = wish.known.info() {
        info.keep_in(dictionaries.clone());
        info.put_away(Duration::ZERO);
    }
}

fn put(conn: &Connection, hash: InfoHash, wish: &Wish) -> Result<(), StoreError> {
    let (is_file, source) = match &wish.known {
        Known::File(metainfo) => {
            let file = metainfo.to_bytes();
            (
                true,
                file.map_err(|error| StoreError::Write(error.to_string()))?,
            )
        }
        Known::Link(magnet) => (false, magnet.to_string().into_bytes()),
    };
    let (is_content, place) = match &wish.place {
        Place::Content(path) => (true, path),
        Place::Folder(folder) => (false, folder),
    };
    let row = WishText {
        move_to: wish.move_to.clone().map(Folder),
        moving: wish.moving.clone().map(Folder),
        name: wish.name.clone(),
        category: wish.category.clone(),
        tags: wish.tags.clone(),
        files: wish.files.clone(),
        priorities: wish.priorities.clone(),
        limits: wish.limits,
        goals: wish.goals,
        reached: wish.reached,
        prices: wish.prices,
        paused: wish.paused,
        position: wish.position,
        trackers: wish.trackers.clone(),
        web_seeds: wish.web_seeds.clone(),
        peers: wish.peers.clone(),
        overwrite: wish.overwrite,
        preallocate: wish.preallocate,
        removing: wish.removing,
    };
    conn.execute(
        "INSERT INTO torrent (hash, is_file, source, is_content, place, wish)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (hash) DO UPDATE
         SET is_file = ?2, source = ?3, is_content = ?4, place = ?5, wish = ?6",
        params![
            hash.as_bytes(),
            is_file,
            source,
            is_content,
            place.as_os_str().as_bytes(),
            text(&row)?
        ],
    )
    .map_err(failed)?;
    Ok(())
}
