//! Who a command acts as: a wallet of the home folder, a raw key, or a program
//! that signs.

use std::{fs, io::IsTerminal, path::PathBuf, sync::OnceLock, time::Duration};

use zeroize::Zeroizing;

use super::{
    Context,
    failure::{Failure, Outcome},
    output::ask_hidden,
    settings::{Network, Origin, Settings, read_secret},
};
use crate::{
    settle::SLOWEST_SIGNER,
    tron::{
        keys::{PendingSignature, SecretKey, SignRequest, Signature, Signer, SignerError},
        keystore::{Keystore, KeystoreError},
        signer::ExternalSigner,
    },
    types::Address,
};

/// The variable with a raw key; never passed on to child processes.
pub(crate) const PRIVATE_KEY_VARIABLE: &str = "SEEDRAIL_PRIVATE_KEY";
/// The variable with a passphrase; never passed on to child processes.
pub(crate) const PASSPHRASE_VARIABLE: &str = "SEEDRAIL_PASSPHRASE";

/// The variable with a program that signs.
const SIGNER_VARIABLE: &str = "SEEDRAIL_SIGNER";

/// The account a command acts as, before any secret was read.
enum Source {
    Raw(Zeroizing<String>),
    /// A program that signs.
    Program(PathBuf),
    Wallet {
        name: String,
        path: PathBuf,
    },
    /// An address whose key is not here.
    Watched(Address),
}

/// How long a signing program may take: somebody has to read, and to press.
const PATIENCE: Duration = SLOWEST_SIGNER;

fn source(settings: &Settings) -> Outcome<Source> {
    if let Some(path) = &settings.key_file {
        return raw(
            settings,
            read_secret(path)?,
            &format!("the key in {}", path.display()),
        );
    }
    if let Some(program) = &settings.signer {
        return Ok(Source::Program(program.clone()));
    }
    // An account named in the configuration gives way to a key in the environment:
    // that is what scripts set. One named by the flag must be the key's.
    if let Some(key) = std::env::var(PRIVATE_KEY_VARIABLE)
        .ok()
        .filter(|key| !key.is_empty())
    {
        let name = format!("the key in {PRIVATE_KEY_VARIABLE}");
        return raw(settings, Zeroizing::new(key), &name);
    }
    let name = match &settings.account {
        Some(name) => name.clone(),
        None => only_wallet(settings)?,
    };
    if let Ok(address) = name.parse() {
        return Ok(Source::Watched(address));
    }
    let path = wallet_path(settings, &name)?;
    Ok(Source::Wallet { name, path })
}

/// The name of the one wallet that there is.
pub(crate) fn only_wallet(settings: &Settings) -> Outcome<String> {
    let mut names = wallet_names(settings)?;
    match (names.pop(), names.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => Err(Failure::failed("no_account", "there is no wallet yet")
            .hint("make one with `seedrail init` or `seedrail wallet new NAME`")),
        (Some(_), _) => Err(Failure::failed("no_account", "there are several wallets")
            .hint("name one with --account NAME (`seedrail wallet list`)")),
    }
}

/// A raw key, which must be that of the account that `--account` names.
fn raw(settings: &Settings, text: Zeroizing<String>, name: &str) -> Outcome<Source> {
    check_named(settings, raw_key(&text)?.address(), name)?;
    Ok(Source::Raw(text))
}

/// Refuses a key that is not the key of the account named by the flag `--account`.
fn check_named(settings: &Settings, key: Address, key_name: &str) -> Outcome {
    let name = match (&settings.account, settings.origins.account) {
        (Some(name), Origin::Flag) => name,
        _ => return Ok(()),
    };
    let named = match name.parse() {
        Ok(address) => Some(address),
        Err(_) => open(&wallet_path(settings, name)?, name)?.address(),
    };
    if named == Some(key) {
        return Ok(());
    }
    let whose = match named {
        Some(address) if address.to_string() != *name => format!("`{name}` ({address})"),
        _ => format!("`{name}`"),
    };
    Err(Failure::usage(format!(
        "--account names {whose}, but {key_name} belongs to {key}"
    ))
    .hint("leave out --account to act as the key, or leave out the key to act as the account"))
}

/// Where a wallet's file is. Names are plain, so that they stay in the folder.
pub(crate) fn wallet_path(settings: &Settings, name: &str) -> Outcome<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(plain) {
        return Err(Failure::usage(format!(
            "`{name}` is not a wallet name: use up to 64 letters, digits, `-`, `_` or `.`"
        )));
    }
    Ok(settings.wallets().join(format!("{name}.json")))
}

