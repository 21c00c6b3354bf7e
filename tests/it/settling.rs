//! Settlement as its user types it: policies, the watch, proofs, and the way back
//! from a copy.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use seedrail::types::{Token, TokenId};
use serde_json::Value;

use crate::support::{
    site::{Site, succeeds},
    waiting::wait_until,
};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Exit code, and what was said on stderr.
fn fails(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text)
}

fn on_a_site(payees: u32, test: impl FnOnce(&Site) + Send + 'static) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let site = Site::new(None, payees).await;
        tokio::task::spawn_blocking(move || test(&site))
            .await
            .unwrap();
    });
}

#[test]
fn policies_come_from_flags_and_the_configuration() {
    on_a_site(3, |site| {
        site.owe(1);
        let plan = |flags: &[&str]| {
            let arguments = [&["settle", "plan", "--json"], flags].concat();
            json(&site.succeeds(&arguments))
        };
        let count = |plan: &Value, what: &str| plan[what].as_array().unwrap().len();
        assert_eq!(count(&plan(&[]), "payouts"), 3);
        let none = plan(&["--max-fee", "0TRX"]);
        assert_eq!((count(&none, "payouts"), count(&none, "deferred")), (0, 3));
        let reason = none["deferred"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("would burn"), "{reason}");
        // Old enough is paid, however small.
        let small = ["--min-payout", "1BTT"];
        assert_eq!(count(&plan(&small), "payouts"), 0);
        let old = plan(&["--min-payout", "1BTT", "--max-age", "0s"]);
        assert_eq!(count(&old, "payouts"), 3);
        fs::write(
            site.home.path().join("config.toml"),
            "[settle]\nmax_payouts = 1\nreserve = \"5TRX\"\n",
        )
        .unwrap();
        assert_eq!(count(&plan(&[]), "payouts"), 1);
        assert_eq!(count(&plan(&["--max-payouts", "2"]), "payouts"), 2);
        let text = site.succeeds(&["settle", "plan", "--price", "1BTT=0.0001TRX"]);
        assert!(text.contains("worth "), "{text}");
        assert!(text.contains("more than 5 %"), "{text}");
        fs::write(
            site.home.path().join("config.toml"),
            "[settle]\nreserve = \"5BTT\"\n",
        )
        .unwrap();
        let (code, said) = fails(site.seedrail(&["settle", "plan"]));
        assert_eq!(code, Some(1));
        assert!(
            said.contains("[settle] reserve: `5BTT` is in BTT"),
            "{said}"
        );
    });
}

