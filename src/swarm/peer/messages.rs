//! What each message of the peer's does.

use std::{net::SocketAddr, sync::Arc};

use super::{Conn, run::Close};
use crate::swarm::{lock::lock, torrent::Claim, wire::Message};

impl Conn {
    /// Whether it was worth reading: it brought data or something new, asked for a chunk
    /// that is served, or was an extension's, which has limits of its own.
    pub(super) fn on_message(self: &Arc<Self>, message: Message) -> Result<bool, Close> {
        match message {
            Message::Piece { piece, begin, data } => {
                self.on_piece(piece, begin, data);
                return Ok(true);
            }
            Message::Request(block) => return self.on_request(block),
            Message::Cancel(block) => self.on_cancel(block),
            Message::Reject(block) => self.on_reject(block),
            Message::Choke => self.on_choke(),
            Message::Unchoke => {
                lock(&self.link).peer_choking = false;
            }
            Message::Interested => self.on_interest(true),
            Message::NotInterested => self.on_interest(false),
            Message::Have(piece) => return self.on_claim(Claim::One(piece)),
            Message::Bitfield(bits) => return self.on_claim(Claim::Bits(bits)),
            Message::HaveAll => return self.on_claim(Claim::All),
            Message::HaveNone => return self.on_claim(Claim::None),
            Message::Extended { id, payload } => return self.on_extended(id, &payload),
            Message::Port(port) => self.on_port(port),
            Message::Suggest(piece) => self.on_suggest(piece),
            Message::AllowedFast(piece) => self.on_allowed_fast(piece),
            // What nobody knows yet.
            Message::KeepAlive | Message::Unknown(_) => {}
        }
        Ok(false)
    }

    /// The peer has a DHT node there.
    fn on_port(&self, port: u16) {
        if let Some(dht) = &self.shared.dht
            && port != 0
            && !self.torrent.is_private()
        {
            dht.hint(SocketAddr::new(self.remote.ip(), port));
        }
    }

    fn on_interest(&self, interested: bool) {
        let mut link = lock(&self.link);
        if link.peer_interested == interested {
            return;
        }
        link.peer_interested = interested;
        drop(link);
        if let Some(meter) = self.meter.get() {
            meter.peer_interested(interested);
        }
        self.shared.rechoke.notify_one();
    }

    fn on_claim(&self, claim: Claim) -> Result<bool, Close> {
        let news = self.torrent.claimed(self, claim);
        let news = news.map_err(Close::Protocol)?;
        if news {
            self.update_interest();
        }
        Ok(news)
    }
}
