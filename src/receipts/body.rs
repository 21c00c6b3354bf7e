//! What is signed: the structs of the domain "Seedrail Receipt", and the
//! checks of a receipt, cheapest first, each with its own reason.

use sha3::Digest;

use super::grant::{GrantContext, GrantRefusal, SignedGrant};
use crate::{
    ledger::{EpochId, Pair, ReceiptRow},
    tron::{
        keys::{Signature, SignatureError, Signer, SignerError},
        typed_data::{self, Domain, StructEncoder, TypedFields},
    },
    types::{Address, BlockId, RawAmount, Salt, TokenId},
};

/// How far ahead of our clock a receipt's `issuedAt` may be, in seconds. There
/// is no limit the other way: no money hangs on it.
pub const MAX_CLOCK_SKEW_SECS: u64 = 600;

/// Whether all are ≤ `i64::MAX`, as everything signed is.
pub(super) fn within_range(numbers: &[u64]) -> bool {
    numbers.iter().all(|n| i64::try_from(*n).is_ok())
}

/// A struct of the domain.
pub trait TypedStruct {
    /// Its fields, in the order of its type.
    fn fields(&self) -> StructEncoder<'static>;

    /// TIP-712's `hashStruct`.
    fn struct_hash(&self) -> [u8; 32] {
        self.fields().hash()
    }
}

/// The domain `("Seedrail Receipt", "1", chain id, genesis id)` of one chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptDomain {
    genesis: BlockId,
    domain: Domain,
    separator: [u8; 32],
}

impl ReceiptDomain {
    /// The domain's name.
    pub const NAME: &'static str = "Seedrail Receipt";
    /// The domain's version.
    pub const VERSION: &'static str = "1";

    /// The domain on the chain with this genesis block.
    pub fn new(genesis: BlockId) -> Self {
        let domain = Domain::on_chain(Self::NAME, Self::VERSION, genesis);
        Self {
            genesis,
            separator: domain.separator(),
            domain,
        }
    }

    /// The chain's genesis block: the domain's salt.
    pub fn genesis(&self) -> BlockId {
        self.genesis
    }

    /// The last four bytes of the genesis block's id.
    pub fn chain_id(&self) -> u32 {
        self.domain.chain_id
    }

    /// The domain's hash.
    pub fn separator(&self) -> &[u8; 32] {
        &self.separator
    }

    /// What is signed for a struct.
    pub fn digest(&self, body: &impl TypedStruct) -> [u8; 32] {
        typed_data::digest(&self.separator, &body.struct_hash())
    }

    /// Signs a struct.
    ///
    /// # Errors
    /// The signer refused.
    pub fn sign(
        &self,
        body: &impl TypedStruct,
        signer: &dyn Signer,
    ) -> Result<Signature, SignerError> {
        let fields = body.fields();
        let document = TypedFields {
            domain: &self.domain,
            fields: &fields,
        };
        typed_data::sign(signer, &self.separator, &fields.hash(), &document)
    }

    /// Who signed a struct.
    ///
    /// # Errors
    /// Nobody did.
    pub fn signer_of(
        &self,
        body: &impl TypedStruct,
        signature: &Signature,
    ) -> Result<Address, SignatureError> {
        typed_data::signer_of(&self.separator, &body.struct_hash(), signature)
    }

    /// Whether `signer` signed it, in the one form that is stored: a high s
    /// would be a second signature of the same statement.
    pub fn is_signed_by(
        &self,
        body: &impl TypedStruct,
        signature: &Signature,
        signer: Address,
    ) -> bool {
        signature.is_low_s() && self.signer_of(body, signature) == Ok(signer)
    }
}

/// "payer owes payee `amount` in this epoch, for `delivered_bytes`". Amount and
/// bytes are cumulative in the epoch. All integers ≤ `i64::MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Who owes.
    pub payer: Address,
    /// Who is owed.
    pub payee: Address,
    /// Whose key signs: the payer's, or a granted session key's.
    pub signer: Address,
    /// The zero address: settled directly, never by a contract.
    pub vault: Address,
    /// In which token.
    pub token: TokenId,
    /// The series.
    pub epoch: EpochId,
    /// The payer's solid head when the epoch began.
    pub since_block: u64,
    /// From 1 on, strictly increasing.
    pub sequence: u64,
    /// In raw units.
    pub amount: RawAmount,
    /// Verified bytes.
    pub delivered_bytes: u64,
    /// When it was signed, in seconds since the Unix epoch.
    pub issued_at: u64,
    /// Struct hash of the spend grant in use; zero when signer = payer.
    pub grant: Salt,
}

