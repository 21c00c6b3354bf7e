//! Each rule of security, as a caller meets it.

use super::{PASSWORD, Stand, over};
use crate::api::{Scope, add_token, bans::MAX_FAILURES, request::MAX_BODY, v1};

const PUBLIC: [&str; 5] = [
    "/",
    "/page/main.js",
    "/healthz",
    "/readyz",
    "/api/v1/openapi.json",
];

#[tokio::test]
async fn whoever_has_not_logged_in_sees_the_page_and_health_alone() {
    let stand = Stand::start().await;
    for path in PUBLIC {
        let reply = stand.send(&format!("GET {path}"), &[], b"").await;
        assert_eq!(reply.status, 200, "{path}");
    }
    for (method, path) in v1::guarded() {
        let path = path
            .replace("{hash}", &"00".repeat(20))
            .replace("{name}", "a");
        let reply = stand.send(&format!("{method} {path}"), &[], b"").await;
        assert_eq!(reply.status, 401, "{method} {path}");
        assert_eq!(reply.json()["error"]["code"], "log_in");
    }
    for path in ["/metrics", "/transmission/rpc"] {
        let reply = stand.send(&format!("GET {path}"), &[], b"").await;
        assert_eq!(reply.status, 401, "{path}");
    }
    // qBittorrent's clients look for this before they log in.
    let reply = stand.send("GET /api/v2/app/webapiVersion", &[], b"").await;
    assert_eq!((reply.status, reply.text()), (403, "Forbidden"));
}

