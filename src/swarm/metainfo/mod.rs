//! Torrent files (BEP 3, with 12, 27 and 47): what is shared and how it is cut
//! into pieces. Nothing here is believed before it was checked: files get safe names
//! of their own, sizes add up, the number of pieces fits.

mod create;
mod dictionary;
mod layout;
mod magnet;
mod memory;
mod names;

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use sha1::{Digest, Sha1};

pub use create::{CreateError, CreateOptions, Made, create, make, piece_length_for};
pub(crate) use dictionary::DICTIONARY_UNUSED;
use dictionary::Dictionary;
pub use dictionary::InfoSource;
pub use layout::Layout;
pub use magnet::{Magnet, MagnetError};
pub use memory::make_or_recall;

use super::bencode::{self, BencodeError, Limits, Value};
use crate::types::InfoHash;

/// The most pieces a torrent may have: its bitfield is 256 KiB then.
pub const MAX_PIECES: u32 = 1 << 21;
/// The longest piece: unfinished pieces are held in memory.
pub const MAX_PIECE_LENGTH: u32 = 128 << 20;
/// The most files.
pub const MAX_FILES: usize = 200_000;
/// The longest info dictionary: [`MAX_PIECES`] hashes and a table of files.
pub const MAX_INFO_BYTES: usize = 48 << 20;
/// The most trackers kept of one torrent; further ones are dropped.
pub const MAX_TRACKERS: usize = 64;

/// The most web seeds kept of one torrent.
pub const MAX_WEB_SEEDS: usize = 64;
/// The longest URL of a web seed.
const MAX_WEB_SEED_BYTES: usize = 2048;

/// The most DHT nodes kept of one torrent file.
pub const MAX_NODES: usize = 64;

/// Why a torrent file is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// It is not bencoded.
    #[error("not a torrent file: {0}")]
    Bencode(#[from] BencodeError),
    /// A key is missing or of the wrong kind.
    #[error("the torrent has no usable `{0}`")]
    Missing(&'static str),
    /// A size that cannot be.
    #[error("the torrent's {what} is {value}, but must be {expected}")]
    BadSize {
        /// Which.
        what: &'static str,
        /// What it says.
        value: u64,
        /// What could be.
        expected: String,
    },
    /// A BitTorrent v2 torrent without v1 parts.
    #[error("the torrent is of version 2 only, which is not supported yet")]
    VersionTwo,
    /// The metadata does not have the expected hash.
    #[error("the info dictionary hashes to {found}, not to {expected}")]
    WrongHash {
        /// What was asked for.
        expected: InfoHash,
        /// What it is.
        found: InfoHash,
    },
}

/// One file of a torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its path below the torrent's name, safe and its own; for a single file the name
    /// itself.
    pub path: Vec<String>,
    /// The path that the torrent gives it, where it is another one and a file can have
    /// it: content that was not downloaded here may lie there.
    pub original: Option<Vec<String>>,
    /// Bytes.
    pub length: u64,
    /// Where it begins in the content, in bytes.
    pub offset: u64,
    /// Never on disk: padding (BEP 47), which is zeros, or a link, which is empty.
    pub pad: bool,
    /// It may be executed (BEP 47).
    pub executable: bool,
}

/// The info dictionary. Its files are in memory once, however often it is cloned; so are its
/// bytes, or they are where they can be read again: see [`keep_in`](Self::keep_in).
#[derive(Debug, Clone)]
pub struct Info {
    hash: InfoHash,
    dictionary: Arc<Dictionary>,
    name: String,
    layout: Layout,
    files: Arc<[FileEntry]>,
    single_file: bool,
    private: bool,
    /// Where the hashes of its pieces begin in the dictionary.
    pieces_at: usize,
}

