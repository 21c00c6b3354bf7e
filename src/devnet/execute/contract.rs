//! Contracts: made, called, paid for (`VMActuator.java`, `ReceiptCapsule.java`).

use super::{Outcome, address};
use crate::{
    devnet::{
        params::Parameter,
        reject::Reject,
        state::{Account, State},
        vm::{
            self, CONTRACT, Code, ContractResult, Ended, Env, Fault, Internal, Log, Program, Ran,
            word_address, word_of,
        },
    },
    tron::{
        contract::{CreateSmartContract, SmartContract, TriggerSmartContract},
        keys::keccak256_parts,
    },
    types::{Address, TxId, UnixMs},
};

/// Bytes that a contract's name may have.
const MAX_NAME: usize = 32;
/// Ids of tokens are above this.
const MIN_TOKEN_ID: i64 = 1_000_000;
/// What a maker pays at most when it did not say (`CREATOR_DEFAULT_ENERGY_LIMIT`).
const DEFAULT_ORIGIN_LIMIT: i64 = 10_000_000;
/// Price where the chain has none (`SUN_PER_ENERGY`).
const SUN_PER_ENERGY: i64 = 100;

/// The block a transaction is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) number: u64,
    pub(crate) time: UnixMs,
    pub(crate) witness: Address,
}

impl Slot {
    fn env(&self, state: &State, txid: TxId, origin: Address) -> Env {
        Env {
            number: i64::try_from(self.number).unwrap_or(i64::MAX),
            time: self.time,
            witness: self.witness,
            txid,
            origin,
            deadline: None,
            opcodes: state.properties.transaction_opcodes,
        }
    }
}

/// Who paid for the energy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct EnergyBill {
    /// From the caller's stake.
    pub(crate) usage: i64,
    /// From the stake of the contract's maker.
    pub(crate) origin_usage: i64,
    /// Sun burnt by the caller.
    pub(crate) fee: i64,
    pub(crate) total: i64,
    /// The part of `total` that is for a hot contract.
    pub(crate) penalty: i64,
}

/// What a contract's transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Execution {
    pub(crate) contract: Address,
    pub(crate) result: ContractResult,
    /// Why it failed.
    pub(crate) message: Option<String>,
    /// What it returned; the code of a new contract.
    pub(crate) output: Vec<u8>,
    pub(crate) energy: EnergyBill,
    pub(crate) logs: Vec<Log>,
    pub(crate) internal: Vec<Internal>,
    /// Lines of `console.log`, as they were called.
    pub(crate) console: Vec<Vec<u8>>,
}

/// A transaction that is executed, and how its energy is limited.
pub(super) struct Sending {
    pub(super) txid: TxId,
    pub(super) fee_limit: i64,
    pub(super) slot: Slot,
}

/// Where a transaction's contract will be (`WalletUtil.generateContractAddress`).
pub(crate) fn created_address(txid: &TxId, owner: &[u8]) -> Address {
    word_address(&word_of(&keccak256_parts(&[txid.as_bytes(), owner])))
}

/// A state in which all is ready to run.
struct Ready {
    state: State,
    program: Program,
}

fn check_token(value: i64, id: i64) -> Result<(), Reject> {
    if id <= MIN_TOKEN_ID && id != 0 {
        return Reject::validate(format!("tokenId must be > {MIN_TOKEN_ID}"));
    }
    if value > 0 && id == 0 {
        return Reject::validate(format!(
            "invalid arguments with tokenValue = {value}, tokenId = {id}"
        ));
    }
    Ok(())
}

fn check_fee_limit(state: &State, fee_limit: i64) -> Result<(), Reject> {
    let limit = state.parameters.get(Parameter::MaxFeeLimit);
    if !(0..=limit).contains(&fee_limit) {
        return Reject::validate(format!("feeLimit must be >= 0 and <= {limit}"));
    }
    Ok(())
}

fn check_values(value: i64, token_value: i64) -> Result<(), Reject> {
    if value < 0 {
        return Reject::validate("callValue must be >= 0");
    }
    if token_value < 0 {
        return Reject::validate("tokenValue must be >= 0");
    }
    Ok(())
}

