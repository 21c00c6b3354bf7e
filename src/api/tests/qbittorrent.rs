//! qBittorrent's API, by its shapes and refusals.

use serde_json::{Value, json};

use super::{PASSWORD, Stand};
use crate::{client::snapshot::TorrentState, types::InfoHash};

async fn add(stand: &Stand) -> InfoHash {
    let (_, file) = stand.torrent("film.mkv", 100_000);
    let mut form =
        b"--X\r\nContent-Disposition: form-data; name=\"torrents\"; filename=\"a.torrent\"\r\n\
        Content-Type: application/x-bittorrent\r\n\r\n"
            .to_vec();
    form.extend(file);
    for (name, value) in [
        ("category", "films"),
        ("paused", "true"),
        ("ratioLimit", "1.5"),
        ("tags", "a, b"),
    ] {
        let part =
            format!("\r\n--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}");
        form.extend(part.as_bytes());
    }
    form.extend(b"\r\n--X--\r\n");
    let token = format!("Bearer {}", stand.token);
    let headers = [
        ("Authorization", token.as_str()),
        ("Content-Type", "multipart/form-data; boundary=X"),
    ];
    let reply = stand
        .send("POST /api/v2/torrents/add", &headers, &form)
        .await;
    assert_eq!((reply.status, reply.text()), (200, "Ok."));
    let again = stand
        .send("POST /api/v2/torrents/add", &headers, &form)
        .await;
    assert_eq!((again.status, again.text()), (200, "Fails."));
    let hash = *stand.client.snapshot().torrents.keys().next().unwrap();
    stand
        .until(hash, |one| one.row.value.state == TorrentState::Paused)
        .await;
    hash
}

