//! The messages of `sr_pay`: bencoded dictionaries, `t` is the name. Addresses
//! are 21 raw bytes, hashes 32, signatures 65, numbers integers ≤ `i64::MAX`.
//! Unknown keys and unknown messages are passed over.

use super::{
    body::{Receipt, SignedReceipt},
    grant::{Revoke, SignedGrant, SpendGrant},
};
use crate::{
    ledger::{EpochId, MAX_OPEN_EPOCHS},
    swarm::bencode::{self, BencodeError, Limits, Value},
    tron::keys::Signature,
    types::{Address, BlockId, RawAmount, Salt, TokenId, TxId},
};

/// The version of the exchange.
pub const VERSION: u64 = 1;
/// The longest reason in a `bye`, in bytes.
pub const MAX_REASON_BYTES: usize = 200;
/// The most receipts in each list of a `sync`: every epoch that can be open.
pub const MAX_SYNC_RECEIPTS: usize = MAX_OPEN_EPOCHS;

/// The most grants and the most revocations in a `grants`: one for each receipt of
/// the `sync` that follows.
pub const MAX_GRANTS: usize = 2 * MAX_SYNC_RECEIPTS;

/// Which process of an address it is: a payer keeps one epoch for each, since
/// two sellers' processes count what they served apart.
pub type Instance = [u8; 8];

/// `hello`: who is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HelloMessage {
    /// [`VERSION`].
    pub version: u64,
    /// The genesis block's id.
    pub chain: BlockId,
    /// What is paid in.
    pub token: TokenId,
    /// The sender.
    pub address: Address,
    /// For this connection alone.
    pub nonce: Salt,
    /// The sender's solid head.
    pub since: u64,
    /// Which process of the address.
    pub instance: Instance,
    /// A `quote` will follow.
    pub sells: bool,
    /// The grant the sender's receipts will be signed under.
    pub grant: Option<SignedGrant>,
    /// A grant taken back.
    pub revoke: Option<(Revoke, Signature)>,
}

/// Why a buyer is held, or not sold to: `why` of a `hold`. A word that is not known is
/// read as none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldReason {
    /// The window is used up: it goes on with the next receipt.
    Window,
    /// It owes as much as it may before it settles. What is sent from here on is free,
    /// until another award.
    Cap,
    /// The bidder's account is not on the chain.
    Account,
    /// It holds less of the token than it would owe.
    Balance,
    /// Addresses that did not settle owe enough together, or those of its network do.
    Strangers,
    /// It did not pay before.
    Default,
    /// The seller cannot look at it now; it will again.
    Busy,
}

impl HoldReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Window,
        Self::Cap,
        Self::Account,
        Self::Balance,
        Self::Strangers,
        Self::Default,
        Self::Busy,
    ];

    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Cap => "cap",
            Self::Account => "account",
            Self::Balance => "balance",
            Self::Strangers => "strangers",
            Self::Default => "default",
            Self::Busy => "busy",
        }
    }

    fn of(word: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.word().as_bytes() == word)
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Once a side.
    Hello(Box<HelloMessage>),
    /// The sender's signature over its `Hello` struct.
    Auth(Signature),
    /// The seller's terms.
    Quote {
        /// Raw units per GiB.
        floor_price: u64,
        /// Bytes.
        window: u64,
        /// Raw units.
        cap: RawAmount,
        /// Seconds since the Unix epoch.
        valid_until: u64,
        /// Over the `Quote` struct.
        signature: Signature,
    },
    /// Raw units per GiB at most; 0 withdraws.
    Bid(u64),
    /// What is paid from now on.
    Award {
        /// Raw units per GiB, at most the bid.
        price: u64,
        /// Bytes served ahead of receipts.
        window: u64,
    },
    /// A signed receipt.
    Receipt(Box<SignedReceipt>),
    /// The receipt is known, and on disk if `durable`.
    Ack {
        /// Its epoch.
        epoch: EpochId,
        /// Its sequence.
        sequence: u64,
        /// Stored durably.
        durable: bool,
    },
    /// Nothing more is sent at a price for now.
    Hold {
        /// Served and not receipted, in bytes.
        unpaid: u64,
        /// Bytes.
        window: u64,
        /// Why; nothing is read as [`HoldReason::Window`].
        why: Option<HoldReason>,
    },
    /// It is open again.
    Resume {
        /// Served and not receipted, in bytes.
        unpaid: u64,
        /// Bytes.
        window: u64,
    },
    /// What each side holds, newest of each epoch.
    Sync {
        /// Signed by the sender.
        issued: Vec<SignedReceipt>,
        /// Signed by the one it is sent to.
        received: Vec<SignedReceipt>,
    },
    /// Before a `sync`: the grants that its receipts are under, and what the
    /// sender took back.
    Grants {
        /// Of either side.
        grants: Vec<SignedGrant>,
        /// Of the sender.
        revokes: Vec<(Revoke, Signature)>,
    },
    /// A transfer to the receiver of this message; he looks for himself.
    Settled(TxId),
    /// The exchange ends; ordinary sharing goes on.
    Bye(String),
    /// Some later version's; passed over.
    Unknown,
}

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not bencoded.
    #[error(transparent)]
    Bencode(#[from] BencodeError),
    /// A key is missing or holds something else.
    #[error("sr_pay message `{message}` has no good `{key}`")]
    Key {
        /// The message, or what is inside it.
        message: &'static str,
        /// The key.
        key: &'static str,
    },
    /// More than there can be.
    #[error("sr_pay carries more than {0} in a list")]
    TooMany(usize),
}

