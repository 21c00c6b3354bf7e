//! A node whose answers the test decides, down to the bytes on the wire.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What a request gets.
pub(crate) enum Reply {
    /// HTTP 200 with JSON.
    Json(Value),
    /// These bytes, then the connection ends.
    Raw(Vec<u8>),
    /// A status, headers (each with its line end) and a body.
    Status(&'static str, &'static str, &'static str),
    /// A 200 whose body never ends.
    Endless,
    /// A 200 of which one byte comes every 20 ms.
    Drip,
    /// The request is read to its end, then the connection is cut.
    Cut,
    /// Nothing, ever.
    Silence,
    /// What another node answers to this, changed.
    Asked {
        node: SocketAddr,
        path: String,
        body: Value,
        change: Box<dyn FnOnce(Value) -> Value + Send>,
    },
}

/// Answers until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts on a free port; `answer` is given the path and the body.
    pub(crate) async fn start(
        answer: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let answer = Arc::new(answer);
        let seen = asked.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, seen) = (answer.clone(), seen.clone());
                connections.spawn(async move {
                    // The client may hang up whenever it likes.
                    let _ = serve(stream, &*answer, &seen).await;
                });
            }
        });
        Self {
            address,
            asked,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The paths asked so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: &(dyn Fn(&str, &Value) -> Reply + Send + Sync),
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut received = Vec::new();
    loop {
        let Some((path, body)) = read_request(&mut stream, &mut received).await? else {
            return Ok(());
        };
        seen.lock().unwrap().push(path.clone());
        match answer(&path, &body) {
            Reply::Json(value) => {
                let body = value.to_string();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await?;
            }
            Reply::Raw(bytes) => return stream.write_all(&bytes).await,
            Reply::Status(status, headers, body) => {
                let length = body.len();
                let text =
                    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}");
                stream.write_all(text.as_bytes()).await?;
            }
            Reply::Endless => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"a\":\"")
                    .await?;
                let block = vec![b'a'; 1 << 20];
                loop {
                    stream.write_all(&block).await?;
                }
            }
            Reply::Drip => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                loop {
                    stream.write_all(b" ").await?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Reply::Asked {
                node,
                path,
                body,
                change,
            } => {
                let body = change(ask(node, &path, &body).await?).to_string();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await?;
            }
            Reply::Cut => return Ok(()),
            Reply::Silence => std::future::pending().await,
        }
    }
}

async fn read_request(
    stream: &mut TcpStream,
    received: &mut Vec<u8>,
) -> std::io::Result<Option<(String, Value)>> {
    loop {
        if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .map_or(0, |length| length.trim().parse().unwrap());
            if received.len() >= end + 4 + length {
                let path = head.split_whitespace().nth(1).unwrap().to_owned();
                let body = received[end + 4..end + 4 + length].to_vec();
                received.drain(..end + 4 + length);
                return Ok(Some((
                    path,
                    serde_json::from_slice(&body).unwrap_or_default(),
                )));
            }
        }
        if stream.read_buf(received).await? == 0 {
            return Ok(None);
        }
    }
}

/// What a node answers.
async fn ask(node: SocketAddr, path: &str, body: &Value) -> std::io::Result<Value> {
    let body = body.to_string();
    let mut stream = TcpStream::connect(node).await?;
    let question = format!(
        "POST {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(question.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = head.map_or(&[][..], |end| &answer[end + 4..]);
    Ok(serde_json::from_slice(body)?)
}
