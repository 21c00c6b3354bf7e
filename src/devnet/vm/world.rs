//! The state while a program runs: the chain's, with what it changes in storage on top,
//! written down at its end (`RepositoryImpl.java`, `Storage.java`).

use std::collections::{BTreeMap, HashMap};

use super::word::{Word, bytes};
use crate::{
    devnet::{
        reward,
        state::{Account, Resource, State},
    },
    types::{Address, UnixMs},
};

type Slot = (Address, Word);

/// A change that can be taken back.
#[derive(Debug)]
enum Undo {
    Slot(Slot, Option<Cached>),
    Transient(Slot, Option<Word>),
}

/// A slot as this transaction sees it. That of a slot which holds nothing is not kept,
/// unless something, even 0, was written to it.
#[derive(Debug, Clone, Copy)]
struct Cached {
    value: Word,
    /// When it was first looked at, which orders what is written down.
    order: usize,
    is_dirty: bool,
}

/// Where to return to when a frame fails.
#[derive(Debug, Clone)]
pub(super) struct Checkpoint {
    state: State,
    undo: usize,
}

/// The kind of an account that is a contract.
pub(super) const CONTRACT: i32 = 2;

/// The account of a contract that is put at an address: what somebody sent there stays.
pub(crate) fn contract_account(state: &State, address: Address, name: &[u8]) -> Account {
    match state.account(&address) {
        Some(account) => Account {
            kind: CONTRACT,
            acquired: (0, 0),
            ..account.as_ref().clone()
        },
        None => Account {
            kind: CONTRACT,
            ..Account::genesis(address, name, 0)
        },
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) state: State,
    slots: HashMap<Slot, Cached>,
    transient: HashMap<Slot, Word>,
    undo: Vec<Undo>,
    order: usize,
}

