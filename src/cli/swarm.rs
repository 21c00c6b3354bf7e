//! What `seed` and `get` have in common.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, ValueEnum};

use super::{
    Context,
    failure::{Failure, Outcome},
    settings::read_secret,
    source::Way,
    units::Rate,
};
use crate::{
    client::{Binding, ClientConfig},
    swarm::{
        self, Session, SessionBuilder, SessionError,
        dht::{DhtOptions, WELL_KNOWN},
        interface::BindTo,
        ports::PortMapOptions,
        proxy::Proxy,
    },
};

/// How long what is due may take to be settled when a session ends.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// How often figures are shown.
pub(super) const SHOW_EVERY: Duration = Duration::from_millis(500);

/// Flags of every swarm session.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connections")]
pub(crate) struct SwarmFlags {
    /// Address and port to listen on for peers; port 0 takes a free one. Default: all
    /// addresses, IPv4 and IPv6, and always the same port.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Address, or network interface by its name, that everything is sent from: to peers,
    /// trackers, DHT nodes and web seeds. Without an address there, nothing is sent.
    #[arg(long, value_name = "ADDR|INTERFACE")]
    bind: Option<BindTo>,
    /// SOCKS5 proxy for everything, for example socks5://127.0.0.1:1080: peers, HTTP trackers
    /// and web seeds. The proxy resolves names. What cannot go through it is off: the DHT, UDP
    /// trackers, uTP, the local network, the router's port, incoming connections.
    #[arg(long, value_name = "URL")]
    proxy: Option<Proxy>,
    /// File with the password of the proxy's user, who is named in its URL.
    #[arg(long, value_name = "FILE")]
    proxy_password_file: Option<PathBuf>,
    /// Peer to connect to, as HOST:PORT; may be repeated.
    #[arg(long, value_name = "PEER", value_parser = node)]
    peer: Vec<String>,
    /// Upload limit.
    #[arg(long, value_name = "RATE")]
    up_limit: Option<Rate>,
    /// Download limit.
    #[arg(long, value_name = "RATE")]
    down_limit: Option<Rate>,
    /// Encrypt connections: when the peer wants it, whenever it can, or always.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    encryption: Encryption,
    /// Disable uTP.
    #[arg(long)]
    no_utp: bool,
    /// Disable TCP between peers: they are reached by uTP alone.
    #[arg(long, conflicts_with = "no_utp")]
    no_tcp: bool,
    /// First node of the distributed hash table (DHT), besides the well-known ones, as
    /// HOST:PORT; may be repeated.
    #[arg(long, value_name = "NODE", value_parser = node)]
    dht_node: Vec<String>,
    /// Disable the distributed hash table (DHT).
    #[arg(long, conflicts_with = "dht_node")]
    no_dht: bool,
    /// Disable the search for peers in the local network.
    #[arg(long)]
    no_lsd: bool,
    /// Do not open a port on the router.
    #[arg(long)]
    no_port_map: bool,
}

/// `HOST:PORT`.
fn node(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').and_then(|(host, port)| {
        let port: u16 = port.parse().ok()?;
        (!host.is_empty() && port != 0).then_some(port)
    });
    port.map(|_| text.to_owned())
        .ok_or_else(|| format!("`{text}` is not HOST:PORT"))
}

/// As [`swarm::Encryption`].
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Encryption {
    #[default]
    Accept,
    Prefer,
    Require,
}

impl From<Encryption> for swarm::Encryption {
    fn from(wanted: Encryption) -> Self {
        match wanted {
            Encryption::Accept => Self::Accept,
            Encryption::Prefer => Self::Prefer,
            Encryption::Require => Self::Require,
        }
    }
}

impl SwarmFlags {
    fn dht(&self, context: &Context) -> Option<DhtOptions> {
        if self.no_dht {
            return None;
        }
        let mut nodes = self.dht_node.clone();
        // From loopback nobody out there is reached.
        if !self.source().is_some_and(|ip| ip.is_loopback()) {
            nodes.extend(WELL_KNOWN.map(str::to_owned));
        }
        let state = Some(context.settings.home.join("swarm/dht-nodes"));
        Some(DhtOptions { nodes, state })
    }

    /// Where to try to listen, in order.
    fn places(&self, kept: Option<u16>) -> Vec<SocketAddr> {
        if let Some(listen) = self.listen {
            return vec![listen];
        }
        if self.bind.is_some() {
            // Its address is found where it is needed.
            let ports = kept.into_iter().chain([0]);
            let place = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            return ports.map(place).collect();
        }
        let both = |port| {
            [
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
                // A system without IPv6.
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
            ]
        };
        let ports = kept.into_iter().chain([0]);
        ports.flat_map(both).collect()
    }

    /// Refuses flags that contradict each other.
    pub(super) fn check(&self) -> Outcome {
        if self.proxy.is_none() && self.proxy_password_file.is_some() {
            return Err(Failure::usage("--proxy-password-file goes with --proxy"));
        }
        if self.proxy.is_some() && self.listen.is_some() {
            return Err(Failure::usage(
                "--listen does not go with --proxy: others cannot connect through it",
            ));
        }
        match (&self.bind, self.listen) {
            (Some(_), Some(listen)) if !listen.ip().is_unspecified() => Err(Failure::usage(
                "--bind says the address: --listen can only give the port beside it",
            )
            .hint(format!("write --listen 0.0.0.0:{}", listen.port()))),
            _ => Ok(()),
        }
    }

