//! Wrong, missing and unusual parameters, answered in java-tron's words: those of its
//! servlets, `Util.java` and `JsonFormat.java` on Java 17.

use seedrail::devnet::{Devnet, Pace};
use serde_json::{Value, json};

use super::http::{get, post, send};

async fn devnet() -> Devnet {
    let devnet = Devnet::builder().pace(Pace::Manual).start().await.unwrap();
    devnet.mine(1);
    devnet
}

fn error(answer: &Value) -> String {
    answer["Error"].as_str().unwrap_or_default().to_owned()
}

/// The words of an answer to a call of a contract.
fn message(answer: &Value) -> String {
    let text = answer["result"]["message"].as_str().unwrap_or_default();
    match hex::decode(text) {
        Ok(bytes) => String::from_utf8(bytes).unwrap(),
        Err(_) => text.to_owned(),
    }
}

const NO_OBJECT: &str = "class java.lang.NullPointerException : Cannot invoke \"com.alibaba.fastjson.JSONObject.getString(String)\" because \"jsonObject\" is null";
const NO_NUMBER: &str = "class java.lang.NumberFormatException : Cannot parse null string";
const NOT_HEX: &str = "class org.bouncycastle.util.encoders.DecoderException : exception decoding Hex string: invalid characters encountered in Hex string";
/// An address with one character too many changed, and one that has no such digit.
const BAD_CHECKSUM: &str = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HD";
const BAD_DIGIT: &str = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2H0";
const ILLEGAL: &str = "class java.lang.IllegalArgumentException : Illegal character 0 at 33";

#[tokio::test]
async fn calls_of_contracts_say_what_is_missing() {
    let devnet = devnet().await;
    let owner = devnet.accounts()[0].address.to_hex();
    let other = devnet.accounts()[1].address.to_hex();
    let invalid = |words: &str| format!("class java.security.InvalidParameterException : {words}");
    for path in [
        "triggerconstantcontract",
        "estimateenergy",
        "triggersmartcontract",
    ] {
        let answer = send(&devnet, "POST", &format!("/wallet/{path}"), "")
            .await
            .1;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(message(&answer), NO_OBJECT.replace('"', "'"), "{path}");
        assert_eq!(answer["result"]["code"], "OTHER_ERROR");
        let answer = post(
            &devnet,
            &format!("/wallet/{path}"),
            json!({ "owner_address": "" }),
        )
        .await;
        assert_eq!(message(&answer), invalid("owner_address isn't set."));
    }
    for path in ["triggerconstantcontract", "estimateenergy"] {
        for (more, words) in [
            (
                json!({}),
                "At least one of contract_address and data must be set.",
            ),
            (
                json!({ "function_selector": "f()" }),
                "At least one of contract_address and data must be set.",
            ),
            (
                json!({ "function_selector": "f()", "data": "00" }),
                "While trying to deploy, function_selector and data can not be both set.",
            ),
        ] {
            let mut body = json!({ "owner_address": owner });
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let answer = post(&devnet, &format!("/wallet/{path}"), body).await;
            assert_eq!(message(&answer), invalid(words), "{path}");
        }
    }
    for (fee_limit, words) in [
        (
            json!("abc"),
            "class java.lang.NumberFormatException : Character a is neither a decimal digit number, decimal point, nor 'e' notation exponential mark.",
        ),
        (
            json!("1.5"),
            "class java.lang.ArithmeticException : Rounding necessary",
        ),
        (
            json!("1e19"),
            "class java.lang.ArithmeticException : Overflow",
        ),
        (json!("1e3"), "No contract or not a valid smart contract"),
        (json!("5.00"), "No contract or not a valid smart contract"),
        (json!(""), "No contract or not a valid smart contract"),
    ] {
        let body =
            json!({ "owner_address": owner, "contract_address": other, "fee_limit": fee_limit });
        let answer = post(&devnet, "/wallet/triggersmartcontract", body).await;
        assert_eq!(message(&answer), words, "{fee_limit}");
    }
}

