//! `seedrail completions` and `seedrail man`: made from the commands themselves.

use std::{fs, path::PathBuf};

use clap::Args;
use clap_complete::Shell;

use super::{
    Context,
    failure::{Failure, Outcome},
    output::write,
};

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// For which shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, mut command: clap::Command) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "seedrail", &mut script);
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
    pub(crate) fn run(self, context: &Context, command: clap::Command) -> Outcome {
        let Some(folder) = self.output else {
            let mut page = Vec::new();
            clap_mangen::Man::new(command)
                .render(&mut page)
                .map_err(|error| Failure::failed("man", error))?;
            return write(&page);
        };
        fs::create_dir_all(&folder)
            .and_then(|()| clap_mangen::generate_to(command, &folder))
            .map_err(|error| Failure::file(&folder, error))?;
        context.out.note(format!(
            "read one with `man -l {}/seedrail.1`",
            folder.display()
        ));
        Ok(())
    }
}
