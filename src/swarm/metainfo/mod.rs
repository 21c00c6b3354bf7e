//! Torrent files (BEP 3, with 12, 27 and 47): what is shared and how it is cut
//! into pieces. Nothing here is believed before it was checked: names cannot
//! leave the download folder, sizes add up, the number of pieces fits.

mod create;
mod magnet;
mod names;

use std::{collections::BTreeSet, ops::RangeInclusive};

use bytes::Bytes;
use sha1::{Digest, Sha1};

pub use create::{CreateError, CreateOptions, create, piece_length_for};
pub use magnet::{Magnet, MagnetError};

use super::{
    bencode::{self, BencodeError, Limits, Value},
    wire::{Block, CHUNK},
};
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
    #[error("the torrent's {what} is {value}, which cannot be ({expected})")]
    BadSize {
        /// Which.
        what: &'static str,
        /// What it says.
        value: u64,
        /// What could be.
        expected: String,
    },
    /// A file name that could leave the download folder.
    #[error("the torrent has a dangerous file name `{name}`: {reason}")]
    BadName {
        /// The name, made printable.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
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

/// How the content is cut: all pieces are equally long but the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    total: u64,
    piece_length: u32,
    pieces: u32,
}

impl Layout {
    /// A layout of `total` bytes in pieces of `piece_length`.
    ///
    /// # Errors
    /// Nothing to share, or a size out of range.
    pub fn new(total: u64, piece_length: u64) -> Result<Self, MetainfoError> {
        let piece_length = u32::try_from(piece_length)
            .ok()
            .filter(|length| (1..=MAX_PIECE_LENGTH).contains(length))
            .ok_or_else(|| MetainfoError::BadSize {
                what: "piece length",
                value: piece_length,
                expected: format!("1 to {MAX_PIECE_LENGTH} bytes"),
            })?;
        let pieces = total.div_ceil(piece_length.into());
        let pieces = u32::try_from(pieces)
            .ok()
            .filter(|pieces| (1..=MAX_PIECES).contains(pieces))
            .ok_or_else(|| MetainfoError::BadSize {
                what: "number of pieces",
                value: pieces,
                expected: format!("1 to {MAX_PIECES}"),
            })?;
        Ok(Self {
            total,
            piece_length,
            pieces,
        })
    }

    /// Bytes of the content.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes of every piece but the last.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// How many pieces.
    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    /// Where a piece begins in the content, in bytes.
    pub fn offset(&self, piece: u32) -> u64 {
        u64::from(piece) * u64::from(self.piece_length)
    }

    /// The piece that a byte of the content lies in.
    pub fn piece_at(&self, offset: u64) -> u32 {
        u32::try_from(offset / u64::from(self.piece_length)).unwrap_or(u32::MAX)
    }

    /// The pieces that `length` bytes of the content from `offset` on lie in; of no
    /// bytes, the one at `offset`.
    pub fn pieces_of(&self, offset: u64, length: u64) -> RangeInclusive<u32> {
        let last = offset.saturating_add(length.saturating_sub(1));
        self.piece_at(offset)..=self.piece_at(last)
    }

    /// The first of them and the last, which hold other bytes, too, maybe; each once.
    pub fn edges_of(&self, offset: u64, length: u64) -> impl Iterator<Item = u32> + use<> {
        let (first, last) = self.pieces_of(offset, length).into_inner();
        std::iter::once(first).chain((last != first).then_some(last))
    }

    /// Where a piece ends in the content, in bytes.
    pub fn end(&self, piece: u32) -> u64 {
        self.offset(piece) + u64::from(self.piece_len(piece))
    }

    /// Bytes of this piece; 0 beyond the end.
    pub fn piece_len(&self, piece: u32) -> u32 {
        let left = self.total.saturating_sub(self.offset(piece));
        u32::try_from(left).map_or(self.piece_length, |left| left.min(self.piece_length))
    }

    /// How many chunks this piece has.
    pub fn chunks(&self, piece: u32) -> u32 {
        self.piece_len(piece).div_ceil(CHUNK)
    }

    /// The `chunk`th chunk of a piece.
    pub fn chunk(&self, piece: u32, chunk: u32) -> Block {
        let begin = chunk.saturating_mul(CHUNK);
        Block {
            piece,
            begin,
            length: self.piece_len(piece).saturating_sub(begin).min(CHUNK),
        }
    }

    /// Whether a block lies in its piece and is not empty.
    pub fn contains(&self, block: Block) -> bool {
        block.length > 0
            && block
                .begin
                .checked_add(block.length)
                .is_some_and(|end| end <= self.piece_len(block.piece))
    }
}

/// One file of a torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its path below the torrent's name, checked; for a single file the name
    /// itself.
    pub path: Vec<String>,
    /// Bytes.
    pub length: u64,
    /// Where it begins in the content, in bytes.
    pub offset: u64,
    /// Padding (BEP 47): zeros, never on disk.
    pub pad: bool,
    /// It may be executed (BEP 47).
    pub executable: bool,
}

