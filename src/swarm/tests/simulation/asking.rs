//! What a node requests, and what becomes of the answers.

use super::*;

impl World {
    /// Requests what makes sense, as `Conn::fill`.
    pub(super) fn fill(&mut self, me: usize, peer: usize) {
        let now = self.now_ms();
        let node = &mut self.nodes[me];
        let Some(conn) = node.conns.get_mut(&peer) else {
            return;
        };
        let (Some(core), true) = (&mut node.core, node.alive) else {
            return;
        };
        let interested = core.is_interested_in(id(peer));
        if std::mem::replace(&mut conn.interested, interested) != interested {
            self.send(me, peer, Wire::Interested(interested));
            return self.fill(me, peer);
        }
        if conn.peer_choking || !interested {
            return;
        }
        let mut asked: Vec<(Block, Option<PriceTag>)> = Vec::new();
        let mut found = true;
        for _ in 0..conn.asking.room(now) {
            let wish = Wish {
                conn: id(peer),
                metered: self.pays.contains_key(&(me, peer)),
                races: conn.asking.may_race(now, asked.len()),
                answer_ms: conn.asking.answer_ms(asked.len(), now),
            };
            let mut tag = None;
            let mut chosen = None;
            for more in [false, true] {
                let Some(block) = core.pick(now, wish, &Named::default(), more) else {
                    break;
                };
                if conn.asking.has(&block) || asked.iter().any(|(one, _)| *one == block) {
                    core.unpick(wish.conn, block);
                    continue;
                }
                let Some(duo) = self.pays.get_mut(&(me, peer)) else {
                    chosen = Some(block);
                    break;
                };
                let buyer = &mut duo.buyer;
                let at = duo.now;
                tag = buyer.machine.price_request(
                    block.piece,
                    block.length,
                    &mut buyer.debt,
                    &mut duo.budget,
                    at,
                );
                if tag.is_some() {
                    let account = self.accounts.get_mut(&(me, peer)).unwrap();
                    account.priced += u64::from(block.length);
                    chosen = Some(block);
                    break;
                }
                core.unpick(wish.conn, block);
            }
            let Some(block) = chosen else {
                found = false;
                break;
            };
            asked.push((block, tag));
        }
        let conn = node.conns.get_mut(&peer).unwrap();
        let mut taken = None;
        if !found {
            if asked.is_empty() {
                let wish = Wish {
                    conn: id(peer),
                    metered: self.pays.contains_key(&(me, peer)),
                    races: conn.asking.may_race(now, 0),
                    answer_ms: conn.asking.answer_ms(0, now),
                };
                taken = core.take_over(now, wish);
            }
            conn.asking.found_nothing(now);
        }
        if let Some((other, block)) = taken {
            self.cancel(me, node_of(other), block);
            return;
        }
        conn.asking.note(&asked, now);
        for (block, _) in asked {
            self.send(me, peer, Wire::Request(block));
        }
    }

    pub(super) fn fill_all(&mut self, me: usize) {
        let peers: Vec<usize> = self.nodes[me].conns.keys().copied().collect();
        for peer in peers {
            self.fill(me, peer);
        }
    }

    pub(super) fn give_back(&mut self, me: usize, peer: usize, block: Block) {
        let core = self.nodes[me].core.as_mut();
        let over = core.is_some_and(|core| core.unpick(id(peer), block));
        if over {
            self.over(me, peer, block.piece);
        }
    }

    pub(super) fn chunk(&mut self, from: usize, me: usize, block: Block, good: bool, now: u64) {
        let node = &mut self.nodes[me];
        let conn = node.conns.get_mut(&from).unwrap();
        conn.came += u64::from(block.length);
        let Some(asked) = conn.asking.arrived(&block, now) else {
            return;
        };
        let Some(core) = &mut node.core else {
            return;
        };
        match core.received(id(from), block, asked.tag) {
            Received::Unwanted => self.drop_tag(me, from, asked.tag, block.length, true),
            Received::Duplicate => {}
            Received::Owed => {
                let chunks = [(asked.tag.unwrap(), block.length)];
                self.owe(me, from, block.piece, &chunks);
            }
            Received::Used { cancel, complete } => {
                if !good {
                    node.bad.insert(block);
                }
                for other in cancel {
                    self.cancel(me, node_of(other), block);
                }
                if complete {
                    self.hashed(me, block.piece);
                }
            }
        }
        self.fill_all(me);
    }

    /// A request is not wanted any more.
    fn cancel(&mut self, me: usize, peer: usize, block: Block) {
        let now = self.now_ms();
        let Some(conn) = self.nodes[me].conns.get_mut(&peer) else {
            return;
        };
        match conn.asking.cancel(&block, true, now) {
            Cancelled::Nothing => return,
            Cancelled::Waits => {}
            Cancelled::Forgotten(_) => self.give_back(me, peer, block),
        }
        self.send(me, peer, Wire::Cancel(block));
    }

    /// The last chunk of a piece is here.
    pub(super) fn hashed(&mut self, me: usize, piece: u32) {
        let node = &mut self.nodes[me];
        let wrong = node.bad.iter().any(|block| block.piece == piece);
        node.bad.retain(|block| block.piece != piece);
        let result = match (node.disk_ok, wrong) {
            (false, _) => Happened::DiskRefused {
                piece,
                message: String::new(),
                full: true,
            },
            (true, false) => Happened::Verified(piece),
            (true, true) => Happened::Wrong(piece),
        };
        self.happened(me, result);
    }
}
