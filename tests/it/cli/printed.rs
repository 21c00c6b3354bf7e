//! What other people wrote never acts on a terminal: files, links, nodes, tokens.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{
    home::{Home, Run, recording},
    http_server::{Reply, Server},
    terminal::Terminal,
    waiting::wait_until,
};

/// Sets the clipboard, clears the screen, goes back in the line, turns the text
/// round; an eight-bit escape, and a mark nobody sees.
const EVIL: &str =
    "x\u{1b}]52;c;ZXZpbA==\u{7}\u{1b}[2J\rvalid\u{9b}31m\u{202e}gpj\u{2066}\u{200f}\u{7f}y";

fn acts(c: char) -> bool {
    (c.is_control() && c != '\n')
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
        || matches!(c, '\u{200e}' | '\u{200f}')
}

/// The run wrote nothing that acts.
fn harmless(run: &Run) {
    for text in [&run.stdout, &run.stderr] {
        assert!(!text.chars().any(acts), "{run:?}");
    }
}

/// It did show the text, too.
fn shows(run: &Run) {
    harmless(run);
    assert!(
        format!("{}{}", run.stdout, run.stderr).contains("]52;c;ZXZpbA=="),
        "the text was not shown at all: {run:?}"
    );
}

#[test]
fn receipt_files_cannot_act_on_a_terminal() {
    let home = Home::with_key(1);
    let field = json!({ EVIL: EVIL }).to_string();
    let value = json!({ "domain": {
        "name": EVIL, "version": "1", "chainId": 1, "salt": "00",
    } })
    .to_string();
    let file = home.file("r.jsonl", format!("{field}\n{value}\n{EVIL}\n"));
    let file = file.to_str().unwrap();
    for more in [&[][..], &["--json"], &["--paid"]] {
        let run = home.run(["receipts", "verify", file].iter().chain(more));
        assert_eq!(run.code, 1);
        harmless(&run);
    }
    shows(&home.run(["receipts", "verify", file]));
    for line in home
        .run(["receipts", "verify", file, "--json"])
        .stdout
        .lines()
    {
        serde_json::from_str::<Value>(line).unwrap();
    }
}

#[test]
fn torrents_and_links_cannot_act_on_a_terminal() {
    let home = Home::new();
    let tracker = format!("http://127.0.0.1:1/{EVIL}/announce");
    let mut torrent = format!("d8:announce{}:{tracker}", tracker.len()).into_bytes();
    torrent.extend(b"4:infod6:lengthi5e4:name5:a.bin12:piece lengthi16384e6:pieces20:");
    torrent.extend([7; 20]);
    torrent.extend(b"ee");
    let file = home.file("evil.torrent", torrent);
    let file = file.to_str().unwrap();
    shows(&home.run(["torrent", "show", file]));
    let run = home.run(["torrent", "show", file, "--json"]);
    harmless(&run);
    let trackers = &run.json()["trackers"];
    assert!(trackers.to_string().contains("ZXZpbA"), "{trackers}");

    // A link is an argument, and a usage error repeats it.
    let link = format!("magnet:?xt=urn:btih:{EVIL}");
    for more in [&[][..], &["--json"]] {
        let run = home.run(["get", &link].iter().chain(more));
        assert_eq!(run.code, 2, "{run:?}");
        harmless(&run);
    }
}

