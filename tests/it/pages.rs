//! The pages that tell a newcomer what to type: each is typed, from the first block to
//! the last, in an empty folder with an empty home.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use seedrail::types::RawAmount;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::peer;

const SEEDRAIL: &str = env!("CARGO_BIN_EXE_seedrail");

/// The fenced `sh` blocks of a page, between a heading and the next of its level; of the
/// whole page where no heading is given. True for those that keep running.
fn blocks(page: &str, heading: Option<&str>) -> Vec<(bool, String)> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let part = match heading {
        Some(heading) => {
            let (_, part) = page.split_once(heading).unwrap();
            part.split_once("\n## ").map_or(part, |(part, _)| part)
        }
        None => &page,
    };
    let mut blocks = Vec::new();
    let mut rest = part;
    while let Some((before, after)) = rest.split_once("```sh\n") {
        let (block, after) = after.split_once("```").unwrap();
        blocks.push((before.ends_with("<!-- runs on -->\n"), block.to_owned()));
        rest = after;
    }
    blocks
}

/// The programs that a page leaves running.
struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in self.0.iter_mut().rev() {
            // The shell was replaced by the program it was to run.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A folder in which a page is typed, and the ports that stand for those of the page, so
/// that tests can run side by side.
struct Desk {
    folder: TempDir,
    chain: u16,
    tracker: u16,
    running: Running,
}

impl Desk {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(SEEDRAIL, bin.join("seedrail")).unwrap();
        Self {
            folder,
            chain: free_port(),
            tracker: free_port(),
            running: Running(Vec::new()),
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.chain)
    }

    /// The line with the ports of this desk, and without a word to anybody else.
    fn line(&self, line: &str) -> String {
        let (chain, tracker) = (self.chain, self.tracker);
        match line {
            "seedrail devnet" => format!("{line} --port {chain} --block-time 500ms"),
            line if line.starts_with("seedrail daemon") => {
                let alone = "--listen 127.0.0.1:0 --no-dht --no-lsd --no-port-map";
                format!("{line} --http 127.0.0.1:{} {alone}", free_port())
            }
            "seedrail tracker" => format!("{line} --listen 127.0.0.1:{tracker}"),
            line => line
                .replace("127.0.0.1:6969", &format!("127.0.0.1:{tracker}"))
                .replace(
                    " devnet fund ",
                    &format!(" devnet fund --url {} ", self.url()),
                )
                .replace(" seed ", " seed --listen 127.0.0.1:0 ")
                .replace(" get ", " get --listen 127.0.0.1:0 "),
        }
    }

    fn shell(&self, script: &str) -> Command {
        let bin = self.folder.path().join("bin");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("bash");
        for (name, _) in std::env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| name.starts_with("SEEDRAIL_"))
            {
                shell.env_remove(name);
            }
        }
        shell
            .args(["-euc", script])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("XDG_DATA_HOME", self.folder.path().join("data"))
            .env("SEEDRAIL_NODE", self.url())
            .stdin(Stdio::null());
        shell
    }

    fn run(&self, script: &str) -> String {
        let output = self.shell(script).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{script}\n{}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// What it says, one line after the other, if it runs on.
    fn type_block(&mut self, runs_on: bool, block: &str) -> Option<mpsc::Receiver<String>> {
        let lines: Vec<String> = block.lines().map(|line| self.line(line)).collect();
        if !runs_on {
            self.run(&lines.join("\n"));
            return None;
        }
        // The last line replaces the shell, so that ending it ends the program.
        let (last, setup) = lines.split_last().unwrap();
        let script = format!("{}\nexec {last}\n", setup.join("\n"));
        let mut child = self.shell(&script).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        self.running.0.push(child);
        assert!(!first.is_empty(), "{block}");
        let (say, said) = mpsc::channel();
        say.send(first).unwrap();
        // Read to its end, so that the program is never held up.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // Nobody listens to most of them.
                let _ = say.send(line);
            }
        });
        Some(said)
    }

    /// What `earnings` says of the person whose variables or options are given.
    fn earned(&self, person: &str) -> Value {
        let document = self.run(&format!("{person} earnings --json"));
        serde_json::from_str(&document).unwrap()
    }
}

fn raw(document: &Value, key: &str) -> RawAmount {
    document[key].as_str().unwrap().parse().unwrap()
}

