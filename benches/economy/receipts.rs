//! What a receipt costs, one after another: drafted, signed, made durable,
//! verified, made durable on the other side. Nothing is overlapped, so this is
//! the least that receipts of a size allow.

use std::time::{Duration, Instant};

use seedrail::{
    ledger::{Pair, Receipts, SqliteLedger},
    receipts::{Debt, Expected, GrantContext, ReceiptDomain, SignedReceipt},
    swarm::hooks::ConnId,
    tron::keys::SecretKey,
    types::{BlockId, TokenId, UnixMs},
};
use serde_json::{Value, json};

pub(crate) fn measure(size: u64, seconds: f64) -> Value {
    let key = |n: u8| SecretKey::from_hex(&format!("{n:064x}")).unwrap();
    let genesis = BlockId::from_bytes([9; 32]);
    let domain = ReceiptDomain::new(genesis);
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| SqliteLedger::open(&folder.path().join(name), genesis).unwrap();
    let (payers, payees) = (open("payer"), open("payee"));
    let payer = key(1);
    let pair = Pair {
        payer: payer.address(),
        payee: key(2).address(),
        token: TokenId::BTT,
    };
    let lease = payers.claim_epoch(&pair, 1).unwrap();
    let mut debt = Debt::new(pair);
    debt.claimed(lease.epoch, 1, None, lease.remainder);
    let now = UnixMs(1_790_000_000_000);
    let (start, limit) = (Instant::now(), Duration::from_secs_f64(seconds));
    let (mut receipts, mut last) = (0u64, None::<SignedReceipt>);
    while start.elapsed() < limit {
        debt.verified(ConnId(1), 0, &[(5_000_000, size)], now);
        let draft = debt.draft(now).unwrap().unwrap();
        let signed = SignedReceipt::sign(draft.receipt, &domain, &payer).unwrap();
        payers
            .issue(&lease, &signed.to_row(), draft.remainder, None)
            .unwrap();
        debt.issued(&draft, signed, now);
        signed
            .check(&Expected {
                domain: &domain,
                payer: Some(pair.payer),
                payee: Some(pair.payee),
                token: Some(pair.token),
                last: last.as_ref(),
                grant: None,
                grants: GrantContext::default(),
                now_secs: 1_790_000_000,
            })
            .unwrap();
        payees.store_received(&signed.to_row()).unwrap();
        last = Some(signed);
        receipts += 1;
    }
    json!({ "size": size, "receipts": receipts, "seconds": start.elapsed().as_secs_f64() })
}
