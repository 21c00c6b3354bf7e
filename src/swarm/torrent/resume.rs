//! What is verified, across restarts.
//!
//! Two files beside each other, named after info-hash and place: the *record*
//! (pieces that were on stable storage when it was written, and whether the
//! session ended in order) and the *journal* (pieces that were written and
//! verified since, four bytes each, after their data). The record is replaced by
//! a rename, after the content was synced.
//!
//! After an orderly end the record is believed if no file changed since. After a
//! kill, the record's pieces are believed and those of the journal are hashed. A
//! file that changed later than both means somebody else wrote to it: everything
//! is hashed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use sha1::{Digest, Sha1};

use crate::{
    swarm::{
        bencode::{self, Limits, Value},
        bitfield::Bitfield,
        metainfo::Info,
        selection::Wanted,
        storage::Storage,
    },
    types::InfoHash,
};

/// File times are this coarse, and writes lag behind a bit.
const TIME_SLACK: Duration = Duration::from_secs(2);

/// How often the journal is marked while content is written.
const MARK_EVERY: Duration = Duration::from_secs(1);

/// What is downloaded is nobody else's business: read and written by the owner alone.
const PRIVATE: u32 = 0o600;

/// Makes a folder that its owner alone can look into; one that is there stays as it is.
fn make_folder(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

/// What a restart has to hash.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Believed without looking.
    pub(super) have: Bitfield,
    /// The files are as the record says: they are this torrent's.
    pub(super) ours: bool,
    /// To be hashed.
    pub(super) check: Vec<u32>,
    /// The record is of an orderly end, and says that everything is there: as long as nothing
    /// is written, it may stay as it is.
    pub(super) settled: bool,
}

/// The pieces, whether the end was orderly, and the files' fingerprint.
type Record = (Bitfield, bool, Vec<(u64, i64)>);

#[derive(Debug)]
pub(super) struct Resume {
    hash: InfoHash,
    record: PathBuf,
    journal: PathBuf,
    log: Option<File>,
    /// Pieces in the journal.
    noted: Vec<u32>,
    marked: Option<Instant>,
    /// The wanted files by position, if not all are.
    chosen: Option<Bitfield>,
    /// The record is of an orderly end, and nothing was written since.
    settled: bool,
}

/// A record as it was read.
pub(super) struct Recorded(Value);

impl Recorded {
    /// The wanted files of that time, of so many; none: all of them.
    pub(super) fn chosen(&self, files: u32) -> Option<Bitfield> {
        let chosen = Bitfield::from_wire(self.0.get("chosen")?.as_bytes()?, files);
        chosen.filter(|chosen| !chosen.is_empty())
    }

    /// The files that had files of their own then; none: it makes no sense.
    pub(super) fn in_place(&self, files: u32) -> Option<Bitfield> {
        match self.0.get("in_place") {
            Some(bits) => Bitfield::from_wire(bits.as_bytes()?, files),
            None => Some(Bitfield::full(files)),
        }
    }

    /// All files were wanted, and each had one of its own.
    fn is_of_all_files(&self) -> bool {
        self.0.get("chosen").is_none() && self.0.get("in_place").is_none()
    }

    fn record(&self, pieces: u32) -> Option<Record> {
        let value = &self.0;
        let have = Bitfield::from_wire(value.get("have")?.as_bytes()?, pieces)?;
        let clean = value.get("clean")?.as_int()? == 1;
        let files = value.get("files")?.as_list()?.iter().map(|file| {
            let [length, changed] = file.as_list()? else {
                return None;
            };
            Some((length.as_u64()?, changed.as_int()?))
        });
        Some((have, clean, files.collect::<Option<_>>()?))
    }
}

impl Resume {
    /// The files for this torrent at this place, in `dir`.
    pub(super) fn new(dir: &Path, hash: InfoHash, root: &Path) -> io::Result<Self> {
        make_folder(dir)?;
        let place = std::path::absolute(root)?;
        let place: [u8; 20] = Sha1::digest(place.as_os_str().as_encoded_bytes()).into();
        let name = format!("{hash}-{}", hex::encode(place.split_at(8).0));
        Ok(Self {
            hash,
            record: dir.join(format!("{name}.resume")),
            journal: dir.join(format!("{name}.journal")),
            log: None,
            noted: Vec::new(),
            marked: None,
            chosen: None,
            settled: false,
        })
    }

    /// The record, if there is one.
    pub(super) fn recorded(&self) -> Option<Recorded> {
        let bytes = fs::read(&self.record).ok()?;
        let value = bencode::decode(&bytes, Limits::TORRENT).ok()?;
        let ours = value.get("info_hash")?.as_bytes()? == self.hash.as_bytes();
        ours.then_some(Recorded(value))
    }

