//! The payer as a daemon, whose page stays to be looked at.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use indicatif::ProgressBar;
use serde_json::Value;

use super::{
    job::{Job, count, missing, path_text, raw, text},
    process::Party,
    report::Download,
};
use crate::{
    cli::{
        failure::{Failure, Outcome},
        files::sha256,
        units::btt_text,
    },
    types::RawAmount,
};

/// What the page of the demo asks for before money moves. It is known to everybody, as the
/// devnet's keys are.
pub(super) const PASSWORD: &str = "correct horse battery";

impl Job<'_> {
    /// Starts the payer's daemon; the page's address, with a token in it.
    pub(super) async fn start_daemon(&mut self, payer: &Party) -> Outcome<String> {
        let password = payer.home.join("password");
        fs::create_dir_all(&payer.home)
            .and_then(|()| {
                let mut options = fs::File::options();
                let options = options.write(true).create(true).truncate(true).mode(0o600);
                options.open(&password)?.write_all(PASSWORD.as_bytes())
            })
            .map_err(|error| Failure::file(&password, error))?;
        let (bid, rate) = (
            self.demo.bid.as_argument(),
            self.demo.leech_rate.0.to_string(),
        );
        let arguments = [
            "daemon",
            "--bid",
            &bid,
            "--settle",
            "free",
            "--http",
            "127.0.0.1:0",
            "--password-file",
            path_text(&password)?,
            "--up-limit",
            &rate,
            "--listen",
            "127.0.0.1:0",
        ];
        let started = self.start("daemon", Some(payer), &arguments).await?;
        Ok(text(&started, "/first_url")?.to_owned())
    }

    /// Has the daemon download, until all of it is there and its last receipt is signed.
    pub(super) async fn daemon_leech(
        &self,
        payer: &Party,
        torrent: &Path,
        bar: ProgressBar,
    ) -> Outcome<Download> {
        let folder = payer.home.join("downloads");
        let add = ["add", path_text(torrent)?, "--folder", path_text(&folder)?];
        let added = self.launcher.run("add", payer, &add).await?;
        let hash = text(&added, "/info_hash")?.to_owned();
        let whole = self
            .watch(payer, &hash, |row| {
                bar.set_length(count(row, "/wanted")?);
                bar.set_position(count(row, "/wanted")?.saturating_sub(count(row, "/left")?));
                let spent = raw(row, "/spent_raw")?;
                if spent > RawAmount::ZERO {
                    bar.set_message(format!("spent {}", btt_text(spent.unsigned())));
                }
                Ok(row.get("completed").is_some_and(|time| !time.is_null()))
            })
            .await?;
        bar.finish();
        // A torrent that is paused has settled with its peers what is due.
        self.launcher.run("pause", payer, &["pause", &hash]).await?;
        let still = self
            .watch(payer, &hash, |row| {
                Ok(text(row, "/state")? == "paused" && count(row, "/peers")? == 0)
            })
            .await?;
        self.launcher
            .run("resume", payer, &["resume", &hash])
            .await?;
        let (added, completed) = (count(&whole, "/added")?, count(&whole, "/completed")?);
        let path = Path::new(text(&whole, "/path")?);
        Ok(Download {
            millis: completed.saturating_sub(added),
            sha256: sha256(path).await?,
            spent: raw(&still, "/spent_raw")?,
        })
    }

    /// Looks at a torrent of the daemon until it is as it shall be.
    async fn watch(
        &self,
        payer: &Party,
        hash: &str,
        mut is: impl FnMut(&Value) -> Outcome<bool>,
    ) -> Outcome<Value> {
        let mut watching = self.launcher.start("watch", Some(payer), &["watch"])?;
        let row = loop {
            let state = watching.expect().await?;
            let rows = state
                .get("torrents")
                .and_then(Value::as_array)
                .ok_or_else(|| missing(&state, "/torrents"))?;
            let row = rows
                .iter()
                .find(|row| row.get("info_hash").and_then(Value::as_str) == Some(hash));
            if let Some(row) = row
                && is(row)?
            {
                break row.clone();
            }
        };
        watching.kill().await?;
        Ok(row)
    }
}
