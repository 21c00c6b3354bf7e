//! Chain parameters: what a committee of a real chain votes on.
//!
//! Order, names and the values of [`Preset::MainnetLike`] are those a real node
//! answered (`fixtures/tron/java-tron/01-getchainparameters.json`); the values
//! of [`Preset::Genesis`] are java-tron's defaults for a new chain, for fees and
//! limits only: the features (token ids, permissions, stake 2.0) are on in both,
//! as this node implements nothing else.

/// Which values a new chain starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preset {
    /// Fees and limits as on mainnet: 1,000 sun a byte, 600 free bytes a day,
    /// 1 TRX to create an account, 1 TRX for a memo.
    #[default]
    MainnetLike,
    /// Fees and limits of a fresh java-tron chain: 10 sun a byte, 5,000 free
    /// bytes a day, no charge for a new account but its bandwidth.
    Genesis,
}

macro_rules! parameters {
    ($( $variant:ident $name:literal $mainnet:literal $genesis:literal; )*) => {
        /// A chain parameter, named as `/wallet/getchainparameters` names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the chain's own names")]
        pub enum Parameter { $( $variant, )* }

        impl Parameter {
            /// All, in the order a node lists them.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The key in `/wallet/getchainparameters`.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            const fn preset(self, preset: Preset) -> i64 {
                match (self, preset) { $(
                    (Self::$variant, Preset::MainnetLike) => $mainnet,
                    (Self::$variant, Preset::Genesis) => $genesis,
                )* }
            }
        }
    };
}

