//! Which files of a torrent are wanted, and so which pieces. Pure.

use std::{collections::BTreeMap, ops::RangeInclusive, str::FromStr};

use super::{
    bitfield::Bitfield,
    metainfo::{FileEntry, Info, Layout},
};

/// Names and ranges of one selection.
const MAX_PARTS: usize = 10_000;
/// Longest pattern: the deepest path of the longest names is no longer.
const MAX_PATTERN_BYTES: usize = 16 << 10;

/// Why files cannot be chosen so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// It says nothing.
    #[error("no files are named: write numbers as 1,3-5, or names as 'disc 1/*.flac'")]
    Empty,
    /// Not a range of numbers from 1 on.
    #[error("`{0}` is not a range of file numbers: the first file is 1")]
    BadRange(String),
    /// Longer than any path, or too many of them.
    #[error("too much is named to choose files by: at most {MAX_PARTS} names and ranges")]
    TooMuch,
    /// There is no file of this number.
    #[error("the torrent has no file {number}; its files are numbered from 1 to {files}")]
    NoNumber {
        /// The first one that is missing.
        number: u64,
        /// How many there are.
        files: usize,
    },
    /// No file has such a name.
    #[error("no file of the torrent is named by `{0}`")]
    NoMatch(String),
    /// Everything that is named is padding.
    #[error("the chosen files are only padding")]
    Nothing,
}

/// Which files of a torrent are to be downloaded: numbers as `torrent show` prints
/// them, from 1 on (`1,3-5`); names, where `*` and `?` stand for any characters of
/// one name and `**` for any folders (`disc 1/*.flac`); or `all`. A folder stands
/// for what is in it. A name without a slash is looked for everywhere, `./name` only
/// at the top. Upper and lower case differ. Text with a comma is one name, if a file
/// has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// None: everything.
    parts: Vec<Part>,
    /// Made by others: positions that no file has are passed over.
    lenient: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Positions in the torrent's list of files, from 0 on.
    Range(RangeInclusive<u32>),
    Path(String),
    /// Several, or the one name that all of it is.
    Listed {
        whole: String,
        parts: Vec<Part>,
    },
}

impl FromStr for Selection {
    type Err = SelectionError;

    fn from_str(text: &str) -> Result<Self, SelectionError> {
        let parts = text.split(',').map(str::trim);
        let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            return Err(SelectionError::Empty);
        }
        if parts.len() > MAX_PARTS || parts.iter().any(|part| part.len() > MAX_PATTERN_BYTES) {
            return Err(SelectionError::TooMuch);
        }
        if parts.contains(&"all") {
            return Ok(Self::all());
        }
        let read = |part: &&str| match range(part, 1)? {
            Some(range) => Ok(Part::Range(range)),
            None => Ok(Part::Path((*part).to_owned())),
        };
        let parts = parts.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let named = parts.iter().any(|part| matches!(part, Part::Path(_)));
        let whole = text.trim();
        let may_be_one = named && whole.contains(',') && whole.len() <= MAX_PATTERN_BYTES;
        let parts = match may_be_one {
            true => vec![Part::Listed {
                whole: whole.to_owned(),
                parts,
            }],
            false => parts,
        };
        Ok(Self {
            parts,
            lenient: false,
        })
    }
}

/// `3` or `3-5`, counted from `first` on; `None` for what is no number.
fn range(text: &str, first: u32) -> Result<Option<RangeInclusive<u32>>, SelectionError> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    if !digits(from) || !digits(to) {
        return Ok(None);
    }
    let bad = || SelectionError::BadRange(text.chars().take(60).collect());
    let number = |text: &str| {
        let number: u32 = text.parse().map_err(|_| bad())?;
        number.checked_sub(first).ok_or_else(bad)
    };
    let (from, to) = (number(from)?, number(to)?);
    if from > to {
        return Err(bad());
    }
    Ok(Some(from..=to))
}

