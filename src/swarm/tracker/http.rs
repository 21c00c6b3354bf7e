//! Trackers by HTTP (BEP 3, 48).

use super::{Announce, AnnounceEvent};
use crate::{swarm::fetch::Reach, types::InfoHash};

/// Where a tracker's URL may lead that a torrent file or link named. A host inside
/// our network is asked for nothing but an announce or a scrape: any other path could
/// be a command for a service there.
pub(super) fn reach(url: &url::Url) -> Reach {
    let asks = |part: &str| {
        let word = part.split('.').next().unwrap_or_default();
        word == "announce" || word == "scrape"
    };
    match url.path_segments().is_some_and(|mut parts| parts.any(asks)) {
        true => Reach::Anywhere,
        false => Reach::Public,
    }
}

/// The query of an announce, behind what the URL has already.
pub(super) fn announce_url(
    mut parsed: url::Url,
    announce: &Announce,
    id: Option<&[u8]>,
) -> url::Url {
    parsed.set_fragment(None);
    let mut query = parsed.query().map(|q| format!("{q}&")).unwrap_or_default();
    query.push_str(&format!(
        "info_hash={}&peer_id={}&port={}&uploaded={}&downloaded={}&left={}&compact=1&numwant={}&key={:08x}",
        escape(announce.info_hash.as_bytes()),
        escape(&announce.peer_id),
        announce.port,
        announce.uploaded,
        announce.downloaded,
        announce.left,
        announce.wanted,
        announce.key,
    ));
    match announce.event {
        AnnounceEvent::None => {}
        AnnounceEvent::Started => query.push_str("&event=started"),
        AnnounceEvent::Completed => query.push_str("&event=completed"),
        AnnounceEvent::Stopped => query.push_str("&event=stopped"),
    }
    if let Some(id) = id {
        query.push_str(&format!("&trackerid={}", escape(id)));
    }
    parsed.set_query(Some(&query));
    parsed
}

/// Where a tracker is scraped: `announce` after the last slash becomes `scrape`;
/// without it there is no such place.
pub(super) fn scrape_url(mut parsed: url::Url, hashes: &[InfoHash]) -> Option<url::Url> {
    let (before, last) = parsed.path().rsplit_once('/')?;
    let rest = last.strip_prefix("announce")?;
    let path = format!("{before}/scrape{rest}");
    parsed.set_path(&path);
    parsed.set_fragment(None);
    let mut query = parsed.query().map(|q| format!("{q}&")).unwrap_or_default();
    let hashes = hashes
        .iter()
        .map(|hash| format!("info_hash={}", escape(hash.as_bytes())));
    query.push_str(&hashes.collect::<Vec<_>>().join("&"));
    parsed.set_query(Some(&query));
    Some(parsed)
}

fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 3);
    for byte in bytes {
        match char::from(*byte) {
            plain if plain.is_ascii_alphanumeric() => out.push(plain),
            plain @ ('-' | '_' | '.' | '~') => out.push(plain),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announce() -> Announce {
        Announce {
            info_hash: InfoHash::from_bytes([0xab; 20]),
            peer_id: *b"-SR0100-abcdefghijkl",
            port: 6881,
            uploaded: 1,
            downloaded: 2,
            left: 3,
            event: AnnounceEvent::Started,
            wanted: 50,
            key: 7,
        }
    }

    #[test]
    fn the_query_keeps_what_the_url_had() {
        let url = "http://t.example/a?pass=x#y".parse().unwrap();
        let url = announce_url(url, &announce(), Some(b"a&b"));
        let text = url.as_str();
        assert!(text.starts_with("http://t.example/a?pass=x&info_hash=%AB%AB"));
        assert!(text.contains("&peer_id=-SR0100-abcdefghijkl&port=6881&"));
        assert!(text.ends_with("&event=started&trackerid=a%26b"));
    }

    #[test]
    fn a_host_inside_is_asked_for_an_announce_alone() {
        for (url, expected) in [
            ("http://t/announce", Reach::Anywhere),
            ("http://t/announce.php?pass=x", Reach::Anywhere),
            ("http://t/passkey/announce", Reach::Anywhere),
            ("http://t/announce/passkey", Reach::Anywhere),
            ("http://t/scrape", Reach::Anywhere),
            ("http://t/", Reach::Public),
            ("http://t/admin/delete?announce", Reach::Public),
            ("http://t/announce/../admin", Reach::Public),
            ("http://t/announcement", Reach::Public),
        ] {
            assert_eq!(reach(&url.parse().unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn scrapes_go_where_bep_48_says() {
        let of = |url: &str| {
            let url = scrape_url(url.parse().unwrap(), &[InfoHash::from_bytes([b'a'; 20])]);
            url.map(|url| url.to_string())
        };
        let hash = "info_hash=aaaaaaaaaaaaaaaaaaaa";
        for (announce, scrape) in [
            ("http://t/announce", Some(format!("http://t/scrape?{hash}"))),
            (
                "http://t/x/announce",
                Some(format!("http://t/x/scrape?{hash}")),
            ),
            (
                "http://t/announce.php",
                Some(format!("http://t/scrape.php?{hash}")),
            ),
            (
                "http://t/announce?x=2",
                Some(format!("http://t/scrape?x=2&{hash}")),
            ),
            ("http://t/a", None),
            ("http://t/announce/x", None),
        ] {
            assert_eq!(of(announce), scrape, "{announce}");
        }
    }
}
