//! Typed data, TIP-712: what a wallet can show before it signs.
//!
//! digest = keccak256(0x1901 ‖ domain separator ‖ struct hash). TRON's two
//! differences to EIP-712: an address is its 20 bytes without 0x41, and
//! `trcToken` is a type of its own in `encodeType` whose value is a uint256.

use serde_json::{Value, json};

use super::keys::{
    SignRequest, Signature, SignatureError, Signer, SignerError, keccak256, keccak256_parts,
};
use crate::types::{Address, BlockId, Salt, TokenId};

/// What typed data says: the whole document, made for whoever shows it before it
/// is signed.
pub trait TypedContent: std::fmt::Debug + Sync {
    /// `types`, `primaryType`, `domain` and `message`, as EIP-712 writes them.
    fn document(&self) -> Value;
}

/// `EIP712Domain(string name,string version,uint256 chainId,bytes32 salt)`:
/// for which application and chain something is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Domain {
    /// The application's name.
    pub name: &'static str,
    /// The version of its structs.
    pub version: &'static str,
    /// The chain's id: the last four bytes of the genesis block's id.
    pub chain_id: u32,
    /// The whole id of the genesis block.
    pub salt: Salt,
}

const DOMAIN_TYPE: &str = "EIP712Domain(string name,string version,uint256 chainId,bytes32 salt)";

impl Domain {
    /// The domain of an application on the chain with this genesis block.
    pub fn on_chain(name: &'static str, version: &'static str, genesis: BlockId) -> Self {
        let bytes = *genesis.as_bytes();
        let (_, last) = bytes.split_at(28);
        let mut id = [0; 4];
        id.copy_from_slice(last);
        Self {
            name,
            version,
            chain_id: u32::from_be_bytes(id),
            salt: Salt::from_bytes(bytes),
        }
    }

    /// The hash that stands for the domain.
    pub fn separator(&self) -> [u8; 32] {
        StructEncoder::new(DOMAIN_TYPE)
            .string(self.name)
            .string(self.version)
            .uint(u64::from(self.chain_id))
            .bytes32(self.salt.as_bytes())
            .hash()
    }
}

/// Builds a struct's hash, field by field in the order of its type.
#[derive(Debug, Clone)]
pub struct StructEncoder<'a> {
    encoded_type: &'a str,
    /// The type's hash, then a word of 32 bytes for each field.
    data: Vec<u8>,
}

impl<'a> StructEncoder<'a> {
    /// Starts with the type as `encodeType` writes it, such as
    /// `Receipt(address payer,…)`.
    pub fn new(encoded_type: &'a str) -> Self {
        Self {
            encoded_type,
            data: keccak256(encoded_type).to_vec(),
        }
    }

    /// `address`: 20 bytes, left-padded.
    #[must_use]
    pub fn address(mut self, address: Address) -> Self {
        self.data.extend_from_slice(&[0; 12]);
        self.data.extend_from_slice(address.body());
        self
    }

    /// `uint64`, `uint256` and the other unsigned integers: big-endian, left-padded.
    #[must_use]
    pub fn uint(mut self, value: u64) -> Self {
        self.data.extend_from_slice(&[0; 24]);
        self.data.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// `trcToken`: as a uint256.
    #[must_use]
    pub fn token(self, token: TokenId) -> Self {
        self.uint(token.get().unsigned_abs())
    }

    /// `bytes32`: as it is.
    #[must_use]
    pub fn bytes32(mut self, bytes: &[u8; 32]) -> Self {
        self.data.extend_from_slice(bytes);
        self
    }

    /// `string`: the Keccak-256 of its UTF-8.
    #[must_use]
    pub fn string(self, text: &str) -> Self {
        let hash = keccak256(text);
        self.bytes32(&hash)
    }

    /// `hashStruct`.
    pub fn hash(&self) -> [u8; 32] {
        keccak256(&self.data)
    }

    fn name(&self) -> &'a str {
        self.encoded_type.split('(').next().unwrap_or_default()
    }

