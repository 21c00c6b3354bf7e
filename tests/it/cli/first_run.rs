//! A home is made, on a terminal and without one: passphrases, recovery phrases,
//! folders, settings.

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{
    home::{Home, Run},
    terminal::Terminal,
    waiting::wait_until,
};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn init_asks_for_the_passphrase_twice_and_gives_the_phrase_away_to_its_owner() {
    let home = Home::new();
    let mut asked = Terminal::start(&home, &["init"]);
    asked.expect("Network (devnet, nile, shasta, mainnet) [devnet]: ");
    asked.line("moon");
    asked.expect("`moon` is not a network");
    asked.expect("Network (devnet, nile, shasta, mainnet) [devnet]: ");
    asked.line("mainnet");
    // The rule is that of the network just chosen.
    asked.expect("New passphrase for wallet `main`: ");
    asked.line("");
    asked.expect("a passphrase for mainnet has at least 8 characters");
    asked.expect("New passphrase for wallet `main`: ");
    asked.line("correct horse");
    asked.expect("The same again: ");
    asked.line("correct hrose");
    asked.expect("are not equal");
    asked.expect("New passphrase for wallet `main`: ");
    asked.line("correct horse");
    asked.expect("The same again: ");
    asked.line("correct horse");
    asked.expect("recovery phrase to a file?");
    asked.line("");
    asked.expect("File [");
    asked.line("");
    asked.expect("what is its word 12? ");
    let file = home.path().join("main-recovery-phrase.txt");
    let phrase = std::fs::read_to_string(&file).unwrap();
    assert_eq!(mode(&file), 0o600);
    asked.line("nonsense");
    asked.expect("what is its word 12? ");
    asked.line(phrase.split_whitespace().nth(11).unwrap());
    let (code, screen) = asked.end();
    assert_eq!(code, 0, "{screen}");
    for secret in ["correct", phrase.trim()] {
        assert!(!screen.contains(secret), "{screen}");
    }
    let address = home.run(["wallet", "show", "--json"]).json()["address"].take();
    assert!(screen.contains(address.as_str().unwrap()), "{screen}");
    assert_eq!(
        home.run(["config", "show", "--json"]).json()["network"]["value"],
        "mainnet"
    );
    // The phrase is the wallet's.
    let copy = Home::new().env("SEEDRAIL_PASSPHRASE", "another one");
    let import = [
        "wallet",
        "import",
        "--json",
        "--mnemonic-file",
        file.to_str().unwrap(),
    ];
    assert_eq!(copy.run(import).json()["address"], address);
}

#[test]
fn a_phrase_that_nobody_wants_or_that_nobody_can_read_is_said_so() {
    let home = Home::new().env("SEEDRAIL_PASSPHRASE", "correct horse");
    let mut asked = Terminal::start(&home, &["wallet", "new", "one", "-q"]);
    asked.expect("recovery phrase to a file?");
    asked.line("n");
    let (code, screen) = asked.end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("no recovery phrase was kept"), "{screen}");
    // Unread, it is no backup, and no wallet is made.
    let mut asked = Terminal::start(
        &home,
        &["wallet", "new", "two", "--phrase-out", "/dev/null/x"],
    );
    asked.expect("error");
    assert_eq!(asked.end().0, 1);
    let phrase = home.path().join("p.txt");
    let out = [
        "wallet",
        "new",
        "two",
        "--phrase-out",
        phrase.to_str().unwrap(),
    ];
    let mut asked = Terminal::start(&home, &out);
    for _ in 0..3 {
        asked.expect("what is its word 12? ");
        asked.line("");
    }
    let (code, screen) = asked.end();
    assert_eq!(code, 1, "{screen}");
    let names = home.run(["wallet", "list"]).stdout;
    assert!(names.contains("one") && !names.contains("two"), "{names}");
}

#[test]
fn without_a_terminal_the_same_rules_hold() {
    for (network, passphrase, code) in [
        ("mainnet", "", 1),
        ("nile", "short", 1),
        ("shasta", "long enough", 0),
        ("devnet", "", 0),
    ] {
        let home = Home::new().env("SEEDRAIL_PASSPHRASE", passphrase);
        let run = home.run(["init", "--network", network]);
        assert_eq!(run.code, code, "{network}: {run:?}");
        if code == 0 {
            assert!(
                run.stderr.contains("no recovery phrase was kept"),
                "{run:?}"
            );
        }
    }
    let home = Home::new().env("SEEDRAIL_PASSPHRASE", "correct horse");
    let phrase = home.path().join("phrase.txt");
    let init = ["init", "--json", "--phrase-out", phrase.to_str().unwrap()];
    let made = home.run(init).json();
    assert_eq!(made["phrase_file"], phrase.to_str().unwrap());
    let words = std::fs::read_to_string(&phrase).unwrap();
    assert_eq!(words.split_whitespace().count(), 24);
}

