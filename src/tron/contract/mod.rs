//! Contracts: what a transaction does.

mod messages;
mod schema;

pub use messages::*;
pub use schema::{Enum, FieldSchema, Kind, Message};

use crate::{
    tron::proto::ProtoError,
    types::{Address, RawAmount, Token, TokenId},
};

/// The prefix of a contract's `type_url`.
pub const TYPE_URL_PREFIX: &str = "type.googleapis.com/protocol.";

macro_rules! contracts {
    ($( $variant:ident = $number:literal, $message:ident; )*) => {
        /// What a contract is: its number on the wire (`Transaction.Contract.ContractType`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "the chain's own names; each message is documented")]
        pub enum ContractType { $( $variant, )* }

        impl ContractType {
            /// Every type this crate can read.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The number on the wire.
            pub const fn number(self) -> i32 {
                match self { $( Self::$variant => $number, )* }
            }

            /// The type with this number, if this crate can read it.
            pub const fn from_number(number: i32) -> Option<Self> {
                match number { $( $number => Some(Self::$variant), )* _ => None }
            }

            /// The message's name, as in `type` and `type_url`.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => stringify!($message), )* }
            }

            /// The message's fields.
            pub const fn fields(self) -> &'static [FieldSchema] {
                match self { $( Self::$variant => $message::FIELDS, )* }
            }
        }

        /// A contract of a type this crate can read.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the chain's own names; each message is documented")]
        pub enum Contract { $( $variant($message), )* }

        impl Contract {
            /// Its type.
            pub const fn contract_type(&self) -> ContractType {
                match self { $( Self::$variant(_) => ContractType::$variant, )* }
            }

            /// Its protobuf bytes.
            pub fn encode(&self) -> Vec<u8> {
                match self { $( Self::$variant(message) => message.encode(), )* }
            }

            /// Reads a contract of the given type.
            ///
            /// # Errors
            /// Bytes that are no such message.
            pub fn decode(contract_type: ContractType, bytes: &[u8]) -> Result<Self, ProtoError> {
                match contract_type { $( ContractType::$variant => $message::decode(bytes).map(Self::$variant), )* }
            }

            /// The bytes of `owner_address`: whose transaction it is.
            pub fn owner_address(&self) -> &[u8] {
                match self { $( Self::$variant(message) => &message.owner_address, )* }
            }
        }

        $( impl From<$message> for Contract {
            fn from(message: $message) -> Self {
                Self::$variant(message)
            }
        } )*
    };
}

contracts! {
    AccountCreate = 0, AccountCreateContract;
    Transfer = 1, TransferContract;
    TransferAsset = 2, TransferAssetContract;
    VoteWitness = 4, VoteWitnessContract;
    WitnessCreate = 5, WitnessCreateContract;
    AssetIssue = 6, AssetIssueContract;
    WitnessUpdate = 8, WitnessUpdateContract;
    ParticipateAssetIssue = 9, ParticipateAssetIssueContract;
    AccountUpdate = 10, AccountUpdateContract;
    FreezeBalance = 11, FreezeBalanceContract;
    UnfreezeBalance = 12, UnfreezeBalanceContract;
    WithdrawBalance = 13, WithdrawBalanceContract;
    UnfreezeAsset = 14, UnfreezeAssetContract;
    UpdateAsset = 15, UpdateAssetContract;
    ProposalCreate = 16, ProposalCreateContract;
    ProposalApprove = 17, ProposalApproveContract;
    ProposalDelete = 18, ProposalDeleteContract;
    SetAccountId = 19, SetAccountIdContract;
    CreateSmart = 30, CreateSmartContract;
    TriggerSmart = 31, TriggerSmartContract;
    UpdateSetting = 33, UpdateSettingContract;
    ExchangeCreate = 41, ExchangeCreateContract;
    ExchangeInject = 42, ExchangeInjectContract;
    ExchangeWithdraw = 43, ExchangeWithdrawContract;
    ExchangeTransaction = 44, ExchangeTransactionContract;
    UpdateEnergyLimit = 45, UpdateEnergyLimitContract;
    AccountPermissionUpdate = 46, AccountPermissionUpdateContract;
    ClearAbi = 48, ClearABIContract;
    UpdateBrokerage = 49, UpdateBrokerageContract;
    MarketSellAsset = 52, MarketSellAssetContract;
    MarketCancelOrder = 53, MarketCancelOrderContract;
    FreezeBalanceV2 = 54, FreezeBalanceV2Contract;
    UnfreezeBalanceV2 = 55, UnfreezeBalanceV2Contract;
    WithdrawExpireUnfreeze = 56, WithdrawExpireUnfreezeContract;
    DelegateResource = 57, DelegateResourceContract;
    UnDelegateResource = 58, UnDelegateResourceContract;
    CancelAllUnfreezeV2 = 59, CancelAllUnfreezeV2Contract;
}

