//! What a transaction does to the state: validate, then apply, both pure.
//!
//! The order of checks and every text are java-tron's (`Manager.java`,
//! `actuator/*.java`), so a client cannot tell the difference by a refusal.

mod absent;
mod account;
mod asset;
mod contract;
mod contract_admin;
mod delegate;
mod exchange;
mod proposal;
mod stake;
mod transfer;
mod witness;

pub(crate) use {
    contract::{
        Constant, EnergyBill, Execution, NO_PROGRAM, Slot, created_address, run_constant, words,
    },
    delegate::{delegable, delegate, foreseen_bytes, undelegate},
    exchange::Exchange,
    stake::{MAX_UNFREEZING, cancel_all, freeze, unfreeze, withdraw},
    witness::{is_guard, tron_power},
};

use contract::Sending;

use crate::{
    devnet::{
        bandwidth::{self, NetBill},
        incoming::Incoming,
        params::Parameter,
        permission,
        reject::Reject,
        state::{Account, State},
    },
    tron::{
        contract::{Contract, ContractType, type_name},
        transaction::{
            MAX_EXPIRATION_AHEAD, MAX_RESULT_SIZE_IN_TX, MAX_TRANSACTION_BYTES, TransactionResult,
        },
    },
    types::{Address, UnixMs},
};

/// What a contract gave besides its effect on the state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Outcome {
    /// The actuator's own fee, sun.
    pub(crate) fee: i64,
    pub(crate) asset_issue_id: Option<i64>,
    /// Reward and unstaked TRX that became balance, sun.
    pub(crate) withdraw_amount: i64,
    pub(crate) withdraw_expire_amount: i64,
    /// What an exchange notes, by its name in `TransactionInfo`.
    pub(crate) exchange: Option<(&'static str, i64)>,
    /// Bandwidth, energy, power given back to stake by a cancellation.
    pub(crate) cancelled: Option<[i64; 3]>,
    /// What a contract did.
    pub(crate) execution: Option<Box<Execution>>,
}

/// What the chain notes about an executed transaction (`TransactionInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Receipt {
    pub(crate) net: NetBill,
    pub(crate) multi_sign_fee: i64,
    pub(crate) memo_fee: i64,
    pub(crate) outcome: Outcome,
}

impl Receipt {
    /// Everything burnt, sun.
    pub(crate) fn fee(&self) -> i64 {
        self.net.fee + self.multi_sign_fee + self.memo_fee + self.outcome.fee + self.energy().fee
    }

    /// Who paid for a contract's energy.
    pub(crate) fn energy(&self) -> EnergyBill {
        let execution = self.outcome.execution.as_ref();
        execution.map_or_else(EnergyBill::default, |execution| execution.energy)
    }

    /// What the chain notes beside the transaction itself.
    pub(crate) fn result(&self) -> TransactionResult {
        let execution = self.outcome.execution.as_ref();
        TransactionResult {
            contract_ret: execution.map_or(1, |execution| execution.result.number()),
            ..TransactionResult::SUCCESS
        }
    }
}

/// The checks a node makes before a transaction may enter its pool.
pub(crate) fn check_broadcast(
    state: &State,
    incoming: &Incoming,
    next_slot: UnixMs,
) -> Result<(), Reject> {
    let Some(contract) = incoming.raw_contract() else {
        return Reject::validate("No contract!");
    };
    // Before its owner's permission is looked at: of a contract that cannot be read,
    // nobody is the owner.
    if let Some(name) = not_executed(contract.contract_type) {
        return Err(not_executed_here(name));
    }
    if incoming.raw().expiration < next_slot {
        return Err(Reject::Expired);
    }
    permission::check(state, incoming)
}