#[test]
fn init_changes_two_settings_and_leaves_the_rest_as_it_was_written() {
    let home = Home::new().env("SEEDRAIL_PASSPHRASE", "correct horse");
    let before = "# Mine.\nnetwork = \"devnet\" # for now\n\n[settle]\n# Small ones wait.\nmin_payout = \"5BTT\"\n";
    let file = home.file("config.toml", before);
    assert_eq!(home.run(["init", "--network", "nile"]).code, 0);
    assert_eq!(home.run(["init", "--network", "shasta"]).code, 0);
    let after = std::fs::read_to_string(&file).unwrap();
    let expected = before
        .replace("\"devnet\"", "\"shasta\"")
        .replace("# Mine.\n", "# Mine.\naccount = \"main\"\n");
    assert_eq!(after, expected);
    // On a terminal it asks, with what is there as the answer to Enter.
    let mut asked = Terminal::start(&home, &["init"]);
    asked.expect("[shasta]: ");
    asked.line("Nile");
    let (code, screen) = asked.end();
    assert_eq!(code, 0, "{screen}");
    let shown = home.run(["config", "show", "--json"]).json();
    assert_eq!(shown["network"]["value"], "nile");
    assert_eq!(
        shown["settle.min_payout"],
        serde_json::json!({ "value": "5BTT", "from": "config" })
    );
    assert_eq!(shown["settle.reserve"]["from"], "default");
    for name in [
        "passphrase",
        "passphrase_file",
        "signer",
        "key_file",
        "requests_per_second",
    ] {
        assert!(shown[name]["from"].is_string(), "{name}: {shown}");
    }
    assert_eq!(shown["passphrase"]["value"], "(set)");
    assert!(!shown.to_string().contains("correct horse"));
}

#[test]
fn folders_of_the_home_are_their_owners_whatever_the_umask() {
    let outside = Home::new();
    let inside = outside.path().join("deep/home");
    let made = Command::new("sh")
        .args(["-c", "umask 000; exec \"$0\" wallet new --network nile"])
        .arg(env!("CARGO_BIN_EXE_seedrail"))
        .env_clear()
        .env("SEEDRAIL_HOME", &inside)
        .env("SEEDRAIL_PASSPHRASE", "correct horse")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    for folder in [&inside, &inside.join("wallets")] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
}

