//! Spend grants: a wallet empowers a capped session key, so that the process
//! that talks to strangers never holds the wallet's own.

use std::{collections::HashMap, sync::Arc};

use super::body::{ReceiptDomain, TypedStruct, within_range};
use crate::{
    ledger::{GrantRow, RevocationRow},
    tron::{
        keys::{Signature, SignatureError, Signer, SignerError},
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
    fn fields(&self) -> StructEncoder<'static> {
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
    fn fields(&self) -> StructEncoder<'static> {
        StructEncoder::new("Revoke(address payer,address signer,uint64 serial)")
            .address(self.payer)
            .address(self.signer)
            .uint(self.serial)
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

    /// From the ledger.
    ///
    /// # Errors
    /// The stored bytes are no signature: a damaged row.
    pub fn from_row(row: &GrantRow) -> Result<Self, SignatureError> {
        Ok(Self {
            grant: SpendGrant {
                payer: row.payer,
                signer: row.signer,
                token: row.token,
                max_per_payee: row.max_per_payee,
                max_total: row.max_total,
                not_before: row.not_before,
                not_after: row.not_after,
                serial: row.serial,
            },
            signature: Signature::from_slice(&row.signature)?,
        })
    }

    /// For the ledger; only after it was verified.
    pub fn to_row(&self) -> GrantRow {
        let grant = &self.grant;
        GrantRow {
            hash: self.hash(),
            payer: grant.payer,
            signer: grant.signer,
            token: grant.token,
            max_per_payee: grant.max_per_payee,
            max_total: grant.max_total,
            not_before: grant.not_before,
            not_after: grant.not_after,
            serial: grant.serial,
            signature: self.signature.to_bytes(),
        }
    }

    /// Verifies the grant alone: whose it is, its numbers, its time, and what is
    /// known of its payer's others.
    ///
    /// # Errors
    /// The first reason found.
    pub fn verify(
        &self,
        domain: &ReceiptDomain,
        payer: Address,
        token: TokenId,
        now_secs: u64,
        context: &GrantContext,
    ) -> Result<(), GrantRefusal> {
        let parties = (payer, self.grant.signer, token);
        self.check(parties, RawAmount::ZERO, now_secs, context)?;
        self.check_signature(domain)
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

/// Who we are in an exchange: the account that owes and is owed, and the key
/// that signs for it.
#[derive(Clone)]
pub struct Identity {
    account: Address,
    signer: Arc<dyn Signer>,
    grant: Option<SignedGrant>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("account", &self.account)
            .field("signer", &self.signer.address())
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// The account's own key signs.
    pub fn own(signer: Arc<dyn Signer>) -> Self {
        Self {
            account: signer.address(),
            signer,
            grant: None,
        }
    }

    /// A session key signs under a grant of the account.
    ///
    /// # Errors
    /// The grant is to another key.
    pub fn session(signer: Arc<dyn Signer>, grant: SignedGrant) -> Result<Self, GrantRefusal> {
        if grant.grant.signer != signer.address() || grant.grant.payer == grant.grant.signer {
            return Err(GrantRefusal::Parties);
        }
        Ok(Self {
            account: grant.grant.payer,
            signer,
            grant: Some(grant),
        })
    }

    /// Who owes and is owed.
    pub fn account(&self) -> Address {
        self.account
    }

    /// What signs.
    pub fn signer(&self) -> &dyn Signer {
        &*self.signer
    }

    /// Under which grant.
    pub fn grant(&self) -> Option<&SignedGrant> {
        self.grant.as_ref()
    }

    /// What receipts say of it: zero when the account's own key signs.
    pub fn grant_hash(&self) -> Salt {
        self.grant.as_ref().map_or(Salt::ZERO, SignedGrant::hash)
    }
}

/// The grants of one payer as far as they are known.
#[derive(Debug, Clone, Default)]
pub struct KnownGrants {
    grants: HashMap<Salt, SignedGrant>,
    revoked: HashMap<Address, u64>,
}

impl KnownGrants {
    /// What the ledger kept.
    ///
    /// # Errors
    /// A damaged row.
    pub fn from_rows<'a>(
        grants: impl IntoIterator<Item = &'a GrantRow>,
        revocations: &[RevocationRow],
    ) -> Result<Self, SignatureError> {
        let mut known = Self::default();
        for row in grants {
            known.add(SignedGrant::from_row(row)?);
        }
        for row in revocations {
            known.revoke(row.signer, row.serial);
        }
        Ok(known)
    }

    /// A verified grant.
    pub fn add(&mut self, grant: SignedGrant) {
        self.grants.insert(grant.hash(), grant);
    }

    /// A verified revocation.
    pub fn revoke(&mut self, signer: Address, serial: u64) {
        let known = self.revoked.entry(signer).or_insert(serial);
        *known = serial.max(*known);
    }

    /// The grant with this hash.
    pub fn get(&self, hash: Salt) -> Option<&SignedGrant> {
        self.grants.get(&hash)
    }

    /// What a grant to this signer is held against.
    pub fn context(&self, signer: Address, owed_elsewhere: RawAmount) -> GrantContext {
        GrantContext {
            highest_serial: self
                .grants
                .values()
                .filter(|known| known.grant.signer == signer)
                .map(|known| known.grant.serial)
                .max(),
            revoked_serial: self.revoked.get(&signer).copied(),
            owed_elsewhere,
        }
    }
}
