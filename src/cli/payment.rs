//! What `send` does alike for one payment and for a file of them: who pays and signs, what
//! a person is warned of, and the question before anything is signed.

use serde_json::Value;

use super::{
    Context,
    account::{self, Payer},
    alike::refuse_alike,
    chain::{Chain, TokenInfo},
    failure::Outcome,
    printable,
    settle::desk::Desk,
    signed_by::SignedBy,
};
use crate::{
    settle::Until,
    tron::keys::Signer as _,
    types::{Address, RawAmount},
};

/// How many past payments, or rows, a sentence names; the others are counted.
pub(super) const NAMED: usize = 10;

/// What is asked of a payment besides what is paid.
#[derive(Debug, Clone)]
pub(super) struct How {
    pub(super) until: Until,
    pub(super) dry_run: bool,
    pub(super) new: bool,
    pub(super) period: Option<String>,
    pub(super) signed_by: SignedBy,
    pub(super) not_for_debts: bool,
}

/// Who pays, and whose key signs.
pub(super) struct Paying<'a> {
    /// Signs; none for a dry run.
    pub(super) payer: Option<Payer<'a>>,
    pub(super) key: Address,
    pub(super) from: Address,
}

impl How {
    /// Keys come before the node: a wrong passphrase asks nobody anything.
    pub(super) fn paying<'a>(&self, context: &'a Context) -> Outcome<Paying<'a>> {
        let payer = if self.dry_run {
            None
        } else {
            Some(Payer::new(context)?)
        };
        let key = match &payer {
            Some(payer) => payer.address(),
            None => account::address(context)?,
        };
        let from = self.signed_by.payer(key);
        Ok(Paying { payer, key, from })
    }

    /// The ledger of who pays, and the chain.
    pub(super) fn desk(&self, context: &Context, chain: Chain, from: Address) -> Outcome<Desk> {
        Ok(Desk::new(context, chain, from)?.signing_under(self.signed_by.permission_id()))
    }

    /// Asks before anything is signed; equal payments that are known, each in words, are a
    /// question of their own.
    pub(super) fn agree(
        &self,
        context: &Context,
        alike: &[String],
        refusal: impl FnOnce() -> String,
        [first, again]: [&str; 2],
    ) -> Outcome {
        let question = if alike.is_empty() {
            first
        } else {
            refuse_alike(context, self.new, refusal)?;
            for past in alike {
                context.out.note(format!("equal payment: {past}"));
            }
            again
        };
        context.out.confirm(question, context.settings.yes)
    }
}

/// A memo as people read it: text in quotes, or bytes in hex.
pub(super) fn memo_text(memo: &[u8]) -> String {
    match std::str::from_utf8(memo) {
        Ok(text) => format!("`{}`", printable::line(text)),
        Err(_) => format!("0x{}", hex::encode(memo)),
    }
}

/// What a person should look at twice.
pub(super) fn warn_of_payee(context: &Context, payee: Address, activates: bool, is_contract: bool) {
    if payee == Address::ZERO {
        context.out.warn(format!(
            "{payee} is the zero address: nobody has its key, and what is sent there is lost"
        ));
    } else if is_contract {
        context.out.warn(format!(
            "{payee} is a smart contract: tokens sent to it are lost, unless it was made to take \
             them"
        ));
    } else if activates {
        context.out.warn(format!(
            "{payee} was never used on this chain: check it letter by letter; making the account \
             is part of the fee"
        ));
    }
}

/// What a payment does to what is owed to its payee by receipts.
pub(super) fn owed_text(owed: &str, payee: Address, not_for_debts: bool) -> String {
    let what = if not_for_debts {
        "this payment leaves that as it is"
    } else {
        "this payment counts against it, and the next settlement pays so much less \
         (--not-for-debts keeps them apart)"
    };
    format!("{owed} is owed to {payee} by receipts: {what}")
}

/// The document with these fields, too.
pub(super) fn with(mut document: Value, more: Value) -> Value {
    if let (Some(object), Value::Object(more)) = (document.as_object_mut(), more) {
        object.extend(more);
    }
    document
}

/// The first of them, and how many more there are.
pub(super) fn list(words: &[String]) -> String {
    let named = words.get(..NAMED).unwrap_or(words);
    match words.len().saturating_sub(NAMED) {
        0 => named.join("; "),
        more => format!("{}; and {more} more", named.join("; ")),
    }
}

impl TokenInfo {
    /// An amount as people read it; of a token that is not built in, with its id.
    pub(super) fn amount(&self, amount: RawAmount) -> String {
        format!("{} {}", amount.to_decimal(self.decimals), self.name)
    }
}
