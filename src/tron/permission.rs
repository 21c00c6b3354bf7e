//! Who may sign for an account: permissions, weights, thresholds
//! (`AccountPermissionUpdateActuator.java`, `TransactionCapsule.checkWeight`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    contract::{
        AccountPermissionUpdateContract, ContractType, FieldSchema, Kind, Message as _, Permission,
    },
    json::{JsonError, typed_from_json},
    transaction::{Transaction, TransactionError},
};
use crate::types::Address;

/// Keys a permission may have (`totalSignNum`).
pub const MAX_KEYS: usize = 5;
/// Active permissions an account may have.
pub const MAX_ACTIVES: usize = 8;
/// Bytes in a permission's name.
pub const MAX_NAME_BYTES: usize = 32;
/// Bytes in `operations`: one bit for each contract type.
pub const OPERATIONS_BYTES: usize = 32;
/// `Permission_id` of the owner permission; active ones count from 2.
pub const OWNER_ID: i32 = 0;

/// A permission the chain would refuse, or a transaction it would not take.
#[derive(Debug, thiserror::Error)]
pub enum PermissionError {
    /// JSON of another form.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field that the chain does not know, and would pass over.
    #[error("`{0}` is not a field of a permission (is it mistyped?)")]
    Unknown(String),
    /// No owner permission.
    #[error("`owner` is missing: an account without one is lost")]
    NoOwner,
    /// None, or too many.
    #[error("an account has 1 to {MAX_ACTIVES} active permissions, not {0}")]
    Actives(usize),
    /// A rule of a single permission.
    #[error("permission `{name}`: {reason}")]
    Rule {
        /// Its name.
        name: String,
        /// Which rule.
        reason: String,
    },
    /// A transaction that cannot be read.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The account has none with that number.
    #[error("the account has no permission {0}")]
    NoSuchPermission(i32),
    /// Not allowed by `operations`.
    #[error("permission {id} may not sign a {contract}")]
    NotAllowed {
        /// The permission's number.
        id: i32,
        /// What it would sign.
        contract: &'static str,
    },
}

/// An account's permissions, as `getaccount` gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// May sign everything.
    pub owner: Permission,
    /// May sign what their `operations` say.
    pub actives: Vec<Permission>,
}

/// How far a transaction is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Which permission signs it.
    pub permission_id: i32,
    /// The weight it needs.
    pub threshold: i64,
    /// The weight it has.
    pub weight: i64,
    /// Who signed, in order, and with what weight; 0 for a stranger.
    pub signed: Vec<(Address, i64)>,
    /// Whose signature is not there, and what it would weigh.
    pub missing: Vec<(Address, i64)>,
}

impl Approval {
    /// Whether a node would take the signatures: enough weight, no stranger,
    /// nobody twice.
    pub fn is_enough(&self) -> bool {
        let distinct: BTreeSet<_> = self.signed.iter().map(|(address, _)| address).collect();
        self.weight >= self.threshold
            && distinct.len() == self.signed.len()
            && self.signed.iter().all(|(_, weight)| *weight > 0)
    }
}