#[tokio::test]
async fn a_deployment_is_read_field_by_field() {
    let devnet = devnet().await;
    let owner = devnet.accounts()[0].address.to_hex();
    let deploy = async |more: Value| {
        let mut body = json!({ "owner_address": owner, "bytecode": "00" });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        post(&devnet, "/wallet/deploycontract", body).await
    };
    let (_, blank) = send(&devnet, "POST", "/wallet/deploycontract", "").await;
    assert_eq!(error(&serde_json::from_str(&blank).unwrap()), NO_OBJECT);
    for (more, words) in [
        (json!({ "call_value": "x" }), "Character x is neither"),
        (
            json!({ "token_id": 0.5 }),
            "ArithmeticException : Rounding necessary",
        ),
        (
            json!({ "origin_energy_limit": "1.2.3" }),
            "more than one decimal point.",
        ),
        (
            json!({ "fee_limit": "." }),
            "NumberFormatException : No digits found.",
        ),
        (json!({ "bytecode": "xy" }), NOT_HEX),
        (json!({ "bytecode": "00", "parameter": null }), NOT_HEX),
        // Read before the percentage is judged.
        (
            json!({ "consume_user_resource_percent": 101, "fee_limit": "x" }),
            "Character x is neither",
        ),
        (
            json!({ "consume_user_resource_percent": 101 }),
            "percent must be >= 0 and <= 100",
        ),
        (
            json!({ "Permission_id": "x" }),
            "NumberFormatException : For input string: \"x\"",
        ),
        (json!({ "owner_address": "xy" }), NOT_HEX),
    ] {
        let answer = deploy(more.clone()).await;
        assert!(error(&answer).contains(words), "{more}: {answer}");
    }
    let built =
        deploy(json!({ "call_value": "7", "name": 5, "fee_limit": "1e6", "extra_data": "00" }))
            .await;
    let raw = &built["raw_data"];
    let contract = &raw["contract"][0]["parameter"]["value"]["new_contract"];
    assert_eq!(
        (&contract["call_value"], &contract["name"]),
        (&json!(7), &json!("5"))
    );
    assert_eq!(raw["fee_limit"], 1_000_000);
    assert!(raw.get("data").is_none(), "only transfers take a memo here");
}

#[tokio::test]
async fn addresses_are_read_as_each_servlet_reads_them() {
    let devnet = devnet().await;
    let visible = |name: &str, value: &str| json!({ name: value, "visible": true });
    let parsed = "class org.tron.core.services.http.JsonFormat$ParseException : ";
    // By themselves: what is no address is none; a character that is no digit is an error.
    for (path, name) in [
        ("getcontract", "value"),
        ("getcontractinfo", "value"),
        ("getaccountresource", "address"),
        ("getdelegatedresourceaccountindexv2", "value"),
    ] {
        let path = format!("/wallet/{path}");
        for value in ["", BAD_CHECKSUM, "4100"] {
            let legal = !value.starts_with('4');
            let answer = post(&devnet, &path, visible(name, value)).await;
            assert_eq!(
                answer.get("Error").is_none(),
                legal,
                "{path} {value}: {answer}"
            );
        }
        let answer = post(&devnet, &path, visible(name, BAD_DIGIT)).await;
        assert_eq!(error(&answer), ILLEGAL, "{path}");
        let answer = get(&devnet, &format!("{path}?visible=true&{name}={BAD_DIGIT}")).await;
        assert_eq!(error(&answer), ILLEGAL, "{path}");
        let answer = get(
            &devnet,
            &format!("{path}?visible=true&{name}={BAD_CHECKSUM}"),
        )
        .await;
        assert_eq!(answer, json!({}), "{path}");
    }
    // As a field of a message: at its place in the text.
    for path in ["getcontract", "getdelegatedresourceaccountindexv2"] {
        let answer = post(
            &devnet,
            &format!("/wallet/{path}"),
            json!({ "value": "xy" }),
        )
        .await;
        assert_eq!(
            error(&answer),
            format!("{parsed}1:10: INVALID hex String"),
            "{path}"
        );
    }
    let answer = get(&devnet, "/wallet/getcontract?value=xy").await;
    assert_eq!(error(&answer), format!("{parsed}1:10: INVALID hex String"));
    let answer = get(&devnet, "/wallet/getaccount?address=xy").await;
    assert_eq!(error(&answer), format!("{parsed}1:12: INVALID hex String"));
    let path = format!("/wallet/getaccount?visible=true&address={BAD_DIGIT}");
    let words = format!("{parsed}1:12: INVALID base58 String, Illegal character 0 at 33");
    assert_eq!(error(&get(&devnet, &path).await), words);
    // GET reads these by themselves, POST as fields.
    for path in ["getaccountnet", "getassetissuebyaccount"] {
        let answer = get(&devnet, &format!("/wallet/{path}?address=xy")).await;
        assert_eq!(error(&answer), NOT_HEX, "{path}");
        let answer = post(
            &devnet,
            &format!("/wallet/{path}"),
            json!({ "address": "xy" }),
        )
        .await;
        assert_eq!(
            error(&answer),
            format!("{parsed}1:12: INVALID hex String"),
            "{path}"
        );
    }
    let (_, blank) = send(&devnet, "POST", "/wallet/getaccountresource", "").await;
    assert_eq!(error(&serde_json::from_str(&blank).unwrap()), NO_OBJECT);
}