impl World {
    pub(super) fn new(state: State) -> Self {
        Self {
            state,
            slots: HashMap::new(),
            transient: HashMap::new(),
            undo: Vec::new(),
            order: 0,
        }
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            state: self.state.clone(),
            undo: self.undo.len(),
        }
    }

    pub(super) fn restore(&mut self, before: Checkpoint) {
        self.state = before.state;
        while self.undo.len() > before.undo {
            match self.undo.pop() {
                Some(Undo::Slot(slot, Some(old))) => {
                    self.slots.insert(slot, old);
                }
                Some(Undo::Slot(slot, None)) => {
                    self.slots.remove(&slot);
                }
                Some(Undo::Transient(slot, Some(old))) => {
                    self.transient.insert(slot, old);
                }
                Some(Undo::Transient(slot, None)) => {
                    self.transient.remove(&slot);
                }
                None => break,
            }
        }
    }

    /// What a slot holds; nothing when it was never written or was cleared before this
    /// transaction.
    pub(super) fn slot(&self, address: &Address, key: &Word) -> Option<Word> {
        match self.slots.get(&(*address, *key)) {
            Some(cached) => Some(cached.value),
            None => self.state.storage(address, &row(key)),
        }
    }

    pub(super) fn put_slot(&mut self, address: Address, key: Word, value: Word) {
        let slot = (address, key);
        let old = self.slots.get(&slot).copied();
        let order = old.map_or(self.order, |cached| cached.order);
        self.order += 1;
        let new = Cached {
            value,
            order,
            is_dirty: true,
        };
        self.slots.insert(slot, new);
        self.undo.push(Undo::Slot(slot, old));
    }

    pub(super) fn transient(&self, address: &Address, key: &Word) -> Word {
        self.transient
            .get(&(*address, *key))
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn put_transient(&mut self, address: Address, key: Word, value: Word) {
        let slot = (address, key);
        let old = self.transient.insert(slot, value);
        self.undo.push(Undo::Transient(slot, old));
    }

    /// Writes the slots down. Slots that share a row are written in the order in which
    /// Java's hash map walks them, so that the same one is last.
    pub(super) fn finish(self) -> State {
        let mut state = self.state;
        let mut rows: BTreeMap<Address, Vec<(Word, Cached)>> = BTreeMap::new();
        for ((address, key), cached) in self.slots {
            rows.entry(address).or_default().push((key, cached));
        }
        for (address, mut slots) in rows {
            let buckets = (slots.len() * 4).div_ceil(3).next_power_of_two().max(16);
            slots.sort_by_cached_key(|(key, cached)| (bucket(key, buckets), cached.order));
            for (key, cached) in slots.into_iter().filter(|(_, cached)| cached.is_dirty) {
                state.put_storage(address, row(&key), cached.value);
            }
        }
        state
    }

    pub(super) fn balance(&self, address: &Address) -> i64 {
        self.state
            .account(address)
            .map_or(0, |account| account.balance)
    }

    pub(super) fn token_balance(&self, address: &Address, id: i64) -> i64 {
        self.state
            .account(address)
            .map_or(0, |account| account.asset(id))
    }

    /// Makes a normal account if there is none.
    pub(super) fn create_account(&mut self, address: Address) {
        if self.state.account(&address).is_none() {
            let account = Account::created(address, &self.state.properties);
            self.state.put_account(account);
        }
    }

    /// Moves TRX after the checks of `VMUtils.validateForSmartContract`.
    pub(super) fn transfer(
        &mut self,
        from: Address,
        to: Address,
        amount: i64,
    ) -> Result<(), &'static str> {
        if from == to {
            return Err("Cannot transfer TRX to yourself.");
        }
        let Some(sender) = self.state.account(&from) else {
            return Err("Validate InternalTransfer error, no OwnerAccount.");
        };
        let Some(receiver) = self.state.account(&to) else {
            return Err(
                "Validate InternalTransfer error, no ToAccount. And not allowed to create an account in a smartContract.",
            );
        };
        if amount < 0 {
            return Err("Amount must be greater than or equals 0.");
        }
        if sender.balance < amount {
            return Err("Validate InternalTransfer error, balance is not sufficient.");
        }
        let sum = receiver
            .balance
            .checked_add(amount)
            .ok_or("long overflow")?;
        let mut sender = sender.as_ref().clone();
        let mut receiver = receiver.as_ref().clone();
        sender.balance -= amount;
        receiver.balance = sum;
        self.state.put_account(sender);
        self.state.put_account(receiver);
        Ok(())
    }

    /// Moves a token after the same checks.
    pub(super) fn transfer_token(
        &mut self,
        from: Address,
        to: Address,
        id: i64,
        amount: i64,
    ) -> Result<(), &'static str> {
        if amount <= 0 {
            return Err("Amount must greater than 0.");
        }
        if from == to {
            return Err("Cannot transfer asset to yourself.");
        }
        let Some(sender) = self.state.account(&from) else {
            return Err("No owner account!");
        };
        if self.state.asset(id).is_none() {
            return Err("No asset !");
        }
        let held = sender.asset(id);
        if held <= 0 {
            return Err("assetBalance must greater than 0.");
        }
        if amount > held {
            return Err("assetBalance is not sufficient.");
        }
        let Some(receiver) = self.state.account(&to) else {
            return Err(
                "Validate InternalTransfer error, no ToAccount. And not allowed to create account in smart contract.",
            );
        };
        let sum = receiver
            .asset(id)
            .checked_add(amount)
            .ok_or("long overflow")?;
        let mut sender = sender.as_ref().clone();
        let mut receiver = receiver.as_ref().clone();
        sender.set_asset(id, held - amount);
        receiver.set_asset(id, sum);
        self.state.put_account(sender);
        self.state.put_account(receiver);
        Ok(())
    }

    /// Whether a contract may destroy itself: nothing delegated, nothing on its way back.
    pub(super) fn may_be_destroyed(&self, address: &Address) -> bool {
        let now = self.state.properties.head_time;
        self.state.account(address).is_none_or(|account| {
            account.delegated == (0, 0)
                && account.unfreezing.iter().all(|entry| entry.expire <= now)
        })
    }

    /// Moves all that an account has to its heir, or out of the world if that is itself.
    /// What was on its way back and is due.
    pub(super) fn inherit(&mut self, from: Address, heir: Address, now: UnixMs) -> i64 {
        let slot = self.state.head_slot();
        reward::settle(&mut self.state, &from);
        let Some(owner) = self.state.account(&from) else {
            return 0;
        };
        let mut owner = owner.as_ref().clone();
        owner.votes.clear();
        if reward::withdraw(&mut self.state, &mut owner).is_none() {
            owner.balance = i64::MAX;
        }
        let due = owner.unfreezing.iter().map(|entry| entry.amount).sum();
        if from == heir {
            let stake: i64 = owner.frozen.iter().map(|(_, amount)| *amount).sum();
            self.state.properties.burnt += owner.balance + stake + due;
        } else {
            self.create_account(heir);
            let Some(account) = self.state.account(&heir) else {
                return 0;
            };
            let mut account = account.as_ref().clone();
            account.balance = account
                .balance
                .saturating_add(owner.balance)
                .saturating_add(due);
            for (id, amount) in &owner.assets {
                let sum = account.asset(*id).saturating_add(*amount);
                account.set_asset(*id, sum);
            }
            for (resource, amount) in owner.frozen.iter().filter(|(_, amount)| *amount > 0) {
                account.change_stake(*resource, *amount);
            }
            take_over(&mut account, &owner, slot);
            self.state.put_account(account);
        }
        owner.balance = 0;
        owner.assets.clear();
        owner.frozen.clear();
        owner.unfreezing.clear();
        // Seen where the account stays, which one that is older than the transaction does.
        owner.latest_withdraw = now;
        owner.net = Default::default();
        owner.net.usage.slot = slot;
        owner.energy = Default::default();
        owner.energy.usage.slot = slot;
        self.state.put_account(owner);
        due
    }
}

/// The heir of stake takes over its use, too.
fn take_over(heir: &mut Account, owner: &Account, slot: i64) {
    for resource in [Resource::Bandwidth, Resource::Energy] {
        let (to, mut from) = match resource {
            Resource::Bandwidth => (&mut heir.net, owner.net),
            _ => (&mut heir.energy, owner.energy),
        };
        from.add(0, slot);
        if from.usage.used > 0 {
            to.take_over(from.usage.used, from.window_fine(), slot);
        }
    }
}

/// Only the low 16 bytes of a slot's number name its row.
pub(super) fn row(key: &Word) -> [u8; 16] {
    let mut row = [0; 16];
    for (place, byte) in row.iter_mut().zip(bytes(key).iter().skip(16)) {
        *place = *byte;
    }
    row
}

/// The bucket of Java's `HashMap` that a `DataWord` falls into.
fn bucket(key: &Word, buckets: usize) -> usize {
    let hash = bytes(key).iter().fold(1i32, |hash, byte| {
        hash.wrapping_mul(31)
            .wrapping_add(i32::from(byte.cast_signed()))
    });
    let hash = hash.cast_unsigned();
    let spread = hash ^ (hash >> 16);
    usize::try_from(spread).unwrap_or(0) & (buckets - 1)
}
