//! Raw data as a node re-serialises it before it hashes it.

use super::TransactionError;
use crate::tron::proto::{Field, ProtoError, Reader, Value, Writer};

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

pub(super) fn canonical_raw(raw: &[u8]) -> Result<Vec<u8>, TransactionError> {
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
