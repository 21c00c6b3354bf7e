//! Moves finished content elsewhere. It is whole in one place or the other at every
//! moment, and nothing is ever overwritten.
//!
//! Within a file system that is one rename. Across, the files are copied into a
//! folder of our own beside the target, made durable and hashed against the torrent;
//! then the copy gets its name, and only then the original is taken away. Before anything has
//! its new name, what is verified is recorded for the new place: so it is known after a kill
//! that what lies there is whole, and [`Session::recover_move`](super::Session::recover_move)
//! goes on from there.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    thread,
};

use super::{
    bitfield::Bitfield,
    metainfo::Info,
    selection::Wanted,
    storage::{Storage, StorageError},
    torrent,
};

/// What of a move is durable. A kill is possible after each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// All files are copied, and are right.
    Copied,
    /// What is verified is recorded for the new place.
    Recorded,
    /// The part file has its new name.
    Parts,
    /// The content has its new name.
    Named,
}

/// What a move does beside moving.
pub(super) struct Hooks<'a> {
    /// Records what is verified of these files for the new place.
    pub(super) record: &'a dyn Fn(&Storage),
    /// Takes that record away: they do not come there.
    pub(super) forget: &'a dyn Fn(),
    /// A step is done.
    pub(super) done: &'a dyn Fn(Step),
}

/// What became of a move that a kill cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// The content is where it was. What was left of a copy is gone.
    NotMoved,
    /// It is where it was to go, and nothing is left where it was.
    Moved,
    /// Something lies in both places, and it is not known to be a whole copy. It was not
    /// touched.
    Both,
}

/// Bytes copied before it is asked whether to go on.
const COPIED_AT_ONCE: u64 = 64 << 20;

/// Why content was not moved. It is where it was.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// Something is there.
    #[error("{0} is there already; nothing is overwritten, and the download stays where it is")]
    Exists(PathBuf),
    /// The torrent is not complete.
    #[error("the download is not complete; it is moved when it is")]
    Incomplete,
    /// What was read back of the copy is not what the torrent says.
    #[error("the copy in {0} is not right; the download stays where it is")]
    BadCopy(PathBuf),
    /// A file cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The session has ended.
    #[error("the session has ended")]
    Ended,
}

fn fail(action: &'static str, path: &Path) -> impl Fn(io::Error) -> MoveError {
    let path = path.to_owned();
    move |source| StorageError::new(action, &path, source).into()
}

/// Renames, but never over something.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // A file system that cannot promise it.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
            other => return other.map_err(Into::into),
        }
    }
    if fs::symlink_metadata(to).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

/// Makes renames in `folder` durable.
fn sync_folder(folder: &Path) -> Result<(), MoveError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(fail("write", folder))
}

/// Gives what lies at `from` the name of `to`: the same files elsewhere. False where
/// that is another file system: nothing has happened then.
pub(super) fn rename_content(
    from: &Storage,
    to: &Storage,
    hooks: &Hooks<'_>,
) -> Result<bool, MoveError> {
    let target = to.root();
    if fs::symlink_metadata(target).is_ok() {
        return Err(MoveError::Exists(target.to_owned()));
    }
    let folder = to.folder();
    fs::create_dir_all(folder).map_err(fail("create", folder))?;
    from.sync()?;
    // Their lengths and times stay as they are.
    (hooks.record)(from);
    (hooks.done)(Step::Recorded);
    if let Err(error) = rename(from.root(), target) {
        (hooks.forget)();
        return match error.kind() {
            io::ErrorKind::CrossesDevices => Ok(false),
            io::ErrorKind::AlreadyExists => Err(MoveError::Exists(target.to_owned())),
            _ => Err(fail("move", from.root())(error)),
        };
    }
    (hooks.done)(Step::Named);
    // The content is there now, whatever becomes of the rest. Where the part file is
    // left behind, the pieces that need it are fetched again.
    if fs::symlink_metadata(from.part_file()).is_ok()
        && let Err(error) = fs::rename(from.part_file(), to.part_file())
    {
        tracing::warn!(path = %from.part_file().display(), %error, "cannot move it");
    }
    (hooks.done)(Step::Parts);
    if let Err(error) = sync_folder(folder) {
        tracing::warn!(%error, "a power cut may undo the move");
    }
    Ok(true)
}

/// Copies what lies at `from` to where `to` lies. `have` are the pieces that must be
/// right in the copy; it ends early when `go_on` is false.
pub(super) fn copy_content(
    info: &Info,
    have: &Bitfield,
    from: &Storage,
    to: &Storage,
    hooks: &Hooks<'_>,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<(), MoveError> {
    let staging = staging(info, to.folder());
    let copied = copy(info, have, from, to, &staging, go_on);
    let moved = copied.and_then(|copied| {
        (hooks.done)(Step::Copied);
        (hooks.record)(&copied);
        (hooks.done)(Step::Recorded);
        let named = give_name(&copied, to, hooks);
        if named.is_err() {
            (hooks.forget)();
        }
        named
    });
    // Of a failure, what is left of it is taken away by the next try.
    match fs::remove_dir_all(&staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %staging.display(), %error, "cannot remove it");
        }
        _ => {}
    }
    moved
}

/// The folder that a copy is made in.
fn staging(info: &Info, folder: &Path) -> PathBuf {
    folder.join(format!(".{}.moving", info.hash()))
}

