//! Proposals of other chain parameters.

use super::{Outcome, address};
use crate::{
    devnet::{
        committee::{self, Proposal, Standing},
        proposable,
        reject::Reject,
        state::State,
    },
    tron::contract::{ProposalApproveContract, ProposalCreateContract, ProposalDeleteContract},
    types::Address,
};

/// An account that exists.
fn proposer(state: &State, bytes: &[u8]) -> Result<Address, Reject> {
    let owner = address(bytes, "Invalid address")?;
    if state.account(&owner).is_none() {
        return Reject::validate(format!("Account[{}] not exists", owner.to_hex()));
    }
    Ok(owner)
}

fn witness(state: &State, owner: &Address) -> Result<(), Reject> {
    match state.witness(owner) {
        Some(_) => Ok(()),
        None => Reject::validate(format!("Witness[{}] not exists", owner.to_hex())),
    }
}

/// `ProposalCreateActuator.java`.
pub(super) fn create(
    state: &mut State,
    contract: &ProposalCreateContract,
) -> Result<Outcome, Reject> {
    let owner = proposer(state, &contract.owner_address)?;
    witness(state, &owner)?;
    if contract.parameters.is_empty() {
        return Reject::validate("This proposal has no parameter.");
    }
    let mut parameters = Vec::new();
    for entry in &contract.parameters {
        let checked = proposable::check(&state.parameters, entry.key, entry.value);
        checked.or_else(Reject::validate)?;
        parameters.retain(|(key, _)| *key != entry.key);
        parameters.push((entry.key, entry.value));
    }
    let id = state.properties.next_proposal;
    state.properties.next_proposal += 1;
    let proposal = Proposal {
        proposer: owner,
        parameters,
        expires: committee::expiry(state),
        created: state.properties.head_time,
        approvals: Vec::new(),
        standing: Standing::Pending,
    };
    state.put_proposal(id, proposal);
    Ok(Outcome::default())
}

/// A proposal that still can be changed.
fn open(state: &State, id: i64) -> Result<Proposal, Reject> {
    let Some(proposal) = state.proposal(id) else {
        return Reject::validate(format!("Proposal[{id}] not exists"));
    };
    if state.properties.head_time >= proposal.expires {
        return Reject::validate(format!("Proposal[{id}] expired"));
    }
    if proposal.standing == Standing::Canceled {
        return Reject::validate(format!("Proposal[{id}] canceled"));
    }
    Ok(proposal.as_ref().clone())
}

/// `ProposalApproveActuator.java`.
pub(super) fn approve(
    state: &mut State,
    contract: &ProposalApproveContract,
) -> Result<Outcome, Reject> {
    let owner = proposer(state, &contract.owner_address)?;
    witness(state, &owner)?;
    let id = contract.proposal_id;
    let mut proposal = open(state, id)?;
    let has = proposal.approvals.contains(&owner);
    match (contract.is_add_approval, has) {
        (true, true) => {
            return Reject::validate(format!(
                "Witness[{}]has approved proposal[{id}] before",
                owner.to_hex()
            ));
        }
        (false, false) => {
            return Reject::validate(format!(
                "Witness[{}]has not approved proposal[{id}] before",
                owner.to_hex()
            ));
        }
        (true, false) => proposal.approvals.push(owner),
        (false, true) => proposal.approvals.retain(|who| *who != owner),
    }
    state.put_proposal(id, proposal);
    Ok(Outcome::default())
}

/// `ProposalDeleteActuator.java`.
pub(super) fn delete(
    state: &mut State,
    contract: &ProposalDeleteContract,
) -> Result<Outcome, Reject> {
    let owner = proposer(state, &contract.owner_address)?;
    let id = contract.proposal_id;
    let Some(found) = state.proposal(id) else {
        return Reject::validate(format!("Proposal[{id}] not exists"));
    };
    if found.proposer != owner {
        return Reject::validate(format!(
            "Proposal[{id}] is not proposed by {}",
            owner.to_hex()
        ));
    }
    let mut proposal = open(state, id)?;
    proposal.standing = Standing::Canceled;
    state.put_proposal(id, proposal);
    Ok(Outcome::default())
}
