//! `seedrail account`: what an account is, may and has, and changing it.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Context, account,
    act::{ActFlags, act},
    chain,
    failure::{Failure, Outcome},
    permissions::{self, keys_text, permissions_json, permissions_of},
    printable,
    tx_build::{self, Resource},
    units::moment,
};
use crate::{
    tron::{
        contract::{
            AccountCreateContract, CancelAllUnfreezeV2Contract, Contract, FreezeBalanceV2Contract,
            UnfreezeBalanceV2Contract, WithdrawExpireUnfreezeContract,
        },
        rpc::{Finality, Stake},
    },
    types::{Address, Sun},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Show an account: balance, stake, and who may sign for it.
    Show {
        /// Account to show. Default: the current one.
        address: Option<Address>,
    },
    /// Activate an address on the chain; costs about 1.1 TRX once.
    Activate {
        /// The new account.
        address: Address,
        #[command(flatten)]
        flags: ActFlags,
    },
    /// Show bandwidth and energy, and what staking would give.
    Resources {
        /// Account to show. Default: the current one.
        address: Option<Address>,
    },
    /// Show who may sign for an account, or change it.
    Permission {
        /// Account to show. Default: the current one.
        #[arg(conflicts_with = "set")]
        address: Option<Address>,
        /// Change it to what this file says, in the form in which it is shown; - for stdin.
        #[arg(long, value_name = "FILE")]
        set: Option<String>,
        /// Without a terminal to ask: make the change although the account's own key can no
        /// longer sign for everything.
        #[arg(long, requires = "set")]
        allow_lock_out: bool,
        #[command(flatten)]
        flags: ActFlags,
    },
    /// Stake TRX for bandwidth or energy.
    Stake {
        /// Amount, for example 100TRX.
        #[arg(value_name = "AMOUNT", value_parser = tx_build::trx)]
        amount: i64,
        /// Resource to stake for.
        #[arg(long, value_enum, default_value_t = Resource::Bandwidth)]
        resource: Resource,
        #[command(flatten)]
        flags: ActFlags,
    },
    /// Unstake TRX (it can be withdrawn 14 days later), withdraw it, or cancel unstaking.
    Unstake {
        /// Amount, for example 100TRX.
        #[arg(
            value_name = "AMOUNT",
            value_parser = tx_build::trx,
            required_unless_present_any = ["withdraw", "cancel"]
        )]
        amount: Option<i64>,
        /// Resource to unstake from.
        #[arg(long, value_enum, default_value_t = Resource::Bandwidth)]
        resource: Resource,
        /// Withdraw what was unstaked 14 days ago.
        #[arg(long, conflicts_with_all = ["amount", "cancel"])]
        withdraw: bool,
        /// Stake again everything that is being unstaked.
        #[arg(long, conflicts_with = "amount")]
        cancel: bool,
        #[command(flatten)]
        flags: ActFlags,
    },
}

fn bytes(address: Address) -> Vec<u8> {
    address.to_bytes().to_vec()
}

fn sun(amount: i64) -> Sun {
    Sun(amount.unsigned_abs())
}

impl Account {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Show { address } => show(context, address).await,
            Self::Resources { address } => resources(context, address).await,
            Self::Permission {
                address, set: None, ..
            } => permissions::show(context, address).await,
            Self::Permission {
                set: Some(file),
                allow_lock_out,
                flags,
                ..
            } => {
                let update = permissions::review(context, &file, &flags, allow_lock_out).await?;
                act(context, &flags, |from| permissions::change(from, update)).await
            }
            Self::Activate { address, flags } => {
                let chain = chain::connect(context).await?;
                if chain.node.account(Finality::Head, address).await?.is_some() {
                    return Err(Failure::failed(
                        "exists",
                        format!("{address} is on the chain already: there is nothing to make"),
                    ));
                }
                act(context, &flags, |from| {
                    let create = AccountCreateContract {
                        owner_address: bytes(from),
                        account_address: bytes(address),
                        r#type: 0,
                    };
                    Ok((create.into(), format!("makes the account {address}")))
                })
                .await
            }
            Self::Stake {
                amount,
                resource,
                flags,
            } => {
                act(context, &flags, |from| {
                    let stake = FreezeBalanceV2Contract {
                        owner_address: bytes(from),
                        frozen_balance: amount,
                        resource: resource.number(),
                    };
                    let words = format!("stakes {} for {}", sun(amount), resource.name());
                    Ok((stake.into(), words))
                })
                .await
            }
            Self::Unstake {
                amount,
                resource,
                withdraw,
                cancel: _,
                flags,
            } => {
                act(context, &flags, |from| {
                    Ok(unstake(from, amount, resource, withdraw))
                })
                .await
            }
        }
    }
}

