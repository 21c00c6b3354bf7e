//! `seedrail demo`: the whole job on one machine, by this program's own
//! commands, each in a process of its own.

mod daemon;
mod job;
mod process;
mod report;

use std::path::PathBuf;

use clap::Args;

use self::{job::Job, report::Report};
use super::{
    Context,
    failure::{Failure, Outcome},
    units::{self, Price, Rate, Size},
};
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// File to share. Default: a new file of random bytes.
    #[arg(long, value_name = "PATH", conflicts_with = "size")]
    file: Option<PathBuf>,
    /// Size of the new file.
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    size: Size,
    /// Upload limit of the seeder.
    #[arg(long, value_name = "RATE", default_value = "4MiB/s")]
    rate: Rate,
    /// Upload limit of each downloader.
    #[arg(long, value_name = "RATE", default_value = "256KiB/s")]
    leech_rate: Rate,
    /// Price of the seeder.
    #[arg(long, value_name = "PRICE", default_value = "5BTT/GiB")]
    ask: Price,
    /// Bid of the paying downloader.
    #[arg(long, value_name = "PRICE", default_value = "20BTT/GiB")]
    bid: Price,
    /// Time between blocks.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = units::duration)]
    block_time: Duration,
    /// Keep the files, and leave the devnet, the tracker and the seeder running.
    #[arg(long)]
    keep: bool,
    /// Have the payer be a daemon, and leave its page open to look at. Implies `--keep`.
    #[arg(long)]
    daemon: bool,
}

impl Demo {
    /// Whether files and processes stay.
    fn keeps(&self) -> bool {
        self.keep || self.daemon
    }

    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let folder = tempfile::Builder::new()
            .prefix("seedrail-demo-")
            .tempdir()
            .map_err(|error| Failure::failed("demo", format!("no temporary folder: {error}")))?;
        let keep = self.keeps();
        let mut job = Job::new(context, &self, folder.path())?;
        let outcome = tokio::select! {
            outcome = job.work() => outcome,
            () = context.interrupt.wait() => Err(Failure::interrupted()),
        };
        let kept = job.end().await;
        // The folder goes when this ends, unless it is to stay.
        let home = keep.then(|| folder.keep());
        let report: Report = outcome?;
        report.print(context, &self)?;
        let kept = kept?;
        let note = |text: String| context.out.note(text);
        let Some(home) = home else {
            note(
                "\nNext: the README does each step by hand; `seedrail init` makes a wallet.".into(),
            );
            return Ok(());
        };
        note(format!("\nKept in {}", home.display()));
        for (name, pid) in kept {
            note(format!("  {name} is running as process {pid}"));
        }
        if let Some(page) = &report.page {
            note(format!("\nThe payer's page: {page}"));
            note(format!(
                "It asks for a password before money moves: {}",
                daemon::PASSWORD
            ));
        }
        note("Look around as one of the three, for example with `seedrail balance`, after:".into());
        for party in ["seeder", "payer", "free"] {
            let file = home.join(party).join("environment");
            note(format!("  . {}", file.display()));
        }
        note("End the processes with `kill PID`, then remove the folder.".into());
        Ok(())
    }
}
