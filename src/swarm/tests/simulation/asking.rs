//! What a node requests, and what becomes of the answers.

use super::*;

/// One node's torrent.
struct Held<'a> {
    world: &'a mut World,
    me: usize,
    later: Later,
}

/// What is done when the torrent has decided, as `Torrent::do_later`.
#[derive(Default)]
struct Later {
    cancels: Vec<(usize, Block)>,
    /// Pieces whose last chunk is here.
    whole: Vec<u32>,
}

impl Owner for Held<'_> {
    fn core(&mut self) -> &mut TorrentCore {
        self.world.core(self.me)
    }

    fn look(&mut self) {
        let peers: Vec<usize> = self.world.nodes[self.me].conns.keys().copied().collect();
        for peer in peers {
            self.world.look_at(self.me, peer, &mut self.later);
        }
    }
}

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
        let room = conn.asking.room(now);
        let metered = self.pays.contains_key(&(me, peer));
        let wish = conn.asking.wish(id(peer), metered, now);
        let mut asked: Vec<(Block, Option<PriceTag>)> = Vec::new();
        let (mut raced, mut whole) = (Vec::new(), Vec::new());
        // As `Conn::ask_for`.
        for of in [Of::Any, Of::Own] {
            let most = room - asked.len();
            if most == 0 {
                break;
            }
            let wish = wish.after(asked.len());
            let later = Later::default();
            let mut held = Held {
                world: self,
                me,
                later,
            };
            let lease = core::lease(&mut held, now, wish, &Named::default(), of, most);
            let later = held.later;
            whole.extend(later.whole);
            for (other, block) in later.cancels {
                self.cancel(me, other, block);
            }
            for (block, rival) in lease.rivals {
                raced.push(block);
                let rival = self.nodes[me].conns.get_mut(&node_of(rival)).unwrap();
                let waits = rival.asking.note_race(&block);
                assert!(waits && !rival.brought.has(block), "{block:?} is here");
            }
            if let Some((other, block)) = lease.taken {
                self.cancel(me, node_of(other), block);
            }
            let lease = lease.chunks;
            self.check_asked(me, metered, &lease);
            let prices = lease.iter();
            let prices = prices.map_while(|block| Some((*block, self.price(me, peer, *block)?)));
            let prices: Vec<_> = prices.collect();
            let refused = lease.get(prices.len()..).unwrap_or_default();
            asked.extend(prices);
            if refused.is_empty() {
                break;
            }
            for block in refused.iter().rev() {
                self.core(me).unpick(id(peer), *block);
            }
        }
        let conn = self.nodes[me].conns.get_mut(&peer).unwrap();
        if asked.len() < room {
            conn.asking.found_nothing(now);
        }
        if !asked.is_empty() {
            conn.asking.note(&asked, now);
        }
        for block in raced {
            conn.asking.note_race(&block);
        }
        for (block, _) in asked {
            self.send(me, peer, Wire::Request(block));
        }
        for piece in whole {
            self.hashed(me, piece);
        }
    }

    fn core(&mut self, me: usize) -> &mut TorrentCore {
        self.nodes[me].core.as_mut().unwrap()
    }

    fn price(&mut self, me: usize, peer: usize, block: Block) -> Option<Option<PriceTag>> {
        if self.nodes[me].conns[&peer].asking.has(&block) {
            return None;
        }
        let Some(duo) = self.pays.get_mut(&(me, peer)) else {
            return Some(None);
        };
        let (buyer, at) = (&mut duo.buyer, duo.now);
        let tag = buyer.machine.price_request(
            block.piece,
            block.length,
            &mut buyer.debt,
            &mut duo.budget,
            at,
        )?;
        let account = self.accounts.get_mut(&(me, peer)).unwrap();
        account.priced += u64::from(block.length);
        Some(Some(tag))
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
        if node.core.is_none() {
            return;
        }
        if !good {
            conn.spoilt.insert(block);
        }
        let due = asked.is_urgent() || !conn.asking.has_any_of(block.piece);
        let tag = asked.tag;
        conn.brought.note(Came { block, tag }, due);
        if conn.brought.is_full() || conn.brought.is_due() {
            self.take_in(me, from);
        }
        self.fill_all(me);
    }

    /// The torrent looks at what a connection brought.
    pub(super) fn take_in(&mut self, me: usize, from: usize) {
        let mut later = Later::default();
        self.look_at(me, from, &mut later);
        for (other, block) in later.cancels {
            self.cancel(me, other, block);
        }
        for piece in later.whole {
            self.hashed(me, piece);
        }
    }

    fn look_at(&mut self, me: usize, from: usize, later: &mut Later) {
        let Some(conn) = self.nodes[me].conns.get_mut(&from) else {
            return;
        };
        let (came, _) = conn.brought.take();
        for Came { block, tag } in came {
            let spoilt = self.nodes[me].conns.get_mut(&from).unwrap();
            let spoilt = spoilt.spoilt.remove(&block);
            match self.core(me).received(id(from), block, tag) {
                Received::Unwanted => self.drop_tag(me, from, tag, block.length, true),
                Received::Duplicate => {}
                Received::Owed => {
                    self.owe(me, from, block.piece, &[(tag.unwrap(), block.length)]);
                }
                Received::Used { cancel, complete } => {
                    if spoilt {
                        self.nodes[me].bad.insert(block);
                    }
                    let others = cancel.into_iter().map(|other| (node_of(other), block));
                    later.cancels.extend(others);
                    if complete {
                        later.whole.push(block.piece);
                    }
                }
            }
        }
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
