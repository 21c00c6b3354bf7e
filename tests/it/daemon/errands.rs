//! A folder whose torrent files are added, and programs that are run for what is complete and
//! for problems.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{DEADLINE, QUIET, ask, end, line, list, seeder, signal, spawn, start};
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
    let whole = torrent(&path, 32 << 10, &[]).to_bytes().unwrap();
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

/// A program of these commands.
fn script_of(home: &Home, name: &str, commands: &str) -> PathBuf {
    let program = home.file(name, format!("#!/bin/sh\n{commands}"));
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

/// A name that a shell or a program would take for something else is one argument, and a
/// variable; secrets are not handed on; a program
/// that fails does no harm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_run_for_each_torrent_that_is_complete() {
    let home = Home::new().env("SEEDRAIL_PASSPHRASE", "a secret");
    let told = home.path().join("told");
    let script = format!(
        "printf '%s\\n' \"$#\" \"$1\" \"$2\" \"$3\" \"secret:$SEEDRAIL_PASSPHRASE\" \"$SEEDRAIL_EVENT\" \
         \"$SEEDRAIL_HASH\" \"$SEEDRAIL_NAME\" \"$SEEDRAIL_PATH\" > {0}.part\nmv {0}.part {0}\nexit 7\n",
        told.display()
    );
    let program = script_of(&home, "tell.sh", &script);
    let daemon = start(&home, &["--on-complete", program.to_str().unwrap()]);
    let (_content, path) = file(200_000, 22);
    let (_session, hash, link) = seeder(&path).await;
    let name = "--film; touch pwned $(touch pwned)";
    home.run(["add", &link, &format!("--name={name}"), "--json"])
        .json();
    wait_until("the program is told", DEADLINE, || told.exists());
    let said = fs::read_to_string(&told).unwrap();
    let said: Vec<&str> = said.lines().collect();
    let folder = home.path().join("downloads").join("content.bin");
    let folder = folder.to_str().unwrap();
    let arguments = ["3", &hash, name, folder, "secret:"];
    let variables = ["complete", &hash, name, folder];
    assert_eq!(said, [&arguments[..], &variables[..]].concat());
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

/// Each problem once, for as long as it stands, and each program from the moment on that
/// `config.toml` names it.
#[test]
fn a_program_is_run_for_each_new_problem() {
    let home = Home::new();
    let writes = |name: &str| {
        let told = home.path().join(name);
        let script = format!(
            "printf '%s\\n' \"$#\" \"$1\" \"$2\" \"$3\" \"$4\" \"$SEEDRAIL_EVENT\" \"$SEEDRAIL_CODE\" \
             \"$SEEDRAIL_HASH\" \"$SEEDRAIL_NAME\" \"$SEEDRAIL_MESSAGE\" \"$SEEDRAIL_HINT\" > {0}.part\n\
             cat {0}.part >> {0}\n",
            told.display()
        );
        (script_of(&home, &format!("{name}.sh"), &script), told)
    };
    let ((first, first_told), (second, second_told)) = (writes("first"), writes("second"));
    let configure = |program: &Path| {
        let text = format!(
            "[daemon]\nhttp = \"off\"\nlisten = \"127.0.0.1:0\"\nno_dht = true\nno_lsd = true\n\
             no_port_map = true\non_problem = \"{}\"\n",
            program.display()
        );
        home.file("config.toml", text);
    };
    configure(&first);
    let mut command = home.command();
    command.args(["daemon", "--json"]);
    let (daemon, mut output) = spawn(command);
    let mut tells = || line(&mut output);
    assert_eq!(tells()["event"], "started");
    // Another file is in the place of each.
    let add = |name: &str, seed| {
        let (_content, path) = file(100_000, seed);
        let metainfo = torrent(&path, 32 << 10, &[]);
        let folder = home.path().join(format!("of {seed}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("content.bin"), "another one").unwrap();
        let torrent = home.file(&format!("{seed}.torrent"), metainfo.to_bytes().unwrap());
        let named = format!("--name={name}");
        let (torrent, folder) = (torrent.to_str().unwrap(), folder.to_str().unwrap());
        home.run(["add", torrent, &named, "--folder", folder, "--json"])
            .json();
        metainfo.info.hash().to_string()
    };
    let lines = |told: &Path| {
        let text = fs::read_to_string(told).unwrap_or_default();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let hash = add("-rf", 31);
    wait_until("the program is told", DEADLINE, || {
        lines(&first_told).len() == 11
    });
    let said = lines(&first_told);
    let (message, hint) = (said[3].clone(), said[4].clone());
    assert!(message.starts_with("-rf: "), "{said:?}");
    let arguments = ["4", "torrent_failed", &hash, &message, &hint];
    let variables = ["problem", "torrent_failed", &hash, "-rf", &message, &hint];
    assert_eq!(said, [&arguments[..], &variables[..]].concat());
    // Another program, which is not told of what the first was told.
    configure(&second);
    signal(&daemon.0, "-HUP");
    let expected =
        json!({ "event": "reloaded", "changed": ["daemon.on_problem"], "needs_restart": [] });
    assert_eq!(tells(), expected);
    let other = add("other", 32);
    wait_until("the second is told", DEADLINE, || {
        lines(&second_told).len() == 11
    });
    assert_eq!(lines(&second_told)[2], other);
    assert_eq!(lines(&first_told).len(), 11);
    // One that is not there changes nothing.
    configure(Path::new("/nowhere/program"));
    signal(&daemon.0, "-HUP");
    let failed = tells();
    assert_eq!(failed["event"], "reload_failed");
    assert!(
        failed["message"]
            .as_str()
            .unwrap()
            .contains("/nowhere/program"),
        "{failed}"
    );
    signal(&daemon.0, "-TERM");
    assert_eq!(tells()["event"], "ended");
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
