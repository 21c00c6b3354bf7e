//! Typed data as wallets exchange it: a JSON document with `types`,
//! `primaryType`, `domain` and `message` (EIP-712, with TIP-712's two
//! differences: see `typed_data.rs`).
//!
//! Stricter than others where leniency signs what nobody sees: every field of a
//! struct must be there, and no field may be there that its type does not name.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    keys::{Signature, SignatureError, Signer, SignerError, keccak256},
    typed_data::{self, TypedContent},
};
use crate::types::Address;

/// The largest document read, in bytes: whoever signs is to understand it.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;
/// The most structs, and the most fields of one.
const MAX_NAMES: usize = 256;
/// How deep structs and lists may be within each other.
const MAX_DEPTH: usize = 32;

/// The domain's fields, in the order in which its type lists those there are.
const DOMAIN_FIELDS: [(&str, &str); 5] = [
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
    ("salt", "bytes32"),
];
const DOMAIN: &str = "EIP712Domain";

/// Why a document is no typed data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypedJsonError {
    /// Larger than [`MAX_DOCUMENT_BYTES`].
    #[error("the typed data has more than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge,
    /// Not JSON with these four members.
    #[error("the document is not typed data (`types`, `primaryType`, `domain`, `message`): {0}")]
    Form(String),
    /// A type that is none.
    #[error("`{0}` is neither a type nor the name of a struct in `types`")]
    Type(String),
    /// An integer without its width, which no EIP-712 library knows.
    #[error("`{0}` is not a type of typed data: write `{0}256`")]
    NoWidth(String),
    /// A struct that has too much, or something twice.
    #[error("the struct `{name}` {reason}")]
    Struct {
        /// Which.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A value that its type does not have.
    #[error("`{path}` is not {expected}: {found}")]
    Value {
        /// Where, as `message.to.wallet`.
        path: String,
        /// Its type.
        expected: String,
        /// What is there, cut to 80 characters.
        found: String,
    },
    /// A field of the type that is not there.
    #[error("`{0}` is missing")]
    Missing(String),
    /// A field that the type does not name, which would not be signed.
    #[error("`{0}` is not in its struct's type, so a signature would not cover it")]
    Extra(String),
    /// Structs within structs without end.
    #[error("`{0}` is more than {MAX_DEPTH} levels deep")]
    TooDeep(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    name: String,
    r#type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    types: BTreeMap<String, Vec<Field>>,
    primary_type: String,
    domain: Map<String, Value>,
    message: Map<String, Value>,
}

/// Typed data that was read and hashed: what [`typed_data::sign`] takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedDocument {
    /// What the message is called.
    pub primary_type: String,
    /// The application's name, if the domain tells it.
    pub domain_name: Option<String>,
    /// The hash of the domain.
    pub domain_separator: [u8; 32],
    /// The hash of the message.
    pub struct_hash: [u8; 32],
    document: Value,
}

impl TypedContent for TypedDocument {
    fn document(&self) -> Value {
        self.document.clone()
    }
}

impl TypedDocument {
    /// Reads and hashes a document.
    ///
    /// # Errors
    /// See [`TypedJsonError`], with the place.
    pub fn from_json(text: &str) -> Result<Self, TypedJsonError> {
        if text.len() > MAX_DOCUMENT_BYTES {
            return Err(TypedJsonError::TooLarge);
        }
        let form = |error: serde_json::Error| TypedJsonError::Form(cut(&error.to_string()));
        let document: Document = serde_json::from_str(text).map_err(form)?;
        // What a signer is shown: all of the text, also what is not hashed.
        let whole = serde_json::from_str(text).map_err(form)?;
        let mut types = document.types;
        types.entry(DOMAIN.to_owned()).or_insert_with(|| {
            let there = |(name, _): &&(&str, &str)| document.domain.contains_key(*name);
            let field = |&(name, r#type): &(&str, &str)| Field {
                name: name.to_owned(),
                r#type: r#type.to_owned(),
            };
            DOMAIN_FIELDS.iter().filter(there).map(field).collect()
        });
        let types = Types::checked(types)?;
        let name = document.domain.get("name").and_then(Value::as_str);
        Ok(Self {
            domain_name: name.map(cut),
            domain_separator: types.hash_struct(DOMAIN, &document.domain, "domain", 0)?,
            struct_hash: types.hash_struct(
                &document.primary_type,
                &document.message,
                "message",
                0,
            )?,
            primary_type: document.primary_type,
            document: whole,
        })
    }