/// The bytes are the same where their hash is.
impl PartialEq for Info {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Info {}

/// The hashes of a torrent's pieces, in memory.
#[derive(Debug, Clone)]
pub struct PieceHashes(Bytes);

impl PieceHashes {
    /// SHA-1 of a piece's bytes.
    pub fn of(&self, piece: u32) -> Option<&[u8; 20]> {
        let (hashes, _) = self.0.as_chunks();
        hashes.get(usize::try_from(piece).ok()?)
    }
}

impl Info {
    /// Reads and checks an info dictionary; its bytes are kept as they are.
    ///
    /// # Errors
    /// See [`MetainfoError`].
    pub fn from_bytes(raw: Bytes) -> Result<Self, MetainfoError> {
        let limits = Limits {
            bytes: MAX_INFO_BYTES,
            ..Limits::TORRENT
        };
        let value = bencode::decode(&raw, limits)?;
        if value.as_dict().is_none() {
            return Err(MetainfoError::Missing("info"));
        }
        let hash = InfoHash::from_bytes(Sha1::digest(&raw).into());
        let name = raw_text(&value, "name").ok_or(if value.get("meta version").is_some() {
            MetainfoError::VersionTwo
        } else {
            MetainfoError::Missing("name")
        })?;
        let name = names::root(name).unwrap_or_else(|| hash.to_string());
        let hashes = bencode::string_entry(&raw, b"pieces", limits)?.ok_or(
            if value.get("meta version").is_some() {
                MetainfoError::VersionTwo
            } else {
                MetainfoError::Missing("pieces")
            },
        )?;
        let (files, single_file) = match value.get("files") {
            Some(files) => (multiple(files)?, false),
            None => (vec![single(&value, &name)?], true),
        };
        let total = files
            .last()
            .map_or(0, |last| last.offset.saturating_add(last.length));
        let piece_length = value
            .get("piece length")
            .and_then(Value::as_u64)
            .ok_or(MetainfoError::Missing("piece length"))?;
        let layout = Layout::new(total, piece_length)?;
        let (each, rest) = hashes.as_chunks::<20>();
        if !rest.is_empty() || u32::try_from(each.len()) != Ok(layout.pieces()) {
            return Err(MetainfoError::BadSize {
                what: "length of `pieces`",
                value: u64::try_from(hashes.len()).unwrap_or(u64::MAX),
                expected: format!("20 bytes for each of {} pieces", layout.pieces()),
            });
        }
        Ok(Self {
            hash,
            name,
            layout,
            files: files.into(),
            single_file,
            private: value
                .get("private")
                .and_then(Value::as_int)
                .is_some_and(|private| private != 0),
            pieces_at: hashes.as_ptr().addr() - raw.as_ptr().addr(),
            dictionary: Arc::new(Dictionary::new(hash, raw)),
        })
    }

    /// Like [`from_bytes`](Self::from_bytes), for bytes that a peer sent as the
    /// dictionary of `expected`.
    ///
    /// # Errors
    /// Also if the hash is another one.
    pub fn from_metadata(raw: Bytes, expected: InfoHash) -> Result<Self, MetainfoError> {
        let found = InfoHash::from_bytes(Sha1::digest(&raw).into());
        if found != expected {
            return Err(MetainfoError::WrongHash { expected, found });
        }
        Self::from_bytes(raw)
    }

    /// The torrent's identity: SHA-1 of [`raw`](Self::raw).
    pub fn hash(&self) -> InfoHash {
        self.hash
    }

    /// The bencoded bytes as received. May block: see [`held`](Self::held).
    ///
    /// # Errors
    /// They are not in memory, and cannot be read where they are kept.
    pub fn raw(&self) -> io::Result<Bytes> {
        self.dictionary.raw()
    }

    /// The same, if they are in memory.
    pub fn held(&self) -> Option<Bytes> {
        self.dictionary.held()
    }

    /// How many bytes they are.
    pub fn raw_len(&self) -> usize {
        self.dictionary.length()
    }

    /// The hashes of the pieces. May block.
    ///
    /// # Errors
    /// As of [`raw`](Self::raw).
    pub fn hashes(&self) -> io::Result<PieceHashes> {
        let length = 20 * usize::try_from(self.layout.pieces()).map_err(io::Error::other)?;
        let raw = self.raw()?;
        Ok(PieceHashes(
            raw.slice(self.pieces_at..self.pieces_at + length),
        ))
    }

    /// From now on the bytes need not be in memory: `source` has them.
    pub fn keep_in(&self, source: Arc<dyn InfoSource>) {
        self.dictionary.keep_in(source);
    }

    /// Gives back the memory of bytes that nobody used for so long, if they are kept
    /// elsewhere.
    pub fn put_away(&self, unused: Duration) {
        self.dictionary.put_away(unused);
    }

    /// How long it is until [`put_away`](Self::put_away) would give back memory, if nobody uses
    /// the bytes before; `None`: there is none to give back.
    pub fn put_away_in(&self, unused: Duration) -> Option<Duration> {
        self.dictionary.put_away_in(unused)
    }

    /// The name of the file, or of the folder with the files; one safe path
    /// component.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the content is cut.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The files in order; their paths are safe and distinct.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// How many files there are.
    pub fn file_count(&self) -> u32 {
        u32::try_from(self.files.len()).expect("at most MAX_FILES")
    }

    /// True if the content is one file that carries the torrent's name.
    pub fn is_single_file(&self) -> bool {
        self.single_file
    }