/// Moves what is sent along.
fn endow(
    state: State,
    from: Address,
    to: Address,
    value: i64,
    (token_value, token_id): (i64, i64),
) -> Result<State, Reject> {
    let moved = vm::endow(state, from, to, value, token_value, token_id);
    moved.map_err(|why| Reject::Validate(why.to_owned()))
}

/// What `create` checks whoever asks; `limit` gives the energy.
fn prepare_creation(
    state: &State,
    contract: &CreateSmartContract,
    at: Address,
    limit: impl FnOnce(&State, Address, &SmartContract) -> Result<i64, Reject>,
) -> Result<Ready, Reject> {
    let Some(new) = &contract.new_contract else {
        return Reject::validate("Cannot get CreateSmartContract from transaction");
    };
    if contract.owner_address != new.origin_address {
        return Reject::validate("OwnerAddress is not equals OriginAddress");
    }
    if new.name.len() > MAX_NAME {
        return Reject::validate("contractName's length cannot be greater than 32");
    }
    if !(0..=100).contains(&new.consume_user_resource_percent) {
        return Reject::validate("percent must be >= 0 and <= 100");
    }
    if state.account(&at).is_some() {
        return Reject::validate(format!(
            "Trying to create a contract with existing contract address: {at}"
        ));
    }
    let owner = address(&contract.owner_address, "Invalid ownerAddress!")?;
    let energy_limit = limit(state, owner, new)?;
    check_token(contract.call_token_value, contract.token_id)?;
    let mut state = state.clone();
    state.put_account(Account {
        kind: CONTRACT,
        ..Account::genesis(at, new.name.as_bytes(), 0)
    });
    let stored = SmartContract {
        contract_address: at.to_bytes().to_vec(),
        version: 0,
        ..new.clone()
    };
    state.put_new_contract(at, stored);
    let tokens = (contract.call_token_value, contract.token_id);
    let state = endow(state, owner, at, new.call_value, tokens)?;
    let program = Program {
        code: Code::new(new.bytecode.clone()),
        address: at,
        caller: owner,
        value: new.call_value,
        token_value: contract.call_token_value,
        token_id: contract.token_id,
        data: Vec::new(),
        is_creation: true,
        energy_limit,
    };
    Ok(Ready { state, program })
}

fn prepare_call(
    state: &State,
    contract: &TriggerSmartContract,
    limit: impl FnOnce(&State, Address, &SmartContract) -> Result<i64, Reject>,
) -> Result<Ready, Reject> {
    let Some(deployed) = state.contract_at(&contract.contract_address) else {
        return Reject::validate("No contract or not a smart contract");
    };
    let at = address(&contract.contract_address, "Invalid contractAddress!")?;
    check_values(contract.call_value, contract.call_token_value)?;
    check_token(contract.call_token_value, contract.token_id)?;
    let code = match state.code(&at) {
        Some(code) if !code.bytes().is_empty() => code.clone(),
        _ => return Err(Reject::Execute(NO_PROGRAM.to_owned())),
    };
    let owner = address(&contract.owner_address, "Invalid ownerAddress!")?;
    let energy_limit = limit(state, owner, deployed)?;
    let tokens = (contract.call_token_value, contract.token_id);
    let state = endow(state.clone(), owner, at, contract.call_value, tokens)?;
    let program = Program {
        code,
        address: at,
        caller: owner,
        value: contract.call_value,
        token_value: contract.call_token_value,
        token_id: contract.token_id,
        data: contract.data.clone(),
        is_creation: false,
        energy_limit,
    };
    Ok(Ready { state, program })
}

/// What the node's own code dies of when a contract has no code.
pub(crate) const NO_PROGRAM: &str = "Cannot invoke \"org.tron.core.vm.program.Program.getResult()\" because \"this.program\" is null";

/// What a constant call runs: a deployed contract, or code as if it made one.
#[derive(Debug, Clone)]
pub(crate) enum Constant {
    Call(TriggerSmartContract),
    Create(CreateSmartContract),
}

