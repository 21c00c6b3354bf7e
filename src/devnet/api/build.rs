//! Transactions the node builds for a client: checked, referred to the solid
//! block, expiring a minute after the head.

use serde_json::{Value, json};

use crate::{
    devnet::{
        api::{
            Ctx,
            failure::Failure,
            merge::{from_hex_string, merge},
            request::{Call, long_of, permission_id_of, string_of},
        },
        execute,
        reject::Reject,
        resource::TRX,
        state::Resource,
    },
    tron::{
        contract::{
            Abi, Contract, ContractType, CreateSmartContract, Message as _, SmartContract,
            type_number,
        },
        json::transaction_to_json,
        transaction::{Draft, RefBlock, Transaction},
    },
    types::UnixMs,
};

/// How long a built transaction lives after the head's time, ms.
const EXPIRATION_MS: i64 = 60_000;

/// The contract an endpoint builds.
pub(super) fn contract_of(endpoint: &str) -> Option<ContractType> {
    Some(match endpoint {
        "createtransaction" => ContractType::Transfer,
        "transferasset" => ContractType::TransferAsset,
        "createaccount" => ContractType::AccountCreate,
        "createassetissue" => ContractType::AssetIssue,
        "participateassetissue" => ContractType::ParticipateAssetIssue,
        "updateasset" => ContractType::UpdateAsset,
        "unfreezeasset" => ContractType::UnfreezeAsset,
        "updateaccount" => ContractType::AccountUpdate,
        "setaccountid" => ContractType::SetAccountId,
        "accountpermissionupdate" => ContractType::AccountPermissionUpdate,
        "freezebalancev2" => ContractType::FreezeBalanceV2,
        "unfreezebalancev2" => ContractType::UnfreezeBalanceV2,
        "withdrawexpireunfreeze" => ContractType::WithdrawExpireUnfreeze,
        "cancelallunfreezev2" => ContractType::CancelAllUnfreezeV2,
        "delegateresource" => ContractType::DelegateResource,
        "undelegateresource" => ContractType::UnDelegateResource,
        "votewitnessaccount" => ContractType::VoteWitness,
        "withdrawbalance" => ContractType::WithdrawBalance,
        "createwitness" => ContractType::WitnessCreate,
        "updatewitness" => ContractType::WitnessUpdate,
        "updateBrokerage" => ContractType::UpdateBrokerage,
        "proposalcreate" => ContractType::ProposalCreate,
        "proposalapprove" => ContractType::ProposalApprove,
        "proposaldelete" => ContractType::ProposalDelete,
        "exchangecreate" => ContractType::ExchangeCreate,
        "exchangeinject" => ContractType::ExchangeInject,
        "exchangewithdraw" => ContractType::ExchangeWithdraw,
        "exchangetransaction" => ContractType::ExchangeTransaction,
        "freezebalance" => ContractType::FreezeBalance,
        "unfreezebalance" => ContractType::UnfreezeBalance,
        "deploycontract" => ContractType::CreateSmart,
        "updatesetting" => ContractType::UpdateSetting,
        "updateenergylimit" => ContractType::UpdateEnergyLimit,
        "clearabi" => ContractType::ClearAbi,
        "marketsellasset" => ContractType::MarketSellAsset,
        "marketcancelorder" => ContractType::MarketCancelOrder,
        _ => return None,
    })
}

/// A transaction as the node builds it.
pub(super) fn draft(ctx: &Ctx<'_>, contract: Contract) -> Draft {
    let expiration = ctx.real_head().time().0.saturating_add(EXPIRATION_MS);
    Draft::new(
        contract,
        RefBlock::from(ctx.solid_block().id),
        UnixMs(expiration),
        ctx.now(),
    )
}

/// `DeployContractServlet`, which reads its parameters by itself, in this order. Hardly
/// anything of it is checked before it is broadcast.
fn deploy(call: &Call, body: &Value, visible: bool) -> Result<(Contract, i64), Failure> {
    let number = |name: &str| long_of(body, name);
    let owner = call.address("owner_address")?;
    let (call_token_value, token_id) = (number("call_token_value")?, number("token_id")?);
    let abi = match string_of(body, "abi") {
        Some(abi) => merge(&format!("{{\"entrys\":{abi}}}"), Abi::FIELDS, visible)?,
        None => Vec::new(),
    };
    let abi = Abi::decode(&abi).map_err(|error| Failure::validate(error.to_string()))?;
    let call_value = number("call_value")?;
    let percent = number("consume_user_resource_percent")?;
    let origin_energy_limit = number("origin_energy_limit")?;
    // Java's "null" in a text that is missing is no hex.
    let code = match (string_of(body, "bytecode"), body.get("parameter")) {
        (code, None) => code.unwrap_or_default(),
        (code, Some(_)) => {
            let parameter = string_of(body, "parameter");
            code.unwrap_or("null".into()) + parameter.unwrap_or("null".into())
        }
    };
    let bytecode = from_hex_string(&code).ok_or_else(Failure::not_hex)?;
    let fee_limit = number("fee_limit")?;
    if !(0..=100).contains(&percent) {
        return Err(Failure::validate("percent must be >= 0 and <= 100"));
    }
    let contract = CreateSmartContract {
        owner_address: owner.clone(),
        new_contract: Some(SmartContract {
            origin_address: owner,
            abi: Some(abi),
            bytecode,
            call_value,
            consume_user_resource_percent: percent,
            name: string_of(body, "name").unwrap_or_default().into_owned(),
            origin_energy_limit,
            ..SmartContract::default()
        }),
        call_token_value,
        token_id,
    };
    Ok((Contract::from(contract), fee_limit))
}

