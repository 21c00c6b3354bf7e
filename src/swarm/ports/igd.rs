//! UPnP: the gateway device found by SSDP and asked by SOAP (UPnP Device Architecture
//! 1.0, WANIPConnection:1). Whoever answers in the local network is believed no more
//! than this: it may name a place on itself, and what it sends is cut off early. Its
//! XML is searched for a few elements by name, not read as a whole.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use tokio::{
    net::UdpSocket,
    time::{Instant, timeout_at},
};
use url::{Host, Url};

use super::pcp::Protocol;

/// Where devices listen.
pub const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1900);

/// What is looked for; devices of version 2 answer to it too.
const DEVICE: &str = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";
/// The services that map ports, the best one first.
const SERVICES: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];
/// A device has a second to answer; two rounds, as packets get lost.
const ROUND: Duration = Duration::from_millis(1200);
const ROUNDS: usize = 2;
/// Answers that are looked at: a network has a gateway or two.
const MAX_ANSWERS: usize = 16;
/// Devices that are asked what they are.
const MAX_DEVICES: usize = 4;
/// The longest answer; real ones are 500 bytes.
const MAX_PACKET: usize = 2048;
/// The longest description or SOAP answer; real ones are 10 KiB.
const MAX_BODY: usize = 128 << 10;
/// How long a request may take.
const HTTP_TIMEOUT: Duration = Duration::from_secs(3);
/// The lease is only for ever.
const ONLY_PERMANENT: u16 = 725;

/// Why UPnP did not help.
#[derive(Debug, thiserror::Error)]
pub(super) enum IgdError {
    /// No device.
    #[error("no gateway answers")]
    NoAnswer,
    /// Devices, but none that maps ports.
    #[error("the device at {0} maps no ports")]
    NoService(IpAddr),
    /// It refuses.
    #[error("the gateway refuses: {code} {words}")]
    Refused {
        /// UPnP's error code.
        code: u16,
        /// Its words, made printable.
        words: String,
    },
    /// Something else came back.
    #[error("the gateway answers nonsense ({0})")]
    Nonsense(&'static str),
    /// HTTP.
    #[error("the gateway does not answer: {0}")]
    Http(#[from] reqwest::Error),
    /// The network.
    #[error("the network: {0}")]
    Io(#[from] io::Error),
}

/// A service that maps ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its type, as it is addressed.
    pub kind: &'static str,
    /// Where it is asked.
    pub control: Url,
}

/// Where an answer to the search says that its sender's description is; it must be on
/// the sender itself.
pub fn read_answer(bytes: &[u8], from: IpAddr) -> Option<Url> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.split("\r\n");
    if !lines.next()?.starts_with("HTTP/1.1 200") {
        return None;
    }
    let location = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("location").then(|| value.trim())
    })?;
    on_itself(Url::parse(location).ok()?, from)
}

fn on_itself(url: Url, owner: IpAddr) -> Option<Url> {
    let there = url.scheme() == "http" && address_of(&url)? == owner;
    there.then_some(url)
}

/// The address that a URL names; none if it names a host by its name.
fn address_of(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
        Host::Ipv6(ip) => Some(IpAddr::V6(ip)),
        Host::Domain(_) => None,
    }
}

/// The service in a device's description that maps ports.
pub fn find_service(description: &str, location: &Url) -> Option<Service> {
    let owner = address_of(location)?;
    let base = element(description, "URLBase").and_then(|base| Url::parse(base).ok());
    let base = base.unwrap_or_else(|| location.clone());
    let blocks = || {
        let mut rest = description;
        std::iter::from_fn(move || {
            let (_, begins) = rest.split_once("<service>")?;
            let (block, after) = begins.split_once("</service>")?;
            rest = after;
            Some(block)
        })
    };
    SERVICES.into_iter().find_map(|kind| {
        let block = blocks().find(|block| element(block, "serviceType") == Some(kind))?;
        let path = element(block, "controlURL")?.replace("&amp;", "&");
        let control = on_itself(base.join(&path).ok()?, owner)?;
        Some(Service { kind, control })
    })
}

/// The text of the first element of this name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, begins) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = begins.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

/// The error in a SOAP fault.
pub fn read_fault(body: &str) -> Option<(u16, String)> {
    let code = element(body, "errorCode")?.parse().ok()?;
    let words = element(body, "errorDescription").unwrap_or_default();
    let words = words.chars().filter(|c| !c.is_control()).take(80);
    Some((code, words.collect()))
}

/// A gateway device and its service.
#[derive(Debug, Clone)]
pub(super) struct Igd {
    service: Service,
    http: reqwest::Client,
    ours: Ipv4Addr,
}

