//! Numbers, comparisons, bits: pure.

use crate::devnet::vm::{
    fault::Fault,
    frame::Frame,
    machine::{Context, Next},
    word::{self, Word},
};

type Done = Result<Next, Fault>;

#[inline]
fn one(frame: &mut Frame, f: impl FnOnce(Word) -> Word) -> Done {
    if let Some(top) = frame.stack.last_mut() {
        *top = f(*top);
    }
    Ok(Next::Step)
}

#[inline]
fn two(frame: &mut Frame, f: impl FnOnce(Word, Word) -> Word) -> Done {
    // The table has checked that they are there.
    if let (Some(a), Some(top)) = (frame.stack.pop(), frame.stack.last_mut()) {
        *top = f(a, *top);
    }
    Ok(Next::Step)
}

#[inline]
fn compare(frame: &mut Frame, f: impl FnOnce(&Word, &Word) -> bool) -> Done {
    two(frame, |a, b| Word::from(u64::from(f(&a, &b))))
}

#[inline]
pub(in crate::devnet::vm) fn add(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    two(frame, Word::wrapping_add)
}

#[inline]
pub(in crate::devnet::vm) fn mul(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    two(frame, Word::wrapping_mul)
}

#[inline]
pub(in crate::devnet::vm) fn sub(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    two(frame, Word::wrapping_sub)
}

pub(in crate::devnet::vm) fn div(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    two(frame, |a, b| a.checked_div(b).unwrap_or_default())
}

pub(in crate::devnet::vm) fn modulo(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    two(frame, |a, b| a.checked_rem(b).unwrap_or_default())
}

fn absolute(word: Word) -> Word {
    if word::is_negative(&word) {
        word.wrapping_neg()
    } else {
        word
    }
}

pub(in crate::devnet::vm) fn sdiv(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    two(frame, |a, b| {
        let quotient = absolute(a).checked_div(absolute(b)).unwrap_or_default();
        if word::is_negative(&a) == word::is_negative(&b) {
            quotient
        } else {
            quotient.wrapping_neg()
        }
    })
}

pub(in crate::devnet::vm) fn smod(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    two(frame, |a, b| {
        let rest = absolute(a).checked_rem(absolute(b)).unwrap_or_default();
        if word::is_negative(&a) {
            rest.wrapping_neg()
        } else {
            rest
        }
    })
}

pub(in crate::devnet::vm) fn addmod(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let (a, b, m) = (frame.pop(), frame.pop(), frame.pop());
    frame.push(a.add_mod(b, m));
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn mulmod(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let (a, b, m) = (frame.pop(), frame.pop(), frame.pop());
    frame.push(a.mul_mod(b, m));
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn exp(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    two(frame, Word::wrapping_pow)
}

pub(in crate::devnet::vm) fn signextend(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    two(frame, |k, value| match u64::try_from(k) {
        Ok(k) if k < 31 => {
            let bit = usize::try_from(k * 8 + 7).unwrap_or(0);
            let low = (Word::from(1) << (bit + 1)).wrapping_sub(Word::from(1));
            if value.bit(bit) {
                value | !low
            } else {
                value & low
            }
        }
        _ => value,
    })
}

#[inline]
pub(in crate::devnet::vm) fn lt(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    compare(frame, |a, b| a < b)
}

#[inline]
pub(in crate::devnet::vm) fn gt(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    compare(frame, |a, b| a > b)
}

fn signed_less(a: &Word, b: &Word) -> bool {
    match (word::is_negative(a), word::is_negative(b)) {
        (true, false) => true,
        (false, true) => false,
        _ => a < b,
    }
}

pub(in crate::devnet::vm) fn slt(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    compare(frame, signed_less)
}

pub(in crate::devnet::vm) fn sgt(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    compare(frame, |a, b| signed_less(b, a))
}

#[inline]
pub(in crate::devnet::vm) fn eq(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    compare(frame, |a, b| a == b)
}

#[inline]
pub(in crate::devnet::vm) fn iszero(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    one(frame, |a| Word::from(u64::from(a.is_zero())))
}

#[inline]
pub(in crate::devnet::vm) fn and(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    two(frame, |a, b| a & b)
}

#[inline]
pub(in crate::devnet::vm) fn or(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    two(frame, |a, b| a | b)
}

pub(in crate::devnet::vm) fn xor(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    two(frame, |a, b| a ^ b)
}

#[inline]
pub(in crate::devnet::vm) fn not(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    one(frame, |a| !a)
}

pub(in crate::devnet::vm) fn byte(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    two(frame, |at, value| {
        let bytes = word::bytes(&value);
        let byte = usize::try_from(at).ok().and_then(|at| bytes.get(at));
        Word::from(u64::from(byte.copied().unwrap_or_default()))
    })
}

/// How far to shift, or nothing for 256 and more.
fn shift(by: Word) -> Option<usize> {
    usize::try_from(by).ok().filter(|by| *by < 256)
}

pub(in crate::devnet::vm) fn shl(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    two(frame, |by, value| {
        shift(by).map_or(Word::ZERO, |by| value << by)
    })
}

pub(in crate::devnet::vm) fn shr(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    two(frame, |by, value| {
        shift(by).map_or(Word::ZERO, |by| value >> by)
    })
}

pub(in crate::devnet::vm) fn sar(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    two(frame, |by, value| {
        let fill = match word::is_negative(&value) {
            true => Word::MAX,
            false => Word::ZERO,
        };
        match shift(by) {
            None => fill,
            Some(0) => value,
            Some(by) => (value >> by) | (fill << (256 - by)),
        }
    })
}

/// How many zero bits come first; 256 of 0.
pub(in crate::devnet::vm) fn clz(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    one(frame, |a| Word::from(a.leading_zeros()))
}