impl Permissions {
    /// What an account that never changed them has: its own key alone.
    pub fn default_of(account: Address) -> Self {
        let permission = |r#type, id, name: &str| Permission {
            r#type,
            id,
            permission_name: name.to_owned(),
            threshold: 1,
            keys: vec![super::contract::Key {
                address: account.to_bytes().to_vec(),
                weight: 1,
            }],
            ..Default::default()
        };
        Self {
            owner: permission(0, OWNER_ID, "owner"),
            actives: Vec::new(),
        }
    }

    /// The active permission that an account of mainnet, Nile or Shasta gets when it is
    /// made: its own key alone, for every contract but a change of permissions.
    pub fn usual_active(account: Address) -> Permission {
        // Since stake 2.0 (`DynamicPropertiesStore.addSystemContractAndSetPermission` of
        // its proposals): `7fff1fc0033ec30f`, then zeros.
        Self::own_active(account, [0x7f, 0xff, 0x1f, 0xc0, 0x03, 0x3e, 0xc3, 0x0f])
    }

    /// The same on a chain that has its features from its configuration, as a private
    /// java-tron 4.8.0 was recorded, and as the embedded node with the parameters of a
    /// fresh chain: `7fff1fc0033e0108`, without stake 2.0, and the chain knows no others.
    pub fn usual_active_of_private_chains(account: Address) -> Permission {
        Self::own_active(account, [0x7f, 0xff, 0x1f, 0xc0, 0x03, 0x3e, 0x01, 0x08])
    }

    fn own_active(account: Address, operations: [u8; 8]) -> Permission {
        let mut operations = operations.to_vec();
        operations.resize(OPERATIONS_BYTES, 0);
        Permission {
            r#type: 2,
            id: 2,
            permission_name: "active".to_owned(),
            operations,
            ..Self::default_of(account).owner
        }
    }

    /// Reads them out of `getaccount`'s answer in visible form; those of an
    /// account that shows none are [`default_of`](Self::default_of) it.
    ///
    /// # Errors
    /// A permission of another form.
    pub fn from_account_json(account: Address, answer: &Value) -> Result<Self, JsonError> {
        let mut permissions = Self::default_of(account);
        if let Some(owner) = answer.get("owner_permission") {
            permissions.owner = typed_from_json(owner, true)?;
        }
        if let Some(list) = answer.get("active_permission").and_then(Value::as_array) {
            permissions.actives = list
                .iter()
                .map(|active| typed_from_json(active, true))
                .collect::<Result<_, _>>()?;
        }
        Ok(permissions)
    }

    /// The permission with that number: the owner's, or an active one.
    ///
    /// # Errors
    /// The account has none such.
    pub fn numbered(&self, id: i32) -> Result<&Permission, PermissionError> {
        if id == OWNER_ID {
            return Ok(&self.owner);
        }
        let active = self.actives.iter().find(|active| active.id == id);
        active.ok_or(PermissionError::NoSuchPermission(id))
    }

    /// Whether any key but `account`'s own may sign for it.
    pub fn is_shared(&self, account: Address) -> bool {
        let permissions = std::iter::once(&self.owner).chain(&self.actives);
        permissions
            .flat_map(|permission| &permission.keys)
            .any(|key| Address::from_bytes(&key.address) != Ok(account))
    }

    /// How far `transaction` is signed.
    ///
    /// # Errors
    /// A permission the account lacks or that may not sign this contract, or a
    /// signature from which no address can be recovered.
    pub fn approval(&self, transaction: &Transaction) -> Result<Approval, PermissionError> {
        let raw = transaction.raw_data()?;
        let contract = raw.contract()?;
        let id = contract.permission_id;
        let permission = self.numbered(id)?;
        if id != OWNER_ID && !allows(permission, contract.contract_type) {
            let kind = ContractType::from_number(contract.contract_type);
            return Err(PermissionError::NotAllowed {
                id,
                contract: kind.map_or("contract of an unknown type", ContractType::name),
            });
        }
        let keys: Vec<(Address, i64)> = permission
            .keys
            .iter()
            .filter_map(|key| Some((Address::from_bytes(&key.address).ok()?, key.weight)))
            .collect();
        let weight_of = |address: &Address| {
            let key = keys.iter().find(|(key, _)| key == address);
            key.map_or(0, |(_, weight)| *weight)
        };
        let signers = transaction.signers()?;
        let distinct: BTreeSet<_> = signers.iter().copied().collect();
        Ok(Approval {
            permission_id: id,
            threshold: permission.threshold,
            weight: distinct
                .iter()
                .fold(0, |sum: i64, signer| sum.saturating_add(weight_of(signer))),
            signed: signers.iter().map(|who| (*who, weight_of(who))).collect(),
            missing: keys
                .iter()
                .filter(|(key, _)| !distinct.contains(key))
                .copied()
                .collect(),
        })
    }
}

