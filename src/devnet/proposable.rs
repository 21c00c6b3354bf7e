//! What a proposal may ask for: the number of each chain parameter, the values it may be
//! given, and what must be on before (`ProposalUtil.java`).

use super::params::{Parameter, Parameters};

/// The most of what has no bound of its own (`ProposalUtil.LONG_VALUE`).
const MOST: i64 = 100_000_000_000_000_000;
/// The most a market's fee may be, and a fee limit before London.
const TEN_THOUSAND_TRX: i64 = 10_000_000_000;
/// `ChainConstant.ONE_YEAR_BLOCK_NUMBERS`.
const YEAR_OF_BLOCKS: i64 = 10_512_000;
const MOST_WORDS: &str = "Bad chain parameter value, valid range is [0,100000000000000000]";

/// The values that a parameter may be given.
#[derive(Debug, Clone, Copy)]
enum Bounds {
    /// Can only be switched on.
    One,
    /// On or off.
    Flag,
    /// From 0 to [`MOST`].
    Wide,
    /// java-tron takes any; negative ones are refused here.
    Any,
    /// From, to, and the refusal's words.
    Range(i64, i64, &'static str),
    /// Nobody may propose it any more.
    Gone,
    CpuTime,
    FeeLimit,
    LockPeriod,
}

/// When a proposal is refused whatever it asks for.
#[derive(Debug, Clone, Copy)]
enum Once {
    No,
    /// Once it is on.
    Yes,
    /// Once it is on, in other words.
    Words(&'static str),
}

/// What must be on before; any of the parameters is enough.
struct Need {
    any_of: &'static [Parameter],
    /// How the refusal names them.
    names: &'static str,
}

/// A parameter as proposals name it.
struct Row {
    number: i64,
    parameter: Parameter,
    name: &'static str,
    bounds: Bounds,
    once: Once,
    needs: &'static [Need],
}

macro_rules! rows {
    ($( $number:literal $parameter:ident $name:literal $bounds:expr, $once:expr, [$( $any_of:expr, $names:literal );*]; )*) => {
        &[ $( Row {
            number: $number,
            parameter: P::$parameter,
            name: $name,
            bounds: $bounds,
            once: $once,
            needs: &[ $( Need { any_of: &$any_of, names: $names } ),* ],
        }, )* ]
    };
}

use Bounds::{Any, Flag, One, Range, Wide};
use Once::{No, Words, Yes};
use Parameter as P;

const ROWS: &[Row] = rows! {
    0 MaintenanceTimeInterval "MAINTENANCE_TIME_INTERVAL" Range(81_000, 86_400_000, "Bad chain parameter value, valid range is [3 * 27 * 1000,24 * 3600 * 1000]"), No, [];
    1 AccountUpgradeCost "ACCOUNT_UPGRADE_COST" Wide, No, [];
    2 CreateAccountFee "CREATE_ACCOUNT_FEE" Wide, No, [];
    3 TransactionFee "TRANSACTION_FEE" Wide, No, [];
    4 AssetIssueFee "ASSET_ISSUE_FEE" Wide, No, [];
    5 WitnessPayPerBlock "WITNESS_PAY_PER_BLOCK" Wide, No, [];
    6 WitnessStandbyAllowance "WITNESS_STANDBY_ALLOWANCE" Wide, No, [];
    7 CreateNewAccountFeeInSystemContract "CREATE_NEW_ACCOUNT_FEE_IN_SYSTEM_CONTRACT" Wide, No, [];
    8 CreateNewAccountBandwidthRate "CREATE_NEW_ACCOUNT_BANDWIDTH_RATE" Wide, No, [];
    9 AllowCreationOfContracts "ALLOW_CREATION_OF_CONTRACTS" One, No, [];
    10 RemoveThePowerOfTheGr "REMOVE_THE_POWER_OF_THE_GR" One, Words("This proposal has been executed before and is only allowed to be executed once"), [];
    11 EnergyFee "ENERGY_FEE" Any, No, [];
    12 ExchangeCreateFee "EXCHANGE_CREATE_FEE" Any, No, [];
    13 MaxCpuTimeOfOneTx "MAX_CPU_TIME_OF_ONE_TX" Bounds::CpuTime, No, [];
    14 AllowUpdateAccountName "ALLOW_UPDATE_ACCOUNT_NAME" One, No, [];
    15 AllowSameTokenName "ALLOW_SAME_TOKEN_NAME" One, No, [];
    16 AllowDelegateResource "ALLOW_DELEGATE_RESOURCE" One, No, [];
    17 TotalEnergyLimit "TOTAL_ENERGY_LIMIT" Bounds::Gone, No, [];
    18 AllowTvmTransferTrc10 "ALLOW_TVM_TRANSFER_TRC10" One, No, [[P::AllowSameTokenName], "[ALLOW_SAME_TOKEN_NAME]"];
    19 TotalEnergyCurrentLimit "TOTAL_CURRENT_ENERGY_LIMIT" Wide, No, [];
    20 AllowMultiSign "ALLOW_MULTI_SIGN" One, No, [];
    21 AllowAdaptiveEnergy "ALLOW_ADAPTIVE_ENERGY" One, No, [];
    22 UpdateAccountPermissionFee "UPDATE_ACCOUNT_PERMISSION_FEE" Range(0, 100_000_000_000, "Bad chain parameter value, valid range is [0, 100_000_000_000L]"), No, [];
    23 MultiSignFee "MULTI_SIGN_FEE" Range(0, 100_000_000_000, "Bad chain parameter value, valid range is [0, 100_000_000_000L]"), No, [];
    24 AllowProtoFilterNum "ALLOW_PROTO_FILTER_NUM" Flag, No, [];
    25 AllowAccountStateRoot "ALLOW_ACCOUNT_STATE_ROOT" Flag, No, [];
    26 AllowTvmConstantinople "ALLOW_TVM_CONSTANTINOPLE" One, No, [[P::AllowTvmTransferTrc10], "[ALLOW_TVM_TRANSFER_TRC10]"];
    29 AdaptiveResourceLimitMultiplier "ADAPTIVE_RESOURCE_LIMIT_MULTIPLIER" Range(1, 10_000, "Bad chain parameter value, valid range is [1,10_000]"), No, [];
    30 ChangeDelegation "ALLOW_CHANGE_DELEGATION" Flag, No, [];
    31 Witness127PayPerBlock "WITNESS_127_PAY_PER_BLOCK" Wide, No, [];
    32 AllowTvmSolidity059 "ALLOW_TVM_SOLIDITY_059" One, No, [[P::AllowCreationOfContracts], "[ALLOW_CREATION_OF_CONTRACTS]"];
    33 AdaptiveResourceLimitTargetRatio "ADAPTIVE_RESOURCE_LIMIT_TARGET_RATIO" Range(1, 1_000, "Bad chain parameter value, valid range is [1,1_000]"), No, [];
    35 ForbidTransferToContract "FORBID_TRANSFER_TO_CONTRACT" One, No, [[P::AllowCreationOfContracts], "[ALLOW_CREATION_OF_CONTRACTS]"];
    39 AllowShieldedTrc20Transaction "ALLOW_SHIELDED_TRC20_TRANSACTION" Flag, No, [];
    40 AllowPbft "ALLOW_PBFT" One, No, [];
    41 AllowTvmIstanbul "ALLOW_TVM_ISTANBUL" One, No, [];
    44 AllowMarketTransaction "ALLOW_MARKET_TRANSACTION" One, No, [];
    45 MarketSellFee "MARKET_SELL_FEE" Range(0, TEN_THOUSAND_TRX, "Bad MARKET_SELL_FEE parameter value, valid range is [0,10_000_000_000L]"), No, [];
    46 MarketCancelFee "MARKET_CANCEL_FEE" Range(0, TEN_THOUSAND_TRX, "Bad MARKET_CANCEL_FEE parameter value, valid range is [0,10_000_000_000L]"), No, [];
    47 MaxFeeLimit "MAX_FEE_LIMIT" Bounds::FeeLimit, No, [];
    48 AllowTransactionFeePool "ALLOW_TRANSACTION_FEE_POOL" Flag, No, [];
    49 AllowOptimizeBlackHole "ALLOW_REMOVE_BLACKHOLE" Flag, No, [];
    51 AllowNewResourceModel "ALLOW_NEW_RESOURCE_MODEL" One, No, [];
    52 AllowTvmFreeze "ALLOW_TVM_FREEZE" One, No, [[P::AllowDelegateResource], "[ALLOW_DELEGATE_RESOURCE]"; [P::AllowMultiSign], "[ALLOW_MULTI_SIGN]"; [P::AllowTvmConstantinople], "[ALLOW_TVM_CONSTANTINOPLE]"; [P::AllowTvmSolidity059], "[ALLOW_TVM_SOLIDITY_059]"];
    53 AllowAccountAssetOptimization "ALLOW_ACCOUNT_ASSET_OPTIMIZATION" One, No, [];
    59 AllowTvmVote "ALLOW_TVM_VOTE" One, No, [[P::ChangeDelegation], "[ALLOW_CHANGE_DELEGATION]"];
    60 AllowTvmCompatibleEvm "ALLOW_TVM_COMPATIBLE_EVM" One, No, [];
    61 FreeNetLimit "FREE_NET_LIMIT" Range(0, 100_000, "Bad chain parameter value, valid range is [0,100_000]"), No, [];
    62 TotalNetLimit "TOTAL_NET_LIMIT" Range(0, 1_000_000_000_000, "Bad chain parameter value, valid range is [0, 1_000_000_000_000L]"), No, [];
    63 AllowTvmLondon "ALLOW_TVM_LONDON" One, No, [];
    65 AllowHigherLimitForMaxCpuTimeOfOneTx "ALLOW_HIGHER_LIMIT_FOR_MAX_CPU_TIME_OF_ONE_TX" One, No, [];
    66 AllowAssetOptimization "ALLOW_ASSET_OPTIMIZATION" One, No, [];
    67 AllowNewReward "ALLOW_NEW_REWARD" One, Words("New reward has been valid."), [];
    68 MemoFee "MEMO_FEE" Range(0, 1_000_000_000, "This value[MEMO_FEE] is only allowed to be in the range 0-1000_000_000"), No, [];
    69 AllowDelegateOptimization "ALLOW_DELEGATE_OPTIMIZATION" One, No, [];
    70 UnfreezeDelayDays "UNFREEZE_DELAY_DAYS" Range(1, 365, "This value[UNFREEZE_DELAY_DAYS] is only allowed to be in the range 1-365"), No, [];
    71 AllowOptimizedReturnValueOfChainId "ALLOW_OPTIMIZED_RETURN_VALUE_OF_CHAIN_ID" One, No, [];
    72 AllowDynamicEnergy "ALLOW_DYNAMIC_ENERGY" Range(0, 1, "This value[ALLOW_DYNAMIC_ENERGY] is only allowed to be in the range 0-1"), No, [];
    73 DynamicEnergyThreshold "DYNAMIC_ENERGY_THRESHOLD" Wide, No, [];
    74 DynamicEnergyIncreaseFactor "DYNAMIC_ENERGY_INCREASE_FACTOR" Range(0, 10_000, "This value[DYNAMIC_ENERGY_INCREASE_FACTOR] is only allowed to be in the range 0-10000"), No, [];
    75 DynamicEnergyMaxFactor "DYNAMIC_ENERGY_MAX_FACTOR" Range(0, 100_000, "This value[DYNAMIC_ENERGY_MAX_FACTOR] is only allowed to be in the range 0-100000"), No, [];
    76 AllowTvmShangHai "ALLOW_TVM_SHANGHAI" One, No, [];
    77 AllowCancelAllUnfreezeV2 "ALLOW_CANCEL_ALL_UNFREEZE_V2" One, No, [[P::UnfreezeDelayDays], "[UNFREEZE_DELAY_DAYS]"];
    78 MaxDelegateLockPeriod "MAX_DELEGATE_LOCK_PERIOD" Bounds::LockPeriod, No, [[P::UnfreezeDelayDays], "[UNFREEZE_DELAY_DAYS]"];
    79 AllowOldRewardOpt "ALLOW_OLD_REWARD_OPT" One, Yes, [[P::AllowNewReward, P::AllowTvmVote], "[ALLOW_NEW_REWARD] or [ALLOW_TVM_VOTE]"];
    81 AllowEnergyAdjustment "ALLOW_ENERGY_ADJUSTMENT" One, Yes, [];
    82 MaxCreateAccountTxSize "MAX_CREATE_ACCOUNT_TX_SIZE" Range(500, 10_000, "This value[MAX_CREATE_ACCOUNT_TX_SIZE] is only allowed to be greater than or equal to 500 and less than or equal to 10000!"), No, [];
    83 AllowTvmCancun "ALLOW_TVM_CANCUN" One, Yes, [];
    87 AllowStrictMath "ALLOW_STRICT_MATH" One, Yes, [];
    88 ConsensusLogicOptimization "CONSENSUS_LOGIC_OPTIMIZATION" One, Yes, [];
    89 AllowTvmBlob "ALLOW_TVM_BLOB" One, Yes, [];
    92 ProposalExpireTime "PROPOSAL_EXPIRE_TIME" Range(1, 31_536_002_999, "This value[PROPOSAL_EXPIRE_TIME] is only allowed to be greater than 0 and less than 31536003000!"), No, [];
    94 AllowTvmSelfdestructRestriction "ALLOW_TVM_SELFDESTRUCT_RESTRICTION" One, Yes, [];
    95 AllowTvmPrague "ALLOW_TVM_PRAGUE" One, Yes, [];
    96 AllowTvmOsaka "ALLOW_TVM_OSAKA" One, Yes, [];
    97 AllowHardenResourceCalculation "ALLOW_HARDEN_RESOURCE_CALCULATION" One, Yes, [];
    98 AllowHardenExchangeCalculation "ALLOW_HARDEN_EXCHANGE_CALCULATION" One, Yes, [];
};

fn row(number: i64) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.number == number)
}