impl ContractType {
    /// The contract's `type_url`.
    pub fn type_url(self) -> String {
        format!("{TYPE_URL_PREFIX}{}", self.name())
    }

    /// Whether a node's JSON of it gives its very bytes again: of payments, permissions
    /// and stake. An ABI or a map may be written in more than one way, and a block must
    /// not be refused for that; of such a contract the bytes beside the JSON stand alone.
    pub const fn is_rebuilt(self) -> bool {
        !matches!(
            self,
            Self::WitnessCreate
                | Self::WitnessUpdate
                | Self::FreezeBalance
                | Self::UnfreezeBalance
                | Self::ProposalCreate
                | Self::ProposalApprove
                | Self::ProposalDelete
                | Self::CreateSmart
                | Self::UpdateSetting
                | Self::ExchangeCreate
                | Self::ExchangeInject
                | Self::ExchangeWithdraw
                | Self::ExchangeTransaction
                | Self::UpdateEnergyLimit
                | Self::ClearAbi
                | Self::UpdateBrokerage
                | Self::MarketSellAsset
                | Self::MarketCancelOrder
        )
    }

    /// The type of that name (`TransferContract`).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// The name of any contract type of the chain, with a message here or without.
pub fn type_name(number: i32) -> Option<&'static str> {
    ContractType::from_number(number)
        .map(ContractType::name)
        .or_else(|| other_name(number))
}

/// The number of any contract type of the chain, with a message here or without.
pub fn type_number(name: &str) -> Option<i32> {
    (0..=i32::from(u8::MAX)).find(|number| type_name(*number) == Some(name))
}

/// Contract types of the chain that have no message here.
const fn other_name(number: i32) -> Option<&'static str> {
    Some(match number {
        3 => "VoteAssetContract",
        20 => "CustomContract",
        32 => "GetContract",
        51 => "ShieldedTransferContract",
        _ => return None,
    })
}

impl Contract {
    /// A transfer of TRX or of a TRC-10 token.
    pub fn transfer(from: Address, to: Address, token: Token, amount: RawAmount) -> Self {
        match token {
            Token::Trx => TransferContract {
                owner_address: from.to_bytes().to_vec(),
                to_address: to.to_bytes().to_vec(),
                amount: amount.get(),
            }
            .into(),
            Token::Trc10(id) => TransferAssetContract {
                asset_name: id.to_string().into_bytes(),
                owner_address: from.to_bytes().to_vec(),
                to_address: to.to_bytes().to_vec(),
                amount: amount.get(),
            }
            .into(),
        }
    }

    /// What a transfer moves, if it is one and every field is sound.
    pub fn as_transfer(&self) -> Option<Transfer> {
        let (from, to, token, amount) = match self {
            Self::Transfer(c) => (&c.owner_address, &c.to_address, Token::Trx, c.amount),
            Self::TransferAsset(c) => {
                let id: TokenId = std::str::from_utf8(&c.asset_name).ok()?.parse().ok()?;
                (&c.owner_address, &c.to_address, Token::Trc10(id), c.amount)
            }
            _ => return None,
        };
        Some(Transfer {
            from: Address::from_bytes(from).ok()?,
            to: Address::from_bytes(to).ok()?,
            token,
            amount: RawAmount::new(amount).ok()?,
        })
    }
}

/// A transfer of TRX or of a TRC-10 token, its fields checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Who pays.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// In what.
    pub token: Token,
    /// How much, in the smallest unit.
    pub amount: RawAmount,
}
