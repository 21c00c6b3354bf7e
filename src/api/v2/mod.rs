//! `/api/v2`: qBittorrent's WebUI API, as programs that steer it call it. It says that it is
//! v5.0 with API 2.11; what it answers was compared with qBittorrent's sources and with the
//! clients of others. No session of it moves money.

mod actions;
mod app;
mod change;
mod labels;
mod list;
mod log_in;
mod parts;
mod row;
mod sync;
mod transfer;

use std::sync::Arc;

use axum::{http::StatusCode, response::Response};

pub(super) use actions::{Found, find};

use self::actions::Act;
use super::{
    answer::{self, Answered, Refusal},
    request::Call,
    site::Site,
};
use crate::{client::snapshot::Torrent, types::InfoHash};

/// A refusal as qBittorrent says it: who has not logged in is forbidden.
pub(super) fn refused(refusal: &Refusal) -> Response {
    match refusal.status {
        StatusCode::UNAUTHORIZED => answer::text(StatusCode::FORBIDDEN, "Forbidden"),
        _ => refusal.to_text(),
    }
}

/// Answers a request that is allowed.
pub(super) async fn answer(site: &Arc<Site>, found: &Found, call: &Call<'_>) -> Answered {
    match found.act() {
        Act::Login => log_in::log_in(site, call).await,
        Act::Logout => Ok(log_in::log_out(site, call)),
        Act::Version => Ok(answer::ok_text(app::VERSION)),
        Act::ApiVersion => Ok(answer::ok_text(app::API_VERSION)),
        Act::BuildInfo => answer::json(&app::build_info()),
        Act::Preferences => answer::json(&app::preferences(site)),
        Act::SetPreferences => app::set_preferences(site, call).await,
        Act::DefaultSavePath => Ok(answer::ok_text(app::save_path(site))),
        Act::Info => list::info(site, call),
        Act::Count => list::count(site),
        Act::Properties => parts::properties(site, call),
        Act::Files => parts::files(site, call),
        Act::Trackers => parts::trackers(site, call),
        Act::WebSeeds => parts::web_seeds(site, call),
        Act::PieceStates => parts::piece_states(site, call),
        Act::Add => change::add(site, call).await,
        Act::Delete => change::delete(site, call).await,
        Act::Stop => change::stop(site, call).await,
        Act::Start => change::start(site, call).await,
        Act::Recheck => change::recheck(site, call).await,
        Act::SetForceStart => change::set_force_start(site, call).await,
        Act::SetShareLimits => change::set_share_limits(site, call).await,
        Act::SetLocation => change::set_location(site, call).await,
        Act::Rename => change::rename(site, call).await,
        Act::FilePrio => change::file_prio(site, call).await,
        Act::MoveInQueue(to) => change::move_in_queue(site, call, to).await,
        Act::NotSequential => Err(Refusal::conflict("pieces are not downloaded in order")),
        Act::DownloadLimit => transfer::limits_of(site, call, transfer::Way::Down),
        Act::UploadLimit => transfer::limits_of(site, call, transfer::Way::Up),
        Act::SetDownloadLimit => transfer::limit(site, call, transfer::Way::Down).await,
        Act::SetUploadLimit => transfer::limit(site, call, transfer::Way::Up).await,
        Act::AddTrackers => change::add_trackers(site, call).await,
        Act::RemoveTrackers => change::remove_trackers(site, call).await,
        Act::EditTracker => change::edit_tracker(site, call).await,
        Act::Reannounce => change::reannounce(site, call).await,
        Act::Export => parts::export(site, call).await,
        Act::AddPeers => change::add_peers(site, call).await,
        Act::SetCategory => labels::set_category(site, call).await,
        Act::CreateCategory | Act::EditCategory => labels::save_category(site, call).await,
        Act::RemoveCategories => labels::remove_categories(site, call).await,
        Act::Categories => answer::json(&labels::categories(&site.client.snapshot())),
        Act::AddTags => labels::tag(site, call, true).await,
        Act::RemoveTags => labels::tag(site, call, false).await,
        Act::CreateTags => labels::create_tags(site, call).await,
        Act::DeleteTags => labels::delete_tags(site, call).await,
        Act::Tags => answer::json(&site.client.snapshot().labels.value.tags),
        Act::MainData => sync::main_data(site, call),
        Act::TorrentPeers => sync::torrent_peers(site, call),
        Act::TransferInfo => answer::json(&transfer::info(&site.client.snapshot())),
        Act::SpeedLimitsMode => Ok(transfer::mode(site)),
        Act::GlobalDownloadLimit => Ok(transfer::global(site, transfer::Way::Down)),
        Act::GlobalUploadLimit => Ok(transfer::global(site, transfer::Way::Up)),
        Act::SetGlobalDownloadLimit => transfer::set_global(site, call, transfer::Way::Down).await,
        Act::SetGlobalUploadLimit => transfer::set_global(site, call, transfer::Way::Up).await,
        Act::Log => app::log(site, call),
    }
}

/// The answer to what was done.
fn ok() -> Response {
    answer::ok_text("")
}

/// The torrent that `hash` names.
fn torrent(site: &Site, call: &Call<'_>) -> Result<(InfoHash, Arc<Torrent>), Refusal> {
    let text = call.need("hash")?;
    let snapshot = site.client.snapshot();
    let found = text
        .to_ascii_lowercase()
        .parse()
        .ok()
        .and_then(|hash: InfoHash| Some((hash, snapshot.torrents.get(&hash)?.clone())));
    found.ok_or_else(|| Refusal::not_found("Not Found"))
}

/// The torrents that `hashes` names: `all`, or several with `|` between. One that is not
/// there is passed over, as qBittorrent does.
fn hashes(site: &Site, call: &Call<'_>) -> Result<Vec<InfoHash>, Refusal> {
    let text = call.need("hashes")?;
    let snapshot = site.client.snapshot();
    if text == "all" {
        return Ok(snapshot.torrents.keys().copied().collect());
    }
    Ok(text
        .split('|')
        .filter_map(|hash| hash.trim().to_ascii_lowercase().parse().ok())
        .filter(|hash| snapshot.torrents.contains_key(hash))
        .collect())
}
