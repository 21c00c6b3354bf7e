//! The habits every command keeps: exit codes, one sentence, one document.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use crate::support::home::Home;

const A: &str = "TDvSsdrNM5eeXNL3czpa6AxLDHZA9nwe9K";
const B: &str = "TCo75zcxTuWn5nnFqZUeK5socdVnG11f2T";

fn build<'a>(kind: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec![
        "tx",
        "build",
        kind,
        "--ref-block-bytes",
        "00ab",
        "--ref-block-hash",
        "c35bb17f474f8019",
        "--timestamp",
        "1795363320609",
        "--expiration",
        "1795363380000",
    ];
    arguments.extend(more);
    arguments
}

#[test]
fn each_wrong_argument_is_one_sentence_and_exit_2() {
    let home = Home::new();
    let cases: &[(&[&str], &str)] = &[
        (
            &["--from", A, "--to", "Tnonsense", "--amount-raw", "1"],
            "Tnonsense",
        ),
        // One letter changed: the checksum tells.
        (
            &[
                "--from",
                A,
                "--to",
                "TCo75zcxTuWn5nnFqZUeK5socdVnG11f2U",
                "--amount-raw",
                "1",
            ],
            "TCo75zcxTuWn5nnFqZUeK5socdVnG11f2U",
        ),
        (&["--from", A, "--to", B, "--amount-raw", "-1"], "-1"),
        (
            &["--from", A, "--to", B, "--amount-raw", "0"],
            "greater than 0",
        ),
        (
            &[
                "--from",
                A,
                "--to",
                B,
                "--amount-raw",
                "9223372036854775808",
            ],
            "9223372036854775808",
        ),
        (&["--from", A, "--to", B, "--amount", "5"], "5"),
        (&["--from", A, "--to", B, "--amount", "5doge"], "5doge"),
        (
            &["--from", A, "--to", B, "--amount", "1.0000001TRX"],
            "1.0000001",
        ),
        (&["--from", A, "--to", B, "--amount", "5BTT"], "TRX"),
        (&["--from", A, "--to", A, "--amount-raw", "1"], "oneself"),
        (&["--from", A, "--to", B], "--amount"),
        (
            &[
                "--from",
                A,
                "--to",
                B,
                "--amount-raw",
                "1",
                "--permission-id",
                "77",
            ],
            "77",
        ),
    ];
    for (more, word) in cases {
        let mut arguments = build("transfer", more);
        let run = home.run(&arguments);
        assert_eq!(run.code, 2, "{more:?}: {run:?}");
        assert_eq!(run.stdout, "");
        assert!(run.stderr.starts_with("error: "), "{run:?}");
        assert!(run.stderr.contains(word), "{word}: {run:?}");
        arguments.insert(0, "--json");
        let error = home.run(&arguments).error(2);
        assert_eq!(error["code"], "usage");
        assert!(
            error["message"].as_str().unwrap().contains(word),
            "{word}: {error}"
        );
    }
    for arguments in [
        vec!["no-such-command"],
        vec![],
        vec!["balance", "--network", "moon"],
        vec!["balance", A, "--node", "ftp://127.0.0.1"],
        vec!["balance", A, "--node", "not a url"],
        vec!["balance", A, "--node", "http://user:secret@127.0.0.1:1"],
        vec!["tx", "wait", "1234"],
        vec!["wallet", "show", "../../etc/passwd"],
    ] {
        let run = home.run(&arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {run:?}");
        assert!(!run.stderr.contains("secret"), "{run:?}");
    }
}

#[test]
fn each_wrong_file_is_one_sentence_and_exit_1() {
    let home = Home::with_key(2);
    let garbage = home.file("garbage", [0xff, 0xfe, 0]);
    let text = home.file("text", "hello");
    let json = home.file("json", "{\"raw_data_hex\":1}");
    for operand in [
        "no-such-file",
        "00ff",
        garbage.to_str().unwrap(),
        text.to_str().unwrap(),
        json.to_str().unwrap(),
    ] {
        for command in ["decode", "sign"] {
            let run = home.run(["tx", command, operand]);
            assert_eq!(run.code, 1, "{run:?}");
            assert!(run.stderr.starts_with("error: "), "{run:?}");
            assert_eq!(run.stdout, "");
            home.run(["tx", command, operand, "--json"]).error(1);
        }
    }
    home.file("config.toml", "network = \"moon\"\n");
    let error = home.run(["wallet", "list", "--json"]).error(1);
    assert!(error["message"].as_str().unwrap().contains("config.toml"));
}

#[test]
fn without_an_account_the_way_to_one_is_said() {
    let error = Home::new().run(["--json", "balance"]).error(1);
    assert_eq!(error["code"], "no_account");
    assert!(error["hint"].as_str().unwrap().contains("wallet new"));
}

#[test]
fn global_flags_go_before_and_after_the_command() {
    let home = Home::with_key(2);
    let first = home.run(["--json", "wallet", "show"]).json();
    assert_eq!(first, home.run(["wallet", "--json", "show"]).json());
    assert_eq!(first, home.run(["wallet", "show", "--json"]).json());
    assert_eq!(home.run(["--help"]).code, 0);
    assert_eq!(home.run(["tx", "build", "--help"]).code, 0);
    assert!(
        home.run(["--version"])
            .stdout
            .contains(env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_dead_node_fails_within_5_s_and_with_3() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let started = Instant::now();
    let error = Home::new()
        .run(["balance", A, "--json", "--node", &url])
        .error(3);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(error["code"], "node_unreachable");
    assert!(error["message"].as_str().unwrap().contains(&url), "{error}");
}

/// Takes connections and never says a word; one node, then two.
#[test]
fn silent_nodes_fail_within_20_s_and_with_3() {
    let silent: Vec<_> = (0..3)
        .map(|_| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            (listener, url)
        })
        .collect();
    let urls: Vec<&str> = silent.iter().map(|(_, url)| url.as_str()).collect();
    std::thread::scope(|scope| {
        for nodes in [
            vec!["--node", urls[0]],
            vec![
                "--node",
                urls[1],
                "--node",
                urls[2],
                "--solidity-node",
                urls[0],
            ],
        ] {
            scope.spawn(move || {
                let started = Instant::now();
                let mut arguments = vec!["balance", A, "--json"];
                arguments.extend(&nodes);
                Home::new().run(&arguments).error(3);
                let took = started.elapsed();
                assert!(took < Duration::from_secs(20), "{nodes:?}: {took:?}");
            });
        }
    });
}
