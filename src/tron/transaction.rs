//! Transactions: drafts of ours, what is signed of them, and foreign ones.
//!
//! A [`Draft`] is built here and encoded canonically; [`Draft::build`] gives the
//! [`UnsignedTransaction`] whose id is what gets signed; signing it gives a
//! [`Transaction`]. A `Transaction` is also what comes from elsewhere: its bytes
//! are kept, and hashed, as received.

use sha2::{Digest, Sha256};

use super::{
    contract::{Contract, ContractType, TYPE_URL_PREFIX},
    keys::{SignRequest, Signature, SignatureError, Signer, SignerError},
    proto::{Field, ProtoError, Reader, Value, Writer, varint_len},
};
use crate::types::{Address, BlockId, TxId, UnixMs};

/// A transaction may take 500 KiB (`Constant.TRANSACTION_MAX_BYTE_SIZE`).
pub const MAX_TRANSACTION_BYTES: usize = 500 * 1024;
/// Charged per contract on top of the size (`Constant.MAX_RESULT_SIZE_IN_TX`).
pub const MAX_RESULT_SIZE_IN_TX: usize = 64;
/// The furthest an expiration may lie ahead of the head block
/// (`Constant.MAXIMUM_TIME_UNTIL_EXPIRATION`).
pub const MAX_EXPIRATION_AHEAD: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
/// Signatures a transaction may carry (`totalSignNum`).
pub const MAX_SIGNATURES: usize = 5;

/// Why bytes are no transaction, or one that will not be signed.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    /// No protobuf message.
    #[error("these bytes are not a transaction: {0}")]
    Proto(#[from] ProtoError),
    /// Too big for any node.
    #[error("a transaction has at most {MAX_TRANSACTION_BYTES} bytes, not {0}")]
    TooBig(usize),
    /// Nothing in it.
    #[error("these bytes are not a transaction: they hold no raw_data")]
    Empty,
    /// The chain takes exactly one contract.
    #[error("a transaction has exactly one contract, not {0}")]
    ContractCount(usize),
    /// A contract type this crate cannot read.
    #[error("contract type {0} is not known here")]
    UnknownContract(i32),
    /// `type` and `type_url` disagree.
    #[error("the contract's type says {contract_type} but its type_url says `{type_url}`")]
    TypeUrl {
        /// The number's name.
        contract_type: &'static str,
        /// What the url says.
        type_url: String,
    },
    /// A field of a fixed size has another.
    #[error("{field} has {bytes} bytes, not {expected}")]
    FieldSize {
        /// Its name.
        field: &'static str,
        /// How many there are.
        bytes: usize,
        /// How many there should be.
        expected: usize,
    },
    /// Encoding it again gives other bytes: unknown fields, or fields out of
    /// order. A node would hash something else.
    #[error(
        "refusing to sign {0}: its bytes are not in canonical form, so a node would hash, and the signature would cover, something else"
    )]
    NotCanonical(TxId),
    /// The signer would not.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A signature from which no address can be recovered.
    #[error("signature {index} is not valid: {source}")]
    Signature {
        /// Which one, from 0.
        index: usize,
        /// Why.
        source: SignatureError,
    },
}

/// The reference to a recent block that ties a transaction to one chain and
/// time (TAPOS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefBlock {
    /// Bytes 6..8 of the block number.
    pub bytes: [u8; 2],
    /// Bytes 8..16 of the block id.
    pub hash: [u8; 8],
}

impl From<BlockId> for RefBlock {
    fn from(id: BlockId) -> Self {
        let [_, _, _, _, _, _, n0, n1, h0, h1, h2, h3, h4, h5, h6, h7, ..] = *id.as_bytes();
        Self {
            bytes: [n0, n1],
            hash: [h0, h1, h2, h3, h4, h5, h6, h7],
        }
    }
}

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
    raw: Vec<u8>,
    txid: TxId,
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
        let mut transaction = Transaction::from(self);
        transaction.add_signature(&signature);
        Ok(transaction)
    }
}

/// A transaction as sent over the wire: raw data, signatures and results, each
/// kept as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    raw: Vec<u8>,
    txid: TxId,
    signatures: Vec<Vec<u8>>,
    results: Vec<TransactionResult>,
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

    fn decode(bytes: &[u8]) -> Result<Self, ProtoError> {
        let mut result = Self::default();
        for field in Reader::new(bytes) {
            let field = field?;
            match field.number {
                1 => result.fee_sun = field.int64("Transaction.Result")?,
                2 => result.ret = field.int32("Transaction.Result")?,
                3 => result.contract_ret = field.int32("Transaction.Result")?,
                _ => {}
            }
        }
        Ok(result)
    }
}

