//! Content on disk against its torrent, by command and before a download.

use std::fs;

use seedrail::swarm::{AddOptions, SeedOptions, Session};
use serde_json::json;

use crate::support::home::Home;
use crate::support::torrents::{file, noise, of, torrent, within};

#[test]
fn the_command_tells_which_files_and_pieces_are_wrong() {
    let home = Home::new();
    let root = home.path().join("album");
    fs::create_dir(&root).unwrap();
    for (name, seed) in [("a", 740), ("b", 741), ("c", 742)] {
        fs::write(root.join(name), noise(3 * (16 << 10), seed)).unwrap();
    }
    let metainfo = torrent(&root, 16 << 10, &[]);
    let file = home.file("t.torrent", metainfo.to_bytes().unwrap());
    let (file, at) = (file.display().to_string(), root.display().to_string());
    let check = |more: &[&str]| {
        let arguments = ["torrent", "check", &file, &at, "--json"];
        home.run(arguments.iter().chain(more))
    };
    let good = check(&[]).json();
    assert_eq!((&good["good"], &good["pieces"]), (&json!(true), &json!(9)));

    let mut wrong = fs::read(root.join("b")).unwrap();
    wrong[20_000] ^= 1;
    fs::write(root.join("b"), &wrong).unwrap();
    fs::remove_file(root.join("c")).unwrap();
    let bad = check(&[]);
    assert_eq!(bad.code, 1, "{bad:?}");
    let told: serde_json::Value = serde_json::from_str(&bad.stdout).unwrap();
    assert_eq!(told["bad_pieces"], json!([4, 6, 7, 8]));
    let states: Vec<_> = told["files"].as_array().unwrap().iter().collect();
    let states: Vec<_> = states
        .iter()
        .map(|file| file["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["good", "damaged", "missing"]);
    assert!(bad.stderr.contains("2 of 3 files"), "{bad:?}");
    let people = home.run(["torrent", "check", &file, &at]);
    assert!(
        people.stdout.contains("2  b: damaged, 1 bad pieces"),
        "{people:?}"
    );
    assert_eq!(check(&["--files", "1"]).json()["good"], true);

    // Not what could be checked at all.
    assert_eq!(check(&["--files", "4"]).code, 2);
    let nowhere = home.run(["torrent", "check", &file, "nowhere"]);
    assert_eq!(nowhere.code, 1);
    assert!(nowhere.stderr.contains("nowhere"), "{nowhere:?}");
    let single = root.join("a").display().to_string();
    let single = home.run(["torrent", "check", &file, &single]);
    assert!(
        single
            .stderr
            .contains("is a file, and the torrent is of a folder"),
        "{single:?}"
    );
    let none = home.run(["torrent", "check", &at, &at]);
    assert_eq!(none.code, 1, "{none:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recheck_finds_what_no_file_time_tells() {
    let (_dir, path) = file(1 << 20, 743);
    let right = fs::read(&path).unwrap();
    let metainfo = torrent(&path, 32 << 10, &[]);
    let seeder = Session::builder().start().await.unwrap();
    let options = SeedOptions::default();
    seeder.seed(&metainfo, &path, options).unwrap();
    let (state, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let get = async |recheck| {
        let session = Session::builder().state_dir(state.path());
        let session = session.start().await.unwrap();
        let options = AddOptions {
            peers: vec![seeder.listen_addr()],
            recheck,
            ..AddOptions::default()
        };
        let handle = session.add(of(&metainfo), out.path(), options).unwrap();
        let got = within(handle.wait_complete()).await.unwrap();
        let downloaded = handle.stats().downloaded;
        session.finish(std::time::Duration::from_secs(1)).await;
        (got, downloaded)
    };
    let (got, _) = get(false).await;
    // A disk that lies: the byte is another one, the file looks the same.
    let changed = fs::metadata(&got).unwrap().modified().unwrap();
    let mut wrong = right.clone();
    wrong[500_000] ^= 1;
    fs::write(&got, &wrong).unwrap();
    let touched = fs::File::options().write(true).open(&got).unwrap();
    touched.set_modified(changed).unwrap();
    drop(touched);
    assert_eq!(get(false).await.1, 0);
    assert!(fs::read(&got).unwrap() == wrong);
    assert_eq!(get(true).await.1, 32 << 10);
    assert!(fs::read(&got).unwrap() == right);
}
