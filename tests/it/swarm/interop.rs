//! Other people's programs, as they come from their packages: they download from
//! us and we from them. All on loopback; `scripts/peers` installs them.

mod dht;
mod files;
mod hybrid;
mod late;
mod matrix;
mod program;
mod ten;
mod trackers;

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use crate::support::peer;

pub(crate) use program::{Job, Mode, Program, Running};

/// How long a program may take to start, and a download to end: several others
/// run on the same processors.
const PATIENCE: Duration = Duration::from_secs(90);

/// A port that is free for TCP and UDP, for programs that cannot be told to take
/// any. It is below those that the system hands out by itself.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = u16::try_from(std::process::id() % 8000).unwrap();
    for _ in 0..2000 {
        let port = 20_000 + (base + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(addr).is_ok() && UdpSocket::bind(addr).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

/// Waits until something is so.
pub(crate) async fn soon(what: &str, condition: impl Fn() -> bool) -> bool {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let done = tokio::time::timeout(PATIENCE, waiting).await.is_ok();
    if !done {
        print(&format!("not before the deadline: {what}"));
    }
    done
}

/// Prints although the test may succeed: the lines of the matrix are its point.
#[expect(
    clippy::explicit_write,
    reason = "the test harness captures what println prints"
)]
pub(super) fn print(text: &str) {
    writeln!(std::io::stdout(), "{text}").unwrap();
}
