//! Several processes on one PostgreSQL, and a database that goes away.

use std::{
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use seedrail::ledger::{AttemptState, Ledger};

use crate::support::{postgres_server, site::Site, waiting::wait_until};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

fn run(site: &Site) -> Child {
    site.seedrail(&["settle", "run", "--yes", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn text(output: &Output) -> String {
    let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// How many of the batch's attempts were handed to the node.
fn sent(site: &Site, ledger: &dyn Ledger) -> usize {
    ledger
        .unfinished(site.payer.address)
        .unwrap()
        .iter()
        .flat_map(|batch| ledger.attempts(batch.id).unwrap())
        .filter(|attempt| attempt.get().state != AttemptState::Signed)
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_workers_account_is_taken_over_and_nobody_is_paid_twice() {
    let site = Site::new(Some(postgres_server::shared().database()), 40).await;
    tokio::task::spawn_blocking(move || {
        site.owe(1);
        let ledger = site.watcher();
        let mut workers = [run(&site), run(&site)];
        wait_until("some are sent", LIMIT, || sent(&site, ledger.as_ref()) > 5);
        let holder = ledger.account_holder(site.payer.address).unwrap().unwrap();
        let has_it = |worker: &Child| holder.starts_with(&format!("process {} ", worker.id()));
        let at = workers.iter().position(has_it).expect("one of the two");
        workers[at].kill().unwrap();
        workers[at].wait().unwrap();
        let [first, second] = workers;
        let left = if at == 0 { second } else { first };
        let output = left.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        assert!(text(&output).contains("waiting for it to end"));
        site.is_settled(1);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stood_still_stops_when_another_took_over() {
    let site = Site::new(Some(postgres_server::shared().database()), 40).await;
    tokio::task::spawn_blocking(move || {
        site.owe(1);
        let ledger = site.watcher();
        let still = run(&site);
        wait_until("some are sent", LIMIT, || sent(&site, ledger.as_ref()) > 5);
        let signal = |name: &str| {
            let id = still.id().to_string();
            assert!(
                Command::new("kill")
                    .args([name, &id])
                    .status()
                    .unwrap()
                    .success()
            );
        };
        signal("-STOP");
        // It waits ten seconds for the lease to run out, then does all of it.
        let output = run(&site).wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        site.is_settled(1);
        signal("-CONT");
        let late = still.wait_with_output().unwrap();
        // It reads that all is done, is refused what it wants to write, or the
        // database has hung up in the middle of a transaction.
        assert!(text(&late).contains("was lost"), "{}", text(&late));
        assert!(
            matches!(late.status.code(), Some(0 | 1 | 6)),
            "{}",
            text(&late)
        );
        site.is_settled(1);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_goes_on_when_postgres_was_stopped_and_started() {
    let server = postgres_server::Server::start();
    let site = Site::new(Some(server.database()), 40).await;
    tokio::task::spawn_blocking(move || {
        site.owe(1);
        let ledger = site.watcher();
        for order in ["stop", "crash"] {
            let worker = run(&site);
            wait_until("some are signed", LIMIT, || {
                !ledger.live_attempts(site.payer.address).unwrap().is_empty()
                    || ledger.unfinished(site.payer.address).unwrap().is_empty()
            });
            server.order(order);
            server.order("start");
            let output = worker.wait_with_output().unwrap();
            // It came through, or it says that it may be run again.
            assert!(
                matches!(output.status.code(), Some(0 | 1 | 6)),
                "{}",
                text(&output)
            );
            if order == "stop" {
                site.owe(2);
            }
        }
        site.succeeds(&["settle", "run", "--yes", "--json"]);
        site.is_settled(2);
    })
    .await
    .unwrap();
}
