//! Under which permission of which account a payment is signed: an account whose own key is kept
//! away may let another key pay.

use clap::Args;

use crate::{tron::permission::OWNER_ID, types::Address};

#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct SignedBy {
    /// Account to pay from, where a permission of it names this key.
    #[arg(long, value_name = "ADDRESS", requires = "permission_id")]
    from: Option<Address>,
    /// Permission of the paying account that signs: 0 is the owner's, active ones count from 2.
    #[arg(long, value_name = "ID", value_parser = permission_id)]
    permission_id: Option<i32>,
}

fn permission_id(text: &str) -> Result<i32, String> {
    match text.parse() {
        Ok(1) => Err("permission 1 signs blocks, not payments".to_owned()),
        Ok(id @ 0..=9) => Ok(id),
        _ => Err("a permission is 0, or 2 to 9".to_owned()),
    }
}

impl SignedBy {
    pub(super) fn permission_id(self) -> i32 {
        self.permission_id.unwrap_or(OWNER_ID)
    }

    /// Who pays, where this key signs.
    pub(super) fn payer(self, key: Address) -> Address {
        self.from.unwrap_or(key)
    }

    /// Who signs, in words: nothing where it is the account's own key as its owner.
    pub(super) fn words(self, key: Address) -> String {
        match self.permission_id() {
            OWNER_ID if self.payer(key) == key => String::new(),
            id => format!(", signed by {key} under permission {id}"),
        }
    }
}
