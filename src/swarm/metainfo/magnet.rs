//! Magnet links (BEP 9, with 53):
//! `magnet:?xt=urn:btih:HASH&dn=NAME&tr=URL&x.pe=ADDR&so=0,2-4`.

use std::{fmt, net::SocketAddr, ops::RangeInclusive, str::FromStr};

use url::Url;

use super::{MAX_TRACKERS, MAX_WEB_SEED_BYTES, MAX_WEB_SEEDS, names};
use crate::{swarm::selection::select_only, types::InfoHash};

/// The longest link that is read.
const MAX_BYTES: usize = 64 << 10;
/// The most `x.pe` addresses that are kept.
const MAX_PEERS: usize = 64;

/// Why a text is not a magnet link that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MagnetError {
    /// It is something else.
    #[error("`{0}` is not a magnet link (magnet:?xt=urn:btih:...)")]
    NotMagnet(String),
    /// It has no `xt` of BitTorrent version 1.
    #[error("the magnet link has no `xt=urn:btih:` with an info-hash")]
    NoHash,
    /// The hash is neither 40 hex digits nor 32 base32 letters.
    #[error("`{0}` is not an info-hash (40 hex digits or 32 base32 letters)")]
    BadHash(String),
}

/// A torrent's identity and where to look for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Magnet {
    /// The torrent.
    pub info_hash: InfoHash,
    /// `dn`: a name to show until the metadata is there. One line of text.
    pub name: Option<String>,
    /// `tr`: trackers.
    pub trackers: Vec<String>,
    /// `ws`: web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// `x.pe`: peers.
    pub peers: Vec<SocketAddr>,
    /// `so`: positions of the wanted files, from 0 on; none: every file.
    pub files: Vec<RangeInclusive<u32>>,
}

impl FromStr for Magnet {
    type Err = MagnetError;

    fn from_str(text: &str) -> Result<Self, MagnetError> {
        let not_magnet = || MagnetError::NotMagnet(text.chars().take(60).collect());
        if text.len() > MAX_BYTES {
            return Err(not_magnet());
        }
        let url = Url::parse(text.trim()).map_err(|_| not_magnet())?;
        if url.scheme() != "magnet" {
            return Err(not_magnet());
        }
        let mut hash = None;
        let mut name = None;
        let mut trackers = Vec::new();
        let mut web_seeds: Vec<String> = Vec::new();
        let mut peers = Vec::new();
        let mut files = Vec::new();
        for (key, value) in url.query_pairs() {
            let key = key.to_ascii_lowercase();
            // `xt.1`, `tr.x`: several of a kind may be numbered, by anything.
            let kind = match key.split_once('.') {
                Some((kind @ ("xt" | "tr" | "dn" | "ws"), _)) => kind,
                _ => &*key,
            };
            match kind {
                "xt" => {
                    let start = "urn:btih:";
                    let urn = value.get(..start.len());
                    if urn.is_some_and(|urn| urn.eq_ignore_ascii_case(start)) {
                        let text = value.get(start.len()..).unwrap_or_default();
                        hash = Some(parse_hash(text.trim())?);
                    }
                }
                "dn" if name.is_none() => {
                    let line: String = value.chars().filter(|c| !c.is_control()).collect();
                    name = Some(line.chars().take(255).collect());
                }
                "tr" if trackers.len() < MAX_TRACKERS && !value.trim().is_empty() => {
                    trackers.push(value.trim().to_owned());
                }
                "ws" if web_seeds.len() < MAX_WEB_SEEDS => {
                    let url = Some(value.trim());
                    let url = url.filter(|url| !url.is_empty() && url.len() <= MAX_WEB_SEED_BYTES);
                    web_seeds.extend(url.map(str::to_owned));
                }
                "x.pe" if peers.len() < MAX_PEERS => peers.extend(value.parse::<SocketAddr>()),
                "so" => files.extend(select_only(&value)),
                _ => {}
            }
        }
        Ok(Self {
            info_hash: hash.ok_or(MagnetError::NoHash)?,
            name,
            trackers,
            web_seeds,
            peers,
            files,
        })
    }
}

fn parse_hash(text: &str) -> Result<InfoHash, MagnetError> {
    let bad = || MagnetError::BadHash(text.chars().take(60).collect());
    if text.len() == 32 {
        let bytes = base32(text).ok_or_else(bad)?;
        return Ok(InfoHash::from_bytes(bytes));
    }
    text.to_ascii_lowercase().parse().map_err(|_| bad())
}

