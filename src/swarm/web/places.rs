//! Where the bytes of a torrent lie at a web seed (BEP 19). Pure.

use url::Url;

use crate::swarm::metainfo::{FileEntry, Info};

/// A part of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Padding: so many zeros, which no web seed has.
    Zeros(u64),
    /// Bytes of a file.
    File {
        /// Its position.
        at: usize,
        /// Its first byte that is meant.
        from: u64,
        /// How many.
        length: u64,
    },
}

/// The parts of `length` bytes of the content from `offset` on.
pub(super) fn parts(files: &[FileEntry], offset: u64, length: u64) -> Vec<Part> {
    let end = offset.saturating_add(length);
    let first = files.partition_point(|file| file.offset.saturating_add(file.length) <= offset);
    let mut all = Vec::new();
    for (at, file) in files.iter().enumerate().skip(first) {
        if file.offset >= end {
            break;
        }
        let from = offset.max(file.offset);
        let to = end.min(file.offset.saturating_add(file.length));
        let length = to.saturating_sub(from);
        match file.pad {
            _ if length == 0 => {}
            true => all.push(Part::Zeros(length)),
            false => all.push(Part::File {
                at,
                from: from - file.offset,
                length,
            }),
        }
    }
    all
}

/// The URL of a web seed, if it can be one.
pub(in crate::swarm) fn base(text: &str) -> Option<Url> {
    let url = Url::parse(text.trim()).ok()?;
    let usable = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    usable.then_some(url)
}

/// Where a file is. The only file of a torrent may be what the URL names itself; others
/// lie in the folder that it names, below the torrent's name.
pub(super) fn place(base: &Url, info: &Info, file: &FileEntry) -> Option<Url> {
    let mut url = base.clone();
    if info.is_single_file() && !url.path().ends_with('/') {
        return Some(url);
    }
    let mut segments = url.path_segments_mut().ok()?;
    segments.pop_if_empty();
    if info.is_single_file() {
        segments.push(info.name());
    } else {
        let path = file.original.as_ref().unwrap_or(&file.path);
        segments.push(info.name()).extend(path);
    }
    drop(segments);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::bencode::Value;

    fn file(length: u32, path: &str, pad: bool) -> Value {
        let mut entries = vec![
            ("length", Value::from(length)),
            (
                "path",
                Value::List(path.split('/').map(Value::from).collect()),
            ),
        ];
        if pad {
            entries.insert(0, ("attr", "p".into()));
        }
        Value::dict(entries)
    }

    fn info(entries: Vec<(&str, Value)>) -> Info {
        let mut all = entries;
        all.push(("name", "a b".into()));
        all.push(("piece length", 65536u32.into()));
        all.push(("pieces", Value::Bytes(vec![0; 20])));
        Info::from_bytes(Value::dict(all).encode().into()).unwrap()
    }

    #[test]
    fn urls_are_those_of_bep_19() {
        let one = info(vec![("length", 5u32.into())]);
        let at = |url: &str, info: &Info, file: usize| {
            let place = place(&base(url).unwrap(), info, &info.files()[file]);
            place.unwrap().to_string()
        };
        assert_eq!(at("http://h/x.iso?k=1", &one, 0), "http://h/x.iso?k=1");
        assert_eq!(at("http://h/d/", &one, 0), "http://h/d/a%20b");
        let files = Value::List(vec![file(5, "c/d?#e", false), file(6, "%2e", false)]);
        let many = info(vec![("files", files)]);
        for url in ["http://h/d/", "http://h/d", " http://h/d "] {
            assert_eq!(at(url, &many, 0), "http://h/d/a%20b/c/d%3F%23e");
        }
        assert_eq!(at("http://h", &many, 1), "http://h/a%20b/%252e");
        for bad in ["ftp://h/x", "x", "", "file:///etc/passwd", "http://"] {
            assert_eq!(base(bad), None, "{bad}");
        }
    }

    #[test]
    fn parts_are_the_files_that_a_range_touches_and_padding_is_zeros() {
        let files = Value::List(vec![
            file(100, "a", false),
            file(28, "pad", true),
            file(0, "empty", false),
            file(50, "b", false),
        ]);
        let info = info(vec![("files", files)]);
        let of = |from, length| parts(info.files(), from, length);
        let part = |at, from, length| Part::File { at, from, length };
        assert_eq!(of(0, 100), [part(0, 0, 100)]);
        assert_eq!(of(0, 101), [part(0, 0, 100), Part::Zeros(1)]);
        let all = [part(0, 99, 1), Part::Zeros(28), part(3, 0, 2)];
        assert_eq!(of(99, 31), all);
        assert_eq!(of(128, 50), [part(3, 0, 50)]);
        assert_eq!(of(178, 10), []);
    }
}
