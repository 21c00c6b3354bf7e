//! Two holders of an account's keys sign one payment on two machines that only
//! exchange its hex. Each checks what it really does before signing: hex that
//! came from elsewhere is decoded, encoded again and compared.
//!
//! ```text
//! cargo run --no-default-features --example multisig
//! ```

#![allow(clippy::print_stdout, reason = "its output is its result")]

use std::error::Error;

use seedrail::{
    tron::{
        contract::{Contract, Key, Permission},
        keys::SecretKey,
        permission::Permissions,
        transaction::{Draft, RefBlock, Transaction},
    },
    types::{Address, BlockId, UnitAmount, UnixMs},
};

fn main() -> Result<(), Box<dyn Error>> {
    let treasury: Address = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC".parse()?;
    let [first, second] = [
        SecretKey::from_hex(&"11".repeat(32))?,
        SecretKey::from_hex(&"22".repeat(32))?,
    ];
    // What `Node::permissions` says of the account: either key weighs 1, 2 are needed.
    let mut permissions = Permissions::default_of(treasury);
    permissions.owner = Permission {
        threshold: 2,
        keys: [&first, &second]
            .map(|key| Key {
                address: key.address().to_bytes().to_vec(),
                weight: 1,
            })
            .to_vec(),
        ..permissions.owner
    };

    // The first holder builds and signs; time to collect signatures: up to 24 h.
    let to: Address = "TDvSsdrNM5eeXNL3czpa6AxLDHZA9nwe9K".parse()?;
    let amount: UnitAmount = "250BTT".parse()?;
    let block: BlockId =
        "000000000000001d0fd5a8953407a4c26ba2ea48cf093e04e5b58ecf4fca9bdd".parse()?;
    let draft = Draft::new(
        Contract::transfer(treasury, to, amount.token, amount.raw),
        RefBlock::from(block),
        UnixMs(1_795_449_720_000),
        UnixMs(1_795_363_320_000),
    );
    let hex = hex::encode(draft.build().sign(&first)?.encode());

    // The second holder looks before he signs.
    let mut received = Transaction::decode(&hex::decode(hex)?)?;
    let Contract::TransferAsset(transfer) = received.check_signable()?.contract else {
        return Err("this is no transfer of a token".into());
    };
    println!(
        "{} raw units to {}",
        transfer.amount,
        Address::from_bytes(&transfer.to_address)?
    );
    let before = permissions.approval(&received)?;
    println!("weight {} of {}", before.weight, before.threshold);
    assert!(!before.is_enough());

    received.sign(&second)?;
    let after = permissions.approval(&received)?;
    println!(
        "weight {} of {}: ready for `Node::broadcast`",
        after.weight, after.threshold
    );
    assert!(after.is_enough());
    Ok(())
}
