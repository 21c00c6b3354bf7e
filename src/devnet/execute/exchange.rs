//! Exchanges of two tokens, of which one may be TRX (`Exchange*Actuator.java`): the price
//! follows what is in them, as Bancor's formula has it.

use super::{Outcome, address};
use crate::{
    devnet::{
        params::Parameter,
        reject::Reject,
        resource::{traded, traded_exactly},
        state::{Account, State, asset_id},
    },
    tron::contract::{
        ExchangeCreateContract, ExchangeInjectContract, ExchangeTransactionContract,
        ExchangeWithdrawContract,
    },
    types::{Address, UnixMs},
};

/// What stands for TRX in place of a token's id.
const TRX_ID: &[u8] = b"_";
/// What an exchange may hold of a token, raw units (`EXCHANGE_BALANCE_LIMIT`).
const MAX_BALANCE: i64 = 1_000_000_000_000_000;

/// An exchange of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) creator: Address,
    pub(crate) created: UnixMs,
    /// Both tokens: id in digits, or `_`, and raw units.
    pub(crate) first: (Vec<u8>, i64),
    pub(crate) second: (Vec<u8>, i64),
}

impl Exchange {
    /// What it holds of the token with this id, and of the other one, whose id comes last.
    fn sides(&mut self, token: &[u8]) -> Option<(&mut i64, &mut i64, Vec<u8>)> {
        if self.first.0 == token {
            let other = self.second.0.clone();
            Some((&mut self.first.1, &mut self.second.1, other))
        } else if self.second.0 == token {
            let other = self.first.0.clone();
            Some((&mut self.second.1, &mut self.first.1, other))
        } else {
            None
        }
    }

    fn is_closed(&self) -> bool {
        self.first.1 == 0 || self.second.1 == 0
    }
}

/// `TransactionUtil.isNumber`, which lets "0" be one.
fn is_token(id: &[u8]) -> bool {
    id == TRX_ID || id == b"0" || (id.first() != Some(&b'0') && is_digits(id))
}

fn is_digits(id: &[u8]) -> bool {
    !id.is_empty() && id.iter().all(u8::is_ascii_digit)
}

fn held(account: &Account, token: &[u8]) -> i64 {
    match token {
        TRX_ID => account.balance,
        id => asset_id(id).map_or(0, |id| account.asset(id)),
    }
}

/// Adds to what an account holds of a token, or takes from it.
fn give(account: &mut Account, token: &[u8], amount: i64) -> Result<(), Reject> {
    let sum = super::add_exact(held(account, token), amount)?;
    match (token, asset_id(token)) {
        (TRX_ID, _) => account.balance = sum,
        (_, Some(id)) => account.set_asset(id, sum),
        (_, None) => return Reject::validate("No asset !"),
    }
    Ok(())
}

/// Whether an account has as much of a token, of TRX besides a fee.
fn can_pay(account: &Account, token: &[u8], amount: i64, fee: i64) -> bool {
    match token {
        TRX_ID => amount
            .checked_add(fee)
            .is_some_and(|sum| account.balance >= sum),
        id => amount > 0 && held(account, id) >= amount,
    }
}

fn enough(
    account: &Account,
    token: &[u8],
    amount: i64,
    fee: i64,
    else_: &str,
) -> Result<(), Reject> {
    if can_pay(account, token, amount, fee) {
        return Ok(());
    }
    Reject::validate(match token {
        TRX_ID => "balance is not enough",
        _ => else_,
    })
}

fn owner_of(state: &State, bytes: &[u8]) -> Result<(Address, Account), Reject> {
    let owner = address(bytes, "Invalid address")?;
    match state.account(&owner) {
        Some(account) => Ok((owner, account.as_ref().clone())),
        None => Reject::validate(format!("account[{}] not exists", owner.to_hex())),
    }
}