/// The info dictionary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    hash: InfoHash,
    raw: Bytes,
    name: String,
    layout: Layout,
    files: Vec<FileEntry>,
    single_file: bool,
    private: bool,
    piece_hashes: Vec<[u8; 20]>,
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
        let name = text(&value, "name").ok_or(if value.get("meta version").is_some() {
            MetainfoError::VersionTwo
        } else {
            MetainfoError::Missing("name")
        })?;
        names::check_component(&name)?;
        let hashes = value.get("pieces").and_then(Value::as_bytes).ok_or(
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
        let (piece_hashes, rest) = hashes.as_chunks::<20>();
        if !rest.is_empty() || u32::try_from(piece_hashes.len()) != Ok(layout.pieces()) {
            return Err(MetainfoError::BadSize {
                what: "length of `pieces`",
                value: u64::try_from(hashes.len()).unwrap_or(u64::MAX),
                expected: format!("20 bytes for each of {} pieces", layout.pieces()),
            });
        }
        Ok(Self {
            hash: InfoHash::from_bytes(Sha1::digest(&raw).into()),
            name,
            layout,
            files,
            single_file,
            private: value.get("private").and_then(Value::as_int) == Some(1),
            piece_hashes: piece_hashes.to_vec(),
            raw,
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

    /// The bencoded bytes as received.
    pub fn raw(&self) -> &Bytes {
        &self.raw
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

    /// SHA-1 of a piece's bytes.
    pub fn piece_hash(&self, piece: u32) -> Option<&[u8; 20]> {
        self.piece_hashes.get(usize::try_from(piece).ok()?)
    }

    /// Whether these are the bytes of `piece`.
    pub fn matches(&self, piece: u32, data: &[u8]) -> bool {
        self.piece_hash(piece)
            .is_some_and(|hash| Sha1::digest(data).as_slice() == hash)
    }
}

/// A torrent file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metainfo {
    /// What is shared.
    pub info: Info,
    /// Tracker URLs in tiers (BEP 12), at most [`MAX_TRACKERS`] in all.
    pub trackers: Vec<Vec<String>>,
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
        let raw = bencode::raw_entry(bytes, b"info", Limits::TORRENT)?
            .ok_or(MetainfoError::Missing("info"))?;
        let info = Info::from_bytes(Bytes::copy_from_slice(raw))?;
        let value = bencode::decode(bytes, Limits::TORRENT)?;
        Ok(Self {
            info,
            trackers: trackers(&value),
            nodes: nodes(&value),
            comment: text(&value, "comment"),
            created_by: text(&value, "created by"),
            creation_date: value.get("creation date").and_then(Value::as_int),
        })
    }

    /// The torrent file's bytes; the info dictionary stands in them as it was
    /// read.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut entries: Vec<(&str, Vec<u8>)> = vec![("info", self.info.raw.to_vec())];
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
        out
    }

    /// A magnet link to it.
    pub fn magnet(&self) -> Magnet {
        Magnet {
            info_hash: self.info.hash,
            name: Some(self.info.name.clone()),
            trackers: self.trackers.iter().flatten().cloned().collect(),
            peers: Vec::new(),
            files: Vec::new(),
        }
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    let utf8 = format!("{key}.utf-8");
    let value = value.get(&utf8).or_else(|| value.get(key))?;
    Some(String::from_utf8_lossy(value.as_bytes()?).into_owned())
}

/// Whether a file has this attribute (BEP 47).
fn attr(file: &Value, letter: u8) -> bool {
    let attr = file.get("attr").and_then(Value::as_bytes);
    attr.is_some_and(|attr| attr.contains(&letter))
}

fn refuse_link(file: &Value, name: &str) -> Result<(), MetainfoError> {
    if attr(file, b'l') || file.get("symlink path").is_some() {
        return Err(MetainfoError::BadName {
            name: name.to_owned(),
            reason: "it is a link",
        });
    }
    Ok(())
}

fn single(info: &Value, name: &str) -> Result<FileEntry, MetainfoError> {
    refuse_link(info, name)?;
    Ok(FileEntry {
        path: vec![name.to_owned()],
        length: info
            .get("length")
            .and_then(Value::as_u64)
            .ok_or(MetainfoError::Missing("length"))?,
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
    let mut seen = BTreeSet::new();
    for file in list {
        let length = file
            .get("length")
            .and_then(Value::as_u64)
            .ok_or(MetainfoError::Missing("length"))?;
        let pad = attr(file, b'p');
        let path = file
            .get("path.utf-8")
            .or_else(|| file.get("path"))
            .and_then(Value::as_list)
            .ok_or(MetainfoError::Missing("path"))?;
        let path: Vec<String> = path
            .iter()
            .map(|part| part.as_bytes().map(String::from_utf8_lossy))
            .map(|part| part.map(std::borrow::Cow::into_owned))
            .collect::<Option<_>>()
            .ok_or(MetainfoError::Missing("path"))?;
        if !pad {
            let shown = path.join("/");
            refuse_link(file, &shown)?;
            names::check_path(&path, &shown)?;
            if !seen.insert(path.clone()) {
                return Err(MetainfoError::BadName {
                    name: shown,
                    reason: "two files have it",
                });
            }
        }
        entries.push(FileEntry {
            path,
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
    names::check_folders(&seen)?;
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

fn trackers(value: &Value) -> Vec<Vec<String>> {
    let mut left = MAX_TRACKERS;
    let mut tiers = Vec::new();
    let list = value.get("announce-list").and_then(Value::as_list);
    for tier in list.unwrap_or_default() {
        let urls = tier.as_list().unwrap_or_default().iter();
        let urls: Vec<String> = urls
            .filter_map(Value::as_str)
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
                .filter(|url| !url.is_empty())
                .map(|url| vec![url.to_owned()]),
        );
    }
    tiers
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn info(entries: &[(&str, Value)]) -> Vec<u8> {
        let mut all: Vec<(&str, Value)> = vec![
            ("name", "dir".into()),
            ("piece length", 16384i64.into()),
            ("pieces", vec![1u8; 20].into()),
        ];
        all.extend(entries.iter().cloned());
        Value::dict(all).encode()
    }

    fn files(paths: &[&[&str]]) -> Value {
        let file = |path: &&[&str]| {
            Value::dict([
                ("length", 5i64.into()),
                (
                    "path",
                    Value::List(path.iter().map(|part| (*part).into()).collect()),
                ),
            ])
        };
        paths.iter().map(file).collect::<Vec<_>>().into()
    }

    fn parse(bytes: Vec<u8>) -> Result<Info, MetainfoError> {
        Info::from_bytes(bytes.into())
    }

    #[test]
    fn the_bytes_are_kept_and_hashed_as_they_are() {
        let raw = b"d4:name1:a12:piece lengthi16384e6:lengthi3e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
        let info = parse(raw.to_vec()).unwrap();
        assert_eq!(&info.raw()[..], raw);
        assert_eq!(info.hash().as_bytes(), Sha1::digest(raw).as_slice());
        let meta = Metainfo::new(info);
        assert_eq!(Metainfo::from_bytes(&meta.to_bytes()), Ok(meta));
    }

    #[test]
    fn hostile_names_are_refused() {
        for path in [
            &["..", "x"][..],
            &["a", ".."],
            &["."],
            &[""],
            &[],
            &["/etc/passwd"],
            &["a/b"],
            &["a\\b"],
            &["a\0b"],
            &["C:"],
            &["nul.txt"],
            &["a", "COM1"],
            &["a\nb"],
            &["trailing."],
        ] {
            let parsed = parse(info(&[("files", files(&[path]))]));
            assert!(
                matches!(parsed, Err(MetainfoError::BadName { .. })),
                "{path:?}: {parsed:?}"
            );
        }
        for paths in [
            &[&["a"][..], &["a"]][..],
            &[&["a"], &["a", "b"]],
            &[&["a", "b"], &["a"]],
        ] {
            assert!(
                parse(info(&[("files", files(paths))])).is_err(),
                "{paths:?}"
            );
        }
        let mut name = info(&[("length", 5i64.into())]);
        assert!(parse(name.clone()).is_ok());
        let at = name.windows(3).position(|w| w == b"dir").unwrap();
        name[at..at + 3].copy_from_slice(b"../");
        assert!(parse(name).is_err());
        let link = [("length", 5i64.into()), ("attr", "l".into())];
        assert!(parse(info(&link)).is_err());
    }

    #[test]
    fn sizes_that_do_not_add_up_are_refused() {
        assert!(parse(info(&[("length", 16385i64.into())])).is_err());
        assert!(parse(info(&[("length", 0i64.into())])).is_err());
        assert!(parse(info(&[("length", (-1i64).into())])).is_err());
        assert!(parse(info(&[("length", i64::MAX.into())])).is_err());
        assert!(
            parse(info(&[
                ("length", 5i64.into()),
                ("piece length", 0i64.into())
            ]))
            .is_err()
        );
        assert!(parse(info(&[("files", files(&[&["a"], &["b"]]))])).is_ok());
    }

    #[test]
    fn the_last_piece_and_chunk_are_shorter() {
        let layout = Layout::new(100_000, 40_000).unwrap();
        assert_eq!(layout.pieces(), 3);
        assert_eq!(layout.piece_len(2), 20_000);
        assert_eq!(layout.piece_len(3), 0);
        assert_eq!(layout.chunks(0), 3);
        assert_eq!(layout.chunk(0, 2).length, 40_000 - 2 * CHUNK);
        assert_eq!(layout.chunk(2, 1).length, 20_000 - CHUNK);
        let all = Block {
            piece: 2,
            begin: 0,
            length: 20_000,
        };
        assert!(layout.contains(all));
        assert!(!layout.contains(Block { begin: 1, ..all }));
        assert!(!layout.contains(Block {
            begin: u32::MAX,
            ..all
        }));
        assert!(!layout.contains(Block { piece: 3, ..all }));
        assert!(!layout.contains(Block { length: 0, ..all }));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Metainfo::from_bytes(&bytes);
            let _ = Info::from_bytes(bytes.into());
        }
    }
}
