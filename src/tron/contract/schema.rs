//! What a message's fields are called and how they look in the node's JSON.

use crate::tron::proto::ProtoError;

/// The names of an enum's values, by number.
pub type Enum = &'static [&'static str];

/// How a field is written, in protobuf and in JSON.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Bytes: an address, hex or (visible) base58check.
    Address,
    /// Bytes: text, hex or (visible) plain.
    Text,
    /// Bytes: hex in both forms.
    Bytes,
    /// Text in both forms.
    String,
    /// A JSON number of 64 bits.
    Int64,
    /// A JSON number of 32 bits.
    Int32,
    /// `true`, or absent.
    Bool,
    /// The value's name; the first one is absent.
    Enum(Enum),
    /// A message.
    Message(&'static [FieldSchema]),
    /// A list of messages.
    Repeated(&'static [FieldSchema]),
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub struct FieldSchema {
    /// Its number on the wire.
    pub number: u32,
    /// Its name in JSON.
    pub name: &'static str,
    /// Its form.
    pub kind: Kind,
}

impl FieldSchema {
    /// The name as JSON has it: without the `r#` of a Rust keyword.
    pub fn json_name(&self) -> &'static str {
        self.name.strip_prefix("r#").unwrap_or(self.name)
    }
}

/// A message with a codec and a schema.
pub trait Message: Sized {
    /// Its fields, in the order of their numbers.
    const FIELDS: &'static [FieldSchema];

    /// The protobuf bytes, defaults left out.
    fn encode(&self) -> Vec<u8>;

    /// Reads protobuf bytes; unknown fields are passed over (encode again and
    /// compare to find them).
    ///
    /// # Errors
    /// Bytes that are no such message.
    fn decode(bytes: &[u8]) -> Result<Self, ProtoError>;
}