#[tokio::test]
async fn a_client_logs_in_adds_lists_and_removes() {
    let stand = Stand::start().await;
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = format!("username=admin&password={PASSWORD}");
    let reply = stand
        .send("POST /api/v2/auth/login", &form, body.as_bytes())
        .await;
    assert_eq!(reply.text(), "Ok.");
    assert!(reply.header("set-cookie").unwrap().starts_with("SID="));
    let cookie = [("Cookie", reply.cookie())];
    let version = stand.send("GET /api/v2/app/version", &cookie, b"").await;
    assert_eq!(version.text(), "v5.0.0");

    let hash = add(&stand).await;
    let rows = stand
        .ask("GET /api/v2/torrents/info?filter=stopped", "")
        .await
        .json();
    let row = &rows[0];
    for (field, value) in [
        ("hash", json!(hash)),
        ("name", json!("film.mkv")),
        ("state", json!("stoppedDL")),
        ("category", json!("films")),
        ("tags", json!("a, b")),
        ("size", json!(100_000)),
        ("progress", json!(0.0)),
        ("eta", json!(8_640_000)),
        ("ratio_limit", json!(1.5)),
        ("completion_on", json!(-1)),
    ] {
        assert_eq!(row[field], value, "{field}");
    }
    let save = row["save_path"].as_str().unwrap();
    assert_eq!(row["content_path"], format!("{save}/film.mkv"));
    let files = stand
        .ask(&format!("GET /api/v2/torrents/files?hash={hash}"), "")
        .await
        .json();
    assert_eq!(files[0]["name"], "film.mkv");
    let states = stand
        .ask(&format!("GET /api/v2/torrents/pieceStates?hash={hash}"), "")
        .await;
    assert_eq!(states.json(), json!([0, 0, 0, 0, 0, 0, 0]));

    let body = format!("hashes={hash}&deleteFiles=true");
    let reply = stand.ask("POST /api/v2/torrents/delete", &body).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn refusals_are_those_that_clients_depend_on() {
    let stand = Stand::start().await;
    let hash = add(&stand).await;
    let none = "00".repeat(20);
    for (line, body, status) in [
        ("GET /api/v2/torrents/pause".to_owned(), String::new(), 405),
        (
            "GET /api/v2/torrents/nothing".to_owned(),
            String::new(),
            404,
        ),
        (
            format!("GET /api/v2/torrents/properties?hash={none}"),
            String::new(),
            404,
        ),
        (
            format!("GET /api/v2/torrents/files?hash={none}"),
            String::new(),
            404,
        ),
        (
            "GET /api/v2/torrents/properties".to_owned(),
            String::new(),
            400,
        ),
        (
            "POST /api/v2/torrents/topPrio".to_owned(),
            format!("hashes={hash}"),
            409,
        ),
        // One that is not there is passed over.
        (
            "POST /api/v2/torrents/stop".to_owned(),
            format!("hashes={none}"),
            200,
        ),
        ("POST /api/v2/torrents/stop".to_owned(), String::new(), 400),
        (
            "POST /api/v2/torrents/setCategory".to_owned(),
            format!("hashes={hash}&category=x"),
            409,
        ),
        (
            "POST /api/v2/torrents/createCategory".to_owned(),
            "category=".to_owned(),
            400,
        ),
        (
            "POST /api/v2/torrents/createCategory".to_owned(),
            "category=films".to_owned(),
            409,
        ),
        (
            "POST /api/v2/torrents/editCategory".to_owned(),
            "category=none".to_owned(),
            400,
        ),
        (
            "POST /api/v2/torrents/editCategory".to_owned(),
            "category=none&savePath=".to_owned(),
            409,
        ),
        (
            "POST /api/v2/torrents/rename".to_owned(),
            format!("hash={hash}&name="),
            409,
        ),
        (
            "POST /api/v2/torrents/rename".to_owned(),
            format!("hash={none}&name=x"),
            404,
        ),
        (
            "POST /api/v2/torrents/filePrio".to_owned(),
            format!("hash={hash}&id=0&priority=3"),
            400,
        ),
        (
            "POST /api/v2/torrents/filePrio".to_owned(),
            format!("hash={hash}&id=9&priority=1"),
            409,
        ),
        (
            "POST /api/v2/torrents/addPeers".to_owned(),
            format!("hashes={hash}&peers=x"),
            400,
        ),
        ("POST /api/v2/torrents/add".to_owned(), String::new(), 400),
        (
            "POST /api/v2/torrents/add".to_owned(),
            "urls=http://a/b.torrent".to_owned(),
            200,
        ),
        (
            "POST /api/v2/app/setPreferences".to_owned(),
            "json={\"dht\":\"x\"}".to_owned(),
            409,
        ),
        (
            "GET /api/v2/torrents/info?sort=nothing".to_owned(),
            String::new(),
            400,
        ),
    ] {
        let reply = stand.ask(&line, &body).await;
        assert_eq!(reply.status, status, "{line} {body}: {}", reply.text());
    }
}

#[tokio::test]
async fn main_data_is_whole_first_and_then_a_difference() {
    let stand = Stand::start().await;
    let hash = add(&stand).await;
    let first = stand.ask("GET /api/v2/sync/maindata", "").await.json();
    assert_eq!(first["full_update"], true);
    assert_eq!(first["categories"]["films"]["name"], "films");
    assert_eq!(first["tags"], json!(["a", "b"]));
    assert!(first["torrents"][hash.to_string()].get("hash").is_none());
    assert!(first["server_state"]["dl_info_speed"].is_number());
    let rid = first["rid"].as_u64().unwrap();
    assert!(rid < 1 << 31, "clients keep it in 32 bits");
    let delta = stand
        .ask(&format!("GET /api/v2/sync/maindata?rid={rid}"), "")
        .await
        .json();
    assert_eq!(delta.get("full_update"), None);

    let limit = format!("hashes={hash}&limit=5000");
    stand
        .ask("POST /api/v2/torrents/setDownloadLimit", &limit)
        .await;
    stand
        .until(hash, |one| one.row.value.limits.down == Some(5000))
        .await;
    let delta = stand
        .ask(&format!("GET /api/v2/sync/maindata?rid={rid}"), "")
        .await
        .json();
    assert_eq!(delta["torrents"][hash.to_string()]["dl_limit"], 5000);
    // A category that is gone is told by sending everything.
    let rid = delta["rid"].clone();
    stand
        .ask("POST /api/v2/torrents/removeCategories", "categories=films")
        .await;
    stand
        .until(hash, |one| one.row.value.category.is_none())
        .await;
    let full = stand
        .ask(&format!("GET /api/v2/sync/maindata?rid={rid}"), "")
        .await
        .json();
    assert_eq!(
        (&full["full_update"], &full["categories"]),
        (&json!(true), &json!({}))
    );
    for strange in ["999999999999", "0", "1"] {
        let whole = stand
            .ask(&format!("GET /api/v2/sync/maindata?rid={strange}"), "")
            .await
            .json();
        assert_eq!(whole["full_update"], true, "{strange}");
    }
}

#[tokio::test]
async fn limits_of_all_and_of_each_are_set_and_read() {
    let stand = Stand::start().await;
    let hash = add(&stand).await;
    let post = async |path: &str, body: String| {
        let reply = stand.ask(&format!("POST /api/v2/{path}"), &body).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.text().to_owned()
    };
    post("transfer/setUploadLimit", "limit=1000".to_owned()).await;
    post("transfer/setDownloadLimit", "limit=2000".to_owned()).await;
    post(
        "torrents/setUploadLimit",
        format!("hashes={hash}&limit=300"),
    )
    .await;
    stand
        .until(hash, |one| one.row.value.limits.up == Some(300))
        .await;
    assert_eq!(post("transfer/uploadLimit", String::new()).await, "1000");
    assert_eq!(post("transfer/downloadLimit", String::new()).await, "2000");
    let limits: Value =
        serde_json::from_str(&post("torrents/uploadLimit", "hashes=all".to_owned()).await).unwrap();
    assert_eq!(limits, json!({ hash.to_string(): 300 }));
    post(
        "app/setPreferences",
        "json={\"dl_limit\": 0, \"queueing_enabled\": false}".to_owned(),
    )
    .await;
    assert_eq!(post("transfer/downloadLimit", String::new()).await, "0");
    assert_eq!(post("transfer/uploadLimit", String::new()).await, "1000");
}
