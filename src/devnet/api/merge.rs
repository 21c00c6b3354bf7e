//! JSON to a message as java-tron's `JsonFormat` reads it: its tokens, its
//! leniences (unknown fields, `0x`, octal numbers) and its errors with line and
//! column. Numbers go from text to integer, never through a float.

use crate::{
    devnet::api::failure::Failure,
    tron::{
        contract::{
            ABI_ENTRY_TYPE, ABI_MUTABILITY, Enum, FieldSchema, Kind, PERMISSION_TYPE, RESOURCE,
        },
        proto::{MAX_DEPTH, Writer},
    },
};

/// Reads `text` into the protobuf bytes of a message with these fields.
pub(crate) fn merge(
    text: &str,
    fields: &'static [FieldSchema],
    visible: bool,
) -> Result<Vec<u8>, Failure> {
    let mut tokens = Tokenizer::new(text);
    tokens.consume("{")?;
    let message = object(&mut tokens, fields, visible, 0)?;
    if !tokens.at_end() {
        return Err(tokens.fail(
            "Expecting the end of the stream, but there seems to be more data!  \
             Check the input for a valid JSON format.",
        ));
    }
    Ok(message)
}

/// The fields of an object whose `{` is consumed, through its `}`.
fn object(
    tokens: &mut Tokenizer,
    fields: &'static [FieldSchema],
    visible: bool,
    depth: usize,
) -> Result<Vec<u8>, Failure> {
    if depth > MAX_DEPTH {
        return Err(tokens.fail("Nested too deeply."));
    }
    let mut writer = Writer::new();
    while !tokens.try_consume("}") {
        if tokens.at_end() {
            return Err(tokens.fail("Expected \"}\"."));
        }
        loop {
            let name = tokens.identifier()?;
            match fields.iter().find(|field| field.json_name() == name) {
                None => tokens.skip_value(depth)?,
                Some(field) => {
                    tokens.consume(":")?;
                    if tokens.try_consume("[") {
                        while !tokens.try_consume("]") {
                            value(tokens, field, visible, depth, &mut writer)?;
                            tokens.try_consume(",");
                        }
                    } else {
                        value(tokens, field, visible, depth, &mut writer)?;
                    }
                }
            }
            if !tokens.try_consume(",") {
                break;
            }
        }
    }
    Ok(writer.into_bytes())
}

fn value(
    tokens: &mut Tokenizer,
    field: &FieldSchema,
    visible: bool,
    depth: usize,
    writer: &mut Writer,
) -> Result<(), Failure> {
    let number = field.number;
    if let Kind::Message(inner) | Kind::Repeated(inner) = field.kind {
        tokens.consume("{")?;
        writer.element(number, &object(tokens, inner, visible, depth + 1)?);
        return Ok(());
    }
    if tokens.try_consume("null") {
        return Ok(());
    }
    match field.kind {
        Kind::Int64 => writer.int64(number, tokens.integer(false)?),
        Kind::Int32 => writer.int64(number, tokens.integer(true)?),
        Kind::Bool => writer.int64(number, i64::from(tokens.boolean()?)),
        Kind::String => writer.bytes(number, tokens.string()?.as_bytes()),
        Kind::Enum(names) => writer.int64(number, tokens.enumeration(names)?),
        Kind::Bytes => writer.bytes(number, &tokens.bytes(Form::Hex)?),
        Kind::Address => writer.bytes(
            number,
            &tokens.bytes(if visible { Form::Base58 } else { Form::Hex })?,
        ),
        Kind::Text => writer.bytes(
            number,
            &tokens.bytes(if visible { Form::Plain } else { Form::Hex })?,
        ),
        Kind::Message(_) | Kind::Repeated(_) => writer,
    };
    Ok(())
}

/// How a quoted text becomes bytes.
#[derive(Clone, Copy)]
enum Form {
    Hex,
    Base58,
    Plain,
}

/// `ByteArray.fromHexString`: `0x` is dropped, an odd number of digits gets a
/// zero in front.
pub(crate) fn from_hex_string(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.len() % 2 == 1 {
        hex::decode(format!("0{digits}")).ok()
    } else {
        hex::decode(digits).ok()
    }
}

