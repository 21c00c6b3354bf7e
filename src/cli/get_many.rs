//! `seedrail get` of several torrents in one process.

use std::{collections::HashSet, path::PathBuf, time::Instant};

use serde_json::json;

use super::{
    Context,
    events::{Troubles, next},
    failure::{Exit, Failure, Outcome},
    live,
    progress::{self, Screen},
    swarm::SHOW_EVERY,
    units::Size,
};
use crate::{
    receipts::pay::PayExtension,
    swarm::{Phase, SeedGoals, Stats, TorrentHandle},
};

/// What became of each torrent.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) complete: Vec<usize>,
    pub(super) failed: Vec<String>,
}

/// Shows figures until every torrent is complete or has failed. Each is told of as it
/// ends.
pub(super) async fn follow(
    context: &Context,
    handles: &[TorrentHandle],
    pay: Option<&PayExtension>,
    goals: SeedGoals,
) -> Outcome<Ends> {
    let started = Instant::now();
    let bar = context.out.bar(0, "{msg}");
    let mut tick = tokio::time::interval(SHOW_EVERY);
    let mut troubles = Troubles::default();
    let mut events: Vec<_> = handles.iter().map(TorrentHandle::events).collect();
    let mut told = HashSet::new();
    let mut ends = Ends::default();
    while told.len() < handles.len() {
        tokio::select! {
            _ = tick.tick() => {}
            () = context.interrupt.wait() => {
                bar.finish_and_clear();
                return Err(Failure::interrupted());
            }
        }
        for events in &mut events {
            while let Some(event) = next(events) {
                troubles.tell(context, &event)?;
            }
        }
        if let Some(torrent) = handles.first() {
            let ports = torrent.port_mapping();
            troubles.tell_ports(context, ports)?;
        }
        let stats: Vec<Stats> = handles.iter().map(TorrentHandle::stats).collect();
        for (at, (handle, stats)) in handles.iter().zip(&stats).enumerate() {
            let complete = handle.is_complete();
            let failed = match (stats.phase.trouble(), &stats.phase) {
                (Some(why), _) => Some(why.to_owned()),
                (None, Phase::Stopped) if !complete => Some("it was stopped".to_owned()),
                _ => None,
            };
            if !(complete || failed.is_some()) || !told.insert(at) {
                continue;
            }
            match failed {
                Some(why) => {
                    let name = name_of(handle);
                    context.out.note(format!("{name}: {why}"));
                    let document = json!({
                        "event": "failed",
                        "info_hash": handle.info_hash(),
                        "name": name,
                        "message": why,
                    });
                    ends.failed.push(why);
                    context.out.event(&document)
                }
                None => {
                    ends.complete.push(at);
                    tell_complete(context, handle, stats, started)
                }
            }?;
        }
        if let Some(pay) = pay {
            for (handle, stats) in handles.iter().zip(&stats) {
                pay.wants(handle.info_hash(), stats.bytes_left);
            }
        }
        show(context, &bar, handles, &stats, pay, goals)?;
    }
    bar.finish_and_clear();
    Ok(ends)
}

/// Shows figures until all of them ended, or until told to stop.
pub(super) async fn share(
    context: &Context,
    handles: &[TorrentHandle],
    pay: Option<&PayExtension>,
    goals: SeedGoals,
) -> Outcome {
    let bar = context.out.bar(0, "{msg}");
    let mut tick = tokio::time::interval(SHOW_EVERY);
    let mut troubles = Troubles::default();
    let mut events: Vec<_> = handles.iter().map(TorrentHandle::events).collect();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = context.interrupt.wait() => break,
        }
        for events in &mut events {
            while let Some(event) = next(events) {
                troubles.tell(context, &event)?;
            }
        }
        let stats: Vec<Stats> = handles.iter().map(TorrentHandle::stats).collect();
        show(context, &bar, handles, &stats, pay, goals)?;
        let ended =
            |stats: &Stats| stats.phase == Phase::Stopped || stats.phase.trouble().is_some();
        if stats.iter().all(ended) {
            break;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn show(
    context: &Context,
    bar: &indicatif::ProgressBar,
    handles: &[TorrentHandle],
    stats: &[Stats],
    pay: Option<&PayExtension>,
    goals: SeedGoals,
) -> Outcome {
    let tallies = progress::tallies(pay);
    let screen = Screen::of_stderr();
    bar.set_message(progress::lines(
        &screen, handles, stats, goals, &tallies, None,
    ));
    bar.tick();
    let live = live::peers(pay, handles);
    context.out.event(&json!({
        "event": "progress",
        "spent_raw": pay.map_or(0, |pay| pay.totals().spent_raw).to_string(),
        "payments": live.iter().map(live::LivePeer::document).collect::<Vec<_>>(),
        "torrents": progress::documents(handles, stats, &tallies),
    }))
}

fn name_of(handle: &TorrentHandle) -> String {
    let name = handle.name();
    name.unwrap_or_else(|| handle.info_hash().to_string())
}

fn tell_complete(
    context: &Context,
    handle: &TorrentHandle,
    stats: &Stats,
    started: Instant,
) -> Outcome {
    let path: PathBuf = handle.path().unwrap_or_default();
    let elapsed = started.elapsed();
    let document = json!({
        "event": "complete",
        "info_hash": handle.info_hash(),
        "path": path,
        "bytes": stats.bytes,
        "seconds": elapsed.as_secs_f64(),
        "downloaded": stats.downloaded,
    });
    context.out.result(&document, || {
        format!("{}  {} in {elapsed:.1?}", path.display(), Size(stats.bytes))
    })
}

impl Ends {
    /// What the command comes to.
    pub(super) fn outcome(&self) -> Outcome {
        let (failed, complete) = (self.failed.len(), self.complete.len());
        match self.failed.first() {
            None => Ok(()),
            Some(why) if complete == 0 => Err(Failure::failed("download", why)),
            Some(why) => Err(Failure::new(
                Exit::Partly,
                "download",
                format!("{failed} of {} downloads failed: {why}", failed + complete),
            )),
        }
    }
}
