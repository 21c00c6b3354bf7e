//! Asking the gateway to let others in: PCP, else NAT-PMP, else UPnP. One task, which
//! delays nothing: whatever fails is a remark, and is tried again later.

mod gateway;
mod igd;
pub mod pcp;

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use tokio::{
    net::UdpSocket,
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

pub use igd::{GROUP, Service, find_service, read_answer, read_fault};
use igd::{Igd, IgdError};
use pcp::{Granted, Protocol, Reply, Request};

/// What is asked for, in seconds: two renewals an hour, and a port that is left open
/// by a crash is closed within the hour.
const LEASE: u32 = 3600;
/// Not renewed sooner, whatever the gateway grants: a packet or two a second.
const SOONEST: Duration = Duration::from_secs(1);
/// How long an answer is waited for, by attempt (RFC 6886, 3.1; it would go on for a
/// minute, but by then UPnP has found out).
const ATTEMPTS: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1000),
];
/// The longest reply (RFC 6887, 7).
const MAX_REPLY: usize = 1100;
/// Wait after a failure; doubles …
const RETRY: Duration = Duration::from_secs(60);
/// … to this.
const MAX_RETRY: Duration = Duration::from_secs(1800);
/// Closing the ports may hold up the end for so long.
const GOODBYE: Duration = Duration::from_secs(1);

/// Where to look for a gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortMapOptions {
    /// Who speaks PCP or NAT-PMP. Default: the gateway of the default route.
    pub gateway: Option<SocketAddrV4>,
    /// Where devices are searched for. Default: UPnP's multicast group.
    pub upnp: Option<SocketAddrV4>,
}

/// How a port was mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// RFC 6887.
    Pcp,
    /// RFC 6886.
    NatPmp,
    /// UPnP IGD.
    Upnp,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        })
    }
}

/// Whether others get in through the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortMapping {
    /// Nobody was asked: it is not wished, or the session listens at loopback.
    Off,
    /// Being asked for.
    Trying,
    /// They do.
    Mapped {
        /// By which protocol.
        by: Method,
        /// The port out there.
        port: u16,
        /// The address out there, if the gateway told.
        address: Option<Ipv4Addr>,
    },
    /// They do not, for now; why.
    Failed(String),
}

/// Why a gateway did not help.
#[derive(Debug, thiserror::Error)]
enum PortError {
    #[error("the default gateway is not known")]
    NoGateway,
    #[error("nobody answers at {0}")]
    Silent(SocketAddrV4),
    #[error("{at} refuses: {}", pcp::refusal(*result))]
    Refused { at: SocketAddrV4, result: u16 },
    #[error("{0} speaks another version")]
    OtherVersion(SocketAddrV4),
    #[error("the network: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Igd(#[from] IgdError),
}

/// One port of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    protocol: Protocol,
    port: u16,
    /// The port out there that was granted, or is hoped for.
    external: u16,
}

/// The running task, as the session sees it.
#[derive(Debug)]
pub(super) struct Ports {
    state: watch::Receiver<PortMapping>,
    end: CancellationToken,
}

impl Ports {
    /// Ports that should be reached from outside, the most important one first. `None`
    /// where there is no gateway to be asked. The future is the task.
    pub(super) fn start(
        listen: IpAddr,
        wanted: Vec<Wanted>,
        options: PortMapOptions,
    ) -> Option<(Self, impl Future<Output = ()> + Send + 'static)> {
        let bind = match listen {
            IpAddr::V4(v4) => v4,
            IpAddr::V6(v6) if v6.is_unspecified() => Ipv4Addr::UNSPECIFIED,
            // Global already.
            IpAddr::V6(_) => return None,
        };
        if bind.is_loopback() {
            // Nobody out there is reached from here, but one who is here, too.
            let here = |at: Option<SocketAddrV4>| at.is_none_or(|at| at.ip().is_loopback());
            let named = options.gateway.is_some() || options.upnp.is_some();
            if !named || !here(options.gateway) || !here(options.upnp) {
                return None;
            }
        }
        let (told, state) = watch::channel(PortMapping::Trying);
        let end = CancellationToken::new();
        let task = Task {
            bind,
            wanted,
            options,
            told,
            end: end.clone(),
            asked: None,
        };
        Some((Self { state, end }, task.run()))
    }

    pub(super) fn state(&self) -> watch::Receiver<PortMapping> {
        self.state.clone()
    }

    /// The first port as others see it.
    pub(super) fn port(&self) -> Option<u16> {
        match *self.state.borrow() {
            PortMapping::Mapped { port, .. } => Some(port),
            _ => None,
        }
    }

    /// Closes what was opened, if the gateway answers soon.
    pub(super) async fn end(&self) {
        self.end.cancel();
        let mut state = self.state.clone();
        // The task itself gives up before.
        let over = state.wait_for(|state| *state == PortMapping::Off);
        let _ended = timeout(2 * GOODBYE, over).await;
    }
}