/// `Commons.decodeFromBase58Check`: none for a bad checksum, length or prefix;
/// an error for a character that is no digit.
pub(crate) fn from_base58_check(text: &str) -> Result<Option<Vec<u8>>, String> {
    // 25 bytes take at most 35 digits; more is no address, and costs nothing.
    if text.is_empty() || text.len() > 128 {
        return Ok(None);
    }
    if let Some((at, bad)) = text
        .chars()
        .enumerate()
        .find(|(_, c)| !c.is_ascii_alphanumeric() || matches!(c, '0' | 'O' | 'I' | 'l'))
    {
        return Err(format!("Illegal character {bad} at {at}"));
    }
    Ok(crate::types::Address::from_base58(text)
        .ok()
        .map(|address| address.to_bytes().to_vec()))
}

struct Tokenizer {
    text: Vec<char>,
    /// Where the current token begins and ends, and the next one begins.
    start: usize,
    end: usize,
    next: usize,
    token: String,
    line: usize,
    column: usize,
    previous: (usize, usize),
}

impl Tokenizer {
    fn new(text: &str) -> Self {
        let mut tokens = Self {
            text: text.chars().collect(),
            start: 0,
            end: 0,
            next: 0,
            token: String::new(),
            line: 0,
            column: 0,
            previous: (0, 0),
        };
        tokens.skip_space();
        tokens.advance();
        tokens
    }

