//! What opcodes cost (`EnergyCost.java`), beyond a constant.

use super::{
    fault::Fault,
    frame::Frame,
    machine::Context,
    memory::MAX_BYTES,
    word::{self, Word},
};

pub(super) const SPECIAL: i64 = 1;
const MEMORY: i64 = 3;
const COPY: i64 = 3;
const SHA3: i64 = 30;
const SHA3_WORD: i64 = 6;
const EXP: i64 = 10;
const EXP_BYTE: i64 = 10;
const SET_SSTORE: i64 = 20_000;
const RESET_SSTORE: i64 = 5_000;
const LOG: i64 = 375;
const LOG_TOPIC: i64 = 375;
const LOG_DATA: i64 = 8;
const CREATE: i64 = 32_000;
const CALL: i64 = 40;
const VALUE_CALL: i64 = 9_000;
const NEW_ACCOUNT: i64 = 25_000;
const VOTE_WITNESS: i64 = 30_000;
/// With TIP-6780.
const RESTRICTED_SELFDESTRUCT: i64 = 5_000;
/// What a call with a value gives on top.
pub(super) const STIPEND: i64 = 2_300;
/// A byte of code that is kept.
pub(super) const CREATE_DATA: i64 = 200;
/// Factors of dynamic energy are in ten-thousandths.
pub(super) const FACTOR_ONE: i64 = 10_000;

