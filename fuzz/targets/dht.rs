//! What comes by UDP from strangers: packets of the distributed hash table, of a
//! UDP tracker, of the local network.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seedrail::swarm::{
    dht::message::{Body, MAX_PACKET, Packet},
    lsd::Search,
    tracker::udp,
};

fuzz_target!(|data: &[u8]| {
    let to = std::net::SocketAddr::from(([1, 2, 3, 4], 5));
    if let Some(packet) = Packet::decode(data) {
        assert!(data.len() <= MAX_PACKET);
        if let Body::Answer(_, answer) = &packet.body {
            assert!(answer.nodes.len() <= 200 && answer.peers.len() <= 100);
        }
        // Whatever is read is written so that it is read as the same; an answer
        // then says where the asker is.
        let again = Packet::decode(&packet.encode(to, false)).map(|packet| packet.body);
        match (packet.body, again) {
            (Body::Answer(id, answer), Some(Body::Answer(other, same))) => {
                assert_eq!(
                    (id, &answer.peers, &answer.token),
                    (other, &same.peers, &same.token)
                );
                assert_eq!(answer.nodes.len(), same.nodes.len());
            }
            (Body::Answer(..), None) => {}
            (Body::Query(_, seedrail::swarm::dht::message::Query::Unknown), _) => {}
            (body, again) => assert_eq!(Some(body), again),
        }
    }
    if let Some(search) = Search::decode(data) {
        assert!(search.port != 0 && search.hashes.len() <= 20);
    }
    for v6 in [false, true] {
        if let Some(udp::Packet::Announced(reply)) = udp::Packet::decode(data, 0, v6) {
            assert!(reply.peers.len() <= 500);
        }
    }
});
