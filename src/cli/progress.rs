//! How torrents stand: a line each for people, an object each for programs.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};

use super::{
    goals, printable, terminal,
    units::{Rate, Size, btt_text, counted},
};
use crate::{
    receipts::pay::{PayExtension, Tally},
    swarm::{Pause, Phase, SeedGoals, Stats, TorrentHandle},
    types::InfoHash,
};

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

/// What each torrent came to in this session.
pub(super) fn tallies(pay: Option<&PayExtension>) -> HashMap<InfoHash, Tally> {
    pay.map_or_else(HashMap::new, |pay| pay.torrents().into_iter().collect())
}

/// A line for each torrent, the busiest first; those without room are counted. `hindrance`
/// is why nothing can be downloaded, if that is known.
pub(super) fn lines(
    screen: &Screen,
    torrents: &[TorrentHandle],
    stats: &[Stats],
    goals: SeedGoals,
    tallies: &HashMap<InfoHash, Tally>,
    hindrance: Option<&str>,
) -> String {
    let mut all: Vec<_> = torrents.iter().zip(stats).collect();
    all.sort_by_key(|(_, stats)| std::cmp::Reverse(stats.up_rate.max(stats.down_rate)));
    let mut text = String::new();
    for (torrent, stats) in all.iter().take(screen.torrents()) {
        let tally = tallies.get(&torrent.info_hash()).copied();
        let name = torrent.name();
        let name = name.unwrap_or_else(|| torrent.info_hash().to_string());
        let row = Row {
            stats,
            goals,
            tally: tally.unwrap_or_default(),
            hindrance,
        };
        screen.add(&mut text, &line(&name, row, screen.widths()));
    }
    let rest = all.len().saturating_sub(screen.torrents());
    if rest > 0 {
        screen.add(&mut text, &format!("… and {rest} more"));
    }
    text
}

/// How many web seeds are asked.
pub(super) fn web_seeds(stats: &Stats) -> usize {
    let asked = stats
        .web_seeds
        .iter()
        .filter(|seed| seed.given_up.is_none());
    asked.count()
}

/// Why nothing is downloaded.
pub(super) fn why_waiting(stats: &Stats) -> &'static str {
    if stats.peers.is_empty() && stats.phase != Phase::Metadata && web_seeds(stats) > 0 {
        "waiting for the answers of web seeds"
    } else if stats.peers.is_empty() {
        "no peers are connected yet"
    } else if stats.phase == Phase::Metadata {
        "no peer has sent the torrent's list of files yet"
    } else if stats.peers.iter().all(|peer| !peer.interested) {
        "no connected peer has what is missing"
    } else if stats.peers.iter().all(|peer| peer.peer_choking) {
        "the connected peers serve others first"
    } else {
        "waiting for the answers of peers"
    }
}

/// What is known of a torrent.
struct Row<'a> {
    stats: &'a Stats,
    goals: SeedGoals,
    tally: Tally,
    hindrance: Option<&'a str>,
}