    /// These files are wanted from now on.
    pub(super) fn choose(&mut self, wanted: &Wanted) {
        let some = Some(wanted).filter(|wanted| !wanted.is_everything());
        self.chosen = some.map(|wanted| wanted.chosen().clone());
    }

    /// Decides what to believe of files that are there.
    pub(super) fn plan(&self, recorded: Option<&Recorded>, info: &Info, storage: &Storage) -> Plan {
        let pieces = info.layout().pieces();
        let all = || Plan {
            have: Bitfield::empty(pieces),
            ours: false,
            check: (0..pieces).collect(),
            settled: false,
        };
        let known = recorded.and_then(|recorded| Some((recorded, recorded.record(pieces)?)));
        let Some((recorded, (have, clean, files))) = known else {
            return all();
        };
        let now = storage.fingerprint();
        if clean {
            return match now == files {
                true => Plan {
                    ours: true,
                    check: Vec::new(),
                    settled: have.is_full() && recorded.is_of_all_files(),
                    have,
                },
                false => all(),
            };
        }
        let lengths_fit =
            now.len() == files.len() && now.iter().zip(&files).all(|(now, then)| now.0 == then.0);
        if !lengths_fit || self.touched_later(&now) {
            return all();
        }
        let mut check = self.read_journal(pieces);
        check.retain(|piece| !have.has(*piece));
        Plan {
            have,
            ours: true,
            check,
            settled: false,
        }
    }

    /// The record of an orderly end holds until something is written.
    pub(super) fn settle(&mut self) {
        self.settled = true;
    }

    /// Whether it speaks of these files, and nobody touched them since.
    pub(super) fn is_of(&self, files: &Storage, pieces: u32) -> bool {
        let record = self.read(pieces);
        record.is_some_and(|(_, _, known)| known == files.fingerprint())
    }

    /// Whether all these pieces are in these files, and nobody touched them since. The part
    /// file may be elsewhere.
    pub(super) fn holds(&self, files: &Storage, pieces: &Bitfield) -> bool {
        let Some((have, _, known)) = self.read(pieces.len()) else {
            return false;
        };
        let now = files.fingerprint();
        let fits =
            now.len() <= known.len() && now.iter().zip(&known).all(|(now, then)| now == then);
        fits && pieces.iter().all(|piece| have.has(piece))
    }

    /// Whether it speaks of all of these files that are there, and nobody touched them since.
    pub(super) fn owns(&self, files: &Storage, pieces: u32) -> bool {
        let Some((_, _, known)) = self.read(pieces) else {
            return false;
        };
        let now = files.fingerprint();
        // One that is gone has no length and no time.
        let fits = |(now, then)| now == then || now == (0, 0);
        now.len() <= known.len() && now.into_iter().zip(known).all(fits)
    }

