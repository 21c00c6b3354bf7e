//! Every place that java-tron answers at is answered at: the paths of its HTTP service, of
//! the one for solid blocks, and the methods of its JSON-RPC.

use seedrail::devnet::{Devnet, Pace};
use serde_json::{Value, json};

use super::http::{get, post, rpc, send};

/// Asked by POST with JSON; most by GET as well.
const WALLET: &str = "
    accountpermissionupdate broadcasthex broadcasttransaction cancelallunfreezev2 clearabi
    createCommonTransaction createaccount createassetissue createshieldedcontractparameters
    createshieldedcontractparameterswithoutask createshieldedtransaction
    createshieldedtransactionwithoutspendauthsig createshieldnullifier createspendauthsig
    createtransaction createwitness delegateresource deploycontract estimateenergy exchangecreate
    exchangeinject exchangetransaction exchangewithdraw freezebalance freezebalancev2 getBrokerage
    getReward getaccount getaccountbalance getaccountbyid getaccountnet getaccountresource
    getakfromask getapprovedlist getassetissuebyaccount getassetissuebyid getassetissuebyname
    getassetissuelist getassetissuelistbyname getavailableunfreezecount getbandwidthprices getblock
    getblockbalance getblockbyid getblockbylatestnum getblockbylimitnext getblockbynum getburntrx
    getcandelegatedmaxsize getcanwithdrawunfreezeamount getchainparameters getcontract
    getcontractinfo getdelegatedresource getdelegatedresourceaccountindex
    getdelegatedresourceaccountindexv2 getdelegatedresourcev2 getdiversifier getenergyprices
    getexchangebyid getexpandedspendingkey getincomingviewingkey getmarketorderbyaccount
    getmarketorderbyid getmarketorderlistbypair getmarketpairlist getmarketpricebypair getmemofee
    getmerkletreevoucherinfo getnewshieldedaddress getnextmaintenancetime getnkfromnsk getnodeinfo
    getnowblock getpaginatedassetissuelist getpaginatedexchangelist getpaginatednowwitnesslist
    getpaginatedproposallist getpendingsize getproposalbyid getrcm getshieldtransactionhash
    getsignweight getspendingkey gettransactionbyid gettransactioncountbyblocknum
    gettransactionfrompending gettransactioninfobyblocknum gettransactioninfobyid
    gettransactionlistfrompending gettransactionreceiptbyid
    gettriggerinputforshieldedtrc20contract getzenpaymentaddress isshieldedtrc20contractnotespent
    isspend listexchanges listnodes listproposals listwitnesses marketcancelorder marketsellasset
    participateassetissue proposalapprove proposalcreate proposaldelete scanandmarknotebyivk
    scannotebyivk scannotebyovk scanshieldedtrc20notesbyivk scanshieldedtrc20notesbyovk
    setaccountid totaltransaction transferasset triggerconstantcontract triggersmartcontract
    undelegateresource unfreezeasset unfreezebalance unfreezebalancev2 updateBrokerage
    updateaccount updateasset updateenergylimit updatesetting updatewitness validateaddress
    votewitnessaccount withdrawbalance withdrawexpireunfreeze";

const SOLID: &str = "
    estimateenergy getBrokerage getReward getaccount getaccountbyid getassetissuebyid
    getassetissuebyname getassetissuelist getassetissuelistbyname getavailableunfreezecount
    getbandwidthprices getblock getblockbyid getblockbylatestnum getblockbylimitnext getblockbynum
    getburntrx getcandelegatedmaxsize getcanwithdrawunfreezeamount getdelegatedresource
    getdelegatedresourceaccountindex getdelegatedresourceaccountindexv2 getdelegatedresourcev2
    getenergyprices getexchangebyid getmarketorderbyaccount getmarketorderbyid
    getmarketorderlistbypair getmarketpairlist getmarketpricebypair getmerkletreevoucherinfo
    getnodeinfo getnowblock getpaginatedassetissuelist getpaginatednowwitnesslist
    gettransactionbyid gettransactioncountbyblocknum gettransactioninfobyblocknum
    gettransactioninfobyid isshieldedtrc20contractnotespent isspend listexchanges listwitnesses
    scanandmarknotebyivk scannotebyivk scannotebyovk scanshieldedtrc20notesbyivk
    scanshieldedtrc20notesbyovk triggerconstantcontract";

