//! Witnesses and proposals, and what happens to them at the end of each maintenance
//! cycle (`MaintenanceManager.java`, `ProposalController.java`).

use std::sync::Arc;

use crate::{
    devnet::{
        history,
        params::Parameter,
        proposable::proposed,
        reward::{self, Sums},
        state::State,
    },
    types::{Address, UnixMs},
};

/// A witness's share of its voters' reward unless it says otherwise, percent.
const BROKERAGE: i32 = 20;
/// What each witness of genesis begins with, so that they are listed as on a chain.
pub(crate) const GENESIS_VOTES: i64 = 100_000;

/// A candidate, who may make blocks on a chain that elects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Witness {
    /// Votes that it has from genesis, which nobody can take back.
    pub(crate) own_votes: i64,
    /// All votes as of the last maintenance.
    pub(crate) votes: i64,
    pub(crate) url: Vec<u8>,
    /// Whether it takes turns here.
    pub(crate) is_active: bool,
    /// Blocks made, the last one's number and slot.
    pub(crate) produced: i64,
    pub(crate) latest_block: i64,
    pub(crate) latest_slot: i64,
    /// Percent, in this cycle and from the next on.
    pub(crate) brokerage: i32,
    pub(crate) next_brokerage: i32,
    /// What its voters have earned in this cycle, sun, and one vote in all before.
    pub(crate) reward: i64,
    pub(crate) sums: Arc<Sums>,
}

impl Witness {
    pub(crate) fn new(url: &[u8]) -> Self {
        Self {
            own_votes: 0,
            votes: 0,
            url: url.to_vec(),
            is_active: false,
            produced: 0,
            latest_block: 0,
            latest_slot: 0,
            brokerage: BROKERAGE,
            next_brokerage: BROKERAGE,
            reward: 0,
            sums: Arc::default(),
        }
    }

    /// One of those that make this chain's blocks.
    pub(crate) fn genesis() -> Self {
        Self {
            own_votes: GENESIS_VOTES,
            votes: GENESIS_VOTES,
            is_active: true,
            ..Self::new(b"http://witness.example")
        }
    }
}

/// `Proposal.State`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Pending,
    Disapproved,
    Approved,
    Canceled,
}

/// Other values for chain parameters, on which witnesses vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) proposer: Address,
    /// Number and value, in the order that was given.
    pub(crate) parameters: Vec<(i64, i64)>,
    pub(crate) expires: UnixMs,
    pub(crate) created: UnixMs,
    pub(crate) approvals: Vec<Address>,
    pub(crate) standing: Standing,
}

fn interval(state: &State) -> i64 {
    let interval = state.parameters.get(Parameter::MaintenanceTimeInterval);
    interval.max(1)
}

/// The first end of a cycle after `time`, counted from the one before it.
pub(crate) fn maintenance_after(state: &State, time: UnixMs) -> UnixMs {
    let next = state.properties.next_maintenance.0;
    let rounds = time.0.saturating_sub(next).div_euclid(interval(state));
    UnixMs(next.saturating_add(rounds.saturating_add(1).saturating_mul(interval(state))))
}

/// When a proposal of now comes to its end: at the first maintenance after three days.
pub(crate) fn expiry(state: &State) -> UnixMs {
    let open_ms = state.parameters.get(Parameter::ProposalExpireTime);
    let least = state.properties.head_time.0.saturating_add(open_ms);
    maintenance_after(state, UnixMs(least))
}

/// Notes a block, pays for it, and ends the cycle if it is due: proposals are decided,
/// rewards summed up, votes counted, brokerages taken over.
pub(crate) fn after_block(state: &mut State, number: u64, witness: Address) {
    let slot = state.properties.head_time.0 / super::state::SLOT_MS;
    if let Some(found) = state.witness(&witness) {
        let mut found = found.as_ref().clone();
        found.produced += 1;
        found.latest_block = i64::try_from(number).unwrap_or(i64::MAX);
        found.latest_slot = slot;
        state.put_witness(witness, found);
    }
    reward::pay_block(state, witness);
    let time = state.properties.head_time;
    // The interval may have been made shorter by hand.
    let latest = UnixMs(time.0.saturating_add(interval(state)));
    let due = state.properties.next_maintenance.min(latest);
    state.properties.next_maintenance = due;
    if time < due {
        return;
    }
    // The first block only starts the count.
    if number > 1 {
        decide(state, time);
        reward::end_cycle(state);
        count(state);
        state.properties.cycle += 1;
    }
    state.properties.next_maintenance = maintenance_after(state, time);
}

fn decide(state: &mut State, now: UnixMs) {
    let active = state.witnesses().filter(|(_, witness)| witness.is_active);
    let active: Vec<Address> = active.map(|(address, _)| *address).collect();
    let due: Vec<(i64, Proposal)> = state
        .proposals()
        .filter(|(_, proposal)| proposal.standing == Standing::Pending && proposal.expires <= now)
        .map(|(id, proposal)| (*id, proposal.as_ref().clone()))
        .collect();
    for (id, mut proposal) in due {
        let approvals = proposal.approvals.iter();
        let approvals = approvals.filter(|who| active.contains(who)).count();
        // `ProposalCapsule.hasMostApprovals`, in whole witnesses as there.
        proposal.standing = match approvals >= active.len() * 7 / 10 {
            true => Standing::Approved,
            false => Standing::Disapproved,
        };
        if proposal.standing == Standing::Approved {
            let mut parameters = state.parameters.as_ref().clone();
            for (number, value) in &proposal.parameters {
                if let Some(parameter) = proposed(*number) {
                    parameters.put(parameter, *value);
                }
            }
            state.parameters = Arc::new(parameters);
            history::install(state);
        }
        state.put_proposal(id, proposal);
    }
}

fn count(state: &mut State) {
    let mut sums = std::collections::BTreeMap::<Address, i64>::new();
    for voter in state.voters() {
        for (witness, count) in voter.votes.iter() {
            let sum = sums.entry(*witness).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
    let all: Vec<_> = state
        .witnesses()
        .map(|(address, witness)| (*address, witness.as_ref().clone()))
        .collect();
    for (address, mut witness) in all {
        let voted = sums.get(&address).copied().unwrap_or_default();
        witness.votes = witness.own_votes.saturating_add(voted);
        witness.brokerage = witness.next_brokerage;
        state.put_witness(address, witness);
    }
}
