//! The node's JSON: transactions and blocks as java-tron writes and reads them
//! (`JsonFormat.java`, `Util.java`; forms as recorded).
//!
//! `visible` decides both directions: false has addresses as 21-byte hex and
//! text as hex of its UTF-8, true has base58check and plain text. Zero, false,
//! empty and the first value of an enum are left out.

mod read;
mod write;

use serde_json::Value;

pub use self::{
    read::{
        block_from_json, header_from_json, message_from_json, raw_data_from_json,
        transaction_from_json,
    },
    write::{
        block_to_json, header_to_json, message_to_json, raw_data_to_json, transaction_to_json,
    },
};
use super::{
    contract::{Contract, Message},
    proto::ProtoError,
    transaction::TransactionError,
};

/// JSON that is not what a node would send or take.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// A field is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A field has another form than it should.
    #[error("`{field}` should be {expected}, not {found}")]
    Form {
        /// Its name.
        field: String,
        /// What it should be.
        expected: &'static str,
        /// What it is, cut to 80 characters.
        found: String,
    },
    /// A contract type this crate cannot read.
    #[error("contract type `{0}` is not known here")]
    UnknownContract(String),
    /// `raw_data` and `raw_data_hex` are two different transactions.
    #[error("`raw_data_hex` is not the encoding of `raw_data`: they are different transactions")]
    RawDataDiffers,
    /// `txID` is another transaction's.
    #[error("`txID` says {claimed}, but the raw data hashes to {computed}")]
    TxIdDiffers {
        /// What was said.
        claimed: String,
        /// What it is.
        computed: String,
    },
    /// The bytes inside are no transaction.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// Too deep.
    #[error("the JSON is nested too deeply")]
    Depth,
}

impl From<ProtoError> for JsonError {
    fn from(error: ProtoError) -> Self {
        Self::Transaction(error.into())
    }
}

fn form(field: &str, expected: &'static str, found: &Value) -> JsonError {
    JsonError::Form {
        field: field.to_owned(),
        expected,
        found: found.to_string().chars().take(80).collect(),
    }
}

/// A contract's parameter as `tx decode` shows it: JSON in visible form.
///
/// # Errors
/// Never for a contract that was decoded.
pub fn contract_to_visible_json(contract: &Contract) -> Result<Value, ProtoError> {
    message_to_json(contract.contract_type().fields(), &contract.encode(), true)
}

/// A typed message from its JSON.
///
/// # Errors
/// A field of another form.
pub fn typed_from_json<M: Message>(object: &Value, visible: bool) -> Result<M, JsonError> {
    Ok(M::decode(&message_from_json(M::FIELDS, object, visible)?)?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::tron::verified::{Sealed, Signers};

    fn recording(name: &str) -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/tron")
            .join(name);
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn recorded_transactions_read_back_in_both_forms() {
        for (name, visible) in [
            ("03-trc10-gettransactionbyid.json", false),
            ("03-trc10-gettransactionbyid-visible.json", true),
            ("03-trx-gettransactionbyid.json", false),
            ("03-trx-gettransactionbyid-visible.json", true),
            ("03-local-trc10-memo-gettransactionbyid-visible.json", true),
            ("06-two-of-three-gettransactionbyid.json", false),
        ] {
            let recorded = &recording(name)["response"];
            let transaction = transaction_from_json(recorded, visible).unwrap();
            assert_eq!(
                &transaction_to_json(&transaction, visible).unwrap(),
                recorded,
                "{name}"
            );
            transaction.check_signable().unwrap();
        }
    }

    #[test]
    fn thirty_recorded_blocks_verify_and_are_linked() {
        let recorded = recording("10-thirty-consecutive-blocks.json");
        let blocks = recorded["response"]["block"].as_array().unwrap();
        let mut parent = None;
        let mut transactions = 0;
        for object in blocks {
            let (id, block) = block_from_json(object, false).unwrap();
            Sealed::block(id, block.clone())
                .and_then(|sealed| sealed.believe(&Signers::default()))
                .unwrap();
            assert_eq!(block.id(), id);
            if let Some(parent) = parent {
                assert_eq!(block.header.parent_hash, parent);
            }
            parent = Some(id);
            transactions += block.transactions.len();
            assert_eq!(&block_to_json(&block, false).unwrap(), object);
        }
        assert!(blocks.len() >= 30 && transactions > 0);
    }

    #[test]
    fn a_node_that_swaps_the_recipient_is_caught() {
        let mut answer = recording("03-trc10-gettransactionbyid-visible.json")["response"].take();
        let to = &mut answer["raw_data"]["contract"][0]["parameter"]["value"]["to_address"];
        *to = "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb".into();
        assert!(matches!(
            transaction_from_json(&answer, true),
            Err(JsonError::RawDataDiffers)
        ));
    }

    #[test]
    fn a_wrong_id_is_caught() {
        let mut answer = recording("03-trc10-gettransactionbyid.json")["response"].take();
        answer["txID"] = "00".repeat(32).into();
        assert!(matches!(
            transaction_from_json(&answer, false),
            Err(JsonError::TxIdDiffers { .. })
        ));
    }
}