    /// Each field's type, name and word.
    fn fields(&self) -> Vec<(&'a str, &'a str, &[u8])> {
        let (_, fields) = self.encoded_type.split_once('(').unwrap_or_default();
        let words = self.data.chunks(32).skip(1);
        let fields = fields.trim_end_matches(')').split(',').zip(words);
        let fields = fields.filter_map(|(field, word)| {
            let (kind, name) = field.split_once(' ')?;
            Some((kind, name, word))
        });
        fields.collect()
    }
}

/// A struct of ours in its domain.
#[derive(Debug, Clone, Copy)]
pub struct TypedFields<'a> {
    /// For which application and chain.
    pub domain: &'a Domain,
    /// The struct; its fields are addresses, unsigned integers, tokens and `bytes32`.
    pub fields: &'a StructEncoder<'a>,
}

impl TypedContent for TypedFields<'_> {
    fn document(&self) -> Value {
        let field = |kind: &str, name: &str| json!({ "name": name, "type": kind });
        let (primary_type, fields) = (self.fields.name(), self.fields.fields());
        let types: Vec<Value> = fields
            .iter()
            .map(|(kind, name, _)| field(kind, name))
            .collect();
        let message: serde_json::Map<String, Value> = fields
            .iter()
            .map(|(kind, name, word)| ((*name).to_owned(), shown(kind, word)))
            .collect();
        let domain = self.domain;
        json!({
            "types": {
                "EIP712Domain": [
                    field("string", "name"),
                    field("string", "version"),
                    field("uint256", "chainId"),
                    field("bytes32", "salt"),
                ],
                primary_type: types,
            },
            "primaryType": primary_type,
            "domain": {
                "name": domain.name,
                "version": domain.version,
                "chainId": domain.chain_id,
                "salt": format!("0x{}", domain.salt),
            },
            "message": message,
        })
    }
}

/// A field's word as people read it.
fn shown(kind: &str, word: &[u8]) -> Value {
    let (_, body) = word.split_at(word.len().saturating_sub(20));
    let (_, low) = word.split_at(word.len().saturating_sub(8));
    match (kind, <[u8; 20]>::try_from(body), <[u8; 8]>::try_from(low)) {
        ("address", Ok(body), _) => Address::from_body(body).to_string().into(),
        // What is written here are 64 bits: see `uint`.
        ("trcToken", _, Ok(low)) => u64::from_be_bytes(low).to_string().into(),
        (kind, _, Ok(low)) if kind.starts_with("uint") => {
            u64::from_be_bytes(low).to_string().into()
        }
        _ => format!("0x{}", hex::encode(word)).into(),
    }
}

/// The digest that is signed.
pub fn digest(domain_separator: &[u8; 32], struct_hash: &[u8; 32]) -> [u8; 32] {
    keccak256_parts(&[&[0x19, 0x01], domain_separator, struct_hash])
}

/// Signs a struct in a domain; `document` is what a signer may show of it.
///
/// # Errors
/// The signer refused.
pub fn sign(
    signer: &dyn Signer,
    domain_separator: &[u8; 32],
    struct_hash: &[u8; 32],
    document: &dyn TypedContent,
) -> Result<Signature, SignerError> {
    signer.sign_request(&SignRequest::TypedData {
        domain_separator,
        struct_hash,
        document,
    })
}

/// Who signed a struct in a domain.
///
/// # Errors
/// The signature is nobody's.
pub fn signer_of(
    domain_separator: &[u8; 32],
    struct_hash: &[u8; 32],
    signature: &Signature,
) -> Result<Address, SignatureError> {
    signature.recover(&digest(domain_separator, struct_hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TRON mainnet's genesis block; the expected values are TronWeb 6.5.1's.
    #[test]
    fn the_domain_of_mainnet_is_tronwebs() {
        let genesis: BlockId = "00000000000000001ebf88508a03865c71d452e25f4d51194196a1d22b6653dc"
            .parse()
            .unwrap();
        let domain = Domain::on_chain("Seedrail Receipt", "1", genesis);
        assert_eq!(domain.chain_id, 728_126_428);
        assert_eq!(
            hex::encode(domain.separator()),
            "89cc362f1cad766c6c7524d2686c885933f109560411cf93c5a0ef2a4232c427"
        );
    }
}
