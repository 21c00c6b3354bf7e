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

#[test]
fn completions_and_manual_know_every_command() {
    let home = Home::new();
    let help = home.run(["--help"]).stdout;
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.contains(&"settle"), "{help}");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = home.run(["completions", shell]).stdout;
        for command in &commands {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
    }
    let folder = home.path().join("man");
    assert_eq!(home.run(["man", "-o", folder.to_str().unwrap()]).code, 0);
    for command in &commands {
        assert!(
            folder.join(format!("seedrail-{command}.1")).exists(),
            "{command}"
        );
    }
    assert!(home.run(["man"]).stdout.starts_with(".ie"));
}
