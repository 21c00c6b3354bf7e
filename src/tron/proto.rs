//! Protocol Buffers wire format: just what the chain's messages use, bounded,
//! without I/O. Reference: <https://protobuf.dev/programming-guides/encoding/>.
//!
//! The writer leaves proto3 defaults out, as every implementation does: writing
//! one explicitly changes the transaction's id.

/// Deepest nesting any message of the chain reaches is 5; more is an attack.
pub const MAX_DEPTH: usize = 16;

/// Bytes that are no protobuf message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtoError {
    /// The input ends inside a field.
    #[error("the message ends in the middle of a field, at byte {0}")]
    Truncated(usize),
    /// A varint of more than ten bytes or 64 bits.
    #[error("a varint at byte {0} is longer than 64 bits")]
    Varint(usize),
    /// Field number 0 or above 2^29 − 1.
    #[error("field number {1} at byte {0} does not exist")]
    FieldNumber(usize, u64),
    /// A wire type the chain does not use (groups) or none (6, 7).
    #[error("wire type {1} at byte {0} is not supported")]
    WireType(usize, u64),
    /// A known field has the wire type of another.
    #[error("field {field} of {message} has the wrong wire type")]
    Unexpected {
        /// The message.
        message: &'static str,
        /// The field's number.
        field: u32,
    },
    /// A value outside its field's range.
    #[error("field {field} of {message} is out of range: {value}")]
    Range {
        /// The message.
        message: &'static str,
        /// The field's number.
        field: u32,
        /// What was there.
        value: String,
    },
}

/// One field's value as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64([u8; 8]),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32([u8; 4]),
}

/// A field: its number, value, and the bytes it takes with its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The field's number.
    pub number: u32,
    /// Its value.
    pub value: Value<'a>,
    /// Tag and value as received.
    pub encoded: &'a [u8],
}

impl<'a> Field<'a> {
    /// The value of an `int64`, `int32`, `bool` or `enum` field.
    ///
    /// # Errors
    /// Another wire type.
    pub fn int64(&self, message: &'static str) -> Result<i64, ProtoError> {
        match self.value {
            Value::Varint(value) => Ok(value.cast_signed()),
            _ => Err(ProtoError::Unexpected {
                message,
                field: self.number,
            }),
        }
    }

    /// The value of an `int32` or `enum` field.
    ///
    /// # Errors
    /// Another wire type, or outside 32 bits.
    pub fn int32(&self, message: &'static str) -> Result<i32, ProtoError> {
        let value = self.int64(message)?;
        i32::try_from(value).map_err(|_| ProtoError::Range {
            message,
            field: self.number,
            value: value.to_string(),
        })
    }

    /// The value of a `bytes`, `string` or message field.
    ///
    /// # Errors
    /// Another wire type.
    pub fn bytes(&self, message: &'static str) -> Result<&'a [u8], ProtoError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(ProtoError::Unexpected {
                message,
                field: self.number,
            }),
        }
    }

    /// The value of a `string` field.
    ///
    /// # Errors
    /// Another wire type, or not UTF-8.
    pub fn text(&self, message: &'static str) -> Result<String, ProtoError> {
        let bytes = self.bytes(message)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| ProtoError::Range {
            message,
            field: self.number,
            value: hex::encode(bytes.get(..40).unwrap_or(bytes)),
        })
    }
}

/// Reads a message field by field.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of a message.
    pub fn new(message: &'a [u8]) -> Self {
        Self {
            all: message,
            at: 0,
        }
    }

    fn varint(&mut self) -> Result<u64, ProtoError> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = *self.all.get(self.at).ok_or(ProtoError::Truncated(start))?;
            self.at += 1;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(ProtoError::Varint(start));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ProtoError::Varint(start))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], ProtoError> {
        let start = self.at;
        let end = start.checked_add(len).ok_or(ProtoError::Truncated(start))?;
        let bytes = self
            .all
            .get(start..end)
            .ok_or(ProtoError::Truncated(start))?;
        self.at = end;
        Ok(bytes)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], ProtoError> {
        let start = self.at;
        self.take(N)?
            .try_into()
            .map_err(|_| ProtoError::Truncated(start))
    }

    fn field(&mut self) -> Result<Field<'a>, ProtoError> {
        let start = self.at;
        let tag = self.varint()?;
        let number = match u32::try_from(tag >> 3) {
            Ok(number) if number > 0 && number < 1 << 29 => number,
            _ => return Err(ProtoError::FieldNumber(start, tag >> 3)),
        };
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed()?),
            2 => {
                let len = self.varint()?;
                let len = usize::try_from(len).map_err(|_| ProtoError::Truncated(start))?;
                Value::Bytes(self.take(len)?)
            }
            5 => Value::Fixed32(self.fixed()?),
            other => return Err(ProtoError::WireType(start, other)),
        };
        let encoded = self.all.get(start..self.at).unwrap_or_default();
        Ok(Field {
            number,
            value,
            encoded,
        })
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Field<'a>, ProtoError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.all.len() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.at = self.all.len();
        }
        Some(field)
    }
}

