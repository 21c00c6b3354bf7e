//! TronWeb's and tronpy's own sessions with the devnet: they cannot tell it from
//! a private java-tron network by what they do with TRX and TRC-10.

use seedrail::devnet::Devnet;

use super::peer;

/// A fresh chain and a script that ends with an error at the first difference.
async fn session(script: &'static str) {
    let devnet = Devnet::builder().instant().start().await.unwrap();
    let mut arguments = vec![devnet.url()];
    for account in devnet.accounts().iter().take(5) {
        arguments.push(hex::encode(account.key.expose_bytes()));
    }
    let output =
        tokio::task::spawn_blocking(move || peer::command(script).args(arguments).output())
            .await
            .unwrap()
            .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.ends_with("done\n"),
        "{script} got as far as:\n{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tronweb_uses_the_devnet() {
    session("session.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tronpy_uses_the_devnet() {
    session("session.py").await;
}