/// A magnet link's `so` (BEP 53): positions from 0 on, `0,2,4-6`. What is none of it is
/// passed over.
pub(super) fn select_only(text: &str) -> Vec<RangeInclusive<u32>> {
    let parts = text.split(',').map(str::trim).take(MAX_PARTS);
    parts
        .filter_map(|part| range(part, 0).ok().flatten())
        .collect()
}

impl Selection {
    /// Every file.
    pub fn all() -> Self {
        Self {
            parts: Vec::new(),
            lenient: false,
        }
    }

    /// By positions in the torrent's list of files, from 0 on, as a magnet link's
    /// `so` has them. None of them: every file.
    pub fn positions(ranges: Vec<RangeInclusive<u32>>) -> Self {
        Self {
            parts: ranges.into_iter().map(Part::Range).collect(),
            lenient: true,
        }
    }

    /// Also what `other` chooses.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        if self.parts.is_empty() || other.parts.is_empty() {
            return Self::all();
        }
        self.parts.extend(other.parts);
        self.lenient &= other.lenient;
        self
    }

    /// The files that it chooses of a torrent, by position.
    ///
    /// # Errors
    /// A part of it chooses nothing.
    pub fn choose(&self, info: &Info) -> Result<Bitfield, SelectionError> {
        let files = info.files();
        let count = info.file_count();
        if self.parts.is_empty() {
            return Ok(Bitfield::full(count));
        }
        let mut chosen = Bitfield::empty(count);
        for part in &self.parts {
            self.add(part, info, &mut chosen)?;
        }
        if self.lenient && chosen.is_empty() {
            return Ok(Bitfield::full(count));
        }
        let mut pairs = (0..).zip(files);
        if !pairs.any(|(at, file)| !file.pad && chosen.has(at)) {
            return Err(SelectionError::Nothing);
        }
        Ok(chosen)
    }
}

/// Chooses the files that a pattern names; false if there is none.
fn add_named(pattern: &Pattern, info: &Info, chosen: &mut Bitfield) -> bool {
    let mut found = false;
    for (at, file) in (0..).zip(info.files()) {
        if !file.pad && pattern.matches(&file.path) {
            found = true;
            chosen.insert(at);
        }
    }
    found
}

impl Selection {
    fn add(&self, part: &Part, info: &Info, chosen: &mut Bitfield) -> Result<(), SelectionError> {
        let count = info.file_count();
        match part {
            Part::Range(range) if *range.end() >= count && !self.lenient => {
                return Err(SelectionError::NoNumber {
                    number: u64::from(count.max(*range.start())) + 1,
                    files: info.files().len(),
                });
            }
            Part::Range(range) => {
                let last = (*range.end()).min(count.saturating_sub(1));
                (*range.start()..=last).for_each(|file| {
                    chosen.insert(file);
                });
            }
            Part::Path(pattern) => {
                let pattern = Pattern::new(pattern);
                if !add_named(&pattern, info, chosen) {
                    return Err(SelectionError::NoMatch(pattern.text()));
                }
            }
            Part::Listed { whole, parts } => {
                if !add_named(&Pattern::new(whole), info, chosen) {
                    parts
                        .iter()
                        .try_for_each(|part| self.add(part, info, chosen))?;
                }
            }
        }
        Ok(())
    }
}

