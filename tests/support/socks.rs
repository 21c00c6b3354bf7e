//! A SOCKS5 proxy (RFC 1928, 1929) that notes where it was to connect.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What it knows and noted.
struct State {
    /// Where names lead.
    names: BTreeMap<&'static str, SocketAddr>,
    login: Option<(&'static str, &'static str)>,
    asked: Mutex<Vec<String>>,
    refused: Mutex<usize>,
}

/// A proxy, until dropped.
pub(crate) struct Socks {
    pub(crate) addr: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

impl Socks {
    /// Knows these names, and wants this name and password, if any.
    pub(crate) async fn start(
        names: &[(&'static str, SocketAddr)],
        login: Option<(&'static str, &'static str)>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(State {
            names: names.iter().copied().collect(),
            login,
            asked: Mutex::default(),
            refused: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        let own = state.clone();
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = own.clone();
                // Who goes away in the middle is gone.
                served.spawn(async move { drop(serve(stream, &state).await) });
            }
        });
        Self {
            addr,
            state,
            _tasks: tasks,
        }
    }

    /// Where it was to connect, as `HOST:PORT`, each once.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut asked = self.state.asked.lock().unwrap().clone();
        asked.sort();
        asked.dedup();
        asked
    }

    /// How often a login was refused.
    pub(crate) fn refused(&self) -> usize {
        *self.state.refused.lock().unwrap()
    }
}

async fn serve(mut stream: TcpStream, state: &State) -> std::io::Result<()> {
    let [version, count] = read(&mut stream).await?;
    assert_eq!(version, 5);
    let mut ways = vec![0; usize::from(count)];
    stream.read_exact(&mut ways).await?;
    let way = if state.login.is_some() { 2 } else { 0 };
    if !ways.contains(&way) {
        return stream.write_all(&[5, 0xff]).await;
    }
    stream.write_all(&[5, way]).await?;
    if let Some((user, password)) = state.login {
        let [1] = read(&mut stream).await? else {
            panic!("another version of the login");
        };
        let said = [text(&mut stream).await?, text(&mut stream).await?];
        let right = said == [user, password];
        stream.write_all(&[1, u8::from(!right)]).await?;
        if !right {
            *state.refused.lock().unwrap() += 1;
            return Ok(());
        }
    }
    let [5, 1, 0, kind] = read(&mut stream).await? else {
        panic!("not a request to connect");
    };
    let host = match kind {
        1 => Ipv4Addr::from(read::<4>(&mut stream).await?).to_string(),
        3 => text(&mut stream).await?,
        other => panic!("an address of kind {other}"),
    };
    let port = u16::from_be_bytes(read(&mut stream).await?);
    state.asked.lock().unwrap().push(format!("{host}:{port}"));
    let to = match host.parse::<Ipv4Addr>() {
        Ok(ip) => Some(SocketAddr::from((ip, port))),
        Err(_) => state.names.get(host.as_str()).copied(),
    };
    let there = match to {
        Some(to) => TcpStream::connect(to).await.ok(),
        None => None,
    };
    // It says a name as the address that it connects from: that is allowed, and rare.
    let status = if there.is_some() { 0 } else { 4 };
    let mut answer = vec![5, status, 0, 3, 5];
    answer.extend(b"proxy\0\x01");
    stream.write_all(&answer).await?;
    if let Some(mut there) = there {
        copy_bidirectional(&mut stream, &mut there).await?;
    }
    Ok(())
}

async fn read<const N: usize>(stream: &mut TcpStream) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn text(stream: &mut TcpStream) -> std::io::Result<String> {
    let length = stream.read_u8().await?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    Ok(String::from_utf8(bytes).unwrap())
}
