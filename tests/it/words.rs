//! All words that a person reads, in one place: every `--help` page and every error
//! sentence. A change of words is a change of these files, seen in review.
//! `SEEDRAIL_BLESS=1` writes them anew.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use crate::{
    house::{sources, without_tests},
    support::home::Home,
};

/// Compares with the snapshot `name`, or writes it.
fn is_as_recorded(name: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/snapshots")
        .join(name);
    if std::env::var_os("SEEDRAIL_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, now).unwrap();
        return;
    }
    let recorded = fs::read_to_string(&path).unwrap_or_default();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (recorded, now) = (lines(&recorded), lines(now));
    let mut report = String::new();
    for line in recorded.iter().filter(|line| !now.contains(line)).take(20) {
        writeln!(report, "- {line}").unwrap();
    }
    for line in now.iter().filter(|line| !recorded.contains(line)).take(20) {
        writeln!(report, "+ {line}").unwrap();
    }
    assert!(
        recorded == now,
        "the words differ from tests/snapshots/{name}:\n{report}\
         if that is what you want, write them anew with SEEDRAIL_BLESS=1"
    );
}

/// The names of the commands on a help page, which stand before its options; without
/// `help` itself.
pub(crate) fn commands(page: &str) -> Vec<String> {
    page.lines()
        .skip_while(|line| !["Commands:", "Share and download:"].contains(line))
        .take_while(|line| !["Options:", "Arguments:"].contains(line))
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

fn add_pages(home: &Home, path: &mut Vec<String>, pages: &mut String) {
    let mut arguments = path.clone();
    arguments.push("--help".into());
    // Where this home is differs from run to run.
    let mut command = home.command();
    command.args(&arguments).env_remove("SEEDRAIL_HOME");
    let mut page = String::from_utf8(command.output().unwrap().stdout).unwrap();
    // They are the same on every page: the first one has them.
    if !path.is_empty() {
        let at = page
            .find("\nGlobal options:\n")
            .expect("every page has them");
        page.truncate(at);
    }
    writeln!(pages, "$ seedrail {}\n\n{page}", arguments.join(" ")).unwrap();
    for command in commands(&page) {
        path.push(command);
        add_pages(home, path, pages);
        path.pop();
    }
}

#[test]
fn every_help_page_is_as_recorded() {
    let home = Home::new();
    let mut pages = String::new();
    add_pages(&home, &mut Vec::new(), &mut pages);
    let count = pages.matches("\nUsage: ").count();
    assert!(count > 60, "only {count} pages were found");
    is_as_recorded("help.txt", &pages);
}

/// The string literals of Rust source code, as they are read by people: escapes of
/// quotes and continued lines are resolved, other escapes stay.
fn literals(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\'', '/', 'r']) {
        let (before, here) = rest.split_at(at);
        let joined = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let after_one = &here[1..];
        if here.starts_with("//") {
            rest = here.find('\n').map_or("", |end| &here[end..]);
        } else if here.starts_with('\'') {
            // A character, or a lifetime.
            let character = match after_one.strip_prefix('\\') {
                Some(escaped) => escaped
                    .find('\'')
                    .map(|end| if end == 0 { 3 } else { end + 3 }),
                None => after_one
                    .chars()
                    .next()
                    .filter(|c| after_one[c.len_utf8()..].starts_with('\''))
                    .map(|c| c.len_utf8() + 2),
            };
            rest = &here[character.unwrap_or(1)..];
        } else if here.starts_with('r') && !joined {
            let hashes = after_one.chars().take_while(|c| *c == '#').count();
            match after_one[hashes..].strip_prefix('"') {
                Some(raw) => {
                    let end = format!("\"{}", "#".repeat(hashes));
                    let (literal, after) = raw.split_once(&end).expect("a raw string ends");
                    found.push(literal.to_owned());
                    rest = after;
                }
                None => rest = after_one,
            }
        } else if here.starts_with('"') {
            let mut literal = String::new();
            let mut characters = after_one.char_indices();
            let end = loop {
                match characters.next().expect("a string ends") {
                    (end, '"') => break end,
                    (_, '\\') => match characters.next().expect("an escape is of something").1 {
                        '\n' => {
                            let left = characters.as_str();
                            let skipped = left.len() - left.trim_start().len();
                            for _ in 0..left[..skipped].chars().count() {
                                characters.next();
                            }
                        }
                        '"' => literal.push('"'),
                        other => literal.extend(['\\', other]),
                    },
                    (_, other) => literal.push(other),
                }
            };
            found.push(literal);
            rest = &after_one[end + 1..];
        } else {
            rest = after_one;
        }
    }
    found
}

/// What stands in the parentheses after each `call(`, brackets in strings left alone.
fn arguments_of<'a>(text: &'a str, call: &str) -> Vec<&'a str> {
    text.match_indices(call)
        .map(|(at, _)| {
            let rest = &text[at + call.len()..];
            let mut depth = 1;
            let mut in_string = false;
            let mut escaped = false;
            let end = rest.find(|c| {
                match c {
                    _ if escaped => escaped = false,
                    '\\' if in_string => escaped = true,
                    '"' => in_string = !in_string,
                    '(' if !in_string => depth += 1,
                    ')' if !in_string => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            &rest[..end.expect("a parenthesis is closed")]
        })
        .collect()
}

#[test]
fn every_error_sentence_is_as_recorded() {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    let mut sentences = BTreeSet::new();
    for (_, text) in files {
        let text = without_tests(&text);
        for call in [
            "#[error(",
            "Failure::failed(",
            "Failure::usage(",
            "Failure::new(",
            ".hint(",
        ] {
            for arguments in arguments_of(&text, call) {
                let spoken = literals(arguments);
                sentences.extend(spoken.into_iter().filter(|literal| literal.contains(' ')));
            }
        }
    }
    assert!(sentences.len() > 400, "only {} were found", sentences.len());
    let all: String = sentences.iter().map(|line| format!("{line}\n")).collect();
    is_as_recorded("errors.txt", &all);
}

#[test]
fn literals_are_read_as_rust_reads_them() {
    let text = r##"f("a \"b\" c", 'x', '"', &'a str, r#"d "e""#, b"f", "g \
                   h"); // "not this"
        error('\'', "i{j}")"##;
    assert_eq!(literals(text), ["a \"b\" c", "d \"e\"", "f", "g h", "i{j}"]);
}
