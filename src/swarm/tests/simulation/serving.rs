//! Whom a node serves: its choker and its scheduler are the session's own.

use super::*;
use crate::swarm::peer::UNUSED_SLOT;

/// The shortest time between two looks at who wants data.
const RECHOKE_MS: u64 = 100;

impl World {
    /// The group by which the choker knows a node.
    fn group(peer: usize) -> Group {
        Group::of(id(peer), address(peer).ip())
    }

    fn class(&self, me: usize, peer: usize) -> UploadClass {
        let duo = self.pays.get(&(peer, me));
        duo.and_then(|duo| duo.seller.class)
            .unwrap_or(UploadClass::Free)
    }

    /// Serves a peer what the scheduler has granted, as `Conn::next_requests`.
    fn use_credit(&mut self, me: usize, peer: usize) {
        let class = self.class(me, peer);
        let node = &mut self.nodes[me];
        let idle = matches!(node.kind, Kind::Stalls) || !node.alive;
        let complete = node.core.is_none() || node.done_ms.is_some();
        if let Some(conn) = node.conns.get_mut(&peer).filter(|_| complete) {
            node.passing.order(id(peer), &mut conn.queue);
        }
        loop {
            let Some(conn) = node.conns.get_mut(&peer) else {
                return;
            };
            let duo = self.pays.get_mut(&(peer, me));
            let allowed = duo.as_ref().map_or(u64::MAX, |duo| {
                duo.seller.machine.upload_allowance(&duo.seller.credit)
            });
            let head = conn.queue.front().copied().filter(|_| !idle);
            let head = head.filter(|block| u64::from(block.length) <= allowed);
            let Some(block) = head else {
                node.scheduler.idle(id(peer));
                node.scheduler.refund(std::mem::take(&mut conn.credit));
                return;
            };
            let bytes = u64::from(block.length);
            if conn.credit < bytes {
                let queued = conn.queue.iter().map(|one| u64::from(one.length)).sum();
                let most = allowed.min(queued).min(MAX_CREDIT);
                let more = most.saturating_sub(conn.credit);
                node.scheduler.want(id(peer), class, more);
                return;
            }
            conn.credit -= bytes;
            conn.queue.pop_front();
            conn.sent += bytes;
            if let Some(duo) = duo {
                duo.seller
                    .machine
                    .served(block.length, &mut duo.seller.credit);
            }
            if complete {
                let passing = &mut node.passing;
                passing.gave(id(peer), Self::group(peer), block.piece, block.length);
            }
            let good = node.kind != Kind::Lies;
            let delay = bytes * 1_000_000 / node.up + self.delay_us[me][peer];
            self.order += 1;
            let what = Happens::Arrives {
                from: me,
                to: peer,
                what: Wire::Piece(block, good),
            };
            let at = self.now_us + delay;
            self.events.push(Reverse((at, self.order, what)));
        }
    }

    /// A peer may be served something: asks the scheduler.
    pub(super) fn serve(&mut self, me: usize, peer: usize) {
        self.use_credit(me, peer);
        self.grant(me);
    }

    pub(super) fn serve_all(&mut self, me: usize) {
        let peers: Vec<usize> = self.nodes[me].conns.keys().copied().collect();
        for peer in peers {
            self.use_credit(me, peer);
        }
        self.grant(me);
    }

    /// Hands out what the uplink has room for, as `Limiter::run`.
    pub(super) fn grant(&mut self, me: usize) {
        loop {
            let node = &mut self.nodes[me];
            match node.scheduler.next(self.now_us * 1000) {
                Decision::Grant(conn, bytes) => match node.conns.get_mut(&node_of(conn)) {
                    Some(one) => {
                        one.credit += bytes;
                        self.use_credit(me, node_of(conn));
                    }
                    None => node.scheduler.refund(bytes),
                },
                Decision::Wait(nanos) => {
                    let at = self.now_us + nanos.div_ceil(1000);
                    if node.grants_at.is_none_or(|known| at < known) {
                        node.grants_at = Some(at);
                        self.at(at - self.now_us, Happens::Grants(me));
                    }
                    return;
                }
                Decision::Idle => return,
            }
        }
    }

