//! Cookies of those who have logged in. They live in memory: a restart ends them.

use std::{
    collections::HashMap,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

use super::{scope::Scopes, secret};

/// A session that nobody has used for so long ends.
const IDLE: Duration = Duration::from_secs(24 * 3600);
/// Sessions at once. The one that was not used for longest makes room.
const MAX_SESSIONS: usize = 256;
/// A confirmation of a payment is good for so long, and for one request.
const CONFIRMATION: Duration = Duration::from_secs(60);

/// A session's name inside the server: the digest of its cookie.
pub(super) type SessionId = [u8; 32];

/// What a session is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The page and `/api/v1`.
    Page,
    /// `/api/v2`, never money.
    Qbittorrent,
}

#[derive(Debug)]
struct Session {
    kind: Kind,
    scopes: Scopes,
    used: Instant,
    /// The confirmation that was given out last.
    confirmation: Option<([u8; 32], Instant)>,
}

/// Those who have logged in.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<SessionId, Session>>);

impl Sessions {
    fn map(&self) -> MutexGuard<'_, HashMap<SessionId, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens one; its cookie. No session moves money by itself.
    pub(super) fn open(
        &self,
        kind: Kind,
        scopes: Scopes,
        now: Instant,
    ) -> io::Result<Zeroizing<String>> {
        let cookie = secret::random()?;
        let mut map = self.map();
        map.retain(|_, session| now.saturating_duration_since(session.used) < IDLE);
        if map.len() >= MAX_SESSIONS
            && let Some(oldest) = map
                .iter()
                .min_by_key(|(_, session)| session.used)
                .map(|(id, _)| *id)
        {
            map.remove(&oldest);
        }
        map.insert(
            secret::digest(&cookie),
            Session {
                kind,
                scopes: scopes.without_money(),
                used: now,
                confirmation: None,
            },
        );
        Ok(cookie)
    }

    /// The session of a cookie, and what it may do.
    pub(super) fn find(
        &self,
        cookie: &str,
        kind: Kind,
        now: Instant,
    ) -> Option<(SessionId, Scopes)> {
        let id = secret::digest(cookie);
        let mut map = self.map();
        let session = map.get_mut(&id)?;
        if now.saturating_duration_since(session.used) >= IDLE {
            map.remove(&id);
            return None;
        }
        session.used = now;
        (session.kind == kind).then_some((id, session.scopes))
    }

    pub(super) fn close(&self, id: &SessionId) {
        self.map().remove(id);
    }

    /// The password was given again: what the next request that moves money says.
    pub(super) fn confirm(
        &self,
        id: &SessionId,
        now: Instant,
    ) -> io::Result<Option<Zeroizing<String>>> {
        let code = secret::random()?;
        Ok(self.map().get_mut(id).map(|session| {
            session.confirmation = Some((secret::digest(&code), now));
            code
        }))
    }

    /// Takes a confirmation: it is good once.
    pub(super) fn take_confirmation(&self, id: &SessionId, code: &str, now: Instant) -> bool {
        let mut map = self.map();
        let Some(session) = map.get_mut(id) else {
            return false;
        };
        session.confirmation.take().is_some_and(|(digest, given)| {
            now.saturating_duration_since(given) < CONFIRMATION
                && secret::same(&digest, &secret::digest(code))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_good_for_its_own_api_until_it_is_idle_for_a_day() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let cookie = sessions
            .open(Kind::Qbittorrent, Scopes::NO_MONEY, now)
            .unwrap();
        assert_eq!(sessions.find(&cookie, Kind::Page, now), None);
        assert_eq!(sessions.find("00", Kind::Qbittorrent, now), None);
        let almost = now + IDLE - Duration::from_secs(1);
        let (id, _) = sessions.find(&cookie, Kind::Qbittorrent, almost).unwrap();
        assert!(
            sessions
                .find(&cookie, Kind::Qbittorrent, now + IDLE)
                .is_some()
        );
        let later = now + IDLE + IDLE;
        assert_eq!(sessions.find(&cookie, Kind::Qbittorrent, later), None);
        sessions.close(&id);
        assert_eq!(sessions.find(&cookie, Kind::Qbittorrent, now), None);
    }

    #[test]
    fn no_session_has_the_scope_of_money() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let all = Scopes {
            money: true,
            ..Scopes::NO_MONEY
        };
        for kind in [Kind::Page, Kind::Qbittorrent] {
            let cookie = sessions.open(kind, all, now).unwrap();
            let (_, scopes) = sessions.find(&cookie, kind, now).unwrap();
            assert_eq!(scopes, Scopes::NO_MONEY);
        }
    }

    #[test]
    fn the_session_that_was_used_least_makes_room() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let at = |second: usize| now + Duration::from_secs(u64::try_from(second).unwrap());
        let cookies: Vec<_> = (0..MAX_SESSIONS)
            .map(|n| sessions.open(Kind::Page, Scopes::NO_MONEY, at(n)).unwrap())
            .collect();
        let later = at(MAX_SESSIONS);
        assert!(sessions.find(&cookies[0], Kind::Page, later).is_some());
        sessions.open(Kind::Page, Scopes::NO_MONEY, later).unwrap();
        assert_eq!(sessions.map().len(), MAX_SESSIONS);
        assert!(sessions.find(&cookies[0], Kind::Page, later).is_some());
        assert!(sessions.find(&cookies[1], Kind::Page, later).is_none());
    }

    #[test]
    fn a_confirmation_is_good_once_for_a_minute_and_for_its_session() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let open = || {
            let cookie = sessions.open(Kind::Page, Scopes::NO_MONEY, now).unwrap();
            sessions.find(&cookie, Kind::Page, now).unwrap().0
        };
        let (id, other) = (open(), open());
        let code = sessions.confirm(&id, now).unwrap().unwrap();
        assert!(!sessions.take_confirmation(&other, &code, now));
        assert!(sessions.take_confirmation(&id, &code, now));
        assert!(!sessions.take_confirmation(&id, &code, now));
        let code = sessions.confirm(&id, now).unwrap().unwrap();
        assert!(!sessions.take_confirmation(&id, &code, now + CONFIRMATION));
        // A wrong code uses the confirmation up: it cannot be guessed at.
        let code = sessions.confirm(&id, now).unwrap().unwrap();
        assert!(!sessions.take_confirmation(&id, "00", now));
        assert!(!sessions.take_confirmation(&id, &code, now));
    }
}
