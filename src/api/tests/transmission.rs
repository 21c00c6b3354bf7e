//! Transmission's RPC.

use base64::Engine as _;
use serde_json::{Value, json};

use super::{PASSWORD, Stand};
use crate::client::snapshot::{Torrent, TorrentState};

fn basic(stand: &Stand) -> String {
    let _used = &stand.token;
    let pair = format!("admin:{PASSWORD}");
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(pair)
    )
}

async fn call(stand: &Stand, id: &str, method: &str, arguments: Value) -> Value {
    let basic = basic(stand);
    let headers = [
        ("Authorization", basic.as_str()),
        ("X-Transmission-Session-Id", id),
    ];
    let body = json!({ "method": method, "arguments": arguments, "tag": 7 });
    let reply = stand
        .send(
            "POST /transmission/rpc",
            &headers,
            body.to_string().as_bytes(),
        )
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["tag"], 7);
    reply.json()
}

async fn id(stand: &Stand) -> String {
    let basic = basic(stand);
    let headers = [("Authorization", basic.as_str())];
    let reply = stand.send("POST /transmission/rpc", &headers, b"{}").await;
    assert_eq!(reply.status, 409);
    reply
        .header("x-transmission-session-id")
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_client_is_asked_for_password_and_id_first() {
    let stand = Stand::start().await;
    let reply = stand.send("POST /transmission/rpc", &[], b"{}").await;
    assert_eq!(reply.status, 401);
    assert!(
        reply
            .header("www-authenticate")
            .unwrap()
            .starts_with("Basic")
    );
    let id = id(&stand).await;
    let session = call(&stand, &id, "session-get", json!({})).await;
    assert_eq!(session["result"], "success");
    assert_eq!(session["arguments"]["rpc-version"], 16);
    let unknown = call(&stand, &id, "session-close", json!({})).await;
    assert_eq!(unknown["result"], "method name not recognized");
}

#[tokio::test]
async fn a_torrent_is_added_listed_limited_and_removed() {
    let stand = Stand::start().await;
    let id = id(&stand).await;
    let (_, file) = stand.torrent("film.mkv", 100_000);
    let file = base64::engine::general_purpose::STANDARD.encode(file);
    let add = json!({ "metainfo": file, "paused": true, "labels": ["films"] });
    let added = call(&stand, &id, "torrent-add", add.clone()).await;
    let number = added["arguments"]["torrent-added"]["id"].clone();
    assert_eq!(number, 1);
    let again = call(&stand, &id, "torrent-add", add).await;
    assert_eq!(again["arguments"]["torrent-duplicate"]["name"], "film.mkv");

    let fields = json!([
        "id",
        "name",
        "status",
        "totalSize",
        "labels",
        "isFinished",
        "nonsense"
    ]);
    let list = call(&stand, &id, "torrent-get", json!({ "fields": fields })).await;
    let row = &list["arguments"]["torrents"][0];
    assert_eq!(
        *row,
        json!({
            "id": 1, "name": "film.mkv", "status": 0, "totalSize": 100_000, "labels": ["films"],
            "isFinished": false,
        })
    );
    let table = json!({ "fields": ["id", "name"], "ids": [1], "format": "table" });
    let table = call(&stand, &id, "torrent-get", table).await;
    assert_eq!(
        table["arguments"]["torrents"],
        json!([["id", "name"], [1, "film.mkv"]])
    );

    let set = json!({ "ids": [1], "uploadLimit": 5, "uploadLimited": true, "seedRatioMode": 1, "seedRatioLimit": 2.5 });
    assert_eq!(
        call(&stand, &id, "torrent-set", set).await["result"],
        "success"
    );
    let hash = *stand.client.snapshot().torrents.keys().next().unwrap();
    stand
        .until(hash, |one| {
            let row = &one.row.value;
            row.limits.up == Some(5000) && row.goals.ratio_permille == Some(2500)
        })
        .await;
    let fixed = json!({ "ids": [1], "bandwidthPriority": 1 });
    let fixed = call(&stand, &id, "torrent-set", fixed).await;
    assert_eq!(
        fixed["result"],
        "`bandwidthPriority` cannot be changed here"
    );
    // Nothing named is not everything.
    let none = call(&stand, &id, "torrent-remove", json!({})).await;
    assert_eq!(none["result"], "`ids` is missing or invalid");
    let gone = json!({ "ids": [hash], "delete-local-data": true });
    assert_eq!(
        call(&stand, &id, "torrent-remove", gone).await["result"],
        "success"
    );
}

#[tokio::test]
async fn limits_are_in_thousands_and_turned_on_and_off() {
    let stand = Stand::start().await;
    let id = id(&stand).await;
    let set = async |arguments: Value| {
        call(&stand, &id, "session-set", arguments).await["result"].clone()
    };
    let down = || stand.client.snapshot().transfer.value.limits.down;
    let wait = async |wanted: Option<u64>| {
        while down() != wanted {
            let seen = stand.client.snapshot().revision;
            if down() != wanted {
                stand.client.changed(seen).await.unwrap();
            }
        }
    };
    assert_eq!(
        set(json!({ "speed-limit-down": 100, "speed-limit-down-enabled": true })).await,
        "success"
    );
    wait(Some(100_000)).await;
    assert_eq!(
        set(json!({ "speed-limit-down-enabled": false })).await,
        "success"
    );
    wait(None).await;
    assert_ne!(
        set(json!({ "speed-limit-down-enabled": true })).await,
        "success"
    );
    assert_ne!(
        set(json!({ "download-dir": "/elsewhere" })).await,
        "success"
    );
}

#[tokio::test]
async fn the_queue_is_turned_on_and_torrents_move_in_it() {
    let stand = Stand::start().await;
    let id = id(&stand).await;
    let mut ids = Vec::new();
    for number in 1..=2 {
        let arguments = json!({ "filename": format!("{number:040x}") });
        let added = call(&stand, &id, "torrent-add", arguments).await;
        ids.push(added["arguments"]["torrent-added"]["id"].clone());
    }
    let on = json!({ "download-queue-enabled": true, "download-queue-size": 1 });
    let set = call(&stand, &id, "session-set", on).await;
    assert_eq!(set["result"], "success");
    let session = call(&stand, &id, "session-get", json!({})).await["arguments"].clone();
    assert_eq!(session["download-queue-enabled"], true);
    assert_eq!(session["download-queue-size"], 1);
    assert_eq!(session["seed-queue-enabled"], false);
    let rows = || async {
        let wanted = json!({ "fields": ["id", "queuePosition", "status"], "ids": ids });
        let got = call(&stand, &id, "torrent-get", wanted).await;
        let rows = got["arguments"]["torrents"].as_array().unwrap().clone();
        let fields = |row: &Value| (row["queuePosition"].clone(), row["status"].clone());
        [fields(&rows[0]), fields(&rows[1])]
    };
    let hash = format!("{:040x}", 2).parse().unwrap();
    let queued = |one: &Torrent| one.row.value.state == TorrentState::Queued;
    stand.until(hash, queued).await;
    assert_eq!(rows().await, [(json!(0), json!(4)), (json!(1), json!(3))]);
    let second = json!({ "ids": [ids[1]] });
    for (method, first_place) in [
        ("queue-move-top", 1),
        ("queue-move-down", 0),
        ("queue-move-up", 1),
        ("queue-move-bottom", 0),
    ] {
        let moved = call(&stand, &id, method, second.clone()).await;
        assert_eq!(moved["result"], "success", "{method}");
        let places = rows().await.map(|(place, _)| place);
        assert_eq!(
            places,
            [json!(first_place), json!(1 - first_place)],
            "{method}"
        );
    }
}

#[tokio::test]
async fn trackers_are_named_by_number() {
    let stand = Stand::start().await;
    let id = id(&stand).await;
    let link = format!(
        "magnet:?xt=urn:btih:{:040x}&tr=http://a/1&tr=http://a/2&tr=http://a/3",
        9
    );
    call(&stand, &id, "torrent-add", json!({ "filename": link })).await;
    let trackers = || async {
        let wanted = json!({ "fields": ["trackers"] });
        let got = call(&stand, &id, "torrent-get", wanted).await;
        let rows = got["arguments"]["torrents"][0]["trackers"]
            .as_array()
            .unwrap()
            .clone();
        rows.iter()
            .map(|row| row["announce"].clone())
            .collect::<Vec<_>>()
    };
    for (arguments, result, now) in [
        (
            json!({ "trackerRemove": [0] }),
            "success",
            vec!["http://a/2", "http://a/3"],
        ),
        (
            json!({ "trackerReplace": [1, "http://a/4"] }),
            "success",
            vec!["http://a/2", "http://a/4"],
        ),
        (
            json!({ "trackerRemove": [7] }),
            "`trackerRemove` is missing or invalid",
            vec!["http://a/2", "http://a/4"],
        ),
        (
            json!({ "trackerReplace": [1] }),
            "`trackerReplace` is missing or invalid",
            vec!["http://a/2", "http://a/4"],
        ),
    ] {
        let set = call(&stand, &id, "torrent-set", arguments).await;
        assert_eq!(set["result"], result);
        assert_eq!(trackers().await, now);
    }
    let told = call(&stand, &id, "torrent-reannounce", json!({})).await;
    assert_eq!(told["result"], "success");
}

#[tokio::test]
async fn files_go_before_others() {
    let stand = Stand::start().await;
    let id = id(&stand).await;
    let file = base64::engine::general_purpose::STANDARD.encode(stand.album());
    let add = json!({ "metainfo": file, "paused": true });
    call(&stand, &id, "torrent-add", add).await;
    let priorities = || async {
        let wanted = json!({ "fields": ["priorities", "fileStats", "wanted"] });
        let got = call(&stand, &id, "torrent-get", wanted).await;
        let row = got["arguments"]["torrents"][0].clone();
        let stats = row["fileStats"].as_array().unwrap().iter();
        let stats: Vec<_> = stats.map(|file| file["priority"].clone()).collect();
        assert_eq!(json!(stats), row["priorities"]);
        assert_eq!(row["wanted"], json!([1, 1, 1]));
        row["priorities"].clone()
    };
    assert_eq!(priorities().await, json!([0, 0, 0]));
    for (set, now) in [
        (
            json!({ "priority-high": [2], "priority-low": [0] }),
            json!([-1, 0, 1]),
        ),
        (
            json!({ "priority-normal": [0, 2], "priority-high": [1] }),
            json!([0, 1, 0]),
        ),
        // An empty list means all.
        (json!({ "priority-low": [] }), json!([-1, -1, -1])),
        (json!({ "priority-normal": [] }), json!([0, 0, 0])),
    ] {
        let mut arguments = set.clone();
        arguments["ids"] = json!([1]);
        let set = call(&stand, &id, "torrent-set", arguments).await;
        assert_eq!(
            (&set["result"], priorities().await),
            (&json!("success"), now)
        );
    }
}
