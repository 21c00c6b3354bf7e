//! Transactions as sent over the wire: ours when signed, or foreign.

use super::{
    Draft, MAX_RESULT_SIZE_IN_TX, MAX_TRANSACTION_BYTES, RawData, TransactionError,
    UnsignedTransaction, canonical::canonical_raw, txid_of,
};
use crate::{
    tron::{
        keys::{SignRequest, Signature, Signer},
        proto::{ProtoError, Reader, Writer, varint_len},
    },
    types::{Address, TxId},
};

/// A transaction as sent over the wire: raw data, signatures and results, each
/// kept as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    raw: Vec<u8>,
    txid: TxId,
    signatures: Vec<Vec<u8>>,
    results: Vec<TransactionResult>,
    /// Of each result the fields of no known number, as received; none if no result
    /// has any.
    unknown_of_results: Vec<Vec<u8>>,
    /// Fields of no known number, as received.
    unknown: Vec<u8>,
}

/// `Transaction.Result`, as a block has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransactionResult {
    /// Sun burnt; the chain leaves it 0 for system contracts.
    pub fee_sun: i64,
    /// 0 SUCESS (as the chain spells it), 1 FAILED.
    pub ret: i32,
    /// [`CONTRACT_RET`] by number.
    pub contract_ret: i32,
}

/// Names of `contractRet`, by number.
pub const CONTRACT_RET: &[&str] = &[
    "DEFAULT",
    "SUCCESS",
    "REVERT",
    "BAD_JUMP_DESTINATION",
    "OUT_OF_MEMORY",
    "PRECOMPILED_CONTRACT",
    "STACK_TOO_SMALL",
    "STACK_TOO_LARGE",
    "ILLEGAL_OPERATION",
    "STACK_OVERFLOW",
    "OUT_OF_ENERGY",
    "OUT_OF_TIME",
    "JVM_STACK_OVER_FLOW",
    "UNKNOWN",
    "TRANSFER_FAILED",
    "INVALID_CODE",
];

impl TransactionResult {
    /// What a system contract that worked leaves: `contractRet` SUCCESS.
    pub const SUCCESS: Self = Self {
        fee_sun: 0,
        ret: 0,
        contract_ret: 1,
    };

    /// Whether the contract did what it says.
    pub fn succeeded(&self) -> bool {
        self.ret == 0 && self.contract_ret == 1
    }

    /// The protobuf bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .int64(1, self.fee_sun)
            .int64(2, self.ret.into())
            .int64(3, self.contract_ret.into());
        writer.into_bytes()
    }

    /// And its other fields.
    fn decode(bytes: &[u8]) -> Result<(Self, Vec<u8>), ProtoError> {
        let mut result = Self::default();
        let mut unknown = Writer::new();
        for field in Reader::new(bytes) {
            let field = field?;
            match field.number {
                1 => result.fee_sun = field.int64("Transaction.Result")?,
                2 => result.ret = field.int32("Transaction.Result")?,
                3 => result.contract_ret = field.int32("Transaction.Result")?,
                _ => {
                    unknown.raw(field.encoded);
                }
            }
        }
        Ok((result, unknown.into_bytes()))
    }
}

impl From<UnsignedTransaction> for Transaction {
    fn from(unsigned: UnsignedTransaction) -> Self {
        Self {
            raw: unsigned.raw,
            txid: unsigned.txid,
            signatures: Vec::new(),
            results: Vec::new(),
            unknown_of_results: Vec::new(),
            unknown: Vec::new(),
        }
    }
}

impl Transaction {
    /// Reads a whole `Transaction`.
    ///
    /// # Errors
    /// No protobuf, no raw data, or too big.
    pub fn decode(bytes: &[u8]) -> Result<Self, TransactionError> {
        if bytes.len() > MAX_TRANSACTION_BYTES {
            return Err(TransactionError::TooBig(bytes.len()));
        }
        let mut raw = None;
        let mut signatures = Vec::new();
        let mut results = Vec::new();
        let mut unknown_of_results = Vec::new();
        let mut unknown = Writer::new();
        for field in Reader::new(bytes) {
            let field = field?;
            match field.number {
                1 => raw = Some(field.bytes("Transaction")?.to_vec()),
                2 => signatures.push(field.bytes("Transaction")?.to_vec()),
                5 => {
                    let (result, others) = TransactionResult::decode(field.bytes("Transaction")?)?;
                    results.push(result);
                    unknown_of_results.push(others);
                }
                _ => {
                    unknown.raw(field.encoded);
                }
            }
        }
        if unknown_of_results.iter().all(Vec::is_empty) {
            unknown_of_results.clear();
        }
        let raw = raw.ok_or(TransactionError::Empty)?;
        Ok(Self {
            txid: txid_of(&raw),
            raw,
            signatures,
            results,
            unknown_of_results,
            unknown: unknown.into_bytes(),
        })
    }

