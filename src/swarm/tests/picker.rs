//! What is requested from whom, and what becomes of each request.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::swarm::{
    bitfield::Bitfield,
    file_priority::FilePriority,
    hooks::{ConnId, PriceTag},
    metainfo::Layout,
    picker::{Asker, Contributions, Ended, Picker, Received},
    selection::Wanted,
    wire::{Block, CHUNK},
};

const A: ConnId = ConnId(1);
const B: ConnId = ConnId(2);
const C: ConnId = ConnId(3);

fn picker(pieces: u32) -> Picker {
    let layout = Layout::new(u64::from(pieces) * 65536, 65536).unwrap();
    let wanted = Wanted::everything(layout);
    Picker::new(layout, Bitfield::empty(pieces), wanted, 7)
}

/// Answers in a moment.
fn free(conn: ConnId) -> Asker {
    Asker {
        conn,
        metered: false,
        suspect: false,
        proven: true,
        races: true,
        now_ms: 0,
        answer_ms: 10,
    }
}

fn metered(conn: ConnId) -> Asker {
    Asker {
        metered: true,
        ..free(conn)
    }
}

fn suspect(conn: ConnId) -> Asker {
    Asker {
        suspect: true,
        ..free(conn)
    }
}

/// Answers after `ms`, asked at `now_ms`.
fn at(asker: Asker, now_ms: u64, ms: u64) -> Asker {
    Asker {
        now_ms,
        answer_ms: now_ms + ms,
        ..asker
    }
}

fn all_of(picker: &mut Picker, asker: Asker, theirs: &Bitfield) -> Vec<Block> {
    std::iter::from_fn(|| picker.pick(asker, theirs)).collect()
}

fn used(cancel: &[ConnId], complete: bool) -> Received {
    Received::Used {
        cancel: cancel.to_vec(),
        complete,
    }
}

#[test]
fn pieces_of_a_higher_priority_come_first_however_rare_others_are() {
    use FilePriority::{High, Low, Normal};
    let mut picker = picker(4);
    let all = Bitfield::full(4);
    picker.peer_came(&all);
    // Everybody has what is wanted first.
    (0..5).for_each(|_| picker.peer_has(3));
    picker.prioritize(vec![Low, Normal, Normal, High]);
    let order = |picker: &mut Picker| -> Vec<u32> {
        let mut order: Vec<u32> = all_of(picker, free(A), &all)
            .iter()
            .map(|block| block.piece)
            .collect();
        order.dedup();
        order
    };
    assert_eq!(picker.pick(free(A), &all).unwrap().piece, 3);
    // What is begun is finished, and what is not begun goes by the new order.
    picker.prioritize(vec![High, Normal, Low, Low]);
    assert_eq!(order(&mut picker), [3, 0, 1, 2]);
    // Who has only what comes last is asked for that.
    let mut picker = self::picker(4);
    picker.prioritize(vec![Low, Normal, Normal, High]);
    let mut some = Bitfield::empty(4);
    some.insert(0);
    picker.peer_came(&some);
    assert_eq!(picker.pick(free(A), &some).unwrap().piece, 0);
    picker.prioritize(Vec::new());
    assert_eq!(order(&mut picker).len(), 4);
}

#[test]
fn the_rarest_piece_comes_first_and_begun_ones_are_finished() {
    let mut picker = picker(4);
    let all = Bitfield::full(4);
    picker.peer_came(&all);
    picker.peer_came(&all);
    for piece in [0, 1, 3] {
        picker.peer_has(piece);
    }
    let picks: Vec<_> = (0..4)
        .map(|_| picker.pick(free(A), &all).unwrap())
        .collect();
    assert!(picks.iter().all(|block| block.piece == 2), "{picks:?}");
    let begins: BTreeSet<_> = picks.iter().map(|block| block.begin).collect();
    assert_eq!(begins.len(), 4);
    assert_ne!(picker.pick(free(B), &all).unwrap().piece, 2);
}

