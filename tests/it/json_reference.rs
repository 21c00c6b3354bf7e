//! The reference of what commands print as JSON: complete, and made from the schemas.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use crate::support::{
    home::Home,
    schema::{properties, schemas},
};

const MARK: &str = "<!-- From here on, this page is made from schema.json";

/// The part of the page that is made from the schemas.
fn reference() -> String {
    let mut text = String::new();
    for (command, schema) in schemas()["commands"].as_object().unwrap() {
        match command.as_str() {
            "error" => text.push_str("\n## Errors\n"),
            command => write!(text, "\n## `{command}`\n").unwrap(),
        }
        if let Some(other) = schema["$ref"].as_str() {
            let name = other.rsplit('/').next().unwrap().replace("%20", " ");
            write!(text, "\nAs `{name}`.\n").unwrap();
            continue;
        }
        if let Some(words) = schema["description"].as_str() {
            write!(text, "\n{words}\n").unwrap();
        } else if schema["type"] == "array" {
            text.push_str("\nA list of:\n");
        }
        let whole = vec![schema.clone()];
        for one in schema["oneOf"].as_array().unwrap_or(&whole) {
            if properties(one).is_empty() {
                continue;
            }
            text.push_str("\n| field | type | meaning |\n|---|---|---|\n");
            for (name, kind, meaning) in properties(one) {
                writeln!(text, "| `{name}` | {kind} | {meaning} |").unwrap();
            }
        }
    }
    text
}

#[test]
fn the_page_is_made_from_the_schemas() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md");
    let page = fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(MARK).unwrap();
    let (mark, _) = rest.split_once('\n').unwrap();
    let made = format!("{head}{MARK}{mark}\n{}", reference());
    if std::env::var_os("SEEDRAIL_BLESS").is_some() {
        fs::write(&path, made).unwrap();
        return;
    }
    assert!(
        page == made,
        "docs/json.md differs from docs/schema.json: SEEDRAIL_BLESS=1 writes it anew"
    );
}

#[test]
fn every_command_that_prints_a_result_has_a_schema_with_words() {
    let commands = schemas()["commands"].as_object().unwrap();
    for (command, schema) in commands {
        for (name, _, meaning) in properties(schema) {
            assert!(meaning.ends_with('.'), "{command}: {name}: {meaning:?}");
        }
    }
    // Those that print a script, a page or nothing of their own.
    let without: BTreeSet<&str> = ["completions", "man", "help"].into();
    let home = Home::new();
    let mut missing = Vec::new();
    look(&home, &mut Vec::new(), &mut |name| {
        if !commands.contains_key(name) && !without.contains(name) && !name.starts_with("tx build ")
        {
            missing.push(name.to_owned());
        }
    });
    assert!(missing.is_empty(), "no schema for {missing:?}");
}

/// Calls `each` with every command that has none below it.
fn look(home: &Home, path: &mut Vec<String>, each: &mut impl FnMut(&str)) {
    let arguments = path.iter().map(String::as_str).chain(["--help"]);
    let page = home.run(arguments).stdout;
    let below: Vec<String> = crate::words::commands(&page);
    if below.is_empty() {
        each(&path.join(" "));
    }
    for command in below {
        path.push(command);
        look(home, path, each);
        path.pop();
    }
}
