//! The phases of a torrent's life, and what leads from one to the next. Pure: the table in
//! `DESIGN.md` is this file's [`Phase::after`], and a test compares the two.

/// Where a torrent is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// A magnet link's info dictionary is looked for.
    Metadata,
    /// Data on disk is hashed.
    Checking {
        /// Pieces hashed.
        done: u32,
        /// Pieces to hash.
        total: u32,
    },
    /// Pieces are missing.
    Downloading,
    /// Everything that is wanted is there.
    Seeding,
    /// It waits to be resumed.
    Paused(Pause),
    /// Told to finish: settles what is due and says goodbye.
    Stopping,
    /// Over.
    Stopped,
    /// Can never go on; why.
    Failed(String),
}

/// Why a torrent waits, and what it does when it is resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pause {
    /// It was told to pause. Nobody is connected.
    Asked(Resumes),
    /// Its files could not be read or made when they were checked; why. They are checked
    /// again when it is resumed.
    CheckFailed(String),
    /// A piece could not be written; why. It is still shared. The disk is tried again every
    /// 10 s, and when it is resumed.
    DiskRefused(String),
}

/// What a paused torrent goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumes {
    /// [`Phase::Metadata`].
    Metadata,
    /// [`Phase::Checking`], from the beginning.
    Checking,
    /// [`Phase::Downloading`].
    Downloading,
    /// [`Phase::Seeding`].
    Seeding,
}

/// What happens to a torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// The info dictionary is known.
    MetadataCame,
    /// So many pieces were hashed.
    Hashed {
        done: u32,
        total: u32,
    },
    /// All that was there is hashed.
    Checked {
        complete: bool,
    },
    /// The files could not be read or made.
    CheckFailed(String),
    /// The last wanted piece is on disk.
    Completed,
    /// Other files are wanted.
    Chosen {
        complete: bool,
    },
    /// A piece could not be written.
    DiskRefused(String),
    /// Writing may work again.
    DiskWorks,
    /// The user's commands.
    Pause,
    Resume,
    Stop,
    /// Everything that stopping has to do is done, or the session has ended.
    Ended,
    /// What the torrent is, or what was chosen of it, can never be downloaded.
    Impossible(String),
}

/// What a change of phase asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// Others may write to the files: this torrent does not any more.
    FreeFiles,
    /// What is due is settled, and every connection is closed.
    Disconnect,
    /// Whom to dial and what to request is looked at again.
    Look,
}