#[test]
fn a_faster_peer_races_the_chunks_that_a_slow_one_holds_up() {
    let mut picker = picker(1);
    let all = Bitfield::full(1);
    let slow = at(free(A), 0, 8000);
    let first = all_of(&mut picker, slow, &all);
    assert_eq!(first.len(), 4);
    // Nobody races for little, and nobody races itself.
    assert_eq!(picker.pick(at(free(B), 0, 7000), &all), None);
    assert_eq!(picker.pick(at(free(A), 0, 10), &all), None);
    let again = all_of(&mut picker, free(B), &all);
    assert_eq!(first, again);
    assert_eq!(picker.received(B, again[0], None), used(&[A], false));
    assert_eq!(picker.received(A, first[0], None), Received::Unwanted);
    // Two that never answer do not hold up the last chunk.
    assert_eq!(all_of(&mut picker, at(free(C), 20_000, 10), &all).len(), 3);
}

#[test]
fn who_never_sent_a_good_piece_races_for_one_alone() {
    let mut picker = picker(4);
    let all = Bitfield::full(4);
    assert_eq!(all_of(&mut picker, at(free(A), 0, 9000), &all).len(), 16);
    let stranger = Asker {
        proven: false,
        ..free(B)
    };
    let raced = all_of(&mut picker, stranger, &all);
    assert_eq!(raced.len(), 4);
    assert!(raced.iter().all(|block| block.piece == raced[0].piece));
    assert_eq!(all_of(&mut picker, free(B), &all).len(), 12);
}

#[test]
fn a_request_that_is_overdue_is_raced() {
    let mut picker = picker(1);
    let all = Bitfield::full(1);
    all_of(&mut picker, free(A), &all);
    assert_eq!(picker.pick(at(free(B), 10, 10), &all), None);
    assert!(picker.pick(at(free(B), 2000, 10), &all).is_some());
}

#[test]
fn sellers_begin_pieces_of_their_own_and_help_when_there_are_no_more() {
    let mut picker = picker(2);
    let all = Bitfield::full(2);
    let one = picker.pick(metered(A), &all).unwrap();
    let two = picker.pick(metered(B), &all).unwrap();
    assert_ne!(one.piece, two.piece);
    let rest = all_of(&mut picker, metered(B), &all);
    assert_eq!(rest.len(), 6, "its own, then those that A did not ask for");
    assert!(rest[..3].iter().all(|block| block.piece == two.piece));
    for block in &rest[3..] {
        assert_eq!(
            picker.received(B, *block, Some(PriceTag(2))),
            used(&[], false)
        );
    }
    assert_eq!(picker.received(A, one, Some(PriceTag(1))), used(&[], true));
    assert_eq!(picker.senders(one.piece), [A, B]);
    let ended = picker.verified(one.piece);
    let owed = Contributions::from([
        (A, vec![(PriceTag(1), CHUNK)]),
        (B, vec![(PriceTag(2), CHUNK); 3]),
    ]);
    assert_eq!(ended.contributions, owed);
    assert_eq!(ended.open, BTreeSet::from([A, B]));
}

#[test]
fn a_priced_duplicate_is_owed_to_both_before_and_after_the_hash_matched() {
    let mut picker = picker(1);
    let all = Bitfield::full(1);
    let (one, two) = (Some(PriceTag(1)), Some(PriceTag(2)));
    let first = all_of(&mut picker, at(metered(A), 0, 9000), &all);
    let raced = all_of(&mut picker, metered(B), &all);
    assert_eq!(first, raced, "a piece may be raced, and no more");
    assert_eq!(picker.received(B, first[0], two), used(&[A], false));
    assert_eq!(picker.received(A, first[0], one), Received::Duplicate);
    for block in &first[1..3] {
        assert_eq!(picker.received(B, *block, two), used(&[A], false));
    }
    assert_eq!(picker.received(B, first[3], two), used(&[A], true));
    let ended = picker.verified(0);
    assert_eq!(ended.contributions[&A], [(PriceTag(1), CHUNK)]);
    assert_eq!(ended.contributions[&B].len(), 4);
    assert_eq!(ended.open, BTreeSet::from([A, B]));
    // One more was on its way, the others were rejected.
    assert_eq!(picker.received(A, first[1], one), Received::Owed);
    assert!(picker.dropped(A, first[2]) && picker.dropped(A, first[3]));
    assert_eq!(picker.duplicate_bytes(), 2 * u64::from(CHUNK));
}