parameters! {
    MaintenanceTimeInterval "getMaintenanceTimeInterval" 21_600_000 21_600_000;
    AccountUpgradeCost "getAccountUpgradeCost" 9_999_000_000 9_999_000_000;
    CreateAccountFee "getCreateAccountFee" 100_000 100_000;
    TransactionFee "getTransactionFee" 1_000 10;
    AssetIssueFee "getAssetIssueFee" 1_024_000_000 1_024_000_000;
    WitnessPayPerBlock "getWitnessPayPerBlock" 8_000_000 32_000_000;
    WitnessStandbyAllowance "getWitnessStandbyAllowance" 115_200_000_000 115_200_000_000;
    CreateNewAccountFeeInSystemContract "getCreateNewAccountFeeInSystemContract" 1_000_000 0;
    CreateNewAccountBandwidthRate "getCreateNewAccountBandwidthRate" 1 1;
    AllowCreationOfContracts "getAllowCreationOfContracts" 1 1;
    RemoveThePowerOfTheGr "getRemoveThePowerOfTheGr" 0 0;
    EnergyFee "getEnergyFee" 100 100;
    ExchangeCreateFee "getExchangeCreateFee" 1_024_000_000 1_024_000_000;
    MaxCpuTimeOfOneTx "getMaxCpuTimeOfOneTx" 80 50;
    AllowUpdateAccountName "getAllowUpdateAccountName" 0 0;
    AllowSameTokenName "getAllowSameTokenName" 1 1;
    AllowDelegateResource "getAllowDelegateResource" 1 1;
    TotalEnergyLimit "getTotalEnergyLimit" 180_000_000_000 50_000_000_000;
    AllowTvmTransferTrc10 "getAllowTvmTransferTrc10" 1 1;
    TotalEnergyCurrentLimit "getTotalEnergyCurrentLimit" 180_000_000_000 50_000_000_000;
    AllowMultiSign "getAllowMultiSign" 1 1;
    AllowAdaptiveEnergy "getAllowAdaptiveEnergy" 0 0;
    TotalEnergyTargetLimit "getTotalEnergyTargetLimit" 12_500_000 3_472_222;
    TotalEnergyAverageUsage "getTotalEnergyAverageUsage" 0 0;
    UpdateAccountPermissionFee "getUpdateAccountPermissionFee" 100_000_000 100_000_000;
    MultiSignFee "getMultiSignFee" 1_000_000 1_000_000;
    AllowAccountStateRoot "getAllowAccountStateRoot" 0 0;
    AllowProtoFilterNum "getAllowProtoFilterNum" 0 0;
    AllowTvmConstantinople "getAllowTvmConstantinople" 1 1;
    AllowTvmSolidity059 "getAllowTvmSolidity059" 1 1;
    AllowTvmIstanbul "getAllowTvmIstanbul" 1 1;
    AllowShieldedTrc20Transaction "getAllowShieldedTRC20Transaction" 0 0;
    ForbidTransferToContract "getForbidTransferToContract" 0 0;
    AdaptiveResourceLimitTargetRatio "getAdaptiveResourceLimitTargetRatio" 10 10;
    AdaptiveResourceLimitMultiplier "getAdaptiveResourceLimitMultiplier" 1_000 1_000;
    ChangeDelegation "getChangeDelegation" 1 1;
    Witness127PayPerBlock "getWitness127PayPerBlock" 128_000_000 16_000_000;
    AllowMarketTransaction "getAllowMarketTransaction" 0 0;
    MarketSellFee "getMarketSellFee" 0 0;
    MarketCancelFee "getMarketCancelFee" 0 0;
    AllowPbft "getAllowPBFT" 0 0;
    AllowTransactionFeePool "getAllowTransactionFeePool" 0 0;
    MaxFeeLimit "getMaxFeeLimit" 15_000_000_000 1_000_000_000;
    AllowOptimizeBlackHole "getAllowOptimizeBlackHole" 1 1;
    AllowNewResourceModel "getAllowNewResourceModel" 0 0;
    AllowTvmFreeze "getAllowTvmFreeze" 0 0;
    AllowTvmVote "getAllowTvmVote" 1 1;
    AllowTvmLondon "getAllowTvmLondon" 1 1;
    AllowTvmCompatibleEvm "getAllowTvmCompatibleEvm" 0 0;
    AllowAccountAssetOptimization "getAllowAccountAssetOptimization" 0 0;
    FreeNetLimit "getFreeNetLimit" 600 5_000;
    TotalNetLimit "getTotalNetLimit" 43_200_000_000 43_200_000_000;
    AllowHigherLimitForMaxCpuTimeOfOneTx "getAllowHigherLimitForMaxCpuTimeOfOneTx" 1 1;
    AllowAssetOptimization "getAllowAssetOptimization" 1 1;
    AllowNewReward "getAllowNewReward" 1 1;
    MemoFee "getMemoFee" 1_000_000 0;
    AllowDelegateOptimization "getAllowDelegateOptimization" 1 1;
    UnfreezeDelayDays "getUnfreezeDelayDays" 14 14;
    AllowOptimizedReturnValueOfChainId "getAllowOptimizedReturnValueOfChainId" 1 1;
    AllowDynamicEnergy "getAllowDynamicEnergy" 1 1;
    DynamicEnergyThreshold "getDynamicEnergyThreshold" 5_000_000_000 5_000_000_000;
    DynamicEnergyIncreaseFactor "getDynamicEnergyIncreaseFactor" 2_000 2_000;
    DynamicEnergyMaxFactor "getDynamicEnergyMaxFactor" 34_000 34_000;
    AllowTvmShangHai "getAllowTvmShangHai" 1 1;
    AllowCancelAllUnfreezeV2 "getAllowCancelAllUnfreezeV2" 1 1;
    MaxDelegateLockPeriod "getMaxDelegateLockPeriod" 864_000 864_000;
    AllowOldRewardOpt "getAllowOldRewardOpt" 1 1;
    AllowEnergyAdjustment "getAllowEnergyAdjustment" 1 1;
    MaxCreateAccountTxSize "getMaxCreateAccountTxSize" 1_000 1_000;
    AllowStrictMath "getAllowStrictMath" 1 1;
    ConsensusLogicOptimization "getConsensusLogicOptimization" 1 1;
    AllowTvmCancun "getAllowTvmCancun" 1 1;
    AllowTvmBlob "getAllowTvmBlob" 1 1;
    AllowTvmSelfdestructRestriction "getAllowTvmSelfdestructRestriction" 0 0;
    ProposalExpireTime "getProposalExpireTime" 259_200_000 259_200_000;
    AllowTvmOsaka "getAllowTvmOsaka" 0 0;
    AllowTvmPrague "getAllowTvmPrague" 0 0;
    AllowHardenResourceCalculation "getAllowHardenResourceCalculation" 0 0;
    AllowHardenExchangeCalculation "getAllowHardenExchangeCalculation" 0 0;
}

