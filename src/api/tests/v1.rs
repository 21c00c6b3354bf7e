//! Our own API.

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{DEADLINE, Stand};
use crate::{
    api::{site::MAX_STREAMS, v1},
    client::snapshot::TorrentState,
    types::InfoHash,
};

async fn add(stand: &Stand, name: &str) -> InfoHash {
    let (_, file) = stand.torrent(name, 100_000);
    let file = base64::engine::general_purpose::STANDARD.encode(file);
    let body = json!({ "file": file, "paused": true, "category": "films", "tags": ["a"] });
    let reply = stand.ask("POST /api/v1/torrents", &body.to_string()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(reply.json()["known"], false);
    let hash: InfoHash = reply.json()["info_hash"].as_str().unwrap().parse().unwrap();
    stand
        .until(hash, |one| one.row.value.state == TorrentState::Paused)
        .await;
    hash
}

#[tokio::test]
async fn a_torrent_is_added_changed_and_removed() {
    let stand = Stand::start().await;
    let hash = add(&stand, "film.mkv").await;
    let path = format!("/api/v1/torrents/{hash}");
    let row = stand.ask(&format!("GET {path}"), "").await.json();
    assert_eq!(row["name"], "film.mkv");
    assert_eq!(row["category"], "films");
    assert_eq!(row["tags"], json!(["a"]));
    assert_eq!(row["size"], 100_000);
    assert_eq!(row["files"][0]["path"], "film.mkv");
    assert_eq!(row["peers"], json!([]));

    let change = json!({
        "name": "A film", "category": null, "tags": {"add": ["b"], "remove": ["a"]},
        "limits": {"up": 1000, "down": 0}, "goals": {"ratio_permille": 1500},
    });
    let reply = stand
        .ask(&format!("PATCH {path}"), &change.to_string())
        .await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    stand
        .until(hash, |one| one.row.value.goals.ratio_permille.is_some())
        .await;
    let row = stand.ask(&format!("GET {path}"), "").await.json();
    assert_eq!(
        (&row["name"], &row["category"]),
        (&json!("A film"), &Value::Null)
    );
    assert_eq!(row["tags"], json!(["b"]));
    assert_eq!(row["limits"], json!({"up": 1000, "down": null}));

    for (line, status) in [
        (format!("POST {path}/resume"), 204),
        (format!("POST {path}/pause"), 204),
        (format!("GET {path}/files"), 200),
        (format!("GET {path}/trackers"), 200),
        (format!("GET {path}/peers"), 200),
        (format!("GET {path}/pieces"), 200),
        (format!("DELETE {path}"), 204),
    ] {
        assert_eq!(stand.ask(&line, "").await.status, status, "{line}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_one_word_and_a_sentence() {
    let stand = Stand::start().await;
    let none = "00".repeat(20);
    for (line, body, status, code) in [
        ("GET /api/v1/torrents/zz".to_owned(), "", 404, "not_found"),
        (format!("GET /api/v1/torrents/{none}"), "", 404, "not_found"),
        (
            format!("POST /api/v1/torrents/{none}/pause"),
            "",
            404,
            "not_found",
        ),
        (
            format!("PATCH /api/v1/torrents/{none}"),
            "{}",
            404,
            "not_found",
        ),
        (
            format!("PATCH /api/v1/torrents/{none}"),
            "{\"x\": 1}",
            400,
            "invalid",
        ),
        ("POST /api/v1/torrents".to_owned(), "{}", 400, "invalid"),
        (
            "POST /api/v1/torrents".to_owned(),
            "{\"link\": \"http://a/b\"}",
            400,
            "invalid",
        ),
        (
            "POST /api/v1/torrents".to_owned(),
            "{\"file\": \"!\"}",
            400,
            "invalid",
        ),
        (
            "POST /api/v1/torrents".to_owned(),
            "{\"file\": \"AAAA\"}",
            400,
            "invalid",
        ),
        ("PUT /api/v1/torrents".to_owned(), "", 405, "method"),
        ("GET /api/v1/nothing".to_owned(), "", 404, "not_found"),
        ("GET /api/v1/state?since=x".to_owned(), "", 400, "invalid"),
        ("GET /api/v1/money".to_owned(), "", 404, "not_found"),
        ("GET /api/v1/money/plan".to_owned(), "", 404, "not_found"),
        ("PUT /api/v1/tags/%zz".to_owned(), "", 400, "invalid"),
    ] {
        let reply = stand.ask(&line, body).await;
        assert_eq!(reply.status, status, "{line} {body}: {}", reply.text());
        let error = &reply.json()["error"];
        assert_eq!(error["code"], code, "{line}");
        assert!(error["message"].as_str().unwrap().len() > 5, "{line}");
    }
}

#[tokio::test]
async fn a_reader_gets_what_is_different_since_its_revision() {
    let stand = Stand::start().await;
    let first = stand.ask("GET /api/v1/state", "").await.json();
    assert_eq!(first["full"], true);
    assert!(first["transfer"]["listen"].is_string());
    let hash = add(&stand, "one").await;
    let since = |state: &Value| format!("GET /api/v1/state?since={}", state["revision"]);
    let second = stand.ask(&since(&first), "").await.json();
    assert_eq!(second["full"], false);
    assert_eq!(second["torrents"][0]["info_hash"], hash.to_string());
    assert!(second["torrents"][0].get("files").is_none());
    let of = format!("GET /api/v1/state?of={hash}");
    let details = stand.ask(&of, "").await.json();
    assert_eq!(details["torrent"]["files"][0]["path"], "one");

    let gone = stand
        .ask(&format!("DELETE /api/v1/torrents/{hash}"), "")
        .await;
    assert_eq!(gone.status, 204);
    let mut third = second.clone();
    while third["removed"] != json!([hash]) {
        let revision = crate::client::snapshot::Revision(third["revision"].as_u64().unwrap());
        stand.client.changed(revision).await.unwrap();
        third = stand.ask(&since(&second), "").await.json();
    }
    // One of another process is none of ours.
    let full = stand.ask("GET /api/v1/state?since=5", "").await.json();
    assert_eq!(full["full"], true);
}

/// Reads messages of a stream until one has this text in it.
async fn until(stream: &mut TcpStream, text: &str) -> String {
    let mut all = Vec::new();
    let read = async {
        loop {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).await.unwrap();
            assert!(count > 0, "the stream ended");
            all.extend(&bytes[..count]);
            let so_far = String::from_utf8_lossy(&all).into_owned();
            if so_far.contains(text) {
                break so_far;
            }
        }
    };
    tokio::time::timeout(DEADLINE, read).await.unwrap()
}

async fn events(stand: &Stand) -> TcpStream {
    let mut stream = TcpStream::connect(stand.address).await.unwrap();
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        stand.token
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_stream_has_everything_first_and_then_what_happens() {
    let stand = Stand::start().await;
    let mut stream = events(&stand).await;
    let first = until(&mut stream, "\"full\":true").await;
    assert!(first.contains("text/event-stream"), "{first}");
    assert!(first.contains("event: changes\ndata: "), "{first}");
    let hash = add(&stand, "two").await;
    let next = until(&mut stream, "event: happened").await;
    let next = match next.contains("\"event\":\"added\"") {
        true => next,
        false => next + &until(&mut stream, "\"event\":\"added\"").await,
    };
    assert!(next.contains(&hash.to_string()), "{next}");
}

#[tokio::test]
async fn only_so_many_streams_are_read_at_once() {
    let stand = Stand::start().await;
    let mut held = Vec::new();
    for _ in 0..MAX_STREAMS {
        let mut stream = events(&stand).await;
        until(&mut stream, "HTTP/1.1 200").await;
        held.push(stream);
    }
    let reply = stand.ask("GET /api/v1/events", "").await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("retry-after"), Some("5"));
}

#[test]
fn the_description_has_every_path_with_its_scope_and_no_other() {
    let document: Value = serde_json::from_str(include_str!("../openapi.json")).unwrap();
    let mut described = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, what) in methods.as_object().unwrap() {
            if method == "parameters" {
                continue;
            }
            let scope = what["x-scope"].as_str().map(str::to_owned);
            described.push((method.to_uppercase(), path.clone(), scope));
            assert!(what["summary"].is_string(), "{method} {path}");
            assert!(what["responses"].is_object(), "{method} {path}");
        }
    }
    let mut routes: Vec<_> = v1::described()
        .into_iter()
        .map(|(method, path, scope)| {
            let scope = scope.map(|scope| format!("{scope:?}").to_lowercase());
            (method.to_owned(), path.to_owned(), scope)
        })
        .collect();
    described.sort();
    routes.sort();
    assert_eq!(described, routes);
}

