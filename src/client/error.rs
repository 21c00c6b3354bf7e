//! Why a client cannot do something.

use std::path::PathBuf;

use super::store::StoreError;
use crate::{
    ledger::LedgerError,
    receipts::TakeBackError,
    settle::SettleError,
    swarm::{
        SessionError,
        metainfo::{MagnetError, MetainfoError},
        relocate::MoveError,
        selection::SelectionError,
    },
    types::InfoHash,
};

/// Why a command was not done. Nothing was changed, if the sentence does not say so.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The torrent is not in the list.
    #[error("torrent {0} is not in the list")]
    NoSuchTorrent(InfoHash),
    /// It was removed, or its end has begun.
    #[error("torrent {0} is being removed")]
    BeingRemoved(InfoHash),
    /// Its content is on its way to another folder.
    #[error("torrent {0} is being moved: wait until that is done")]
    BeingMoved(InfoHash),
    /// The link is none.
    #[error(transparent)]
    Link(#[from] MagnetError),
    /// The text is no link and no info-hash.
    #[error("`{0}` is neither a magnet link nor an info-hash (40 hex digits or 32 base32 letters)")]
    NotALink(String),
    /// The torrent file is none.
    #[error(transparent)]
    File(#[from] MetainfoError),
    /// The files are not in the torrent.
    #[error(transparent)]
    Files(#[from] SelectionError),
    /// The torrent has fewer files.
    #[error(
        "the torrent has {0} files, counted from 0 on, and not all of the positions are among them"
    )]
    NoSuchFile(u32),
    /// No file would be left.
    #[error("no file of the torrent is chosen")]
    NoFiles,
    /// The files that are shared where they lie are not chosen from.
    #[error("all files of torrent {0} are shared where they lie: none can be left out")]
    AllShared(InfoHash),
    /// A name that is not taken.
    #[error("`{name}` cannot be a {what}: {why}")]
    BadName {
        /// What it was to be the name of.
        what: &'static str,
        /// The name, cut to 80 characters.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// The folder is relative: it would depend on where the client was started.
    #[error("the folder {0} must be an absolute path")]
    RelativeFolder(PathBuf),
    /// More of something than is kept.
    #[error("there are too many {what}: at most {limit} are kept")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are kept.
        limit: usize,
    },
    /// A tracker's address that no tracker can have.
    #[error("`{0}` is not a tracker URL: it must begin with http://, https:// or udp://")]
    BadTracker(String),
    /// The torrent does not have this tracker.
    #[error("the torrent has no tracker `{0}`")]
    NoSuchTracker(String),
    /// The torrent has this tracker already.
    #[error("the torrent has the tracker `{0}` already")]
    HasTracker(String),
    /// There is no torrent file yet.
    #[error("the metadata of torrent {0} is not there yet")]
    NoMetadata(InfoHash),
    /// The torrent file cannot be read from the list.
    #[error("the torrent file of {0} cannot be read: {1}")]
    NotRead(InfoHash, String),
    /// The content cannot be moved.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// The torrent does not run: only a running one can do this.
    #[error("torrent {0} is paused: resume it first")]
    Paused(InfoHash),
    /// Nothing is bought or sold.
    #[error("this client neither buys nor sells: start it with a price")]
    NoPayments,
    /// Nobody signs.
    #[error("the wallet is not open here: start the client with its passphrase in a file")]
    NoWallet,
    /// The wallet does not open.
    #[error("the wallet stays closed: {0}")]
    WalletClosed(String),
    /// What would be settled cannot be found out.
    #[error("the plan cannot be made: {0}")]
    NoPlan(Box<SettleError>),
    /// A session key is not taken back.
    #[error(transparent)]
    TakeBack(#[from] TakeBackError),
    /// The ledger refused.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// It cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The session refused.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The client has ended, or ends.
    #[error("the client has ended")]
    Ended,
}

/// Why a client cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The list of torrents.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A torrent that it was to begin with.
    #[error(transparent)]
    Torrent(#[from] ClientError),
}

/// What kind of error it is, for those who answer others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was asked for makes no sense.
    Invalid,
    /// The torrent is not there.
    NotFound,
    /// It cannot be done as things stand.
    Conflict,
    /// The client ends.
    Ended,
    /// Something failed.
    Failed,
}

impl ClientError {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchTorrent(_) => ErrorKind::NotFound,
            Self::BeingRemoved(_)
            | Self::BeingMoved(_)
            | Self::AllShared(_)
            | Self::TooMany { .. }
            | Self::Paused(_)
            | Self::NoSuchTracker(_)
            | Self::HasTracker(_)
            | Self::NoMetadata(_)
            | Self::NoPayments
            | Self::NoWallet
            | Self::WalletClosed(_)
            | Self::TakeBack(TakeBackError::NothingGranted { .. })
            | Self::Move(_) => ErrorKind::Conflict,
            Self::Link(_)
            | Self::NotALink(_)
            | Self::File(_)
            | Self::Files(_)
            | Self::NoFiles
            | Self::NoSuchFile(_)
            | Self::BadName { .. }
            | Self::RelativeFolder(_)
            | Self::BadTracker(_) => ErrorKind::Invalid,
            Self::Session(_)
            | Self::Store(_)
            | Self::Ledger(_)
            | Self::TakeBack(_)
            | Self::NotRead(..)
            | Self::NoPlan(_) => ErrorKind::Failed,
            Self::Ended => ErrorKind::Ended,
        }
    }
}
