//! Torrents of the daemon, for people.

use serde_json::Value;

use crate::cli::{
    printable, progress, terminal,
    units::{Rate, Ratio, Size, btt_text},
};

fn text<'v>(row: &'v Value, name: &str) -> &'v str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(row: &Value, name: &str) -> u64 {
    row.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn percent(row: &Value) -> String {
    let (wanted, left) = (number(row, "wanted"), number(row, "left"));
    let have = u128::from(wanted.saturating_sub(left)) * 100 / u128::from(wanted.max(1));
    match wanted {
        0 => "-".to_owned(),
        _ => format!("{have}%"),
    }
}

/// A line for each.
pub(super) fn table(rows: &[Value]) -> String {
    if rows.is_empty() {
        return "no torrents".to_owned();
    }
    let lines = rows.iter().map(|row| {
        let hash = text(row, "info_hash").get(..8).unwrap_or_default();
        let name = terminal::fit(&printable::line(text(row, "name")), 28);
        let mut line = format!(
            "{hash}  {name:<28} {:<11} {:>4} {:>9}",
            text(row, "state"),
            percent(row),
            Size(number(row, "wanted")).to_string(),
        );
        for (word, name) in [("down", "down_rate"), ("up", "up_rate")] {
            let rate = number(row, name);
            if rate > 0 {
                line.push_str(&format!("  {word} {}", Rate(rate)));
            }
        }
        line
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// All that a person wants to know of one.
pub(super) fn torrent(row: &Value) -> String {
    let mut lines = vec![
        printable::line(text(row, "name")).into_owned(),
        format!("info-hash    {}", text(row, "info_hash")),
        format!("state        {}", text(row, "state")),
        format!(
            "downloaded   {} of {}",
            percent(row),
            Size(number(row, "wanted"))
        ),
        format!(
            "traffic      {} received, {} sent, ratio {}",
            Size(number(row, "downloaded")),
            Size(number(row, "uploaded")),
            Ratio(number(row, "ratio_permille"))
        ),
        format!(
            "time         {} active, {} shared",
            progress::time(number(row, "active_secs")),
            progress::time(number(row, "seeding_secs"))
        ),
        format!("folder       {}", printable::line(text(row, "folder"))),
    ];
    for (word, name) in [("trouble", "trouble"), ("category", "category")] {
        let value = text(row, name);
        if !value.is_empty() {
            lines.push(format!("{word:<12} {}", printable::line(value)));
        }
    }
    for (word, name) in [("earned", "earned_raw"), ("spent", "spent_raw")] {
        let raw = text(row, name).parse().unwrap_or(0);
        if raw > 0 {
            lines.push(format!("{word:<12} {}", btt_text(raw)));
        }
    }
    let files = row.get("files").and_then(Value::as_array);
    for file in files.into_iter().flatten() {
        let index = number(file, "index") + 1;
        let left_out = match file.get("wanted").and_then(Value::as_bool) {
            Some(false) => "  left out",
            _ => "",
        };
        lines.push(format!(
            "  {index:>4}  {:>10}  {}{left_out}",
            Size(number(file, "size")).to_string(),
            printable::line(text(file, "path"))
        ));
    }
    let trackers = row.get("trackers").and_then(Value::as_array);
    for tracker in trackers.into_iter().flatten() {
        let message = printable::line(text(tracker, "message"));
        lines.push(format!(
            "  tracker {}: {}{}{message}",
            printable::line(text(tracker, "url")),
            text(tracker, "state"),
            if message.is_empty() { "" } else { ", " },
        ));
    }
    lines.push(text(row, "magnet").to_owned());
    lines.join("\n")
}