#[test]
fn what_was_paid_is_proven_from_a_file_and_by_a_node() {
    on_a_site(3, |site| {
        site.owe(1);
        site.succeeds(&["settle", "run", "--yes"]);
        let history = json(&site.succeeds(&["settle", "history", "--json"]));
        let payments = history["payments"].as_array().unwrap();
        assert_eq!(payments.len(), 3);
        assert!(payments.iter().all(|row| row["state"] == "final"));
        let folder = site.home.path().join("proofs");
        let folder_text = folder.to_str().unwrap();
        let exported = json(&site.succeeds(&["settle", "export", "-o", folder_text, "--json"]));
        let files = exported["files"].as_array().unwrap();
        assert_eq!(files.len(), 3);
        let file = files[0]["file"].as_str().unwrap();
        let verify = ["receipts", "verify", "--paid", file];
        let verdict = json(&site.succeeds(&[&verify[..], &["--online", "--json"]].concat()));
        assert_eq!(verdict["paid"], true);
        let pair = &verdict["pairs"][0];
        assert_eq!(pair["owed_raw"], pair["paid_raw"]);
        assert_eq!(pair["payments"].as_array().unwrap().len(), 1);
        // Without a node, and without a home.
        let empty = tempfile::tempdir().unwrap();
        succeeds(
            Command::new(env!("CARGO_BIN_EXE_seedrail"))
                .args(verify)
                .env_clear()
                .env("SEEDRAIL_HOME", empty.path())
                .output()
                .unwrap(),
        );

        let text = fs::read_to_string(file).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let check = |path: &Path| {
            fails(site.seedrail(&["receipts", "verify", "--paid", path.to_str().unwrap()]))
        };
        let (code, said) = check(&write("unpaid", lines[0]));
        assert_eq!(code, Some(7), "{said}");
        // The same payment twice is one payment.
        let twice = format!("{text}{}\n", lines[1]);
        let path = write("twice", &twice);
        let path = path.to_str().unwrap();
        let verdict = json(&site.succeeds(&["receipts", "verify", "--paid", path, "--json"]));
        assert_eq!(verdict["pairs"][0]["payments"].as_array().unwrap().len(), 1);
        // One digit of the transaction, of the header, of the signature.
        for name in [
            "transaction",
            "tx_trie_root",
            "parent_hash",
            "witness_signature",
        ] {
            let place = text.find(&format!("\"{name}\":\"")).unwrap() + name.len() + 4 + 20;
            let mut bytes = text.clone().into_bytes();
            bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).unwrap();
            let (code, said) = check(&write(name, &changed));
            assert_eq!(code, Some(1), "{name}: {said}");
            assert!(said.contains("line 2"), "{name}: {said}");
        }
    });
}

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_watch_pays_what_falls_due_until_it_is_told_to_end() {
    on_a_site(2, |site| {
        site.owe(1);
        let mut watch = site
            .seedrail(&[
                "settle",
                "watch",
                "--every",
                "1s",
                "--burn",
                "--activate",
                "--json",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for round in 1..=2 {
            if round > 1 {
                site.owe(round);
            }
            wait_until("a round is paid", LIMIT, || {
                (0..2).all(|n| {
                    site.devnet
                        .balance(Site::payee(n), Token::Trc10(TokenId::BTT))
                        == Site::amount(n, round)
                })
            });
        }
        let pid = watch.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(watch.wait().unwrap().code(), Some(0));
        site.is_settled(2);
    });
}

#[test]
fn a_copied_home_comes_back_by_recover_and_adopt() {
    on_a_site(2, |site| {
        site.owe(1);
        // Binds the ledger: what comes after is its own to explain.
        site.succeeds(&["settle", "plan"]);
        let home = site.home.path();
        let ledger = |home: &Path| -> PathBuf {
            fs::read_dir(home.join("ledgers"))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .find(|path| path.extension().is_some_and(|end| end == "sqlite"))
                .unwrap()
        };
        let other = tempfile::tempdir().unwrap();
        fs::create_dir(other.path().join("ledgers")).unwrap();
        let from = ledger(home);
        let to = other.path().join("ledgers").join(from.file_name().unwrap());
        fs::copy(&from, to).unwrap();
        // The original pays, and pays something that no receipt explains.
        site.succeeds(&["settle", "run", "--yes"]);
        let friend = Site::payee(77).to_string();
        site.succeeds(&["send", "--to", &friend, "--amount", "2BTT", "--yes"]);

        let copied = |arguments: &[&str]| {
            let mut command = site.seedrail(arguments);
            command.env("SEEDRAIL_HOME", other.path());
            command
        };
        let (code, said) = fails(copied(&["settle", "run", "--yes"]));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("settle recover"), "{said}");
        // What may still be on its way from the original must pass first.
        site.devnet.advance(Duration::from_secs(1));
        let recovering = copied(&["settle", "recover", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let recovered = std::thread::spawn(move || recovering.wait_with_output().unwrap());
        while !recovered.is_finished() {
            let head = site.devnet.head_number();
            site.devnet.advance(Duration::from_secs(30));
            wait_until("a block follows", LIMIT, || {
                site.devnet.head_number() > head || recovered.is_finished()
            });
        }
        let output = recovered.join().unwrap();
        assert_eq!(output.status.code(), Some(7));
        let report = json(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(report["done"], false);
        assert_eq!(report["matched"].as_array().unwrap().len(), 2);
        let unassigned = report["unassigned"].as_array().unwrap();
        assert_eq!(unassigned.len(), 1);
        assert_eq!(unassigned[0]["payee"], friend);
        let txid = unassigned[0]["txid"].as_str().unwrap();
        let run = |arguments: &[&str]| succeeds(copied(arguments).output().unwrap());
        let adopted = json(&run(&[
            "settle",
            "adopt",
            txid,
            "--note",
            "a present",
            "--json",
        ]));
        assert_eq!(adopted["adopted"][0], txid);
        assert_eq!(json(&run(&["settle", "recover", "--json"]))["done"], true);
        // Nothing is owed any more, by what the chain shows.
        let plan = json(&run(&["settle", "plan", "--json"]));
        assert_eq!(plan["payouts"].as_array().unwrap().len(), 0);
        assert_eq!(json(&run(&["settle", "audit", "--json"]))["ok"], true);
    });
}

/// A document of a file with one a line.
fn first_line(path: &Path) -> Value {
    json(fs::read_to_string(path).unwrap().lines().next().unwrap())
}

#[test]
fn a_batch_is_signed_by_the_holders_of_a_shared_account_and_paid_once() {
    on_a_site(30, |site| {
        site.owe(1);
        let file = |name: &str| site.home.path().join(name);
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let holder = |n: usize| {
            let key = &site.devnet.accounts()[n].key;
            (key.address(), hex::encode(key.expose_bytes().as_slice()))
        };
        let keys: Vec<Value> = (5..8)
            .map(|n| serde_json::json!({ "address": holder(n).0, "weight": 1 }))
            .collect();
        let mut permissions = json(&site.succeeds(&["account", "permission", "--json"]));
        permissions["permissions"]["owner"]["keys"] = keys.into();
        permissions["permissions"]["owner"]["threshold"] = 2.into();
        let shared = file("permissions.json");
        fs::write(&shared, permissions.to_string()).unwrap();
        site.succeeds(&[
            "account",
            "permission",
            "--set",
            &text(&shared),
            "--allow-lock-out",
            "--yes",
            "--wait",
            "solid",
        ]);

        // Its own key pays nothing any more, and says what does.
        let (code, said) = fails(site.seedrail(&["settle", "run", "--yes"]));
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("several hands") && said.contains("--export"),
            "{said}"
        );

        // The operator needs no key at all: the account is an address.
        let payer = site.payer.address.to_string();
        let keyless = |arguments: &[&str]| {
            let mut command = site.seedrail(arguments);
            command
                .args(["--account", &payer])
                .env_remove("SEEDRAIL_PRIVATE_KEY");
            command
        };
        let batch = file("batch.jsonl");
        let export = [
            "settle",
            "run",
            "--export",
            &text(&batch),
            "--yes",
            "--json",
        ];
        let offered = json(&succeeds(keyless(&export).output().unwrap()));
        assert_eq!(
            (&offered["transactions"], &offered["new"]),
            (&30.into(), &30.into())
        );
        // Written again, nothing is planned twice.
        let again = json(&succeeds(keyless(&export).output().unwrap()));
        assert_eq!(
            (&again["transactions"], &again["new"]),
            (&30.into(), &0.into())
        );
        assert_eq!(again["expiration"], offered["expiration"]);

        let sign = |n: usize, from: &Path, into: &str| {
            let output = site
                .seedrail(&["tx", "sign", &text(from)])
                .env("SEEDRAIL_PRIVATE_KEY", holder(n).1)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                said.contains("30 transfers of 0.030435 BTT in all"),
                "{said}"
            );
            fs::write(file(into), succeeds(output)).unwrap();
            file(into)
        };
        let [one, two] = [(5, "one"), (7, "two")].map(|(n, name)| sign(n, &batch, name));
        let import = |files: &[&Path]| {
            let files: Vec<_> = files.iter().map(|path| text(path)).collect();
            let mut arguments = vec!["settle", "import", "--yes", "--json"];
            arguments.extend(files.iter().map(String::as_str));
            keyless(&arguments)
        };
        let (code, said) = fails(import(&[&one]));
        assert_eq!(code, Some(1), "{said}");
        let third = holder(6).0.to_string();
        assert!(
            said.contains("not_approved") && said.contains(&third),
            "{said}"
        );
        // A stranger's signature beside both.
        let strange = sign(8, &two, "strange");
        let (code, said) = fails(import(&[&one, &strange]));
        assert_eq!(
            (code, said.contains("not_approved")),
            (Some(1), true),
            "{said}"
        );

        // What was combined before is the same as what is given together.
        let combined = succeeds(
            keyless(&["tx", "combine", &text(&one), &text(&two)])
                .output()
                .unwrap(),
        );
        assert_eq!(combined.lines().count(), 30);
        let half = file("half");
        let lines: Vec<&str> = combined.lines().take(15).collect();
        fs::write(&half, lines.join("\n")).unwrap();
        let paid = import(&[&half]).output().unwrap();
        assert_eq!(paid.status.code(), Some(6), "{paid:?}");
        let report = json(std::str::from_utf8(&paid.stdout).unwrap());
        assert_eq!(
            (&report["confirmed"], &report["pending"]),
            (&15.into(), &15.into())
        );
        let report = json(&succeeds(import(&[&one, &two]).output().unwrap()));
        assert_eq!(
            (&report["confirmed"], &report["pending"]),
            (&30.into(), &0.into())
        );
        // Once more changes nothing.
        succeeds(import(&[&two, &one]).output().unwrap());
        site.is_settled(1);
        let txid = first_line(&batch)["txid"].as_str().unwrap().to_owned();
        let shown = json(&succeeds(
            keyless(&["tx", "show", &txid, "--json"]).output().unwrap(),
        ));
        assert_eq!(shown["signers"].as_array().unwrap().len(), 2);

        let other = file("other");
        let strange = site.succeeds(&[
            "tx",
            "build",
            "transfer",
            "--from",
            &payer,
            "--to",
            &holder(9).0.to_string(),
            "--amount",
            "1TRX",
        ]);
        fs::write(&other, strange).unwrap();
        let (code, said) = fails(import(&[&other]));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("never offered"), "{said}");
    });
}

#[test]
fn wages_count_against_debts_unless_they_are_kept_apart() {
    on_a_site(2, |site| {
        site.owe(1);
        let due = |site: &Site| -> Vec<i64> {
            let plan = json(&site.succeeds(&["settle", "plan", "--json"]));
            let payouts = plan["payouts"].as_array().unwrap().iter();
            let mut due: Vec<i64> = payouts
                .map(|payout| payout["amount_raw"].as_str().unwrap().parse().unwrap())
                .collect();
            due.sort_unstable();
            due
        };
        assert_eq!(due(site), [1000, 1001]);
        let to = [Site::payee(0).to_string(), Site::payee(1).to_string()];
        let pay = |to: &str, flags: &[&str]| {
            let order = ["send", "--to", to, "--amount", "300raw:1002000", "--yes"];
            let output = site
                .seedrail(&[&order[..], flags].concat())
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stderr).unwrap()
        };
        let said = pay(&to[0], &[]);
        assert!(said.contains("0.001 BTT is owed to"), "{said}");
        assert!(
            said.contains("counts against it") && said.contains("--not-for-debts"),
            "{said}"
        );
        assert_eq!(due(site), [700, 1001]);
        let said = pay(&to[1], &["--not-for-debts"]);
        assert!(said.contains("leaves that as it is"), "{said}");
        assert_eq!(due(site), [700, 1001]);
        let rows = format!("address,amount\n{},0.0002BTT\n", to[1]);
        let file = site.home.path().join("wages.csv");
        fs::write(&file, rows).unwrap();
        let file = file.to_str().unwrap();
        site.succeeds(&["send", "--csv", file, "--yes", "--not-for-debts"]);
        assert_eq!(due(site), [700, 1001]);
        site.succeeds(&["settle", "run", "--yes"]);
        let btt = Token::Trc10(TokenId::BTT);
        assert_eq!(site.devnet.balance(Site::payee(0), btt).get(), 1000);
        assert_eq!(site.devnet.balance(Site::payee(1), btt).get(), 1001 + 500);
        assert_eq!(due(site), [0_i64; 0]);
        let audit = site.succeeds(&["settle", "audit", "--json"]);
        assert_eq!(audit, "{\"differences\":[],\"ok\":true}\n");
    });
}
