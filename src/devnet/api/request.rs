//! A call: its parameters, from a query or a body.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;

use crate::{
    devnet::api::{
        failure::Failure,
        merge::{from_base58_check, from_hex_string, merge},
    },
    tron::{
        contract::{FieldSchema, Kind},
        proto::{Reader, Writer},
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
            Verb::Post => self.text("visible")?,
        };
        Ok(flag.is_some_and(|flag| flag.eq_ignore_ascii_case("true")))
    }

    /// `visible` of the query alone: what the endpoints without parameters look
    /// at, for a POST too, whose body they never read.
    pub(crate) fn query_visible(&self) -> bool {
        let flag = self.query.get("visible");
        flag.is_some_and(|flag| flag.eq_ignore_ascii_case("true"))
    }

    /// Reads the parameters as a message. Addresses of a query are read by themselves.
    pub(crate) fn message(&self, fields: &'static [FieldSchema]) -> Result<Message, Failure> {
        if self.verb == Verb::Post {
            return self.merged(fields);
        }
        let mut writer = Writer::new();
        let is_address = |field: &&FieldSchema| matches!(field.kind, Kind::Address);
        for field in fields.iter().filter(is_address) {
            writer.bytes(field.number, &self.address(field.json_name())?);
        }
        let text = self.query_as_json(fields.iter().filter(|field| !is_address(field)))?;
        let mut bytes = merge(&text, fields, self.visible()?)?;
        bytes.extend(writer.into_bytes());
        Ok(Message(bytes))
    }

    /// Reads all parameters as the body of a POST is read.
    pub(crate) fn merged(&self, fields: &'static [FieldSchema]) -> Result<Message, Failure> {
        let visible = self.visible()?;
        let bytes = match self.verb {
            Verb::Post => merge(&self.body, fields, visible)?,
            Verb::Get => merge(&self.query_as_json(fields.iter())?, fields, visible)?,
        };
        Ok(Message(bytes))
    }

    fn query_as_json(
        &self,
        fields: impl Iterator<Item = &'static FieldSchema>,
    ) -> Result<String, Failure> {
        let mut object = serde_json::Map::new();
        for field in fields {
            let name = field.json_name();
            let Some(text) = self.query.get(name) else {
                continue;
            };
            let wrong = || Failure::number(Some(text));
            let value = match field.kind {
                Kind::Int64 => Value::from(text.parse::<i64>().map_err(|_| wrong())?),
                Kind::Int32 => Value::from(text.parse::<i32>().map_err(|_| wrong())?),
                Kind::Bool => Value::from(text.eq_ignore_ascii_case("true")),
                _ => Value::from(text.as_str()),
            };
            object.insert(name.to_owned(), value);
        }
        Ok(Value::Object(object).to_string())
    }

    /// The body as an object whose fields are read one by one, which there must be.
    pub(crate) fn object(&self) -> Result<Value, Failure> {
        self.json()?.ok_or_else(|| {
            Failure::null(
                "Cannot invoke \"com.alibaba.fastjson.JSONObject.getString(String)\" because \"jsonObject\" is null",
            )
        })
    }

    /// A parameter as text, whatever its JSON type.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        Ok(match self.verb {
            Verb::Get => self.query.get(name).cloned(),
            Verb::Post => {
                let body = self.json()?;
                body.and_then(|body| string_of(&body, name).map(Cow::into_owned))
            }
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

    /// An address parameter as `Util.getHexAddress` and `fromHexString` take it: no bytes
    /// if there is none, or base58 that is no address.
    pub(crate) fn address(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let Some(text) = self.text(name)? else {
            return Ok(Vec::new());
        };
        if !self.visible()? {
            return from_hex_string(&text).ok_or_else(Failure::not_hex);
        }
        from_base58_check(&text)
            .map(Option::unwrap_or_default)
            .map_err(Failure::argument)
    }
}

/// A value as `getString` gives it.
pub(crate) fn string_of<'a>(body: &'a Value, name: &str) -> Option<Cow<'a, str>> {
    match body.get(name)? {
        Value::Null => None,
        Value::String(text) => Some(text.as_str().into()),
        other => Some(other.to_string().into()),
    }
}

/// `Util.getJsonLongValue`: a whole number, or a text that is one; 0 when there is none.
pub(crate) fn long_of(body: &Value, name: &str) -> Result<i64, Failure> {
    match string_of(body, name).as_deref() {
        None | Some("") => Ok(0),
        Some(text) if text.eq_ignore_ascii_case("null") => Ok(0),
        Some(text) => exact(text),
    }
}

/// `Util.getJsonLongValue` of what must be there.
pub(crate) fn required_long_of(body: &Value, name: &str) -> Result<i64, Failure> {
    match string_of(body, name).as_deref() {
        None | Some("") => Err(Failure::parameter(format!("key [{name}] does not exist"))),
        Some(_) => long_of(body, name),
    }
}

