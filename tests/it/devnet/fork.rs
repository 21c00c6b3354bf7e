//! Devnets over another devnet's chain: what is read, what is kept, and what becomes of a node
//! that is slow, gone or lies.

mod lies;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use seedrail::{
    devnet::{Builder, Devnet, DevnetError, JournalError, Pace},
    tron::{
        keys::{SignRequest, Signer},
        rpc::NodeConfig,
    },
    types::{Address, Token, TokenId},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{post, result};
use crate::support::{
    child::Ended,
    http_server::Server,
    lying_node::{self, Lie},
};

/// The phrase of the forked chain's accounts, so that they are not those of the fork.
const PHRASE: &str =
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
const BTT: Token = Token::Trc10(TokenId::BTT);
/// Where the tests' own code is put.
const CODE: &str = "41000000000000000000000000000000000000c0de";

async fn chain() -> Devnet {
    Devnet::builder()
        .instant()
        .idle_blocks(false)
        .mnemonic(PHRASE)
        .trc20("USDT:6".parse().unwrap())
        .start()
        .await
        .unwrap()
}

fn over(url: String) -> Builder {
    Devnet::builder()
        .instant()
        .idle_blocks(false)
        .fork(NodeConfig::new(url))
}

fn of_address(address: &Address) -> String {
    format!("{:0>64}", hex::encode(address.body()))
}

/// What a TRC-20 token says of an account, in raw units.
async fn token_balance(devnet: &Devnet, token: Address, who: Address) -> u64 {
    let call = json!({
        "owner_address": who.to_hex(), "contract_address": token.to_hex(),
        "function_selector": "balanceOf(address)", "parameter": of_address(&who),
    });
    let answer = post(devnet, "/wallet/triggerconstantcontract", call).await;
    let word = answer["constant_result"][0].as_str();
    let word = word.unwrap_or_else(|| panic!("{answer}"));
    u64::from_str_radix(word.trim_start_matches('0'), 16).unwrap_or_default()
}

async fn account(devnet: &Devnet, who: Address) -> Value {
    let whose = json!({ "address": who.to_hex(), "visible": false });
    post(devnet, "/wallet/getaccount", whose).await
}

async fn impersonate(devnet: &Devnet, who: Address) {
    let done = result(
        devnet,
        "/tre",
        "tre_impersonateAccount",
        json!([who.to_hex()]),
    );
    assert_eq!(done.await, true);
}

/// Builds a transaction by the node, and sends it as it is: the answer and what the chain notes
/// of it.
async fn unsigned(devnet: &Devnet, path: &str, body: Value) -> (Value, Value) {
    let mut built = post(devnet, path, body).await;
    if let Some(inner) = built.get("transaction") {
        built = inner.clone();
    }
    let answer = post(devnet, "/wallet/broadcasttransaction", built.clone()).await;
    let id = json!({ "value": built["txID"] });
    let info = post(devnet, "/wallet/gettransactioninfobyid", id).await;
    (answer, info)
}

fn pay(from: Address, to: Address, sun: u64) -> Value {
    json!({ "owner_address": from.to_hex(), "to_address": to.to_hex(), "amount": sun })
}

fn call(from: Address, to: Address, function: &str, parameter: String) -> Value {
    json!({
        "owner_address": from.to_hex(), "contract_address": to.to_hex(),
        "function_selector": function, "parameter": parameter, "fee_limit": 100_000_000,
    })
}

fn stays(shown: Value) -> Value {
    // What has been used is of the chain that it was used on, and so is who is settled.
    let mut shown = shown;
    let object = shown.as_object_mut().unwrap();
    for name in [
        "asset_optimized",
        "free_net_usage",
        "latest_consume_free_time",
        "latest_consume_time",
        "latest_opration_time",
        "net_window_size",
        "net_window_optimized",
        "account_resource",
    ] {
        object.remove(name);
    }
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_of_the_forked_chain_pays_with_what_it_has_there() {
    let source = chain().await;
    let (holder, issuer) = (source.accounts()[0].address, &source.accounts()[1]);
    let usdt = source.trc20()[0].1;
    // A token of that chain's, whose id this chain would give as well.
    let issue = json!({
        "owner_address": issuer.address.to_hex(), "name": hex::encode("Gold"), "abbr": hex::encode("AU"),
        "total_supply": 1_000, "precision": 2, "trx_num": 1, "num": 1, "url": hex::encode("au"),
        "start_time": source.now().0 + 60_000, "end_time": source.now().0 + 120_000,
    });
    let mut built = post(&source, "/wallet/createassetissue", issue).await;
    let raw = hex::decode(built["raw_data_hex"].as_str().unwrap()).unwrap();
    let request = SignRequest::Transaction { raw_data: &raw };
    let signature = issuer.key.sign_request(&request).unwrap();
    built["signature"] = json!([hex::encode(signature.to_transaction_bytes())]);
    let sent = post(&source, "/wallet/broadcasttransaction", built).await;
    assert_eq!(sent["result"], true, "{sent}");
    let untouched = source.dump().unwrap();

    let fork = over(source.url()).start().await.unwrap();
    let forked = fork.forked().unwrap();
    assert_eq!(forked.chain, source.genesis_id());
    assert_eq!(forked.block, source.head_number());
    assert_ne!(fork.genesis_id(), source.genesis_id());
    let bob = fork.accounts()[0].address;

    // Accounts, tokens and contracts are there as they are there.
    for who in [holder, issuer.address] {
        assert_eq!(
            stays(account(&fork, who).await),
            stays(account(&source, who).await)
        );
    }
    let gold = json!({ "value": "1000001" });
    let contract = json!({ "value": usdt.to_hex() });
    for (path, what) in [
        ("/wallet/getassetissuebyid", &gold),
        ("/wallet/getcontract", &contract),
        ("/wallet/getcontractinfo", &contract),
    ] {
        let mut here = post(&fork, path, what.clone()).await;
        let mut there = post(&source, path, what.clone()).await;
        for shown in [&mut here, &mut there] {
            if let Some(object) = shown.as_object_mut() {
                object.remove("contract_state");
            }
        }
        assert_eq!(here, there, "{path}");
        assert_ne!(here, json!({}), "{path}");
    }
    let eth = [
        json!([format!("0x{}", hex::encode(holder.body())), "latest"]),
        json!([format!("0x{}", hex::encode(usdt.body())), "latest"]),
    ];
    for (method, parameters) in ["eth_getBalance", "eth_getCode"].into_iter().zip(eth) {
        let here = result(&fork, "/jsonrpc", method, parameters.clone()).await;
        assert_eq!(here, result(&source, "/jsonrpc", method, parameters).await);
    }
    let all = 1_000_000_000_000_000;
    assert_eq!(token_balance(&fork, usdt, holder).await, all);
    assert_eq!(token_balance(&fork, usdt, bob).await, 0);

    // Without its key, the holder's transactions are refused like anybody's.
    let to_bob = format!("{}{all:064x}", of_address(&bob));
    let all_of_it = call(holder, usdt, "transfer(address,uint256)", to_bob);
    let (answer, _) = unsigned(&fork, "/wallet/triggersmartcontract", all_of_it.clone()).await;
    assert_eq!(answer["code"], "SIGERROR", "{answer}");
    impersonate(&fork, holder).await;
    let (answer, info) = unsigned(&fork, "/wallet/triggersmartcontract", all_of_it).await;
    assert_eq!(answer["result"], true, "{answer}");
    assert_eq!(info["receipt"]["result"], "SUCCESS", "{info}");
    // The slot that is empty now hides the full one below it.
    assert_eq!(token_balance(&fork, usdt, holder).await, 0);
    assert_eq!(token_balance(&fork, usdt, bob).await, all);

    // So do TRX and tokens.
    let before = fork.balance(holder, Token::Trx).get();
    let (answer, info) = unsigned(
        &fork,
        "/wallet/createtransaction",
        pay(holder, bob, 5_000_000),
    )
    .await;
    assert_eq!(answer["result"], true, "{answer}");
    let fee = info["fee"].as_i64().unwrap_or_default();
    assert_eq!(
        fork.balance(holder, Token::Trx).get(),
        before - 5_000_000 - fee
    );
    assert_eq!(
        fork.balance(bob, Token::Trx).get(),
        1_000_000_000_000 + 5_000_000
    );
    let btt = fork.balance(holder, BTT).get();
    assert_eq!(btt, source.balance(holder, BTT).get());
    let tokens = json!({
        "owner_address": holder.to_hex(), "to_address": bob.to_hex(),
        "asset_name": hex::encode("1002000"), "amount": btt,
    });
    let (answer, _) = unsigned(&fork, "/wallet/transferasset", tokens).await;
    assert_eq!(answer["result"], true, "{answer}");
    assert_eq!(fork.balance(holder, BTT).get(), 0);
    impersonate(&fork, issuer.address).await;
    let some = json!({
        "owner_address": issuer.address.to_hex(), "to_address": bob.to_hex(),
        "asset_name": hex::encode("1000001"), "amount": 400,
    });
    let (answer, _) = unsigned(&fork, "/wallet/transferasset", some).await;
    assert_eq!(answer["result"], true, "{answer}");
    let gold = Token::Trc10(TokenId::new(1_000_001).unwrap());
    assert_eq!(fork.balance(issuer.address, gold).get(), 600);
    assert_eq!(fork.balance(bob, gold).get(), 400);

    // A token that is issued here does not take the id of one there.
    let issue = json!({
        "owner_address": bob.to_hex(), "name": hex::encode("Own"), "abbr": hex::encode("OWN"),
        "total_supply": 1, "trx_num": 1, "num": 1, "url": hex::encode("own"),
        "start_time": fork.now().0 + 60_000, "end_time": fork.now().0 + 120_000,
    });
    impersonate(&fork, bob).await;
    let (answer, info) = unsigned(&fork, "/wallet/createassetissue", issue).await;
    assert_eq!(answer["result"], true, "{answer}");
    assert_eq!(info["assetIssueID"], "2000001", "{info}");

    // The forked chain has noticed nothing.
    assert_eq!(source.dump().unwrap(), untouched);
    assert_eq!(token_balance(&source, usdt, holder).await, all);
    assert_eq!(token_balance(&source, usdt, bob).await, 0);
}

/// What becomes of a question, by its path and its body.
type Lying = fn(&str, &Value) -> Lie;

/// A node in front of the chain that lies as it is told to, and counts.
struct Between {
    server: Server,
    lie: Arc<Mutex<Option<Lying>>>,
}

impl Between {
    async fn of(source: &Devnet) -> Self {
        let lie: Arc<Mutex<Option<Lying>>> = Arc::default();
        let told = Arc::clone(&lie);
        let server = lying_node::start(source.address(), move |path, body| {
            let lie = *told.lock().unwrap();
            lie.map_or(Lie::None, |lie| lie(path, body))
        })
        .await;
        Self { server, lie }
    }

    fn says(&self, lie: Lying) {
        *self.lie.lock().unwrap() = Some(lie);
    }

    fn is_honest(&self) {
        *self.lie.lock().unwrap() = None;
    }

    /// How often it was asked for something.
    fn asked(&self) -> usize {
        self.server.asked().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_question_is_asked_once_and_not_there_is_an_answer() {
    let source = chain().await;
    let between = Between::of(&source).await;
    let fork = over(between.server.url()).start().await.unwrap();
    let (holder, usdt) = (source.accounts()[0].address, source.trc20()[0].1);
    let nobody = Address::from_body([7; 20]);
    let ask = async || {
        assert_eq!(account(&fork, nobody).await, json!({}));
        let contract = json!({ "value": nobody.to_hex() });
        assert_eq!(
            post(&fork, "/wallet/getcontract", contract).await,
            json!({})
        );
        let slot = json!([nobody.to_hex(), "0x0", "latest"]);
        let slot = result(&fork, "/jsonrpc", "eth_getStorageAt", slot).await;
        assert_eq!(slot, format!("0x{}", "0".repeat(64)));
        let token = json!({ "value": "1000007" });
        let token = post(&fork, "/wallet/getassetissuebyid", token).await;
        assert_eq!(token, json!({}));
        token_balance(&fork, usdt, holder).await
    };
    let before = between.asked();
    let snapshot = fork.snapshot();
    assert_eq!(ask().await, 1_000_000_000_000_000);
    let once = between.asked();
    assert!(once > before);
    assert_eq!(ask().await, 1_000_000_000_000_000);
    assert_eq!(between.asked(), once);

    // What was read stays read over changes, a revert and a reset.
    impersonate(&fork, holder).await;
    let parameter = format!("{}{:064x}", of_address(&nobody), 3);
    let body = call(holder, usdt, "transfer(address,uint256)", parameter);
    let (answer, _) = unsigned(&fork, "/wallet/triggersmartcontract", body).await;
    assert_eq!(answer["result"], true, "{answer}");
    assert_eq!(token_balance(&fork, usdt, nobody).await, 3);
    let paid = between.asked();
    assert!(fork.revert(snapshot));
    assert_eq!(ask().await, 1_000_000_000_000_000);
    assert_eq!(token_balance(&fork, usdt, nobody).await, 0);
    assert_eq!(
        result(&fork, "/jsonrpc", "anvil_reset", json!([])).await,
        true
    );
    assert_eq!(ask().await, 1_000_000_000_000_000);
    assert_eq!(between.asked(), paid);

    // The accounts of the phrase are laid over what is there.
    let own = fork.accounts()[3].address;
    post(
        &source,
        "/devnet/fund",
        json!({ "address": own.to_hex(), "amount_raw": 77 }),
    )
    .await;
    assert_eq!(fork.balance(own, Token::Trx).get(), 1_000_000_000_000);
    assert_eq!(between.asked(), paid);
}

/// Puts code on a chain.
async fn put_code(devnet: &Devnet, code: &str) {
    let body = json!({ "address": CODE, "code": code });
    let done = post(devnet, "/devnet/setcode", body).await;
    assert!(done.get("error").is_none(), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_block_shows_to_be_needed_is_read_for_it() {
    let source = chain().await;
    // TIMESTAMP SLOAD POP STOP
    put_code(&source, "42545000").await;
    let between = Between::of(&source).await;
    let lines = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&lines);
    let fork = Devnet::builder()
        .pace(Pace::Manual)
        .fork(NodeConfig::new(between.server.url()))
        .log(move |event| heard.lock().unwrap().push(event.to_string()))
        .start()
        .await
        .unwrap();
    let (alice, at_code) = (fork.accounts()[0].address, CODE.parse().unwrap());
    impersonate(&fork, alice).await;
    let send = async || {
        let body = call(alice, at_code, "run()", String::new());
        let (answer, _) = unsigned(&fork, "/wallet/triggersmartcontract", body).await;
        assert_eq!(answer["result"], true, "{answer}");
        answer["txid"].clone()
    };
    // Judged for one time, in a block of another.
    let txid = send().await;
    let before = between.asked();
    fork.advance(Duration::from_secs(60));
    fork.mine(1);
    assert_eq!(between.asked(), before + 1);
    let info = post(
        &fork,
        "/wallet/gettransactioninfobyid",
        json!({ "value": txid }),
    )
    .await;
    assert_eq!(info["receipt"]["result"], "SUCCESS", "{info}");

    // Without the node, the transaction is not in the block, and that is said.
    let txid = send().await;
    drop(between);
    fork.advance(Duration::from_secs(60));
    let head = fork.head_number();
    fork.mine(1);
    assert_eq!(fork.head_number(), head + 1);
    assert!(fork.block(head + 1).unwrap().transactions.is_empty());
    let lines = lines.lock().unwrap();
    let refused = |line: &&String| {
        line.contains("refused")
            && line.contains(txid.as_str().unwrap())
            && line.contains("storage slot")
    };
    assert_eq!(lines.iter().filter(refused).count(), 1, "{lines:?}");
    assert!(
        lines
            .iter()
            .any(|line| line.trim() == format!("read contract {at_code}")),
        "{lines:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_block_is_judged_again_with_what_that_needs() {
    let source = chain().await;
    // CALLER BALANCE SLOAD POP STOP
    put_code(&source, "3331545000").await;
    let between = Between::of(&source).await;
    let fork = Devnet::builder()
        .pace(Pace::Manual)
        .fork(NodeConfig::new(between.server.url()));
    let fork = fork.start().await.unwrap();
    let (alice, at_code) = (fork.accounts()[0].address, CODE.parse().unwrap());
    impersonate(&fork, alice).await;
    let body = call(alice, at_code, "run()", String::new());
    let (answer, _) = unsigned(&fork, "/wallet/triggersmartcontract", body).await;
    assert_eq!(answer["result"], true, "{answer}");
    // Another balance names another slot, for the transaction that waits.
    let more = json!({ "address": alice.to_hex(), "amount_raw": 1 });
    let before = between.asked();
    let status = post(&fork, "/devnet/fund", more.clone()).await;
    assert_eq!(status["pending"], 1, "{status}");
    assert_eq!(between.asked(), before + 1);
    let snapshot = fork.snapshot();
    // Without the node it cannot wait any more, and the rest goes on.
    drop(between);
    let status = post(&fork, "/devnet/fund", more).await;
    assert_eq!(status["pending"], 0, "{status}");
    assert_eq!(fork.balance(alice, Token::Trx).get(), 1_000_000_000_000 + 2);
    assert!(fork.revert(snapshot));
    fork.mine(1);
    assert_eq!(fork.block(1).unwrap().transactions.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_that_destroyed_itself_does_not_come_back() {
    let source = chain().await;
    // PUSH20 heir SELFDESTRUCT
    put_code(&source, &format!("73{}ff", "22".repeat(20))).await;
    for slot in ["0x5", "0x6"] {
        let word = json!({ "address": CODE, "slot": slot, "value": "0x7" });
        post(&source, "/devnet/setstorage", word).await;
    }
    post(
        &source,
        "/devnet/fund",
        json!({ "address": CODE, "amount_raw": 44 }),
    )
    .await;
    let between = Between::of(&source).await;
    let fork = over(between.server.url()).start().await.unwrap();
    let slot = async |slot: &str| {
        let which = json!([CODE, slot, "latest"]);
        let word = result(&fork, "/jsonrpc", "eth_getStorageAt", which).await;
        word.as_str()
            .unwrap()
            .trim_start_matches("0x")
            .trim_start_matches('0')
            .to_owned()
    };
    assert_eq!(slot("0x5").await, "7");
    let (alice, at_code) = (fork.accounts()[0].address, CODE.parse().unwrap());
    impersonate(&fork, alice).await;
    let body = call(alice, at_code, "run()", String::new());
    let (answer, info) = unsigned(&fork, "/wallet/triggersmartcontract", body).await;
    assert_eq!(answer["result"], true, "{answer}");
    assert_eq!(info["receipt"]["result"], "SUCCESS", "{info}");
    assert_eq!(
        fork.balance(Address::from_body([0x22; 20]), Token::Trx)
            .get(),
        44
    );
    let asked = between.asked();
    for path in ["/wallet/getcontract", "/wallet/getcontractinfo"] {
        assert_eq!(post(&fork, path, json!({ "value": CODE })).await, json!({}));
    }
    assert_eq!(account(&fork, at_code).await, json!({}));
    assert_eq!(
        (slot("0x5").await, slot("0x6").await),
        (String::new(), String::new())
    );
    assert_eq!(between.asked(), asked);
}

async fn on_file(path: &Path, url: &str) -> Result<Devnet, DevnetError> {
    over(url.to_owned()).state(path).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_fork_goes_on_without_its_node() {
    let source = chain().await;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("chain");
    let url = source.url();
    let (holder, usdt) = (source.accounts()[0].address, source.trc20()[0].1);
    let fork = on_file(&path, &url).await.unwrap();
    let bob = fork.accounts()[0].address;
    impersonate(&fork, holder).await;
    let send = async |amount: u64| {
        let parameter = format!("{}{amount:064x}", of_address(&bob));
        let body = call(holder, usdt, "transfer(address,uint256)", parameter);
        let (answer, _) = unsigned(&fork, "/wallet/triggersmartcontract", body).await;
        assert_eq!(answer["result"], true, "{answer}");
    };
    send(5).await;
    // Read on a way that is left again, and needed on the one that stays.
    let snapshot = fork.snapshot();
    let other = source.accounts()[2].address;
    post(
        &fork,
        "/devnet/fund",
        json!({ "address": other, "amount_raw": 9 }),
    )
    .await;
    send(6).await;
    assert!(fork.revert(snapshot));
    post(
        &fork,
        "/devnet/fund",
        json!({ "address": other, "amount_raw": 1 }),
    )
    .await;
    send(7).await;
    let text = fs::read_to_string(&path).unwrap();
    let reads = text
        .lines()
        .filter(|line| line.starts_with("{\"read\""))
        .count();
    assert!(reads >= 5, "{text}");
    let expected = (fork.genesis_id(), fork.head_number(), fork.dump().unwrap());
    let shown = account(&fork, holder).await;
    drop((fork, source));

    let again = on_file(&path, &url).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let now = (
        again.genesis_id(),
        again.head_number(),
        again.dump().unwrap(),
    );
    assert_eq!(now, expected);
    assert_eq!(account(&again, holder).await, shown);
    assert_eq!(token_balance(&again, usdt, bob).await, 12);
    assert_eq!(again.balance(other, Token::Trx).get(), 1_000_000_000_001);
    // A dump is the same chain, too.
    again.load(&expected.2).unwrap();
    assert_eq!(again.dump().unwrap(), expected.2);
    assert_eq!(token_balance(&again, usdt, bob).await, 12);
    // What was not read cannot be any more.
    let never = Address::from_body([9; 20]);
    let said = account(&again, never).await;
    assert!(
        said["Error"].as_str().unwrap().contains("cannot connect"),
        "{said}"
    );
    drop(again);

    // Not as another chain, and not on another chain's node.
    let plain = Devnet::builder().instant().state(&path).start().await;
    let error = plain.unwrap_err();
    assert!(
        matches!(&error, DevnetError::State(why) if matches!(**why, JournalError::Genesis(_))),
        "{error}"
    );
    let other = chain().await;
    let again = on_file(&path, &other.url()).await.unwrap();
    let said = account(&again, never).await;
    assert!(
        said["Error"].as_str().unwrap().contains("another chain"),
        "{said}"
    );
    let fresh = Devnet::builder().start().await.unwrap();
    let error = fresh.load(&expected.2).unwrap_err();
    assert!(error.to_string().contains("--fork"), "{error}");
    drop(again);

    // An answer that is gone from the file is missed.
    let left: Vec<_> = expected
        .2
        .lines()
        .filter(|line| !line.contains("\"slot\""))
        .collect();
    fs::write(&path, left.join("\n") + "\n").unwrap();
    let error = on_file(&path, &url).await.unwrap_err();
    assert!(error.to_string().contains("no answer"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_forks_of_one_chain_do_not_meet() {
    let source = chain().await;
    let holder = source.accounts()[0].address;
    let forks = [
        over(source.url()).start().await.unwrap(),
        over(source.url()).start().await.unwrap(),
    ];
    for (fork, sun) in forks.iter().zip([1_000_000, 2_000_000]) {
        impersonate(fork, holder).await;
        let bob = fork.accounts()[0].address;
        let body = pay(holder, bob, sun);
        let (answer, _) = unsigned(fork, "/wallet/createtransaction", body).await;
        assert_eq!(answer["result"], true, "{answer}");
        let held = fork.balance(bob, Token::Trx).get();
        assert_eq!(held, 1_000_000_000_000 + i64::try_from(sun).unwrap());
    }
    // A fork can be forked.
    let third = over(forks[1].url()).start().await.unwrap();
    assert_eq!(
        third.balance(holder, Token::Trx),
        forks[1].balance(holder, Token::Trx)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_what_it_forks() {
    let source = chain().await;
    let home = TempDir::new().unwrap();
    let start = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seedrail"));
        command.arg("--home").arg(home.path()).args(options);
        command.args(["devnet", "--port", "0", "--fork", &source.url()]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = Ended(command.spawn().unwrap());
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        (lines.next().unwrap().unwrap(), lines, child)
    };
    let (line, _lines, _child) = start(&["--json"]);
    let shown: Value = serde_json::from_str(&line).unwrap();
    let fork = &shown["fork"];
    assert_eq!(fork["url"], source.url());
    assert_eq!(fork["genesis"], source.genesis_id().to_string());
    assert_eq!(fork["block"], source.head_number());
    crate::support::schema::check(&["--json", "devnet"], &line);
    let (_, lines, _child) = start(&[]);
    let line = lines
        .map(Result::unwrap)
        .find(|line| line.starts_with("Fork "));
    assert!(line.unwrap().contains(&source.url()));

    // A key is not sent where everybody could read it.
    let key = home.path().join("key");
    fs::write(&key, "secret-key").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedrail"));
    command
        .arg("--home")
        .arg(home.path())
        .arg("--api-key-file")
        .arg(&key);
    command.args(["devnet", "--port", "0", "--fork", "http://node.example"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("without encryption"), "{said}");
    assert!(!said.contains("secret-key"), "{said}");
}