/// How few of a permission's keys reach its threshold; `None` when all of them
/// do not.
pub fn fewest_signers(permission: &Permission) -> Option<usize> {
    let mut weights: Vec<i64> = permission.keys.iter().map(|key| key.weight).collect();
    weights.sort_unstable_by(|a, b| b.cmp(a));
    let sums = weights.iter().scan(0_i64, |sum, weight| {
        *sum = sum.saturating_add(*weight);
        Some(*sum)
    });
    let before = sums.take_while(|sum| *sum < permission.threshold).count();
    (before < weights.len()).then_some(before + 1)
}

/// Whether an active permission may sign contracts of that type: bit n of
/// `operations`, counted from the lowest bit of the first byte.
pub fn allows(permission: &Permission, contract_type: i32) -> bool {
    let Ok(bit) = usize::try_from(contract_type) else {
        return false;
    };
    let byte = permission.operations.get(bit / 8).copied().unwrap_or(0);
    byte & (1 << (bit % 8)) != 0
}

/// The contract that gives `account` the permissions of `object`, in the node's
/// form (`owner`, `actives`, `witness`; addresses in base58check or hex), checked by
/// the chain's rules. A field that is not known is refused: the node would ignore it.
/// Whether each allowed operation exists on the chain, only the node knows.
///
/// # Errors
/// What the chain would refuse.
pub fn update_from_json(
    account: Address,
    object: &Value,
) -> Result<AccountPermissionUpdateContract, PermissionError> {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        // As a node's JSON has it beside the fields of the contract.
        fields.remove("visible");
    }
    make_visible(AccountPermissionUpdateContract::FIELDS, &mut object, "")?;
    let mut update: AccountPermissionUpdateContract = typed_from_json(&object, true)?;
    update.owner_address = account.to_bytes().to_vec();
    check(update.owner.as_ref().ok_or(PermissionError::NoOwner)?, 0)?;
    if update.actives.is_empty() || update.actives.len() > MAX_ACTIVES {
        return Err(PermissionError::Actives(update.actives.len()));
    }
    for active in &update.actives {
        check(active, 2)?;
    }
    if let Some(witness) = &update.witness {
        check(witness, 1)?;
    }
    Ok(update)
}