#[tokio::test]
async fn metrics_are_families_with_a_type_each() {
    let stand = Stand::start().await;
    add(&stand, "three").await;
    let reply = stand.ask("GET /metrics", "").await;
    assert!(
        reply
            .header("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    let text = reply.text();
    assert!(
        text.contains("seedrail_torrents{state=\"paused\"} 1\n"),
        "{text}"
    );
    let mut family = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap();
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            assert_eq!(name, family, "{line}");
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}

#[tokio::test]
async fn health_is_told_to_everybody() {
    let stand = Stand::start().await;
    assert_eq!(stand.send("GET /healthz", &[], b"").await.text(), "ok\n");
    let reply = stand.send("HEAD /healthz", &[], b"").await;
    assert_eq!((reply.status, reply.text()), (200, ""));
    let ready = stand.send("GET /readyz", &[], b"").await;
    assert_eq!(ready.json(), json!({"ready": true, "reasons": []}));
}

#[tokio::test]
async fn torrents_wait_and_are_moved_by_all_three_interfaces() {
    let stand = Stand::start().await;
    let add = |number: u8| {
        let body = json!({ "link": format!("{number:040x}") }).to_string();
        let stand = &stand;
        async move { stand.ask("POST /api/v1/torrents", &body).await.json()["info_hash"].clone() }
    };
    let first = add(1).await.as_str().unwrap().to_owned();
    let second = add(2).await.as_str().unwrap().to_owned();
    let row = |hash: &str| {
        let line = format!("GET /api/v1/torrents/{hash}");
        let stand = &stand;
        async move {
            let row = stand.ask(&line, "").await.json();
            (row["place"].clone(), row["state"].clone())
        }
    };
    let top = format!("hashes={second}");
    let refused = stand.ask("POST /api/v2/torrents/topPrio", &top).await;
    assert_eq!(refused.status, 409);
    let one = "{\"downloads\": 1, \"seeds\": null}";
    assert_eq!(stand.ask("PUT /api/v1/queue", one).await.status, 204);
    let bad = "{\"downloads\": -1}";
    assert_eq!(stand.ask("PUT /api/v1/queue", bad).await.status, 400);
    let hash = |text: &str| text.parse::<crate::types::InfoHash>().unwrap();
    let queued =
        |one: &crate::client::snapshot::Torrent| one.row.value.state == TorrentState::Queued;
    stand.until(hash(&second), queued).await;
    let info = stand.ask("GET /api/v2/torrents/info", "").await.json();
    let states: Vec<_> = info
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["state"])
        .collect();
    assert_eq!(states, ["metaDL", "queuedDL"]);
    assert_eq!(info[1]["priority"], 2);
    let preferences = stand.ask("GET /api/v2/app/preferences", "").await.json();
    assert_eq!(preferences["queueing_enabled"], true);
    assert_eq!(preferences["max_active_downloads"], 1);
    assert_eq!(preferences["max_active_uploads"], -1);

    assert_eq!(
        stand
            .ask("POST /api/v2/torrents/topPrio", &top)
            .await
            .status,
        200
    );
    stand.until(hash(&first), queued).await;
    assert_eq!(row(&second).await, (json!(1), json!("metadata")));
    for (line, to, place) in [
        (
            format!("POST /api/v1/torrents/{first}/queue"),
            "{\"to\": \"up\"}".to_owned(),
            1,
        ),
        (
            format!("POST /api/v1/torrents/{first}/queue"),
            "{\"to\": \"bottom\"}".to_owned(),
            2,
        ),
        (
            "POST /api/v2/torrents/increasePrio".to_owned(),
            format!("hashes={first}"),
            1,
        ),
        (
            "POST /api/v2/torrents/decreasePrio".to_owned(),
            format!("hashes={first}"),
            2,
        ),
    ] {
        assert!(stand.ask(&line, &to).await.status < 300, "{line}");
        assert_eq!(row(&first).await.0, json!(place), "{line}");
    }
    let wrong = format!("POST /api/v1/torrents/{first}/queue");
    assert_eq!(stand.ask(&wrong, "{\"to\": \"left\"}").await.status, 400);
    // Turned off: nobody waits.
    let off = "json={\"queueing_enabled\": false}";
    assert_eq!(
        stand
            .ask("POST /api/v2/app/setPreferences", off)
            .await
            .status,
        200
    );
    stand
        .until(hash(&first), |one| {
            one.row.value.state == TorrentState::Metadata
        })
        .await;
    let on = "json={\"queueing_enabled\": true, \"max_active_uploads\": 4}";
    assert_eq!(
        stand
            .ask("POST /api/v2/app/setPreferences", on)
            .await
            .status,
        200
    );
    let queue = stand.client.snapshot().transfer.value.queue;
    assert_eq!((queue.downloads, queue.seeds), (None, Some(4)));
}

#[tokio::test]
async fn trackers_are_changed_by_all_three_interfaces_and_the_file_is_given_back() {
    let stand = Stand::start().await;
    let (_, bytes) = stand.torrent("a.bin", 40_000);
    let mut metainfo = crate::swarm::metainfo::Metainfo::from_bytes(&bytes).unwrap();
    let tracker = |port: u16| format!("http://127.0.0.1:{port}/announce");
    metainfo.trackers = vec![vec![tracker(1), tracker(2)], vec![tracker(3)]];
    let file = base64::engine::general_purpose::STANDARD.encode(metainfo.to_bytes().unwrap());
    let body = json!({ "file": file, "paused": true }).to_string();
    let added = stand.ask("POST /api/v1/torrents", &body).await.json();
    let hash = added["info_hash"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/torrents/{hash}");
    let trackers = || async {
        let rows = stand.ask(&format!("GET {path}/trackers"), "").await.json();
        let ports = rows.as_array().unwrap().iter().map(|row| {
            let url = row["url"].as_str().unwrap();
            url[17..18].parse::<u8>().unwrap()
        });
        ports.collect::<Vec<u8>>()
    };
    let file = stand.ask(&format!("GET {path}/file"), "").await;
    assert_eq!(
        file.header("content-type"),
        Some("application/x-bittorrent")
    );
    assert_eq!(file.body, metainfo.to_bytes().unwrap());
    let export = format!("GET /api/v2/torrents/export?hash={hash}");
    assert_eq!(
        stand.ask(&export, "").await.body,
        metainfo.to_bytes().unwrap()
    );

    let urls = |urls: &[String]| json!({ "urls": urls }).to_string();
    let remove = format!("POST {path}/trackers/remove");
    assert_eq!(stand.ask(&remove, &urls(&[tracker(1)])).await.status, 204);
    assert_eq!(trackers().await, [2, 3]);
    let none = stand.ask(&remove, &urls(&[tracker(2), tracker(9)])).await;
    assert_eq!((none.status, trackers().await), (409, vec![2, 3]));
    for (action, body, status, now) in [
        (
            "addTrackers",
            format!("hash={hash}&urls={}", tracker(4)),
            200,
            vec![2, 3, 4],
        ),
        (
            "removeTrackers",
            format!("hash={hash}&urls={}|{}", tracker(2), tracker(9)),
            200,
            vec![3, 4],
        ),
        (
            "removeTrackers",
            format!("hash={hash}&urls={}", tracker(9)),
            409,
            vec![3, 4],
        ),
        (
            "editTracker",
            format!("hash={hash}&origUrl={}&newUrl={}", tracker(3), tracker(5)),
            200,
            vec![5, 4],
        ),
        (
            "editTracker",
            format!("hash={hash}&origUrl={}&newUrl={}", tracker(5), tracker(4)),
            409,
            vec![5, 4],
        ),
        (
            "editTracker",
            format!("hash={hash}&origUrl={}&newUrl={}", tracker(9), tracker(6)),
            409,
            vec![5, 4],
        ),
        (
            "editTracker",
            format!("hash={hash}&origUrl={}&newUrl=nothing", tracker(5)),
            400,
            vec![5, 4],
        ),
        ("reannounce", format!("hashes={hash}"), 200, vec![5, 4]),
    ] {
        let reply = stand
            .ask(&format!("POST /api/v2/torrents/{action}"), &body)
            .await;
        assert_eq!(
            (reply.status, trackers().await),
            (status, now),
            "{action} {body}"
        );
    }
    // What is paused asks nobody.
    let reannounce = format!("POST {path}/reannounce");
    assert_eq!(stand.ask(&reannounce, "").await.status, 409);
    stand.ask(&format!("POST {path}/resume"), "").await;
    let runs =
        |one: &crate::client::snapshot::Torrent| one.row.value.state == TorrentState::Downloading;
    stand.until(hash.parse().unwrap(), runs).await;
    assert_eq!(stand.ask(&reannounce, "").await.status, 204);
}

#[tokio::test]
async fn days_are_a_list_and_a_file() {
    let stand = Stand::start().await;
    assert_eq!(stand.ask("GET /api/v1/days", "").await.json(), json!([]));
    let csv = stand.ask("GET /api/v1/days.csv", "").await;
    assert_eq!(
        csv.text(),
        "date,downloaded,uploaded,earned_raw,spent_raw\r\n"
    );
    let disposition = csv.header("content-disposition").unwrap();
    assert!(disposition.starts_with("attachment;"), "{disposition}");
    let payouts = stand.ask("GET /api/v1/money/payouts.csv", "").await;
    assert_eq!(payouts.status, 404);
}

#[tokio::test]
async fn files_go_before_others_and_connections_stay() {
    let stand = Stand::start().await;
    let file = base64::engine::general_purpose::STANDARD.encode(stand.album());
    let body = json!({ "file": file }).to_string();
    let added = stand.ask("POST /api/v1/torrents", &body).await.json();
    let hash = added["info_hash"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/torrents/{hash}");
    let runs =
        |one: &crate::client::snapshot::Torrent| one.row.value.state == TorrentState::Downloading;
    stand.until(hash.parse().unwrap(), runs).await;
    let priorities = || async {
        let rows = stand.ask(&format!("GET {path}/files"), "").await.json();
        let rows = rows.as_array().unwrap().iter();
        let ours: Vec<_> = rows.map(|row| row["priority"].clone()).collect();
        let files = format!("GET /api/v2/torrents/files?hash={hash}");
        let rows = stand.ask(&files, "").await.json();
        let rows = rows.as_array().unwrap().iter();
        let theirs: Vec<_> = rows.map(|row| row["priority"].clone()).collect();
        (json!(ours), json!(theirs))
    };
    let change = format!("PATCH {path}");
    let prio = "POST /api/v2/torrents/filePrio";
    for (request, body, status, ours, theirs) in [
        (
            change.as_str(),
            json!({ "priorities": { "0": "low", "2": "high" } }).to_string(),
            204,
            ["low", "normal", "high"],
            [1, 1, 6],
        ),
        // Nothing is changed by what is refused.
        (
            &change,
            json!({ "priorities": { "0": "high", "3": "high" } }).to_string(),
            400,
            ["low", "normal", "high"],
            [1, 1, 6],
        ),
        (
            &change,
            json!({ "priorities": { "0": "first" } }).to_string(),
            400,
            ["low", "normal", "high"],
            [1, 1, 6],
        ),
        (
            prio,
            format!("hash={hash}&id=0|1&priority=7"),
            200,
            ["high", "high", "high"],
            [6, 6, 6],
        ),
        (
            prio,
            format!("hash={hash}&id=1&priority=1"),
            200,
            ["high", "normal", "high"],
            [6, 1, 6],
        ),
        (
            prio,
            format!("hash={hash}&id=2&priority=0"),
            200,
            ["high", "normal", "high"],
            [6, 1, 0],
        ),
    ] {
        let reply = stand.ask(request, &body).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.text());
        assert_eq!(priorities().await, (json!(ours), json!(theirs)), "{body}");
        let row = stand.ask(&format!("GET {path}"), "").await.json();
        assert_eq!(row["state"], "downloading", "{body}");
    }
    // A link has no files yet.
    let link = json!({ "link": "magnet:?xt=urn:btih:0000000000000000000000000000000000000001" });
    let added = stand
        .ask("POST /api/v1/torrents", &link.to_string())
        .await
        .json();
    let change = format!(
        "PATCH /api/v1/torrents/{}",
        added["info_hash"].as_str().unwrap()
    );
    let body = json!({ "priorities": { "0": "high" } }).to_string();
    assert_eq!(stand.ask(&change, &body).await.status, 409);
}

#[tokio::test]
async fn people_and_keys_need_payments_and_their_scopes() {
    let stand = Stand::start().await;
    let account = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC";
    let ban = stand
        .ask(&format!("POST /api/v1/people/{account}/ban"), "")
        .await;
    assert_eq!(ban.status, 409);
    assert!(
        ban.text().contains("neither buys nor sells"),
        "{}",
        ban.text()
    );
    for request in [
        format!("POST /api/v1/people/{account}/forgive"),
        format!("DELETE /api/v1/money/keys/{account}"),
    ] {
        // The token has no money.
        assert_eq!(stand.ask(&request, "").await.status, 403, "{request}");
    }
    let nobody = stand.ask("POST /api/v1/people/nobody/ban", "").await;
    assert_eq!(nobody.status, 400);
}
