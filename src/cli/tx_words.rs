//! A transaction in words, before it is signed or sent: every field of every kind
//! that can be read, amounts as people read them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    failure::Outcome,
    printable,
    receipts::paid_text,
    tx_documents::invalid,
    units::{counted, moment},
};
use crate::{
    tron::{
        contract::{Contract, ContractType, FieldSchema, Kind, type_name},
        json::message_to_json,
        transaction::{Draft, Transaction},
    },
    types::{Address, RawAmount, Sun, Token, TokenId, UnixMs},
};

/// Whether its words fit a line: a transfer, and nothing but a transfer.
pub(super) fn is_plain(contract: &Contract) -> bool {
    contract.as_transfer().is_some()
}

/// What it does, in a line: `A sends 5 BTT to B`, or the contract's name.
pub(super) fn summary(contract: &Contract) -> String {
    match contract.as_transfer() {
        Some(transfer) => format!(
            "{} sends {} to {}",
            transfer.from,
            paid_text(transfer.amount, transfer.token),
            transfer.to
        ),
        None => contract.contract_type().name().to_owned(),
    }
}

/// Everything that a signature covers and that acts: the summary, a line for each
/// field that it does not tell, memo, permission, fee limit and expiration.
pub(super) fn describe(draft: &Draft) -> Outcome<String> {
    let contract = &draft.contract;
    let mut lines = vec![summary(contract)];
    if !is_plain(contract) {
        let kind = contract.contract_type();
        let fields = message_to_json(kind.fields(), &contract.encode(), false).map_err(invalid)?;
        let Value::Object(fields) = fields else {
            return Err(invalid("a contract without fields"));
        };
        write_fields(&mut lines, 1, kind.fields(), &fields, Some(kind));
    }
    if !draft.memo.is_empty() {
        lines.push(format!("  memo: {}", text_or_hex(&draft.memo)));
    }
    if draft.permission_id != 0 {
        lines.push(format!(
            "  signed under permission: {}",
            draft.permission_id
        ));
    }
    match u64::try_from(draft.fee_limit_sun) {
        Ok(0) => {}
        Ok(limit) => lines.push(format!("  fee limit: {}", Sun(limit))),
        Err(_) => lines.push(format!("  fee limit: {} sun", draft.fee_limit_sun)),
    }
    lines.push(format!("  expires: {}", moment(draft.expiration)));
    Ok(lines.join("\n"))
}

/// What several transfers move together, in words, by token; nothing of one.
pub(super) fn totals(transactions: &[Transaction]) -> Outcome<Vec<String>> {
    let mut totals: BTreeMap<Token, (RawAmount, usize)> = BTreeMap::new();
    for transaction in transactions {
        let draft = transaction.check_signable().map_err(invalid)?;
        if let Some(transfer) = draft.contract.as_transfer() {
            let (sum, count) = totals.entry(transfer.token).or_default();
            *sum = sum
                .checked_add(transfer.amount)
                .ok_or_else(|| invalid("together they are more than a chain has"))?;
            *count += 1;
        }
    }
    let several = totals.into_iter().filter(|(_, (_, count))| *count > 1);
    Ok(several
        .map(|(token, (sum, count))| {
            format!("{count} transfers of {} in all", paid_text(sum, token))
        })
        .collect())
}

/// The names of the contract types whose bits are set, as `operations` has them.
pub(super) fn operations(bits: &[u8]) -> Vec<String> {
    let set = (0_i32..).zip(
        bits.iter()
            .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1)),
    );
    set.filter(|(_, bit)| *bit == 1)
        .map(|(number, _)| match type_name(number) {
            Some(name) => name.trim_end_matches("Contract").to_owned(),
            None => format!("type {number}"),
        })
        .collect()
}

fn text_or_hex(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("`{}`", printable::line(text)),
        Err(_) => format!("{} (hex, not text)", hex::encode(bytes)),
    }
}