impl TypedStruct for Receipt {
    fn fields(&self) -> StructEncoder<'static> {
        StructEncoder::new(
            "Receipt(address payer,address payee,address signer,address vault,trcToken token,\
             uint64 epoch,uint64 sinceBlock,uint64 sequence,uint256 amount,\
             uint256 deliveredBytes,uint64 issuedAt,bytes32 grant)",
        )
        .address(self.payer)
        .address(self.payee)
        .address(self.signer)
        .address(self.vault)
        .token(self.token)
        .uint(self.epoch.get().unsigned_abs())
        .uint(self.since_block)
        .uint(self.sequence)
        .uint(self.amount.unsigned())
        .uint(self.delivered_bytes)
        .uint(self.issued_at)
        .bytes32(self.grant.as_bytes())
    }
}

/// "I am `this`, I talk to `peer`, on this very connection."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// Who signs.
    pub this: Address,
    /// To whom.
    pub peer: Address,
    /// The signer's nonce.
    pub nonce_self: Salt,
    /// The peer's nonce.
    pub nonce_peer: Salt,
    /// [`Hello::peer_ids`] of the connection.
    pub peer_ids: Salt,
}

impl Hello {
    /// Binds the connection's BitTorrent identities: keccak256 of the signer's
    /// peer id and the other's, 20 bytes each.
    pub fn peer_ids(signer: &[u8; 20], other: &[u8; 20]) -> Salt {
        let mut hasher = sha3::Keccak256::new();
        hasher.update(signer);
        hasher.update(other);
        Salt::from_bytes(hasher.finalize().into())
    }
}

impl TypedStruct for Hello {
    fn fields(&self) -> StructEncoder<'static> {
        StructEncoder::new(
            "Hello(address self,address peer,bytes32 nonceSelf,bytes32 noncePeer,bytes32 peerIds)",
        )
        .address(self.this)
        .address(self.peer)
        .bytes32(self.nonce_self.as_bytes())
        .bytes32(self.nonce_peer.as_bytes())
        .bytes32(self.peer_ids.as_bytes())
    }
}

/// A seller's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// Who sells.
    pub payee: Address,
    /// For which token.
    pub token: TokenId,
    /// The lowest price, in raw units per GiB.
    pub floor_price: u64,
    /// Bytes served ahead of receipts, to begin with.
    pub window: u64,
    /// What may be owed and unsettled, in raw units.
    pub cap: RawAmount,
    /// In seconds since the Unix epoch.
    pub valid_until: u64,
}

impl TypedStruct for Quote {
    fn fields(&self) -> StructEncoder<'static> {
        StructEncoder::new(
            "Quote(address payee,trcToken token,uint256 floorPrice,uint256 window,uint256 cap,\
             uint64 validUntil)",
        )
        .address(self.payee)
        .token(self.token)
        .uint(self.floor_price)
        .uint(self.window)
        .uint(self.cap.unsigned())
        .uint(self.valid_until)
    }
}

/// Why a receipt is refused, in the order in which it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// For another chain, application or version.
    #[error("it is signed for another chain or application")]
    Domain,
    /// Payer and payee are the same or nobody, not the two it is about, or the
    /// signer does not fit the grant.
    #[error("its payer or payee is another account")]
    Parties,
    /// In another token.
    #[error("it is in another token ({0})")]
    Token(TokenId),
    /// For a vault; this version knows none.
    #[error("it is for the vault {0}, and this version settles directly only")]
    Vault(Address),
    /// An integer above `i64::MAX`.
    #[error("it holds a number above 9223372036854775807")]
    Bounds,
    /// Sequence numbers begin at 1.
    #[error("its sequence is 0")]
    Sequence,
    /// Contradicts the newest known one: lower amount or bytes under a higher
    /// sequence, the reverse, or another beginning of the epoch.
    #[error(
        "it contradicts the newest known receipt of its epoch (sequence {sequence}, \
         amount {amount})"
    )]
    Regress {
        /// Sequence of the newest.
        sequence: u64,
        /// Amount of the newest.
        amount: RawAmount,
    },
    /// From the future.
    #[error("it was issued at {issued_at}, more than ten minutes after our clock's {now}")]
    IssuedAt {
        /// The receipt's, in seconds since the Unix epoch.
        issued_at: u64,
        /// Ours.
        now: u64,
    },
    /// Under a grant that is missing or does not allow it.
    #[error(transparent)]
    Grant(#[from] GrantRefusal),
    /// The signer did not sign it.
    #[error("its signature is not the signer's")]
    Signature,
}

