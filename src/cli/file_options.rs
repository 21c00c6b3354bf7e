//! Options of commands in `config.toml`: the keys of `[daemon]`, `[get]` and `[seed]`, and some
//! of those at the top, are options of the command line, written with `_` for `-`. Each is put
//! in where neither the command line nor the environment has it, and is parsed as if it had
//! been typed.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use clap::{
    Arg, ArgAction, ArgMatches, builder::ValueParser, error::ErrorKind, parser::ValueSource,
};
use serde_json::{Value, json};
use toml::{Spanned, Table, de::DeTable, de::DeValue};

use super::{
    failure::{Failure, Outcome},
    help,
    settings::{self, line_and_column},
};

/// Commands that have a table of their own.
pub(super) const TABLES: [&str; 3] = ["daemon", "get", "seed"];

/// Options of all commands that may stand at the top.
pub(super) const AT_THE_TOP: [&str; 7] = [
    "api_key_file",
    "checkpoint",
    "key_file",
    "ledger",
    "passphrase_file",
    "requests_per_second",
    "signer",
];

/// Options that are about one run: they are typed.
const OF_ONE_RUN: [&str; 9] = [
    "ask_for",
    "content",
    "files",
    "help",
    "overwrite",
    "peer",
    "recheck",
    "torrent_out",
    "up_limit_for",
];

/// A key that is of no use without another one: when that one is typed, it is typed as well.
const GOES_WITH: [(&str, &str); 4] = [
    ("max_bid", "bid"),
    ("proxy_password_file", "proxy"),
    ("tls_key", "tls_certificate"),
    ("tls_certificate", "tls_key"),
];

/// An option that the file gives.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FileOption {
    /// The table that it stands in; `None`: at the top.
    pub(super) table: Option<&'static str>,
    /// Its key.
    pub(super) key: String,
    /// Its value, as it is shown.
    pub(super) value: Value,
    /// As if it had been typed.
    words: Vec<OsString>,
    /// Where it stands.
    place: String,
}

/// What the file says.
#[derive(Debug, Clone, Default)]
pub(super) struct FileOptions {
    pub(super) options: Vec<FileOption>,
    /// Everything that is no option: `network`, `[settle]` and others.
    pub(super) rest: Table,
}

/// The arguments of a command that its table may have, in the order of its help.
pub(super) fn keys_of(table: &str) -> Vec<(String, Arg)> {
    let mut root = help::command();
    root.build();
    let Some(command) = root.find_subcommand(table) else {
        return Vec::new();
    };
    let own = command.get_arguments().filter(|arg| {
        !arg.is_positional() && !arg.is_global_set() && arg.get_long().is_some_and(|_| true)
    });
    own.map(|arg| (key_of(arg), arg.clone()))
        .filter(|(key, _)| !OF_ONE_RUN.contains(&key.as_str()) && key != "version")
        .collect()
}

/// The options of all commands that may stand at the top.
pub(super) fn keys_at_the_top() -> Vec<(String, Arg)> {
    let root = help::command();
    let arguments = root.get_arguments().map(|arg| (key_of(arg), arg.clone()));
    arguments
        .filter(|(key, _)| AT_THE_TOP.contains(&key.as_str()))
        .collect()
}

fn key_of(arg: &Arg) -> String {
    arg.get_long().unwrap_or_default().replace('-', "_")
}

/// Whether the option is a switch, which has no value.
pub(super) fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// Whether it may be repeated, and is a list in the file.
pub(super) fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// Reads the options of the file at `path`, if there is one. A file that is no TOML gives
/// none: [`settings::read_config`] refuses it.
pub(super) fn read(path: &Path) -> Outcome<FileOptions> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(FileOptions::default());
        }
        Err(error) => return Err(Failure::file(path, error)),
    };
    let Ok(file) = DeTable::parse(&text) else {
        return Ok(FileOptions::default());
    };
    let home = path.parent().unwrap_or(Path::new("."));
    let reader = Reader {
        path,
        home,
        text: &text,
    };
    let mut read = FileOptions {
        options: Vec::new(),
        rest: toml::from_str(&text).unwrap_or_default(),
    };
    let file = file.into_inner();
    reader.table(None, &keys_at_the_top(), &file, &mut read.options)?;
    for table in TABLES {
        read.rest.remove(table);
        if let Some(DeValue::Table(inner)) = file.get(table).map(Spanned::get_ref) {
            reader.table(Some(table), &keys_of(table), inner, &mut read.options)?;
        }
    }
    for key in AT_THE_TOP {
        read.rest.remove(key);
    }
    Ok(read)
}

