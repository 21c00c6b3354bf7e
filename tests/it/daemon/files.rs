//! The files of one of the daemon's torrents: listed, chosen and put in an order.

use std::fs;

use serde_json::Value;

use super::{end, signal, start};
use crate::support::{
    home::Home,
    torrents::{noise, torrent},
};

/// The number of each file, whether it is wanted, and how soon.
fn rows(document: &Value) -> Vec<(u64, bool, &str)> {
    let rows = document.as_array().unwrap().iter();
    rows.map(|row| {
        let number = row["index"].as_u64().unwrap() + 1;
        let wanted = row["wanted"].as_bool().unwrap();
        (number, wanted, row["priority"].as_str().unwrap())
    })
    .collect()
}

#[test]
fn files_are_listed_left_out_and_put_in_an_order() {
    let home = Home::new();
    let content = home.path().join("films");
    fs::create_dir(&content).unwrap();
    for (name, length) in [
        ("a.bin", 40_000),
        ("b.bin", 20_000),
        ("c\u{1b}[31m.bin", 10_000),
    ] {
        fs::write(content.join(name), noise(length, length as u64)).unwrap();
    }
    let file = home.file(
        "films.torrent",
        torrent(&content, 16 << 10, &[]).to_bytes().unwrap(),
    );
    let daemon = start(&home, &[]);
    home.run(["add", file.to_str().unwrap(), "--paused", "--json"])
        .json();
    let files = |flags: &[&str]| {
        let command = ["files", "films"].iter().chain(flags).copied();
        home.run(command.chain(["--json"]))
    };
    let all = [
        (1, true, "normal"),
        (2, true, "normal"),
        (3, true, "normal"),
    ];
    assert_eq!(rows(&files(&[]).json()), all);
    let changed = files(&["--skip", "2", "--high", "3", "--low", "1-2"]).json();
    let expected = [(1, true, "low"), (2, false, "low"), (3, true, "high")];
    assert_eq!(rows(&changed), expected);
    // What others wrote cannot act on the terminal.
    let shown = home.run(["files", "films"]);
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{shown:?}");
    assert!(
        lines[1].contains("left out") && lines[2].contains("high"),
        "{shown:?}"
    );
    assert!(!shown.stdout.contains('\u{1b}'), "{shown:?}");
    for (flags, code, status) in [
        (&["--want", "4"][..], "unknown_file", 1),
        (&["--want", "1", "--skip", "1"], "usage", 2),
        (&["--high", "1", "--low", "all"], "usage", 2),
    ] {
        let refused = files(flags).error(status);
        assert_eq!(refused["code"], code, "{flags:?}: {refused}");
    }
    // None would be left.
    let refused = files(&["--skip", "all"]).error(1);
    assert!(
        refused["message"].as_str().unwrap().contains("no file"),
        "{refused}"
    );
    assert_eq!(rows(&files(&[]).json()), expected);
    let undone = files(&["--want", "all", "--normal", "all"]).json();
    assert_eq!(rows(&undone), all);
    signal(&daemon.0, "-TERM");
    assert_eq!(end(daemon).code(), Some(0));
}
