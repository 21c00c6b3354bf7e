//! `seedrail tx build`: drafts, with or without a node.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{
    Context, chain,
    failure::{Failure, Outcome},
    tx_documents::{operand, print_transaction},
    units::moment,
};
use crate::{
    tron::{
        contract::{
            AccountCreateContract, AccountUpdateContract, CancelAllUnfreezeV2Contract, Contract,
            DelegateResourceContract, FreezeBalanceV2Contract, ParticipateAssetIssueContract,
            UnDelegateResourceContract, UnfreezeAssetContract, UnfreezeBalanceV2Contract,
            UpdateAssetContract, Vote, VoteWitnessContract, WithdrawBalanceContract,
            WithdrawExpireUnfreezeContract,
        },
        permission,
        rpc::Finality,
        transaction::{Draft, MAX_EXPIRATION_AHEAD, RefBlock, Transaction},
    },
    types::{Address, Clock, RawAmount, SystemClock, Token, TokenId, UnitAmount, UnixMs},
};

/// The life of a transaction that is signed by hand.
const LIFE: Duration = Duration::from_secs(10 * 60);

#[derive(Debug, Subcommand)]
pub(crate) enum Build {
    /// A transfer of TRX.
    Transfer {
        /// Who is paid.
        #[arg(long, value_name = "ADDRESS")]
        to: Address,
        /// How much, in sun.
        #[arg(
            long,
            value_name = "SUN",
            required_unless_present = "amount",
            conflicts_with = "amount"
        )]
        amount_raw: Option<RawAmount>,
        /// How much, with its unit: 3TRX, 1500000sun.
        #[arg(long, value_name = "AMOUNT")]
        amount: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// A transfer of a TRC-10 token.
    TransferAsset {
        /// Who is paid.
        #[arg(long, value_name = "ADDRESS")]
        to: Address,
        /// The token's id.
        #[arg(long, value_name = "ID", required_unless_present = "amount")]
        token: Option<TokenId>,
        /// How much, in the token's smallest unit.
        #[arg(
            long,
            value_name = "N",
            required_unless_present = "amount",
            conflicts_with = "amount"
        )]
        amount_raw: Option<RawAmount>,
        /// How much, with its unit: 12.5BTT, 7raw:1000001.
        #[arg(long, value_name = "AMOUNT", conflicts_with = "token")]
        amount: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Make an account exist.
    AccountCreate {
        /// The new account.
        #[arg(long, value_name = "ADDRESS")]
        new_account: Address,
        #[command(flatten)]
        common: Common,
    },
    /// Name the account on the chain; it can be done once.
    AccountUpdate {
        /// The name, up to 200 bytes.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Change who may sign for the account: several keys, weights, thresholds.
    AccountPermissionUpdate {
        /// JSON with `owner` and `actives` (and `witness`), as `account permission`
        /// shows them; - for stdin.
        #[arg(long, value_name = "FILE")]
        permissions: String,
        #[command(flatten)]
        common: Common,
    },
    /// Issue a TRC-10 token; an account can do it once.
    AssetIssue(Box<AssetIssue>),
    /// Buy from a running token sale.
    ParticipateAssetIssue {
        /// The issuer.
        #[arg(long, value_name = "ADDRESS")]
        to: Address,
        /// The token's id.
        #[arg(long, value_name = "ID")]
        token: TokenId,
        /// What is paid for it: 10TRX.
        #[arg(long, value_name = "AMOUNT", value_parser = trx)]
        amount: i64,
        #[command(flatten)]
        common: Common,
    },
    /// Change the issued token's words and the bandwidth offered with it.
    UpdateAsset {
        /// Description.
        #[arg(long, default_value = "")]
        description: String,
        /// Web page.
        #[arg(long)]
        url: String,
        /// Free bandwidth for each holder, in bytes.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
        limit: i64,
        /// Points offered to all together.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
        public_limit: i64,
        #[command(flatten)]
        common: Common,
    },
    /// Take back the issued token's frozen supply.
    UnfreezeAsset(Common),
    /// Stake TRX for bandwidth or energy.
    FreezeBalance {
        /// Amount, for example 100TRX.
        #[arg(long, value_name = "AMOUNT", value_parser = trx)]
        amount: i64,
        /// Resource to stake for.
        #[arg(long, value_enum, default_value_t = Resource::Bandwidth)]
        resource: Resource,
        #[command(flatten)]
        common: Common,
    },
    /// Begin to unstake; the TRX can be withdrawn 14 days later.
    UnfreezeBalance {
        /// Amount, for example 100TRX.
        #[arg(long, value_name = "AMOUNT", value_parser = trx)]
        amount: i64,
        /// Resource to unstake from.
        #[arg(long, value_enum, default_value_t = Resource::Bandwidth)]
        resource: Resource,
        #[command(flatten)]
        common: Common,
    },
    /// Withdraw what was unstaked 14 days ago.
    WithdrawExpireUnfreeze(Common),
    /// Stake again everything that is being unstaked.
    CancelAllUnfreeze(Common),
    /// Lend staked bandwidth or energy.
    DelegateResource {
        /// To whom.
        #[arg(long, value_name = "ADDRESS")]
        to: Address,
        /// The stake lent: 100TRX.
        #[arg(long, value_name = "AMOUNT", value_parser = trx)]
        amount: i64,
        /// Resource to unstake from.
        #[arg(long, value_enum, default_value_t = Resource::Bandwidth)]
        resource: Resource,
        /// For this many blocks of 3 s it cannot be taken back.
        #[arg(long, value_name = "BLOCKS", value_parser = clap::value_parser!(i64).range(1..))]
        lock: Option<i64>,
        #[command(flatten)]
        common: Common,
    },
    /// Take lent bandwidth or energy back.
    #[command(name = "undelegate-resource")]
    UnDelegateResource {
        /// From whom.
        #[arg(long, value_name = "ADDRESS")]
        to: Address,
        /// The stake taken back: 100TRX.
        #[arg(long, value_name = "AMOUNT", value_parser = trx)]
        amount: i64,
        /// Resource to unstake from.
        #[arg(long, value_enum, default_value_t = Resource::Bandwidth)]
        resource: Resource,
        #[command(flatten)]
        common: Common,
    },
    /// Vote for witnesses with staked TRX; replaces all earlier votes.
    VoteWitness {
        /// A witness and a count: ADDRESS=1000; repeatable.
        #[arg(long = "vote", value_name = "ADDRESS=COUNT", required = true, value_parser = vote)]
        votes: Vec<(Address, i64)>,
        #[command(flatten)]
        common: Common,
    },
    /// Withdraw voting and witness rewards.
    WithdrawBalance(Common),
}

