//! One handler for every path, bounded in every direction.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use serde_json::{Value, json};

use super::{
    Answer, Ctx, Side, admin, answer, chain_info, control,
    failure::Failure,
    grid, jsonrpc,
    line::Line,
    page,
    request::{Call, Verb},
};
use crate::devnet::{faults::FaultKind, log::Event, node::Node};

/// The largest body, bytes (`maxMessageSize`, 4 MiB).
const MAX_BODY: usize = 4 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

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

/// Answers a request that came on `line`.
pub(super) async fn handle(node: Arc<Node>, line: Arc<Line>, request: Request) -> Response {
    let _working = line.work();
    let begun = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let mut calls = String::new();
    let response = match node.origins.check(request.headers()) {
        Ok(origin) => {
            let response = strike(&node, &line, request, &mut calls).await;
            for_origin(response, origin.as_deref())
        }
        Err(why) => refused(&why),
    };
    node.tell(|| {
        vec![Event::Request {
            method: method.to_string(),
            path,
            calls,
            status: response.status().as_u16(),
            took: begun.elapsed(),
        }]
    });
    response
}

/// Lets a page of this origin read the answer.
fn for_origin(mut response: Response, origin: Option<&str>) -> Response {
    if let Some(Ok(origin)) = origin.map(HeaderValue::from_str) {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

fn refused(why: &str) -> Response {
    with_type(
        StatusCode::FORBIDDEN,
        "text/plain;charset=utf-8",
        format!("{why}\n"),
    )
}

/// What the faults leave of a request, and of its answer.
async fn strike(node: &Arc<Node>, line: &Line, request: Request, calls: &mut String) -> Response {
    let path = request.uri().path().to_owned();
    let struck = Struck::by(node, &path);
    if !struck.delay.is_zero() {
        tokio::time::sleep(struck.delay).await;
    }
    let response = if request.method() == Method::OPTIONS {
        preflight()
    } else if struck.drop_before {
        line.cut();
        plain(StatusCode::OK, String::new())
    } else if let Some(code) = struck.status {
        failed(code)
    } else if struck.garbage {
        let garbage = "\u{0}<html>\u{fffd}{\"result\": tru";
        plain(StatusCode::OK, garbage.to_owned())
    } else if struck.not_found {
        ok(&json!({}))
    } else {
        let folded = format!("/{}", path.trim_start_matches('/'));
        respond(node, line, &folded, request, struck.deliveries(), calls).await
    };
    if struck.drop_after {
        line.cut();
    }
    response
}

/// Reads the whole request and answers it.
async fn respond(
    node: &Arc<Node>,
    line: &Line,
    path: &str,
    request: Request,
    deliveries: u32,
    calls: &mut String,
) -> Response {
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
    // Whoever is slow to send has no right to the place of others.
    line.rest();
    let body = tokio::time::timeout(BODY_TIME, body).await;
    let _working = line.work();
    let body = match body {
        Err(_) => return failed(408),
        // No other error is told apart by its type; this one is `LengthLimitError`'s.
        Ok(Err(error)) if error.to_string() != "length limit exceeded" => return failed(400),
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
        Some("/devnet/") => {
            let name = name.to_owned();
            return aside(node, move |node| control::answer(node, &name, &call)).await;
        }
        Some("/") if matches!(name, "jsonrpc" | "tre") && verb == Verb::Post => {
            if node.is_told() {
                *calls = jsonrpc::calls(&call);
            }
            return aside(node, move |node| match jsonrpc::answer(node, &call) {
                Some(answer) => ok(&answer),
                None => plain(StatusCode::OK, String::new()),
            })
            .await;
        }
        _ => {
            let path = path.to_owned();
            return aside(node, move |node| {
                match node.reading(|| beside(node, &path, &call)) {
                    Ok(answer) => answer.unwrap_or_else(|| unknown(&method, &path)),
                    Err(error) => ok(&json!({ "error": error.to_string() })),
                }
            })
            .await;
        }
    };
    // A contract's code takes as long as it takes, and so does a forked node.
    if RUNS_CODE.contains(&name) || node.is_fork() {
        let (name, path) = (name.to_owned(), path.to_owned());
        return aside(node, move |node| {
            shown(answer(node, side, &name, &call, deliveries), &method, &path)
        })
        .await;
    }
    shown(answer(node, side, name, &call, deliveries), &method, path)
}

/// Endpoints that run a contract's code before they answer.
const RUNS_CODE: [&str; 5] = [
    "broadcasttransaction",
    "broadcasthex",
    "triggersmartcontract",
    "triggerconstantcontract",
    "estimateenergy",
];

fn shown(answer: Answer, method: &Method, path: &str) -> Response {
    match answer {
        Answer::Json(value) => ok(&value),
        Answer::Empty => plain(StatusCode::OK, String::new()),
        Answer::Unknown => unknown(method, path),
        Answer::NotAllowed => not_allowed(method, path),
    }
}

/// What TronBox's runtime and TronGrid have at places of their own, and the page.
fn beside(node: &Arc<Node>, path: &str, call: &Call) -> Option<Response> {
    let ctx = Ctx {
        node,
        side: Side::Wallet,
        deliveries: 1,
    };
    let told = |answer: Result<Value, String>| match answer {
        Ok(value) => ok(&value),
        Err(why) => ok(&json!({ "error": why })),
    };
    let get = call.verb == Verb::Get;
    Some(match path {
        "/" if get => with_type(StatusCode::OK, "text/html;charset=utf-8", page::html(&ctx)),
        "/healthcheck" => ok(&grid::health(&ctx)),
        "/net/listnodes" => return also(node, "listnodes", call),
        "/monitor/getnodeinfo" => return also(node, "getnodeinfo", call),
        "/monitor/getstatsinfo" if get => ok(&chain_info::get_stats(&ctx)),
        "/admin/accounts-json" if get => told(admin::accounts_json(node)),
        "/admin/accounts" if get => match admin::accounts_text(node) {
            Ok(text) => with_type(StatusCode::OK, "text/plain;charset=utf-8", text),
            Err(why) => refused(&why),
        },
        // TronBox's runtime makes them by GET. The origin of a page was checked.
        "/admin/temporary-accounts-generation" => told(admin::make_accounts(node, &call.query)),
        path if get && path.starts_with("/event/") => ok(&json!([])),
        path if get => ok(&grid::answer(
            &ctx,
            path.strip_prefix("/v1/")?,
            &call.query,
        )?),
        _ => return None,
    })
}

/// What java-tron answers at a second place as well.
fn also(node: &Arc<Node>, name: &str, call: &Call) -> Option<Response> {
    match answer(node, Side::Wallet, name, call, 1) {
        Answer::Json(value) => Some(ok(&value)),
        Answer::Empty | Answer::Unknown | Answer::NotAllowed => None,
    }
}

/// Answers on a thread of its own: blocks that are mined take as long as they take.
async fn aside(
    node: &Arc<Node>,
    answer: impl FnOnce(&Arc<Node>) -> Response + Send + 'static,
) -> Response {
    let node = Arc::clone(node);
    match tokio::task::spawn_blocking(move || answer(&node)).await {
        Ok(response) => response,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => failed(503),
        },
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

pub(super) fn not_allowed(method: &Method, path: &str) -> Response {
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
