//! A call: its parameters, from a query or a body.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    devnet::api::{
        failure::Failure,
        merge::{from_base58_check, from_hex_string, merge},
    },
    tron::{
        contract::{FieldSchema, Kind},
        proto::Reader,
    },
};

/// GET takes its parameters from the query, POST from the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
}

/// One request to one endpoint.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) verb: Verb,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// The fields of a message that was read from a request.
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// An integer; 0 when absent.
    pub(crate) fn int(&self, number: u32) -> i64 {
        Reader::new(&self.0)
            .filter_map(Result::ok)
            .filter(|field| field.number == number)
            .filter_map(|field| field.int64("request").ok())
            .last()
            .unwrap_or_default()
    }

    /// A message inside; empty when absent.
    pub(crate) fn nested(&self, number: u32) -> Self {
        Self(self.bytes(number))
    }

    /// Bytes; empty when absent.
    pub(crate) fn bytes(&self, number: u32) -> Vec<u8> {
        Reader::new(&self.0)
            .filter_map(Result::ok)
            .filter(|field| field.number == number)
            .filter_map(|field| field.bytes("request").ok())
            .last()
            .unwrap_or_default()
            .to_vec()
    }
}

impl Call {
    /// The body as JSON; none when it is blank. Checked before anything else of
    /// a POST is.
    pub(crate) fn json(&self) -> Result<Option<Value>, Failure> {
        parse(&self.body)
    }

    /// Whether addresses and text are readable, in both directions.
    pub(crate) fn visible(&self) -> Result<bool, Failure> {
        let flag = match self.verb {
            Verb::Get => self.query.get("visible").cloned(),
            Verb::Post => self.json()?.and_then(|body| text_of(body.get("visible"))),
        };
        Ok(flag.is_some_and(|flag| flag.eq_ignore_ascii_case("true")))
    }

    /// `visible` of the query alone: what the endpoints without parameters look
    /// at, for a POST too, whose body they never read.
    pub(crate) fn query_visible(&self) -> bool {
        let flag = self.query.get("visible");
        flag.is_some_and(|flag| flag.eq_ignore_ascii_case("true"))
    }

    /// Reads the parameters as a message.
    pub(crate) fn message(&self, fields: &'static [FieldSchema]) -> Result<Message, Failure> {
        let visible = self.visible()?;
        let bytes = match self.verb {
            Verb::Post => merge(&self.body, fields, visible)?,
            Verb::Get => merge(&self.query_as_json(fields)?, fields, visible)?,
        };
        Ok(Message(bytes))
    }

    fn query_as_json(&self, fields: &'static [FieldSchema]) -> Result<String, Failure> {
        let mut object = serde_json::Map::new();
        for field in fields {
            let name = field.json_name();
            let Some(text) = self.query.get(name) else {
                continue;
            };
            let value = match field.kind {
                Kind::Int64 | Kind::Int32 => Value::from(
                    text.parse::<i64>()
                        .map_err(|_| Failure::number(Some(text)))?,
                ),
                Kind::Bool => Value::from(text.eq_ignore_ascii_case("true")),
                _ => Value::from(text.as_str()),
            };
            object.insert(name.to_owned(), value);
        }
        Ok(Value::Object(object).to_string())
    }

    /// A parameter as text, whatever its JSON type.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        Ok(match self.verb {
            Verb::Get => self.query.get(name).cloned(),
            Verb::Post => self.json()?.and_then(|body| text_of(body.get(name))),
        })
    }

    /// A required integer of the query, or 0 from a body.
    pub(crate) fn number(&self, fields: &'static [FieldSchema]) -> Result<i64, Failure> {
        let [field] = fields else {
            return Ok(0);
        };
        if self.verb == Verb::Get && !self.query.contains_key(field.json_name()) {
            return Err(Failure::number(None));
        }
        Ok(self.message(fields)?.int(field.number))
    }

    /// An address parameter as `Util.getHexAddress` and `fromHexString` take it.
    pub(crate) fn address(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let Some(text) = self.text(name)? else {
            return match self.visible()? {
                true => Err(Failure::null_bytes()),
                false => Ok(Vec::new()),
            };
        };
        if !self.visible()? {
            return from_hex_string(&text).ok_or_else(Failure::not_hex);
        }
        match from_base58_check(&text) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(Failure::null_bytes()),
            Err(message) => Err(Failure::new("java.lang.IllegalArgumentException", message)),
        }
    }
}

fn text_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// A body as fastjson reads it, with fastjson's words when it cannot.
pub(crate) fn parse(body: &str) -> Result<Option<Value>, Failure> {
    if body.trim().is_empty() {
        return Ok(None);
    }
    serde_json::from_str(body).map(Some).map_err(|error| {
        let cut: String = body.chars().take(200).collect();
        let message = if error.is_eof() {
            let end = body.chars().count();
            format!(
                "unterminated json string, pos {end}, line 1, column {}{cut}",
                end + 1
            )
        } else {
            let column = error.column().max(1);
            format!(
                "syntax error, pos {column}, line {}, column {}{cut}",
                error.line().max(1),
                column + 1
            )
        };
        Failure::new("com.alibaba.fastjson.JSONException", message)
    })
}
