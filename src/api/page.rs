//! The page: files of this program, nothing from anywhere else.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

use super::{answer::with_type, request::Call};

/// A file of the page.
#[derive(Debug)]
pub(super) struct File {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal $kind:ident $name:literal),+ $(,)?) => {
        &[$(File {
            path: $path,
            kind: $kind,
            text: include_str!(concat!("page/", $name)),
        }),+]
    };
}

/// All files. Their paths are relative to the page's own, so that it works behind any prefix.
const FILES: &[File] = files![
    "/" HTML "index.html",
    "/page/style.css" CSS "style.css",
    "/page/icon.svg" SVG "icon.svg",
    "/page/main.js" JS "main.js",
    "/page/api.js" JS "api.js",
    "/page/dom.js" JS "dom.js",
    "/page/format.js" JS "format.js",
    "/page/store.js" JS "store.js",
    "/page/table.js" JS "table.js",
    "/page/qr.js" JS "qr.js",
    "/page/overview.js" JS "overview.js",
    "/page/torrents.js" JS "torrents.js",
    "/page/torrent.js" JS "torrent.js",
    "/page/people.js" JS "people.js",
    "/page/money.js" JS "money.js",
    "/page/wallet.js" JS "wallet.js",
    "/page/settings.js" JS "settings.js",
    "/page/log.js" JS "log.js",
];

/// The file at a path.
pub(super) fn find(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

/// The tag of this program's files: they change with its version alone, and in a build of
/// the same version by their length.
fn tag(file: &File) -> String {
    format!(
        "\"{}-{:x}\"",
        env!("CARGO_PKG_VERSION"),
        fingerprint(file.text)
    )
}

/// FNV-1a, to tell two texts of one program apart.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

pub(super) fn answer(file: &File, call: &Call<'_>) -> Response {
    let tag = tag(file);
    let known = call
        .headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = match known {
        true => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        false => with_type(StatusCode::OK, file.kind, file.text),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_page_has_less_than_80_kib_compressed() {
        let mut all = 0;
        for file in FILES {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(file.text.as_bytes()).unwrap();
            all += encoder.finish().unwrap().len();
        }
        assert!(all < 80 << 10, "{all} bytes");
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere_and_no_script_inside() {
        for file in FILES {
            for (number, line) in file.text.lines().enumerate() {
                let outside = line
                    .match_indices("//")
                    .filter(|(at, _)| {
                        line[..*at].ends_with("http:") || line[..*at].ends_with("https:")
                    })
                    .filter(|(at, _)| !line[*at..].starts_with("//www.w3.org/"))
                    .count();
                assert_eq!(outside, 0, "{}:{}: {line}", file.path, number + 1);
            }
        }
        let html = find("/").unwrap().text;
        assert_eq!(
            html.matches("<script").count(),
            html.matches("<script type=\"module\" src=\"page/main.js\"></script>")
                .count()
        );
        assert!(!html.contains("style=") && !html.contains("<style"));
        assert!(!html.contains(" on") || !html.contains("onclick"));
    }

    #[test]
    fn every_import_is_a_file_of_the_page() {
        let mut seen = 0;
        for file in FILES {
            for line in file.text.lines().filter(|line| line.contains(" from './")) {
                let name = line
                    .split("'./")
                    .nth(1)
                    .unwrap()
                    .split('\'')
                    .next()
                    .unwrap();
                assert!(
                    find(&format!("/page/{name}")).is_some(),
                    "{}: {line}",
                    file.path
                );
                seen += 1;
            }
        }
        assert!(seen > 10, "only {seen} imports were found");
    }
}