#[test]
fn priced_races_stop_at_the_limit_and_free_ones_do_not() {
    let layout = Layout::new(16 * 65536, 65536).unwrap();
    let mut picker = Picker::new(layout, Bitfield::empty(16), Wanted::everything(layout), 7);
    let all = Bitfield::full(16);
    assert_eq!(picker.duplicate_limit(), 65536 + 16 * 65536 / 100);
    assert_eq!(all_of(&mut picker, at(free(A), 0, 9000), &all).len(), 64);
    // Four chunks fit: 1 % is less than one.
    let raced = all_of(&mut picker, metered(B), &all);
    assert_eq!(raced.len(), 4);
    // All but those four, which are expected soon.
    assert_eq!(all_of(&mut picker, free(C), &all).len(), 60);
    // A reject gives the room back.
    picker.dropped(B, raced[0]);
    assert_eq!(all_of(&mut picker, metered(B), &all).len(), 1);
}

#[test]
fn a_seller_that_is_much_too_late_is_raced_beyond_the_limit_and_not_owed_beyond_it() {
    let mut picker = picker(16);
    let all = Bitfield::full(16);
    let tag = Some(PriceTag(1));
    let asked = all_of(&mut picker, at(metered(A), 0, 500), &all);
    assert_eq!(asked.len(), 64);
    assert_eq!(all_of(&mut picker, at(metered(B), 2000, 10), &all).len(), 4);
    let raced = all_of(&mut picker, at(metered(B), 2600, 10), &all);
    assert_eq!(raced.len(), 60);
    for block in &raced {
        picker.received(B, *block, tag);
    }
    let late = raced.iter().map(|block| picker.received(A, *block, tag));
    let owed = late.filter(|late| *late == Received::Duplicate).count();
    assert_eq!(owed, 4);
    assert_eq!(picker.duplicate_bytes(), 65536);
}

#[test]
fn a_free_duplicate_is_never_counted() {
    let mut picker = picker(1);
    let all = Bitfield::full(1);
    let first = all_of(&mut picker, at(metered(A), 0, 9000), &all);
    all_of(&mut picker, metered(B), &all);
    picker.received(B, first[0], Some(PriceTag(0)));
    let twice = picker.received(A, first[0], Some(PriceTag(0)));
    assert_eq!(twice, Received::Unwanted);
    assert_eq!(picker.duplicate_bytes(), 0);
}

#[test]
fn a_suspects_pieces_are_asked_of_nobody_else_until_it_lets_go() {
    let mut picker = picker(1);
    let all = Bitfield::full(1);
    let first = picker.pick(suspect(A), &all).unwrap();
    let late = |asker| at(asker, 5000, 10);
    assert_eq!(picker.pick(late(free(B)), &all), None);
    assert_eq!(picker.pick(late(metered(B)), &all), None);
    picker.received(A, first, None);
    let second = picker.pick(suspect(A), &all).unwrap();
    let later = at(free(C), 5020, 10);
    assert!(picker.pick(later, &all).is_some(), "it is late");
    picker.dropped(A, second);
    picker.dropped(C, second);
    assert!(picker.release(A));
    assert!(!picker.release(A));
    assert_eq!(picker.pick(free(B), &all), Some(second));
}

#[test]
fn what_a_lost_peer_sent_stays_and_is_written_off() {
    let mut picker = picker(2);
    let all = Bitfield::full(2);
    let block = picker.pick(metered(A), &all).unwrap();
    picker.received(A, block, Some(PriceTag(9)));
    assert_eq!(picker.disown(A), [(PriceTag(9), CHUNK)]);
    assert_eq!(picker.disown(A), []);
    assert_eq!(picker.pick(free(B), &all).unwrap().piece, block.piece);
}

#[test]
fn a_chunk_that_was_given_up_is_used_if_it_comes_all_the_same() {
    let mut picker = picker(1);
    let all = Bitfield::full(1);
    let first = all_of(&mut picker, metered(A), &all);
    picker.received(A, first[0], Some(PriceTag(1)));
    picker.dropped(A, first[1]);
    assert_eq!(
        picker.received(A, first[1], Some(PriceTag(1))),
        used(&[], false)
    );
    assert_eq!(picker.pick(free(B), &all), None, "nothing is missing");
}

/// Every tag that is out, by request, as the connections would know it.
type Out = BTreeMap<(ConnId, Block), u64>;

