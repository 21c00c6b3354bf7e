mod choosing;
mod sleeping;

use super::*;
use crate::swarm::{
    bitfield::Bitfield,
    hooks::PriceTag,
    metainfo::Layout,
    peer::Named,
    picker::Received,
    selection::Wanted,
    wire::{Block, CHUNK},
};

const PIECES: u32 = 6;
/// Chunks of a piece.
const CHUNKS: u32 = 4;

fn at(host: u8, port: u16) -> SocketAddr {
    ([10, 0, 0, host], port).into()
}

/// A download of which nothing is here.
fn core() -> TorrentCore {
    let layout = Layout::new(
        u64::from(PIECES * CHUNKS * CHUNK),
        u64::from(CHUNKS * CHUNK),
    );
    let layout = layout.unwrap();
    let nothing = Bitfield::empty(PIECES);
    let picker = Picker::new(layout, nothing, Wanted::everything(layout), 3);
    let mut core = TorrentCore::new(Phase::Checking { done: 0, total: 0 });
    core.input(0, Input::Checked(Box::new(picker), None));
    core
}

/// A seed joins from there.
fn join(core: &mut TorrentCore, conn: u64, remote: SocketAddr) -> ConnId {
    let id = ConnId(conn);
    let joining = Joining {
        conn: id,
        remote,
        peer_id: [u8::try_from(conn).unwrap(); 20],
        outgoing: true,
    };
    core.join(joining, &[0; 20]).unwrap();
    core.greet(id).unwrap();
    core.claimed(id, Claim::All).unwrap();
    id
}

fn ask(core: &mut TorrentCore, conn: ConnId, metered: bool) -> Option<Block> {
    let wish = Wish {
        conn,
        metered,
        races: [true; 2],
        answer_ms: 100,
        chunk_ms: 0,
    };
    let lease = core.choose(0, wish, &Named::default(), Of::Any, 1);
    lease.first().copied()
}

/// The connections send a piece together, chunk by chunk in turn; which one.
fn send_piece(core: &mut TorrentCore, conns: &[ConnId], tag: Option<PriceTag>) -> u32 {
    let mut pieces = Vec::new();
    for n in 0..CHUNKS {
        let conn = conns[usize::try_from(n).unwrap() % conns.len()];
        let block = ask(core, conn, tag.is_some()).unwrap();
        let received = core.received(conn, block, tag);
        assert!(matches!(received, Received::Used { .. }));
        pieces.push(block.piece);
    }
    pieces.dedup();
    let [piece] = pieces[..] else {
        panic!("of several pieces: {pieces:?}");
    };
    piece
}

fn told(outputs: &[Output], conn: ConnId) -> Vec<&Told> {
    let of = |output: &&Output| matches!(output, Output::Tell(to, _) if *to == conn);
    let all = outputs.iter().filter(of);
    all.filter_map(|output| match output {
        Output::Tell(_, told) => Some(told),
        _ => None,
    })
    .collect()
}

#[test]
fn a_suspect_that_comes_again_is_a_suspect_still() {
    let mut core = core();
    let (liar, other) = (join(&mut core, 1, at(1, 1)), join(&mut core, 2, at(2, 2)));
    let piece = send_piece(&mut core, &[liar, other], None);
    core.input(0, Input::Wrong(piece));
    assert!(core.peers[&liar].suspect && core.peers[&other].suspect);
    let leave = |core: &mut TorrentCore, conn| {
        let reason = String::new();
        core.input(0, Input::Left { conn, reason });
    };
    leave(&mut core, liar);
    let again = join(&mut core, 3, at(1, 9));
    assert!(core.peers[&again].suspect, "the same host, another port");
    let stranger = join(&mut core, 4, at(4, 1));
    assert!(!core.peers[&stranger].suspect);

    // Who had left before the hash was known is one, too.
    let third = join(&mut core, 5, at(5, 5));
    let piece = send_piece(&mut core, &[stranger, third], None);
    leave(&mut core, third);
    core.input(0, Input::Wrong(piece));
    let third = join(&mut core, 6, at(5, 6));
    assert!(core.peers[&third].suspect);

    // It is cleared by a good piece that it sent alone, and then it is forgotten.
    let piece = send_piece(&mut core, &[again], None);
    core.input(0, Input::Verified(piece));
    assert!(!core.peers[&again].suspect);
    leave(&mut core, again);
    let again = join(&mut core, 7, at(1, 10));
    assert!(!core.peers[&again].suspect);
}

