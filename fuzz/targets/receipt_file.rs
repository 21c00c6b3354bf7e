//! A file of receipts: bounded lines, each read or refused with a reason.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seedrail::receipts::{ReceiptLine, ReceiptLines};

fuzz_target!(|data: &[u8]| {
    for (_, line) in ReceiptLines::new(data).map_while(Result::ok) {
        match line {
            Ok(line) => {
                let written = line.to_json();
                let again = ReceiptLine::parse(&written).expect("its own text");
                assert_eq!(again.to_json(), written);
            }
            Err(refusal) => assert!(!refusal.code().is_empty()),
        }
    }
});
