//! A person who reads before he presses the button.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command},
};

use super::{LIMIT, Site, Store, payee, said, start};
use crate::support::waiting::wait_until;

/// A signing program that writes down that it was asked, and answers when it is sent a byte.
pub(super) struct Device {
    pub(super) program: PathBuf,
    asked: PathBuf,
    button: PathBuf,
}

impl Device {
    pub(super) fn of(site: &Site) -> Self {
        let home = &site.home;
        let at = |name: &str| home.path().join(name);
        let key = hex::encode(site.devnet.accounts()[1].key.expose_bytes().as_slice());
        let key = home.secret("device.key", key);
        let device = Self {
            program: at("device"),
            asked: at("asked"),
            button: at("button"),
        };
        let status = Command::new("mkfifo").arg(&device.button).status().unwrap();
        assert!(status.success());
        let text = format!(
            r#"#!/bin/sh
set -eu
question=$(cat)
case $question in
*'"request":"address"'*) echo '{{"address":"{address}"}}' ;;
*) printf '{{"transaction":%s}}' "$(printf %s "$question" | sed 's/.*"transaction":\(.*\),"txid".*/\1/')" >{folder}/shown.json
    echo $$ >>{asked}
    read -r pressed <{button}
    {binary} --json --home {folder}/keeper --key-file {key} tx sign --yes {folder}/shown.json | sed 's/.*"signature":\["\([0-9a-f]*\)"\].*/{{"signature":"\1"}}/' ;;
esac
"#,
            address = site.payer(),
            folder = home.path().display(),
            asked = device.asked.display(),
            button = device.button.display(),
            binary = env!("CARGO_BIN_EXE_seedrail"),
            key = key.display(),
        );
        fs::write(&device.program, text).unwrap();
        fs::set_permissions(&device.program, fs::Permissions::from_mode(0o700)).unwrap();
        device
    }

    /// Waits until it was asked for that many signatures; the process that was asked last.
    pub(super) fn was_asked(&self, times: usize, by: &mut Child) -> u32 {
        let mut last = None;
        wait_until("the device is asked", LIMIT, || {
            assert_eq!(by.try_wait().unwrap(), None, "the command has ended");
            let text = fs::read_to_string(&self.asked).unwrap_or_default();
            let asked: Vec<_> = text.lines().collect();
            last = asked.last().and_then(|pid| pid.parse().ok());
            asked.len() >= times && text.ends_with('\n')
        });
        last.unwrap()
    }

    fn press(&self) {
        let mut button = fs::OpenOptions::new()
            .write(true)
            .open(&self.button)
            .unwrap();
        button.write_all(b"x\n").unwrap();
    }
}

fn is_running(pid: u32) -> bool {
    // A process that has ended and is not waited for yet is not running.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_waits_for_its_signature_and_can_be_stopped_meanwhile() {
    let site = Site::new(Store::File).await;
    let device = Device::of(&site);
    let rows = format!("address,amount\n{},2BTT\n{},3BTT\n", payee(1), payee(2));
    let file = site.home.file("pay.csv", rows);
    let program = device.program.to_str().unwrap();
    let pay = [
        "send",
        "--csv",
        file.to_str().unwrap(),
        "--yes",
        "--signer",
        program,
    ];
    let log = site.home.path().join("log");

    // Ctrl-C while the device waits ends the command at once, and the question with it.
    let mut stopped = start(&site.home, &pay, &log);
    let asked = device.was_asked(1, &mut stopped);
    let kill = Command::new("kill")
        .args(["-INT", &stopped.id().to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
    let output = stopped.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    wait_until("the device is left alone", LIMIT, || !is_running(asked));
    let log_text = fs::read_to_string(&log).unwrap();
    assert!(log_text.contains("0 are signed"), "{log_text}");

    // The chain goes on for minutes while each button is waited for.
    let mut paid = start(&site.home, &pay, &log);
    for n in 2..=3 {
        device.was_asked(n, &mut paid);
        site.devnet.advance(std::time::Duration::from_secs(100));
        let head = site.devnet.head_number();
        wait_until("a block follows", LIMIT, || {
            site.devnet.head_number() > head
        });
        device.press();
    }
    let output = paid.wait_with_output().unwrap();
    let log_text = fs::read_to_string(&log).unwrap();
    assert!(output.status.success(), "{}{log_text}", said(&output));
    for (n, btt) in [(1, 2), (2, 3)] {
        assert_eq!(site.paid(payee(n)), btt * 1_000_000);
    }
    // One signature a payment: none was dead when it came.
    let asked = fs::read_to_string(&device.asked).unwrap();
    assert_eq!(asked.lines().count(), 3, "{asked}");
}