fn found(state: &State, id: i64) -> Result<Exchange, Reject> {
    match state.exchange(id) {
        Some(exchange) => Ok(exchange.as_ref().clone()),
        None => Reject::validate(format!("Exchange[{id}] not exists")),
    }
}

fn is_too_much(amount: i64, more: i64) -> bool {
    amount.checked_add(more).is_none_or(|sum| sum > MAX_BALANCE)
}

fn too_much<T>() -> Result<T, Reject> {
    Reject::validate(format!("token balance must less than {MAX_BALANCE}"))
}

/// `of * part / whole`, cut.
fn proportion(of: i64, part: i64, whole: i64) -> Result<i64, Reject> {
    let product = i128::from(of) * i128::from(part);
    i64::try_from(product / i128::from(whole.max(1)))
        .map_err(|_| Reject::Validate("Overflow".to_owned()))
}

fn noted(name: &'static str, amount: i64) -> Outcome {
    Outcome {
        exchange: Some((name, amount)),
        ..Outcome::default()
    }
}

/// `ExchangeCreateActuator.java`.
pub(super) fn create(
    state: &mut State,
    contract: &ExchangeCreateContract,
) -> Result<Outcome, Reject> {
    let (owner, mut account) = owner_of(state, &contract.owner_address)?;
    let fee = state.parameters.get(Parameter::ExchangeCreateFee);
    if account.balance < fee {
        return Reject::validate("No enough balance for exchange create fee!");
    }
    let first = (&contract.first_token_id, contract.first_token_balance);
    let second = (&contract.second_token_id, contract.second_token_balance);
    if !is_token(first.0) {
        return Reject::validate("first token id is not a valid number");
    }
    if !is_token(second.0) {
        return Reject::validate("second token id is not a valid number");
    }
    if first.0 == second.0 {
        return Reject::validate("cannot exchange same tokens");
    }
    if first.1 <= 0 || second.1 <= 0 {
        return Reject::validate("token balance must greater than zero");
    }
    if first.1 > MAX_BALANCE || second.1 > MAX_BALANCE {
        return too_much();
    }
    let missing = [
        "first token balance is not enough",
        "second token balance is not enough",
    ];
    for ((token, amount), missing) in [first, second].into_iter().zip(missing) {
        enough(&account, token, amount, fee, missing)?;
    }
    account.balance -= fee;
    for (token, amount) in [first, second] {
        give(&mut account, token, -amount)?;
    }
    state.put_account(account);
    state.properties.burnt += fee;
    let id = state.put_new_exchange(Exchange {
        creator: owner,
        created: state.properties.head_time,
        first: (first.0.clone(), first.1),
        second: (second.0.clone(), second.1),
    });
    Ok(Outcome {
        fee,
        ..noted("exchange_id", id)
    })
}

/// The exchange and the account, if that made it; what it holds of the token and of the
/// other one.
fn own(
    state: &State,
    owner: &[u8],
    (id, token): (i64, &[u8]),
    foreign: &str,
) -> Result<(Account, Exchange), Reject> {
    let (owner, account) = owner_of(state, owner)?;
    let mut exchange = found(state, id)?;
    if exchange.creator != owner {
        return Reject::validate(format!("account[{}] is not creator", owner.to_hex()));
    }
    if !is_token(token) {
        return Reject::validate("token id is not a valid number");
    }
    if exchange.sides(token).is_none() {
        return Reject::validate(foreign);
    }
    Ok((account, exchange))
}

const CLOSED: &str = "Token balance in exchange is equal with 0,the exchange has been closed";

