//! The stack, jumps and ends.

use crate::devnet::vm::{
    fault::Fault,
    frame::Frame,
    machine::{Context, Next},
    word::{self, Word},
};

type Done = Result<Next, Fault>;

pub(in crate::devnet::vm) fn stop(_: &mut Context<'_>, _: &mut Frame) -> Done {
    Ok(Next::Stop)
}

#[inline]
pub(in crate::devnet::vm) fn pop(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    frame.pop();
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn push(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let size = usize::from(frame.op().saturating_sub(0x5f));
    let word = held(frame.code.bytes(), frame.pc + 1, size);
    put(frame, word, size)
}

/// PUSH of so many bytes of the frame's code.
#[inline]
pub(in crate::devnet::vm) fn push_of(frame: &mut Frame, code: &[u8], size: usize) -> Done {
    let word = held(code, frame.pc + 1, size);
    put(frame, word, size)
}

#[inline]
fn put(frame: &mut Frame, word: Word, size: usize) -> Done {
    frame.push(word);
    frame.pc += size;
    Ok(Next::Step)
}

/// What a PUSH holds.
#[inline]
fn held(code: &[u8], from: usize, size: usize) -> Word {
    let rest = code.get(from..).unwrap_or_default();
    match rest.get(..size) {
        Some(held) if size <= 8 => {
            let number = held
                .iter()
                .fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
            Word::from_limbs([number, 0, 0, 0])
        }
        Some(held) => word::from_bytes(held),
        None => cut_off(rest, size),
    }
}

/// What a PUSH holds beyond the end of the code is zeros.
#[cold]
fn cut_off(held: &[u8], size: usize) -> Word {
    let mut full = [0; 32];
    if let Some(place) = full.get_mut(32 - size..) {
        for (place, byte) in place.iter_mut().zip(held) {
            *place = *byte;
        }
    }
    Word::from_be_bytes(full)
}

pub(in crate::devnet::vm) fn dup(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let depth = usize::from(frame.op().saturating_sub(0x80));
    dup_of(frame, depth)
}

/// DUP of the word so far below the top.
#[inline]
pub(in crate::devnet::vm) fn dup_of(frame: &mut Frame, depth: usize) -> Done {
    let at = frame.stack.len().wrapping_sub(depth + 1);
    // The table has checked that it is there.
    if let Some(word) = frame.stack.get(at).copied() {
        frame.push(word);
    }
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn swap(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let depth = usize::from(frame.op().saturating_sub(0x8f));
    swap_with(frame, depth)
}

/// SWAP with the word so far below the top.
#[inline]
pub(in crate::devnet::vm) fn swap_with(frame: &mut Frame, depth: usize) -> Done {
    let at = frame.stack.len().wrapping_sub(depth + 1);
    if let Some([word, .., top]) = frame.stack.get_mut(at..) {
        std::mem::swap(word, top);
    }
    Ok(Next::Step)
}

/// `verifyJumpDest`: the target as java-tron prints it is an `int`.
#[inline]
fn target(frame: &Frame, to: &Word) -> Result<usize, Fault> {
    let low = match to.as_limbs() {
        [low, 0, 0, 0] => u32::try_from(*low).map_err(|_| Fault::BadJump(-1))?,
        _ => return Err(Fault::BadJump(-1)),
    };
    let at = usize::try_from(low).unwrap_or(usize::MAX);
    if frame.code.is_jump_target(at) {
        Ok(at)
    } else {
        Err(Fault::BadJump(low.cast_signed()))
    }
}

#[inline]
pub(in crate::devnet::vm) fn jump(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let to = frame.pop();
    frame.pc = target(frame, &to)?;
    Ok(Next::Jumped)
}

#[inline]
pub(in crate::devnet::vm) fn jumpi(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let [rest @ .., condition, to] = frame.stack.as_slice() else {
        return Ok(Next::Step);
    };
    let held = rest.len();
    let next = match condition.is_zero() {
        true => Next::Step,
        false => {
            frame.pc = target(frame, to)?;
            Next::Jumped
        }
    };
    frame.stack.truncate(held);
    Ok(next)
}

pub(in crate::devnet::vm) fn pc(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    frame.push(Word::from(frame.pc));
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn gas(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    frame.push(word::of_i64(frame.left()));
    Ok(Next::Step)
}

#[inline]
pub(in crate::devnet::vm) fn jumpdest(_: &mut Context<'_>, _: &mut Frame) -> Done {
    Ok(Next::Step)
}

fn output(frame: &mut Frame) -> Vec<u8> {
    let offset = word::int_safe(&frame.pop());
    let size = word::int_safe(&frame.pop());
    frame.memory.read(offset, size)
}

pub(in crate::devnet::vm) fn ret(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    Ok(Next::Return(output(frame)))
}

pub(in crate::devnet::vm) fn revert(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    Ok(Next::Revert(output(frame)))
}
