//! Other files are wanted while pieces are in the making.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::swarm::{bencode::Value, file_priority::FilePriority, metainfo::Info, picker::Asker};

const LENGTH: u32 = CHUNKS * CHUNK;

/// Files of two pieces each: `a`, `b` and `c`.
fn info() -> Info {
    let files = ["a", "b", "c"].map(|name| {
        Value::dict([
            ("length", i64::from(2 * LENGTH).into()),
            ("path", Value::List(vec![name.into()])),
        ])
    });
    let value = Value::dict([
        ("files", Value::List(files.into())),
        ("name", "album".into()),
        ("piece length", i64::from(LENGTH).into()),
        ("pieces", vec![1u8; 20 * 6].into()),
    ]);
    Info::from_bytes(value.encode().into()).unwrap()
}

fn wanted(files: &[u32]) -> Wanted {
    let mut chosen = Bitfield::empty(3);
    files.iter().for_each(|file| {
        chosen.insert(*file);
    });
    Wanted::files(&info(), chosen)
}

/// A download of these files, of which nothing is here.
fn core_of(files: &[u32]) -> TorrentCore {
    let info = info();
    let nothing = Bitfield::empty(PIECES);
    let picker = Picker::new(info.layout(), nothing, wanted(files), 3);
    let mut core = TorrentCore::new(Phase::Checking { done: 0, total: 0 });
    core.input(0, Input::Checked(Box::new(picker), Some(Arc::new(info))));
    core
}

fn choose(core: &mut TorrentCore, files: &[u32]) -> Vec<Output> {
    core.input(0, Input::Chosen(Box::new(wanted(files))))
}

/// Sends whole pieces until nothing is asked for; which, in order.
fn send_all(core: &mut TorrentCore, conn: ConnId) -> Vec<u32> {
    let mut pieces = Vec::new();
    while let Some(block) = ask(core, conn, false) {
        core.received(conn, block, None);
        if block.begin + block.length == LENGTH {
            core.input(0, Input::Verified(block.piece));
            pieces.push(block.piece);
        }
    }
    pieces.sort_unstable();
    pieces
}

fn phases(outputs: &[Output]) -> Vec<&Phase> {
    let mut phases = Vec::new();
    for output in outputs {
        if let Output::Phase(phase, _) = output {
            phases.push(phase);
        }
    }
    phases
}

#[test]
fn what_is_wanted_now_is_asked_for_and_nothing_else() {
    let mut core = core_of(&[0]);
    let seed = join(&mut core, 1, at(1, 1));
    let outputs = choose(&mut core, &[1]);
    assert!(outputs.contains(&Output::LookAgain), "{outputs:?}");
    assert!(phases(&outputs).is_empty() && !outputs.contains(&Output::Completed));
    assert_eq!(send_all(&mut core, seed), [2, 3]);
    assert_eq!(core.phase(), &Phase::Seeding);

    // More is wanted of a complete one, and less of one that is not.
    let outputs = choose(&mut core, &[0, 1, 2]);
    assert_eq!(phases(&outputs), [&Phase::Downloading]);
    assert!(outputs.contains(&Output::Incomplete));
    assert!(core.is_interested_in(seed));
    let outputs = choose(&mut core, &[1]);
    assert_eq!(phases(&outputs), [&Phase::Seeding]);
    assert!(outputs.contains(&Output::Completed) && !core.is_interested_in(seed));
    assert!(ask(&mut core, seed, false).is_none());
    // It was complete before.
    let outputs = choose(&mut core, &[1]);
    assert_eq!(outputs, [Output::LookAgain]);
    choose(&mut core, &[2]);
    assert_eq!(send_all(&mut core, seed), [4, 5]);
}

