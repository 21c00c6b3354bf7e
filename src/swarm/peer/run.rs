//! The life of a connection: dial or accept, handshake, three loops, goodbye.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use bytes::BytesMut;
use librqbit_utp::UtpStream;
use tokio::{io::AsyncReadExt, net::TcpStream, sync::Notify};

use super::{
    Carried, Conn,
    budget::MessageBudget,
    open,
    stream::{Reader, Stream},
};
use crate::swarm::{
    lock::lock,
    mse::MseError,
    session::{DialPlace, Shared},
    torrent::Torrent,
    wire::{self, Handshake, Message, WireError},
};

/// How long nothing is read of a peer that sent too many messages without worth.
const FLOOD_PAUSE: Duration = Duration::from_millis(200);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(in crate::swarm) enum Close {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("{0}")]
    Mse(#[from] MseError),
    #[error("{0}")]
    Protocol(&'static str),
    #[error("{0}")]
    Violation(String),
    #[error("{0}")]
    Local(&'static str),
    #[error("{0}")]
    Asked(String),
    #[error("it took too long")]
    Timeout,
    #[error("it closed the connection")]
    Ended,
}

/// A connection that somebody else opened.
pub(in crate::swarm) enum Incoming {
    Tcp(TcpStream),
    Utp(UtpStream),
}

impl Close {
    /// Whether the other side ended it before it said anything useful: perhaps it
    /// wants another kind of handshake.
    pub(super) fn is_hang_up(&self) -> bool {
        matches!(
            self,
            Self::Io(_) | Self::Ended | Self::Timeout | Self::Mse(_) | Self::Wire(_)
        )
    }
}

/// Dials a peer and stays connected until something ends it.
pub(in crate::swarm) async fn dial(
    shared: Arc<Shared>,
    torrent: Arc<Torrent>,
    addr: SocketAddr,
    place: DialPlace,
) -> Close {
    let opened = open::dial(&shared, &torrent, addr).await;
    // From now on it counts among the connections.
    drop(place);
    match opened {
        Ok((stream, theirs)) => live(shared, torrent, stream, addr, theirs, true).await,
        Err(close) => close,
    }
}

/// Takes a connection that somebody else opened.
pub(in crate::swarm) async fn accept(shared: Arc<Shared>, incoming: Incoming, addr: SocketAddr) {
    let place = HalfOpenPlace::take(&shared, addr);
    let stream = match incoming {
        Incoming::Tcp(stream) => Stream::tcp(stream),
        Incoming::Utp(stream) => Ok(Stream::utp(stream)),
    };
    let accepted = match stream {
        Ok(stream) => tokio::select! {
            accepted = open::accept(&shared, stream) => accepted,
            () = place.leave.notified() => Err(Close::Local("others need the place")),
        },
        Err(error) => Err(error.into()),
    };
    drop(place);
    let close = match accepted {
        Ok((stream, torrent, theirs)) if torrent.welcomes(addr) => {
            live(shared, torrent, stream, addr, theirs, false).await
        }
        Ok(_) => Close::Local("not now"),
        Err(close) => close,
    };
    tracing::debug!(%addr, %close, "incoming connection ended");
}

/// A place among the connections without a handshake.
struct HalfOpenPlace {
    shared: Arc<Shared>,
    number: u64,
    leave: Arc<Notify>,
}

impl HalfOpenPlace {
    fn take(shared: &Arc<Shared>, addr: SocketAddr) -> Self {
        let (number, leave) = lock(&shared.half_open).enter(addr.ip());
        Self {
            shared: shared.clone(),
            number,
            leave,
        }
    }
}

impl Drop for HalfOpenPlace {
    fn drop(&mut self) {
        lock(&self.shared.half_open).leave(self.number);
    }
}

async fn live(
    shared: Arc<Shared>,
    torrent: Arc<Torrent>,
    stream: Stream,
    addr: SocketAddr,
    theirs: Handshake,
    outgoing: bool,
) -> Close {
    if theirs.peer_id == shared.peer_id {
        torrent.is_self(addr);
        return Close::Local("that is this session itself");
    }
    let conn = Arc::new(Conn::new(
        shared.next_conn_id(),
        addr,
        outgoing,
        Carried {
            transport: stream.transport(),
            encrypted: stream.is_encrypted(),
        },
        theirs,
        torrent.clone(),
        shared.clone(),
    ));
    let registered = Registered { conn: conn.clone() };
    if let Err(why) = torrent.join(&conn) {
        return Close::Local(why);
    }
    lock(&shared.conns).insert(conn.id, conn.clone());
    conn.greet();
    let Stream { reader, writer } = stream;
    let close = tokio::select! {
        ended = conn.read_loop(reader) => ended.err().unwrap_or(Close::Ended),
        ended = conn.write_loop(writer) => ended.err().unwrap_or(Close::Ended),
        () = conn.react_loop() => Close::Ended,
        () = conn.closing.notified() => {
            Close::Asked(lock(&conn.reason).clone().unwrap_or_default())
        }
    };
    lock(&conn.reason).get_or_insert_with(|| close.to_string());
    drop(registered);
    close
}

/// What a future gives at once, if it does.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

/// Takes a connection out of everything, also when its task is aborted.
struct Registered {
    conn: Arc<Conn>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let conn = &self.conn;
        let shared = &conn.shared;
        lock(&shared.conns).remove(&conn.id);
        conn.up_allowance.end();
        conn.down_allowance.end();
        conn.stop_fetch();
        conn.drop_all_asked();
        let reason = lock(&conn.reason).clone();
        conn.torrent.leave(
            conn,
            reason.unwrap_or_else(|| "the session ended".to_owned()),
        );
        conn.close_extensions();
        shared.rechoke.notify_one();
    }
}

impl Conn {
    /// The first messages: what we have, and what we speak.
    fn greet(self: &Arc<Self>) {
        let live = self.torrent.greet(self, self.fast);
        lock(&self.link).live = live;
        if live {
            self.grant_fast();
        }
        self.send_extended_handshake();
        if let Some(dht) = self.shared.dht.as_ref().filter(|_| self.dht)
            && !self.torrent.is_private()
        {
            self.send(Message::Port(dht.port()));
        }
    }

    async fn read_loop(self: &Arc<Self>, mut socket: Reader) -> Result<(), Close> {
        let mut buf = self.shared.buffers.reading();
        let traffic = &self.traffic;
        let mut budget = MessageBudget::new(traffic.millis());
        loop {
            let flooded = self.take(&mut buf, &mut budget)?;
            if self.freed.swap(false, Ordering::Relaxed) {
                self.torrent.wake_all();
            }
            self.fill();
            if flooded {
                self.take_in_due();
                tokio::time::sleep(FLOOD_PAUSE).await;
                continue;
            }
            buf.make_room();
            self.shared.buffers.room().await;
            let mut reading = pin!(socket.read_buf(&mut *buf));
            // While there is more to read, what came may wait for that.
            let read = match poll_once(reading.as_mut()).await {
                Some(read) => read,
                None => {
                    self.take_in_due();
                    reading.await
                }
            };
            if read? == 0 {
                return Ok(());
            }
            traffic
                .received_at
                .store(traffic.millis(), Ordering::Relaxed);
        }
    }

    /// Handles what was read; true when the budget ended before the messages did.
    fn take(
        self: &Arc<Self>,
        buf: &mut BytesMut,
        budget: &mut MessageBudget,
    ) -> Result<bool, Close> {
        budget.grow(self.traffic.millis());
        while budget.any_left() {
            let Some(message) = wire::decode(buf)? else {
                return Ok(false);
            };
            if !self.on_message(message)? {
                budget.spend();
            }
        }
        Ok(true)
    }

    /// Reacts to what other tasks changed.
    async fn react_loop(self: &Arc<Self>) {
        loop {
            self.ask_ready.notified().await;
            self.take_in_due();
            self.deliver();
            let live = lock(&self.link).live;
            if !live && self.torrent.go_live(self) {
                lock(&self.link).live = true;
                self.send_extended_handshake();
                self.attach_extensions();
            }
            self.fetch_metadata();
            self.update_interest();
            self.fill();
        }
    }
}
