//! Opening a connection: over what, enciphered or not, and the handshake.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{run::Close, stream::Stream};
use crate::swarm::{
    lock::lock,
    mse::{self, Encryption},
    session::Shared,
    torrent::Torrent,
    wire::{HANDSHAKE_LEN, Handshake, PROTOCOL},
};

/// How long a connection may take to be established.
const DIAL_TIMEOUT: Duration = Duration::from_secs(8);
/// The same through a proxy, which may have a long way itself.
const PROXY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the peer's handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Dials a peer until its handshake is here. One that hangs up on the first kind
/// of handshake is offered the other kind, where that is allowed.
pub(super) async fn dial(
    shared: &Shared,
    torrent: &Torrent,
    addr: SocketAddr,
) -> Result<(Stream, Handshake), Close> {
    let (first, second) = match shared.encryption {
        Encryption::Accept => (false, Some(true)),
        Encryption::Prefer => (true, Some(false)),
        Encryption::Require => (true, None),
    };
    let stream = connect(shared, addr).await?;
    let failed = match (shake(shared, torrent, stream, first).await, second) {
        (Err(close), Some(second)) if close.is_hang_up() => (close, second),
        (result, _) => return result,
    };
    let stream = connect(shared, addr).await?;
    let again = shake(shared, torrent, stream, failed.1).await;
    again.map_err(|_| failed.0)
}

/// TCP, and uTP where nobody answers.
async fn connect(shared: &Shared, addr: SocketAddr) -> Result<Stream, Close> {
    let tcp = if shared.dials_tcp {
        let patience = match shared.proxy {
            Some(_) => PROXY_TIMEOUT,
            None => DIAL_TIMEOUT,
        };
        match timeout(patience, connect_tcp(shared, addr)).await {
            Ok(Ok(stream)) => return Ok(Stream::tcp(stream)?),
            Ok(Err(error)) => error.into(),
            Err(_) => Close::Timeout,
        }
    } else {
        Close::Local("it cannot be reached by uTP")
    };
    let Some(utp) = shared.utp.as_ref().filter(|utp| utp.reaches(addr)) else {
        return Err(tcp);
    };
    match timeout(DIAL_TIMEOUT, utp.socket.connect(addr)).await {
        Ok(Ok(stream)) => Ok(Stream::utp(stream)),
        // TCP's reason says more: refused, or no route.
        Ok(Err(_)) | Err(_) => Err(tcp),
    }
}

/// A session that listens at one address only dials from it: one that is bound to
/// loopback, or to a tunnel, reaches nobody beside it.
async fn connect_tcp(shared: &Shared, addr: SocketAddr) -> io::Result<TcpStream> {
    let ours = shared.listen.ip();
    if let Some(proxy) = &shared.proxy {
        return proxy.connect(ours, addr).await;
    }
    if ours.is_unspecified() {
        return TcpStream::connect(addr).await;
    }
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(ours, 0))?;
    socket.connect(addr).await
}

async fn shake(
    shared: &Shared,
    torrent: &Torrent,
    mut stream: Stream,
    encrypt: bool,
) -> Result<(Stream, Handshake), Close> {
    let ours = shared.handshake(torrent.hash).encode();
    let shaking = async {
        if encrypt {
            let agreed = mse::initiate(&mut stream, torrent.hash, shared.encryption, &ours).await?;
            stream.apply(agreed);
        } else {
            stream.write_all(&ours).await?;
        }
        let mut theirs = [0; HANDSHAKE_LEN];
        stream.read_exact(&mut theirs).await?;
        Ok::<_, Close>(Handshake::decode(&theirs)?)
    };
    let theirs = timeout(HANDSHAKE_TIMEOUT, shaking)
        .await
        .map_err(|_| Close::Timeout)??;
    if theirs.info_hash != torrent.hash {
        return Err(Close::Protocol("it answered for another torrent"));
    }
    Ok((stream, theirs))
}

/// Takes a connection that somebody else opened, until both handshakes are done.
pub(super) async fn accept(
    shared: &Shared,
    mut stream: Stream,
) -> Result<(Stream, Arc<Torrent>, Handshake), Close> {
    let shaking = async {
        let mut theirs = [0; HANDSHAKE_LEN];
        let (start, rest) = theirs.split_at_mut(PROTOCOL.len());
        stream.read_exact(start).await?;
        let mut wanted = None;
        if start == PROTOCOL {
            if shared.encryption == Encryption::Require {
                return Err(Close::Local("it does not encrypt"));
            }
            stream.read_exact(rest).await?;
        } else {
            let hashes = || lock(&shared.torrents).keys().copied().collect();
            let answer = mse::respond(&mut stream, start, hashes, shared.encryption).await?;
            let (hash, agreed) = answer;
            stream.apply(agreed);
            wanted = Some(hash);
            stream.read_exact(&mut theirs).await?;
        }
        let theirs = Handshake::decode(&theirs)?;
        if wanted.is_some_and(|hash| hash != theirs.info_hash) {
            return Err(Close::Protocol("it asks for two torrents at once"));
        }
        let torrent = shared
            .torrent(theirs.info_hash)
            .ok_or(Close::Local("no such torrent"))?;
        let ours = shared.handshake(torrent.hash);
        stream.write_all(&ours.encode()).await?;
        stream.flush().await?;
        Ok((torrent, theirs))
    };
    let (torrent, theirs) = timeout(HANDSHAKE_TIMEOUT, shaking)
        .await
        .map_err(|_| Close::Timeout)??;
    Ok((stream, torrent, theirs))
}
