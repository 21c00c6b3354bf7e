//! What a person says of other accounts, and of session keys: in the ledger when it is
//! answered.

use std::sync::Arc;

use super::{Running, Settling};
use crate::{
    client::{
        command::{Answer, Command},
        error::ClientError,
    },
    ledger::Ledger,
    receipts::take_back,
    types::{Clock as _, SystemClock, TokenId},
};

/// Characters of a reason that are kept.
const MAX_REASON: usize = 200;

impl Running {
    /// What does such a command, if it is one; it may block.
    pub(in crate::client) fn booking(
        &self,
        command: &Command,
    ) -> Option<impl FnOnce() -> Result<Answer, ClientError> + Send + use<>> {
        if !matches!(
            command,
            Command::Ban { .. } | Command::Forgive(_) | Command::RevokeKey(_)
        ) {
            return None;
        }
        let (command, ledger, token) = (command.clone(), Arc::clone(&self.ledger), self.token);
        let settling = self.settling.clone();
        let read = Arc::clone(&self.read_again);
        Some(move || {
            book(&command, ledger.as_ref(), token, settling.as_deref())?;
            // Readers see it at once.
            read.notify_one();
            Ok(Answer::Done)
        })
    }
}

fn book(
    command: &Command,
    ledger: &dyn Ledger,
    token: TokenId,
    settling: Option<&Settling>,
) -> Result<(), ClientError> {
    let now = SystemClock.now();
    match command {
        Command::Ban { account, reason } => {
            let reason: String = reason.chars().take(MAX_REASON).collect();
            ledger.ban(*account, token, &reason, now)?;
        }
        Command::Forgive(account) => {
            ledger.forgive(*account, token)?;
        }
        Command::RevokeKey(signer) => {
            let settling = settling.ok_or(ClientError::NoWallet)?;
            let wallet = (settling.wallet)().map_err(ClientError::WalletClosed)?;
            let secs = u64::try_from(now.secs()).unwrap_or(0);
            take_back(ledger, wallet.as_ref(), *signer, secs)?;
        }
        _ => {}
    }
    Ok(())
}
