//! Payers whose own upload is slow, beside one seeder: nobody waits for the slowest.

use std::{
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use seedrail::devnet::Devnet;
use serde_json::Value;

use crate::support::{home::Home, waiting::wait_until};

/// What both downloads take at the seeder's limit is 8 s. What one slow peer is asked for
/// in its first seconds would take it 48 s more.
const SIZE: usize = 8 << 20;
const LIMIT: Duration = Duration::from_secs(25);

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn of_account(devnet: &Devnet, n: usize) -> Home {
    let key = devnet.accounts()[n].key.expose_bytes();
    Home::new()
        .env("SEEDRAIL_NODE", &devnet.url())
        .env("SEEDRAIL_NETWORK", "devnet")
        .env("SEEDRAIL_PRIVATE_KEY", &hex::encode(key))
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..bytes / 8).flat_map(next).collect()
}

fn seeder(home: &Home, content: &Path, torrent: &Path) -> (Running, String) {
    let mut command = home.command();
    command
        .arg("seed")
        .arg(content)
        .args(["--ask", "5BTT/GiB", "--json", "--up-limit", "2MiB/s"])
        .args(["--piece-size", "256KiB", "--listen", "127.0.0.1:0"])
        .arg("--torrent-out")
        .arg(torrent)
        .stdout(std::fs::File::create(home.path().join("seed.jsonl")).unwrap())
        .stderr(Stdio::null());
    let child = Running(command.spawn().unwrap());
    let mut listen = None;
    wait_until("the seeder listens", LIMIT, || {
        let said = std::fs::read_to_string(home.path().join("seed.jsonl")).unwrap();
        let first = said.split_once('\n').map(|(line, _)| line);
        let first: Option<Value> = first.and_then(|line| serde_json::from_str(line).ok());
        listen = first.and_then(|line| line["listen"].as_str().map(str::to_owned));
        listen.is_some()
    });
    (child, listen.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn payers_with_a_slow_upload_do_not_wait_for_each_other() {
    let devnet = Devnet::builder()
        .block_time(Duration::from_millis(300))
        .start()
        .await
        .unwrap();
    let home = of_account(&devnet, 2);
    let content = home.file("content.bin", noise(SIZE));
    let torrent = home.path().join("content.torrent");
    let (_seeder, listen) = seeder(&home, &content, &torrent);
    let homes = [of_account(&devnet, 3), of_account(&devnet, 4)];
    let mut payers: Vec<Running> = homes
        .iter()
        .zip(["40BTT/GiB", "20BTT/GiB"])
        .map(|(home, bid)| {
            let mut command = home.command();
            command
                .arg("get")
                .arg(&torrent)
                .args(["--bid", bid, "--max-spend", "5BTT", "--json"])
                .args(["--up-limit", "16KiB/s", "--listen", "127.0.0.1:0"])
                .args(["--peer", &listen])
                .arg("-o")
                .arg(home.path().join("out"))
                .stdout(std::fs::File::create(home.path().join("get.jsonl")).unwrap())
                .stderr(Stdio::null());
            Running(command.spawn().unwrap())
        })
        .collect();
    // The rates are the processes' own limits, so the time does not depend on the machine.
    wait_until("both payers have all of it", LIMIT, || {
        let mut ended = payers.iter_mut().map(|payer| payer.0.try_wait().unwrap());
        ended.all(|status| status.is_some_and(|status| status.success()))
    });
    for home in &homes {
        let copy = std::fs::read(home.path().join("out/content.bin")).unwrap();
        assert!(copy == std::fs::read(&content).unwrap());
        let said = std::fs::read_to_string(home.path().join("get.jsonl")).unwrap();
        let done: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        // 8 MiB at the bid of 40 BTT a GiB, and what may be paid twice.
        let spent: i64 = done["spent_raw"].as_str().unwrap().parse().unwrap();
        assert!((10_000..=312_500 + 12_900).contains(&spent), "{spent}");
    }
}
