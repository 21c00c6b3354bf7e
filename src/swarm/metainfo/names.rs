//! Which file names of a torrent may become files here.

use std::collections::BTreeSet;

use super::MetainfoError;

/// Longest component: what common file systems take.
const MAX_COMPONENT_BYTES: usize = 255;
/// Deepest path.
const MAX_DEPTH: usize = 64;

/// Names that are devices on Windows, with any ending. Refused everywhere, so
/// that a torrent is acceptable on every platform or on none.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

pub(super) fn check_component(name: &str) -> Result<(), MetainfoError> {
    match fault(name) {
        None => Ok(()),
        Some(reason) => Err(MetainfoError::BadName {
            name: name.escape_debug().take(80).collect(),
            reason,
        }),
    }
}

pub(super) fn check_path(path: &[String], shown: &str) -> Result<(), MetainfoError> {
    let bad = |reason| MetainfoError::BadName {
        name: shown.escape_debug().take(80).collect(),
        reason,
    };
    if path.is_empty() {
        return Err(bad("it is empty"));
    }
    if path.len() > MAX_DEPTH {
        return Err(bad("it is too deep"));
    }
    path.iter().try_for_each(|part| check_component(part))
}

/// No file may also be the folder of another.
pub(super) fn check_folders(paths: &BTreeSet<Vec<String>>) -> Result<(), MetainfoError> {
    for path in paths {
        let mut folder = path.clone();
        while folder.pop().is_some() && !folder.is_empty() {
            if paths.contains(&folder) {
                return Err(MetainfoError::BadName {
                    name: folder.join("/"),
                    reason: "it is a file and a folder",
                });
            }
        }
    }
    Ok(())
}

fn fault(name: &str) -> Option<&'static str> {
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    let stem = stem.to_ascii_lowercase();
    if name.is_empty() {
        Some("it is empty")
    } else if name == "." || name == ".." {
        Some("it leaves the folder")
    } else if name.len() > MAX_COMPONENT_BYTES {
        Some("it is longer than 255 bytes")
    } else if name.contains(['/', '\\']) {
        Some("it has a separator in it")
    } else if name.contains(char::is_control) {
        Some("it has control characters")
    } else if name.len() == 2 && name.ends_with(':') {
        Some("it is a drive")
    } else if name.ends_with(['.', ' ']) {
        Some("it ends with a dot or a blank")
    } else if DEVICES.contains(&stem.as_str()) || is_port(&stem) {
        Some("it is a device")
    } else {
        None
    }
}

fn is_port(stem: &str) -> bool {
    let digit = stem
        .strip_prefix("com")
        .or_else(|| stem.strip_prefix("lpt"));
    digit.is_some_and(|digit| digit.len() == 1 && digit.bytes().all(|d| d.is_ascii_digit()))
}
