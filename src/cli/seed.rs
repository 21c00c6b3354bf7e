//! `seedrail seed`: share, and be paid for it.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{
    Context,
    failure::{Failure, Outcome},
    pay::{self, Terms},
    swarm::{GRACE, SHOW_EVERY, SwarmFlags, end},
    torrent,
    units::{Price, Rate, Size, btt_text},
};
use crate::swarm::{Phase, SeedOptions, Stats, TorrentHandle};

#[derive(Debug, Args)]
pub(crate) struct Seed {
    /// Files or folders to share; they are only read.
    #[arg(required = true)]
    path: Vec<PathBuf>,
    /// What paying downloaders pay at least; nothing is charged without it.
    #[arg(long, value_name = "PRICE")]
    ask: Option<Price>,
    /// A tracker to announce to; give it again for more.
    #[arg(long, value_name = "URL")]
    tracker: Vec<String>,
    /// Also write the torrent file (one PATH only).
    #[arg(long, value_name = "FILE")]
    torrent_out: Option<PathBuf>,
    /// Bytes of a piece, a power of two; chosen by size if not given.
    #[arg(long, value_name = "SIZE")]
    piece_size: Option<Size>,
    /// Peers only from the trackers.
    #[arg(long)]
    private: bool,
    #[command(flatten)]
    swarm: SwarmFlags,
}

impl Seed {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        if self.torrent_out.is_some() && self.path.len() > 1 {
            return Err(Failure::usage("--torrent-out goes with one PATH"));
        }
        if self.ask.is_some_and(|ask| ask.0 == 0) {
            return Err(
                Failure::usage("an ask of 0 is no ask").hint("leave --ask out to share for free")
            );
        }
        let options = torrent::options(self.tracker.clone(), self.piece_size, self.private)?;
        let mut made = Vec::new();
        for path in &self.path {
            made.push((path, torrent::hash(context, path, options.clone()).await?));
        }
        let ask = self.ask.map(|ask| ask.0);
        let terms = Terms {
            ask,
            bid: None,
            max_spend: None,
        };
        let pay = pay::start(context, terms).await?;
        let session = self.swarm.session(context, pay.as_ref()).await?;
        let mut seeding = Vec::new();
        for (path, metainfo) in &made {
            let options = SeedOptions {
                peers: self.swarm.peer.clone(),
                trusted: true,
            };
            seeding.push(session.seed(metainfo, path, options)?);
            if let Some(file) = &self.torrent_out {
                std::fs::write(file, metainfo.to_bytes())
                    .map_err(|error| Failure::file(file, error))?;
            }
            let document = json!({
                "event": "seeding",
                "torrent": self.torrent_out,
                "magnet": metainfo.magnet().to_string(),
                "info_hash": metainfo.info.hash(),
                "listen": session.listen_addr(),
            });
            context.out.result(&document, || {
                let asked = self
                    .ask
                    .map_or_else(|| "for free".to_owned(), |ask| format!("from {ask} on"));
                format!(
                    "seeding {} at {} {asked}\n{}",
                    metainfo.info.name(),
                    session.listen_addr(),
                    metainfo.magnet()
                )
            })?;
        }
        let watched = watch(context, &seeding, || {
            pay.as_ref().map_or(0, |pay| pay.totals().earned_raw)
        })
        .await;
        session.finish(GRACE).await;
        end(pay).await?;
        watched
    }
}

/// Shows figures until told to stop, or until every torrent has failed.
async fn watch(context: &Context, seeding: &[TorrentHandle], earned: impl Fn() -> u64) -> Outcome {
    let bar = context.out.bar(0, "{spinner} {msg}");
    let mut tick = tokio::time::interval(SHOW_EVERY);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = context.interrupt.wait() => {
                bar.finish_and_clear();
                return Err(Failure::interrupted());
            }
        }
        let stats: Vec<Stats> = seeding.iter().map(TorrentHandle::stats).collect();
        let failures: Vec<&str> = stats
            .iter()
            .filter_map(|stats| match &stats.phase {
                Phase::Failed(reason) => Some(reason.as_str()),
                _ => None,
            })
            .collect();
        if let [reason, ..] = failures.as_slice()
            && failures.len() == stats.len()
        {
            bar.finish_and_clear();
            return Err(Failure::failed("seed", reason));
        }
        let uploaded: u64 = stats.iter().map(|stats| stats.uploaded).sum();
        let rate: u64 = stats.iter().map(|stats| stats.up_rate).sum();
        let peers: usize = stats.iter().map(|stats| stats.peers.len()).sum();
        bar.set_message(format!(
            "{peers} peers, {} up, {} sent, earned {}",
            Rate(rate),
            Size(uploaded),
            btt_text(earned())
        ));
        bar.tick();
        context.out.event(&json!({
            "event": "progress",
            "uploaded": uploaded,
            "rate": rate,
            "peers": peers,
            "earned_raw": earned().to_string(),
        }))?;
    }
}
