//! A file of payouts: refused whole, or read into rows that can be written out
//! and read again as the same.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use seedrail::{
    settle::PayoutFile,
    types::{RawAmount, Token},
};

fuzz_target!(|data: &[u8]| {
    let file = match PayoutFile::parse(data) {
        Ok(file) => file,
        Err(error) => {
            // One sentence, however wrong the file.
            assert!(error.to_string().len() < 8_000);
            return;
        }
    };
    let keys: HashSet<_> = file.rows.iter().map(|row| row.key).collect();
    assert_eq!(keys.len(), file.rows.len());
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut text = "address,amount,memo".to_owned();
    text += if file.has_ids { ",id\n" } else { "\n" };
    for row in &file.rows {
        assert!(row.amount > RawAmount::ZERO);
        let unit = match row.token {
            Token::Trx => "sun".to_owned(),
            Token::Trc10(id) => format!("raw:{id}"),
        };
        let memo = std::str::from_utf8(&row.memo).expect("it came from text");
        text += &format!("{},{}{unit},{}", row.payee, row.amount, quoted(memo));
        if let Some(id) = &row.id {
            text += &format!(",{}", quoted(id));
        }
        text += "\n";
    }
    let mut again = PayoutFile::parse(text.as_bytes()).expect("its own text");
    if !file.has_ids {
        // Without ids the identity is the file's: another text, other rows.
        for (row, before) in again.rows.iter_mut().zip(&file.rows) {
            row.key = before.key;
        }
    }
    again.ignored.clone_from(&file.ignored);
    assert_eq!(again, file);
});
