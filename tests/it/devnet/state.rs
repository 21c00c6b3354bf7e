//! A chain that outlives its process, and one that is steered by hand.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use seedrail::{
    devnet::{AccountFields, CheatError, Devnet, DevnetError, JournalError, Pace},
    tron::{
        contract::Contract,
        rpc::{Finality, Node, NodeConfig},
        transaction::{Draft, RefBlock, Transaction},
    },
    types::{Address, RawAmount, Token, TokenId, UnixMs},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::child::Ended;

const BTT: Token = Token::Trc10(TokenId::BTT);

fn raw(amount: i64) -> RawAmount {
    RawAmount::new(amount).unwrap()
}

/// BTT from account `signer`'s key, out of `owner`'s account.
fn payment(devnet: &Devnet, owner: Address, signer: usize, to: Address, salt: i64) -> Transaction {
    let head = devnet.block(devnet.head_number()).unwrap();
    Draft::new(
        Contract::transfer(owner, to, BTT, raw(7)),
        RefBlock::from(head.id()),
        head.header.timestamp.plus(Duration::from_secs(60)),
        UnixMs(salt),
    )
    .build()
    .sign(&devnet.accounts()[signer].key)
    .unwrap()
}

async fn on_file(path: &Path) -> Result<Devnet, DevnetError> {
    Devnet::builder()
        .pace(Pace::Manual)
        .state(path)
        .start()
        .await
}

fn post(url: &str, body: &Value) -> Value {
    let request = reqwest::Client::new().post(url).body(body.to_string());
    let text = tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current()
            .block_on(async { request.send().await.unwrap().text().await.unwrap() })
    });
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_chain_goes_on_where_its_file_ends() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("chain");
    let devnet = on_file(&path).await.unwrap();
    let (payer, payee) = (devnet.accounts()[0].address, devnet.accounts()[1].address);
    devnet.mine(3);
    let txid = devnet.submit(payment(&devnet, payer, 0, payee, 1)).unwrap();
    devnet.mine(1);
    devnet.fund(payee, Token::Trx, raw(1_000)).unwrap();
    devnet.set_parameter("getMemoFee", 5).unwrap();
    let snapshot = devnet.snapshot();
    devnet.fund(payee, Token::Trx, raw(1_000_000)).unwrap();
    devnet.mine(5);
    assert!(devnet.revert(snapshot));
    devnet.mine(2);
    assert_eq!(devnet.fork(1, true), 1);
    devnet.advance(Duration::from_secs(3_600));
    let head = devnet.mine(1);
    let dump = devnet.dump().unwrap();
    let (genesis, balance) = (devnet.genesis_id(), devnet.balance(payee, Token::Trx));

    let taken = on_file(&path).await.unwrap_err();
    assert!(taken.to_string().contains("in use"), "{taken}");
    drop(devnet);

    let devnet = wait_for(&path).await;
    assert_eq!(devnet.genesis_id(), genesis);
    assert_eq!(devnet.balance(payee, Token::Trx), balance);
    assert_eq!(devnet.balance(payee, BTT).get(), 1_000_000_000_000_007);
    let node = Node::new(&NodeConfig::new(devnet.url())).unwrap();
    let info = node.transaction_info(Finality::Solid, txid).await.unwrap();
    assert_eq!(info.unwrap().block, 4);
    assert_eq!(devnet.dump().unwrap(), dump);
    let newest = devnet.block(devnet.head_number()).unwrap();
    assert_eq!(newest.id(), head);
    // The chain had come an hour ahead of the clock.
    assert!(devnet.now() >= newest.header.timestamp);
    devnet.mine(1);
    assert_eq!(devnet.head_number(), newest.header.number + 1);

    // The same text makes the same chain elsewhere.
    let other = Devnet::builder().pace(Pace::Manual).start().await.unwrap();
    assert_ne!(other.genesis_id(), genesis);
    other.load(&dump).unwrap();
    assert_eq!(other.genesis_id(), genesis);
    assert_eq!(other.dump().unwrap(), dump);
    let cut = dump.trim_end();
    assert!(matches!(other.load(cut), Err(CheatError::State(_))));
    assert_eq!(other.dump().unwrap(), dump);
}

