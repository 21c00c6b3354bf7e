//! Memory, and what is copied into it.

use crate::{
    devnet::vm::{
        fault::Fault,
        frame::Frame,
        machine::{Context, Next},
        word::{self, Word},
    },
    tron::keys::keccak256,
};

type Done = Result<Next, Fault>;

pub(in crate::devnet::vm) fn sha3(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let offset = word::int_safe(&frame.pop());
    let size = word::int_safe(&frame.pop());
    let hash = keccak256(frame.memory.slice(offset, size));
    frame.push(Word::from_be_bytes(hash));
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn calldata_load(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let offset = word::int_safe(&frame.pop());
    let loaded = word::padded(&frame.entry.data, offset);
    frame.push(Word::from_be_bytes(loaded));
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn calldata_size(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    frame.push(Word::from(frame.entry.data.len()));
    Ok(Next::Step)
}

/// Pops destination, source and size, and copies with zeros past the end.
fn copy(frame: &mut Frame, source: impl FnOnce(&Frame) -> Source) -> Done {
    let to = word::int_safe(&frame.pop());
    let from = word::int_safe(&frame.pop());
    let size = word::int_safe(&frame.pop());
    let source = source(frame);
    let rest = source.bytes().get(from..).unwrap_or_default();
    frame.memory.write_padded(to, rest, size);
    Ok(Next::Step)
}

/// Bytes that are shared with the frame.
enum Source {
    Data(std::sync::Arc<[u8]>),
    Code(std::sync::Arc<crate::devnet::vm::code::Code>),
    None,
}

impl Source {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Data(data) => data,
            Self::Code(code) => code.bytes(),
            Self::None => &[],
        }
    }
}

pub(in crate::devnet::vm) fn calldata_copy(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    copy(frame, |frame| Source::Data(frame.entry.data.clone()))
}

pub(in crate::devnet::vm) fn code_size(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    frame.push(Word::from(frame.code.bytes().len()));
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn code_copy(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    copy(frame, |frame| Source::Code(frame.code.clone()))
}

pub(in crate::devnet::vm) fn ext_code_copy(context: &mut Context<'_>, frame: &mut Frame) -> Done {
    let address = word::address(&frame.pop());
    let code = context.world.state.code(&address).cloned();
    copy(frame, |_| code.map_or(Source::None, Source::Code))
}

pub(in crate::devnet::vm) fn return_data_size(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    frame.push(Word::from(frame.returned.len()));
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn return_data_copy(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let to = word::int_safe(&frame.pop());
    let offset = frame.pop();
    let size = frame.pop();
    let from = word::int_safe(&offset);
    let end = from.saturating_add(word::int_safe(&size));
    let Some(part) = frame.returned.get(from..end) else {
        return Err(Fault::ReturnDataBounds(offset, size, frame.returned.len()));
    };
    frame.memory.write(to, part);
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn mload(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let offset = word::int_safe(&frame.pop());
    let word = frame.memory.word(offset);
    frame.push(word);
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn mstore(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let offset = word::int_safe(&frame.pop());
    let value = word::bytes(&frame.pop());
    frame.memory.write(offset, &value);
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn mstore8(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let offset = word::int_safe(&frame.pop());
    let [.., low] = word::bytes(&frame.pop());
    frame.memory.write(offset, &[low]);
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn mcopy(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    let to = word::int_safe(&frame.pop());
    let from = word::int_safe(&frame.pop());
    let size = word::int_safe(&frame.pop());
    let copied = frame.memory.read(from, size);
    frame.memory.write(to, &copied);
    Ok(Next::Step)
}

pub(in crate::devnet::vm) fn msize(_: &mut Context<'_>, frame: &mut Frame) -> Done {
    frame.push(Word::from(frame.memory.len()));
    Ok(Next::Step)
}