/// RFC 4648 without padding; 32 letters are exactly 20 bytes.
fn base32(text: &str) -> Option<[u8; 20]> {
    let mut out = [0; 20];
    let mut bytes = out.iter_mut();
    let (mut bits, mut held) = (0u32, 0u32);
    for letter in text.bytes() {
        let value = match letter.to_ascii_uppercase() {
            upper @ b'A'..=b'Z' => upper - b'A',
            digit @ b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        bits = (bits << 5) | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            let [.., low] = (bits >> held).to_be_bytes();
            *bytes.next()? = low;
        }
    }
    Some(out)
}

impl Magnet {
    /// A link to this info-hash alone, written as 40 hex digits or 32 base32 letters.
    pub fn of_hash(text: &str) -> Option<Self> {
        Some(Self {
            info_hash: parse_hash(text).ok()?,
            name: None,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            peers: Vec::new(),
            files: Vec::new(),
        })
    }

    /// The name, as a file of it would be called.
    pub fn safe_name(&self) -> Option<String> {
        names::root(self.name.as_deref()?.as_bytes())
    }
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "magnet:?xt=urn:btih:{}", self.info_hash)?;
        let escape = |text: &str| -> String {
            url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
        };
        if let Some(name) = &self.name {
            write!(f, "&dn={}", escape(name))?;
        }
        for tracker in &self.trackers {
            write!(f, "&tr={}", escape(tracker))?;
        }
        for url in &self.web_seeds {
            write!(f, "&ws={}", escape(url))?;
        }
        for peer in &self.peers {
            write!(f, "&x.pe={peer}")?;
        }
        for (at, range) in self.files.iter().enumerate() {
            let lead = if at == 0 { "&so=" } else { "," };
            match (range.start(), range.end()) {
                (one, same) if one == same => write!(f, "{lead}{one}")?,
                (from, to) => write!(f, "{lead}{from}-{to}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hex_and_base32_are_the_same_hash() {
        let hex: Magnet = "magnet:?xt=urn:btih:631a31dd0a46257d5078c0dee4e66e26f73e42ac"
            .parse()
            .unwrap();
        let base: Magnet = "magnet:?xt=urn:btih:MMNDDXIKIYSX2UDYYDPOJZTOE33T4QVM"
            .parse()
            .unwrap();
        assert_eq!(hex, base);
    }

    #[test]
    fn links_of_other_kinds_are_refused() {
        for text in ["", "http://a/", "magnet:?dn=x", "magnet:?xt=urn:btih:zz"] {
            assert!(text.parse::<Magnet>().is_err(), "{text}");
        }
        let link = "magnet:?xt=urn:btih:631a31dd0a46257d5078c0dee4e66e26f73e42ac";
        let parse = |text: String| text.parse::<Magnet>().unwrap();
        // What is not understood of a choice of files is passed over.
        for (files, expected) in [
            ("", vec![]),
            ("x", vec![]),
            ("3-1,5", vec![5..=5]),
            ("1,,b,2-4", vec![1..=1, 2..=4]),
        ] {
            assert_eq!(parse(format!("{link}&so={files}")).files, expected);
        }
        let plain = parse(link.to_owned());
        let loud = link.to_uppercase().replace("XT=URN:BTIH", "XT=urn:BTIH");
        assert_eq!(parse(format!("  {loud} ")), plain);
        let trackers = parse(format!("{link}&tr.x=http://a/&TR=%09udp://b:1%20")).trackers;
        assert_eq!(trackers, ["http://a/", "udp://b:1"]);
        let hash = "631a31dd0a46257d5078c0dee4e66e26f73e42ac";
        assert_eq!(Magnet::of_hash(hash), Some(plain.clone()));
        assert_eq!(
            Magnet::of_hash("MMNDDXIKIYSX2UDYYDPOJZTOE33T4QVM"),
            Some(plain)
        );
        assert_eq!(Magnet::of_hash("movie"), None);
        let eighties = format!("magnet:?xt=urn:btih:{}", "é".repeat(16));
        assert!(eighties.parse::<Magnet>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(
            hash in any::<[u8; 20]>(),
            name in proptest::option::of("[^\\p{Cc}]{0,40}"),
            tracker in "http://[a-z]{1,10}/announce\\?x=[a-z&=%]{0,10}",
            peer in any::<([u8; 4], u16)>(),
            files in proptest::collection::vec((0u32..9, 0u32..9), 0..4),
        ) {
            let magnet = Magnet {
                info_hash: InfoHash::from_bytes(hash),
                name,
                trackers: vec![tracker],
                web_seeds: vec!["http://h/a b?c=d&e".to_owned()],
                peers: vec![SocketAddr::from(peer)],
                files: files.into_iter().map(|(from, more)| from..=from + more).collect(),
            };
            prop_assert_eq!(magnet.to_string().parse(), Ok(magnet));
        }
    }
}
