//! `/api/v1`: our own API. JSON in both directions; `openapi.json` describes it.

mod change;
mod events;
mod input;
mod list;
mod log_in;
mod routes;
mod state;
mod tables;

use std::sync::Arc;

pub(super) use routes::{Found, find};

use self::{input::QueueIn, routes::Act};
use super::{
    answer::{self, Answered, Refusal, with_type},
    request::Call,
    site::Site,
};
use crate::{
    client::{
        command::Command,
        snapshot::{Snapshot, Torrent},
    },
    types::{Address, InfoHash},
};

/// The description of this API.
const OPENAPI: &str = include_str!("../openapi.json");

/// The paths that not everybody may call, by method.
#[cfg(test)]
pub(super) fn guarded() -> Vec<(&'static str, &'static str)> {
    let routes = routes::ROUTES.iter();
    routes
        .filter(|route| route.needs.is_some())
        .map(|route| (route.method, route.path))
        .collect()
}

/// All paths with their methods and scopes.
#[cfg(test)]
pub(super) fn described() -> Vec<(&'static str, &'static str, Option<super::Scope>)> {
    let routes = routes::ROUTES.iter();
    routes
        .map(|route| (route.method, route.path, route.needs))
        .collect()
}

/// Answers a request that is allowed.
pub(super) async fn answer(site: &Arc<Site>, found: &Found, call: &Call<'_>) -> Answered {
    match found.act {
        Act::OpenApi => Ok(with_type(
            axum::http::StatusCode::OK,
            "application/json",
            OPENAPI,
        )),
        Act::WhoAmI => log_in::who(site, call),
        Act::LogIn => log_in::log_in(site, call).await,
        Act::LogOut => Ok(log_in::log_out(site, call)),
        Act::Confirm => log_in::confirm(site, call).await,
        Act::State => state::answer(site, call),
        Act::Events => events::answer(site, call),
        Act::List => list::list(site),
        Act::Add => change::add(site, call).await,
        Act::Show => list::show(site, hash(found)?),
        Act::Files => answer::json(&torrent(site, found)?.files.value),
        Act::Peers => answer::json(&torrent(site, found)?.peers.value),
        Act::Trackers => answer::json(&torrent(site, found)?.trackers.value),
        Act::Pieces => list::pieces(site, hash(found)?),
        Act::Change => change::change(site, call, hash(found)?).await,
        Act::Remove => change::remove(site, call, hash(found)?).await,
        Act::Pause => done(site, Command::Pause(hash(found)?)).await,
        Act::Resume => done(site, Command::Resume(hash(found)?)).await,
        Act::Recheck => done(site, Command::Recheck(hash(found)?)).await,
        Act::Move => change::move_to(site, call, hash(found)?).await,
        Act::AddTrackers => change::add_trackers(site, call, hash(found)?).await,
        Act::RemoveTrackers => change::remove_trackers(site, call, hash(found)?).await,
        Act::Reannounce => done(site, Command::Reannounce(hash(found)?)).await,
        Act::Export => list::file(site, hash(found)?).await,
        Act::AddPeers => change::add_peers(site, call, hash(found)?).await,
        Act::MoveInQueue => change::move_in_queue(site, call, hash(found)?).await,
        Act::Queue => done(site, Command::SetQueue(call.json::<QueueIn>()?.into())).await,
        Act::Limits => change::limits(site, call).await,
        Act::Labels => answer::json(&site.client.snapshot().labels.value),
        Act::SaveCategory => change::save_category(site, call, found.name()?).await,
        Act::RemoveCategory => {
            let names = vec![found.name()?.to_owned()];
            done(site, Command::RemoveCategories(names)).await
        }
        Act::AddTag => done(site, Command::AddTags(vec![found.name()?.to_owned()])).await,
        Act::RemoveTag => done(site, Command::RemoveTags(vec![found.name()?.to_owned()])).await,
        Act::Money => list::money(site),
        Act::Plan => list::plan(site).await,
        Act::Days => answer::json(&tables::days(&site.client.snapshot())),
        Act::DaysCsv => Ok(tables::days_csv(&site.client.snapshot())),
        Act::PayoutsCsv => tables::payouts_csv(&site.client.snapshot()),
        Act::Prices => change::prices(site, call).await,
        Act::Policy => done(site, Command::SetPolicy(call.json()?)).await,
        Act::Settle => done(site, Command::SettleNow).await,
        Act::Ban => change::ban(site, call, account(found)?).await,
        Act::Forgive => done(site, Command::Forgive(account(found)?)).await,
        Act::RevokeKey => done(site, Command::RevokeKey(account(found)?)).await,
        Act::Log => answer::json(&site.log.after(call.parsed("after")?)),
        Act::Problems => answer::json(&site.client.snapshot().problems.value.problems),
    }
}

/// Does a command that has nothing to say.
async fn done(site: &Site, command: Command) -> Answered {
    site.client.command(command).await?;
    Ok(answer::done())
}

fn hash(found: &Found) -> Result<InfoHash, Refusal> {
    super::request::info_hash(found.name()?)
}

/// An account that is named in the path.
fn account(found: &Found) -> Result<Address, Refusal> {
    let name = found.name()?;
    name.parse()
        .map_err(|error| Refusal::bad(format!("`{}`: {error}", shown(name))))
}

/// The beginning of what others wrote.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn torrent(site: &Site, found: &Found) -> Result<Arc<Torrent>, Refusal> {
    of(&site.client.snapshot(), hash(found)?)
}

/// A torrent of the list.
fn of(snapshot: &Snapshot, hash: InfoHash) -> Result<Arc<Torrent>, Refusal> {
    let torrent = snapshot.torrents.get(&hash).cloned();
    torrent.ok_or_else(|| Refusal::not_found(format!("torrent {hash} is not in the list")))
}