/// What is staked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Resource {
    /// Bytes of transactions.
    Bandwidth,
    /// Work of smart contracts.
    Energy,
}

impl Resource {
    pub(super) fn number(self) -> i32 {
        match self {
            Self::Bandwidth => 0,
            Self::Energy => 1,
        }
    }

    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bandwidth => "bandwidth",
            Self::Energy => "energy",
        }
    }
}

/// A new token.
#[derive(Debug, Args)]
pub(crate) struct AssetIssue {
    #[command(flatten)]
    terms: TokenTerms,
    #[command(flatten)]
    common: Common,
}

/// What a new token is, and how it is sold.
#[derive(Debug, Args)]
pub(crate) struct TokenTerms {
    /// Name of the token.
    #[arg(long)]
    name: String,
    /// Short name.
    #[arg(long, default_value = "")]
    abbr: String,
    /// Supply, in the smallest unit.
    #[arg(long, value_name = "N")]
    supply_raw: RawAmount,
    /// Decimals.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..=6))]
    precision: i32,
    /// Description.
    #[arg(long, default_value = "")]
    description: String,
    /// Web page.
    #[arg(long)]
    url: String,
    /// In the sale: sun taken for `--num` units.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    trx_num: i32,
    /// In the sale: units given for `--trx-num` sun.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    num: i32,
    /// When the sale starts, in milliseconds since 1970; after the head block.
    #[arg(long, value_name = "MS")]
    start: i64,
    /// When it ends.
    #[arg(long, value_name = "MS")]
    end: i64,
    /// Free bandwidth for each holder, in bytes.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    limit: i64,
    /// Points offered to all together.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    public_limit: i64,
}

