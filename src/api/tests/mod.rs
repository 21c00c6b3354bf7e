//! HTTP as callers meet it: over TCP and the socket.

mod callers;
mod qbittorrent;
mod security;
mod server;
mod tls;
mod transmission;
mod v1;

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};

use super::{ApiConfig, Scope, Server, add_token, serve};
use crate::{
    client::{
        Client, ClientConfig,
        snapshot::{Revision, Torrent},
    },
    swarm::{
        Session,
        metainfo::{self, CreateOptions},
    },
    types::InfoHash,
};

/// How long something may take, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(40);
/// The password of `admin` here.
pub(super) const PASSWORD: &str = "correct horse battery";

/// A client with a server in front.
pub(super) struct Stand {
    pub(super) folder: tempfile::TempDir,
    pub(super) client: Client,
    pub(super) server: Server,
    pub(super) address: SocketAddr,
    /// A token with the scopes `read` and `torrents`.
    pub(super) token: String,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Name and value of the cookie that it sets.
    pub(super) fn cookie(&self) -> &str {
        self.header("set-cookie")
            .unwrap()
            .split(';')
            .next()
            .unwrap()
    }
}

/// Sends a whole request and reads the answer to the connection's end.
pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    request: &[u8],
) -> Option<Reply> {
    // The server may refuse before it has read all.
    let _sent = stream.write_all(request).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer));
    let _end = read.await.unwrap();
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(answer[..at].to_vec()).unwrap();
    let mut body = answer[at + 4..].to_vec();
    if head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked")
    {
        body = unchunked(&body);
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some(Reply { status, head, body })
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..at]).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend(&rest[at + 2..at + 2 + size]);
        rest = &rest[at + 2 + size + 2..];
    }
    body
}

/// A request's text.
pub(super) fn request(line: &str, host: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut bytes = text.into_bytes();
    bytes.extend(body);
    bytes
}

/// A setup in `folder` with a password.
pub(super) fn config(folder: &Path) -> ApiConfig {
    let password = folder.join("password");
    fs::write(&password, PASSWORD).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    ApiConfig {
        listen: Some("127.0.0.1:0".parse().unwrap()),
        password_file: Some(password),
        tokens_file: folder.join("tokens.json"),
        ..ApiConfig::default()
    }
}

pub(super) async fn client(folder: &Path) -> Client {
    let session = Session::builder().state_dir(folder.join("state"));
    let mut config = ClientConfig::new(session, folder.join("downloads"));
    config.grace = Duration::from_secs(1);
    Client::open(config).await.unwrap()
}

impl Stand {
    pub(super) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut ApiConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        change(&mut config);
        let scopes = [Scope::Read, Scope::Torrents];
        let token = add_token(&config.tokens_file, "test", &scopes).unwrap();
        let client = client(folder.path()).await;
        let server = serve(config, client.clone()).await.unwrap();
        Self {
            address: server.address().unwrap(),
            token: token.to_string(),
            folder,
            client,
            server,
        }
    }

    /// Sends a request as it is, without a token.
    pub(super) async fn send(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let host = self.address.to_string();
        self.send_to(&host, line, headers, body).await.unwrap()
    }

    pub(super) async fn send_to(
        &self,
        host: &str,
        line: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Reply> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        exchange(stream, &request(line, host, headers, body)).await
    }

    /// Sends a request with the token of `read` and `torrents`.
    pub(super) async fn ask(&self, line: &str, body: &str) -> Reply {
        let token = format!("Bearer {}", self.token);
        let kind = match line.contains(" /api/v2/") {
            true => "application/x-www-form-urlencoded",
            false => "application/json",
        };
        let headers = [("Authorization", token.as_str()), ("Content-Type", kind)];
        self.send(line, &headers, body.as_bytes()).await
    }

    /// Sends JSON without a token.
    pub(super) async fn post(&self, path: &str, body: &str) -> Reply {
        let headers = [("Content-Type", "application/json")];
        self.send(&format!("POST {path}"), &headers, body.as_bytes())
            .await
    }

    /// A file of this many bytes in a folder of its own, and its torrent.
    /// The torrent file of three files, each of its own pieces.
    pub(super) fn album(&self) -> Vec<u8> {
        let folder = self.folder.path().join("content/album");
        fs::create_dir_all(&folder).unwrap();
        for (name, byte) in [("a", 1), ("b", 2), ("c", 3)] {
            fs::write(folder.join(name), vec![byte; 32 << 10]).unwrap();
        }
        let options = CreateOptions {
            piece_size: Some(16 << 10),
            ..CreateOptions::default()
        };
        let metainfo = metainfo::create(&folder, &options, &|_, _| {}).unwrap();
        metainfo.to_bytes().unwrap()
    }

    pub(super) fn torrent(&self, name: &str, bytes: usize) -> (PathBuf, Vec<u8>) {
        let folder = self.folder.path().join("content");
        fs::create_dir_all(&folder).unwrap();
        let noise: Vec<u8> = (0..bytes)
            .map(|at| (at * 7 / 3 + at / 251).to_le_bytes()[0])
            .collect();
        let path = folder.join(name);
        fs::write(&path, noise).unwrap();
        let options = CreateOptions {
            piece_size: Some(16 << 10),
            ..CreateOptions::default()
        };
        let metainfo = metainfo::create(&path, &options, &|_, _| {}).unwrap();
        (path, metainfo.to_bytes().unwrap())
    }

    /// Waits until a torrent is as it shall be.
    pub(super) async fn until(&self, hash: InfoHash, is: impl Fn(&Torrent) -> bool) {
        let found = async {
            let mut seen = Revision(0);
            loop {
                let snapshot = self.client.changed(seen).await.expect("it runs");
                seen = snapshot.revision;
                if snapshot.torrents.get(&hash).is_some_and(|one| is(one)) {
                    break;
                }
            }
        };
        tokio::time::timeout(DEADLINE, found).await.unwrap();
    }
}

/// A request over the socket.
pub(super) async fn over(socket: &Path, line: &str, headers: &[(&str, &str)]) -> Reply {
    let stream = UnixStream::connect(socket).await.unwrap();
    let bytes = request(line, "seedrail", headers, b"");
    exchange(stream, &bytes).await.unwrap()
}
