//! Recordings of java-tron's virtual machine (`fixtures/tron/tvm`), run on ours: the world
//! that they were made in is put into a state, each request is answered by the code that
//! answers HTTP, and whole documents are compared.

mod bytecode;
mod groups;
mod limits;
mod replay;
mod storage;
mod world;

use std::{collections::BTreeSet, fs, io::Read, path::Path};

use serde_json::Value;

/// A recording by its file's name.
fn recorded(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/tron/tvm")
        .join(name);
    let packed = fs::read(path).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice())
        .read_to_string(&mut text)
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Where two documents differ, by path, but for the paths that may.
fn differences(ours: &Value, theirs: &Value, masked: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    compare(ours, theirs, "", masked, &mut found);
    found
}

fn compare(
    ours: &Value,
    theirs: &Value,
    path: &str,
    masked: &BTreeSet<String>,
    found: &mut Vec<String>,
) {
    if masked.contains(path) {
        return;
    }
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let path = format!("{path}.{name}");
                match (a.get(name), b.get(name)) {
                    (Some(a), Some(b)) => compare(a, b, &path, masked, found),
                    _ if masked.contains(&path) => {}
                    (a, b) => found.push(format!("{path}: {a:?} is not {b:?}")),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (n, (a, b)) in a.iter().zip(b).enumerate() {
                compare(a, b, &format!("{path}[{n}]"), masked, found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: {} is not {}", cut(a), cut(b))),
    }
}

fn cut(value: &Value) -> String {
    value.to_string().chars().take(300).collect()
}