/// `new BigDecimal(text).longValueExact()`.
fn exact(text: &str) -> Result<i64, Failure> {
    let wrong = |why: String| Failure::new("java.lang.NumberFormatException", why);
    let arithmetic = |why: &str| Failure::new("java.lang.ArithmeticException", why);
    let unknown = |c: char| {
        wrong(format!(
            "Character {c} is neither a decimal digit number, decimal point, nor \"e\" notation exponential mark."
        ))
    };
    let (is_negative, plain) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let (digits, exponent) = match plain.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, Some(exponent)),
        None => (plain, None),
    };
    if let Some(bad) = digits.chars().find(|c| !c.is_ascii_digit() && *c != '.') {
        return Err(unknown(bad));
    }
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if part.contains('.') {
        let why = "Character array contains more than one decimal point.";
        return Err(wrong(why.to_owned()));
    }
    let exponent = match exponent {
        Some(exponent) => exponent
            .parse::<i32>()
            .map_err(|_| wrong("No exponent digits".to_owned()))?,
        None => 0,
    };
    if whole.is_empty() && part.is_empty() {
        return Err(wrong("No digits found.".to_owned()));
    }
    let all = format!("{whole}{part}");
    let significant = all.trim_start_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    // The value is 0.significant times ten to `places`.
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let places = length(significant) - length(part) + i64::from(exponent);
    if places > 19 {
        return Err(arithmetic("Overflow"));
    }
    let significant = significant.trim_end_matches('0');
    if places < length(significant) {
        return Err(arithmetic("Rounding necessary"));
    }
    let zeros = usize::try_from(places - length(significant)).unwrap_or_default();
    let magnitude = format!("{significant}{}", "0".repeat(zeros));
    let magnitude: i128 = magnitude.parse().map_err(|_| arithmetic("Overflow"))?;
    let value = if is_negative { -magnitude } else { magnitude };
    i64::try_from(value).map_err(|_| arithmetic("Overflow"))
}

/// `setTransactionPermissionId`: what `getInteger` makes of it, 0 if there is none or less.
pub(crate) fn permission_id_of(body: &Value) -> Result<i32, Failure> {
    const NAME: &str = "Permission_id";
    let missing = || {
        Failure::null(
            "Cannot invoke \"java.lang.Integer.intValue()\" because the return value of \"com.alibaba.fastjson.JSONObject.getInteger(String)\" is null",
        )
    };
    let id = match body.get(NAME) {
        None => 0,
        Some(Value::Null) => return Err(missing()),
        Some(Value::Bool(is_one)) => i32::from(*is_one),
        // The low 32 bits, as Java takes them.
        Some(Value::Number(number)) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => low(whole),
            (None, Some(large)) => low(large.cast_signed()),
            (None, None) => number.as_f64().map_or(0, |value| {
                low(format!("{:.0}", value.trunc()).parse().unwrap_or_default())
            }),
        },
        Some(Value::String(text)) if matches!(text.as_str(), "" | "null" | "NULL") => {
            return Err(missing());
        }
        Some(Value::String(text)) => {
            let plain = text.replace(',', "");
            plain.parse().map_err(|_| Failure::number(Some(&plain)))?
        }
        Some(other) => {
            return Err(Failure::new(
                "com.alibaba.fastjson.JSONException",
                format!("can not cast to int, value : {other}"),
            ));
        }
    };
    Ok(id.max(0))
}

fn low(value: i64) -> i32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_as_java_reads_decimals() {
        let read = |value: Value| {
            long_of(&json!({ "n": value }), "n").map_err(|failure| failure.to_string())
        };
        for (value, is) in [
            (json!(null), 0),
            (json!(""), 0),
            (json!("NULL"), 0),
            (json!(5), 5),
            (json!("5"), 5),
            (json!("+5"), 5),
            (json!("-0.50e1"), -5),
            (json!("5.000"), 5),
            (json!(".5E+1"), 5),
            (json!("00"), 0),
            (json!("0e99"), 0),
            (json!(i64::MIN), i64::MIN),
            (json!("9223372036854775807"), i64::MAX),
        ] {
            assert_eq!(read(value.clone()), Ok(is), "{value}");
        }
        for (value, why) in [
            (
                json!("abc"),
                "NumberFormatException : Character a is neither",
            ),
            (json!("1.2.3"), "more than one decimal point."),
            (json!("."), "NumberFormatException : No digits found."),
            (json!("1e"), "NumberFormatException : No exponent digits"),
            (
                json!("1e99999999999"),
                "NumberFormatException : No exponent digits",
            ),
            (json!(1.5), "ArithmeticException : Rounding necessary"),
            (
                json!("1e-999999999"),
                "ArithmeticException : Rounding necessary",
            ),
            (
                json!("9223372036854775808"),
                "ArithmeticException : Overflow",
            ),
            (json!("1e999999999"), "ArithmeticException : Overflow"),
            (
                json!(true),
                "NumberFormatException : Character t is neither",
            ),
            (json!([1]), "NumberFormatException : Character [ is neither"),
        ] {
            let failed = read(value.clone()).unwrap_err();
            assert!(failed.contains(why), "{value}: {failed}");
        }
        let missing = required_long_of(&json!({}), "id").unwrap_err().to_string();
        assert!(missing.ends_with("InvalidParameterException : key [id] does not exist"));
    }

    #[test]
    fn a_permission_is_read_as_java_reads_an_int() {
        let read = |value: Value| permission_id_of(&json!({ "Permission_id": value }));
        assert_eq!(permission_id_of(&json!({})), Ok(0));
        for (value, is) in [
            (json!(2), 2),
            (json!("2"), 2),
            (json!(-2), 0),
            (json!(true), 1),
            (json!(2.9), 2),
            (json!((1i64 << 32) + 2), 2),
        ] {
            assert_eq!(read(value.clone()), Ok(is), "{value}");
        }
        for (value, why) in [
            (json!(null), "NullPointerException"),
            (json!(""), "NullPointerException"),
            (
                json!("x"),
                "NumberFormatException : For input string: \"x\"",
            ),
            (json!([2]), "can not cast to int, value : [2]"),
        ] {
            let failed = read(value.clone()).unwrap_err().to_string();
            assert!(failed.contains(why), "{value}: {failed}");
        }
    }
}
