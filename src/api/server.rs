//! The server: it listens, has so many connections at a time, and ends in order.

use std::{
    convert::Infallible,
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::{
    ApiConfig, ApiError, dispatch,
    gate::Peer,
    line::{TIMES, Times, Wire},
    request::MAX_HEAD,
    site::Site,
    tls,
};
use crate::client::Client;

/// Connections over TCP at once. More wait in the system's queue; silent ones are closed
/// after the time for a head.
pub(super) const MAX_CONNECTIONS: usize = 256;
/// Connections over the socket at once.
const MAX_SOCKET_CONNECTIONS: usize = 32;
/// How long to wait when no connection can be accepted: no file descriptors are left.
const PAUSE: Duration = Duration::from_secs(1);

/// A running server. Dropping it ends it at once; [`Server::stop`] in order.
#[derive(Debug)]
pub struct Server {
    listen: Option<SocketAddr>,
    scheme: &'static str,
    prefix: String,
    first_token: Option<Zeroizing<String>>,
    ends: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    socket: Option<Socket>,
}

/// The socket's file; removed with it.
#[derive(Debug)]
struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove the socket");
        }
    }
}

/// Starts a server in front of a client.
///
/// # Errors
/// An address cannot be listened on, a file cannot be used, or what is asked for would show
/// passwords on the network.
pub async fn serve(config: ApiConfig, client: Client) -> Result<Server, ApiError> {
    serve_with(config, client, TIMES).await
}