/// `ExchangeInjectActuator.java`: more of both, in their proportion.
pub(super) fn inject(
    state: &mut State,
    contract: &ExchangeInjectContract,
) -> Result<Outcome, Reject> {
    let (id, token) = (contract.exchange_id, contract.token_id.as_slice());
    let (mut account, mut exchange) = own(
        state,
        &contract.owner_address,
        (id, token),
        "token id is not in exchange",
    )?;
    if exchange.is_closed() {
        return Reject::validate(CLOSED);
    }
    let amount = contract.quant;
    if amount <= 0 {
        return Reject::validate("injected token quant must greater than zero");
    }
    let Some((side, other, other_token)) = exchange.sides(token) else {
        return Reject::validate("token id is not in exchange");
    };
    let more = proportion(*other, amount, *side)?;
    if more <= 0 {
        return Reject::validate("the calculated token quant  must be greater than 0");
    }
    if is_too_much(*side, amount) || is_too_much(*other, more) {
        return too_much();
    }
    enough(&account, token, amount, 0, "token balance is not enough")?;
    enough(
        &account,
        &other_token,
        more,
        0,
        "another token balance is not enough",
    )?;
    *side += amount;
    *other += more;
    give(&mut account, token, -amount)?;
    give(&mut account, &other_token, -more)?;
    state.put_account(account);
    state.put_exchange(id, exchange);
    Ok(noted("exchange_inject_another_amount", more))
}

/// How much of `part` is lost when it is cut to `whole`, above the ten thousandth that may
/// be.
fn is_imprecise(other: i64, amount: i64, side: i64, cut: i64) -> bool {
    // Four decimals, rounded half up, as a double.
    let scaled = i128::from(other) * i128::from(amount) * 10_000;
    let side = i128::from(side.max(1));
    let rounded = (scaled * 2 + side) / (side * 2);
    crate::devnet::resource::is_far(rounded, cut)
}

/// `ExchangeWithdrawActuator.java`: less of both, in their proportion.
pub(super) fn withdraw(
    state: &mut State,
    contract: &ExchangeWithdrawContract,
) -> Result<Outcome, Reject> {
    let (id, token) = (contract.exchange_id, contract.token_id.as_slice());
    let (mut account, mut exchange) = own(
        state,
        &contract.owner_address,
        (id, token),
        "token is not in exchange",
    )?;
    let amount = contract.quant;
    if amount <= 0 {
        return Reject::validate("withdraw token quant must greater than zero");
    }
    if exchange.is_closed() {
        return Reject::validate(CLOSED);
    }
    let Some((side, other, other_token)) = exchange.sides(token) else {
        return Reject::validate("token is not in exchange");
    };
    let less = proportion(*other, amount, *side)?;
    if *side < amount || *other < less {
        return Reject::validate("exchange balance is not enough");
    }
    if less <= 0 {
        return Reject::validate("withdraw another token quant must greater than zero");
    }
    if is_imprecise(*other, amount, *side, less) {
        return Reject::validate("Not precise enough");
    }
    *side -= amount;
    *other -= less;
    give(&mut account, token, amount)?;
    give(&mut account, &other_token, less)?;
    state.put_account(account);
    state.put_exchange(id, exchange);
    Ok(noted("exchange_withdraw_another_amount", less))
}