    /// BEP 27: peers only from its trackers.
    pub fn is_private(&self) -> bool {
        self.private
    }
}

/// A torrent file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metainfo {
    /// What is shared.
    pub info: Info,
    /// Tracker URLs in tiers (BEP 12), at most [`MAX_TRACKERS`] in all.
    pub trackers: Vec<Vec<String>>,
    /// Web seeds (BEP 19), at most [`MAX_WEB_SEEDS`].
    pub web_seeds: Vec<String>,
    /// Nodes of the distributed hash table (BEP 5), at most [`MAX_NODES`].
    pub nodes: Vec<(String, u16)>,
    /// Free text.
    pub comment: Option<String>,
    /// The program that made it.
    pub created_by: Option<String>,
    /// When, in Unix seconds.
    pub creation_date: Option<i64>,
}

impl Metainfo {
    /// A torrent file of this info dictionary and nothing else.
    pub fn new(info: Info) -> Self {
        Self {
            info,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            nodes: Vec::new(),
            comment: None,
            created_by: None,
            creation_date: None,
        }
    }

    /// Reads and checks a torrent file.
    ///
    /// # Errors
    /// See [`MetainfoError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MetainfoError> {
        let limits = Limits::TORRENT_FILE;
        let raw =
            bencode::raw_entry(bytes, b"info", limits)?.ok_or(MetainfoError::Missing("info"))?;
        let info = Info::from_bytes(Bytes::copy_from_slice(raw))?;
        // Some programs end the file with a line feed.
        let (value, _rest) = bencode::decode_prefix(bytes, limits)?;
        Ok(Self {
            info,
            trackers: trackers(&value),
            web_seeds: web_seeds(&value),
            nodes: nodes(&value),
            comment: text(&value, "comment"),
            created_by: text(&value, "created by"),
            creation_date: value.get("creation date").and_then(Value::as_int),
        })
    }

    /// The torrent file's bytes; the info dictionary stands in them as it was
    /// read.
    ///
    /// # Errors
    /// As of [`Info::raw`].
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut entries: Vec<(&str, Vec<u8>)> = vec![("info", self.info.raw()?.to_vec())];
        let mut put = |key, value: Value| entries.push((key, value.encode()));
        if let Some(first) = self.trackers.iter().flatten().next() {
            put("announce", first.as_str().into());
        }
        if self.trackers.iter().flatten().count() > 1 {
            let tiers = self
                .trackers
                .iter()
                .map(|tier| Value::List(tier.iter().map(|url| url.as_str().into()).collect()));
            put("announce-list", Value::List(tiers.collect()));
        }
        if !self.nodes.is_empty() {
            let nodes = self.nodes.iter().map(|(host, port)| {
                Value::List(vec![host.as_str().into(), u32::from(*port).into()])
            });
            put("nodes", Value::List(nodes.collect()));
        }
        match &self.web_seeds[..] {
            [] => {}
            [one] => put("url-list", one.as_str().into()),
            several => {
                let urls = several.iter().map(|url| url.as_str().into());
                put("url-list", Value::List(urls.collect()));
            }
        }
        if let Some(comment) = &self.comment {
            put("comment", comment.as_str().into());
        }
        if let Some(created_by) = &self.created_by {
            put("created by", created_by.as_str().into());
        }
        if let Some(date) = self.creation_date {
            put("creation date", date.into());
        }
        entries.sort_unstable();
        let mut out = b"d".to_vec();
        for (key, value) in entries {
            Value::from(key).encode_into(&mut out);
            out.extend(value);
        }
        out.push(b'e');
        Ok(out)
    }

    /// A magnet link to it.
    pub fn magnet(&self) -> Magnet {
        Magnet {
            info_hash: self.info.hash,
            name: Some(self.info.name.clone()),
            trackers: self.trackers.iter().flatten().cloned().collect(),
            web_seeds: self.web_seeds.clone(),
            peers: Vec::new(),
            files: Vec::new(),
        }
    }
}

fn raw_text<'a>(value: &'a Value, key: &str) -> Option<&'a [u8]> {
    let utf8 = format!("{key}.utf-8");
    value.get(&utf8).or_else(|| value.get(key))?.as_bytes()
}

fn text(value: &Value, key: &str) -> Option<String> {
    Some(String::from_utf8_lossy(raw_text(value, key)?).into_owned())
}

/// Whether a file has this attribute (BEP 47).
fn attr(file: &Value, letter: u8) -> bool {
    let attr = file.get("attr").and_then(Value::as_bytes);
    attr.is_some_and(|attr| attr.contains(&letter))
}

/// A symbolic link (BEP 47): nothing is made of it.
fn is_link(file: &Value) -> bool {
    attr(file, b'l') || file.get("symlink path").is_some()
}

/// BitComet's padding has no attribute, but a name.
const BITCOMET_PADDING: &[u8] = b"_____padding_file_";

