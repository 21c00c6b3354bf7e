//! `/admin/*` of TronBox's runtime: who has money here, with their keys.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

use crate::{
    devnet::{control, genesis::well_known_key, node::Node},
    tron::keys::SecretKey,
    types::{Address, Sun},
};

/// Accounts of one call.
const MAX_ACCOUNTS: u64 = 1_000;
/// Accounts of all calls together.
const MAX_ALL: usize = 10_000;
/// What each of them is given: 10,000 TRX.
const GIVEN_SUN: i64 = 10_000_000_000;

/// The accounts whose keys everybody may know.
pub(crate) struct Purse {
    /// None when the phrase is the user's own: it is never shown.
    pub(crate) mnemonic: Option<String>,
    pub(crate) hd_path: String,
    pub(crate) accounts: Vec<(Address, SecretKey)>,
    /// Made by later calls, a list for each.
    more: Mutex<Vec<Vec<SecretKey>>>,
}

impl Purse {
    pub(crate) fn new(
        mnemonic: Option<String>,
        hd_path: String,
        accounts: Vec<(Address, SecretKey)>,
    ) -> Self {
        Self {
            mnemonic,
            hd_path,
            accounts,
            more: Mutex::new(Vec::new()),
        }
    }

    fn more(&self) -> MutexGuard<'_, Vec<Vec<SecretKey>>> {
        self.more.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keys<'a>(keys: impl Iterator<Item = &'a SecretKey>) -> Vec<String> {
    keys.map(|key| hex::encode(key.expose_bytes().as_slice()))
        .collect()
}

/// Why a question was not answered, for the caller.
type Refused = String;

fn phrase(purse: &Purse) -> Result<&str, Refused> {
    let own = "the accounts are of a phrase of your own, which is never shown";
    purse.mnemonic.as_deref().ok_or_else(|| own.to_owned())
}

/// `/admin/accounts-json`.
pub(super) fn accounts_json(node: &Node) -> Result<Value, Refused> {
    let purse = &node.purse;
    let mnemonic = phrase(purse)?;
    let more: Vec<_> = purse
        .more()
        .iter()
        .map(|list| json!({ "privateKeys": keys(list.iter()) }))
        .collect();
    Ok(json!({
        "hdPath": format!("{}/", purse.hd_path),
        "mnemonic": mnemonic,
        "privateKeys": keys(purse.accounts.iter().map(|(_, key)| key)),
        "more": more,
    }))
}

/// `/admin/accounts`: the same for people.
pub(super) fn accounts_text(node: &Node) -> Result<String, Refused> {
    let purse = &node.purse;
    let mnemonic = phrase(purse)?;
    let state = node.chain().pending_state().clone();
    let line = "==================";
    let mut text = format!("Available Accounts\n{line}\n\n");
    let shown = "writing to a text does not fail";
    for (index, (address, _)) in purse.accounts.iter().enumerate() {
        let sun = state.account(address).map_or(0, |account| account.balance);
        let trx = Sun(u64::try_from(sun).unwrap_or_default());
        writeln!(text, "({index}) {address} ({trx})").expect(shown);
    }
    write!(text, "\nPrivate Keys\n{line}\n\n").expect(shown);
    let all = keys(purse.accounts.iter().map(|(_, key)| key));
    for (index, key) in all.iter().enumerate() {
        writeln!(text, "({index}) {key}").expect(shown);
    }
    let path = &purse.hd_path;
    write!(
        text,
        "\nHD Wallet\n{line}\nMnemonic:      {mnemonic}\nBase HD Path:  {path}/{{account_index}}\n"
    )
    .expect(shown);
    Ok(text)
}

/// `/admin/temporary-accounts-generation?accounts=N`: makes accounts with money.
pub(super) fn make_accounts(
    node: &Node,
    query: &BTreeMap<String, String>,
) -> Result<Value, Refused> {
    phrase(&node.purse)?;
    let asked = query
        .get("accounts")
        .map_or(Ok(10), |text| text.parse::<u64>());
    let count = asked.map_err(|_| "`accounts` is not a number".to_owned())?;
    if !(1..=MAX_ACCOUNTS).contains(&count) {
        return Err(format!("`accounts` is {count}: it is 1 to {MAX_ACCOUNTS}"));
    }
    let mut more = node.purse.more();
    let known: usize = more.iter().map(Vec::len).sum();
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if known + count > MAX_ALL {
        return Err(format!(
            "there are {known} such accounts: at most {MAX_ALL}"
        ));
    }
    let made: Vec<_> = (known..known + count)
        .map(|number| well_known_key(&format!("temporary account {number}")))
        .collect();
    for key in &made {
        control::fund(node, key.address(), None, GIVEN_SUN).map_err(|error| error.to_string())?;
    }
    let answer = json!({ "privateKeys": keys(made.iter()) });
    more.push(made);
    Ok(answer)
}
