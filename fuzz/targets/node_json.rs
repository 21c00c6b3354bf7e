//! A node's JSON, in both forms: transactions and blocks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seedrail::tron::json;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    for visible in [false, true] {
        if let Ok(transaction) = json::transaction_from_json(&value, visible) {
            let bytes = transaction.encode();
            let again = seedrail::tron::transaction::Transaction::decode(&bytes);
            assert_eq!(again.expect("its own bytes"), transaction);
        }
        if let Ok((id, block)) = json::block_from_json(&value, visible) {
            // Checked or refused, but never believed.
            let _checked = seedrail::tron::verified::Sealed::block(id, block);
        }
        let _read = json::raw_data_from_json(&value, visible);
    }
});