fn length_of(file: &Value) -> Result<u64, MetainfoError> {
    match file.get("length") {
        None if is_link(file) => Ok(0),
        length => length
            .and_then(Value::as_u64)
            .ok_or(MetainfoError::Missing("length")),
    }
}

fn single(info: &Value, name: &str) -> Result<FileEntry, MetainfoError> {
    Ok(FileEntry {
        path: vec![name.to_owned()],
        original: None,
        length: length_of(info)?,
        offset: 0,
        pad: false,
        executable: attr(info, b'x'),
    })
}

fn multiple(files: &Value) -> Result<Vec<FileEntry>, MetainfoError> {
    let list = files.as_list().ok_or(MetainfoError::Missing("files"))?;
    if list.is_empty() || list.len() > MAX_FILES {
        return Err(MetainfoError::BadSize {
            what: "number of files",
            value: u64::try_from(list.len()).unwrap_or(u64::MAX),
            expected: format!("1 to {MAX_FILES}"),
        });
    }
    let mut offset = 0u64;
    let mut entries = Vec::with_capacity(list.len());
    let mut paths = names::Paths::default();
    for file in list {
        let length = length_of(file)?;
        let path = file.get("path.utf-8").or_else(|| file.get("path"));
        let path = path.and_then(Value::as_list).map(|parts| {
            let parts = parts.iter().map(Value::as_bytes);
            parts.collect::<Option<Vec<&[u8]>>>()
        });
        let path = path.flatten();
        let bitcomet = path.as_ref().and_then(|path| path.last());
        let bitcomet = bitcomet.is_some_and(|name| name.starts_with(BITCOMET_PADDING));
        let link = is_link(file) && length == 0;
        let pad = attr(file, b'p') || bitcomet || link;
        let (path, original) = match path {
            // It has no place, and needs no name.
            path if pad => {
                let shown = path.unwrap_or_default();
                let mut alone = names::Paths::default();
                (alone.assign(&shown), None)
            }
            Some(parts) => {
                let path = paths.assign(&parts);
                let original = names::storable(&parts).filter(|original| *original != path);
                (path, original)
            }
            None => return Err(MetainfoError::Missing("path")),
        };
        entries.push(FileEntry {
            path,
            original,
            length,
            offset,
            pad,
            executable: attr(file, b'x'),
        });
        offset = offset
            .checked_add(length)
            .filter(|end| i64::try_from(*end).is_ok())
            .ok_or(MetainfoError::BadSize {
                what: "file length",
                value: length,
                expected: "together less than 2^63 bytes".to_owned(),
            })?;
    }
    Ok(entries)
}

fn nodes(value: &Value) -> Vec<(String, u16)> {
    let list = value.get("nodes").and_then(Value::as_list);
    let nodes = list.unwrap_or_default().iter().filter_map(|node| {
        let [host, port] = node.as_list()? else {
            return None;
        };
        let host = host
            .as_str()
            .filter(|host| !host.is_empty() && host.len() <= 255)?;
        let port = u16::try_from(port.as_int()?)
            .ok()
            .filter(|port| *port != 0)?;
        Some((host.to_owned(), port))
    });
    nodes.take(MAX_NODES).collect()
}

/// One URL, or a list of them.
fn web_seeds(value: &Value) -> Vec<String> {
    let Some(value) = value.get("url-list") else {
        return Vec::new();
    };
    let all = value
        .as_list()
        .unwrap_or(std::slice::from_ref(value))
        .iter();
    let urls = all.filter_map(Value::as_str).map(str::trim);
    urls.filter(|url| !url.is_empty() && url.len() <= MAX_WEB_SEED_BYTES)
        .take(MAX_WEB_SEEDS)
        .map(str::to_owned)
        .collect()
}

fn trackers(value: &Value) -> Vec<Vec<String>> {
    let mut left = MAX_TRACKERS;
    let mut tiers = Vec::new();
    let list = value.get("announce-list").and_then(Value::as_list);
    for tier in list.unwrap_or_default() {
        let urls = tier.as_list().unwrap_or_default().iter();
        let urls: Vec<String> = urls
            .filter_map(Value::as_str)
            .map(str::trim)
            .filter(|url| !url.is_empty() && url.len() <= 2048)
            .take(left)
            .map(str::to_owned)
            .collect();
        left -= urls.len();
        if !urls.is_empty() {
            tiers.push(urls);
        }
    }
    if tiers.is_empty() {
        let single = value.get("announce").and_then(Value::as_str);
        tiers.extend(
            single
                .map(str::trim)
                .filter(|url| !url.is_empty() && url.len() <= 2048)
                .map(|url| vec![url.to_owned()]),
        );
    }
    tiers
}

#[cfg(test)]
mod tests;
