//! The allowed fast set (BEP 6): a few pieces that a peer may ask for while it is
//! choked, so that one that has nothing gets something to give. They follow from its
//! network, so that coming from many addresses there brings no more.

use std::net::Ipv4Addr;

use sha1::{Digest, Sha1};

use crate::types::InfoHash;

/// Pieces of the set, as the description proposes.
pub const ALLOWED_FAST: usize = 10;

/// The pieces that the peer at `ip` may ask for at any time, in their order.
pub fn allowed_fast(ip: Ipv4Addr, torrent: InfoHash, pieces: u32, count: usize) -> Vec<u32> {
    let mut set = Vec::new();
    let count = count.min(usize::try_from(pieces).unwrap_or(usize::MAX));
    let [a, b, c, _] = ip.octets();
    let mut seed = [&[a, b, c, 0][..], torrent.as_bytes()].concat();
    while set.len() < count {
        seed = Sha1::digest(&seed).to_vec();
        let (numbers, _) = seed.as_chunks::<4>();
        for number in numbers {
            let piece = u32::from_be_bytes(*number) % pieces;
            if set.len() < count && !set.contains(&piece) {
                set.push(piece);
            }
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_description() {
        let ip = Ipv4Addr::new(80, 4, 4, 200);
        let torrent = InfoHash::from_bytes([0xaa; 20]);
        let seven = [1059, 431, 808, 1217, 287, 376, 1188];
        assert_eq!(allowed_fast(ip, torrent, 1313, 7), seven);
        let nine = [1059, 431, 808, 1217, 287, 376, 1188, 353, 508];
        assert_eq!(allowed_fast(ip, torrent, 1313, 9), nine);
        // All of one network get the same.
        let neighbour = Ipv4Addr::new(80, 4, 4, 1);
        assert_eq!(allowed_fast(neighbour, torrent, 1313, 7), seven);
    }

    #[test]
    fn a_small_torrent_has_no_more_pieces_than_it_has() {
        let torrent = InfoHash::from_bytes([0xaa; 20]);
        for pieces in 0..12 {
            let mut set = allowed_fast(Ipv4Addr::LOCALHOST, torrent, pieces, ALLOWED_FAST);
            set.sort_unstable();
            set.dedup();
            assert_eq!(u32::try_from(set.len()).unwrap(), pieces.min(10));
        }
    }
}