/// `ExchangeTransactionActuator.java`.
pub(super) fn trade(
    state: &mut State,
    contract: &ExchangeTransactionContract,
) -> Result<Outcome, Reject> {
    let (_, mut account) = owner_of(state, &contract.owner_address)?;
    let id = contract.exchange_id;
    let mut exchange = found(state, id)?;
    let (token, amount) = (contract.token_id.as_slice(), contract.quant);
    if !is_token(token) {
        return Reject::validate("token id is not a valid number");
    }
    if exchange.sides(token).is_none() {
        return Reject::validate("token is not in exchange");
    }
    if amount <= 0 {
        return Reject::validate("token quant must greater than zero");
    }
    if contract.expected <= 0 {
        return Reject::validate("token expected must greater than zero");
    }
    if exchange.is_closed() {
        return Reject::validate(CLOSED);
    }
    let Some((side, other, other_token)) = exchange.sides(token) else {
        return Reject::validate("token is not in exchange");
    };
    if is_too_much(*side, amount) {
        return too_much();
    }
    enough(&account, token, amount, 0, "token balance is not enough")?;
    let is_exact = state
        .parameters
        .get(Parameter::AllowHardenExchangeCalculation)
        == 1;
    let received = match is_exact {
        true => traded_exactly(*side, *other, amount)
            .ok_or_else(|| Reject::Validate("long overflow".to_owned()))?,
        false => traded(*side, *other, amount),
    };
    // By the formula in decimals the node looks before what is expected; by the one in
    // doubles it would go on with less than nothing.
    if received > *other {
        return Reject::validate(match is_exact {
            true => "Exchange balance must be >=0 after transaction",
            false if received < contract.expected => "token required must greater than expected",
            false => "exchange balance is not enough",
        });
    }
    if received < contract.expected {
        return Reject::validate("token required must greater than expected");
    }
    *side += amount;
    *other -= received;
    give(&mut account, token, -amount)?;
    give(&mut account, &other_token, received)?;
    state.put_account(account);
    state.put_exchange(id, exchange);
    Ok(noted("exchange_received_amount", received))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expectations of java-tron's own test of its formula.
    #[test]
    fn prices_are_those_of_java_tron() {
        let (mut sell, mut buy) = (100_000_000_000_000, 128 * 1_024 * 1_024 * 1_024);
        let first = traded(sell, buy, 1_000_000_000_000);
        assert_eq!(first, 1_360_781_717);
        let second = traded(sell + 1_000_000_000_000, buy - first, 1_000_000_000_000);
        assert_eq!(second, 2_694_881_440 - 1_360_781_717);
        let all = traded(sell, buy, 2_000_000_000_000);
        assert_eq!(all, 2_694_881_440);
        sell += 2_000_000_000_000;
        buy -= all;
        assert_eq!(traded(buy, sell, all), 1_999_999_999_542);
        let back = traded(buy, sell, second);
        assert_eq!(back, 999_999_999_927);
        assert_eq!(traded(buy + second, sell - back, first), 999_999_999_587);
        assert_eq!(traded(1_000_000_000_000, 10_000_000, 10_000_000), 99);
        assert_eq!(traded(1_000_000_000_000, 10_000_000, 100_000_000), 999);
    }

    #[test]
    fn a_trade_gives_no_more_than_there_is_unless_it_is_out_of_all_proportion() {
        for side in [1_000, 4_732_214, MAX_BALANCE / 2_000] {
            for other in [1, 7, 2_202_692_725_330, MAX_BALANCE] {
                for times in [0, 1, 30, 1_000] {
                    let received = traded(side, other, side * times + 1);
                    assert!((0..=other).contains(&received), "{side} {other} {times}");
                }
            }
        }
        // The doubles of the formula overshoot here; `trade` refuses it.
        assert!(traded(1, MAX_BALANCE, MAX_BALANCE) > MAX_BALANCE);
    }

    #[test]
    fn a_withdrawal_may_lose_a_ten_thousandth() {
        // 10 of 10,000 and 9,999: 9.999, of which 9 is too little.
        assert!(is_imprecise(9_999, 10, 10_000, 9));
        assert!(!is_imprecise(10_000, 10, 10_000, 10));
        // 99,999.9999 and 10,000.4: the second loses 0.4 of 10,000.
        assert!(!is_imprecise(
            999_999_999,
            100_000_000,
            1_000_000_000_000,
            99_999
        ));
        assert!(!is_imprecise(100_004, 1_000, 10_000, 10_000));
        assert!(is_imprecise(100_011, 1_000, 10_000, 9_999));
    }

    #[test]
    fn ids_are_digits_without_zeros_in_front_or_stand_for_trx() {
        for (id, is) in [
            ("_", true),
            ("0", true),
            ("1000001", true),
            ("01", false),
            ("", false),
            ("x", false),
        ] {
            assert_eq!(is_token(id.as_bytes()), is, "{id}");
        }
    }
}
