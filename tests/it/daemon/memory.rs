//! How its memory is kept.

use super::{list, start};
use crate::support::home::Home;

/// glibc gives a heap of a thread this much room, at a multiple of it.
const ROOM: u64 = 64 << 20;

/// Where threads have heaps of their own, by what is mapped: what is used, and right behind it
/// what is kept free, until the room ends.
fn heaps(maps: &str) -> Vec<u64> {
    let rows: Vec<(u64, u64, &str)> = maps
        .lines()
        .filter_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (from, to) = range.split_once('-')?;
            let number = |text| u64::from_str_radix(text, 16).ok();
            Some((number(from)?, number(to)?, rest.get(..4)?))
        })
        .collect();
    let pairs = rows.iter().zip(rows.iter().skip(1));
    pairs
        .filter(|((from, to, may), (next, end, next_may))| {
            let is_begin = from.is_multiple_of(ROOM) && *may == "rw-p";
            is_begin && to == next && *next_may == "---p" && *end >= from + ROOM
        })
        .map(|((from, ..), _)| *from)
        .collect()
}

#[test]
fn heaps_of_threads_are_seen() {
    let maps = "\
        7f5ab4000000-7f5ab4021000 rw-p 00000000 00:00 0 \n\
        7f5ab4021000-7f5ab8000000 ---p 00000000 00:00 0 \n\
        7f5ab8000000-7f5ab8021000 rw-p 00000000 00:00 0 \n\
        7f5ab9000000-7f5aba000000 ---p 00000000 00:00 0 \n\
        7f5aba1fe000-7f5aba1ff000 ---p 00000000 00:00 0 \n\
        7f5aba1ff000-7f5aba3ff000 rw-p 00000000 00:00 0 \n";
    assert_eq!(heaps(maps), [0x7f5a_b400_0000]);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn all_threads_share_one_heap() {
    let home = Home::new();
    let daemon = start(&home, &[]);
    // Its threads have worked: they have read the list, and answered.
    assert!(list(&home).is_empty());
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", daemon.0.id())).unwrap();
    assert!(maps.contains("[heap]"), "{maps}");
    assert_eq!(heaps(&maps), Vec::<u64>::new(), "{maps}");
}
