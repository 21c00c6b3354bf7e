//! Spend grants: a wallet empowers a capped session key, so that the process
//! that talks to strangers never holds the wallet's own.

use super::body::{ReceiptDomain, TypedStruct, within_range};
use crate::{
    tron::{
        keys::{Signature, Signer, SignerError},
        typed_data::StructEncoder,
    },
    types::{Address, RawAmount, Salt, TokenId},
};

/// What `payer` lets `signer` sign in its name. All integers ≤ `i64::MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpendGrant {
    /// Who will owe.
    pub payer: Address,
    /// Whose signature counts.
    pub signer: Address,
    /// In which token.
    pub token: TokenId,
    /// The most that may be owed to one payee by receipts under this grant, in
    /// raw units.
    pub max_per_payee: RawAmount,
    /// The most the payer's planner ever pays on this grant, in raw units.
    pub max_total: RawAmount,
    /// Valid from, in seconds since the Unix epoch.
    pub not_before: u64,
    /// A receipt must arrive by then, in seconds since the Unix epoch.
    pub not_after: u64,
    /// The highest serial replaces the lower ones, never adds.
    pub serial: u64,
}

impl TypedStruct for SpendGrant {
    fn struct_hash(&self) -> [u8; 32] {
        StructEncoder::new(
            "SpendGrant(address payer,address signer,trcToken token,uint256 maxPerPayee,\
             uint256 maxTotal,uint64 notBefore,uint64 notAfter,uint64 serial)",
        )
        .address(self.payer)
        .address(self.signer)
        .token(self.token)
        .uint(self.max_per_payee.unsigned())
        .uint(self.max_total.unsigned())
        .uint(self.not_before)
        .uint(self.not_after)
        .uint(self.serial)
        .hash()
    }
}

/// Takes back every grant of `payer` to `signer` up to a serial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoke {
    /// Who granted.
    pub payer: Address,
    /// To whom.
    pub signer: Address,
    /// Up to and including this serial.
    pub serial: u64,
}

impl TypedStruct for Revoke {
    fn struct_hash(&self) -> [u8; 32] {
        StructEncoder::new("Revoke(address payer,address signer,uint64 serial)")
            .address(self.payer)
            .address(self.signer)
            .uint(self.serial)
            .hash()
    }
}

/// A grant with the payer's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedGrant {
    /// What was granted.
    pub grant: SpendGrant,
    /// By the payer's key.
    pub signature: Signature,
}

/// Why a receipt under a grant is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefusal {
    /// The receipt names a grant that did not come with it.
    #[error("the receipt's spend grant is missing or another one")]
    Missing,
    /// The grant is by or for another address.
    #[error("the spend grant is by another payer or for another signer")]
    Parties,
    /// The grant is for another token.
    #[error("the spend grant is for another token")]
    Token,
    /// An integer above `i64::MAX`, or an end before the beginning.
    #[error("the spend grant holds a number out of range")]
    Bounds,
    /// A grant of a higher serial is known.
    #[error("the spend grant was replaced by one with serial {0}")]
    Replaced(u64),
    /// The payer took it back.
    #[error("the spend grant was revoked up to serial {0}")]
    Revoked(u64),
    /// Not yet valid.
    #[error("the spend grant is valid only from {0} on (Unix seconds)")]
    NotYet(u64),
    /// No longer valid.
    #[error("the spend grant ended at {0} (Unix seconds)")]
    Expired(u64),
    /// More than one payee may be owed.
    #[error("{owed} raw units are owed under a spend grant that allows {allowed} per payee")]
    Exceeded {
        /// By all receipts of the pair under this grant, with this one.
        owed: u128,
        /// The grant's limit.
        allowed: RawAmount,
    },
    /// The payer did not sign it.
    #[error("the payer did not sign the spend grant")]
    Signature,
}

/// What a payee knows of a payer's grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GrantContext {
    /// The highest serial seen for this payer and signer.
    pub highest_serial: Option<u64>,
    /// The highest serial revoked.
    pub revoked_serial: Option<u64>,
    /// Owed to this payee by the newest receipts of the other epochs under the
    /// same grant, in raw units.
    pub owed_elsewhere: RawAmount,
}

impl SignedGrant {
    /// Signs a grant with the wallet's key.
    ///
    /// # Errors
    /// The signer refused.
    pub fn sign(
        grant: SpendGrant,
        domain: &ReceiptDomain,
        signer: &dyn Signer,
    ) -> Result<Self, SignerError> {
        Ok(Self {
            signature: domain.sign(&grant, signer)?,
            grant,
        })
    }

    /// The hash that receipts under this grant carry.
    pub fn hash(&self) -> Salt {
        Salt::from_bytes(self.grant.struct_hash())
    }

    /// All checks but the signature's, cheapest first; `amount` is the
    /// receipt's.
    ///
    /// # Errors
    /// The first reason found.
    pub(super) fn check(
        &self,
        parties: (Address, Address, TokenId),
        amount: RawAmount,
        now_secs: u64,
        context: &GrantContext,
    ) -> Result<(), GrantRefusal> {
        let grant = &self.grant;
        let (payer, signer, token) = parties;
        if grant.payer != payer || grant.signer != signer {
            return Err(GrantRefusal::Parties);
        }
        if grant.token != token {
            return Err(GrantRefusal::Token);
        }
        if !within_range(&[grant.not_before, grant.not_after, grant.serial])
            || grant.not_after < grant.not_before
        {
            return Err(GrantRefusal::Bounds);
        }
        if let Some(serial) = context.highest_serial.filter(|known| *known > grant.serial) {
            return Err(GrantRefusal::Replaced(serial));
        }
        if let Some(serial) = context
            .revoked_serial
            .filter(|up_to| *up_to >= grant.serial)
        {
            return Err(GrantRefusal::Revoked(serial));
        }
        if now_secs < grant.not_before {
            return Err(GrantRefusal::NotYet(grant.not_before));
        }
        if now_secs > grant.not_after {
            return Err(GrantRefusal::Expired(grant.not_after));
        }
        let owed = u128::from(amount.unsigned()) + u128::from(context.owed_elsewhere.unsigned());
        if owed > u128::from(grant.max_per_payee.unsigned()) {
            return Err(GrantRefusal::Exceeded {
                owed,
                allowed: grant.max_per_payee,
            });
        }
        Ok(())
    }

    /// Whether the payer signed it.
    ///
    /// # Errors
    /// Another signer, or nobody.
    pub(super) fn check_signature(&self, domain: &ReceiptDomain) -> Result<(), GrantRefusal> {
        domain
            .is_signed_by(&self.grant, &self.signature, self.grant.payer)
            .then_some(())
            .ok_or(GrantRefusal::Signature)
    }
}
