//! The chain against the ledger, both ways. Pure.

use std::collections::BTreeMap;

use crate::{
    ledger::{OutgoingRow, TransferRow},
    types::{Address, RawAmount, Token, TxId},
};

/// What kind of disagreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifferenceKind {
    /// On the chain, and no payout of this ledger: made elsewhere.
    Unknown,
    /// In the ledger, and not on the chain.
    Missing,
    /// In both, with another payee, token or amount.
    Wrong,
}

impl DifferenceKind {
    /// As the JSON output names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Missing => "missing",
            Self::Wrong => "wrong_amount",
        }
    }
}

/// One disagreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// What kind.
    pub kind: DifferenceKind,
    /// The transaction.
    pub txid: TxId,
    /// Who was paid, by the chain if it has it.
    pub payee: Address,
    /// In what.
    pub token: Token,
    /// How much.
    pub amount: RawAmount,
}

/// Compares what the chain holds with what the ledger holds, up to block
/// `upto`. Differences in the order of their transactions' ids.
pub fn compare(
    chain: &BTreeMap<TxId, TransferRow>,
    ledger: &[OutgoingRow],
    upto: u64,
) -> Vec<Difference> {
    let difference = |kind, transfer: &TransferRow| Difference {
        kind,
        txid: transfer.txid,
        payee: transfer.payee,
        token: transfer.token,
        amount: transfer.amount,
    };
    let known: BTreeMap<TxId, &OutgoingRow> = ledger
        .iter()
        .filter(|row| row.transfer.block <= upto)
        .map(|row| (row.transfer.txid, row))
        .collect();
    let mut found = Vec::new();
    for (txid, seen) in chain {
        match known.get(txid) {
            Some(row) if row.transfer != *seen => {
                found.push(difference(DifferenceKind::Wrong, seen));
            }
            Some(row) if row.is_explained() => {}
            _ => found.push(difference(DifferenceKind::Unknown, seen)),
        }
    }
    for (txid, row) in &known {
        if !chain.contains_key(txid) {
            found.push(difference(DifferenceKind::Missing, &row.transfer));
        }
    }
    found.sort_by_key(|difference| difference.txid);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{TokenId, UnixMs};

    fn transfer(id: u8, amount: i64) -> TransferRow {
        TransferRow {
            txid: TxId::from_bytes([id; 32]),
            block: 5,
            block_time: UnixMs(0),
            payer: Address::from_body([1; 20]),
            payee: Address::from_body([2; 20]),
            token: Token::Trc10(TokenId::BTT),
            amount: RawAmount::new(amount).unwrap(),
        }
    }

    #[test]
    fn each_kind_of_difference_is_told() {
        let chain = [1, 2, 4].map(|id| (TxId::from_bytes([id; 32]), transfer(id, 5)));
        let row = |id, amount, ours| OutgoingRow {
            transfer: transfer(id, amount),
            ours,
            adopted: false,
        };
        let later = OutgoingRow {
            transfer: TransferRow {
                block: 6,
                ..transfer(9, 5)
            },
            ours: true,
            adopted: false,
        };
        let ledger = [
            row(1, 5, true),
            row(2, 6, true),
            row(3, 5, true),
            row(4, 5, false),
            later,
        ];
        let kinds: Vec<_> = compare(&chain.into(), &ledger, 5)
            .iter()
            .map(|d| (d.kind, d.txid.as_bytes()[0]))
            .collect();
        assert_eq!(
            kinds,
            [
                (DifferenceKind::Wrong, 2),
                (DifferenceKind::Missing, 3),
                (DifferenceKind::Unknown, 4)
            ]
        );
        let same = [transfer(1, 5)].map(|t| (t.txid, t));
        assert!(compare(&same.into(), &[row(1, 5, true)], 5).is_empty());
    }
}