#[tokio::test]
async fn numbers_that_must_be_there_are_asked_for() {
    let devnet = devnet().await;
    for path in [
        "getproposalbyid",
        "getexchangebyid",
        "getpaginatedproposallist",
        "getpaginatedexchangelist",
        "getpaginatednowwitnesslist",
        "getpaginatedproposallist?offset=0",
    ] {
        let answer = get(&devnet, &format!("/wallet/{path}")).await;
        assert_eq!(error(&answer), NO_NUMBER, "{path}");
    }
    for path in ["getproposalbyid", "getexchangebyid"] {
        let answer = post(&devnet, &format!("/wallet/{path}"), json!({})).await;
        let words = "class java.security.InvalidParameterException : key [id] does not exist";
        assert_eq!(error(&answer), words, "{path}");
        let answer = get(&devnet, &format!("/wallet/{path}?id=x")).await;
        let words = "class java.lang.NumberFormatException : For input string: \"x\"";
        assert_eq!(error(&answer), words, "{path}");
    }
}

#[tokio::test]
async fn what_is_no_name_escape_or_permission_is_named() {
    let devnet = devnet().await;
    let owner = devnet.accounts()[0].address.to_hex();
    let parsed = "JsonFormat$ParseException : ";
    let freeze = |more: Value| {
        let mut body = json!({ "owner_address": owner, "frozen_balance": 1_000_000 });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let unknown = "Enum type \"protocol.ResourceCode\" has no value";
    for (more, words) in [
        (json!({ "resource": "GAS" }), format!("{unknown} named \"GAS\".")),
        (json!({ "resource": "gas" }), format!("{unknown} named \"Gas\".")),
        (json!({ "resource": 7 }), format!("{unknown} with number 7.")),
        (
            json!({ "Permission_id": null }),
            "because the return value of \"com.alibaba.fastjson.JSONObject.getInteger(String)\" is null".to_owned(),
        ),
        (json!({ "Permission_id": [1] }), "JSONException : can not cast to int, value : [1]".to_owned()),
    ] {
        let answer = post(&devnet, "/wallet/freezebalancev2", freeze(more.clone())).await;
        assert!(error(&answer).ends_with(&words), "{more}: {answer}");
    }
    let body = format!(r#"{{"owner_address":"{owner}","owner":{{"permission_name":"a\/b"}}}}"#);
    let (_, answer) = send(&devnet, "POST", "/wallet/accountpermissionupdate", &body).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let words = r"Invalid escape sequence: '\/'";
    assert!(
        error(&answer).contains(parsed) && error(&answer).ends_with(words),
        "{answer}"
    );
    // A memo is for transfers alone.
    let built = post(
        &devnet,
        "/wallet/freezebalancev2",
        freeze(json!({ "extra_data": "00" })),
    )
    .await;
    assert!(built["raw_data"]["data"].is_null(), "{built}");
    let to = devnet.accounts()[1].address.to_hex();
    let pay = json!({ "owner_address": owner, "to_address": to, "amount": 1, "extra_data": "00" });
    let built = post(&devnet, "/wallet/createtransaction", pay.clone()).await;
    assert_eq!(built["raw_data"]["data"], "00");
    let mut pay = pay;
    pay["extra_data"] = Value::Null;
    let built = post(&devnet, "/wallet/createtransaction", pay).await;
    let words = "Cannot invoke \"String.length()\" because \"data\" is null";
    assert!(error(&built).ends_with(words), "{built}");
}