/// A line for each field of the schema, those that hold a default included.
fn write_fields(
    lines: &mut Vec<String>,
    depth: usize,
    schema: &[FieldSchema],
    fields: &Map<String, Value>,
    contract: Option<ContractType>,
) {
    let indent = "  ".repeat(depth);
    for field in schema {
        let name = field.json_name();
        let value = fields.get(name);
        let label = name.replace('_', " ");
        match (field.kind, value) {
            (Kind::Message(inner), Some(Value::Object(message))) => {
                lines.push(format!("{indent}{label}:"));
                write_fields(lines, depth + 1, inner, message, None);
            }
            (Kind::Repeated(inner), Some(Value::Array(list))) => {
                for (number, element) in (1..).zip(list) {
                    lines.push(format!("{indent}{label} {number}:"));
                    if let Value::Object(element) = element {
                        write_fields(lines, depth + 1, inner, element, None);
                    }
                }
            }
            (Kind::Message(_) | Kind::Repeated(_), _) => {
                lines.push(format!("{indent}{label}: none"));
            }
            (kind, value) => {
                let text = text_of(kind, value, name, contract, fields);
                lines.push(format!("{indent}{label}: {text}"));
            }
        }
    }
}

fn text_of(
    kind: Kind,
    value: Option<&Value>,
    name: &str,
    contract: Option<ContractType>,
    fields: &Map<String, Value>,
) -> String {
    let bytes = value
        .and_then(Value::as_str)
        .and_then(|text| hex::decode(text).ok())
        .unwrap_or_default();
    let number = value.and_then(Value::as_i64).unwrap_or(0);
    match kind {
        Kind::Address if bytes.is_empty() => "none".to_owned(),
        Kind::Address => Address::from_bytes(&bytes).map_or_else(
            |_| format!("{} (not an address)", hex::encode(&bytes)),
            |address| address.to_string(),
        ),
        Kind::Bytes if bytes.is_empty() => "none".to_owned(),
        Kind::Bytes if name == "operations" => format!(
            "{} ({})",
            hex::encode(&bytes),
            operations(&bytes).join(", ")
        ),
        Kind::Bytes => hex::encode(&bytes),
        Kind::Text => text_or_hex(&bytes),
        Kind::String => {
            let text = value.and_then(Value::as_str).unwrap_or_default();
            format!("`{}`", printable::line(text))
        }
        Kind::Bool => if value == Some(&Value::Bool(true)) {
            "yes"
        } else {
            "no"
        }
        .to_owned(),
        Kind::Enum(names) => match value {
            None => names.first().copied().unwrap_or("0").to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => format!("{other} (unknown)"),
        },
        Kind::Int64 | Kind::Int32 => integer(number, name, contract, fields),
        Kind::Message(_) | Kind::Repeated(_) => String::new(),
    }
}

/// A number with its unit, where it has one that people know.
fn integer(
    number: i64,
    name: &str,
    contract: Option<ContractType>,
    fields: &Map<String, Value>,
) -> String {
    use ContractType::{
        AssetIssue, DelegateResource, FreezeBalance, FreezeBalanceV2, ParticipateAssetIssue,
        Transfer, TransferAsset, TriggerSmart, UnDelegateResource, UnfreezeBalanceV2,
    };
    let is_sun = matches!(
        (contract, name),
        (Some(Transfer | ParticipateAssetIssue), "amount")
            | (Some(FreezeBalance | FreezeBalanceV2), "frozen_balance")
            | (Some(UnfreezeBalanceV2), "unfreeze_balance")
            | (Some(DelegateResource | UnDelegateResource), "balance")
            | (Some(TriggerSmart), "call_value")
    );
    let amount = RawAmount::new(number).ok();
    match (contract, name) {
        _ if is_sun => match amount {
            Some(amount) => paid_text(amount, Token::Trx),
            None => format!("{number} sun (below zero)"),
        },
        (Some(TriggerSmart), "call_token_value") => {
            let id = fields.get("token_id").and_then(Value::as_i64).unwrap_or(0);
            match (TokenId::new(id), amount) {
                (Ok(id), Some(amount)) => paid_text(amount, Token::Trc10(id)),
                _ => number.to_string(),
            }
        }
        (Some(TransferAsset), "amount") => format!("{number} of the token's smallest unit"),
        (Some(DelegateResource), "lock_period") => counted_blocks(number),
        (Some(AssetIssue), "start_time" | "end_time") => moment(UnixMs(number)),
        _ => number.to_string(),
    }
}

