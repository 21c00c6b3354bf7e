//! Whom the session serves: all of its torrents share the upload, and so one choker.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::shared::Shared;
use crate::swarm::{
    choker::{Candidate, Choker, Group, ROUND_SECONDS, worth},
    hooks::UploadClass,
};

/// Who wants data is looked at no more often, but in the rounds.
const RECHOKE: Duration = Duration::from_millis(100);

pub(super) async fn choke_loop(shared: Arc<Shared>, mut choker: Choker) {
    let round = Duration::from_secs(ROUND_SECONDS);
    let mut next = Instant::now() + round;
    let mut looked = tokio::time::Instant::now();
    loop {
        let until = tokio::time::Instant::from_std(next);
        let is_round = tokio::select! {
            () = tokio::time::sleep_until(until) => true,
            () = shared.rechoke.notified() => {
                // Whoever changes its mind all the time must not keep us busy.
                tokio::time::sleep_until(looked.max(tokio::time::Instant::now())).await;
                false
            }
        };
        looked = tokio::time::Instant::now() + RECHOKE;
        let mut free = Vec::new();
        let mut candidates = Vec::new();
        for conn in shared.all_conns() {
            let standing = conn.standing();
            if standing.class != UploadClass::Free {
                continue;
            }
            let seeding = conn.torrent.is_complete();
            let traffic = &conn.traffic;
            let [up, down, factor] = [&traffic.up_rate, &traffic.down_rate, &traffic.factor]
                .map(|count| count.load(Ordering::Relaxed));
            if standing.interested {
                candidates.push(Candidate {
                    conn: conn.id,
                    group: Group::of(conn.id, conn.remote.ip()),
                    rate: worth(seeding, up, down, factor),
                    unchoked: standing.unchoked,
                    new: conn.traffic.is_new(),
                    wasteful: standing.wasteful,
                });
            }
            free.push(conn);
        }
        let chosen = if is_round {
            next = Instant::now() + round;
            choker.round(&candidates)
        } else {
            choker.fill(&candidates)
        };
        for conn in free {
            conn.set_choking(!chosen.contains(&conn.id));
        }
    }
}
