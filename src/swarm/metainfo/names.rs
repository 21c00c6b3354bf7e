//! The names that files of a torrent get here. A torrent may call its files anything;
//! names that no file system takes, that would leave the folder or that hide the file
//! are replaced, never refused: its other files are wanted all the same.
//!
//! What Linux can store keeps its name: a final dot or blank, names of devices on other
//! systems. The same torrent gives the same names each time.

use std::collections::HashMap;

/// Longest component: what common file systems take.
const MAX_COMPONENT_BYTES: usize = 255;
/// Deepest path; of a deeper one the folders below this depth are left out.
const MAX_DEPTH: usize = 64;
/// Longest ending (`.tar.gz`) that a name keeps when it is cut.
const MAX_ENDING_BYTES: usize = 16;

/// What a component is called here; `None` where it says nothing (empty or `.`).
fn component(name: &[u8]) -> Option<String> {
    if name.is_empty() || name == b"." {
        return None;
    }
    if name == b".." {
        return Some("_".to_owned());
    }
    let text = String::from_utf8_lossy(name);
    let safe = |c: char| match c {
        '/' | '\\' => '_',
        c if c.is_control() => '_',
        c => c,
    };
    Some(cut(&text.chars().map(safe).collect::<String>(), ""))
}

/// What the file or folder of a whole torrent is called here. A hidden name would put
/// a file like `.bashrc` into the user's own folder unseen.
pub(super) fn root(name: &[u8]) -> Option<String> {
    let name = component(name)?;
    match name.starts_with('.') {
        true => Some(cut(&format!("_{name}"), "")),
        false => Some(name),
    }
}

/// `name` with `mark` before its ending, within the longest length.
fn cut(name: &str, mark: &str) -> String {
    let ending = name.rfind('.').filter(|at| *at > 0);
    let ending = ending.and_then(|at| name.get(at..));
    let ending = ending.filter(|ending| ending.len() <= MAX_ENDING_BYTES);
    let ending = ending.unwrap_or_default();
    let mut stem = name.strip_suffix(ending).unwrap_or(name);
    let room = MAX_COMPONENT_BYTES - mark.len() - ending.len();
    if stem.len() > room {
        let end = (0..=room).rev().find(|at| stem.is_char_boundary(*at));
        stem = stem.get(..end.unwrap_or(0)).unwrap_or_default();
    }
    format!("{stem}{mark}{ending}")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
}

/// Gives each file of a torrent a path of its own.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// By path, with `/` between its components.
    taken: HashMap<String, Kind>,
    /// Folders that a file has the name of, and what they are called instead.
    renamed: HashMap<String, String>,
    /// The next number to try for a path that is taken.
    next: HashMap<String, u32>,
}

impl Paths {
    /// The path of a file that the torrent calls so.
    pub(super) fn assign(&mut self, parts: &[&[u8]]) -> Vec<String> {
        let (file, folders): (&[u8], _) = match parts {
            [folders @ .., file] => (file, folders),
            [] => (b"_", &[]),
        };
        let mut path: Vec<String> = Vec::new();
        let mut key = String::new();
        let names = folders.iter().filter_map(|name| component(name));
        for name in names.take(MAX_DEPTH - 1) {
            let wanted = join(&key, &name);
            let got = match (self.renamed.get(&wanted), self.taken.get(&wanted)) {
                (Some(other), _) => other.clone(),
                (None, Some(Kind::File)) => {
                    let other = self.number(&key, &name);
                    self.renamed.insert(wanted, other.clone());
                    other
                }
                (None, _) => name,
            };
            key = join(&key, &got);
            self.taken.insert(key.clone(), Kind::Folder);
            path.push(got);
        }
        let name = component(file).unwrap_or_else(|| "_".to_owned());
        let name = match self.taken.contains_key(&join(&key, &name)) {
            true => self.number(&key, &name),
            false => name,
        };
        self.taken.insert(join(&key, &name), Kind::File);
        path.push(name);
        path
    }

    /// A name like `name.1.txt` that nothing has yet.
    fn number(&mut self, folder: &str, name: &str) -> String {
        let next = self.next.entry(join(folder, name)).or_insert(1);
        loop {
            let numbered = cut(name, &format!(".{next}"));
            *next = next.saturating_add(1);
            if !self.taken.contains_key(&join(folder, &numbered)) {
                return numbered;
            }
        }
    }
}

fn join(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        _ => format!("{folder}/{name}"),
    }
}

