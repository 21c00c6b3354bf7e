//! The extension protocol on one connection: handshake, metadata, PEX, and the
//! extensions that were registered with the session.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Conn, Told, run::Close};
use crate::swarm::{
    extended::{ExtendedHandshake, METADATA_PIECE, MetadataMessage, OUR_REQQ, PexMessage},
    hooks::{PeerContext, PeerLink, UploadClass},
    locality::namable,
    lock::lock,
    wire::{MAX_EXTENDED, Message},
};

/// Our number of `ut_metadata`.
const METADATA_ID: u8 = 1;
/// Our number of `ut_pex`.
const PEX_ID: u8 = 2;
/// Our number of the first registered extension.
const FIRST_ID: u8 = 3;
/// Metadata pieces asked for at once.
const METADATA_PIPELINE: u32 = 8;
/// Parts of our metadata that a peer may ask for while it is read from the disk: 1 MiB.
const METADATA_WANTED: usize = 64;
/// A peer that sends no metadata for so long is not waited for.
pub(in crate::swarm) const METADATA_TIMEOUT: Duration = Duration::from_secs(20);
/// And so much it may take in all, for its first bytes, ...
const METADATA_DEADLINE: Duration = Duration::from_secs(60);
/// ... and a second for each of so many more.
const METADATA_SLOWEST: u32 = 32 << 10;
/// PEX messages come at most once a minute; some clients are a bit early.
const PEX_INTERVAL: Duration = Duration::from_secs(50);

/// How long one peer may take to send metadata of so many bytes.
fn metadata_deadline(size: u32) -> Duration {
    METADATA_DEADLINE + Duration::from_secs(u64::from(size / METADATA_SLOWEST))
}

/// The info dictionary as one peer sends it. Every peer is asked for all of it:
/// so a wrong one is certainly its fault.
#[derive(Debug, Default)]
pub(super) struct Fetch {
    active: bool,
    refused: bool,
    asked: u32,
    began_at: Option<Instant>,
    progress_at: Option<Instant>,
    data: Vec<u8>,
    pex_at: Option<Instant>,
    pex_sent: Vec<SocketAddr>,
    pex_sent_at: Option<Instant>,
}

impl Conn {
    pub(in crate::swarm) fn send_extended_handshake(&self) {
        if !self.extended {
            return;
        }
        let info = self.torrent.info();
        let private = info.as_ref().is_some_and(|info| info.is_private());
        let mut ids = BTreeMap::from([("ut_metadata".to_owned(), METADATA_ID)]);
        if !private {
            ids.insert("ut_pex".to_owned(), PEX_ID);
        }
        // Whether an extension is wanted depends on the torrent being private,
        // which is not known before its metadata is.
        if info.is_some() {
            for (id, extension) in (FIRST_ID..).zip(&self.shared.extensions) {
                if extension.enabled(self.torrent.hash, private) {
                    ids.insert(extension.name().to_owned(), id);
                }
            }
        }
        let metadata_size = info
            .as_ref()
            .and_then(|info| u32::try_from(info.raw_len()).ok());
        let handshake = ExtendedHandshake {
            ids,
            client: Some(concat!("Seedrail ", env!("CARGO_PKG_VERSION")).to_owned()),
            port: Some(self.shared.public_port()).filter(|_| self.shared.proxy.is_none()),
            reqq: Some(OUR_REQQ),
            metadata_size,
            upload_only: self.torrent.is_complete(),
        };
        self.send(Message::Extended {
            id: 0,
            payload: handshake.encode().into(),
        });
    }

