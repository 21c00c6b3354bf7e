//! `seedrail files`: the files of one of the daemon's torrents, which of them are downloaded,
//! and which first.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::{Map, Value, json};

use super::{find, http::Daemon, list, text};
use crate::cli::{
    Context,
    failure::{Failure, Outcome},
    printable,
    units::Size,
};

#[derive(Debug, Args)]
pub(crate) struct FilesCommand {
    /// Torrent: the first digits of its info-hash, or its name.
    torrent: String,
    /// Files to download: numbers as this command prints them, for example `1,3-5`, or `all`.
    /// The torrent's connections are closed for that.
    #[arg(long, value_name = "FILES", value_parser = numbers)]
    want: Option<Numbers>,
    /// Files to leave out. The torrent's connections are closed for that.
    #[arg(long, value_name = "FILES", value_parser = numbers)]
    skip: Option<Numbers>,
    /// Files to download before others.
    #[arg(long, value_name = "FILES", value_parser = numbers)]
    high: Option<Numbers>,
    /// Files that are neither first nor last any more.
    #[arg(long, value_name = "FILES", value_parser = numbers)]
    normal: Option<Numbers>,
    /// Files to download after others.
    #[arg(long, value_name = "FILES", value_parser = numbers)]
    low: Option<Numbers>,
}

/// Numbers of files, from 1 on, as first and last of each part.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Numbers(Vec<(u32, u32)>);

fn numbers(given: &str) -> Result<Numbers, String> {
    if given == "all" {
        return Ok(Numbers(vec![(1, u32::MAX)]));
    }
    let part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (0 < first && first <= last).then_some((first, last))
    };
    let parts: Option<Vec<_>> = given.split(',').map(part).collect();
    let parts = parts.map(Numbers);
    parts.ok_or_else(|| format!("`{given}` is neither numbers of files, as 1,3-5, nor all"))
}

impl Numbers {
    /// Their positions among those that there are.
    fn positions(&self, there: &BTreeSet<u32>) -> Outcome<BTreeSet<u32>> {
        let mut found = BTreeSet::new();
        for (first, last) in &self.0 {
            let is_known = |number: &u32| there.contains(&(number - 1));
            // Between two files there may be padding, which has no number.
            found.extend(there.range(first - 1..=last - 1));
            if *last != u32::MAX && !is_known(last) {
                let number = if is_known(first) { last } else { first };
                return Err(Failure::failed(
                    "unknown_file",
                    format!("the torrent has no file {number}"),
                )
                .hint("`seedrail files TORRENT` lists them"));
            }
        }
        Ok(found)
    }
}

fn number(row: &Value, name: &str) -> u64 {
    row.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn is_wanted(row: &Value) -> bool {
    row.get("wanted").and_then(Value::as_bool) == Some(true)
}

fn position(row: &Value) -> u32 {
    u32::try_from(number(row, "index")).unwrap_or(u32::MAX)
}

impl FilesCommand {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let daemon = Daemon::new(context);
        let one = find(&list(context, &daemon).await?, &self.torrent)?;
        let path = format!("/api/v1/torrents/{}", one.hash);
        let files = format!("{path}/files");
        let mut document = daemon.ask(context, "GET", &files, None).await?;
        let rows = document.as_array().map_or(&[][..], Vec::as_slice);
        if let Some(change) = self.change(rows)? {
            daemon.ask(context, "PATCH", &path, Some(&change)).await?;
            document = daemon.ask(context, "GET", &files, None).await?;
        }
        context.out.result(&document, || {
            match document.as_array().map_or(&[][..], Vec::as_slice) {
                [] => "its files are not known yet".to_owned(),
                rows => rows.iter().map(line).collect::<Vec<_>>().join("\n"),
            }
        })
    }

    /// What is to be changed of these files, if something is.
    fn change(&self, rows: &[Value]) -> Outcome<Option<Value>> {
        let there: BTreeSet<u32> = rows.iter().map(position).collect();
        let priorities = [
            (&self.high, "high"),
            (&self.normal, "normal"),
            (&self.low, "low"),
        ];
        let given = [&self.want, &self.skip].into_iter();
        let mut given = given.chain(priorities.iter().map(|(numbers, _)| *numbers));
        if given.all(Option::is_none) {
            return Ok(None);
        }
        if rows.is_empty() {
            return Err(Failure::failed(
                "no_metadata",
                "the torrent's files are not known yet",
            ));
        }
        let of = |numbers: &Option<Numbers>| {
            let found = numbers.as_ref().map(|numbers| numbers.positions(&there));
            found.transpose().map(Option::unwrap_or_default)
        };
        let mut body = Map::new();
        let (want, skip) = (of(&self.want)?, of(&self.skip)?);
        if let Some(both) = want.intersection(&skip).next() {
            return Err(Failure::usage(format!(
                "file {} is in --want and in --skip",
                both + 1
            )));
        }
        let before = rows.iter().filter(|row| is_wanted(row)).map(position);
        let before: BTreeSet<u32> = before.collect();
        let after = before.union(&want).filter(|at| !skip.contains(at));
        let after: BTreeSet<u32> = after.copied().collect();
        if after != before {
            body.insert("files".to_owned(), json!(after));
        }
        let mut levels = BTreeMap::new();
        for (numbers, level) in priorities {
            for at in of(numbers)? {
                if levels.insert(at.to_string(), level).is_some() {
                    return Err(Failure::usage(format!(
                        "file {} has two priorities",
                        at + 1
                    )));
                }
            }
        }
        if !levels.is_empty() {
            body.insert("priorities".to_owned(), json!(levels));
        }
        Ok(Some(body.into()))
    }
}

