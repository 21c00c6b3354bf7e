//! The paths of `/api/v1`, and what each needs.

use axum::http::Method;

use crate::api::{answer::Refusal, scope::Scope};

/// What a path does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    OpenApi,
    WhoAmI,
    LogIn,
    LogOut,
    Confirm,
    State,
    Events,
    List,
    Add,
    Show,
    Change,
    Remove,
    Files,
    Peers,
    Trackers,
    Pieces,
    Pause,
    Resume,
    Recheck,
    Move,
    AddTrackers,
    AddPeers,
    RemoveTrackers,
    Reannounce,
    Export,
    MoveInQueue,
    Queue,
    Limits,
    Labels,
    SaveCategory,
    RemoveCategory,
    AddTag,
    RemoveTag,
    Money,
    Plan,
    Days,
    DaysCsv,
    PayoutsCsv,
    Problems,
    Log,
    Prices,
    Policy,
    Settle,
    Ban,
    Forgive,
    RevokeKey,
}

/// A path with one method.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: &'static str,
    /// `{…}` stands for one part of the path.
    pub(super) path: &'static str,
    /// `None`: everybody may.
    pub(super) needs: Option<Scope>,
    pub(super) act: Act,
}

const fn all(method: &'static str, path: &'static str, act: Act) -> Route {
    Route {
        method,
        path,
        needs: None,
        act,
    }
}

const fn read(path: &'static str, act: Act) -> Route {
    Route {
        method: "GET",
        path,
        needs: Some(Scope::Read),
        act,
    }
}

const fn write(method: &'static str, path: &'static str, act: Act) -> Route {
    Route {
        method,
        path,
        needs: Some(Scope::Torrents),
        act,
    }
}

const fn money(method: &'static str, path: &'static str, act: Act) -> Route {
    Route {
        method,
        path,
        needs: Some(Scope::Money),
        act,
    }
}

pub(super) const ROUTES: &[Route] = &[
    all("GET", "/api/v1/openapi.json", Act::OpenApi),
    all("GET", "/api/v1/session", Act::WhoAmI),
    all("POST", "/api/v1/session", Act::LogIn),
    all("DELETE", "/api/v1/session", Act::LogOut),
    all("POST", "/api/v1/session/confirm", Act::Confirm),
    read("/api/v1/state", Act::State),
    read("/api/v1/events", Act::Events),
    read("/api/v1/torrents", Act::List),
    write("POST", "/api/v1/torrents", Act::Add),
    read("/api/v1/torrents/{hash}", Act::Show),
    write("PATCH", "/api/v1/torrents/{hash}", Act::Change),
    write("DELETE", "/api/v1/torrents/{hash}", Act::Remove),
    read("/api/v1/torrents/{hash}/files", Act::Files),
    read("/api/v1/torrents/{hash}/peers", Act::Peers),
    read("/api/v1/torrents/{hash}/trackers", Act::Trackers),
    read("/api/v1/torrents/{hash}/pieces", Act::Pieces),
    write("POST", "/api/v1/torrents/{hash}/pause", Act::Pause),
    write("POST", "/api/v1/torrents/{hash}/resume", Act::Resume),
    write("POST", "/api/v1/torrents/{hash}/recheck", Act::Recheck),
    write("POST", "/api/v1/torrents/{hash}/move", Act::Move),
    write("POST", "/api/v1/torrents/{hash}/trackers", Act::AddTrackers),
    write(
        "POST",
        "/api/v1/torrents/{hash}/trackers/remove",
        Act::RemoveTrackers,
    ),
    write(
        "POST",
        "/api/v1/torrents/{hash}/reannounce",
        Act::Reannounce,
    ),
    read("/api/v1/torrents/{hash}/file", Act::Export),
    write("POST", "/api/v1/torrents/{hash}/peers", Act::AddPeers),
    write("POST", "/api/v1/torrents/{hash}/queue", Act::MoveInQueue),
    write("PUT", "/api/v1/limits", Act::Limits),
    write("PUT", "/api/v1/queue", Act::Queue),
    read("/api/v1/labels", Act::Labels),
    write("PUT", "/api/v1/categories/{name}", Act::SaveCategory),
    write("DELETE", "/api/v1/categories/{name}", Act::RemoveCategory),
    write("PUT", "/api/v1/tags/{name}", Act::AddTag),
    write("DELETE", "/api/v1/tags/{name}", Act::RemoveTag),
    read("/api/v1/money", Act::Money),
    read("/api/v1/money/plan", Act::Plan),
    read("/api/v1/money/payouts.csv", Act::PayoutsCsv),
    read("/api/v1/days", Act::Days),
    read("/api/v1/days.csv", Act::DaysCsv),
    write("PUT", "/api/v1/prices", Act::Prices),
    money("PUT", "/api/v1/money/policy", Act::Policy),
    money("POST", "/api/v1/money/settle", Act::Settle),
    write("POST", "/api/v1/people/{account}/ban", Act::Ban),
    money("POST", "/api/v1/people/{account}/forgive", Act::Forgive),
    money("DELETE", "/api/v1/money/keys/{signer}", Act::RevokeKey),
    read("/api/v1/problems", Act::Problems),
    read("/api/v1/log", Act::Log),
];

/// A path that was found.
#[derive(Debug, Clone)]
pub(in crate::api) struct Found {
    pub(super) act: Act,
    needs: Option<Scope>,
    /// What stands for `{…}`.
    name: Option<String>,
}

impl Found {
    pub(in crate::api) fn needs(&self) -> Option<Scope> {
        self.needs
    }

    pub(super) fn name(&self) -> Result<&str, Refusal> {
        self.name
            .as_deref()
            .ok_or_else(|| Refusal::failed("the path has no name in it"))
    }
}

/// Finds what a path does.
pub(in crate::api) fn find(method: &Method, path: &str) -> Result<Found, Refusal> {
    let method = match *method {
        Method::HEAD => "GET",
        _ => method.as_str(),
    };
    let mut other_method = false;
    for route in ROUTES {
        let Some(name) = fits(route.path, path) else {
            continue;
        };
        if route.method == method {
            return Ok(Found {
                act: route.act,
                needs: route.needs,
                name: name.map(decoded).transpose()?,
            });
        }
        other_method = true;
    }
    match other_method {
        true => Err(Refusal::method("this path does not know this method")),
        false => Err(Refusal::not_found("there is nothing at this path")),
    }
}

/// Whether a path is as the pattern says; then what stands for `{…}`, if it has one.
fn fits<'a>(pattern: &str, path: &'a str) -> Option<Option<&'a str>> {
    let (mut patterns, mut parts) = (pattern.split('/'), path.split('/'));
    let mut name = None;
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return Some(name),
            (Some(pattern), Some(part)) if pattern.starts_with('{') && !part.is_empty() => {
                name = Some(part);
            }
            (Some(pattern), Some(part)) if pattern == part => {}
            _ => return None,
        }
    }
}

/// A part of a path without its percent signs.
fn decoded(part: &str) -> Result<String, Refusal> {
    let bad = || Refusal::bad("the path has a percent sign that is none of a byte");
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let (digits, after) = after.split_at_checked(2).ok_or_else(bad)?;
            let mut byte = [0];
            hex::decode_to_slice(digits, &mut byte).map_err(|_| bad())?;
            bytes.extend(byte);
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).map_err(|_| bad())
}