    fn char(&self, at: usize) -> Option<char> {
        self.text.get(at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(c) = self.char(self.next) {
            if c == '#' {
                while self.char(self.next).is_some_and(|c| c != '\n') {
                    self.next += 1;
                }
            } else if c.is_ascii_whitespace() || c == '\u{b}' {
                self.next += 1;
            } else {
                break;
            }
        }
    }

    fn advance(&mut self) {
        self.previous = (self.line, self.column);
        while self.start < self.next {
            if self.char(self.start) == Some('\n') {
                self.line += 1;
                self.column = 0;
            } else {
                self.column += 1;
            }
            self.start += 1;
        }
        self.end = self.token_end();
        self.token = self
            .text
            .get(self.start..self.end)
            .unwrap_or_default()
            .iter()
            .collect();
        self.next = self.end;
        self.skip_space();
    }

    fn token_end(&self) -> usize {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let Some(first) = self.char(self.start) else {
            return self.start;
        };
        let run = |from: usize, more: &[char]| {
            let mut at = from;
            while self.char(at).is_some_and(|c| word(c) || more.contains(&c)) {
                at += 1;
            }
            at
        };
        let signed = |c: char| c.is_ascii_digit() || c == '+' || c == '-';
        if first.is_ascii_alphabetic() || first == '_' {
            return run(self.start + 1, &['+', '-']);
        }
        if signed(first) {
            return run(self.start + 1, &['.', '+', '-']);
        }
        if first == '.' && self.char(self.start + 1).is_some_and(signed) {
            return run(self.start + 2, &['.', '+', '-']);
        }
        if first == '"' || first == '\'' {
            let mut at = self.start + 1;
            loop {
                match self.char(at) {
                    None | Some('\n') => return at,
                    Some('\\') => at += 2,
                    Some(c) if c == first => return at + 1,
                    Some(_) => at += 1,
                }
                at = at.min(self.text.len());
            }
        }
        self.start + 1
    }

    fn at_end(&self) -> bool {
        self.token.is_empty()
    }

    fn fail(&self, description: &str) -> Failure {
        Failure::parse(self.line, self.column, description)
    }

    fn fail_previous(&self, description: &str) -> Failure {
        Failure::parse(self.previous.0, self.previous.1, description)
    }

    fn try_consume(&mut self, token: &str) -> bool {
        let matches = self.token == token;
        if matches {
            self.advance();
        }
        matches
    }

    fn consume(&mut self, token: &str) -> Result<(), Failure> {
        if self.try_consume(token) {
            return Ok(());
        }
        Err(self.fail(&format!("Expected \"{token}\".")))
    }

    fn identifier(&mut self) -> Result<String, Failure> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '"');
        if let Some(bad) = self.token.chars().find(|c| !allowed(*c)) {
            return Err(self.fail(&format!("Expected identifier. -{bad}")));
        }
        let name = self.token.replace(['"', '\''], "");
        self.advance();
        Ok(name)
    }

    fn quoted(&self) -> Result<&str, Failure> {
        let quote = self.token.chars().next();
        if !matches!(quote, Some('"' | '\'')) {
            return Err(self.fail("Expected string."));
        }
        if self.token.chars().count() < 2 || self.token.chars().next_back() != quote {
            return Err(self.fail("String missing ending quote."));
        }
        let inner = self.token.len() - 1;
        Ok(self.token.get(1..inner).unwrap_or_default())
    }

    fn string(&mut self) -> Result<String, Failure> {
        let text = unescape(self.quoted()?).map_err(|what| {
            let description = format!("Invalid escape sequence: '\\{what}");
            self.fail(&description)
        })?;
        self.advance();
        Ok(text)
    }

    fn bytes(&mut self, form: Form) -> Result<Vec<u8>, Failure> {
        let text = self.quoted()?;
        let bytes = match form {
            Form::Hex => from_hex_string(text).ok_or_else(|| self.fail("INVALID hex String"))?,
            Form::Plain => text.as_bytes().to_vec(),
            Form::Base58 => match from_base58_check(text) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Err(Failure::null_bytes()),
                Err(message) => {
                    return Err(self.fail(&format!("INVALID base58 String, {message}")));
                }
            },
        };
        self.advance();
        Ok(bytes)
    }

    fn boolean(&mut self) -> Result<bool, Failure> {
        let value = match self.token.as_str() {
            "true" => true,
            "false" => false,
            _ => return Err(self.fail("Expected \"true\" or \"false\".")),
        };
        self.advance();
        Ok(value)
    }

    fn looking_at_integer(&self) -> bool {
        let first = self.token.chars().next();
        first.is_some_and(|c| c.is_ascii_digit() || c == '-' || c == '+')
    }

    fn integer(&mut self, narrow: bool) -> Result<i64, Failure> {
        let value = parse_integer(&self.token, narrow)
            .map_err(|message| self.fail(&format!("Couldn't parse integer: {message}")))?;
        self.advance();
        Ok(value)
    }

    fn enumeration(&mut self, names: Enum) -> Result<i64, Failure> {
        let of = full_name(names);
        let unknown = |what: String| format!("Enum type \"{of}\" has no value {what}.");
        if self.looking_at_integer() {
            let number = self.integer(true)?;
            return match usize::try_from(number) {
                Ok(at) if at < names.len() => Ok(number),
                _ => Err(self.fail_previous(&unknown(format!("with number {number}")))),
            };
        }
        let mut name = self.identifier()?;
        if !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase()) {
            name.get_mut(..1)
                .expect("one ASCII letter")
                .make_ascii_uppercase();
        }
        match names.iter().position(|known| *known == name) {
            Some(at) => Ok(i64::try_from(at).unwrap_or_default()),
            None => Err(self.fail_previous(&unknown(format!("named \"{name}\"")))),
        }
    }

    /// Passes over the value of an unknown field, as `handleMissingField` does.
    fn skip_value(&mut self, depth: usize) -> Result<(), Failure> {
        if depth > MAX_DEPTH {
            return Err(self.fail("Nested too deeply."));
        }
        self.try_consume(":");
        if self.try_consume("{") {
            loop {
                self.identifier()?;
                self.skip_value(depth + 1)?;
                if !self.try_consume(",") {
                    break;
                }
            }
            return self.consume("}");
        }
        if self.try_consume("[") {
            loop {
                self.skip_value(depth + 1)?;
                if !self.try_consume(",") {
                    break;
                }
            }
            return self.consume("]");
        }
        if self.try_consume("null") {
            Ok(())
        } else if self.looking_at_integer() {
            self.integer(false).map(|_| ())
        } else if matches!(self.token.as_str(), "true" | "false") {
            self.boolean().map(|_| ())
        } else {
            self.string().map(|_| ())
        }
    }
}

/// The protocol's name of an enumeration.
fn full_name(names: Enum) -> &'static str {
    match names {
        RESOURCE => "protocol.ResourceCode",
        PERMISSION_TYPE => "protocol.Permission.PermissionType",
        ABI_ENTRY_TYPE => "protocol.SmartContract.ABI.Entry.EntryType",
        ABI_MUTABILITY => "protocol.SmartContract.ABI.Entry.StateMutabilityType",
        _ => "protocol.AccountType",
    }
}

