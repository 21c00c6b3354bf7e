//! The engine through the real node client against the embedded devnet: real
//! blocks, fees and HTTP, with faults on.

use std::time::Duration;

use seedrail::{
    devnet::{Devnet, Fault, FaultKind},
    ledger::{ChainBound, Pair, Payouts, Receipts, Remainder, SqliteLedger},
    receipts::{Receipt, ReceiptDomain, SignedReceipt},
    settle::{
        BatchReport, Engine, Event, NodeChain, Policy, RunReport, SettleError, random_number,
    },
    tron::{
        keys::SecretKey,
        rpc::{Node, NodeConfig},
    },
    types::{Address, RawAmount, Salt, SystemClock, Token, TokenId},
};

const PAYEES: u8 = 60;

pub(super) fn payee(index: u8) -> Address {
    Address::from_body([0x60 + index; 20])
}

pub(super) fn owe(ledger: &SqliteLedger, key: &SecretKey, index: u8, amount: i64) {
    let pair = Pair {
        payer: key.address(),
        payee: payee(index),
        token: TokenId::BTT,
    };
    let lease = ledger.claim_epoch(&pair, 0).unwrap();
    let receipt = Receipt {
        payer: pair.payer,
        payee: pair.payee,
        signer: pair.payer,
        vault: Address::ZERO,
        token: pair.token,
        epoch: lease.epoch,
        since_block: 0,
        sequence: 1,
        amount: RawAmount::new(amount).unwrap(),
        delivered_bytes: 1,
        issued_at: 1_790_000_000,
        grant: Salt::ZERO,
    };
    let domain = ReceiptDomain::new(ledger.genesis());
    let signed = SignedReceipt::sign(receipt, &domain, key).unwrap();
    ledger
        .issue(&lease, &signed.to_row(), Remainder::default(), None)
        .unwrap();
}

async fn run(
    ledger: &SqliteLedger,
    chain: &NodeChain,
    key: &SecretKey,
) -> Result<RunReport, SettleError> {
    let engine = Engine {
        ledger,
        chain,
        clock: &SystemClock,
        account: key.address(),
        permission_id: 0,
        holder: "test",
        report: &|_: &Event| {},
        random: &random_number,
    };
    engine
        .run(key, TokenId::BTT, &Policy::default(), |_| true)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_cut_off_again_and_again_pays_each_payee_once() {
    let devnet = Devnet::builder()
        .block_time(Duration::from_millis(150))
        .start()
        .await
        .unwrap();
    let key = devnet.accounts()[0].key.clone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    let chain = NodeChain::new(Node::new(&NodeConfig::new(devnet.url())).unwrap());
    {
        let ledger = SqliteLedger::open(&path, devnet.genesis_id()).unwrap();
        for index in 0..PAYEES {
            owe(&ledger, &key, index, 1000 + i64::from(index));
        }
    }
    let fault = |endpoint: &str, per_million, kind| {
        let endpoint = endpoint.to_owned();
        devnet
            .add_fault(Fault {
                endpoint,
                per_million,
                kind,
                times: None,
            })
            .unwrap();
    };
    devnet.seed_faults(8);
    fault("/wallet/broadcasthex", 100_000, FaultKind::DropAfter);
    fault("/wallet/broadcasthex", 100_000, FaultKind::DoubleBroadcast);
    fault("/wallet/broadcasthex", 50_000, FaultKind::DropBefore);
    fault("/walletsolidity/*", 50_000, FaultKind::Garbage);
    fault("/walletsolidity/*", 50_000, FaultKind::NotFound);

    // Each time the process is gone after a moment, wherever it is.
    for cut in [40, 120, 300, 700, 1500] {
        let ledger = SqliteLedger::open(&path, devnet.genesis_id()).unwrap();
        let running = run(&ledger, &chain, &key);
        let _ = tokio::time::timeout(Duration::from_millis(cut), running).await;
    }
    devnet.clear_faults();
    let ledger = SqliteLedger::open(&path, devnet.genesis_id()).unwrap();
    tokio::time::timeout(Duration::from_secs(150), run(&ledger, &chain, &key))
        .await
        .unwrap()
        .unwrap();

    for index in 0..PAYEES {
        let balance = devnet.balance(payee(index), Token::Trc10(TokenId::BTT));
        assert_eq!(balance.get(), 1000 + i64::from(index), "payee {index}");
    }
    let engine = Engine {
        ledger: &ledger,
        chain: &chain,
        clock: &SystemClock,
        account: key.address(),
        permission_id: 0,
        holder: "test",
        report: &|_: &Event| {},
        random: &random_number,
    };
    assert!(engine.audit().await.unwrap().is_empty());
    // A run that was cut off before it signed gives up the rest, to be planned anew.
    let batches = ledger.batches(key.address(), u32::MAX).unwrap();
    let reports: Vec<_> = batches
        .into_iter()
        .map(|batch| BatchReport::read(&ledger, batch).unwrap())
        .collect();
    let paid: u64 = reports.iter().map(|batch| batch.counts.confirmed).sum();
    assert_eq!(paid, u64::from(PAYEES), "each once");
    // Each one made an account: its fee was burnt and is known.
    let fees: u64 = reports.iter().map(|batch| batch.fee.0).sum();
    assert!(fees >= u64::from(PAYEES) * 1_000_000);
}
