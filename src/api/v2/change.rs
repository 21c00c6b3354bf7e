//! Adding, changing and removing torrents.

use std::{net::SocketAddr, path::PathBuf};

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{hashes, ok, torrent};
use crate::{
    api::{
        answer::{self, Answered, Refusal},
        request::Call,
        site::Site,
    },
    client::{
        ClientError, ErrorKind,
        command::{AddTorrent, Answer, Command, Files, QueueTo, Source},
        snapshot::{FilePriority, FileRow, Goals, Limits, Queue, TorrentState},
    },
};

/// Torrents that one request adds.
const MAX_ADDED: usize = 100;

/// Words between separators, without blanks around them.
pub(super) fn words(text: &str, separator: char) -> Vec<String> {
    text.split(separator)
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Adds links and files: `Ok.` if any is new, `Fails.` if none is.
pub(super) async fn add(site: &Site, call: &Call<'_>) -> Answered {
    let links = words(call.text("urls").unwrap_or_default(), '\n');
    let mut sources: Vec<Source> = links.into_iter().map(Source::Link).collect();
    let files = call.uploads.iter();
    sources.extend(files.map(|upload| Source::File(upload.bytes.to_vec())));
    if sources.is_empty() {
        return Err(Refusal::bad("there is neither a link nor a torrent file"));
    }
    if sources.len() > MAX_ADDED {
        return Err(Refusal::bad(format!(
            "more than {MAX_ADDED} torrents at once"
        )));
    }
    let mut added = false;
    let mut broken = None;
    for source in sources {
        let is_file = matches!(source, Source::File(_));
        let torrent = Box::new(with_options(call, source)?);
        match site.client.command(Command::Add(torrent)).await {
            Ok(Answer::Added { known, .. }) => added |= !known,
            Ok(Answer::Done | Answer::TorrentFile(_) | Answer::Moved { .. }) => {}
            Err(error) if error.kind() == ErrorKind::Ended => return Err(error.into()),
            Err(error) => {
                tracing::info!(%error, "a torrent was not added");
                if is_file {
                    broken = Some(error);
                }
            }
        }
    }
    match (added, broken) {
        (true, _) => Ok(answer::ok_text("Ok.")),
        (false, None) => Ok(answer::ok_text("Fails.")),
        (false, Some(error)) => Err(unusable(&error)),
    }
}

/// A torrent file that is none.
fn unusable(error: &ClientError) -> Refusal {
    Refusal::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "media_type",
        error.to_string(),
    )
}

fn with_options(call: &Call<'_>, source: Source) -> Result<AddTorrent, Refusal> {
    let text = |name: &str| call.text(name).filter(|text| !text.is_empty());
    // 5.0 says `stopped`, those before `paused`.
    let stopped = match call.flag("stopped")? {
        None => call.flag("paused")?,
        given => given,
    };
    Ok(AddTorrent {
        folder: text("savepath").map(PathBuf::from),
        name: text("rename").map(str::to_owned),
        category: text("category").map(str::to_owned),
        tags: words(call.text("tags").unwrap_or_default(), ','),
        limits: Limits {
            up: bytes(call, "upLimit")?,
            down: bytes(call, "dlLimit")?,
        },
        goals: goals(call)?,
        paused: stopped.unwrap_or_default(),
        ..AddTorrent::new(source)
    })
}

/// A limit; absent, 0 and below: none.
pub(super) fn bytes(call: &Call<'_>, name: &str) -> Result<Option<u64>, Refusal> {
    let limit = call.parsed::<i64>(name)?;
    Ok(limit
        .and_then(|limit| u64::try_from(limit).ok())
        .filter(|limit| *limit > 0))
}

/// Share limits: -2 is the one of all torrents (there is none), -1 none.
fn goals(call: &Call<'_>) -> Result<Goals, Refusal> {
    let ratio = call
        .parsed::<f64>("ratioLimit")?
        .filter(|ratio| *ratio >= 0.0);
    let minutes = call.parsed::<i64>("seedingTimeLimit")?;
    let minutes = minutes.and_then(|minutes| u64::try_from(minutes).ok());
    Ok(Goals {
        ratio_permille: ratio.map(thousandths).transpose()?,
        seeding_secs: minutes.map(|minutes| minutes.saturating_mul(60)),
        earned_raw: None,
    })
}

