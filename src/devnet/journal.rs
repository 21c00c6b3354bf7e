//! The state file: the genesis block's contents and, a line each, the blocks,
//! cheats, forks and reverts that came after, so that the same chain can be made
//! again. A line is on disk before what it tells can be seen.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    devnet::{chain::Sealed, cheat::Cheat, fork, genesis::Genesis},
    types::{BlockId, UnixMs},
};

/// What the first line calls the file.
const FORMAT: &str = "seedrail devnet state";
/// The version written here, and the only one read.
const VERSION: u32 = 1;

/// A state file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be read, made or written.
    #[error("the state file {path}: {source}", path = .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process runs on it.
    #[error("the state file {path} is in use by another devnet: stop that one, or name another file", path = .0.display())]
    InUse(PathBuf),
    /// Something else than a devnet's state.
    #[error("{path} is not the state file of a devnet: name another file, or delete it to begin anew", path = .0.display())]
    Foreign(PathBuf),
    /// Written by another version of this program.
    #[error("the state file {path} has version {found}, and this program reads version {VERSION}: use the program that wrote it, or delete it to begin anew", path = .path.display())]
    Version {
        /// Which.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// Lines that do not give the chain they say.
    #[error("the state file {path} is damaged: {reason}; restore a copy of it, or delete it to begin anew", path = .path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The chain in it began otherwise than it is to begin now.
    #[error("the state file {path} holds a chain that began with other accounts, amounts or parameters, another witness or another fork: start it with the same options as then, or name another file", path = .0.display())]
    Genesis(PathBuf),
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
    genesis: Genesis,
}

/// What came after genesis, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Record {
    Block {
        id: BlockId,
        time_ms: UnixMs,
        /// The slot that its transactions' expirations had to reach.
        next_slot_ms: UnixMs,
        /// Whole transactions in hex, in order.
        transactions: Vec<String>,
    },
    Cheat(Cheat),
    /// The newest blocks were forked out.
    Fork {
        blocks: u64,
        not_before_ms: UnixMs,
    },
    /// Back to the chain as it was after this many of the lines above.
    Revert {
        lines: usize,
        not_before_ms: UnixMs,
    },
    /// What was read of the forked chain, before the run that needed it. It stays, whatever
    /// is forked out and reverted.
    Read(fork::Answer),
}

impl Record {
    /// A block's.
    pub(crate) fn of(sealed: &Sealed) -> Self {
        let transactions = sealed.block.transactions.iter();
        Self::Block {
            id: sealed.id,
            time_ms: sealed.time(),
            next_slot_ms: sealed.next_slot,
            transactions: transactions
                .map(|transaction| hex::encode(transaction.encode()))
                .collect(),
        }
    }
}

/// A whole chain: how it began, what came, and when the next block may come.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) genesis: Genesis,
    /// What was read of the forked chain.
    pub(crate) answers: Vec<fork::Answer>,
    /// Blocks and cheats only.
    pub(crate) records: Vec<Record>,
    pub(crate) not_before: UnixMs,
}

impl Document {
    /// The text of a state file.
    pub(crate) fn to_text(&self) -> String {
        let mut text = header(&self.genesis);
        for answer in &self.answers {
            text.push_str(&line(&Record::Read(answer.clone())));
        }
        for record in &self.records {
            text.push_str(&line(record));
        }
        text
    }

    /// Reads the text of a state file.
    pub(crate) fn parse(text: &str) -> Result<Text, Flaw> {
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut lines = text.get(..whole).unwrap_or_default().lines();
        let first = lines.next().ok_or(Flaw::Foreign)?;
        let header: serde_json::Value = serde_json::from_str(first).map_err(|_| Flaw::Foreign)?;
        if header.get("format").and_then(|format| format.as_str()) != Some(FORMAT) {
            return Err(Flaw::Foreign);
        }
        match header.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {}
            found => return Err(Flaw::Version(found.unwrap_or_default())),
        }
        let header: Header = serde_json::from_value(header)
            .map_err(|error| Flaw::Damaged(format!("line 1: {error}")))?;
        let mut history = History::default();
        for (index, text) in lines.enumerate() {
            let number = index + 2;
            let record = serde_json::from_str(text)
                .map_err(|error| Flaw::Damaged(format!("line {number}: {error}")))?;
            history
                .take(record)
                .map_err(|reason| Flaw::Damaged(format!("line {number}: {reason}")))?;
        }
        let lines = history.tips.len();
        let document = Self {
            genesis: header.genesis,
            not_before: history.not_before,
            answers: std::mem::take(&mut history.answers),
            records: history.into_records(),
        };
        Ok(Text {
            document,
            lines,
            whole,
        })
    }
}

/// A state file's text, read.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) document: Document,
    /// Lines after the header.
    lines: usize,
    /// Bytes up to the last line end: what follows was never finished.
    pub(crate) whole: usize,
}

/// Forks and reverts make a tree of the lines; the chain is the way from its
/// root to where the last line left it.
#[derive(Debug, Default)]
struct History {
    /// Blocks and cheats, each with the one before it on its way.
    nodes: Vec<(Record, Option<usize>)>,
    /// Where the chain stood after each line.
    tips: Vec<Option<usize>>,
    answers: Vec<fork::Answer>,
    not_before: UnixMs,
}

