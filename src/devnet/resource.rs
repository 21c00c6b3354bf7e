//! The arithmetic of recovering limits (`ResourceProcessor.java`): pure, and
//! exact to the node's own rounding, which goes through doubles.

use crate::devnet::{
    params::Parameter,
    state::{Account, Resource, StakedUsage, State, Usage},
};

/// Averages are kept in millionths.
const PRECISION: i64 = 1_000_000;
/// A day in slots: use recovers in a straight line over it.
pub(crate) const DAY_SLOTS: i64 = 28_800;
/// Windows of staked use are kept in thousandths of slots.
const WINDOW_PRECISION: i64 = 1_000;
/// Sun in a TRX.
pub(crate) const TRX: i64 = 1_000_000;

fn divide_ceil(numerator: i64, denominator: i64) -> i64 {
    numerator / denominator + i64::from(numerator % denominator > 0)
}

/// `Math.round(value * part / whole)` with the node's doubles.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the chain itself computes this in doubles; another rounding would be another chain"
)]
fn decayed(value: i64, part: i64, whole: i64) -> i64 {
    let decay = part as f64 / whole as f64;
    (value as f64 * decay + 0.5).floor() as i64
}

/// Average use per slot at `now`, in millionths.
fn recovered(average: i64, last: i64, now: i64, window: i64) -> i64 {
    if last == now {
        average
    } else if last.saturating_add(window) > now {
        decayed(average, window - (now - last), window)
    } else {
        0
    }
}

/// Use at `now` after adding `more`, over a fixed window of a day.
pub(crate) fn increase(usage: Usage, more: i64, now: i64) -> i64 {
    let average = divide_ceil(usage.used.saturating_mul(PRECISION), DAY_SLOTS);
    let added = divide_ceil(more.saturating_mul(PRECISION), DAY_SLOTS);
    let average = recovered(average, usage.slot, now, DAY_SLOTS).saturating_add(added);
    average.saturating_mul(DAY_SLOTS) / PRECISION
}

impl StakedUsage {
    /// The window in slots.
    pub(crate) fn window_slots(self) -> i64 {
        match (self.window, self.optimized) {
            (0, _) => DAY_SLOTS,
            (window, true) if window < WINDOW_PRECISION => DAY_SLOTS,
            (window, true) => window / WINDOW_PRECISION,
            (window, false) => window,
        }
    }

    /// The window in thousandths of slots.
    pub(crate) fn window_fine(self) -> i64 {
        match (self.window, self.optimized) {
            (0, _) => DAY_SLOTS * WINDOW_PRECISION,
            (window, true) => window,
            (window, false) => window * WINDOW_PRECISION,
        }
    }

    /// Use at `now`, without changing anything (`recovery`).
    pub(crate) fn at(self, now: i64) -> i64 {
        let window = self.window_slots();
        let average = divide_ceil(self.usage.used.saturating_mul(PRECISION), window);
        recovered(average, self.usage.slot, now, window).saturating_mul(window) / PRECISION
    }

    /// Adds `more` at `now` (`increaseV2`): the window moves toward a day by the
    /// weight of what is added.
    pub(crate) fn add(&mut self, more: i64, now: i64) {
        self.used_at(more, now);
        self.usage.slot = now;
    }

    /// Takes over use that comes back with undelegated stake
    /// (`unDelegateIncreaseV2`): the windows mix by their use.
    pub(crate) fn take_over(&mut self, more: i64, window: i64, now: i64) {
        self.used_at(0, now);
        self.usage.slot = now;
        let own = self.usage.used;
        let used = own + more;
        let day = DAY_SLOTS * WINDOW_PRECISION;
        self.window = if used == 0 {
            day
        } else {
            let weighed = i128::from(own) * i128::from(self.window_fine().max(0))
                + i128::from(more) * i128::from(window.max(0));
            let mixed = weighed / i128::from(used) + i128::from(weighed % i128::from(used) > 0);
            i64::try_from(mixed).unwrap_or(day).min(day)
        };
        self.usage.used = used;
    }

    /// The use at `now` after adding `more`, with its new window, but the slot
    /// left as it was: what `/wallet/getaccount` shows.
    pub(crate) fn used_at(&mut self, more: i64, now: i64) {
        let window = self.window_slots();
        let fine = self.window_fine();
        let average = divide_ceil(self.usage.used.saturating_mul(PRECISION), window);
        let added = divide_ceil(more.saturating_mul(PRECISION), DAY_SLOTS);
        let average = recovered(average, self.usage.slot, now, window);
        let used = (average.saturating_mul(window)).saturating_add(added.saturating_mul(DAY_SLOTS))
            / PRECISION;
        let remaining = average.saturating_mul(window) / PRECISION;
        let day = DAY_SLOTS * WINDOW_PRECISION;
        self.window = if remaining == 0 {
            day
        } else {
            let left = fine - (now - self.usage.slot).saturating_mul(WINDOW_PRECISION);
            let weighed =
                i128::from(remaining) * i128::from(left) + i128::from(more) * i128::from(day);
            let window = weighed / i128::from(used) + i128::from(weighed % i128::from(used) > 0);
            i64::try_from(window).unwrap_or(day).min(day)
        };
        self.optimized = true;
        self.usage.used = used;
    }
}