impl Refusal {
    /// One word, for tables and machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Parties => "parties",
            Self::Token(_) => "token",
            Self::Vault(_) => "vault",
            Self::Bounds => "bounds",
            Self::Sequence => "sequence",
            Self::Regress { .. } => "regress",
            Self::IssuedAt { .. } => "issued_at",
            Self::Grant(_) => "grant",
            Self::Signature => "signature",
        }
    }
}

/// What a good receipt is, next to the newest known one of its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Higher than what is known, or the first.
    Higher,
    /// Known already, or older and consistent. Its signature was not looked at.
    Unchanged,
    /// Another statement under the known sequence, and both are validly
    /// signed: the payer contradicts itself.
    Equivocation,
}

/// What a receipt is held against.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The chain.
    pub domain: &'a ReceiptDomain,
    /// Who must owe; anybody if `None`.
    pub payer: Option<Address>,
    /// Who must be owed; anybody if `None`.
    pub payee: Option<Address>,
    /// In which token; any if `None`.
    pub token: Option<TokenId>,
    /// The newest known receipt of this pair and epoch.
    pub last: Option<&'a SignedReceipt>,
    /// The grant that came with it.
    pub grant: Option<&'a SignedGrant>,
    /// What is known of the payer's grants.
    pub grants: GrantContext,
    /// Our clock, in seconds since the Unix epoch.
    pub now_secs: u64,
}

/// A receipt with its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedReceipt {
    /// What was signed.
    pub receipt: Receipt,
    /// By the signer's key, v as 27 or 28.
    pub signature: Signature,
}

impl SignedReceipt {
    /// Signs a receipt. Never call it twice for one sequence: a stored
    /// signature is sent again instead.
    ///
    /// # Errors
    /// The signer refused.
    pub fn sign(
        receipt: Receipt,
        domain: &ReceiptDomain,
        signer: &dyn Signer,
    ) -> Result<Self, SignerError> {
        Ok(Self {
            signature: domain.sign(&receipt, signer)?,
            receipt,
        })
    }

    /// From the ledger, which keeps only receipts of the zero vault.
    ///
    /// # Errors
    /// The stored bytes are no signature: a damaged row.
    pub fn from_row(row: &ReceiptRow) -> Result<Self, SignatureError> {
        Ok(Self {
            receipt: Receipt {
                payer: row.pair.payer,
                payee: row.pair.payee,
                signer: row.signer,
                vault: Address::ZERO,
                token: row.pair.token,
                epoch: row.epoch,
                since_block: row.since_block,
                sequence: row.sequence,
                amount: row.amount,
                delivered_bytes: row.delivered_bytes,
                issued_at: row.issued_at,
                grant: row.grant,
            },
            signature: Signature::from_slice(&row.signature)?,
        })
    }

    /// For the ledger; only after [`check`](Self::check).
    pub fn to_row(&self) -> ReceiptRow {
        let receipt = &self.receipt;
        ReceiptRow {
            pair: self.pair(),
            signer: receipt.signer,
            epoch: receipt.epoch,
            since_block: receipt.since_block,
            sequence: receipt.sequence,
            amount: receipt.amount,
            delivered_bytes: receipt.delivered_bytes,
            issued_at: receipt.issued_at,
            grant: receipt.grant,
            signature: self.signature.to_bytes(),
        }
    }

    /// Who owes whom in what.
    pub fn pair(&self) -> Pair {
        Pair {
            payer: self.receipt.payer,
            payee: self.receipt.payee,
            token: self.receipt.token,
        }
    }

