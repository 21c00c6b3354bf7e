//! Content on disk against a torrent: which pieces and files are right.

use std::{fs, path::Path, thread};

use super::{
    bitfield::Bitfield,
    metainfo::Info,
    selection::Wanted,
    storage::{Storage, StorageError, content_path},
};

/// What a file was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// All of its bytes are right.
    Good,
    /// It is not there.
    Missing,
    /// It has another length than the torrent says.
    WrongSize {
        /// Bytes that it has.
        found: u64,
    },
    /// A piece that is this file's alone is wrong.
    Damaged,
    /// Its own pieces are right; one that it shares with another file is not, and
    /// which of the two is to blame cannot be told.
    Unsure,
}

/// One file of a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Its position in the torrent's list of files.
    pub position: u32,
    /// What it is.
    pub state: FileState,
    /// Its pieces that are not right.
    pub bad_pieces: u32,
}

/// What is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The pieces that were looked at.
    pub checked: Bitfield,
    /// Those of them that are right.
    pub good: Bitfield,
    /// The files that were looked at, without padding.
    pub files: Vec<FileReport>,
}

impl Report {
    /// True if everything that was looked at is right.
    pub fn is_good(&self) -> bool {
        let mut files = self.files.iter();
        self.good.count() == self.checked.count() && files.all(|f| f.state == FileState::Good)
    }

    /// The pieces that are not right.
    pub fn bad_pieces(&self) -> impl Iterator<Item = u32> {
        let checked = self.checked.iter();
        checked.filter(|piece| !self.good.has(*piece))
    }
}

/// Hashes the content at `root` (the file, or the folder with the files) on all
/// cores; blocks until done. Of files that are not wanted only what a shared piece
/// needs is read. `progress` is called with pieces done and all, from any thread;
/// false stops it, and the rest counts as wrong. Nothing is written.
///
/// # Errors
/// A file cannot be read for another reason than not being there.
pub fn check(
    info: &Info,
    root: &Path,
    wanted: &Wanted,
    progress: &(dyn Fn(u32, u32) -> bool + Sync),
) -> Result<Report, StorageError> {
    use std::sync::atomic::{AtomicU32, Ordering};

    let is_there = |at: u32| {
        let file = usize::try_from(at).ok().and_then(|at| info.files().get(at));
        file.is_some_and(|file| content_path(info, root, file).is_file())
    };
    let storage = Storage::content(info, root, |at| wanted.chosen().has(at) || is_there(at));
    let pieces: Vec<u32> = wanted.pieces().iter().collect();
    let all = wanted.pieces().count();
    let done = AtomicU32::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let good = storage.check(info, &pieces, threads, &|| {
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, all)
    })?;
    let layout = info.layout();
    let files = (0..).zip(info.files());
    let files = files.filter(|(at, file)| !file.pad && wanted.chosen().has(*at));
    let files = files.map(|(position, file)| {
        let (mut bad, mut own_bad) = (0, false);
        let end = file.offset + file.length;
        if file.length > 0 {
            for piece in layout.pieces_of(file.offset, file.length) {
                if !good.has(piece) {
                    bad += 1;
                    own_bad |= file.offset <= layout.offset(piece) && layout.end(piece) <= end;
                }
            }
        }
        let state = match fs::metadata(content_path(info, root, file)) {
            Ok(found) if !found.is_file() => FileState::Missing,
            Ok(found) if found.len() != file.length => FileState::WrongSize { found: found.len() },
            Ok(_) if own_bad => FileState::Damaged,
            Ok(_) if bad > 0 => FileState::Unsure,
            Ok(_) => FileState::Good,
            Err(_) => FileState::Missing,
        };
        FileReport {
            position,
            state,
            bad_pieces: bad,
        }
    });
    Ok(Report {
        files: files.collect(),
        checked: wanted.pieces().clone(),
        good,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::metainfo::{CreateOptions, create};

    const PIECE: usize = 16 << 10;

    /// `a` in pieces 0 to 2, `b` in 2 to 5, `c` in 5 alone, and an empty one.
    fn album() -> (tempfile::TempDir, Info) {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, length: usize| {
            let bytes: Vec<u8> = (0..251u8).cycle().take(length).collect();
            fs::write(dir.path().join(name), bytes).unwrap();
        };
        file("a", 2 * PIECE + 5);
        file("b", 3 * PIECE);
        file("c", 100);
        file("empty", 0);
        let options = CreateOptions {
            piece_size: Some(16 << 10),
            ..CreateOptions::default()
        };
        let info = create(dir.path(), &options, &|_, _| {}).unwrap().info;
        (dir, info)
    }

    fn look(info: &Info, root: &Path, files: &[u32]) -> Report {
        let mut chosen = Bitfield::empty(4);
        for file in files {
            chosen.insert(*file);
        }
        check(info, root, &Wanted::files(info, chosen), &|_, _| true).unwrap()
    }

    fn states(report: &Report) -> Vec<FileState> {
        report.files.iter().map(|file| file.state).collect()
    }

    #[test]
    fn what_is_wrong_is_told_by_file_and_piece() {
        use FileState::{Damaged, Good, Missing, Unsure, WrongSize};
        let (dir, info) = album();
        let root = dir.path();
        let all = [0, 1, 2, 3];
        let report = look(&info, root, &all);
        assert!(report.is_good());
        assert_eq!(states(&report), [Good; 4]);

        let b = root.join("b");
        let right = fs::read(&b).unwrap();
        let mut wrong = right.clone();
        // In the piece shared with `a`, then in one of its own.
        wrong[0] ^= 1;
        fs::write(&b, &wrong).unwrap();
        let report = look(&info, root, &all);
        assert_eq!(report.bad_pieces().collect::<Vec<_>>(), [2]);
        assert_eq!(states(&report), [Unsure, Unsure, Good, Good]);
        wrong[2 * PIECE] ^= 1;
        fs::write(&b, &wrong).unwrap();
        let report = look(&info, root, &all);
        assert_eq!(report.bad_pieces().collect::<Vec<_>>(), [2, 4]);
        assert_eq!(states(&report), [Unsure, Damaged, Good, Good]);
        assert!(!report.is_good());

        let mut longer = right.clone();
        longer.push(0);
        fs::write(&b, &longer).unwrap();
        fs::remove_file(root.join("empty")).unwrap();
        let report = look(&info, root, &all);
        assert_eq!(report.bad_pieces().count(), 0);
        let found = u64::try_from(longer.len()).unwrap();
        assert_eq!(states(&report), [Good, WrongSize { found }, Good, Missing]);
        assert!(!report.is_good());

        fs::remove_file(&b).unwrap();
        let report = look(&info, root, &all);
        assert_eq!(states(&report), [Unsure, Missing, Unsure, Missing]);
        assert_eq!(report.files[1].bad_pieces, 4);
    }

    #[test]
    fn only_what_is_chosen_is_looked_at() {
        let (dir, info) = album();
        fs::remove_file(dir.path().join("c")).unwrap();
        let report = look(&info, dir.path(), &[0]);
        assert!(report.is_good());
        assert_eq!(report.checked.iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(report.files.len(), 1);
    }
}
