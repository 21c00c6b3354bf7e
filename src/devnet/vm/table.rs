//! One row an opcode: its name, what it takes and gives, its price, what runs, since when.

use super::{
    energy::{self, Price},
    fault::Fault,
    frame::{Frame, MAX_STACK},
    machine::{Context, Next},
    op::{arith, call, env, flow, memory, stake, store},
    rules::Since,
};

pub(super) type Run = fn(&mut Context<'_>, &mut Frame) -> Result<Next, Fault>;

#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) pops: usize,
    /// What the stack may hold beneath what it takes.
    pub(super) room: usize,
    pub(super) price: Price,
    pub(super) run: Run,
    pub(super) since: Since,
    /// Whether its price sets energy aside for a callee.
    pub(super) is_call: bool,
}

const UNKNOWN: Row = Row {
    name: "INVALID",
    pops: 0,
    room: MAX_STACK,
    price: Price::Fixed(0),
    run: flow::stop,
    since: Since::Never,
    is_call: false,
};

/// All rows, by opcode. As a constant, the row of an opcode that is known where it is compiled
/// takes no look into memory.
const ROWS: [Row; 256] = build();
static TABLE: [Row; 256] = ROWS;

/// The row of an opcode.
#[inline]
pub(super) fn row(op: u8) -> &'static Row {
    TABLE.get(usize::from(op)).unwrap_or(&UNKNOWN)
}

/// The row of an opcode, as a constant.
#[expect(
    clippy::indexing_slicing,
    reason = "of a constant: what is out of bounds does not compile"
)]
pub(super) const fn constant<const OP: usize>() -> Row {
    const { ROWS[OP] }
}

macro_rules! rows {
    ($table:ident; $( $op:literal $name:literal $pops:literal $pushes:literal $price:expr, $run:expr, $since:ident; )*) => {
        $( $table[$op] = Row {
            name: $name,
            pops: $pops,
            room: MAX_STACK - $pushes,
            price: $price,
            run: $run,
            since: Since::$since,
            is_call: matches!($op, 0xf1 | 0xf2 | 0xf4 | 0xfa | 0xd0),
        }; )*
    };
}

const PUSH: [&str; 32] = [
    "PUSH1", "PUSH2", "PUSH3", "PUSH4", "PUSH5", "PUSH6", "PUSH7", "PUSH8", "PUSH9", "PUSH10",
    "PUSH11", "PUSH12", "PUSH13", "PUSH14", "PUSH15", "PUSH16", "PUSH17", "PUSH18", "PUSH19",
    "PUSH20", "PUSH21", "PUSH22", "PUSH23", "PUSH24", "PUSH25", "PUSH26", "PUSH27", "PUSH28",
    "PUSH29", "PUSH30", "PUSH31", "PUSH32",
];
const DUP: [&str; 16] = [
    "DUP1", "DUP2", "DUP3", "DUP4", "DUP5", "DUP6", "DUP7", "DUP8", "DUP9", "DUP10", "DUP11",
    "DUP12", "DUP13", "DUP14", "DUP15", "DUP16",
];
const SWAP: [&str; 16] = [
    "SWAP1", "SWAP2", "SWAP3", "SWAP4", "SWAP5", "SWAP6", "SWAP7", "SWAP8", "SWAP9", "SWAP10",
    "SWAP11", "SWAP12", "SWAP13", "SWAP14", "SWAP15", "SWAP16",
];
const LOG: [&str; 5] = ["LOG0", "LOG1", "LOG2", "LOG3", "LOG4"];

