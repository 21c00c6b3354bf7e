//! One frame: a program that runs in some context. Frames live on the heap.

use std::sync::Arc;

use super::{
    code::{self, Code},
    memory::Memory,
    table,
    word::Word,
    world::Checkpoint,
};
use crate::types::Address;

/// Items a stack may hold.
pub(super) const MAX_STACK: usize = 1_024;

/// What is done in the caller when a frame ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// The outermost one.
    Program,
    Call {
        energy: i64,
        output_at: usize,
        output_size: usize,
    },
    Create {
        address: Address,
        energy: i64,
    },
}

/// Who a frame runs for and with what.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Whose storage and balance these are.
    pub(super) address: Address,
    pub(super) caller: Address,
    pub(super) value: Word,
    pub(super) token_value: Word,
    pub(super) token_id: Word,
    pub(super) data: Arc<[u8]>,
    pub(super) is_static: bool,
}

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) code: Arc<Code>,
    pub(super) pc: usize,
    pub(super) stack: Vec<Word>,
    pub(super) memory: Memory,
    pub(super) returned: Vec<u8>,
    pub(super) limit: i64,
    pub(super) used: i64,
    pub(super) address: Address,
    pub(super) entry: Entry,
    /// The hash that internal transactions from here name as their parent.
    pub(super) parent: [u8; 32],
    /// 0 for the outermost.
    pub(super) depth: usize,
    /// Of dynamic energy, in ten-thousandths.
    pub(super) factor: i64,
    /// Energy of its opcodes without penalties and without what callees got.
    pub(super) usage: i64,
    /// What the call opcode in hand sets aside, and its penalty.
    pub(super) call_energy: i64,
    pub(super) call_penalty: i64,
    pub(super) ending: Ending,
    /// The world before it.
    pub(super) before: Checkpoint,
    /// Lengths of the program's lists before it: its own internal transaction is the
    /// one before `internal`.
    pub(super) internal: usize,
    pub(super) logs: usize,
    pub(super) deleted: usize,
}

impl Frame {
    /// The opcode in hand.
    #[inline]
    pub(super) fn op(&self) -> u8 {
        code::op(self.code.bytes(), self.pc)
    }

    pub(super) fn op_name(&self) -> &'static str {
        table::row(self.op()).name
    }

    #[inline]
    pub(super) fn left(&self) -> i64 {
        self.limit - self.used
    }

    /// The word `depth` below the top; the table has checked that it is there.
    #[inline]
    pub(super) fn peek(&self, depth: usize) -> Word {
        let at = self.stack.len().wrapping_sub(depth + 1);
        self.stack.get(at).copied().unwrap_or_default()
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Word {
        self.stack.pop().unwrap_or_default()
    }

    #[inline]
    pub(super) fn push(&mut self, word: Word) {
        self.stack.push(word);
    }

    #[inline]
    pub(super) fn push_bool(&mut self, value: bool) {
        self.push(Word::from(u64::from(value)));
    }
}