    /// Signs it.
    ///
    /// # Errors
    /// The signer refused.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Signature, SignerError> {
        typed_data::sign(signer, &self.domain_separator, &self.struct_hash, self)
    }

    /// Who signed it.
    ///
    /// # Errors
    /// The signature is nobody's.
    pub fn signer(&self, signature: &Signature) -> Result<Address, SignatureError> {
        typed_data::signer_of(&self.domain_separator, &self.struct_hash, signature)
    }
}

/// The structs of a document.
struct Types(BTreeMap<String, Vec<Field>>);

/// A type as a field names it.
enum Kind<'a> {
    Bool,
    Address,
    String,
    Bytes,
    FixedBytes(usize),
    /// Bits, and whether negative ones are there.
    Integer(usize, bool),
    List(&'a str, Option<usize>),
    Struct(&'a str),
}

impl Types {
    fn checked(types: BTreeMap<String, Vec<Field>>) -> Result<Self, TypedJsonError> {
        let wrong = |name: &str, reason: String| TypedJsonError::Struct {
            name: cut(name),
            reason,
        };
        if types.len() > MAX_NAMES {
            let reason = format!("is one of {}, more than {MAX_NAMES}", types.len());
            return Err(wrong(DOMAIN, reason));
        }
        let types = Self(types);
        for (name, fields) in &types.0 {
            if !is_name(name) || builtin(name).is_some() || matches!(name.as_str(), "uint" | "int")
            {
                return Err(wrong(name, "has a name that no struct can have".to_owned()));
            }
            if fields.len() > MAX_NAMES {
                let reason = format!("has {} fields, more than {MAX_NAMES}", fields.len());
                return Err(wrong(name, reason));
            }
            let mut seen = BTreeSet::new();
            for field in fields {
                if !is_name(&field.name) || !seen.insert(&field.name) {
                    let reason = format!("has no one field `{}`", cut(&field.name));
                    return Err(wrong(name, reason));
                }
                types.kind(base(&field.r#type))?;
            }
        }
        Ok(types)
    }

    fn kind<'a>(&self, name: &'a str) -> Result<Kind<'a>, TypedJsonError> {
        let bad = || TypedJsonError::Type(cut(name));
        if let Some(open) = name.strip_suffix(']') {
            let (item, count) = open.rsplit_once('[').ok_or_else(bad)?;
            let count = match count {
                "" => None,
                digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
                    Some(digits.parse().map_err(|_| bad())?)
                }
                _ => return Err(bad()),
            };
            return Ok(Kind::List(item, count));
        }
        match builtin(name) {
            Some(kind) => Ok(kind),
            None if matches!(name, "uint" | "int") => Err(TypedJsonError::NoWidth(name.to_owned())),
            None if self.0.contains_key(name) => Ok(Kind::Struct(name)),
            None => Err(bad()),
        }
    }

    fn fields(&self, name: &str) -> Result<&[Field], TypedJsonError> {
        let fields = self.0.get(name).map(Vec::as_slice);
        fields.ok_or_else(|| TypedJsonError::Type(cut(name)))
    }

    /// `encodeType`: the struct, then those it refers to, by name.
    fn encode_type(&self, name: &str) -> Result<String, TypedJsonError> {
        let mut others = BTreeSet::new();
        let mut left = vec![name];
        while let Some(next) = left.pop() {
            for field in self.fields(next)? {
                let inner = base(&field.r#type);
                if self.0.contains_key(inner) && inner != name && others.insert(inner) {
                    left.push(inner);
                }
            }
        }
        let mut text = String::new();
        for name in std::iter::once(name).chain(others) {
            text.push_str(name);
            text.push('(');
            for (n, field) in self.fields(name)?.iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                text.push_str(&field.r#type);
                text.push(' ');
                text.push_str(&field.name);
            }
            text.push(')');
        }
        Ok(text)
    }

    fn hash_struct(
        &self,
        name: &str,
        value: &Map<String, Value>,
        path: &str,
        depth: usize,
    ) -> Result<[u8; 32], TypedJsonError> {
        let fields = self.fields(name)?;
        let mut encoded = keccak256(self.encode_type(name)?).to_vec();
        for field in fields {
            let path = format!("{path}.{}", field.name);
            let value = value
                .get(&field.name)
                .ok_or_else(|| TypedJsonError::Missing(path.clone()))?;
            encoded.extend(self.encode(&field.r#type, value, &path, depth + 1)?);
        }
        let named = |key: &&String| fields.iter().any(|field| field.name == **key);
        if let Some(extra) = value.keys().find(|key| !named(key)) {
            return Err(TypedJsonError::Extra(format!("{path}.{}", cut(extra))));
        }
        Ok(keccak256(encoded))
    }

    /// The 32 bytes that stand for a value.
    fn encode(
        &self,
        r#type: &str,
        value: &Value,
        path: &str,
        depth: usize,
    ) -> Result<[u8; 32], TypedJsonError> {
        if depth > MAX_DEPTH {
            return Err(TypedJsonError::TooDeep(path.to_owned()));
        }
        let wrong = || TypedJsonError::Value {
            path: path.to_owned(),
            expected: cut(r#type),
            found: cut(&value.to_string()),
        };
        let text = || value.as_str().ok_or_else(wrong);
        Ok(match self.kind(r#type)? {
            Kind::Bool => left_padded(&[u8::from(value.as_bool().ok_or_else(wrong)?)]),
            Kind::Address => left_padded(address(text()?).ok_or_else(wrong)?.body()),
            Kind::String => keccak256(text()?),
            Kind::Bytes => keccak256(bytes(text()?).ok_or_else(wrong)?),
            Kind::FixedBytes(count) => {
                let bytes = bytes(text()?).filter(|bytes| bytes.len() == count);
                let mut word = [0; 32];
                for (to, from) in word.iter_mut().zip(bytes.ok_or_else(wrong)?) {
                    *to = from;
                }
                word
            }
            Kind::Integer(bits, signed) => {
                let written = match value {
                    // Never a float: those are written with a point or an exponent.
                    Value::Number(number) => number.to_string(),
                    _ => text()?.to_owned(),
                };
                integer(&written, bits, signed).ok_or_else(wrong)?
            }
            Kind::List(item, count) => {
                let list = value.as_array().ok_or_else(wrong)?;
                if count.is_some_and(|count| count != list.len()) {
                    return Err(wrong());
                }
                let mut encoded = Vec::with_capacity(list.len() * 32);
                for (n, value) in list.iter().enumerate() {
                    let path = format!("{path}[{n}]");
                    encoded.extend(self.encode(item, value, &path, depth + 1)?);
                }
                keccak256(encoded)
            }
            Kind::Struct(name) => {
                let object = value.as_object().ok_or_else(wrong)?;
                self.hash_struct(name, object, path, depth)?
            }
        })
    }
}

/// The type within a list of lists.
fn base(name: &str) -> &str {
    name.split_once('[').map_or(name, |(base, _)| base)
}

fn builtin(name: &str) -> Option<Kind<'static>> {
    let width = |digits: &str| {
        let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        digits.parse::<usize>().ok().filter(|_| plain)
    };
    let bits = |digits: &str| width(digits).filter(|bits| *bits <= 256 && bits.is_multiple_of(8));
    Some(match name {
        "bool" => Kind::Bool,
        "address" => Kind::Address,
        "string" => Kind::String,
        "bytes" => Kind::Bytes,
        // TIP-712: a TRC-10 token's id.
        "trcToken" => Kind::Integer(256, false),
        _ => {
            if let Some(digits) = name.strip_prefix("bytes") {
                return width(digits)
                    .filter(|count| *count <= 32)
                    .map(Kind::FixedBytes);
            }
            if let Some(digits) = name.strip_prefix("uint") {
                return bits(digits).map(|bits| Kind::Integer(bits, false));
            }
            let digits = name.strip_prefix("int")?;
            return bits(digits).map(|bits| Kind::Integer(bits, true));
        }
    })
}

fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.len() <= 100
        && text.starts_with(letter)
        && text.chars().all(|c| letter(c) || c.is_ascii_digit())
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

fn left_padded(bytes: &[u8]) -> [u8; 32] {
    let mut word = [0; 32];
    for (to, from) in word.iter_mut().rev().zip(bytes.iter().rev()) {
        *to = *from;
    }
    word
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("0x")?).ok()
}

/// Base58check, hex with the prefix 41, or Ethereum's 20 bytes after `0x`.
fn address(text: &str) -> Option<Address> {
    if let Some(bare) = text.strip_prefix("0x").filter(|bare| bare.len() == 40) {
        let mut body = [0; 20];
        hex::decode_to_slice(bare, &mut body).ok()?;
        return Some(Address::from_body(body));
    }
    text.strip_prefix("0x").unwrap_or(text).parse().ok()
}

/// Decimal digits, or hex after `0x`, as a word of 32 bytes: two's complement.
fn integer(text: &str, bits: usize, signed: bool) -> Option<[u8; 32]> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (radix, digits) = match digits.strip_prefix("0x") {
        Some(digits) => (16, digits),
        None => (10, digits),
    };
    if digits.is_empty() || digits.len() > 78 || (negative && !signed) {
        return None;
    }
    let mut word = [0; 32];
    for digit in digits.chars() {
        let mut carry = digit.to_digit(radix)?;
        for byte in word.iter_mut().rev() {
            let sum = u32::from(*byte) * radix + carry;
            let [.., high, low] = sum.to_be_bytes();
            (*byte, carry) = (low, u32::from(high));
        }
        if carry != 0 {
            return None;
        }
    }
    let used = 256 - leading_zero_bits(&word);
    let fits = match (signed, negative) {
        (false, _) => used <= bits,
        (true, false) => used < bits,
        // The lowest is one further from zero: a single bit, at the top.
        (true, true) => used < bits || (used == bits && ones(&word) == 1),
    };
    if !fits {
        return None;
    }
    if negative {
        let mut carry = true;
        for byte in word.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    Some(word)
}

fn leading_zero_bits(word: &[u8; 32]) -> usize {
    let zeros = word.iter().take_while(|byte| **byte == 0).count();
    let next = word.get(zeros).map_or(0, |byte| byte.leading_zeros());
    zeros * 8 + usize::try_from(next).unwrap_or(0)
}

fn ones(word: &[u8; 32]) -> u32 {
    word.iter().map(|byte| byte.count_ones()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tron::keys::SecretKey;
    use serde_json::json;

    /// The example of EIP-712, with the hashes that it publishes.
    fn mail() -> Value {
        json!({
            "types": {
                "EIP712Domain": [
                    { "name": "name", "type": "string" },
                    { "name": "version", "type": "string" },
                    { "name": "chainId", "type": "uint256" },
                    { "name": "verifyingContract", "type": "address" }
                ],
                "Person": [{ "name": "name", "type": "string" }, { "name": "wallet", "type": "address" }],
                "Mail": [
                    { "name": "from", "type": "Person" },
                    { "name": "to", "type": "Person" },
                    { "name": "contents", "type": "string" }
                ]
            },
            "primaryType": "Mail",
            "domain": {
                "name": "Ether Mail", "version": "1", "chainId": 1,
                "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC"
            },
            "message": {
                "from": { "name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826" },
                "to": { "name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB" },
                "contents": "Hello, Bob!"
            }
        })
    }

    fn read(document: &Value) -> Result<TypedDocument, TypedJsonError> {
        TypedDocument::from_json(&document.to_string())
    }

    #[test]
    fn the_published_example_has_the_published_hashes() {
        let document = read(&mail()).unwrap();
        assert_eq!(
            hex::encode(document.domain_separator),
            "f2cee375fa42b42143804025fc449deafd50cc031ca257e0b194a650a912090f"
        );
        assert_eq!(
            hex::encode(document.struct_hash),
            "c52c0ee5d84264471806290a3f2c4cecfc5490626bf912d01f240d7a274b371e"
        );
        let digest = typed_data::digest(&document.domain_separator, &document.struct_hash);
        assert_eq!(
            hex::encode(digest),
            "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
        );
        // The example's key: keccak256("cow").
        let key = SecretKey::from_bytes(&keccak256("cow")).unwrap();
        let signature = document.sign(&key).unwrap();
        assert_eq!(
            signature.to_string(),
            "4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b915621c"
        );
        assert_eq!(document.signer(&signature), Ok(key.address()));
    }

    #[test]
    fn a_domain_type_follows_from_the_domain() {
        let mut without = mail();
        without["types"].as_object_mut().unwrap().remove(DOMAIN);
        let (with, without) = (read(&mail()).unwrap(), read(&without).unwrap());
        assert_eq!(with.domain_separator, without.domain_separator);
        assert_eq!(with.struct_hash, without.struct_hash);
    }

    #[test]
    fn what_a_signature_would_not_cover_is_refused_with_its_place() {
        let changed = |pointer: &str, value: Value| {
            let mut document = mail();
            *document.pointer_mut(pointer).unwrap() = value;
            read(&document).unwrap_err().to_string()
        };
        let person = json!({ "name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB", "note": 1 });
        assert!(changed("/message/to", person).contains("`message.to.note` is not in its struct"));
        assert!(
            changed("/message/to", json!({ "name": "Bob" }))
                .contains("`message.to.wallet` is missing")
        );
        assert!(
            changed("/message/to/wallet", json!("0x12"))
                .contains("`message.to.wallet` is not address")
        );
        assert!(
            changed("/domain/chainId", json!(1.5)).contains("`domain.chainId` is not uint256: 1.5")
        );
        assert!(changed("/primaryType", json!("Nothing")).contains("`Nothing` is neither a type"));
        assert!(
            changed("/types/Mail/2/type", json!("strin")).contains("`strin` is neither a type")
        );
        // Other libraries refuse what has no width.
        assert!(changed("/types/Mail/2/type", json!("uint")).contains("write `uint256`"));
        assert!(changed("/types/Mail/2/type", json!("int[2]")).contains("write `int256`"));
        assert!(changed("/types/Mail/2/name", json!("to")).contains("has no one field `to`"));
        assert!(matches!(
            TypedDocument::from_json("{}"),
            Err(TypedJsonError::Form(_))
        ));
    }

    #[test]
    fn a_struct_within_itself_ends() {
        let mut value = json!({ "next": [] });
        for _ in 0..40 {
            value = json!({ "next": [value] });
        }
        let document = json!({
            "types": { "Node": [{ "name": "next", "type": "Node[]" }] },
            "primaryType": "Node", "domain": {}, "message": value
        });
        assert!(matches!(read(&document), Err(TypedJsonError::TooDeep(_))));
    }

    #[test]
    fn integers_are_words_within_their_type() {
        let word = |text: &str, bits, signed| integer(text, bits, signed).map(hex::encode);
        let ends = |text: &str, bits, signed, tail: &str| {
            let word = word(text, bits, signed).unwrap();
            assert!(word.ends_with(tail), "{text}: {word}");
        };
        ends("255", 8, false, "00ff");
        ends("0xff", 8, false, "00ff");
        ends("-1", 8, true, "ffff");
        ends("-128", 8, true, "ff80");
        ends("127", 8, true, "007f");
        let most = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
        assert_eq!(word(most, 256, false), Some("ff".repeat(32)));
        for (text, bits, signed) in [
            ("256", 8, false),
            ("-1", 8, false),
            ("128", 8, true),
            ("-129", 8, true),
            (
                "115792089237316195423570985008687907853269984665640564039457584007913129639936",
                256,
                false,
            ),
            ("", 8, false),
            ("1e3", 64, false),
            ("0x", 64, false),
            ("+1", 64, false),
        ] {
            assert_eq!(word(text, bits, signed), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = TypedDocument::from_json(&text);
        }

        #[test]
        fn numbers_are_read_as_they_are(value: i64) {
            let word = integer(&value.to_string(), 64, true).unwrap();
            let (head, tail) = word.split_at(24);
            proptest::prop_assert_eq!(tail, value.to_be_bytes());
            let fill = if value < 0 { 0xff } else { 0 };
            proptest::prop_assert!(head.iter().all(|byte| *byte == fill));
        }
    }
}
