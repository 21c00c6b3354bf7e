//! The settlement's process, killed again and again: everybody is paid exactly
//! what the receipts say.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

use seedrail::{
    devnet::{Devnet, DevnetAccount},
    ledger::EpochId,
    receipts::{Receipt, ReceiptDomain, ReceiptLine, SignedReceipt},
    types::{Address, Clock, RawAmount, Salt, SystemClock, Token, TokenId},
};
use tempfile::TempDir;

const PAYEES: u8 = 25;

fn seedrail(home: &Path, devnet: &Devnet, payer: &DevnetAccount) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedrail"));
    command
        .env("SEEDRAIL_HOME", home)
        .env("SEEDRAIL_NODE", format!("http://{}", devnet.address()))
        .env("SEEDRAIL_NETWORK", "devnet")
        .env(
            "SEEDRAIL_PRIVATE_KEY",
            hex::encode(payer.key.expose_bytes().as_slice()),
        )
        .env_remove("SEEDRAIL_LEDGER")
        .stdin(Stdio::null());
    command
}

fn succeeds(output: Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

fn payee(n: u8) -> Address {
    Address::from_body([n + 1; 20])
}

fn amount(n: u8) -> RawAmount {
    RawAmount::new(1_000 + i64::from(n)).unwrap()
}

/// Receipts of the payer's over each payee's amount.
fn receipts(devnet: &Devnet, payer: &DevnetAccount) -> String {
    let domain = ReceiptDomain::new(devnet.genesis_id());
    (0..PAYEES)
        .map(|n| {
            let receipt = Receipt {
                payer: payer.address,
                payee: payee(n),
                signer: payer.address,
                vault: Address::ZERO,
                token: TokenId::BTT,
                epoch: EpochId::new(i64::from(n)).unwrap(),
                since_block: 0,
                sequence: 1,
                amount: amount(n),
                delivered_bytes: 1,
                issued_at: u64::try_from(SystemClock.now().secs()).unwrap(),
                grant: Salt::ZERO,
            };
            let signed = SignedReceipt::sign(receipt, &domain, &payer.key).unwrap();
            ReceiptLine::new(&domain, signed, None).to_json() + "\n"
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_killed_at_any_moment_pays_everybody_once() {
    let devnet = Devnet::builder()
        .block_time(Duration::from_millis(300))
        .start()
        .await
        .unwrap();
    let payer = devnet.accounts()[1].clone();
    let home = TempDir::new().unwrap();
    let file = home.path().join("receipts.jsonl");
    fs::write(&file, receipts(&devnet, &payer)).unwrap();

    let (devnet, kills) = tokio::task::spawn_blocking(move || {
        let run = |arguments: &[&str]| {
            seedrail(home.path(), &devnet, &payer)
                .args(arguments)
                .output()
                .unwrap()
        };
        let file = file.to_str().unwrap();
        succeeds(run(&["receipts", "import", file, "--adopt", "--yes"]));

        let mut kills = 0u32;
        loop {
            let mut child = seedrail(home.path(), &devnet, &payer)
                .args(["settle", "run", "--yes", "--json"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let pid = child.id().to_string();
            // Each life is a little longer than the one before.
            let (ended, end) = mpsc::channel();
            let waiter = std::thread::spawn(move || {
                let status = child.wait();
                // Nobody listens any more once the process was killed.
                let _ = ended.send(());
                status
            });
            let life = Duration::from_millis(15 * u64::from(kills + 1));
            if end.recv_timeout(life).is_err() {
                // It may end by itself at this very moment.
                let _ = Command::new("kill")
                    .args(["-9", &pid])
                    .stderr(Stdio::null())
                    .status();
            }
            if waiter.join().unwrap().unwrap().success() {
                break;
            }
            kills += 1;
            assert!(kills < 400, "it never ended");
        }
        succeeds(run(&["settle", "resume", "--json"]));
        let audit = succeeds(run(&["settle", "audit", "--json"]));
        assert_eq!(audit, "{\"differences\":[],\"ok\":true}\n");
        let again = succeeds(run(&["settle", "run", "--yes", "--json"]));
        assert!(again.contains("\"batch\":null"), "{again}");
        (devnet, kills)
    })
    .await
    .unwrap();

    assert!(kills > 3, "it was killed {kills} times only");
    for n in 0..PAYEES {
        assert_eq!(
            devnet.balance(payee(n), Token::Trc10(TokenId::BTT)),
            amount(n),
            "payee {n}"
        );
    }
}
