//! The pages of the documentation speak of what is there: files, variables, settings,
//! commands.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    house::{sources, without_tests},
    support::home::Home,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The pages for readers.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let mut pages: Vec<PathBuf> = docs
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "md"))
        .collect();
    pages.extend(["README.md", "SECURITY.md", "CHANGELOG.md"].map(|page| root().join(page)));
    pages.sort();
    pages
}

/// What stands between `open` and `close`, everywhere in the text.
fn between<'t>(text: &'t str, open: &str, close: &str) -> Vec<&'t str> {
    let parts = text.split(open).skip(1);
    parts
        .filter_map(|part| part.split_once(close))
        .map(|(inner, _)| inner)
        .collect()
}

/// The text without fenced blocks.
fn prose(page: &str) -> String {
    let mut inside = false;
    let lines = page.lines().filter(|line| {
        let fence = line.starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_link_leads_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in between(&prose(&text), "](", ")") {
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", page.display());
            if heading.is_empty() {
                continue;
            }
            let target = fs::read_to_string(target).unwrap();
            let anchors = target
                .lines()
                .filter(|line| line.starts_with('#'))
                .map(|line| {
                    let words = line.trim_start_matches('#').trim().to_lowercase();
                    let kept = words
                        .chars()
                        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
                    kept.map(|c| if c == ' ' { '-' } else { c })
                        .collect::<String>()
                });
            let known: Vec<String> = anchors.collect();
            assert!(
                known.iter().any(|anchor| anchor == heading),
                "{}: {link}",
                page.display()
            );
        }
    }
}

#[test]
fn the_summary_has_every_page() {
    let summary = read("docs/SUMMARY.md");
    let linked = between(&summary, "](", ")");
    for page in pages() {
        let name = page.strip_prefix(root().join("docs"));
        let name = name.map_or_else(
            |_| format!("../{}", page.file_name().unwrap().to_str().unwrap()),
            |name| name.to_str().unwrap().to_owned(),
        );
        assert!(name == "SUMMARY.md" || linked.contains(&&*name), "{name}");
    }
}

#[test]
fn every_environment_variable_is_documented_and_no_other() {
    let page = read("docs/configuration.md");
    let (_, table) = page.split_once("## The environment").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let rows = table.lines().filter_map(|row| row.strip_prefix("| `"));
    let documented: BTreeSet<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    let mut read = BTreeSet::new();
    let mut all = Vec::new();
    sources(&root().join("src"), &mut all);
    for (path, text) in all {
        let text = without_tests(&text);
        for name in text.split('"') {
            let is_name =
                name.starts_with("SEEDRAIL_") || ["TRON_PRO_API_KEY", "PGPASSFILE"].contains(&name);
            let whole = name
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            if is_name && whole {
                read.insert((name.to_owned(), path.clone()));
            }
        }
    }
    for (name, path) in &read {
        assert!(
            documented.contains(name.as_str()),
            "{name} of {path} is on no page"
        );
    }
    for name in documented {
        assert!(
            read.iter().any(|(known, _)| known == name),
            "{name} is read nowhere"
        );
    }
}

/// The example is a file that the program takes, and has every key that it knows.
#[test]
fn the_example_of_config_toml_has_every_key() {
    let page = read("docs/configuration.md");
    let example = between(&page, "```toml\n", "```")[0];
    let home = Home::new();
    home.file("config.toml", example);
    let shown = home.run(["config", "show"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    for (table, wrong) in [
        ("", "nonsense = 1\n"),
        ("[settle]\n", "[settle]\nnonsense = 1\n"),
    ] {
        home.file("config.toml", wrong);
        let refused = home.run(["config", "show"]);
        assert_eq!(refused.code, 1, "{refused:?}");
        let (_, known) = refused.stderr.split_once("expected one of ").unwrap();
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        assert!(known.len() > 3, "{table}: {refused:?}");
        for key in known {
            let named = format!("[{key}");
            assert!(
                example.contains(&format!("{key} = "))
                    || example.contains(&named)
                    // Options stand in a table of their own.
                    || page.contains(&format!("| `{key}` |")),
                "{key} is missing"
            );
        }
    }
}

#[test]
fn every_command_that_a_page_names_exists() {
    let home = Home::new();
    let mut named = BTreeSet::new();
    for page in pages() {
        if page.ends_with("CHANGELOG.md") {
            continue;
        }
        let text = fs::read_to_string(&page).unwrap();
        for span in between(&text, "`seedrail ", "`") {
            let words = span.split([' ', '\n']).filter(|word| !word.is_empty());
            let words = words.take_while(|word| {
                word.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
            });
            let words: Vec<&str> = words
                .take_while(|word| !word.starts_with('-'))
                .take(2)
                .collect();
            named.insert(words.join(" "));
        }
    }
    assert!(named.len() > 10, "{named:?}");
    for command in named {
        // One of several: `account show|activate`.
        let words: Vec<&str> = command.split(' ').filter(|word| !word.is_empty()).collect();
        // A topic of the help has no help of its own.
        let asked = (words[0] != "help").then_some("--help");
        let help = home.run(words.iter().copied().chain(asked));
        assert_eq!(help.code, 0, "`seedrail {command}`: {help:?}");
    }
}

/// The tables of `seedrail help environment` and `exit-codes` are those of the pages.
#[test]
fn the_topics_of_the_help_say_what_the_pages_say() {
    let home = Home::new();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (topic, page, heading) in [
        ("environment", "docs/configuration.md", "## The environment"),
        ("exit-codes", "README.md", "## What a failure means"),
        ("home", "docs/configuration.md", "## The home"),
    ] {
        let help = words(&home.run(["help", topic]).stdout);
        let page = read(page);
        let (_, table) = page.split_once(heading).unwrap();
        let (table, _) = table.split_once("\n## ").unwrap();
        let mut rows = 0;
        for row in table.lines().filter(|row| row.starts_with("| ")).skip(1) {
            let mut cells = row.split(" | ");
            let name = cells.next().unwrap().trim_matches(['|', ' ', '`']);
            let meaning = cells.next().unwrap().trim_matches(['|', ' ']);
            let row = words(&format!("{name} {}", meaning.replace('\\', "")));
            assert!(help.contains(&row), "{topic}: {row}");
            rows += 1;
        }
        assert!(rows > 5, "{topic}");
    }
}
