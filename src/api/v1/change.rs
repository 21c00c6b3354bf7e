//! Adding, changing and removing torrents.

use axum::http::StatusCode;
use base64::Engine as _;
use serde_json::json;

use super::{
    done,
    input::{
        AddIn, CategoryIn, ChangeIn, FolderIn, LimitsIn, MAX_LIST, PeersIn, PlaceIn, PricesIn,
        ReasonIn, UrlsIn,
    },
};
use crate::{
    api::{
        answer::{self, Answered, Refusal},
        gate,
        request::Call,
        scope::Scope,
        site::Site,
    },
    client::{
        command::{AddTorrent, Answer, Command, Files, Source},
        snapshot::Prices,
    },
    types::{Address, InfoHash},
};

fn short<T>(what: &str, list: &[T]) -> Result<(), Refusal> {
    match list.len() > MAX_LIST {
        true => Err(Refusal::bad(format!("more than {MAX_LIST} {what}"))),
        false => Ok(()),
    }
}

/// A bid spends money: it needs the scope, unless it is there already or is none.
fn allow_bid(site: &Site, call: &Call<'_>, old: Prices, new: Prices) -> Result<(), Refusal> {
    let bid = new.bid_raw.filter(|bid| *bid > 0);
    let same = (old.bid_raw, old.bid_auto) == (new.bid_raw, new.bid_auto);
    match bid {
        Some(_) if !same => gate::allow(site, &call.caller, Scope::Money, &call.headers),
        _ => Ok(()),
    }
}

/// The prices of all torrents that have none of their own.
pub(super) async fn prices(site: &Site, call: &Call<'_>) -> Answered {
    let prices = call.json::<PricesIn>()?.into();
    let old = site.client.snapshot().transfer.value.prices;
    allow_bid(site, call, old, prices)?;
    done(site, Command::SetPrices { hash: None, prices }).await
}

/// A torrent to add: JSON, the bytes of a torrent file, or a form with such a file.
fn to_add(site: &Site, call: &Call<'_>) -> Result<AddTorrent, Refusal> {
    let kind = call.content_type();
    let (given, bytes) = match kind.as_str() {
        "application/json" => (call.json::<AddIn>()?, None),
        "application/x-bittorrent" => (of_parameters(call)?, Some(call.body.to_vec())),
        "multipart/form-data" | "application/x-www-form-urlencoded" => {
            let upload = call.uploads.first().map(|upload| upload.bytes.to_vec());
            (of_parameters(call)?, upload)
        }
        _ => {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media_type",
                "a torrent is added by application/json, application/x-bittorrent or a form",
            ));
        }
    };
    short("tags", &given.tags)?;
    short("trackers", &given.trackers)?;
    short("peers", &given.peers)?;
    let bytes = match (bytes, &given.file) {
        (Some(bytes), _) => Some(bytes),
        (None, Some(text)) => Some(
            base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_err(|error| Refusal::bad(format!("`file` is no base64: {error}")))?,
        ),
        (None, None) => None,
    };
    let source = match (given.link, bytes) {
        (Some(link), None) => Source::Link(link),
        (None, Some(bytes)) => Source::File(bytes),
        _ => return Err(Refusal::bad("either a link or a torrent file is needed")),
    };
    let prices = given.prices.into();
    allow_bid(site, call, Prices::default(), prices)?;
    Ok(AddTorrent {
        folder: given.folder,
        move_to: given.move_to,
        name: given.name,
        category: given.category,
        tags: given.tags,
        files: given.files.map(Files::from),
        limits: given.limits.into(),
        goals: given.goals.into(),
        prices,
        paused: given.paused,
        trackers: given.trackers,
        peers: given.peers,
        recheck: given.recheck,
        overwrite: given.overwrite,
        preallocate: given.preallocate,
        ..AddTorrent::new(source)
    })
}

