//! How a server is set up, and why it cannot be.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

/// How a server is set up.
#[derive(Debug, Clone, Default)]
pub struct ApiConfig {
    /// Where browsers and programs connect; `None`: nowhere over TCP.
    pub listen: Option<SocketAddr>,
    /// A Unix socket for commands of the same user. It is made with mode 0600; one that a
    /// server left behind is replaced.
    pub socket: Option<PathBuf>,
    /// The file with the password of `admin`, or its argon2id hash; `None`: nobody logs in
    /// with a password.
    pub password_file: Option<PathBuf>,
    /// The file with the tokens. It is made at the first start.
    pub tokens_file: PathBuf,
    /// Names that the server answers to, besides IP addresses and `localhost`.
    pub hosts: Vec<String>,
    /// The path that the server's own paths begin with, as `/seedrail`; empty: none.
    pub prefix: String,
    /// Reverse proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<Network>,
    /// Listens beyond this machine without encryption.
    pub allow_plain_http: bool,
    /// The certificate to speak TLS with; `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
}

/// A certificate and its key, in PEM files.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, and those that lead to its issuer.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// IP addresses that begin alike: `10.0.0.0/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                u32::from(own) & mask == u32::from(other) & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                u128::from(own) & mask == u128::from(other) & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let bad = || ApiError::Network(text.chars().take(80).collect());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().map_err(|_| bad())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most {
            return Err(bad());
        }
        Ok(Self { address, bits })
    }
}

/// Why a server cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Passwords and tokens would cross the network for everybody to read.
    #[error(
        "{0} can be reached from other machines, and plain HTTP shows passwords to everybody on the way: listen on 127.0.0.1, give a certificate, name a trusted proxy, or say --allow-plain-http"
    )]
    PlainHttp(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot make the socket {}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another server answers on the socket.
    #[error("another program answers at {}: it is running already", .0.display())]
    Running(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file with the tokens is not as it should be.
    #[error("the file of tokens {}: {why}", path.display())]
    Tokens {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A password that is too short or too long.
    #[error("a password has at least 8 characters and at most 1,024 bytes")]
    BadPassword,
    /// A hash that cannot be made or read.
    #[error("the hash of the password: {0}")]
    Hash(String),
    /// The system gives no random numbers.
    #[error("the system's random number generator failed")]
    Random(#[source] io::Error),
    /// A prefix that no path begins with.
    #[error(
        "`{0}` is not a path prefix: it must begin with / and contain only letters, digits, -, _ and ."
    )]
    Prefix(String),
    /// An address range that is none.
    #[error("`{0}` is neither an IP address nor a range such as 10.0.0.0/8")]
    Network(String),
    /// The certificate or its key cannot be used.
    #[error("the certificate {}: {why}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl ApiConfig {
    /// What can be said without touching anything.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        if let Some(listen) = self.listen
            && !listen.ip().to_canonical().is_loopback()
            && self.tls.is_none()
            && self.trusted_proxies.is_empty()
            && !self.allow_plain_http
        {
            return Err(ApiError::PlainHttp(listen));
        }
        let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let good = self.prefix.is_empty()
            || self.prefix.strip_prefix('/').is_some_and(|rest| {
                rest.split('/').all(|part| {
                    !part.is_empty()
                        && part.chars().all(letter)
                        && !part.trim_matches('.').is_empty()
                })
            });
        match good {
            true => Ok(()),
            false => Err(ApiError::Prefix(self.prefix.chars().take(80).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(address: &str) -> ApiConfig {
        ApiConfig {
            listen: Some(address.parse().unwrap()),
            ..ApiConfig::default()
        }
    }

    #[test]
    fn beyond_this_machine_nothing_is_served_in_the_clear_unasked() {
        for address in ["127.0.0.1:7080", "127.9.9.9:1", "[::1]:7080"] {
            assert!(listening(address).check().is_ok(), "{address}");
        }
        for address in ["0.0.0.0:7080", "192.168.1.7:7080", "[::]:7080"] {
            let mut config = listening(address);
            assert!(matches!(config.check(), Err(ApiError::PlainHttp(_))));
            config.allow_plain_http = true;
            assert!(config.check().is_ok());
            config.allow_plain_http = false;
            config.trusted_proxies = vec!["10.0.0.1".parse().unwrap()];
            assert!(config.check().is_ok());
            config.trusted_proxies.clear();
            config.tls = Some(TlsFiles {
                certificate: PathBuf::new(),
                key: PathBuf::new(),
            });
            assert!(config.check().is_ok());
        }
    }

    #[test]
    fn a_prefix_is_a_path() {
        let with = |prefix: &str| {
            let prefix = prefix.to_owned();
            ApiConfig {
                prefix,
                ..ApiConfig::default()
            }
            .check()
            .is_ok()
        };
        for good in ["", "/seedrail", "/a/b-c_d.e"] {
            assert!(with(good), "{good}");
        }
        for bad in [
            "/", "seedrail", "/a/", "//a", "/a b", "/a/../b", "/.", "/a\"b", "/a?b",
        ] {
            assert!(!with(bad), "{bad}");
        }
    }

    #[test]
    fn a_network_holds_what_begins_alike() {
        let has = |network: &str, address: &str| {
            let network: Network = network.parse().unwrap();
            network.contains(address.parse().unwrap())
        };
        assert!(has("10.0.0.0/8", "10.255.0.1"));
        assert!(has("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("192.0.2.7", "192.0.2.7"));
        assert!(!has("192.0.2.7", "192.0.2.6"));
        assert!(has("0.0.0.0/0", "203.0.113.9"));
        assert!(!has("0.0.0.0/0", "2001:db8::1"));
        assert!(has("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(has("::/0", "2001:db8::1"));
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "::/129",
            "host",
            "10.0.0/8",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
