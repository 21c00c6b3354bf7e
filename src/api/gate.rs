//! Who sent a request (the header `Authorization`, a cookie, or the socket), and whether it may
//! do what it asks for.

use std::{net::IpAddr, time::Instant};

use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;

use super::{
    answer::Refusal,
    caller::{By, Caller},
    config::Network,
    password::Checked,
    scope::{Scope, Scopes},
    sessions::Kind,
    site::Site,
};

/// The name of the only user.
pub(super) const USER: &str = "admin";
/// The cookie of qBittorrent's API, whose name its clients know.
pub(super) const QBITTORRENT_COOKIE: &str = "SID";
/// The header by which a command on the socket asks for `money`.
const SCOPES_HEADER: &str = "seedrail-scopes";
/// The header with the confirmation of a payment.
const CONFIRM_HEADER: &str = "seedrail-confirm";

/// Which API is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// `/`, `/api/v1`, `/metrics` and the like.
    Own,
    /// `/api/v2`.
    Qbittorrent,
    /// `/transmission/rpc`.
    Transmission,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// Over TCP.
    Tcp {
        /// The other end.
        address: IpAddr,
        /// It speaks TLS with us.
        tls: bool,
    },
    /// Over the socket, by the same user.
    Socket,
}

/// The address of whoever asks, and whether the way to it is encrypted: as the connection
/// has it, or as a trusted proxy says.
pub(super) fn from(peer: Peer, headers: &HeaderMap, proxies: &[Network]) -> (Option<IpAddr>, bool) {
    let Peer::Tcp { address, tls } = peer else {
        return (None, false);
    };
    let mut address = address.to_canonical();
    let trusted = |address: IpAddr| proxies.iter().any(|proxy| proxy.contains(address));
    if !trusted(address) {
        return (Some(address), tls);
    }
    let https = headers
        .get("x-forwarded-proto")
        .is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
    let forwarded: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    // The last one was written by the proxy that we talk to; what stands before the first
    // that is no proxy of ours, anybody may have written.
    for hop in forwarded.iter().rev() {
        let Ok(hop) = hop.trim().parse::<IpAddr>() else {
            break;
        };
        address = hop.to_canonical();
        if !trusted(address) {
            break;
        }
    }
    (Some(address), tls || https)
}

/// The value of a cookie.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// User and password of `Authorization: Basic`.
fn basic(text: &str) -> Option<(String, String)> {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text.trim())
        .ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// What a name and a password open.
pub(super) async fn log_in(
    site: &Site,
    address: Option<IpAddr>,
    user: &str,
    password: &str,
) -> Result<Scopes, Refusal> {
    let wrong = || {
        if let Some(address) = address {
            site.bans.failed(address, Instant::now());
        }
        Refusal::new(
            StatusCode::UNAUTHORIZED,
            "wrong_password",
            "the user name or the password is wrong",
        )
    };
    // A token takes the password's place in programs that have no field for it.
    if let Some(scopes) = site.tokens.scopes(password) {
        return Ok(scopes.without_money());
    }
    let banned = || {
        let left = site.bans.left(address?, Instant::now())?;
        Some(Refusal::later(
            StatusCode::FORBIDDEN,
            "banned",
            "too many wrong passwords came from this address: wait, or use a token",
            left,
        ))
    };
    if let Some(refusal) = banned() {
        return Err(refusal);
    }
    if user != USER {
        return Err(wrong());
    }
    match site.password.check(password).await {
        // Others may have failed meanwhile.
        Checked::Right => banned().map_or(Ok(Scopes::NO_MONEY), Err),
        Checked::Wrong => Err(wrong()),
        Checked::Busy => Err(Refusal::later(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "too many passwords are being checked",
            std::time::Duration::from_secs(1),
        )),
    }
}

/// Who sent a request. What is shown and wrong is refused; showing nothing is not.
pub(super) async fn identify(
    site: &Site,
    door: Door,
    peer: Peer,
    address: Option<IpAddr>,
    headers: &HeaderMap,
) -> Result<Caller, Refusal> {
    let caller = shown(site, door, peer, address, headers).await?;
    // Programs of the old APIs are many, and none of them knows of money.
    Ok(match door {
        Door::Own => caller,
        Door::Qbittorrent | Door::Transmission => Caller {
            scopes: caller.scopes.without_money(),
            ..caller
        },
    })
}