/// The simple fields, as a form or a query has them.
fn of_parameters(call: &Call<'_>) -> Result<AddIn, Refusal> {
    let text = |name: &str| {
        let text = call.text(name).filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    Ok(AddIn {
        link: text("link"),
        folder: text("folder").map(Into::into),
        name: text("name"),
        category: text("category"),
        paused: call.flag("paused")?.unwrap_or_default(),
        ..AddIn::default()
    })
}

pub(super) async fn add(site: &Site, call: &Call<'_>) -> Answered {
    let torrent = Box::new(to_add(site, call)?);
    match site.client.command(Command::Add(torrent)).await? {
        Answer::Added { hash, known } => {
            let status = match known {
                true => StatusCode::OK,
                false => StatusCode::CREATED,
            };
            answer::json_with(status, &json!({ "info_hash": hash, "known": known }))
        }
        Answer::Done | Answer::TorrentFile(_) | Answer::Moved { .. } => {
            Err(Refusal::failed("nothing was added"))
        }
    }
}

/// Changes what is given, in this order: name, category, tags, files, priorities, limits,
/// goals, prices. The first that is refused ends it.
pub(super) async fn change(site: &Site, call: &Call<'_>, hash: InfoHash) -> Answered {
    let given: ChangeIn = call.json()?;
    let torrent = super::of(&site.client.snapshot(), hash)?;
    if let Some(prices) = given.prices {
        // Before anything is changed.
        allow_bid(site, call, torrent.row.value.prices, prices.into())?;
    }
    let mut commands = Vec::new();
    if let Some(name) = given.name {
        commands.push(Command::Rename { hash, name });
    }
    if let Some(category) = given.category {
        commands.push(Command::SetCategory { hash, category });
    }
    if let Some(tags) = given.tags {
        short("tags", &tags.add)?;
        short("tags", &tags.remove)?;
        commands.push(Command::SetTags {
            hash,
            add: tags.add,
            remove: tags.remove,
        });
    }
    if let Some(files) = given.files {
        let files = files.into();
        commands.push(Command::SetFiles { hash, files });
    }
    if let Some(files) = given.priorities {
        commands.push(Command::SetPriorities { hash, files });
    }
    if let Some(limits) = given.limits {
        commands.push(Command::SetLimits {
            hash: Some(hash),
            limits: limits.into(),
        });
    }
    if let Some(goals) = given.goals {
        let goals = goals.into();
        commands.push(Command::SetGoals { hash, goals });
    }
    if let Some(prices) = given.prices {
        commands.push(Command::SetPrices {
            hash: Some(hash),
            prices: prices.into(),
        });
    }
    for command in commands {
        site.client.command(command).await?;
    }
    Ok(answer::done())
}

pub(super) async fn remove(site: &Site, call: &Call<'_>, hash: InfoHash) -> Answered {
    let data = call.flag("data")?.unwrap_or_default();
    done(site, Command::Remove { hash, data }).await
}

pub(super) async fn move_to(site: &Site, call: &Call<'_>, hash: InfoHash) -> Answered {
    let FolderIn { folder } = call.json()?;
    match site.client.command(Command::Move { hash, folder }).await? {
        Answer::Moved { path } => answer::json(&json!({ "path": path })),
        Answer::Done | Answer::TorrentFile(_) | Answer::Added { .. } => Ok(answer::done()),
    }
}

pub(super) async fn add_trackers(site: &Site, call: &Call<'_>, hash: InfoHash) -> Answered {
    let UrlsIn { urls } = call.json()?;
    short("trackers", &urls)?;
    done(site, Command::AddTrackers { hash, urls }).await
}

pub(super) async fn remove_trackers(site: &Site, call: &Call<'_>, hash: InfoHash) -> Answered {
    let UrlsIn { urls } = call.json()?;
    short("trackers", &urls)?;
    done(site, Command::RemoveTrackers { hash, urls }).await
}

pub(super) async fn add_peers(site: &Site, call: &Call<'_>, hash: InfoHash) -> Answered {
    let PeersIn { peers } = call.json()?;
    short("peers", &peers)?;
    done(site, Command::AddPeers { hash, peers }).await
}

pub(super) async fn move_in_queue(site: &Site, call: &Call<'_>, hash: InfoHash) -> Answered {
    let PlaceIn { to } = call.json()?;
    super::of(&site.client.snapshot(), hash)?;
    let hashes = vec![hash];
    done(site, Command::MoveInQueue { hashes, to }).await
}

pub(super) async fn ban(site: &Site, call: &Call<'_>, account: Address) -> Answered {
    let reason = match call.body.is_empty() {
        true => String::new(),
        false => call.json::<ReasonIn>()?.reason,
    };
    done(site, Command::Ban { account, reason }).await
}

/// The limits of all torrents together.
pub(super) async fn limits(site: &Site, call: &Call<'_>) -> Answered {
    let given: LimitsIn = call.json()?;
    let limits = given.into();
    done(site, Command::SetLimits { hash: None, limits }).await
}

pub(super) async fn save_category(site: &Site, call: &Call<'_>, name: &str) -> Answered {
    let folder = match call.body.is_empty() {
        true => None,
        false => call.json::<CategoryIn>()?.folder,
    };
    let name = name.to_owned();
    done(site, Command::SaveCategory { name, folder }).await
}
