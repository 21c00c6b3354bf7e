//! Who may sign for an account, and for what: shown, and changed with the before
//! beside the after. What would lock its owner out is asked about in other words.

use std::io::IsTerminal as _;

use serde_json::{Value, json};

use super::{
    Context, account,
    act::ActFlags,
    chain::{self, Chain},
    failure::{Failure, Outcome},
    output::ask,
    printable,
    tx_documents::operand,
    tx_words::operations,
};
use crate::{
    tron::{
        contract::{AccountPermissionUpdateContract, Contract, ContractType, Permission},
        json::contract_to_visible_json,
        permission::{self, Permissions, allows, fewest_signers},
    },
    types::Address,
};

/// What is typed to give an account out of one's hands.
const SENTENCE: &str = "I lose this account";

pub(super) async fn permissions_of(chain: &Chain, address: Address) -> Outcome<Permissions> {
    let permissions = chain.node.permissions(address).await?;
    permissions.ok_or_else(|| {
        Failure::failed(
            "account_not_found",
            format!("this node knows no account {address}"),
        )
    })
}

/// In the form that `--set` and `tx build account-permission-update` read.
pub(super) fn permissions_json(address: Address, permissions: &Permissions) -> Outcome<Value> {
    let update: Contract = AccountPermissionUpdateContract {
        owner_address: address.to_bytes().to_vec(),
        owner: Some(permissions.owner.clone()),
        witness: None,
        actives: permissions.actives.clone(),
    }
    .into();
    contract_to_visible_json(&update).map_err(|error| Failure::failed("permissions", error))
}

pub(super) async fn show(context: &Context, address: Option<Address>) -> Outcome {
    let address = account::named_or_own(context, address)?;
    let chain = chain::connect(context).await?;
    chain.existing(address).await?;
    let mut permissions = permissions_of(&chain, address).await?;
    if permissions.actives.is_empty() {
        context.out.note(
            "this account has no active permission, and the chain wants one when they are changed: \
             the usual one is shown",
        );
        permissions.actives = vec![Permissions::usual_active(address)];
    }
    let document = json!({
        "address": address,
        "permissions": permissions_json(address, &permissions)?,
    });
    // The document is the result with and without --json: `--set` reads it.
    context.out.document(&document)
}

/// `2 of A (1) + B (1)`: the weight that is needed, and each key's.
pub(super) fn keys_text(permission: &Permission) -> String {
    let keys: Vec<_> = permission
        .keys
        .iter()
        .map(|key| match Address::from_bytes(&key.address) {
            Ok(address) => format!("{address} ({})", key.weight),
            Err(_) => hex::encode(&key.address),
        })
        .collect();
    format!("{} of {}", permission.threshold, keys.join(" + "))
}

fn read(file: &str, from: Address) -> Outcome<AccountPermissionUpdateContract> {
    let invalid = |error: String| Failure::failed("permissions", format!("{file}: {error}"));
    let text = operand(file)?;
    let mut object: Value =
        serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))?;
    // As `account permission --json` shows them.
    if let Some(inner) = object.get_mut("permissions") {
        object = inner.take();
    }
    permission::update_from_json(from, &object).map_err(|error| invalid(error.to_string()))
}

/// A line for each permission, with what it may do.
fn lines(owner: &Permission, actives: &[Permission]) -> Vec<String> {
    let mut lines = vec![format!("  owner: {}, for everything", keys_text(owner))];
    for active in actives {
        let may = operations(&active.operations);
        let may = match may.as_slice() {
            [] => "nothing".to_owned(),
            may => may.join(", "),
        };
        lines.push(format!(
            "  active `{}`: {}, for {may}",
            printable::line(&active.permission_name),
            keys_text(active)
        ));
    }
    lines
}

/// What of the change could be regretted, and whether it takes the account out of the
/// hands of its own key.
fn warnings(account: Address, update: &AccountPermissionUpdateContract) -> (Vec<String>, bool) {
    let mut warnings = Vec::new();
    let mut locked_out = false;
    if let Some(owner) = &update.owner {
        let own = owner
            .keys
            .iter()
            .find(|key| Address::from_bytes(&key.address) == Ok(account));
        match own {
            None => {
                locked_out = true;
                warnings.push(format!(
                    "you can no longer sign for this account with its own key: {account} is not \
                     among the keys of the owner permission, and only they can change this again"
                ));
            }
            Some(key) if key.weight < owner.threshold => {
                let fewest = fewest_signers(owner).unwrap_or(owner.keys.len());
                warnings.push(format!(
                    "{account} alone can no longer sign for everything: at least {fewest} of the \
                     owner permission's keys are needed, and without them the account is lost"
                ));
            }
            Some(_) => {}
        }
    }
    for active in &update.actives {
        let name = printable::line(&active.permission_name);
        let may = operations(&active.operations);
        if may.is_empty() {
            warnings.push(format!("the active permission `{name}` may do nothing"));
        }
        let others = active
            .keys
            .iter()
            .filter_map(|key| Address::from_bytes(&key.address).ok())
            .filter(|key| *key != account);
        let others: Vec<String> = others.map(|key| key.to_string()).collect();
        let moves = [ContractType::Transfer, ContractType::TransferAsset];
        let may_move = moves.iter().any(|kind| allows(active, kind.number()));
        if allows(active, ContractType::AccountPermissionUpdate.number()) {
            warnings.push(format!(
                "the active permission `{name}` may change who signs, and so take the account over"
            ));
        } else if may_move && !others.is_empty() {
            warnings.push(format!(
                "keys of `{name}` that are not the account's own may send all it has: {}",
                others.join(", ")
            ));
        }
    }
    (warnings, locked_out)
}

/// Reads the file, and shows before and after. What locks the account's own key out is
/// confirmed by a sentence, or without a terminal by a flag of its own.
pub(super) async fn review(
    context: &Context,
    file: &str,
    flags: &ActFlags,
    allow_lock_out: bool,
) -> Outcome<AccountPermissionUpdateContract> {
    let from = account::address(context)?;
    let update = read(file, from)?;
    let chain = chain::connect(context).await?;
    let before = permissions_of(&chain, from).await?;
    let after = lines(
        update.owner.as_ref().unwrap_or(&before.owner),
        &update.actives,
    );
    context.out.show(format!(
        "who may sign for {from}, before:\n{}\nafter:\n{}",
        lines(&before.owner, &before.actives).join("\n"),
        after.join("\n")
    ));
    let (warnings, locked_out) = warnings(from, &update);
    for warning in warnings {
        context.out.warn(warning);
    }
    if !locked_out || flags.is_dry_run() || allow_lock_out {
        return Ok(update);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "{from} would lock its own key out, and there is no terminal to ask"
        ))
        .hint("to do that on purpose, give --allow-lock-out"));
    }
    if ask(&format!("Type `{SENTENCE}` to go on: "))? != SENTENCE {
        return Err(Failure::failed("declined", "nothing was done"));
    }
    Ok(update)
}

/// The contract for [`act`](super::act::act), and its words.
pub(super) fn change(
    from: Address,
    update: AccountPermissionUpdateContract,
) -> Outcome<(Contract, String)> {
    if update.owner_address != from.to_bytes() {
        return Err(Failure::failed(
            "permissions",
            format!("the file's change is for another account, not for {from}"),
        ));
    }
    Ok((update.into(), "changes who may sign, as shown".to_owned()))
}
