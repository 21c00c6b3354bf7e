use std::path::Path;

use serde_json::Value;

use super::*;
use crate::{
    tron::{block::BlockHeader, json::header_from_json, keys::SecretKey},
    types::UnixMs,
};

fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32]).unwrap()
}

/// A block after `parent`, of the witness `witness`, signed by `signer`.
fn block(parent: Option<&Block>, witness: &SecretKey, signer: &SecretKey) -> Block {
    let header = BlockHeader {
        number: parent.map_or(1, |parent| parent.header.number + 1),
        timestamp: UnixMs(3_000),
        tx_trie_root: [0; 32],
        parent_hash: parent.map_or(BlockId::from_bytes([0; 32]), Block::id),
        witness_address: witness.address().to_bytes().to_vec(),
        version: 30,
        account_state_root: Vec::new(),
    };
    let witness_signature = header.sign(signer).to_vec();
    Block {
        header,
        witness_signature,
        transactions: Vec::new(),
    }
}

fn sealed(block: &Block) -> Sealed<Block> {
    Sealed::block(block.id(), block.clone()).unwrap()
}

/// Headers of mainnet and of test networks, as public documentation prints them.
#[test]
fn headers_of_public_networks_give_their_ids_and_signers() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tron/public/chain-headers.json");
    let headers: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(headers.len() >= 10);
    for recorded in &headers {
        let object = serde_json::json!({
            "blockID": recorded["blockID"],
            "block_header": {
                "raw_data": recorded["raw_data"],
                "witness_signature": recorded["witness_signature"],
            },
        });
        let (id, header, signature) = header_from_json(&object, false).unwrap();
        let sealed = Sealed::header(id, header, &signature).unwrap();
        let made = sealed.made_by().unwrap();
        assert_eq!(
            hex::encode(made.signer.to_bytes()),
            recorded["signer"].as_str().unwrap()
        );
        sealed.believe(&Signers::default()).unwrap();
    }
}

#[test]
fn a_block_that_is_changed_anywhere_is_refused() {
    let good = block(None, &key(1), &key(1));
    let id = good.id();
    let mut other = good.clone();
    other.header.timestamp = UnixMs(3_001);
    assert!(matches!(
        Sealed::block(id, other),
        Err(BlockError::Id { .. })
    ));
    let mut other = good.clone();
    other.header.tx_trie_root = [1; 32];
    assert!(matches!(
        Sealed::block(other.id(), other),
        Err(BlockError::Root { .. })
    ));
    let mut other = good.clone();
    other.witness_signature.truncate(64);
    assert!(matches!(
        Sealed::block(id, other),
        Err(BlockError::Signature { .. })
    ));
    let mut other = good;
    other.header.witness_address = b"somebody".to_vec();
    assert!(matches!(
        Sealed::block(other.id(), other),
        Err(BlockError::Signature { .. } | BlockError::Witness { .. })
    ));
}

#[test]
fn a_block_signed_by_a_permissions_key_is_believed_once_the_key_is_known() {
    let signers = Signers::default();
    let made = block(None, &key(1), &key(2));
    assert!(matches!(
        sealed(&made).believe(&signers),
        Err(BlockError::Witness { signer, .. }) if signer == key(2).address()
    ));
    signers.learn(key(1).address(), key(2).address());
    let believed = sealed(&made).believe(&signers).unwrap();
    assert_eq!(
        believed.made_by(),
        Some(MadeBy {
            witness: key(1).address(),
            signer: key(2).address()
        })
    );
    // Of another witness the key says nothing.
    let other = block(None, &key(3), &key(2));
    sealed(&other).believe(&signers).unwrap_err();
}

#[test]
fn a_known_signer_on_top_vouches_for_the_blocks_below_and_none_above() {
    let signers = Signers::default();
    let first = block(None, &key(1), &key(9));
    let second = block(Some(&first), &key(2), &key(2));
    let third = block(Some(&second), &key(3), &key(8));
    let chain = [&first, &second, &third].map(sealed).to_vec();
    let believed = believe_linked(chain, &signers).unwrap();
    assert_eq!(believed.len(), 2, "the third waits");
    assert!(signers.knows(key(1).address(), key(9).address()));
    assert!(!signers.knows(key(3).address(), key(8).address()));
    // None of them is known: none is believed.
    let strangers = vec![sealed(&third)];
    assert!(matches!(
        believe_linked(strangers, &signers),
        Err(BlockError::Witness { number: 3, .. })
    ));
    assert!(believe_linked(Vec::new(), &signers).unwrap().is_empty());
}

#[test]
fn a_trail_follows_linked_blocks_only() {
    let signers = Signers::default();
    let first = block(None, &key(1), &key(1));
    let second = block(Some(&first), &key(1), &key(1));
    let believe = |block: &Block| sealed(block).believe(&signers).unwrap();
    let mut trail = Trail::starting_at(1);
    assert!(trail.step(&believe(&first)));
    assert!(!trail.step(&believe(&first)));
    let mut other = Trail::after(BlockId::from_bytes([0; 32]));
    assert!(!other.step(&believe(&second)));
    assert!(trail.step(&believe(&second)));
    assert_eq!(trail, Trail::after(second.id()));
}