pub(super) async fn serve_with(
    config: ApiConfig,
    client: Client,
    times: Times,
) -> Result<Server, ApiError> {
    config.check()?;
    let acceptor = config.tls.as_ref().map(tls::acceptor).transpose()?;
    let tcp = match config.listen {
        None => None,
        Some(address) => {
            let failed = |source| ApiError::Listen { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            Some((listener, address))
        }
    };
    let socket = match &config.socket {
        None => None,
        Some(path) => {
            let (listener, owner) = bind(path).await?;
            Some((listener, owner, Socket(path.clone())))
        }
    };
    let listen = tcp.as_ref().map(|(_, address)| *address);
    let (ends, ending) = watch::channel(false);
    let (site, first_token) = Site::new(&config, client, listen, ending, times)?;
    let site = Arc::new(site);
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    let mut tasks = Vec::new();
    if let Some((listener, _)) = tcp {
        tasks.push(tokio::spawn(tcp_loop(
            listener,
            acceptor,
            Arc::clone(&site),
        )));
    }
    tasks.push(tokio::spawn(keep_log(Arc::clone(&site))));
    let socket = socket.map(|(listener, owner, file)| {
        tasks.push(tokio::spawn(socket_loop(
            listener,
            owner,
            Arc::clone(&site),
        )));
        file
    });
    Ok(Server {
        listen,
        scheme,
        prefix: config.prefix,
        first_token,
        ends,
        tasks,
        socket,
    })
}

impl Server {
    /// Where it listens over TCP.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen
    }

    /// The page's address.
    pub fn url(&self) -> Option<String> {
        let listen = self.listen?;
        let host = match listen.ip().is_unspecified() {
            true => format!("localhost:{}", listen.port()),
            false => listen.to_string(),
        };
        Some(format!("{}://{host}{}/", self.scheme, self.prefix))
    }

    /// The page's address with the token that was made at the first start: it is to be shown
    /// once, as it is kept nowhere. Browsers do not send what follows `#`.
    pub fn first_url(&self) -> Option<Zeroizing<String>> {
        let token = self.first_token.as_ref()?;
        Some(Zeroizing::new(format!(
            "{}#token={}",
            self.url()?,
            token.as_str()
        )))
    }

    /// Ends it in order: no new connections, streams end, requests that are being answered
    /// have five seconds.
    pub async fn stop(mut self) {
        // Only a site that is gone does not hear it.
        self.ends.send_replace(true);
        for task in std::mem::take(&mut self.tasks) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a listener of the server failed");
            }
        }
        drop(self.socket.take());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.send_replace(true);
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Makes the socket, in place of one that nobody answers on; also its owner, who is the user
/// of this process.
async fn bind(path: &Path) -> Result<(UnixListener, u32), ApiError> {
    let failed = |source| ApiError::Socket {
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if UnixStream::connect(path).await.is_ok() {
                return Err(ApiError::Running(path.to_owned()));
            }
            fs::remove_file(path).map_err(failed)?;
        }
        Ok(_) => return Err(failed(io::ErrorKind::AlreadyExists.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    // Until now others may have connected: each connection's user is looked at besides.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let owner = fs::symlink_metadata(path).map_err(failed)?.uid();
    Ok((listener, owner))
}

/// Whether only the connection that was to be accepted is lost.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

async fn pause(error: &io::Error) {
    if !is_of_connection(error) {
        tracing::warn!(%error, "no connection can be accepted");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ended(mut ends: watch::Receiver<bool>) {
    // An error means that the server is gone, too.
    let _gone = ends.wait_for(|ends| *ends).await;
}

/// Keeps the last events, until client or server end.
async fn keep_log(site: Arc<Site>) {
    let mut events = site.client.events();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => site.log.push(event),
                None => break,
            },
            () = ended(site.ends.clone()) => break,
        }
    }
}

/// The next connection, once there is a place for it; `None` when the server ends.
async fn next<T, F>(
    room: &Arc<Semaphore>,
    site: &Site,
    accept: impl Fn() -> F,
) -> Option<(OwnedSemaphorePermit, T)>
where
    F: Future<Output = io::Result<T>>,
{
    loop {
        let next = async {
            let place = Arc::clone(room).acquire_owned().await;
            (place, accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = ended(site.ends.clone()) => return None,
        };
        let place = place.ok()?;
        match accepted {
            Ok(accepted) => return Some((place, accepted)),
            Err(error) => {
                // It is free for others meanwhile.
                drop(place);
                pause(&error).await;
            }
        }
    }
}

async fn tcp_loop(listener: TcpListener, acceptor: Option<TlsAcceptor>, site: Arc<Site>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Some((place, (stream, address))) = next(&room, &site, || listener.accept()).await
        else {
            break;
        };
        // Small answers to small questions: waiting to fill a packet helps none.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let site = Arc::clone(&site);
        let peer = |tls| Peer::Tcp {
            address: address.ip(),
            tls,
        };
        match acceptor.clone() {
            None => {
                open.spawn(connection(
                    Wire::new(stream, site.times.write),
                    peer(false),
                    place,
                    site,
                ));
            }
            Some(acceptor) => {
                let peer = peer(true);
                open.spawn(async move {
                    let shaken = acceptor.accept(Wire::new(stream, site.times.write));
                    match tokio::time::timeout(site.times.handshake, shaken).await {
                        Ok(Ok(stream)) => connection(stream, peer, place, site).await,
                        Ok(Err(error)) => tracing::debug!(%error, "no TLS was agreed on"),
                        Err(_) => tracing::debug!("a TLS handshake took too long"),
                    }
                });
            }
        }
    }
    drop(listener);
    finish(open, site.times.grace).await;
}

async fn socket_loop(listener: UnixListener, own: u32, site: Arc<Site>) {
    let room = Arc::new(Semaphore::new(MAX_SOCKET_CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Some((place, (stream, _))) = next(&room, &site, || listener.accept()).await else {
            break;
        };
        match stream.peer_cred() {
            Ok(peer) if may_enter(peer.uid(), own) => {
                let wire = Wire::new(stream, site.times.write);
                open.spawn(connection(wire, Peer::Socket, place, Arc::clone(&site)));
            }
            Ok(peer) => tracing::warn!(uid = peer.uid(), "another user came to the socket"),
            Err(error) => tracing::warn!(%error, "nobody knows who came to the socket"),
        }
    }
    drop(listener);
    finish(open, site.times.grace).await;
}

/// The socket is for the user of the server alone; not even root acts for another.
pub(super) fn may_enter(uid: u32, own: u32) -> bool {
    uid == own
}

/// Lets those who are being answered end.
async fn finish(mut open: JoinSet<()>, grace: Duration) {
    let all = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, all).await.is_err() {
        tracing::warn!("requests were cut off at the end");
    }
}

async fn connection<S>(stream: S, peer: Peer, place: OwnedSemaphorePermit, site: Arc<Site>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _place = place;
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let site = Arc::clone(&site);
        async move {
            let request = request.map(axum::body::Body::new);
            Ok::<_, Infallible>(dispatch::answer(&site, peer, request).await)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(site.times.head)
        .max_buf_size(2 * MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let done = tokio::select! {
        done = &mut served => done,
        () = ended(site.ends.clone()) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = done {
        tracing::debug!(%error, "a connection ended");
    }
}