fn int(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn raw(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}

/// A dictionary being read, with the name errors call it by.
struct Fields<'a> {
    message: &'static str,
    value: &'a Value,
}

impl Fields<'_> {
    fn error(&self, key: &'static str) -> MessageError {
        MessageError::Key {
            message: self.message,
            key,
        }
    }

    fn int(&self, key: &'static str) -> Result<u64, MessageError> {
        self.value
            .get(key)
            .and_then(Value::as_u64)
            .ok_or_else(|| self.error(key))
    }

    fn amount(&self, key: &'static str) -> Result<RawAmount, MessageError> {
        self.value
            .get(key)
            .and_then(Value::as_int)
            .and_then(|raw| RawAmount::new(raw).ok())
            .ok_or_else(|| self.error(key))
    }

    fn bytes(&self, key: &'static str) -> Result<&[u8], MessageError> {
        self.value
            .get(key)
            .and_then(Value::as_bytes)
            .ok_or_else(|| self.error(key))
    }

    fn array<const N: usize>(&self, key: &'static str) -> Result<[u8; N], MessageError> {
        self.bytes(key)?.try_into().map_err(|_| self.error(key))
    }

    fn address(&self, key: &'static str) -> Result<Address, MessageError> {
        Address::from_bytes(self.bytes(key)?).map_err(|_| self.error(key))
    }

    fn signature(&self, key: &'static str) -> Result<Signature, MessageError> {
        Signature::from_slice(self.bytes(key)?).map_err(|_| self.error(key))
    }

    fn token(&self, key: &'static str) -> Result<TokenId, MessageError> {
        self.value
            .get(key)
            .and_then(Value::as_int)
            .and_then(|id| TokenId::new(id).ok())
            .ok_or_else(|| self.error(key))
    }

    fn epoch(&self, key: &'static str) -> Result<EpochId, MessageError> {
        self.value
            .get(key)
            .and_then(Value::as_int)
            .and_then(EpochId::new)
            .ok_or_else(|| self.error(key))
    }

    fn list<T>(
        &self,
        key: &'static str,
        most: usize,
        read: impl Fn(&Value) -> Result<T, MessageError>,
    ) -> Result<Vec<T>, MessageError> {
        let Some(list) = self.value.get(key) else {
            return Ok(Vec::new());
        };
        let list = list.as_list().ok_or_else(|| self.error(key))?;
        if list.len() > most {
            return Err(MessageError::TooMany(most));
        }
        list.iter().map(read).collect()
    }
}

fn receipt_value(signed: &SignedReceipt) -> Value {
    let receipt = &signed.receipt;
    Value::dict([
        ("payer", raw(&receipt.payer.to_bytes())),
        ("payee", raw(&receipt.payee.to_bytes())),
        ("signer", raw(&receipt.signer.to_bytes())),
        ("vault", raw(&receipt.vault.to_bytes())),
        ("token", Value::Int(receipt.token.get())),
        ("epoch", Value::Int(receipt.epoch.get())),
        ("sinceBlock", int(receipt.since_block)),
        ("sequence", int(receipt.sequence)),
        ("amount", Value::Int(receipt.amount.get())),
        ("deliveredBytes", int(receipt.delivered_bytes)),
        ("issuedAt", int(receipt.issued_at)),
        ("grant", raw(receipt.grant.as_bytes())),
        ("sig", raw(&signed.signature.to_bytes())),
    ])
}

fn receipt_of(value: &Value) -> Result<SignedReceipt, MessageError> {
    let fields = Fields {
        message: "receipt",
        value,
    };
    Ok(SignedReceipt {
        receipt: Receipt {
            payer: fields.address("payer")?,
            payee: fields.address("payee")?,
            signer: fields.address("signer")?,
            vault: fields.address("vault")?,
            token: fields.token("token")?,
            epoch: fields.epoch("epoch")?,
            since_block: fields.int("sinceBlock")?,
            sequence: fields.int("sequence")?,
            amount: fields.amount("amount")?,
            delivered_bytes: fields.int("deliveredBytes")?,
            issued_at: fields.int("issuedAt")?,
            grant: Salt::from_bytes(fields.array("grant")?),
        },
        signature: fields.signature("sig")?,
    })
}