#[test]
fn cells_and_columns_of_a_payout_file_cannot_act_on_a_terminal() {
    let home = Home::with_key(1);
    for text in [
        format!("address,amount,id,\"{EVIL}\"\nTMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC,x,a,b\n"),
        format!("address,amount\n\"{EVIL}\",\"{EVIL}\"\n"),
        format!("address,amount,id\nTMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC,1BTT,\"{EVIL}\"\n"),
    ] {
        let file = home.file("evil.csv", text);
        for more in [&[][..], &["--json"]] {
            let csv = ["send", "--yes", "--csv", file.to_str().unwrap()];
            let run = home.run(csv.iter().chain(more));
            assert_eq!(run.code, 1, "{run:?}");
            harmless(&run);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_tokens_and_memos_cannot_act_on_a_terminal() {
    let mut asset = recording("02-getassetissuebyid.json")["response"].take();
    asset["name"] = EVIL.into();
    asset["abbr"] = EVIL.into();
    let id = asset["id"].as_str().unwrap().to_owned();
    let genesis = seedrail::types::BlockId::from_bytes([0; 32]).to_string();
    let server = Server::start(move |path, _| match path {
        "/wallet/getblockbynum" => Reply::Json(json!({ "blockID": genesis })),
        "/wallet/getassetissuebyid" => Reply::Json(asset.clone()),
        _ => Reply::Json(json!({ "Error": EVIL })),
    })
    .await;
    let home = Home::with_key(1).env("SEEDRAIL_NODE", &server.url());
    let token = home.run(["token", "info", &id]);
    assert_eq!(token.code, 0, "{token:?}");
    assert!(token.stdout.contains("ZXZpbA=="), "{token:?}");
    harmless(&token);
    harmless(&home.run(["token", "info", &id, "--json"]));
    for more in [&[][..], &["--json"], &["-vv"]] {
        let run = home.run(["balance"].iter().chain(more));
        assert_ne!(run.code, 0);
        harmless(&run);
    }
    let built = home.run([
        "tx",
        "build",
        "transfer",
        "--from",
        "TDvSsdrNM5eeXNL3czpa6AxLDHZA9nwe9K",
        "--to",
        "TCo75zcxTuWn5nnFqZUeK5socdVnG11f2T",
        "--amount-raw",
        "1",
        "--ref-block-bytes",
        "00ab",
        "--ref-block-hash",
        "c35bb17f474f8019",
        "--timestamp",
        "1795363320609",
        "--expiration",
        "1795363380000",
        "--memo",
        EVIL,
    ]);
    harmless(&built);
    let document: Value = serde_json::from_str(&built.stdout).unwrap();
    let decoded = home.run([
        "tx",
        "decode",
        document["raw_data_hex"].as_str().unwrap(),
        "--raw",
    ]);
    shows(&decoded);
    let decoded: Value = serde_json::from_str(&decoded.stdout).unwrap();
    assert_eq!(decoded["memo"], EVIL);
}

#[test]
fn a_question_on_a_terminal_takes_no_for_an_answer() {
    let home = Home::new().env("SEEDRAIL_PASSPHRASE", "correct horse");
    assert_eq!(home.run(["wallet", "new"]).code, 0);
    let out = home.path().join("raw.txt");
    let out = out.to_str().unwrap();
    let mut asked = Terminal::start(&home, &["wallet", "export", "--raw", "-o", out]);
    asked.expect("Write it? [y/N] ");
    asked.line("n");
    let (code, screen) = asked.end();
    assert_eq!(code, 1, "{screen}");
    assert!(!std::path::Path::new(out).exists());
    let mut asked = Terminal::start(&home, &["wallet", "export", "--raw", "-o", out]);
    asked.expect("Write it? [y/N] ");
    asked.line("y");
    let (code, screen) = asked.end();
    assert_eq!(code, 0, "{screen}");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let home = Home::with_key(1);
    let lines = "not a receipt\n".repeat(20_000);
    let file = home.file("many.jsonl", lines);
    let left = |child: Child, arguments: &[&str]| {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said, "", "{arguments:?}");
        // What a shell shows of a program that SIGPIPE ended.
        assert_eq!(output.status.code(), Some(141), "{arguments:?}");
    };
    let arguments = ["receipts", "verify", file.to_str().unwrap(), "--json"];
    let mut child = home.command().args(arguments).spawn().unwrap();
    let mut first = String::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut first).unwrap();
    drop(reader);
    left(child, &arguments);
    // What fits into a pipe, when the reader has left before.
    for arguments in [
        &["completions", "zsh"][..],
        &["man"],
        &["help", "home"],
        &["help", "files"],
        &["--version"],
        &["config", "show", "--json"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = home.command();
        let child = command.args(arguments).stdout(writer).spawn().unwrap();
        left(child, arguments);
    }
}

#[test]
fn bad_receipts_are_listed_up_to_a_bound_and_counted() {
    let home = Home::with_key(1);
    let file = home.file("bad.jsonl", "{}\n".repeat(1_000));
    let run = home.run(["receipts", "verify", file.to_str().unwrap()]);
    assert_eq!(run.code, 1);
    assert_eq!(run.stdout.lines().count(), 51, "{}", run.stdout);
    assert!(
        run.stdout.ends_with("950 lines more refused\n"),
        "{}",
        run.stdout
    );
    assert!(run.stderr.contains("1000 of 1000 receipts"), "{run:?}");
}

#[test]
fn a_file_of_receipts_without_an_end_is_read_in_little_memory_and_can_be_stopped() {
    let home = Home::with_key(1);
    let mut child = home
        .command()
        .args(["receipts", "verify", "-", "--json"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let mut stdin = child.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || {
        let lines = "{}\n".repeat(10_000);
        while std::io::Write::write_all(&mut stdin, lines.as_bytes()).is_ok() {}
    });
    let mut out = child.stdout.take().unwrap();
    let read = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = read.clone();
    let reading = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = out.read(&mut buffer) {
            counted.fetch_add(count as u64, std::sync::atomic::Ordering::Relaxed);
        }
    });
    // Tens of thousands of refused lines …
    wait_until("much was read", Duration::from_secs(120), || {
        read.load(std::sync::atomic::Ordering::Relaxed) > 16 << 20
    });
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib < 96 << 10, "{peak}");
    // … and SIGTERM ends it while there is more.
    let killed = std::process::Command::new("kill")
        .args(["-TERM", &pid.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    feeding.join().unwrap();
    reading.join().unwrap();
}
