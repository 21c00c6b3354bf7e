//! A SOCKS5 proxy (RFC 1928) that everything of a session goes through, with or without a
//! name and a password (RFC 1929).

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use url::{Host, Url};

/// The version that each message begins with.
const VERSION: u8 = 5;
/// The version of the messages with a name and a password.
const LOGIN_VERSION: u8 = 1;
/// Nobody logs in.
const NO_LOGIN: u8 = 0;
/// With a name and a password.
const LOGIN: u8 = 2;
/// The command: connect.
const CONNECT: u8 = 1;
/// Kinds of addresses.
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
/// Bytes of a name, and of a password, at most.
const LONGEST: usize = 255;

/// A SOCKS5 proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: Host<String>,
    port: u16,
    user: Option<String>,
    password: String,
}

impl Proxy {
    /// The name that is logged in with, if there is one.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// With the password that belongs to its name.
    ///
    /// # Errors
    /// There is no name, or the password is empty or too long; a sentence.
    pub fn with_password(mut self, password: &str) -> Result<Self, String> {
        if self.user.is_none() {
            return Err("a proxy's password needs a name: socks5://USER@HOST:PORT".to_owned());
        }
        if !(1..=LONGEST).contains(&password.len()) {
            return Err(format!("a proxy's password has 1 to {LONGEST} bytes"));
        }
        password.clone_into(&mut self.password);
        Ok(self)
    }

    /// The same for the HTTP library: it resolves no name but that of the proxy.
    pub(super) fn for_http(&self) -> Result<reqwest::Proxy, reqwest::Error> {
        let proxy = reqwest::Proxy::all(format!("socks5h://{}:{}", self.host, self.port))?;
        Ok(match &self.user {
            Some(user) => proxy.basic_auth(user, &self.password),
            None => proxy,
        })
    }

    /// Whether this is the name of the proxy itself.
    pub(super) fn is_named(&self, name: &str) -> bool {
        matches!(&self.host, Host::Domain(own) if own.eq_ignore_ascii_case(name))
    }

    /// Connects to `to` by the proxy, which is connected to from `source`, if that is an
    /// address.
    ///
    /// # Errors
    /// The proxy cannot be reached, or does not connect; its reason.
    pub(super) async fn connect(&self, source: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
        let mut stream = self.reach(source).await?;
        self.greet(&mut stream).await?;
        request(&mut stream, to).await?;
        Ok(stream)
    }

    async fn reach(&self, source: IpAddr) -> io::Result<TcpStream> {
        let found: Vec<SocketAddr> = match &self.host {
            Host::Ipv4(ip) => vec![SocketAddr::new((*ip).into(), self.port)],
            Host::Ipv6(ip) => vec![SocketAddr::new((*ip).into(), self.port)],
            Host::Domain(name) => tokio::net::lookup_host((name.as_str(), self.port))
                .await?
                .collect(),
        };
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the proxy has no address");
        for addr in found {
            match open(source, addr).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn greet(&self, stream: &mut TcpStream) -> io::Result<()> {
        let ways: &[u8] = match self.user {
            Some(_) => &[VERSION, 2, NO_LOGIN, LOGIN],
            None => &[VERSION, 1, NO_LOGIN],
        };
        stream.write_all(ways).await?;
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await?;
        match (answer, &self.user) {
            ([VERSION, NO_LOGIN], _) => Ok(()),
            ([VERSION, LOGIN], Some(user)) => self.log_in(stream, user).await,
            ([VERSION, _], _) => Err(refused("the proxy wants another way to log in")),
            _ => Err(refused("it is no SOCKS5 proxy")),
        }
    }

    async fn log_in(&self, stream: &mut TcpStream, user: &str) -> io::Result<()> {
        let mut message = vec![LOGIN_VERSION];
        for text in [user, &self.password] {
            message.push(short(text.len())?);
            message.extend_from_slice(text.as_bytes());
        }
        stream.write_all(&message).await?;
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await?;
        match answer {
            [_, 0] => Ok(()),
            _ => Err(refused("the proxy refuses the name or the password")),
        }
    }
}

fn short(length: usize) -> io::Result<u8> {
    u8::try_from(length).map_err(|_| refused("the proxy's name or password is too long"))
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, why)
}

async fn open(source: IpAddr, addr: SocketAddr) -> io::Result<TcpStream> {
    if source.is_unspecified() {
        return TcpStream::connect(addr).await;
    }
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(addr).await
}

/// Asks the proxy to connect, and reads its answer to the last byte: what follows is the
/// peer's.
async fn request(stream: &mut TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut message = vec![VERSION, CONNECT, 0];
    match to.ip().to_canonical() {
        IpAddr::V4(ip) => {
            message.push(IPV4);
            message.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            message.push(IPV6);
            message.extend(ip.octets());
        }
    }
    message.extend(to.port().to_be_bytes());
    stream.write_all(&message).await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [version, status, _, kind] = head;
    if version != VERSION {
        return Err(refused("it is no SOCKS5 proxy"));
    }
    if let Some(why) = failure(status) {
        return Err(refused(why));
    }
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(stream.read_u8().await?),
        _ => return Err(refused("the proxy's answer makes no sense")),
    };
    // The address that it connects from, and a port: at most 257 bytes.
    let mut bound = vec![0; length + 2];
    stream.read_exact(&mut bound).await?;
    Ok(())
}