/// A parameter that does not exist, or a value it cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// No such name.
    #[error("`{0}` is not a chain parameter: /wallet/getchainparameters lists the names")]
    Unknown(String),
    /// Negative.
    #[error("chain parameter {name} cannot be {value}: it is from 0 on")]
    Range {
        /// Which.
        name: &'static str,
        /// What was given.
        value: i64,
    },
}

/// The values of all chain parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters(Vec<i64>);

/// By name, as a node lists them.
impl serde::Serialize for Parameters {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = Parameter::ALL.iter().map(|parameter| parameter.name());
        serializer.collect_map(names.zip(&self.0))
    }
}

/// Those that are not named are [`Preset::MainnetLike`]'s.
impl<'de> serde::Deserialize<'de> for Parameters {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = std::collections::BTreeMap::<String, i64>::deserialize(deserializer)?;
        let mut parameters = Self::new(Preset::MainnetLike);
        for (name, value) in values {
            parameters
                .set(&name, value)
                .map_err(serde::de::Error::custom)?;
        }
        Ok(parameters)
    }
}

impl Parameter {
    /// Whether it came after the version whose answers this node gives.
    const fn is_later(self) -> bool {
        matches!(
            self,
            Self::AllowTvmSelfdestructRestriction
                | Self::ProposalExpireTime
                | Self::AllowTvmOsaka
                | Self::AllowTvmPrague
                | Self::AllowHardenResourceCalculation
                | Self::AllowHardenExchangeCalculation
        )
    }
}

impl Parameters {
    /// The values of a preset.
    pub fn new(preset: Preset) -> Self {
        Self(
            Parameter::ALL
                .iter()
                .map(|parameter| parameter.preset(preset))
                .collect(),
        )
    }

    /// One value: sun, bytes, milliseconds or days, as the name says.
    pub fn get(&self, parameter: Parameter) -> i64 {
        Parameter::ALL
            .iter()
            .position(|known| *known == parameter)
            .and_then(|at| self.0.get(at))
            .copied()
            .unwrap_or_default()
    }

    /// What a node lists: a parameter that came later only once it is not what it was
    /// before anybody could vote on it.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (Parameter, i64)> {
        let all = Parameter::ALL.iter().zip(&self.0);
        let all = all.map(|(parameter, value)| (*parameter, *value));
        all.filter(|(parameter, value)| {
            !parameter.is_later() || *value != parameter.preset(Preset::MainnetLike)
        })
    }

    /// Changes one value, from 0 on.
    pub(crate) fn put(&mut self, parameter: Parameter, value: i64) {
        let at = Parameter::ALL.iter().position(|known| *known == parameter);
        if let Some(slot) = at.and_then(|at| self.0.get_mut(at)) {
            *slot = value.max(0);
        }
    }

    /// Changes one value by the parameter's name, `getMemoFee` or `MemoFee`.
    ///
    /// # Errors
    /// No such name, or a negative value.
    pub fn set(&mut self, name: &str, value: i64) -> Result<(), ParameterError> {
        let short = name.strip_prefix("get").unwrap_or(name);
        let at = Parameter::ALL
            .iter()
            .position(|known| known.name().strip_prefix("get") == Some(short));
        match at.and_then(|at| Some((at, *Parameter::ALL.get(at)?))) {
            Some((_, parameter)) if value < 0 => Err(ParameterError::Range {
                name: parameter.name(),
                value,
            }),
            Some((at, _)) => {
                if let Some(slot) = self.0.get_mut(at) {
                    *slot = value;
                }
                Ok(())
            }
            None => Err(ParameterError::Unknown(name.chars().take(80).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_set_by_name_and_refused_when_wrong() {
        let mut parameters = Parameters::new(Preset::MainnetLike);
        parameters.set("getMemoFee", 5).unwrap();
        assert_eq!(parameters.get(Parameter::MemoFee), 5);
        parameters.set("MemoFee", 6).unwrap();
        assert_eq!(parameters.get(Parameter::MemoFee), 6);
        assert!(matches!(
            parameters.set("getNoSuchFee", 1),
            Err(ParameterError::Unknown(_))
        ));
        assert!(matches!(
            parameters.set("getMemoFee", -1),
            Err(ParameterError::Range { .. })
        ));
        assert_eq!(
            Parameters::new(Preset::Genesis).get(Parameter::FreeNetLimit),
            5_000
        );
    }
}
