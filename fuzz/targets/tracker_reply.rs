//! What a tracker answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seedrail::swarm::tracker::Reply;

fuzz_target!(|data: &[u8]| {
    if let Ok(reply) = Reply::decode(data) {
        assert!(reply.peers.len() <= 500);
        assert!((5..=24 * 3_600).contains(&reply.interval.as_secs()));
    }
});
