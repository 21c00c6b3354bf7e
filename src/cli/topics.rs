//! What `seedrail help environment`, `exit-codes` and `home` print, and the manual
//! pages repeat. `docs/` and the README have the same tables; a test compares them.

/// A table of words and what they mean.
#[derive(Debug)]
pub(crate) struct Topic {
    /// How `seedrail help` knows it.
    pub(crate) name: &'static str,
    /// The section's name on a manual page.
    pub(crate) section: &'static str,
    /// What stands above the table.
    pub(crate) about: &'static str,
    /// Each word and its meaning; `code` in backticks.
    pub(crate) rows: &'static [(&'static str, &'static str)],
}

pub(crate) const TOPICS: [Topic; 3] = [
    Topic {
        name: "environment",
        section: "ENVIRONMENT",
        about: "Environment variables. An option on the command line wins over its variable.",
        rows: &[
            ("SEEDRAIL_HOME", "The home folder. As `--home`."),
            (
                "SEEDRAIL_NETWORK",
                "`devnet`, `nile`, `shasta` or `mainnet`. As `--network`.",
            ),
            (
                "SEEDRAIL_NODE",
                "URLs of nodes, separated by commas. As `--node`.",
            ),
            (
                "SEEDRAIL_LEDGER",
                "The ledger's file or PostgreSQL URL. The only place for a URL with a password. As `--ledger`.",
            ),
            (
                "SEEDRAIL_CHECKPOINT",
                "The id of a block that you know. As `--checkpoint`.",
            ),
            ("SEEDRAIL_SIGNER", "A program that signs. As `--signer`."),
            (
                "SEEDRAIL_PASSPHRASE",
                "The wallet's passphrase. `--passphrase-file` is safer: other programs of your user can read the environment.",
            ),
            (
                "SEEDRAIL_PRIVATE_KEY",
                "A raw private key in hex, for tests and devnets. `seed --ask` and `get --bid` refuse it on public networks.",
            ),
            (
                "SEEDRAIL_LOG",
                "What is logged, as `info` or `warn,seedrail=debug`. It wins over `-v` and `-q`.",
            ),
            (
                "SEEDRAIL_END_WITH_STDIN",
                "If set, the program ends when its standard input ends, as with Ctrl-C.",
            ),
            (
                "SEEDRAIL_COMPLETE",
                "Set by the script of `seedrail completions`, when a shell completes a line.",
            ),
            (
                "SEEDRAIL_EVENT",
                "Set for the programs of `daemon --on-complete` and `--on-problem`: `complete` or `problem`.",
            ),
            ("SEEDRAIL_HASH", "Set for them: the torrent's info-hash."),
            ("SEEDRAIL_NAME", "Set for them: the torrent's name."),
            (
                "SEEDRAIL_PATH",
                "Set for `--on-complete`: where the content is.",
            ),
            (
                "SEEDRAIL_CODE",
                "Set for `--on-problem`: the kind of problem, as `disk`.",
            ),
            (
                "SEEDRAIL_SUBJECT",
                "Set for `--on-problem`: what it is about, if several may have it.",
            ),
            ("SEEDRAIL_MESSAGE", "Set for `--on-problem`: what is wrong."),
            ("SEEDRAIL_HINT", "Set for `--on-problem`: what to do."),
            (
                "TRON_PRO_API_KEY",
                "The node's API key. As `--api-key-file`.",
            ),
            (
                "PGPASSFILE",
                "The file with passwords of PostgreSQL servers, as other programs use it.",
            ),
        ],
    },
    Topic {
        name: "exit-codes",
        section: "EXIT STATUS",
        about: "The exit status says what to do next.",
        rows: &[
            ("0", "done"),
            ("1", "failed"),
            ("2", "wrong usage"),
            ("3", "the node cannot be reached, or answers nonsense"),
            ("4", "refused by the chain"),
            ("5", "not enough funds or bandwidth"),
            ("6", "partly done, safe to run again"),
            ("7", "the ledger and the chain disagree"),
            (
                "8",
                "the outcome is unknown: check with `seedrail tx wait TXID`; do not send it as a new payment",
            ),
            (
                "130",
                "ended by Ctrl-C, SIGTERM or SIGHUP before it was done; `seed`, `daemon`, `tracker` and `settle watch`, which run until stopped, end with 0",
            ),
            ("141", "nobody reads the output any more (`… | head -1`)"),
        ],
    },
    Topic {
        name: "home",
        section: "FILES",
        about: "Files in the home folder: `--home`, or `$XDG_DATA_HOME/seedrail`, usually `~/.local/share/seedrail`.",
        rows: &[
            ("config.toml", "the settings"),
            ("wallets/", "one encrypted file for each wallet"),
            (
                "sessions/",
                "keys that sign receipts, within the limits that you set",
            ),
            (
                "ledgers/",
                "receipts and payments, one SQLite file for each chain",
            ),
            (
                "swarm/",
                "what was downloaded and checked, nodes of the hash table, the listening port",
            ),
            (
                "client.db",
                "the daemon's list of torrents, with prices and totals",
            ),
            (
                "tokens.json",
                "hashes of the tokens for the daemon's HTTP interfaces",
            ),
            (
                "daemon.sock",
                "the way from commands to the daemon, while it runs",
            ),
            ("mainnet-confirmed", "you agreed to use mainnet"),
        ],
    },
];

impl Topic {
    /// The topic `name`.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        TOPICS.iter().find(|topic| topic.name == name)
    }

    /// The table as text for a terminal of `width` columns.
    pub(crate) fn text(&self, width: usize) -> String {
        let widest = self.rows.iter().map(|(word, _)| word.len()).max();
        let column = widest.unwrap_or(0) + 4;
        let mut text = wrapped(self.about, 0, width);
        text.push_str("\n\n");
        for (word, meaning) in self.rows {
            text.push_str(&format!("  {word:<fill$}", fill = column - 2));
            text.push_str(&wrapped(meaning, column, width));
            text.push('\n');
        }
        text
    }
}

/// `text` in lines of at most `width` columns; all but the first begin with `indent`
/// spaces.
fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let room = width.saturating_sub(indent).max(20);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join(&format!("\n{}", " ".repeat(indent)))
}
