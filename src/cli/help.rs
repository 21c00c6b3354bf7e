//! The help: commands by what they are for, examples, and `seedrail help`.

use std::{ffi::OsString, fmt::Write as _};

use clap::CommandFactory;

use super::{Cli, terminal, topics::Topic};

/// Every command, by what it is for.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Share and download",
        &[
            "get", "seed", "daemon", "torrent", "tracker", "peers", "earnings",
        ],
    ),
    (
        "Steer the daemon",
        &[
            "add", "ls", "show", "pause", "resume", "rm", "limit", "queue", "files", "trackers",
            "price", "watch",
        ],
    ),
    (
        "Money",
        &["wallet", "balance", "send", "settle", "receipts", "ledger"],
    ),
    ("Chain tools", &["account", "token", "tx", "devnet"]),
    (
        "Set-up",
        &["demo", "init", "config", "completions", "man", "help"],
    ),
];

/// What stands beside `help`, which is not among the commands until they are parsed.
const HELP: &str = "Show the help of a command or a topic: environment, exit-codes, home";

/// Examples of commands: the words after `seedrail`, and what the line does.
const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "get",
        &[
            ("seedrail get film.torrent -o films", "Download for free"),
            (
                "seedrail get 'magnet:?xt=urn:btih:…' --bid 20BTT/GiB --max-spend 5BTT",
                "Pay to go first, at most 5 BTT",
            ),
            (
                "seedrail get film.torrent --bid auto --max-bid 50BTT/GiB",
                "Pay as little as is needed",
            ),
        ],
    ),
    (
        "seed",
        &[
            ("seedrail seed films/", "Share a folder for free"),
            (
                "seedrail seed films/ --ask 5BTT/GiB --up-limit 4MiB/s",
                "Sell; peers that do not pay are served last",
            ),
            (
                "seedrail seed film.torrent --content films/",
                "Share content that was downloaded before",
            ),
        ],
    ),
    (
        "daemon",
        &[
            (
                "seedrail daemon",
                "Keep a list of torrents, with a page to steer it",
            ),
            (
                "seedrail daemon --ask 5BTT/GiB --up-limit 4MiB/s",
                "Sell what is shared",
            ),
        ],
    ),
    (
        "add",
        &[
            ("seedrail add film.torrent", "Download by the daemon"),
            (
                "seedrail add film.torrent --category films --paused",
                "Put it into the list, and start it later",
            ),
        ],
    ),
    (
        "send",
        &[
            (
                "seedrail send --to TPjjvMwjPoDC32V2dGDYTkLH4E5LAtBZ6C --amount 5BTT",
                "Pay once, also if the command is repeated",
            ),
            (
                "seedrail send --csv payouts.csv --period 2026-12 --dry-run",
                "Show what a file of payments would cost",
            ),
        ],
    ),
    (
        "settle",
        &[
            (
                "seedrail settle plan",
                "Show what is due, and what it costs",
            ),
            ("seedrail settle run", "Pay it"),
            ("seedrail settle watch", "Keep paying what costs nothing"),
        ],
    ),
    (
        "earnings",
        &[
            ("seedrail earnings", "All that was earned, and paid"),
            ("seedrail earnings --by day --plot", "Bars on the terminal"),
        ],
    ),
    (
        "wallet",
        &[
            (
                "seedrail wallet new",
                "A new wallet and its recovery phrase",
            ),
            (
                "seedrail wallet import old --mnemonic-file words.txt",
                "A wallet from a recovery phrase",
            ),
        ],
    ),
    (
        "devnet",
        &[
            (
                "seedrail devnet",
                "A chain with rich accounts, on port 9090",
            ),
            (
                "seedrail devnet fund TPjjvMwjPoDC32V2dGDYTkLH4E5LAtBZ6C 100BTT",
                "Coins out of nothing",
            ),
        ],
    ),
];

/// The commands as every part of the program has them: with groups and examples.
pub(crate) fn command() -> clap::Command {
    let mut command = Cli::command();
    let template = format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}\
         Options:\n{{options}}{{after-help}}",
        groups(&command)
    );
    for (name, examples) in EXAMPLES {
        let column = examples.iter().map(|(line, _)| line.chars().count()).max();
        let mut text = String::from("Examples:\n");
        for (line, what) in *examples {
            let fill = column.unwrap_or(0);
            // Formatting into a string cannot fail.
            let _ = writeln!(text, "  {line:<fill$}   # {what}");
        }
        command = command.mut_subcommand(name, |sub| sub.after_long_help(text));
    }
    command.help_template(template).after_help(
        "See `seedrail help COMMAND`, and `seedrail help environment`, `exit-codes` or `files`.",
    )
}

/// The examples of the command `name`: a line to type, and what it does.
pub(crate) fn examples(name: &str) -> &'static [(&'static str, &'static str)] {
    let found = EXAMPLES.iter().find(|(command, _)| *command == name);
    found.map_or(&[], |(_, examples)| *examples)
}

/// The list of commands, a heading above each group.
fn groups(command: &clap::Command) -> String {
    let names = GROUPS.iter().flat_map(|(_, names)| *names);
    let column = names.map(|name| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (heading, names) in GROUPS {
        // Formatting into a string cannot fail.
        let _ = writeln!(text, "{heading}:");
        for name in names {
            let known = command.find_subcommand(name);
            let about = match known.and_then(clap::Command::get_about) {
                Some(about) => about.to_string(),
                None => HELP.to_owned(),
            };
            let aliases: Vec<&str> =
                known.map_or(Vec::new(), |known| known.get_visible_aliases().collect());
            let also = match aliases.as_slice() {
                [] => String::new(),
                aliases => format!(" [alias: {}]", aliases.join(", ")),
            };
            let _ = writeln!(text, "  {name:<column$}  {about}{also}");
        }
        text.push('\n');
    }
    text
}

/// The page that `seedrail help TOPIC` asks for.
pub(crate) fn topic(arguments: &[OsString]) -> Option<String> {
    let [_, help, name] = arguments else {
        return None;
    };
    let topic = Topic::named(name.to_str()?).filter(|_| help == "help")?;
    Some(topic.text(terminal::size().0.min(100)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        let mut command = command();
        command.build();
        let known: BTreeSet<&str> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        let grouped: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| *names)
            .copied()
            .collect();
        assert_eq!(grouped.len(), known.len());
        assert_eq!(grouped.into_iter().collect::<BTreeSet<_>>(), known);
    }

    #[test]
    fn every_example_can_be_typed() {
        for (name, examples) in EXAMPLES {
            for (line, _) in *examples {
                let words = line.split(' ').map(|word| word.trim_matches('\''));
                let parsed = command().try_get_matches_from(words);
                assert!(parsed.is_ok(), "{name}: {line}: {parsed:?}");
            }
        }
    }
}