impl History {
    fn take(&mut self, record: Record) -> Result<(), String> {
        let tip = self.tips.last().copied().flatten();
        let tip = match record {
            Record::Fork {
                blocks,
                not_before_ms,
            } => {
                self.not_before = not_before_ms;
                self.before(tip, blocks)?
            }
            Record::Revert {
                lines,
                not_before_ms,
            } => {
                self.not_before = not_before_ms;
                match lines.checked_sub(1) {
                    None => None,
                    Some(at) => *self
                        .tips
                        .get(at)
                        .ok_or_else(|| format!("a revert to line {lines}, which is not there"))?,
                }
            }
            Record::Read(answer) => {
                self.answers.push(answer);
                tip
            }
            other => {
                self.nodes.push((other, tip));
                Some(self.nodes.len() - 1)
            }
        };
        self.tips.push(tip);
        Ok(())
    }

    /// Where the chain stands without its newest blocks and what was changed on
    /// them.
    fn before(&self, mut tip: Option<usize>, blocks: u64) -> Result<Option<usize>, String> {
        let mut left = blocks;
        while left > 0 {
            let Some((record, before)) = tip.and_then(|at| self.nodes.get(at)) else {
                return Err(format!("{blocks} blocks forked out, and there are fewer"));
            };
            if matches!(record, Record::Block { .. }) {
                left -= 1;
            }
            tip = *before;
        }
        Ok(tip)
    }

    fn into_records(self) -> Vec<Record> {
        let mut tip = self.tips.last().copied().flatten();
        let mut nodes: Vec<_> = self.nodes.into_iter().map(Some).collect();
        let mut records = Vec::new();
        while let Some((record, before)) = tip.and_then(|at| nodes.get_mut(at)?.take()) {
            records.push(record);
            tip = before;
        }
        records.reverse();
        records
    }
}

/// What is wrong with a text.
#[derive(Debug)]
pub(crate) enum Flaw {
    Foreign,
    Version(u64),
    Damaged(String),
}

impl Flaw {
    fn of(self, path: &Path) -> JournalError {
        let path = path.to_owned();
        match self {
            Self::Foreign => JournalError::Foreign(path),
            Self::Version(found) => JournalError::Version { path, found },
            Self::Damaged(reason) => JournalError::Damaged { path, reason },
        }
    }

    /// The same, of a text that is in no file.
    pub(crate) fn sentence(self) -> String {
        match self {
            Self::Foreign => "this is not the state of a devnet".to_owned(),
            Self::Version(found) => {
                format!("this state has version {found}, and this program reads {VERSION}")
            }
            Self::Damaged(reason) => format!("this state is damaged: {reason}"),
        }
    }
}

fn header(genesis: &Genesis) -> String {
    line(&Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        genesis: genesis.clone(),
    })
}

fn line(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("numbers and text only");
    text.push('\n');
    text
}

/// An open state file, locked against other processes.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    /// Lines after the header.
    lines: usize,
}

impl Journal {
    /// Opens the file, making an empty one if there is none; the chain in it, if
    /// there is one. An unfinished last line is cut off.
    pub(crate) fn open(path: &Path) -> Result<(Self, Option<Document>), JournalError> {
        let wrap = |source| JournalError::Io {
            path: path.to_owned(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(wrap)?;
        // A device may have no end.
        if !file.metadata().map_err(wrap)?.is_file() {
            return Err(JournalError::Foreign(path.to_owned()));
        }
        lock(&file, path)?;
        let mut text = String::new();
        match file.read_to_string(&mut text) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(JournalError::Foreign(path.to_owned()));
            }
            Err(error) => return Err(wrap(error)),
        }
        let (mut document, mut lines) = (None, 0);
        if !text.is_empty() {
            let read = Document::parse(&text).map_err(|flaw| flaw.of(path))?;
            if read.whole < text.len() {
                tracing::warn!(path = %path.display(), "an unfinished last line is left out");
                let whole = u64::try_from(read.whole).unwrap_or(u64::MAX);
                file.set_len(whole).map_err(wrap)?;
                file.sync_all().map_err(wrap)?;
            }
            file.seek(SeekFrom::End(0)).map_err(wrap)?;
            lines = read.lines;
            document = Some(read.document);
        }
        let journal = Self {
            file,
            path: path.to_owned(),
            lines,
        };
        Ok((journal, document))
    }

    /// Puts a whole chain in place of what is there, at once.
    pub(crate) fn replace(&mut self, document: &Document) -> Result<(), JournalError> {
        let path = self.path.clone();
        let wrap = |source| JournalError::Io {
            path: path.clone(),
            source,
        };
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let other = path.with_file_name(name);
        let mut file = File::create(&other).map_err(wrap)?;
        // Locked before it has the name that others open.
        lock(&file, &path)?;
        file.write_all(document.to_text().as_bytes())
            .map_err(wrap)?;
        file.sync_all().map_err(wrap)?;
        std::fs::rename(&other, &path).map_err(wrap)?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(wrap)?;
        self.file = file;
        self.lines = document.answers.len() + document.records.len();
        Ok(())
    }

    /// How many lines there are after the header: what a revert returns to.
    pub(crate) fn lines(&self) -> usize {
        self.lines
    }

    /// Adds a line; it is on disk when this returns, but for what was read of a forked chain:
    /// that is there at the latest with the next line of another kind, which alone may hang on
    /// it.
    pub(crate) fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        self.file
            .write_all(line(record).as_bytes())
            .and_then(|()| match record {
                Record::Read(_) => Ok(()),
                _ => self.file.sync_data(),
            })
            .map_err(|source| JournalError::Io {
                path: self.path.clone(),
                source,
            })?;
        self.lines += 1;
        Ok(())
    }
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => JournalError::InUse(path.to_owned()),
        TryLockError::Error(source) => JournalError::Io {
            path: path.to_owned(),
            source,
        },
    })
}