/// An opcode's price.
#[derive(Clone, Copy)]
pub(super) enum Price {
    Fixed(i64),
    By(fn(&Context<'_>, &mut Frame) -> Result<i64, Fault>),
}

/// What a hot contract pays on top.
pub(super) fn penalty(energy: i64, factor: i64) -> i64 {
    (energy.wrapping_mul(factor) / FACTOR_ONE - energy).max(0)
}

/// `offset + size`; 0 for a size of 0.
fn needed(offset: &Word, size: &Word) -> u64 {
    if size.is_zero() {
        return 0;
    }
    match (u64::try_from(*offset), u64::try_from(*size)) {
        (Ok(offset), Ok(size)) => offset.saturating_add(size),
        _ => u64::MAX,
    }
}

fn whole(size: i64) -> i64 {
    size.saturating_add(31) / 32
}

fn of_words(words: i64) -> i64 {
    MEMORY * words + words * words / 512
}

/// The growth of memory to `end`.
fn growth(frame: &Frame, end: u64) -> Result<i64, Fault> {
    if end > MAX_BYTES {
        return Err(Fault::OutOfMemory(frame.op_name()));
    }
    let words = whole(i64::try_from(end).unwrap_or(0));
    let old = i64::try_from(frame.memory.len() / 32).unwrap_or(0);
    Ok(if words > old {
        of_words(words) - of_words(old)
    } else {
        0
    })
}

fn copy(frame: &Frame, offset: usize, size: usize) -> Result<i64, Fault> {
    let size = frame.peek(size);
    let grown = growth(frame, needed(&frame.peek(offset), &size))?;
    Ok(grown + COPY * whole(word::long_safe(&size)))
}

pub(super) fn exp(_: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    let bytes = word::bytes_occupied(&frame.peek(1));
    Ok(EXP + EXP_BYTE * i64::try_from(bytes).unwrap_or(0))
}

pub(super) fn sha3(_: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    let size = frame.peek(1);
    let grown = growth(frame, needed(&frame.peek(0), &size))?;
    Ok(SHA3 + grown + SHA3_WORD * whole(word::long_safe(&size)))
}

/// CALLDATACOPY, CODECOPY, RETURNDATACOPY.
pub(super) fn copy3(_: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    copy(frame, 0, 2)
}

pub(super) fn ext_code_copy(_: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    Ok(20 + copy(frame, 1, 3)?)
}

pub(super) fn mcopy(_: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    let farther = frame.peek(0).max(frame.peek(1));
    let size = frame.peek(2);
    let grown = growth(frame, needed(&farther, &size))?;
    Ok(3 + grown + COPY * whole(word::long_safe(&size)))
}

fn memory_op(context: &Context<'_>, frame: &Frame, size: u64) -> Result<i64, Fault> {
    let special = if context.rules.higher_cpu { SPECIAL } else { 0 };
    Ok(special + growth(frame, needed(&frame.peek(0), &Word::from(size)))?)
}

/// MLOAD, MSTORE.
pub(super) fn memory_word(context: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    memory_op(context, frame, 32)
}

pub(super) fn memory_byte(context: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    memory_op(context, frame, 1)
}

/// RETURN, REVERT.
pub(super) fn output(_: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    growth(frame, needed(&frame.peek(0), &frame.peek(1)))
}

pub(super) fn sstore(context: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    let is_absent = context.world.slot(&frame.address, &frame.peek(0)).is_none();
    Ok(if is_absent && !frame.peek(1).is_zero() {
        SET_SSTORE
    } else {
        RESET_SSTORE
    })
}

pub(super) fn log(_: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    let (offset, size) = (frame.peek(0), frame.peek(1));
    let data = size.saturating_mul(Word::from(8));
    if Word::from(frame.left().max(0).cast_unsigned()) < data {
        let needed = word::exact(&data).ok_or(Fault::OutOfLong)?;
        return Err(Fault::OutOfEnergy(format!(
            "Not enough energy for '{}' operation executing: opEnergy[{needed}], programEnergy[{}]",
            frame.op_name(),
            frame.left()
        )));
    }
    let topics = i64::from(frame.op().saturating_sub(0xa0));
    let grown = growth(frame, needed(&offset, &size))?;
    Ok(LOG + LOG_TOPIC * topics + LOG_DATA * word::long(&size) + grown)
}

pub(super) fn selfdestruct(context: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    let rules = &context.rules;
    let base = if rules.restricted_selfdestruct {
        RESTRICTED_SELFDESTRUCT
    } else {
        0
    };
    let heir = word::address(&frame.peek(0));
    let is_new = rules.adjustment && context.world.state.account(&heir).is_none();
    Ok(base + if is_new { NEW_ACCOUNT } else { 0 })
}

pub(super) fn create(_: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    Ok(CREATE + growth(frame, needed(&frame.peek(1), &frame.peek(2)))?)
}

pub(super) fn create2(context: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    let words = word::int_safe(&frame.peek(2)).div_ceil(32);
    let hashing = SHA3_WORD * i64::try_from(words).unwrap_or(0);
    Ok(create(context, frame)? + hashing)
}

pub(super) fn vote_witness(context: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    let rules = &context.rules;
    let end = |length: Word, offset: Word| {
        const WORD: Word = Word::from_limbs([32, 0, 0, 0]);
        if rules.osaka {
            // What does not fit in a word any more is not taken for little.
            return needed(&offset, &length.saturating_mul(WORD).saturating_add(WORD));
        }
        let length = length.wrapping_mul(WORD);
        let length = if rules.adjustment {
            // An array has its length before it.
            length.wrapping_add(WORD)
        } else {
            length
        };
        needed(&offset, &length)
    };
    let amounts = end(frame.peek(0), frame.peek(1));
    let witnesses = end(frame.peek(2), frame.peek(3));
    Ok(VOTE_WITNESS + growth(frame, amounts.max(witnesses))?)
}

/// CALL and its kin: sets aside what the callee gets. `value_at` is where a value stands
/// that costs, `memory_at` where the four words of memory begin.
fn any_call(
    context: &Context<'_>,
    frame: &mut Frame,
    own: i64,
    memory_at: usize,
) -> Result<i64, Fault> {
    let input = needed(&frame.peek(memory_at), &frame.peek(memory_at + 1));
    let output = needed(&frame.peek(memory_at + 2), &frame.peek(memory_at + 3));
    let mut cost = CALL + own + growth(frame, input.max(output))?;
    frame.call_penalty = 0;
    if context.rules.dynamic && frame.factor > FACTOR_ONE {
        frame.call_penalty = penalty(cost, frame.factor);
        cost += frame.call_penalty;
    }
    let left = frame.left();
    if cost > left {
        return Err(Fault::OutOfEnergy(format!(
            "Not enough energy for '{}' operation executing: opEnergy[{cost}], programEnergy[{left}]",
            frame.op_name()
        )));
    }
    frame.call_energy = word::long_safe(&frame.peek(0)).min(left - cost);
    Ok(cost + frame.call_energy)
}

fn value_price(context: &Context<'_>, frame: &Frame, creates: bool) -> i64 {
    if frame.peek(2).is_zero() {
        return 0;
    }
    let to = word::address(&frame.peek(1));
    let is_new = creates && context.world.state.account(&to).is_none();
    VALUE_CALL + if is_new { NEW_ACCOUNT } else { 0 }
}

pub(super) fn call(context: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    let own = value_price(context, frame, true);
    any_call(context, frame, own, 3)
}

pub(super) fn call_code(context: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    let own = value_price(context, frame, false);
    any_call(context, frame, own, 3)
}

pub(super) fn call_token(context: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    let own = value_price(context, frame, true);
    any_call(context, frame, own, 4)
}

/// DELEGATECALL, STATICCALL.
pub(super) fn call_plain(context: &Context<'_>, frame: &mut Frame) -> Result<i64, Fault> {
    any_call(context, frame, 0, 2)
}
