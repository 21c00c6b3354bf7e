//! Builds and signs a transfer of BTT without asking any node: what a machine
//! that holds keys and has no network does. A machine with a network gives it a
//! recent block's id, and sends the hex that comes out.
//!
//! ```text
//! SEEDRAIL_PRIVATE_KEY=… cargo run --no-default-features --example sign_offline -- \
//!     TDvSsdrNM5eeXNL3czpa6AxLDHZA9nwe9K 12.5BTT BLOCK_ID
//! ```

#![allow(clippy::print_stdout, reason = "its output is its result")]

use std::{error::Error, time::Duration};

use seedrail::{
    tron::{
        contract::Contract,
        keys::SecretKey,
        transaction::{Draft, RefBlock},
    },
    types::{Address, BlockId, Clock, SystemClock, UnitAmount},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| {
        arguments
            .next()
            .ok_or_else(|| format!("missing: {what} (of: TO AMOUNT BLOCK_ID)"))
    };
    let to: Address = next("TO")?.parse()?;
    let amount: UnitAmount = next("AMOUNT")?.parse()?;
    let block: BlockId = next("BLOCK_ID")?.parse()?;
    let key = SecretKey::from_hex(&std::env::var("SEEDRAIL_PRIVATE_KEY")?)?;

    let now = SystemClock.now();
    let draft = Draft::new(
        Contract::transfer(key.address(), to, amount.token, amount.raw),
        RefBlock::from(block),
        now.plus(Duration::from_secs(10 * 60)),
        now,
    );
    let signed = draft.build().sign(&key)?;
    println!("txid       {}", signed.txid());
    println!("from       {}", key.address());
    println!("bandwidth  {} points", signed.bandwidth());
    println!("hex        {}", hex::encode(signed.encode()));
    Ok(())
}