/// What `stake` sun of a resource give, of a day's total shared by all stake
/// (`calculateGlobalNetLimitV2`).
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the chain itself computes this in doubles; another rounding would be another chain"
)]
fn share(stake: i64, total: i64, weight: i64) -> i64 {
    if weight == 0 {
        return 0;
    }
    (stake as f64 / TRX as f64 * (total as f64 / weight as f64)) as i64
}

/// The same in whole numbers, cut once (TIP-833, `calculateGlobalLimitV2`).
fn exact_share(stake: i64, total: i64, weight: i64) -> i64 {
    if weight == 0 {
        return 0;
    }
    cut(
        i128::from(stake) * i128::from(total),
        i128::from(TRX) * i128::from(weight),
    )
}

/// A quotient without its fraction; the chain has no number beyond 64 bits.
fn cut(numerator: i128, denominator: i128) -> i64 {
    i64::try_from(numerator / denominator).unwrap_or(i64::MAX)
}

/// The stake in sun that `used` of a resource takes.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the chain itself computes this in doubles; another rounding would be another chain"
)]
pub(crate) fn stake_for(used: i64, weight: i64, limit: i64) -> i64 {
    (used.saturating_mul(TRX) as f64 * (weight as f64 / limit as f64)) as i64
}

/// `value * part / whole` in doubles, cut.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the chain itself computes this in doubles; another rounding would be another chain"
)]
pub(crate) fn scaled(value: i64, part: i64, whole: i64) -> i64 {
    (value as f64 * (part as f64 / whole as f64)) as i64
}

impl State {
    /// What a day has of a resource, and the TRX that share it.
    fn pot(&self, resource: Resource) -> (i64, i64) {
        match resource {
            Resource::Bandwidth => (
                self.parameters.get(Parameter::TotalNetLimit),
                self.properties.net_weight,
            ),
            _ => (
                self.parameters.get(Parameter::TotalEnergyCurrentLimit),
                self.properties.energy_weight,
            ),
        }
    }

    fn is_exact(&self) -> bool {
        self.parameters
            .get(Parameter::AllowHardenResourceCalculation)
            == 1
    }

    /// What so much stake, sun, gives of a resource a day.
    pub(crate) fn given_by(&self, stake: i64, resource: Resource) -> i64 {
        let (total, weight) = self.pot(resource);
        match self.is_exact() {
            true => exact_share(stake, total, weight),
            false => share(stake, total, weight),
        }
    }

    /// The stake, sun, that so much use of a resource takes (`usageToBalance`).
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the chain itself computes this in doubles; another rounding would be another chain"
    )]
    pub(crate) fn taken_by(&self, used: i64, resource: Resource) -> i64 {
        let (total, weight) = self.pot(resource);
        if self.is_exact() {
            let sun = i128::from(used) * i128::from(weight) * i128::from(TRX);
            return cut(sun, i128::from(total.max(1)));
        }
        (used as f64 * weight as f64 / total as f64 * TRX as f64) as i64
    }

    /// The bytes a day an account's stake gives it.
    pub(crate) fn net_limit(&self, account: &Account) -> i64 {
        let stake = account.stake_in_use(Resource::Bandwidth);
        self.given_by(stake, Resource::Bandwidth)
    }

    /// The energy a day an account's stake gives it.
    pub(crate) fn energy_limit(&self, account: &Account) -> i64 {
        let stake = account.stake_in_use(Resource::Energy);
        self.given_by(stake, Resource::Energy)
    }
}

/// What an exchange's formula counts with (`ExchangeProcessor.supply`).
const SUPPLY: i64 = 1_000_000_000_000_000_000;

/// What an exchange gives for `sold`, when it holds `side` of that and `other` of what is
/// bought: both legs of Bancor's formula, with the powers of Java's `StrictMath`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the chain itself computes this in doubles; another rounding would be another chain"
)]
pub(crate) fn traded(side: i64, other: i64, sold: i64) -> i64 {
    let after = side.saturating_add(sold);
    let grown = libm::pow(1.0 + sold as f64 / after as f64, 0.0005);
    let relay = (-SUPPLY as f64 * (1.0 - grown)) as i64;
    // Issued, and taken back: the supply is as before.
    let share = 1.0 + relay as f64 / SUPPLY as f64;
    (other as f64 * (libm::pow(share, 2_000.0) - 1.0)) as i64
}

/// The same in decimals but for the powers, each of which is read as it is written
/// (TIP-836, `SafeExchangeProcessor`); none where the chain has no number for it.
pub(crate) fn traded_exactly(side: i64, other: i64, sold: i64) -> Option<i64> {
    let supply = i128::from(SUPPLY);
    let after = i128::from(side.checked_add(sold)?);
    // 18 decimals, rounded half up.
    let part = (i128::from(sold) * supply * 2 + after) / (after * 2);
    let relay = grown(supply, part, 0.000_5)?;
    i64::try_from(grown(i128::from(other), relay, 2_000.0)?).ok()
}

