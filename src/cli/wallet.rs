//! `seedrail wallet`: keys in encrypted files.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Context, account,
    failure::{Failure, Outcome},
    new_wallet,
    output::ask_hidden,
    printable, session,
    settings::{Settings, read_secret},
};
use crate::{
    tron::{
        keys::{SecretKey, Signature, SignatureError},
        keystore::{Keystore, create_private},
        message::{message_signer, sign_message},
        mnemonic::{KeyPath, Mnemonic},
        typed_data::TypedContent,
        typed_json::TypedDocument,
    },
    types::Address,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Wallet {
    /// Make a new wallet with a new recovery phrase.
    New {
        /// Name of the wallet.
        #[arg(default_value = "main")]
        name: String,
        /// Write the 24 words of the recovery phrase to this new file (mode 0600).
        #[arg(long, value_name = "FILE")]
        phrase_out: Option<PathBuf>,
    },
    /// Keep an existing key: a raw key (--key-file, SEEDRAIL_PRIVATE_KEY), a
    /// keystore file, or a recovery phrase.
    Import {
        /// Name of the wallet.
        #[arg(default_value = "main")]
        name: String,
        /// A Web3 keystore file (version 3), with the passphrase it has.
        #[arg(long, value_name = "FILE", conflicts_with = "mnemonic_file")]
        keystore: Option<PathBuf>,
        /// A file with a BIP-39 recovery phrase, in any of its languages.
        #[arg(long, value_name = "FILE")]
        mnemonic_file: Option<PathBuf>,
        /// Which account of the phrase: m/44'/195'/0'/0/INDEX.
        #[arg(long, default_value_t = 0, requires = "mnemonic_file")]
        index: u32,
        /// Derivation path of the key, e.g. m/44'/195'/1'/0/0 for a Ledger's second account.
        #[arg(
            long,
            value_name = "PATH",
            requires = "mnemonic_file",
            conflicts_with = "index"
        )]
        path: Option<KeyPath>,
        /// A file with the phrase's own passphrase (BIP-39), if it has one.
        #[arg(long, value_name = "FILE", requires = "mnemonic_file")]
        mnemonic_passphrase_file: Option<PathBuf>,
        /// Ask for the phrase's own passphrase.
        #[arg(
            long,
            requires = "mnemonic_file",
            conflicts_with = "mnemonic_passphrase_file"
        )]
        ask_mnemonic_passphrase: bool,
    },
    /// Copy a wallet's encrypted file, or with --raw its bare key, to a new file (mode 0600).
    Export {
        /// Name of the wallet. Default: the current one.
        name: Option<String>,
        /// New file; an existing one is never overwritten.
        #[arg(long, short = 'o', value_name = "FILE")]
        out: PathBuf,
        /// The private key in hex: whoever reads that file owns the account.
        #[arg(long)]
        raw: bool,
    },
    /// List the wallets of this home.
    List,
    /// Sign a message with the current account (TIP-191, as TronWeb's signMessageV2), or
    /// typed data (TIP-712).
    Sign(SignableFlags),
    /// Show who signed a message or typed data.
    Verify {
        #[command(flatten)]
        signed: SignableFlags,
        /// The signature: 65 bytes of hex, or the 64 of EIP-2098.
        #[arg(long, value_name = "HEX")]
        signature: String,
        /// Expected signer; another one is a failure.
        #[arg(long, value_name = "ADDRESS")]
        address: Option<Address>,
    },
    /// List the session keys that may sign for the account, or revoke one.
    Grants {
        /// Revoke all grants to this session key.
        #[arg(long, value_name = "SIGNER")]
        revoke: Option<Address>,
    },
    /// Show a wallet's address and file.
    Show {
        /// Name of the wallet. Default: the current one.
        name: Option<String>,
    },
}

/// What is signed or verified: exactly one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SignableFlags {
    /// Message: text, signed as UTF-8.
    message: Option<String>,
    /// Message: bytes in hex.
    #[arg(long, value_name = "HEX")]
    hex: Option<String>,
    /// Message: every byte of this file, or of stdin for -; at most 4 MiB.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Typed data: a JSON document with types, primaryType, domain and message; - for stdin.
    #[arg(long, value_name = "FILE")]
    typed_data: Option<String>,
}

impl Wallet {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::New { name, phrase_out } => new(context, &name, phrase_out),
            Self::Import {
                name,
                keystore,
                mnemonic_file,
                index,
                path,
                mnemonic_passphrase_file,
                ask_mnemonic_passphrase,
            } => {
                let phrase = mnemonic_file.map(|file| Phrase {
                    file,
                    index,
                    path,
                    passphrase_file: mnemonic_passphrase_file,
                    ask: ask_mnemonic_passphrase,
                });
                import(context, &name, keystore, phrase)
            }
            Self::Export { name, out, raw } => export(context, name, &out, raw),
            Self::List => list(context),
            Self::Sign(flags) => sign(context, &flags.read()?),
            Self::Verify {
                signed,
                signature,
                address,
            } => verify(context, &signed.read()?, &signature, address),
            Self::Grants { revoke } => session::grants(context, revoke).await,
            Self::Show { name } => show(context, name),
        }
    }
}