async fn shown(
    site: &Site,
    door: Door,
    peer: Peer,
    address: Option<IpAddr>,
    headers: &HeaderMap,
) -> Result<Caller, Refusal> {
    if peer == Peer::Socket {
        let money = headers
            .get(SCOPES_HEADER)
            .is_some_and(|value| value == "money");
        let scopes = Scopes {
            money,
            ..Scopes::NO_MONEY
        };
        return Ok(Caller {
            by: By::Socket,
            scopes,
        });
    }
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let value = value.to_str().unwrap_or_default();
        let (kind, rest) = value.split_once(' ').unwrap_or((value, ""));
        if kind.eq_ignore_ascii_case("bearer") {
            if let Some(scopes) = site.tokens.scopes(rest.trim()) {
                return Ok(Caller {
                    by: By::Token,
                    scopes,
                });
            }
            if let Some(address) = address {
                site.bans.failed(address, Instant::now());
            }
            return Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "wrong_token",
                "there is no such token",
            ));
        }
        if kind.eq_ignore_ascii_case("basic")
            && let Some((user, password)) = basic(rest)
        {
            let scopes = log_in(site, address, &user, &password).await?;
            return Ok(Caller {
                by: By::Password,
                scopes,
            });
        }
        return Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "wrong_token",
            "the header Authorization is neither `Bearer TOKEN` nor `Basic …`",
        ));
    }
    let (name, kind) = match door {
        Door::Own => (site.cookie.as_str(), Kind::Page),
        Door::Qbittorrent => (QBITTORRENT_COOKIE, Kind::Qbittorrent),
        Door::Transmission => return Ok(Caller::NOBODY),
    };
    let session =
        cookie(headers, name).and_then(|cookie| site.sessions.find(cookie, kind, Instant::now()));
    Ok(match session {
        None => Caller::NOBODY,
        Some((id, scopes)) => Caller {
            by: match kind {
                Kind::Page => By::Page(id),
                Kind::Qbittorrent => By::Qbittorrent(id),
            },
            scopes,
        },
    })
}

/// Whether the caller may do this.
pub(super) fn allow(
    site: &Site,
    caller: &Caller,
    scope: Scope,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    if caller.by == By::Nothing {
        return Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "log_in",
            "log in first, or send a token",
        ));
    }
    if caller.scopes.has(scope) {
        return Ok(());
    }
    if let (By::Page(id), Scope::Money) = (&caller.by, scope) {
        let code = headers
            .get(CONFIRM_HEADER)
            .and_then(|value| value.to_str().ok());
        let confirmed =
            code.is_some_and(|code| site.sessions.take_confirmation(id, code, Instant::now()));
        return match confirmed {
            true => Ok(()),
            false => Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "confirm",
                "money is moved only after the password of admin was given again",
            )),
        };
    }
    let name = match scope {
        Scope::Read => "read",
        Scope::Torrents => "torrents",
        Scope::Money => "money",
    };
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        "scope",
        format!("this needs the scope `{name}`"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(peer: &str, list: &[&str], proxies: &[&str]) -> (Option<IpAddr>, bool) {
        let mut headers = HeaderMap::new();
        for value in list {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        headers.insert("x-forwarded-proto", "https".parse().unwrap());
        let proxies: Vec<Network> = proxies.iter().map(|text| text.parse().unwrap()).collect();
        let address = peer.parse().unwrap();
        from(
            Peer::Tcp {
                address,
                tls: false,
            },
            &headers,
            &proxies,
        )
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_whom_it_speaks_for() {
        let is = |text: &str, https| (Some(text.parse().unwrap()), https);
        assert_eq!(
            forwarded("203.0.113.1", &["10.0.0.9"], &[]),
            is("203.0.113.1", false)
        );
        let proxies = ["10.0.0.0/8"];
        let asked = |list: &[&str]| forwarded("10.0.0.1", list, &proxies);
        assert_eq!(asked(&[]), is("10.0.0.1", true));
        assert_eq!(asked(&["203.0.113.7"]), is("203.0.113.7", true));
        // What the client itself wrote in front is not believed.
        assert_eq!(asked(&["192.0.2.1, 203.0.113.7"]), is("203.0.113.7", true));
        assert_eq!(
            asked(&["192.0.2.1", "203.0.113.7, 10.0.0.2"]),
            is("203.0.113.7", true)
        );
        assert_eq!(asked(&["203.0.113.7, nonsense"]), is("10.0.0.1", true));
        assert_eq!(
            forwarded("192.0.2.1", &["10.0.0.9"], &proxies),
            is("192.0.2.1", false)
        );
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "XSID=1; SID=2;a=b".parse().unwrap());
        headers.append(header::COOKIE, "other=3".parse().unwrap());
        assert_eq!(cookie(&headers, "SID"), Some("2"));
        assert_eq!(cookie(&headers, "other"), Some("3"));
        assert_eq!(cookie(&headers, "ID"), None);
    }
}