/// The wallets of the home folder, sorted.
pub(crate) fn wallet_names(settings: &Settings) -> Outcome<Vec<String>> {
    let folder = settings.wallets();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::file(&folder, error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Failure::file(&folder, error))?;
        if let Some(name) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.strip_suffix(".json"))
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

pub(crate) fn keystore_failure(path: &std::path::Path, error: &KeystoreError) -> Failure {
    let code = match error {
        KeystoreError::Mac => "wrong_passphrase",
        KeystoreError::NotAKeystore(_) => "not_a_keystore",
        _ => "keystore",
    };
    Failure::failed(code, format!("{}: {error}", path.display()))
}

/// The account's address, without its secret where the wallet's file tells it.
pub(crate) fn address(context: &Context) -> Outcome<Address> {
    match source(&context.settings)? {
        Source::Raw(text) => Ok(raw_key(&text)?.address()),
        Source::Program(program) => Ok(external(context, &program)?.address()),
        Source::Watched(address) => Ok(address),
        Source::Wallet { path, name } => {
            let keystore = open(&path, &name)?;
            match keystore.address() {
                Some(address) => Ok(address),
                None => Ok(decrypt(context, &keystore, &path, &name)?.address()),
            }
        }
    }
}

/// The account that is named, or else the own one.
pub(crate) fn named_or_own(context: &Context, named: Option<Address>) -> Outcome<Address> {
    named.map_or_else(|| address(context), Ok)
}

/// Whether the account is a raw key, from a file or the environment.
pub(crate) fn is_raw(settings: &Settings) -> Outcome<bool> {
    Ok(matches!(source(settings)?, Source::Raw(_)))
}

/// Whoever signs for the account: its key, its passphrase asked for if need be,
/// or the program that has it.
pub(crate) fn signer(context: &Context) -> Outcome<Box<dyn Signer>> {
    match source(&context.settings)? {
        Source::Program(program) => Ok(Box::new(external(context, &program)?)),
        Source::Raw(_) | Source::Wallet { .. } | Source::Watched(_) => Ok(Box::new(key(context)?)),
    }
}

/// [`signer`]; none for an account that is an address alone.
pub(crate) fn signer_if_any(context: &Context) -> Outcome<(Address, Option<Box<dyn Signer>>)> {
    if let Source::Watched(address) = source(&context.settings)? {
        return Ok((address, None));
    }
    let signer = signer(context)?;
    Ok((signer.address(), Some(signer)))
}

/// Who acts, and unless it is only to be shown what would be done, who signs.
pub(crate) fn actor(
    context: &Context,
    dry_run: bool,
) -> Outcome<(Address, Option<Box<dyn Signer>>)> {
    if dry_run {
        return Ok((address(context)?, None));
    }
    let signer = signer(context)?;
    Ok((signer.address(), Some(signer)))
}

/// Who pays. A passphrase that a person must type is asked for when the payment was
/// agreed to, and not before it was shown.
pub(crate) struct Payer<'c> {
    context: &'c Context,
    address: Address,
    key: OnceLock<Box<dyn Signer>>,
}

impl<'c> Payer<'c> {
    pub(crate) fn new(context: &'c Context) -> Outcome<Self> {
        let payer = |address| Self {
            context,
            address,
            key: OnceLock::new(),
        };
        if let Source::Wallet { path, name } = source(&context.settings)?
            && is_typed(&context.settings)
            && let Some(address) = open(&path, &name)?.address()
        {
            return Ok(payer(address));
        }
        let key = signer(context)?;
        let payer = payer(key.address());
        payer.key.get_or_init(|| key);
        Ok(payer)
    }

    /// Asks for the passphrase, if it was not given.
    pub(crate) fn unlock(&self) -> Outcome {
        if self.key.get().is_none() {
            let key = signer(self.context)?;
            if key.address() != self.address {
                return Err(Failure::failed(
                    "keystore",
                    format!(
                        "the wallet says that it is {}, but its key is {}'s",
                        self.address,
                        key.address()
                    ),
                ));
            }
            self.key.get_or_init(|| key);
        }
        Ok(())
    }
}