/// Names and folders to look for.
struct Pattern {
    parts: Vec<Vec<char>>,
    /// It begins at the top.
    anchored: bool,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let below = text.strip_prefix("./");
        let parts = below.unwrap_or(text).split('/');
        let parts: Vec<Vec<char>> = parts
            .filter(|part| !part.is_empty())
            .map(|part| part.chars().collect())
            .collect();
        Self {
            anchored: below.is_some() || parts.len() > 1,
            parts,
        }
    }

    fn text(&self) -> String {
        let parts: Vec<String> = self
            .parts
            .iter()
            .map(|part| part.iter().collect())
            .collect();
        parts.join("/").chars().take(120).collect()
    }

    /// Whether it names this file, or a folder that it is in.
    fn matches(&self, path: &[String]) -> bool {
        let path: Vec<Vec<char>> = path.iter().map(|part| part.chars().collect()).collect();
        let name = |pattern: &Vec<char>, name: &Vec<char>| {
            wild(pattern, name, |c| *c == '*', |p, c| *p == '?' || p == c)
        };
        if !self.anchored {
            let mut pattern = self.parts.iter();
            return pattern.any(|pattern| path.iter().any(|part| name(pattern, part)));
        }
        (1..=path.len()).any(|depth| {
            let (above, _) = path.split_at(depth);
            wild(&self.parts, above, |part| part == &['*', '*'], name)
        })
    }
}

/// Matches with a star that stands for any number of items. Goes back to the last
/// star alone, so that no pattern takes longer than its length times the items'.
fn wild<P, T>(
    pattern: &[P],
    items: &[T],
    star: impl Fn(&P) -> bool,
    one: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut next) = (0, 0);
    let mut back = None;
    while let Some(item) = items.get(next) {
        match pattern.get(at) {
            Some(part) if star(part) => {
                at += 1;
                back = Some((at, next));
            }
            Some(part) if one(part, item) => {
                at += 1;
                next += 1;
            }
            _ => {
                let Some((after, from)) = back else {
                    return false;
                };
                at = after;
                next = from + 1;
                back = Some((after, next));
            }
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(star)
}

/// What a download is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    files: Bitfield,
    pieces: Bitfield,
    bytes: u64,
    /// Wanted bytes of pieces that are wanted, but not wholly.
    partly: BTreeMap<u32, u32>,
    /// Where padding begins and ends, in order.
    padding: Vec<(u64, u64)>,
}

impl Wanted {
    /// Everything there is, in one file.
    pub fn everything(layout: Layout) -> Self {
        Self {
            files: Bitfield::full(1),
            pieces: Bitfield::full(layout.pieces()),
            bytes: layout.total(),
            partly: BTreeMap::new(),
            padding: Vec::new(),
        }
    }

    /// All of a torrent's files.
    pub fn all(info: &Info) -> Self {
        Self::files(info, Bitfield::full(info.file_count()))
    }

    /// Those of a torrent's files, by position. Padding is wanted with everything
    /// else alone.
    pub fn files(info: &Info, files: Bitfield) -> Self {
        let layout = info.layout();
        let mut pieces = Bitfield::empty(layout.pieces());
        let mut ends: BTreeMap<u32, u32> = BTreeMap::new();
        let mut bytes = 0;
        let all = files.is_full();
        let chosen = |at: u32, file: &&FileEntry| files.has(at) && !file.pad && file.length > 0;
        let wanted = (0..)
            .zip(info.files())
            .filter(|(at, file)| chosen(*at, file));
        for (_, file) in wanted {
            bytes += file.length;
            let end = file.offset + file.length;
            for piece in layout.pieces_of(file.offset, file.length) {
                pieces.insert(piece);
            }
            for piece in layout.edges_of(file.offset, file.length) {
                let to = layout.end(piece).min(end);
                let part = to - layout.offset(piece).max(file.offset);
                *ends.entry(piece).or_default() += u32::try_from(part).expect("part of a piece");
            }
        }
        // Nothing is waited for where there is nothing but padding.
        if all && bytes > 0 {
            pieces = Bitfield::full(layout.pieces());
            // Pieces of nothing but padding.
            if bytes < layout.total() {
                let padding = info
                    .files()
                    .iter()
                    .filter(|file| file.pad && file.length > 0);
                for file in padding {
                    for piece in layout.pieces_of(file.offset, file.length) {
                        ends.entry(piece).or_default();
                    }
                }
            }
        }
        ends.retain(|piece, bytes| *bytes < layout.piece_len(*piece));
        Self {
            files,
            pieces,
            bytes,
            partly: ends,
            padding: padding(info.files()),
        }
    }