#[tokio::test]
async fn every_answer_forbids_scripts_from_elsewhere_frames_and_sniffing() {
    let stand = Stand::start().await;
    for path in ["/", "/nothing", "/api/v1/state", "/api/v2/nothing"] {
        let reply = stand.send(&format!("GET {path}"), &[], b"").await;
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        assert!(!policy.contains("unsafe"));
        assert_eq!(reply.header("x-frame-options"), Some("DENY"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("access-control-allow-origin"), None);
        assert!(reply.header("cache-control").is_some());
    }
}

#[tokio::test]
async fn a_name_that_was_rebound_is_refused() {
    let stand = Stand::with(|config| config.hosts = vec!["nas.example".to_owned()]).await;
    for (host, status) in [
        ("nas.example", 200),
        ("localhost:1", 200),
        ("evil.example", 403),
    ] {
        let reply = stand.send_to(host, "GET /healthz", &[], b"").await.unwrap();
        assert_eq!(reply.status, status, "{host}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_is_refused_even_with_a_token() {
    let stand = Stand::start().await;
    let token = format!("Bearer {}", stand.token);
    let own = format!("http://{}", stand.address);
    for (origin, status) in [
        (own.as_str(), 200),
        ("http://evil.example", 403),
        ("null", 403),
    ] {
        let headers = [("Authorization", token.as_str()), ("Origin", origin)];
        let reply = stand.send("GET /api/v1/torrents", &headers, b"").await;
        assert_eq!(reply.status, status, "{origin}");
    }
    let headers = [
        ("Authorization", token.as_str()),
        ("Sec-Fetch-Site", "cross-site"),
    ];
    for line in [
        "GET /api/v1/torrents",
        "POST /api/v2/torrents/stop",
        "POST /transmission/rpc",
    ] {
        assert_eq!(stand.send(line, &headers, b"").await.status, 403, "{line}");
    }
}

#[tokio::test]
async fn five_wrong_passwords_ban_an_address_and_tokens_still_open() {
    let stand = Stand::start().await;
    let log_in = |password: &str| format!("{{\"password\": \"{password}\"}}");
    for _ in 0..MAX_FAILURES {
        let reply = stand.post("/api/v1/session", &log_in("wrong")).await;
        assert_eq!(reply.status, 401);
    }
    let reply = stand.post("/api/v1/session", &log_in(PASSWORD)).await;
    assert_eq!(reply.status, 403);
    let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    // The other doors are the same.
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = format!("username=admin&password={PASSWORD}");
    let reply = stand
        .send("POST /api/v2/auth/login", &form, body.as_bytes())
        .await;
    assert_eq!(reply.status, 403);
    assert_eq!(stand.ask("GET /api/v1/torrents", "").await.status, 200);
}

#[tokio::test]
async fn only_admin_logs_in_with_the_password() {
    let stand = Stand::start().await;
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    for (user, answer) in [("root", "Fails."), ("", "Fails."), ("admin", "Ok.")] {
        let body = format!("username={user}&password={PASSWORD}");
        let reply = stand
            .send("POST /api/v2/auth/login", &form, body.as_bytes())
            .await;
        assert_eq!((reply.status, reply.text()), (200, answer), "{user}");
    }
}

#[tokio::test]
async fn the_cookie_is_for_the_browser_alone_and_ends_with_the_session() {
    let stand = Stand::start().await;
    let body = format!("{{\"password\": \"{PASSWORD}\"}}");
    let reply = stand.post("/api/v1/session", &body).await;
    assert_eq!(reply.status, 200);
    let whole = reply.header("set-cookie").unwrap();
    assert!(whole.contains("; HttpOnly; SameSite=Strict"), "{whole}");
    let cookie = [("Cookie", reply.cookie())];
    let state = async || stand.send("GET /api/v1/state", &cookie, b"").await.status;
    assert_eq!(state().await, 200);
    // It opens no other API.
    let reply = stand.send("GET /api/v2/app/version", &cookie, b"").await;
    assert_eq!(reply.status, 403);
    let reply = stand.send("DELETE /api/v1/session", &cookie, b"").await;
    assert_eq!(reply.status, 204);
    assert_eq!(state().await, 401);
}

#[tokio::test]
async fn a_form_of_another_site_cannot_log_in() {
    let stand = Stand::start().await;
    let body = format!("{{\"password\": \"{PASSWORD}\"}}");
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let headers = [("Content-Type", kind)];
        let reply = stand
            .send("POST /api/v1/session", &headers, body.as_bytes())
            .await;
        assert_eq!(reply.status, 400, "{kind}");
    }
}

#[tokio::test]
async fn a_token_opens_what_its_scopes_say() {
    let stand = Stand::with(|config| {
        add_token(&config.tokens_file, "reader", &[Scope::Read]).unwrap();
    })
    .await;
    drop(stand);
    let mut reader = None;
    let stand = Stand::with(|config| {
        reader = Some(add_token(&config.tokens_file, "reader", &[Scope::Read]).unwrap());
    })
    .await;
    let token = format!("Bearer {}", reader.unwrap().as_str());
    let headers = [
        ("Authorization", token.as_str()),
        ("Content-Type", "application/json"),
    ];
    assert_eq!(
        stand.send("GET /api/v1/state", &headers, b"").await.status,
        200
    );
    let reply = stand.send("PUT /api/v1/limits", &headers, b"{}").await;
    assert_eq!(reply.status, 403);
    assert_eq!(reply.json()["error"]["code"], "scope");
    let reply = stand
        .send("POST /api/v2/torrents/stop", &headers, b"")
        .await;
    assert_eq!(reply.status, 403);
    let wrong = [("Authorization", "Bearer sr_00")];
    assert_eq!(
        stand.send("GET /api/v1/state", &wrong, b"").await.status,
        401
    );
}

#[tokio::test]
async fn a_bid_needs_the_scope_of_money() {
    let mut rich = None;
    let stand = Stand::with(|config| {
        let scopes = [Scope::Read, Scope::Torrents, Scope::Money];
        rich = Some(add_token(&config.tokens_file, "rich", &scopes).unwrap());
    })
    .await;
    let link = "00".repeat(20);
    let body =
        format!("{{\"link\": \"{link}\", \"paused\": true, \"prices\": {{\"bid_raw\": 5}}}}");
    let reply = stand.ask("POST /api/v1/torrents", &body).await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    let token = format!("Bearer {}", rich.unwrap().as_str());
    let headers = [
        ("Authorization", token.as_str()),
        ("Content-Type", "application/json"),
    ];
    let reply = stand
        .send("POST /api/v1/torrents", &headers, body.as_bytes())
        .await;
    assert_eq!(reply.status, 201, "{}", reply.text());
}

#[tokio::test]
async fn what_moves_money_needs_its_scope_or_a_confirmation_for_each_request() {
    let stand = Stand::start().await;
    let link = "00".repeat(20);
    let add = format!("{{\"link\": \"{link}\", \"paused\": true}}");
    assert_eq!(stand.ask("POST /api/v1/torrents", &add).await.status, 201);
    let bid = "{\"bid_raw\": 5}";
    let own = format!("{{\"prices\": {bid}}}");
    let torrent = format!("PATCH /api/v1/torrents/{link}");
    let lines = [
        ("POST /api/v1/money/settle", ""),
        ("PUT /api/v1/money/policy", "{\"mode\": \"free\"}"),
        ("PUT /api/v1/prices", bid),
        (torrent.as_str(), own.as_str()),
    ];
    for (line, body) in lines {
        let reply = stand.ask(line, body).await;
        assert_eq!(reply.status, 403, "{line}");
        assert_eq!(reply.json()["error"]["code"], "scope", "{line}");
    }
    // No bid is no money.
    let free = stand.ask("PUT /api/v1/prices", "{\"bid_raw\": 0}").await;
    assert_ne!(free.status, 403);

    let password = format!("{{\"password\": \"{PASSWORD}\"}}");
    let reply = stand.post("/api/v1/session", &password).await;
    let cookie = reply.cookie().to_owned();
    let json = ("Content-Type", "application/json");
    for (line, body) in lines {
        let headers = [("Cookie", cookie.as_str()), json];
        let send = async |code: &str| {
            let headers = [
                ("Cookie", cookie.as_str()),
                json,
                ("Seedrail-Confirm", code),
            ];
            stand.send(line, &headers, body.as_bytes()).await
        };
        let refused = send("00").await;
        assert_eq!(refused.json()["error"]["code"], "confirm", "{line}");
        let path = "POST /api/v1/session/confirm";
        let given = stand.send(path, &headers, password.as_bytes()).await;
        let code = given.json()["confirm"].as_str().unwrap().to_owned();
        // It is allowed; this client has no payments.
        let done = send(&code).await;
        assert!(
            done.status == 409 || done.status == 204,
            "{line}: {}",
            done.text()
        );
        assert_eq!(send(&code).await.status, 403, "{line}: a code is good once");
    }
}

#[tokio::test]
async fn money_is_confirmed_with_the_password_and_not_with_a_token() {
    let stand = Stand::start().await;
    let log_in = format!("{{\"token\": \"{}\"}}", stand.token);
    let reply = stand.post("/api/v1/session", &log_in).await;
    let cookie = reply.cookie().to_owned();
    let headers = [
        ("Cookie", cookie.as_str()),
        ("Content-Type", "application/json"),
    ];
    let confirm = async |password: &str| {
        let body = format!("{{\"password\": \"{password}\"}}");
        stand
            .send("POST /api/v1/session/confirm", &headers, body.as_bytes())
            .await
    };
    assert_eq!(confirm("wrong password").await.status, 401);
    assert_eq!(confirm(&stand.token).await.status, 403);
    let reply = confirm(PASSWORD).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["confirm"].as_str().unwrap().len(), 64);
    // Only a session of the page has one.
    let body = format!("{{\"password\": \"{PASSWORD}\"}}");
    assert_eq!(
        stand
            .ask("POST /api/v1/session/confirm", &body)
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn the_old_apis_never_have_the_scope_of_money() {
    use crate::api::{
        gate::{Door, Peer, identify},
        scope::Scopes,
    };
    let folder = tempfile::tempdir().unwrap();
    let config = super::config(folder.path());
    let scopes = [Scope::Read, Scope::Torrents, Scope::Money];
    let token = add_token(&config.tokens_file, "all", &scopes).unwrap();
    let client = super::client(folder.path()).await;
    let (_ends, ending) = tokio::sync::watch::channel(false);
    let (site, _) =
        crate::api::site::Site::new(&config, client, None, ending, crate::api::line::TIMES)
            .unwrap();
    let mut headers = axum::http::HeaderMap::new();
    let bearer = format!("Bearer {}", token.as_str());
    headers.insert("authorization", bearer.parse().unwrap());
    headers.insert("seedrail-scopes", "money".parse().unwrap());
    let address = "127.0.0.1".parse().unwrap();
    for peer in [Peer::Tcp { address, tls: true }, Peer::Socket] {
        for (door, money) in [
            (Door::Own, true),
            (Door::Qbittorrent, false),
            (Door::Transmission, false),
        ] {
            let caller = identify(&site, door, peer, Some(address), &headers)
                .await
                .unwrap();
            let expected = Scopes {
                money,
                ..Scopes::NO_MONEY
            };
            assert_eq!(caller.scopes, expected, "{door:?} {peer:?}");
        }
    }
}

#[tokio::test]
async fn the_socket_is_for_its_owner_alone_and_asks_for_money_by_name() {
    use std::os::unix::fs::PermissionsExt as _;
    let stand = Stand::with(|config| {
        let home = config.tokens_file.parent().unwrap();
        config.socket = Some(home.join("api.sock"));
    })
    .await;
    let socket = stand.folder.path().join("api.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let who = async |headers: &[(&str, &str)]| {
        over(&socket, "GET /api/v1/session", headers).await.json()["scopes"].clone()
    };
    assert_eq!(who(&[]).await, serde_json::json!(["read", "torrents"]));
    let asked = [("Seedrail-Scopes", "money")];
    assert_eq!(
        who(&asked).await,
        serde_json::json!(["read", "torrents", "money"])
    );
    // The header means nothing over TCP.
    let reply = stand.send("GET /api/v1/session", &asked, b"").await;
    assert_eq!(reply.json()["scopes"], serde_json::json!([]));

    assert!(crate::api::server::may_enter(1000, 1000));
    assert!(!crate::api::server::may_enter(1001, 1000));
    assert!(!crate::api::server::may_enter(0, 1000));
    stand.server.stop().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_body_has_a_limit_and_a_stranger_s_is_small() {
    let stand = Stand::start().await;
    let token = format!("Bearer {}", stand.token);
    let size = (MAX_BODY + 1).to_string();
    let head = format!(
        "POST /api/v1/torrents HTTP/1.1\r\nHost: {}\r\nAuthorization: {token}\r\nContent-Length: {size}\r\n\r\n",
        stand.address
    );
    let stream = tokio::net::TcpStream::connect(stand.address).await.unwrap();
    let reply = super::exchange(stream, head.as_bytes()).await.unwrap();
    assert_eq!(reply.status, 413);
    let large = vec![b' '; crate::api::request::STRANGERS_BODY + 1];
    let json = [("Content-Type", "application/json")];
    let reply = stand.send("POST /api/v1/session", &json, &large).await;
    assert_eq!(reply.status, 413);
    let reply = stand.send("POST /api/v1/session", &json, &large[1..]).await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn behind_a_prefix_nothing_else_is_served() {
    let stand = Stand::with(|config| config.prefix = "/rail".to_owned()).await;
    let get = async |path: &str| stand.send(&format!("GET {path}"), &[], b"").await;
    assert_eq!(get("/rail/").await.status, 200);
    assert_eq!(get("/rail/page/main.js").await.status, 200);
    let reply = get("/rail").await;
    assert_eq!(
        (reply.status, reply.header("location")),
        (308, Some("/rail/"))
    );
    for path in [
        "/",
        "/page/main.js",
        "/railway/",
        "/rail/../healthz",
        "/healthz",
    ] {
        assert_eq!(get(path).await.status, 404, "{path}");
    }
    let body = format!("{{\"password\": \"{PASSWORD}\"}}");
    let reply = stand.post("/rail/api/v1/session", &body).await;
    assert!(
        reply
            .header("set-cookie")
            .unwrap()
            .contains("; Path=/rail/;")
    );
    assert!(stand.server.url().unwrap().ends_with("/rail/"));
}
