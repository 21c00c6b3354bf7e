//! Who may do what.

use serde::{Deserialize, Serialize};

/// What a request needs, and what a caller may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// See everything that is no secret.
    Read,
    /// Add, change and remove torrents.
    Torrents,
    /// Spend: settle, change the policy, bid.
    Money,
}

/// Several scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Scopes {
    pub(super) read: bool,
    pub(super) torrents: bool,
    pub(super) money: bool,
}

impl Scopes {
    pub(super) const NO_MONEY: Self = Self {
        read: true,
        torrents: true,
        money: false,
    };

    pub(super) fn of(scopes: &[Scope]) -> Self {
        Self {
            read: scopes.contains(&Scope::Read),
            torrents: scopes.contains(&Scope::Torrents),
            money: scopes.contains(&Scope::Money),
        }
    }

    pub(super) fn has(self, scope: Scope) -> bool {
        match scope {
            Scope::Read => self.read,
            Scope::Torrents => self.torrents,
            Scope::Money => self.money,
        }
    }

    pub(super) fn without_money(self) -> Self {
        Self {
            money: false,
            ..self
        }
    }

    pub(super) fn names(self) -> Vec<Scope> {
        [Scope::Read, Scope::Torrents, Scope::Money]
            .into_iter()
            .filter(|scope| self.has(*scope))
            .collect()
    }
}
