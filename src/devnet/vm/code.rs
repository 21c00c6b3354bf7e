//! A contract's code and where a jump may land in it.

use std::sync::{Arc, OnceLock};

use crate::tron::keys::keccak256;

const JUMPDEST: u8 = 0x5b;
const PUSH1: u8 = 0x60;
const PUSH32: u8 = 0x7f;

/// Code, analysed at its first run.
#[derive(Debug, Default)]
pub(crate) struct Code {
    bytes: Vec<u8>,
    /// One bit a byte: whether it is a JUMPDEST that no PUSH holds.
    jumps: OnceLock<Vec<u64>>,
    hash: OnceLock<[u8; 32]>,
}

impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Code {
    pub(crate) fn new(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self {
            bytes,
            ..Self::default()
        })
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn hash(&self) -> &[u8; 32] {
        self.hash.get_or_init(|| keccak256(&self.bytes))
    }

    #[inline]
    pub(super) fn is_jump_target(&self, at: usize) -> bool {
        let jumps = self.jumps.get_or_init(|| targets(&self.bytes));
        jumps
            .get(at / 64)
            .is_some_and(|word| word >> (at % 64) & 1 == 1)
    }
}

/// The opcode at a place: STOP past the end.
#[inline]
pub(super) fn op(code: &[u8], at: usize) -> u8 {
    code.get(at).copied().unwrap_or_default()
}

fn targets(code: &[u8]) -> Vec<u64> {
    let mut found = vec![0u64; code.len().div_ceil(64)];
    let mut at = 0;
    while let Some(byte) = code.get(at) {
        match *byte {
            JUMPDEST => {
                if let Some(word) = found.get_mut(at / 64) {
                    *word |= 1 << (at % 64);
                }
            }
            push @ PUSH1..=PUSH32 => at += usize::from(push - PUSH1) + 1,
            _ => {}
        }
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_push_holds_is_no_target() {
        let code = Code::new(vec![0x5b, 0x61, 0x5b, 0x5b, 0x5b, 0x7f, 0x5b]);
        let targets: Vec<usize> = (0..10).filter(|at| code.is_jump_target(*at)).collect();
        assert_eq!(targets, [0, 4]);
    }
}