#[test]
fn what_is_on_its_way_is_kept_and_a_part_is_given_up() {
    let mut core = core_of(&[0]);
    let seed = join(&mut core, 1, at(1, 1));
    let blocks: Vec<Block> = (0..CHUNKS)
        .map(|_| ask(&mut core, seed, false).unwrap())
        .collect();
    let piece = blocks[0].piece;
    let outputs = choose(&mut core, &[1]);
    assert!(!outputs.contains(&Output::Forget(piece)));
    // Nothing more of it is asked for, also not in a race.
    let other = join(&mut core, 2, at(2, 2));
    let late = core.choose(
        60_000,
        Wish {
            conn: other,
            metered: false,
            races: [true; 2],
            answer_ms: 60_001,
            chunk_ms: 0,
        },
        &Named::default(),
        Of::Any,
        100,
    );
    assert!(
        late.iter().all(|block| [2, 3].contains(&block.piece)),
        "{late:?}"
    );
    assert_eq!(late.len(), 8);
    for block in &blocks {
        let received = core.received(seed, *block, None);
        assert!(matches!(received, Received::Used { .. }), "{received:?}");
        assert_eq!(core.input(0, Input::Tick), []);
    }
    core.input(0, Input::Verified(piece));
    assert!(core.has(piece));

    // Of another one only a part was requested: it is given up when that is answered.
    let mut core = core_of(&[0]);
    let seed = join(&mut core, 1, at(1, 1));
    let [first, second] = [0, 1].map(|_| ask(&mut core, seed, false).unwrap());
    choose(&mut core, &[1]);
    core.received(seed, first, None);
    assert_eq!(core.input(0, Input::Tick), []);
    core.unpick(seed, second);
    let outputs = core.input(0, Input::Tick);
    let expected = [
        Output::Forget(first.piece),
        Output::Waste(CHUNK.into()),
        Output::Tell(seed, Told::Over { piece: first.piece }),
    ];
    assert_eq!(outputs, expected);
    assert_eq!(core.input(0, Input::Tick), []);
    // It is begun anew when it is wanted again.
    choose(&mut core, &[0, 1]);
    assert_eq!(send_all(&mut core, seed), [0, 1, 2, 3]);
}

#[test]
fn a_piece_that_is_wanted_again_goes_on() {
    let mut core = core_of(&[0]);
    let seed = join(&mut core, 1, at(1, 1));
    let first = ask(&mut core, seed, false).unwrap();
    choose(&mut core, &[2]);
    core.received(seed, first, None);
    choose(&mut core, &[0]);
    assert_eq!(core.input(0, Input::Tick), []);
    let mut left = Vec::new();
    while let Some(block) = ask(&mut core, seed, false) {
        left.push(block);
    }
    assert_eq!(left.len(), 7);
    assert!(!left.contains(&first));
}

/// What a seller's tags came to: verified and dropped.
fn came_back(outputs: &[Output], seller: ConnId) -> (usize, usize) {
    let mut counts = (0, 0);
    for told in told(outputs, seller) {
        match told {
            Told::Verified { chunks, .. } => counts.0 += chunks.len(),
            Told::Dropped { .. } => counts.1 += 1,
            Told::Over { .. } | Told::Finished => {}
        }
    }
    counts
}

#[test]
fn a_piece_that_is_owed_in_part_is_finished_while_the_download_goes_on() {
    let tag = Some(PriceTag(9));
    let mut core = core_of(&[0]);
    let seller = join(&mut core, 1, at(1, 1));
    let first = ask(&mut core, seller, true).unwrap();
    core.received(seller, first, tag);
    let outputs = choose(&mut core, &[1]);
    assert_eq!(came_back(&outputs, seller), (0, 0));
    assert_eq!(core.input(0, Input::Tick), []);
    for _ in 1..CHUNKS {
        let block = ask(&mut core, seller, true).unwrap();
        assert_eq!(block.piece, first.piece, "it is finished first");
        core.received(seller, block, tag);
    }
    let outputs = core.input(0, Input::Verified(first.piece));
    assert_eq!(came_back(&outputs, seller), (4, 0));
    let next = ask(&mut core, seller, true).unwrap();
    assert!([2, 3].contains(&next.piece));
}