/// Executes a transaction on top of a state (`Manager.processTransaction`).
/// Nothing is changed when it is refused: the state is a new one.
///
/// `next_slot` is the earliest time of the block that may hold it, `slot` the block it is
/// for.
pub(crate) fn apply(
    state: &State,
    incoming: &Incoming,
    next_slot: UnixMs,
    slot: Slot,
) -> Result<(State, Receipt), Reject> {
    let count = incoming.raw().contracts.len();
    if count != 1 {
        return Reject::validate(format!(
            "tx {} contract size should be exactly 1, this is extend feature ,actual :{count}",
            incoming.txid()
        ));
    }
    check_tapos(state, incoming)?;
    check_size_and_time(state, incoming, next_slot)?;
    if state.place(&incoming.txid()).is_some() {
        return Err(Reject::Duplicate);
    }
    permission::check(state, incoming)?;

    let mut state = state.clone();
    let net = bandwidth::consume(&mut state, incoming)?;
    let mut receipt = Receipt {
        net,
        ..Receipt::default()
    };
    if incoming.transaction().signatures().len() > 1 {
        let fee = state.parameters.get(Parameter::MultiSignFee);
        receipt.multi_sign_fee = bandwidth::charge(&mut state, incoming.owner(), fee)?;
    }
    if !incoming.raw().memo.is_empty() {
        let fee = state.parameters.get(Parameter::MemoFee);
        receipt.memo_fee = bandwidth::charge(&mut state, incoming.owner(), fee)?;
    }
    let sending = Sending {
        txid: incoming.txid(),
        fee_limit: incoming.raw().fee_limit_sun,
        slot,
    };
    receipt.outcome = match incoming.contract()? {
        Contract::CreateSmart(create) => contract::create(&mut state, create, &sending)?,
        Contract::TriggerSmart(call) => contract::call(&mut state, call, &sending)?,
        other => run(&mut state, other)?,
    };
    Ok((state, receipt))
}

fn check_tapos(state: &State, incoming: &Incoming) -> Result<(), Reject> {
    let raw = incoming.raw();
    match state.reference(&raw.ref_block_bytes) {
        Some(hash) if hash.as_slice() == raw.ref_block_hash => Ok(()),
        _ => Err(Reject::Tapos),
    }
}

fn check_size_and_time(
    state: &State,
    incoming: &Incoming,
    next_slot: UnixMs,
) -> Result<(), Reject> {
    let size = incoming.size() + 2 * i64::try_from(MAX_RESULT_SIZE_IN_TX).unwrap_or(0);
    if size > i64::try_from(MAX_TRANSACTION_BYTES).unwrap_or(i64::MAX) {
        return Err(Reject::TooBig(format!(
            "Too big transaction with result, TxId {}, the size is {size} bytes, maxTxSize {MAX_TRANSACTION_BYTES}",
            incoming.txid()
        )));
    }
    let expiration = incoming.raw().expiration;
    let head = state.properties.head_time;
    if expiration < next_slot || expiration > head.plus(MAX_EXPIRATION_AHEAD) {
        return Err(Reject::Expired);
    }
    Ok(())
}

/// Only the contract's own checks: what a node does before it builds a
/// transaction for a client.
pub(crate) fn validate(state: &State, contract: &Contract) -> Result<(), Reject> {
    run(&mut state.clone(), contract).map(|_| ())
}