impl Igd {
    /// Looks for devices, and takes the first one that maps ports.
    pub(super) async fn find(bind: Ipv4Addr, group: SocketAddrV4) -> Result<Self, IgdError> {
        let devices = search(bind, group).await?;
        let mut failure = IgdError::NoAnswer;
        for location in devices {
            let http = reqwest::Client::builder()
                .timeout(HTTP_TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .pool_max_idle_per_host(0)
                .local_address((!bind.is_unspecified()).then_some(IpAddr::V4(bind)))
                .build()?;
            match Self::at(http, bind, &location).await {
                Ok(found) => return Ok(found),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn at(http: reqwest::Client, bind: Ipv4Addr, at: &Url) -> Result<Self, IgdError> {
        let Some(Host::Ipv4(host)) = at.host() else {
            return Err(IgdError::NoAnswer);
        };
        let response = http.get(at.clone()).send().await?;
        if !response.status().is_success() {
            return Err(IgdError::Nonsense("no description"));
        }
        let description = body(response).await?;
        let service = find_service(&description, at);
        let service = service.ok_or(IgdError::NoService(host.into()))?;
        let port = at.port_or_known_default().unwrap_or(80);
        let ours = super::gateway::own_address(bind, (host, port)).await?;
        Ok(Self {
            service,
            http,
            ours,
        })
    }

    async fn call(&self, action: &str, arguments: &[(&str, &str)]) -> Result<String, IgdError> {
        let kind = self.service.kind;
        let fields: String = arguments
            .iter()
            .map(|(name, value)| format!("<{name}>{value}</{name}>"))
            .collect();
        let envelope = format!(
            "<?xml version=\"1.0\"?>\r\n\
             <s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{action} xmlns:u=\"{kind}\">{fields}</u:{action}></s:Body></s:Envelope>"
        );
        let response = self
            .http
            .post(self.service.control.clone())
            .header("Content-Type", "text/xml; charset=\"utf-8\"")
            .header("SOAPAction", format!("\"{kind}#{action}\""))
            .body(envelope)
            .send()
            .await?;
        let fine = response.status().is_success();
        let body = body(response).await?;
        if fine {
            return Ok(body);
        }
        let (code, words) = read_fault(&body).ok_or(IgdError::Nonsense("no reason"))?;
        Err(IgdError::Refused { code, words })
    }

    /// Maps a port to the same one out there; true if the lease ends by itself.
    pub(super) async fn map(
        &self,
        protocol: Protocol,
        port: u16,
        lease: u32,
    ) -> Result<bool, IgdError> {
        match self.add(protocol, port, lease).await {
            Ok(()) => Ok(true),
            Err(IgdError::Refused {
                code: ONLY_PERMANENT,
                ..
            }) => self.add(protocol, port, 0).await.map(|()| false),
            Err(error) => Err(error),
        }
    }

    async fn add(&self, protocol: Protocol, port: u16, lease: u32) -> Result<(), IgdError> {
        let (port, lease) = (port.to_string(), lease.to_string());
        let arguments = [
            ("NewRemoteHost", ""),
            ("NewExternalPort", port.as_str()),
            ("NewProtocol", word(protocol)),
            ("NewInternalPort", port.as_str()),
            ("NewInternalClient", &self.ours.to_string()),
            ("NewEnabled", "1"),
            ("NewPortMappingDescription", "Seedrail"),
            ("NewLeaseDuration", lease.as_str()),
        ];
        self.call("AddPortMapping", &arguments).await.map(drop)
    }

    /// Ends a mapping.
    pub(super) async fn unmap(&self, protocol: Protocol, port: u16) -> Result<(), IgdError> {
        let arguments = [
            ("NewRemoteHost", ""),
            ("NewExternalPort", &port.to_string()),
            ("NewProtocol", word(protocol)),
        ];
        self.call("DeletePortMapping", &arguments).await.map(drop)
    }

    /// The address out there, if it says one.
    pub(super) async fn address(&self) -> Option<Ipv4Addr> {
        let body = self.call("GetExternalIPAddress", &[]).await.ok()?;
        let address: Ipv4Addr = element(&body, "NewExternalIPAddress")?.parse().ok()?;
        (!address.is_unspecified()).then_some(address)
    }
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    }
}

/// A body, cut off when it is too long.
async fn body(mut response: reqwest::Response) -> Result<String, IgdError> {
    let mut all = Vec::new();
    while let Some(part) = response.chunk().await? {
        if all.len() + part.len() > MAX_BODY {
            return Err(IgdError::Nonsense("too long"));
        }
        all.extend_from_slice(&part);
    }
    Ok(String::from_utf8_lossy(&all).into_owned())
}

/// Where devices that answer the search have their descriptions.
async fn search(bind: Ipv4Addr, group: SocketAddrV4) -> Result<Vec<Url>, IgdError> {
    let socket = UdpSocket::bind((bind, 0)).await?;
    if group.ip().is_multicast() && !bind.is_unspecified() {
        socket2::SockRef::from(&socket).set_multicast_if_v4(&bind)?;
    }
    let search = format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: {GROUP}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {DEVICE}\r\n\r\n"
    );
    let mut found: Vec<Url> = Vec::new();
    let mut answers = 0;
    let mut packet = [0; MAX_PACKET];
    for _ in 0..ROUNDS {
        socket.send_to(search.as_bytes(), group).await?;
        let until = Instant::now() + ROUND;
        while answers < MAX_ANSWERS && found.len() < MAX_DEVICES {
            let Ok(received) = timeout_at(until, socket.recv_from(&mut packet)).await else {
                break;
            };
            let (length, from) = received?;
            answers += 1;
            let bytes = packet.get(..length).unwrap_or_default();
            if let Some(location) = read_answer(bytes, from.ip())
                && !found.contains(&location)
            {
                found.push(location);
            }
        }
        if !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1));

    #[test]
    fn an_answer_names_a_place_on_its_sender_or_nothing() {
        let answer = |location: &str| {
            let text = format!(
                "HTTP/1.1 200 OK\r\nST: {DEVICE}\r\nLOCATION: {location}\r\nCACHE-CONTROL: max-age=60\r\n\r\n"
            );
            read_answer(text.as_bytes(), ROUTER).map(String::from)
        };
        let good = "http://192.168.1.1:5000/rootDesc.xml";
        assert_eq!(answer(good).as_deref(), Some(good));
        for bad in [
            "http://192.168.1.2:5000/rootDesc.xml",
            "http://127.0.0.1/",
            "http://router.example/",
            "https://192.168.1.1/",
            "file:///etc/passwd",
            "",
        ] {
            assert_eq!(answer(bad), None, "{bad}");
        }
        assert_eq!(read_answer(b"NOTIFY * HTTP/1.1\r\n\r\n", ROUTER), None);
    }

    fn description(kinds: &[(&str, &str)], base: &str) -> String {
        let services: String = kinds
            .iter()
            .map(|(kind, control)| {
                format!("<service>\n<serviceType>{kind}</serviceType><controlURL>{control}</controlURL></service>")
            })
            .collect();
        format!(
            "<?xml version=\"1.0\"?><root>{base}<device><serviceList>{services}</serviceList></device></root>"
        )
    }

    #[test]
    fn the_service_that_maps_ports_is_found_on_the_device_itself() {
        let location: Url = "http://192.168.1.1:5000/root.xml".parse().unwrap();
        let layer = ("urn:schemas-upnp-org:service:Layer3Forwarding:1", "/l3f");
        let find = |kinds: &[(&str, &str)], base: &str| {
            let found = find_service(&description(kinds, base), &location);
            found.map(|service| (service.kind, service.control.to_string()))
        };
        assert_eq!(
            find(
                &[
                    layer,
                    (SERVICES[2], "/ppp"),
                    (SERVICES[1], "ctl?a=1&amp;b=2")
                ],
                ""
            ),
            Some((SERVICES[1], "http://192.168.1.1:5000/ctl?a=1&b=2".into()))
        );
        assert_eq!(
            find(
                &[(SERVICES[1], "/ctl")],
                "<URLBase>http://192.168.1.1:99/</URLBase>"
            ),
            Some((SERVICES[1], "http://192.168.1.1:99/ctl".into()))
        );
        assert_eq!(find(&[layer], ""), None);
        assert_eq!(find(&[(SERVICES[1], "http://10.0.0.1/ctl")], ""), None);
        assert_eq!(
            find(
                &[(SERVICES[1], "/ctl")],
                "<URLBase>http://10.0.0.1/</URLBase>"
            ),
            None
        );
    }

    #[test]
    fn faults_are_read() {
        let fault = "<s:Fault><detail><UPnPError><errorCode>718</errorCode>\
            <errorDescription>Conflict\nInMappingEntry</errorDescription></UPnPError></detail></s:Fault>";
        assert_eq!(
            read_fault(fault),
            Some((718, "ConflictInMappingEntry".into()))
        );
        assert_eq!(read_fault("<errorCode>99999</errorCode>"), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(
            text in "(HTTP/1.1 200 OK\r\n)?((LOCATION: http://192.168.1.1[:/a-z]{0,9}|</?(service|serviceType|controlURL|URLBase|errorCode)>|[ -~]{0,9})(\r\n)?){0,20}"
        ) {
            let _ = read_answer(text.as_bytes(), ROUTER);
            let location: Url = "http://192.168.1.1/".parse().unwrap();
            let _ = find_service(&text, &location);
            let _ = read_fault(&text);
        }
    }
}
