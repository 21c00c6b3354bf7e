//! Web seeds (BEP 19): servers of several kinds, alone and beside peers.

use std::{
    fs,
    io::{BufRead, BufReader},
};

use seedrail::swarm::{
    AddOptions, Event, SeedOptions, Session, TorrentHandle,
    metainfo::{CreateOptions, Magnet, Metainfo, create},
};
use tempfile::TempDir;

use crate::support::{
    child::Ended,
    home::Home,
    torrents::{file, noise, of, session, torrent, until, within},
    web::{Manner, Web},
};

/// Downloads with these web seeds, which the user names.
fn add(session: &Session, metainfo: &Metainfo, web_seeds: &[String]) -> (TorrentHandle, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let options = AddOptions {
        web_seeds: web_seeds.to_vec(),
        ..AddOptions::default()
    };
    let handle = session.add(of(metainfo), dir.path(), options).unwrap();
    (handle, dir)
}

/// Why its only web seed is not asked any more.
async fn given_up(handle: &TorrentHandle) -> String {
    let why = || handle.stats().web_seeds.first()?.given_up.clone();
    until("it is given up", || why().is_some()).await;
    why().expect("it stays so")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_from_a_web_seed_alone() {
    let (_dir, path) = file(3_000_001, 1);
    let bytes = fs::read(&path).unwrap();
    let web = Web::start(&[("/d/content.bin", bytes.clone())], Manner::Honest).await;
    let metainfo = torrent(&path, 64 << 10, &[]);
    // The URL of the file, and of the folder that it is in.
    for url in ["/d/content.bin", "/d/"] {
        let session = session().await;
        let (handle, _out) = add(&session, &metainfo, &[web.url(url)]);
        let got = within(handle.wait_complete()).await.unwrap();
        assert!(fs::read(got).unwrap() == bytes);
        let stats = handle.stats();
        assert_eq!((stats.downloaded, stats.wasted), (3_000_001, 0));
        let [row] = &stats.web_seeds[..] else {
            panic!("{:?}", stats.web_seeds)
        };
        assert_eq!((row.downloaded, &row.given_up), (3_000_001, &None));
        assert_eq!(row.url, web.url(url));
    }
    // Runs of chunks, not a request for each.
    assert!(web.asked().len() < 60, "{:?}", web.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_padding_comes_from_a_web_seed_and_only_its_files_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("a folder");
    fs::create_dir_all(root.join("in ü")).unwrap();
    let files = [
        ("in ü/one #1.bin", 100_001, 1),
        ("two.bin", 1, 2),
        ("z.bin", 300_000, 3),
    ];
    for (name, length, seed) in files {
        fs::write(root.join(name), noise(length, seed)).unwrap();
    }
    fs::write(root.join("empty"), []).unwrap();
    let options = CreateOptions {
        piece_size: Some(64 << 10),
        pad_files: true,
        ..CreateOptions::default()
    };
    let metainfo = create(&root, &options, &|_, _| {}).unwrap();
    let served = [
        (
            "/pub/a%20folder/in%20%C3%BC/one%20%231.bin",
            noise(100_001, 1),
        ),
        ("/pub/a%20folder/two.bin", noise(1, 2)),
        ("/pub/a%20folder/z.bin", noise(300_000, 3)),
    ];
    let web = Web::start(&served, Manner::Honest).await;
    let session = session().await;
    let (handle, out) = add(&session, &metainfo, &[web.url("/pub")]);
    within(handle.wait_complete()).await.unwrap();
    let got = |name: &str| fs::read(out.path().join("a folder").join(name)).unwrap();
    for (name, length, seed) in files {
        assert!(got(name) == noise(length, seed), "{name}");
    }
    assert_eq!(got("empty"), b"");
    let asked = web.asked();
    let known = |path: &str| served.iter().any(|(one, _)| *one == path);
    assert!(asked.iter().all(|(path, ..)| known(path)), "{asked:?}");
}

/// A web seed of no use, or worse, and an honest peer that comes when that is known.
async fn useless(manner: Manner, why: &str) -> TorrentHandle {
    let (_dir, path) = file(1_000_000, 4);
    let bytes = fs::read(&path).unwrap();
    let web = Web::start(&[("/content.bin", bytes.clone())], manner).await;
    let metainfo = torrent(&path, 64 << 10, &[]);
    let leecher = session().await;
    let (handle, _out) = add(&leecher, &metainfo, &[web.url("/content.bin")]);
    let mut events = handle.events();
    let said = given_up(&handle).await;
    assert!(said.contains(why), "{said}");
    let told = async {
        loop {
            if let Event::WebSeedFailed { message, .. } = events.recv().await.unwrap() {
                break message;
            }
        }
    };
    assert_eq!(within(told).await, said);
    let requests = web.asked().len();
    let seeder = session().await;
    seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    handle.add_peer(seeder.listen_addr());
    let got = within(handle.wait_complete()).await.unwrap();
    assert!(fs::read(got).unwrap() == bytes);
    assert_eq!(web.asked().len(), requests, "it is asked nothing more");
    handle
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_seed_that_lies_is_not_asked_again_after_a_wrong_hash() {
    useless(Manner::Lies, "it sent a bad piece").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_seed_with_another_file_or_without_ranges_is_of_no_use() {
    useless(Manner::Longer, "its file has 1000001 bytes").await;
    useless(Manner::Status(404), "404").await;
    useless(Manner::Status(403), "403").await;
    // Whether or not the first range begins the file.
    useless(Manner::NoRanges, "no ranges").await;
    useless(Manner::OtherRange, "another range").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_endless_web_seed_sends_beyond_what_was_asked_for_is_not_read() {
    let (_dir, path) = file(1_000_000, 5);
    let bytes = fs::read(&path).unwrap();
    let web = Web::start(&[("/content.bin", bytes.clone())], Manner::Endless).await;
    let metainfo = torrent(&path, 64 << 10, &[]);
    let session = session().await;
    let (handle, _out) = add(&session, &metainfo, &[web.url("/content.bin")]);
    let got = within(handle.wait_complete()).await.unwrap();
    assert!(fs::read(got).unwrap() == bytes);
    assert_eq!(handle.stats().downloaded, 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_web_seed_is_asked_again_when_it_says() {
    let (_dir, path) = file(200_000, 6);
    let bytes = fs::read(&path).unwrap();
    let web = Web::start(&[("/content.bin", bytes)], Manner::BusyOnce).await;
    let metainfo = torrent(&path, 64 << 10, &[]);
    let session = session().await;
    let (handle, _out) = add(&session, &metainfo, &[web.url("/content.bin")]);
    within(handle.wait_complete()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_dripping_and_breaking_web_seeds_hold_nothing_up() {
    let (_dir, path) = file(2_000_000, 7);
    let bytes = fs::read(&path).unwrap();
    let served = [("/content.bin", bytes.clone())];
    let silent = Web::start(&served, Manner::Silent).await;
    let drips = Web::start(&served, Manner::Drips).await;
    let short = Web::start(&served, Manner::Short).await;
    let metainfo = torrent(&path, 64 << 10, &[]);
    let leecher = session().await;
    let urls = [&silent, &drips, &short].map(|web| web.url("/content.bin"));
    let (handle, _out) = add(&leecher, &metainfo, &urls);
    until("all of them are asked", || {
        [&silent, &drips, &short]
            .iter()
            .all(|web| !web.asked().is_empty())
    })
    .await;
    let seeder = session().await;
    seeder
        .seed(&metainfo, &path, SeedOptions::default())
        .unwrap();
    handle.add_peer(seeder.listen_addr());
    let began = std::time::Instant::now();
    let got = within(handle.wait_complete()).await.unwrap();
    assert!(fs::read(got).unwrap() == bytes);
    assert!(began.elapsed().as_secs() < 15, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_or_link_names_no_web_seed_inside_our_network_and_the_user_may() {
    let (_dir, path) = file(200_000, 8);
    let bytes = fs::read(&path).unwrap();
    let web = Web::start(&[("/content.bin", bytes)], Manner::Honest).await;
    let mut metainfo = torrent(&path, 64 << 10, &[]);
    metainfo.web_seeds = vec![web.url("/content.bin")];
    let again = Metainfo::from_bytes(&metainfo.to_bytes().unwrap()).unwrap();
    assert_eq!(again.web_seeds, metainfo.web_seeds);
    let link: Magnet = again.magnet().to_string().parse().unwrap();
    assert_eq!(link.web_seeds, metainfo.web_seeds);
    let first = session().await;
    let (handle, _out) = add(&first, &again, &[]);
    let why = given_up(&handle).await;
    assert!(why.contains("private network"), "{why}");
    assert_eq!(web.callers(), []);
    let second = session().await;
    let (handle, _out) = add(&second, &again, &again.web_seeds);
    within(handle.wait_complete()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_seed_may_move_and_is_asked_from_the_address_that_we_listen_at() {
    let (_dir, path) = file(200_000, 9);
    let bytes = fs::read(&path).unwrap();
    let there = Web::start(&[("/content.bin", bytes.clone())], Manner::Honest).await;
    let moved = Manner::Moved(format!("http://{}", there.address));
    let web = Web::start(&[("/content.bin", bytes)], moved).await;
    let metainfo = torrent(&path, 64 << 10, &[]);
    let session = Session::builder()
        .listen(([127, 0, 0, 3], 0).into())
        .start()
        .await
        .unwrap();
    let (handle, _out) = add(&session, &metainfo, &[web.url("/content.bin")]);
    within(handle.wait_complete()).await.unwrap();
    let callers = [web.callers(), there.callers()].concat();
    assert!(!callers.is_empty());
    assert!(
        callers
            .iter()
            .all(|from| from.ip().to_string() == "127.0.0.3")
    );
}

/// The torrent file that a `seed` with these arguments writes, and its magnet link.
fn seeded(home: &Home, arguments: &[&str]) -> (Metainfo, Magnet) {
    let written = home.path().join("film.torrent");
    let mut command = home.command();
    command.args(["seed", "--json", "--no-dht", "--no-lsd", "--no-port-map"]);
    command.args(["--listen", "127.0.0.1:0", "--overwrite", "--torrent-out"]);
    let mut child = command.arg(&written).args(arguments).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let _ended = Ended(child);
    let said: serde_json::Value = serde_json::from_str(&line).unwrap();
    let metainfo = Metainfo::from_bytes(&fs::read(written).unwrap()).unwrap();
    (metainfo, said["magnet"].as_str().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_names_web_seeds_and_get_downloads_from_one() {
    let home = Home::new();
    let (_dir, path) = file(300_001, 740);
    let content = path.display().to_string();
    let bytes = fs::read(&path).unwrap();
    let web = Web::start(&[("/d/content.bin", bytes.clone())], Manner::Honest).await;
    let urls = [web.url("/d/"), "https://mirror.example/d/".to_owned()];
    let [first, second] = urls.each_ref().map(String::as_str);
    // The second time it is not hashed again, and the third time it has a torrent file.
    for _ in 0..2 {
        let (metainfo, magnet) = seeded(&home, &[&content, "--web-seed", first]);
        assert_eq!(metainfo.web_seeds, [first]);
        assert_eq!(magnet.web_seeds, [first]);
    }
    let (metainfo, magnet) = {
        let film = home.path().join("film.torrent").display().to_string();
        let content = ["--content", &content];
        let more = ["--web-seed", second, "--web-seed", first];
        seeded(&home, &[&[&film[..]], &content[..], &more[..]].concat())
    };
    assert_eq!(metainfo.web_seeds, urls);
    assert_eq!(magnet.web_seeds, urls);
    let several = home.run([
        "seed",
        &content,
        ".",
        "--web-seed",
        "http://mirror.example/x",
    ]);
    assert_eq!(several.code, 2, "{several:?}");
    // From the web seed alone; one inside our network has to be named by the user.
    let film = home.file("first.torrent", metainfo.to_bytes().unwrap());
    let (film, out) = (film.display().to_string(), home.path().join("out"));
    let out = out.display().to_string();
    let quiet = ["--no-dht", "--no-lsd", "--no-port-map"];
    let get = ["get", &film, "-o", &out, "--web-seed", first];
    let got = home.run([&get[..], &quiet[..]].concat());
    assert_eq!(got.code, 0, "{got:?}");
    assert!(fs::read(home.path().join("out/content.bin")).unwrap() == bytes);
    let asked = web.asked();
    assert!(
        asked.iter().all(|(path, ..)| path == "/d/content.bin"),
        "{asked:?}"
    );
}
