//! How torrents stand: a line each for people, an object each for programs.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    printable, terminal,
    units::{Rate, Ratio, Size, btt_text, counted},
};
use crate::client::snapshot::{Torrent, TorrentRow, TorrentState};

/// A torrent of a snapshot.
pub(super) type Shown = Arc<Torrent>;

/// Torrents shown at once, at most.
const MAX_TORRENTS: usize = 20;

/// The part of a terminal that is drawn on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    columns: usize,
    rows: usize,
}

impl Screen {
    /// What stderr is; where it is no terminal nothing is drawn, and the size is that of
    /// an old one.
    pub(super) fn of_stderr() -> Self {
        let (columns, rows) = terminal::size();
        Self { columns, rows }
    }

    /// Columns of a name and of a bar.
    fn widths(&self) -> (usize, usize) {
        if self.columns < 100 {
            (16, 8)
        } else {
            (24, 16)
        }
    }

    /// Torrents with a line of their own: two more lines are for those that are left out
    /// and for the sums, and one stays free.
    fn torrents(&self) -> usize {
        self.rows.saturating_sub(3).clamp(1, MAX_TORRENTS)
    }

    /// Adds a line, cut to the columns, if there is room for one more.
    pub(super) fn add(&self, text: &mut String, line: &str) {
        if text.is_empty() {
            text.push_str(&terminal::fit(line, self.columns));
        } else if text.lines().count() + 1 < self.rows {
            text.push('\n');
            text.push_str(&terminal::fit(line, self.columns));
        }
    }
}

/// A line for each torrent, the busiest first; those without room are counted. `hindrance`
/// is why nothing can be downloaded, if that is known.
pub(super) fn lines(screen: &Screen, torrents: &[Shown], hindrance: Option<&str>) -> String {
    let mut all: Vec<_> = torrents.iter().collect();
    let rate = |row: &TorrentRow| row.up_rate.max(row.down_rate);
    all.sort_by_key(|torrent| std::cmp::Reverse(rate(&torrent.row.value)));
    let mut text = String::new();
    for torrent in all.iter().take(screen.torrents()) {
        screen.add(&mut text, &line(torrent, hindrance, screen.widths()));
    }
    let rest = all.len().saturating_sub(screen.torrents());
    if rest > 0 {
        screen.add(&mut text, &format!("… and {rest} more"));
    }
    text
}

/// Why nothing is downloaded.
pub(super) fn why_waiting(torrent: &Torrent) -> &'static str {
    let (row, peers) = (&torrent.row.value, &torrent.peers.value);
    let is_metadata = row.state == TorrentState::Metadata;
    if peers.is_empty() && !is_metadata && row.web_seeds > 0 {
        "waiting for the answers of web seeds"
    } else if peers.is_empty() {
        "no peers are connected yet"
    } else if is_metadata {
        "no peer has sent the torrent's list of files yet"
    } else if peers.iter().all(|peer| !peer.interested) {
        "no connected peer has what is missing"
    } else if peers.iter().all(|peer| peer.peer_choking) {
        "the connected peers serve others first"
    } else {
        "waiting for the answers of peers"
    }
}

/// One torrent: name, bar, what it does, how long that takes or why it waits, its peers,
/// what was paid. The widths are those of the name and of the bar.
fn line(
    torrent: &Torrent,
    hindrance: Option<&str>,
    (name_width, bar_width): (usize, usize),
) -> String {
    let row = &torrent.row.value;
    let time_left = |seconds: u64| format!("{} left", time(seconds));
    let here = row.wanted.saturating_sub(row.left);
    let (part, what, left) = match row.state {
        TorrentState::Metadata => {
            let why = why_waiting(torrent).to_owned();
            (None, "waiting for the list of files".to_owned(), Some(why))
        }
        TorrentState::Checking => {
            let part = (u64::from(row.checked_permille.unwrap_or(0)), 1000);
            (Some(part), "checking".to_owned(), None)
        }
        TorrentState::Downloading => {
            let left = match (hindrance, row.eta_secs) {
                (Some(hindrance), _) => hindrance.to_owned(),
                (None, Some(seconds)) => time_left(seconds),
                (None, None) => why_waiting(torrent).to_owned(),
            };
            let what = format!("of {}, {}", Size(row.wanted), Rate(row.down_rate));
            (Some((here, row.wanted)), what, Some(left))
        }
        TorrentState::Seeding => {
            let (part, left) = to_goal(row);
            let what = format!(
                "{} up, {} sent, ratio {}",
                Rate(row.up_rate),
                Size(row.session_uploaded),
                Ratio(row.ratio_permille)
            );
            (part, what, left.map(time_left))
        }
        TorrentState::DiskRefused => {
            let part = Some((here, row.wanted));
            (part, "waiting for the disk".to_owned(), None)
        }
        TorrentState::Paused if row.reached.is_some() => (None, "ended".to_owned(), None),
        TorrentState::Paused => (None, "paused".to_owned(), None),
        TorrentState::Queued => (None, "waiting for its turn".to_owned(), None),
        TorrentState::Finishing => (None, "finishing".to_owned(), None),
        TorrentState::Failed => (None, "failed".to_owned(), None),
    };
    let name = short(&row.name, name_width);
    let mut line = format!("{name:<name_width$}  ");
    if let Some((done, all)) = part {
        line.push_str(&bar(done, all, bar_width));
        // What a download is a part of comes next.
        line.push_str(if row.state == TorrentState::Downloading {
            " "
        } else {
            "  "
        });
    }
    line.push_str(&what);
    if let Some(left) = left {
        line.push_str(&format!(", {left}"));
    }
    let peers = counted(u64::from(row.peers), "peer");
    line.push_str(&format!(", {peers}"));
    if row.web_seeds > 0 {
        let web_seeds = counted(u64::from(row.web_seeds), "web seed");
        line.push_str(&format!(", {web_seeds}"));
    }
    for (word, raw) in [("spent", row.spent_raw), ("earned", row.earned_raw)] {
        if raw > 0 {
            line.push_str(&format!(", {word} {}", btt_text(raw)));
        }
    }
    line
}