/// `of * (p - 1)`, cut, where `p` is a power of 1 and `part` 18th decimals.
fn grown(of: i128, part: i128, exponent: f64) -> Option<i128> {
    let base: f64 = format!("{}e-18", i128::from(SUPPLY) + part).parse().ok()?;
    let text = libm::pow(base, exponent).to_string();
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let one = 10i128.checked_pow(u32::try_from(decimals.len()).ok()?)?;
    let power: i128 = format!("{whole}{decimals}").parse().ok()?;
    Some(of.checked_mul(power - one)? / one)
}

/// Whether `exact`, in ten thousandths, is more than a ten thousandth of `cut` above it.
#[expect(
    clippy::cast_precision_loss,
    reason = "the chain itself computes this in doubles; another rounding would be another chain"
)]
pub(crate) fn is_far(exact: i128, cut: i64) -> bool {
    let text = format!("{exact}e-4");
    let exact: f64 = text.parse().unwrap_or(f64::MAX);
    (exact - cut as f64) / cut as f64 > 0.000_1
}

/// What a witness keeps of a reward (`MortgageService.payReward`).
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the chain itself computes this in doubles; another rounding would be another chain"
)]
pub(crate) fn brokerage_of(reward: i64, percent: i32) -> i64 {
    (f64::from(percent) / 100.0 * reward as f64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_use_recovers_over_a_day_as_recorded() {
        // 281 bytes used at slot 0: what a node shows a slot, half a day and a
        // day later.
        let usage = Usage { used: 281, slot: 0 };
        assert_eq!(increase(usage, 0, 0), 281);
        assert_eq!(increase(usage, 0, 1), 281);
        assert_eq!(increase(usage, 0, DAY_SLOTS / 2), 140);
        assert_eq!(increase(usage, 0, DAY_SLOTS), 0);
        assert_eq!(increase(usage, 281, 0), 562);
    }

    #[test]
    fn the_window_of_staked_use_moves() {
        let mut usage = StakedUsage::default();
        usage.add(255, 10);
        assert_eq!(usage.usage.used, 255);
        assert_eq!(usage.window_fine(), 28_800_000);
        usage.used_at(0, 13);
        assert_eq!(usage.window_fine(), 28_797_000);
        assert_eq!(usage.usage.used, 254);
        let mut usage = StakedUsage::default();
        usage.add(300, 0);
        usage.add(300, 14_400);
        // Half of the first is gone, half of its window too.
        assert_eq!(usage.usage.used, 450);
        assert_eq!(usage.window_fine(), 24_000_000);
    }

    #[test]
    fn a_share_in_whole_numbers_is_cut_once() {
        // Doubles have no 2^53 + 1.
        assert_eq!(share(9_007_199_254_740_993, TRX, 1), 9_007_199_254_740_992);
        assert_eq!(
            exact_share(9_007_199_254_740_993, TRX, 1),
            9_007_199_254_740_993
        );
        assert_eq!(exact_share(999_999, 43_200_000_000, 43_200), 999_999);
        assert_eq!(exact_share(5, 7, 0), 0);
        assert_eq!(exact_share(i64::MAX, i64::MAX, 1), i64::MAX);
    }

    #[test]
    fn a_trade_in_decimals_gives_what_the_one_in_doubles_gives_or_next_to_it() {
        for side in [1_000, 4_732_214, 100_000_000_000_000] {
            for other in [1, 7, 2_202_692_725_330, 1_000_000_000_000_000] {
                for sold in [1, 100, side / 3 + 1, side * 5] {
                    let rough = traded(side, other, sold);
                    let exact = traded_exactly(side, other, sold).unwrap();
                    let most = 1 + other / 100_000_000_000_000;
                    assert!(
                        (rough - exact).abs() <= most,
                        "{side} {other} {sold}: {rough} {exact}"
                    );
                    assert!(
                        (0..=other).contains(&exact),
                        "{side} {other} {sold}: {exact}"
                    );
                }
            }
        }
        assert_eq!(traded_exactly(1_000, 3_000_000, 1_000), Some(1_500_000));
        assert_eq!(
            traded_exactly(1_000, 1_000_000_000_000_000, 334),
            Some(traded(1_000, 1_000_000_000_000_000, 334) + 1)
        );
        assert_eq!(traded_exactly(i64::MAX, 1, 1), None);
    }

    proptest::proptest! {
        #[test]
        fn use_never_grows_by_waiting(used in 0..100_000_000i64, wait in 0..40_000i64) {
            let usage = Usage { used, slot: 0 };
            let later = increase(usage, 0, wait);
            proptest::prop_assert!(later >= 0 && later <= used + 1);
        }
    }
}
