//! `buildTransaction`: TRX, a token, a call or a new contract, as java-tron builds them for
//! Ethereum's tools (`BuildArguments.java`).

use serde_json::{Map, Value, json};

use super::{
    Ctx, build,
    eth::{Answer, Refusal, address, bytes, quantity},
    eth_contract::{NOT_HEX, no_number, only},
    failure::Failure,
    merge::merge,
};
use crate::{
    devnet::params::Parameter,
    tron::contract::{
        Abi, Contract, CreateSmartContract, Message as _, SmartContract, TransferAssetContract,
        TransferContract, TriggerSmartContract,
    },
    types::Address,
};

/// What may be said of a transaction.
const KNOWN: &[&str] = &[
    "from",
    "to",
    "gas",
    "gasPrice",
    "value",
    "data",
    "nonce",
    "tokenId",
    "tokenValue",
    "abi",
    "consumeUserResourcePercent",
    "originEnergyLimit",
    "name",
    "permissionId",
    "extraData",
    "visible",
];

/// The parameters, of which any may be missing.
struct Given<'a>(&'a Map<String, Value>);

impl Given<'_> {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A number, which JSON may have as one.
    fn number(&self, name: &str) -> i64 {
        let value = self.0.get(name);
        let value = value.and_then(|value| value.as_i64().or_else(|| value.as_str()?.parse().ok()));
        value.unwrap_or_default()
    }

    /// A quantity as Ethereum writes it; 0 where there is none.
    fn quantity(&self, name: &str) -> Result<i64, Refusal> {
        match self.text(name) {
            "" => Ok(0),
            text => quantity(text).ok_or_else(no_number),
        }
    }

    fn data(&self) -> Result<Vec<u8>, Refusal> {
        match self.0.get("data").filter(|value| !value.is_null()) {
            Some(data) => bytes(Some(data), || Refusal::new(-32000, NOT_HEX)),
            None => Ok(Vec::new()),
        }
    }

    fn is_visible(&self) -> bool {
        self.0
            .get("visible")
            .and_then(Value::as_bool)
            .unwrap_or_default()
    }
}

pub(super) fn refused(failure: Failure) -> Refusal {
    match failure {
        Failure::Exception { message, .. } | Failure::Plain(message) => {
            Refusal::new(-32600, message)
        }
        Failure::Fork(error) => error.into(),
    }
}

pub(super) fn transaction(ctx: &Ctx<'_>, list: &[Value]) -> Answer {
    let Some(Value::Object(what)) = list.first() else {
        return Err(Refusal::invalid());
    };
    only(what, KNOWN)?;
    let given = Given(what);
    let from = address(what.get("from")).map_err(|_| Refusal::invalid())?;
    let contract = match given.text("to") {
        "" if given.text("data").is_empty() => return Err(Refusal::invalid()),
        "" => creation(&given, from)?,
        _ => to_somebody(ctx, &given, from, address(what.get("to"))?)?,
    };
    let takes_energy = matches!(
        contract,
        Contract::CreateSmart(_) | Contract::TriggerSmart(_)
    );
    if !takes_energy {
        build::check(ctx, &contract).map_err(|reject| refused(build::failure(reject)))?;
    }
    let mut draft = build::draft(ctx, contract);
    if takes_energy {
        let price = ctx.state().parameters.get(Parameter::EnergyFee);
        draft.fee_limit_sun = given.quantity("gas")?.saturating_mul(price);
    }
    draft.permission_id = i32::try_from(given.number("permissionId").max(0)).unwrap_or(i32::MAX);
    if !takes_energy && !given.text("extraData").is_empty() {
        let memo = json!({ "extra_data": given.text("extraData") });
        draft.memo = build::memo_of(&memo, given.is_visible()).map_err(refused)?;
    }
    let is_call = matches!(draft.contract, Contract::TriggerSmart(_));
    // A new contract is always shown in hex.
    let visible = given.is_visible() && !matches!(draft.contract, Contract::CreateSmart(_));
    let mut built = build::finish(draft, visible);
    if is_call && let Some(built) = built.as_object_mut() {
        // The node prints a call in another way than the rest.
        built.remove("visible");
    }
    Ok(json!({ "transaction": built }))
}

fn creation(given: &Given<'_>, from: Address) -> Result<Contract, Refusal> {
    let abi = match given.text("abi") {
        "" => Abi::default(),
        abi => {
            let entries = format!("{{\"entrys\":{abi}}}");
            let bytes = merge(&entries, Abi::FIELDS, given.is_visible()).map_err(refused)?;
            Abi::decode(&bytes).map_err(|error| Refusal::new(-32600, error.to_string()))?
        }
    };
    let percent = given.number("consumeUserResourcePercent");
    if !(0..=100).contains(&percent) {
        return Err(Refusal::new(-32600, "percent must be >= 0 and <= 100"));
    }
    let owner = from.to_bytes().to_vec();
    Ok(CreateSmartContract {
        owner_address: owner.clone(),
        new_contract: Some(SmartContract {
            origin_address: owner,
            abi: Some(abi),
            bytecode: given.data()?,
            call_value: given.quantity("value")?,
            consume_user_resource_percent: percent,
            name: given.text("name").to_owned(),
            origin_energy_limit: given.number("originEnergyLimit"),
            ..SmartContract::default()
        }),
        call_token_value: given.number("tokenValue"),
        token_id: given.number("tokenId"),
    }
    .into())
}

/// A call of a contract; to another account a token, or TRX.
fn to_somebody(
    ctx: &Ctx<'_>,
    given: &Given<'_>,
    from: Address,
    to: Address,
) -> Result<Contract, Refusal> {
    let (owner_address, to_address) = (from.to_bytes().to_vec(), to.to_bytes().to_vec());
    let (token_id, token_value) = (given.number("tokenId"), given.number("tokenValue"));
    let value = given.quantity("value")?;
    if ctx.state().contract(&to).is_some() {
        return Ok(TriggerSmartContract {
            owner_address,
            contract_address: to_address,
            call_value: value,
            data: given.data()?,
            call_token_value: token_value,
            token_id,
        }
        .into());
    }
    if token_id > 0 && token_value > 0 && value == 0 {
        return Ok(TransferAssetContract {
            asset_name: token_id.to_string().into_bytes(),
            owner_address,
            to_address,
            amount: token_value,
        }
        .into());
    }
    if given.text("value").is_empty() {
        return Err(Refusal::invalid());
    }
    Ok(TransferContract {
        owner_address,
        to_address,
        amount: value,
    }
    .into())
}
