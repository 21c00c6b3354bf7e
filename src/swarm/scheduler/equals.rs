//! Those that share what their weight is worth.

use std::collections::BTreeMap;

/// The active flows of one weight.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Equals {
    pub(super) count: u128,
    pub(super) factors: u128,
    /// How many have each factor.
    by_factor: BTreeMap<u128, u128>,
}

impl Equals {
    pub(super) fn add(&mut self, factor: u128) {
        self.count += 1;
        self.factors += factor;
        *self.by_factor.entry(factor).or_default() += 1;
    }

    pub(super) fn take(&mut self, factor: u128) {
        self.count = self.count.saturating_sub(1);
        self.factors = self.factors.saturating_sub(factor);
        if let Some(count) = self.by_factor.get_mut(&factor) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_factor.remove(&factor);
            }
        }
    }

    /// What the one with the least of them is worth, in the class's weights.
    pub(super) fn least(&self, weight: u128) -> u128 {
        let low = self.by_factor.first_key_value().map_or(1, |(low, _)| *low);
        (weight * self.count * low / self.factors.max(1)).max(1)
    }
}