#[test]
fn suspects_that_left_are_remembered_up_to_a_bound() {
    let mut core = core();
    for n in 0..300u64 {
        let host = [
            10,
            1,
            u8::try_from(n / 100).unwrap(),
            u8::try_from(n % 100).unwrap(),
        ];
        core.departed.note_suspect((host, 1).into());
    }
    let first = join(&mut core, 1, ([10, 1, 0, 0], 5).into());
    let last = join(&mut core, 2, ([10, 1, 2, 99], 5).into());
    assert!(!core.peers[&first].suspect && core.peers[&last].suspect);
}

#[test]
fn who_sends_a_bad_piece_alone_is_banned_also_after_it_left() {
    let mut core = core();
    let liar = join(&mut core, 1, at(1, 1));
    let piece = send_piece(&mut core, &[liar], None);
    let reason = String::new();
    core.input(0, Input::Left { conn: liar, reason });
    core.input(0, Input::Wrong(piece));
    assert_eq!(core.arrives(at(1, 77), 60), Arrival::Refused);
    assert_eq!(core.arrives(at(2, 1), 60), Arrival::Welcome);
}

#[test]
fn each_price_tag_is_told_once_whoever_leaves_first() {
    let tag = PriceTag(9);
    for leaves in [false, true] {
        let mut core = core();
        let seller = join(&mut core, 1, at(1, 1));
        let piece = send_piece(&mut core, &[seller], Some(tag));
        let mut outputs = Vec::new();
        if leaves {
            let reason = String::new();
            outputs.extend(core.input(
                0,
                Input::Left {
                    conn: seller,
                    reason,
                },
            ));
        }
        outputs.extend(core.input(0, Input::Verified(piece)));
        let (mut owed, mut dropped) = (0, 0);
        for told in told(&outputs, seller) {
            match told {
                Told::Verified { chunks, .. } => owed += chunks.len(),
                Told::Dropped { .. } => dropped += 1,
                Told::Over { .. } | Told::Finished => {}
            }
        }
        assert_eq!((owed, dropped), if leaves { (0, 4) } else { (4, 0) });
    }
}

#[test]
fn a_disk_that_refuses_pauses_the_requests_until_it_works() {
    let mut core = core();
    let seed = join(&mut core, 1, at(1, 1));
    let piece = send_piece(&mut core, &[seed], Some(PriceTag(1)));
    let refused = Input::DiskRefused {
        piece,
        message: "it is full".into(),
        full: true,
    };
    let outputs = core.input(50, refused);
    assert_eq!(
        told(&outputs, seed).len(),
        5,
        "four tags, and the piece is over"
    );
    assert!(matches!(core.phase(), Phase::Paused(Pause::DiskRefused(_))));
    assert_eq!(ask(&mut core, seed, true), None);
    assert_eq!(core.disk_due(50 + DISK_RETRY_MS - 1), None);
    assert_eq!(core.disk_due(50 + DISK_RETRY_MS), Some(true));
    core.input(50 + DISK_RETRY_MS, Input::StillFull);
    assert_eq!(core.disk_due(50 + DISK_RETRY_MS), None);
    core.input(99_999, Input::Phase(phase::Input::DiskWorks));
    assert!(ask(&mut core, seed, true).is_some());
}

#[test]
fn the_last_piece_completes_it_once_and_after_its_piece_is_told() {
    let mut core = core();
    let seed = join(&mut core, 1, at(1, 1));
    let mut last = Vec::new();
    for _ in 0..PIECES {
        assert_eq!(core.phase(), &Phase::Downloading);
        let piece = send_piece(&mut core, &[seed], None);
        last = core.input(0, Input::Verified(piece));
    }
    let place = |wanted: &dyn Fn(&Output) -> bool| last.iter().position(wanted).unwrap();
    let verified = place(&|one| matches!(one, Output::Event(Event::PieceVerified { .. })));
    let completed = place(&|one| *one == Output::Completed);
    let phase = place(&|one| matches!(one, Output::Phase(Phase::Seeding, _)));
    assert!(verified < completed && completed < phase, "{last:?}");
    assert_eq!(ask(&mut core, seed, false), None);
}

#[test]
fn a_full_torrent_gives_the_place_of_the_longest_idle_and_never_of_one_that_pays() {
    let standing = |conn, seconds, idle| Standing {
        conn: ConnId(conn),
        remote: at(u8::try_from(conn).unwrap(), 1),
        idle_for: Duration::from_secs(seconds),
        idle,
    };
    let chosen = |standings: &[Standing]| {
        let priority = |addr: SocketAddr| u32::from(addr.port() == 9);
        TorrentCore::gives_way(at(9, 9), standings, priority).map(|(conn, _)| conn.0)
    };
    let busy = standing(1, 0, false);
    assert_eq!(
        chosen(&[busy, standing(2, 30, true), standing(3, 40, true)]),
        Some(3)
    );
    assert_eq!(
        chosen(&[busy, standing(2, 5, true)]),
        Some(2),
        "of lower priority"
    );
    assert_eq!(chosen(&[busy, standing(2, 5, false)]), None);
}

