//! A wallet is made: its passphrase, its recovery phrase, its file.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{
    Context,
    account::{self, PASSPHRASE_VARIABLE},
    failure::{Failure, Outcome},
    output::{ask, ask_hidden},
    settings::{Network, private_folder},
};
use crate::tron::{
    keys::SecretKey,
    keystore::{Keystore, ScryptCost, create_private},
    mnemonic::Mnemonic,
};

/// The shortest passphrase anywhere but on a devnet, in characters.
const MIN_PASSPHRASE: usize = 8;
/// How often something is asked again.
const TRIES: usize = 3;

/// A wallet that was made.
pub(crate) struct Made {
    pub(crate) key: SecretKey,
    pub(crate) path: PathBuf,
    /// Where its recovery phrase was written.
    pub(crate) phrase: Option<PathBuf>,
}

/// Makes a key from a new recovery phrase and keeps it encrypted, for `network`. The
/// phrase is written to `phrase_out`, or where the user says on a terminal, before
/// the wallet is there.
pub(crate) fn make(
    context: &Context,
    name: &str,
    network: Network,
    phrase_out: Option<PathBuf>,
) -> Outcome<Made> {
    let failed = |error| Failure::failed("mnemonic", error);
    let path = free_path(context, name)?;
    let phrase = Mnemonic::generate(24).map_err(failed)?;
    let key = phrase.key("", 0).map_err(failed)?;
    let passphrase = new_passphrase(context, name, network)?;
    let phrase_file = match phrase_out {
        Some(file) => Some(file),
        None => offer_phrase(context, name)?,
    };
    if let Some(file) = &phrase_file {
        write_phrase(file, &phrase)?;
    }
    write(context, &path, &key, &passphrase)?;
    match &phrase_file {
        Some(file) => context.out.note(format!(
            "the recovery phrase is in {}: whoever reads it owns the account; keep it away from \
             this machine",
            file.display()
        )),
        None => context.out.warn(format!(
            "no recovery phrase was kept: the only copy of the key is {}; without that file and \
             its passphrase the account is lost",
            path.display()
        )),
    }
    Ok(Made {
        key,
        path,
        phrase: phrase_file,
    })
}

/// Encrypts a key that exists already into a new wallet file.
pub(crate) fn keep(context: &Context, name: &str, key: &SecretKey) -> Outcome<PathBuf> {
    let path = free_path(context, name)?;
    let passphrase = new_passphrase(context, name, context.settings.network)?;
    write(context, &path, key, &passphrase)?;
    Ok(path)
}

fn free_path(context: &Context, name: &str) -> Outcome<PathBuf> {
    let path = account::wallet_path(&context.settings, name)?;
    if path.exists() {
        return Err(
            Failure::failed("exists", format!("there is a wallet `{name}` already"))
                .hint("choose another name; nothing is ever overwritten"),
        );
    }
    Ok(path)
}

fn write(context: &Context, path: &Path, key: &SecretKey, passphrase: &str) -> Outcome {
    let settings = &context.settings;
    private_folder(&settings.home)?;
    private_folder(&settings.wallets())?;
    Keystore::encrypt(key, passphrase.as_bytes(), ScryptCost::STANDARD)
        .and_then(|keystore| keystore.create(path))
        .map_err(|error| account::keystore_failure(path, &error))
}

/// From the file or variable that was given, or typed twice.
fn new_passphrase(context: &Context, name: &str, network: Network) -> Outcome<Zeroizing<String>> {
    let settings = &context.settings;
    let prompt = format!("New passphrase for wallet `{name}`: ");
    if settings.passphrase_file.is_some() || std::env::var_os(PASSPHRASE_VARIABLE).is_some() {
        let passphrase = account::passphrase(settings, &prompt)?;
        check(&passphrase, network)?;
        return Ok(passphrase);
    }
    for tried in 1.. {
        let passphrase = account::passphrase(settings, &prompt)?;
        let failure = match check(&passphrase, network) {
            Ok(()) if passphrase == account::passphrase(settings, "The same again: ")? => {
                return Ok(passphrase);
            }
            Ok(()) => Failure::failed("passphrases_differ", "the two passphrases are not equal"),
            Err(failure) => failure,
        };
        if tried == TRIES {
            return Err(failure);
        }
        context.out.show(failure.message);
    }
    Err(Failure::failed("terminal", "no passphrase was given"))
}

fn check(passphrase: &str, network: Network) -> Outcome {
    if network == Network::Devnet || passphrase.chars().count() >= MIN_PASSPHRASE {
        return Ok(());
    }
    Err(Failure::failed(
        "weak_passphrase",
        format!("a passphrase for {network} has at least {MIN_PASSPHRASE} characters"),
    ))
}

/// On a terminal: where to write the recovery phrase, unless the user wants none.
fn offer_phrase(context: &Context, name: &str) -> Outcome<Option<PathBuf>> {
    if context.settings.yes || !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let answer = ask(
        "Write the 24 words of its recovery phrase to a file? Without them, the wallet's file is \
         the only copy of the key. [Y/n] ",
    )?;
    if answer.to_ascii_lowercase().starts_with('n') {
        return Ok(None);
    }
    let usual = context
        .settings
        .home
        .join(format!("{name}-recovery-phrase.txt"));
    let file = ask(&format!("File [{}]: ", usual.display()))?;
    Ok(Some(if file.is_empty() { usual } else { file.into() }))
}

/// Writes it and, on a terminal, sees that it can be read: one of its words is asked.
fn write_phrase(file: &Path, phrase: &Mnemonic) -> Outcome {
    let mut text = phrase.to_phrase();
    text.push('\n');
    if let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        private_folder(folder)?;
    }
    create_private(file, text.as_bytes()).map_err(|error| Failure::failed("file", error))?;
    if !std::io::stdin().is_terminal() {
        return Ok(());
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    // Any word will do that is not the first that one sees.
    let number = words.len() / 2;
    let prompt = format!(
        "Read the phrase in {}: what is its word {number}? ",
        file.display()
    );
    for _ in 0..TRIES {
        let answer = ask_hidden(&prompt)?;
        if words.get(number - 1) == Some(&answer.trim().to_lowercase().as_str()) {
            return Ok(());
        }
    }
    Err(Failure::failed(
        "phrase_not_confirmed",
        format!(
            "that is not word {number} of {}: no wallet was made",
            file.display()
        ),
    )
    .hint("delete that file and begin again"))
}