/// Runs a call that changes nothing, on the state as it is.
pub(crate) fn run_constant(
    state: &State,
    slot: Slot,
    txid: TxId,
    call: &Constant,
    energy_limit: i64,
    deadline: std::time::Instant,
) -> Result<Ran, Reject> {
    let limit = |_: &State, _: Address, _: &SmartContract| Ok(energy_limit);
    let (ready, owner) = match call {
        Constant::Call(contract) => (
            prepare_call(state, contract, limit)?,
            &contract.owner_address,
        ),
        Constant::Create(contract) => {
            let at = created_address(&txid, &contract.owner_address);
            (
                prepare_creation(state, contract, at, limit)?,
                &contract.owner_address,
            )
        }
    };
    let origin = address(owner, "Invalid ownerAddress!")?;
    let env = Env {
        deadline: Some(deadline),
        opcodes: None,
        ..slot.env(state, txid, origin)
    };
    Ok(vm::run(state.clone(), ready.state, &env, ready.program))
}

/// Sun for a unit of energy.
fn price(state: &State) -> i64 {
    match state.parameters.get(Parameter::EnergyFee) {
        0 => SUN_PER_ENERGY,
        price => price,
    }
}

/// The energy an account's stake still gives today.
fn left_of_stake(state: &State, account: &Account) -> i64 {
    (state.energy_limit(account) - account.energy.at(state.head_slot())).max(0)
}

/// What the caller can pay for: stake and balance, both within the fee limit.
fn caller_limit(state: &State, account: &Account, fee_limit: i64, value: i64) -> i64 {
    let price = price(state);
    let from_balance = account.balance.saturating_sub(value).max(0) / price;
    let available = left_of_stake(state, account).saturating_add(from_balance);
    available.min(fee_limit / price)
}

/// What the maker of a contract adds.
fn origin_limit(state: &State, contract: &SmartContract, origin: &Account, caller: i64) -> i64 {
    let percent = contract.consume_user_resource_percent.clamp(0, 100);
    let own = left_of_stake(state, origin).min(own_limit(contract));
    match percent {
        0 => own,
        100 => 0,
        _ => {
            let share = i128::from(caller) * i128::from(100 - percent) / i128::from(percent);
            i64::try_from(share).unwrap_or(i64::MAX).min(own)
        }
    }
}

fn own_limit(contract: &SmartContract) -> i64 {
    match contract.origin_energy_limit {
        0 => DEFAULT_ORIGIN_LIMIT,
        limit => limit,
    }
}

/// The caller's and the maker's energy as they are before anything runs.
#[derive(Debug, Clone, Copy, Default)]
struct Left {
    caller: i64,
    origin: i64,
}

/// Executes CreateSmartContract.
pub(super) fn create(
    state: &mut State,
    contract: &CreateSmartContract,
    sending: &Sending,
) -> Result<Outcome, Reject> {
    let at = created_address(&sending.txid, &contract.owner_address);
    let mut left = Left::default();
    let ready = prepare_creation(state, contract, at, |state, owner, new| {
        check_fee_limit(state, sending.fee_limit)?;
        check_values(new.call_value, contract.call_token_value)?;
        if new.origin_energy_limit <= 0 {
            return Reject::validate("The originEnergyLimit must be > 0");
        }
        let account = super::existing(state, &owner)?;
        left.caller = left_of_stake(state, &account);
        Ok(caller_limit(
            state,
            &account,
            sending.fee_limit,
            new.call_value,
        ))
    })?;
    let caller = ready.program.caller;
    let before = state.clone();
    let ran = vm::run(
        before,
        ready.state,
        &sending.slot.env(state, sending.txid, caller),
        ready.program,
    );
    settle(state, ran, at, caller, None, left)
}

