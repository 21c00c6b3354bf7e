//! PostgreSQL 15 for the tests: a server of their own in a temporary folder,
//! on a Unix socket there, ended with the tests however they end.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// Runs as the user that may run a server. It obeys words on its input; when
/// that ends, because we ended, so does the server.
const KEEPER: &str = r#"
set -eu
bin=/usr/lib/postgresql/15/bin
dir=$1
[ -n "$dir" ] || dir=$(mktemp -d "${TMPDIR:-/tmp}/seedrail-postgres.XXXXXX")
end() {
    "$bin/pg_ctl" -D "$dir/data" -w -t 60 -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$dir" 2>/dev/null || true
}
trap end EXIT
trap 'exit 1' HUP INT TERM
cd "$dir"
"$bin/initdb" -D "$dir/data" -U seedrail -A trust --no-sync --no-locale -E UTF8 >"$dir/log" 2>&1 || {
    cat "$dir/log" >&2
    exit 1
}
start() {
    "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 \
        -o "-k $dir -c listen_addresses= -c max_connections=200" start >/dev/null 2>&1 ||
        { cat "$dir/log" >&2; return 1; }
}
stop() { "$bin/pg_ctl" -D "$dir/data" -w -t 60 -m "$1" stop >/dev/null 2>&1 || true; }
start
printf '%s\n' "$dir"
while read -r order; do
    case $order in
    start) start ;;
    stop) stop fast ;;
    crash) stop immediate ;;
    esac
    printf '%s\n' "$order"
done
"#;

/// A running server; it ends when this is dropped.
pub(crate) struct Server {
    keeper: Child,
    orders: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    folder: PathBuf,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_in("")
    }

    /// In this empty folder, of which the user `postgres` is the owner, or in
    /// a fresh one.
    pub(crate) fn start_in(folder: &str) -> Self {
        static INSTALLED: OnceLock<()> = OnceLock::new();
        INSTALLED.get_or_init(|| {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/peers");
            let output = Command::new(&script).arg("postgres").output().unwrap();
            assert!(
                output.status.success(),
                "PostgreSQL could not be installed; scripts/peers says:\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
        });
        // A server refuses to run as root.
        let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let mut command = if root {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", "sh"]);
            command
        } else {
            Command::new("sh")
        };
        let mut keeper = command
            .args(["-c", KEEPER, "keeper", folder])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = keeper.stdin.take().unwrap();
        let mut answers = BufReader::new(keeper.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        assert!(
            !line.is_empty(),
            "PostgreSQL did not start; its words are above"
        );
        Self {
            keeper,
            orders: Mutex::new(Some((orders, answers))),
            folder: PathBuf::from(line.trim()),
        }
    }

    /// `start`, `stop` (in order) or `crash` (at once); returns when it is done.
    pub(crate) fn order(&self, order: &str) {
        let mut orders = self.orders.lock().unwrap();
        let (orders, answers) = orders.as_mut().unwrap();
        writeln!(orders, "{order}").unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), order);
    }

    /// The URL of one of its databases.
    pub(crate) fn url(&self, database: &str) -> String {
        let folder = self.folder.display();
        format!("postgres://seedrail@/{database}?host={folder}")
    }

    /// A fresh database; its URL.
    pub(crate) fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// Ends every connection to a database.
    pub(crate) fn cut_off(&self, database: &str) {
        let all = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity";
        self.sql("postgres", &format!("{all} WHERE datname = '{database}'"));
    }

    /// Runs statements, as a user would by hand; what they print.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        psql(&self.url(database), sql)
    }
}

/// Runs statements on the database of the URL; what they print.
pub(crate) fn psql(url: &str, sql: &str) -> String {
    let quiet = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"];
    tool("psql", &[&quiet[..], &["-c", sql, url]].concat())
}

/// One of PostgreSQL's programs.
pub(crate) fn program(name: &str) -> Command {
    Command::new(Path::new("/usr/lib/postgresql/15/bin").join(name))
}

/// Runs one of them; what it prints.
pub(crate) fn tool(name: &str, arguments: &[&str]) -> String {
    let output = program(name).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{name} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its input ends.
        if let Ok(mut orders) = self.orders.lock() {
            drop(orders.take());
        }
        let _ = self.keeper.wait();
    }
}

/// The server that tests share, each with a database of its own.
pub(crate) fn shared() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}