/// The parameter that a proposal names by this number.
pub(crate) fn proposed(number: i64) -> Option<Parameter> {
    row(number).map(|row| row.parameter)
}

/// Checks one value of a proposal.
///
/// # Errors
/// The node's own refusal.
pub(crate) fn check(parameters: &Parameters, number: i64, value: i64) -> Result<(), String> {
    let Some(row) = row(number) else {
        return Err(format!("Does not support code : {number}"));
    };
    let name = row.name;
    // What comes first is as there.
    let market = match row.parameter {
        P::MarketSellFee => Some("Sell"),
        P::MarketCancelFee => Some("Cancel"),
        _ => None,
    };
    if let Some(what) = market
        && parameters.get(P::AllowMarketTransaction) == 0
    {
        return Err(format!(
            "Market Transaction is not activated, can not set Market {what} Fee"
        ));
    }
    if row.parameter == P::AllowTvmPrague && parameters.get(P::AllowTvmShangHai) != 1 {
        return Err(
            "[ALLOW_TVM_PRAGUE] requires [ALLOW_TVM_SHANGHAI] to be enacted first".to_owned(),
        );
    }
    if parameters.get(row.parameter) == 1 {
        match row.once {
            No => {}
            Yes => return Err(format!("[{name}] has been valid, no need to propose again")),
            Words(words) => return Err(words.to_owned()),
        }
    }
    row.bounds.check(parameters, row, value)?;
    if row.parameter == P::AllowDynamicEnergy
        && value == 1
        && parameters.get(P::ChangeDelegation) == 0
    {
        return Err(
            "[ALLOW_CHANGE_DELEGATION] proposal must be approved before [ALLOW_DYNAMIC_ENERGY] can be opened"
                .to_owned(),
        );
    }
    for need in row.needs {
        if need.any_of.iter().all(|other| parameters.get(*other) == 0) {
            return Err(format!(
                "{} proposal must be approved before [{name}] can be proposed",
                need.names
            ));
        }
    }
    Ok(())
}

