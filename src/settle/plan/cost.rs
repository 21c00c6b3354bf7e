//! What one transfer costs.

use crate::{
    tron::{
        contract::{Contract, ContractType},
        fees::{Item, Situation, price},
        permission::OWNER_ID,
        transaction::{Draft, MAX_RESULT_SIZE_IN_TX, RefBlock, Transaction},
    },
    types::{Address, RawAmount, Sun, Token, UnixMs},
};

/// Who signs a transfer, as far as its price needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signatures {
    /// Under which of the account's permissions.
    pub permission_id: i32,
    /// How many there will be.
    pub count: usize,
}

impl Signatures {
    /// The account's own key.
    pub const ONE: Self = Self {
        permission_id: OWNER_ID,
        count: 1,
    };
}

impl Default for Signatures {
    fn default() -> Self {
        Self::ONE
    }
}

/// What one transfer costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Points it needs.
    pub bandwidth: u64,
    /// Sun it burns with the bandwidth that is left.
    pub expected: Sun,
    /// Sun it burns if no bandwidth is left when it runs.
    pub worst: Sun,
}

/// Bandwidth of a signed transfer, in points: its bytes with the signatures, and
/// 64.
pub fn transfer_bandwidth(
    payer: Address,
    payee: Address,
    token: Token,
    amount: RawAmount,
    memo: &[u8],
    now: UnixMs,
    signatures: Signatures,
) -> u64 {
    let mut draft = Draft::new(
        Contract::transfer(payer, payee, token, amount),
        // Never zero on a chain, so its bytes are always written.
        RefBlock {
            bytes: [1; 2],
            hash: [1; 8],
        },
        now,
        now,
    );
    draft.memo = memo.to_vec();
    draft.permission_id = signatures.permission_id;
    // Signatures of 65 bytes, each with its tag and length.
    let signed = Transaction::from(draft.build()).size_without_results() + 67 * signatures.count;
    let bytes = signed + MAX_RESULT_SIZE_IN_TX;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// What a transfer costs, and takes its bandwidth out of the situation.
pub fn cost(
    token: Token,
    points: u64,
    activates: bool,
    memo: bool,
    signatures: Signatures,
    situation: &mut Situation,
) -> Cost {
    situation.creates_account = activates;
    let estimate = price(
        &Item {
            kind: Some(match token {
                Token::Trx => ContractType::Transfer,
                Token::Trc10(_) => ContractType::TransferAsset,
            }),
            bandwidth: points,
            signatures: signatures.count,
            memo,
        },
        situation,
    );
    situation.spend(&estimate);
    Cost {
        bandwidth: points,
        expected: estimate.total_sun,
        worst: estimate.worst_case_sun,
    }
}