/// Writes a message. Zero and empty values are left out.
#[derive(Debug, Clone, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty message with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// The message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The message so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            // The low seven bits, with the mark that more follow.
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    fn tag(&mut self, number: u32, wire_type: u64) {
        self.varint(u64::from(number) << 3 | wire_type);
    }

    /// An `int64`, `int32`, `bool` or `enum` field; negative values take ten
    /// bytes.
    pub fn int64(&mut self, number: u32, value: i64) -> &mut Self {
        if value != 0 {
            self.tag(number, 0);
            self.varint(value.cast_unsigned());
        }
        self
    }

    /// A number that is written even when it is 0: the key or the value of a map's entry.
    pub fn entry(&mut self, number: u32, value: i64) -> &mut Self {
        self.tag(number, 0);
        self.varint(value.cast_unsigned());
        self
    }

    /// A `bytes`, `string` or message field.
    pub fn bytes(&mut self, number: u32, value: &[u8]) -> &mut Self {
        if !value.is_empty() {
            self.element(number, value);
        }
        self
    }

    /// One element of a repeated field, or a message that is there: written
    /// even when empty.
    pub fn element(&mut self, number: u32, value: &[u8]) -> &mut Self {
        self.tag(number, 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// A field as it was received.
    pub fn raw(&mut self, encoded: &[u8]) -> &mut Self {
        self.0.extend_from_slice(encoded);
        self
    }
}

/// How many bytes `value` takes as a varint.
pub const fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_bytes_are_refused() {
        let read = |bytes: &[u8]| {
            Reader::new(bytes)
                .collect::<Result<Vec<_>, _>>()
                .map(|f| f.len())
        };
        assert_eq!(read(&[0x08]), Err(ProtoError::Truncated(1)));
        assert_eq!(read(&[0x0a, 0x05, 1]), Err(ProtoError::Truncated(2)));
        assert_eq!(read(&[0x00, 0x00]), Err(ProtoError::FieldNumber(0, 0)));
        assert_eq!(read(&[0x0b]), Err(ProtoError::WireType(0, 3)));
        let mut long = vec![0x08];
        long.extend([0xff; 10]);
        assert_eq!(read(&long), Err(ProtoError::Varint(1)));
        let huge = [
            0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
        ];
        assert!(read(&huge).is_err());
    }

    #[test]
    fn defaults_are_left_out() {
        let mut writer = Writer::new();
        writer
            .int64(1, 0)
            .bytes(2, b"")
            .int64(3, -1)
            .element(4, b"");
        assert_eq!(
            hex::encode(writer.into_bytes()),
            "18ffffffffffffffffff012200"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let mut total = 0;
            for field in Reader::new(&bytes) {
                match field {
                    Ok(field) => total += field.encoded.len(),
                    Err(_) => return Ok(()),
                }
            }
            proptest::prop_assert_eq!(total, bytes.len());
        }

        #[test]
        fn what_is_written_is_read(number in 1u32..(1 << 29), value: i64, bytes: Vec<u8>) {
            let mut writer = Writer::new();
            writer.int64(number, value).bytes(number, &bytes);
            let encoded = writer.into_bytes();
            let mut fields = Reader::new(&encoded);
            if value != 0 {
                let field = fields.next().unwrap().unwrap();
                proptest::prop_assert_eq!(field.int64("test").unwrap(), value);
                let tag = u64::from(number) << 3;
                proptest::prop_assert_eq!(
                    field.encoded.len(),
                    varint_len(tag) + varint_len(value.cast_unsigned())
                );
            }
            if !bytes.is_empty() {
                let field = fields.next().unwrap().unwrap();
                proptest::prop_assert_eq!(field.bytes("test").unwrap(), &bytes[..]);
            }
            proptest::prop_assert!(fields.next().is_none());
        }
    }
}
