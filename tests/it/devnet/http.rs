//! One question to a devnet, over HTTP.

use seedrail::devnet::Devnet;
use serde_json::{Value, json};

/// The answer's status and body.
pub(super) async fn send(devnet: &Devnet, method: &str, path: &str, body: &str) -> (u16, String) {
    // An error says that another test has done so.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let answer = reqwest::Client::new()
        .request(method, format!("{}{path}", devnet.url()))
        .header("content-type", "application/json")
        .body(body.to_owned())
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    (status, answer.text().await.unwrap())
}

/// A POST of JSON that is answered with JSON.
pub(super) async fn post(devnet: &Devnet, path: &str, body: Value) -> Value {
    let (status, text) = send(devnet, "POST", path, &body.to_string()).await;
    let value = serde_json::from_str(&text);
    value.unwrap_or_else(|error| panic!("{path}: {status}, {error}: {text}"))
}

/// A GET that is answered with JSON.
pub(super) async fn get(devnet: &Devnet, path: &str) -> Value {
    let (status, text) = send(devnet, "GET", path, "").await;
    let value = serde_json::from_str(&text);
    value.unwrap_or_else(|error| panic!("{path}: {status}, {error}: {text}"))
}

/// The whole answer of a JSON-RPC method.
pub(super) async fn rpc(devnet: &Devnet, path: &str, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    post(devnet, path, body).await
}

/// The result of a JSON-RPC method.
pub(super) async fn result(devnet: &Devnet, path: &str, method: &str, params: Value) -> Value {
    let mut answer = rpc(devnet, path, method, params).await;
    assert!(answer.get("error").is_none(), "{method}: {answer}");
    answer["result"].take()
}
