//! The actions, by which methods they are called, and what each needs.

use axum::http::Method;

use crate::{
    api::{answer::Refusal, scope::Scope},
    client::command::QueueTo,
};

/// What an action does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Login,
    Logout,
    Version,
    ApiVersion,
    BuildInfo,
    Preferences,
    SetPreferences,
    DefaultSavePath,
    Info,
    Count,
    Properties,
    Files,
    Trackers,
    WebSeeds,
    PieceStates,
    Add,
    Delete,
    Stop,
    Start,
    Recheck,
    SetForceStart,
    SetShareLimits,
    SetLocation,
    Rename,
    FilePrio,
    MoveInQueue(QueueTo),
    NotSequential,
    DownloadLimit,
    UploadLimit,
    SetDownloadLimit,
    SetUploadLimit,
    AddTrackers,
    RemoveTrackers,
    EditTracker,
    Reannounce,
    Export,
    AddPeers,
    SetCategory,
    CreateCategory,
    EditCategory,
    RemoveCategories,
    Categories,
    AddTags,
    RemoveTags,
    CreateTags,
    DeleteTags,
    Tags,
    MainData,
    TorrentPeers,
    TransferInfo,
    SpeedLimitsMode,
    GlobalDownloadLimit,
    GlobalUploadLimit,
    SetGlobalDownloadLimit,
    SetGlobalUploadLimit,
    Log,
}

/// Who may call an action, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// By GET and POST, by everybody.
    Open,
    /// By GET and POST.
    Read,
    /// By POST alone: a link must not change anything.
    Write,
}

pub(super) const ACTIONS: &[(&str, Verb, Act)] = &[
    ("auth/login", Verb::Open, Act::Login),
    ("auth/logout", Verb::Open, Act::Logout),
    ("app/version", Verb::Read, Act::Version),
    ("app/webapiVersion", Verb::Read, Act::ApiVersion),
    ("app/buildInfo", Verb::Read, Act::BuildInfo),
    ("app/preferences", Verb::Read, Act::Preferences),
    ("app/setPreferences", Verb::Write, Act::SetPreferences),
    ("app/defaultSavePath", Verb::Read, Act::DefaultSavePath),
    ("torrents/info", Verb::Read, Act::Info),
    ("torrents/count", Verb::Read, Act::Count),
    ("torrents/properties", Verb::Read, Act::Properties),
    ("torrents/files", Verb::Read, Act::Files),
    ("torrents/trackers", Verb::Read, Act::Trackers),
    ("torrents/webseeds", Verb::Read, Act::WebSeeds),
    ("torrents/pieceStates", Verb::Read, Act::PieceStates),
    ("torrents/add", Verb::Write, Act::Add),
    ("torrents/delete", Verb::Write, Act::Delete),
    ("torrents/stop", Verb::Write, Act::Stop),
    ("torrents/start", Verb::Write, Act::Start),
    // The names before 5.0.
    ("torrents/pause", Verb::Write, Act::Stop),
    ("torrents/resume", Verb::Write, Act::Start),
    ("torrents/recheck", Verb::Write, Act::Recheck),
    ("torrents/setForceStart", Verb::Write, Act::SetForceStart),
    ("torrents/setShareLimits", Verb::Write, Act::SetShareLimits),
    ("torrents/setLocation", Verb::Write, Act::SetLocation),
    ("torrents/rename", Verb::Write, Act::Rename),
    ("torrents/filePrio", Verb::Write, Act::FilePrio),
    (
        "torrents/topPrio",
        Verb::Write,
        Act::MoveInQueue(QueueTo::Top),
    ),
    (
        "torrents/bottomPrio",
        Verb::Write,
        Act::MoveInQueue(QueueTo::Bottom),
    ),
    (
        "torrents/increasePrio",
        Verb::Write,
        Act::MoveInQueue(QueueTo::Up),
    ),
    (
        "torrents/decreasePrio",
        Verb::Write,
        Act::MoveInQueue(QueueTo::Down),
    ),
    (
        "torrents/toggleSequentialDownload",
        Verb::Write,
        Act::NotSequential,
    ),
    ("torrents/downloadLimit", Verb::Read, Act::DownloadLimit),
    ("torrents/uploadLimit", Verb::Read, Act::UploadLimit),
    (
        "torrents/setDownloadLimit",
        Verb::Write,
        Act::SetDownloadLimit,
    ),
    ("torrents/setUploadLimit", Verb::Write, Act::SetUploadLimit),
    ("torrents/addTrackers", Verb::Write, Act::AddTrackers),
    ("torrents/removeTrackers", Verb::Write, Act::RemoveTrackers),
    ("torrents/editTracker", Verb::Write, Act::EditTracker),
    ("torrents/reannounce", Verb::Write, Act::Reannounce),
    ("torrents/export", Verb::Read, Act::Export),
    ("torrents/addPeers", Verb::Write, Act::AddPeers),
    ("torrents/setCategory", Verb::Write, Act::SetCategory),
    ("torrents/createCategory", Verb::Write, Act::CreateCategory),
    ("torrents/editCategory", Verb::Write, Act::EditCategory),
    (
        "torrents/removeCategories",
        Verb::Write,
        Act::RemoveCategories,
    ),
    ("torrents/categories", Verb::Read, Act::Categories),
    ("torrents/addTags", Verb::Write, Act::AddTags),
    ("torrents/removeTags", Verb::Write, Act::RemoveTags),
    ("torrents/createTags", Verb::Write, Act::CreateTags),
    ("torrents/deleteTags", Verb::Write, Act::DeleteTags),
    ("torrents/tags", Verb::Read, Act::Tags),
    ("sync/maindata", Verb::Read, Act::MainData),
    ("sync/torrentPeers", Verb::Read, Act::TorrentPeers),
    ("transfer/info", Verb::Read, Act::TransferInfo),
    ("transfer/speedLimitsMode", Verb::Read, Act::SpeedLimitsMode),
    (
        "transfer/downloadLimit",
        Verb::Read,
        Act::GlobalDownloadLimit,
    ),
    ("transfer/uploadLimit", Verb::Read, Act::GlobalUploadLimit),
    (
        "transfer/setDownloadLimit",
        Verb::Write,
        Act::SetGlobalDownloadLimit,
    ),
    (
        "transfer/setUploadLimit",
        Verb::Write,
        Act::SetGlobalUploadLimit,
    ),
    ("log/main", Verb::Read, Act::Log),
];

/// An action that was found.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct Found {
    verb: Verb,
    act: Act,
}

impl Found {
    pub(in crate::api) fn needs(self) -> Option<Scope> {
        match self.verb {
            Verb::Open => None,
            Verb::Read => Some(Scope::Read),
            Verb::Write => Some(Scope::Torrents),
        }
    }

    pub(super) fn act(self) -> Act {
        self.act
    }
}

/// Finds an action.
pub(in crate::api) fn find(method: &Method, name: &str) -> Result<Found, Refusal> {
    let (_, verb, act) = ACTIONS
        .iter()
        .find(|(known, ..)| *known == name)
        .ok_or_else(|| Refusal::not_found("Not Found"))?;
    let known = match *method {
        Method::POST => true,
        Method::GET | Method::HEAD => *verb != Verb::Write && *act != Act::Logout,
        _ => false,
    };
    match known {
        true => Ok(Found {
            verb: *verb,
            act: *act,
        }),
        false => Err(Refusal::method("Method Not Allowed")),
    }
}