impl From<UnsignedTransaction> for Transaction {
    fn from(unsigned: UnsignedTransaction) -> Self {
        Self {
            raw: unsigned.raw,
            txid: unsigned.txid,
            signatures: Vec::new(),
            results: Vec::new(),
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
        let mut unknown = Writer::new();
        for field in Reader::new(bytes) {
            let field = field?;
            match field.number {
                1 => raw = Some(field.bytes("Transaction")?.to_vec()),
                2 => signatures.push(field.bytes("Transaction")?.to_vec()),
                5 => results.push(TransactionResult::decode(field.bytes("Transaction")?)?),
                _ => {
                    unknown.raw(field.encoded);
                }
            }
        }
        let raw = raw.ok_or(TransactionError::Empty)?;
        Ok(Self {
            txid: txid_of(&raw),
            raw,
            signatures,
            results,
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
        for result in &self.results {
            writer.element(5, &result.encode());
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

fn txid_of(raw: &[u8]) -> TxId {
    TxId::from_bytes(Sha256::digest(raw).into())
}

/// `Transaction.raw`, its fields as on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawData {
    /// `ref_block_bytes`; 2 bytes if sound.
    pub ref_block_bytes: Vec<u8>,
    /// `ref_block_num`; unused by the chain.
    pub ref_block_num: i64,
    /// `ref_block_hash`; 8 bytes if sound.
    pub ref_block_hash: Vec<u8>,
    /// `expiration`.
    pub expiration: UnixMs,
    /// `data`: the memo.
    pub memo: Vec<u8>,
    /// `contract`; exactly one if sound.
    pub contracts: Vec<RawContract>,
    /// `scripts`; unused by the chain.
    pub scripts: Vec<u8>,
    /// `timestamp`.
    pub timestamp: UnixMs,
    /// `fee_limit`.
    pub fee_limit_sun: i64,
}

/// `Transaction.Contract`, undecoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawContract {
    /// Its number; see [`ContractType`].
    pub contract_type: i32,
    /// `parameter.type_url`.
    pub type_url: String,
    /// `parameter.value`: the contract's bytes.
    pub value: Vec<u8>,
    /// `provider`; unused.
    pub provider: Vec<u8>,
    /// `ContractName`; unused.
    pub contract_name: Vec<u8>,
    /// `Permission_id`.
    pub permission_id: i32,
}

impl RawData {
    /// Reads `Transaction.raw`.
    ///
    /// # Errors
    /// No protobuf.
    pub fn decode(bytes: &[u8]) -> Result<Self, TransactionError> {
        const NAME: &str = "Transaction.raw";
        let mut raw = Self::default();
        for field in Reader::new(bytes) {
            let field = field?;
            match field.number {
                1 => raw.ref_block_bytes = field.bytes(NAME)?.to_vec(),
                3 => raw.ref_block_num = field.int64(NAME)?,
                4 => raw.ref_block_hash = field.bytes(NAME)?.to_vec(),
                8 => raw.expiration = UnixMs(field.int64(NAME)?),
                10 => raw.memo = field.bytes(NAME)?.to_vec(),
                11 => raw.contracts.push(RawContract::decode(field.bytes(NAME)?)?),
                12 => raw.scripts = field.bytes(NAME)?.to_vec(),
                14 => raw.timestamp = UnixMs(field.int64(NAME)?),
                18 => raw.fee_limit_sun = field.int64(NAME)?,
                _ => {}
            }
        }
        Ok(raw)
    }

    /// The one contract.
    ///
    /// # Errors
    /// None, or more than one.
    pub fn contract(&self) -> Result<&RawContract, TransactionError> {
        match self.contracts.as_slice() {
            [contract] => Ok(contract),
            other => Err(TransactionError::ContractCount(other.len())),
        }
    }

    /// Every field in its own type.
    ///
    /// # Errors
    /// A field of the wrong size, or a contract that cannot be read.
    pub fn into_draft(self) -> Result<Draft, TransactionError> {
        let contract = self.contract()?;
        let ref_block = RefBlock {
            bytes: sized("ref_block_bytes", &self.ref_block_bytes)?,
            hash: sized("ref_block_hash", &self.ref_block_hash)?,
        };
        Ok(Draft {
            contract: contract.decoded()?,
            ref_block,
            expiration: self.expiration,
            timestamp: self.timestamp,
            permission_id: contract.permission_id,
            fee_limit_sun: self.fee_limit_sun,
            memo: self.memo,
        })
    }
}

fn sized<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], TransactionError> {
    bytes.try_into().map_err(|_| TransactionError::FieldSize {
        field,
        bytes: bytes.len(),
        expected: N,
    })
}

impl RawContract {
    fn decode(bytes: &[u8]) -> Result<Self, ProtoError> {
        const NAME: &str = "Transaction.Contract";
        let mut contract = Self::default();
        for field in Reader::new(bytes) {
            let field = field?;
            match field.number {
                1 => contract.contract_type = field.int32(NAME)?,
                2 => {
                    for any in Reader::new(field.bytes(NAME)?) {
                        let any = any?;
                        match any.number {
                            1 => contract.type_url = any.text("Any")?,
                            2 => contract.value = any.bytes("Any")?.to_vec(),
                            _ => {}
                        }
                    }
                }
                3 => contract.provider = field.bytes(NAME)?.to_vec(),
                4 => contract.contract_name = field.bytes(NAME)?.to_vec(),
                5 => contract.permission_id = field.int32(NAME)?,
                _ => {}
            }
        }
        Ok(contract)
    }

    /// The contract in its own type.
    ///
    /// # Errors
    /// A type unknown here, a `type_url` that says another, or bytes that are no
    /// such message.
    pub fn decoded(&self) -> Result<Contract, TransactionError> {
        let kind = ContractType::from_number(self.contract_type)
            .ok_or(TransactionError::UnknownContract(self.contract_type))?;
        if self.type_url.strip_prefix(TYPE_URL_PREFIX) != Some(kind.name()) {
            return Err(TransactionError::TypeUrl {
                contract_type: kind.name(),
                type_url: self.type_url.chars().take(80).collect(),
            });
        }
        Ok(Contract::decode(kind, &self.value)?)
    }
}

/// How each field of a message re-serialises.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Last one wins; left out when zero or empty.
    Scalar,
    /// Every one is kept; its bytes are re-serialised with the given shape.
    Each(&'static [(u32, Shape)]),
    /// All parts merge into one message, which is then re-serialised.
    Merge(&'static [(u32, Shape)]),
}

const ANY: &[(u32, Shape)] = &[(1, Shape::Scalar), (2, Shape::Scalar)];
const CONTRACT: &[(u32, Shape)] = &[
    (1, Shape::Scalar),
    (2, Shape::Merge(ANY)),
    (3, Shape::Scalar),
    (4, Shape::Scalar),
    (5, Shape::Scalar),
];
/// `authority`: account 1 (AccountId: name 1, address 2), permission_name 2.
const ACCOUNT_ID: &[(u32, Shape)] = &[(1, Shape::Scalar), (2, Shape::Scalar)];
const AUTHORITY: &[(u32, Shape)] = &[(1, Shape::Merge(ACCOUNT_ID)), (2, Shape::Scalar)];
const RAW: &[(u32, Shape)] = &[
    (1, Shape::Scalar),
    (3, Shape::Scalar),
    (4, Shape::Scalar),
    (8, Shape::Scalar),
    (9, Shape::Each(AUTHORITY)),
    (10, Shape::Scalar),
    (11, Shape::Each(CONTRACT)),
    (12, Shape::Scalar),
    (14, Shape::Scalar),
    (18, Shape::Scalar),
];

fn canonical_raw(raw: &[u8]) -> Result<Vec<u8>, TransactionError> {
    Ok(canonical(raw, RAW)?)
}

fn canonical(message: &[u8], shapes: &'static [(u32, Shape)]) -> Result<Vec<u8>, ProtoError> {
    let fields = Reader::new(message).collect::<Result<Vec<Field<'_>>, _>>()?;
    let mut writer = Writer::with_capacity(message.len());
    for &(number, shape) in shapes {
        let mut mine = fields.iter().filter(|field| field.number == number);
        match shape {
            Shape::Scalar => {
                if let Some(last) = mine.next_back() {
                    match last.value {
                        Value::Varint(value) => writer.int64(number, value.cast_signed()),
                        Value::Bytes(bytes) => writer.bytes(number, bytes),
                        Value::Fixed32(_) | Value::Fixed64(_) => writer.raw(last.encoded),
                    };
                }
            }
            Shape::Each(inner) => {
                for field in mine {
                    writer.element(number, &canonical(field.bytes("Transaction.raw")?, inner)?);
                }
            }
            Shape::Merge(inner) => {
                let parts = mine
                    .map(|field| field.bytes("Transaction.raw"))
                    .collect::<Result<Vec<_>, _>>()?;
                if !parts.is_empty() {
                    writer.element(number, &canonical(&parts.concat(), inner)?);
                }
            }
        }
    }
    let known = |field: &&Field<'_>| shapes.iter().any(|(number, _)| *number == field.number);
    let mut unknown: Vec<_> = fields.iter().filter(|field| !known(field)).collect();
    // UnknownFieldSet: by number; within one, varints, 32 bits, 64 bits, bytes.
    unknown.sort_by_key(|field| {
        let order = match field.value {
            Value::Varint(_) => 0,
            Value::Fixed32(_) => 1,
            Value::Fixed64(_) => 2,
            Value::Bytes(_) => 3,
        };
        (field.number, order)
    });
    for field in unknown {
        writer.raw(field.encoded);
    }
    Ok(writer.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tron::keys::SecretKey;
    use crate::types::{RawAmount, Token, TokenId};

    /// A recorded transfer of 123456 units, `03-local-trc10-broadcasthex.json`.
    const RECORDED: &str = "0a93010a0200ab2208c35bb17f474f801940a0b6fc9fa0345a75080212710a32747970652e676f6f676c65617069732e636f6d2f70726f746f636f6c2e5472616e736665724173736574436f6e7472616374123b0a07313030303030311215412b5ad5c4795c026514f8317c7a215e218dccd6cf1a15411eff47bc3a10a45d4b230b5d10e37751fe6aa71820c0c40770a1e6f89fa03412410076b071774f53439581047c85cb7766fa3508f268cd525c7f045e9c11e03cd75c5818be805b849501174eec758c5d5261fdc79c98550ed31f0760de9a9c753900";

    #[test]
    fn a_recorded_transfer_is_rebuilt_byte_for_byte() {
        let recorded = Transaction::decode(&hex::decode(RECORDED).unwrap()).unwrap();
        assert_eq!(
            recorded.txid().to_string(),
            "89836a6df94f470d2b04ac24993848cbac8036f1e2561dfa0115398df903daa6"
        );
        let draft = recorded.check_signable().unwrap();
        let transfer = draft.contract.as_transfer().unwrap();
        assert_eq!(transfer.amount, RawAmount::new(123_456).unwrap());
        let rebuilt = Draft::new(
            Contract::transfer(
                transfer.from,
                transfer.to,
                Token::Trc10(TokenId::new(1_000_001).unwrap()),
                transfer.amount,
            ),
            draft.ref_block,
            draft.expiration,
            draft.timestamp,
        )
        .build();
        assert_eq!(rebuilt.raw_bytes(), recorded.raw_bytes());
        assert_eq!(recorded.encode(), hex::decode(RECORDED).unwrap());
        assert_eq!(recorded.size_without_results(), 217);
        assert_eq!(recorded.bandwidth(), 281);
        assert_eq!(recorded.signers().unwrap(), vec![transfer.from]);
        // RFC 6979 and low s: the signature is the recorded one too.
        let mut key = [0; 32];
        key[31] = 2;
        let signed = rebuilt.sign(&SecretKey::from_bytes(&key).unwrap()).unwrap();
        assert_eq!(signed.signers().unwrap(), vec![transfer.from]);
        assert_eq!(signed.encode(), recorded.encode());
    }

    #[test]
    fn fields_out_of_order_hash_as_received_and_are_not_signed() {
        let recorded = Transaction::decode(&hex::decode(RECORDED).unwrap()).unwrap();
        let fields: Vec<_> = Reader::new(recorded.raw_bytes())
            .map(Result::unwrap)
            .collect();
        let mut writer = Writer::new();
        for field in fields.iter().rev() {
            writer.raw(field.encoded);
        }
        let mut reordered = Transaction::from_parts(writer.into_bytes(), Vec::new(), Vec::new());
        assert_ne!(reordered.txid(), recorded.txid());
        let key = SecretKey::from_bytes(&[1; 32]).unwrap();
        assert!(matches!(
            reordered.sign(&key),
            Err(TransactionError::NotCanonical(_))
        ));
        assert_eq!(reordered.canonical().unwrap().txid(), recorded.txid());
    }

    #[test]
    fn an_unknown_field_survives_and_is_hashed() {
        let recorded = Transaction::decode(&hex::decode(RECORDED).unwrap()).unwrap();
        let mut raw = recorded.raw_bytes().to_vec();
        raw.extend([0xf8, 0x07, 1]);
        let stray = Transaction::from_parts(raw.clone(), Vec::new(), Vec::new());
        assert_ne!(stray.txid(), recorded.txid());
        assert_eq!(stray.clone().canonical().unwrap().raw_bytes(), raw);
        assert!(matches!(
            stray.check_signable(),
            Err(TransactionError::NotCanonical(_))
        ));
    }

    /// Fields of every wire type under numbers that no message here knows.
    fn stray_fields() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
        use proptest::{collection::vec, prelude::*};
        let field = (100u32..2_000, 0u8..4, any::<u64>(), any::<Vec<u8>>());
        let encoded = |(number, kind, value, bytes): (u32, u8, u64, Vec<u8>)| {
            let varint = |mut left: u64| {
                let mut out = Vec::new();
                while left > 0x7f {
                    out.push(left.to_le_bytes()[0] | 0x80);
                    left >>= 7;
                }
                out.push(left.to_le_bytes()[0]);
                out
            };
            let wire = [0, 1, 5, 2][usize::from(kind)];
            let mut out = varint(u64::from(number << 3 | wire));
            match kind {
                0 => out.extend(varint(value)),
                1 => out.extend(value.to_le_bytes()),
                2 => out.extend(&value.to_le_bytes()[..4]),
                _ => {
                    out.extend(varint(bytes.len() as u64));
                    out.extend(bytes);
                }
            }
            out
        };
        vec(field.prop_map(encoded), 0..6).prop_map(|fields| fields.concat())
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(transaction) = Transaction::decode(&bytes) {
                let _ = transaction.raw_data();
                let _ = transaction.signers();
                let _ = transaction.clone().canonical();
            }
        }

        #[test]
        fn unknown_fields_survive_a_decode_and_an_encode(
            in_raw in stray_fields(), in_transaction in stray_fields(), signatures: Vec<[u8; 65]>,
        ) {
            let recorded = Transaction::decode(&hex::decode(RECORDED).unwrap()).unwrap();
            let mut raw = recorded.raw_bytes().to_vec();
            raw.extend(&in_raw);
            let mut whole = Writer::new();
            whole.element(1, &raw);
            for signature in &signatures {
                whole.element(2, signature);
            }
            whole.raw(&in_transaction);
            let bytes = whole.into_bytes();
            let read = Transaction::decode(&bytes).unwrap();
            proptest::prop_assert_eq!(read.encode(), bytes);
            proptest::prop_assert_eq!(read.raw_bytes(), &raw);
            proptest::prop_assert_eq!(read.txid(), txid_of(&raw));
            // Its known fields are read as ever, and it is not signed.
            let fields = read.raw_data().unwrap();
            proptest::prop_assert_eq!(fields, recorded.raw_data().unwrap());
            proptest::prop_assert_eq!(read.check_signable().is_ok(), in_raw.is_empty());
            // A node keeps them too: its form is a fixed point.
            let canonical = read.canonical().unwrap();
            proptest::prop_assert_eq!(canonical.raw_bytes().len(), raw.len());
            let again = canonical.clone().canonical().unwrap();
            proptest::prop_assert_eq!(again, canonical);
        }

        #[test]
        fn drafts_survive_encoding(
            from: [u8; 20], to: [u8; 20], amount in 0..=i64::MAX, id in 1_000_001..=i64::MAX,
            expiration: i64, timestamp: i64, memo: Vec<u8>, permission_id in 0i32..8, trx: bool,
        ) {
            let token = if trx { Token::Trx } else { Token::Trc10(TokenId::new(id).unwrap()) };
            let contract = Contract::transfer(
                Address::from_body(from), Address::from_body(to), token, RawAmount::new(amount).unwrap(),
            );
            let ref_block = RefBlock { bytes: [1, 2], hash: [3; 8] };
            let mut draft = Draft::new(contract, ref_block, UnixMs(expiration), UnixMs(timestamp));
            draft.memo = memo;
            draft.permission_id = permission_id;
            let built = Transaction::from(draft.build());
            proptest::prop_assert_eq!(built.check_signable().unwrap(), draft);
            proptest::prop_assert_eq!(Transaction::decode(&built.encode()).unwrap(), built);
        }
    }
}
