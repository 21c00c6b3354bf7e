//! Names of files that are odd: everything that a torrent holds is written, under a
//! safe name where its own is none, and below the folder.

use std::{fs, os::unix::fs::PermissionsExt};

use seedrail::swarm::{
    AddOptions, SeedOptions,
    bencode::Value,
    metainfo::{Info, Metainfo},
};

use crate::support::{
    home::Home,
    torrents::{add, noise, of, session, within},
};

/// A folder as people have it, made into a torrent by the command, shared and fetched.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_odd_names_goes_from_one_to_another() {
    let home = Home::new();
    let root = home.path().join(".S.H.I.E.L.D.");
    fs::create_dir_all(root.join("Vol. 1.")).unwrap();
    let names = ["Vol. 1./aux.c", "Wait...", "a\\b", "line\nfeed", "blank "];
    for (name, seed) in names.iter().zip(700..) {
        fs::write(root.join(name), noise(30_000, seed)).unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
    let (from, to) = (root.display().to_string(), home.path().join("t.torrent"));
    let to = to.display().to_string();
    let made = home.run(["torrent", "create", &from, "-o", &to]);
    assert_eq!(made.code, 0, "{made:?}");
    assert!(made.stderr.contains("1 link is left out"), "{made:?}");
    let checked = home.run(["torrent", "check", &to, &from]);
    assert_eq!(checked.code, 0, "{checked:?}");

    let metainfo = Metainfo::from_bytes(&fs::read(&to).unwrap()).unwrap();
    let seeder = session().await;
    let seed = seeder.seed(&metainfo, &root, SeedOptions::default());
    within(seed.unwrap().wait_complete()).await.unwrap();
    let leecher = session().await;
    let (leech, out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
    let got = within(leech.wait_complete()).await.unwrap();
    assert_eq!(got, out.path().join("_.S.H.I.E.L.D."));
    let safe = ["Vol. 1./aux.c", "Wait...", "a_b", "line_feed", "blank "];
    for (name, safe) in names.iter().zip(safe) {
        let (there, right) = (fs::read(got.join(safe)), fs::read(root.join(name)));
        assert!(there.unwrap() == right.unwrap(), "{safe}");
    }
    assert!(fs::symlink_metadata(got.join("link")).is_err());
}

fn info(entries: Vec<(&'static str, Value)>) -> Metainfo {
    let info = Info::from_bytes(Value::dict(entries).encode().into());
    Metainfo::new(info.unwrap())
}

fn sha1(bytes: &[u8]) -> Vec<u8> {
    use sha1::Digest;
    sha1::Sha1::digest(bytes).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_executable_file_is_visible_and_can_be_executed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script");
    let content = noise(16 << 10, 710);
    fs::write(&path, &content).unwrap();
    let metainfo = info(vec![
        ("attr", "x".into()),
        ("length", (16i64 << 10).into()),
        ("name", ".bashrc".into()),
        ("piece length", (16i64 << 10).into()),
        ("pieces", sha1(&content).into()),
    ]);
    let seeder = session().await;
    seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    let leecher = session().await;
    let (leech, out) = add(&leecher, of(&metainfo), &[seeder.listen_addr()]);
    let got = within(leech.wait_complete()).await.unwrap();
    assert_eq!(got, out.path().join("_.bashrc"));
    assert!(fs::read(&got).unwrap() == content);
    let mode = fs::metadata(&got).unwrap().permissions().mode();
    assert_eq!(mode & 0o100, 0o100, "{mode:o}");
}

/// There is nothing to wait for, and nobody to ask.
#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_of_padding_alone_ends() {
    let pad = Value::dict([
        ("attr", "p".into()),
        ("length", (16i64 << 10).into()),
        ("path", Value::List(vec![".pad".into(), "16384".into()])),
    ]);
    let metainfo = info(vec![
        ("files", Value::List(vec![pad])),
        ("name", "nothing".into()),
        ("piece length", (16i64 << 10).into()),
        ("pieces", sha1(&[0; 16 << 10]).into()),
    ]);
    let session = session().await;
    let out = tempfile::tempdir().unwrap();
    let handle = session.add(of(&metainfo), out.path(), AddOptions::default());
    within(handle.unwrap().wait_complete()).await.unwrap();
}
