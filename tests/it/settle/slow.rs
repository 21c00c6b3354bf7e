//! Signers that take their time: nothing they sign is dead when it comes.

use std::time::Duration;

use seedrail::{
    settle::{Policy, SLOWEST_SIGNER, SettleError},
    tron::keys::{SignRequest, Signature, Signer, SignerError},
    types::{Address, Clock as _, TokenId},
};

use super::world::{World, payee};

/// Signs after so long, by the chain's own time.
pub(super) struct Slow<'a> {
    pub(super) world: &'a World,
    pub(super) takes: Duration,
    pub(super) patience: Duration,
}

impl Signer for Slow<'_> {
    fn address(&self) -> Address {
        self.world.key.address()
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn sign_request(&self, request: &SignRequest<'_>) -> Result<Signature, SignerError> {
        self.world.chain.advance(self.takes);
        self.world.key.sign_request(request)
    }
}

#[test]
fn what_a_slow_signer_signs_is_paid_by_its_first_signature() {
    for seconds in [1, 20, 50, 119] {
        let world = World::new(30 + seconds, 2);
        for n in 0..4 {
            world.owe(payee(n), 100 + i64::from(n));
        }
        let signer = Slow {
            world: &world,
            takes: Duration::from_secs(seconds),
            patience: SLOWEST_SIGNER,
        };
        let begun = world.chain.clock.now();
        let report = world.with(&world.ledger, async |engine| {
            engine
                .run(&signer, TokenId::BTT, &Policy::default(), |_| true)
                .await
        });
        let report = report.unwrap();
        let batch = report.batches.last().unwrap();
        assert_eq!(batch.counts.confirmed, 4, "{seconds} s each: {batch:?}");
        for payout in &batch.payouts {
            assert_eq!(payout.attempts.len(), 1, "{seconds} s each: {payout:?}");
        }
        let took = world.chain.clock.now().since(begun);
        assert!(took >= Duration::from_secs(4 * seconds), "{took:?}");
        for n in 0..4 {
            let paid = world.chain.paid(world.key.address(), payee(n));
            assert_eq!(paid, (100 + i64::from(n), 1));
        }
    }
}

#[test]
fn a_signature_that_comes_too_late_is_neither_kept_nor_sent() {
    let world = World::new(40, 2);
    world.owe(payee(1), 100);
    // It does not say that it may take long, and takes almost as long as a transaction lives.
    let signer = Slow {
        world: &world,
        takes: Duration::from_secs(90),
        patience: Duration::ZERO,
    };
    let refused = world.with(&world.ledger, async |engine| {
        engine
            .run(&signer, TokenId::BTT, &Policy::default(), |_| true)
            .await
    });
    assert!(
        matches!(refused, Err(SettleError::SlowSigner(took)) if took.as_secs() == 90),
        "{refused:?}"
    );
    world.chain.advance(Duration::from_secs(300));
    assert_eq!(world.chain.paid(world.key.address(), payee(1)), (0, 0));
    // It is a debt as before, and paid by who signs in time.
    assert!(world.run().unwrap());
    assert_eq!(world.chain.paid(world.key.address(), payee(1)), (100, 1));
}
