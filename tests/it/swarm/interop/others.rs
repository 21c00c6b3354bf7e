//! deluge, rtorrent and webtorrent.

use std::{fs, process::Command};

use serde_json::json;

use super::{Job, Mode, Running, answers, free_port, local, run, script, spawn, version};

pub(super) async fn deluge(jobs: &[Job], mode: Mode) -> Running {
    let home = tempfile::tempdir().unwrap();
    let (port, rpc) = (free_port(), free_port());
    // Two documents: what the file is, and the settings.
    let policy = if mode == Mode::Encrypted { 0 } else { 2 };
    let settings = json!({
        "daemon_port": rpc,
        "listen_ports": [port, port],
        "random_port": false,
        "listen_interface": "127.0.0.1",
        "dht": false, "upnp": false, "natpmp": false, "lsd": false, "utpex": false,
        "new_release_check": false,
        "enc_in_policy": policy, "enc_out_policy": policy, "enc_level": 2,
        "max_active_limit": -1, "max_active_downloading": -1, "max_active_seeding": -1,
    });
    let config = format!("{}{settings}", json!({ "file": 1, "format": 1 }));
    fs::write(home.path().join("core.conf"), config).unwrap();
    fs::write(home.path().join("auth"), "tester:tester:10\n").unwrap();
    let mut command = Command::new("deluged");
    command
        .args(["--do-not-daemonize", "--config"])
        .arg(home.path())
        .args(["--interface", "127.0.0.1", "--port", &rpc.to_string()])
        .args(["--ui-interface", "127.0.0.1", "--loglevel", "warning"]);
    let child = spawn(&home, &mut command);
    let running = Running {
        addr: local(port),
        version: version("deluged"),
        child,
        home,
    };
    assert!(
        answers(rpc).await && answers(port).await,
        "{}",
        running.log()
    );
    let mut commands = vec![format!("connect 127.0.0.1:{rpc} tester tester")];
    for job in jobs {
        commands.push(format!("add --path {} '{}'", job.dir.display(), job.source));
    }
    let mut console = Command::new("deluge-console");
    console
        .arg("--config")
        .arg(running.home.path())
        .arg(commands.join("; "))
        .env("HOME", running.home.path());
    run(console).await;
    running
}

pub(super) async fn rtorrent(jobs: &[Job], mode: Mode) -> Running {
    let home = tempfile::tempdir().unwrap();
    let port = free_port();
    let session = home.path().join("session");
    fs::create_dir(&session).unwrap();
    let encryption = match mode {
        Mode::Encrypted => "allow_incoming,require,require_RC4",
        Mode::Plain | Mode::Utp => "allow_incoming,try_outgoing,enable_retry",
    };
    let mut settings = format!(
        "system.daemon.set = true\n\
         network.port_range.set = {port}-{port}\n\
         network.port_random.set = no\n\
         network.bind_address.set = 127.0.0.1\n\
         session.path.set = {}\n\
         dht.mode.set = disable\n\
         protocol.pex.set = no\n\
         protocol.encryption.set = {encryption}\n",
        session.display()
    );
    for job in jobs {
        let place = format!("d.directory.set={}", job.dir.display());
        settings.push_str(&format!(
            "schedule2 = job{}, 0, 0, ((load.start, \"{}\", \"{place}\"))\n",
            settings.len(),
            job.source
        ));
    }
    let file = home.path().join("rtorrent.rc");
    fs::write(&file, settings).unwrap();
    let mut command = Command::new("rtorrent");
    command
        .arg("-n")
        .arg("-o")
        .arg(format!("import={}", file.display()));
    let child = spawn(&home, &mut command);
    let help = Command::new("rtorrent").arg("-h").output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let version = help.lines().find_map(|line| {
        let from = line.find("version ")?;
        Some(line[from + 8..].trim_end_matches('.').to_owned())
    });
    let running = Running {
        addr: local(port),
        version: format!("rtorrent {}", version.unwrap_or_default()),
        child,
        home,
    };
    assert!(answers(port).await, "{}", running.log());
    running
}

pub(super) async fn webtorrent(jobs: &[Job]) -> Running {
    let port = free_port();
    let jobs = jobs
        .iter()
        .map(|job| json!({ "source": job.source, "dir": job.dir, "peers": job.peers }));
    let wanted = json!({ "port": port, "jobs": jobs.collect::<Vec<_>>() });
    let (child, said, home) = script("webtorrent_peer.mjs", &[wanted.to_string()]).await;
    let running = Running {
        addr: local(port),
        version: said["version"].as_str().unwrap().to_owned(),
        child,
        home,
    };
    assert!(answers(port).await, "{}", running.log());
    running
}