fn grant_value(signed: &SignedGrant) -> Value {
    let grant = &signed.grant;
    Value::dict([
        ("payer", raw(&grant.payer.to_bytes())),
        ("signer", raw(&grant.signer.to_bytes())),
        ("token", Value::Int(grant.token.get())),
        ("maxPerPayee", Value::Int(grant.max_per_payee.get())),
        ("maxTotal", Value::Int(grant.max_total.get())),
        ("notBefore", int(grant.not_before)),
        ("notAfter", int(grant.not_after)),
        ("serial", int(grant.serial)),
        ("sig", raw(&signed.signature.to_bytes())),
    ])
}

fn grant_of(value: &Value) -> Result<SignedGrant, MessageError> {
    let fields = Fields {
        message: "grant",
        value,
    };
    Ok(SignedGrant {
        grant: SpendGrant {
            payer: fields.address("payer")?,
            signer: fields.address("signer")?,
            token: fields.token("token")?,
            max_per_payee: fields.amount("maxPerPayee")?,
            max_total: fields.amount("maxTotal")?,
            not_before: fields.int("notBefore")?,
            not_after: fields.int("notAfter")?,
            serial: fields.int("serial")?,
        },
        signature: fields.signature("sig")?,
    })
}

fn revoke_value((revoke, signature): &(Revoke, Signature)) -> Value {
    Value::dict([
        ("payer", raw(&revoke.payer.to_bytes())),
        ("signer", raw(&revoke.signer.to_bytes())),
        ("serial", int(revoke.serial)),
        ("sig", raw(&signature.to_bytes())),
    ])
}

fn revoke_of(value: &Value) -> Result<(Revoke, Signature), MessageError> {
    let fields = Fields {
        message: "revoke",
        value,
    };
    let revoke = Revoke {
        payer: fields.address("payer")?,
        signer: fields.address("signer")?,
        serial: fields.int("serial")?,
    };
    Ok((revoke, fields.signature("sig")?))
}