fn new(context: &Context, name: &str, phrase_out: Option<PathBuf>) -> Outcome {
    let made = new_wallet::make(context, name, context.settings.network, phrase_out)?;
    report(context, name, &made.key, &made.path)
}

fn import(
    context: &Context,
    name: &str,
    keystore: Option<PathBuf>,
    phrase: Option<Phrase>,
) -> Outcome {
    let key = if let Some(path) = keystore {
        let keystore =
            Keystore::read(&path).map_err(|error| account::keystore_failure(&path, &error))?;
        let passphrase = account::passphrase(&context.settings, "Passphrase of that keystore: ")?;
        keystore
            .open(&passphrase)
            .map_err(|error| account::keystore_failure(&path, &error))?
    } else if let Some(phrase) = phrase {
        phrase.key()?
    } else {
        raw(&context.settings)?
    };
    let path = new_wallet::keep(context, name, &key)?;
    report(context, name, &key, &path)
}

/// A recovery phrase in a file, and which of its keys.
struct Phrase {
    file: PathBuf,
    index: u32,
    path: Option<KeyPath>,
    passphrase_file: Option<PathBuf>,
    ask: bool,
}

impl Phrase {
    fn key(&self) -> Outcome<SecretKey> {
        let words = read_secret(&self.file)?;
        let passphrase = match &self.passphrase_file {
            Some(path) => {
                Zeroizing::new(read_secret(path)?.trim_end_matches(['\r', '\n']).to_owned())
            }
            None if self.ask => ask_hidden("Passphrase of the recovery phrase: ")?,
            None => Zeroizing::default(),
        };
        Mnemonic::parse(&words)
            .and_then(|phrase| match &self.path {
                Some(path) => phrase.key_at(&passphrase, path),
                None => phrase.key(&passphrase, self.index),
            })
            .map_err(|error| Failure::failed("mnemonic", error))
    }
}

/// Copies the wallet's file as it is, or the key within it.
fn export(context: &Context, name: Option<String>, out: &Path, raw: bool) -> Outcome {
    let name = match name.or_else(|| context.settings.account.clone()) {
        Some(name) => name,
        None => account::only_wallet(&context.settings)?,
    };
    let path = account::wallet_path(&context.settings, &name)?;
    let keystore = account::open(&path, &name)?;
    let (address, form) = if raw {
        context.out.warn(format!(
            "{} will hold the bare key of wallet `{name}`: whoever reads it owns the account",
            out.display()
        ));
        context.out.confirm("Write it?", context.settings.yes)?;
        let prompt = format!("Passphrase of wallet `{name}`: ");
        let passphrase = account::passphrase(&context.settings, &prompt)?;
        let key = keystore
            .open(&passphrase)
            .map_err(|error| account::keystore_failure(&path, &error))?;
        let mut text = Zeroizing::new(hex::encode(key.expose_bytes().as_slice()));
        text.push('\n');
        create_private(out, text.as_bytes()).map_err(|error| Failure::file(out, error))?;
        (Some(key.address()), "raw")
    } else {
        keystore
            .create(out)
            .map_err(|error| account::keystore_failure(out, &error))?;
        (keystore.address(), "keystore")
    };
    let document = json!({ "name": name, "address": address, "file": out, "form": form });
    context
        .out
        .result(&document, || format!("{name}  {form}  {}", out.display()))
}

/// What `sign` signs and `verify` looks at.
enum Signable {
    Message(Vec<u8>),
    Typed(Box<TypedDocument>),
}

impl SignableFlags {
    fn read(self) -> Outcome<Signable> {
        if let Some(file) = self.typed_data {
            let text = super::tx_documents::operand(&file)?;
            let document = TypedDocument::from_json(&text)
                .map_err(|error| Failure::failed("typed_data", format!("{file}: {error}")))?;
            return Ok(Signable::Typed(Box::new(document)));
        }
        if let Some(digits) = self.hex {
            let bytes = hex::decode(digits.strip_prefix("0x").unwrap_or(&digits))
                .map_err(|error| Failure::usage(format!("`{digits}` is not hex: {error}")))?;
            return Ok(Signable::Message(bytes));
        }
        if let Some(file) = self.file {
            return bytes_up_to(&file, super::tx_documents::MAX_DOCUMENT_BYTES)
                .map(Signable::Message);
        }
        match self.message {
            Some(message) => Ok(Signable::Message(message.into_bytes())),
            None => Err(Failure::usage("there is no message")),
        }
    }
}