    /// The address that everything is sent from, as far as it was chosen; none: what was
    /// chosen has no address now.
    pub(super) fn source(&self) -> Option<IpAddr> {
        match &self.bind {
            Some(bind) => bind.find(),
            None => Some(
                self.listen
                    .map_or(Ipv6Addr::UNSPECIFIED.into(), |listen| listen.ip()),
            ),
        }
    }

    /// The proxy that everything goes through, with its password.
    pub(super) fn proxy(&self) -> Outcome<Option<Proxy>> {
        let Some(proxy) = &self.proxy else {
            return Ok(None);
        };
        let Some(path) = &self.proxy_password_file else {
            return match proxy.user() {
                Some(_) => Err(Failure::usage("the proxy's user has a password")
                    .hint("write it into a file, and give --proxy-password-file FILE")),
                None => Ok(Some(proxy.clone())),
            };
        };
        let text = read_secret(path)?;
        let proxy = proxy
            .clone()
            .with_password(text.trim_end_matches(['\r', '\n']));
        proxy.map(Some).map_err(Failure::usage)
    }

    /// How what is named by a URL is fetched.
    pub(super) fn way(&self) -> Outcome<Way> {
        Ok(Way {
            from: self.source(),
            proxy: self.proxy()?,
        })
    }

    /// The limits that were said, up and down.
    pub(super) fn limits(&self) -> [Option<u64>; 2] {
        [self.up_limit, self.down_limit].map(|rate| rate.map(|rate| rate.0))
    }

    /// The addresses of the peers that were named.
    pub(super) async fn peers(&self) -> Outcome<Vec<SocketAddr>> {
        let mut all = Vec::new();
        for peer in &self.peer {
            if self.proxy.is_some() && peer.parse::<SocketAddr>().is_err() {
                return Err(Failure::usage(format!(
                    "with --proxy, the peer {peer} must be an address: looking its name up \
                     would go around the proxy"
                )));
            }
            let found = tokio::net::lookup_host(peer).await;
            let found = found.map_err(|error| {
                Failure::failed("peer", format!("cannot find the peer {peer}: {error}"))
            })?;
            all.extend(found);
        }
        Ok(all)
    }

    /// Settings for a client that puts torrents into `folder`, and where it may listen: the
    /// port that was given, or the home's, or a free one. `paid_share` is percent of a limited
    /// upload.
    pub(super) fn for_client(
        &self,
        context: &Context,
        paid_share: u8,
        folder: PathBuf,
    ) -> Outcome<ClientConfig> {
        let places = self.places(KeptPort::new(context).port);
        let first = places.first().copied();
        let first = first.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        let proxy = self.proxy()?;
        if let Some(proxy) = &proxy {
            context.out.note(format!(
                "everything goes through the proxy {proxy}; off are the DHT, UDP trackers, uTP, \
                 the local network, the router's port and incoming connections"
            ));
        }
        let session = self.builder(context, paid_share, first).proxy(proxy);
        let mut config = ClientConfig::new(session, folder);
        config.places = places;
        config.binding = self.bind.clone().map(Binding::new);
        config.grace = GRACE;
        Ok(config)
    }

    /// Keeps the port that a client listens at.
    pub(super) fn keep_port(&self, context: &Context, listen: SocketAddr) {
        // Without an address it listens nowhere.
        if self.proxy.is_some() {
            return;
        }
        let is_there = self.bind.is_none() || self.source() == Some(listen.ip());
        if self.listen.is_none() && is_there {
            KeptPort::new(context).keep(context, listen);
        }
    }

    fn builder(&self, context: &Context, paid_share: u8, listen: SocketAddr) -> SessionBuilder {
        Session::builder()
            .listen(listen)
            .up_limit(self.up_limit.map(|rate| rate.0))
            .down_limit(self.down_limit.map(|rate| rate.0))
            .encryption(self.encryption.into())
            .transports(!self.no_tcp, !self.no_utp)
            .dht(self.dht(context))
            // At loopback nobody would hear.
            .lsd(!self.no_lsd && !listen.ip().is_loopback())
            .port_map((!self.no_port_map).then(PortMapOptions::default))
            .paid_share(paid_share)
            .state_dir(state_folder(context))
            .grace(GRACE)
    }
}

/// Where a home's sessions keep what is verified.
pub(super) fn state_folder(context: &Context) -> PathBuf {
    context.settings.home.join("swarm")
}

/// The port that a home's sessions listen at, so that a rule of a router or firewall
/// stays right.
struct KeptPort {
    file: PathBuf,
    port: Option<u16>,
}

impl KeptPort {
    fn new(context: &Context) -> Self {
        let file = context.settings.home.join("swarm/port");
        let text = std::fs::read_to_string(&file).ok();
        let port = text.and_then(|text| text.trim().parse().ok());
        Self {
            file,
            port: port.filter(|port| *port != 0),
        }
    }

    /// Keeps the first port; tells when another one had to be taken.
    fn keep(&self, context: &Context, listen: SocketAddr) {
        match self.port {
            Some(port) if port == listen.port() => {}
            Some(port) => context.out.note(format!(
                "port {port} of this home is in use; listening at port {} this time",
                listen.port()
            )),
            None => {
                let folder = self.file.parent().unwrap_or(&self.file);
                let kept = std::fs::create_dir_all(folder)
                    .and_then(|()| std::fs::write(&self.file, format!("{}\n", listen.port())));
                if let Err(error) = kept {
                    tracing::warn!(path = %self.file.display(), %error, "the port is not kept");
                }
            }
        }
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        let code = match &error {
            SessionError::Bind { .. } => "listen",
            SessionError::Content { .. } => "file",
            _ => "session",
        };
        Self::failed(code, error)
    }
}
