//! Looking for what is near a target: ask the nearest that are known, who name
//! nearer ones, until the eight nearest have answered. Pure.

use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, SocketAddr},
};

use super::{id::NodeId, message::Contact, table::BUCKET};

/// Questions of one search that are on their way.
const AT_ONCE: usize = 4;
/// Nodes of a search that are remembered: the nearest.
const MAX_CANDIDATES: usize = 100;
/// Questions of one search. An honest network needs about 30.
const MAX_QUESTIONS: usize = 150;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    NotYet,
    Waiting,
    Answered { token: Option<Vec<u8>> },
}

#[derive(Debug)]
struct Candidate {
    addr: SocketAddr,
    asked: Asked,
}

/// One search.
#[derive(Debug)]
pub struct Search {
    target: NodeId,
    candidates: BTreeMap<[u8; 20], Candidate>,
    seen: HashSet<SocketAddr>,
    hosts: HashSet<IpAddr>,
    waiting: usize,
    questions: usize,
}

impl Search {
    /// Begins with the nodes that are known.
    pub fn new(target: NodeId, known: &[Contact]) -> Self {
        let mut search = Self {
            target,
            candidates: BTreeMap::new(),
            seen: HashSet::new(),
            hosts: HashSet::new(),
            waiting: 0,
            questions: 0,
        };
        search.heard_of(known);
        search
    }

    fn heard_of(&mut self, contacts: &[Contact]) {
        for (id, addr) in contacts {
            let ip = addr.ip();
            if addr.port() == 0 || ip.is_unspecified() || ip.is_multicast() {
                continue;
            }
            // One host, one voice: else a single one could fill every search.
            if self.seen.len() >= 4 * MAX_QUESTIONS
                || !self.seen.insert(*addr)
                || (!ip.is_loopback() && !self.hosts.insert(ip))
            {
                continue;
            }
            let candidate = Candidate {
                addr: *addr,
                asked: Asked::NotYet,
            };
            self.candidates
                .entry(id.distance(&self.target))
                .or_insert(candidate);
        }
        while self.candidates.len() > MAX_CANDIDATES {
            let far = self.candidates.pop_last();
            if far.is_some_and(|(_, far)| far.asked == Asked::Waiting) {
                self.waiting = self.waiting.saturating_sub(1);
            }
        }
    }

    /// Whom to ask next; it counts as asked.
    pub fn ask(&mut self) -> Option<SocketAddr> {
        if self.waiting >= AT_ONCE || self.questions >= MAX_QUESTIONS {
            return None;
        }
        let near = self.candidates.values_mut().take(BUCKET);
        let next = near.into_iter().find(|one| one.asked == Asked::NotYet)?;
        next.asked = Asked::Waiting;
        self.waiting += 1;
        self.questions += 1;
        Some(next.addr)
    }

    /// A node answered and named others.
    pub fn answered(&mut self, addr: SocketAddr, token: Option<Vec<u8>>, nodes: &[Contact]) {
        let node = self.candidates.values_mut().find(|one| one.addr == addr);
        if let Some(node) = node
            && node.asked == Asked::Waiting
        {
            node.asked = Asked::Answered { token };
            self.waiting = self.waiting.saturating_sub(1);
        }
        self.heard_of(nodes);
    }

    /// A node did not answer.
    pub fn failed(&mut self, addr: SocketAddr) {
        let before = self.candidates.len();
        self.candidates
            .retain(|_, one| one.addr != addr || one.asked != Asked::Waiting);
        if self.candidates.len() < before {
            self.waiting = self.waiting.saturating_sub(1);
        }
    }

    /// Nobody is left to ask.
    pub fn is_done(&self) -> bool {
        let mut near = self.candidates.values().take(BUCKET);
        let more = self.questions < MAX_QUESTIONS && near.any(|one| one.asked == Asked::NotYet);
        self.waiting == 0 && !more
    }

    /// The nearest nodes that take announces, each with its token.
    pub fn nearest(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        let answered = self.candidates.values().filter_map(|one| match &one.asked {
            Asked::Answered { token: Some(token) } => Some((one.addr, token.clone())),
            _ => None,
        });
        answered.take(BUCKET).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network in which every node knows those that share one more bit, found
    /// through one that is far away; some of it is dead.
    #[test]
    fn the_nearest_are_found_although_some_are_silent() {
        let node = |number: u8| {
            let mut id = [0; 20];
            id[0] = number;
            (NodeId(id), SocketAddr::from(([9, 9, 9, number], 1)))
        };
        let all: Vec<Contact> = (1..=200).map(node).collect();
        let mut search = Search::new(NodeId([0; 20]), &[node(200)]);
        let mut asked = 0;
        while let Some(addr) = search.ask() {
            asked += 1;
            let SocketAddr::V4(v4) = addr else {
                unreachable!()
            };
            let number = v4.ip().octets()[3];
            if number % 5 == 3 {
                search.failed(addr);
                continue;
            }
            // Some that are nearer, and its neighbours.
            let near = (number / 2).saturating_sub(3)..=number / 2;
            let around = number..number.saturating_add(4);
            let told: Vec<Contact> = all
                .iter()
                .filter(|(id, _)| near.contains(&id.0[0]) || around.contains(&id.0[0]))
                .copied()
                .collect();
            search.answered(addr, Some(vec![number]), &told);
        }
        assert!(search.is_done());
        let found: Vec<u8> = search.nearest().iter().map(|(_, token)| token[0]).collect();
        assert_eq!(found, [1, 2, 4, 5, 6, 7, 9, 10]);
        assert!(asked < 50, "{asked}");
    }

    #[test]
    fn a_host_that_names_only_itself_is_one_voice() {
        let crowd: Vec<Contact> = (0..5000u16)
            .map(|port| (NodeId([1; 20]), SocketAddr::from(([9, 9, 9, 9], port))))
            .collect();
        let mut search = Search::new(NodeId([0; 20]), &crowd);
        assert!(search.ask().is_some());
        assert!(search.ask().is_none());
    }
}
