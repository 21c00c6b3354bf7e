//! Connections: how many, for how long, and how they end.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{DEADLINE, Stand, client, config, exchange};
use crate::api::{
    ApiError, Server,
    line::{TIMES, Times},
    request::MAX_HEAD,
    serve,
    server::{MAX_CONNECTIONS, serve_with},
};

#[tokio::test]
async fn the_first_start_gives_a_url_with_a_token_once() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path()).await;
    let start = async || serve(config(folder.path()), client.clone()).await.unwrap();
    let server = start().await;
    let url = server.first_url().unwrap();
    let (page, token) = url.split_once("#token=").unwrap();
    assert_eq!(page, server.url().unwrap());
    let stream = TcpStream::connect(server.address().unwrap()).await.unwrap();
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    let bytes = super::request("GET /api/v1/torrents", "localhost", &headers, b"");
    assert_eq!(exchange(stream, &bytes).await.unwrap().text(), "[]");
    server.stop().await;
    assert_eq!(start().await.first_url(), None);
}

#[tokio::test]
async fn stopping_ends_streams_and_the_listener() {
    let stand = Stand::start().await;
    let mut stream = TcpStream::connect(stand.address).await.unwrap();
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        stand.token
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stand.server.stop().await;
    let mut rest = Vec::new();
    let end = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest));
    end.await.unwrap().unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the stream ends as it should");
    assert!(TcpStream::connect(stand.address).await.is_err());
}

#[tokio::test]
async fn dropping_the_server_ends_it() {
    let stand = Stand::start().await;
    let address = stand.address;
    drop(stand.server);
    let gone = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, gone).await.unwrap();
}

#[tokio::test]
async fn a_second_server_on_the_socket_is_refused_and_one_left_behind_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path()).await;
    let socket = folder.path().join("api.sock");
    let start = async || -> Result<Server, ApiError> {
        let mut config = config(folder.path());
        config.socket = Some(socket.clone());
        serve(config, client.clone()).await
    };
    // As a process that was killed leaves it.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let first = start().await.unwrap();
    assert!(matches!(start().await, Err(ApiError::Running(_))));
    first.stop().await;
    std::fs::write(&socket, "a file").unwrap();
    assert!(matches!(start().await, Err(ApiError::Socket { .. })));
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "a file");
}

#[tokio::test]
async fn a_connection_that_sends_no_head_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path()).await;
    let times = Times {
        head: Duration::from_millis(100),
        ..TIMES
    };
    let server = serve_with(config(folder.path()), client, times)
        .await
        .unwrap();
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // Nothing, half a head, and silence after a request.
    for (sent, answers) in [
        ("", false),
        ("GET / HTTP/1.1\r\nHost: loc", false),
        (request, true),
    ] {
        let mut stream = TcpStream::connect(server.address().unwrap()).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer));
        // Cut off or ended: both are an end.
        let _end = read.await.unwrap();
        assert_eq!(answer.starts_with(b"HTTP/1.1 200"), answers, "{sent}");
    }
}

#[tokio::test]
async fn a_head_has_a_limit() {
    let stand = Stand::start().await;
    let rest = "/healthzhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\nx: \r\n".len();
    for (size, status) in [(MAX_HEAD, 200), (MAX_HEAD + 1, 431)] {
        let long = "x".repeat(size - rest);
        let headers = [("x", long.as_str())];
        let reply = stand
            .send_to("localhost", "GET /healthz", &headers, b"")
            .await;
        assert_eq!(reply.unwrap().status, status);
    }
    // One that goes on and on is cut off before it is read.
    let long = "x".repeat(4 * MAX_HEAD);
    let headers = [("x", long.as_str())];
    let reply = stand
        .send_to("localhost", "GET /healthz", &headers, b"")
        .await;
    assert!(reply.is_none_or(|reply| reply.status == 431));
}

#[tokio::test]
async fn only_so_many_connections_are_served_at_once_and_a_place_is_given_on() {
    let stand = Stand::start().await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let ok = async |stream: &mut TcpStream| {
        stream.write_all(request).await.unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    };
    let mut held = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let mut stream = TcpStream::connect(stand.address).await.unwrap();
        ok(&mut stream).await;
        held.push(stream);
    }
    // One more waits, and gets the place of the one that goes.
    let mut late = TcpStream::connect(stand.address).await.unwrap();
    let mut waits = Box::pin(ok(&mut late));
    let short = tokio::time::timeout(Duration::from_millis(200), &mut waits);
    assert!(short.await.is_err());
    held.pop();
    tokio::time::timeout(DEADLINE, waits).await.unwrap();
}