/// How near the nearest goal is: a part of a whole, and the time that is left.
fn to_goal(row: &TorrentRow) -> (Option<(u64, u64)>, Option<u64>) {
    let (mut part, mut left) = (None, None);
    if let Some(goal) = row.goals.seeding_secs {
        part = Some((row.seeding_secs.secs(), goal.max(1)));
        left = Some(goal.saturating_sub(row.seeding_secs.secs()));
    }
    if let Some(permille) = row.goals.ratio_permille {
        let wanted = u128::from(row.wanted) * u128::from(permille) / 1000;
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
        let rest = wanted.saturating_sub(row.session_uploaded);
        let sooner = seconds(rest, row.up_rate);
        if part.is_none() || sooner.is_some_and(|one| left.is_none_or(|other| one < other)) {
            part = Some((row.session_uploaded, wanted));
            left = sooner;
        }
    }
    (part, left)
}

/// How long `bytes` take; unknown while nothing moves.
fn seconds(bytes: u64, rate: u64) -> Option<u64> {
    bytes.checked_div(rate)
}

/// A time as people read it: `45 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`.
pub(super) fn time(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// The same of a duration.
pub(super) fn duration(lasted: Duration) -> String {
    time(lasted.as_secs())
}

fn bar(done: u64, all: u64, width: usize) -> String {
    let part = u128::from(done.min(all));
    let whole = u128::from(all.max(1));
    let cells = usize::try_from(part * width as u128 / whole).unwrap_or(0);
    format!(
        "{}{} {:>3}%",
        "█".repeat(cells),
        "░".repeat(width.saturating_sub(cells)),
        part * 100 / whole
    )
}

/// A name in its columns; a stranger's may hold anything.
fn short(name: &str, width: usize) -> String {
    terminal::fit(&printable::line(name), width)
}

/// What it is called; `None` while only its info-hash is known.
fn name(row: &TorrentRow) -> Option<&str> {
    (row.name != row.hash.to_string()).then_some(row.name.as_str())
}

fn phase(row: &TorrentRow) -> &'static str {
    match row.state {
        TorrentState::Metadata => "metadata",
        TorrentState::Checking => "checking",
        TorrentState::Downloading => "downloading",
        TorrentState::Seeding => "seeding",
        TorrentState::Paused if row.reached.is_some() => "stopped",
        TorrentState::Paused | TorrentState::Queued | TorrentState::DiskRefused => "paused",
        TorrentState::Finishing => "stopping",
        TorrentState::Failed => "failed",
    }
}

