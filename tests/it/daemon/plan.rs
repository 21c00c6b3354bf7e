//! What a daemon would pay now, and why the rest waits: as `settle plan` says it.

use std::time::Duration;

use seedrail::devnet::Devnet;
use serde_json::{Value, json};

use super::{DEADLINE, ask, end, home_of, row, sell, signal, start};
use crate::support::{
    schema,
    torrents::{file, torrent},
    waiting::wait_until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plan_is_that_of_the_command_line_and_as_it_is_described() {
    let block_time = Duration::from_millis(200);
    let devnet = Devnet::builder().block_time(block_time);
    let devnet = devnet.start().await.unwrap();
    let (seller, buyer) = (home_of(&devnet, 1), home_of(&devnet, 2));
    let (content, path) = file(1 << 20, 31);
    let film = content.path().join("film.torrent");
    let metainfo = torrent(&path, 64 << 10, &[]);
    std::fs::write(&film, metainfo.to_bytes().unwrap()).unwrap();
    let hash = metainfo.info.hash().to_string();
    let (selling, started) = sell(&seller, &film, &hash);
    // Nobody settles for it.
    let buying = start(&buyer, &["--bid", "20BTT/GiB"]);
    let described = include_str!("../../../src/api/openapi.json");
    let described: Value = serde_json::from_str(described).unwrap();
    let described = &described["components"]["schemas"]["SettlementPlan"];
    let plan = || {
        let plan = ask(&buyer, "/api/v1/money/plan");
        schema::holds(described, &plan).unwrap();
        plan
    };
    let nothing = plan();
    assert_eq!(nothing["payouts"], json!([]));
    assert_eq!(nothing["payer"], devnet.accounts()[2].address.to_string());

    let listen = started["listen"].as_str().unwrap();
    let film = film.to_str().unwrap();
    buyer.run(["add", film, "--peer", listen, "--json"]).json();
    wait_until("it is bought", DEADLINE, || {
        row(&buyer, &hash)["complete"] == true
    });
    // All of it is receipted, and a plan is shown again for a while.
    let whole = 20_000_000u64 >> 10;
    let owed = |plan: &Value| plan["total_raw"].as_str().unwrap().parse::<u64>().unwrap();
    let mut last = Value::Null;
    wait_until("it is all in the plan", DEADLINE, || {
        last = plan();
        owed(&last) > 0 && owed(&last) <= whole && {
            let told = buyer.run(["settle", "plan", "--json"]).json();
            told["total_raw"] == last["total_raw"]
        }
    });
    let told = buyer.run(["settle", "plan", "--json"]).json();
    let [paid] = &last["payouts"].as_array().unwrap()[..] else {
        panic!("{last}");
    };
    let expected = &told["payouts"][0];
    for key in [
        "payee",
        "amount_raw",
        "owed_raw",
        "owed_to_us_raw",
        "activates",
    ] {
        assert_eq!(paid[key], expected[key], "{key}");
    }
    assert_eq!(paid["payee"], devnet.accounts()[1].address.to_string());
    for key in [
        "payer",
        "deferred",
        "total_raw",
        "bandwidth_needed",
        "bandwidth_available",
        "stake_to_be_free_sun",
    ] {
        assert_eq!(last[key], told[key], "{key}");
    }
    assert_eq!(
        (&last["payouts_in_all"], &last["deferred_in_all"]),
        (&json!(1), &json!(0))
    );
    signal(&buying.0, "-TERM");
    assert_eq!(end(buying).code(), Some(0));

    // What the policy leaves for later is there, with its reason.
    buyer.file("config.toml", "[settle]\nmin_payout = \"1BTT\"\n");
    let buying = start(
        &buyer,
        &[
            "--bid",
            "20BTT/GiB",
            "--settle",
            "free",
            "--settle-every",
            "1d",
        ],
    );
    let later = plan();
    assert_eq!(later["payouts"], json!([]));
    let [waits] = &later["deferred"].as_array().unwrap()[..] else {
        panic!("{later}");
    };
    assert_eq!(waits["amount_raw"], last["total_raw"]);
    assert_eq!(
        waits["reason"],
        "below the minimum payout of 1 BTT; left for later"
    );
    for daemon in [selling, buying] {
        signal(&daemon.0, "-TERM");
        assert_eq!(end(daemon).code(), Some(0));
    }
}
