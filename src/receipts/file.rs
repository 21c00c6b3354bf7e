//! Receipts in files: JSON Lines, one receipt a line, so that they can travel
//! by any means and be checked by other tools.

use std::{
    io::{self, BufRead},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::{
    body::{Accepted, Expected, Receipt, ReceiptDomain, Refusal, SignedReceipt},
    grant::{SignedGrant, SpendGrant},
};
use crate::{
    ledger::EpochId,
    tron::keys::Signature,
    types::{Address, RawAmount, Salt},
};

/// The longest line read, in bytes: a receipt with a grant has about 1,600.
pub const MAX_LINE_BYTES: usize = 8 << 10;

/// Why a line is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineRefusal {
    /// Not a receipt of this form.
    #[error("not a receipt: {0}")]
    Shape(String),
    /// A receipt that does not hold.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Two valid statements of one sequence: both are kept as proof.
    #[error("its payer signed two different receipts under sequence {0}")]
    Equivocation(u64),
}

impl LineRefusal {
    /// One word, for tables and machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Shape(_) => "shape",
            Self::Refused(refusal) => refusal.code(),
            Self::Equivocation(_) => "equivocation",
        }
    }
}

/// One line: a receipt, the domain it names, and its grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptLine {
    /// The chain whose genesis block the line names.
    pub genesis: crate::types::BlockId,
    /// The receipt.
    pub signed: SignedReceipt,
    /// The grant it was signed under.
    pub grant: Option<SignedGrant>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Line {
    domain: DomainJson,
    message: MessageJson,
    signature: String,
    #[serde(default)]
    spend_grant: Option<GrantLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DomainJson {
    name: String,
    version: String,
    chain_id: u64,
    salt: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct MessageJson {
    payer: String,
    payee: String,
    signer: String,
    vault: String,
    token: String,
    epoch: String,
    since_block: String,
    sequence: String,
    amount: String,
    delivered_bytes: String,
    issued_at: String,
    grant: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantLine {
    message: GrantJson,
    signature: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GrantJson {
    payer: String,
    signer: String,
    token: String,
    max_per_payee: String,
    max_total: String,
    not_before: String,
    not_after: String,
    serial: String,
}

impl GrantLine {
    fn of(signed: &SignedGrant) -> Self {
        let grant = &signed.grant;
        Self {
            message: GrantJson {
                payer: grant.payer.to_string(),
                signer: grant.signer.to_string(),
                token: grant.token.to_string(),
                max_per_payee: grant.max_per_payee.to_string(),
                max_total: grant.max_total.to_string(),
                not_before: grant.not_before.to_string(),
                not_after: grant.not_after.to_string(),
                serial: grant.serial.to_string(),
            },
            signature: signed.signature.to_string(),
        }
    }

    fn read(&self) -> Result<SignedGrant, LineRefusal> {
        let message = &self.message;
        Ok(SignedGrant {
            grant: SpendGrant {
                payer: address("payer", &message.payer)?,
                signer: address("signer", &message.signer)?,
                token: value("token", &message.token)?,
                max_per_payee: amount("maxPerPayee", &message.max_per_payee)?,
                max_total: amount("maxTotal", &message.max_total)?,
                not_before: integer("notBefore", &message.not_before)?,
                not_after: integer("notAfter", &message.not_after)?,
                serial: integer("serial", &message.serial)?,
            },
            signature: signature(&self.signature)?,
        })
    }
}

impl SignedGrant {
    /// As a line of receipts carries it.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(GrantLine::of(self)).expect("strings are always JSON")
    }

    /// Reads [`to_json`](Self::to_json). Nothing is verified yet but the form.
    ///
    /// # Errors
    /// Not of the form, or a number above `i64::MAX`.
    pub fn from_json(value: serde_json::Value) -> Result<Self, LineRefusal> {
        let line: GrantLine =
            serde_json::from_value(value).map_err(|error| shape(error.to_string()))?;
        line.read()
    }
}

fn shape(text: impl Into<String>) -> LineRefusal {
    LineRefusal::Shape(text.into())
}

/// At most 80 characters of what was read.
fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

fn value<T: FromStr>(name: &str, text: &str) -> Result<T, LineRefusal> {
    text.parse()
        .map_err(|_| shape(format!("`{name}` is `{}`", cut(text))))
}

fn address(name: &str, text: &str) -> Result<Address, LineRefusal> {
    Address::from_base58(text).map_err(|_| shape(format!("`{name}` is `{}`", cut(text))))
}

/// Canonical decimal digits, ≤ `i64::MAX`.
fn integer(name: &str, text: &str) -> Result<u64, LineRefusal> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return Err(shape(format!("`{name}` is `{}`", cut(text))));
    }
    match text.parse::<i64>() {
        Ok(number) => Ok(number.unsigned_abs()),
        Err(_) => Err(Refusal::Bounds.into()),
    }
}

fn amount(name: &str, text: &str) -> Result<RawAmount, LineRefusal> {
    let raw = i64::try_from(integer(name, text)?).map_err(|_| Refusal::Bounds)?;
    Ok(RawAmount::new(raw).map_err(|_| Refusal::Bounds)?)
}

fn signature(text: &str) -> Result<Signature, LineRefusal> {
    Signature::from_hex(text).map_err(|error| shape(error.to_string()))
}

fn hash(name: &str, text: &str) -> Result<Salt, LineRefusal> {
    value(name, text.strip_prefix("0x").unwrap_or(text))
}

impl ReceiptLine {
    /// A receipt of `domain`'s chain.
    pub fn new(domain: &ReceiptDomain, signed: SignedReceipt, grant: Option<SignedGrant>) -> Self {
        Self {
            genesis: domain.genesis(),
            signed,
            grant,
        }
    }

    /// Reads one line. Nothing is verified yet but the form.
    ///
    /// # Errors
    /// Not of the form, a number above `i64::MAX`, another application's
    /// domain, a chain id that is not the genesis block's.
    pub fn parse(text: &str) -> Result<Self, LineRefusal> {
        if text.len() > MAX_LINE_BYTES {
            return Err(shape(format!("the line has {} bytes", text.len())));
        }
        let line: Line = serde_json::from_str(text).map_err(|error| shape(error.to_string()))?;
        let salt = hash("salt", &line.domain.salt)?;
        let genesis = crate::types::BlockId::from_bytes(*salt.as_bytes());
        if line.domain.name != ReceiptDomain::NAME
            || line.domain.version != ReceiptDomain::VERSION
            || line.domain.chain_id != u64::from(ReceiptDomain::new(genesis).chain_id())
        {
            return Err(Refusal::Domain.into());
        }
        let message = &line.message;
        let epoch = i64::try_from(integer("epoch", &message.epoch)?)
            .ok()
            .and_then(EpochId::new)
            .ok_or(Refusal::Bounds)?;
        let receipt = Receipt {
            payer: address("payer", &message.payer)?,
            payee: address("payee", &message.payee)?,
            signer: address("signer", &message.signer)?,
            vault: address("vault", &message.vault)?,
            token: value("token", &message.token)?,
            epoch,
            since_block: integer("sinceBlock", &message.since_block)?,
            sequence: integer("sequence", &message.sequence)?,
            amount: amount("amount", &message.amount)?,
            delivered_bytes: integer("deliveredBytes", &message.delivered_bytes)?,
            issued_at: integer("issuedAt", &message.issued_at)?,
            grant: hash("grant", &message.grant)?,
        };
        let grant = line.spend_grant.map(|grant| grant.read()).transpose()?;
        Ok(Self {
            genesis,
            signed: SignedReceipt {
                receipt,
                signature: signature(&line.signature)?,
            },
            grant,
        })
    }

    /// The line, without its end.
    pub fn to_json(&self) -> String {
        let receipt = &self.signed.receipt;
        let line = Line {
            domain: DomainJson {
                name: ReceiptDomain::NAME.to_owned(),
                version: ReceiptDomain::VERSION.to_owned(),
                chain_id: u64::from(ReceiptDomain::new(self.genesis).chain_id()),
                salt: self.genesis.to_string(),
            },
            message: MessageJson {
                payer: receipt.payer.to_string(),
                payee: receipt.payee.to_string(),
                signer: receipt.signer.to_string(),
                vault: receipt.vault.to_string(),
                token: receipt.token.to_string(),
                epoch: receipt.epoch.to_string(),
                since_block: receipt.since_block.to_string(),
                sequence: receipt.sequence.to_string(),
                amount: receipt.amount.to_string(),
                delivered_bytes: receipt.delivered_bytes.to_string(),
                issued_at: receipt.issued_at.to_string(),
                grant: receipt.grant.to_string(),
            },
            signature: self.signed.signature.to_string(),
            spend_grant: self.grant.as_ref().map(GrantLine::of),
        };
        serde_json::to_string(&line).expect("strings and integers are always JSON")
    }

    /// Verifies everything about the receipt alone: its chain's domain, its
    /// fields, its grant (as of `now_secs`), its signature.
    ///
    /// # Errors
    /// The first reason found.
    pub fn verify(&self, now_secs: u64) -> Result<(), Refusal> {
        let domain = ReceiptDomain::new(self.genesis);
        self.signed
            .check(&Expected {
                domain: &domain,
                payer: None,
                payee: None,
                token: None,
                last: None,
                grant: self.grant.as_ref(),
                grants: super::grant::GrantContext::default(),
                now_secs,
            })
            .map(|accepted| debug_assert_eq!(accepted, Accepted::Higher))
    }
}

/// The lines of a file, each with its number from 1 on. Empty lines are passed
/// over; a line that is longer than allowed, or no text, is an item like the others.
#[derive(Debug)]
pub struct NumberedLines<R> {
    reader: R,
    number: u64,
    most: usize,
}

impl<R: BufRead> NumberedLines<R> {
    /// Reads from the beginning lines of at most `most` bytes.
    pub fn new(reader: R, most: usize) -> Self {
        Self {
            reader,
            number: 0,
            most,
        }
    }

    /// One line without its end, as much of it as is allowed; the flag says that it
    /// was longer. `None` at the end.
    fn line(&mut self) -> io::Result<Option<(Vec<u8>, bool)>> {
        let (mut line, mut long, mut any) = (Vec::new(), false, false);
        loop {
            let available = self.reader.fill_buf()?;
            if available.is_empty() {
                return Ok(any.then_some((line, long)));
            }
            any = true;
            let end = available.iter().position(|b| *b == b'\n');
            let (part, _) = available.split_at(end.unwrap_or(available.len()));
            let room = self.most - line.len();
            long |= part.len() > room;
            line.extend(part.iter().take(room));
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some((line, long)));
            }
        }
    }
}

impl<R: BufRead> Iterator for NumberedLines<R> {
    type Item = io::Result<(u64, Result<String, LineRefusal>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (line, long) = match self.line() {
                Ok(Some(line)) => line,
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            };
            self.number += 1;
            if line.iter().all(u8::is_ascii_whitespace) && !long {
                continue;
            }
            let read = if long {
                Err(shape(format!("the line has more than {} bytes", self.most)))
            } else {
                String::from_utf8(line).map_err(|_| shape("it is not UTF-8"))
            };
            return Some(Ok((self.number, read)));
        }
    }
}

/// The receipts of a file, line by line; a bad line is an item like the others.
#[derive(Debug)]
pub struct ReceiptLines<R>(NumberedLines<R>);

impl<R: BufRead> ReceiptLines<R> {
    /// Reads from the beginning.
    pub fn new(reader: R) -> Self {
        Self(NumberedLines::new(reader, MAX_LINE_BYTES))
    }
}

impl<R: BufRead> Iterator for ReceiptLines<R> {
    type Item = io::Result<(u64, Result<ReceiptLine, LineRefusal>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.0.next()?;
        Some(line.map(|(number, line)| (number, line.and_then(|line| ReceiptLine::parse(&line)))))
    }
}