    /// Whether its payer said it, whenever that was: signed by the payer's key,
    /// or by one that the payer granted this much to.
    pub fn is_authentic(&self, domain: &ReceiptDomain, grant: Option<&SignedGrant>) -> bool {
        let receipt = &self.receipt;
        let allowed = if receipt.signer == receipt.payer {
            receipt.grant == Salt::ZERO
        } else {
            grant.is_some_and(|grant| {
                let within = (grant.grant.not_before..=grant.grant.not_after)
                    .contains(&receipt.issued_at)
                    && receipt.amount <= grant.grant.max_per_payee;
                let same = grant.hash() == receipt.grant
                    && grant.grant.payer == receipt.payer
                    && grant.grant.signer == receipt.signer
                    && grant.grant.token == receipt.token;
                same && within && grant.check_signature(domain).is_ok()
            })
        };
        allowed && domain.is_signed_by(receipt, &self.signature, receipt.signer)
    }

    /// The checks, cheapest first; the domain a receipt claims is compared by
    /// whoever reads one that carries it, and is otherwise proven by the
    /// signature.
    ///
    /// # Errors
    /// The first reason found.
    pub fn check(&self, expected: &Expected<'_>) -> Result<Accepted, Refusal> {
        let receipt = &self.receipt;
        let other = |known: Option<Address>, found| known.is_some_and(|known| known != found);
        if receipt.payer == receipt.payee
            || receipt.payer == Address::ZERO
            || receipt.payee == Address::ZERO
            || other(expected.payer, receipt.payer)
            || other(expected.payee, receipt.payee)
            || (receipt.signer == receipt.payer) != (receipt.grant == Salt::ZERO)
        {
            return Err(Refusal::Parties);
        }
        if expected.token.is_some_and(|token| token != receipt.token) {
            return Err(Refusal::Token(receipt.token));
        }
        if receipt.vault != Address::ZERO {
            return Err(Refusal::Vault(receipt.vault));
        }
        if !within_range(&[
            receipt.since_block,
            receipt.sequence,
            receipt.delivered_bytes,
            receipt.issued_at,
        ]) {
            return Err(Refusal::Bounds);
        }
        if receipt.sequence == 0 {
            return Err(Refusal::Sequence);
        }
        let accepted = match expected.last {
            Some(last) => receipt.after(&last.receipt)?,
            None => Accepted::Higher,
        };
        if accepted == Accepted::Unchanged {
            return Ok(accepted);
        }
        if receipt.issued_at > expected.now_secs.saturating_add(MAX_CLOCK_SKEW_SECS) {
            return Err(Refusal::IssuedAt {
                issued_at: receipt.issued_at,
                now: expected.now_secs,
            });
        }
        let grant = match receipt.grant {
            Salt::ZERO => None,
            hash => {
                let grant = expected
                    .grant
                    .filter(|grant| grant.hash() == hash)
                    .ok_or(GrantRefusal::Missing)?;
                grant.check(
                    (receipt.payer, receipt.signer, receipt.token),
                    receipt.amount,
                    expected.now_secs,
                    &expected.grants,
                )?;
                Some(grant)
            }
        };
        if let Some(grant) = grant {
            grant.check_signature(expected.domain)?;
        }
        if !expected
            .domain
            .is_signed_by(receipt, &self.signature, receipt.signer)
        {
            return Err(Refusal::Signature);
        }
        Ok(accepted)
    }
}

impl Receipt {
    /// What it is after `last`, the newest known receipt of the same epoch.
    fn after(&self, last: &Self) -> Result<Accepted, Refusal> {
        if *self == *last {
            return Ok(Accepted::Unchanged);
        }
        let regress = Err(Refusal::Regress {
            sequence: last.sequence,
            amount: last.amount,
        });
        let (older, newer) = match self.sequence.cmp(&last.sequence) {
            std::cmp::Ordering::Equal => return Ok(Accepted::Equivocation),
            std::cmp::Ordering::Less => (self, last),
            std::cmp::Ordering::Greater => (last, self),
        };
        if self.since_block != last.since_block
            || newer.amount < older.amount
            || newer.delivered_bytes < older.delivered_bytes
        {
            return regress;
        }
        Ok(if self.sequence > last.sequence {
            Accepted::Higher
        } else {
            Accepted::Unchanged
        })
    }
}