/// Somebody who was asked, and so may have opened something.
#[derive(Debug, Clone)]
enum Gateway {
    Pcp(Pcp),
    Upnp(Igd),
}

#[derive(Debug, Clone)]
struct Pcp {
    at: SocketAddrV4,
    bind: Ipv4Addr,
    ours: Ipv4Addr,
    nonce: [u8; 12],
    method: Method,
}

struct Task {
    bind: Ipv4Addr,
    wanted: Vec<Wanted>,
    options: PortMapOptions,
    told: watch::Sender<PortMapping>,
    end: CancellationToken,
    asked: Option<Gateway>,
}

impl Task {
    async fn run(mut self) {
        let end = self.end.clone();
        // What was begun and not finished is still in `asked`.
        tokio::select! {
            () = end.cancelled() => {}
            () = self.keep() => {}
        }
        if let Some(gateway) = self.asked.take() {
            let closed = timeout(GOODBYE, gateway.close(&self.wanted)).await;
            if closed.is_err() {
                tracing::debug!("the gateway does not say that the ports are closed");
            }
        }
        self.told.send_replace(PortMapping::Off);
    }

    /// Opens the ports and keeps them open.
    async fn keep(&mut self) {
        let mut wait = RETRY;
        loop {
            match self.open().await {
                Ok((by, granted)) => {
                    wait = RETRY;
                    self.told.send_replace(PortMapping::Mapped {
                        by,
                        port: granted.external,
                        address: granted.address,
                    });
                    let lifetime = granted.lifetime.min(LEASE);
                    sleep((Duration::from_secs(lifetime.into()) / 2).max(SOONEST)).await;
                }
                Err(why) => {
                    tracing::debug!(%why, "no port is mapped");
                    self.told.send_replace(PortMapping::Failed(why));
                    sleep(wait).await;
                    wait = (wait * 2).min(MAX_RETRY);
                }
            }
        }
    }

    /// Asks whoever was good the last time, else everybody in turn.
    async fn open(&mut self) -> Result<(Method, Granted), String> {
        if let Some(gateway) = &mut self.asked {
            match gateway.open(&mut self.wanted).await {
                Ok(opened) => return Ok(opened),
                Err(error) => tracing::debug!(%error, "the gateway does not renew"),
            }
            self.asked = None;
        }
        let first = match self.pcp().await {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        match self.upnp().await {
            Ok(opened) => Ok(opened),
            Err(PortError::NoGateway) => Err(format!("PCP and NAT-PMP: {first}")),
            Err(error) => Err(format!("PCP and NAT-PMP: {first}; UPnP: {error}")),
        }
    }

    async fn pcp(&mut self) -> Result<(Method, Granted), PortError> {
        let at = match self.options.gateway {
            Some(at) => at,
            None if self.bind.is_loopback() => return Err(PortError::NoGateway),
            None => {
                let found = gateway::default_gateway().await;
                SocketAddrV4::new(found.ok_or(PortError::NoGateway)?, pcp::PORT)
            }
        };
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let pcp = Pcp {
            at,
            bind: self.bind,
            ours: gateway::own_address(self.bind, (*at.ip(), at.port())).await?,
            nonce,
            method: Method::Pcp,
        };
        self.asked = Some(Gateway::Pcp(pcp));
        self.open_asked().await
    }

    async fn upnp(&mut self) -> Result<(Method, Granted), PortError> {
        let group = match self.options.upnp {
            Some(group) => group,
            None if self.bind.is_loopback() => return Err(PortError::NoGateway),
            None => GROUP,
        };
        let igd = Igd::find(self.bind, group).await?;
        self.asked = Some(Gateway::Upnp(igd));
        self.open_asked().await
    }

    async fn open_asked(&mut self) -> Result<(Method, Granted), PortError> {
        let Some(gateway) = &mut self.asked else {
            return Err(PortError::NoGateway);
        };
        let opened = gateway.open(&mut self.wanted).await;
        if opened.is_err() {
            self.asked = None;
        }
        opened
    }
}

impl Gateway {
    /// Opens or renews all ports. The first must succeed; what was granted for it,
    /// with the shortest lifetime of all.
    async fn open(&mut self, wanted: &mut [Wanted]) -> Result<(Method, Granted), PortError> {
        let mut opened: Option<(Method, Granted)> = None;
        for one in wanted.iter_mut() {
            let granted = match self {
                Self::Pcp(pcp) => pcp.open(*one, LEASE).await,
                Self::Upnp(igd) => open_upnp(igd, *one).await,
            };
            if let Ok(granted) = &granted {
                one.external = granted.external;
            }
            match (granted, &mut opened) {
                (Ok(granted), Some((_, first))) => {
                    first.lifetime = first.lifetime.min(granted.lifetime);
                }
                (Ok(granted), None) => opened = Some((self.method(), granted)),
                (Err(error), None) => return Err(error),
                (Err(error), Some(_)) => tracing::debug!(%error, port = one.port, "not mapped"),
            }
        }
        let (method, mut granted) = opened.ok_or(PortError::NoGateway)?;
        if granted.address.is_none() {
            granted.address = self.address().await;
        }
        Ok((method, granted))
    }

