//! What `get` is told to download: a torrent file, by name, URL or stdin, a magnet link or
//! an info-hash.

use std::{io::Read, net::IpAddr, path::Path};

use super::{
    Context,
    failure::{Failure, Outcome},
    torrent,
};
use crate::swarm::{
    self, Source,
    metainfo::{Magnet, Metainfo},
    proxy::Proxy,
};

/// How what a URL names is fetched.
#[derive(Debug)]
pub(super) struct Way {
    /// The address that it is asked from; `None`: nothing is sent.
    pub(super) from: Option<IpAddr>,
    /// The proxy that it goes through.
    pub(super) proxy: Option<Proxy>,
}

/// Reads what `text` names. URLs are fetched by `way`.
pub(super) async fn read(
    context: &Context,
    text: &str,
    way: impl Future<Output = Outcome<Way>>,
) -> Outcome<Source> {
    if text != "-" {
        return named(context, text, way).await;
    }
    let reading = tokio::task::spawn_blocking(|| {
        let mut bytes = Vec::new();
        let input = std::io::stdin().lock().take(torrent::MAX_FILE_BYTES + 1);
        { input }.read_to_end(&mut bytes).map(|_| bytes)
    });
    let read = async {
        let read = reading.await;
        read.map_err(|error| Failure::failed("stdin", error))
    };
    let bytes = context.or_interrupt(read).await?;
    let bytes = bytes.map_err(|error| Failure::failed("stdin", format!("stdin: {error}")))?;
    if bytes.starts_with(b"d") {
        return of_bytes("stdin", &bytes);
    }
    // A link or hash, as a pipe has it.
    let text = std::str::from_utf8(&bytes).map(str::trim).ok();
    let text = text.filter(|text| !text.is_empty() && !text.contains('\n') && *text != "-");
    let text = text.ok_or_else(|| {
        let words = "stdin has neither a torrent file nor one line with a link, URL or info-hash";
        Failure::failed("invalid_torrent", words)
    })?;
    named(context, text, way).await
}

async fn named(
    context: &Context,
    text: &str,
    way: impl Future<Output = Outcome<Way>>,
) -> Outcome<Source> {
    let trimmed = text.trim();
    let begins = |scheme: &str| {
        let start = trimmed.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if begins("magnet:") {
        return Ok(Source::Magnet(
            trimmed.parse::<Magnet>().map_err(Failure::usage)?,
        ));
    }
    if begins("http://") || begins("https://") {
        let Way { from, proxy } = way.await?;
        let from = from.ok_or_else(|| {
            Failure::failed(
                "fetch",
                format!("cannot download {trimmed}: what --bind names has no address"),
            )
        })?;
        let asking = async {
            let fetched = swarm::fetch_torrent(trimmed, from, proxy.as_ref()).await;
            fetched.map_err(|error| {
                Failure::failed("fetch", format!("cannot download {trimmed}: {error}"))
            })
        };
        let bytes = context.or_interrupt(asking).await?;
        return of_bytes(trimmed, &bytes);
    }
    let path = Path::new(text);
    match Magnet::of_hash(trimmed) {
        Some(magnet) if !path.exists() => Ok(Source::Magnet(magnet)),
        _ => Ok(Source::Torrent(Box::new(torrent::read(path)?))),
    }
}

fn of_bytes(name: &str, bytes: &[u8]) -> Outcome<Source> {
    let metainfo = Metainfo::from_bytes(bytes);
    let metainfo =
        metainfo.map_err(|error| Failure::failed("invalid_torrent", format!("{name}: {error}")))?;
    Ok(Source::Torrent(Box::new(metainfo)))
}
