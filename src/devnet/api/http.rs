//! The server: one handler for every path, bounded in every direction.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State as Shared, connect_info::Connected},
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
    serve::{IncomingStream, Listener},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{
    Answer, Side, answer, control,
    failure::Failure,
    jsonrpc,
    request::{Call, Verb},
};
use crate::devnet::{faults::FaultKind, node::Node};

/// The largest body, bytes (`maxMessageSize`, 4 MiB).
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Connections at once: enough for any test, few enough for the memory of
/// `MAX_BODY` each.
const MAX_CONNECTIONS: usize = 512;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Answers requests until dropped.
pub(crate) async fn serve(listener: TcpListener, node: Arc<Node>) -> io::Result<()> {
    let listener = Gate {
        inner: listener,
        room: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
    };
    let app = Router::new()
        .fallback(handle)
        .with_state(node)
        .into_make_service_with_connect_info::<Cut>();
    axum::serve(listener, app).await
}

/// A listener that lets in only so many connections at a time.
struct Gate {
    inner: TcpListener,
    room: Arc<Semaphore>,
}

/// A connection that can be cut from inside a request.
struct Line {
    stream: TcpStream,
    cut: Cut,
    _room: Option<OwnedSemaphorePermit>,
}

/// Cuts a connection: no byte leaves it any more.
#[derive(Debug, Clone, Default)]
struct Cut(Arc<AtomicBool>);

impl Connected<IncomingStream<'_, Gate>> for Cut {
    fn connect_info(stream: IncomingStream<'_, Gate>) -> Self {
        stream.io().cut.clone()
    }
}