#[test]
fn each_price_tag_of_what_is_not_wanted_any_more_comes_back_once() {
    let tag = Some(PriceTag(9));
    for leaves in [false, true] {
        let mut core = core_of(&[0, 1]);
        let seller = join(&mut core, 1, at(1, 1));
        // All of `b` is here, and one chunk of `a`; another is on its way.
        core.input(0, Input::Prioritize([(1, FilePriority::High)].into()));
        for _ in 0..2 {
            let piece = send_piece(&mut core, &[seller], tag);
            core.input(0, Input::Verified(piece));
        }
        let [first, second] = [0, 1].map(|_| ask(&mut core, seller, true).unwrap());
        core.received(seller, first, tag);
        // Complete at once: nothing is asked for that is not wanted.
        let mut outputs = choose(&mut core, &[1]);
        assert_eq!(core.phase(), &Phase::Seeding);
        assert!(outputs.contains(&Output::Completed));
        outputs.extend(core.input(0, Input::Tick));
        assert_eq!(came_back(&outputs, seller), (0, 0), "one is on its way");
        core.unpick(seller, second);
        if leaves {
            let reason = String::new();
            let left = Input::Left {
                conn: seller,
                reason,
            };
            outputs.extend(core.input(0, left));
        }
        outputs.extend(core.input(0, Input::Tick));
        outputs.extend(core.input(0, Input::Tick));
        assert_eq!(came_back(&outputs, seller), (0, 1));
        // A chunk that comes after all is of no use, and its tag goes back by itself.
        assert_eq!(core.received(seller, second, tag), Received::Unwanted);
        let completed = outputs.iter().filter(|one| **one == Output::Completed);
        assert_eq!(completed.count(), 1);
    }
}

#[test]
fn pieces_that_are_not_wanted_any_more_keep_none_from_being_begun() {
    // Two pieces may be begun at once.
    let length: u32 = 32 << 20;
    let layout = Layout::new(6 * u64::from(length), u64::from(length)).unwrap();
    let nothing = Bitfield::empty(PIECES);
    let all = Wanted::everything(layout);
    let mut picker = Picker::new(layout, nothing, all, 3);
    let asker = |conn| Asker {
        conn: ConnId(conn),
        metered: true,
        suspect: false,
        proven: true,
        races: false,
        now_ms: 0,
        answer_ms: 100,
    };
    let theirs = Bitfield::full(PIECES);
    let begun = [1, 2].map(|conn| picker.pick(asker(conn), &theirs).unwrap());
    assert_ne!(begun[0].piece, begun[1].piece);
    let third = picker.pick(asker(3), &theirs).unwrap();
    assert!(begun.iter().any(|one| one.piece == third.piece));
    // A file for each piece, and those two are not wanted any more.
    let files = (0..6).map(|at| {
        Value::dict([
            ("length", i64::from(length).into()),
            ("path", Value::List(vec![at.to_string().as_str().into()])),
        ])
    });
    let value = Value::dict([
        ("files", Value::List(files.collect())),
        ("name", "album".into()),
        ("piece length", i64::from(length).into()),
        ("pieces", vec![1u8; 20 * 6].into()),
    ]);
    let info = Info::from_bytes(value.encode().into()).unwrap();
    let mut chosen = Bitfield::full(6);
    begun.iter().for_each(|one| {
        chosen.remove(one.piece);
    });
    picker.choose(Wanted::files(&info, chosen));
    let fourth = picker.pick(asker(4), &theirs).unwrap();
    assert!(begun.iter().all(|one| one.piece != fourth.piece));
}

/// What happens between two choices.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The files by bits; there is always one.
    Choose(u32),
    Ask(u64),
    /// An outstanding request is answered, or will never be.
    Come(usize),
    Lose(usize),
    /// The oldest piece that is whole is hashed.
    Hash,
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..12u8, 1..8u32, any::<u16>()).prop_map(|(what, files, at)| match what {
        0 => Step::Choose(files),
        1..6 => Step::Ask(u64::from(at % 2) + 1),
        6..9 => Step::Come(at.into()),
        9 => Step::Lose(at.into()),
        10 => Step::Hash,
        _ => Step::Tick,
    });
    proptest::collection::vec(step, 0..120)
}

/// Two sellers, and what is on its way.
struct Trade {
    core: TorrentCore,
    sellers: [ConnId; 2],
    asked: Vec<(ConnId, Block)>,
    whole: VecDeque<u32>,
    /// Bytes of price tags that the core was given, and that came back.
    given: u64,
    back: u64,
}

