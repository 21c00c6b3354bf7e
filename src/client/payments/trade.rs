//! What is bought and sold, and within which limits.

use std::collections::{BTreeMap, HashSet};

use crate::{
    client::snapshot::Prices,
    receipts::{Ask, Bid, Exposure, pay::Terms},
    types::{Address, InfoHash, RawAmount},
};

/// What an address that never settled may owe us unless said otherwise: 10 BTT.
const UNPROVEN_CAP_RAW: i64 = 10_000_000;

/// What is bought and sold, and within which limits. Limits are those of the start.
#[derive(Debug, Clone, Default)]
pub struct Trade {
    /// The prices of torrents that have none of their own.
    pub prices: Prices,
    /// Prices of single torrents.
    pub own: BTreeMap<InfoHash, Prices>,
    /// What an address that never settled may owe us; `None`: 10 BTT.
    pub unproven_cap: Option<RawAmount>,
    /// The most that is spent in all.
    pub max_spend: Option<RawAmount>,
    /// The most that is spent with one account.
    pub max_per_peer: Option<RawAmount>,
    /// Accounts that pay nothing.
    pub friends: HashSet<Address>,
}

impl Trade {
    /// What an address that never settled may owe us.
    pub fn unproven_cap(&self) -> RawAmount {
        let usual = RawAmount::new(UNPROVEN_CAP_RAW).unwrap_or_default();
        self.unproven_cap.unwrap_or(usual)
    }

    /// Something is sold.
    pub fn sells(&self) -> bool {
        self.terms().sells()
    }

    /// Something is bought.
    pub fn buys(&self) -> bool {
        self.terms().buys()
    }

    /// What can be lost to strangers, if something is sold; `piece_length` is the longest of
    /// any torrent, in bytes. One cap is for all: the prices differ, not what may be owed.
    pub fn exposure(&self, piece_length: u32) -> Option<Exposure> {
        let terms = self.terms();
        let ask = terms.asks().next()?;
        Some(Exposure::of(ask, piece_length))
    }

    /// As payments take it.
    pub(in crate::client) fn terms(&self) -> Terms {
        let ask = |price: u64| {
            (price > 0).then_some(Ask {
                floor_price: price,
                unproven_cap: self.unproven_cap(),
            })
        };
        let bid = |price: u64, prices: &Prices| {
            (price > 0).then_some(match prices.bid_auto {
                true => Bid::Auto(price),
                false => Bid::Fixed(price),
            })
        };
        let own = || self.own.iter();
        Terms {
            ask: ask(self.prices.ask_raw.unwrap_or(0)),
            bid: bid(self.prices.bid_raw.unwrap_or(0), &self.prices),
            ask_for: own()
                .filter_map(|(hash, prices)| Some((*hash, ask(prices.ask_raw?))))
                .collect(),
            bid_for: own()
                .filter_map(|(hash, prices)| Some((*hash, bid(prices.bid_raw?, prices))))
                .collect(),
            max_spend: self.max_spend,
            max_per_peer: self.max_per_peer,
            friends: self.friends.clone(),
            ..Terms::default()
        }
    }
}