/// Why the proxy does not connect (RFC 1928, section 6).
fn failure(status: u8) -> Option<&'static str> {
    Some(match status {
        0 => return None,
        2 => "the proxy's rules do not allow it",
        3 => "the proxy does not reach the network",
        4 => "the proxy does not reach the host",
        5 => "the connection behind the proxy is refused",
        6 => "the proxy gave up waiting",
        7 => "the proxy does not connect",
        8 => "the proxy does not know such addresses",
        _ => "the proxy failed",
    })
}

impl FromStr for Proxy {
    type Err = String;

    /// `socks5://[USER@]HOST:PORT`; without a port it is 1080.
    fn from_str(text: &str) -> Result<Self, String> {
        // Never repeated: it may hold a password.
        let wrong = || "a proxy is written as socks5://[USER@]HOST:PORT".to_owned();
        let url = Url::parse(text).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "socks5" | "socks5h") {
            return Err(wrong());
        }
        if url.password().is_some() {
            return Err(
                "the proxy's password does not belong into its address, which other \
                        users of this machine can read: write it into a file"
                    .to_owned(),
            );
        }
        let plain = url.query().is_none() && url.fragment().is_none();
        if !plain || !matches!(url.path(), "" | "/") {
            return Err(wrong());
        }
        // Hosts of unknown schemes are not read as addresses.
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = Host::parse(host.ok_or_else(wrong)?).map_err(|_| wrong())?;
        let user = percent_decoded(url.username()).ok_or_else(wrong)?;
        if user.len() > LONGEST || url.port() == Some(0) {
            return Err(wrong());
        }
        Ok(Self {
            host,
            port: url.port().unwrap_or(1080),
            user: Some(user).filter(|user| !user.is_empty()),
            password: String::new(),
        })
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let (digits, behind) = after.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            digits
                .bytes()
                .all(|digit| digit.is_ascii_hexdigit())
                .then_some(())?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = behind;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socks5://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_a_password_in_it_refused() {
        let read = |text: &str| text.parse::<Proxy>();
        let proxy = read("socks5://me%40home@proxy.example:1081").unwrap();
        assert_eq!(proxy.to_string(), "socks5://proxy.example:1081");
        assert_eq!(proxy.user(), Some("me@home"));
        assert!(proxy.is_named("PROXY.example") && !proxy.is_named("example"));
        assert_eq!(
            read("socks5h://[::1]").unwrap().to_string(),
            "socks5://[::1]:1080"
        );
        assert!(matches!(
            read("socks5://127.0.0.1").unwrap().host,
            Host::Ipv4(_)
        ));
        let told = read("socks5://me:hush@proxy.example").unwrap_err();
        assert!(told.contains("write it into a file") && !told.contains("hush"));
        let long = format!("socks5://{}@a", "x".repeat(256));
        for wrong in [
            "",
            "127.0.0.1:1080",
            "http://127.0.0.1:1080",
            "socks5://",
            "socks5://a:0",
            "socks5://a/path",
            "socks5://a?b",
            "socks5://%zz@a",
            "socks5://%ff@a",
            &long,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_bounded_and_never_shown() {
        let proxy: Proxy = "socks5://me@a".parse().unwrap();
        assert!(proxy.clone().with_password("").is_err());
        assert!(proxy.clone().with_password(&"x".repeat(256)).is_err());
        let proxy = proxy.with_password(&"x".repeat(255)).unwrap();
        assert_eq!(format!("{proxy:?}"), "Proxy(socks5://a:1080)");
        let nobody: Proxy = "socks5://a".parse().unwrap();
        assert!(nobody.with_password("secret").is_err());
    }
}