impl Trade {
    fn new() -> Self {
        let mut core = core_of(&[0, 1, 2]);
        let sellers = [1, 2].map(|n| join(&mut core, n, at(u8::try_from(n).unwrap(), 1)));
        Self {
            core,
            sellers,
            asked: Vec::new(),
            whole: VecDeque::new(),
            given: 0,
            back: 0,
        }
    }

    fn input(&mut self, input: Input) {
        let outputs = self.core.input(0, input);
        for conn in self.sellers {
            for told in told(&outputs, conn) {
                match told {
                    Told::Verified { chunks, .. } => {
                        let bytes = chunks.iter().map(|(_, bytes)| u64::from(*bytes));
                        self.back += bytes.sum::<u64>();
                    }
                    Told::Dropped { bytes, .. } => self.back += u64::from(*bytes),
                    Told::Over { .. } | Told::Finished => {}
                }
            }
        }
    }

    fn choose(&mut self, bits: u32) {
        let files: Vec<u32> = (0..3).filter(|file| bits & (1 << file) != 0).collect();
        self.input(Input::Chosen(Box::new(wanted(&files))));
    }

    fn ask(&mut self, seller: ConnId) -> bool {
        let Some(block) = ask(&mut self.core, seller, true) else {
            return false;
        };
        self.asked.push((seller, block));
        true
    }

    fn come(&mut self, at: usize) {
        let (seller, block) = self.asked.remove(at);
        let bytes = u64::from(block.length);
        self.given += bytes;
        match self.core.received(seller, block, Some(PriceTag(9))) {
            // Of one whose tag goes back at once, its connection is told here.
            Received::Unwanted | Received::Owed => self.back += bytes,
            Received::Used { complete: true, .. } => self.whole.push_back(block.piece),
            Received::Used { .. } | Received::Duplicate => {}
        }
    }

    fn does(&mut self, step: Step) {
        let there = self.asked.len();
        match step {
            Step::Choose(bits) => self.choose(bits),
            Step::Ask(seller) => {
                self.ask(ConnId(seller));
            }
            Step::Come(at) if there > 0 => self.come(at % there),
            Step::Lose(at) if there > 0 => {
                let (seller, block) = self.asked.remove(at % there);
                self.core.unpick(seller, block);
            }
            Step::Hash => {
                if let Some(piece) = self.whole.pop_front() {
                    self.input(Input::Verified(piece));
                }
            }
            Step::Tick => self.input(Input::Tick),
            Step::Come(_) | Step::Lose(_) => {}
        }
    }

    /// Everything that is wanted comes; whether anything did.
    fn goes_on(&mut self) -> bool {
        let asked = self.sellers.map(|seller| self.ask(seller));
        let mut moved = asked.contains(&true);
        while !self.asked.is_empty() {
            self.come(0);
            moved = true;
        }
        while let Some(piece) = self.whole.pop_front() {
            self.input(Input::Verified(piece));
            moved = true;
        }
        moved
    }
}

proptest! {
    /// Whatever is chosen and when: the last choice is downloaded, nothing that is on its way
    /// holds it up, and each price tag comes back once.
    #[test]
    fn choices_at_any_moment_lose_no_piece_and_no_tag(
        steps in steps(),
        last in 1..8u32,
    ) {
        let mut trade = Trade::new();
        for step in steps {
            trade.does(step);
            prop_assert!(trade.back <= trade.given);
        }
        trade.choose(last);
        while trade.goes_on() {}
        trade.input(Input::Tick);
        prop_assert_eq!(trade.core.phase(), &Phase::Seeding);
        let picker = trade.core.picker().unwrap();
        prop_assert!(picker.is_done() && picker.bytes_left() == 0);
        prop_assert_eq!(trade.given, trade.back);
        // And all of it, from wherever that was left.
        trade.choose(7);
        while trade.goes_on() {}
        prop_assert!(trade.core.picker().unwrap().have().is_full());
        prop_assert_eq!(trade.given, trade.back);
    }
}
