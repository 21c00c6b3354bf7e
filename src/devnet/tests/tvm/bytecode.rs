//! Small programs by `triggerconstantcontract`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{differences, recorded, world};
use crate::devnet::{api, execute::Slot, params::Parameters, state::State};

/// What a group came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    exact: usize,
    masked: usize,
    failed: usize,
}

/// The recording has long texts by their hash alone.
fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > 4_096 => {
            if let Ok(bytes) = hex::decode(text.as_str()) {
                *value = json!({
                    "sha256_of_bytes": hex::encode(Sha256::digest(&bytes)),
                    "bytes": bytes.len(),
                });
            }
        }
        Value::Array(list) => list.iter_mut().for_each(shorten),
        Value::Object(object) => object.values_mut().for_each(shorten),
        _ => {}
    }
}

fn answer(state: &State, slot: Slot, body: &Value) -> Value {
    let mut answer = api::constant_call(state, slot, &body.to_string());
    if let Some(transaction) = answer.get_mut("transaction").and_then(Value::as_object_mut) {
        transaction.retain(|name, _| name == "ret");
    }
    shorten(&mut answer);
    answer
}

fn run(recording: &Value, parameters: Parameters) -> (BTreeMap<String, Count>, Vec<String>) {
    let (state, slot) = world::load(&recording["world"], parameters);
    // Questions for old blocks were put when there were more of them.
    let (later, later_slot) = world::later(&state, slot, 500);
    let only = std::env::var("TVM_ONLY").ok();
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (group, cases) in recording["groups"].as_object().unwrap() {
        let count = counts.entry(group.clone()).or_default();
        for case in cases.as_array().unwrap() {
            let id = case["id"].as_str().unwrap();
            // The clock of that machine ended it; another one may be faster.
            let text = case["response"]["message_text"].as_str();
            if text.is_some_and(|text| text.contains("CPU timeout for")) {
                continue;
            }
            if only.as_ref().is_some_and(|only| !id.starts_with(only)) {
                continue;
            }
            let (state, slot) = match group.as_str() {
                "blockhash" => (&later, later_slot),
                _ => (&state, slot),
            };
            let ours = answer(state, slot, &case["request"]["body"]);
            let mut theirs = case["response"].clone();
            theirs.as_object_mut().unwrap().remove("message_text");
            let masked: BTreeSet<String> = case["volatile"]
                .as_array()
                .map(|paths| {
                    let paths = paths.iter().map(|path| path.as_str().unwrap());
                    paths.map(str::to_owned).collect()
                })
                .unwrap_or_default();
            let found = differences(&ours, &theirs, &masked);
            if !found.is_empty() {
                count.failed += 1;
                wrong.push(format!("{id} {}: {}", case["title"], found.join("; ")));
            } else if differences(&ours, &theirs, &BTreeSet::new()).is_empty() {
                count.exact += 1;
            } else {
                count.masked += 1;
            }
        }
    }
    (counts, wrong)
}

fn report(counts: &BTreeMap<String, Count>, wrong: &[String]) -> Count {
    let mut all = Count::default();
    for (group, count) in counts {
        println!(
            "{group:12} exact {:4}, masked {:3}, failed {}",
            count.exact, count.masked, count.failed
        );
        all.exact += count.exact;
        all.masked += count.masked;
        all.failed += count.failed;
    }
    println!("{all:?}");
    for line in wrong {
        println!("{line}");
    }
    all
}

/// Recordings that come out otherwise, by the file they are in, and why.
const KNOWN: &[(&str, &str, &[&str])] = &[
    (
        "bytecode.json.gz",
        "ids of blocks of that chain, which were not recorded",
        &["env-0039", "env-0040"],
    ),
    (
        "bytecode.json.gz",
        "addresses that are made of the transaction's id, which hangs on the time",
        &["depth-0004"],
    ),
    (
        "tip6780-bytecode.json.gz",
        "accounts that had changed since the world was written down",
        &[
            "selfdestruct-0006",
            "selfdestruct-0007",
            "selfdestruct-0008",
            "selfdestruct-0023",
        ],
    ),
];

fn check(name: &str, parameters: Parameters) {
    let (counts, wrong) = run(&recorded(name), parameters);
    report(&counts, &wrong);
    let known: BTreeSet<&str> = KNOWN
        .iter()
        .filter(|(file, _, _)| *file == name)
        .flat_map(|(_, _, ids)| ids.iter().copied())
        .collect();
    let wrong: BTreeSet<&str> = wrong
        .iter()
        .map(|line| line.split(' ').next().unwrap_or_default())
        .collect();
    assert_eq!(wrong, known);
}

#[test]
fn recorded_programs_come_out_as_on_java_tron() {
    check("bytecode.json.gz", world::parameters());
}

#[test]
fn a_restricted_selfdestruct_does_as_recorded() {
    let mut parameters = world::parameters();
    parameters
        .set("getAllowTvmSelfdestructRestriction", 1)
        .unwrap();
    check("tip6780-bytecode.json.gz", parameters);
}
