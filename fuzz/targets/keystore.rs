//! A keystore file: refused, or bounded in what it costs to open. It is not
//! opened here, since that is slow by design.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seedrail::tron::keystore::Keystore;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(keystore) = Keystore::from_json(text) {
        let written = keystore.to_json();
        let again = Keystore::from_json(&written).expect("its own text");
        assert_eq!(again.to_json(), written);
    }
});
