//! Storage, transient storage, logs.

use crate::devnet::vm::{
    Log,
    fault::Fault,
    frame::Frame,
    machine::{Context, Next},
    word::{self, Word},
};

type Done = Result<Next, Fault>;

/// Refuses what would change something inside a STATICCALL.
pub(in crate::devnet::vm) fn no_static(frame: &Frame) -> Result<(), Fault> {
    if frame.entry.is_static {
        Err(Fault::Static)
    } else {
        Ok(())
    }
}

pub(in crate::devnet::vm) fn sload(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    let key = frame.pop();
    let value = context.world.slot(&frame.address, &key);
    frame.push(value.unwrap_or_default());
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn sstore(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    no_static(frame)?;
    let key = frame.pop();
    let value = frame.pop();
    context.world.put_slot(frame.address, key, value);
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn tload(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    let key = frame.pop();
    let value = context.world.transient(&frame.address, &key);
    frame.push(value);
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn tstore(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    no_static(frame)?;
    let key = frame.pop();
    let value = frame.pop();
    context.world.put_transient(frame.address, key, value);
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn log(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    no_static(frame)?;
    let count = frame.op().saturating_sub(0xa0);
    let offset = word::int_safe(&frame.pop());
    let size = word::int_safe(&frame.pop());
    let topics: Vec<Word> = (0..count).map(|_| frame.pop()).collect();
    let data = frame.memory.read(offset, size);
    context.logs.push(Log {
        address: frame.address,
        topics: topics.iter().map(word::bytes).collect(),
        data,
    });
    Ok(Next::Step)
}
