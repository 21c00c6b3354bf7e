use proptest::prelude::*;

use super::*;

fn info(entries: &[(&str, Value)]) -> Vec<u8> {
    let mut all: Vec<(&str, Value)> = vec![
        ("name", "dir".into()),
        ("piece length", 16384i64.into()),
        ("pieces", vec![1u8; 20].into()),
    ];
    all.extend(entries.iter().cloned());
    Value::dict(all).encode()
}

fn files(paths: &[&[&str]]) -> Value {
    let file = |path: &&[&str]| {
        Value::dict([
            ("length", 5i64.into()),
            (
                "path",
                Value::List(path.iter().map(|part| (*part).into()).collect()),
            ),
        ])
    };
    paths.iter().map(file).collect::<Vec<_>>().into()
}

fn parse(bytes: Vec<u8>) -> Result<Info, MetainfoError> {
    Info::from_bytes(bytes.into())
}

#[test]
fn a_torrent_of_version_2_alone_is_refused_as_such_and_a_hybrid_is_not() {
    let two = [
        ("meta version", 2i64.into()),
        ("file tree", Value::dict([("a", Value::dict([]))])),
    ];
    let alone = [("name", "dir".into()), ("piece length", 16384i64.into())];
    let alone = Value::dict(alone.into_iter().chain(two.clone())).encode();
    assert_eq!(parse(alone), Err(MetainfoError::VersionTwo));
    let raw = info(&[two[0].clone(), two[1].clone(), ("length", 5i64.into())]);
    let hybrid = parse(raw.clone()).unwrap();
    assert_eq!(
        &hybrid.raw().unwrap()[..],
        &raw[..],
        "what it has of version 2 is kept"
    );
}

#[test]
fn the_bytes_are_kept_and_hashed_as_they_are() {
    let raw = b"d4:name1:a12:piece lengthi16384e6:lengthi3e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
    let info = parse(raw.to_vec()).unwrap();
    assert_eq!(&info.raw().unwrap()[..], raw);
    assert_eq!(info.hash().as_bytes(), Sha1::digest(raw).as_slice());
    let meta = Metainfo::new(info);
    assert_eq!(Metainfo::from_bytes(&meta.to_bytes().unwrap()), Ok(meta));
}

#[test]
fn web_seeds_are_one_url_or_a_bounded_list_of_them() {
    let of = |list: Value| web_seeds(&Value::dict([("url-list", list)]));
    assert_eq!(of(" http://a/ ".into()), ["http://a/"]);
    assert_eq!(of("".into()), Vec::<String>::new());
    let long = |bytes: usize| Value::from("x".repeat(bytes).as_str());
    let mut list = vec![long(MAX_WEB_SEED_BYTES + 1), 7i64.into()];
    list.extend(std::iter::repeat_n(long(MAX_WEB_SEED_BYTES), 100));
    let kept = of(list.into());
    assert_eq!(kept.len(), MAX_WEB_SEEDS);
    assert!(kept.iter().all(|url| url.len() == MAX_WEB_SEED_BYTES));
}

#[test]
fn hostile_names_become_safe_ones() {
    let parsed = parse(info(&[(
        "files",
        files(&[&["..", "x"], &["/etc/passwd"], &["a"], &["a", "b"], &["a"]]),
    )]));
    let parsed = parsed.unwrap();
    let paths: Vec<String> = parsed.files().iter().map(|f| f.path.join("/")).collect();
    assert_eq!(paths, ["_/x", "_etc_passwd", "a", "a.1/b", "a.2"]);
    let mut name = info(&[("length", 5i64.into())]);
    let at = name.windows(3).position(|w| w == b"dir").unwrap();
    name[at..at + 3].copy_from_slice(b"../");
    assert_eq!(parse(name).unwrap().name(), "_.._");
    let nameless = info(&[("length", 5i64.into()), ("name", "".into())]);
    let nameless = parse(nameless).unwrap();
    assert_eq!(nameless.name(), nameless.hash().to_string());
}

#[test]
fn padding_and_links_have_no_place() {
    let file = |entries: &[(&'static str, Value)]| {
        let path = Value::List(vec!["x".into()]);
        let mut all = vec![("length", 5i64.into()), ("path", path)];
        all.extend(entries.iter().cloned());
        Value::dict(all)
    };
    let bitcomet = "_____padding_file_0_if you see this".into();
    let list = vec![
        file(&[]),
        file(&[("path", Value::List(vec![bitcomet]))]),
        Value::dict([("length", 3i64.into()), ("attr", "p".into())]),
        Value::dict([
            ("path", Value::List(vec!["l".into()])),
            ("attr", "l".into()),
        ]),
        file(&[("attr", "x".into())]),
    ];
    let parsed = parse(info(&[("files", list.into())])).unwrap();
    let found = parsed.files().iter();
    let found: Vec<_> = found
        .map(|file| (file.length, file.pad, file.executable))
        .collect();
    assert_eq!(
        found,
        [
            (5, false, false),
            (5, true, false),
            (3, true, false),
            (0, true, false),
            (5, false, true),
        ]
    );
    assert_eq!(parsed.files()[4].path, ["x.1"]);
}

#[test]
fn what_stands_around_the_info_dictionary_is_read_leniently() {
    let info = info(&[("length", 5i64.into())]);
    for around in [&b"e\r\n"[..], b"3:zzzi01e3:zzzi-0ee", b"ejunk"] {
        let file = [&b"d8:announce012:http://t/ann4:info"[..], &info, around].concat();
        let meta = Metainfo::from_bytes(&file).unwrap();
        assert_eq!(meta.trackers, [["http://t/ann"]]);
        assert_eq!(&meta.info.raw().unwrap()[..], &info[..]);
    }
    let twice = [&b"d4:info"[..], &info, b"4:info", &info, b"e"].concat();
    assert!(Metainfo::from_bytes(&twice).is_err());
    let twice_inside = b"d4:infod4:name1:a4:name1:bee";
    assert!(Metainfo::from_bytes(twice_inside).is_err());
}

#[test]
fn sizes_that_do_not_add_up_are_refused() {
    assert!(parse(info(&[("length", 16385i64.into())])).is_err());
    assert!(parse(info(&[("length", 0i64.into())])).is_err());
    assert!(parse(info(&[("length", (-1i64).into())])).is_err());
    assert!(parse(info(&[("length", i64::MAX.into())])).is_err());
    assert!(
        parse(info(&[
            ("length", 5i64.into()),
            ("piece length", 0i64.into())
        ]))
        .is_err()
    );
    assert!(parse(info(&[("files", files(&[&["a"], &["b"]]))])).is_ok());
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Metainfo::from_bytes(&bytes);
        let _ = Info::from_bytes(bytes.into());
    }
}