    fn touched_later(&self, files: &[(u64, i64)]) -> bool {
        let changed = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
        let ours = changed(&self.record).max(changed(&self.journal));
        let Some(ours) = ours else {
            return true;
        };
        let limit = ours + TIME_SLACK;
        files.iter().any(|(_, nanos)| {
            let nanos = u64::try_from(*nanos).unwrap_or(0);
            SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos) > limit
        })
    }

    fn read(&self, pieces: u32) -> Option<Record> {
        self.recorded()?.record(pieces)
    }

    fn read_journal(&self, pieces: u32) -> Vec<u32> {
        let bytes = fs::read(&self.journal).unwrap_or_default();
        let (words, _torn) = bytes.as_chunks::<4>();
        let mut noted: Vec<u32> = words.iter().map(|word| u32::from_be_bytes(*word)).collect();
        noted.sort_unstable();
        noted.dedup();
        noted.retain(|piece| *piece < pieces);
        noted
    }

    /// This piece was written and verified. If that cannot be noted, as on a full
    /// disk, the record is taken away until one can be written again: without it
    /// everything is hashed, and nothing that is there is forgotten.
    pub(super) fn note(&mut self, piece: u32) {
        self.settled = false;
        self.noted.push(piece);
        self.open();
        let noted = match &mut self.log {
            Some(log) => log.write_all(&piece.to_be_bytes()),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        if let Err(error) = noted {
            tracing::warn!(path = %self.journal.display(), %error, "cannot note a piece");
            self.log = None;
            match fs::remove_file(&self.record) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %self.record.display(), %error, "cannot remove it");
                }
                _ => {}
            }
        }
    }

    fn open(&mut self) {
        if self.log.is_none() {
            let mut options = OpenOptions::new();
            options.create(true).append(true).mode(PRIVATE);
            self.log = options.open(&self.journal).ok();
        }
    }

    /// Content is being written, though no piece may be whole for long: that it
    /// changed later than the journal would look like somebody else's doing.
    pub(super) fn mark(&mut self) {
        self.settled = false;
        if self.marked.is_some_and(|at| at.elapsed() < MARK_EVERY) {
            return;
        }
        self.open();
        if let Some(log) = &self.log
            && let Err(error) = log.set_modified(SystemTime::now())
        {
            tracing::debug!(%error, "cannot mark the journal");
        }
        self.marked = Some(Instant::now());
    }

    /// There is nothing at this place any more.
    pub(super) fn forget(self) {
        for path in [&self.record, &self.journal] {
            if let Err(error) = fs::remove_file(path) {
                tracing::debug!(path = %path.display(), %error, "cannot remove it");
            }
        }
    }

    /// Something was written since the last record.
    pub(super) fn is_dirty(&self) -> bool {
        !self.noted.is_empty()
    }

    /// Replaces the record. The content up to `have` must have been synced; the
    /// journal keeps what is not in `have`. One that is still right stays: thousands of torrents
    /// that nobody wrote to start and end without a write.
    pub(super) fn save(
        &mut self,
        have: &Bitfield,
        storage: &Storage,
        clean: bool,
    ) -> io::Result<()> {
        if self.settled && clean {
            return Ok(());
        }
        self.settled = false;
        let files = storage.fingerprint().into_iter().map(|(length, changed)| {
            let length = i64::try_from(length).unwrap_or(i64::MAX);
            Value::List(vec![length.into(), changed.into()])
        });
        let mut entries = vec![
            ("info_hash", self.hash.as_bytes()[..].into()),
            ("have", have.as_bytes().into()),
            ("clean", i64::from(clean).into()),
            ("files", Value::List(files.collect())),
        ];
        if let Some(chosen) = &self.chosen {
            entries.push(("chosen", chosen.as_bytes().into()));
        }
        let in_place = storage.in_place();
        if !in_place.is_full() {
            entries.push(("in_place", in_place.as_bytes().into()));
        }
        replace(&self.record, &Value::dict(entries).encode())?;
        self.noted.retain(|piece| !have.has(*piece));
        let rest: Vec<u8> = self.noted.iter().flat_map(|p| p.to_be_bytes()).collect();
        self.log = None;
        replace(&self.journal, &rest)?;
        self.settled = clean;
        Ok(())
    }
}

