//! Questions, and the person who answers them.

use super::{Site, Store, payee};
use crate::support::terminal::Terminal;

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_at_a_question_ends_at_once_and_stores_nothing() {
    let site = Site::new(Store::File).await;
    let to = payee(1).to_string();
    let send = ["send", "--to", &to, "--amount", "5BTT", "--memo", "for you"];
    let mut terminal = Terminal::start(&site.home, &send);
    terminal.expect("pays 5 BTT to");
    terminal.expect("with the memo `for you`");
    terminal.expect("Send it? [y/N]");
    terminal.key("\u{3}");
    let (code, screen) = terminal.end();
    assert_eq!(code, 130, "{screen}");
    let status = site.home.run(["settle", "status", "--json"]).json();
    assert_eq!(status["payouts"], 0, "{status}");
    // A whole yes is one, and so is what is asked about an equal payment.
    for (question, answer) in [("Send it? [y/N]", "yes"), ("Pay it again? [y/N]", "Y")] {
        let mut terminal = Terminal::start(&site.home, &send);
        terminal.expect(question);
        terminal.line(answer);
        let (code, screen) = terminal.end();
        assert_eq!(code, 0, "{screen}");
        assert!(screen.contains("is final"), "{screen}");
    }
    assert_eq!(site.paid(payee(1)), 10_000_000);
    let mut terminal = Terminal::start(&site.home, &send);
    terminal.expect("equal payment: ");
    terminal.expect("Pay it again? [y/N]");
    terminal.line("");
    let (code, screen) = terminal.end();
    assert_eq!(code, 1, "{screen}");
    assert_eq!(site.paid(payee(1)), 10_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_that_is_named_must_be_the_keys() {
    let site = Site::new(Store::File).await;
    let (to, other) = (payee(1).to_string(), payee(2).to_string());
    let own = site.payer().to_string();
    for (account, part) in [
        (other.as_str(), "belongs to"),
        ("nosuchwallet", "no wallet"),
    ] {
        for command in [
            &["send", "--to", &to, "--amount", "1TRX", "--yes"][..],
            &["send", "--to", &to, "--amount", "1TRX", "--dry-run"],
            &["balance"],
            &["settle", "plan"],
            &["settle", "status"],
            &["settle", "history"],
            &["wallet", "sign", "hello"],
        ] {
            let run = site.home.run([command, &["--account", account]].concat());
            assert_ne!(run.code, 0, "{command:?}: {run:?}");
            assert!(run.stderr.contains(part), "{command:?}: {run:?}");
        }
    }
    assert_eq!(site.paid(payee(1)), 0);
    let run = site.home.run(["balance", "--account", &own, "--json"]);
    assert_eq!(run.json()["address"], own);
}