    /// Whether an extension took it.
    pub(super) fn on_extended(self: &Arc<Self>, id: u8, payload: &Bytes) -> Result<bool, Close> {
        match id {
            0 => self.on_extended_handshake(payload)?,
            METADATA_ID => self.on_metadata(payload)?,
            PEX_ID => self.on_pex(payload)?,
            other => {
                let attached = lock(&self.attached).get(&other).cloned();
                let Some(extension) = attached else {
                    return Ok(false);
                };
                extension
                    .message(payload)
                    .map_err(|violation| Close::Violation(violation.0))?;
                self.note_drained();
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn on_extended_handshake(self: &Arc<Self>, payload: &[u8]) -> Result<(), Close> {
        let theirs = ExtendedHandshake::decode(payload)
            .map_err(|_| Close::Protocol("its extension handshake is not bencoded"))?;
        let mut link = lock(&self.link);
        let is_first = !std::mem::replace(&mut link.greeted, true);
        link.upload_only = theirs.upload_only;
        // A later handshake adds and changes; 0 takes an extension away.
        for (name, id) in theirs.ids {
            if link.their_ids.len() < 64 || link.their_ids.contains_key(&name) {
                link.their_ids.insert(name, id);
            }
        }
        if let Some(reqq) = theirs.reqq {
            link.asking.set_reqq(reqq);
        }
        link.client = theirs.client.or(link.client.take());
        link.metadata_size = theirs.metadata_size.or(link.metadata_size);
        drop(link);
        // rtorrent up to 0.9.8 at least, on an enciphered connection and without metadata, reads
        // what we said first up to our bitfield, and the rest when something more comes.
        if is_first && theirs.metadata_size.is_none() && self.torrent.info().is_some() {
            self.send(Message::KeepAlive);
        }
        if let Some(port) = theirs.port.filter(|port| *port != 0 && !self.outgoing) {
            self.torrent
                .learn_listen_addr(self.id, SocketAddr::new(self.remote.ip(), port));
        }
        self.attach_extensions();
        self.fetch_metadata();
        Ok(())
    }

    /// Attaches what both sides announced, once the torrent is live.
    pub(super) fn attach_extensions(self: &Arc<Self>) {
        let Some(info) = self.torrent.info() else {
            return;
        };
        if !lock(&self.link).live {
            return;
        }
        for (id, extension) in (FIRST_ID..).zip(&self.shared.extensions) {
            let name = extension.name();
            let theirs = lock(&self.link).their_ids.get(name).copied();
            if theirs.unwrap_or(0) == 0
                || lock(&self.attached).contains_key(&id)
                || !extension.enabled(self.torrent.hash, info.is_private())
            {
                continue;
            }
            let context = PeerContext {
                conn: self.id,
                info_hash: self.torrent.hash,
                private: info.is_private(),
                remote: self.remote,
                own_id: self.shared.peer_id,
                peer_id: self.peer_id,
                piece_length: info.layout().piece_length(),
            };
            let link = Arc::new(ExtensionLink {
                conn: Arc::downgrade(self),
                name: name.to_owned(),
            });
            let attached = extension.attach(context, link);
            lock(&self.attached).insert(id, attached.clone());
            if self.meter.set(attached.clone()).is_ok() {
                self.drained.store(attached.drained(), Ordering::Release);
                if lock(&self.link).peer_interested {
                    attached.peer_interested(true);
                }
                if self.torrent.is_complete() || self.torrent.is_ending() {
                    attached.finished();
                }
            }
        }
    }

    /// Tells the extension what other tasks had to say.
    pub(super) fn deliver(&self) {
        let told = std::mem::take(&mut *lock(&self.inbox));
        let Some(meter) = self.meter.get() else {
            return;
        };
        for one in told {
            match one {
                Told::Verified { piece, chunks } => meter.piece_verified(piece, &chunks),
                Told::Dropped { tag, bytes } => meter.request_dropped(tag, bytes),
                Told::Over { piece } => meter.piece_over(piece),
                Told::Finished => meter.finished(),
            }
        }
        self.note_drained();
    }

    /// Somebody may wait for everything that is due to be sent.
    fn note_drained(&self) {
        if let Some(meter) = self.meter.get() {
            let drained = meter.drained();
            self.drained.store(drained, Ordering::Release);
            if drained {
                self.torrent.drained.notify_one();
            }
        }
    }

    pub(super) fn close_extensions(&self) {
        self.deliver();
        let attached = std::mem::take(&mut *lock(&self.attached));
        for extension in attached.into_values() {
            extension.closed();
        }
    }

    fn their_id(&self, name: &str) -> Option<u8> {
        let id = lock(&self.link).their_ids.get(name).copied();
        id.filter(|id| *id != 0)
    }

    fn send_extended(&self, name: &str, payload: Vec<u8>) -> bool {
        let fits = u32::try_from(payload.len()).is_ok_and(|length| length + 2 <= MAX_EXTENDED);
        match self.their_id(name).filter(|_| fits) {
            Some(id) => self.send(Message::Extended {
                id,
                payload: payload.into(),
            }),
            None => false,
        }
    }

    /// Begins or goes on to ask for the info dictionary, if it is missing.
    pub(super) fn fetch_metadata(&self) {
        if self.torrent.info().is_some() || self.their_id("ut_metadata").is_none() {
            return;
        }
        let mut link = lock(&self.link);
        let Some(size) = link.metadata_size else {
            return;
        };
        let fetch = &mut link.metadata;
        if fetch.refused || (!fetch.active && !self.torrent.begin_fetch()) {
            return;
        }
        fetch.active = true;
        fetch.progress_at.get_or_insert_with(Instant::now);
        fetch.began_at.get_or_insert_with(Instant::now);
        let pieces = size.div_ceil(METADATA_PIECE);
        let here = u32::try_from(fetch.data.len()).unwrap_or(u32::MAX) / METADATA_PIECE;
        let until = pieces.min(here + METADATA_PIPELINE);
        let ask = fetch.asked..until;
        fetch.asked = fetch.asked.max(until);
        drop(link);
        for piece in ask {
            self.send_extended("ut_metadata", MetadataMessage::Request(piece).encode());
        }
    }

    /// Gives up on this peer's metadata.
    pub(super) fn stop_fetch(&self) {
        let mut link = lock(&self.link);
        let was_active = link.metadata.active;
        link.metadata.active = false;
        link.metadata.refused = true;
        link.metadata.data = Vec::new();
        drop(link);
        if was_active {
            self.torrent.end_fetch();
        }
    }

    pub(in crate::swarm) fn tick_metadata(&self) {
        let late = {
            let link = lock(&self.link);
            let fetch = &link.metadata;
            let in_all = metadata_deadline(link.metadata_size.unwrap_or(0));
            let older = |at: Option<Instant>, than| at.is_some_and(|at| at.elapsed() > than);
            fetch.active
                && (older(fetch.progress_at, METADATA_TIMEOUT) || older(fetch.began_at, in_all))
        };
        if late {
            self.close("it does not send the metadata it has");
        }
    }

    fn on_metadata(self: &Arc<Self>, payload: &Bytes) -> Result<(), Close> {
        let message = MetadataMessage::decode(payload)
            .map_err(|_| Close::Protocol("its metadata message is not bencoded"))?;
        match message {
            MetadataMessage::Request(piece) => {
                self.want_metadata(piece);
                Ok(())
            }
            MetadataMessage::Reject(_) => {
                self.stop_fetch();
                Ok(())
            }
            MetadataMessage::Data { piece, total, data } => self.take_metadata(piece, total, &data),
            MetadataMessage::Unknown => Ok(()),
        }
    }

    /// Serves a part of the info dictionary, at once if that is in memory.
    fn want_metadata(self: &Arc<Self>, piece: u32) {
        let Some(info) = self.torrent.info() else {
            return self.serve_metadata(None, piece);
        };
        if let Some(raw) = info.held() {
            return self.serve_metadata(Some(&raw), piece);
        }
        let mut link = lock(&self.link);
        let is_first = link.metadata_wanted.is_empty();
        let is_room = link.metadata_wanted.len() < METADATA_WANTED;
        if is_room {
            link.metadata_wanted.push(piece);
        }
        drop(link);
        if !is_room {
            return self.serve_metadata(None, piece);
        }
        if is_first {
            let this = self.clone();
            self.shared.spawn(async move {
                let Ok(_turn) = this.shared.looking.acquire().await else {
                    return;
                };
                let read = tokio::task::spawn_blocking(move || info.raw()).await;
                let raw = match read {
                    Ok(Ok(raw)) => Some(raw),
                    Ok(Err(error)) => {
                        tracing::warn!(hash = %this.torrent.hash, %error, "cannot read the info dictionary");
                        None
                    }
                    // The runtime is shutting down.
                    Err(_) => return,
                };
                let wanted = std::mem::take(&mut lock(&this.link).metadata_wanted);
                for piece in wanted {
                    this.serve_metadata(raw.as_ref(), piece);
                }
            });
        }
    }

    fn serve_metadata(&self, raw: Option<&Bytes>, piece: u32) {
        let size = usize::try_from(METADATA_PIECE).unwrap_or(usize::MAX);
        let found = raw.and_then(|raw| {
            let from = usize::try_from(piece).ok()?.checked_mul(size)?;
            let to = raw.len().min(from.checked_add(size)?);
            let total = u32::try_from(raw.len()).ok()?;
            (from < to).then(|| (total, raw.slice(from..to)))
        });
        let answer = match found {
            Some((total, data)) => MetadataMessage::Data { piece, total, data },
            None => MetadataMessage::Reject(piece),
        };
        self.send_extended("ut_metadata", answer.encode());
    }

    fn take_metadata(&self, piece: u32, total: u32, data: &[u8]) -> Result<(), Close> {
        let mut link = lock(&self.link);
        let size = link.metadata_size.unwrap_or(0);
        let fetch = &mut link.metadata;
        if !fetch.active {
            return Ok(());
        }
        let here = u32::try_from(fetch.data.len()).unwrap_or(u32::MAX);
        let expected = size.saturating_sub(here).min(METADATA_PIECE);
        if total != size
            || here != piece.saturating_mul(METADATA_PIECE)
            || u32::try_from(data.len()) != Ok(expected)
        {
            return Err(Close::Protocol("its metadata is out of order"));
        }
        fetch.data.extend_from_slice(data);
        fetch.progress_at = Some(Instant::now());
        if here + expected < size {
            drop(link);
            self.fetch_metadata();
            return Ok(());
        }
        let all = std::mem::take(&mut fetch.data);
        drop(link);
        self.stop_fetch();
        if self.torrent.offer_metadata(all) {
            Ok(())
        } else {
            self.torrent.ban(self.remote, "its metadata is wrong");
            Err(Close::Protocol("its metadata is wrong"))
        }
    }

    fn on_pex(&self, payload: &[u8]) -> Result<(), Close> {
        let message = PexMessage::decode(payload)
            .map_err(|_| Close::Protocol("its peer exchange is not bencoded"))?;
        if self.torrent.info().is_none_or(|info| info.is_private()) {
            return Ok(());
        }
        let mut link = lock(&self.link);
        let early = link
            .metadata
            .pex_at
            .is_some_and(|at| at.elapsed() < PEX_INTERVAL);
        if early {
            return Ok(());
        }
        link.metadata.pex_at = Some(Instant::now());
        drop(link);
        let named = namable(self.remote.ip(), &message.added);
        self.torrent.add_told(&named, self.remote.ip());
        Ok(())
    }

    /// Tells the peer of others, once a minute.
    pub(in crate::swarm) fn tick_pex(&self, connected: &[SocketAddr]) {
        if self.torrent.info().is_none_or(|info| info.is_private())
            || self.their_id("ut_pex").is_none()
        {
            return;
        }
        let mut link = lock(&self.link);
        let fetch = &mut link.metadata;
        let wait = Duration::from_secs(60);
        if fetch.pex_sent_at.is_some_and(|at| at.elapsed() < wait) {
            return;
        }
        let added: Vec<_> = connected
            .iter()
            .filter(|addr| !fetch.pex_sent.contains(addr) && **addr != self.remote)
            .take(50)
            .copied()
            .collect();
        let gone = |addr: &&SocketAddr| !connected.contains(addr);
        let dropped: Vec<_> = fetch.pex_sent.iter().filter(gone).copied().collect();
        if added.is_empty() && dropped.is_empty() {
            return;
        }
        fetch.pex_sent_at = Some(Instant::now());
        fetch.pex_sent.retain(|addr| !dropped.contains(addr));
        fetch.pex_sent.extend(&added);
        drop(link);
        self.send_extended("ut_pex", PexMessage { added, dropped }.encode());
    }
}

struct ExtensionLink {
    conn: Weak<Conn>,
    name: String,
}

impl PeerLink for ExtensionLink {
    fn send(&self, payload: Vec<u8>) -> bool {
        let conn = self.conn.upgrade();
        conn.is_some_and(|conn| conn.send_extended(&self.name, payload))
    }

    fn set_class(&self, class: UploadClass) {
        if let Some(conn) = self.conn.upgrade() {
            conn.change_class(class);
        }
    }

    fn wake(&self) {
        if let Some(conn) = self.conn.upgrade() {
            conn.wake();
        }
    }

    fn close(&self, reason: &str) {
        if let Some(conn) = self.conn.upgrade() {
            conn.close(reason);
        }
    }
}
