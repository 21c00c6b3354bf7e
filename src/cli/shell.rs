//! `seedrail completions` and `seedrail man`: made from the commands themselves.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, CommandFactory};
use clap_complete::{CompletionCandidate, Shell, env::EnvCompleter};
use clap_mangen::roff::{Roff, bold, roman};

use super::{
    Cli, Context,
    failure::{Failure, Outcome},
    help,
    output::write,
    settings,
    topics::TOPICS,
};

/// The variable by which a shell's completion asks this program.
const ASKS: &str = "SEEDRAIL_COMPLETE";

/// Answers a shell that completes a command line, and ends; otherwise does nothing.
pub(crate) fn answer_a_shell() {
    clap_complete::CompleteEnv::with_factory(help::command)
        .var(ASKS)
        .complete();
}

/// The wallets of the usual home, or of the one in the environment, that begin with what
/// was typed.
pub(crate) fn wallets(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else {
        return Vec::new();
    };
    let names = settings::usual_home()
        .and_then(|home| fs::read_dir(home.join("wallets")).ok())
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|file| file.strip_suffix(".json").map(str::to_owned));
    let mut names: Vec<String> = names.filter(|name| name.starts_with(typed)).collect();
    names.sort();
    names.into_iter().map(CompletionCandidate::new).collect()
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// For which shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Outcome {
        let shells = clap_complete::env::Shells::builtins();
        let name = self.shell.to_string();
        let shell: &dyn EnvCompleter = shells
            .completer(&name)
            .ok_or_else(|| Failure::usage(format!("no completions for {name}")))?;
        let mut script = Vec::new();
        shell
            .write_registration(ASKS, "seedrail", "seedrail", "seedrail", &mut script)
            .map_err(|error| Failure::failed("completions", error))?;
        write(&script)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write a page for each command into this folder instead of printing the first.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let mut command = Cli::command();
        command.build();
        let Some(folder) = self.output else {
            let mut first = Vec::new();
            page(&command, &mut first).map_err(|error| Failure::failed("man", error))?;
            return write(&first);
        };
        fs::create_dir_all(&folder)
            .and_then(|()| pages(&command, &folder))
            .map_err(|error| Failure::file(&folder, error))?;
        context.out.note(format!(
            "read one with `man -l {}/seedrail.1`",
            folder.display()
        ));
        Ok(())
    }
}

/// A page for `command` and one for each below it.
fn pages(command: &clap::Command, folder: &Path) -> io::Result<()> {
    let below = command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help");
    for sub in below {
        pages(sub, folder)?;
    }
    let mut text = Vec::new();
    page(command, &mut text)?;
    fs::write(
        folder.join(clap_mangen::Man::new(command.clone()).get_filename()),
        text,
    )
}

/// The manual page of one command: what its help says, examples, and what holds for all.
fn page(command: &clap::Command, text: &mut Vec<u8>) -> io::Result<()> {
    let man = clap_mangen::Man::new(command.clone());
    man.render_title(text)?;
    man.render_name_section(text)?;
    man.render_synopsis_section(text)?;
    man.render_description_section(text)?;
    man.render_options_section(text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(text)?;
    }
    let mut more = Roff::new();
    let examples = help::examples(command.get_name());
    if !examples.is_empty() {
        more.control("SH", ["EXAMPLES"]);
    }
    for (line, what) in examples {
        more.control("TP", []);
        more.text([bold(*line)]);
        more.text([roman(*what)]);
    }
    for topic in &TOPICS {
        more.control("SH", [topic.section]);
        more.text([roman(topic.about.replace('`', ""))]);
        for (word, meaning) in topic.rows {
            more.control("TP", []);
            more.text([bold(*word)]);
            more.text([roman(meaning.replace('`', ""))]);
        }
    }
    more.to_writer(text)?;
    man.render_version_section(text)
}