proptest! {
    /// Random peers come, answer, race, drop and vanish, and pieces turn out wrong. Every
    /// tag comes back exactly once, priced duplicates stay below their limit, and in the
    /// end everything is there.
    #[test]
    fn every_tag_comes_back_once(
        pieces in 1u32..12,
        steps in proptest::collection::vec((0u64..4, 0u8..9, 0u64..20_000), 0..600),
    ) {
        let mut picker = picker(pieces);
        let all = Bitfield::full(pieces);
        let mut out = Out::new();
        // Bytes that arrived at a price and wait for a hash, by connection.
        let mut waiting: BTreeMap<ConnId, i64> = BTreeMap::new();
        let mut now = 0;
        let settle = |waiting: &mut BTreeMap<ConnId, i64>, ended: Ended| {
            for (conn, chunks) in ended.contributions {
                let bytes: u32 = chunks.iter().map(|(_, bytes)| bytes).sum();
                *waiting.entry(conn).or_default() -= i64::from(bytes);
            }
        };
        for (peer, action, ms) in steps {
            now += ms / 10;
            let conn = ConnId(peer);
            let asker = Asker {
                conn,
                metered: peer < 2,
                suspect: false,
                proven: peer % 2 == 0,
                races: true,
                now_ms: now,
                answer_ms: now + ms,
            };
            let mine = out.keys().filter(|(of, _)| *of == conn).nth(usize::from(action % 2));
            let mine = mine.copied();
            match (action, mine) {
                (0..3, _) => {
                    if let Some(block) = picker.pick(asker, &all) {
                        // A cancelled request of it may not be answered yet.
                        if out.insert((conn, block), peer + 1).is_some() {
                            picker.dropped(conn, block);
                        }
                    }
                }
                (3, _) => {
                    if let Some(block) = picker.pick_more(asker, &all)
                        && out.insert((conn, block), peer + 1).is_some() {
                        picker.dropped(conn, block);
                    }
                }
                (4, Some((_, block))) => {
                    out.remove(&(conn, block));
                    picker.dropped(conn, block);
                }
                (5, _) if ms < 2000 => {
                    for (key, _) in out.extract_if(.., |(of, _), _| *of == conn) {
                        picker.dropped(conn, key.1);
                    }
                    let lost: i64 = picker.disown(conn).iter().map(|(_, n)| i64::from(*n)).sum();
                    *waiting.entry(conn).or_default() -= lost;
                    prop_assert_eq!(waiting[&conn], 0, "lost with the connection");
                }
                (_, Some((_, block))) => {
                    let tag = out.remove(&(conn, block)).filter(|_| peer < 2).map(PriceTag);
                    let priced = i64::from(block.length) * i64::from(tag.is_some());
                    match picker.received(conn, block, tag) {
                        Received::Used { complete, .. } => {
                            *waiting.entry(conn).or_default() += priced;
                            if complete {
                                prop_assert!(!picker.have().has(block.piece));
                                let ended = if ms % 5 == 0 {
                                    picker.failed(block.piece)
                                } else {
                                    picker.verified(block.piece)
                                };
                                settle(&mut waiting, ended);
                            }
                        }
                        Received::Duplicate => *waiting.entry(conn).or_default() += priced,
                        Received::Owed => prop_assert!(picker.have().has(block.piece)),
                        Received::Unwanted => {}
                    }
                }
                _ => {}
            }
            prop_assert!(picker.duplicate_bytes() <= picker.duplicate_limit());
            prop_assert!(waiting.values().all(|bytes| *bytes >= 0));
        }
        for ((conn, block), _) in out {
            picker.dropped(conn, block);
        }
        for peer in 0..4 {
            let lost: i64 = picker.disown(ConnId(peer)).iter().map(|(_, n)| i64::from(*n)).sum();
            prop_assert_eq!(waiting.remove(&ConnId(peer)).unwrap_or_default(), lost);
        }
        while let Some(block) = picker.pick(at(free(B), now + 100_000, 10), &all) {
            if let Received::Used { complete: true, .. } = picker.received(B, block, None) {
                picker.verified(block.piece);
            }
        }
        prop_assert!(picker.have().is_full(), "{} of {pieces}", picker.have().count());
    }
}