fn line(row: &Value) -> String {
    let (size, have) = (number(row, "size"), number(row, "have"));
    let percent = u128::from(have) * 100 / u128::from(size.max(1));
    let percent = if size == 0 { 100 } else { percent };
    let level = match is_wanted(row) {
        true => text(row, "priority"),
        false => "left out",
    };
    format!(
        "{:>5}  {:>10}  {percent:>3}%  {level:<8}  {}",
        number(row, "index") + 1,
        Size(size).to_string(),
        printable::line(text(row, "path"))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(flags: [&str; 5]) -> FilesCommand {
        let [want, skip, high, normal, low] =
            flags.map(|given| (!given.is_empty()).then(|| numbers(given).unwrap()));
        FilesCommand {
            torrent: String::new(),
            want,
            skip,
            high,
            normal,
            low,
        }
    }

    /// Files 1, 2, 4 and 5; the third is padding; 5 is left out.
    fn rows() -> Vec<Value> {
        let row = |at: u32| json!({ "index": at, "wanted": at != 4, "priority": "normal" });
        [0, 1, 3, 4].map(row).to_vec()
    }

    #[test]
    fn numbers_are_read_as_they_are_printed() {
        assert_eq!(numbers("1,3-5").unwrap().0, [(1, 1), (3, 5)]);
        assert_eq!(numbers("2 - 3, 7").unwrap().0, [(2, 3), (7, 7)]);
        for wrong in ["", "0", "3-1", "1,,2", "a", "1-", "-1", "4294967296"] {
            assert!(numbers(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_named_stays_as_it_is() {
        let change = |flags| command(flags).change(&rows());
        assert_eq!(change(["", "", "", "", ""]).unwrap(), None);
        let body = change(["", "2", "", "", ""]).unwrap().unwrap();
        assert_eq!(body, json!({ "files": [0, 3] }));
        // Wanted already.
        let body = change(["1-2", "", "1", "", "4-5"]).unwrap().unwrap();
        let levels = json!({ "0": "high", "3": "low", "4": "low" });
        assert_eq!(body, json!({ "priorities": levels }));
        let body = change(["all", "", "", "all", ""]).unwrap().unwrap();
        assert_eq!(body["files"], json!([0, 1, 3, 4]));
        assert_eq!(body["priorities"]["3"], "normal");
        // Padding lies between two files.
        let body = change(["", "2-4", "", "", ""]).unwrap().unwrap();
        assert_eq!(body, json!({ "files": [0] }));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (flags, words) in [
            (["3", "", "", "", ""], "no file 3"),
            (["1-9", "", "", "", ""], "no file 9"),
            (["", "6", "", "", ""], "no file 6"),
            (
                ["1", "1-2", "", "", ""],
                "file 1 is in --want and in --skip",
            ),
            (["", "", "2", "", "1-2"], "file 2 has two priorities"),
        ] {
            let failure = command(flags).change(&rows()).unwrap_err();
            assert!(failure.message.contains(words), "{}", failure.message);
        }
        let failure = command(["1", "", "", "", ""]).change(&[]).unwrap_err();
        assert_eq!(failure.code, "no_metadata");
    }
}
