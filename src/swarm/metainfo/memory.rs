//! Torrents that were made before: content that did not change since is not hashed
//! again. One file of a folder for each content, named after its place.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use sha1::{Digest, Sha1};

use super::{
    MAX_INFO_BYTES, Metainfo,
    create::{self, CreateError, CreateOptions, Listed, Made},
};
use crate::swarm::bencode::{self, Limits, Value};

/// What a remembered torrent takes at most, beside its info dictionary.
const AROUND: u64 = 1 << 20;

/// Makes a torrent of `path` as [`make`](super::make) does, or recalls it from
/// `folder`: if it was made with the same piece size, padding and privacy, and no file has
/// another name, length or time of change since. Tells whether it was recalled.
///
/// A torrent that cannot be remembered is made all the same.
///
/// # Errors
/// See [`CreateError`].
pub fn make_or_recall(
    path: &Path,
    options: &CreateOptions,
    folder: &Path,
    progress: &(dyn Fn(u32, u32) + Sync),
) -> Result<(Made, bool), CreateError> {
    // Before it is read: what changes meanwhile is noticed the next time.
    let listed = create::list(path)?;
    let stamp = stamp(&listed, options);
    let name = Sha1::digest(listed.root.as_os_str().as_encoded_bytes());
    let file = folder.join(format!("{}.made", hex::encode(name)));
    if let Some(mut metainfo) = recall(&file, &stamp) {
        metainfo.trackers = options
            .trackers
            .iter()
            .map(|url| vec![url.clone()])
            .collect();
        metainfo.web_seeds.clone_from(&options.web_seeds);
        metainfo.comment.clone_from(&options.comment);
        let links = listed.links;
        return Ok((Made { metainfo, links }, true));
    }
    let made = create::of_listed(listed, options, progress)?;
    if let Err(error) = remember(&file, &stamp, &made.metainfo) {
        tracing::warn!(path = %file.display(), %error, "it will be hashed again");
    }
    Ok((made, false))
}

/// Another one for other files or options.
fn stamp(listed: &Listed, options: &CreateOptions) -> [u8; 20] {
    let mut hasher = Sha1::new();
    let mut put = |bytes: &[u8]| {
        hasher.update(bytes.len().to_be_bytes());
        hasher.update(bytes);
    };
    put(&options.piece_size.unwrap_or(0).to_be_bytes());
    put(&[u8::from(options.private), u8::from(options.pad_files)]);
    put(listed.root.as_os_str().as_encoded_bytes());
    for file in &listed.files {
        put(file.at.as_os_str().as_encoded_bytes());
        put(&file.length.to_be_bytes());
        for time in file.changed {
            put(&time.to_be_bytes());
        }
    }
    hasher.finalize().into()
}

fn recall(file: &Path, stamp: &[u8; 20]) -> Option<Metainfo> {
    let most = u64::try_from(MAX_INFO_BYTES).ok()? + AROUND;
    let mut bytes = Vec::new();
    let opened = File::open(file).ok()?;
    opened.take(most).read_to_end(&mut bytes).ok()?;
    let value = bencode::decode(&bytes, Limits::TORRENT).ok()?;
    let same = value.get("stamp")?.as_bytes()? == stamp;
    let torrent = value.get("torrent").filter(|_| same)?.as_bytes()?;
    Metainfo::from_bytes(torrent).ok()
}

/// Readable by the owner alone: what is shared is nobody else's business.
fn remember(file: &Path, stamp: &[u8; 20], metainfo: &Metainfo) -> io::Result<()> {
    let entries = [
        ("stamp", stamp[..].into()),
        ("torrent", metainfo.to_bytes()?.into()),
    ];
    let folder = file.parent().unwrap_or(file);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    // Two processes may remember the same at once.
    let new = PathBuf::from(format!("{}.{}", file.display(), std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut opened = options.open(&new)?;
    opened.write_all(&Value::dict(entries).encode())?;
    opened.sync_data()?;
    fs::rename(&new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_hashed_again() {
        let dir = tempfile::tempdir().unwrap();
        let (root, memory) = (dir.path().join("album"), dir.path().join("made"));
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a"), [1; 100]).unwrap();
        let make =
            |options: &CreateOptions| make_or_recall(&root, options, &memory, &|_, _| {}).unwrap();
        let plain = CreateOptions::default();
        let (first, recalled) = make(&plain);
        assert!(!recalled);
        let tracked = CreateOptions {
            trackers: vec!["http://t/announce".into()],
            ..CreateOptions::default()
        };
        let (second, recalled) = make(&tracked);
        assert!(recalled);
        assert_eq!(second.metainfo.info, first.metainfo.info);
        assert_eq!(second.metainfo.trackers, [["http://t/announce"]]);
        let private = CreateOptions {
            private: true,
            ..CreateOptions::default()
        };
        assert!(!make(&private).1);
        // The same length, and its time put back: only the file system's own tells.
        let path = root.join("a");
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        let before = make(&plain).0;
        fs::write(&path, [2; 100]).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(changed).unwrap();
        let (after, recalled) = make(&plain);
        assert!(!recalled);
        assert_ne!(after.metainfo.info.hash(), before.metainfo.info.hash());
        // What is broken is made again.
        for entry in fs::read_dir(&memory).unwrap() {
            fs::write(entry.unwrap().path(), b"d5:stamp").unwrap();
        }
        assert!(!make(&plain).1);
        assert!(make(&plain).1);
    }
}