/// Started on a file whose devnet was just dropped: its tasks end in their own
/// time.
async fn wait_for(path: &Path) -> Devnet {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        match on_file(path).await {
            Ok(devnet) => return devnet,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn files_that_are_no_state_are_told_apart() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("chain");
    let devnet = on_file(&path).await.unwrap();
    devnet.mine(3);
    drop(devnet);
    drop(wait_for(&path).await);
    let good = fs::read_to_string(&path).unwrap();

    let refused = async |text: &str| {
        fs::write(&path, text).unwrap();
        match on_file(&path).await.unwrap_err() {
            DevnetError::State(error) => (error.to_string(), error),
            other => panic!("{other}"),
        }
    };
    let (said, _) = refused("a file of the user's own\n").await;
    assert!(said.contains("is not the state file of a devnet"), "{said}");
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "a file of the user's own\n"
    );
    let newer = good.replacen("\"version\":1", "\"version\":9", 1);
    let (said, error) = refused(&newer).await;
    assert!(matches!(*error, JournalError::Version { found: 9, .. }));
    assert!(said.contains("delete it to begin anew"), "{said}");
    let (_, error) = refused(&good.replacen("\"time_ms\":1", "\"time_ms\":2", 2)).await;
    assert!(matches!(*error, JournalError::Damaged { .. }), "{error}");
    // A line in the middle that is gone.
    let mut lines: Vec<&str> = good.lines().collect();
    lines.remove(2);
    let (_, error) = refused(&(lines.join("\n") + "\n")).await;
    assert!(matches!(*error, JournalError::Damaged { .. }), "{error}");

    // The last line was being written: what was confirmed is there.
    fs::write(&path, &good[..good.len() - 20]).unwrap();
    let devnet = on_file(&path).await.unwrap();
    assert_eq!(devnet.head_number(), 2);
    devnet.mine(2);
    drop(devnet);
    assert_eq!(wait_for(&path).await.head_number(), 4);

    let other = Devnet::builder()
        .pace(Pace::Manual)
        .accounts(3)
        .state(&path)
        .start()
        .await;
    assert!(matches!(
        other.unwrap_err(),
        DevnetError::State(error) if matches!(*error, JournalError::Genesis(_))
    ));
}

#[tokio::test]
async fn old_blocks_are_let_go_but_their_transactions_cannot_come_again() {
    let devnet = Devnet::builder()
        .pace(Pace::Manual)
        .keep_blocks(130)
        .start()
        .await
        .unwrap();
    devnet.mine(1);
    let (payer, payee) = (devnet.accounts()[0].address, devnet.accounts()[1].address);
    let head = devnet.block(devnet.head_number()).unwrap();
    let transaction = Draft::new(
        Contract::transfer(payer, payee, BTT, raw(7)),
        RefBlock::from(head.id()),
        head.header.timestamp.plus(Duration::from_secs(20 * 3_600)),
        UnixMs(1),
    )
    .build()
    .sign(&devnet.accounts()[0].key)
    .unwrap();
    devnet.submit(transaction.clone()).unwrap();
    devnet.mine(200);
    assert!(devnet.block(2).is_none());
    assert!(devnet.block(71).is_none());
    assert!(devnet.block(72).is_some());
    assert!(devnet.block(0).is_some());
    let again = devnet.submit(transaction.clone()).unwrap_err();
    assert!(
        again.to_string().contains("DUP_TRANSACTION_ERROR"),
        "{again}"
    );
    assert!(matches!(devnet.dump(), Err(CheatError::State(_))));
    devnet.advance(Duration::from_secs(25 * 3_600));
    devnet.mine(1);
    let again = devnet.submit(transaction).unwrap_err();
    assert!(
        again.to_string().contains("TRANSACTION_EXPIRATION_ERROR"),
        "{again}"
    );
}

