//! A web server that has files, and answers as a test says.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// How it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it should.
    Honest,
    /// Other bytes of the right number.
    Lies,
    /// What was asked for, and then bytes without end.
    Endless,
    /// Another range than asked for.
    OtherRange,
    /// The whole file, whatever range is asked for.
    NoRanges,
    /// Half of what it says.
    Short,
    /// Nothing, ever.
    Silent,
    /// A byte now and then.
    Drips,
    /// That the file is elsewhere.
    Moved(String),
    /// That it has a longer file.
    Longer,
    /// This status.
    Status(u16),
    /// At first busy, then as it should.
    BusyOnce,
}

/// Answers until it is dropped.
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, u64, u64)>>>,
    from: Arc<Mutex<Vec<SocketAddr>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Web {
    /// Serves these files by path.
    pub(crate) async fn start(files: &[(&str, Vec<u8>)], manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let files = files
            .iter()
            .map(|(path, bytes)| ((*path).to_owned(), bytes.clone()));
        let files: Arc<BTreeMap<String, Vec<u8>>> = Arc::new(files.collect());
        let asked: Arc<Mutex<Vec<_>>> = Arc::default();
        let from: Arc<Mutex<Vec<_>>> = Arc::default();
        let (seen, callers) = (asked.clone(), from.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, caller) = listener.accept().await.unwrap();
                callers.lock().unwrap().push(caller);
                let (files, seen, manner) = (files.clone(), seen.clone(), manner.clone());
                connections.spawn(async move {
                    // The client may hang up whenever it likes.
                    let _ = serve(stream, &files, &seen, &manner).await;
                });
            }
        });
        Self {
            address,
            asked,
            from,
            task,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Path, first byte and number of bytes of each request.
    pub(crate) fn asked(&self) -> Vec<(String, u64, u64)> {
        self.asked.lock().unwrap().clone()
    }

    /// Where the connections came from.
    pub(crate) fn callers(&self) -> Vec<SocketAddr> {
        self.from.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    files: &BTreeMap<String, Vec<u8>>,
    seen: &Mutex<Vec<(String, u64, u64)>>,
    manner: &Manner,
) -> std::io::Result<()> {
    let mut received = Vec::new();
    loop {
        let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        received.drain(..end + 4);
        let path = head.split_whitespace().nth(1).unwrap().to_owned();
        let range = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let range = value.trim().strip_prefix("bytes=")?;
            let (first, last) = range.split_once('-')?;
            let both = (
                first.parse::<usize>().unwrap(),
                last.parse::<usize>().unwrap(),
            );
            name.eq_ignore_ascii_case("range").then_some(both)
        });
        let (first, last) = range.expect("it asks for a range");
        let requests = {
            let mut seen = seen.lock().unwrap();
            let wide = |n: usize| u64::try_from(n).unwrap();
            seen.push((path.clone(), wide(first), wide(last + 1 - first)));
            seen.len()
        };
        let Some(file) = files.get(&path) else {
            stream
                .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                .await?;
            continue;
        };
        let asked = file.get(first..=last).expect("it is a range of the file");
        let partial = |first: usize, bytes: usize, whole: usize| {
            let last = first + bytes - 1;
            format!(
                "HTTP/1.1 206 Partial Content\r\ncontent-length: {bytes}\r\n\
                 content-range: bytes {first}-{last}/{whole}\r\n\r\n"
            )
        };
        let head = partial(first, asked.len(), file.len());
        match manner {
            Manner::BusyOnce if requests == 1 => {
                let busy = "HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(busy.as_bytes()).await?;
            }
            Manner::Honest | Manner::BusyOnce => {
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(asked).await?;
            }
            Manner::Lies => {
                stream.write_all(head.as_bytes()).await?;
                let lie: Vec<u8> = asked.iter().map(|byte| byte ^ 1).collect();
                stream.write_all(&lie).await?;
            }
            Manner::Endless => {
                let head = "HTTP/1.1 206 Partial Content\r\nconnection: close\r\n";
                let range = format!("content-range: bytes {first}-{last}/{}\r\n\r\n", file.len());
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(range.as_bytes()).await?;
                stream.write_all(asked).await?;
                loop {
                    stream.write_all(&[0; 65536]).await?;
                }
            }
            Manner::OtherRange => {
                let head = partial(0, asked.len(), file.len());
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&file[..asked.len()]).await?;
            }
            Manner::NoRanges => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", file.len());
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(file).await?;
            }
            Manner::Short => {
                stream.write_all(head.as_bytes()).await?;
                return stream.write_all(&asked[..asked.len() / 2]).await;
            }
            Manner::Silent => std::future::pending::<()>().await,
            Manner::Drips => {
                stream.write_all(head.as_bytes()).await?;
                for byte in asked {
                    stream.write_all(&[*byte]).await?;
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
            Manner::Moved(to) => {
                let moved = "HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: ";
                stream
                    .write_all(format!("{moved}{to}{path}\r\n\r\n").as_bytes())
                    .await?;
            }
            Manner::Longer => {
                let head = partial(first, asked.len(), file.len() + 1);
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(asked).await?;
            }
            Manner::Status(status) => {
                let head = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
            }
        }
    }
}