    /// Whether these bytes are zeros that everybody knows, and nobody must send.
    pub fn is_padding(&self, offset: u64, length: u32) -> bool {
        let next = self.padding.partition_point(|(from, _)| *from <= offset);
        let within = next.checked_sub(1).and_then(|at| self.padding.get(at));
        within.is_some_and(|(_, to)| offset + u64::from(length) <= *to)
    }

    /// The files, by position.
    pub fn chosen(&self) -> &Bitfield {
        &self.files
    }

    /// True if no file is left out.
    pub fn is_everything(&self) -> bool {
        self.files.is_full()
    }

    /// The pieces that hold some of the wanted files.
    pub fn pieces(&self) -> &Bitfield {
        &self.pieces
    }

    /// Bytes of the wanted files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Wanted bytes of the pieces that `have` lacks.
    pub fn bytes_left(&self, layout: Layout, have: &Bitfield) -> u64 {
        let missing = self.pieces.iter().filter(|piece| !have.has(*piece));
        let bytes = |piece| match self.partly.get(&piece) {
            Some(part) => u64::from(*part),
            None => u64::from(layout.piece_len(piece)),
        };
        missing.map(bytes).sum()
    }
}

/// Runs of padding, those that touch made one.
fn padding(files: &[FileEntry]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for file in files.iter().filter(|file| file.pad && file.length > 0) {
        match runs.last_mut() {
            Some((_, to)) if *to == file.offset => *to += file.length,
            _ => runs.push((file.offset, file.offset + file.length)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::bencode::Value;

    const PIECE: u64 = 16 << 10;

    /// A torrent of these files; `*` before a path is padding.
    fn info(files: &[(&str, u64)]) -> Info {
        let total: u64 = files.iter().map(|(_, length)| length).sum();
        let files = files.iter().map(|(path, length)| {
            let attr = if path.starts_with('*') { "p" } else { "" };
            let path = path.trim_start_matches('*').split('/');
            Value::dict([
                ("attr", attr.into()),
                ("length", i64::try_from(*length).unwrap().into()),
                ("path", Value::List(path.map(Value::from).collect())),
            ])
        });
        let pieces = usize::try_from(total.div_ceil(PIECE)).unwrap();
        let value = Value::dict([
            ("files", Value::List(files.collect())),
            ("name", "album".into()),
            ("piece length", 16384i64.into()),
            ("pieces", vec![1u8; 20 * pieces].into()),
        ]);
        Info::from_bytes(value.encode().into()).unwrap()
    }

    fn album() -> Info {
        info(&[
            ("cover.jpg", 100),
            ("disc 1/01.flac", 3 * PIECE),
            ("disc 1/notes/read, me", 10),
            ("disc 2/01.flac", 2 * PIECE),
            ("1984", 0),
        ])
    }

    fn chosen(text: &str) -> Result<Vec<u32>, SelectionError> {
        let selection: Selection = text.parse()?;
        Ok(selection.choose(&album())?.iter().collect())
    }

    #[test]
    fn files_are_chosen_by_number_and_by_name() {
        for (text, files) in [
            ("1", &[0][..]),
            ("1,3-4", &[0, 2, 3]),
            ("all", &[0, 1, 2, 3, 4]),
            ("2, all", &[0, 1, 2, 3, 4]),
            ("*.flac", &[1, 3]),
            ("disc 1", &[1, 2]),
            ("disc 1/", &[1, 2]),
            ("disc ?/*.flac", &[1, 3]),
            ("disc 1/*", &[1, 2]),
            ("**/01.flac", &[1, 3]),
            ("disc 1/**/read? me", &[2]),
            ("notes", &[2]),
            ("./1984", &[4]),
            ("5,cover*", &[0, 4]),
        ] {
            assert_eq!(chosen(text).as_deref(), Ok(files), "{text}");
        }
    }

    #[test]
    fn what_chooses_nothing_is_told() {
        let no = |number| SelectionError::NoNumber { number, files: 5 };
        let name = |name: &str| SelectionError::NoMatch(name.to_owned());
        let range = |text: &str| SelectionError::BadRange(text.to_owned());
        for (text, error) in [
            ("", SelectionError::Empty),
            (" , ", SelectionError::Empty),
            ("6", no(6)),
            ("2-9", no(6)),
            ("8-9", no(8)),
            ("0", range("0")),
            ("3-2", range("3-2")),
            ("99999999999", range("99999999999")),
            ("1,*.mp3", name("*.mp3")),
            ("./01.flac", name("01.flac")),
            ("DISC 1", name("DISC 1")),
            ("/", name("")),
        ] {
            assert_eq!(chosen(text), Err(error), "{text}");
        }
        let padded = info(&[("a", 5), ("*.pad/9", 9)]);
        let pad: Selection = "2".parse().unwrap();
        assert_eq!(pad.choose(&padded), Err(SelectionError::Nothing));
    }

    #[test]
    fn a_hostile_pattern_is_not_slow() {
        let pattern = format!("{}b", "*a".repeat(4_000));
        let path = ["a".repeat(255)];
        assert!(!Pattern::new(&pattern).matches(&path));
        let deep = format!("{}b", "**/".repeat(5_000));
        assert!(!Pattern::new(&deep).matches(&vec!["a".to_owned(); 64]));
    }

    #[test]
    fn pieces_shared_with_unwanted_files_are_wanted() {
        // Piece 0: cover and flac; piece 3: flac, notes, second flac.
        let info = album();
        let wanted = |text: &str| {
            let selection: Selection = text.parse().unwrap();
            Wanted::files(&info, selection.choose(&info).unwrap())
        };
        let none = Bitfield::empty(info.layout().pieces());
        let flac = wanted("2");
        assert_eq!(flac.pieces().iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(flac.bytes(), 3 * PIECE);
        assert_eq!(flac.bytes_left(info.layout(), &none), 3 * PIECE);
        let mut have = none.clone();
        have.insert(0);
        assert_eq!(flac.bytes_left(info.layout(), &have), 2 * PIECE + 100);
        let notes = wanted("3");
        assert_eq!(notes.pieces().iter().collect::<Vec<_>>(), [3]);
        assert_eq!(notes.bytes_left(info.layout(), &none), 10);
        let empty = wanted("5");
        assert!(empty.pieces().is_empty() && empty.bytes() == 0);
        let all = wanted("all");
        assert_eq!(all, wanted("1-5"));
        assert!(all.is_everything() && all.pieces().is_full());
        assert_eq!(all.bytes_left(info.layout(), &none), info.layout().total());
    }

    #[test]
    fn padding_is_not_counted() {
        let info = info(&[("a", 100), ("*.pad/1", 2 * PIECE - 100), ("b", 7)]);
        let all = Wanted::files(&info, Bitfield::full(3));
        assert!(all.pieces().is_full());
        assert!(all.is_padding(100, 1) && all.is_padding(100, 2 * 16384 - 100));
        for (offset, length) in [(99, 2), (0, 1), (100, 2 * 16384), (2 * PIECE, 7)] {
            assert!(!all.is_padding(offset, length), "{offset} {length}");
        }
        assert_eq!(all.bytes(), 107);
        let none = Bitfield::empty(3);
        assert_eq!(all.bytes_left(info.layout(), &none), 107);
        let first = Selection::positions(vec![0..=0]).choose(&info).unwrap();
        let first = Wanted::files(&info, first);
        assert_eq!(first.pieces().iter().collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn a_links_choice_is_read_from_zero() {
        assert_eq!(select_only("0,2,4-6"), [0..=0, 2..=2, 4..=6]);
        for text in ["", "x", "1-", "5-4", "-1", ",a"] {
            assert_eq!(select_only(text), [], "{text}");
        }
        assert_eq!(select_only("0,2-1,4"), [0..=0, 4..=4]);
    }
}
