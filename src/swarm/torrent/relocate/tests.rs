//! A move is killed after each of its steps, and recovered.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::*;
use crate::swarm::{
    metainfo::{CreateOptions, create},
    relocate::Step,
    selection::Wanted,
};

/// Complete content of which one file is left out, and where it goes.
struct World {
    dir: tempfile::TempDir,
    info: Info,
    wanted: Wanted,
}

const STEPS: [Step; 4] = [Step::Copied, Step::Recorded, Step::Parts, Step::Named];

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("made/album");
        fs::create_dir_all(made.join("sub")).unwrap();
        for (name, byte, bytes) in [("a", 1u8, 50_000), ("b", 2, 70_000), ("sub/c", 3, 90_000)] {
            fs::write(made.join(name), vec![byte; bytes]).unwrap();
        }
        let options = CreateOptions {
            piece_size: Some(16 << 10),
            ..CreateOptions::default()
        };
        let info = create(&made, &options, &|_, _| {}).unwrap().info;
        let mut files = Bitfield::full(3);
        files.remove(0);
        let wanted = Wanted::files(&info, files);
        let world = Self { dir, info, wanted };
        fs::create_dir_all(world.dir.path().join("to")).unwrap();
        let from = world.from();
        let whole = Storage::whole(&world.info, &made);
        from.prepare(crate::swarm::storage::Room::AsItComes)
            .unwrap();
        for piece in world.wanted.pieces().iter() {
            let layout = world.info.layout();
            let mut bytes = vec![0; usize::try_from(layout.piece_len(piece)).unwrap()];
            whole.read(layout.offset(piece), &mut bytes).unwrap();
            from.write(layout.offset(piece), &bytes).unwrap();
        }
        from.sync().unwrap();
        world.record(&from, "from");
        world
    }

    fn at(&self, place: &str) -> Storage {
        let root = self.dir.path().join(place).join("album");
        Storage::new(&self.info, &root, |at| self.wanted.chosen().has(at))
    }

    fn from(&self) -> Storage {
        self.at("from")
    }

    fn to(&self) -> Storage {
        self.at("to")
    }

    fn state(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    fn resume(&self, place: &str) -> Resume {
        let at = self.at(place);
        Resume::new(&self.state().join("resume"), self.info.hash(), at.root()).unwrap()
    }

    fn record(&self, files: &Storage, place: &str) {
        let mut resume = self.resume(place);
        resume.choose(&self.wanted);
        resume.save(self.wanted.pieces(), files, false).unwrap();
    }

    /// Moves, by a copy or not, and is killed after a step.
    fn moves(&self, copies: bool, last: Option<Step>) {
        let record = |files: &Storage| self.record(files, "to");
        let forget = || self.resume("to").forget();
        let done = |step: Step| assert!(Some(step) != last, "killed");
        let hooks = Hooks {
            record: &record,
            forget: &forget,
            done: &done,
        };
        let (from, to) = (self.from(), self.to());
        let moved = AssertUnwindSafe(|| match copies {
            true => {
                let have = self.wanted.pieces();
                copy_content(&self.info, have, &from, &to, &hooks, &|| true).unwrap();
            }
            false => assert!(rename_content(&from, &to, &hooks).unwrap()),
        });
        assert_eq!(catch_unwind(moved).is_err(), last.is_some());
    }

    fn recover(&self) -> Recovered {
        let (from, to) = (self.from(), self.to());
        let (from, to) = (from.root(), to.root());
        let state = self.state();
        let recover = || recover_move(Some(&state), &self.info, from, to, false).unwrap();
        let found = recover();
        // It may be killed meanwhile, and is done again.
        if found == Recovered::NotMoved {
            assert_eq!(recover(), found);
        }
        found
    }

    /// Where a command finds it that moves it there when it is complete.
    fn found(&self) -> String {
        let folder = self.dir.path().join("to");
        let root = self.from().root().to_owned();
        let found = find_moved(&self.state(), &self.info, root, &folder, None).unwrap();
        let place = found.parent().unwrap().strip_prefix(self.dir.path());
        place.unwrap().to_str().unwrap().to_owned()
    }

    /// All of it is there and nothing else, nothing of it is in the other place, and nothing
    /// is to be hashed.
    fn is_at(&self, place: &str, other: &str) {
        let storage = self.at(place);
        let pieces: Vec<u32> = self.wanted.pieces().iter().collect();
        let right = storage.check(&self.info, &pieces, 1, &|| true).unwrap();
        assert_eq!(right.count(), self.wanted.pieces().count());
        let record = self.resume(place);
        let plan = record.plan(record.recorded().as_ref(), &self.info, &storage);
        assert!(plan.ours && plan.check.is_empty(), "{plan:?}");
        assert_eq!(&plan.have, self.wanted.pieces());
        let names = |place: &str| -> Vec<String> {
            let all = fs::read_dir(self.dir.path().join(place)).unwrap();
            let all = all.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut all: Vec<_> = all.collect();
            all.sort();
            all
        };
        let parts = format!(".{}.parts", self.info.hash());
        assert_eq!(names(place), [parts.as_str(), "album"]);
        assert_eq!(names(other), [""; 0]);
    }
}

