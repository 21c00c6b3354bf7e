//! Transactions as they are read and written: hex, documents, files of many, stdin.

use std::{fs::File, io::Read, path::Path};

use serde_json::{Map, Value, json};

use super::{
    Context,
    failure::{Failure, Outcome},
};
use crate::tron::{
    json::{transaction_from_json, transaction_to_json},
    transaction::{RawData, Transaction},
};

/// The largest document read: a transaction of 500 KiB, as hex, twice.
pub(super) const MAX_DOCUMENT_BYTES: u64 = 4 << 20;

/// The largest file of many documents: 40,000 transfers, each signed five times.
const MAX_BATCH_BYTES: u64 = 128 << 20;

/// The operand of `decode` and `broadcast`: hex, a file, or stdin.
pub(super) fn operand(text: &str) -> Outcome<String> {
    operand_up_to(text, MAX_DOCUMENT_BYTES)
}

fn operand_up_to(text: &str, most: u64) -> Outcome<String> {
    if text == "-" {
        return text_up_to(&mut std::io::stdin(), most)
            .map_err(|error| Failure::failed("file", format!("stdin: {error}")));
    }
    let path = Path::new(text);
    let is_hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hex && !path.exists() {
        return Ok(text.to_owned());
    }
    File::open(path)
        .and_then(|mut file| text_up_to(&mut file, most))
        .map_err(|error| Failure::file(path, error))
}

/// All of it, unless it is longer; a pipe and a file alike.
fn text_up_to(from: &mut dyn Read, most: u64) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(std::io::Error::other(format!(
            "too large: at most {} MiB are read",
            most >> 20
        )));
    }
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not UTF-8 text"))
}

pub(super) fn invalid(error: impl ToString) -> Failure {
    Failure::failed("invalid_transaction", error)
}

/// A transaction from a document of ours, a node's JSON, or hex.
pub(super) fn read(text: &str, raw: bool) -> Outcome<Transaction> {
    let text = text.trim();
    if !text.starts_with('{') {
        let bytes = hex::decode(text.strip_prefix("0x").unwrap_or(text))
            .map_err(|_| invalid("the transaction is neither hex nor a JSON document"))?;
        if raw {
            RawData::decode(&bytes).map_err(invalid)?;
            return Ok(Transaction::from_parts(bytes, Vec::new(), Vec::new()));
        }
        return Transaction::decode(&bytes)
            .map_err(|error| invalid(error).hint("if the file holds raw_data alone, give --raw"));
    }
    let document: Value = serde_json::from_str(text)
        .map_err(|error| invalid(format!("not a JSON document: {error}")))?;
    from_document(&document)
}

/// The transactions of a file with one document or many, or of hex.
pub(super) fn read_all(operand: &str) -> Outcome<Vec<Transaction>> {
    let text = operand_up_to(operand, MAX_BATCH_BYTES)?;
    if !text.trim_start().starts_with('{') {
        return Ok(vec![read(&text, false)?]);
    }
    serde_json::Deserializer::from_str(&text)
        .into_iter::<Value>()
        .map(|document| {
            let document =
                document.map_err(|error| invalid(format!("not a JSON document: {error}")))?;
            from_document(&document)
        })
        .collect()
}

fn from_document(document: &Value) -> Outcome<Transaction> {
    // A document of ours has the node's form inside.
    let object = document.get("transaction").unwrap_or(document);
    let visible = object
        .get("visible")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let transaction = transaction_from_json(object, visible).map_err(invalid)?;
    if let Some(signed) = document.get("signed_hex").and_then(Value::as_str)
        && hex::encode(transaction.encode()) != signed
    {
        return Err(invalid(
            "`signed_hex` and `transaction` are different transactions",
        ));
    }
    if let Some(txid) = document.get("txid").and_then(Value::as_str)
        && txid.parse() != Ok(transaction.txid())
    {
        return Err(invalid(
            "`txid` and `transaction` are different transactions",
        ));
    }
    Ok(transaction)
}

/// The document that `build` and `sign` share.
pub(super) fn document(transaction: &Transaction) -> Outcome<Value> {
    let mut node_form = match transaction_to_json(transaction, true).map_err(invalid)? {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    node_form.insert("visible".into(), true.into());
    let mut document = json!({
        "txid": transaction.txid(),
        "raw_data_hex": hex::encode(transaction.raw_bytes()),
        "transaction": node_form,
    });
    if !transaction.signatures().is_empty()
        && let Some(object) = document.as_object_mut()
    {
        let signatures: Vec<_> = transaction.signatures().iter().map(hex::encode).collect();
        object.insert("signature".into(), signatures.into());
        object.insert(
            "signed_hex".into(),
            hex::encode(transaction.encode()).into(),
        );
    }
    Ok(document)
}

/// Prints it: it is the result with and without --json, for the next step reads it.
pub(super) fn print_transaction(context: &Context, transaction: &Transaction) -> Outcome {
    let document = document(transaction)?;
    context.out.document(&document)
}