impl FileOptions {
    /// Takes these options over from another reading of the file.
    pub(super) fn take(&mut self, other: &Self, names: &[String]) {
        let named = |option: &FileOption| {
            let table = option
                .table
                .map_or(String::new(), |table| format!("{table}."));
            names.contains(&format!("{table}{}", option.key))
        };
        self.options.retain(|option| !named(option));
        let new = other.options.iter().filter(|option| named(option));
        self.options.extend(new.cloned());
    }
}

struct Reader<'a> {
    path: &'a Path,
    home: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn failure(&self, at: usize, why: &str) -> Failure {
        let place = line_and_column(self.text, at);
        Failure::failed("config", format!("{}, {place}: {why}", self.path.display()))
    }

    fn table(
        &self,
        table: Option<&'static str>,
        known: &[(String, Arg)],
        values: &DeTable<'_>,
        options: &mut Vec<FileOption>,
    ) -> Outcome {
        for (key, value) in values {
            let at = key.span().start;
            let name = key.get_ref().as_ref();
            let Some((_, arg)) = known.iter().find(|(known, _)| known == name) else {
                let Some(table) = table else { continue };
                let why = format!("there is no key `{name}` in [{table}]");
                return Err(self.failure(at, &why).hint(format!(
                    "its keys are the options of `seedrail {table}`, with _ for -"
                )));
            };
            let words = self.words(arg, value)?;
            options.push(FileOption {
                table,
                key: name.to_owned(),
                value: shown(value.get_ref()),
                words,
                place: format!(
                    "{}, {}",
                    self.path.display(),
                    line_and_column(self.text, at)
                ),
            });
        }
        Ok(())
    }

    /// The option as it is typed.
    fn words(&self, arg: &Arg, value: &Spanned<DeValue<'_>>) -> Outcome<Vec<OsString>> {
        let long = arg.get_long().unwrap_or_default();
        let key = key_of(arg);
        let at = value.span().start;
        let one = |value: &Spanned<DeValue<'_>>| {
            let text = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.to_string(),
                _ => {
                    let why = format!("`{key}` is a text, as it is typed on the command line");
                    return Err(self.failure(value.span().start, &why));
                }
            };
            let mut word = OsString::from(format!("--{long}="));
            word.push(self.placed(arg, text));
            Ok(word)
        };
        match (is_switch(arg), is_list(arg), value.get_ref()) {
            (true, _, DeValue::Boolean(true)) => Ok(vec![format!("--{long}").into()]),
            (true, _, DeValue::Boolean(false)) => Ok(Vec::new()),
            (true, ..) => Err(self.failure(at, &format!("`{key}` is true or false"))),
            (_, true, DeValue::Array(values)) => values.iter().map(one).collect(),
            _ => Ok(vec![one(value)?]),
        }
    }

    /// A path that is not absolute begins at the home.
    fn placed(&self, arg: &Arg, text: String) -> OsString {
        let path_type = ValueParser::path_buf().type_id();
        let is_path = arg.get_value_parser().type_id() == path_type;
        // A program may be found by its name alone.
        let is_name = arg.get_long() == Some("signer") && !text.contains('/');
        match is_path && !is_name {
            true => self.home.join(text).into_os_string(),
            false => text.into(),
        }
    }
}

fn shown(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(number) => {
            let number = number.to_string();
            number
                .parse::<i64>()
                .map_or(json!(number), |number| json!(number))
        }
        DeValue::Boolean(value) => json!(value),
        DeValue::Array(values) => values.iter().map(|value| shown(value.get_ref())).collect(),
        _ => Value::Null,
    }
}

/// What stands where in the arguments of a command.
pub(super) struct Typed {
    /// The command, if it has a table.
    table: Option<&'static str>,
    /// Its position among the arguments.
    position: Option<usize>,
    /// The keys that were typed, or are in the environment.
    given: Vec<String>,
    /// The file with the options.
    pub(super) path: Option<PathBuf>,
}

