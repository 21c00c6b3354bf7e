//! `seedrail tx build`: drafts, with or without a node.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{
    Context, chain,
    failure::{Failure, Outcome},
    tx::print_transaction,
};
use crate::{
    tron::{
        contract::Contract,
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
        amount: Option<UnitAmount>,
        #[command(flatten)]
        common: Common,
    },
    /// A transfer of a TRC-10 token.
    TransferAsset {
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
        amount: Option<UnitAmount>,
        #[command(flatten)]
        common: Common,
    },
}

/// What every transfer has. With the four references given no node is asked.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Who pays.
    #[arg(long, value_name = "ADDRESS")]
    from: Address,
    /// Who is paid.
    #[arg(long, value_name = "ADDRESS")]
    to: Address,
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
    /// Which permission signs: 0 owner, 2 and up active.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..=9))]
    permission_id: i32,
}

fn hex_bytes<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| format!("`{text}` is not {N} bytes of hex ({} digits)", N * 2))?;
    Ok(bytes)
}

impl Build {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let (token, amount, common) = match self {
            Self::Transfer {
                amount_raw,
                amount,
                common,
            } => {
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
                (Token::Trx, raw, common)
            }
            Self::TransferAsset {
                token,
                amount_raw,
                amount,
                common,
            } => match (amount, token) {
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
                (Some(UnitAmount { token, raw }), _) => (token, raw, common),
                (None, Some(id)) => (Token::Trc10(id), amount_raw.unwrap_or_default(), common),
                (None, None) => return Err(Failure::usage("--token is missing")),
            },
        };
        if amount == RawAmount::ZERO {
            return Err(Failure::usage("the amount must be greater than 0"));
        }
        if common.from == common.to {
            return Err(Failure::usage("the chain refuses a transfer to oneself"));
        }
        let contract = Contract::transfer(common.from, common.to, token, amount);
        let draft = common.draft(context, contract, token).await?;
        print_transaction(context, &Transaction::from(draft.build()))
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
                let head = chain.fresh_head(context).await?.header.timestamp;
                let ref_block = match given {
                    Some((bytes, hash)) => RefBlock { bytes, hash },
                    None => RefBlock::from(chain.node.now_block(Finality::Solid).await?.id()),
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
