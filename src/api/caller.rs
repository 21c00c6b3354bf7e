//! Who sent a request.

use super::{scope::Scopes, sessions::SessionId};

/// How a caller has shown who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum By {
    /// It has not.
    Nothing,
    /// A token in the header `Authorization`.
    Token,
    /// The user's name and password in the header `Authorization`.
    Password,
    /// A cookie of the page's.
    Page(SessionId),
    /// A cookie of qBittorrent's API.
    Qbittorrent(SessionId),
    /// The same user of this machine, over the socket.
    Socket,
}

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) by: By,
    pub(super) scopes: Scopes,
}

impl Caller {
    pub(super) const NOBODY: Self = Self {
        by: By::Nothing,
        scopes: Scopes {
            read: false,
            torrents: false,
            money: false,
        },
    };
}