impl Listener for Gate {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        let room = Arc::clone(&self.room).acquire_owned().await.ok();
        let (stream, from) = Listener::accept(&mut self.inner).await;
        // Small answers to small questions: waiting to fill a packet helps none.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let line = Line {
            stream,
            cut: Cut::default(),
            _room: room,
        };
        (line, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.cut.0.load(Ordering::SeqCst) {
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

/// What the faults of a request come to.
#[derive(Default)]
struct Struck {
    delay: Duration,
    status: Option<u16>,
    garbage: bool,
    not_found: bool,
    drop_before: bool,
    drop_after: bool,
    lost: bool,
    double: bool,
}

impl Struck {
    fn by(node: &Node, path: &str) -> Self {
        let mut struck = Self::default();
        for kind in node.faults.strike(path) {
            match kind {
                FaultKind::Delay { ms } => struck.delay += Duration::from_millis(ms),
                FaultKind::Status { code } => struck.status = Some(code),
                FaultKind::Garbage => struck.garbage = true,
                FaultKind::NotFound => struck.not_found = true,
                FaultKind::DropBefore => struck.drop_before = true,
                FaultKind::DropAfter => struck.drop_after = true,
                FaultKind::LostBroadcast => struck.lost = true,
                FaultKind::DoubleBroadcast => struck.double = true,
            }
        }
        struck
    }

    fn deliveries(&self) -> u32 {
        if self.lost {
            0
        } else if self.double {
            2
        } else {
            1
        }
    }
}

async fn handle(
    Shared(node): Shared<Arc<Node>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let path = request.uri().path().to_owned();
    let struck = Struck::by(&node, &path);
    if !struck.delay.is_zero() {
        tokio::time::sleep(struck.delay).await;
    }
    let response = if request.method() == Method::OPTIONS {
        preflight()
    } else if struck.drop_before {
        cut.0.store(true, Ordering::SeqCst);
        plain(StatusCode::OK, String::new())
    } else if let Some(code) = struck.status {
        failed(code)
    } else if struck.garbage {
        let garbage = "\u{0}<html>\u{fffd}{\"result\": tru";
        plain(StatusCode::OK, garbage.to_owned())
    } else if struck.not_found {
        ok(&json!({}))
    } else {
        respond(&node, &path, request, struck.deliveries()).await
    };
    if struck.drop_after {
        cut.0.store(true, Ordering::SeqCst);
    }
    response
}

/// Reads the whole request and answers it.
async fn respond(node: &Arc<Node>, path: &str, request: Request, deliveries: u32) -> Response {
    let verb = match *request.method() {
        Method::GET | Method::HEAD => Verb::Get,
        Method::POST => Verb::Post,
        _ => return not_allowed(request.method(), path),
    };
    let method = request.method().clone();
    let form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/x-www-form-urlencoded");
    let query = pairs(request.uri().query().unwrap_or_default());
    let body = axum::body::to_bytes(request.into_body(), MAX_BODY);
    let body = match tokio::time::timeout(BODY_TIME, body).await {
        Err(_) => return failed(408),
        Ok(Err(_)) => {
            let failure = Failure::new(
                "java.lang.Exception",
                format!("body size is too big, the limit is {MAX_BODY}"),
            );
            return ok(&failure.to_json());
        }
        Ok(Ok(body)) => String::from_utf8_lossy(&body).into_owned(),
    };
    // A form is taken as JSON of texts, unless it is JSON already.
    let body = if form && serde_json::from_str::<Value>(&body).is_err() {
        json!(pairs(&body)).to_string()
    } else {
        body
    };
    let call = Call { verb, query, body };
    #[cfg(test)]
    assert_ne!(path, tests::PANICS, "as a defect would");
    let name = path.rsplit('/').next().unwrap_or_default();
    let side = match path.strip_suffix(name) {
        Some("/wallet/") => Side::Wallet,
        Some("/walletsolidity/") => Side::Solidity,
        Some("/devnet/") => return control::answer(node, name, &call),
        Some("/") if name == "jsonrpc" && verb == Verb::Post => {
            return ok(&jsonrpc::answer(node, &call));
        }
        _ => return unknown(&method, path),
    };
    match answer(node, side, name, &call, deliveries) {
        Answer::Json(value) => ok(&value),
        Answer::Empty => plain(StatusCode::OK, String::new()),
        Answer::Unknown => unknown(&method, path),
        Answer::NotAllowed => not_allowed(&method, path),
    }
}

fn pairs(query: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

/// 200 and JSON, with the newline the node ends its answers with.
pub(super) fn ok(value: &Value) -> Response {
    with_type(
        StatusCode::OK,
        "application/json;charset=utf-8",
        format!("{value}\n"),
    )
}

fn plain(status: StatusCode, text: String) -> Response {
    with_type(status, "application/json;charset=utf-8", text)
}

fn failed(code: u16) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = with_type(
        status,
        "text/plain;charset=utf-8",
        format!("{}\n", status.canonical_reason().unwrap_or("error")),
    );
    if code == 429 || code == 503 {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// No such servlet: 404 to GET, but 405 to what the default servlet does not do.
fn unknown(method: &Method, path: &str) -> Response {
    if *method == Method::GET || *method == Method::HEAD {
        return page(StatusCode::NOT_FOUND, path, "Not Found");
    }
    not_allowed(method, path)
}

fn not_allowed(method: &Method, path: &str) -> Response {
    let words = format!("HTTP method {method} is not supported by this URL");
    page(StatusCode::METHOD_NOT_ALLOWED, path, &words)
}

/// An error page in the form of the node's web server.
fn page(status: StatusCode, path: &str, words: &str) -> Response {
    let code = status.as_u16();
    let path = path
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    with_type(
        status,
        "text/html;charset=iso-8859-1",
        format!(
            "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html;charset=ISO-8859-1\"/>\n\
             <title>Error {code} {words}</title>\n</head>\n\
             <body><h2>HTTP ERROR {code} {words}</h2>\n<table>\n\
             <tr><th>URI:</th><td>{path}</td></tr>\n\
             <tr><th>STATUS:</th><td>{code}</td></tr>\n\
             <tr><th>MESSAGE:</th><td>{words}</td></tr>\n\
             </table>\n\n</body>\n</html>\n"
        ),
    )
}

fn preflight() -> Response {
    let mut response = plain(StatusCode::OK, String::new());
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, OPTIONS"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("*, authorization, content-type, tron-pro-api-key"),
    );
    response
}

fn with_type(status: StatusCode, kind: &'static str, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    response
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use crate::devnet::Devnet;

    /// A request that panics, in tests alone.
    pub(super) const PANICS: &str = "/devnet/panic";

    #[tokio::test]
    async fn a_panic_in_one_request_does_not_stop_the_node() {
        let devnet = Devnet::builder().start().await.unwrap();
        let get = async |path: &str| {
            let mut stream = TcpStream::connect(devnet.address()).await.unwrap();
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: devnet\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        assert_eq!(get(PANICS).await, "");
        assert!(get("/wallet/getnowblock").await.contains("blockID"));
    }
}