impl TokenTerms {
    /// For people.
    pub(super) fn words(&self) -> String {
        format!(
            "{} of the smallest unit of `{}` with {} decimals, sold at {} for {} sun from {} to {}",
            self.supply_raw,
            self.name,
            self.precision,
            self.num,
            self.trx_num,
            moment(UnixMs(self.start)),
            moment(UnixMs(self.end))
        )
    }

    pub(super) fn contract(&self, owner_address: Vec<u8>) -> Outcome<Contract> {
        if self.start >= self.end {
            return Err(Failure::usage(format!(
                "the sale ends at {}, not after its start at {}",
                self.end, self.start
            )));
        }
        if self.supply_raw == RawAmount::ZERO {
            return Err(Failure::usage("a token's supply cannot be 0"));
        }
        Ok(crate::tron::contract::AssetIssueContract {
            owner_address,
            name: self.name.clone().into_bytes(),
            abbr: self.abbr.clone().into_bytes(),
            total_supply: self.supply_raw.get(),
            trx_num: self.trx_num,
            precision: self.precision,
            num: self.num,
            start_time: self.start,
            end_time: self.end,
            description: self.description.clone().into_bytes(),
            url: self.url.clone().into_bytes(),
            free_asset_net_limit: self.limit,
            public_free_asset_net_limit: self.public_limit,
            ..Default::default()
        }
        .into())
    }
}

/// An amount of TRX in sun, greater than 0.
pub(super) fn trx(text: &str) -> Result<i64, String> {
    let amount: UnitAmount = text.parse().map_err(|error| format!("{error}"))?;
    match amount {
        UnitAmount {
            token: Token::Trx,
            raw,
        } if raw != RawAmount::ZERO => Ok(raw.get()),
        _ => Err(format!("`{text}` is no amount of TRX greater than 0")),
    }
}

fn vote(text: &str) -> Result<(Address, i64), String> {
    let form = || format!("`{text}` is not ADDRESS=COUNT with a count greater than 0");
    let (address, count) = text.split_once('=').ok_or_else(form)?;
    let address = address.parse().map_err(|error| format!("{error}"))?;
    let count = count.parse().ok().filter(|count| *count > 0);
    Ok((address, count.ok_or_else(form)?))
}

/// What every transaction has. With the four references given no node is asked.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Whose transaction it is: who pays.
    #[arg(long, value_name = "ADDRESS")]
    from: Address,
    /// Bytes 6..8 of the reference block's number.
    #[arg(long, value_name = "HEX2", value_parser = hex_bytes::<2>, requires = "ref_block_hash")]
    ref_block_bytes: Option<[u8; 2]>,
    /// Bytes 8..16 of the reference block's id.
    #[arg(long, value_name = "HEX8", value_parser = hex_bytes::<8>, requires = "ref_block_bytes")]
    ref_block_hash: Option<[u8; 8]>,
    /// Milliseconds since 1970; now if not given.
    #[arg(long, value_name = "MS")]
    timestamp: Option<i64>,
    /// Milliseconds since 1970; ten minutes after the head block if not given.
    #[arg(long, value_name = "MS")]
    expiration: Option<i64>,
    /// A memo; costs a fee on most networks.
    #[arg(long, value_name = "TEXT")]
    memo: Option<String>,
    /// Permission that signs: 0 owner, 2 and up active.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..=9))]
    permission_id: i32,
}

fn typed(context: &Context, amount: Option<String>) -> Outcome<Option<UnitAmount>> {
    amount.map(|text| chain::amount(context, &text)).transpose()
}

