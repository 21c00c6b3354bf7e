//! What goes wrong in a call, in the node's words: java's exception classes are
//! part of the answer.

use serde_json::{Value, json};

use crate::devnet::fork::ForkError;

/// A call that failed. Always answered with status 200, as the node does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// `class <class> : <message>`.
    #[error("class {class} : {message}")]
    Exception {
        class: &'static str,
        message: String,
    },
    /// Bare words.
    #[error("{0}")]
    Plain(String),
    /// Something could not be read of the forked chain.
    #[error(transparent)]
    Fork(#[from] ForkError),
}

impl Failure {
    pub(crate) fn new(class: &'static str, message: impl Into<String>) -> Self {
        Self::Exception {
            class,
            message: message.into(),
        }
    }

    /// `JsonFormat`'s error at a place, both counted from 0.
    pub(crate) fn parse(line: usize, column: usize, description: &str) -> Self {
        Self::new(
            "org.tron.core.services.http.JsonFormat$ParseException",
            format!("{}:{}: {description}", line + 1, column + 1),
        )
    }

    pub(crate) fn validate(message: impl Into<String>) -> Self {
        Self::new("org.tron.core.exception.ContractValidateException", message)
    }

    pub(crate) fn null(message: &str) -> Self {
        Self::new("java.lang.NullPointerException", message)
    }

    /// What java says of a base58 text that is no address.
    pub(crate) fn null_bytes() -> Self {
        Self::null("Cannot read the array length because \"bytes\" is null")
    }

    pub(crate) fn not_hex() -> Self {
        Self::new(
            "org.bouncycastle.util.encoders.DecoderException",
            "exception decoding Hex string: invalid characters encountered in Hex string",
        )
    }

    pub(crate) fn number(text: Option<&str>) -> Self {
        Self::new(
            "java.lang.NumberFormatException",
            match text {
                Some(text) => format!("For input string: \"{text}\""),
                None => "Cannot parse null string".to_owned(),
            },
        )
    }

    /// A base58 text with a character that is no digit of it.
    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new("java.lang.IllegalArgumentException", message)
    }

    /// A parameter that must be there, or must be another one.
    pub(crate) fn parameter(message: impl Into<String>) -> Self {
        Self::new("java.security.InvalidParameterException", message)
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({ "Error": self.to_string() })
    }
}