#[test]
fn three_that_are_late_do_not_keep_out_a_fast_one() {
    let mut picker = picker(1);
    let seed = Bitfield::full(1);
    let chunks = 65536 / CHUNK;
    // The last chunk is asked of three.
    for n in 0..chunks {
        let block = picker.pick(at(free(A), 0, 5000), &seed).unwrap();
        if n + 1 < chunks {
            picker.received(A, block, None);
        }
    }
    assert!(picker.pick(at(free(B), 0, 1000), &seed).is_some());
    assert!(picker.pick(at(free(C), 0, 100), &seed).is_some());
    let fast = |now| at(free(ConnId(4)), now, 10);
    assert_eq!(picker.pick(fast(0), &seed), None);
    assert_eq!(picker.pick(fast(5100), &seed), None);
    // All of them are late by two seconds.
    let block = picker.pick(fast(7100), &seed).expect("it may race now");
    let Received::Used { cancel, complete } = picker.received(ConnId(4), block, None) else {
        panic!("it is used");
    };
    assert_eq!((cancel, complete), (vec![A, B, C], true));
}

#[test]
fn a_seller_that_never_answers_keeps_no_room_for_its_duplicates() {
    // Of a download of two pieces, a piece may be paid twice: four chunks.
    let mut picker = picker(2);
    let seed = Bitfield::full(2);
    let tag = Some(PriceTag(1));
    let silent: Vec<Block> = (0..4)
        .map(|_| picker.pick(at(metered(A), 0, 1000), &seed).unwrap())
        .collect();
    let slow: Vec<Block> = (0..4)
        .map(|_| picker.pick(at(metered(B), 0, 60_000), &seed).unwrap())
        .collect();
    // Others overtake the silent one, whose answers are still possible.
    for _ in &silent {
        let block = picker.pick(at(metered(C), 1900, 10), &seed).unwrap();
        let raced = silent.contains(&block) || slow.contains(&block);
        assert!(raced && matches!(picker.received(C, block, tag), Received::Used { .. }));
    }
    assert_eq!(
        picker.pick(at(metered(C), 1901, 10), &seed),
        None,
        "no room"
    );
    let mut more = 0;
    while let Some(block) = picker.pick(at(metered(C), 3100, 10), &seed) {
        picker.received(C, block, tag);
        more += 1;
    }
    assert!(more > 0, "the silent one is too late");
    for block in silent.iter().chain(&slow) {
        picker.received(A, *block, tag);
        picker.received(B, *block, tag);
    }
    assert!(picker.duplicate_bytes() <= picker.duplicate_limit());
}

#[test]
fn what_a_slow_seller_holds_up_is_taken_over_without_a_duplicate() {
    let mut picker = picker(1);
    let all = Bitfield::full(1);
    let slow = at(metered(A), 0, 60_000);
    let asked: Vec<_> = std::iter::from_fn(|| picker.pick(slow, &all)).collect();
    assert_eq!(asked.len(), 4);
    let fast = at(metered(B), 1000, 100);
    // Who might be a liar, is a suspect, or is little faster takes nothing over.
    let unproven = Asker {
        proven: false,
        ..fast
    };
    let late = at(metered(B), 1000, 40_000);
    for other in [unproven, suspect(B), late, slow] {
        assert_eq!(picker.take_over(other, &all), None);
    }
    assert_eq!(picker.take_over(fast, &Bitfield::empty(1)), None);
    let taken: Vec<_> = std::iter::from_fn(|| picker.take_over(fast, &all)).collect();
    assert_eq!(taken.len(), 4, "each of them once: {taken:?}");
    assert!(taken.iter().all(|(from, _)| *from == A));
    // The seller answers the cancel: the chunk is not asked of it again, but of the other.
    let (_, block) = taken[0];
    picker.dropped(A, block);
    assert_eq!(picker.pick(at(metered(A), 1100, 60_000), &all), None);
    assert_eq!(picker.pick(at(metered(B), 1100, 100), &all), Some(block));
    // If nobody else asks for it, it may have it again.
    let (_, block) = taken[1];
    picker.dropped(A, block);
    assert_eq!(picker.pick(at(metered(A), 7000, 60_000), &all), Some(block));
    // What was on its way all the same is used.
    let (_, block) = taken[2];
    let used = picker.received(A, block, Some(PriceTag::default()));
    assert!(matches!(used, Received::Used { .. }), "{used:?}");
    assert_eq!(picker.duplicate_bytes(), 0);
}

#[test]
fn what_costs_nothing_is_raced_and_not_taken_over() {
    let mut picker = picker(1);
    let all = Bitfield::full(1);
    let slow = at(free(A), 0, 60_000);
    while picker.pick(slow, &all).is_some() {}
    assert_eq!(picker.take_over(at(free(B), 1000, 100), &all), None);
    assert!(picker.pick(at(free(B), 1000, 100), &all).is_some());
}
