//! The arrows of the house go one way: who may speak of whom.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// A room and the rooms it may name.
const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("tron", &["types"]),
    ("devnet", &["types", "tron"]),
    ("swarm", &["types"]),
    ("ledger", &["types"]),
    ("receipts", &["types", "tron", "swarm", "ledger"]),
    ("settle", &["types", "tron", "receipts", "ledger"]),
    (
        "client",
        &["types", "tron", "swarm", "ledger", "receipts", "settle"],
    ),
    ("api", &["types", "client"]),
    (
        "cli",
        &[
            "types", "tron", "devnet", "swarm", "ledger", "receipts", "settle", "client", "api",
        ],
    ),
];

/// Of the bridge, receipts need the keys and what is signed with them; the rest
/// of the chain they see through a trait.
const RECEIPTS_OF_TRON: &[&str] = &["keys", "typed_data"];

/// The files of the command line that name receipts, settlement or the ledger: each is about
/// them alone. `get`, `seed`, `daemon`, `settle watch` and `earnings` are callers of the client
/// layer.
const OF_MONEY: &[(&str, &str)] = &[
    ("account.rs", "how long a signer may take"),
    ("alike.rs", "an equal payment in the ledger"),
    ("csv_flags.rs", "columns of a file of payments"),
    ("ledger.rs", "the ledger as a whole"),
    (
        "pay.rs",
        "opens what a client pays with, and says what happens to it",
    ),
    (
        "payment.rs",
        "what a payment and a file of them have in common",
    ),
    ("peers.rs", "how others have paid"),
    ("receipts.rs", "receipts"),
    ("receipts/paid.rs", "proofs of payments"),
    ("send.rs", "a payment is a settlement of one"),
    ("send_file.rs", "a file of payments"),
    ("session.rs", "session keys and their grants"),
    (
        "settings.rs",
        "the policy and the ledger's place in config.toml",
    ),
    ("settle/batches.rs", "what batches paid, in words"),
    ("settle/cancel.rs", "gives payments up"),
    ("settle/chain_side.rs", "compares the ledger with the chain"),
    (
        "settle/desk.rs",
        "the engine of settlement, and what is seen of its work",
    ),
    ("settle/export.rs", "proofs of payments"),
    ("settle/given_up.rs", "payments that were given up"),
    ("settle/history.rs", "payments that were made"),
    ("settle/holders.rs", "payments that several people sign"),
    ("settle/mod.rs", "plans and runs"),
    ("settle/policy.rs", "what is paid now"),
    ("store.rs", "opens the ledger"),
    ("trust.rs", "the witnesses that the ledger knows"),
];

/// The commands that are callers of the client layer, and of nothing behind it.
const CALLERS: &[&str] = &[
    "daemon.rs",
    "earnings.rs",
    "get.rs",
    "seed.rs",
    "settle/watch.rs",
];

pub(crate) fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // Tests may look anywhere.
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path.display().to_string(), without_tests(&text)));
        }
    }
}

/// Source code, as rustfmt writes it, without the items under `#[cfg(test)]`: what
/// follows a test module is code like any other.
pub(crate) fn without_tests(text: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim_start() != "#[cfg(test)]" {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        // The item begins at the next line that is no attribute, and ends with a
        // semicolon, or with the brace that closes at its own indent.
        let item = lines
            .by_ref()
            .find(|line| !line.trim_start().starts_with("#["))
            .expect("an attribute is of an item");
        let mut last = item;
        while !(last.ends_with(';') || last.ends_with('}')) || indent(last) > indent(item) {
            last = lines.next().expect("an item ends");
        }
    }
    kept
}

/// The first path segments after each `crate::`, also inside braces.
fn named(text: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        for path in paths(rest) {
            let mut segments = path.split("::");
            let room = segments.next().unwrap_or_default().to_owned();
            found.insert((room, segments.next().unwrap_or_default().to_owned()));
        }
    }
    found
}

