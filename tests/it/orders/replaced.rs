//! A node in whose place another chain answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use seedrail::devnet::Devnet;

use super::{LIMIT, Site, Store, payee, said, start};
use crate::support::{
    http_server::Reply,
    lying_node::{self, Lie},
    waiting::wait_until,
};

#[tokio::test(flavor = "multi_thread")]
async fn another_chain_behind_the_same_url_ends_the_command_and_is_named() {
    ends(0, 60).await;
}

/// As a devnet that was started anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_chain_behind_the_same_url_ends_the_command_and_is_named() {
    ends(60, 1).await;
}

/// The chain that is replaced has so many blocks more, the other one so many.
async fn ends(first_blocks: u64, other_blocks: u64) {
    let site = Site::new(Store::File).await;
    let other = Devnet::builder()
        .block_time(Duration::from_millis(200))
        .start()
        .await
        .unwrap();
    assert_ne!(other.genesis_id(), site.devnet.genesis_id());
    other.pause();
    other.mine(other_blocks);
    site.devnet.mine(first_blocks);
    let replaced = Arc::new(AtomicBool::new(false));
    let (is_replaced, instead) = (replaced.clone(), other.address());
    let node = lying_node::start(site.devnet.address(), move |path, body| {
        if is_replaced.load(Ordering::Acquire) {
            Lie::Instead(Reply::Asked {
                node: instead,
                path: path.to_owned(),
                body: body.clone(),
                change: Box::new(|answer| answer),
            })
        } else {
            Lie::None
        }
    })
    .await;
    let rows = format!("address,amount\n{},1BTT\n{},2BTT\n", payee(1), payee(2));
    let file = site.home.file("pay.csv", rows);
    let log = site.home.path().join("log");
    // Both are sent, and in no block yet.
    site.devnet.pause();
    let send = ["send", "--csv", file.to_str().unwrap(), "--yes", "--json"];
    let url = node.url();
    let mut child = start(&site.home, &[&send[..], &["--node", &url]].concat(), &log);
    wait_until("both are sent", LIMIT, || site.paid(payee(2)) > 0);
    replaced.store(true, Ordering::Release);
    wait_until("it ends", LIMIT, || child.try_wait().unwrap().is_some());
    let output = child.wait_with_output().unwrap();
    let told = std::fs::read_to_string(&log).unwrap();
    assert_eq!(output.status.code(), Some(7), "{told}{}", said(&output));
    assert!(told.contains("other_chain"), "{told}");
    assert!(told.contains("the ledger belongs to"), "{told}");
    // Back on its own chain, the same file is paid once.
    site.devnet.resume();
    assert_eq!(site.home.run(send).json()["confirmed"], 2);
    let paid = [1, 2].map(|n| site.paid(payee(n)));
    assert_eq!(paid, [1_000_000, 2_000_000]);
}
