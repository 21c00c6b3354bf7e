//! Who may ask: programs of this machine and its network, and pages of known origin.
//! A page of any other site must not steer a devnet that runs beside it.

use axum::http::{HeaderMap, header};

/// The origins of pages that may call the node, beside those of this machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins(pub(crate) Vec<String>);

/// The host of `scheme://host:port` or `host:port`, without its port.
fn host(text: &str) -> &str {
    let host = text.split_once("://").map_or(text, |(_, rest)| rest);
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.rsplit_once(':').map_or(host, |(host, _)| host)
}

/// Names that only this machine or its own network resolves: a site cannot point one
/// at 127.0.0.1 (DNS rebinding).
fn is_near(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let private = [".localhost", ".local", ".internal", ".test"];
    host.parse::<std::net::IpAddr>().is_ok()
        || !host.contains('.')
        || private.iter().any(|end| host.ends_with(end))
}

/// Whether pages of this origin are of this machine.
fn is_own(origin: &str) -> bool {
    let host = host(origin);
    let address = host.parse::<std::net::IpAddr>();
    origin.starts_with("http")
        && (address.is_ok_and(|address| address.is_loopback())
            || host == "localhost"
            || host.ends_with(".localhost"))
}

impl Origins {
    fn lets(&self, origin: &str) -> bool {
        is_own(origin) || self.0.iter().any(|known| known == "*" || known == origin)
    }

    /// What is wrong with where a request comes from; else the origin that its answer is
    /// for, if it is a page's.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<Option<String>, String> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        if let Some(asked) = text(header::HOST)
            && !is_near(host(asked))
            && !self
                .0
                .iter()
                .any(|known| known == "*" || host(known) == host(asked))
        {
            return Err(format!(
                "this devnet does not answer to the name `{}`: start it with --allow-origin http://{}",
                cut(host(asked)),
                cut(asked)
            ));
        }
        match text(header::ORIGIN) {
            None => Ok(None),
            Some(origin) if self.lets(origin) => Ok(Some(origin.to_owned())),
            Some(origin) => Err(format!(
                "pages of {0} may not call this devnet: start it with --allow-origin {0}",
                cut(origin)
            )),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(origins: &[&str], host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        let origins = Origins(origins.iter().map(ToString::to_string).collect());
        origins.check(&headers).is_ok()
    }

    #[test]
    fn pages_of_other_sites_and_names_that_they_rebind_are_refused() {
        for host in [
            "127.0.0.1:9090",
            "localhost:9090",
            "[::1]:9090",
            "devnet:9090",
            "192.168.1.7",
            "host.docker.internal:9090",
        ] {
            assert!(asked(&[], host, None), "{host}");
        }
        for host in [
            "evil.example:9090",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
        ] {
            assert!(!asked(&[], host, None), "{host}");
        }
        for origin in [
            "http://localhost:3000",
            "http://127.0.0.1:5173",
            "https://[::1]:1",
        ] {
            assert!(asked(&[], "localhost", Some(origin)), "{origin}");
        }
        for origin in [
            "https://evil.example",
            "null",
            "http://localhost.evil.example",
            "http://192.168.1.9",
            "file://localhost",
            "http://127.0.0.1@evil.example",
        ] {
            assert!(!asked(&[], "localhost", Some(origin)), "{origin}");
            assert!(asked(&[origin], "localhost", Some(origin)), "{origin}");
            assert!(asked(&["*"], "localhost", Some(origin)), "{origin}");
        }
        assert!(asked(
            &["http://node.example:9090"],
            "node.example:9090",
            None
        ));
    }
}