impl Phase {
    /// Why it does not go on until somebody does something, if so: it failed, or its files
    /// could not be read or made.
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Self::Failed(why) | Self::Paused(Pause::CheckFailed(why)) => Some(why),
            _ => None,
        }
    }

    /// The phase after this and what that asks for, if `input` changes anything.
    pub(super) fn step(&self, input: Input) -> Option<(Self, Vec<Output>)> {
        let next = self.after(input)?;
        let mut outputs = Vec::new();
        if next.frees_files() && !self.frees_files() {
            outputs.push(Output::FreeFiles);
        }
        if next.is_closed() && !self.is_closed() {
            outputs.push(Output::Disconnect);
        }
        if next.is_open() && *self != next {
            outputs.push(Output::Look);
        }
        Some((next, outputs))
    }

    fn after(&self, input: Input) -> Option<Self> {
        let next = match (self, input) {
            (Self::Stopped | Self::Failed(_), _) => return None,
            (_, Input::Ended) => Self::Stopped,
            (Self::Stopping, _) => return None,
            (_, Input::Stop) => Self::Stopping,

            (Self::Metadata, Input::MetadataCame) => Self::begin_check(),
            (Self::Metadata | Self::Checking { .. }, Input::Impossible(why)) => Self::Failed(why),
            (Self::Metadata, Input::Pause) => Self::paused(Resumes::Metadata),

            (Self::Checking { .. }, Input::Hashed { done, total }) => {
                Self::Checking { done, total }
            }
            (Self::Checking { .. }, Input::Checked { complete }) => {
                Self::transfers(complete).phase()
            }
            (Self::Checking { .. }, Input::CheckFailed(why)) => {
                Self::Paused(Pause::CheckFailed(why))
            }
            (Self::Checking { .. }, Input::Pause) => Self::paused(Resumes::Checking),

            (Self::Downloading, Input::Completed | Input::Chosen { complete: true }) => {
                Self::Seeding
            }
            (Self::Downloading | Self::Paused(Pause::DiskRefused(_)), Input::DiskRefused(why)) => {
                Self::Paused(Pause::DiskRefused(why))
            }
            (Self::Downloading, Input::Pause) => Self::paused(Resumes::Downloading),

            (Self::Seeding, Input::Chosen { complete: false }) => Self::Downloading,
            (Self::Seeding, Input::Pause) => Self::paused(Resumes::Seeding),

            (Self::Paused(Pause::DiskRefused(_)), Input::DiskWorks | Input::Resume) => {
                Self::Downloading
            }
            (
                Self::Paused(Pause::DiskRefused(_)),
                Input::Completed | Input::Chosen { complete: true },
            ) => Self::Seeding,
            (Self::Paused(Pause::DiskRefused(_)), Input::Pause) => {
                Self::paused(Resumes::Downloading)
            }

            (Self::Paused(Pause::CheckFailed(_)), Input::Resume) => Self::begin_check(),

            (Self::Paused(Pause::Asked(resumes)), Input::Resume) => resumes.phase(),
            (Self::Paused(Pause::Asked(Resumes::Metadata)), Input::MetadataCame) => {
                Self::paused(Resumes::Checking)
            }
            // What was on its way when it was paused.
            (Self::Paused(Pause::Asked(Resumes::Checking)), Input::Checked { complete }) => {
                Self::paused(Self::transfers(complete))
            }
            (
                Self::Paused(Pause::Asked(Resumes::Downloading)),
                Input::Completed | Input::Chosen { complete: true },
            ) => Self::paused(Resumes::Seeding),
            (Self::Paused(Pause::Asked(Resumes::Seeding)), Input::Chosen { complete: false }) => {
                Self::paused(Resumes::Downloading)
            }
            (
                Self::Paused(Pause::Asked(Resumes::Metadata | Resumes::Checking)),
                Input::Impossible(why),
            ) => Self::Failed(why),
            _ => return None,
        };
        Some(next)
    }

    fn begin_check() -> Self {
        Self::Checking { done: 0, total: 0 }
    }

    fn paused(resumes: Resumes) -> Self {
        Self::Paused(Pause::Asked(resumes))
    }

    fn transfers(complete: bool) -> Resumes {
        match complete {
            true => Resumes::Seeding,
            false => Resumes::Downloading,
        }
    }

    /// Peers may be connected.
    pub(super) fn is_open(&self) -> bool {
        matches!(
            self,
            Self::Metadata
                | Self::Downloading
                | Self::Seeding
                | Self::Paused(Pause::DiskRefused(_))
        )
    }

    /// Nobody may be connected.
    pub(super) fn is_closed(&self) -> bool {
        matches!(
            self,
            Self::Paused(Pause::Asked(_) | Pause::CheckFailed(_)) | Self::Failed(_) | Self::Stopped
        )
    }

    /// What is on disk is known.
    pub fn is_checked(&self) -> bool {
        match self {
            Self::Downloading | Self::Seeding | Self::Paused(Pause::DiskRefused(_)) => true,
            Self::Paused(Pause::Asked(resumes)) => {
                matches!(resumes, Resumes::Downloading | Resumes::Seeding)
            }
            _ => false,
        }
    }

    /// Told to stop, over, or without any hope.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self, Self::Stopping | Self::Stopped | Self::Failed(_))
    }

    /// Nothing is written any more, so that others may have the files.
    pub(super) fn frees_files(&self) -> bool {
        matches!(
            self,
            Self::Seeding
                | Self::Stopped
                | Self::Failed(_)
                | Self::Paused(Pause::CheckFailed(_) | Pause::Asked(Resumes::Seeding))
        )
    }
}