impl Message {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let name = |name: &str| ("t", raw(name.as_bytes()));
        let terms = |t: &str, unpaid: u64, window: u64| {
            Value::dict([name(t), ("unpaid", int(unpaid)), ("window", int(window))])
        };
        let value = match self {
            Self::Hello(hello) => {
                let mut entries = vec![
                    name("hello"),
                    ("v", int(hello.version)),
                    ("chain", raw(hello.chain.as_bytes())),
                    ("token", Value::Int(hello.token.get())),
                    ("addr", raw(&hello.address.to_bytes())),
                    ("nonce", raw(hello.nonce.as_bytes())),
                    ("since", int(hello.since)),
                    ("inst", raw(&hello.instance)),
                    ("sells", Value::Int(i64::from(hello.sells))),
                ];
                if let Some(grant) = &hello.grant {
                    entries.push(("grant", grant_value(grant)));
                }
                if let Some(revoke) = &hello.revoke {
                    entries.push(("revoke", revoke_value(revoke)));
                }
                Value::dict(entries)
            }
            Self::Auth(signature) => {
                Value::dict([name("auth"), ("sig", raw(&signature.to_bytes()))])
            }
            Self::Quote {
                floor_price,
                window,
                cap,
                valid_until,
                signature,
            } => Value::dict([
                name("quote"),
                ("floor", int(*floor_price)),
                ("window", int(*window)),
                ("cap", Value::Int(cap.get())),
                ("until", int(*valid_until)),
                ("sig", raw(&signature.to_bytes())),
            ]),
            Self::Bid(price) => Value::dict([name("bid"), ("price", int(*price))]),
            Self::Award { price, window } => Value::dict([
                name("award"),
                ("price", int(*price)),
                ("window", int(*window)),
            ]),
            Self::Receipt(signed) => match receipt_value(signed) {
                Value::Dict(mut dict) => {
                    dict.insert(b"t".to_vec(), raw(b"receipt"));
                    Value::Dict(dict)
                }
                other => other,
            },
            Self::Ack {
                epoch,
                sequence,
                durable,
            } => Value::dict([
                name("ack"),
                ("epoch", Value::Int(epoch.get())),
                ("seq", int(*sequence)),
                ("durable", Value::Int(i64::from(*durable))),
            ]),
            Self::Hold {
                unpaid,
                window,
                why,
            } => match (terms("hold", *unpaid, *window), why) {
                (Value::Dict(mut dict), Some(why)) => {
                    dict.insert(b"why".to_vec(), raw(why.word().as_bytes()));
                    Value::Dict(dict)
                }
                (terms, _) => terms,
            },
            Self::Resume { unpaid, window } => terms("resume", *unpaid, *window),
            Self::Sync { issued, received } => {
                let list = |receipts: &[SignedReceipt]| {
                    Value::List(
                        receipts
                            .iter()
                            .take(MAX_SYNC_RECEIPTS)
                            .map(receipt_value)
                            .collect(),
                    )
                };
                Value::dict([
                    name("sync"),
                    ("issued", list(issued)),
                    ("received", list(received)),
                ])
            }
            Self::Grants { grants, revokes } => {
                let grants = grants.iter().take(MAX_GRANTS).map(grant_value);
                let revokes = revokes.iter().take(MAX_GRANTS).map(revoke_value);
                Value::dict([
                    name("grants"),
                    ("grants", Value::List(grants.collect())),
                    ("revokes", Value::List(revokes.collect())),
                ])
            }
            Self::Settled(txid) => Value::dict([name("settled"), ("txid", raw(txid.as_bytes()))]),
            Self::Bye(reason) => Value::dict([name("bye"), ("reason", raw(reason.as_bytes()))]),
            Self::Unknown => Value::dict([name("")]),
        };
        value.encode()
    }

    /// Reads one.
    ///
    /// # Errors
    /// Not bencoded within the bounds of a peer's message, or a key of a known
    /// message is missing or of another kind.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let value = bencode::decode(bytes, Limits::MESSAGE)?;
        let fields = |message| Fields {
            message,
            value: &value,
        };
        let name = fields("message").bytes("t")?.to_vec();
        Ok(match name.as_slice() {
            b"hello" => {
                let fields = fields("hello");
                Self::Hello(Box::new(HelloMessage {
                    version: fields.int("v")?,
                    chain: BlockId::from_bytes(fields.array("chain")?),
                    token: fields.token("token")?,
                    address: fields.address("addr")?,
                    nonce: Salt::from_bytes(fields.array("nonce")?),
                    since: fields.int("since")?,
                    instance: match value.get("inst") {
                        Some(_) => fields.array("inst")?,
                        None => Instance::default(),
                    },
                    sells: match value.get("sells") {
                        Some(_) => fields.int("sells")? != 0,
                        None => true,
                    },
                    grant: value.get("grant").map(grant_of).transpose()?,
                    revoke: value.get("revoke").map(revoke_of).transpose()?,
                }))
            }
            b"auth" => Self::Auth(fields("auth").signature("sig")?),
            b"quote" => {
                let fields = fields("quote");
                Self::Quote {
                    floor_price: fields.int("floor")?,
                    window: fields.int("window")?,
                    cap: fields.amount("cap")?,
                    valid_until: fields.int("until")?,
                    signature: fields.signature("sig")?,
                }
            }
            b"bid" => Self::Bid(fields("bid").int("price")?),
            b"award" => {
                let fields = fields("award");
                Self::Award {
                    price: fields.int("price")?,
                    window: fields.int("window")?,
                }
            }
            b"receipt" => Self::Receipt(Box::new(receipt_of(&value)?)),
            b"ack" => {
                let fields = fields("ack");
                Self::Ack {
                    epoch: fields.epoch("epoch")?,
                    sequence: fields.int("seq")?,
                    durable: fields.int("durable")? != 0,
                }
            }
            b"hold" | b"resume" => {
                let held = name == b"hold";
                let fields = fields(if held { "hold" } else { "resume" });
                let (unpaid, window) = (fields.int("unpaid")?, fields.int("window")?);
                if held {
                    let why = match value.get("why") {
                        Some(_) => HoldReason::of(fields.bytes("why")?),
                        None => None,
                    };
                    Self::Hold {
                        unpaid,
                        window,
                        why,
                    }
                } else {
                    Self::Resume { unpaid, window }
                }
            }
            b"sync" => {
                let fields = fields("sync");
                Self::Sync {
                    issued: fields.list("issued", MAX_SYNC_RECEIPTS, receipt_of)?,
                    received: fields.list("received", MAX_SYNC_RECEIPTS, receipt_of)?,
                }
            }
            b"grants" => {
                let fields = fields("grants");
                Self::Grants {
                    grants: fields.list("grants", MAX_GRANTS, grant_of)?,
                    revokes: fields.list("revokes", MAX_GRANTS, revoke_of)?,
                }
            }
            b"settled" => Self::Settled(TxId::from_bytes(fields("settled").array("txid")?)),
            b"bye" => {
                let fields = fields("bye");
                let reason = fields.bytes("reason")?;
                let reason = reason.get(..MAX_REASON_BYTES).unwrap_or(reason);
                // It is shown to people: nothing that moves a terminal's cursor.
                Self::Bye(
                    String::from_utf8_lossy(reason)
                        .chars()
                        .map(|c| if c.is_control() { '?' } else { c })
                        .collect(),
                )
            }
            _ => Self::Unknown,
        })
    }
}
