//! What people type: addresses, amounts, ids. What is read is shown so that it
//! is read as the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seedrail::types::{Address, BlockId, RawAmount, TokenId, TxId, UnitAmount};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string().parse(), Ok(address));
        assert_eq!(address.to_hex().parse(), Ok(address));
    }
    if let Ok(amount) = text.parse::<UnitAmount>() {
        let shown = format!("{}raw:{}", amount.raw.get(), amount.token);
        if let Ok(again) = shown.parse::<UnitAmount>() {
            assert_eq!(again.raw, amount.raw);
        }
    }
    if let Ok(amount) = text.parse::<RawAmount>() {
        assert_eq!(amount.get().to_string().parse(), Ok(amount));
    }
    if let Ok(token) = text.parse::<TokenId>() {
        assert_eq!(token.to_string(), text);
    }
    if let Ok(id) = text.parse::<TxId>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
    let _id = text.parse::<BlockId>();
});
