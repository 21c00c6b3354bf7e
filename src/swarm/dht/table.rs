//! The nodes that are known: eight for each length of common prefix with our own
//! id, so that of our neighbours most are known, and of the rest a few. Only nodes
//! that answered us are in it, and no two of one address. Pure.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{id::NodeId, message::Contact};

/// Nodes of one bucket (BEP 5's K).
pub const BUCKET: usize = 8;
/// A node that was silent for so long is asked whether it is still there.
const QUESTIONABLE: Duration = Duration::from_secs(900);
/// So many questions without an answer, and it is gone.
const MAX_FAILURES: u8 = 2;

#[derive(Debug, Clone)]
struct Node {
    id: NodeId,
    addr: SocketAddr,
    heard: Instant,
    failures: u8,
}

/// At most 160 × [`BUCKET`] nodes.
#[derive(Debug)]
pub struct Table {
    own: NodeId,
    buckets: Vec<Vec<Node>>,
}

impl Table {
    /// The table of the node with this id.
    pub fn new(own: NodeId) -> Self {
        Self {
            own,
            buckets: vec![Vec::new(); 160],
        }
    }

    /// Whose table it is.
    pub fn own(&self) -> NodeId {
        self.own
    }

    /// How many nodes it has.
    pub fn len(&self) -> usize {
        self.buckets.iter().map(Vec::len).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(Vec::is_empty)
    }

    /// A node answered.
    pub fn answered(&mut self, id: NodeId, addr: SocketAddr, now: Instant) {
        if id == self.own {
            return;
        }
        let known = self
            .nodes_mut()
            .find(|node| node.id == id || node.addr == addr);
        if let Some(node) = known {
            if node.id == id && node.addr == addr {
                node.heard = now;
                node.failures = 0;
            } else if node.failures > 0 {
                // It moved, or began anew. One that answers is not pushed out.
                node.failures = MAX_FAILURES;
                self.remove_failed();
                self.answered(id, addr, now);
            }
            return;
        }
        // On loopback everybody is at one address.
        if !addr.ip().is_loopback() && self.nodes_mut().any(|node| node.addr.ip() == addr.ip()) {
            return;
        }
        let at = self.own.common_bits(&id);
        let Some(bucket) = self.buckets.get_mut(at) else {
            return;
        };
        let node = Node {
            id,
            addr,
            heard: now,
            failures: 0,
        };
        if bucket.len() < BUCKET {
            bucket.push(node);
        } else if let Some(bad) = bucket.iter_mut().find(|node| node.failures > 0) {
            *bad = node;
        }
    }

    /// A node did not answer.
    pub fn failed(&mut self, addr: SocketAddr) {
        if let Some(node) = self.nodes_mut().find(|node| node.addr == addr) {
            node.failures = node.failures.saturating_add(1);
        }
        self.remove_failed();
    }

    fn remove_failed(&mut self) {
        for bucket in &mut self.buckets {
            bucket.retain(|node| node.failures < MAX_FAILURES);
        }
    }

    /// Whether a node with this id would find room.
    pub fn has_room(&self, id: &NodeId) -> bool {
        let bucket = self.buckets.get(self.own.common_bits(id));
        bucket.is_some_and(|bucket| {
            !bucket.iter().any(|node| node.id == *id)
                && (bucket.len() < BUCKET || bucket.iter().any(|node| node.failures > 0))
        })
    }

    /// The `count` nodes nearest to a target, the nearest first.
    pub fn nearest(&self, target: &NodeId, count: usize) -> Vec<Contact> {
        let mut all: Vec<_> = self
            .buckets
            .iter()
            .flatten()
            .filter(|node| node.failures == 0)
            .map(|node| (node.id, node.addr))
            .collect();
        all.sort_unstable_by_key(|(id, _)| id.distance(target));
        all.truncate(count);
        all
    }

    /// Every node, for the next start.
    pub fn all(&self) -> Vec<Contact> {
        self.nearest(&self.own, usize::MAX)
    }

    /// The node that was silent for the longest time, if that is too long.
    pub fn questionable(&self, now: Instant) -> Option<SocketAddr> {
        let nodes = self.buckets.iter().flatten();
        let oldest = nodes.min_by_key(|node| node.heard)?;
        (now.duration_since(oldest.heard) > QUESTIONABLE).then_some(oldest.addr)
    }

    fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.buckets.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(first: u8, last: u8) -> NodeId {
        let mut id = [0; 20];
        (id[0], id[19]) = (first, last);
        NodeId(id)
    }

    fn addr(a: u8, b: u8) -> SocketAddr {
        SocketAddr::from(([9, 9, a, b], 7))
    }

    #[test]
    fn a_bucket_takes_eight_and_gives_up_the_silent() {
        let now = Instant::now();
        let mut table = Table::new(id(0, 0));
        for number in 0..20 {
            table.answered(id(0x80, number), addr(0, number), now);
        }
        assert_eq!(table.len(), BUCKET);
        assert!(!table.has_room(&id(0x80, 50)));
        assert!(table.has_room(&id(0x40, 50)));
        // One that failed once makes room, one that fails twice is gone.
        table.failed(addr(0, 3));
        table.answered(id(0x80, 50), addr(0, 50), now);
        assert_eq!(table.len(), BUCKET);
        table.failed(addr(0, 4));
        table.failed(addr(0, 4));
        assert_eq!(table.len(), BUCKET - 1);
        let near = table.nearest(&id(0x80, 50), 2);
        assert_eq!(near[0], (id(0x80, 50), addr(0, 50)));
    }

    #[test]
    fn nobody_takes_the_place_of_one_that_answers() {
        let now = Instant::now();
        let mut table = Table::new(id(0, 0));
        table.answered(id(0x80, 1), addr(1, 1), now);
        // The same id elsewhere, and many ids at one address.
        table.answered(id(0x80, 1), addr(2, 2), now);
        for number in 0..8 {
            table.answered(id(0x40, number), addr(1, 1), now);
            table.answered(id(0x20, number), SocketAddr::from(([9, 9, 1, 1], 99)), now);
        }
        assert_eq!(table.all(), [(id(0x80, 1), addr(1, 1))]);
        let later = now + QUESTIONABLE + Duration::from_secs(1);
        assert_eq!(table.questionable(later), Some(addr(1, 1)));
        table.answered(id(0x80, 1), addr(1, 1), later);
        assert_eq!(table.questionable(later), None);
    }
}