impl Typed {
    /// Looks at arguments that may be wrong.
    pub(super) fn of(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let root = help::command();
        let matches = root
            .clone()
            .ignore_errors(true)
            .try_get_matches_from(arguments)?;
        let position = subcommand_position(&root, arguments);
        let (name, inner) = matches
            .subcommand()
            .map_or((None, None), |(name, inner)| (Some(name), Some(inner)));
        let typed = |matches: &ArgMatches| {
            let ids = matches.ids().filter(|id| {
                let source = matches.value_source(id.as_str());
                matches!(
                    source,
                    Some(ValueSource::CommandLine | ValueSource::EnvVariable)
                )
            });
            ids.map(|id| id.as_str().to_owned()).collect::<Vec<_>>()
        };
        let mut given = typed(&matches);
        given.extend(inner.into_iter().flat_map(typed));
        let home = matches.get_one::<PathBuf>("home").cloned();
        let home = home.or_else(|| settings::default_home().ok());
        Ok(Self {
            table: TABLES.into_iter().find(|table| Some(*table) == name),
            position,
            given,
            path: home.map(|home| home.join("config.toml")),
        })
    }

    /// The options of the file that count.
    pub(super) fn counting<'a>(&self, file: &'a FileOptions) -> Vec<&'a FileOption> {
        let given = |key: &str| self.given.iter().any(|given| given == key);
        let counts = |option: &&FileOption| {
            let own = option.table.is_none() || option.table == self.table;
            let leader = GOES_WITH.iter().find(|(key, _)| *key == option.key);
            let taken = given(&option.key)
                || leader.is_some_and(|(_, leader)| given(leader))
                || (option.key == "dht_node" && given("no_dht"));
            own && !taken
        };
        file.options.iter().filter(counts).collect()
    }

    /// The arguments with these options behind the command's name.
    pub(super) fn with(&self, arguments: &[OsString], options: &[&FileOption]) -> Vec<OsString> {
        let Some(position) = self.position else {
            return arguments.to_vec();
        };
        let (before, after) = arguments.split_at((position + 1).min(arguments.len()));
        let words = options
            .iter()
            .flat_map(|option| option.words.iter().cloned());
        before
            .iter()
            .cloned()
            .chain(words)
            .chain(after.iter().cloned())
            .collect()
    }

    /// Why arguments with these options are refused, when they are not without them.
    pub(super) fn blame(&self, options: &[&FileOption], error: &clap::Error) -> Failure {
        let table = self.table.unwrap_or("config");
        for option in options {
            let mut alone: Vec<OsString> = vec!["seedrail".into(), table.into()];
            alone.extend(option.words.iter().cloned());
            let Err(error) = help::command().try_get_matches_from(alone) else {
                continue;
            };
            if matches!(
                error.kind(),
                ErrorKind::ValueValidation
                    | ErrorKind::InvalidValue
                    | ErrorKind::WrongNumberOfValues
            ) {
                let why = std::error::Error::source(&error).map(ToString::to_string);
                let why = why.unwrap_or_else(|| first_line(&error));
                return Failure::failed(
                    "config",
                    format!("{}: `{}`: {why}", option.place, option.key),
                );
            }
        }
        let path = self.path.as_deref().unwrap_or(Path::new("config.toml"));
        Failure::failed(
            "config",
            format!("{}: {}", path.display(), first_line(error)),
        )
    }
}

