//! Who finishes when, under three ways to share one peer's line among many: the
//! product's own choker and scheduler on a clock of their own (Levin et al.,
//! "BitTorrent is an Auction", SIGCOMM 2008).
//!
//! Peers want the same number of bytes from one peer. What each can give for
//! them differs by a factor of 32, as the upload capacities of that paper's
//! swarms do. *Tit-for-tat* serves those who give it the most, in equal parts,
//! with an optimistic slot; *fastest* those who take the fastest; *bid-weighted*
//! serves all, in proportion to what each bids.

use std::net::IpAddr;

use seedrail::swarm::{
    choker::{Candidate, Choker, Group, ROUND_SECONDS},
    hooks::{ConnId, UploadClass},
    scheduler::{Decision, GRANT, Scheduler},
};
use serde_json::{Value, json};

const PEERS: u64 = 40;
const SLOTS: usize = 5;
/// Bytes a second of the line that is shared.
const LINE: u64 = 4 << 20;
/// Bytes each wants.
const WANTED: u64 = 16 << 20;
const SECOND: u64 = 1_000_000_000;

struct Peer {
    conn: ConnId,
    /// What it can give: its upload to the peer that serves, or its bid.
    worth: u64,
    /// What it can take at most, in bytes a second.
    takes: u64,
    got: u64,
    unchoked: bool,
    done: Option<f64>,
    this_second: u64,
    rate: u64,
}

fn peers() -> Vec<Peer> {
    (1..=PEERS)
        .map(|n| {
            // Few are worth much: 1, 2, 4 … 32 with halving frequency.
            let class = n.trailing_zeros().min(5);
            Peer {
                conn: ConnId(n),
                worth: 1 << class,
                // Capacity to take does not follow what they give.
                takes: (256 << 10) << (n * 7 % 4),
                got: 0,
                unchoked: false,
                done: None,
                this_second: 0,
                rate: 0,
            }
        })
        .collect()
}

fn round(choker: &mut Choker, peers: &mut [Peer], by: impl Fn(&Peer) -> u64) {
    let candidates: Vec<_> = peers
        .iter()
        .filter(|peer| peer.done.is_none())
        .map(|peer| Candidate {
            conn: peer.conn,
            group: Group::of(peer.conn, IpAddr::from([127, 0, 0, 1])),
            rate: by(peer),
            unchoked: peer.unchoked,
            new: false,
            wasteful: false,
        })
        .collect();
    let chosen = choker.round(&candidates);
    for peer in peers {
        peer.unchoked = chosen.contains(&peer.conn);
    }
}

fn simulate(policy: &str) -> Value {
    let mut peers = peers();
    let mut scheduler = Scheduler::new(Some(LINE), 80);
    let mut choker = Choker::new(SLOTS, 7);
    let (mut now, mut second) = (0u64, 0u64);
    while peers.iter().any(|peer| peer.done.is_none()) {
        if now / SECOND >= second {
            if policy != "bid-weighted" && second.is_multiple_of(ROUND_SECONDS) {
                match policy {
                    "tit-for-tat" => round(&mut choker, &mut peers, |peer| peer.worth),
                    _ => round(&mut choker, &mut peers, |peer| peer.rate),
                }
            }
            for peer in &mut peers {
                peer.rate = peer.this_second;
                peer.this_second = 0;
            }
            second += 1;
        }
        for peer in &peers {
            let class = if policy == "bid-weighted" {
                UploadClass::Paid { weight: peer.worth }
            } else {
                UploadClass::Free
            };
            let open = policy == "bid-weighted" || peer.unchoked;
            let hungry = peer.done.is_none() && open && peer.this_second < peer.takes;
            let wanted = if hungry { GRANT } else { 0 };
            scheduler.want(peer.conn, class, wanted);
        }
        match scheduler.next(now) {
            Decision::Grant(conn, bytes) => {
                let peer = peers.iter_mut().find(|peer| peer.conn == conn).unwrap();
                peer.got += bytes;
                peer.this_second += bytes;
                if peer.got >= WANTED {
                    peer.done = Some(now as f64 / SECOND as f64);
                }
            }
            Decision::Wait(more) => now += more,
            // All who may take have taken their fill of this second.
            Decision::Idle => now = second * SECOND,
        }
    }
    let done: Vec<_> = peers
        .iter()
        .map(|peer| json!([peer.worth, peer.done]))
        .collect();
    json!({ "policy": policy, "done": done })
}

pub(crate) fn measure() -> Value {
    json!(["tit-for-tat", "fastest", "bid-weighted"].map(simulate))
}
