//! What the shell is told: settings and where they come from, completions, manual.

use crate::support::home::Home;

#[test]
fn each_setting_says_where_it_comes_from() {
    let home = Home::new()
        .env("SEEDRAIL_NODE", "http://127.0.0.1:5")
        .env("TRON_PRO_API_KEY", "a-secret");
    home.file(
        "config.toml",
        "network = \"shasta\"\naccount = \"main\"\n[networks.nile]\nnode = []\nsolidity_node = [\"http://127.0.0.1:6\"]\n",
    );
    let run = home.run(["config", "show", "--json", "--network", "nile"]);
    assert!(!run.stdout.contains("a-secret"), "{run:?}");
    let shown = run.json();
    let from = |name: &str| {
        (
            shown[name]["from"].as_str().unwrap().to_owned(),
            shown[name]["value"].clone(),
        )
    };
    assert_eq!(from("network"), ("flag".into(), "nile".into()));
    assert_eq!(
        from("node"),
        (
            "environment".into(),
            ["http://127.0.0.1:5"].into_iter().collect()
        )
    );
    // A node that was named is asked for everything.
    assert_eq!(from("solidity_node").0, "default");
    assert_eq!(from("account"), ("config".into(), "main".into()));
    assert_eq!(from("api_key").0, "environment");
    assert_eq!(from("ledger").0, "default");
    assert_eq!(
        home.run(["config", "show", "--json"]).json()["network"]["from"],
        "config"
    );
}

/// What bash would be offered for the line, whose last word is being typed.
fn offered(home: &Home, line: &[&str]) -> Vec<String> {
    let mut command = home.command();
    command
        .env("SEEDRAIL_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", (line.len() - 1).to_string())
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_SPACE", "false")
        .env("_CLAP_IFS", "\n")
        .arg("--")
        .args(line);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let offered = String::from_utf8(output.stdout).unwrap();
    offered.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn completions_know_commands_wallets_networks_and_files() {
    let home = Home::new().env("SEEDRAIL_PASSPHRASE", "a long passphrase");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = home.run(["completions", shell]).stdout;
        assert!(script.contains("SEEDRAIL_COMPLETE"), "{shell}: {script}");
        assert!(script.len() < 60 * 1024);
    }
    let commands = offered(&home, &["seedrail", ""]);
    for known in ["settle", "seed", "help"] {
        assert!(commands.iter().any(|one| one == known), "{commands:?}");
    }
    assert_eq!(offered(&home, &["seedrail", "settle", "wat"]), ["watch"]);
    assert_eq!(
        offered(&home, &["seedrail", "balance", "--network", "n"]),
        ["nile"]
    );
    for name in ["savings", "shop"] {
        let made = home.run(["wallet", "new", name]);
        assert_eq!(made.code, 0, "{made:?}");
    }
    assert_eq!(
        offered(&home, &["seedrail", "balance", "--account", "s"]),
        ["savings", "shop"]
    );
    std::fs::write(home.path().join("film.torrent"), "").unwrap();
    let typed = format!("{}/fil", home.path().display());
    let files = offered(&home, &["seedrail", "get", &typed]);
    assert!(files[0].ends_with("/film.torrent"), "{files:?}");
}

#[test]
fn a_network_that_is_not_known_is_told_with_the_nearest_one() {
    let run = Home::new().run(["balance", "--network", "nil"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("'nile'"), "{run:?}");
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let home = Home::new();
    let folder = home.path().join("man");
    assert_eq!(home.run(["man", "-o", folder.to_str().unwrap()]).code, 0);
    for command in ["settle", "settle-run", "get", "devnet-fund"] {
        let page = std::fs::read_to_string(folder.join(format!("seedrail-{command}.1"))).unwrap();
        for section in ["SYNOPSIS", "ENVIRONMENT", "FILES", "EXIT STATUS"] {
            assert!(page.contains(section), "{command}: {section}");
        }
    }
    let page = std::fs::read_to_string(folder.join("seedrail-get.1")).unwrap();
    assert!(page.contains("EXAMPLES"), "{page}");
    assert!(home.run(["man"]).stdout.starts_with(".ie"));
}

#[test]
fn help_tells_of_topics_and_commands() {
    let home = Home::new();
    let page = home.run(["help", "exit-codes"]).stdout;
    assert!(page.contains("\n  8  "), "{page}");
    let page = home.run(["help", "settle", "run"]).stdout;
    assert_eq!(page, home.run(["settle", "run", "--help"]).stdout);
    assert_eq!(page, home.run(["settle", "help", "run"]).stdout);
    assert_eq!(home.run(["help", "nosuch"]).code, 2);
}
