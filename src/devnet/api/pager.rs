//! Pages of what is in the chain's blocks, newest first, as TronGrid gives them.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};

use super::Ctx;
use crate::{devnet::chain::Sealed, types::TxId};

/// Entries of a page (`limit`).
const MAX_PAGE: usize = 200;
const PAGE: usize = 20;

/// Where something is.
pub(super) struct Place {
    pub(super) sealed: Arc<Sealed>,
    /// Of a transaction in its block.
    pub(super) index: usize,
    /// Of a log in its transaction.
    pub(super) at: usize,
}

impl Place {
    pub(super) fn txid(&self) -> Option<TxId> {
        let transaction = self.sealed.block.transactions.get(self.index)?;
        Some(transaction.txid())
    }

    fn key(&self) -> (u64, usize, usize) {
        (self.sealed.number(), self.index, self.at)
    }
}

/// A page of results.
pub(super) fn page(ctx: &Ctx<'_>, data: Vec<Value>, fingerprint: Option<String>) -> Value {
    let mut meta = Map::new();
    meta.insert("at".into(), ctx.now().0.into());
    meta.insert("page_size".into(), data.len().into());
    if let Some(fingerprint) = fingerprint {
        meta.insert("fingerprint".into(), fingerprint.into());
    }
    json!({ "data": data, "success": true, "meta": meta })
}

pub(super) fn wrong(message: &str) -> Value {
    json!({ "success": false, "statusCode": 400, "error": message })
}

/// Too many calls of contracts are being made.
pub(super) fn busy() -> Value {
    json!({ "success": false, "statusCode": 503, "error": "SERVER_BUSY" })
}

/// Where the page before ended, from its fingerprint.
fn read(fingerprint: &str) -> Option<(u64, usize, usize)> {
    let mut parts = fingerprint.split('-');
    let block = parts.next()?.parse().ok()?;
    let index = parts.next()?.parse().ok()?;
    Some((block, index, parts.next()?.parse().ok()?))
}

/// A page of what `show` makes of the places that `places` finds in each block, the
/// newest first. `limit`, `only_confirmed` and the `fingerprint` of the page before are
/// heeded.
pub(super) fn list(
    ctx: &Ctx<'_>,
    query: &BTreeMap<String, String>,
    places: impl Fn(&Sealed) -> Vec<(usize, usize)>,
    mut show: impl FnMut(&Place) -> Option<Value>,
) -> Value {
    let given = |name: &str| query.get(name).map(String::as_str);
    let limit = given("limit").map_or(Ok(PAGE), str::parse);
    let Some(limit) = limit.ok().filter(|limit| (1..=MAX_PAGE).contains(limit)) else {
        return wrong("limit is 1 to 200");
    };
    let from = match given("fingerprint").map(read) {
        Some(None) => return wrong("this fingerprint is of another list"),
        Some(Some(place)) => place,
        None => (u64::MAX, usize::MAX, usize::MAX),
    };
    let newest = match given("only_confirmed") == Some("true") {
        true => ctx.solid_block().number(),
        false => ctx.head().number(),
    };
    let mut data = Vec::new();
    let mut last = None;
    for number in (0..=newest.min(from.0)).rev() {
        let Some(sealed) = i64::try_from(number).ok().and_then(|n| ctx.block(n)) else {
            break;
        };
        for (index, at) in places(&sealed).into_iter().rev() {
            let place = Place {
                sealed: Arc::clone(&sealed),
                index,
                at,
            };
            if place.key() >= from {
                continue;
            }
            let Some(shown) = show(&place) else {
                continue;
            };
            if data.len() == limit {
                return page(ctx, data, last);
            }
            data.push(shown);
            last = Some(format!("{number}-{index}-{at}"));
        }
    }
    page(ctx, data, None)
}