/// The first paragraph of an error, in one line.
fn first_line(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let lines = rendered.lines().map(str::trim);
    let line = lines
        .take_while(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    line.trim_start_matches("error: ").to_owned()
}

/// Where the command's name stands: before it there are options of all commands alone.
fn subcommand_position(root: &clap::Command, arguments: &[OsString]) -> Option<usize> {
    let takes_value = |word: &str| {
        let arg = root
            .get_arguments()
            .find(|arg| arg.get_long() == word.strip_prefix("--"));
        arg.is_some_and(|arg| arg.get_action().takes_values())
    };
    let mut at = 1;
    while let Some(argument) = arguments.get(at) {
        let word = argument.to_string_lossy();
        if !word.starts_with('-') {
            return Some(at);
        }
        at += if takes_value(&word) { 2 } else { 1 };
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// The tables of keys, as they stand in the documentation.
    fn reference() -> String {
        let mut text = String::new();
        let mut table = |title: &str, keys: Vec<(String, Arg)>| {
            let _ = write!(
                text,
                "\n{title}\n\n| key | value | meaning |\n|---|---|---|\n"
            );
            for (key, arg) in keys {
                let name = arg
                    .get_value_names()
                    .and_then(<[_]>::first)
                    .map_or(String::new(), ToString::to_string);
                let value = match (is_switch(&arg), is_list(&arg)) {
                    (true, _) => "`true`".to_owned(),
                    (_, true) => format!("list of {name}"),
                    _ => name,
                };
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
                let help = match help.strip_suffix("; may be repeated") {
                    Some(help) => help.to_owned(),
                    None => help,
                };
                let end = if help.ends_with('.') { "" } else { "." };
                let default: Vec<_> = arg
                    .get_default_values()
                    .iter()
                    .filter_map(|value| value.to_str())
                    .filter(|value| !value.is_empty() && !is_switch(&arg))
                    .map(|value| format!(" Default: `{value}`."))
                    .collect();
                let row = format!(
                    "| `{key}` | {} | {help}{end}{} |\n",
                    value.replace('|', "\\|"),
                    default.concat()
                );
                text.push_str(&row);
            }
        };
        table("At the top:", keys_at_the_top());
        for command in TABLES {
            let title = format!("`[{command}]`, for `seedrail {command}`:");
            table(&title, keys_of(command));
        }
        text
    }

    #[test]
    fn the_documentation_has_every_key_and_no_other() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
        let page = fs::read_to_string(&path).unwrap();
        let (begin, end) = ("<!-- keys -->\n", "\n<!-- end of keys -->");
        let (before, rest) = page.split_once(begin).unwrap();
        let (recorded, after) = rest.split_once(end).unwrap();
        if std::env::var_os("SEEDRAIL_BLESS").is_some() {
            fs::write(&path, format!("{before}{begin}{}{end}{after}", reference())).unwrap();
            return;
        }
        assert!(
            recorded == reference(),
            "the keys in docs/configuration.md differ from the options; write them anew with \
             SEEDRAIL_BLESS=1:\n{}",
            reference()
        );
    }

    fn reading(text: &str) -> Outcome<FileOptions> {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, text).unwrap();
        read(&path)
    }

    fn words(text: &str) -> Vec<String> {
        let options = reading(text).unwrap().options;
        let words = options.iter().flat_map(|option| option.words.iter());
        words
            .map(|word| word.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn options_are_as_if_they_had_been_typed() {
        let text = "[daemon]\nask = \"5BTT/GiB\"\nno_dht = true\nno_utp = false\n\
                    host = [\"a\", \"b\"]\n[get]\nmax_bid = \"7BTT/GiB\"\n";
        let expected = [
            "--ask=5BTT/GiB",
            "--host=a",
            "--host=b",
            "--no-dht",
            "--max-bid=7BTT/GiB",
        ];
        assert_eq!(words(text), expected);
        let passphrase = words("passphrase_file = \"pass\"\n");
        assert!(
            passphrase[0].starts_with("--passphrase-file=/"),
            "{passphrase:?}"
        );
        assert_eq!(
            words("passphrase_file = \"/etc/pass\"\n"),
            ["--passphrase-file=/etc/pass"]
        );
        assert_eq!(words("signer = \"mysigner\"\n"), ["--signer=mysigner"]);
    }

    #[test]
    fn wrong_keys_and_values_are_refused_with_their_line() {
        for (text, place, why) in [
            (
                "[daemon]\n\n  asks = \"1\"\n",
                "line 3, column 3",
                "no key `asks`",
            ),
            (
                "[seed]\nfiles = \"1\"\n",
                "line 2, column 1",
                "no key `files`",
            ),
            (
                "[daemon]\nno_dht = 1\n",
                "line 2, column 10",
                "true or false",
            ),
            ("[daemon]\nask = 1.5\n", "line 2, column 7", "is a text"),
            ("[daemon]\nhost = [true]\n", "line 2, column 9", "is a text"),
        ] {
            let message = reading(text).unwrap_err().message;
            assert!(
                message.contains(place) && message.contains(why),
                "{message}"
            );
        }
    }

    #[test]
    fn the_name_of_the_command_is_found_behind_options_of_all() {
        let root = help::command();
        let at = |line: &str| {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            subcommand_position(&root, &arguments)
        };
        assert_eq!(at("seedrail daemon --home get"), Some(1));
        assert_eq!(at("seedrail --home get get link"), Some(3));
        assert_eq!(at("seedrail --home=get -vv --json get link"), Some(4));
        assert_eq!(at("seedrail --json"), None);
    }
}