    /// Who is served is decided anew, in a round or between two.
    pub(super) fn choke(&mut self, me: usize, round: bool) {
        let now = self.now_ms();
        let node = &mut self.nodes[me];
        if !round && now < node.choked_ms + RECHOKE_MS {
            if !std::mem::replace(&mut node.rechokes, true) {
                let wait = node.choked_ms + RECHOKE_MS - now;
                self.at(1000 * wait, Happens::Rechokes(me));
            }
            return;
        }
        if !node.alive {
            return;
        }
        let node = &self.nodes[me];
        let complete = node.core.is_none() || node.done_ms.is_some();
        let candidates: Vec<Candidate> = node
            .conns
            .iter()
            .filter(|(peer, conn)| {
                conn.peer_interested && self.class(me, **peer) == UploadClass::Free
            })
            .map(|(peer, conn)| Candidate {
                conn: id(*peer),
                group: Self::group(*peer),
                rate: choker::worth(complete, conn.up_rate, conn.down_rate, conn.factor),
                unchoked: !conn.choking,
                new: now < 60_000,
                wasteful: conn.wastes_its_slot(now),
            })
            .collect();
        let node = &mut self.nodes[me];
        node.choked_ms = now;
        let chosen = match round {
            true => node.choker.round(&candidates),
            false => node.choker.fill(&candidates),
        };
        let peers: Vec<usize> = node.conns.keys().copied().collect();
        for peer in peers {
            let choking = match self.class(me, peer) {
                UploadClass::Free => !chosen.contains(&id(peer)),
                UploadClass::Paid { .. } => false,
                UploadClass::Refused => true,
            };
            self.set_choking(me, peer, choking);
        }
    }

    fn set_choking(&mut self, me: usize, peer: usize, choking: bool) {
        let now = self.now_ms();
        let conn = self.nodes[me].conns.get_mut(&peer).unwrap();
        if std::mem::replace(&mut conn.choking, choking) == choking {
            return;
        }
        // As `Conn::set_choking`.
        if !choking {
            conn.unused_since_ms.get_or_insert(now);
        } else if !conn.wastes_its_slot(now) {
            conn.unused_since_ms = None;
        }
        self.send(me, peer, Wire::Choke(choking));
        if choking {
            let conn = self.nodes[me].conns.get_mut(&peer).unwrap();
            for block in std::mem::take(&mut conn.queue) {
                self.send(me, peer, Wire::Reject(block));
            }
            self.serve(me, peer);
        }
    }

    /// Once a second: rates, and who passes on what it gets.
    pub(super) fn measure(&mut self, me: usize) {
        let node = &mut self.nodes[me];
        for (peer, conn) in &mut node.conns {
            for (total, before, rate) in [
                (conn.sent, &mut conn.sent_before, &mut conn.up_rate),
                (conn.came, &mut conn.came_before, &mut conn.down_rate),
            ] {
                let last = total - std::mem::replace(before, total);
                *rate = if *rate == 0 { last } else { (*rate + last) / 2 };
            }
            conn.factor = node.passing.factor(id(*peer));
            node.scheduler.prefer(id(*peer), conn.factor);
        }
    }

    /// A peer says to have a piece.
    pub(super) fn announced(&mut self, me: usize, from: usize, piece: u32) {
        let length = self.layout.piece_len(piece);
        let passing = &mut self.nodes[me].passing;
        passing.announced(id(from), Self::group(from), piece, length);
    }
}

impl Conn {
    /// It was unchoked and asks for nothing, as `Outbox::wastes_its_slot`.
    fn wastes_its_slot(&self, now_ms: u64) -> bool {
        let most = u64::try_from(UNUSED_SLOT.as_millis()).unwrap();
        self.unused_since_ms
            .is_some_and(|since| now_ms - since > most)
    }
}