fn run(state: &mut State, contract: &Contract) -> Result<Outcome, Reject> {
    match contract {
        Contract::AccountCreate(contract) => account::create(state, contract),
        Contract::Transfer(contract) => transfer::trx(state, contract),
        Contract::TransferAsset(contract) => transfer::asset(state, contract),
        Contract::AssetIssue(contract) => asset::issue(state, contract),
        Contract::ParticipateAssetIssue(contract) => asset::participate(state, contract),
        Contract::UpdateAsset(contract) => asset::update(state, contract),
        Contract::UnfreezeAsset(contract) => asset::unfreeze(state, contract),
        Contract::AccountUpdate(contract) => account::update(state, contract),
        Contract::SetAccountId(contract) => account::set_id(state, contract),
        Contract::AccountPermissionUpdate(contract) => account::update_permissions(state, contract),
        Contract::FreezeBalanceV2(contract) => stake::freeze(state, contract),
        Contract::UnfreezeBalanceV2(contract) => stake::unfreeze(state, contract),
        Contract::WithdrawExpireUnfreeze(contract) => stake::withdraw(state, contract),
        Contract::CancelAllUnfreezeV2(contract) => stake::cancel_all(state, contract),
        Contract::DelegateResource(contract) => delegate::delegate(state, contract),
        Contract::UnDelegateResource(contract) => delegate::undelegate(state, contract),
        Contract::VoteWitness(contract) => witness::vote(state, contract),
        Contract::WitnessCreate(contract) => witness::create(state, contract),
        Contract::WitnessUpdate(contract) => witness::update(state, contract),
        Contract::UpdateBrokerage(contract) => witness::brokerage(state, contract),
        Contract::ProposalCreate(contract) => proposal::create(state, contract),
        Contract::ProposalApprove(contract) => proposal::approve(state, contract),
        Contract::ProposalDelete(contract) => proposal::delete(state, contract),
        Contract::UpdateSetting(contract) => contract_admin::setting(state, contract),
        Contract::UpdateEnergyLimit(contract) => contract_admin::energy_limit(state, contract),
        Contract::ClearAbi(contract) => contract_admin::clear_abi(state, contract),
        Contract::ExchangeCreate(contract) => exchange::create(state, contract),
        Contract::ExchangeInject(contract) => exchange::inject(state, contract),
        Contract::ExchangeWithdraw(contract) => exchange::withdraw(state, contract),
        Contract::ExchangeTransaction(contract) => exchange::trade(state, contract),
        Contract::WithdrawBalance(contract) => witness::withdraw_reward(state, contract),
        Contract::FreezeBalance(_)
        | Contract::UnfreezeBalance(_)
        | Contract::MarketSellAsset(_)
        | Contract::MarketCancelOrder(_) => absent::refuse(state, contract),
        // Neither comes here: they need a transaction around them.
        other => Err(not_executed_here(other.contract_type().name())),
    }
}

/// The name of a contract type of the chain that this node does not execute.
fn not_executed(contract_type: i32) -> Option<&'static str> {
    match ContractType::from_number(contract_type) {
        Some(_) => None,
        None => type_name(contract_type),
    }
}

fn not_executed_here(name: &str) -> Reject {
    Reject::Validate(format!("contract type {name} is not executed by this node"))
}

/// An address of the contract, or the actuator's words for a bad one.
fn address(bytes: &[u8], message: &str) -> Result<Address, Reject> {
    Address::from_bytes(bytes).map_err(|_| Reject::Validate(message.to_owned()))
}

/// `Account[<hex>] does not exist`, as most actuators say.
fn existing(state: &State, address: &Address) -> Result<Account, Reject> {
    match state.account(address) {
        Some(account) => Ok(account.as_ref().clone()),
        None => Reject::validate(format!("Account[{}] does not exist", address.to_hex())),
    }
}

/// Java's `ArithmeticException` of `addExact`.
fn add_exact(left: i64, right: i64) -> Result<i64, Reject> {
    left.checked_add(right)
        .ok_or_else(|| Reject::Validate("long overflow".to_owned()))
}

/// Takes the actuator's fee; the black hole is optimised away, so it is burnt.
fn pay_fee(state: &mut State, owner: &Address, fee: i64) -> Result<(), Reject> {
    if fee == 0 {
        return Ok(());
    }
    let mut account = existing(state, owner)?;
    if account.balance < fee {
        return Err(Reject::Execute(format!(
            "{} insufficient balance, balance: {}, amount: {fee}",
            owner.to_hex(),
            account.balance
        )));
    }
    account.balance -= fee;
    state.properties.burnt += fee;
    state.put_account(account);
    Ok(())
}