/// A ratio in thousandths. A ratio of more than a million is a slip.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it was compared with both ends"
)]
fn thousandths(ratio: f64) -> Result<u64, Refusal> {
    match ratio.is_finite() && (0.0..=1e6).contains(&ratio) {
        true => Ok((ratio * 1000.0).round() as u64),
        false => Err(Refusal::bad("the ratio is larger than a million")),
    }
}

/// Does something to each torrent that is named. One that was removed meanwhile is passed
/// over, as one that was never there.
async fn each(
    site: &Site,
    call: &Call<'_>,
    command: impl Fn(crate::types::InfoHash) -> Command,
) -> Answered {
    for hash in hashes(site, call)? {
        match site.client.command(command(hash)).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ok())
}

pub(super) async fn delete(site: &Site, call: &Call<'_>) -> Answered {
    call.need("deleteFiles")?;
    let data = call.flag("deleteFiles")?.unwrap_or_default();
    each(site, call, |hash| Command::Remove { hash, data }).await
}

pub(super) async fn stop(site: &Site, call: &Call<'_>) -> Answered {
    each(site, call, Command::Pause).await
}

pub(super) async fn start(site: &Site, call: &Call<'_>) -> Answered {
    each(site, call, Command::Resume).await
}

pub(super) async fn recheck(site: &Site, call: &Call<'_>) -> Answered {
    each(site, call, Command::Recheck).await
}

/// Without limits of the queue this is an error, as in qBittorrent.
pub(super) async fn move_in_queue(site: &Site, call: &Call<'_>, to: QueueTo) -> Answered {
    if site.client.snapshot().transfer.value.queue == Queue::default() {
        return Err(Refusal::conflict("Torrent queueing must be enabled"));
    }
    let hashes = hashes(site, call)?;
    site.client
        .command(Command::MoveInQueue { hashes, to })
        .await?;
    Ok(ok())
}

/// Nothing is started past the queue: this starts what is paused, and moves what waits to the
/// top. The way back changes nothing.
pub(super) async fn set_force_start(site: &Site, call: &Call<'_>) -> Answered {
    let snapshot = site.client.snapshot();
    if !call.flag("value")?.unwrap_or_default() {
        call.need("hashes")?;
        return Ok(ok());
    }
    for hash in hashes(site, call)? {
        let torrent = snapshot.torrents.get(&hash);
        if torrent.is_some_and(|torrent| torrent.row.value.state == TorrentState::Paused) {
            site.client.command(Command::Resume(hash)).await?;
        }
        if torrent.is_some_and(|torrent| torrent.row.value.state == TorrentState::Queued) {
            let hashes = vec![hash];
            let to = QueueTo::Top;
            site.client
                .command(Command::MoveInQueue { hashes, to })
                .await?;
        }
    }
    Ok(ok())
}

pub(super) async fn set_share_limits(site: &Site, call: &Call<'_>) -> Answered {
    call.need("ratioLimit")?;
    call.need("seedingTimeLimit")?;
    let goals = goals(call)?;
    let snapshot = site.client.snapshot();
    for hash in hashes(site, call)? {
        // What is not said here stays.
        let old = snapshot.torrents.get(&hash);
        let earned_raw = old.and_then(|torrent| torrent.row.value.goals.earned_raw);
        let goals = Goals {
            earned_raw,
            ..goals
        };
        site.client
            .command(Command::SetGoals { hash, goals })
            .await?;
    }
    Ok(ok())
}

pub(super) async fn set_location(site: &Site, call: &Call<'_>) -> Answered {
    let location = call.need("location")?.trim();
    if location.is_empty() {
        return Err(Refusal::bad("Save path cannot be empty"));
    }
    let folder = PathBuf::from(location);
    each(site, call, |hash| Command::Move {
        hash,
        folder: folder.clone(),
    })
    .await
}

pub(super) async fn rename(site: &Site, call: &Call<'_>) -> Answered {
    let (hash, _) = torrent(site, call)?;
    let name = call.need("name")?.trim();
    if name.is_empty() {
        return Err(Refusal::conflict("Incorrect torrent name"));
    }
    let name = Some(name.to_owned());
    site.client.command(Command::Rename { hash, name }).await?;
    Ok(ok())
}

