//! Categories and tags.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{error::ClientError, snapshot::Labels};

/// Categories, and tags, that are kept.
pub(super) const MAX_LABELS: usize = 1000;

/// Bytes of a name.
pub(super) const MAX_NAME_BYTES: usize = 255;

/// The categories and tags that there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Book {
    pub(super) categories: BTreeMap<String, Option<PathBuf>>,
    pub(super) tags: BTreeSet<String>,
}

/// Refuses what cannot be a name.
pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), ClientError> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > MAX_NAME_BYTES {
        "it is longer than 255 bytes"
    } else if name.chars().any(char::is_control) {
        "it has control characters"
    } else if name.trim() != name {
        "it begins or ends with a space"
    } else if what == "tag" && name.contains(',') {
        "commas are between tags"
    } else {
        return Ok(());
    };
    Err(ClientError::BadName {
        what,
        name: name.chars().take(80).collect(),
        why,
    })
}

/// Refuses a folder that would depend on where the client was started.
pub(super) fn check_folder(folder: &Path) -> Result<(), ClientError> {
    match folder.is_absolute() {
        true => Ok(()),
        false => Err(ClientError::RelativeFolder(folder.to_owned())),
    }
}

impl Book {
    /// Makes a category if it is not there.
    pub(super) fn add_category(&mut self, name: &str) -> Result<(), ClientError> {
        if !self.categories.contains_key(name) {
            self.save_category(name, None)?;
        }
        Ok(())
    }

    /// Makes a category, or changes its folder.
    pub(super) fn save_category(
        &mut self,
        name: &str,
        folder: Option<PathBuf>,
    ) -> Result<(), ClientError> {
        check_name("category", name)?;
        if let Some(folder) = &folder {
            check_folder(folder)?;
        }
        if !self.categories.contains_key(name) && self.categories.len() >= MAX_LABELS {
            return Err(ClientError::TooMany {
                what: "categories",
                limit: MAX_LABELS,
            });
        }
        self.categories.insert(name.to_owned(), folder);
        Ok(())
    }

    /// Makes tags; all of them or none.
    pub(super) fn add_tags(&mut self, tags: &[String]) -> Result<(), ClientError> {
        for tag in tags {
            check_name("tag", tag)?;
        }
        let mut all = self.tags.clone();
        all.extend(tags.iter().cloned());
        if all.len() > MAX_LABELS {
            return Err(ClientError::TooMany {
                what: "tags",
                limit: MAX_LABELS,
            });
        }
        self.tags = all;
        Ok(())
    }

    /// As readers see them.
    pub(super) fn labels(&self) -> Labels {
        Labels {
            categories: self.categories.clone(),
            tags: self.tags.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_plain() {
        for (what, name) in [
            ("tag", ""),
            ("tag", "a,b"),
            ("tag", " a"),
            ("category", "a\nb"),
            ("category", &"x".repeat(MAX_NAME_BYTES + 1)),
        ] {
            check_name(what, name).unwrap_err();
        }
        check_name("category", &"x".repeat(MAX_NAME_BYTES)).unwrap();
        check_name("category", "a,b/c").unwrap();
    }

    #[test]
    fn a_thousand_are_kept_and_not_one_more() {
        let mut book = Book::default();
        let names = |count: usize| {
            (0..count)
                .map(|number| number.to_string())
                .collect::<Vec<_>>()
        };
        book.add_tags(&names(MAX_LABELS)).unwrap();
        book.add_tags(&names(MAX_LABELS)).unwrap();
        let more = book.add_tags(&["one more".to_owned()]);
        assert!(matches!(more, Err(ClientError::TooMany { .. })));
        for name in names(MAX_LABELS) {
            book.add_category(&name).unwrap();
        }
        let more = book.add_category("one more");
        assert!(matches!(more, Err(ClientError::TooMany { .. })));
        book.save_category("0", Some("/there".into())).unwrap();
        let relative = book.save_category("0", Some("there".into()));
        assert!(matches!(relative, Err(ClientError::RelativeFolder(_))));
    }
}
