//! Programs of others, unmodified, against the APIs, and the page in a browser.
//! `scripts/peers` installs them.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use seedrail::{
    api::{ApiConfig, Server, serve},
    client::{Client, ClientConfig},
    swarm::{
        Session,
        metainfo::{self, CreateOptions},
    },
};

use crate::support::peer;

const PASSWORD: &str = "correct horse battery";

/// A client with a server in front, and a torrent that nobody has added yet.
struct Stand {
    folder: tempfile::TempDir,
    client: Client,
    server: Server,
}

impl Stand {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        let password = home.join("password");
        fs::write(&password, PASSWORD).unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        let session = Session::builder().state_dir(home.join("state"));
        let mut config = ClientConfig::new(session, home.join("downloads"));
        config.grace = Duration::from_secs(1);
        let client = Client::open(config).await.unwrap();
        let config = ApiConfig {
            listen: Some("127.0.0.1:0".parse().unwrap()),
            password_file: Some(password),
            tokens_file: home.join("tokens.json"),
            ..ApiConfig::default()
        };
        let server = serve(config, client.clone()).await.unwrap();
        Self {
            folder,
            client,
            server,
        }
    }

    fn url(&self) -> String {
        self.server.url().unwrap()
    }

    fn port(&self) -> String {
        self.server.address().unwrap().port().to_string()
    }

    fn torrent(&self) -> PathBuf {
        let content = self.folder.path().join("film.mkv");
        let noise: Vec<u8> = (0..300_000_u32)
            .flat_map(|at| (at * 7 / 3).to_le_bytes())
            .collect();
        fs::write(&content, noise).unwrap();
        let options = CreateOptions::default();
        let torrent = metainfo::create(&content, &options, &|_, _| {}).unwrap();
        let path = self.folder.path().join("film.torrent");
        fs::write(&path, torrent.to_bytes().unwrap()).unwrap();
        path
    }

    async fn end(self) {
        self.server.stop().await;
        self.client.close().await;
    }
}

/// Runs a program to its end; what it printed.
async fn run(mut command: Command) -> String {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout) + &text(&output.stderr)
}

/// A script of `tests/interop`, with the clients at hand.
async fn script(name: &str) -> Command {
    let folder = tokio::task::spawn_blocking(peer::folder).await.unwrap();
    let interpreter = match Path::new(name).extension().and_then(|kind| kind.to_str()) {
        Some("mjs") => PathBuf::from("node"),
        _ => folder.join("web/python/bin/python"),
    };
    let mut command = Command::new(interpreter);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    command
        .arg(path.join(name))
        .env("SEEDRAIL_PEERS", folder)
        .env("NODE_NO_WARNINGS", "1");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn qbittorrent_api_of_pypi_drives_the_client() {
    let stand = Stand::start().await;
    let mut command = script("web_qbittorrent.py").await;
    let url = stand.url();
    command
        .args([url.trim_end_matches('/'), PASSWORD])
        .arg(stand.torrent());
    assert!(run(command).await.ends_with("ok\n"));
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transmission_rpc_of_pypi_drives_the_client() {
    let stand = Stand::start().await;
    let mut command = script("web_transmission.py").await;
    command
        .args([stand.port().as_str(), PASSWORD])
        .arg(stand.torrent());
    assert!(run(command).await.ends_with("ok\n"));
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_clients_of_npm_drive_the_client() {
    let stand = Stand::start().await;
    let mut command = script("web_clients.mjs").await;
    command
        .args([stand.url().as_str(), PASSWORD])
        .arg(stand.torrent());
    assert!(run(command).await.contains("ok\n"));
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transmission_remote_of_debian_drives_the_client() {
    let stand = Stand::start().await;
    // It is installed with the others.
    script("web_page.mjs").await;
    let torrent = stand.torrent();
    let remote = async |arguments: &[&str]| {
        let mut command = Command::new("transmission-remote");
        command
            .arg(stand.port())
            .args(["--auth", &format!("admin:{PASSWORD}")])
            .args(arguments);
        run(command).await
    };
    let added = remote(&["--start-paused", "--add", torrent.to_str().unwrap()]).await;
    assert!(added.contains("success"), "{added}");
    let list = remote(&["--list"]).await;
    assert!(
        list.contains("film.mkv") && list.contains("Stopped"),
        "{list}"
    );
    let info = remote(&["--torrent", "1", "--info"]).await;
    assert!(info.contains("Name: film.mkv"), "{info}");
    let files = remote(&["--torrent", "1", "--files"]).await;
    assert!(files.contains("film.mkv"), "{files}");
    for arguments in [
        ["--torrent", "1", "--uplimit", "50"].as_slice(),
        &["--torrent", "1", "--start"],
        &["--torrent", "1", "--stop"],
        &["--torrent", "1", "--remove"],
        &["--downlimit", "100"],
    ] {
        let said = remote(arguments).await;
        assert!(said.contains("success"), "{arguments:?}: {said}");
    }
    // It leaves the session in order first.
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while remote(&["--list"]).await.contains("film.mkv") {
        assert!(std::time::Instant::now() < deadline, "it is still there");
    }
    assert!(
        remote(&["--session-info"])
            .await
            .contains("Daemon version: 3.00")
    );
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_in_a_browser() {
    let stand = Stand::start().await;
    let mut command = script("web_page.mjs").await;
    command
        .args([stand.url().as_str(), PASSWORD])
        .arg(stand.torrent());
    let said = run(command).await;
    assert!(said.contains("ok\n"), "{said}");
    print!("{said}");
    stand.end().await;
}

/// A qBittorrent with its API, that asks nobody of this machine for a password.
struct Reference {
    child: std::process::Child,
    url: String,
    _home: tempfile::TempDir,
}

impl Reference {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = {
            let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            probe.local_addr().unwrap().port()
        };
        let config = home.path().join("qBittorrent/config");
        fs::create_dir_all(&config).unwrap();
        let text = format!(
            "[LegalNotice]\nAccepted=true\n\
             [BitTorrent]\nSession\\DHTEnabled=false\nSession\\LSDEnabled=false\n\
             Session\\PeXEnabled=false\nSession\\QueueingSystemEnabled=false\n\
             Session\\Interface=lo\nSession\\InterfaceName=lo\n\
             Session\\InterfaceAddress=127.0.0.1\n\
             [Preferences]\nConnection\\UPnP=false\nWebUI\\Address=127.0.0.1\n\
             WebUI\\Port={port}\nWebUI\\LocalHostAuth=false\nWebUI\\UseUPnP=false\n"
        );
        fs::write(config.join("qBittorrent.conf"), text).unwrap();
        let child = Command::new("qbittorrent-nox")
            .arg(format!("--profile={}", home.path().display()))
            .arg(format!("--webui-port={port}"))
            .env("HOME", home.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let reference = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
            _home: home,
        };
        crate::support::waiting::wait_until("qBittorrent", Duration::from_secs(60), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        reference
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_shapes_and_refusals_of_qbittorrent() {
    let stand = Stand::start().await;
    let mut command = script("web_alike.py").await;
    let reference = tokio::task::spawn_blocking(Reference::start).await.unwrap();
    let first = stand.server.first_url().unwrap();
    let (url, token) = first.split_once("#token=").unwrap();
    command
        .args([reference.url.as_str(), url, token])
        .arg(stand.torrent());
    assert!(run(command).await.ends_with("ok\n"));
    stand.end().await;
}
