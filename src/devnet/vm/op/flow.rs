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

pub(in crate::devnet::vm) fn pop(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    frame.pop();
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn push(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let size = usize::from(frame.op().saturating_sub(0x5f));
    let from = frame.pc + 1;
    let code = frame.code.bytes();
    let held = code.get(from..).unwrap_or_default();
    let held = held.get(..size).unwrap_or(held);
    let mut full = [0; 32];
    // Cut off by the end of the code, it is filled with zeros.
    if let Some(place) = full.get_mut(32 - size..) {
        for (place, byte) in place.iter_mut().zip(held) {
            *place = *byte;
        }
    }
    frame.push(Word::from_be_bytes(full));
    frame.pc += size;
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn dup(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let depth = usize::from(frame.op().saturating_sub(0x80));
    let word = frame.peek(depth);
    frame.push(word);
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn swap(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let depth = usize::from(frame.op().saturating_sub(0x8f));
    let top = frame.stack.len().saturating_sub(1);
    frame.stack.swap(top, top.saturating_sub(depth));
    Ok(Next::Step)
}

/// `verifyJumpDest`: the target as java-tron prints it is an `int`.
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

pub(in crate::devnet::vm) fn jump(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let to = frame.pop();
    frame.pc = target(frame, &to)?;
    Ok(Next::Jumped)
}

pub(in crate::devnet::vm) fn jumpi(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let to = frame.pop();
    if frame.pop().is_zero() {
        return Ok(Next::Step);
    }
    frame.pc = target(frame, &to)?;
    Ok(Next::Jumped)
}

pub(in crate::devnet::vm) fn pc(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    frame.push(Word::from(frame.pc));
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn gas(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    frame.push(word::of_i64(frame.left()));
    Ok(Next::Step)
}

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
