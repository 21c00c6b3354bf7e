//! Starting the programs, each with all the torrents it is to run.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{free_port, peer, soon};

#[path = "others.rs"]
mod others;

/// One torrent of a program's.
pub(crate) struct Job {
    /// A torrent file or a magnet link.
    pub(crate) source: String,
    /// Where its content is, or goes.
    pub(crate) dir: PathBuf,
    /// Whom it dials besides those it finds.
    pub(crate) peers: Vec<SocketAddr>,
}

/// How a program is to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Plain,
    Encrypted,
    /// uTP only.
    Utp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Transmission,
    Aria2,
    Libtorrent,
    Qbittorrent,
    Deluge,
    Rtorrent,
    Webtorrent,
}

/// A program that runs until this is dropped.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) version: String,
    child: Child,
    home: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// All that it printed.
    pub(crate) fn whole_log(&self) -> String {
        let log = fs::read(self.home.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// What it printed last.
    pub(crate) fn log(&self) -> String {
        let log = self.whole_log();
        let lines: Vec<_> = log.lines().rev().take(40).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// The first line of what `program --version` says.
fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    said.lines().next().unwrap_or_default().to_owned()
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Starts a child that writes to the log in `home`.
fn spawn(home: &TempDir, command: &mut Command) -> Child {
    let log = fs::File::create(home.path().join("log")).unwrap();
    let errors = log.try_clone().unwrap();
    command
        .env("HOME", home.path())
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors);
    let child = command.spawn();
    child.unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

async fn answers(port: u16) -> bool {
    soon("a program listens", || {
        std::net::TcpStream::connect(local(port)).is_ok()
    })
    .await
}

/// A short command that must succeed.
async fn run(mut command: Command) {
    let output = tokio::task::spawn_blocking(move || (command.output(), command));
    let (output, command) = output.await.unwrap();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} said:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Program {
    /// Starts it with these torrents; those whose content is in its folder already
    /// are seeded.
    pub(crate) async fn start(self, jobs: &[Job], mode: Mode) -> Running {
        tokio::task::spawn_blocking(peer::folder).await.unwrap();
        match self {
            Self::Transmission => transmission(jobs, mode).await,
            Self::Aria2 => aria2(jobs, mode).await,
            Self::Libtorrent => libtorrent(jobs, mode, None).await,
            Self::Qbittorrent => qbittorrent(jobs, mode).await,
            Self::Deluge => others::deluge(jobs, mode).await,
            Self::Rtorrent => others::rtorrent(jobs, mode).await,
            Self::Webtorrent => others::webtorrent(jobs).await,
        }
    }
}

async fn transmission(jobs: &[Job], mode: Mode) -> Running {
    let home = tempfile::tempdir().unwrap();
    let (port, rpc) = (free_port(), free_port());
    let mut command = Command::new("transmission-daemon");
    command
        .args(["--foreground", "--config-dir"])
        .arg(home.path())
        .args(["--peerport", &port.to_string(), "--port", &rpc.to_string()])
        .args([
            "--bind-address-ipv4",
            "127.0.0.1",
            "--rpc-bind-address",
            "127.0.0.1",
        ])
        .args([
            "--no-auth",
            "--no-dht",
            "--no-lpd",
            "--no-portmap",
            "--no-global-seedratio",
        ])
        .arg(match mode {
            Mode::Encrypted => "--encryption-required",
            Mode::Plain | Mode::Utp => "--encryption-tolerated",
        })
        .arg(if mode == Mode::Utp {
            "--utp"
        } else {
            "--no-utp"
        });
    let child = spawn(&home, &mut command);
    let running = Running {
        addr: local(port),
        version: version("transmission-daemon"),
        child,
        home,
    };
    assert!(
        answers(rpc).await && answers(port).await,
        "{}",
        running.log()
    );
    for job in jobs {
        let mut add = Command::new("transmission-remote");
        add.arg(rpc.to_string())
            .args(["--add", &job.source, "--download-dir"])
            .arg(&job.dir);
        run(add).await;
    }
    running
}

async fn aria2(jobs: &[Job], mode: Mode) -> Running {
    let home = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut list = String::new();
    for job in jobs {
        list.push_str(&format!("{}\n  dir={}\n", job.source, job.dir.display()));
    }
    let file = home.path().join("list");
    fs::write(&file, list).unwrap();
    let mut command = Command::new("aria2c");
    command
        .arg(format!("--listen-port={port}"))
        .arg(format!("--input-file={}", file.display()))
        .args([
            "--no-conf",
            "--max-concurrent-downloads=100",
            "--seed-ratio=0.0",
        ])
        .args([
            "--enable-dht=false",
            "--enable-dht6=false",
            "--bt-enable-lpd=false",
        ])
        .args([
            "--file-allocation=none",
            "--check-integrity=true",
            "--summary-interval=0",
        ])
        .args(["--bt-tracker-interval=1", "--console-log-level=info"]);
    if mode == Mode::Encrypted {
        command.args(["--bt-require-crypto=true", "--bt-min-crypto-level=arc4"]);
    }
    let child = spawn(&home, &mut command);
    let running = Running {
        addr: local(port),
        version: version("aria2c"),
        child,
        home,
    };
    assert!(answers(port).await, "{}", running.log());
    running
}

/// `dht`: the ports of the nodes it begins with, if it is to be one.
pub(crate) async fn libtorrent(jobs: &[Job], mode: Mode, dht: Option<&[u16]>) -> Running {
    let jobs: Vec<Value> = jobs
        .iter()
        .map(|job| json!({ "source": job.source, "dir": job.dir, "peers": job.peers }))
        .collect();
    let mode = match mode {
        Mode::Plain => "plain",
        Mode::Encrypted => "encrypted",
        Mode::Utp => "utp",
    };
    let wanted = json!({ "mode": mode, "dht": dht, "jobs": jobs });
    let (child, said, home) = script("libtorrent_peer.py", &[wanted.to_string()]).await;
    Running {
        addr: local(u16::try_from(said["port"].as_u64().unwrap()).unwrap()),
        version: said["version"].as_str().unwrap().to_owned(),
        child,
        home,
    }
}

/// Starts a script of `tests/interop`; it, and the line it began with.
pub(crate) async fn script(name: &str, arguments: &[String]) -> (Child, Value, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let folder = tokio::task::spawn_blocking(peer::folder).await.unwrap();
    let interpreter = match Path::new(name).extension().and_then(|kind| kind.to_str()) {
        Some("mjs") => PathBuf::from("node"),
        _ => folder.join("swarm/bin/python"),
    };
    let log = fs::File::create(home.path().join("log")).unwrap();
    let mut command = Command::new(interpreter);
    command
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/interop")
                .join(name),
        )
        .args(arguments)
        .env("SEEDRAIL_PEERS", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log);
    let reading = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        (child, line)
    });
    let (child, line) = reading.await.unwrap();
    let said = serde_json::from_str(&line);
    let said = said.unwrap_or_else(|error| {
        let log = fs::read_to_string(home.path().join("log")).unwrap_or_default();
        panic!("{name} began with {line:?} ({error}) and said:\n{log}")
    });
    (child, said, home)
}

