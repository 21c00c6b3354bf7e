//! `torrent-…`.

use std::{collections::BTreeMap, path::PathBuf, sync::atomic::Ordering};

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::{Done, Failure, fields, object, session::limit};
use crate::{
    api::site::Site,
    client::{
        ClientError, ErrorKind,
        command::{AddTorrent, Answer, Command, Files, QueueTo, Source},
        snapshot::{FilePriority, Goals, Limits, Snapshot, Torrent},
    },
    types::InfoHash,
};

/// Fields, ids, files and labels that one call names.
const MAX_NAMED: usize = 10_000;

/// The torrents that `ids` names: nothing for all, a number, a hash, `recently-active`, or a
/// list of numbers and hashes.
fn named(
    site: &Site,
    snapshot: &Snapshot,
    arguments: &Map<String, Value>,
) -> Result<Vec<(InfoHash, i64)>, Failure> {
    let ids = site.ids.of(snapshot);
    let all = || ids.iter().map(|(hash, id)| (*hash, *id)).collect();
    let list = match arguments.get("ids") {
        None => return Ok(all()),
        // Rows are cheap: those who ask for what moved get everything.
        Some(Value::String(text)) if text == "recently-active" => return Ok(all()),
        Some(Value::Array(list)) if list.len() <= MAX_NAMED => list.clone(),
        Some(Value::Array(_)) => return Err(Failure::Argument("ids")),
        Some(one) => vec![one.clone()],
    };
    let numbers: BTreeMap<i64, InfoHash> = ids.iter().map(|(hash, id)| (*id, *hash)).collect();
    let mut found = Vec::new();
    for one in list {
        let hash = match &one {
            Value::Number(number) => number.as_i64().and_then(|id| numbers.get(&id).copied()),
            Value::String(text) => text.to_ascii_lowercase().parse::<InfoHash>().ok(),
            _ => return Err(Failure::Argument("ids")),
        };
        if let Some((hash, id)) = hash.and_then(|hash| Some((hash, *ids.get(&hash)?)))
            && !found.contains(&(hash, id))
        {
            found.push((hash, id));
        }
    }
    Ok(found)
}

pub(super) fn get(site: &Site, arguments: &Map<String, Value>) -> Done {
    let names = arguments.get("fields").and_then(Value::as_array);
    let names = names.ok_or(Failure::Argument("fields"))?;
    if names.len() > MAX_NAMED {
        return Err(Failure::Argument("fields"));
    }
    let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
    let as_table = arguments.get("format").and_then(Value::as_str) == Some("table");
    let snapshot = site.client.snapshot();
    let mut rows = Vec::new();
    if as_table {
        rows.push(json!(names));
    }
    for (hash, id) in named(site, &snapshot, arguments)? {
        let Some(torrent) = snapshot.torrents.get(&hash) else {
            continue;
        };
        rows.push(match as_table {
            true => names
                .iter()
                .map(|name| fields::field(id, torrent, name).unwrap_or_default())
                .collect(),
            false => Value::Object(fields::object(id, torrent, &names)),
        });
    }
    let mut answer = object(json!({ "torrents": rows }));
    if arguments.get("ids").and_then(Value::as_str) == Some("recently-active") {
        // All that are there were listed: whoever had others drops them.
        answer.insert("removed".to_owned(), json!([]));
    }
    Ok(answer)
}

fn text<'a>(arguments: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let text = arguments.get(name).and_then(Value::as_str);
    text.filter(|text| !text.is_empty())
}

fn list<T>(
    arguments: &Map<String, Value>,
    name: &'static str,
    of: impl Fn(&Value) -> Option<T>,
) -> Result<Option<Vec<T>>, Failure> {
    match arguments.get(name) {
        None => Ok(None),
        Some(Value::Array(list)) if list.len() <= MAX_NAMED => {
            let list: Option<Vec<T>> = list.iter().map(of).collect();
            list.map(Some).ok_or(Failure::Argument(name))
        }
        Some(_) => Err(Failure::Argument(name)),
    }
}

fn labels(arguments: &Map<String, Value>) -> Result<Option<Vec<String>>, Failure> {
    list(arguments, "labels", |label| {
        Some(label.as_str()?.trim().to_owned())
    })
}

