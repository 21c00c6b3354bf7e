//! `seedrail config`: what is in force, and why.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::{
    Context,
    account::{PASSPHRASE_VARIABLE, PRIVATE_KEY_VARIABLE},
    failure::{Failure, Outcome},
    file_options::FileOption,
    settings::{Origin, read_config},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Show each setting, and whether a flag, the environment, `config.toml` or
    /// a default decided it.
    Show,
}

impl Config {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let Self::Show = self;
        let settings = &context.settings;
        let origins = &settings.origins;
        let nodes = &settings.node;
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let variable = |name: &str| set(name).then_some("(set)");
        let path_row =
            |name: &str, path: &Option<PathBuf>, from: Origin| (name.to_owned(), json!(path), from);
        let given = |set: bool, from: Origin| if set { from } else { Origin::Default };
        let mut rows = vec![
            ("home".to_owned(), json!(settings.home), origins.home),
            (
                "network".to_owned(),
                json!(settings.network),
                origins.network,
            ),
            ("node".to_owned(), json!(nodes.urls), origins.node),
            (
                "solidity_node".to_owned(),
                json!(nodes.solidity_urls),
                origins.solidity_node,
            ),
            // The key itself is a secret.
            (
                "api_key".to_owned(),
                nodes.api_key.as_ref().map(|_| "(set)").into(),
                origins.api_key,
            ),
            (
                "requests_per_second".to_owned(),
                json!(settings.requests_per_second),
                origins.requests_per_second,
            ),
            (
                "account".to_owned(),
                json!(settings.account),
                origins.account,
            ),
            path_row("key_file", &settings.key_file, origins.key_file),
            (
                "private_key".to_owned(),
                variable(PRIVATE_KEY_VARIABLE).into(),
                given(set(PRIVATE_KEY_VARIABLE), Origin::Environment),
            ),
            path_row("signer", &settings.signer, origins.signer),
            path_row(
                "passphrase_file",
                &settings.passphrase_file,
                origins.passphrase_file,
            ),
            (
                "passphrase".to_owned(),
                variable(PASSPHRASE_VARIABLE).into(),
                given(set(PASSPHRASE_VARIABLE), Origin::Environment),
            ),
            (
                "ledger".to_owned(),
                json!(settings.ledger.as_ref().map(ToString::to_string)),
                origins.ledger,
            ),
        ];
        // `[settle]`, each setting under its own name; what is not there has its default.
        let settle = read_config(&settings.config_path())?.settle;
        let settle =
            serde_json::to_value(settle).map_err(|error| Failure::failed("json", error))?;
        for (name, value) in settle.as_object().into_iter().flatten() {
            let is_set = !matches!(value, Value::Null | Value::Bool(false));
            let from = given(is_set, Origin::Config);
            rows.push((format!("settle.{name}"), value.clone(), from));
        }
        // Options of commands: what is typed with them counts more.
        let of_table = |option: &FileOption| {
            let name = format!("{}.{}", option.table?, option.key);
            Some((name, option.value.clone(), Origin::Config))
        };
        let options: Vec<_> = context.file.options.iter().filter_map(of_table).collect();
        let document = |rows: &[(String, Value, Origin)]| -> Map<String, Value> {
            rows.iter()
                .map(|(name, value, from)| (name.clone(), json!({ "value": value, "from": from })))
                .collect()
        };
        let options_document = Value::Object(document(&options));
        let mut document = document(&rows);
        document.insert("options".to_owned(), options_document);
        rows.extend(options);
        context.out.result(&Value::Object(document), || {
            let lines = rows
                .iter()
                .map(|(name, value, from)| line(name, value, *from));
            let path = settings.config_path();
            let state = if path.exists() { "" } else { " (not there)" };
            lines
                .chain([format!("{:<20} {}{state}", "config.toml", path.display())])
                .collect::<Vec<_>>()
                .join("\n")
        })
    }
}

fn line(name: &str, value: &Value, from: Origin) -> String {
    let shown = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(urls) if urls.is_empty() => "-".to_owned(),
        Value::Array(urls) => {
            let urls = urls.iter().filter_map(Value::as_str);
            urls.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    let from = match from {
        Origin::Flag => "flag",
        Origin::Environment => "environment",
        Origin::Config => "config.toml",
        Origin::Default => "default",
    };
    format!("{name:<20} {shown}  ({from})")
}
