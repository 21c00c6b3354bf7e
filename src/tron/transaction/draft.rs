//! Transactions of ours, before they are signed.

use super::{RefBlock, Transaction, txid_of};
use crate::{
    tron::{
        contract::Contract,
        keys::{SignRequest, Signature, Signer, SignerError},
        proto::Writer,
    },
    types::{TxId, UnixMs},
};

/// A transaction of ours, before it is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What it does.
    pub contract: Contract,
    /// The block it refers to.
    pub ref_block: RefBlock,
    /// Until when a block may hold it.
    pub expiration: UnixMs,
    /// When it was made; not checked by the chain, so it is also the salt that
    /// makes equal payments different transactions.
    pub timestamp: UnixMs,
    /// The memo; costs a fee when not empty.
    pub memo: Vec<u8>,
    /// 0 owner, 2 and up active.
    pub permission_id: i32,
    /// Only smart contracts need it; 0 leaves it out.
    pub fee_limit_sun: i64,
}

impl Draft {
    /// A draft with no memo, the owner permission and no fee limit.
    pub fn new(
        contract: Contract,
        ref_block: RefBlock,
        expiration: UnixMs,
        timestamp: UnixMs,
    ) -> Self {
        Self {
            contract,
            ref_block,
            expiration,
            timestamp,
            memo: Vec::new(),
            permission_id: 0,
            fee_limit_sun: 0,
        }
    }

    /// Encodes the raw data, once and for all.
    pub fn build(&self) -> UnsignedTransaction {
        let value = self.contract.encode();
        let mut any = Writer::with_capacity(value.len() + 64);
        any.bytes(1, self.contract.contract_type().type_url().as_bytes())
            .bytes(2, &value);
        let mut contract = Writer::with_capacity(value.len() + 80);
        contract
            .int64(1, self.contract.contract_type().number().into())
            .element(2, any.as_bytes())
            .int64(5, self.permission_id.into());
        let mut raw = Writer::with_capacity(value.len() + self.memo.len() + 144);
        raw.bytes(1, &self.ref_block.bytes)
            .bytes(4, &self.ref_block.hash)
            .int64(8, self.expiration.0)
            .bytes(10, &self.memo)
            .element(11, contract.as_bytes())
            .int64(14, self.timestamp.0)
            .int64(18, self.fee_limit_sun);
        UnsignedTransaction::from_canonical(raw.into_bytes())
    }
}

/// Encoded raw data in canonical form, and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedTransaction {
    pub(super) raw: Vec<u8>,
    pub(super) txid: TxId,
}

impl UnsignedTransaction {
    fn from_canonical(raw: Vec<u8>) -> Self {
        let txid = txid_of(&raw);
        Self { raw, txid }
    }

    /// The raw data's bytes: what is hashed.
    pub fn raw_bytes(&self) -> &[u8] {
        &self.raw
    }

    /// Its id: what is signed.
    pub fn txid(&self) -> TxId {
        self.txid
    }

    /// Signs it.
    ///
    /// # Errors
    /// The signer would not.
    pub fn sign(self, signer: &dyn Signer) -> Result<Transaction, SignerError> {
        let signature = signer.sign_request(&SignRequest::Transaction {
            raw_data: &self.raw,
        })?;
        Ok(self.signed(&signature))
    }

    /// Signs it by a signer that may take long, without holding the thread.
    ///
    /// # Errors
    /// The signer would not.
    pub async fn sign_in_time(self, signer: &dyn Signer) -> Result<Transaction, SignerError> {
        let request = SignRequest::Transaction {
            raw_data: &self.raw,
        };
        let signature = match signer.ask_to_sign(&request) {
            Some(pending) => pending.await?,
            None => signer.sign_request(&request)?,
        };
        Ok(self.signed(&signature))
    }

    fn signed(self, signature: &Signature) -> Transaction {
        let mut transaction = Transaction::from(self);
        transaction.add_signature(signature);
        transaction
    }
}