impl Signable {
    fn signer(&self, signature: &Signature) -> Result<Address, SignatureError> {
        match self {
            Self::Message(message) => message_signer(message, signature),
            Self::Typed(document) => document.signer(signature),
        }
    }
}

fn sign(context: &Context, what: &Signable) -> Outcome {
    let signer = account::signer(context)?;
    let signature = match what {
        Signable::Message(message) => sign_message(signer.as_ref(), message),
        Signable::Typed(document) => {
            let shown = document.document();
            let part = |name: &str| {
                shown.get(name).map_or_else(String::new, |part| {
                    printable::json(&format!("{part:#}")).into_owned()
                })
            };
            context.out.note(format!(
                "signing: {} {}\nfor {}",
                document.primary_type,
                part("message"),
                part("domain"),
            ));
            document.sign(signer.as_ref())
        }
    };
    let signature = signature.map_err(|error| Failure::failed("sign", error))?;
    let signature = hex::encode(signature.to_bytes());
    let document = json!({ "address": signer.address(), "signature": signature });
    context.out.result(&document, || signature)
}

fn verify(
    context: &Context,
    what: &Signable,
    signature: &str,
    expected: Option<Address>,
) -> Outcome {
    let refused = |error| Failure::usage(format!("`{signature}` is not a signature: {error}"));
    let digits = signature.strip_prefix("0x").unwrap_or(signature);
    let compact = hex::decode(digits).ok();
    let compact = compact.and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
    let signature = match compact {
        Some(bytes) => Signature::from_compact(&bytes),
        None => Signature::from_hex(digits).map_err(refused)?,
    };
    let signer = what
        .signer(&signature)
        .map_err(|error| Failure::failed("bad_signature", error))?;
    let canonical = signature.is_low_s();
    if !canonical {
        context.out.warn(
            "the signature is not canonical (its s is in the upper half): TronWeb and others refuse it",
        );
    }
    if let Some(expected) = expected
        && expected != signer
    {
        return Err(Failure::failed(
            "other_signer",
            format!("it was signed by {signer}, not by {expected}"),
        )
        .hint("any change of what was signed gives another signer as well"));
    }
    let document = json!({ "signer": signer, "canonical": canonical });
    context.out.result(&document, || signer.to_string())
}

/// Every byte of a file or, for `-`, of stdin; a pipe too is read once.
fn bytes_up_to(file: &Path, most: u64) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(most + 1).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|opened| opened.take(most + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::file(file, error))?;
    if bytes.len() as u64 > most {
        return Err(Failure::file(
            file,
            format!("too large: at most {} MiB are read", most >> 20),
        ));
    }
    Ok(bytes)
}

fn raw(settings: &Settings) -> Outcome<SecretKey> {
    let text = match &settings.key_file {
        Some(path) => read_secret(path)?,
        None => std::env::var(account::PRIVATE_KEY_VARIABLE)
            .map(zeroize::Zeroizing::new)
            .map_err(|_| {
                Failure::usage("nothing to import").hint(
                    "give --key-file, --keystore or --mnemonic-file, or set SEEDRAIL_PRIVATE_KEY",
                )
            })?,
    };
    SecretKey::from_hex(text.trim()).map_err(|error| Failure::failed("bad_key", error))
}

fn report(context: &Context, name: &str, key: &SecretKey, path: &std::path::Path) -> Outcome {
    let address = key.address();
    let document = json!({ "name": name, "address": address, "file": path });
    context.out.result(&document, || {
        format!("{name}  {address}  {}", path.display())
    })
}

fn list(context: &Context) -> Outcome {
    let mut rows = Vec::new();
    for name in account::wallet_names(&context.settings)? {
        rows.push(row(context, &name)?);
    }
    let document = json!(rows);
    context.out.result(&document, || {
        if rows.is_empty() {
            return "no wallets yet: `seedrail wallet new`".into();
        }
        rows.iter().map(text).collect::<Vec<_>>().join("\n")
    })
}

fn show(context: &Context, name: Option<String>) -> Outcome {
    let document = match name.or_else(|| context.settings.account.clone()) {
        Some(name) => row(context, &name)?,
        None => json!({ "address": account::address(context)? }),
    };
    context.out.result(&document, || text(&document))
}

fn row(context: &Context, name: &str) -> Outcome<Value> {
    let path = account::wallet_path(&context.settings, name)?;
    if !path.exists() {
        return Err(Failure::failed(
            "no_account",
            format!("there is no wallet `{name}`"),
        ));
    }
    let keystore =
        Keystore::read(&path).map_err(|error| account::keystore_failure(&path, &error))?;
    Ok(json!({ "name": name, "address": keystore.address(), "file": path }))
}

fn text(row: &Value) -> String {
    ["name", "address", "file"]
        .iter()
        .filter_map(|key| row.get(*key).and_then(Value::as_str))
        .collect::<Vec<_>>()
        .join("  ")
}
