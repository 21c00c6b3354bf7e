//! Port mapping, against gateways at loopback that this file plays.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::{Arc, Mutex},
    time::Duration,
};

use seedrail::swarm::{
    SeedOptions, Session,
    ports::{Method, PortMapOptions, PortMapping},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinHandle,
};

use crate::support::torrents::{add, file, of, session, torrent, until, within};

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
/// What the gateways here give instead of what is asked for.
const EXTERNAL: u16 = 40_123;
/// Seconds: renewed after one.
const SHORT: u32 = 2;

fn v4(addr: SocketAddr) -> SocketAddrV4 {
    match addr {
        SocketAddr::V4(v4) => v4,
        SocketAddr::V6(_) => panic!("{addr} is not of IPv4"),
    }
}

fn at(gateway: Option<SocketAddrV4>, upnp: Option<SocketAddrV4>) -> Option<PortMapOptions> {
    Some(PortMapOptions { gateway, upnp })
}

async fn mapping(options: Option<PortMapOptions>) -> Session {
    Session::builder().port_map(options).start().await.unwrap()
}

/// A request for a mapping: protocol number, port here, port out there, seconds; with
/// PCP, its nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    protocol: u8,
    internal: u16,
    external: u16,
    lifetime: u32,
    nonce: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Pcp,
    NatPmp,
    Nonsense,
}