impl Resumes {
    fn phase(self) -> Phase {
        match self {
            Self::Metadata => Phase::Metadata,
            Self::Checking => Phase::begin_check(),
            Self::Downloading => Phase::Downloading,
            Self::Seeding => Phase::Seeding,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHY: &str = "why";

    /// Every phase, by its name in `DESIGN.md`.
    fn phases() -> Vec<(&'static str, Phase)> {
        vec![
            ("Metadata", Phase::Metadata),
            ("Checking", Phase::begin_check()),
            ("Downloading", Phase::Downloading),
            ("Seeding", Phase::Seeding),
            ("Paused, Metadata", Phase::paused(Resumes::Metadata)),
            ("Paused, Checking", Phase::paused(Resumes::Checking)),
            ("Paused, Downloading", Phase::paused(Resumes::Downloading)),
            ("Paused, Seeding", Phase::paused(Resumes::Seeding)),
            (
                "Check failed",
                Phase::Paused(Pause::CheckFailed(WHY.into())),
            ),
            (
                "Disk refused",
                Phase::Paused(Pause::DiskRefused(WHY.into())),
            ),
            ("Stopping", Phase::Stopping),
            ("Stopped", Phase::Stopped),
            ("Failed", Phase::Failed(WHY.into())),
        ]
    }

    /// Every input, in the order of the table's columns.
    fn inputs() -> Vec<(&'static str, Input)> {
        let why = || WHY.to_owned();
        vec![
            ("metadata came", Input::MetadataCame),
            ("hashed", Input::Hashed { done: 3, total: 9 }),
            ("checked, incomplete", Input::Checked { complete: false }),
            ("checked, complete", Input::Checked { complete: true }),
            ("check failed", Input::CheckFailed(why())),
            ("completed", Input::Completed),
            ("chosen, incomplete", Input::Chosen { complete: false }),
            ("chosen, complete", Input::Chosen { complete: true }),
            ("disk refused", Input::DiskRefused(why())),
            ("disk works", Input::DiskWorks),
            ("pause", Input::Pause),
            ("resume", Input::Resume),
            ("stop", Input::Stop),
            ("ended", Input::Ended),
            ("impossible", Input::Impossible(why())),
        ]
    }

    fn name(phase: &Phase) -> &'static str {
        let same = |(_, one): &&(&str, Phase)| match (one, phase) {
            (Phase::Checking { .. }, Phase::Checking { .. }) => true,
            (one, phase) => one == phase,
        };
        let all = phases();
        all.iter().find(same).expect("every phase is listed").0
    }

    fn cells(line: &str) -> Vec<&str> {
        let inside = line.trim().trim_matches('|');
        inside.split('|').map(str::trim).collect()
    }

    #[test]
    fn every_phase_and_input_is_as_the_table_says() {
        let design = include_str!("DESIGN.md");
        let mut lines = design.lines();
        let head = lines
            .find(|line| line.starts_with("| phase | metadata came |"))
            .expect("DESIGN.md has the table of phases");
        let columns: Vec<&str> = inputs().iter().map(|(name, _)| *name).collect();
        assert_eq!(cells(head)[1..], columns);
        let rows: Vec<Vec<&str>> = lines
            .skip(1)
            .take_while(|line| line.starts_with('|'))
            .map(cells)
            .collect();
        let names: Vec<&str> = phases().iter().map(|(name, _)| *name).collect();
        let listed: Vec<&str> = rows.iter().map(|row| row[0]).collect();
        assert_eq!(listed, names);
        for (row, (from, phase)) in rows.iter().zip(phases()) {
            assert_eq!(row.len(), columns.len() + 1, "{from}");
            for (cell, (what, input)) in row[1..].iter().zip(inputs()) {
                let after = phase.after(input);
                let found = after.as_ref().map_or("–", name);
                assert_eq!(*cell, found, "{from}, {what}");
            }
        }
    }

    #[test]
    fn connections_are_closed_and_files_freed_once_and_whatever_opens_is_looked_at() {
        for (name, phase) in phases() {
            for (what, input) in inputs() {
                let Some((next, outputs)) = phase.step(input) else {
                    continue;
                };
                let has = |output| outputs.contains(&output);
                let closes = next.is_closed() && !phase.is_closed();
                assert_eq!(has(Output::Disconnect), closes, "{name}, {what}");
                let opens = next.is_open() && next != phase;
                assert_eq!(has(Output::Look), opens, "{name}, {what}");
                assert!(!(next.is_open() && next.is_closed()), "{name}, {what}");
                let free = next.frees_files();
                assert_eq!(has(Output::FreeFiles), free && !phase.frees_files());
                // Nobody frees what is written to.
                assert!(!free || next != Phase::Downloading);
            }
        }
    }

    #[test]
    fn nothing_brings_back_what_is_over() {
        for (_, phase) in phases().iter().filter(|(_, phase)| phase.is_ending()) {
            for (what, input) in inputs() {
                let after = phase.after(input).unwrap_or_else(|| phase.clone());
                assert!(after.is_ending(), "{phase:?}, {what}");
            }
        }
    }

    #[test]
    fn whatever_is_paused_can_be_resumed() {
        for (name, phase) in phases() {
            if let Phase::Paused(_) = phase {
                let after = phase.after(Input::Resume).expect(name);
                assert!(!matches!(after, Phase::Paused(_)) && !after.is_ending());
            }
        }
    }
}
