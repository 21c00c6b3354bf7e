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
        let room = conn.asking.room(now);
        let metered = self.pays.contains_key(&(me, peer));
        let wish = conn.asking.wish(id(peer), metered, now);
        let mut asked: Vec<(Block, Option<PriceTag>)> = Vec::new();
        let mut raced = Vec::new();
        // As `Conn::ask_for`.
        for of in [Of::Any, Of::Own] {
            let most = room - asked.len();
            if most == 0 {
                break;
            }
            let wish = wish.after(asked.len());
            let lease = self.lease(me, wish, of, most, &mut raced);
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
        if asked.is_empty() {
            return;
        }
        conn.asking.note(&asked, now);
        for block in raced {
            conn.asking.note_race(&block);
        }
        for (block, _) in asked {
            self.send(me, peer, Wire::Request(block));
        }
    }

    fn core(&mut self, me: usize) -> &mut TorrentCore {
        self.nodes[me].core.as_mut().unwrap()
    }

    /// As `Torrent::lease`.
    fn lease(
        &mut self,
        me: usize,
        wish: Wish,
        of: Of,
        most: usize,
        raced: &mut Vec<Block>,
    ) -> Vec<Block> {
        let (now, named) = (self.now_ms(), Named::default());
        let mut chunks = match of {
            Of::Any => self.core(me).lease(now, wish.alone(), &named, of, most),
            Of::Own => Vec::new(),
        };
        let rest = wish.after(chunks.len());
        if chunks.len() == most || !(rest.races[0] || of == Of::Own) {
            return chunks;
        }
        self.take_in_all(me);
        let more = most - chunks.len();
        let found = self.core(me).lease(now, rest, &named, of, more);
        for block in &found {
            for rival in self.core(me).rivals(wish.conn, *block) {
                raced.push(*block);
                let rival = self.nodes[me].conns.get_mut(&node_of(rival));
                rival.unwrap().asking.note_race(block);
            }
        }
        chunks.extend(found);
        if chunks.is_empty()
            && of == Of::Any
            && let Some((other, block)) = self.core(me).take_over(now, wish)
        {
            self.cancel(me, node_of(other), block);
        }
        chunks
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

    pub(super) fn take_in_all(&mut self, me: usize) {
        let peers: Vec<usize> = self.nodes[me].conns.keys().copied().collect();
        for peer in peers {
            self.take_in(me, peer);
        }
    }

    /// The torrent looks at what a connection brought.
    pub(super) fn take_in(&mut self, me: usize, from: usize) {
        let Some(conn) = self.nodes[me].conns.get_mut(&from) else {
            return;
        };
        let (came, _) = conn.brought.take();
        let mut whole = Vec::new();
        for Came { block, tag } in came {
            let spoilt = self.nodes[me].conns.get_mut(&from);
            let spoilt = spoilt.is_some_and(|conn| conn.spoilt.remove(&block));
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
                    for other in cancel {
                        self.cancel(me, node_of(other), block);
                    }
                    if complete {
                        whole.push(block.piece);
                    }
                }
            }
        }
        for piece in whole {
            self.hashed(me, piece);
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