pub(super) fn build(ctx: &Ctx<'_>, call: &Call, kind: ContractType) -> Result<Value, Failure> {
    let visible = call.visible()?;
    if kind == ContractType::CreateSmart {
        let body = call.object()?;
        let (contract, fee_limit) = deploy(call, &body, visible)?;
        let mut draft = draft(ctx, contract);
        draft.fee_limit_sun = fee_limit;
        draft.permission_id = permission_id_of(&body)?;
        return Ok(finish(draft, visible));
    }
    let value = merge(&call.body, kind.fields(), visible)?;
    let contract =
        Contract::decode(kind, &value).map_err(|error| Failure::validate(error.to_string()))?;
    check(ctx, &contract).map_err(failure)?;
    let body = call.json()?.unwrap_or_default();
    let mut draft = draft(ctx, contract);
    draft.permission_id = permission_id_of(&body)?;
    if TAKES_MEMO.contains(&kind) {
        draft.memo = memo_of(&body, visible)?;
    }
    Ok(finish(draft, visible))
}

/// `CreateCommonTransactionServlet`: any contract, by its `contractType`.
pub(super) fn build_any(ctx: &Ctx<'_>, call: &Call) -> Result<Value, Failure> {
    let visible = call.visible()?;
    let body = call.object()?;
    let name = string_of(&body, "contractType").ok_or_else(|| Failure::null("Name is null"))?;
    let Some(kind) = ContractType::from_name(&name) else {
        return Err(match type_number(&name) {
            Some(_) => Failure::validate(format!("don't have this type: {name}")),
            None => Failure::argument(format!(
                "No enum constant org.tron.protos.Protocol.Transaction.Contract.ContractType.{name}"
            )),
        });
    };
    let value = merge(&call.body, kind.fields(), visible)?;
    let contract =
        Contract::decode(kind, &value).map_err(|error| Failure::validate(error.to_string()))?;
    match &contract {
        Contract::CreateSmart(create) => {
            let made = create.new_contract.as_ref();
            let percent = made.map_or(0, |made| made.consume_user_resource_percent);
            if !(0..=100).contains(&percent) {
                return Err(Failure::validate("percent must be >= 0 and <= 100"));
            }
        }
        Contract::TriggerSmart(_) => {}
        contract => check(ctx, contract).map_err(failure)?,
    }
    let mut draft = draft(ctx, contract);
    draft.permission_id = permission_id_of(&body)?;
    Ok(finish(draft, visible))
}

/// What a node that builds it gives a memo.
const TAKES_MEMO: [ContractType; 4] = [
    ContractType::Transfer,
    ContractType::TransferAsset,
    ContractType::MarketSellAsset,
    ContractType::MarketCancelOrder,
];

/// `setTransactionExtraData`: text with `visible`, else hex.
pub(super) fn memo_of(body: &Value, visible: bool) -> Result<Vec<u8>, Failure> {
    if body.get("extra_data").is_none() {
        return Ok(Vec::new());
    }
    let Some(memo) = string_of(body, "extra_data") else {
        let why = "Cannot invoke \"String.length()\" because \"data\" is null";
        return Err(Failure::null(why));
    };
    match visible {
        true => Ok(memo.as_bytes().to_vec()),
        false => from_hex_string(&memo).ok_or_else(Failure::not_hex),
    }
}

/// A refusal as the answer to a request for a transaction has it.
pub(super) fn failure(reject: Reject) -> Failure {
    match reject {
        Reject::Validate(message) | Reject::Execute(message) => Failure::validate(message),
        other => Failure::validate(other.to_string()),
    }
}

/// The transaction as a node shows what it built.
pub(super) fn finish(draft: Draft, visible: bool) -> Value {
    let transaction = Transaction::from(draft.build());
    let mut out = transaction_to_json(&transaction, visible).unwrap_or_else(|_| json!({}));
    if let Value::Object(object) = &mut out {
        object.insert("visible".into(), visible.into());
    }
    out
}

pub(super) fn check(ctx: &Ctx<'_>, contract: &Contract) -> Result<(), Reject> {
    let state = ctx.state();
    execute::validate(&state, contract)?;
    // A node that builds a delegation foresees what it will cost itself.
    if let Contract::DelegateResource(delegate) = contract
        && delegate.resource == 0
        && delegate.balance >= TRX
        && let Some(account) = state.account_at(&delegate.owner_address)
    {
        let more = execute::foreseen_bytes(&state, account.staked(Resource::Bandwidth));
        if execute::delegable(&state, account, Resource::Bandwidth, more) < delegate.balance {
            return Reject::validate(
                "delegateBalance must be less than or equal to available FreezeBandwidthV2 balance",
            );
        }
    }
    Ok(())
}