fn unstake(
    from: Address,
    amount: Option<i64>,
    resource: Resource,
    withdraw: bool,
) -> (Contract, String) {
    let owner_address = bytes(from);
    match amount {
        Some(amount) => {
            let unstake = UnfreezeBalanceV2Contract {
                owner_address,
                unfreeze_balance: amount,
                resource: resource.number(),
            };
            let words = format!(
                "begins to unstake {} of {}, to be withdrawn in 14 days",
                sun(amount),
                resource.name()
            );
            (unstake.into(), words)
        }
        None if withdraw => (
            WithdrawExpireUnfreezeContract { owner_address }.into(),
            "withdraws what was unstaked 14 days ago".to_owned(),
        ),
        None => (
            CancelAllUnfreezeV2Contract { owner_address }.into(),
            "stakes again all that is being unstaked".to_owned(),
        ),
    }
}

fn stake_json(stake: &Stake) -> Value {
    let unstaking: Vec<_> = stake
        .unstaking
        .iter()
        .map(|(amount, until)| json!({ "amount_raw": amount.0.to_string(), "withdrawable_ms": until }))
        .collect();
    let both = |bandwidth: Sun, energy: Sun| json!({ "bandwidth_raw": bandwidth.0.to_string(), "energy_raw": energy.0.to_string() });
    json!({
        "own": both(stake.bandwidth, stake.energy),
        "lent": both(stake.lent_bandwidth, stake.lent_energy),
        "borrowed": both(stake.borrowed_bandwidth, stake.borrowed_energy),
        "unstaking": unstaking,
    })
}

async fn show(context: &Context, address: Option<Address>) -> Outcome {
    let address = account::named_or_own(context, address)?;
    let chain = chain::connect(context).await?;
    let account = chain.existing(address).await?;
    let permissions = permissions_of(&chain, address).await?;
    let resources = chain.node.resources(address).await?;
    let mut tokens = Vec::new();
    let mut lines = vec![format!("{address}  {}", account.name).trim_end().to_owned()];
    lines.push(format!("  {}", account.balance));
    for (id, amount) in &account.tokens {
        let asset = chain.asset(*id).await?;
        let whole = amount.to_decimal(asset.decimals);
        lines.push(format!(
            "  {whole} {}",
            chain::listed_name(*id, &asset.abbr)
        ));
        tokens.push(json!({ "id": id, "abbr": asset.abbr, "amount": whole, "amount_raw": amount }));
    }
    let stake = &account.stake;
    lines.push(format!(
        "  staked: {} for bandwidth, {} for energy",
        stake.bandwidth, stake.energy
    ));
    for (amount, until) in &stake.unstaking {
        lines.push(format!(
            "  unstaking {amount}, to be withdrawn from {}",
            moment(*until)
        ));
    }
    lines.push(format!(
        "  bandwidth left: {} free, {} staked",
        resources.free_left(),
        resources.staked_left()
    ));
    lines.push(format!(
        "  signs for everything: {}",
        keys_text(&permissions.owner)
    ));
    for active in &permissions.actives {
        lines.push(format!(
            "  permission {} `{}`: {}",
            active.id,
            printable::line(&active.permission_name),
            keys_text(active)
        ));
    }
    let document = json!({
        "address": address,
        "name": account.name,
        "trx": { "amount_raw": account.balance.0.to_string() },
        "tokens": tokens,
        "stake": stake_json(stake),
        "bandwidth": { "free_left": resources.free_left(), "staked_left": resources.staked_left() },
        "latest_operation_ms": account.latest_operation,
        "permissions": permissions_json(address, &permissions)?,
    });
    context.out.result(&document, || lines.join("\n"))
}

/// A transfer of a TRC-10 token, in points, as the design's examples have it.
const TRANSFER_POINTS: u64 = 281;

async fn resources(context: &Context, address: Option<Address>) -> Outcome {
    let address = account::named_or_own(context, address)?;
    let chain = chain::connect(context).await?;
    chain.existing(address).await?;
    let bandwidth = chain.node.resources(address).await?;
    let given = chain.node.stake_yield(address).await?;
    let ten = given.trx_for_bandwidth(10 * TRANSFER_POINTS);
    let document = json!({
        "address": address,
        "bandwidth": {
            "free": { "limit": bandwidth.free_limit, "left": bandwidth.free_left() },
            "staked": { "limit": bandwidth.staked_limit, "left": bandwidth.staked_left() },
        },
        "energy": {
            "limit": given.energy_limit,
            "left": given.energy_limit.saturating_sub(given.energy_used),
        },
        "trx_to_stake_for_ten_transfers_a_day": ten,
    });
    context.out.result(&document, || {
        let mut text = format!(
            "{address}\n  bandwidth: {} of {} free points left, {} of {} staked\n  energy: {} of {} left",
            bandwidth.free_left(),
            bandwidth.free_limit,
            bandwidth.staked_left(),
            bandwidth.staked_limit,
            given.energy_limit.saturating_sub(given.energy_used),
            given.energy_limit
        );
        if let Some(ten) = ten {
            text.push_str(&format!(
                "\n  {ten} TRX staked for bandwidth would carry ten transfers of a token a day"
            ));
        }
        text
    })
}
