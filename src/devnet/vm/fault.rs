//! Why a frame, or the whole program, ended badly: java-tron's exceptions, in its words.

use crate::devnet::vm::word::{Word, bytes};

/// An exception of the machine. Its text is what `resMessage` holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// `OutOfEnergyException`.
    #[error("{0}")]
    OutOfEnergy(String),
    /// `OutOfTimeException`.
    #[error("{0}")]
    OutOfTime(String),
    /// `OutOfMemoryException`: past 3 MiB.
    #[error("Out of Memory when '{0}' operation executing")]
    OutOfMemory(&'static str),
    /// `IllegalOperationException`.
    #[error("Invalid operation code: opCode[{0:02x}];")]
    InvalidOpcode(u8),
    /// `BadJumpDestinationException`.
    #[error("Operation with pc isn't 'JUMPDEST': PC[{0}];")]
    BadJump(i32),
    /// `StackTooSmallException`.
    #[error("Expected stack size {0} but actual {1};")]
    StackTooSmall(usize, usize),
    /// `StackTooLargeException`.
    #[error("Expected: overflow 1024 elements stack limit")]
    StackTooLarge,
    /// `TransferException`: alone in leaving the rest of the energy.
    #[error("{0}")]
    Transfer(String),
    /// `StaticCallModificationException`.
    #[error("Attempt to call a state modifying opcode inside STATICCALL")]
    Static,
    /// `ReturnDataCopyIllegalBoundsException`.
    #[error("Illegal RETURNDATACOPY arguments: offset ({}) + size ({}) > RETURNDATASIZE ({})", hex::encode(bytes(.0)), hex::encode(bytes(.1)), .2)]
    ReturnDataBounds(Word, Word, usize),
    /// `InvalidCodeException`.
    #[error("invalid code: must not begin with 0xef")]
    InvalidCode,
    /// `JVMStackOverFlowException`.
    #[error("StackOverflowError:  exceed default JVM stack size!")]
    StackOverflow,
    /// `java.lang.ArithmeticException`.
    #[error("BigInteger out of long range")]
    OutOfLong,
    /// `java.lang.ArrayIndexOutOfBoundsException`.
    #[error("Index {0} out of bounds for length {1}")]
    OutOfBounds(usize, usize),
    /// `BytecodeExecutionException`.
    #[error("{0}")]
    Execution(String),
}

/// The check of a transfer inside a contract (`VALIDATE_FOR_SMART_CONTRACT_FAILURE`).
pub(crate) fn not_valid(message: &str) -> String {
    format!("validateForSmartContract failure:{message}")
}

impl Fault {
    /// Java's name of the exception's class, as a refused constant call tells it.
    pub(crate) const fn class(&self) -> &'static str {
        match self {
            Self::OutOfEnergy(_) => "org.tron.core.vm.program.Program$OutOfEnergyException",
            Self::OutOfTime(_) => "org.tron.core.vm.program.Program$OutOfTimeException",
            Self::OutOfMemory(_) => "org.tron.core.vm.program.Program$OutOfMemoryException",
            Self::InvalidOpcode(_) => "org.tron.core.vm.program.Program$IllegalOperationException",
            Self::BadJump(_) => "org.tron.core.vm.program.Program$BadJumpDestinationException",
            Self::StackTooSmall(..) => "org.tron.core.vm.program.Program$StackTooSmallException",
            Self::StackTooLarge => "org.tron.core.vm.program.Program$StackTooLargeException",
            Self::Transfer(_) => "org.tron.core.vm.program.Program$TransferException",
            Self::Static => "org.tron.core.vm.program.Program$StaticCallModificationException",
            Self::ReturnDataBounds(..) => {
                "org.tron.core.vm.program.Program$ReturnDataCopyIllegalBoundsException"
            }
            Self::InvalidCode => "org.tron.core.vm.program.Program$InvalidCodeException",
            Self::StackOverflow => "org.tron.core.vm.program.Program$JVMStackOverFlowException",
            Self::OutOfLong => "java.lang.ArithmeticException",
            Self::OutOfBounds(..) => "java.lang.ArrayIndexOutOfBoundsException",
            Self::Execution(_) => "org.tron.core.vm.program.Program$BytecodeExecutionException",
        }
    }

    /// The transaction's `contractRet`.
    pub(crate) const fn result(&self) -> ContractResult {
        match self {
            Self::OutOfEnergy(_) => ContractResult::OutOfEnergy,
            Self::OutOfTime(_) => ContractResult::OutOfTime,
            Self::OutOfMemory(_) => ContractResult::OutOfMemory,
            Self::InvalidOpcode(_) => ContractResult::IllegalOperation,
            Self::BadJump(_) => ContractResult::BadJumpDestination,
            Self::StackTooSmall(..) => ContractResult::StackTooSmall,
            Self::StackTooLarge => ContractResult::StackTooLarge,
            Self::Transfer(_) => ContractResult::TransferFailed,
            Self::InvalidCode => ContractResult::InvalidCode,
            Self::StackOverflow => ContractResult::StackOverflow,
            Self::Static
            | Self::ReturnDataBounds(..)
            | Self::OutOfLong
            | Self::OutOfBounds(..)
            | Self::Execution(_) => ContractResult::Unknown,
        }
    }

    /// Whether it ends the whole program, not its frame alone.
    pub(super) const fn ends_all(&self) -> bool {
        matches!(self, Self::OutOfTime(_) | Self::StackOverflow)
    }
}

macro_rules! results {
    ($( $(#[$doc:meta])* $variant:ident = $number:literal $name:literal; )*) => {
        /// How a contract's transaction ended (`Transaction.Result.contractResult`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub(crate) enum ContractResult { $( $(#[$doc])* $variant, )* }

        impl ContractResult {
            /// The number on the wire.
            pub(crate) const fn number(self) -> i32 {
                match self { $( Self::$variant => $number, )* }
            }

            /// The chain's own name.
            pub(crate) const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }
        }
    };
}

results! {
    #[default]
    Success = 1 "SUCCESS";
    Revert = 2 "REVERT";
    BadJumpDestination = 3 "BAD_JUMP_DESTINATION";
    OutOfMemory = 4 "OUT_OF_MEMORY";
    StackTooSmall = 6 "STACK_TOO_SMALL";
    StackTooLarge = 7 "STACK_TOO_LARGE";
    IllegalOperation = 8 "ILLEGAL_OPERATION";
    OutOfEnergy = 10 "OUT_OF_ENERGY";
    OutOfTime = 11 "OUT_OF_TIME";
    StackOverflow = 12 "JVM_STACK_OVER_FLOW";
    Unknown = 13 "UNKNOWN";
    TransferFailed = 14 "TRANSFER_FAILED";
    InvalidCode = 15 "INVALID_CODE";
}
