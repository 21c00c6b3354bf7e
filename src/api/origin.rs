//! Where a request may come from: names that this server answers to, and its own pages.
//! A page of another site must not steer it (cross-site requests), and must not give it a
//! name of its own (DNS rebinding).

use std::net::IpAddr;

use axum::http::{HeaderMap, Method, header};

/// Why a request is refused before anybody asks who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Foreign {
    /// It names no host.
    #[error("the request names no host")]
    NoHost,
    /// The host is none of ours.
    #[error("this server does not answer to the name `{0}`: start it with --host {0}")]
    Host(String),
    /// It is of a page of another site.
    #[error("pages of {0} may not call this server")]
    Page(String),
}

/// The names that the server answers to, besides IP addresses and `localhost`.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(pub(super) Vec<String>);

/// `host` or `host:port` without the port, in lower case.
fn host_of(text: &str) -> Option<String> {
    let host = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            if !(rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port)) {
                return None;
            }
            host
        }
        None => match text.split_once(':') {
            Some((host, port)) if is_port(port) => host,
            Some(_) => return None,
            None => text,
        },
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    (!host.is_empty()).then_some(host)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

impl Names {
    /// An IP address cannot be rebound: whoever names it means this server.
    fn has(&self, host: &str) -> bool {
        host.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.0.iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    /// Checks `Host`, `Origin` and `Sec-Fetch-Site`. `is_page`: what is asked for is a part
    /// of the page, which may be opened by a link on another site.
    pub(super) fn check(
        &self,
        method: &Method,
        headers: &HeaderMap,
        is_page: bool,
    ) -> Result<(), Foreign> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(Foreign::NoHost);
        };
        let text = host.to_str().unwrap_or("?");
        match host_of(text) {
            Some(name) if self.has(&name) => {}
            Some(name) => return Err(Foreign::Host(shown(&name))),
            None => return Err(Foreign::Host(shown(text))),
        }
        if let Some(origin) = headers.get(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or("?");
            // A page's own requests name the very host and port that they go to.
            let own = origin
                .split_once("://")
                .is_some_and(|(_, host)| host.eq_ignore_ascii_case(text));
            if !own {
                return Err(Foreign::Page(shown(origin)));
            }
        }
        let fetch = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match fetch("sec-fetch-site") {
            None | Some("same-origin" | "none") => Ok(()),
            Some(_)
                if is_page
                    && method == Method::GET
                    && fetch("sec-fetch-mode") == Some("navigate")
                    && fetch("sec-fetch-dest") == Some("document") =>
            {
                Ok(())
            }
            Some(site) => Err(Foreign::Page(format!("another site ({})", shown(site)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&str, &str)], is_page: bool) -> Result<(), Foreign> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: header::HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        Names(vec!["Nas.example".to_owned()]).check(&Method::GET, &map, is_page)
    }

    #[test]
    fn a_host_that_is_not_ours_is_refused() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:7080",
            "[::1]:7080",
            "[2001:db8::1]",
            "localhost",
            "LOCALHOST:7080",
            "a.localhost",
            "nas.example:7080",
            "nas.example.",
        ] {
            assert_eq!(check(&[("host", host)], false), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "nas.example.evil.example",
            "127.0.0.1.evil.example:7080",
            "localhost.evil.example",
            "nas",
            "127.0.0.1@evil.example",
            "127.0.0.1:7080:1",
            "[::1]evil",
            "",
        ] {
            assert!(check(&[("host", host)], false).is_err(), "{host}");
        }
    }

    #[test]
    fn a_request_without_one_host_is_refused() {
        assert_eq!(check(&[], false), Err(Foreign::NoHost));
        let two = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(check(&two, false), Err(Foreign::NoHost));
    }

    #[test]
    fn pages_of_other_sites_may_not_call() {
        let from = |origin| check(&[("host", "localhost:7080"), ("origin", origin)], false);
        assert_eq!(from("http://localhost:7080"), Ok(()));
        assert_eq!(from("https://localhost:7080"), Ok(()));
        for origin in [
            "http://localhost:7081",
            "http://localhost",
            "null",
            "https://evil.example",
            "http://evil.example/localhost:7080",
        ] {
            assert!(matches!(from(origin), Err(Foreign::Page(_))), "{origin}");
        }
    }

    #[test]
    fn what_a_browser_says_of_the_site_counts() {
        let site = |site| check(&[("host", "localhost"), ("sec-fetch-site", site)], false);
        assert_eq!(site("same-origin"), Ok(()));
        assert_eq!(site("none"), Ok(()));
        assert!(site("same-site").is_err());
        assert!(site("cross-site").is_err());
    }

    #[test]
    fn a_link_on_another_site_opens_the_page_and_nothing_else() {
        let link = [
            ("host", "localhost"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert_eq!(check(&link, true), Ok(()));
        assert!(check(&link, false).is_err());
        // In a frame it is no navigation of the user's.
        let mut frame = link;
        frame[3].1 = "iframe";
        assert!(check(&frame, true).is_err());
    }
}
