//! Other files are wanted while pieces are in the making.

use super::*;
use crate::swarm::bencode::Value;

/// The torrent: 2 to 6 files that share pieces.
pub(super) fn files(layout: Layout, random: &mut Random) -> Arc<Info> {
    let count = 2 + random.below(5);
    let mut left = layout.total();
    let files = (0..count).map(|at| {
        let share = left / (count - at);
        let length = match at + 1 < count {
            true => 1 + random.below(2 * share - 1).min(left / 2),
            false => left,
        };
        left -= length;
        Value::dict([
            ("length", i64::try_from(length).unwrap().into()),
            ("path", Value::List(vec![at.to_string().as_str().into()])),
        ])
    });
    let files = Value::List(files.collect());
    let pieces = usize::try_from(layout.pieces()).unwrap();
    let value = Value::dict([
        ("files", files),
        ("name", "album".into()),
        ("piece length", i64::from(PIECE).into()),
        ("pieces", vec![1u8; 20 * pieces].into()),
    ]);
    Arc::new(Info::from_bytes(value.encode().into()).unwrap())
}

/// Some files, at least one, as bits.
fn some(info: &Info, random: &mut Random) -> u64 {
    1 + random.below((1 << info.file_count()) - 1)
}

fn wanted(info: &Info, bits: u64) -> Wanted {
    let mut chosen = Bitfield::empty(info.file_count());
    for file in (0..info.file_count()).filter(|file| bits & (1 << file) != 0) {
        chosen.insert(file);
    }
    Wanted::files(info, chosen)
}

/// What a node wants first: all, or some of it.
pub(super) fn first(info: &Info, random: &mut Random) -> Wanted {
    match random.below(2) {
        0 => Wanted::all(info),
        _ => wanted(info, some(info, random)),
    }
}

pub(super) fn duplicate_limit(core: Option<&TorrentCore>) -> u64 {
    let picker = core.and_then(TorrentCore::picker);
    picker.map_or(0, Picker::duplicate_limit)
}

/// Pieces were given up by a core: none of them is owed while anything else is downloaded.
pub(super) fn check_given_up(core: &TorrentCore, outputs: &[Output]) {
    let owed = |output: &Output| match output {
        Output::Tell(_, Told::Dropped { tag, .. }) => *tag != PriceTag::default(),
        _ => false,
    };
    let done = core.picker().is_none_or(Picker::is_done);
    assert!(
        done || !outputs.iter().any(owed),
        "a piece that is owed in part is given up"
    );
}

impl World {
    /// Each chooses one to four times, before or after it is complete.
    pub(super) fn plan_choices(&mut self, random: &mut Random) {
        let Some(info) = self.info.clone() else {
            return;
        };
        let within_us = 1500 * self.least_ms();
        for me in 0..self.nodes.len() {
            if self.nodes[me].core.is_none() {
                continue;
            }
            for _ in 0..1 + random.below(4) {
                let files = some(&info, random);
                let at = random.below(within_us);
                self.choices += 1;
                self.at(at, Happens::Chooses(me, files));
            }
        }
    }

    pub(super) fn chooses(&mut self, me: usize, files: u64) {
        self.choices -= 1;
        let Some(info) = self.info.clone().filter(|_| self.nodes[me].alive) else {
            return;
        };
        let wanted = wanted(&info, files);
        self.happened(me, Happened::Chosen(Box::new(wanted)));
        let node = &mut self.nodes[me];
        let limit = duplicate_limit(node.core.as_ref());
        node.duplicate_limit = node.duplicate_limit.max(limit);
    }

    /// A node asks for these chunks: nobody pays for what is not wanted any more, but to
    /// finish a piece that is owed in part.
    pub(super) fn check_asked(&self, me: usize, metered: bool, chunks: &[Block]) {
        let picker = self.nodes[me].core.as_ref().and_then(TorrentCore::picker);
        for block in chunks {
            let wanted = picker.is_some_and(|picker| picker.lacks(block.piece));
            assert!(wanted || metered, "{block:?} is not wanted");
        }
    }

    /// Everything that is wanted is here, and nothing else is kept in memory.
    pub(super) fn check_complete(&mut self, me: usize) {
        self.happened(me, Happened::Tick);
        let Some(picker) = self.nodes[me].core.as_ref().and_then(TorrentCore::picker) else {
            return;
        };
        let wanted = picker.wanted().pieces();
        assert!(wanted.iter().all(|piece| picker.have().has(piece)));
        assert_eq!(picker.in_the_making(), 0, "pieces are never given up");
    }
}
