//! `seed` and `get --seed` that end by themselves, and what they say then.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::Command,
};

use serde_json::Value;

use crate::support::child::Ended;
use crate::support::home::Home;

/// A seeder, and where it listens.
fn seeder(mut command: Command, more: &[&str]) -> (Ended, String, String) {
    let mut child = command
        .args(["seed", "--json", "--listen", "127.0.0.1:0"])
        .args(more)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["event"], "seeding");
    let listen = first["listen"].as_str().unwrap().to_owned();
    // Read on, so that it never waits for us.
    let running = Ended(child);
    std::thread::spawn(move || lines.for_each(drop));
    (
        running,
        listen,
        first["magnet"].as_str().unwrap().to_owned(),
    )
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn lines(stdout: &str) -> Vec<Value> {
    let lines = stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn sharing_ends_by_itself_and_says_why() {
    let home = Home::new();
    let content = home.file("content.bin", vec![7; 300_000]);
    let seed = |more: &[&str]| {
        let mut all = vec!["seed", text(&content), "--listen", "127.0.0.1:0"];
        all.extend(more);
        home.run(all)
    };
    let run = seed(&["--seed-time", "1s"]);
    assert_eq!(run.code, 0, "{run:?}");
    let last = run.stdout.lines().last().unwrap();
    let words = "content.bin: shared long enough: ";
    assert!(
        last.starts_with(words) && last.ends_with(" s, 0 B sent"),
        "{run:?}"
    );
    let run = seed(&["--seed-time", "1s", "--json", "--no-utp"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let said = lines(&run.stdout);
    let goal = said.iter().find(|line| line["event"] == "goal").unwrap();
    assert_eq!(goal["goal"], "time");
    assert_eq!(goal["info_hash"], said[0]["info_hash"]);
    let done = said.last().unwrap();
    assert_eq!(
        (&done["event"], &done["torrents"]),
        (&"done".into(), &1.into())
    );
}

#[test]
fn a_download_is_shared_to_its_ratio_and_then_done() {
    let home = Home::new();
    let content = home.file("content.bin", vec![7; 400_000]);
    let (seeding, listen, magnet) = seeder(home.command(), &[text(&content)]);
    let other = Home::new();
    let out = other.path().join("out");
    let moved = other.path().join("moved");
    // It seeds to the next one.
    let mut middle = other
        .command()
        .args(["get", &magnet, "--json", "--seed", "--seed-ratio", "0.5"])
        .arg("--move-to")
        .arg(&moved)
        .args([
            "--listen",
            "127.0.0.1:0",
            "--peer",
            &listen,
            "-o",
            text(&out),
        ])
        .spawn()
        .unwrap();
    let mut output = BufReader::new(middle.stdout.take().unwrap());
    let middle = Ended(middle);
    let mut next = || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    let first = next();
    while next()["have"] != 400_000 {}
    // The next one would meet it, too, and have it all from there.
    drop(seeding);
    let last = Home::new();
    let into = last.path().join("out");
    let mut leech = last.command();
    leech.args(["get", &magnet, "--listen", "127.0.0.1:0"]);
    leech.args([
        "--peer",
        first["listen"].as_str().unwrap(),
        "-o",
        text(&into),
    ]);
    let _leech = Ended(leech.spawn().unwrap());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    let said = lines(&rest);
    let [.., goal, done] = said.as_slice() else {
        panic!("{rest}");
    };
    assert_eq!(goal["goal"], "ratio", "{rest}");
    assert!(goal["uploaded"].as_u64().unwrap() >= 200_000);
    assert_eq!(done["path"], text(&moved.join("content.bin")));
    assert_eq!(
        (&done["event"], &done["bytes"]),
        (&"done".into(), &400_000.into())
    );
    let mut middle = middle;
    assert_eq!(middle.0.wait().unwrap().code(), Some(0));
}

#[test]
fn each_torrent_of_a_session_is_told_of_and_may_have_a_limit_of_its_own() {
    let home = Home::new();
    let one = home.file("one.bin", vec![1; 100_000]);
    let two = home.file("two.bin", vec![2; 200_000]);
    let (one, two) = (text(&one), text(&two));
    let seed = |limit: &str| {
        let all = ["seed", one, two, "--json", "--listen", "127.0.0.1:0"];
        let more = ["--no-utp", "--seed-time", "1s", "--up-limit-for", limit];
        home.run(all.into_iter().chain(more))
    };
    let run = seed(&format!("{two}=64KiB/s"));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let said = lines(&run.stdout);
    let progress = said.iter().find(|line| line["event"] == "progress");
    let rows = progress.unwrap()["torrents"].as_array().unwrap();
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["name"].as_str().unwrap(),
                row["bytes"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, [("one.bin", 100_000), ("two.bin", 200_000)]);
    assert_eq!(said.last().unwrap()["torrents"], 2);
    for (limit, word) in [
        ("three.bin=64KiB/s", "`three.bin`, which is not shared here"),
        ("64KiB/s", "has no `=`"),
        ("one.bin=fast", "`fast` is not a rate"),
    ] {
        let error = seed(limit).error(2);
        assert!(error["message"].as_str().unwrap().contains(word), "{error}");
    }
}

#[test]
fn goals_that_cannot_be_are_refused() {
    let home = Home::new();
    let content = home.file("content.bin", b"content");
    let content = text(&content);
    let cases: &[(&[&str], &str)] = &[
        (&["seed", content, "--seed-ratio", "0"], "a ratio of 0"),
        (
            &["seed", content, "--seed-ratio", "much"],
            "`much` is not a ratio",
        ),
        (&["seed", content, "--seed-time", "0s"], "a goal of 0"),
        (
            &["seed", content, "--seed-time", "soon"],
            "`soon` is not a time",
        ),
        (&["seed", content, "--seed-earnings", "1BTT"], "--ask"),
        (
            &[
                "get",
                "magnet:?xt=urn:btih:0000000000000000000000000000000000000001",
                "--seed-ratio",
                "1",
            ],
            "--seed",
        ),
    ];
    for (arguments, word) in cases {
        let run = home.run(*arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:?}");
        assert!(run.stderr.contains(word), "{word}: {run:?}");
    }
}
