//! What is paid now and what may gather: flags, then `[settle]` of
//! `config.toml`, then everything at any fee.

use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{
    cli::{
        failure::{Failure, Outcome},
        units,
    },
    settle::Policy,
    types::{RawAmount, Sun},
};

/// What is paid now, and what may gather.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PolicyFlags {
    /// Do not pay smaller debts, unless one is at 80 % of its payee's credit limit.
    #[arg(long, value_name = "AMOUNT", value_parser = units::btt)]
    min_payout: Option<RawAmount>,
    /// Pay debts that are older than this, however small, for example 12h or 7d.
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    max_age: Option<Duration>,
    /// Do not pay a debt whose transfer would burn more, for example 0.5TRX.
    #[arg(long, value_name = "TRX", value_parser = units::trx)]
    max_fee: Option<Sun>,
    /// Pay at most this many debts.
    #[arg(long, value_name = "N")]
    max_payouts: Option<usize>,
    /// TRX that stays in the account, for example 100TRX.
    #[arg(long, value_name = "TRX", value_parser = units::trx)]
    reserve: Option<Sun>,
    /// Pay only debts that bandwidth covers, burning no TRX.
    #[arg(long)]
    free_only: bool,
    /// Do not pay accounts that do not exist yet.
    #[arg(long)]
    no_activate: bool,
    /// Pay a part of a debt if the balance does not cover all of it.
    #[arg(long)]
    allow_partial: bool,
    /// Price of a BTT, to show fees beside amounts, for example 1BTT=0.0000004TRX.
    #[arg(long, value_name = "PRICE", value_parser = units::worth)]
    price: Option<units::Worth>,
}

/// `[settle]` in `config.toml`; each as its flag is typed.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyConfig {
    min_payout: Option<String>,
    max_age: Option<String>,
    max_fee: Option<String>,
    max_payouts: Option<usize>,
    reserve: Option<String>,
    #[serde(default)]
    free_only: bool,
    #[serde(default)]
    no_activate: bool,
    #[serde(default)]
    allow_partial: bool,
    price: Option<String>,
}

impl PolicyConfig {
    pub(crate) const fn is_empty(&self) -> bool {
        matches!(
            self,
            Self {
                min_payout: None,
                max_age: None,
                max_fee: None,
                max_payouts: None,
                reserve: None,
                free_only: false,
                no_activate: false,
                allow_partial: false,
                price: None,
            }
        )
    }

    /// As if it had been typed.
    pub(crate) fn flags(&self) -> Outcome<PolicyFlags> {
        fn read<T>(
            name: &str,
            text: Option<&String>,
            parse: impl Fn(&str) -> Result<T, String>,
        ) -> Outcome<Option<T>> {
            text.map(|text| parse(text))
                .transpose()
                .map_err(|reason| Failure::failed("config", format!("[settle] {name}: {reason}")))
        }
        Ok(PolicyFlags {
            min_payout: read("min_payout", self.min_payout.as_ref(), units::btt)?,
            max_age: read("max_age", self.max_age.as_ref(), units::duration)?,
            max_fee: read("max_fee", self.max_fee.as_ref(), units::trx)?,
            max_payouts: self.max_payouts,
            reserve: read("reserve", self.reserve.as_ref(), units::trx)?,
            free_only: self.free_only,
            no_activate: self.no_activate,
            allow_partial: self.allow_partial,
            price: read("price", self.price.as_ref(), units::worth)?,
        })
    }
}

impl PolicyFlags {
    /// These, and where one is not given the configured one.
    pub(super) fn or(self, configured: &Self) -> Self {
        Self {
            min_payout: self.min_payout.or(configured.min_payout),
            max_age: self.max_age.or(configured.max_age),
            max_fee: self.max_fee.or(configured.max_fee),
            max_payouts: self.max_payouts.or(configured.max_payouts),
            reserve: self.reserve.or(configured.reserve),
            free_only: self.free_only || configured.free_only,
            no_activate: self.no_activate || configured.no_activate,
            allow_partial: self.allow_partial || configured.allow_partial,
            price: self.price.or(configured.price),
        }
    }

    pub(super) const fn price(&self) -> Option<units::Worth> {
        self.price
    }

    pub(crate) fn policy(&self) -> Policy {
        let default = Policy::default();
        Policy {
            min_payout: self.min_payout.unwrap_or(default.min_payout),
            max_age_secs: self.max_age.map(|age| age.as_secs()),
            max_fee_per_payout: self.max_fee,
            max_payouts: self.max_payouts,
            reserve: self.reserve.unwrap_or(default.reserve),
            free_only: self.free_only,
            activate: !self.no_activate,
            allow_partial: self.allow_partial,
        }
    }
}