/// Gives a copy that is whole its name.
fn give_name(copied: &Storage, to: &Storage, hooks: &Hooks<'_>) -> Result<(), MoveError> {
    if is_there(to.root()) {
        return Err(MoveError::Exists(to.root().to_owned()));
    }
    // First: the content is where it was until its own name is there.
    if is_there(copied.part_file()) {
        let moved = fs::rename(copied.part_file(), to.part_file());
        moved.map_err(fail("move", copied.part_file()))?;
    }
    (hooks.done)(Step::Parts);
    if let Err(error) = rename(copied.root(), to.root()) {
        drop(fs::remove_file(to.part_file()));
        return Err(match error.kind() {
            io::ErrorKind::AlreadyExists => MoveError::Exists(to.root().to_owned()),
            _ => fail("move", copied.root())(error),
        });
    }
    (hooks.done)(Step::Named);
    sync_folder(to.folder())
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether two paths lead to one file or folder.
fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    one == other || matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
}

/// Whether anything of a move into this folder is there, so that it is to be recovered.
pub fn is_begun(info: &Info, folder: &Path) -> bool {
    is_there(&folder.join(info.name())) || is_there(&staging(info, folder))
}

/// Whether content was moved into `folder` before, by what a session with this state folder
/// has recorded: all that is wanted is there, and nobody touched it since. `wanted`: by default
/// what was chosen then, or all. [`AddOptions::moves_to`](super::AddOptions::moves_to) goes on
/// from there.
///
/// # Errors
/// The folder for records cannot be made.
pub fn is_moved(
    state_dir: &Path,
    info: &Info,
    folder: &Path,
    wanted: Option<&Wanted>,
) -> Result<bool, MoveError> {
    torrent::is_moved(state_dir, info, folder, wanted)
}

/// Takes away what is left in the folder that a copy was made in.
pub(super) fn remove_staging(info: &Info, folder: &Path) -> Result<(), MoveError> {
    let staging = staging(info, folder);
    match fs::remove_dir_all(&staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(fail("remove", &staging)(error))
        }
        _ => Ok(()),
    }
}

/// What is known of content after a kill, before anything is taken away.
pub(super) fn find(
    from: &Storage,
    to: &Storage,
    is_whole: impl Fn(&Storage) -> bool,
) -> Result<Recovered, MoveError> {
    if is_same(from.root(), to.root()) {
        return Ok(Recovered::NotMoved);
    }
    if !is_there(to.root()) {
        let own_parts = from.part_file() != to.part_file();
        if own_parts && is_there(from.root()) && is_there(to.part_file()) {
            // The part file of a copy that has no name yet.
            fs::remove_file(to.part_file()).map_err(fail("remove", to.part_file()))?;
        }
        return Ok(Recovered::NotMoved);
    }
    let renamed = !is_there(from.root());
    if renamed && is_there(from.part_file()) && !is_there(to.part_file()) {
        fs::rename(from.part_file(), to.part_file()).map_err(fail("move", from.part_file()))?;
    }
    Ok(match renamed || is_whole(to) {
        true => Recovered::Moved,
        false => Recovered::Both,
    })
}

fn copy(
    info: &Info,
    have: &Bitfield,
    from: &Storage,
    to: &Storage,
    staging: &Path,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<Storage, MoveError> {
    match fs::remove_dir_all(staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(fail("remove", staging)(error));
        }
        _ => {}
    }
    fs::create_dir(staging).map_err(fail("create", staging))?;
    let name = to.root().file_name().unwrap_or_default();
    let in_place = from.in_place();
    let copied = Storage::new(info, &staging.join(name), |at| in_place.has(at));
    let mut folders = vec![staging.to_owned()];
    for (source, target) in from.files().zip(copied.files()) {
        let parent = target.parent().unwrap_or(staging);
        fs::create_dir_all(parent).map_err(fail("create", parent))?;
        folders.push(parent.to_owned());
        copy_file(source, target, go_on)?;
    }
    if is_there(from.part_file()) {
        copy_file(from.part_file(), copied.part_file(), go_on)?;
    }
    folders.sort();
    folders.dedup();
    folders.iter().try_for_each(|folder| sync_folder(folder))?;

    let pieces: Vec<u32> = have.iter().collect();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let right = copied.check(info, &pieces, threads, go_on)?;
    if !go_on() {
        return Err(MoveError::Ended);
    }
    if right.count() != have.count() {
        return Err(MoveError::BadCopy(to.folder().to_owned()));
    }
    Ok(copied)
}

fn copy_file(from: &Path, to: &Path, go_on: &dyn Fn() -> bool) -> Result<(), MoveError> {
    let source = File::open(from).map_err(fail("read", from))?;
    let mut target = File::create_new(to).map_err(fail("create", to))?;
    let mut part = source.take(COPIED_AT_ONCE);
    while go_on() {
        if io::copy(&mut part, &mut target).map_err(fail("write", to))? == 0 {
            return target.sync_all().map_err(fail("write", to));
        }
        part.set_limit(COPIED_AT_ONCE);
    }
    Err(MoveError::Ended)
}

/// Takes away the files of content that is elsewhere now, and folders that are empty
/// then; what else is in them stays.
pub(super) fn remove(content: &Storage) -> Result<(), MoveError> {
    let mut folders = Vec::new();
    for file in content.files().chain([content.part_file()]) {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(fail("remove", file)(error));
            }
            _ => {}
        }
        let above = file.ancestors().skip(1);
        folders.extend(above.take_while(|above| above.starts_with(content.root())));
    }
    folders.sort();
    folders.dedup();
    for folder in folders.into_iter().rev() {
        // Somebody else's file is in it.
        drop(fs::remove_dir(folder));
    }
    Ok(())
}