fn hex_bytes<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| format!("`{text}` is not {N} bytes of hex ({} digits)", N * 2))?;
    Ok(bytes)
}

impl Build {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let (token, to, amount, common) = match self {
            Self::Transfer {
                to,
                amount_raw,
                amount,
                common,
            } => {
                let amount = typed(context, amount)?;
                let raw = match (amount_raw, amount) {
                    (
                        _,
                        Some(UnitAmount {
                            token: Token::Trx,
                            raw,
                        }),
                    ) => raw,
                    (_, Some(_)) => {
                        return Err(Failure::usage("`tx build transfer` sends TRX")
                            .hint("for a token use `tx build transfer-asset`"));
                    }
                    (raw, None) => raw.unwrap_or_default(),
                };
                (Token::Trx, to, raw, common)
            }
            Self::TransferAsset {
                to,
                token,
                amount_raw,
                amount,
                common,
            } => match (typed(context, amount)?, token) {
                (
                    Some(UnitAmount {
                        token: Token::Trx, ..
                    }),
                    _,
                ) => {
                    return Err(
                        Failure::usage("`tx build transfer-asset` sends a TRC-10 token")
                            .hint("for TRX use `tx build transfer`"),
                    );
                }
                (Some(UnitAmount { token, raw }), _) => (token, to, raw, common),
                (None, Some(id)) => (Token::Trc10(id), to, amount_raw.unwrap_or_default(), common),
                (None, None) => return Err(Failure::usage("--token is missing")),
            },
            other => {
                let (contract, common) = other.contract()?;
                let draft = common.draft(context, contract, Token::Trx).await?;
                return print_transaction(context, &Transaction::from(draft.build()));
            }
        };
        if amount == RawAmount::ZERO {
            return Err(Failure::usage("the amount must be greater than 0"));
        }
        if common.from == to {
            return Err(Failure::usage("the chain refuses a transfer to oneself"));
        }
        let contract = Contract::transfer(common.from, to, token, amount);
        let draft = common.draft(context, contract, token).await?;
        print_transaction(context, &Transaction::from(draft.build()))
    }
}

