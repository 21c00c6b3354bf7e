//! A message of `sr_pay`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seedrail::receipts::Message;

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = Message::decode(data) {
        let bytes = message.encode();
        assert_eq!(Message::decode(&bytes).expect("its own bytes"), message);
    }
});