#[test]
fn secrets_come_by_pipes_too_and_files_that_all_can_read_are_warned_of() {
    let home = Home::new();
    let key = format!("{:064x}", 2);
    let by_pipe = |words: &str| -> Run {
        let output = Command::new("bash")
            .args(["-c", words])
            .arg(env!("CARGO_BIN_EXE_seedrail"))
            .env("SEEDRAIL_HOME", home.path())
            .env("KEY", &key)
            .env_remove("SEEDRAIL_PRIVATE_KEY")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Run {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    };
    let run = by_pipe("\"$0\" --json wallet sign hello --key-file <(echo $KEY)");
    assert_eq!(run.stderr, "", "{run:?}");
    let by_pipe_address = run.json()["address"].take();
    let by_env = Home::with_key(2).run(["--json", "wallet", "sign", "hello"]);
    assert_eq!(by_pipe_address, by_env.json()["address"]);
    let run = by_pipe("\"$0\" --json wallet new piped --passphrase-file <(echo correct horse)");
    assert!(!run.stderr.contains("can read"), "{run:?}");
    assert_eq!(run.code, 0, "{run:?}");

    let file = home.file("passphrase", "correct horse\n");
    let open = [
        "wallet",
        "new",
        "open",
        "--passphrase-file",
        file.to_str().unwrap(),
    ];
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let run = home.run(open);
    assert_eq!(
        run.stderr
            .matches("everybody on this machine can read")
            .count(),
        1,
        "{run:?}"
    );
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let run = home.run([
        "wallet",
        "new",
        "shut",
        "--passphrase-file",
        file.to_str().unwrap(),
    ]);
    assert!(!run.stderr.contains("can read"), "{run:?}");
}

#[test]
fn a_keystore_of_a_gibibyte_opens_in_that_and_little_more() {
    let home = Home::new().env("SEEDRAIL_PASSPHRASE", "correct horse");
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/keystore/eth-account-n20.json");
    let mut child = home
        .command()
        .args(["wallet", "import", "--json", "--keystore"])
        .arg(fixture)
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let read = std::fs::read_to_string(&status).unwrap_or_default();
        let line = read.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    // It was seen at work, and the bound is what SECURITY.md says: 1 GiB and 64 MiB.
    assert!(
        (1 << 20..(1 << 20) + (64 << 10)).contains(&peak),
        "{peak} KiB"
    );
}

#[test]
fn other_paths_and_languages_give_the_keys_that_other_wallets_show() {
    let home = Home::new().env("SEEDRAIL_PASSPHRASE", "correct horse");
    let english = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
    let file = home.file("phrase", english);
    let file = file.to_str().unwrap();
    let import = |name: &str, more: &[&str]| {
        let base = ["wallet", "import", "--json", "--mnemonic-file", file, name];
        home.run(base.iter().chain(more))
    };
    let usual = import("a", &["--index", "1"]).json();
    assert_eq!(usual["address"], "TSeJkUh4Qv67VNFwY8LaAxERygNdy6NQZK");
    let same = import("b", &["--path", "m/44'/195'/0'/0/1"]).json();
    assert_eq!(same["address"], usual["address"]);
    let ledger = import("c", &["--path", "m/44'/195'/1'/0/0"]).json();
    assert_ne!(ledger["address"], usual["address"]);
    assert_eq!(import("d", &["--path", "44/195"]).code, 2);
    assert_eq!(import("d", &["--path", "m/0", "--index", "1"]).code, 2);
    let chinese = home.file("chinese", "的 的 的 的 的 的 的 的 的 的 的 在");
    let chinese = [
        "wallet",
        "import",
        "--json",
        "zh",
        "--mnemonic-file",
        chinese.to_str().unwrap(),
    ];
    assert_eq!(home.run(chinese).code, 0);
}

#[test]
fn ctrl_c_at_a_passphrase_ends_at_once_and_leaves_a_terminal_that_echoes() {
    let home = Home::new();
    let mut asked = Terminal::start(&home, &["wallet", "new", "--network", "nile"]);
    asked.expect("New passphrase for wallet `main`: ");
    wait_until(
        "the echo is off",
        std::time::Duration::from_secs(60),
        || !asked.echoes(),
    );
    asked.interrupt();
    asked.expect("error: interrupted");
    wait_until(
        "the echo is back",
        std::time::Duration::from_secs(60),
        || asked.echoes(),
    );
    assert_eq!(asked.end().0, 130);
    assert!(!home.path().join("wallets/main.json").exists());
}

#[test]
fn ctrl_c_ends_a_command_that_waits_for_its_input() {
    let home = Home::with_key(2);
    for command in [
        &["tx", "sign", "-"][..],
        &["wallet", "sign", "--file", "-"],
        &["tx", "decode", "-"],
    ] {
        let mut child = home
            .command()
            .args(command)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // Waiting for the child would close it.
        let _open = child.stdin.take();
        // It listens for signals once it has a handler for them.
        let status = format!("/proc/{}/status", child.id());
        wait_until(
            "it catches SIGINT",
            std::time::Duration::from_secs(60),
            || {
                let status = std::fs::read_to_string(&status).unwrap_or_default();
                let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
                caught.is_some_and(|mask| {
                    u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask >> 1 & 1 == 1)
                })
            },
        );
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(child.wait().unwrap().code(), Some(130), "{command:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_a_session_key_has_a_default_and_is_asked_again() {
    let (devnet, _) = Home::on_a_devnet().await;
    let key = hex::encode(devnet.accounts()[1].key.expose_bytes().as_slice());
    let home = Home::new()
        .env("SEEDRAIL_PASSPHRASE", "correct horse")
        .env("SEEDRAIL_NODE", &devnet.url());
    let key = home.secret("key", key);
    let import = ["wallet", "import", "--key-file", key.to_str().unwrap()];
    assert_eq!(home.run(import).code, 0);
    let link = format!("magnet:?xt=urn:btih:{}", "07".repeat(20));
    let get = [
        "get",
        &link,
        "--bid",
        "10BTT/GiB",
        "--no-dht",
        "--no-lsd",
        "--no-port-map",
        "--listen",
        "127.0.0.1:0",
        "-o",
        home.path().to_str().unwrap(),
    ];
    let mut asked = Terminal::start(&home, &get);
    asked.expect("Spending limit of the session key [50BTT]: ");
    asked.line("5");
    asked.expect("`5` has no unit: write it as 5BTT");
    asked.expect("Spending limit of the session key [50BTT]: ");
    asked.line("");
    asked.expect("50 BTT");
    asked.interrupt();
    let (code, screen) = asked.end();
    assert_eq!(code, 130, "{screen}");
}
