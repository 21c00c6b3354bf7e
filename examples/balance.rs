//! What an address holds, as a node tells it: solid, that is beyond any fork.
//!
//! ```text
//! cargo run --no-default-features --example balance -- \
//!     http://127.0.0.1:9090 TDvSsdrNM5eeXNL3czpa6AxLDHZA9nwe9K
//! ```

#![allow(clippy::print_stdout, reason = "its output is its result")]

use std::error::Error;

use seedrail::{
    tron::rpc::{Finality, Node, NodeConfig},
    types::{Address, TokenId},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("usage: balance URL ADDRESS".into());
    };
    let address: Address = address.parse()?;
    let node = Node::new(&NodeConfig::new(url))?;

    // An account that never received anything does not exist on the chain.
    let Some(account) = node.account(Finality::Solid, address).await? else {
        println!("{address} is not activated");
        return Ok(());
    };
    println!("{}", account.balance);
    for (id, amount) in &account.tokens {
        // How many decimals a token has is for the chain to say.
        match node.asset(*id).await? {
            Some(asset) => println!("{} {}", amount.to_decimal(asset.decimals), asset.abbr),
            None => println!("{amount} raw units of {id}"),
        }
    }
    if !account.tokens.contains_key(&TokenId::BTT) {
        println!("no BTT");
    }
    Ok(())
}
