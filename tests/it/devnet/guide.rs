//! The snippets of `docs/devnet.md` and of the README that have their output under them, run as
//! they stand there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use seedrail::devnet::Devnet;

use crate::support::peer;

/// The page's fenced blocks: language and text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once("\n```") {
        let (language, body) = after.split_once('\n').unwrap();
        let (body, after) = body.split_once("```").unwrap();
        blocks.push((language, body));
        rest = after;
    }
    blocks
}

/// The command that runs a snippet which was written to `folder`.
fn command(language: &str, folder: &Path, text: &str) -> Command {
    let write = |name: &str| -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    match language {
        "js" => {
            let modules = folder.join("node_modules");
            if !modules.exists() {
                let installed = peer::folder().join("javascript/node_modules");
                std::os::unix::fs::symlink(installed, modules).unwrap();
            }
            let mut command = Command::new("node");
            command.env("NODE_NO_WARNINGS", "1").arg(write("page.mjs"));
            command
        }
        "python" => {
            let mut command = Command::new(peer::folder().join("python/bin/python"));
            command.arg(write("page.py"));
            command
        }
        "sh" => {
            let mut command = Command::new("sh");
            command.arg("-eu").arg(write("page.sh"));
            command
        }
        other => panic!("no interpreter for {other}"),
    }
}

/// Runs a page's snippets from a heading on, and compares what they print; the languages of
/// those that ran.
async fn run(page: &str, heading: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let page = fs::read_to_string(page).unwrap();
    let (_, page) = page.split_once(heading).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let blocks = blocks(page);
    let mut ran = Vec::new();
    for pair in blocks.windows(2) {
        let [(language, text), (next, expected)] = pair else {
            unreachable!("windows of two");
        };
        if *next != "text" {
            continue;
        }
        // A chain of its own for each, at the page's place.
        let devnet = Devnet::builder().instant().start().await.unwrap();
        let text = text.replace("http://127.0.0.1:9090", &devnet.url());
        let output = tokio::task::block_in_place(|| {
            command(language, folder.path(), &text).output().unwrap()
        });
        let said = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{language}: {said}{errors}");
        assert_eq!(said, *expected, "{language}: {errors}");
        ran.push((*language).to_owned());
    }
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_the_devnet_does_what_it_says() {
    let ran = run("docs/devnet.md", "# Use the devnet").await;
    assert_eq!(ran, ["js", "python", "sh", "sh", "sh"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_program_pays_on_the_devnet() {
    let ran = run("README.md", "## The devnet from other programs").await;
    assert_eq!(ran, ["js"]);
}

/// The keys and addresses on the page are those of the devnet.
#[tokio::test]
async fn the_page_names_the_accounts_there_are() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/devnet.md");
    let page = fs::read_to_string(page).unwrap();
    let devnet = Devnet::builder().start().await.unwrap();
    let [first, second, ..] = devnet.accounts() else {
        panic!("there are ten");
    };
    assert!(page.contains(&hex::encode(first.key.expose_bytes().as_slice())));
    assert!(page.contains(&second.address.to_string()));
}
