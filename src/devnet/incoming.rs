//! A transaction as the node sees it: re-serialised, hashed, its contract read
//! and its signers recovered, once.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::{
    devnet::reject::Reject,
    tron::{
        contract::{self, Contract},
        keys::{Signature, SignatureError},
        transaction::{RawContract, RawData, Transaction, TransactionError},
    },
    types::{Address, TxId},
};

/// A transaction ready to be judged. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Incoming(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    transaction: Transaction,
    raw: RawData,
    contract: Option<Result<Contract, String>>,
    owner: Vec<u8>,
    signers: Vec<Result<Address, String>>,
}

impl Incoming {
    /// Reads a foreign transaction as java-tron does: parsed and serialised
    /// again, its results dropped.
    pub(crate) fn new(transaction: Transaction) -> Result<Self, TransactionError> {
        let mut transaction = transaction.canonical()?;
        transaction.set_results(Vec::new());
        let raw = transaction.raw_data()?;
        let contract = raw.contracts.first().map(read);
        // A contract that cannot be unpacked has no owner (`getOwner`).
        let owner = match &contract {
            Some(Ok(contract)) => contract.owner_address().to_vec(),
            _ => Vec::new(),
        };
        let digest = transaction.txid();
        let signers = transaction
            .signatures()
            .iter()
            .map(|signature| recover(signature, digest.as_bytes()))
            .collect();
        Ok(Self(Arc::new(Parts {
            transaction,
            raw,
            contract,
            owner,
            signers,
        })))
    }

    pub(crate) fn transaction(&self) -> &Transaction {
        &self.0.transaction
    }

    pub(crate) fn txid(&self) -> TxId {
        self.0.transaction.txid()
    }

    pub(crate) fn raw(&self) -> &RawData {
        &self.0.raw
    }

    /// The first contract, undecoded.
    pub(crate) fn raw_contract(&self) -> Option<&RawContract> {
        self.0.raw.contracts.first()
    }

    /// The contract, or why it cannot be read.
    pub(crate) fn contract(&self) -> Result<&Contract, Reject> {
        match &self.0.contract {
            Some(Ok(contract)) => Ok(contract),
            Some(Err(message)) => Reject::validate(message.clone()),
            None => Reject::validate("No contract!"),
        }
    }

    /// The owner's bytes as the contract has them; empty if it cannot be read.
    pub(crate) fn owner(&self) -> &[u8] {
        &self.0.owner
    }

    /// Who made each signature, or java-tron's words for why nobody did.
    pub(crate) fn signers(&self) -> &[Result<Address, String>] {
        &self.0.signers
    }

    /// Serialised size without results.
    pub(crate) fn size(&self) -> i64 {
        i64::try_from(self.0.transaction.size_without_results()).unwrap_or(i64::MAX)
    }
}

fn read(raw: &RawContract) -> Result<Contract, String> {
    raw.decoded().map_err(|error| match error {
        TransactionError::UnknownContract(number) => format!(
            "contract type {} is not executed by this node",
            contract::type_name(number).map_or_else(|| number.to_string(), str::to_owned)
        ),
        TransactionError::TypeUrl { contract_type, .. } => format!(
            "contract type error, expected type [{contract_type}], real type [class com.google.protobuf.Any]"
        ),
        other => other.to_string(),
    })
}

/// The name of any contract type of the chain.
pub(crate) fn type_name(number: i32) -> &'static str {
    contract::type_name(number).unwrap_or("UNRECOGNIZED")
}

/// Recovers as `TransactionCapsule.checkWeight` does: bytes after the 65th are
/// ignored, v is taken as 0..8 or 27..35.
fn recover(signature: &[u8], digest: &[u8; 32]) -> Result<Address, String> {
    const NO_KEY: &str = "Could not recover public key from signature";
    let Some(first) = signature.first_chunk::<65>() else {
        return Err(format!("Signature size is {}", signature.len()));
    };
    let mut own = *first;
    let [.., v] = &mut own;
    let header = if v.cast_signed() < 27 {
        v.wrapping_add(27)
    } else {
        *v
    };
    if !(27..=34).contains(&header) {
        return Err(format!(
            "Header byte out of range: {}",
            header.cast_signed()
        ));
    }
    let id = (header - 27) % 4;
    if id > 1 {
        // x = r + n is not below the prime but for one r in 2^128.
        return Err(NO_KEY.to_owned());
    }
    *v = id;
    Signature::from_slice(&own)
        .and_then(|signature| signature.recover(digest))
        .map_err(|error| match error {
            SignatureError::NoKey => {
                "java.lang.IllegalArgumentException: Invalid point compression".to_owned()
            }
            _ => NO_KEY.to_owned(),
        })
}

/// Base58check over any bytes, as java-tron prints even what is no address
/// (`StringUtil.encode58Check`).
pub(crate) fn base58check(bytes: &[u8]) -> String {
    let first = Sha256::digest(bytes);
    let second = Sha256::digest(first);
    let mut full = bytes.to_vec();
    full.extend(second.iter().take(4));
    bs58::encode(full).into_string()
}
