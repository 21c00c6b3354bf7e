//! `seedrail config`: what is in force, and why.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::{Context, failure::Outcome, settings::Origin};

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
        let rows = [
            ("home", json!(settings.home), origins.home),
            ("network", json!(settings.network), origins.network),
            ("node", json!(nodes.urls), origins.node),
            (
                "solidity_node",
                json!(nodes.solidity_urls),
                origins.solidity_node,
            ),
            // The key itself is a secret.
            (
                "api_key",
                nodes.api_key.as_ref().map(|_| "(set)").into(),
                origins.api_key,
            ),
            ("account", json!(settings.account), origins.account),
            (
                "ledger",
                json!(settings.ledger.as_ref().map(ToString::to_string)),
                origins.ledger,
            ),
        ];
        let document: Map<String, Value> = rows
            .iter()
            .map(|(name, value, from)| {
                ((*name).to_owned(), json!({ "value": value, "from": from }))
            })
            .collect();
        context.out.result(&Value::Object(document), || {
            let lines = rows
                .iter()
                .map(|(name, value, from)| line(name, value, *from));
            let path = settings.config_path();
            let state = if path.exists() { "" } else { " (not there)" };
            lines
                .chain([format!("{:<14} {}{state}", "config.toml", path.display())])
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
    format!("{name:<14} {shown}  ({from})")
}