fn position(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

pub(super) async fn add(site: &Site, arguments: &Map<String, Value>) -> Done {
    let source = match (text(arguments, "metainfo"), text(arguments, "filename")) {
        (Some(text), _) => {
            // Some send it in lines.
            let text: String = text.split_ascii_whitespace().collect();
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_err(|_| Failure::NoTorrentFile)?;
            Source::File(bytes)
        }
        (None, Some(link)) => Source::Link(link.to_owned()),
        (None, None) => return Err(Failure::Argument("filename")),
    };
    let paused = match arguments.get("paused") {
        None => !site.starts_added.load(Ordering::Relaxed),
        Some(paused) => paused.as_bool().unwrap_or_else(|| paused == 1),
    };
    let torrent = AddTorrent {
        folder: text(arguments, "download-dir").map(PathBuf::from),
        tags: labels(arguments)?.unwrap_or_default(),
        paused,
        ..AddTorrent::new(source)
    };
    let (hash, known) = match site.client.command(Command::Add(Box::new(torrent))).await {
        Ok(Answer::Added { hash, known }) => (hash, known),
        Ok(Answer::Done | Answer::TorrentFile(_) | Answer::Moved { .. }) => {
            return Err(Failure::NoTorrentFile);
        }
        Err(error) if error.kind() == ErrorKind::Invalid => return Err(Failure::NoTorrentFile),
        Err(error) => return Err(error.into()),
    };
    // The snapshot that shows it may come a moment later.
    let mut snapshot = site.client.snapshot();
    while !snapshot.torrents.contains_key(&hash) {
        let newer = site.client.changed(snapshot.revision).await;
        snapshot = newer.ok_or(crate::client::ClientError::Ended)?;
    }
    let id = site.ids.of(&snapshot).get(&hash).copied();
    let name = snapshot
        .torrents
        .get(&hash)
        .map(|torrent| torrent.row.value.name.clone());
    let key = if known {
        "torrent-duplicate"
    } else {
        "torrent-added"
    };
    let value = json!({ "hashString": hash, "id": id, "name": name });
    Ok(Map::from_iter([(key.to_owned(), value)]))
}

/// Does something to each torrent that is named.
pub(super) async fn each(
    site: &Site,
    arguments: &Map<String, Value>,
    command: impl Fn(InfoHash) -> Command,
) -> Done {
    let snapshot = site.client.snapshot();
    for (hash, _) in named(site, &snapshot, arguments)? {
        match site.client.command(command(hash)).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Map::new())
}

/// What is paused has nothing to ask for.
pub(super) async fn reannounce(site: &Site, arguments: &Map<String, Value>) -> Done {
    for (hash, _) in named(site, &site.client.snapshot(), arguments)? {
        match site.client.command(Command::Reannounce(hash)).await {
            Ok(_) | Err(ClientError::Paused(_) | ClientError::NoSuchTorrent(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Map::new())
}

/// The address of the tracker with this number.
fn tracker(torrent: &Torrent, number: &Value, name: &'static str) -> Result<String, Failure> {
    let number = number
        .as_u64()
        .and_then(|number| usize::try_from(number).ok());
    let row = number.and_then(|number| torrent.trackers.value.get(number));
    row.map(|row| row.url.clone())
        .ok_or(Failure::Argument(name))
}

/// Trackers that are named by number: those to remove, and pairs of a number and the address
/// to put there.
async fn change_trackers(
    site: &Site,
    (hash, torrent): (InfoHash, &Torrent),
    arguments: &Map<String, Value>,
) -> Result<(), Failure> {
    let remove = list(arguments, "trackerRemove", |id| Some(id.clone()))?;
    let replace = list(arguments, "trackerReplace", |value| Some(value.clone()))?;
    let mut commands = Vec::new();
    for pair in replace.unwrap_or_default().chunks(2) {
        let [number, to] = pair else {
            return Err(Failure::Argument("trackerReplace"));
        };
        let to = to.as_str().ok_or(Failure::Argument("trackerReplace"))?;
        let (from, to) = (tracker(torrent, number, "trackerReplace")?, to.to_owned());
        commands.push(Command::EditTracker { hash, from, to });
    }
    if let Some(numbers) = remove {
        let urls = numbers
            .iter()
            .map(|number| tracker(torrent, number, "trackerRemove"));
        let urls = urls.collect::<Result<_, _>>()?;
        commands.push(Command::RemoveTrackers { hash, urls });
    }
    for command in commands {
        site.client.command(command).await?;
    }
    Ok(())
}

pub(super) async fn move_in_queue(
    site: &Site,
    arguments: &Map<String, Value>,
    to: QueueTo,
) -> Done {
    let named = named(site, &site.client.snapshot(), arguments)?;
    let hashes = named.into_iter().map(|(hash, _)| hash).collect();
    site.client
        .command(Command::MoveInQueue { hashes, to })
        .await?;
    Ok(Map::new())
}

/// Without `ids` all would go: here they must be named.
pub(super) async fn remove(site: &Site, arguments: &Map<String, Value>) -> Done {
    if !arguments.contains_key("ids") {
        return Err(Failure::Argument("ids"));
    }
    let data = arguments.get("delete-local-data");
    let data = data.is_some_and(|data| data.as_bool().unwrap_or_else(|| data == 1));
    each(site, arguments, |hash| Command::Remove { hash, data }).await
}

pub(super) async fn set_location(site: &Site, arguments: &Map<String, Value>) -> Done {
    let folder = text(arguments, "location").ok_or(Failure::Argument("location"))?;
    // Without `move`, the data is looked for at the new place: that is not done here.
    if arguments.get("move").and_then(Value::as_bool) == Some(false) {
        return Err(Failure::Fixed("move".to_owned()));
    }
    let folder = PathBuf::from(folder);
    each(site, arguments, |hash| Command::Move {
        hash,
        folder: folder.clone(),
    })
    .await
}

/// What `torrent-set` can change. Whatever else is named is refused, unless it says what is
/// so already.
const CHANGED: [&str; 16] = [
    "ids",
    "downloadLimit",
    "downloadLimited",
    "uploadLimit",
    "uploadLimited",
    "seedRatioLimit",
    "seedRatioMode",
    "labels",
    "files-wanted",
    "files-unwanted",
    "trackerAdd",
    "trackerRemove",
    "trackerReplace",
    "priority-normal",
    "priority-high",
    "priority-low",
];

pub(super) async fn set(site: &Site, arguments: &Map<String, Value>) -> Done {
    let snapshot = site.client.snapshot();
    for (hash, id) in named(site, &snapshot, arguments)? {
        let Some(torrent) = snapshot.torrents.get(&hash) else {
            continue;
        };
        for (key, value) in arguments {
            let same = || fields::field(id, torrent, key).as_ref() == Some(value);
            if !CHANGED.contains(&key.as_str()) && !same() {
                return Err(Failure::Fixed(key.chars().take(80).collect()));
            }
        }
        let row = &*torrent.row.value;
        let limits = Limits {
            up: limit(arguments, "uploadLimit", "uploadLimited", row.limits.up)?,
            down: limit(
                arguments,
                "downloadLimit",
                "downloadLimited",
                row.limits.down,
            )?,
        };
        if limits != row.limits {
            let hash = Some(hash);
            site.client
                .command(Command::SetLimits { hash, limits })
                .await?;
        }
        if let Some(goals) = goals(arguments, row.goals)? {
            site.client
                .command(Command::SetGoals { hash, goals })
                .await?;
        }
        if let Some(labels) = labels(arguments)? {
            let labels: Vec<String> = labels
                .into_iter()
                .filter(|label| !label.is_empty())
                .collect();
            let old = row.tags.iter();
            let remove = old.filter(|tag| !labels.contains(tag)).cloned().collect();
            let category = row.category.as_ref();
            let add = labels
                .into_iter()
                .filter(|label| Some(label) != category)
                .collect();
            site.client
                .command(Command::SetTags { hash, add, remove })
                .await?;
        }
        if let Some(urls) = list(arguments, "trackerAdd", |url| {
            url.as_str().map(str::to_owned)
        })? {
            site.client
                .command(Command::AddTrackers { hash, urls })
                .await?;
        }
        change_trackers(site, (hash, torrent), arguments).await?;
        if let Some(files) = priorities(arguments, torrent)? {
            site.client
                .command(Command::SetPriorities { hash, files })
                .await?;
        }
        let wanted = list(arguments, "files-wanted", position)?;
        let unwanted = list(arguments, "files-unwanted", position)?;
        if wanted.is_some() || unwanted.is_some() {
            // An empty list means all files.
            let names = |list: &Option<Vec<u32>>, position: u32| {
                list.as_ref()
                    .is_some_and(|list| list.is_empty() || list.contains(&position))
            };
            let rows = torrent.files.value.iter().enumerate();
            let rows = rows.filter_map(|(position, file)| {
                let position = u32::try_from(position).ok()?;
                let keep = (file.wanted || names(&wanted, position)) && !names(&unwanted, position);
                keep.then_some(file.index)
            });
            let files = Files::Positions(rows.collect());
            site.client
                .command(Command::SetFiles { hash, files })
                .await?;
        }
    }
    Ok(Map::new())
}

/// New priorities of files, if any are named. An empty list means all files.
fn priorities(
    arguments: &Map<String, Value>,
    torrent: &Torrent,
) -> Result<Option<BTreeMap<u32, FilePriority>>, Failure> {
    let mut given = false;
    let mut all = BTreeMap::new();
    for (name, priority) in [
        ("priority-low", FilePriority::Low),
        ("priority-normal", FilePriority::Normal),
        ("priority-high", FilePriority::High),
    ] {
        let Some(named) = list(arguments, name, position)? else {
            continue;
        };
        given = true;
        let rows = torrent.files.value.iter().enumerate();
        for (position, file) in rows {
            let position = u32::try_from(position).map_err(|_| Failure::Argument(name))?;
            if named.is_empty() || named.contains(&position) {
                all.insert(file.index, priority);
            }
        }
    }
    Ok(given.then_some(all))
}

/// New goals, if they are named: mode 1 is the torrent's own ratio, 0 (that of all) and 2 are
/// none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it was compared with both ends"
)]
fn goals(arguments: &Map<String, Value>, old: Goals) -> Result<Option<Goals>, Failure> {
    let mode = arguments.get("seedRatioMode").and_then(Value::as_u64);
    let ratio = match arguments.get("seedRatioLimit") {
        None => None,
        Some(ratio) => {
            let ratio = ratio.as_f64().filter(|ratio| (0.0..=1e6).contains(ratio));
            let ratio = ratio.ok_or(Failure::Argument("seedRatioLimit"))?;
            Some((ratio * 1000.0).round() as u64)
        }
    };
    let ratio_permille = match (mode, ratio) {
        (None, None) => return Ok(None),
        (Some(0 | 2), _) => None,
        (_, Some(ratio)) => Some(ratio),
        (Some(_), None) => old.ratio_permille,
    };
    Ok(Some(Goals {
        ratio_permille,
        ..old
    }))
}