/// Moves that were killed, each after one step of one way: whether the content was named in
/// its new place by then, and when that was.
fn killed_after_each_step() -> impl Iterator<Item = (World, bool, String)> {
    let steps = |copies| STEPS.into_iter().map(move |last| (copies, last));
    let all = [false, true].into_iter().flat_map(steps);
    all.filter(|(copies, last)| *copies || *last != Step::Copied)
        .map(|(copies, last)| {
            let world = World::new();
            world.moves(copies, Some(last));
            let named = last == Step::Named || last == Step::Parts && !copies;
            (world, named, format!("copies: {copies}, after {last:?}"))
        })
}

#[test]
fn a_move_that_is_killed_after_any_step_is_found_whole_in_one_place() {
    for (world, named, when) in killed_after_each_step() {
        let found = world.recover();
        if named {
            assert_eq!(found, Recovered::Moved, "{when}");
            world.is_at("to", "from");
        } else {
            assert_eq!(found, Recovered::NotMoved, "{when}");
            world.is_at("from", "to");
        }
    }
}

#[test]
fn a_command_goes_on_from_where_it_was_moved_before_a_kill() {
    for (world, named, when) in killed_after_each_step() {
        let place = if named { "to" } else { "from" };
        assert_eq!(world.found(), place, "{when}");
        if named {
            world.is_at("to", "from");
        }
        assert_eq!(world.found(), place, "{when}");
    }
    // More is wanted than was moved.
    let world = World::new();
    world.moves(true, None);
    let all = Wanted::all(&world.info);
    let to = world.dir.path().join("to");
    let moved = |wanted| is_moved(&world.state(), &world.info, &to, wanted).unwrap();
    assert!(moved(None) && moved(Some(&world.wanted)) && !moved(Some(&all)));
    // Somebody wrote to it.
    fs::write(world.to().root().join("b"), b"somebody's own").unwrap();
    assert!(!moved(None));
    assert_eq!(world.found(), "from");
}

#[test]
fn what_lies_where_it_was_moved_from_is_deleted_only_if_it_is_the_original() {
    let world = World::new();
    world.moves(true, None);
    // Killed while it was deleted.
    fs::remove_file(world.from().root().join("b")).unwrap();
    assert_eq!(world.found(), "to");
    world.is_at("to", "from");
    // Somebody's content of the same name, whether there is a record or not.
    let own = world.from().root().join("b");
    for _ in 0..2 {
        fs::create_dir_all(world.from().root()).unwrap();
        fs::write(&own, b"somebody's own").unwrap();
        assert_eq!(world.found(), "to");
        assert_eq!(fs::read(&own).unwrap(), b"somebody's own");
        let original = World::new();
        world.record(&original.from(), "from");
    }
}

#[test]
fn a_kill_while_the_original_is_deleted_is_gone_on_with() {
    let world = World::new();
    world.moves(true, None);
    // The torrent went on from there, and then one file was deleted, or more.
    fs::remove_file(world.from().root().join("b")).unwrap();
    assert_eq!(world.recover(), Recovered::Moved);
    world.is_at("to", "from");
    // Once more: there is nothing to do.
    assert_eq!(world.recover(), Recovered::Moved);
    world.is_at("to", "from");
}

#[test]
fn nothing_is_deleted_for_what_is_not_known_to_be_its_copy() {
    let world = World::new();
    // Somebody's content of the same name; killed while it was copied beside.
    let own = world.to().root().to_owned();
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("b"), b"somebody's own").unwrap();
    assert_eq!(world.recover(), Recovered::Both);
    assert_eq!(fs::read(own.join("b")).unwrap(), b"somebody's own");
    assert!(world.from().root().join("b").exists());
    // A record of what lay there once says nothing of what lies there now.
    world.record(&world.from(), "to");
    assert_eq!(world.recover(), Recovered::Both);
    assert!(world.from().root().join("sub/c").exists());

    // One place by two names.
    let world = World::new();
    fs::remove_dir(world.dir.path().join("to")).unwrap();
    let (from, to) = (world.dir.path().join("from"), world.dir.path().join("to"));
    std::os::unix::fs::symlink(&from, &to).unwrap();
    world.record(&world.from(), "to");
    assert_eq!(world.recover(), Recovered::NotMoved);
    assert!(world.from().root().join("b").exists());
    assert!(world.from().part_file().exists());
}

#[test]
fn a_part_file_that_was_left_behind_by_a_failure_is_no_copy() {
    let world = World::new();
    world.moves(true, Some(Step::Parts));
    assert!(world.to().part_file().exists());
    assert_eq!(world.recover(), Recovered::NotMoved);
    assert!(!world.to().part_file().exists());
}