#[expect(
    clippy::indexing_slicing,
    reason = "of a constant: what is out of bounds does not compile"
)]
const fn build() -> [Row; 256] {
    use Price::{By, Fixed};
    const BASE: Price = Fixed(2);
    const VERY_LOW: Price = Fixed(3);
    const LOW: Price = Fixed(5);
    const MID: Price = Fixed(8);
    const HIGH: Price = Fixed(10);
    const EXT: Price = Fixed(20);
    const STAKE: Price = Fixed(10_000);

    let mut table = [UNKNOWN; 256];
    rows! { table;
        0x00 "STOP" 0 0 Fixed(0), flow::stop, Always;
        0x01 "ADD" 2 1 VERY_LOW, arith::add, Always;
        0x02 "MUL" 2 1 LOW, arith::mul, Always;
        0x03 "SUB" 2 1 VERY_LOW, arith::sub, Always;
        0x04 "DIV" 2 1 LOW, arith::div, Always;
        0x05 "SDIV" 2 1 LOW, arith::sdiv, Always;
        0x06 "MOD" 2 1 LOW, arith::modulo, Always;
        0x07 "SMOD" 2 1 LOW, arith::smod, Always;
        0x08 "ADDMOD" 3 1 MID, arith::addmod, Always;
        0x09 "MULMOD" 3 1 MID, arith::mulmod, Always;
        0x0a "EXP" 2 1 By(energy::exp), arith::exp, Always;
        0x0b "SIGNEXTEND" 2 1 LOW, arith::signextend, Always;
        0x10 "LT" 2 1 VERY_LOW, arith::lt, Always;
        0x11 "GT" 2 1 VERY_LOW, arith::gt, Always;
        0x12 "SLT" 2 1 VERY_LOW, arith::slt, Always;
        0x13 "SGT" 2 1 VERY_LOW, arith::sgt, Always;
        0x14 "EQ" 2 1 VERY_LOW, arith::eq, Always;
        0x15 "ISZERO" 1 1 VERY_LOW, arith::iszero, Always;
        0x16 "AND" 2 1 VERY_LOW, arith::and, Always;
        0x17 "OR" 2 1 VERY_LOW, arith::or, Always;
        0x18 "XOR" 2 1 VERY_LOW, arith::xor, Always;
        0x19 "NOT" 1 1 VERY_LOW, arith::not, Always;
        0x1a "BYTE" 2 1 VERY_LOW, arith::byte, Always;
        0x1b "SHL" 2 1 VERY_LOW, arith::shl, Constantinople;
        0x1c "SHR" 2 1 VERY_LOW, arith::shr, Constantinople;
        0x1d "SAR" 2 1 VERY_LOW, arith::sar, Constantinople;
        0x1e "CLZ" 1 1 LOW, arith::clz, Osaka;
        0x20 "SHA3" 2 1 By(energy::sha3), memory::sha3, Always;
        0x30 "ADDRESS" 0 1 BASE, env::address, Always;
        0x31 "BALANCE" 1 1 EXT, env::balance, Always;
        0x32 "ORIGIN" 0 1 BASE, env::origin, Always;
        0x33 "CALLER" 0 1 BASE, env::caller, Always;
        0x34 "CALLVALUE" 0 1 BASE, env::call_value, Always;
        0x35 "CALLDATALOAD" 1 1 VERY_LOW, memory::calldata_load, Always;
        0x36 "CALLDATASIZE" 0 1 BASE, memory::calldata_size, Always;
        0x37 "CALLDATACOPY" 3 0 By(energy::copy3), memory::calldata_copy, Always;
        0x38 "CODESIZE" 0 1 BASE, memory::code_size, Always;
        0x39 "CODECOPY" 3 0 By(energy::copy3), memory::code_copy, Always;
        0x3a "GASPRICE" 0 1 BASE, env::zero, Always;
        0x3b "EXTCODESIZE" 1 1 EXT, env::ext_code_size, Always;
        0x3c "EXTCODECOPY" 4 0 By(energy::ext_code_copy), memory::ext_code_copy, Always;
        0x3d "RETURNDATASIZE" 0 1 BASE, memory::return_data_size, Always;
        0x3e "RETURNDATACOPY" 3 0 By(energy::copy3), memory::return_data_copy, Always;
        0x3f "EXTCODEHASH" 1 1 Fixed(400), env::ext_code_hash, Constantinople;
        0x40 "BLOCKHASH" 1 1 EXT, env::block_hash, Always;
        0x41 "COINBASE" 0 1 BASE, env::coinbase, Always;
        0x42 "TIMESTAMP" 0 1 BASE, env::timestamp, Always;
        0x43 "NUMBER" 0 1 BASE, env::number, Always;
        0x44 "DIFFICULTY" 0 1 BASE, env::zero, Always;
        0x45 "GASLIMIT" 0 1 BASE, env::zero, Always;
        0x46 "CHAINID" 0 1 BASE, env::chain_id, Istanbul;
        0x47 "SELFBALANCE" 0 1 LOW, env::self_balance, Istanbul;
        0x48 "BASEFEE" 0 1 BASE, env::base_fee, London;
        0x49 "BLOBHASH" 1 1 VERY_LOW, env::blob_hash, Blob;
        0x4a "BLOBBASEFEE" 0 1 BASE, env::zero, Blob;
        0x50 "POP" 1 0 BASE, flow::pop, Always;
        0x51 "MLOAD" 1 1 By(energy::memory_word), memory::mload, Always;
        0x52 "MSTORE" 2 0 By(energy::memory_word), memory::mstore, Always;
        0x53 "MSTORE8" 2 0 By(energy::memory_byte), memory::mstore8, Always;
        0x54 "SLOAD" 1 1 Fixed(50), store::sload, Always;
        0x55 "SSTORE" 2 0 By(energy::sstore), store::sstore, Always;
        0x56 "JUMP" 1 0 MID, flow::jump, Always;
        0x57 "JUMPI" 2 0 HIGH, flow::jumpi, Always;
        0x58 "PC" 0 1 BASE, flow::pc, Always;
        0x59 "MSIZE" 0 1 BASE, memory::msize, Always;
        0x5a "GAS" 0 1 BASE, flow::gas, Always;
        0x5b "JUMPDEST" 0 0 Fixed(energy::SPECIAL), flow::jumpdest, Always;
        0x5c "TLOAD" 1 1 Fixed(100), store::tload, Cancun;
        0x5d "TSTORE" 2 0 Fixed(100), store::tstore, Cancun;
        0x5e "MCOPY" 3 0 By(energy::mcopy), memory::mcopy, Cancun;
        0x5f "PUSH0" 0 1 BASE, env::zero, Shanghai;
        0xd0 "CALLTOKEN" 8 1 By(energy::call_token), call::call_token, Trc10;
        0xd1 "TOKENBALANCE" 2 1 EXT, env::token_balance, Trc10;
        0xd2 "CALLTOKENVALUE" 0 1 BASE, env::call_token_value, Trc10;
        0xd3 "CALLTOKENID" 0 1 BASE, env::call_token_id, Trc10;
        0xd4 "ISCONTRACT" 1 1 EXT, env::is_contract, Solidity059;
        0xd8 "VOTEWITNESS" 4 1 By(energy::vote_witness), stake::vote_witness, Vote;
        0xd9 "WITHDRAWREWARD" 0 1 Fixed(20_000), stake::withdraw_reward, Vote;
        0xda "FREEZEBALANCEV2" 2 1 STAKE, stake::freeze, FreezeV2;
        0xdb "UNFREEZEBALANCEV2" 2 1 STAKE, stake::unfreeze, FreezeV2;
        0xdc "CANCELALLUNFREEZEV2" 0 1 STAKE, stake::cancel_all, FreezeV2;
        0xdd "WITHDRAWEXPIREUNFREEZE" 0 1 STAKE, stake::withdraw_expired, FreezeV2;
        0xde "DELEGATERESOURCE" 3 1 STAKE, stake::delegate, FreezeV2;
        0xdf "UNDELEGATERESOURCE" 3 1 STAKE, stake::undelegate, FreezeV2;
        0xf0 "CREATE" 3 1 By(energy::create), call::create, Always;
        0xf1 "CALL" 7 1 By(energy::call), call::call, Always;
        0xf2 "CALLCODE" 7 1 By(energy::call_code), call::call_code, Always;
        0xf3 "RETURN" 2 0 By(energy::output), flow::ret, Always;
        0xf4 "DELEGATECALL" 6 1 By(energy::call_plain), call::delegate_call, Always;
        0xf5 "CREATE2" 4 1 By(energy::create2), call::create2, Constantinople;
        0xfa "STATICCALL" 6 1 By(energy::call_plain), call::static_call, Always;
        0xfd "REVERT" 2 0 By(energy::output), flow::revert, Always;
        0xff "SUICIDE" 1 0 By(energy::selfdestruct), call::selfdestruct, Always;
    }
    let mut n = 0;
    while n < 32 {
        table[0x60 + n] = numbered(PUSH[n], 0, 1, VERY_LOW, flow::push);
        n += 1;
    }
    n = 0;
    while n < 16 {
        table[0x80 + n] = numbered(DUP[n], n + 1, n + 2, VERY_LOW, flow::dup);
        table[0x90 + n] = numbered(SWAP[n], n + 2, n + 2, VERY_LOW, flow::swap);
        n += 1;
    }
    n = 0;
    while n < 5 {
        table[0xa0 + n] = numbered(LOG[n], n + 2, 0, By(energy::log), store::log);
        n += 1;
    }
    table
}

const fn numbered(name: &'static str, pops: usize, pushes: usize, price: Price, run: Run) -> Row {
    Row {
        name,
        pops,
        room: MAX_STACK - pushes,
        price,
        run,
        since: Since::Always,
        is_call: false,
    }
}