impl Signer for Payer<'_> {
    fn address(&self) -> Address {
        self.address
    }

    fn patience(&self) -> Duration {
        self.key.get().map_or(Duration::ZERO, |key| key.patience())
    }

    fn sign_request(&self, request: &SignRequest<'_>) -> Result<Signature, SignerError> {
        match self.key.get() {
            Some(key) => key.sign_request(request),
            None => Err(SignerError {
                address: self.address,
                reason: "the wallet is locked".to_owned(),
            }),
        }
    }

    fn ask_to_sign(&self, request: &SignRequest<'_>) -> Option<PendingSignature> {
        self.key.get()?.ask_to_sign(request)
    }
}

/// Whether the account is an address alone.
pub(crate) fn signer_is_missing(context: &Context) -> Outcome<bool> {
    Ok(matches!(source(&context.settings)?, Source::Watched(_)))
}

/// Whether a person must type something before the account can sign.
pub(crate) fn is_asked_for(context: &Context) -> Outcome<bool> {
    let source = source(&context.settings)?;
    Ok(matches!(source, Source::Wallet { .. }) && is_typed(&context.settings))
}

/// Whether a passphrase has to be typed.
fn is_typed(settings: &Settings) -> bool {
    settings.passphrase_file.is_none()
        && std::env::var_os(PASSPHRASE_VARIABLE).is_none()
        && std::io::stdin().is_terminal()
}

fn external(context: &Context, program: &std::path::Path) -> Outcome<ExternalSigner> {
    // Nor the program itself: it may well be this one, with a key.
    let hidden = [PRIVATE_KEY_VARIABLE, PASSPHRASE_VARIABLE, SIGNER_VARIABLE];
    let signer = ExternalSigner::start(program, PATIENCE, &hidden)
        .map_err(|error| Failure::failed("signer", error))?;
    let name = format!("the key of {}", program.display());
    check_named(&context.settings, signer.address(), &name)?;
    Ok(signer)
}

/// The account's key, its passphrase asked for if need be.
pub(crate) fn key(context: &Context) -> Outcome<SecretKey> {
    match source(&context.settings)? {
        Source::Raw(text) => {
            let key = raw_key(&text)?;
            if context.settings.network != Network::Devnet {
                context.out.warn(format!(
                    "a raw private key is used on {}: keep real funds in a wallet file",
                    context.settings.network
                ));
            }
            Ok(key)
        }
        Source::Program(program) => Err(Failure::failed(
            "no_key",
            format!("{} signs, but gives no key away", program.display()),
        )
        .hint("name a wallet with --account NAME, without --signer")),
        Source::Watched(address) => Err(Failure::failed(
            "no_key",
            format!("{address} is an address without a key here: nothing can be signed for it"),
        )
        .hint("name a wallet with --account NAME (`seedrail wallet list`)")),
        Source::Wallet { name, path } => {
            let keystore = open(&path, &name)?;
            decrypt(context, &keystore, &path, &name)
        }
    }
}

fn raw_key(text: &str) -> Outcome<SecretKey> {
    SecretKey::from_hex(text.trim()).map_err(|error| Failure::failed("bad_key", error))
}

pub(crate) fn open(path: &std::path::Path, name: &str) -> Outcome<Keystore> {
    if !path.exists() {
        return Err(
            Failure::failed("no_account", format!("there is no wallet `{name}`"))
                .hint("`seedrail wallet list` shows those there are"),
        );
    }
    Keystore::read(path).map_err(|error| keystore_failure(path, &error))
}

fn decrypt(
    context: &Context,
    keystore: &Keystore,
    path: &std::path::Path,
    name: &str,
) -> Outcome<SecretKey> {
    let passphrase = passphrase(
        &context.settings,
        &format!("Passphrase of wallet `{name}`: "),
    )?;
    keystore
        .open(&passphrase)
        .map_err(|error| keystore_failure(path, &error))
}

/// The passphrase: file, environment, or prompt.
pub(crate) fn passphrase(settings: &Settings, prompt: &str) -> Outcome<Zeroizing<String>> {
    if let Some(path) = &settings.passphrase_file {
        let text = read_secret(path)?;
        return Ok(Zeroizing::new(
            text.trim_end_matches(['\r', '\n']).to_owned(),
        ));
    }
    if let Ok(text) = std::env::var(PASSPHRASE_VARIABLE) {
        return Ok(Zeroizing::new(text));
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::failed(
            "no_passphrase",
            "the wallet's passphrase is needed and there is no terminal to ask",
        )
        .hint("give --passphrase-file FILE or set SEEDRAIL_PASSPHRASE"));
    }
    ask_hidden(prompt)
}
