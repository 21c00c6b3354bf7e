//! What a web seed may answer to a request for a range. Pure.

use reqwest::{
    StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, RETRY_AFTER},
};

/// The longest pause that a web seed may ask for.
const MAX_PAUSE_SECONDS: u64 = 3600;

/// Why an answer is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It may be of use later; after so many seconds, if it says so.
    Later(Option<u64>, String),
    /// It will never be.
    Never(String),
}

/// Whether an answer brings the bytes of a file of `length` bytes from `from` on.
///
/// # Errors
/// It does not.
pub(super) fn check(
    status: StatusCode,
    headers: &HeaderMap,
    from: u64,
    length: u64,
) -> Result<(), Refusal> {
    let text = |name| {
        let value = headers.get(name);
        value.and_then(|value| value.to_str().ok()).map(str::trim)
    };
    let wrong_size = |says: u64| {
        Refusal::Never(format!(
            "its file has {says} bytes, and that of the torrent {length}"
        ))
    };
    match status.as_u16() {
        200 | 206 => {}
        429 | 500..=599 => {
            let after = text(RETRY_AFTER).and_then(|text| text.parse().ok());
            let after = after.map(|seconds: u64| seconds.min(MAX_PAUSE_SECONDS));
            return Err(Refusal::Later(
                after,
                format!("it answered with status {status}"),
            ));
        }
        _ => return Err(Refusal::Never(format!("it answered with status {status}"))),
    }
    if text(CONTENT_ENCODING).is_some_and(|how| !how.eq_ignore_ascii_case("identity")) {
        return Err(Refusal::Never("it compresses its files".to_owned()));
    }
    if status == StatusCode::PARTIAL_CONTENT {
        let range = text(CONTENT_RANGE).and_then(range);
        let Some((first, whole)) = range else {
            return Err(Refusal::Never(
                "it does not say which range it sends".to_owned(),
            ));
        };
        if let Some(whole) = whole.filter(|whole| *whole != length) {
            return Err(wrong_size(whole));
        }
        if first != from {
            return Err(Refusal::Never(
                "it sends another range than asked for".to_owned(),
            ));
        }
        return Ok(());
    }
    // The whole file, which is what was asked for if it begins there.
    if let Some(whole) = text(CONTENT_LENGTH).and_then(|text| text.parse().ok())
        && whole != length
    {
        return Err(wrong_size(whole));
    }
    match from {
        0 => Ok(()),
        _ => Err(Refusal::Never(
            "it sends no ranges, only whole files".to_owned(),
        )),
    }
}

/// The first byte and the whole length of `bytes 0-9/10` or `bytes 0-9/*`.
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, whole) = text.strip_prefix("bytes")?.trim().split_once('/')?;
    let (first, _last) = range.split_once('-')?;
    let whole = match whole.trim() {
        "*" => None,
        whole => Some(whole.parse().ok()?),
    };
    Some((first.trim().parse().ok()?, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], from: u64) -> Result<(), Refusal> {
        let pairs = headers.iter().map(|(name, value)| {
            let name = reqwest::header::HeaderName::from_static(name);
            (name, value.parse().unwrap())
        });
        let status = StatusCode::from_u16(status).unwrap();
        check(status, &pairs.collect(), from, 100)
    }

    #[test]
    fn what_brings_the_bytes_is_taken() {
        for range in ["bytes 16-31/100", "bytes 16-31/*", "bytes  16 - 31/ 100"] {
            assert_eq!(
                answer(206, &[("content-range", range)], 16),
                Ok(()),
                "{range}"
            );
        }
        assert_eq!(answer(200, &[], 0), Ok(()));
        let whole = [("content-length", "100"), ("content-encoding", "identity")];
        assert_eq!(answer(200, &whole, 0), Ok(()));
    }

    #[test]
    fn another_file_range_or_encoding_is_never_of_use() {
        let range = |text| [("content-range", text)];
        let never = [
            answer(206, &range("bytes 0-31/100"), 16),
            answer(206, &range("bytes 16-31/101"), 16),
            answer(206, &range("bytes */100"), 16),
            answer(206, &range("rubbish"), 16),
            answer(206, &range("bytes 99999999999999999999-1/2"), 16),
            answer(206, &[], 16),
            answer(200, &[], 16),
            answer(200, &[("content-length", "99")], 0),
            answer(200, &[("content-encoding", "gzip")], 0),
            answer(404, &[], 0),
            answer(416, &[], 16),
            answer(204, &[], 0),
        ];
        for answer in never {
            assert!(matches!(answer, Err(Refusal::Never(_))), "{answer:?}");
        }
    }

    #[test]
    fn a_busy_one_says_when_to_come_again_within_an_hour() {
        let later = |status, text: &str| match answer(status, &[("retry-after", text)], 0) {
            Err(Refusal::Later(after, _)) => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(later(503, "7"), Some(7));
        assert_eq!(later(429, "99999999"), Some(MAX_PAUSE_SECONDS));
        assert_eq!(later(500, "Fri, 31 Dec 1999 23:59:59 GMT"), None);
    }
}