/// One torrent: name, bar, what it does, how long that takes or why it waits, its peers,
/// what was paid. The widths are those of the name and of the bar.
fn line(name: &str, row: Row<'_>, (name_width, bar_width): (usize, usize)) -> String {
    let Row {
        stats,
        goals,
        tally,
        hindrance,
    } = row;
    let time_left = |seconds: u64| format!("{} left", time(seconds));
    let (part, what, left) = match &stats.phase {
        Phase::Metadata => {
            let why = why_waiting(stats).to_owned();
            (None, "waiting for the list of files".to_owned(), Some(why))
        }
        Phase::Checking { done, total } => {
            let part = Some((u64::from(*done), u64::from(*total)));
            (part, "checking".to_owned(), None)
        }
        Phase::Downloading => {
            let here = stats.bytes.saturating_sub(stats.bytes_left);
            let left = match (hindrance, seconds(stats.bytes_left, stats.down_rate)) {
                (Some(hindrance), _) => hindrance.to_owned(),
                (None, Some(seconds)) => time_left(seconds),
                (None, None) => why_waiting(stats).to_owned(),
            };
            let what = format!("of {}, {}", Size(stats.bytes), Rate(stats.down_rate));
            (Some((here, stats.bytes)), what, Some(left))
        }
        Phase::Seeding => {
            let (part, left) = to_goal(stats, goals);
            let what = format!(
                "{} up, {} sent, ratio {}",
                Rate(stats.up_rate),
                Size(stats.uploaded),
                goals::ratio(stats)
            );
            (part, what, left.map(time_left))
        }
        Phase::Paused(_) if stats.phase.trouble().is_some() => (None, "failed".to_owned(), None),
        Phase::Paused(Pause::DiskRefused(_)) => {
            let here = stats.bytes.saturating_sub(stats.bytes_left);
            let part = Some((here, stats.bytes));
            (part, "waiting for the disk".to_owned(), None)
        }
        Phase::Paused(_) => (None, "paused".to_owned(), None),
        Phase::Stopping => (None, "finishing".to_owned(), None),
        Phase::Stopped => (None, "ended".to_owned(), None),
        Phase::Failed(_) => (None, "failed".to_owned(), None),
    };
    let name = short(name, name_width);
    let mut line = format!("{name:<name_width$}  ");
    if let Some((done, all)) = part {
        line.push_str(&bar(done, all, bar_width));
        // What a download is a part of comes next.
        line.push_str(if stats.phase == Phase::Downloading {
            " "
        } else {
            "  "
        });
    }
    line.push_str(&what);
    if let Some(left) = left {
        line.push_str(&format!(", {left}"));
    }
    let peers = counted(stats.peers.len() as u64, "peer");
    line.push_str(&format!(", {peers}"));
    let web_seeds = web_seeds(stats);
    if web_seeds > 0 {
        let web_seeds = counted(web_seeds as u64, "web seed");
        line.push_str(&format!(", {web_seeds}"));
    }
    for (word, raw) in [("spent", tally.spent_raw), ("earned", tally.earned_raw)] {
        if raw > 0 {
            line.push_str(&format!(", {word} {}", btt_text(raw)));
        }
    }
    line
}