    /// From raw data and signatures that came apart, as in the node's JSON.
    pub fn from_parts(
        raw: Vec<u8>,
        signatures: Vec<Vec<u8>>,
        results: Vec<TransactionResult>,
    ) -> Self {
        Self {
            txid: txid_of(&raw),
            raw,
            signatures,
            results,
            unknown_of_results: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// The raw data's bytes, as received.
    pub fn raw_bytes(&self) -> &[u8] {
        &self.raw
    }

    /// SHA-256 of the raw data as received.
    pub fn txid(&self) -> TxId {
        self.txid
    }

    /// The signatures, as received.
    pub fn signatures(&self) -> &[Vec<u8>] {
        &self.signatures
    }

    /// The results a block gave it.
    pub fn results(&self) -> &[TransactionResult] {
        &self.results
    }

    /// Replaces the results.
    pub fn set_results(&mut self, results: Vec<TransactionResult>) {
        self.results = results;
        self.unknown_of_results.clear();
    }

    /// Adds a signature (65 bytes, v 0 or 1 as java-tron writes it).
    pub fn add_signature(&mut self, signature: &Signature) {
        self.signatures
            .push(signature.to_transaction_bytes().to_vec());
    }

    /// Signs raw data that came from elsewhere, if its bytes are canonical and
    /// its contract can be read.
    ///
    /// # Errors
    /// A transaction whose bytes a node would change before hashing, or whose
    /// contract is unknown here: nobody could say what is being signed.
    pub fn sign(&mut self, signer: &dyn Signer) -> Result<(), TransactionError> {
        self.check_signable()?;
        let signature = signer.sign_request(&SignRequest::Transaction {
            raw_data: &self.raw,
        })?;
        self.add_signature(&signature);
        Ok(())
    }

    /// The check before [`sign`](Self::sign): the raw data is exactly what its
    /// decoded fields encode to.
    ///
    /// # Errors
    /// As `sign`.
    pub fn check_signable(&self) -> Result<Draft, TransactionError> {
        let draft = self.raw_data()?.into_draft()?;
        if draft.build().raw_bytes() != self.raw {
            return Err(TransactionError::NotCanonical(self.txid));
        }
        Ok(draft)
    }

    /// The whole protobuf message.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(self.raw.len() + 160);
        writer.element(1, &self.raw);
        for signature in &self.signatures {
            writer.element(2, signature);
        }
        let mut others = self.unknown_of_results.iter();
        for result in &self.results {
            let mut encoded = result.encode();
            encoded.extend(others.next().into_iter().flatten());
            writer.element(5, &encoded);
        }
        writer.raw(&self.unknown);
        writer.into_bytes()
    }

    /// Serialised size without results: what bandwidth counts, less 64 bytes a
    /// contract.
    pub fn size_without_results(&self) -> usize {
        let element = |len: usize| 1 + varint_len(len as u64) + len;
        element(self.raw.len())
            + self
                .signatures
                .iter()
                .map(|s| element(s.len()))
                .sum::<usize>()
            + self.unknown.len()
    }

    /// Bandwidth in points: the size with signatures, without results, plus 64
    /// for its one contract (`BandwidthProcessor.java`).
    pub fn bandwidth(&self) -> usize {
        self.size_without_results() + MAX_RESULT_SIZE_IN_TX
    }

    /// The raw data's fields.
    ///
    /// # Errors
    /// Bytes that are no raw data.
    pub fn raw_data(&self) -> Result<RawData, TransactionError> {
        RawData::decode(&self.raw)
    }

    /// The addresses whose keys signed, in order.
    ///
    /// # Errors
    /// A signature from which no address can be recovered.
    pub fn signers(&self) -> Result<Vec<Address>, TransactionError> {
        self.signatures
            .iter()
            .enumerate()
            .map(|(index, bytes)| {
                Signature::from_slice(bytes)
                    .and_then(|signature| signature.recover(self.txid.as_bytes()))
                    .map_err(|source| TransactionError::Signature { index, source })
            })
            .collect()
    }

    /// The raw data as a node re-serialises it before hashing: known fields in
    /// order without defaults, then the unknown ones.
    ///
    /// # Errors
    /// Bytes that are no raw data.
    pub fn canonical(mut self) -> Result<Self, TransactionError> {
        self.raw = canonical_raw(&self.raw)?;
        self.txid = txid_of(&self.raw);
        Ok(self)
    }
}