/// The path as the torrent has it, if a file on disk can have it: content that lies
/// there under its own names is read from them.
pub(super) fn storable(parts: &[&[u8]]) -> Option<Vec<String>> {
    let part = |part: &&[u8]| {
        let name = std::str::from_utf8(part).ok()?;
        let fits = !matches!(name, "" | "." | "..")
            && !name.contains(['/', '\0'])
            && name.len() <= MAX_COMPONENT_BYTES;
        fits.then(|| name.to_owned())
    };
    let within = (1..=MAX_DEPTH).contains(&parts.len());
    parts
        .iter()
        .map(part)
        .collect::<Option<_>>()
        .filter(|_| within)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn assigned(paths: &[&[&str]]) -> Vec<String> {
        let mut names = Paths::default();
        let assign = |path: &&[&str]| {
            let parts: Vec<&[u8]> = path.iter().map(|part| part.as_bytes()).collect();
            names.assign(&parts).join("/")
        };
        paths.iter().map(assign).collect()
    }

    #[test]
    fn what_linux_can_store_keeps_its_name() {
        for name in [
            "Vol. 1.",
            "Wait...",
            "a ",
            "aux.c",
            "nul",
            "C:",
            "a?b*",
            "é",
            "\u{202e}x",
        ] {
            assert_eq!(component(name.as_bytes()).as_deref(), Some(name));
        }
        assert_eq!(assigned(&[&["d", ".hidden"]]), ["d/.hidden"]);
    }

    #[test]
    fn odd_names_become_safe_ones() {
        for (path, safe) in [
            (&["..", "x"][..], "_/x"),
            (&["a", "..", "..", "b"], "a/_/_/b"),
            (&["/etc/passwd"], "_etc_passwd"),
            (&["a\\b"], "a_b"),
            (&["a\0b\nc\x1b"], "a_b_c_"),
            (&[".", "", "x"], "x"),
            (&["a", ""], "a/_"),
            (&[], "_"),
        ] {
            assert_eq!(assigned(&[path]), [safe], "{path:?}");
        }
        let long = "字".repeat(100) + ".tar.gz";
        let short = component(long.as_bytes()).unwrap();
        assert_eq!(short.len(), 255);
        assert!(
            short.ends_with("字.gz") || short.ends_with(".gz"),
            "{short}"
        );
        let deep: Vec<&str> = std::iter::repeat_n("d", 100).chain(["f"]).collect();
        assert_eq!(assigned(&[&deep]), [format!("{}f", "d/".repeat(63))]);
    }

    #[test]
    fn no_two_files_share_a_path() {
        assert_eq!(
            assigned(&[&["a.txt"], &["a.txt"], &["a.1.txt"], &["a.txt"]]),
            ["a.txt", "a.1.txt", "a.1.1.txt", "a.2.txt"]
        );
        assert_eq!(
            assigned(&[&["a"], &["a", "b"], &["a", "c"], &["d", "e"], &["d"]]),
            ["a", "a.1/b", "a.1/c", "d/e", "d.1"]
        );
        // Two names in a legacy encoding.
        let mut names = Paths::default();
        let first = names.assign(&[b"\xc4\xe3.txt"]);
        let second = names.assign(&[b"\xba\xc3.txt"]);
        assert_eq!(
            (first[0].as_str(), second[0].as_str()),
            ("��.txt", "��.1.txt")
        );
    }

    #[test]
    fn a_hidden_torrent_is_made_visible() {
        assert_eq!(root(b".bashrc").as_deref(), Some("_.bashrc"));
        assert_eq!(root(b"..").as_deref(), Some("_"));
        assert_eq!(root(b"...").as_deref(), Some("_..."));
        assert_eq!(root(b""), None);
    }

    #[test]
    fn many_files_of_one_name_take_no_longer_each() {
        let mut names = Paths::default();
        let all: BTreeSet<_> = (0..20_000)
            .map(|_| names.assign(&[b"x".repeat(300).as_slice()]))
            .collect();
        assert_eq!(all.len(), 20_000);
    }

    proptest! {
        #[test]
        fn whatever_the_names_each_file_has_a_safe_path_of_its_own(
            paths in proptest::collection::vec(
                proptest::collection::vec("[ab./\\\\\0]{0,3}", 0..4), 0..12),
        ) {
            let mut names = Paths::default();
            let mut files = BTreeSet::new();
            let mut folders = BTreeSet::new();
            for path in &paths {
                let parts: Vec<&[u8]> = path.iter().map(|part| part.as_bytes()).collect();
                let path = names.assign(&parts);
                for part in &path {
                    prop_assert!(!matches!(part.as_str(), "" | "." | ".."));
                    prop_assert!(!part.contains(['/', '\\', '\0']) && part.len() <= 255);
                }
                for depth in 1..path.len() {
                    folders.insert(path[..depth].to_vec());
                }
                prop_assert!(files.insert(path));
            }
            prop_assert!(files.is_disjoint(&folders));
        }
    }
}