async fn qbittorrent(jobs: &[Job], mode: Mode) -> Running {
    let home = tempfile::tempdir().unwrap();
    let (port, web) = (free_port(), free_port());
    let config = home.path().join("qBittorrent/config");
    fs::create_dir_all(&config).unwrap();
    let mut file = fs::File::create(config.join("qBittorrent.conf")).unwrap();
    let (encryption, protocol) = match mode {
        Mode::Plain => (0, "TCP"),
        Mode::Encrypted => (1, "TCP"),
        Mode::Utp => (0, "UTP"),
    };
    write!(
        file,
        "[LegalNotice]\nAccepted=true\n\
         [BitTorrent]\nSession\\Port={port}\nSession\\DHTEnabled=false\nSession\\LSDEnabled=false\n\
         Session\\PeXEnabled=false\nSession\\QueueingSystemEnabled=false\n\
         Session\\Interface=lo\nSession\\InterfaceName=lo\nSession\\InterfaceAddress=127.0.0.1\n\
         Session\\Encryption={encryption}\nSession\\BTProtocol={protocol}\n\
         Session\\MultiConnectionsPerIp=true\nSession\\GlobalMaxRatio=-1\n\
         [Preferences]\nConnection\\UPnP=false\nWebUI\\Address=127.0.0.1\nWebUI\\Port={web}\n\
         WebUI\\LocalHostAuth=false\nWebUI\\UseUPnP=false\n"
    )
    .unwrap();
    let mut command = Command::new("qbittorrent-nox");
    command
        .arg(format!("--profile={}", home.path().display()))
        .arg(format!("--webui-port={web}"));
    let child = spawn(&home, &mut command);
    let running = Running {
        addr: local(port),
        version: version("qbittorrent-nox"),
        child,
        home,
    };
    assert!(
        answers(web).await && answers(port).await,
        "{}",
        running.log()
    );
    for job in jobs {
        // A second one hands its arguments to the first, and ends.
        let mut add = Command::new("qbittorrent-nox");
        add.arg(format!("--profile={}", running.home.path().display()))
            .arg(format!("--save-path={}", job.dir.display()))
            .args(["--add-paused=false", "--skip-dialog=true", &job.source])
            .env("HOME", running.home.path());
        run(add).await;
    }
    running
}