    fn method(&self) -> Method {
        match self {
            Self::Pcp(pcp) => pcp.method,
            Self::Upnp(_) => Method::Upnp,
        }
    }

    async fn address(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Pcp(pcp) if pcp.method == Method::NatPmp => {
                let read = |bytes: &[u8]| pcp::read_pmp_address(bytes).map(Some);
                let asked = pcp.ask(&pcp::PMP_ADDRESS, &ATTEMPTS, read).await;
                asked.ok().flatten()
            }
            Self::Pcp(_) => None,
            Self::Upnp(igd) => igd.address().await,
        }
    }

    /// Closes all ports; nothing more can be done about one that stays open.
    async fn close(mut self, wanted: &[Wanted]) {
        for one in wanted {
            let closed = match &mut self {
                Self::Pcp(pcp) => pcp.open(*one, 0).await.map(drop),
                Self::Upnp(igd) => igd.unmap(one.protocol, one.port).await.map_err(Into::into),
            };
            if let Err(error) = closed {
                tracing::debug!(%error, port = one.port, "the port stays open");
            }
        }
    }
}

async fn open_upnp(igd: &Igd, wanted: Wanted) -> Result<Granted, PortError> {
    igd.map(wanted.protocol, wanted.port, LEASE).await?;
    Ok(Granted {
        external: wanted.port,
        address: None,
        // One that is for ever is renewed all the same: the gateway may be restarted.
        lifetime: LEASE,
    })
}

impl Pcp {
    /// Opens, renews or, with a lifetime of 0, closes a port.
    async fn open(&mut self, wanted: Wanted, lifetime: u32) -> Result<Granted, PortError> {
        let request = Request {
            protocol: wanted.protocol,
            internal: wanted.port,
            external: if lifetime == 0 { 0 } else { wanted.external },
            lifetime,
        };
        if self.method == Method::Pcp {
            let bytes = request.pcp(self.ours, self.nonce);
            let read = |bytes: &[u8]| self.known(request.read_pcp(self.nonce, bytes));
            match self.ask(&bytes, &ATTEMPTS, read).await.flatten() {
                // Old gateways do not even say that they do not speak it.
                Err(PortError::OtherVersion(_) | PortError::Silent(_)) if lifetime > 0 => {
                    self.method = Method::NatPmp;
                }
                other => return other,
            }
        }
        let read = |bytes: &[u8]| self.known(request.read_pmp(bytes));
        self.ask(&request.pmp(), &ATTEMPTS, read).await.flatten()
    }

    fn known(&self, reply: Reply) -> Option<Result<Granted, PortError>> {
        match reply {
            Reply::Other => None,
            Reply::OtherVersion => Some(Err(PortError::OtherVersion(self.at))),
            Reply::Refused(result) => Some(Err(PortError::Refused {
                at: self.at,
                result,
            })),
            Reply::Granted(granted) => Some(Ok(granted)),
        }
    }

    /// Sends a request until a reply comes that `read` knows.
    async fn ask<T>(
        &self,
        request: &[u8],
        attempts: &[Duration],
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T, PortError> {
        let socket = UdpSocket::bind((self.bind, 0)).await?;
        // From now on only what comes from there is seen.
        socket.connect(self.at).await?;
        let mut packet = [0; MAX_REPLY];
        for wait in attempts {
            socket.send(request).await?;
            let until = Instant::now() + *wait;
            while let Ok(received) = timeout_at(until, socket.recv(&mut packet)).await {
                let length = match received {
                    Ok(length) => length,
                    // Nobody listens there.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                        return Err(PortError::Silent(self.at));
                    }
                    Err(error) => return Err(error.into()),
                };
                if let Some(known) = read(packet.get(..length).unwrap_or_default()) {
                    return Ok(known);
                }
            }
        }
        Err(PortError::Silent(self.at))
    }
}

/// Where the session is reached, beside its listener.
pub(super) fn wanted(listen: SocketAddr, tcp: bool, utp: bool, dht: Option<u16>) -> Vec<Wanted> {
    let port = listen.port();
    let ours = [
        tcp.then_some((Protocol::Tcp, port)),
        utp.then_some((Protocol::Udp, port)),
        dht.map(|port| (Protocol::Udp, port)),
    ];
    let ours = ours.into_iter().flatten();
    ours.map(|(protocol, port)| Wanted {
        protocol,
        port,
        external: port,
    })
    .collect()
}