/// Either the old bytes or the new ones are there, whatever happens.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(PRIVATE);
    let mut file = options.open(&new)?;
    // One that was left by an older version may be readable by others.
    file.set_permissions(fs::Permissions::from_mode(PRIVATE))?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::swarm::metainfo::{self, CreateOptions};

    fn torrent(dir: &Path) -> (Info, Storage) {
        let file = dir.join("content");
        let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_be_bytes).collect();
        fs::write(&file, bytes).unwrap();
        let options = CreateOptions {
            piece_size: Some(64 << 10),
            ..CreateOptions::default()
        };
        let info = metainfo::create(&file, &options, &|_, _| {}).unwrap().info;
        let storage = Storage::whole(&info, &file);
        (info, storage)
    }

    fn open(dir: &Path, info: &Info, storage: &Storage) -> Resume {
        Resume::new(&dir.join("state"), info.hash(), storage.root()).unwrap()
    }

    fn planned(resume: &Resume, info: &Info, storage: &Storage) -> Plan {
        resume.plan(resume.recorded().as_ref(), info, storage)
    }

    #[test]
    fn an_orderly_end_is_believed_until_a_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (info, storage) = torrent(dir.path());
        let mut resume = open(dir.path(), &info, &storage);
        let have = Bitfield::full(info.layout().pieces());
        resume.save(&have, &storage, true).unwrap();
        let plan = planned(&open(dir.path(), &info, &storage), &info, &storage);
        assert_eq!(
            plan,
            Plan {
                have,
                ours: true,
                check: vec![],
                settled: true,
            }
        );
        let file = File::options().write(true).open(storage.root()).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(60))
            .unwrap();
        let plan = planned(&open(dir.path(), &info, &storage), &info, &storage);
        assert_eq!(plan.check.len(), 7);
        assert!(plan.have.is_empty());
    }

    #[test]
    fn a_record_stays_as_it_is_until_something_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let (info, storage) = torrent(dir.path());
        let full = Bitfield::full(7);
        // Each record is a file of its own, put in the place of the one before.
        let file = |resume: &Resume| fs::metadata(&resume.record).unwrap().ino();
        open(dir.path(), &info, &storage)
            .save(&full, &storage, true)
            .unwrap();
        let mut resume = open(dir.path(), &info, &storage);
        assert!(planned(&resume, &info, &storage).settled);
        let first = file(&resume);
        resume.settle();
        resume.save(&full, &storage, true).unwrap();
        assert_eq!(file(&resume), first);
        assert_eq!(planned(&resume, &info, &storage).have, full);
        // What is written since makes it another one.
        resume.mark();
        resume.save(&full, &storage, true).unwrap();
        assert_ne!(file(&resume), first);
        // One that does not end in order is always written.
        resume.save(&full, &storage, false).unwrap();
        assert!(!planned(&resume, &info, &storage).settled);
        // What is not complete may be written to at any time.
        let mut part = full.clone();
        part.remove(3);
        resume.save(&part, &storage, true).unwrap();
        let plan = planned(&resume, &info, &storage);
        assert_eq!((plan.have, plan.settled), (part, false));
        // Nor is it settled if only some files were wanted.
        resume.chosen = Some(Bitfield::full(1));
        resume.mark();
        resume.save(&full, &storage, true).unwrap();
        assert!(!planned(&resume, &info, &storage).settled);
    }

    #[test]
    fn after_a_kill_only_the_journal_is_hashed() {
        let dir = tempfile::tempdir().unwrap();
        let (info, storage) = torrent(dir.path());
        let mut resume = open(dir.path(), &info, &storage);
        let mut have = Bitfield::empty(7);
        have.insert(1);
        resume.note(1);
        resume.note(4);
        resume.save(&have, &storage, false).unwrap();
        resume.note(2);
        let again = open(dir.path(), &info, &storage);
        let plan = planned(&again, &info, &storage);
        assert_eq!(
            plan,
            Plan {
                have,
                ours: true,
                check: vec![2, 4],
                settled: false,
            }
        );
        // What is downloaded is nobody else's business.
        for path in [&again.record, &again.journal] {
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
        // A torn journal and a broken record cost time, not truth.
        fs::write(&again.journal, [0, 0, 0, 3, 0]).unwrap();
        assert_eq!(planned(&again, &info, &storage).check, [3]);
        fs::write(&again.record, b"d4:have").unwrap();
        assert_eq!(planned(&again, &info, &storage).check.len(), 7);
    }

    #[test]
    fn a_long_piece_in_the_making_is_no_strangers_work() {
        let dir = tempfile::tempdir().unwrap();
        let (info, storage) = torrent(dir.path());
        let mut resume = open(dir.path(), &info, &storage);
        let have = Bitfield::empty(7);
        resume.save(&have, &storage, false).unwrap();
        let long_ago = SystemTime::now() - Duration::from_secs(60);
        for path in [&resume.record, &resume.journal] {
            let file = File::options().write(true).open(path).unwrap();
            file.set_modified(long_ago).unwrap();
        }
        storage.write(0, b"part of a piece").unwrap();
        let plan = |resume: &Resume| planned(resume, &info, &storage).check.len();
        assert_eq!(plan(&resume), 7);
        resume.mark();
        assert_eq!(plan(&resume), 0);
    }

    #[test]
    fn a_piece_that_cannot_be_noted_is_not_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let (info, storage) = torrent(dir.path());
        let mut resume = open(dir.path(), &info, &storage);
        resume.save(&Bitfield::empty(7), &storage, false).unwrap();
        assert_eq!(planned(&resume, &info, &storage).check.len(), 0);
        // Where the journal belongs stands a folder.
        fs::remove_file(&resume.journal).unwrap();
        fs::create_dir(&resume.journal).unwrap();
        resume.note(3);
        assert_eq!(planned(&resume, &info, &storage).check.len(), 7);
        fs::remove_dir(&resume.journal).unwrap();
        resume.save(&Bitfield::full(7), &storage, false).unwrap();
        assert!(planned(&resume, &info, &storage).have.is_full());
    }

    #[test]
    fn two_places_are_two_records() {
        let dir = tempfile::tempdir().unwrap();
        let (info, storage) = torrent(dir.path());
        let other = Resume::new(dir.path(), info.hash(), &dir.path().join("other")).unwrap();
        assert_ne!(
            other.record.file_name(),
            open(dir.path(), &info, &storage).record.file_name()
        );
    }
}
