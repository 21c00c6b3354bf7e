//! Blocks that are believed, and the only place where one comes to be.
//!
//! A block goes through two doors. [`Sealed`]: its id is that of its header, its
//! Merkle root that of its transactions, and its signature somebody's.
//! [`Verified`]: that somebody is who signs for the witness that the header names.
//!
//! A witness signs with its own key, or with the key of its witness permission
//! (`BlockCapsule.validateSignature`). [`Signers`] keeps which key that is: as the
//! nodes tell it, or because a believed block was built on one that it signed.
//! Settlement keeps it in the ledger, too, and believes a known witness under no
//! other key that a node names.

mod reader;
mod signers;

use std::ops::Deref;

pub use self::{
    reader::{SolidReader, Trail},
    signers::{MAX_SIGNERS, MAX_WITNESSES, Signers},
};
use super::{
    block::{Block, BlockError, BlockHeader, merkle_root},
    keys::Signature,
};
use crate::types::{Address, BlockId};

/// A block or header that is whole: its id is its header's, its transactions give
/// its root, and somebody signed it. Genesis (block 0) has no signature and hashes
/// its own way: of it only the id is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed<T> {
    value: T,
    made_by: Option<MadeBy>,
}

/// Who made a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MadeBy {
    /// The witness, as the header names it.
    pub witness: Address,
    /// Whose key signed the header.
    pub signer: Address,
}

impl Sealed<Block> {
    /// Checks a whole block.
    ///
    /// # Errors
    /// What of it is wrong.
    pub fn block(claimed: BlockId, block: Block) -> Result<Self, BlockError> {
        let number = block.header.number;
        if number > 0 && merkle_root(&block.transactions) != block.header.tx_trie_root {
            return Err(BlockError::Root { number });
        }
        let made_by = made_by(claimed, &block.header, &block.witness_signature)?;
        Ok(Self {
            value: block,
            made_by,
        })
    }
}

impl Sealed<BlockHeader> {
    /// Checks a header.
    ///
    /// # Errors
    /// What of it is wrong.
    pub fn header(
        claimed: BlockId,
        header: BlockHeader,
        witness_signature: &[u8],
    ) -> Result<Self, BlockError> {
        let made_by = made_by(claimed, &header, witness_signature)?;
        Ok(Self {
            value: header,
            made_by,
        })
    }
}

/// Checks id and signature; `None` for genesis, which nobody signed.
fn made_by(
    claimed: BlockId,
    header: &BlockHeader,
    witness_signature: &[u8],
) -> Result<Option<MadeBy>, BlockError> {
    let number = header.number;
    let computed = header.id();
    if computed != claimed {
        return Err(BlockError::Id {
            number,
            claimed,
            computed,
        });
    }
    if number == 0 {
        return Ok(None);
    }
    let signer = Signature::from_slice(witness_signature)
        .and_then(|signature| signature.recover(&header.digest()))
        .map_err(|source| BlockError::Signature { number, source })?;
    let witness = header.witness().ok_or_else(|| BlockError::Witness {
        number,
        signer,
        witness: hex::encode(&header.witness_address),
    })?;
    Ok(Some(MadeBy { witness, signer }))
}

impl<T> Sealed<T> {
    /// Who made it; `None` for genesis.
    pub fn made_by(&self) -> Option<MadeBy> {
        self.made_by
    }

    /// Whether its signer is known as its witness's.
    pub fn is_known(&self, signers: &Signers) -> bool {
        self.made_by
            .is_none_or(|made| signers.knows(made.witness, made.signer))
    }

    fn believed(self) -> Verified<T> {
        Verified {
            value: self.value,
            made_by: self.made_by,
        }
    }
}

impl<T: AsRef<BlockHeader>> Sealed<T> {
    /// Believes it when its signer is known as its witness's.
    ///
    /// # Errors
    /// [`BlockError::Witness`].
    pub fn believe(self, signers: &Signers) -> Result<Verified<T>, BlockError> {
        match self.made_by {
            Some(made) if !signers.knows(made.witness, made.signer) => Err(BlockError::Witness {
                number: self.value.as_ref().number,
                signer: made.signer,
                witness: made.witness.to_string(),
            }),
            _ => Ok(self.believed()),
        }
    }
}

/// Believes linked blocks up to the last one whose signer is known: whoever signed
/// it checked those below. Their signers are known from then on. Blocks after it are
/// left out: they wait for one on top of them.
///
/// # Errors
/// [`BlockError::Witness`] when the signer of none is known.
pub fn believe_linked(
    mut blocks: Vec<Sealed<Block>>,
    signers: &Signers,
) -> Result<Vec<Verified<Block>>, BlockError> {
    let known = blocks.iter().rposition(|block| block.is_known(signers));
    let Some(known) = known else {
        return blocks
            .into_iter()
            .take(1)
            .map(|first| first.believe(signers))
            .collect();
    };
    blocks.truncate(known + 1);
    for made in blocks.iter().filter_map(Sealed::made_by) {
        signers.learn(made.witness, made.signer);
    }
    Ok(blocks.into_iter().map(Sealed::believed).collect())
}

/// A block or header that is believed: [`Sealed`], by a signer that is known as its
/// witness's. That the witness is one that the chain elected is the ledger's to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    made_by: Option<MadeBy>,
}

impl<T> Verified<T> {
    /// Who made it; `None` for genesis.
    pub fn made_by(&self) -> Option<MadeBy> {
        self.made_by
    }

    /// The value, no longer marked.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl AsRef<BlockHeader> for Block {
    fn as_ref(&self) -> &BlockHeader {
        &self.header
    }
}

impl AsRef<Self> for BlockHeader {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// The block with its root, a witness and its signature, for tests of what is done
/// with believed blocks.
#[cfg(test)]
pub(crate) fn signed(mut block: Block) -> Verified<Block> {
    let witness = super::keys::SecretKey::from_bytes(&[1; 32]).expect("in range");
    block.header.tx_trie_root = merkle_root(&block.transactions);
    block.header.witness_address = witness.address().to_bytes().to_vec();
    block.witness_signature = block.header.sign(&witness).to_vec();
    Sealed::block(block.id(), block)
        .and_then(|sealed| sealed.believe(&Signers::default()))
        .expect("it is signed")
}

#[cfg(test)]
mod tests;