/// Executes TriggerSmartContract.
pub(super) fn call(
    state: &mut State,
    contract: &TriggerSmartContract,
    sending: &Sending,
) -> Result<Outcome, Reject> {
    let mut left = Left::default();
    let ready = prepare_call(state, contract, |state, owner, deployed| {
        check_fee_limit(state, sending.fee_limit)?;
        let account = super::existing(state, &owner)?;
        left.caller = left_of_stake(state, &account);
        let own = caller_limit(state, &account, sending.fee_limit, contract.call_value);
        let Some(origin) = state.account_at(&deployed.origin_address) else {
            return Ok(own);
        };
        if origin.address == owner {
            return Ok(own);
        }
        if deployed.consume_user_resource_percent < 100 {
            left.origin = left_of_stake(state, origin);
        }
        Ok(own.saturating_add(origin_limit(state, deployed, origin, own)))
    })?;
    let (at, caller) = (ready.program.address, ready.program.caller);
    let before = state.clone();
    let ran = vm::run(
        before,
        ready.state,
        &sending.slot.env(state, sending.txid, caller),
        ready.program,
    );
    settle(state, ran, at, caller, Some(at), left)
}

/// Takes over what a program did and has its energy paid.
fn settle(
    state: &mut State,
    ran: Ran,
    at: Address,
    caller: Address,
    called: Option<Address>,
    left: Left,
) -> Result<Outcome, Reject> {
    *state = ran.state;
    let mut energy = EnergyBill {
        total: ran.energy_used,
        penalty: ran.energy_penalty,
        ..EnergyBill::default()
    };
    pay(state, caller, called, left, &mut energy)?;
    let (result, message) = match &ran.ended {
        Ended::Done => (ContractResult::Success, None),
        Ended::Reverted => (
            ContractResult::Revert,
            Some("REVERT opcode executed".to_owned()),
        ),
        Ended::Failed(fault) => (fault.result(), Some(fault.to_string())),
    };
    let mut logs = ran.logs;
    let mut internal = ran.internal;
    if result == ContractResult::Success {
        for address in &ran.deleted {
            // What came after it gave everything away is gone with it.
            let left = state.account(address).map_or(0, |account| account.balance);
            state.properties.burnt += left;
            state.delete_contract(address);
        }
    } else {
        logs.clear();
        for internal in &mut internal {
            internal.is_rejected = true;
        }
    }
    Ok(Outcome {
        execution: Some(Box::new(Execution {
            contract: at,
            result,
            message,
            output: ran.output,
            energy,
            logs,
            internal,
            console: ran.console,
        })),
        ..Outcome::default()
    })
}

/// Splits the bill between the caller and the maker of what was called.
fn pay(
    state: &mut State,
    caller: Address,
    called: Option<Address>,
    left: Left,
    bill: &mut EnergyBill,
) -> Result<(), Reject> {
    if bill.total <= 0 {
        return Ok(());
    }
    let shared = called
        .and_then(|called| state.contract(&called).cloned())
        .and_then(|contract| {
            let origin = state.account_at(&contract.origin_address)?.address;
            (origin != caller).then_some((contract, origin))
        });
    if let Some((contract, origin)) = shared {
        let percent = (100 - contract.consume_user_resource_percent).clamp(0, 100);
        let share = i128::from(bill.total) * i128::from(percent) / 100;
        bill.origin_usage = i64::try_from(share)
            .unwrap_or(i64::MAX)
            .min(left.origin)
            .min(own_limit(&contract));
        use_stake(state, &origin, bill.origin_usage);
    }
    let usage = bill.total - bill.origin_usage;
    bill.usage = usage.min(left.caller);
    use_stake(state, &caller, bill.usage);
    if usage > bill.usage {
        bill.fee = (usage - bill.usage).saturating_mul(price(state));
        let mut account = super::existing(state, &caller)?;
        if account.balance < bill.fee {
            return Err(Reject::Execute(format!("{caller} insufficient balance")));
        }
        account.balance -= bill.fee;
        state.properties.burnt += bill.fee;
        state.put_account(account);
    }
    Ok(())
}

/// `EnergyProcessor.useEnergy`.
fn use_stake(state: &mut State, address: &Address, energy: i64) {
    let now = state.head_slot();
    if let Some(account) = state.account(address) {
        let mut account = account.as_ref().clone();
        account.energy.add(energy, now);
        account.latest_operation = state.properties.head_time;
        state.put_account(account);
    }
}

/// Whether a fault's words are the node's for a call that belongs to no transaction.
pub(crate) fn words(fault: &Fault) -> String {
    format!("class {} : {fault}", fault.class())
}
