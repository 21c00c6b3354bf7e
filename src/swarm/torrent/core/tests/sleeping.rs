//! When a torrent's next tick is needed.

use super::*;

const HOUR_MS: u64 = 3_600_000;

/// A torrent of which everything is here.
fn seed() -> TorrentCore {
    let layout = Layout::new(u64::from(CHUNK), u64::from(CHUNK)).unwrap();
    let picker = Picker::new(layout, Bitfield::full(1), Wanted::everything(layout), 3);
    let mut core = TorrentCore::new(Phase::Checking { done: 0, total: 0 });
    core.input(0, Input::Checked(Box::new(picker), None));
    assert_eq!(core.phase(), &Phase::Seeding);
    core
}

fn named(core: &mut TorrentCore, now_ms: u64, addr: SocketAddr) {
    let input = Input::Named {
        addrs: vec![addr],
        source: PeerSource::Tracker,
        teller: None,
    };
    core.input(now_ms, input);
}

/// How often it ticks in an hour in which nobody answers.
fn ticks(core: &mut TorrentCore, complete: bool) -> usize {
    let places = Places { left: 9, part: 9 };
    let (mut now, mut ticks) = (0, 0);
    while let Some(next) = core.next_tick(now, complete) {
        assert!(next >= now + TICK_MS);
        if next > HOUR_MS {
            break;
        }
        (now, ticks) = (next, ticks + 1);
        core.input(now, Input::Tick);
        for addr in core.choose_to_dial(now, 60, places, complete, |_| 0) {
            let lived = Duration::ZERO;
            core.input(now, Input::Dialled { addr, lived });
        }
    }
    ticks
}

#[test]
fn a_torrent_with_nothing_to_do_is_not_ticked() {
    assert_eq!(ticks(&mut seed(), true), 0);
    // Nor is a download that knows nobody.
    assert_eq!(ticks(&mut core(), false), 0);
    // An address that never answers is tried eight times.
    for (mut core, complete) in [(seed(), true), (core(), false)] {
        named(&mut core, 0, at(1, 1));
        assert_eq!(ticks(&mut core, complete), 8);
    }
    // What a peer says has come there is no use for.
    let mut core = seed();
    core.input(0, Input::Phase(phase::Input::Pause));
    named(&mut core, 0, at(1, 1));
    assert_eq!(ticks(&mut core, true), 0);
}

#[test]
fn a_torrent_with_a_peer_is_ticked_each_second() {
    for (mut core, complete) in [(seed(), true), (core(), false)] {
        join(&mut core, 1, at(1, 1));
        assert_eq!(core.next_tick(5000, complete), Some(6000));
        let reason = String::new();
        core.input(
            5000,
            Input::Left {
                conn: ConnId(1),
                reason,
            },
        );
        assert_eq!(core.next_tick(5000, complete), None);
    }
    // A web seed counts as long as something may be asked of it.
    let mut download = core();
    download.input(0, Input::WebSeedCame(ConnId(1)));
    assert_eq!(download.next_tick(0, false), Some(1000));
    assert_eq!(download.next_tick(0, true), None);
}

#[test]
fn a_disk_that_refused_is_tried_again_in_time() {
    let mut core = core();
    let refused = Input::DiskRefused {
        piece: 0,
        message: "full".to_owned(),
        full: true,
    };
    core.input(300, refused);
    assert_eq!(core.next_tick(300, false), Some(300 + DISK_RETRY_MS));
    assert_eq!(core.disk_due(300 + DISK_RETRY_MS), Some(true));
    core.input(10_400, Input::StillFull);
    assert_eq!(core.next_tick(10_400, false), Some(10_400 + DISK_RETRY_MS));
    core.input(20_500, Input::Phase(phase::Input::DiskWorks));
    assert_eq!(core.next_tick(20_500, false), None);
}