impl Build {
    /// Everything but transfers.
    fn contract(self) -> Outcome<(Contract, Common)> {
        let bytes = |address: &Address| address.to_bytes().to_vec();
        Ok(match self {
            Self::Transfer { .. } | Self::TransferAsset { .. } => {
                return Err(Failure::usage("a transfer is built another way"));
            }
            Self::AccountCreate {
                new_account,
                common,
            } => (
                AccountCreateContract {
                    owner_address: bytes(&common.from),
                    account_address: bytes(&new_account),
                    r#type: 0,
                }
                .into(),
                common,
            ),
            Self::AccountUpdate { name, common } => (
                AccountUpdateContract {
                    account_name: name.into_bytes(),
                    owner_address: bytes(&common.from),
                }
                .into(),
                common,
            ),
            Self::AccountPermissionUpdate {
                permissions,
                common,
            } => {
                let text = operand(&permissions)?;
                let invalid = |error: String| Failure::failed("permissions", error);
                let object = serde_json::from_str(&text)
                    .map_err(|error| invalid(format!("{permissions}: {error}")))?;
                let update = permission::update_from_json(common.from, &object)
                    .map_err(|error| invalid(format!("{permissions}: {error}")))?;
                (update.into(), common)
            }
            Self::AssetIssue(issue) => {
                let contract = issue.terms.contract(bytes(&issue.common.from))?;
                (contract, issue.common)
            }
            Self::ParticipateAssetIssue {
                to,
                token,
                amount,
                common,
            } => (
                ParticipateAssetIssueContract {
                    owner_address: bytes(&common.from),
                    to_address: bytes(&to),
                    asset_name: token.to_string().into_bytes(),
                    amount,
                }
                .into(),
                common,
            ),
            Self::UpdateAsset {
                description,
                url,
                limit,
                public_limit,
                common,
            } => (
                UpdateAssetContract {
                    owner_address: bytes(&common.from),
                    description: description.into_bytes(),
                    url: url.into_bytes(),
                    new_limit: limit,
                    new_public_limit: public_limit,
                }
                .into(),
                common,
            ),
            Self::UnfreezeAsset(common) => (
                UnfreezeAssetContract {
                    owner_address: bytes(&common.from),
                }
                .into(),
                common,
            ),
            Self::FreezeBalance {
                amount,
                resource,
                common,
            } => (
                FreezeBalanceV2Contract {
                    owner_address: bytes(&common.from),
                    frozen_balance: amount,
                    resource: resource.number(),
                }
                .into(),
                common,
            ),
            Self::UnfreezeBalance {
                amount,
                resource,
                common,
            } => (
                UnfreezeBalanceV2Contract {
                    owner_address: bytes(&common.from),
                    unfreeze_balance: amount,
                    resource: resource.number(),
                }
                .into(),
                common,
            ),
            Self::WithdrawExpireUnfreeze(common) => (
                WithdrawExpireUnfreezeContract {
                    owner_address: bytes(&common.from),
                }
                .into(),
                common,
            ),
            Self::CancelAllUnfreeze(common) => (
                CancelAllUnfreezeV2Contract {
                    owner_address: bytes(&common.from),
                }
                .into(),
                common,
            ),
            Self::DelegateResource {
                to,
                amount,
                resource,
                lock,
                common,
            } => (
                DelegateResourceContract {
                    owner_address: bytes(&common.from),
                    resource: resource.number(),
                    balance: amount,
                    receiver_address: bytes(&to),
                    lock: lock.is_some(),
                    lock_period: lock.unwrap_or(0),
                }
                .into(),
                common,
            ),
            Self::UnDelegateResource {
                to,
                amount,
                resource,
                common,
            } => (
                UnDelegateResourceContract {
                    owner_address: bytes(&common.from),
                    resource: resource.number(),
                    balance: amount,
                    receiver_address: bytes(&to),
                }
                .into(),
                common,
            ),
            Self::VoteWitness { votes, common } => (
                VoteWitnessContract {
                    owner_address: bytes(&common.from),
                    votes: votes
                        .iter()
                        .map(|(address, vote_count)| Vote {
                            vote_address: bytes(address),
                            vote_count: *vote_count,
                        })
                        .collect(),
                    support: false,
                }
                .into(),
                common,
            ),
            Self::WithdrawBalance(common) => (
                WithdrawBalanceContract {
                    owner_address: bytes(&common.from),
                }
                .into(),
                common,
            ),
        })
    }
}

impl Common {
    async fn draft(self, context: &Context, contract: Contract, token: Token) -> Outcome<Draft> {
        let timestamp = self.timestamp.map_or_else(|| SystemClock.now(), UnixMs);
        let given = self.ref_block_bytes.zip(self.ref_block_hash);
        let (ref_block, expiration) = match (given, self.expiration) {
            (Some((bytes, hash)), Some(expiration)) => {
                (RefBlock { bytes, hash }, UnixMs(expiration))
            }
            (given, expiration) => {
                let chain = chain::connect(context).await?;
                chain.token(context, token).await?;
                let head = chain.fresh_head(context).await?.timestamp;
                let ref_block = match given {
                    Some((bytes, hash)) => RefBlock { bytes, hash },
                    None => RefBlock::from(chain.node.head(Finality::Solid).await?.id()),
                };
                let expiration = expiration.map_or_else(|| head.plus(LIFE), UnixMs);
                if expiration <= head || expiration > head.plus(MAX_EXPIRATION_AHEAD) {
                    return Err(Failure::usage(format!(
                        "the expiration {expiration} is not within 24 hours after the head block's time {head}"
                    )));
                }
                (ref_block, expiration)
            }
        };
        let mut draft = Draft::new(contract, ref_block, expiration, timestamp);
        draft.memo = self.memo.unwrap_or_default().into_bytes();
        draft.permission_id = self.permission_id;
        Ok(draft)
    }
}
