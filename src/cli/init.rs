//! `seedrail init`: the first run, and the change of the network later.

use std::{fs, io::IsTerminal, path::PathBuf};

use clap::Args;
use serde_json::json;

use super::{
    Context, account,
    config_file::with_settings,
    failure::{Failure, Outcome},
    new_wallet,
    output::ask,
    settings::{ConfigFile, Network, Origin, private_folder, read_config},
};
use crate::tron::keystore::Keystore;

/// How often the network is asked again.
const TRIES: usize = 3;

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Name of the wallet.
    #[arg(long, value_name = "NAME", default_value = "main")]
    wallet: String,
    /// Write the 24 words of the new wallet's recovery phrase to this new file (mode 0600).
    #[arg(long, value_name = "FILE")]
    phrase_out: Option<PathBuf>,
}

impl Init {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let settings = &context.settings;
        let path = settings.config_path();
        // One that cannot be read is not written over.
        read_config(&path)?;
        let network = network(context)?;
        let wallet_path = account::wallet_path(settings, &self.wallet)?;
        let (address, phrase) = if wallet_path.exists() {
            context.out.note(format!(
                "the wallet `{}` exists already and stays as it is",
                self.wallet
            ));
            let keystore = Keystore::read(&wallet_path)
                .map_err(|error| account::keystore_failure(&wallet_path, &error))?;
            (keystore.address(), None)
        } else {
            let made = new_wallet::make(context, &self.wallet, network, self.phrase_out)?;
            (Some(made.key.address()), made.phrase)
        };
        private_folder(&settings.home)?;
        write_config(&path, network, &self.wallet)?;
        let document = json!({
            "home": settings.home,
            "network": network,
            "account": self.wallet,
            "address": address,
            "phrase_file": phrase,
        });
        context.out.result(&document, || {
            let shown = address.map_or_else(String::new, |address| address.to_string());
            let next = if network == Network::Devnet {
                "Start a chain with `seedrail devnet`, or see everything at once with `seedrail demo`."
            } else {
                "Send it some TRX for fees and the BTT you want to spend."
            };
            format!(
                "{} is set up for {network}.\nYour address is {shown}\n{next}",
                settings.home.display()
            )
        })
    }
}

/// The network that a flag or the environment names, or else the one that is typed.
fn network(context: &Context) -> Outcome<Network> {
    let settings = &context.settings;
    let named = matches!(settings.origins.network, Origin::Flag | Origin::Environment);
    if named || settings.yes || !std::io::stdin().is_terminal() {
        return Ok(settings.network);
    }
    let question = format!(
        "Network (devnet, nile, shasta, mainnet) [{}]: ",
        settings.network
    );
    for tried in 1.. {
        let answer = ask(&question)?;
        if answer.is_empty() {
            return Ok(settings.network);
        }
        match answer.to_lowercase().parse() {
            Ok(network) => return Ok(network),
            Err(error) if tried == TRIES => return Err(Failure::usage(error)),
            Err(error) => context.out.show(error),
        }
    }
    Ok(settings.network)
}

fn write_config(path: &std::path::Path, network: Network, account: &str) -> Outcome {
    let before = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::file(path, error)),
    };
    let text = with_settings(&before, &network.to_string(), account);
    // What was written says what was meant, or nothing is changed.
    let read: Option<ConfigFile> = toml::from_str(&text).ok();
    if read.is_none_or(|config| {
        config.network != Some(network) || config.account.as_deref() != Some(account)
    }) {
        return Err(Failure::file(
            path,
            "its `network` and `account` are not plain text on lines of their own",
        )
        .hint("set them by hand"));
    }
    let next = path.with_extension("toml.new");
    fs::write(&next, text)
        .and_then(|()| fs::rename(&next, path))
        .map_err(|error| Failure::file(path, error))
}