/// For `--json`: each torrent.
pub(super) fn documents(torrents: &[Shown]) -> Vec<Value> {
    let rows = torrents.iter().map(|torrent| &torrent.row.value);
    rows.map(|row| {
        json!({
            "info_hash": row.hash,
            "name": name(row),
            "phase": phase(row),
            "bytes": row.wanted,
            "bytes_left": row.left,
            "downloaded": row.session_downloaded,
            "uploaded": row.session_uploaded,
            "down_rate": row.down_rate,
            "up_rate": row.up_rate,
            "peers": row.peers,
            "spent_raw": row.spent_raw.to_string(),
            "earned_raw": row.earned_raw.to_string(),
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::snapshot::{Age, Goals},
        types::InfoHash,
    };

    fn torrent(state: TorrentState, change: impl FnOnce(&mut TorrentRow)) -> Torrent {
        let mut row = TorrentRow {
            name: "film.bin".to_owned(),
            wanted: 64 << 20,
            left: 48 << 20,
            session_uploaded: 32 << 20,
            ratio_permille: 500,
            seeding_secs: Age::new(60_000, None),
            down_rate: 1 << 20,
            up_rate: 512 << 10,
            eta_secs: Some(48),
            ..TorrentRow::empty(InfoHash::from_bytes([7; 20]), state)
        };
        change(&mut row);
        Torrent::of(row)
    }

    #[test]
    fn a_line_says_how_a_torrent_stands() {
        let shown = |torrent: &Torrent| line(torrent, None, (24, 16));
        let downloading = torrent(TorrentState::Downloading, |row| row.spent_raw = 250_000);
        assert_eq!(
            shown(&downloading),
            "film.bin                  ████░░░░░░░░░░░░  25% of 64 MiB, 1 MiB/s, 48 s left, \
             0 peers, spent 0.25 BTT"
        );
        let seeding = torrent(TorrentState::Seeding, |row| row.earned_raw = 7);
        assert_eq!(
            shown(&seeding),
            "film.bin                  512 KiB/s up, 32 MiB sent, ratio 0.50, 0 peers, earned 0.000007 BTT"
        );
        let goals = Goals {
            ratio_permille: Some(1000),
            seeding_secs: Some(3600),
            ..Goals::default()
        };
        // 32 MiB at 512 KiB/s come before the hour is over.
        assert_eq!(
            shown(&torrent(TorrentState::Seeding, |row| row.goals = goals)),
            "film.bin                  ████████░░░░░░░░  50%  512 KiB/s up, 32 MiB sent, ratio 0.50, \
             1 min 4 s left, 0 peers"
        );
        let idle = torrent(TorrentState::Seeding, |row| {
            row.goals = goals;
            row.up_rate = 0;
        });
        let said = shown(&idle);
        assert!(
            said.contains("░   1%  0 B/s up") && said.contains(", 59 min 0 s left"),
            "{said}"
        );
        let checking = torrent(TorrentState::Checking, |row| {
            row.checked_permille = Some(750)
        });
        let said = shown(&checking);
        assert!(said.contains("████████████░░░░  75%  checking"), "{said}");
    }

    #[test]
    fn a_download_that_waits_says_why() {
        let shown = |torrent: &Torrent, hindrance| line(torrent, hindrance, (16, 8));
        let waiting = torrent(TorrentState::Downloading, |row| {
            row.down_rate = 0;
            row.eta_secs = None;
        });
        assert_eq!(
            shown(&waiting, None),
            "film.bin          ██░░░░░░  25% of 64 MiB, 0 B/s, no peers are connected yet, 0 peers"
        );
        // However fast it was just now.
        let fast = torrent(TorrentState::Downloading, |_| {});
        assert_eq!(
            shown(&fast, Some("the disk is full")),
            "film.bin          ██░░░░░░  25% of 64 MiB, 1 MiB/s, the disk is full, 0 peers"
        );
        // Nothing is known to be a part of anything.
        assert_eq!(
            shown(&torrent(TorrentState::Metadata, |_| {}), None),
            "film.bin          waiting for the list of files, no peers are connected yet, 0 peers"
        );
    }

    #[test]
    fn lines_keep_to_the_screen() {
        let screen = Screen {
            columns: 10,
            rows: 4,
        };
        let mut text = String::new();
        for line in ["a film with a long name", "2", "3", "4"] {
            screen.add(&mut text, line);
        }
        assert_eq!(text, "a film wi…\n2\n3");
        assert_eq!(screen.torrents(), 1);
    }

    #[test]
    fn a_name_keeps_to_its_columns_and_changes_no_colours() {
        assert_eq!(short("a\u{1b}[31mb\nc", 24), r"a\u{1b}[31mb\u{a}c");
        let long = short(&"ü".repeat(100), 24);
        assert_eq!(long.chars().count(), 24);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn bars_and_times_have_no_end_to_fall_off() {
        assert_eq!(bar(0, 0, 8), "░░░░░░░░   0%");
        assert_eq!(bar(u64::MAX, u64::MAX, 8), "████████ 100%");
        assert_eq!(bar(9, 3, 8), "████████ 100%");
        assert_eq!(time(45), "45 s");
        assert_eq!(time(185), "3 min 5 s");
        assert_eq!(time(7_800), "2 h 10 min");
        assert_eq!(time(273_600), "3 d 4 h");
        assert_eq!(seconds(1, 0), None);
    }
}
