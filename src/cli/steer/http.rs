//! HTTP/1.1 over the daemon's Unix socket: one request a connection, JSON in both directions.

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use crate::cli::{
    Context, daemon,
    failure::{Failure, Outcome},
    source::Way,
};

/// The largest answer: a list of 20,000 torrents takes less.
const MAX_ANSWER: u64 = 256 << 20;

/// How long an answer may take. A move copies, and takes as long as it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The daemon of a home.
#[derive(Debug)]
pub(super) struct Daemon {
    socket: PathBuf,
}

impl Daemon {
    pub(super) fn new(context: &Context) -> Self {
        Self {
            socket: daemon::socket_file(&context.settings.home),
        }
    }

    /// How what it is to have is fetched: from the address that it sends from.
    pub(super) async fn way(&self, context: &Context) -> Outcome<Way> {
        let state = self.ask(context, "GET", "/api/v1/state", None).await?;
        let listen = state.pointer("/transfer/listen").and_then(Value::as_str);
        let listen = listen.and_then(|listen| listen.parse::<SocketAddr>().ok());
        // It is reached by nobody.
        if listen.is_some_and(|listen| listen.port() == 0) {
            return Err(Failure::failed(
                "fetch",
                "the daemon sends everything through a proxy, and a URL would be fetched \
                 beside it",
            )
            .hint("fetch the torrent file, and add that"));
        }
        Ok(Way {
            from: listen.map(|listen| listen.ip()),
            proxy: None,
        })
    }

    /// What it answers; what it refuses is a failure with its words.
    pub(super) async fn ask(
        &self,
        context: &Context,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Outcome<Value> {
        self.ask_with(context, (method, path), body, "").await
    }

    /// The same, for what may spend money: it was agreed to.
    pub(super) async fn ask_for_money(
        &self,
        context: &Context,
        (method, path): (&str, &str),
        body: Option<&Value>,
    ) -> Outcome<Value> {
        let scope = "Seedrail-Scopes: money\r\n";
        self.ask_with(context, (method, path), body, scope).await
    }

    async fn ask_with(
        &self,
        context: &Context,
        (method, path): (&str, &str),
        body: Option<&Value>,
        header: &str,
    ) -> Outcome<Value> {
        let asked = async {
            let talk = self.talk((method, path), body, header);
            let answer = tokio::time::timeout(PATIENCE, talk).await;
            let silent = || io::Error::from(io::ErrorKind::TimedOut);
            match answer.unwrap_or_else(|_| Err(silent())) {
                Ok(answer) => Ok(answer),
                Err(error) if is_absent(&error) => Err(Failure::failed(
                    "no_daemon",
                    "no daemon of this home is running",
                )
                .hint("start one with `seedrail daemon`")),
                Err(error) => Err(Failure::failed(
                    "daemon",
                    format!("{}: {error}", self.socket.display()),
                )),
            }
        };
        let answer = context.or_interrupt(asked).await?;
        let (status, body) = read(&answer).ok_or_else(|| {
            let words = "the daemon's answer makes no sense: is it of another version?";
            Failure::failed("daemon", words)
        })?;
        match status {
            200..=299 => Ok(body),
            _ => Err(refused(status, &body)),
        }
    }

    async fn talk(
        &self,
        (method, path): (&str, &str),
        body: Option<&Value>,
        header: &str,
    ) -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let kind = match body.is_empty() {
            true => "",
            false => "Content-Type: application/json\r\n",
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{kind}{header}\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

/// Status and body of an answer that ended with its connection.
fn read(answer: &[u8]) -> Option<(u16, Value)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = answer.split_at_checked(end + 4)?;
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()?
        .strip_prefix("HTTP/1.1 ")?
        .get(..3)?
        .parse()
        .ok()?;
    let mut chunked = false;
    let mut length = None;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse::<usize>().ok()?);
        }
    }
    let whole = match chunked {
        true => joined(body)?,
        // One that was cut off is none.
        false => match length {
            Some(length) if length != body.len() => return None,
            _ => body.to_vec(),
        },
    };
    if whole.is_empty() {
        return Some((status, Value::Null));
    }
    Some((status, serde_json::from_slice(&whole).ok()?))
}

/// A body that was sent in chunks.
fn joined(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let (size, after) = rest.split_at_checked(end)?;
        let size = std::str::from_utf8(size).ok()?;
        let size = size.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        let after = after.get(2..)?;
        if size == 0 {
            return Some(whole);
        }
        let (chunk, after) = after.split_at_checked(size)?;
        whole.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n")?;
    }
}

fn refused(status: u16, body: &Value) -> Failure {
    let error = body.get("error");
    let text = |name: &str| {
        error
            .and_then(|error| error.get(name))
            .and_then(Value::as_str)
    };
    let message = text("message").map_or_else(
        || format!("the daemon refuses with status {status}"),
        str::to_owned,
    );
    Failure::failed(text("code").unwrap_or("daemon"), message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let good: [(&str, u16, Value); 4] = [
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]",
                200,
                json!([]),
            ),
            ("HTTP/1.1 204 No Content\r\n\r\n", 204, Value::Null),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n[\r\n1;x=y\r\n]\r\n0\r\n\r\n",
                200,
                json!([]),
            ),
            (
                "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnull",
                404,
                Value::Null,
            ),
        ];
        for (text, status, body) in good {
            assert_eq!(read(text.as_bytes()), Some((status, body)), "{text}");
        }
        for bad in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n[]",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n[]",
            "HTTP/1.1 200 OK\r\n\r\n{",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n[]",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n[]",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n[\r\n",
        ] {
            assert_eq!(read(bad.as_bytes()), None, "{bad}");
        }
    }
}
