//! The server: connections, so many at a time, none of them silent for ever.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::Instant,
};

use super::http::handle;
use crate::devnet::node::Node;

/// Connections at once: enough for any test, few enough for the memory of the largest
/// body each.
const MAX_CONNECTIONS: usize = 512;
/// How long the head of a request may take to arrive, and how long a connection may
/// stand idle before it (Jetty's own 30 s).
const HEAD_TIME: Duration = Duration::from_secs(30);
/// When all places are taken, a connection that has been silent for this long gives its
/// place to a new one.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait when no connection can be accepted: no file descriptors are left.
const PAUSE: Duration = Duration::from_secs(1);

/// A connection, as the requests on it see it.
#[derive(Debug)]
pub(super) struct Line {
    cut: AtomicBool,
    leave: Notify,
    /// Since when it waits for the client; nothing while a request is answered.
    silent: Mutex<Option<Instant>>,
}

impl Line {
    fn new() -> Self {
        Self {
            cut: AtomicBool::new(false),
            leave: Notify::new(),
            silent: Mutex::new(Some(Instant::now())),
        }
    }

    /// Cuts it: no byte leaves it any more.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    fn silence(&self) -> MutexGuard<'_, Option<Instant>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is answered until what this gives is dropped.
    pub(super) fn work(&self) -> Working<'_> {
        *self.silence() = None;
        Working(self)
    }

    /// It waits for the client again.
    pub(super) fn rest(&self) {
        self.silence().get_or_insert_with(Instant::now);
    }
}

/// A request is being answered.
pub(super) struct Working<'a>(&'a Line);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.rest();
    }
}

/// The places there are, and who has them.
#[derive(Debug)]
struct Places {
    room: Arc<Semaphore>,
    taken: Mutex<BTreeMap<u64, Arc<Line>>>,
}

/// A place, until it is dropped.
struct Place {
    number: u64,
    places: Arc<Places>,
    line: Arc<Line>,
    _room: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lines().remove(&self.number);
    }
}

impl Places {
    fn lines(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Line>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place; when there is none, from the connection that has been silent for
    /// longest.
    async fn take(self: &Arc<Self>, number: u64) -> Option<Place> {
        let room = loop {
            if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
                break room;
            }
            let wait = self.send_one_away();
            tokio::select! {
                room = Arc::clone(&self.room).acquire_owned() => break room.ok()?,
                () = tokio::time::sleep(wait) => {}
            }
        };
        let line = Arc::new(Line::new());
        self.lines().insert(number, Arc::clone(&line));
        Some(Place {
            number,
            places: Arc::clone(self),
            line,
            _room: room,
        })
    }

    /// Tells the connection that has been silent for longest to go, if it has been for
    /// long enough; when to try again.
    fn send_one_away(&self) -> Duration {
        let lines = self.lines();
        let silent = lines
            .values()
            .filter_map(|line| Some(((*line.silence())?, line)));
        match silent.min_by_key(|(since, _)| *since) {
            Some((since, line)) if since.elapsed() >= PATIENCE => {
                line.leave.notify_one();
                PATIENCE
            }
            Some((since, _)) => PATIENCE.saturating_sub(since.elapsed()),
            None => PATIENCE,
        }
    }
}

/// Answers requests until dropped; its connections end with it.
pub(crate) async fn serve(listener: TcpListener, node: Arc<Node>) -> io::Result<()> {
    let places = Arc::new(Places {
        room: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        taken: Mutex::new(BTreeMap::new()),
    });
    let mut open = JoinSet::new();
    for number in 0.. {
        let stream = accept(&listener).await;
        while open.try_join_next().is_some() {}
        let Some(place) = places.take(number).await else {
            break;
        };
        open.spawn(connection(stream, place, Arc::clone(&node)));
    }
    Ok(())
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
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

async fn connection(stream: TcpStream, place: Place, node: Arc<Node>) {
    // Small answers to small questions: waiting to fill a packet helps none.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let line = &place.line;
    let wire = Wire {
        stream,
        line: Arc::clone(line),
    };
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let (node, line) = (Arc::clone(&node), Arc::clone(line));
        async move {
            let request = request.map(axum::body::Body::new);
            Ok::<_, Infallible>(handle(node, line, request).await)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(wire), service);
    tokio::select! {
        served = served => if let Err(error) = served {
            tracing::debug!(%error, "a connection ended");
        },
        () = line.leave.notified() => {}
    }
}

/// A connection that can be cut from inside a request.
struct Wire {
    stream: TcpStream,
    line: Arc<Line>,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.line.cut.load(Ordering::SeqCst) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