#[test]
fn a_crowd_of_one_network_keeps_nobody_out_and_pushes_nobody_out() {
    let of = |conn: u64, network: u8, seconds, idle| Standing {
        conn: ConnId(conn),
        remote: SocketAddr::from(([10, 0, network, u8::try_from(conn).unwrap()], 1)),
        idle_for: Duration::from_secs(seconds),
        idle,
    };
    let chosen = |network, standings: &[Standing]| {
        let from = SocketAddr::from(([10, 0, network, 99], 9));
        let priority = |addr: SocketAddr| u32::from(addr.port() == 9);
        TorrentCore::gives_way(from, standings, priority).map(|(conn, _)| conn.0)
    };
    // Nobody of the crowd was idle for long, and another is idle for longest.
    let mut all: Vec<_> = (0..5).map(|n| of(n, 1, n, true)).collect();
    all.push(of(50, 2, 9, true));
    assert_eq!(chosen(3, &all), Some(4), "the longest idle of the crowd");
    assert_eq!(chosen(1, &all), Some(0), "the crowd makes room for its own");
    // Not one that moves data or pays.
    all[4].idle = false;
    assert_eq!(chosen(3, &all), Some(3));
    // The crowd does not push out the other, however long that is idle.
    all[5].idle_for = Duration::from_secs(100);
    all.iter_mut().take(5).for_each(|one| one.idle = false);
    assert_eq!(chosen(1, &all), None);
    assert_eq!(chosen(3, &all), Some(50));
}

#[test]
fn a_web_seed_takes_no_place_and_is_closed_for_a_bad_piece_alone() {
    let mut core = core();
    let web = ConnId(9);
    let came = core.input(0, Input::WebSeedCame(web));
    assert_eq!(came, [Output::LookAgain]);
    assert_eq!(core.input(0, Input::WebSeedCame(web)), []);
    assert_eq!(core.arrives(at(1, 1), 1), Arrival::Welcome);
    assert_eq!(core.dialable(), []);
    let piece = send_piece(&mut core, &[web], None);
    let outputs = core.input(0, Input::Wrong(piece));
    assert!(outputs.contains(&Output::Close(web, "it sent a bad piece")));
    let banned = |output: &Output| matches!(output, Output::Event(Event::PeerBanned { .. }));
    assert!(!outputs.iter().any(banned), "{outputs:?}");
    // It leaves with a piece begun, whose end is nobody's blame.
    let block = ask(&mut core, web, false).unwrap();
    core.received(web, block, None);
    let left = Input::Left {
        conn: web,
        reason: String::new(),
    };
    assert_eq!(core.input(0, left), [Output::LookAgain]);
    let outputs = core.input(0, Input::Wrong(block.piece));
    assert!(!outputs.iter().any(banned), "{outputs:?}");
}

#[test]
fn the_last_places_of_a_session_are_for_torrents_that_have_few() {
    let core = || {
        let mut core = core();
        let addrs = (1..=60).map(|host| at(host, 6881)).collect();
        let named = Input::Named {
            addrs,
            source: PeerSource::Tracker,
            teller: None,
        };
        core.input(0, named);
        core
    };
    let dials = |core: &mut TorrentCore, left, part| {
        let places = Places { left, part };
        core.choose_to_dial(0, 60, places, false, |_| 0).len()
    };
    // Alone it may have them all, as many at once as a torrent dials.
    assert_eq!(dials(&mut core(), 400, 400), 16);
    assert_eq!(dials(&mut core(), 5, 400), 5);
    assert_eq!(dials(&mut core(), 0, 400), 0);
    // Of many torrents each has its part, and more where there is more.
    assert_eq!(dials(&mut core(), 100, 4), 4);
    assert_eq!(dials(&mut core(), 107, 4), 7);
    assert_eq!(dials(&mut core(), 2, 4), 2);
    let mut one = core();
    assert_eq!(dials(&mut one, 100, 4), 4);
    assert_eq!(dials(&mut one, 96, 4), 0, "it has its part");
    assert_eq!(dials(&mut one, 110, 4), 10);
    // However many there are, each has one while there is any.
    assert_eq!(dials(&mut core(), 1, 0), 1);
}
