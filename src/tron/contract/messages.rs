//! The contracts' messages, field numbers as in tron-facts (java-tron's
//! `core/contract/*.proto`), each with its codec and the schema its JSON form
//! follows.
//!
//! They are the wire's own shape: an address is whatever bytes were sent, since
//! a node must be able to read, and refuse by name, what is wrong.

use super::schema::{Enum, FieldSchema, Kind, Message};
use crate::tron::proto::{ProtoError, Reader, Writer};

/// `ResourceCode`.
pub const RESOURCE: Enum = &["BANDWIDTH", "ENERGY", "TRON_POWER"];
/// `Permission.PermissionType`.
pub const PERMISSION_TYPE: Enum = &["Owner", "Witness", "Active"];
/// `SmartContract.ABI.Entry.EntryType`.
pub const ABI_ENTRY_TYPE: Enum = &[
    "UnknownEntryType",
    "Constructor",
    "Function",
    "Event",
    "Fallback",
    "Receive",
    "Error",
];
/// `SmartContract.ABI.Entry.StateMutabilityType`.
pub const ABI_MUTABILITY: Enum = &[
    "UnknownMutabilityType",
    "Pure",
    "View",
    "Nonpayable",
    "Payable",
];
/// `AccountType`.
pub const ACCOUNT_TYPE: Enum = &["Normal", "AssetIssue", "Contract"];

macro_rules! field_type {
    (address) => { Vec<u8> };
    (text) => { Vec<u8> };
    (bytes) => { Vec<u8> };
    (string) => { String };
    (int64) => { i64 };
    (entry) => { i64 };
    (int32) => { i32 };
    (boolean) => { bool };
    (enumeration $values:ident) => { i32 };
    (optional $message:ident) => { Option<$message> };
    (repeated $message:ident) => { Vec<$message> };
}

macro_rules! field_kind {
    (address) => {
        Kind::Address
    };
    (text) => {
        Kind::Text
    };
    (bytes) => {
        Kind::Bytes
    };
    (string) => {
        Kind::String
    };
    (int64) => {
        Kind::Int64
    };
    (entry) => {
        Kind::Int64
    };
    (int32) => {
        Kind::Int32
    };
    (boolean) => {
        Kind::Bool
    };
    (enumeration $values:ident) => {
        Kind::Enum($values)
    };
    (optional $message:ident) => {
        Kind::Message($message::FIELDS)
    };
    (repeated $message:ident) => {
        Kind::Repeated($message::FIELDS)
    };
}

macro_rules! write_field {
    ($w:ident, $n:literal, $v:expr, address) => {
        $w.bytes($n, &$v)
    };
    ($w:ident, $n:literal, $v:expr, text) => {
        $w.bytes($n, &$v)
    };
    ($w:ident, $n:literal, $v:expr, bytes) => {
        $w.bytes($n, &$v)
    };
    ($w:ident, $n:literal, $v:expr, string) => {
        $w.bytes($n, $v.as_bytes())
    };
    ($w:ident, $n:literal, $v:expr, int64) => {
        $w.int64($n, $v)
    };
    // A map's entry has its key and its value written, 0 or not.
    ($w:ident, $n:literal, $v:expr, entry) => {
        $w.entry($n, $v)
    };
    ($w:ident, $n:literal, $v:expr, int32) => {
        $w.int64($n, i64::from($v))
    };
    ($w:ident, $n:literal, $v:expr, boolean) => {
        $w.int64($n, i64::from($v))
    };
    ($w:ident, $n:literal, $v:expr, enumeration $values:ident) => {
        $w.int64($n, i64::from($v))
    };
    ($w:ident, $n:literal, $v:expr, optional $message:ident) => {
        if let Some(message) = &$v {
            $w.element($n, &message.encode());
        }
    };
    ($w:ident, $n:literal, $v:expr, repeated $message:ident) => {
        for message in &$v {
            $w.element($n, &message.encode());
        }
    };
}