/// Something was earned, and all of it is final.
fn is_paid(earned: &Value) {
    assert!(raw(earned, "earned_raw") > RawAmount::ZERO, "{earned}");
    assert_eq!(earned["earned_raw"], earned["final_raw"]);
    assert_eq!(raw(earned, "pending_raw"), RawAmount::ZERO);
}

#[test]
fn the_page_of_the_readme_does_what_it_says() {
    let mut desk = Desk::new();
    let by_hand = blocks("README.md", Some("## By hand"));
    assert_eq!(by_hand.len(), 5);
    for (runs_on, block) in by_hand {
        desk.type_block(runs_on, &block);
    }
    is_paid(&desk.earned(
        "SEEDRAIL_HOME=seeder \
         SEEDRAIL_PRIVATE_KEY=9b6ac6a6faf1dc64240f654475a7e668141e4205262367feb7269ef332113929 \
         seedrail",
    ));

    let payments = blocks("README.md", Some("## A file of payments"));
    assert_eq!(payments.len(), 1);
    desk.type_block(payments[0].0, &payments[0].1);
    // The file was sent twice, and paid once.
    let paid = desk.run("seedrail balance --json TWer2Ygk5TEheHp3TPuYeqxmB6SsGZmaL6");
    let paid: Value = serde_json::from_str(&paid).unwrap();
    assert!(paid.to_string().contains("1000000002000000"), "{paid}");
}

/// What stands in a line that is said, after these words.
fn said(lines: &mpsc::Receiver<String>, words: &str) -> String {
    loop {
        let line = lines.recv_timeout(Duration::from_secs(60)).unwrap();
        if let Some((_, rest)) = line.split_once(words) {
            return rest.to_owned();
        }
    }
}

/// The page of the daemon is opened in Chromium; the pictures of the documentation are what it
/// shows here (`SEEDRAIL_PICTURES=docs/page`).
#[test]
fn the_daemon_of_the_readme_does_what_it_says() {
    let mut desk = Desk::new();
    let before = blocks("README.md", Some("## By hand"));
    let mut seeder = None;
    for (runs_on, block) in &before[..3] {
        seeder = desk.type_block(*runs_on, block);
    }
    let rest = said(&seeder.unwrap(), "'magnet:");
    let magnet = format!("magnet:{}", rest.trim_end_matches('\''));
    let blocks = blocks("README.md", Some("## A daemon"));
    assert_eq!(blocks.len(), 2);
    let daemon = desk.type_block(blocks[0].0, &blocks[0].1).unwrap();
    let address = said(&daemon, "shown only now: ");

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/web_first.mjs");
    let mut browser = Command::new("node");
    browser
        .arg(script)
        .args([&address, "correct horse battery", &magnet])
        .arg("TPjjvMwjPoDC32V2dGDYTkLH4E5LAtBZ6C")
        .env("SEEDRAIL_PEERS", peer::folder())
        .env("NODE_NO_WARNINGS", "1");
    if let Some(folder) = std::env::var_os("SEEDRAIL_PICTURES") {
        browser.arg(folder);
    }
    let output = browser.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success() && text(&output.stdout).ends_with("ok\n"),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );

    desk.type_block(blocks[1].0, &blocks[1].1);
    let list = desk.run("SEEDRAIL_HOME=daemon seedrail ls --json");
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list[0]["name"], "films");
    desk.run("cmp films/film.bin daemon/downloads/films/film.bin");
    is_paid(&desk.earned(
        "SEEDRAIL_HOME=seeder \
         SEEDRAIL_PRIVATE_KEY=9b6ac6a6faf1dc64240f654475a7e668141e4205262367feb7269ef332113929 \
         seedrail",
    ));
}

#[test]
fn the_user_guide_does_what_it_says() {
    let mut desk = Desk::new();
    let blocks = blocks("docs/guide.md", None);
    assert_eq!(blocks.len(), 10);
    for (runs_on, block) in blocks {
        desk.type_block(runs_on, &block);
    }
    is_paid(&desk.earned("seedrail --home alice"));
    // Each row of the file was paid once, though the file was sent twice.
    let paid = desk.run("seedrail --home bob balance --json TPjjvMwjPoDC32V2dGDYTkLH4E5LAtBZ6C");
    let paid: Value = serde_json::from_str(&paid).unwrap();
    assert!(paid.to_string().contains("1000000001500000"), "{paid}");
}
