//! Which of the machine's features the committee has turned on.

use crate::devnet::params::{Parameter, Parameters};

macro_rules! rules {
    ($( $(#[$doc:meta])* $field:ident: $parameter:ident, )*) => {
        /// The chain parameters that the machine looks at, read once a transaction.
        #[derive(Debug, Clone, Copy)]
        pub(super) struct Rules {
            $( $(#[$doc])* pub(super) $field: bool, )*
            /// A bit for each `Since` that the chain has come to.
            since: u16,
            /// Sun a unit of energy.
            pub(super) energy_fee: i64,
        }

        impl Rules {
            pub(super) fn new(parameters: &Parameters) -> Self {
                let is_on = |parameter| parameters.get(parameter) == 1;
                let mut rules = Self {
                    $( $field: is_on(Parameter::$parameter), )*
                    since: 0,
                    energy_fee: parameters.get(Parameter::EnergyFee),
                };
                rules.since = Since::ALL
                    .into_iter()
                    .filter(|since| rules.has_come_to(*since))
                    .fold(0, |all, since| all | since.bit());
                rules
            }
        }
    };
}

rules! {
    trc10: AllowTvmTransferTrc10,
    constantinople: AllowTvmConstantinople,
    solidity059: AllowTvmSolidity059,
    istanbul: AllowTvmIstanbul,
    shielded: AllowShieldedTrc20Transaction,
    vote: AllowTvmVote,
    london: AllowTvmLondon,
    shanghai: AllowTvmShangHai,
    cancun: AllowTvmCancun,
    blob: AllowTvmBlob,
    /// One unit for a memory opcode.
    higher_cpu: AllowHigherLimitForMaxCpuTimeOfOneTx,
    short_chain_id: AllowOptimizedReturnValueOfChainId,
    /// The price of VOTEWITNESS and SELFDESTRUCT.
    adjustment: AllowEnergyAdjustment,
    dynamic: AllowDynamicEnergy,
    /// TIP-6780.
    restricted_selfdestruct: AllowTvmSelfdestructRestriction,
    /// TIP-7823, 7883, 7939, 7951, 854, 871.
    osaka: AllowTvmOsaka,
}

/// Since when an opcode is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    Always,
    /// The chain has no such opcode.
    Never,
    /// `AllowTvmTransferTrc10`.
    Trc10,
    /// `AllowTvmConstantinople`.
    Constantinople,
    /// `AllowTvmSolidity059`.
    Solidity059,
    /// `AllowTvmIstanbul`.
    Istanbul,
    /// `AllowTvmVote`.
    Vote,
    /// `AllowTvmLondon`.
    London,
    /// Stake 2.0, which this chain has from its first block.
    FreezeV2,
    /// `AllowTvmShangHai`.
    Shanghai,
    /// `AllowTvmCancun`.
    Cancun,
    /// `AllowTvmBlob`.
    Blob,
    /// `AllowTvmOsaka`.
    Osaka,
}

impl Since {
    const ALL: [Self; 13] = [
        Self::Always,
        Self::Trc10,
        Self::Constantinople,
        Self::Solidity059,
        Self::Istanbul,
        Self::Vote,
        Self::London,
        Self::FreezeV2,
        Self::Shanghai,
        Self::Cancun,
        Self::Blob,
        Self::Osaka,
        Self::Never,
    ];

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl Rules {
    #[inline]
    pub(super) const fn has(&self, since: Since) -> bool {
        self.since & since.bit() != 0
    }

    const fn has_come_to(&self, since: Since) -> bool {
        match since {
            Since::Always | Since::FreezeV2 => true,
            Since::Never => false,
            Since::Trc10 => self.trc10,
            Since::Constantinople => self.constantinople,
            Since::Solidity059 => self.solidity059,
            Since::Istanbul => self.istanbul,
            Since::Vote => self.vote,
            Since::London => self.london,
            Since::Shanghai => self.shanghai,
            Since::Cancun => self.cancun,
            Since::Blob => self.blob,
            Since::Osaka => self.osaka,
        }
    }
}
