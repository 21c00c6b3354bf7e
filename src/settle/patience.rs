//! How long a question to the chain is repeated that gets no answer, or none that can be
//! true.

use std::time::Duration;

use super::{Chain, LIFETIME, SettleError, report::Event};
use crate::tron::rpc::NodeError;

/// Between two looks at the chain: a sixth of a slot.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How many looks in a row may fail before the work stops with the error: 20 s.
pub(super) const PATIENCE: u32 = 40;

/// Repeats a question while it fails, as long as there is patience. Waits as long as the node
/// asks for, and tells why.
pub(super) async fn patiently<C: Chain, T, F>(
    chain: &C,
    tell: impl Fn(Event),
    mut ask: impl FnMut() -> F,
) -> Result<T, SettleError>
where
    F: Future<Output = Result<T, NodeError>>,
{
    let mut failures = 0;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            // It understood, and said no: it will say it again.
            Err(error @ NodeError::Refused { .. }) => return Err(error.into()),
            Err(error) => {
                failures += 1;
                if failures >= PATIENCE {
                    return Err(error.into());
                }
                let wait = match &error {
                    NodeError::Retry {
                        after: Some(after), ..
                    } => (*after).min(LIFETIME),
                    _ => LOOK_EVERY,
                };
                tell(Event::Waiting(error.to_string()));
                chain.pause(wait).await;
            }
        }
    }
}

/// Answers in a row that showed no block, where there must be one.
#[derive(Debug, Default)]
pub(super) struct Missing(u32);

impl Missing {
    /// Waits for a block that the nodes must have and do not show.
    ///
    /// # Errors
    /// [`SettleError::NoBlocks`] when that was often enough.
    pub(super) async fn wait<C: Chain>(
        &mut self,
        chain: &C,
        tell: impl Fn(Event),
        number: u64,
    ) -> Result<(), SettleError> {
        self.0 += 1;
        let error = SettleError::NoBlocks(number);
        if self.0 >= PATIENCE {
            return Err(error);
        }
        tell(Event::Waiting(error.to_string()));
        chain.pause(LOOK_EVERY).await;
        Ok(())
    }

    /// There was one.
    pub(super) fn found(&mut self) {
        self.0 = 0;
    }
}
