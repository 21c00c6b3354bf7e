//! revm's interpreter, ready to run a program.

use revm_interpreter::{
    CallInput, InputsImpl, Interpreter, SharedMemory,
    bytecode::Bytecode,
    context_interface::host::DummyHost,
    interpreter::{EthInterpreter, ExtBytecode},
    primitives::{Address, U256, hardfork::SpecId},
};

/// An interpreter of `code`, called with `data`, that may use `gas`.
pub(crate) fn start(
    code: &[u8],
    data: &[u8],
    gas: u64,
) -> (Interpreter<EthInterpreter>, DummyHost) {
    let inputs = InputsImpl {
        target_address: Address::ZERO,
        bytecode_address: None,
        caller_address: Address::ZERO,
        input: CallInput::Bytes(data.to_vec().into()),
        call_value: U256::ZERO,
        depth: 0,
    };
    let interpreter = Interpreter::new(
        SharedMemory::new(),
        ExtBytecode::new(Bytecode::new_legacy(code.to_vec().into())),
        inputs,
        false,
        SpecId::OSAKA,
        gas,
    );
    (interpreter, DummyHost::new(SpecId::OSAKA))
}
