//! Which of the wanted files are downloaded before others, and so which pieces. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{metainfo::Info, selection::Wanted};

/// How soon a wanted file is downloaded, beside others.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum FilePriority {
    /// After all others.
    Low,
    /// As most files.
    #[default]
    Normal,
    /// Before all others.
    High,
}

/// Priorities by position in the torrent's list of files, from 0 on. Files that are not named
/// are normal.
pub type FilePriorities = BTreeMap<u32, FilePriority>;

/// The priority of each piece: the highest of the wanted files that have bytes in it. Empty
/// if all are normal.
pub(super) fn of_pieces(
    info: &Info,
    wanted: &Wanted,
    priorities: &FilePriorities,
) -> Vec<FilePriority> {
    if priorities.values().all(|one| *one == FilePriority::Normal) {
        return Vec::new();
    }
    let layout = info.layout();
    let pieces = usize::try_from(layout.pieces()).expect("usize has at least 32 bits");
    let mut all: Vec<Option<FilePriority>> = vec![None; pieces];
    let real = (0..).zip(info.files());
    let real = real.filter(|(at, file)| wanted.chosen().has(*at) && !file.pad && file.length > 0);
    for (at, file) in real {
        let own = priorities.get(&at).copied().unwrap_or_default();
        for piece in layout.pieces_of(file.offset, file.length) {
            let piece = usize::try_from(piece).expect("usize has at least 32 bits");
            if let Some(known) = all.get_mut(piece) {
                *known = (*known).max(Some(own));
            }
        }
    }
    all.into_iter().map(Option::unwrap_or_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::{bencode::Value, bitfield::Bitfield};

    #[test]
    fn a_piece_has_the_highest_priority_of_its_wanted_files() {
        const PIECE: i64 = 16 << 10;
        // Two pieces; the end of its second and a third; one and the rest of the third.
        let lengths = [2 * PIECE - 100, PIECE, PIECE + 100];
        let files = lengths.iter().zip(["a", "b", "c"]).map(|(length, name)| {
            Value::dict([
                ("length", (*length).into()),
                ("path", Value::List(vec![name.into()])),
            ])
        });
        let value = Value::dict([
            ("files", Value::List(files.collect())),
            ("name", "album".into()),
            ("piece length", PIECE.into()),
            ("pieces", vec![1u8; 20 * 4].into()),
        ]);
        let info = Info::from_bytes(value.encode().into()).unwrap();
        let all = Wanted::all(&info);
        let of = |wanted: &Wanted, files: &[(u32, FilePriority)]| {
            of_pieces(&info, wanted, &files.iter().copied().collect())
        };
        use FilePriority::{High, Low, Normal};
        assert!(of(&all, &[]).is_empty() && of(&all, &[(1, Normal)]).is_empty());
        assert_eq!(of(&all, &[(1, High)]), [Normal, High, High, Normal]);
        assert_eq!(of(&all, &[(0, Low)]), [Low, Normal, Normal, Normal]);
        let low = [(0, Low), (1, Low), (2, High), (9, High)];
        assert_eq!(of(&all, &low), [Low, Low, High, High]);
        // A file that is left out asks for nothing.
        let mut chosen = Bitfield::full(3);
        chosen.remove(2);
        let some = Wanted::files(&info, chosen);
        assert_eq!(of(&some, &low), [Low, Low, Low, Normal]);
    }
}