/// A gateway that speaks PCP or NAT-PMP, until dropped.
struct Gateway {
    at: SocketAddrV4,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gateway {
    async fn start(speaks: Speaks) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = v4(socket.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let log = asked.clone();
        let task = tokio::spawn(async move {
            let mut packet = [0; 2000];
            loop {
                let (length, from) = socket.recv_from(&mut packet).await.unwrap();
                for reply in answer(speaks, &packet[..length], &log) {
                    socket.send_to(&reply, from).await.unwrap();
                }
            }
        });
        Self { at, asked, task }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn asked_for(&self, protocol: u8, ends: bool) -> Vec<Asked> {
        let mut all = self.asked();
        all.retain(|one| one.protocol == protocol && (one.lifetime == 0) == ends);
        all
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

fn answer(speaks: Speaks, request: &[u8], log: &Mutex<Vec<Asked>>) -> Vec<Vec<u8>> {
    let port = |bytes: &[u8]| u16::try_from(number(bytes)).unwrap();
    match (speaks, request[0]) {
        (Speaks::Nonsense, _) => vec![
            vec![],
            vec![0xff; 1500],
            request.to_vec(),
            // The right head, and nothing behind it.
            vec![2, 0x81, 0, 0, 0xff, 0xff, 0xff, 0xff],
            vec![0, 0x82, 0, 0],
        ],
        // A version that it does not speak, as RFC 6886, 3.5 says.
        (Speaks::NatPmp, 2) => vec![vec![0, 0x81, 0, 1, 0, 0, 0, 9]],
        (Speaks::NatPmp, _) if request[1] == 0 => {
            let mut reply = vec![0, 128, 0, 0, 0, 0, 0, 9];
            reply.extend(OUTSIDE.octets());
            vec![reply]
        }
        (Speaks::NatPmp, _) => {
            let asked = Asked {
                protocol: if request[1] == 2 { 6 } else { 17 },
                internal: port(&request[4..6]),
                external: port(&request[6..8]),
                lifetime: number(&request[8..12]),
                nonce: vec![],
            };
            let ends = asked.lifetime == 0;
            log.lock().unwrap().push(asked);
            let mut reply = vec![0, request[1] | 128, 0, 0, 0, 0, 0, 9];
            reply.extend(&request[4..6]);
            reply.extend(if ends { 0 } else { EXTERNAL }.to_be_bytes());
            reply.extend(if ends { 0 } else { SHORT }.to_be_bytes());
            vec![reply]
        }
        (Speaks::Pcp, _) => {
            let asked = Asked {
                protocol: request[36],
                internal: port(&request[40..42]),
                external: port(&request[42..44]),
                lifetime: number(&request[4..8]),
                nonce: request[24..36].to_vec(),
            };
            let ends = asked.lifetime == 0;
            log.lock().unwrap().push(asked);
            let mut reply = request.to_vec();
            reply[1] |= 128;
            reply[4..8].copy_from_slice(&if ends { 0 } else { SHORT }.to_be_bytes());
            // The epoch, and what is reserved.
            reply[8..24].copy_from_slice(&[0; 16]);
            reply[42..44].copy_from_slice(&if ends { 0 } else { EXTERNAL }.to_be_bytes());
            reply[44..60].copy_from_slice(&OUTSIDE.to_ipv6_mapped().octets());
            // Another's answer first: it is passed over.
            let mut other = reply.clone();
            other[30] ^= 1;
            vec![other, reply]
        }
    }
}

async fn is_mapped(session: &Session, by: Method, port: u16) {
    let wanted = PortMapping::Mapped {
        by,
        port,
        address: Some(OUTSIDE),
    };
    until("the port is mapped", || session.port_mapping() == wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_are_mapped_renewed_told_of_and_closed() {
    for (speaks, by) in [(Speaks::Pcp, Method::Pcp), (Speaks::NatPmp, Method::NatPmp)] {
        let gateway = Gateway::start(speaks).await;
        let session = mapping(at(Some(gateway.at), None)).await;
        is_mapped(&session, by, EXTERNAL).await;
        let port = session.listen_addr().port();
        until("both are renewed before they end", || {
            gateway.asked_for(6, false).len() > 1 && gateway.asked_for(17, false).len() > 1
        })
        .await;
        for protocol in [6, 17] {
            let asked = gateway.asked_for(protocol, false);
            // First the same port as here, then the one that was granted.
            assert_eq!((asked[0].external, asked[1].external), (port, EXTERNAL));
            for one in &asked {
                assert_eq!((one.internal, one.lifetime), (port, 3600));
                assert_eq!(one.nonce, asked[0].nonce);
            }
        }
        assert_eq!(announced(&session).await, EXTERNAL);
        session.finish(Duration::from_secs(1)).await;
        let closed = [gateway.asked_for(6, true), gateway.asked_for(17, true)];
        for one in closed.iter().flatten() {
            assert_eq!((one.internal, one.external), (port, 0));
        }
        assert!(closed.iter().all(|one| one.len() == 1), "{closed:?}");
    }
}

/// The port that a tracker is told.
async fn announced(session: &Session) -> u16 {
    let tracker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/announce", tracker.local_addr().unwrap());
    let (_dir, path) = file(50_000, 730);
    let metainfo = torrent(&path, 16 << 10, &[url]);
    let seed = session
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    let (mut stream, _) = within(tracker.accept()).await.unwrap();
    let (head, _) = within(read_request(&mut stream)).await;
    drop(stream);
    // It shall not be waited for when the session ends.
    drop(tracker);
    within(seed.finish(Duration::ZERO)).await;
    let (_, rest) = head.split_once("&port=").expect("a port is announced");
    rest.split('&').next().unwrap().parse().unwrap()
}

/// An HTTP request: its head and its body.
async fn read_request(stream: &mut TcpStream) -> (String, String) {
    let mut all = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower
                .split_once("content-length: ")
                .and_then(|(_, rest)| rest.lines().next()?.trim().parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return (head.to_owned(), body.to_owned());
            }
        }
        if stream.read_buf(&mut all).await.unwrap() == 0 {
            return (text, String::new());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Temper {
    Good,
    /// Grants only for ever.
    Permanent,
    /// Refuses everything.
    Refuses,
    /// Its description never ends.
    Endless,
    /// Sends others to somebody else.
    Elsewhere,
}

/// What a device was asked: actions, and their arguments by name.
type Log = Arc<Mutex<Vec<(String, HashMap<String, String>)>>>;

/// A UPnP gateway device, until dropped.
struct Device {
    search: SocketAddrV4,
    asked: Log,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Device {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

const KIND: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";

impl Device {
    async fn start(temper: Temper) -> Self {
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = http.local_addr().unwrap();
        let ssdp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let search = v4(ssdp.local_addr().unwrap());
        let asked = Log::default();
        let log = asked.clone();
        let answering = tokio::spawn(async move {
            let mut packet = [0; 2000];
            loop {
                let (length, from) = ssdp.recv_from(&mut packet).await.unwrap();
                assert!(packet[..length].starts_with(b"M-SEARCH * HTTP/1.1\r\n"));
                let host = match temper {
                    Temper::Elsewhere => format!("127.0.0.2:{}", place.port()),
                    _ => place.to_string(),
                };
                let reply = format!("HTTP/1.1 200 OK\r\nLocation: http://{host}/root.xml\r\n\r\n");
                ssdp.send_to(reply.as_bytes(), from).await.unwrap();
            }
        });
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = http.accept().await.unwrap();
                tokio::spawn(serve(stream, temper, log.clone()));
            }
        });
        Self {
            search,
            asked,
            tasks: [answering, serving],
        }
    }

    fn calls(&self, action: &str) -> Vec<HashMap<String, String>> {
        let asked = self.asked.lock().unwrap();
        let of = asked.iter().filter(|(one, _)| one == action);
        of.map(|(_, arguments)| arguments.clone()).collect()
    }
}

async fn serve(mut stream: TcpStream, temper: Temper, log: Log) {
    let (head, body) = read_request(&mut stream).await;
    if head.starts_with("GET /root.xml ") {
        if temper == Temper::Endless {
            // Until the other side has had enough.
            let head = b"HTTP/1.1 200 OK\r\n\r\n<root>".to_vec();
            let mut sent = stream.write_all(&head).await;
            while sent.is_ok() {
                sent = stream.write_all(&[b' '; 1 << 16]).await;
            }
            return;
        }
        let description = format!(
            "<?xml version=\"1.0\"?><root><device><serviceList><service><serviceType>{KIND}</serviceType>\
             <controlURL>/control?a=1&amp;b=2</controlURL></service></serviceList></device></root>"
        );
        return reply(&mut stream, 200, &description).await;
    }
    assert!(head.starts_with("POST /control?a=1&b=2 "), "{head}");
    let lower = head.to_ascii_lowercase();
    let (_, action) = lower.split_once("soapaction: ").unwrap();
    let action = action.lines().next().unwrap().trim_matches('"');
    let (_, action) = action.split_once('#').unwrap();
    let mut arguments = HashMap::new();
    for part in body.split('<').skip(1) {
        if let Some((name, value)) = part.split_once('>')
            && name.starts_with("New")
        {
            arguments.insert(name.to_owned(), value.to_owned());
        }
    }
    let lease = arguments.get("NewLeaseDuration").cloned();
    log.lock().unwrap().push((action.to_owned(), arguments));
    let fault = |code: u16| {
        format!(
            "<s:Fault><errorCode>{code}</errorCode><errorDescription>no\x07</errorDescription></s:Fault>"
        )
    };
    match (temper, action, lease.as_deref()) {
        (Temper::Refuses, ..) => reply(&mut stream, 500, &fault(606)).await,
        (Temper::Permanent, "addportmapping", Some("3600")) => {
            reply(&mut stream, 500, &fault(725)).await;
        }
        (_, "getexternalipaddress", _) => {
            let body = format!("<NewExternalIPAddress>{OUTSIDE}</NewExternalIPAddress>");
            reply(&mut stream, 200, &body).await;
        }
        _ => reply(&mut stream, 200, "<ok/>").await,
    }
}

async fn reply(stream: &mut TcpStream, status: u16, body: &str) {
    let text = format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // Who asked may have gone.
    let _ = stream.write_all(text.as_bytes()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upnp_is_asked_where_nobody_speaks_pcp() {
    for (temper, leases) in [
        (Temper::Good, vec!["3600", "3600"]),
        (Temper::Permanent, vec!["3600", "0", "3600", "0"]),
    ] {
        // The port of a socket that is gone: nobody listens there.
        let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let silent = v4(gone.local_addr().unwrap());
        drop(gone);
        let device = Device::start(temper).await;
        let session = mapping(at(Some(silent), Some(device.search))).await;
        let port = session.listen_addr().port();
        is_mapped(&session, Method::Upnp, port).await;
        let added = device.calls("addportmapping");
        let said = |name: &str| -> Vec<_> { added.iter().map(|one| one[name].clone()).collect() };
        assert_eq!(said("NewLeaseDuration"), leases);
        assert_eq!(said("NewInternalClient"), vec!["127.0.0.1"; leases.len()]);
        for name in ["NewInternalPort", "NewExternalPort"] {
            assert_eq!(said(name), vec![port.to_string(); leases.len()]);
        }
        session.finish(Duration::from_secs(1)).await;
        let removed = device.calls("deleteportmapping");
        let protocols: Vec<_> = removed
            .iter()
            .map(|one| one["NewProtocol"].as_str())
            .collect();
        assert_eq!(protocols, ["TCP", "UDP"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_gateway_is_a_remark_and_delays_nothing() {
    let hostile = async |temper, words: &str| {
        let gateway = Gateway::start(Speaks::Nonsense).await;
        let device = Device::start(temper).await;
        let seeder = mapping(at(Some(gateway.at), Some(device.search))).await;
        let (_dir, path) = file(100_000, 731);
        let metainfo = torrent(&path, 16 << 10, &[]);
        let options = SeedOptions::default();
        seeder.seed(&metainfo, &path, options).unwrap();
        let leecher = session().await;
        let (leech, _out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
        within(leech.wait_complete()).await.unwrap();
        until("it has failed", || {
            matches!(seeder.port_mapping(), PortMapping::Failed(_))
        })
        .await;
        let PortMapping::Failed(why) = seeder.port_mapping() else {
            panic!("it does not try again so soon");
        };
        assert!(why.contains("nobody answers at 127.0.0.1"), "{why}");
        assert!(why.ends_with(words), "{why}");
        seeder.finish(Duration::from_secs(1)).await;
    };
    tokio::join!(
        hostile(Temper::Refuses, "the gateway refuses: 606 no"),
        hostile(Temper::Endless, "the gateway answers nonsense (too long)"),
        hostile(Temper::Elsewhere, "no gateway answers"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn from_loopback_nobody_else_is_asked() {
    let router = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 5351);
    let here = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5351);
    for options in [
        None,
        at(None, None),
        at(Some(router), None),
        at(Some(here), Some(router)),
    ] {
        let session = mapping(options).await;
        assert_eq!(session.port_mapping(), PortMapping::Off, "{options:?}");
    }
}
