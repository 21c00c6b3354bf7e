//! Bytes times price, exactly: the price is an integer of raw units per GiB,
//! the accumulator holds units · 2^30, and what is not yet a whole unit is
//! kept, so that nothing is lost to rounding, however many receipts there are.

use crate::{ledger::Remainder, types::RawAmount};

/// A GiB is 2^30 bytes.
pub const GIB_BITS: u32 = Remainder::BITS;

/// What `bytes` cost at `price` raw units per GiB, in units · 2^30.
pub const fn cost(bytes: u64, price: u64) -> u128 {
    // Both are below 2^64, the product is below 2^128.
    (bytes as u128) * (price as u128)
}

/// The sum no longer fits an amount of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes at {price} raw units per GiB take the debt above 9223372036854775807")]
pub struct MeterError {
    /// What was to be added.
    pub bytes: u64,
    /// At which price.
    pub price: u64,
}

/// What is owed in one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meter {
    /// Below 2^93: an amount of the chain and the remainder's 30 bits.
    acc: u128,
}

impl Meter {
    /// Goes on from what was stored.
    pub fn resume(amount: RawAmount, remainder: Remainder) -> Self {
        Self {
            acc: (u128::from(amount.unsigned()) << GIB_BITS) | u128::from(remainder.get()),
        }
    }

    /// Counts bytes at a price (raw units per GiB).
    ///
    /// # Errors
    /// The sum would be above what an amount can be; nothing was counted.
    pub fn add(&mut self, bytes: u64, price: u64) -> Result<(), MeterError> {
        let sum = self
            .acc
            .checked_add(cost(bytes, price))
            .filter(|sum| i64::try_from(sum >> GIB_BITS).is_ok())
            .ok_or(MeterError { bytes, price })?;
        self.acc = sum;
        Ok(())
    }

    /// The whole units owed.
    pub fn amount(&self) -> RawAmount {
        i64::try_from(self.acc >> GIB_BITS)
            .ok()
            .and_then(|raw| RawAmount::new(raw).ok())
            .expect("the accumulator never passes an amount's range")
    }

    /// What is not yet a whole unit.
    pub fn remainder(&self) -> Remainder {
        let rest = self.acc & ((1 << GIB_BITS) - 1);
        u32::try_from(rest)
            .ok()
            .and_then(Remainder::new)
            .expect("the lower 30 bits are a remainder")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_lose_nothing() {
        let mut meter = Meter::default();
        for _ in 0..1 << 16 {
            meter.add(16 << 10, 5_000_001).unwrap();
        }
        assert_eq!(meter.amount().get(), 5_000_001);
        assert_eq!(meter.remainder().get(), 0);
    }

    #[test]
    fn above_the_chains_range_nothing_is_counted() {
        let mut meter = Meter::default();
        meter
            .add(1 << 30, u64::try_from(i64::MAX).unwrap())
            .unwrap();
        let before = meter;
        assert!(meter.add(1 << 30, 1).is_err());
        assert!(meter.add(u64::MAX, u64::MAX).is_err());
        assert_eq!(meter, before);
        assert_eq!(meter.amount(), RawAmount::MAX);
    }

    proptest::proptest! {
        #[test]
        fn a_restart_changes_nothing(parts: Vec<(u32, u32)>) {
            let (mut through, mut resumed) = (Meter::default(), Meter::default());
            let mut exact = 0u128;
            for (bytes, price) in parts {
                through.add(u64::from(bytes), u64::from(price)).unwrap();
                resumed.add(u64::from(bytes), u64::from(price)).unwrap();
                resumed = Meter::resume(resumed.amount(), resumed.remainder());
                exact += u128::from(bytes) * u128::from(price);
            }
            proptest::prop_assert_eq!(through, resumed);
            proptest::prop_assert_eq!(u128::from(through.amount().unsigned()), exact >> 30);
        }
    }
}
