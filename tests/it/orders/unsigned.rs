//! Payments that nothing was signed for have an end that their user sees.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use super::{LIMIT, Site, Store, payee, slow_signers::Device, start};
use crate::support::waiting::wait_until;

/// A signing program that tells its address and signs nothing.
fn declining(site: &Site) -> String {
    let path = site.home.file(
        "declines",
        format!(
            "#!/bin/sh\ncase $(cat) in\n*'\"request\":\"address\"'*) echo '{{\"address\":\"{}\"}}' ;;\n*) echo '{{\"error\":\"the user declined\"}}' ;;\nesac\n",
            site.payer()
        ),
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_payment_is_never_paid_later() {
    for store in [Store::File, Store::Server] {
        let site = Site::new(store).await;
        let device = declining(&site);
        let to = payee(1).to_string();
        let rows = format!("address,amount,id\n{to},2BTT,x\n{},3BTT,y\n", payee(2));
        let file = site.home.file("pay.csv", &rows);
        let file = file.to_str().unwrap();
        for order in [
            &["send", "--to", &to, "--amount", "5BTT", "--yes"][..],
            &["send", "--csv", file, "--yes"],
        ] {
            let run = site.home.run([order, &["--signer", &device]].concat());
            assert_eq!(run.code, 1, "{run:?}");
            assert!(run.stderr.contains("the user declined"), "{run:?}");
            assert!(run.stderr.contains("not signed"), "{run:?}");
        }
        let plan = site.home.run(["settle", "plan", "--json"]).json();
        assert_eq!(plan["unfinished"].as_array().unwrap().len(), 0, "{plan}");
        for command in [
            &["settle", "run", "--yes", "--json"][..],
            &["settle", "resume", "--yes", "--json"],
        ] {
            site.home.run(command).json();
        }
        assert_eq!((site.paid(payee(1)), site.paid(payee(2))), (0, 0));
        // It was not paid: ordered again, it is not asked about.
        let paid = site
            .home
            .run(["send", "--csv", file, "--yes", "--json"])
            .json();
        assert_eq!(paid["confirmed"], 2, "{paid}");
    }
}

/// A command that is killed while its signing device is asked leaves orders of which nothing
/// is signed: they are shown, asked about, and given up or paid as their user says.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_command_left_unsigned_waits_for_its_user() {
    for store in [Store::File, Store::Server] {
        let site = Site::new(store).await;
        let device = Device::of(&site);
        let rows = format!(
            "address,amount,id\n{},2BTT,x\n{},3BTT,y\n",
            payee(1),
            payee(2)
        );
        let file = site.home.file("pay.csv", &rows);
        let program = device.program.to_str().unwrap();
        let send = ["send", "--yes", "--csv", file.to_str().unwrap()];
        let log = site.home.path().join("killed.log");
        let mut killed = start(
            &site.home,
            &[&send[..], &["--signer", program]].concat(),
            &log,
        );
        let asked = device.was_asked(1, &mut killed);
        killed.kill().unwrap();
        killed.wait().unwrap();
        // The device outlived who asked it.
        Command::new("kill")
            .arg(asked.to_string())
            .status()
            .unwrap();

        let plan = site.home.run(["settle", "plan", "--json"]).json();
        let unfinished = plan["unfinished"].as_array().unwrap();
        assert_eq!(unfinished.len(), 2, "{plan}");
        let status = site.home.run(["settle", "status"]);
        assert!(status.stdout.contains("not signed"), "{status:?}");
        // Nobody is there to say yes.
        let run = site.home.run(["settle", "run"]);
        assert_ne!(run.code, 0, "{run:?}");
        let words = "2 payments were ordered by another command and not signed";
        assert!(run.stderr.contains(words), "{run:?}");
        // A watch asks nobody, and leaves them alone.
        let log = site.home.path().join("watch.log");
        let watch = start(&site.home, &["settle", "watch"], &log);
        wait_until("the watch tells of them", LIMIT, || {
            fs::read_to_string(&log).unwrap().contains(words)
        });
        let pid = watch.id().to_string();
        Command::new("kill").args(["-INT", &pid]).status().unwrap();
        watch.wait_with_output().unwrap();
        assert_eq!((site.paid(payee(1)), site.paid(payee(2))), (0, 0));

        // One is given up, the other is paid.
        let of_x = unfinished.iter().find(|order| order["id"] == "x").unwrap();
        let number = of_x["number"].as_str().unwrap();
        let cancel = ["settle", "cancel", number, "--yes", "--json"];
        let report = site.home.run(cancel).json();
        assert_eq!(report["cancelled"].as_array().unwrap().len(), 1, "{report}");
        assert_eq!(report["cancelled"][0]["id"], "x", "{report}");
        let again = site.home.run(cancel).json();
        assert_eq!(again["cancelled"].as_array().unwrap().len(), 0, "{again}");
        site.home
            .run(["settle", "cancel", "17", "--yes", "--json"])
            .error(1);
        site.home.run(["settle", "run", "--yes", "--json"]).json();
        assert_eq!((site.paid(payee(1)), site.paid(payee(2))), (0, 3_000_000));
        let nothing = ["settle", "cancel", "--all", "--yes", "--json"];
        let report = site.home.run(nothing).json();
        assert_eq!(report["cancelled"].as_array().unwrap().len(), 0, "{report}");
        // Ordered again, what was given up is paid, and what was paid is not.
        let report = site.home.run([&send[..], &["--json"]].concat()).json();
        assert_eq!(report["paid_before"], 1, "{report}");
        assert_eq!(
            (site.paid(payee(1)), site.paid(payee(2))),
            (2_000_000, 3_000_000)
        );
    }
}