/// Refuses fields that are not in the schema, and writes each address in the visible
/// form, which is the one that is read.
fn make_visible(
    schema: &[FieldSchema],
    object: &mut Value,
    place: &str,
) -> Result<(), PermissionError> {
    let Some(fields) = object.as_object_mut() else {
        return Ok(());
    };
    for (name, value) in fields {
        let place = format!("{place}{}", name.chars().take(40).collect::<String>());
        let field = schema.iter().find(|field| field.json_name() == name);
        let field = field.ok_or_else(|| PermissionError::Unknown(place.clone()))?;
        match field.kind {
            Kind::Address => {
                let address = value.as_str().and_then(|text| text.parse::<Address>().ok());
                if let Some(address) = address {
                    *value = address.to_string().into();
                }
            }
            Kind::Message(inner) => make_visible(inner, value, &format!("{place}."))?,
            Kind::Repeated(inner) => {
                for element in value.as_array_mut().into_iter().flatten() {
                    make_visible(inner, element, &format!("{place}."))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn check(permission: &Permission, kind: i32) -> Result<(), PermissionError> {
    let rule = |reason: String| {
        Err(PermissionError::Rule {
            name: permission.permission_name.chars().take(40).collect(),
            reason,
        })
    };
    if permission.r#type != kind {
        return rule("its `type` is not the one of its place".into());
    }
    if permission.permission_name.len() > MAX_NAME_BYTES {
        return rule(format!("its name is longer than {MAX_NAME_BYTES} bytes"));
    }
    let keys = &permission.keys;
    if keys.is_empty() || keys.len() > MAX_KEYS {
        return rule(format!("it has {} keys, not 1 to {MAX_KEYS}", keys.len()));
    }
    let distinct: BTreeSet<_> = keys.iter().map(|key| &key.address).collect();
    if distinct.len() != keys.len() {
        return rule("a key is there twice".into());
    }
    if keys
        .iter()
        .any(|key| Address::from_bytes(&key.address).is_err())
    {
        return rule("a key is no address".into());
    }
    if keys.iter().any(|key| key.weight <= 0) {
        return rule("a weight is not greater than 0".into());
    }
    let mut weights = keys.iter().map(|key| key.weight);
    let Some(sum) = weights.try_fold(0_i64, i64::checked_add) else {
        return rule(format!("its weights add up to more than {}", i64::MAX));
    };
    let threshold = permission.threshold;
    if threshold <= 0 {
        return rule(format!(
            "its threshold is {threshold}: the chain wants at least 1, since otherwise no key \
             would be needed"
        ));
    }
    if threshold > sum {
        return rule(format!(
            "its threshold {threshold} is above the weights of its keys together ({sum}): nobody \
             could sign"
        ));
    }
    if permission.parent_id != 0 {
        return rule("its parent_id is not 0".into());
    }
    let expected = if kind == 2 { OPERATIONS_BYTES } else { 0 };
    if permission.operations.len() != expected {
        return rule(format!(
            "its operations have {} bytes, not {expected}",
            permission.operations.len()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::tron::{
        contract::Contract,
        json::transaction_from_json,
        transaction::{Draft, RefBlock},
    };

    fn recording(name: &str) -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/tron")
            .join(name);
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn recorded_account() -> Permissions {
        let answer = recording("06-getaccount-after-visible.json")["response"].take();
        let account = answer["address"].as_str().unwrap().parse().unwrap();
        Permissions::from_account_json(account, &answer).unwrap()
    }

    #[test]
    fn recorded_weights_are_computed_here() {
        let permissions = recorded_account();
        for (name, weight, enough) in [
            ("06-broadcast-one-of-two.json", 1, false),
            ("06-broadcast-three-of-three.json", 3, true),
            ("06-broadcast-same-key-twice.json", 1, false),
            ("06-broadcast-foreign-key.json", 1, false),
            ("06-broadcast-owner-key-under-active.json", 0, false),
        ] {
            let body = recording(name)["request"]["body"].take();
            let transaction = transaction_from_json(&body, false).unwrap();
            let approval = permissions.approval(&transaction).unwrap();
            assert_eq!(approval.threshold, 2, "{name}");
            assert_eq!(
                (approval.weight, approval.is_enough()),
                (weight, enough),
                "{name}"
            );
        }
    }

    #[test]
    fn what_the_operations_do_not_allow_is_refused() {
        let permissions = recorded_account();
        let update = Contract::from(AccountPermissionUpdateContract::default());
        let ref_block = RefBlock {
            bytes: [0; 2],
            hash: [0; 8],
        };
        let mut draft = Draft::new(update, ref_block, Default::default(), Default::default());
        draft.permission_id = 2;
        let refused = permissions.approval(&Transaction::from(draft.build()));
        assert!(matches!(
            refused,
            Err(PermissionError::NotAllowed { id: 2, .. })
        ));
        draft.permission_id = 5;
        let refused = permissions.approval(&Transaction::from(draft.build()));
        assert!(matches!(refused, Err(PermissionError::NoSuchPermission(5))));
    }

    /// A document that is good, and what changing it makes of it.
    fn changed(change: impl FnOnce(&mut Value)) -> Result<(), String> {
        let account: Address = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC".parse().unwrap();
        let key = |weight: i64| serde_json::json!({ "address": account, "weight": weight });
        let mut document = serde_json::json!({
            "owner": { "permission_name": "owner", "threshold": 1, "keys": [key(1)] },
            "actives": [{
                "type": "Active", "id": 2, "permission_name": "active", "threshold": 1,
                "operations": "06".to_owned() + &"00".repeat(31), "keys": [key(1)],
            }],
        });
        change(&mut document);
        update_from_json(account, &document)
            .map(|update| assert_eq!(update.owner.unwrap().keys[0].address, account.to_bytes()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn each_mistake_in_a_document_has_its_own_sentence() {
        assert_eq!(changed(|_| ()), Ok(()));
        let owner = |field: &'static str, value: Value| {
            changed(move |document| document["owner"][field] = value).unwrap_err()
        };
        let said = owner("treshold", 2.into());
        assert!(said.contains("`owner.treshold` is not a field"), "{said}");
        let said = changed(|document| document["actives"][0]["keys"][0]["wight"] = 2.into());
        let said = said.unwrap_err();
        assert!(said.contains("`actives.keys.wight`"), "{said}");
        let said = owner("threshold", 0.into());
        assert!(
            said.contains("its threshold is 0") && !said.contains("nobody"),
            "{said}"
        );
        let said = owner("threshold", 2.into());
        assert!(
            said.contains("threshold 2 is above") && said.contains("(1): nobody"),
            "{said}"
        );
        let said = changed(|document| {
            let other = "TDvSsdrNM5eeXNL3czpa6AxLDHZA9nwe9K";
            document["owner"]["keys"][0]["weight"] = i64::MAX.into();
            let more = serde_json::json!({ "address": other, "weight": 1 });
            document["owner"]["keys"].as_array_mut().unwrap().push(more);
        });
        assert!(said.unwrap_err().contains("weights add up to more than"));
    }

    #[test]
    fn addresses_are_read_as_tronweb_and_as_nodes_write_them() {
        let hex = "417e5f4552091a69125d5dfcb7b8c2659029395bdf";
        for spelling in [hex.to_owned(), hex.to_uppercase()] {
            let read = changed(|document| {
                document["visible"] = false.into();
                document["owner_address"] = hex.into();
                document["owner"]["keys"][0]["address"] = spelling.clone().into();
            });
            assert_eq!(read, Ok(()), "{spelling}");
        }
    }

    #[test]
    fn the_usual_active_permission_may_stake() {
        let usual = Permissions::usual_active(Address::ZERO);
        for kind in ContractType::ALL {
            let may = allows(&usual, kind.number());
            // Not voted in when that permission was last changed, or the owner's alone.
            let known_to_be_left_out = matches!(
                kind,
                ContractType::AccountPermissionUpdate
                    | ContractType::MarketSellAsset
                    | ContractType::MarketCancelOrder
            );
            assert_eq!(may, !known_to_be_left_out, "{}", kind.name());
        }
    }

    #[test]
    fn recorded_updates_are_judged_as_the_node_did() {
        let mut judged = 0;
        for (name, good) in [
            ("06-accountpermissionupdate.json", true),
            ("06-accountpermissionupdate-bad-duplicate-key.json", false),
            ("06-accountpermissionupdate-bad-no-actives.json", false),
            ("06-accountpermissionupdate-bad-no-owner.json", false),
            (
                "06-accountpermissionupdate-bad-operations-short.json",
                false,
            ),
            (
                "06-accountpermissionupdate-bad-threshold-above-weights.json",
                false,
            ),
        ] {
            let body = recording(name)["request"]["body"].take();
            let visible = body["visible"] == true;
            let fields =
                <AccountPermissionUpdateContract as crate::tron::contract::Message>::FIELDS;
            let bytes = crate::tron::json::message_from_json(fields, &body, visible).unwrap();
            let shown = crate::tron::json::message_to_json(fields, &bytes, true).unwrap();
            let judgement = update_from_json(Address::ZERO, &shown);
            assert_eq!(judgement.is_ok(), good, "{name}: {judgement:?}");
            judged += 1;
        }
        assert_eq!(judged, 6);
    }
}
