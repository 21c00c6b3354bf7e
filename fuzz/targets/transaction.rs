//! A transaction's bytes: what is read is written back as it was, and what a
//! node would make of it stays as it is when read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seedrail::tron::{json, transaction::Transaction};

fuzz_target!(|data: &[u8]| {
    let Ok(transaction) = Transaction::decode(data) else {
        return;
    };
    let bytes = transaction.encode();
    let again = Transaction::decode(&bytes).expect("its own bytes");
    assert_eq!(again, transaction);
    assert_eq!(again.txid(), transaction.txid());
    for visible in [false, true] {
        // Raw data may be none; then there is no JSON either.
        let object = json::transaction_to_json(&transaction, visible);
        assert!(
            object.is_ok()
                || transaction.raw_data().is_err()
                || transaction.check_signable().is_err()
        );
    }
    if let Ok(canonical) = transaction.clone().canonical() {
        let twice = canonical.clone().canonical().expect("once more");
        assert_eq!(twice, canonical);
    }
    // What may be signed is exactly what its fields say.
    if let Ok(draft) = transaction.check_signable() {
        assert_eq!(draft.build().txid(), transaction.txid());
    }
});