/// With how many parameters each is called.
const JSON_RPC: [(&str, usize); 34] = [
    ("web3_clientVersion", 0),
    ("web3_sha3", 1),
    ("net_version", 0),
    ("net_listening", 0),
    ("net_peerCount", 0),
    ("eth_protocolVersion", 0),
    ("eth_chainId", 0),
    ("eth_syncing", 0),
    ("eth_coinbase", 0),
    ("eth_gasPrice", 0),
    ("eth_accounts", 0),
    ("eth_blockNumber", 0),
    ("eth_getBalance", 2),
    ("eth_getStorageAt", 3),
    ("eth_getBlockTransactionCountByHash", 1),
    ("eth_getBlockTransactionCountByNumber", 1),
    ("eth_getCode", 2),
    ("eth_call", 2),
    ("eth_estimateGas", 1),
    ("eth_getBlockByHash", 2),
    ("eth_getBlockByNumber", 2),
    ("eth_getTransactionByHash", 1),
    ("eth_getTransactionByBlockHashAndIndex", 2),
    ("eth_getTransactionByBlockNumberAndIndex", 2),
    ("eth_getTransactionReceipt", 1),
    ("eth_getWork", 0),
    ("eth_newFilter", 1),
    ("eth_newBlockFilter", 0),
    ("eth_uninstallFilter", 1),
    ("eth_getFilterChanges", 1),
    ("eth_getFilterLogs", 1),
    ("eth_getLogs", 1),
    ("buildTransaction", 1),
    ("eth_getBlockReceipts", 1),
];

async fn devnet() -> Devnet {
    Devnet::builder().pace(Pace::Manual).start().await.unwrap()
}

#[tokio::test]
async fn every_path_of_java_tron_answers_in_json() {
    let devnet = devnet().await;
    let paths = WALLET
        .split_whitespace()
        .map(|name| format!("/wallet/{name}"));
    let solid = SOLID
        .split_whitespace()
        .map(|name| format!("/walletsolidity/{name}"));
    let beside = ["/net/listnodes", "/monitor/getnodeinfo"].map(str::to_owned);
    for path in paths.chain(solid).chain(beside) {
        let (status, text) = send(&devnet, "POST", &path, "{}").await;
        assert_eq!(status, 200, "{path}: {text}");
        let answer: Result<Value, _> = serde_json::from_str(&text);
        assert!(answer.is_ok(), "{path}: {text}");
    }
    let stats = get(&devnet, "/monitor/getstatsinfo").await;
    assert_eq!(stats["blockchain"]["headBlockNum"], 0, "{stats}");
}

#[tokio::test]
async fn every_method_of_java_trons_json_rpc_is_known() {
    let devnet = devnet().await;
    for (name, count) in JSON_RPC {
        let answer = rpc(&devnet, "/jsonrpc", name, json!(vec!["0x1"; count])).await;
        let error = &answer["error"];
        assert_ne!(error["code"], -32601, "{name}: {answer}");
        assert_ne!(error["message"], "method parameters invalid", "{name}");
        // One more than it takes: refused, or, of a method that came after the version whose
        // answers these are, as unknown as it was.
        let answer = rpc(&devnet, "/jsonrpc", name, json!(vec!["0x1"; count + 1])).await;
        let message = match name {
            "eth_getBlockReceipts" => "method not found",
            _ => "method parameters invalid",
        };
        assert_eq!(answer["error"]["message"], message, "{name}: {answer}");
    }
}