/// How near the nearest goal is: a part of a whole, and the time that is left.
fn to_goal(stats: &Stats, goals: SeedGoals) -> (Option<(u64, u64)>, Option<u64>) {
    let (mut part, mut left) = (None, None);
    if let Some(goal) = goals.time {
        let rest = goal.saturating_sub(stats.seeding_for);
        part = Some((stats.seeding_for.as_secs(), goal.as_secs().max(1)));
        left = Some(rest.as_secs());
    }
    if let Some(permille) = goals.ratio_permille {
        let wanted = u128::from(stats.bytes) * u128::from(permille) / 1000;
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
        let rest = wanted.saturating_sub(stats.uploaded);
        let sooner = seconds(rest, stats.up_rate);
        if part.is_none() || sooner.is_some_and(|one| left.is_none_or(|other| one < other)) {
            part = Some((stats.uploaded, wanted));
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

fn phase(phase: &Phase) -> &'static str {
    match phase {
        Phase::Metadata => "metadata",
        Phase::Checking { .. } => "checking",
        Phase::Downloading => "downloading",
        Phase::Seeding => "seeding",
        Phase::Paused(_) if phase.trouble().is_some() => "failed",
        Phase::Paused(_) => "paused",
        Phase::Stopping => "stopping",
        Phase::Stopped => "stopped",
        Phase::Failed(_) => "failed",
    }
}

/// For `--json`: each torrent.
pub(super) fn documents(
    torrents: &[TorrentHandle],
    stats: &[Stats],
    tallies: &HashMap<InfoHash, Tally>,
) -> Vec<Value> {
    let all = torrents.iter().zip(stats).map(|(torrent, stats)| {
        let tally = tallies.get(&torrent.info_hash()).copied();
        let tally = tally.unwrap_or_default();
        json!({
            "info_hash": torrent.info_hash(),
            "name": torrent.name(),
            "phase": phase(&stats.phase),
            "bytes": stats.bytes,
            "bytes_left": stats.bytes_left,
            "downloaded": stats.downloaded,
            "uploaded": stats.uploaded,
            "down_rate": stats.down_rate,
            "up_rate": stats.up_rate,
            "peers": stats.peers.len(),
            "spent_raw": tally.spent_raw.to_string(),
            "earned_raw": tally.earned_raw.to_string(),
        })
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(phase: Phase) -> Stats {
        Stats {
            phase,
            pieces_have: 0,
            pieces: 64,
            bytes: 64 << 20,
            bytes_left: 48 << 20,
            downloaded: 16 << 20,
            uploaded: 32 << 20,
            wasted: 0,
            paid_duplicates: 0,
            seeding_for: Duration::from_secs(60),
            down_rate: 1 << 20,
            up_rate: 512 << 10,
            peers: Vec::new(),
            web_seeds: Vec::new(),
        }
    }

    #[test]
    fn a_line_says_how_a_torrent_stands() {
        let none = SeedGoals::default();
        let shown = |stats: &Stats, goals, tally| {
            let row = Row {
                stats,
                goals,
                tally,
                hindrance: None,
            };
            line("film.bin", row, (24, 16))
        };
        let tally = |spent_raw, earned_raw| Tally {
            spent_raw,
            earned_raw,
        };
        assert_eq!(
            shown(&stats(Phase::Downloading), none, tally(250_000, 0)),
            "film.bin                  ████░░░░░░░░░░░░  25% of 64 MiB, 1 MiB/s, 48 s left, \
             0 peers, spent 0.25 BTT"
        );
        assert_eq!(
            shown(&stats(Phase::Seeding), none, tally(0, 7)),
            "film.bin                  512 KiB/s up, 32 MiB sent, ratio 0.50, 0 peers, earned 0.000007 BTT"
        );
        let goals = SeedGoals {
            ratio_permille: Some(1000),
            time: Some(Duration::from_secs(3600)),
            ..none
        };
        // 32 MiB at 512 KiB/s come before the hour is over.
        assert_eq!(
            shown(&stats(Phase::Seeding), goals, tally(0, 0)),
            "film.bin                  ████████░░░░░░░░  50%  512 KiB/s up, 32 MiB sent, ratio 0.50, \
             1 min 4 s left, 0 peers"
        );
        let idle = Stats {
            up_rate: 0,
            ..stats(Phase::Seeding)
        };
        let said = shown(&idle, goals, tally(0, 0));
        assert!(
            said.contains("░   1%  0 B/s up") && said.contains(", 59 min 0 s left"),
            "{said}"
        );
        let checking = stats(Phase::Checking { done: 3, total: 4 });
        let said = shown(&checking, none, tally(0, 0));
        assert!(said.contains("████████████░░░░  75%  checking"), "{said}");
    }

    #[test]
    fn a_download_that_waits_says_why() {
        let waiting = Stats {
            down_rate: 0,
            ..stats(Phase::Downloading)
        };
        let shown = |stats: &Stats, hindrance| {
            let row = Row {
                stats,
                goals: SeedGoals::default(),
                tally: Tally::default(),
                hindrance,
            };
            line("film.bin", row, (16, 8))
        };
        assert_eq!(
            shown(&waiting, None),
            "film.bin          ██░░░░░░  25% of 64 MiB, 0 B/s, no peers are connected yet, 0 peers"
        );
        // However fast it was just now.
        assert_eq!(
            shown(&stats(Phase::Downloading), Some("the disk is full")),
            "film.bin          ██░░░░░░  25% of 64 MiB, 1 MiB/s, the disk is full, 0 peers"
        );
        // Nothing is known to be a part of anything.
        assert_eq!(
            shown(&stats(Phase::Metadata), None),
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