#[tokio::test]
async fn accounts_are_set_and_unlocked_by_hand() {
    let devnet = Devnet::builder().pace(Pace::Manual).start().await.unwrap();
    devnet.mine(1);
    let rich: Address = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC".parse().unwrap();
    let payee = devnet.accounts()[1].address;
    let fields = AccountFields {
        balance_sun: Some(3_000_000),
        token: Some((1_002_000, 9)),
        free_net_used: Some(600),
        ..AccountFields::default()
    };
    devnet.set_account(rich, fields).unwrap();
    assert_eq!(devnet.balance(rich, Token::Trx).get(), 3_000_000);
    assert_eq!(devnet.balance(rich, BTT).get(), 9);
    // Signed by a stranger: refused until the account is unlocked.
    let foreign = payment(&devnet, rich, 2, payee, 1);
    let refused = devnet.submit(foreign.clone()).unwrap_err();
    assert!(refused.to_string().contains("SIGERROR"), "{refused}");
    devnet.unlock(&[rich]).unwrap();
    let bytes = u64::try_from(foreign.encode().len() + 64).unwrap();
    let txid = devnet.submit(foreign).unwrap();
    devnet.mine(1);
    let node = Node::new(&NodeConfig::new(devnet.url())).unwrap();
    let info = node.transaction_info(Finality::Head, txid).await.unwrap();
    // Its free bandwidth was used up: every byte is burnt.
    assert_eq!(info.unwrap().fee.0, 1_000 * bytes);
    let wrong = AccountFields {
        balance_sun: Some(-1),
        ..AccountFields::default()
    };
    assert!(matches!(
        devnet.set_account(rich, wrong),
        Err(CheatError::Negative { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cheats_answer_over_http_under_the_names_people_know() {
    let devnet = Devnet::builder().pace(Pace::Manual).start().await.unwrap();
    let payee = devnet.accounts()[1].address;
    let control = |name: &str, body: Value| post(&format!("{}/devnet/{name}", devnet.url()), &body);
    let rpc = |method: &str, params: Value| {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        post(&format!("{}/jsonrpc", devnet.url()), &request)["result"].clone()
    };
    assert_eq!(control("mine", json!({ "blocks": 2 }))["head"], 2);
    let told = control("increasetime", json!({ "seconds": 5 }));
    assert_eq!(
        told["error"],
        "/devnet/increasetime does not know `seconds`: it takes ms"
    );
    assert_eq!(
        control("nothing", json!({}))["error"],
        "there is no /devnet/nothing"
    );
    let set = json!({ "address": payee, "balance_sun": 5, "name": "payee" });
    assert_eq!(control("setaccount", set)["head"], 2);
    assert_eq!(devnet.balance(payee, Token::Trx).get(), 5);
    let dump = control("dump", json!({}))["state"].clone();
    assert_eq!(control("mine", json!({}))["head"], 3);
    assert_eq!(control("load", json!({ "state": dump }))["head"], 2);
    assert_eq!(devnet.balance(payee, Token::Trx).get(), 5);

    assert_eq!(rpc("tre_mine", json!([{ "blocks": 3 }])), "0x0");
    assert_eq!(rpc("eth_blockNumber", json!([])), "0x5");
    assert_eq!(
        rpc("eth_chainId", json!([])),
        format!("{:#010x}", devnet.chain_id())
    );
    let hex = format!("0x{}", &payee.to_hex()[2..]);
    assert_eq!(rpc("tre_setAccountBalance", json!([payee, "0x3e8"])), true);
    assert_eq!(rpc("eth_getBalance", json!([hex, "latest"])), "0x3e8");
    assert_eq!(rpc("tre_unlockedAccounts", json!([[payee]])), true);
    let foreign = payment(&devnet, payee, 2, devnet.accounts()[3].address, 1);
    devnet.submit(foreign).unwrap();
    let snapshot = rpc("evm_snapshot", json!([]));
    assert_eq!(rpc("evm_mine", json!([])), "0x0");
    assert_eq!(rpc("evm_revert", json!([snapshot.clone()])), true);
    assert_eq!(rpc("evm_revert", json!([snapshot])), true);
    assert_eq!(rpc("eth_blockNumber", json!([])), "0x5");
    let now = devnet.now();
    rpc("evm_increaseTime", json!([60]));
    assert!(devnet.now().since(now) >= Duration::from_secs(60));
    // A block for every transaction, then none by itself.
    assert_eq!(rpc("tre_blockTime", json!([0])), true);
    let head = devnet.head_number();
    let paid = payment(&devnet, devnet.accounts()[0].address, 0, payee, 2);
    devnet.submit(paid).unwrap();
    assert!(devnet.head_number() > head);
    assert_eq!(rpc("evm_setAutomine", json!([false])), true);

    let openapi = post(&format!("{}/devnet/openapi.json", devnet.url()), &json!({}));
    let paths = openapi["paths"].as_object().unwrap();
    assert!(paths.len() > 15);
    for path in paths.keys().filter(|path| !path.ends_with(".json")) {
        let answer = post(
            &format!("{}{path}", devnet.url()),
            &json!({ "no such key": 1 }),
        );
        let said = answer["error"].as_str().unwrap();
        assert!(
            said.contains("does not know `no such key`"),
            "{path}: {said}"
        );
    }
}

fn process(folder: &Path) -> (Ended, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_seedrail"))
        .env("SEEDRAIL_HOME", folder)
        .args(["devnet", "--json", "--port", "0", "--block-time", "instant"])
        .args(["--parameter", "getMemoFee=3", "--preset", "genesis"])
        .arg("--state")
        .arg(folder.join("chain"))
        .arg("--genesis")
        .arg(folder.join("genesis.json"))
        .arg("--config-out")
        .arg(folder.join("config.json"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let config = fs::read_to_string(folder.join("config.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&config).unwrap(),
        serde_json::from_str::<Value>(&line).unwrap()
    );
    (Ended(child), serde_json::from_str(&line).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_confirmed_survives_kill_9() {
    let folder = TempDir::new().unwrap();
    let extra = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC";
    let genesis = json!({
        "parameters": { "getFreeNetLimit": 123 },
        "accounts": [{ "address": extra, "balance_sun": 77, "btt_raw": 88 }],
    });
    fs::write(folder.path().join("genesis.json"), genesis.to_string()).unwrap();
    let mut chain = None;
    let mut given = 0;
    for round in 0..8 {
        let (mut process, started) = process(folder.path());
        let url = started["url"].as_str().unwrap().to_owned();
        let known = chain.get_or_insert_with(|| started["genesis"].clone());
        assert_eq!(*known, started["genesis"]);
        let account = post(
            &format!("{url}/wallet/getaccount"),
            &json!({ "address": extra, "visible": true }),
        );
        assert_eq!(account["balance"], 77 + given, "round {round}");
        let parameters = post(&format!("{url}/wallet/getchainparameters"), &json!({}));
        let list = parameters["chainParameter"].as_array().unwrap();
        for (name, value) in [("getMemoFee", 3), ("getFreeNetLimit", 123)] {
            assert!(
                list.iter()
                    .any(|entry| entry["key"] == name && entry["value"] == value)
            );
        }
        for _ in 0..=round {
            let fund = json!({ "address": extra, "amount_raw": 1 });
            let answer = post(&format!("{url}/devnet/fund"), &fund);
            assert!(answer["head"].is_u64(), "{answer}");
            let mined = post(&format!("{url}/devnet/mine"), &json!({ "blocks": 3 }));
            assert!(mined["head"].is_u64(), "{mined}");
            given += 1;
        }
        process.0.kill().unwrap();
        process.0.wait().unwrap();
    }
}

/// A full disk, or here a limit on the file's size: the reason is told, and what
/// was confirmed is there when there is room again.
#[test]
fn a_state_file_that_cannot_be_written_ends_the_devnet() {
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("chain");
    let script =
        "trap '' XFSZ; ulimit -f 16; exec \"$0\" devnet --port 0 --block-time 1ms --state \"$1\"";
    let ended = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_seedrail")])
        .arg(&state)
        .env("SEEDRAIL_HOME", folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains(&state.display().to_string()), "{said}");
    let (_, whole) = fs::read_to_string(&state)
        .map(|text| (text.len(), text.rfind('\n').unwrap()))
        .unwrap();
    assert!(whole > 1_000);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let devnet = runtime.block_on(on_file(&state)).unwrap();
    assert!(devnet.head_number() > 5);
}

#[test]
fn ctrl_c_and_sigterm_end_it_in_order() {
    for signal in ["-INT", "-TERM"] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("genesis.json"), "{}").unwrap();
        let (mut process, _) = process(folder.path());
        let pid = process.0.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
        assert_eq!(process.0.wait().unwrap().code(), Some(0), "{signal}");
    }
}
