//! Typed data that a wallet is asked to sign: refused, or hashed, whatever it
//! says of its own types.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seedrail::tron::typed_json::TypedDocument;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match TypedDocument::from_json(text) {
        Ok(document) => {
            // White space and the order of keys are no part of what is signed.
            let value: Value = serde_json::from_str(text).expect("it was read");
            let again = TypedDocument::from_json(&value.to_string()).expect("it was read");
            assert_eq!(
                (again.domain_separator, again.struct_hash),
                (document.domain_separator, document.struct_hash)
            );
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