/// 0 leaves files out; 1 wants them, 6 and 7 first.
pub(super) async fn file_prio(site: &Site, call: &Call<'_>) -> Answered {
    let (hash, torrent) = torrent(site, call)?;
    let priority: i64 = call
        .parsed("priority")?
        .ok_or_else(|| Refusal::bad("Priority must be an integer"))?;
    if ![0, 1, 6, 7].contains(&priority) {
        return Err(Refusal::bad("Priority is not valid"));
    }
    let numbers = call
        .need("id")?
        .split('|')
        .map(|id| id.trim().parse::<u32>());
    let numbers: Vec<u32> = numbers
        .collect::<Result<_, _>>()
        .map_err(|_| Refusal::bad("File IDs must be integers"))?;
    let files = &torrent.files.value;
    if files.is_empty() {
        return Err(Refusal::conflict(
            "Torrent's metadata has not yet downloaded",
        ));
    }
    if !numbers
        .iter()
        .all(|number| files.iter().any(|file| file.index == *number))
    {
        return Err(Refusal::conflict("File ID is not valid"));
    }
    let keeps = |file: &&FileRow| match numbers.contains(&file.index) {
        true => priority > 0,
        false => file.wanted,
    };
    // Choosing other files closes its connections: what was chosen so is not chosen again.
    if files.iter().any(|file| keeps(&file) != file.wanted) {
        let positions = files.iter().filter(keeps).map(|file| file.index);
        let files = Files::Positions(positions.collect());
        site.client
            .command(Command::SetFiles { hash, files })
            .await?;
    }
    if priority > 0 {
        let priority = match priority {
            1 => FilePriority::Normal,
            _ => FilePriority::High,
        };
        let files = numbers.into_iter().map(|number| (number, priority));
        let files = files.collect();
        site.client
            .command(Command::SetPriorities { hash, files })
            .await?;
    }
    Ok(ok())
}

pub(super) async fn add_trackers(site: &Site, call: &Call<'_>) -> Answered {
    let (hash, _) = torrent(site, call)?;
    let urls = words(call.need("urls")?, '\n');
    if urls.len() > super::super::request::MAX_PARAMETERS {
        return Err(Refusal::bad("too many trackers"));
    }
    site.client
        .command(Command::AddTrackers { hash, urls })
        .await?;
    Ok(ok())
}

/// Those that it has are removed; it is an error if it has none of them.
pub(super) async fn remove_trackers(site: &Site, call: &Call<'_>) -> Answered {
    let (hash, torrent) = torrent(site, call)?;
    let mut urls = words(call.need("urls")?, '|');
    urls.retain(|url| torrent.trackers.value.iter().any(|row| row.url == *url));
    if urls.is_empty() {
        return Err(Refusal::conflict("No trackers were found"));
    }
    site.client
        .command(Command::RemoveTrackers { hash, urls })
        .await?;
    Ok(ok())
}

pub(super) async fn edit_tracker(site: &Site, call: &Call<'_>) -> Answered {
    let (hash, _) = torrent(site, call)?;
    let from = call.need("origUrl")?.to_owned();
    let to = call.need("newUrl")?.to_owned();
    let told = site.client.command(Command::EditTracker { hash, from, to });
    match told.await {
        Ok(_) => Ok(ok()),
        Err(ClientError::BadTracker(_)) => Err(Refusal::bad("New tracker URL is invalid")),
        Err(ClientError::HasTracker(_)) => Err(Refusal::conflict("New tracker URL already exists")),
        Err(ClientError::NoSuchTracker(_)) => Err(Refusal::conflict("Tracker URL was not found")),
        Err(error) => Err(error.into()),
    }
}

/// What is paused has nothing to ask for.
pub(super) async fn reannounce(site: &Site, call: &Call<'_>) -> Answered {
    for hash in hashes(site, call)? {
        match site.client.command(Command::Reannounce(hash)).await {
            Ok(_) | Err(ClientError::Paused(_) | ClientError::NoSuchTorrent(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ok())
}

pub(super) async fn add_peers(site: &Site, call: &Call<'_>) -> Answered {
    let named = words(call.need("peers")?, '|');
    let peers: Vec<SocketAddr> = named.iter().filter_map(|peer| peer.parse().ok()).collect();
    if peers.is_empty() {
        return Err(Refusal::bad("No valid peers were specified"));
    }
    let failed = named.len() - peers.len();
    let mut answers: Map<String, Value> = Map::new();
    for hash in hashes(site, call)? {
        let peers = peers.clone();
        let told = site.client.command(Command::AddPeers {
            hash,
            peers: peers.clone(),
        });
        let (added, failed) = match told.await {
            Ok(_) => (peers.len(), failed),
            Err(error) if error.kind() == ErrorKind::Ended => return Err(error.into()),
            Err(_) => (0, named.len()),
        };
        answers.insert(
            hash.to_string(),
            json!({ "added": added, "failed": failed }),
        );
    }
    answer::json(&answers)
}
