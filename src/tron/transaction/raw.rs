//! `Transaction.raw` and `Transaction.Contract`, their fields as on the wire.

use super::{Draft, RefBlock, TransactionError};
use crate::{
    tron::{
        contract::{Contract, ContractType, TYPE_URL_PREFIX},
        proto::{ProtoError, Reader},
    },
    types::UnixMs,
};

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