/// `a::b` or `{a::b, c::{d, e}}` as flat paths, to two segments.
fn paths(text: &str) -> Vec<String> {
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(text.len());
    let (head, rest) = text.split_at(end);
    let Some(inner) = rest.strip_prefix('{') else {
        return vec![head.to_owned()];
    };
    let mut depth = 0;
    let mut parts = vec![String::new()];
    for c in inner.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(c);
    }
    parts
        .iter()
        .map(|part| part.trim())
        .filter(|part| !part.is_empty())
        .flat_map(paths)
        .map(|path| format!("{head}{path}"))
        .collect()
}

#[test]
fn the_arrows_go_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms: BTreeSet<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    let mut seen = 0;
    for (room, allowed) in ARROWS {
        let mut files = Vec::new();
        sources(&root.join(room), &mut files);
        assert!(!files.is_empty(), "{room} is empty");
        for (file, text) in files {
            for (other, part) in named(&text) {
                if other == *room || !rooms.contains(other.as_str()) {
                    continue;
                }
                seen += 1;
                assert!(
                    allowed.contains(&other.as_str()),
                    "{file}: {room} may not name {other}"
                );
                if *room == "receipts" && other == "tron" {
                    assert!(
                        RECEIPTS_OF_TRON.contains(&part.as_str()),
                        "{file}: receipts may not name tron::{part}"
                    );
                }
            }
        }
    }
    assert!(
        seen > 100,
        "only {seen} names were found: the reader is broken"
    );
}

#[test]
fn commands_that_the_client_does_see_no_ledger() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let (mut seen, mut callers) = (BTreeSet::new(), 0);
    for (file, text) in files {
        let file = Path::new(&file).strip_prefix(&root).unwrap();
        let file = file.to_str().unwrap().to_owned();
        let names = named(&text);
        if CALLERS.contains(&file.as_str()) {
            let client = names.iter().any(|(room, _)| room == "client");
            assert!(client, "cli/{file} is no caller of the client");
            callers += 1;
        }
        let money = ["receipts", "settle", "ledger"];
        let Some((room, _)) = names
            .iter()
            .find(|(room, _)| money.contains(&room.as_str()))
        else {
            continue;
        };
        let known = OF_MONEY.iter().find(|(name, _)| file == *name);
        let (name, _) =
            known.unwrap_or_else(|| panic!("cli/{file} names {room}: have the client do that"));
        seen.insert(*name);
    }
    assert_eq!(callers, CALLERS.len(), "a caller is gone");
    let listed: BTreeSet<&str> = OF_MONEY.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        seen, listed,
        "a file of the list names none of them any more"
    );
}

/// What a file uses stands at its head.
#[test]
fn names_are_imported_one_by_one() {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    assert!(files.len() > 200, "{}", files.len());
    for (file, text) in files {
        let all = text
            .lines()
            .find(|line| line.starts_with("use ") && line.contains("::*"));
        assert_eq!(all, None, "{file}");
    }
}

/// A rule that nobody can break any more is a rule that no test is known to hold.
#[test]
fn what_each_mutant_replaces_is_in_the_sources() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/mutants");
    let output = Command::new(script).arg("--applies").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn paths_are_read_through_braces() {
    let text = "use crate::{\n    types::{Address, hash::TxId},\n    tron::keys::Signer,\n};";
    let names: Vec<_> = named(text).into_iter().collect();
    let pair = |room: &str, part: &str| (room.to_owned(), part.to_owned());
    assert_eq!(
        names,
        [
            pair("tron", "keys"),
            pair("types", "Address"),
            pair("types", "hash")
        ]
    );
}

#[test]
fn what_follows_a_test_module_is_read() {
    let text = "use crate::types;\n#[cfg(test)]\nmod tests;\nuse crate::tron;\n\
                #[cfg(test)]\n#[allow(unused)]\nmod more {\n    use crate::cli;\n    fn f() {}\n}\n\
                impl A {\n    #[cfg(test)]\n    fn g() {\n        crate::devnet::f();\n    }\n}\n\
                #[cfg(test)]\nuse crate::{\n    swarm,\n};\nuse crate::ledger;\n";
    let rooms: Vec<_> = named(&without_tests(text))
        .into_iter()
        .map(|(room, _)| room)
        .collect();
    assert_eq!(rooms, ["ledger", "tron", "types"]);
}
