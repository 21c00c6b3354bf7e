//! A folder whose torrent files are added, and a program that is run for what is complete.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{DEADLINE, QUIET, ask, end, list, seeder, signal, start};
use crate::support::{
    home::Home,
    torrents::{file, torrent},
    waiting::wait_until,
};

/// A file that comes bit by bit is taken when it is whole; what is none is told of and not
/// looked at again; what is in the list already is no fault.
#[test]
fn torrent_files_of_a_folder_are_added_once() {
    let home = Home::new();
    let inbox = home.path().join("inbox");
    // It need not be there at the start.
    let daemon = start(&home, &["--watch", inbox.to_str().unwrap()]);
    fs::create_dir(&inbox).unwrap();
    let (_content, path) = file(100_000, 21);
    let whole = torrent(&path, 32 << 10, &[]).to_bytes();
    let hash = torrent(&path, 32 << 10, &[]).info.hash().to_string();
    fs::write(inbox.join("notes.txt"), "no torrent").unwrap();
    fs::write(inbox.join("wrong.torrent"), "no torrent either").unwrap();
    fs::write(inbox.join("film.torrent"), &whole).unwrap();
    let is = |name: &str| inbox.join(name).exists();
    wait_until("both are taken", DEADLINE, || {
        is("film.torrent.added") && is("wrong.torrent.refused")
    });
    assert!(is("notes.txt") && !is("film.torrent") && !is("wrong.torrent"));
    let rows = list(&home);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["info_hash"], *hash);
    // Removed from the list, it is added again when it is put there again.
    home.run(["rm", &hash, "--yes", "--json"]).json();
    wait_until("it is removed", DEADLINE, || list(&home).is_empty());
    for _ in 0..2 {
        fs::write(inbox.join("film.torrent"), &whole).unwrap();
        wait_until("it is taken again", DEADLINE, || !is("film.torrent"));
        assert_eq!(list(&home).len(), 1);
    }
    signal(&daemon.0, "-TERM");
    assert_eq!(end(daemon).code(), Some(0));
}

/// A name that a shell would take apart is one argument; secrets are not handed on; a program
/// that fails does no harm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_run_for_each_torrent_that_is_complete() {
    let home = Home::new().env("SEEDRAIL_PASSPHRASE", "a secret");
    let told = home.path().join("told");
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$#\" \"$1\" \"$2\" \"$3\" \"secret:$SEEDRAIL_PASSPHRASE\" > {0}.part\n\
         mv {0}.part {0}\nexit 7\n",
        told.display()
    );
    let program = home.file("tell.sh", script);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let daemon = start(&home, &["--on-complete", program.to_str().unwrap()]);
    let (_content, path) = file(200_000, 22);
    let (_session, hash, link) = seeder(&path).await;
    let name = "a film; touch pwned $(touch pwned)";
    home.run(["add", &link, "--name", name, "--json"]).json();
    wait_until("the program is told", DEADLINE, || told.exists());
    let said = fs::read_to_string(&told).unwrap();
    let said: Vec<&str> = said.lines().collect();
    let folder = home.path().join("downloads").join("content.bin");
    assert_eq!(
        said,
        ["3", &hash, name, folder.to_str().unwrap(), "secret:"]
    );
    // It goes on as before, and does not run it again at the next start.
    assert_eq!(ask(&home, "/api/v1/torrents")[0]["complete"], true);
    signal(&daemon.0, "-TERM");
    assert_eq!(end(daemon).code(), Some(0));
    fs::remove_file(&told).unwrap();
    let daemon = start(&home, &["--on-complete", program.to_str().unwrap()]);
    wait_until("it is shared again", DEADLINE, || {
        ask(&home, "/api/v1/torrents")[0]["state"] == "seeding"
    });
    assert!(!told.exists());
    signal(&daemon.0, "-TERM");
    assert_eq!(end(daemon).code(), Some(0));
}

#[test]
fn what_cannot_be_run_is_refused_at_the_start() {
    let home = Home::new();
    let mut arguments = vec!["daemon"];
    arguments.extend(QUIET);
    arguments.extend(["--on-complete", "/nowhere/program"]);
    let refused = home.run(arguments).error(1);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("/nowhere/program"),
        "{refused}"
    );
}
