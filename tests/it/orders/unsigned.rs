//! Payments that nothing was signed for have an end that their user sees.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{Site, Store, payee};

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