fn counted_blocks(number: i64) -> String {
    match u64::try_from(number) {
        Ok(number) => counted(number, "block"),
        Err(_) => format!("{number} blocks"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tron::{proto::Writer, transaction::RefBlock};

    /// A message with something else in each of its fields, and the words for it.
    fn full(schema: &[FieldSchema], next: &mut i64, words: &mut Vec<String>) -> Vec<u8> {
        let mut writer = Writer::new();
        for field in schema {
            *next += 1;
            let number = *next;
            words.push(format!("{}: ", field.json_name().replace('_', " ")));
            match field.kind {
                Kind::Address => {
                    let body = [u8::try_from(number % 250).unwrap(); 20];
                    let address = Address::from_body(body);
                    writer.bytes(field.number, &address.to_bytes());
                    words.push(address.to_string());
                }
                Kind::Text | Kind::String => {
                    let text = format!("text {number}");
                    writer.bytes(field.number, text.as_bytes());
                    words.push(format!("`{text}`"));
                }
                Kind::Bytes => {
                    let bytes = [u8::try_from(number % 250).unwrap(); 32];
                    writer.bytes(field.number, &bytes);
                    words.push(hex::encode(bytes));
                }
                Kind::Int64 | Kind::Int32 => {
                    writer.int64(field.number, number);
                }
                Kind::Bool => {
                    writer.int64(field.number, 1);
                    words.push("yes".to_owned());
                }
                Kind::Enum(names) => {
                    writer.int64(field.number, 1);
                    words.push(names[1].to_owned());
                }
                Kind::Message(inner) => {
                    words.pop();
                    let bytes = full(inner, next, words);
                    writer.element(field.number, &bytes);
                }
                Kind::Repeated(inner) => {
                    words.pop();
                    for _ in 0..2 {
                        let bytes = full(inner, next, words);
                        writer.element(field.number, &bytes);
                    }
                }
            }
        }
        writer.into_bytes()
    }

    fn draft(contract: Contract) -> Draft {
        let ref_block = RefBlock {
            bytes: [0; 2],
            hash: [0; 8],
        };
        Draft::new(contract, ref_block, UnixMs(1_795_967_527_123), UnixMs(0))
    }

    #[test]
    fn every_field_of_every_kind_is_told() {
        for kind in ContractType::ALL {
            let mut words = Vec::new();
            let bytes = full(kind.fields(), &mut 1_000_000_000, &mut words);
            let contract = Contract::decode(*kind, &bytes).unwrap();
            if is_plain(&contract) {
                continue;
            }
            let mut draft = draft(contract);
            draft.memo = b"a\x1b[2Jb".to_vec();
            draft.permission_id = 3;
            draft.fee_limit_sun = 7_000_000;
            words.extend(
                [
                    kind.name(),
                    r"memo: `a\u{1b}[2Jb`",
                    "signed under permission: 3",
                    "fee limit: 7 TRX",
                    "expires: 2026-11-29 15:52:07 UTC",
                ]
                .map(str::to_owned),
            );
            let told = describe(&draft).unwrap();
            for word in words {
                assert!(told.contains(&word), "{word} is not in:\n{told}");
            }
        }
    }

    #[test]
    fn amounts_are_those_that_people_read() {
        let a = Address::from_body([1; 20]);
        let b = Address::from_body([2; 20]);
        let told = |token, raw| {
            let amount = RawAmount::new(raw).unwrap();
            describe(&draft(Contract::transfer(a, b, token, amount))).unwrap()
        };
        let begins = |token, raw, amount: &str| {
            let text = told(token, raw);
            assert!(
                text.starts_with(&format!("{a} sends {amount} to {b}\n")),
                "{text}"
            );
        };
        begins(Token::Trx, 1_000_000, "1 TRX");
        begins(Token::Trc10(TokenId::BTT), 2_500_000, "2.5 BTT");
        // A stranger's token has its id, whatever it is called.
        begins(
            Token::Trc10(TokenId::new(1_000_004).unwrap()),
            5,
            "5raw:1000004",
        );
    }

    #[test]
    fn a_transfer_of_an_unknown_kind_of_token_shows_its_fields() {
        let contract = Contract::from(crate::tron::contract::TransferAssetContract {
            asset_name: b"SomeToken".to_vec(),
            owner_address: Address::from_body([1; 20]).to_bytes().to_vec(),
            to_address: vec![1, 2, 3],
            amount: 77,
        });
        assert!(!is_plain(&contract));
        let told = describe(&draft(contract)).unwrap();
        for word in [
            "`SomeToken`",
            "010203 (not an address)",
            "77 of the token's",
        ] {
            assert!(told.contains(word), "{told}");
        }
    }
}
