//! TronBox, and Hardhat with OpenZeppelin's plugin for TRON, deploy and test the token that
//! npm's solc compiled (`src/devnet/trc20/Token.json`). They compile nothing: their compilers
//! come from the network.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use seedrail::devnet::Devnet;
use serde_json::{Value, json};

use crate::support::peer;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// A project of `tests/interop` in a folder of its own, with the tools beside it and the
/// token at `artifact`, described by `more` as its tool has it.
fn project(folder: &Path, name: &str, artifact: &str, more: Value) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let project = folder.join(name);
    copy(&root.join("tests/interop").join(name), &project);
    fs::create_dir_all(project.join("contracts")).unwrap();
    let tools = peer::folder().join("contracts/node_modules");
    std::os::unix::fs::symlink(tools, project.join("node_modules")).unwrap();
    let compiled = fs::read_to_string(root.join("src/devnet/trc20/Token.json")).unwrap();
    let compiled: Value = serde_json::from_str(&compiled).unwrap();
    let mut token = more;
    token["contractName"] = json!("Token");
    token["abi"] = compiled["abi"].clone();
    token["bytecode"] = json!(format!("0x{}", compiled["bytecode"].as_str().unwrap()));
    token["deployedBytecode"] = json!("0x");
    let artifact = project.join(artifact);
    fs::create_dir_all(artifact.parent().unwrap()).unwrap();
    fs::write(artifact, token.to_string()).unwrap();
    project
}

/// Runs a tool's tests in a project against a fresh devnet; they must all pass.
async fn passes(project: PathBuf, tool: &str, arguments: &[&str], tests: usize) {
    let devnet = Devnet::builder().instant().start().await.unwrap();
    let mut command = Command::new("node");
    command
        .arg(project.join("node_modules").join(tool))
        .args(arguments)
        .current_dir(&project)
        .env("NODE_URL", devnet.url())
        .env(
            "PRIVATE_KEY",
            hex::encode(devnet.accounts()[0].key.expose_bytes()),
        )
        .env("HARDHAT_DISABLE_TELEMETRY_PROMPT", "true")
        .env("HOME", &project);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains(&format!("{tests} passing")),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tronbox_deploys_and_tests_a_compiled_token() {
    let folder = tempfile::TempDir::new().unwrap();
    let more = json!({ "networks": {}, "schemaVersion": "4.10.0", "updatedAt": "2026-01-01T00:00:00.000Z" });
    let project = project(folder.path(), "tronbox", "build/contracts/Token.json", more);
    passes(project, "tronbox/build/tronbox.js", &["test"], 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hardhat_deploys_and_tests_a_compiled_token() {
    let folder = tempfile::TempDir::new().unwrap();
    let more = json!({
        "_format": "hh-sol-artifact-1", "sourceName": "contracts/Token.sol",
        "linkReferences": {}, "deployedLinkReferences": {},
    });
    let artifact = "artifacts/contracts/Token.sol/Token.json";
    let project = project(folder.path(), "hardhat", artifact, more);
    let tool = "hardhat/internal/cli/bootstrap.js";
    passes(project, tool, &["test", "--no-compile"], 5).await;
}
