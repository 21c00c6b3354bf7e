//! `seedrail init`: the first run.

use std::{fs, io::IsTerminal};

use clap::Args;
use serde_json::json;

use super::{
    Context, account,
    failure::{Failure, Outcome},
    output::ask,
    settings::{Network, read_config},
    wallet,
};
use crate::tron::keystore::Keystore;

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// What to call the wallet.
    #[arg(long, value_name = "NAME", default_value = "main")]
    wallet: String,
}

impl Init {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let settings = &context.settings;
        let terminal = std::io::stdin().is_terminal();
        let path = settings.config_path();
        let mut config = read_config(&path)?;
        let mut network = settings.network;
        if terminal && config.network.is_none() {
            let answer = ask(&format!(
                "Network (devnet, nile, shasta, mainnet) [{network}]: "
            ))?;
            if !answer.is_empty() {
                network = answer.parse().map_err(Failure::usage)?;
            }
        }
        fs::create_dir_all(&settings.home).map_err(|error| Failure::file(&settings.home, error))?;
        let wallet_path = account::wallet_path(settings, &self.wallet)?;
        let address = if wallet_path.exists() {
            context.out.note(format!(
                "the wallet `{}` is there already and stays as it is",
                self.wallet
            ));
            Keystore::read(&wallet_path)
                .map_err(|error| account::keystore_failure(&wallet_path, &error))?
                .address()
        } else {
            let (key, _) = wallet::generate()?;
            wallet::save(context, &self.wallet, &key)?;
            Some(key.address())
        };
        config.network = Some(network);
        config.account = Some(self.wallet.clone());
        let text = toml::to_string(&config).map_err(|error| Failure::failed("config", error))?;
        let next = path.with_extension("toml.new");
        fs::write(&next, text)
            .and_then(|()| fs::rename(&next, &path))
            .map_err(|error| Failure::file(&path, error))?;
        let document = json!({
            "home": settings.home,
            "network": network,
            "account": self.wallet,
            "address": address,
        });
        context.out.result(&document, || {
            let shown = address.map_or_else(String::new, |address| address.to_string());
            let next = if network == Network::Devnet {
                "Start a chain with `seedrail devnet`, or see everything at once with `seedrail demo`."
            } else {
                "Send it some TRX for fees and the BTT you want to spend."
            };
            format!("{} is set up for {network}.\nYour address is {shown}\n{next}", settings.home.display())
        })
    }
}