macro_rules! read_field {
    ($f:ident, $v:expr, $name:ident, address) => {
        $v = $f.bytes(stringify!($name))?.to_vec()
    };
    ($f:ident, $v:expr, $name:ident, text) => {
        $v = $f.bytes(stringify!($name))?.to_vec()
    };
    ($f:ident, $v:expr, $name:ident, bytes) => {
        $v = $f.bytes(stringify!($name))?.to_vec()
    };
    ($f:ident, $v:expr, $name:ident, string) => {
        $v = $f.text(stringify!($name))?
    };
    ($f:ident, $v:expr, $name:ident, int64) => {
        $v = $f.int64(stringify!($name))?
    };
    ($f:ident, $v:expr, $name:ident, entry) => {
        $v = $f.int64(stringify!($name))?
    };
    ($f:ident, $v:expr, $name:ident, int32) => {
        $v = $f.int32(stringify!($name))?
    };
    ($f:ident, $v:expr, $name:ident, boolean) => {
        $v = $f.int64(stringify!($name))? != 0
    };
    ($f:ident, $v:expr, $name:ident, enumeration $values:ident) => {
        $v = $f.int32(stringify!($name))?
    };
    ($f:ident, $v:expr, $name:ident, optional $message:ident) => {
        $v = Some($message::decode($f.bytes(stringify!($name))?)?)
    };
    ($f:ident, $v:expr, $name:ident, repeated $message:ident) => {
        $v.push($message::decode($f.bytes(stringify!($name))?)?)
    };
}

macro_rules! messages {
    ($( $(#[$doc:meta])* $name:ident { $( $number:literal $field:ident: $kind:ident $($of:ident)?, )* } )*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        #[allow(missing_docs, non_snake_case, reason = "the fields are the chain's own, named and ordered as in its schema")]
        pub struct $name { $( pub $field: field_type!($kind $($of)?), )* }

        impl Message for $name {
            const FIELDS: &'static [FieldSchema] = &[ $( FieldSchema {
                number: $number,
                name: stringify!($field),
                kind: field_kind!($kind $($of)?),
            }, )* ];

            #[allow(unused_mut, reason = "a message may have no fields but its owner")]
            fn encode(&self) -> Vec<u8> {
                let mut writer = Writer::new();
                $( write_field!(writer, $number, self.$field, $kind $($of)?); )*
                writer.into_bytes()
            }

            fn decode(bytes: &[u8]) -> Result<Self, ProtoError> {
                let mut message = Self::default();
                for field in Reader::new(bytes) {
                    let field = field?;
                    match field.number {
                        $( $number => read_field!(field, message.$field, $name, $kind $($of)?), )*
                        _ => {}
                    }
                }
                Ok(message)
            }
        }
    )* };
}