#[tokio::test]
async fn any_contract_is_built_by_its_type() {
    let devnet = devnet().await;
    let [alice, bob, ..] = devnet.accounts() else {
        panic!("there are ten");
    };
    let pay = json!({
        "contractType": "TransferContract", "owner_address": alice.address,
        "to_address": bob.address, "amount": 7, "visible": true,
    });
    let path = "/wallet/createCommonTransaction";
    let built = post(&devnet, path, pay.clone()).await;
    let contract = &built["raw_data"]["contract"][0];
    assert_eq!(contract["type"], "TransferContract", "{built}");
    assert_eq!(contract["parameter"]["value"]["amount"], 7);
    devnet.unlock(&[alice.address]).unwrap();
    let answer = post(&devnet, "/wallet/broadcasttransaction", built).await;
    assert_eq!(answer["result"], true, "{answer}");
    let with = |name: &str, value: Value| {
        let mut body = pay.clone();
        body[name] = value;
        body
    };
    for (body, words) in [
        (with("amount", json!(0)), "Amount must be greater than 0."),
        (with("contractType", Value::Null), "Name is null"),
        (
            with("contractType", json!("NoContract")),
            "No enum constant",
        ),
        (
            with("contractType", json!("CustomContract")),
            "don't have this type",
        ),
    ] {
        let answer = post(&devnet, path, body).await;
        let error = answer["Error"].as_str().unwrap_or_default();
        assert!(error.contains(words), "{words}: {answer}");
    }
    let create = json!({
        "contractType": "CreateSmartContract", "owner_address": alice.address, "visible": true,
        "new_contract": { "origin_address": alice.address, "consume_user_resource_percent": 101 },
    });
    let answer = post(&devnet, path, create).await;
    let error = answer["Error"].as_str().unwrap_or_default();
    assert!(error.contains("percent must be"), "{answer}");
}

#[tokio::test]
async fn sixty_four_bits_are_texts_for_a_get_that_asks() {
    let devnet = devnet().await;
    devnet.mine(2);
    let me = devnet.accounts()[0].address;
    let asked = |path: &str| {
        let sign = if path.contains('?') { '&' } else { '?' };
        format!("{path}{sign}int64_as_string=true")
    };
    let account = format!("/wallet/getaccount?address={me}&visible=true");
    let plain = get(&devnet, &account).await;
    assert_eq!(plain["balance"], 1_000_000_000_000_i64);
    let wide = get(&devnet, &asked(&account)).await;
    assert_eq!(wide["balance"], "1000000000000", "{wide}");
    assert_eq!(wide["assetV2"][0]["value"], "1000000000000000");
    let block = get(&devnet, &asked("/walletsolidity/getblock?detail=true")).await;
    let raw = &block["block_header"]["raw_data"];
    assert!(raw["timestamp"].is_string(), "{block}");
    assert!(raw["version"].is_number(), "{block}");
    let token = get(&devnet, &asked("/wallet/getassetissuebyid?value=1002000")).await;
    assert_eq!(token["total_supply"], "990000000000000000", "{token}");
    for name in ["num", "trx_num", "precision"] {
        assert!(token[name].is_number(), "{name}: {token}");
    }
    for (path, name) in [
        ("/wallet/getnextmaintenancetime", "num"),
        ("/wallet/getburntrx", "burnTrxAmount"),
        ("/wallet/getpendingsize", "pendingSize"),
    ] {
        assert!(get(&devnet, &asked(path)).await[name].is_string(), "{path}");
        assert!(get(&devnet, path).await[name].is_number(), "{path}");
        // java-tron looks at it in a GET alone.
        let posted = post(&devnet, &asked(path), json!({ "int64_as_string": true })).await;
        assert!(posted[name].is_number(), "{path}");
    }
    let now = get(&devnet, &asked("/wallet/getnowblock")).await;
    assert!(now["block_header"]["raw_data"]["timestamp"].is_number());
}