/// Decimal, `0x` hex or octal, as `JsonFormat.parseInteger`; behind what tells the base
/// there may be another sign, as Java's own reading takes one.
fn parse_integer(text: &str, narrow: bool) -> Result<i64, String> {
    let (is_negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (radix, digits) = match rest.strip_prefix("0x") {
        Some(digits) => (16, digits),
        None if rest.starts_with('0') => (8, rest),
        None => (10, rest),
    };
    let (is_turned, plain) = match (digits.strip_prefix('-'), digits.strip_prefix('+')) {
        (Some(plain), _) => (true, plain),
        (_, plain) => (false, plain.unwrap_or(digits)),
    };
    let wrong = || {
        let base = match radix {
            // Java names the base of short numbers alone, and not the usual one.
            8 | 16 if digits.len() < 16 => format!(" under radix {radix}"),
            _ => String::new(),
        };
        format!("For input string: \"{digits}\"{base}")
    };
    let significant = plain.trim_start_matches('0');
    if plain.is_empty() || !plain.chars().all(|c| c.is_digit(radix)) {
        return Err(wrong());
    }
    let bits = if narrow { 32 } else { 64 };
    let range = || format!("Number out of range for {bits}-bit signed integer: {text}");
    let magnitude = match significant {
        "" => 0,
        _ if significant.len() > 39 => return Err(range()),
        _ => i128::from_str_radix(significant, radix).map_err(|_| range())?,
    };
    let value = if is_negative == is_turned {
        magnitude
    } else {
        -magnitude
    };
    if narrow && i32::try_from(value).is_err() {
        return Err(range());
    }
    i64::try_from(value).map_err(|_| range())
}

/// The escapes that `JsonFormat` knows; of another one its letter, and what Java says next.
fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = escape.chars();
        let known = match chars.next() {
            Some(same @ ('\\' | '"' | '\'')) => same,
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('u') => {
                let (code, after) = unicode(chars.as_str())?;
                out.push(code);
                rest = after;
                continue;
            }
            Some(other) => return Err(format!("{other}'")),
            None => return Err("' at end of string.".to_owned()),
        };
        out.push(known);
        rest = chars.as_str();
    }
    out.push_str(rest);
    Ok(out)
}

/// The character that four digits stand for, two times four if it is a pair, and what
/// follows them.
fn unicode(text: &str) -> Result<(char, &str), String> {
    let four = |text: &str| {
        let code = u16::from_str_radix(text.get(..4)?, 16).ok()?;
        Some(code)
    };
    let (Some(first), Some(after)) = (four(text), text.get(4..)) else {
        return Err("u' at end of string.".to_owned());
    };
    let second = after.strip_prefix("\\u");
    let pair = second.and_then(|second| Some((four(second)?, second.get(4..)?)));
    if let Some((low, behind)) = pair
        && let [Ok(code)] = char::decode_utf16([first, low]).collect::<Vec<_>>()[..]
    {
        return Ok((code, behind));
    }
    let alone = char::from_u32(first.into()).unwrap_or(char::REPLACEMENT_CHARACTER);
    Ok((alone, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tron::contract::{Message, TransferAssetContract};

    fn transfer(text: &str, visible: bool) -> Result<TransferAssetContract, String> {
        merge(text, TransferAssetContract::FIELDS, visible)
            .map(|bytes| TransferAssetContract::decode(&bytes).unwrap())
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn numbers_are_exact_and_unknown_fields_are_passed_over() {
        let contract = transfer(
            r#"{"amount": 9223372036854775807, "nested": {"a": [1, {"b": null}], "c": "d"}, "asset_name": "0x31"}"#,
            false,
        )
        .unwrap();
        assert_eq!(contract.amount, i64::MAX);
        assert_eq!(contract.asset_name, b"1");
        let error = transfer(r#"{"amount": 9223372036854775808}"#, false).unwrap_err();
        assert!(error.ends_with("1:12: Couldn't parse integer: Number out of range for 64-bit signed integer: 9223372036854775808"), "{error}");
        let error = transfer(r#"{"amount":"5"}"#, false).unwrap_err();
        assert!(error.ends_with("For input string: \"\"5\"\""), "{error}");
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{{\"x\":{}1{}", "[".repeat(5_000), "]".repeat(5_000));
        assert!(transfer(&deep, false).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String, visible: bool) {
            let _ = transfer(&text, visible);
            let _ = transfer(&format!("{{{text}"), visible);
        }
    }
}