messages! {
    /// Type 0: makes an account.
    AccountCreateContract { 1 owner_address: address, 2 account_address: address, 3 r#type: enumeration ACCOUNT_TYPE, }
    /// Type 1: sends TRX, in sun.
    TransferContract { 1 owner_address: address, 2 to_address: address, 3 amount: int64, }
    /// Type 2: sends a TRC-10 token; `asset_name` is the token's id in digits.
    TransferAssetContract { 1 asset_name: text, 2 owner_address: address, 3 to_address: address, 4 amount: int64, }
    /// One vote of [`VoteWitnessContract`].
    Vote { 1 vote_address: address, 2 vote_count: int64, }
    /// Type 4: votes for witnesses.
    VoteWitnessContract { 1 owner_address: address, 2 votes: repeated Vote, 3 support: boolean, }
    /// A frozen part of a new token's supply.
    FrozenSupply { 1 frozen_amount: int64, 2 frozen_days: int64, }
    /// Type 5: makes the account a witness, for a fee.
    WitnessCreateContract { 1 owner_address: address, 2 url: text, }
    /// Type 6: issues a TRC-10 token.
    AssetIssueContract {
        1 owner_address: address,
        2 name: text,
        3 abbr: text,
        4 total_supply: int64,
        5 frozen_supply: repeated FrozenSupply,
        6 trx_num: int32,
        7 precision: int32,
        8 num: int32,
        9 start_time: int64,
        10 end_time: int64,
        11 order: int64,
        16 vote_score: int32,
        20 description: text,
        21 url: text,
        22 free_asset_net_limit: int64,
        23 public_free_asset_net_limit: int64,
        24 public_free_asset_net_usage: int64,
        25 public_latest_free_net_time: int64,
        41 id: string,
    }
    /// Type 8: changes a witness's address on the web.
    WitnessUpdateContract { 1 owner_address: address, 12 update_url: text, }
    /// Type 9: buys from a running token sale.
    ParticipateAssetIssueContract { 1 owner_address: address, 2 to_address: address, 3 asset_name: text, 4 amount: int64, }
    /// Type 10: names the account.
    AccountUpdateContract { 1 account_name: text, 2 owner_address: address, }
    /// Type 11: stakes by the old rules, which stake 2.0 ended.
    FreezeBalanceContract { 1 owner_address: address, 2 frozen_balance: int64, 3 frozen_duration: int64, 10 resource: enumeration RESOURCE, 15 receiver_address: address, }
    /// Type 12: takes back stake of the old rules.
    UnfreezeBalanceContract { 1 owner_address: address, 10 resource: enumeration RESOURCE, 15 receiver_address: address, }
    /// Type 13: withdraws a witness's rewards.
    WithdrawBalanceContract { 1 owner_address: address, }
    /// Type 14: takes back frozen token supply.
    UnfreezeAssetContract { 1 owner_address: address, }
    /// Type 15: changes a token's description, url and limits.
    UpdateAssetContract { 1 owner_address: address, 2 description: text, 3 url: text, 4 new_limit: int64, 5 new_public_limit: int64, }
    /// A parameter's number and its proposed value.
    ProposedParameter { 1 key: entry, 2 value: entry, }
    /// Type 16: proposes other chain parameters.
    ProposalCreateContract { 1 owner_address: address, 2 parameters: repeated ProposedParameter, }
    /// Type 17: approves a proposal, or takes the approval back.
    ProposalApproveContract { 1 owner_address: address, 2 proposal_id: int64, 3 is_add_approval: boolean, }
    /// Type 18: takes a proposal back.
    ProposalDeleteContract { 1 owner_address: address, 2 proposal_id: int64, }
    /// Type 19: gives the account an id.
    SetAccountIdContract { 1 account_id: text, 2 owner_address: address, }
    /// A parameter of an [`AbiEntry`].
    AbiParam { 1 indexed: boolean, 2 name: string, 3 r#type: string, }
    /// A function or event of an [`Abi`].
    AbiEntry {
        1 anonymous: boolean,
        2 constant: boolean,
        3 name: string,
        4 inputs: repeated AbiParam,
        5 outputs: repeated AbiParam,
        6 r#type: enumeration ABI_ENTRY_TYPE,
        7 payable: boolean,
        8 stateMutability: enumeration ABI_MUTABILITY,
    }
    /// What a smart contract offers.
    Abi { 1 entrys: repeated AbiEntry, }
    /// A smart contract as [`CreateSmartContract`] makes it.
    SmartContract {
        1 origin_address: address,
        2 contract_address: address,
        3 abi: optional Abi,
        4 bytecode: bytes,
        5 call_value: int64,
        6 consume_user_resource_percent: int64,
        7 name: string,
        8 origin_energy_limit: int64,
        9 code_hash: bytes,
        10 trx_hash: bytes,
        11 version: int32,
    }
    /// Type 30: makes a smart contract.
    CreateSmartContract { 1 owner_address: address, 2 new_contract: optional SmartContract, 3 call_token_value: int64, 4 token_id: int64, }
    /// Type 31: calls a smart contract.
    TriggerSmartContract {
        1 owner_address: address,
        2 contract_address: address,
        3 call_value: int64,
        4 data: bytes,
        5 call_token_value: int64,
        6 token_id: int64,
    }
    /// Type 33: changes the caller's share of a smart contract's energy.
    UpdateSettingContract { 1 owner_address: address, 2 contract_address: address, 3 consume_user_resource_percent: int64, }
    /// Type 41: makes an exchange of two tokens; `_` is TRX.
    ExchangeCreateContract { 1 owner_address: address, 2 first_token_id: text, 3 first_token_balance: int64, 4 second_token_id: text, 5 second_token_balance: int64, }
    /// Type 42: adds to an exchange.
    ExchangeInjectContract { 1 owner_address: address, 2 exchange_id: int64, 3 token_id: text, 4 quant: int64, }
    /// Type 43: takes out of an exchange.
    ExchangeWithdrawContract { 1 owner_address: address, 2 exchange_id: int64, 3 token_id: text, 4 quant: int64, }
    /// Type 44: trades with an exchange.
    ExchangeTransactionContract { 1 owner_address: address, 2 exchange_id: int64, 3 token_id: text, 4 quant: int64, 5 expected: int64, }
    /// Type 45: changes how much energy a smart contract's maker pays.
    UpdateEnergyLimitContract { 1 owner_address: address, 2 contract_address: address, 3 origin_energy_limit: int64, }
    /// A key of a [`Permission`] and its weight.
    Key { 1 address: address, 2 weight: int64, }
    /// Who may sign, and what.
    Permission {
        1 r#type: enumeration PERMISSION_TYPE,
        2 id: int32,
        3 permission_name: string,
        4 threshold: int64,
        5 parent_id: int32,
        6 operations: bytes,
        7 keys: repeated Key,
    }
    /// Type 46: changes the account's permissions.
    AccountPermissionUpdateContract { 1 owner_address: address, 2 owner: optional Permission, 3 witness: optional Permission, 4 actives: repeated Permission, }
    /// Type 48: takes a smart contract's ABI off the chain.
    ClearABIContract { 1 owner_address: address, 2 contract_address: address, }
    /// Type 49: sets a witness's share of its voters' reward, in percent.
    UpdateBrokerageContract { 1 owner_address: address, 2 brokerage: int32, }
    /// Type 52: offers a token on the market.
    MarketSellAssetContract { 1 owner_address: address, 2 sell_token_id: text, 3 sell_token_quantity: int64, 4 buy_token_id: text, 5 buy_token_quantity: int64, }
    /// Type 53: takes an offer back.
    MarketCancelOrderContract { 1 owner_address: address, 2 order_id: bytes, }
    /// Type 54: stakes TRX for a resource.
    FreezeBalanceV2Contract { 1 owner_address: address, 2 frozen_balance: int64, 3 resource: enumeration RESOURCE, }
    /// Type 55: begins to unstake.
    UnfreezeBalanceV2Contract { 1 owner_address: address, 2 unfreeze_balance: int64, 3 resource: enumeration RESOURCE, }
    /// Type 56: withdraws what was unstaked 14 days ago.
    WithdrawExpireUnfreezeContract { 1 owner_address: address, }
    /// Type 57: lends staked resource.
    DelegateResourceContract { 1 owner_address: address, 2 resource: enumeration RESOURCE, 3 balance: int64, 4 receiver_address: address, 5 lock: boolean, 6 lock_period: int64, }
    /// Type 58: takes lent resource back.
    UnDelegateResourceContract { 1 owner_address: address, 2 resource: enumeration RESOURCE, 3 balance: int64, 4 receiver_address: address, }
    /// Type 59: cancels every pending unstaking.
    CancelAllUnfreezeV2Contract { 1 owner_address: address, }
}