impl Bounds {
    fn check(self, parameters: &Parameters, row: &Row, value: i64) -> Result<(), String> {
        let name = row.name;
        match self {
            One if value != 1 => Err(format!("This value[{name}] is only allowed to be 1")),
            Flag if !(0..=1).contains(&value) => {
                Err(format!("This value[{name}] is only allowed to be 1 or 0"))
            }
            Wide if !(0..=MOST).contains(&value) => Err(MOST_WORDS.to_owned()),
            Any if value < 0 => Err(format!(
                "Bad chain parameter value, {} is from 0 on",
                row.parameter.name()
            )),
            Range(least, greatest, words) if !(least..=greatest).contains(&value) => {
                Err(words.to_owned())
            }
            Self::Gone => Err("Bad chain parameter id".to_owned()),
            Self::CpuTime => {
                let is_higher = parameters.get(P::AllowHigherLimitForMaxCpuTimeOfOneTx) == 1;
                let greatest = if is_higher { 400 } else { 100 };
                match (10..=greatest).contains(&value) {
                    true => Ok(()),
                    false => Err(format!(
                        "Bad chain parameter value, valid range is [10,{greatest}]"
                    )),
                }
            }
            Self::FeeLimit if value < 0 => {
                Err("Bad MAX_FEE_LIMIT parameter value, value must not be negative".to_owned())
            }
            Self::FeeLimit
                if value > TEN_THOUSAND_TRX && parameters.get(P::AllowTvmLondon) == 0 =>
            {
                Err(
                    "Bad MAX_FEE_LIMIT parameter value, valid range is [0,10_000_000_000L]"
                        .to_owned(),
                )
            }
            Self::FeeLimit if value > MOST => Err(MOST_WORDS.to_owned()),
            Self::LockPeriod => {
                let now = parameters.get(P::MaxDelegateLockPeriod);
                match value > now && value <= YEAR_OF_BLOCKS {
                    true => Ok(()),
                    false => Err(format!(
                        "This value[MAX_DELEGATE_LOCK_PERIOD] is only allowed to be greater than {now} and less than or equal to {YEAR_OF_BLOCKS} !"
                    )),
                }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::devnet::params::Preset;

    /// A chain where nothing is on that a proposal could refuse for that.
    fn parameters() -> Parameters {
        let mut parameters = Parameters::new(Preset::MainnetLike);
        for row in ROWS {
            if !matches!(row.once, No) {
                parameters.put(row.parameter, 0);
            }
        }
        parameters.put(P::AllowMarketTransaction, 1);
        parameters.put(P::MaxDelegateLockPeriod, 86_400);
        parameters
    }

    /// The least and the greatest value; nothing where no value will do.
    fn range(row: &Row) -> Option<(i64, i64)> {
        Some(match row.bounds {
            One => (1, 1),
            Flag => (0, 1),
            Wide | Bounds::FeeLimit => (0, MOST),
            Any => (0, i64::MAX),
            Range(least, greatest, _) => (least, greatest),
            Bounds::CpuTime => (10, 400),
            Bounds::LockPeriod => (86_401, YEAR_OF_BLOCKS),
            Bounds::Gone => return None,
        })
    }

    #[test]
    fn each_parameter_is_bounded_by_its_own_range() {
        let parameters = parameters();
        for row in ROWS {
            let check = |value| check(&parameters, row.number, value);
            let Some((least, greatest)) = range(row) else {
                assert_eq!(check(1), Err("Bad chain parameter id".to_owned()));
                continue;
            };
            for value in [least, greatest] {
                assert_eq!(check(value), Ok(()), "{} {value}", row.name);
            }
            let outside = [least.checked_sub(1), greatest.checked_add(1)];
            for value in outside.into_iter().flatten() {
                assert!(check(value).is_err(), "{} {value}", row.name);
            }
            assert!(check(i64::MIN).is_err(), "{}", row.name);
        }
    }

    #[test]
    fn each_number_and_each_parameter_comes_once() {
        let numbers: BTreeSet<_> = ROWS.iter().map(|row| row.number).collect();
        assert_eq!(numbers.len(), ROWS.len());
        let named: BTreeSet<_> = ROWS.iter().map(|row| row.parameter.name()).collect();
        let all: BTreeSet<_> = Parameter::ALL.iter().map(|one| one.name()).collect();
        let missing: Vec<_> = all.difference(&named).copied().collect();
        // What the chain itself computes.
        assert_eq!(
            missing,
            ["getTotalEnergyAverageUsage", "getTotalEnergyTargetLimit"]
        );
        assert_eq!(named.len(), ROWS.len());
        assert_eq!(proposed(27), None);
        assert_eq!(proposed(49), Some(P::AllowOptimizeBlackHole));
    }

    #[test]
    fn what_needs_another_parameter_waits_for_it() {
        for row in ROWS {
            let Some((least, _)) = range(row) else {
                continue;
            };
            for need in row.needs {
                let mut parameters = parameters();
                for other in need.any_of {
                    parameters.put(*other, 0);
                }
                let words = format!(
                    "{} proposal must be approved before [{}] can be proposed",
                    need.names, row.name
                );
                assert_eq!(check(&parameters, row.number, least), Err(words));
                let [other, ..] = need.any_of else {
                    panic!("{} needs nothing", row.name);
                };
                parameters.put(*other, 1);
                assert_eq!(
                    check(&parameters, row.number, least),
                    Ok(()),
                    "{}",
                    row.name
                );
            }
        }
    }

    #[test]
    fn refusals_are_the_nodes_own() {
        let mut mainnet = Parameters::new(Preset::MainnetLike);
        let said = |parameters: &Parameters, number, value, words: &str| {
            assert_eq!(check(parameters, number, value), Err(words.to_owned()));
        };
        said(&mainnet, 9_999, 1, "Does not support code : 9999");
        let interval = "Bad chain parameter value, valid range is [3 * 27 * 1000,24 * 3600 * 1000]";
        said(&mainnet, 0, 80_999, interval);
        said(&mainnet, 3, -1, MOST_WORDS);
        said(
            &mainnet,
            9,
            0,
            "This value[ALLOW_CREATION_OF_CONTRACTS] is only allowed to be 1",
        );
        said(
            &mainnet,
            49,
            2,
            "This value[ALLOW_REMOVE_BLACKHOLE] is only allowed to be 1 or 0",
        );
        said(&mainnet, 67, 1, "New reward has been valid.");
        let again = "[ALLOW_TVM_CANCUN] has been valid, no need to propose again";
        said(&mainnet, 83, 0, again);
        let market = "Market Transaction is not activated, can not set Market Cancel Fee";
        said(&mainnet, 46, -1, market);
        let period = "This value[MAX_DELEGATE_LOCK_PERIOD] is only allowed to be greater than 864000 and less than or equal to 10512000 !";
        said(&mainnet, 78, 864_000, period);
        said(&mainnet, 47, MOST + 1, MOST_WORDS);
        mainnet.put(P::AllowTvmLondon, 0);
        let limit = "Bad MAX_FEE_LIMIT parameter value, valid range is [0,10_000_000_000L]";
        said(&mainnet, 47, 10_000_000_001, limit);
        said(
            &mainnet,
            13,
            401,
            "Bad chain parameter value, valid range is [10,400]",
        );
        mainnet.put(P::AllowHigherLimitForMaxCpuTimeOfOneTx, 0);
        said(
            &mainnet,
            13,
            101,
            "Bad chain parameter value, valid range is [10,100]",
        );
        mainnet.put(P::AllowTvmShangHai, 0);
        let prague = "[ALLOW_TVM_PRAGUE] requires [ALLOW_TVM_SHANGHAI] to be enacted first";
        said(&mainnet, 95, 0, prague);
        mainnet.put(P::ChangeDelegation, 0);
        let energy = "[ALLOW_CHANGE_DELEGATION] proposal must be approved before [ALLOW_DYNAMIC_ENERGY] can be opened";
        said(&mainnet, 72, 1, energy);
        assert_eq!(check(&mainnet, 72, 0), Ok(()));
        mainnet.put(P::RemoveThePowerOfTheGr, 1);
        let once = "This proposal has been executed before and is only allowed to be executed once";
        said(&mainnet, 10, 1, once);
    }
}
