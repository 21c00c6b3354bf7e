//! The chain's state: accounts, assets, delegations, references.
//!
//! Everything large is a persistent map, so a copy costs a few pointers. That is
//! how the pending state, the solid state, snapshots and forks are made: each is
//! simply another [`State`], and going back is exact by construction.

use std::{collections::BTreeMap, sync::Arc};

use rpds::{HashTrieMapSync, HashTrieSetSync, RedBlackTreeMapSync};
use serde::{Deserialize, Serialize};

use crate::{
    devnet::{
        committee::{Proposal, Witness},
        contracts::Contracts,
        execute::Exchange,
        fork::{Base, Layer},
        params::Parameters,
        reward::Earning,
    },
    tron::contract::{AssetIssueContract, Key, Permission},
    types::{Address, BlockId, TxId, UnixMs},
};

/// Slots are 3 s wide wherever the chain counts time in slots, whatever the
/// pace of this node's blocks (`BLOCK_PRODUCED_INTERVAL`).
pub(crate) const SLOT_MS: i64 = 3_000;

/// The two resources that can be staked for, and the vote that comes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resource {
    Bandwidth,
    Energy,
    TronPower,
}

impl Resource {
    pub(crate) const ALL: [Self; 3] = [Self::Bandwidth, Self::Energy, Self::TronPower];

    pub(crate) const fn from_number(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Bandwidth),
            1 => Some(Self::Energy),
            2 => Some(Self::TronPower),
            _ => None,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bandwidth => "BANDWIDTH",
            Self::Energy => "ENERGY",
            Self::TronPower => "TRON_POWER",
        }
    }
}

/// Use of a recovering limit, as of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    /// Bytes, or units of energy.
    pub(crate) used: i64,
    /// The slot at which `used` was true.
    pub(crate) slot: i64,
}

/// Use of staked bandwidth or energy, whose recovery window moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StakedUsage {
    pub(crate) usage: Usage,
    /// As stored: slots, or thousandths of slots when `optimized`; 0 is a day.
    pub(crate) window: i64,
    pub(crate) optimized: bool,
}

/// Stake that is on its way back (stake 2.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unfreezing {
    pub(crate) resource: Resource,
    pub(crate) amount: i64,
    pub(crate) expire: UnixMs,
}

/// Supply of a token its issuer may not move yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrozenSupply {
    pub(crate) amount: i64,
    pub(crate) expire: UnixMs,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) address: Address,
    pub(crate) name: Vec<u8>,
    pub(crate) account_id: Vec<u8>,
    /// Normal 0, AssetIssue 1, Contract 2.
    pub(crate) kind: i32,
    /// Sun, never negative.
    pub(crate) balance: i64,
    /// Raw units by token id; never 0 (a token sent to the last unit is gone).
    pub(crate) assets: BTreeMap<i64, i64>,
    pub(crate) asset_usage: BTreeMap<i64, Usage>,
    pub(crate) net: StakedUsage,
    pub(crate) free_net: Usage,
    pub(crate) energy: StakedUsage,
    pub(crate) create_time: UnixMs,
    pub(crate) latest_operation: UnixMs,
    /// When a reward was last taken.
    pub(crate) latest_withdraw: UnixMs,
    /// Reward of the witness, sun.
    pub(crate) allowance: i64,
    pub(crate) is_witness: bool,
    pub(crate) owner_permission: Option<Arc<Permission>>,
    pub(crate) witness_permission: Option<Arc<Permission>>,
    pub(crate) active_permissions: Vec<Arc<Permission>>,
    /// Staked for itself, in order of first use.
    pub(crate) frozen: Vec<(Resource, i64)>,
    pub(crate) unfreezing: Vec<Unfreezing>,
    /// Delegated to others: bandwidth, energy.
    pub(crate) delegated: (i64, i64),
    /// Delegated by others: bandwidth, energy.
    pub(crate) acquired: (i64, i64),
    /// Name and id of the token it issued.
    pub(crate) issued: Option<(Vec<u8>, i64)>,
    pub(crate) frozen_supply: Vec<FrozenSupply>,
    /// For whom it votes, and with how many whole TRX of its stake.
    pub(crate) votes: Vec<(Address, i64)>,
    pub(crate) earning: Earning,
}

/// Which contract types permissions may name. They grow when the committee votes a
/// feature in, but not when a configuration turns it on
/// (`DynamicPropertiesStore.addSystemContractAndSetPermission`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operations {
    /// Stake 2.0 and what came with it were voted in, as on mainnet, Nile and Shasta.
    Voted,
    /// All features are from the configuration, as on a fresh java-tron chain and as
    /// recorded.
    #[default]
    Configured,
}

impl Operations {
    /// What a default active permission allows.
    pub(crate) fn default_active(self) -> [u8; 32] {
        let known = match self {
            Self::Voted => [0x7f, 0xff, 0x1f, 0xc0, 0x03, 0x3e, 0xc3, 0x0f],
            Self::Configured => [0x7f, 0xff, 0x1f, 0xc0, 0x03, 0x3e, 0x01, 0x08],
        };
        let mut operations = [0; 32];
        let (head, _) = operations.split_at_mut(known.len());
        head.copy_from_slice(&known);
        operations
    }

    /// What a permission may name: the default ones and AccountPermissionUpdate's own
    /// bit, which an owner must add by hand.
    pub(crate) fn available(self) -> [u8; 32] {
        let mut operations = self.default_active();
        if let Some(byte) = operations.get_mut(5) {
            *byte |= 0x40;
        }
        operations
    }

    /// Left out of a state file, as in those that were written before.
    pub(crate) fn is_configured(&self) -> bool {
        *self == Self::Configured
    }
}

/// The permission with id 0 of an account that never changed it.
pub(crate) fn default_owner(address: &[u8]) -> Permission {
    Permission {
        permission_name: "owner".to_owned(),
        threshold: 1,
        keys: vec![Key {
            address: address.to_vec(),
            weight: 1,
        }],
        ..Permission::default()
    }
}

/// The permission with id 2 an account is created with.
pub(crate) fn default_active(address: &[u8], operations: Operations) -> Permission {
    Permission {
        r#type: 2,
        id: 2,
        permission_name: "active".to_owned(),
        threshold: 1,
        operations: operations.default_active().to_vec(),
        keys: vec![Key {
            address: address.to_vec(),
            weight: 1,
        }],
        ..Permission::default()
    }
}

impl Account {
    /// An account of the genesis block: no permissions of its own.
    pub(crate) fn genesis(address: Address, name: &[u8], balance: i64) -> Self {
        Self {
            address,
            name: name.to_vec(),
            account_id: Vec::new(),
            kind: 0,
            balance,
            assets: BTreeMap::new(),
            asset_usage: BTreeMap::new(),
            net: StakedUsage::default(),
            free_net: Usage::default(),
            energy: StakedUsage::default(),
            create_time: UnixMs(0),
            latest_operation: UnixMs(0),
            latest_withdraw: UnixMs(0),
            allowance: 0,
            is_witness: false,
            owner_permission: None,
            witness_permission: None,
            active_permissions: Vec::new(),
            frozen: Vec::new(),
            unfreezing: Vec::new(),
            delegated: (0, 0),
            acquired: (0, 0),
            issued: None,
            frozen_supply: Vec::new(),
            votes: Vec::new(),
            earning: Earning::default(),
        }
    }

    /// An account a transaction creates: owner and active permission.
    pub(crate) fn created(address: Address, properties: &Properties) -> Self {
        let bytes = address.to_bytes();
        let active = default_active(&bytes, properties.operations);
        Self {
            create_time: properties.head_time,
            owner_permission: Some(Arc::new(default_owner(&bytes))),
            active_permissions: vec![Arc::new(active)],
            ..Self::genesis(address, b"", 0)
        }
    }

    /// The permission with this id (`AccountCapsule.getPermissionById`).
    pub(crate) fn permission(&self, id: i32) -> Option<Permission> {
        match id {
            0 => Some(match &self.owner_permission {
                Some(permission) => permission.as_ref().clone(),
                None => default_owner(&self.address.to_bytes()),
            }),
            1 => self
                .witness_permission
                .as_ref()
                .map(|permission| permission.as_ref().clone()),
            _ => self
                .active_permissions
                .iter()
                .find(|permission| permission.id == id)
                .map(|permission| permission.as_ref().clone()),
        }
    }

    /// Staked for itself, sun.
    pub(crate) fn staked(&self, resource: Resource) -> i64 {
        self.frozen
            .iter()
            .filter(|(kind, _)| *kind == resource)
            .map(|(_, amount)| *amount)
            .sum()
    }

    /// Staked for itself or delegated to it, sun.
    pub(crate) fn stake_in_use(&self, resource: Resource) -> i64 {
        self.staked(resource)
            + match resource {
                Resource::Bandwidth => self.acquired.0,
                Resource::Energy => self.acquired.1,
                Resource::TronPower => 0,
            }
    }

    /// Adds to (or takes from) the stake, keeping no empty entry but the first.
    pub(crate) fn change_stake(&mut self, resource: Resource, by: i64) {
        match self.frozen.iter_mut().find(|(kind, _)| *kind == resource) {
            Some((_, amount)) => *amount += by,
            None => self.frozen.push((resource, by)),
        }
    }

    /// The tokens held, raw units; 0 when none.
    pub(crate) fn asset(&self, id: i64) -> i64 {
        self.assets.get(&id).copied().unwrap_or_default()
    }

    /// Sets what is held of a token.
    pub(crate) fn set_asset(&mut self, id: i64, amount: i64) {
        if amount == 0 {
            self.assets.remove(&id);
        } else {
            self.assets.insert(id, amount);
        }
    }
}

/// A delegation of stake between two accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Delegation {
    pub(crate) bandwidth: i64,
    pub(crate) energy: i64,
    pub(crate) bandwidth_expire: i64,
    pub(crate) energy_expire: i64,
    /// When it last grew.
    pub(crate) time: i64,
}

/// From, to, and whether the delegator has locked it.
pub(crate) type DelegationKey = (Address, Address, bool);

/// Where a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) block: u64,
    pub(crate) index: usize,
}

/// What is one value for the whole chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Properties {
    pub(crate) head: BlockId,
    pub(crate) head_time: UnixMs,
    pub(crate) genesis_time: UnixMs,
    /// Use of the free bandwidth all accounts share.
    pub(crate) public_net: Usage,
    /// Sun burnt since genesis.
    pub(crate) burnt: i64,
    /// Sun that came into being since genesis (cheats and rewards).
    pub(crate) minted: i64,
    /// TRX staked for bandwidth, energy and votes.
    pub(crate) net_weight: i64,
    pub(crate) energy_weight: i64,
    pub(crate) power_weight: i64,
    /// The id the next issued token gets.
    pub(crate) next_token: i64,
    /// Which contract types permissions may name.
    pub(crate) operations: Operations,
    /// When the present maintenance cycle ends.
    pub(crate) next_maintenance: UnixMs,
    /// The number the next proposal gets.
    pub(crate) next_proposal: i64,
    /// Maintenance cycles that have ended.
    pub(crate) cycle: i64,
    /// The first block.
    pub(crate) genesis: BlockId,
    /// How long unstaked TRX wait, ms, if that is not what the parameter says.
    pub(crate) unfreeze_delay_ms: Option<i64>,
    /// How many opcodes a transaction may run, if energy is not all that ends one.
    pub(crate) transaction_opcodes: Option<u64>,
}

/// The network-wide free bandwidth of a day (`PUBLIC_NET_LIMIT`).
pub(crate) const PUBLIC_NET_LIMIT: i64 = 14_400_000_000;

/// The whole state. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) parameters: Arc<Parameters>,
    pub(crate) properties: Properties,
    accounts: HashTrieMapSync<Address, Arc<Account>>,
    assets: RedBlackTreeMapSync<i64, Arc<AssetIssueContract>>,
    account_ids: HashTrieMapSync<Vec<u8>, Address>,
    names: HashTrieSetSync<Vec<u8>>,
    delegations: RedBlackTreeMapSync<DelegationKey, Delegation>,
    transactions: HashTrieMapSync<TxId, Place>,
    recent: HashTrieMapSync<[u8; 2], [u8; 8]>,
    unlocked: HashTrieSetSync<Address>,
    witnesses: RedBlackTreeMapSync<Address, Arc<Witness>>,
    proposals: RedBlackTreeMapSync<i64, Arc<Proposal>>,
    /// None is ever removed, and the first is 1.
    exchanges: RedBlackTreeMapSync<i64, Arc<Exchange>>,
    /// Accounts that have ever voted.
    voters: HashTrieSetSync<Address>,
    pub(crate) contracts: Contracts,
    /// The ids of the newest blocks, which contracts may ask for.
    block_ids: HashTrieMapSync<u64, BlockId>,
    /// Where the rest is looked up, in a fork.
    pub(super) fork: Option<Arc<Layer>>,
}

/// Blocks below its own that a contract may ask for the id of.
const KNOWN_BLOCKS: u64 = 257;

impl State {
    /// Nothing but parameters.
    pub(crate) fn new(parameters: Parameters, properties: Properties) -> Self {
        Self {
            parameters: Arc::new(parameters),
            properties,
            accounts: HashTrieMapSync::new_sync(),
            assets: RedBlackTreeMapSync::new_sync(),
            account_ids: HashTrieMapSync::new_sync(),
            names: HashTrieSetSync::new_sync(),
            delegations: RedBlackTreeMapSync::new_sync(),
            transactions: HashTrieMapSync::new_sync(),
            recent: HashTrieMapSync::new_sync(),
            unlocked: HashTrieSetSync::new_sync(),
            witnesses: RedBlackTreeMapSync::new_sync(),
            proposals: RedBlackTreeMapSync::new_sync(),
            exchanges: RedBlackTreeMapSync::new_sync(),
            voters: HashTrieSetSync::new_sync(),
            contracts: Contracts::default(),
            block_ids: HashTrieMapSync::new_sync(),
            fork: None,
        }
    }

    /// Looks up in a forked chain what is not here, from now on. The contracts that are here
    /// are the devnet's own.
    pub(crate) fn begin_fork(&mut self) {
        self.fork = Some(Arc::new(Layer::new(self.contracts.addresses())));
    }

    /// Takes over what has been read of the forked chain since.
    pub(crate) fn set_base(&mut self, base: &Arc<Base>) {
        if let Some(layer) = &mut self.fork {
            Arc::make_mut(layer).set_base(base);
        }
    }

    /// The slot of the head block: the chain's clock for all recoveries.
    pub(crate) fn head_slot(&self) -> i64 {
        (self.properties.head_time.0 - self.properties.genesis_time.0) / SLOT_MS
    }

    pub(crate) fn account(&self, address: &Address) -> Option<&Arc<Account>> {
        match self.accounts.get(address) {
            None => self.fork.as_deref()?.account(address),
            found => found,
        }
    }

    /// The account with the address a contract names; none when those bytes are
    /// no address.
    pub(crate) fn account_at(&self, address: &[u8]) -> Option<&Arc<Account>> {
        self.account(&Address::from_bytes(address).ok()?)
    }

    pub(crate) fn put_account(&mut self, account: Account) {
        self.accounts.insert_mut(account.address, Arc::new(account));
    }

    pub(crate) fn remove_account(&mut self, address: &Address) {
        self.accounts.remove_mut(address);
        if let Some(layer) = &mut self.fork {
            Arc::make_mut(layer).own_account(*address);
        }
    }

    /// The id of one of the newest blocks.
    pub(crate) fn block_id(&self, number: u64) -> Option<&BlockId> {
        self.block_ids.get(&number)
    }

    /// Notes a block, and forgets the one that no contract may ask for any more.
    pub(crate) fn put_block_id(&mut self, id: BlockId) {
        let number = id.number();
        self.block_ids.insert_mut(number, id);
        if let Some(old) = number.checked_sub(KNOWN_BLOCKS) {
            self.block_ids.remove_mut(&old);
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    pub(crate) fn asset(&self, id: i64) -> Option<&Arc<AssetIssueContract>> {
        match self.assets.get(&id) {
            None => self.fork.as_deref()?.token(id),
            found => found,
        }
    }

    /// The asset whose id's digits a contract names.
    pub(crate) fn asset_named(&self, digits: &[u8]) -> Option<(i64, &Arc<AssetIssueContract>)> {
        let id = asset_id(digits)?;
        self.asset(id).map(|asset| (id, asset))
    }

    pub(crate) fn put_asset(&mut self, id: i64, asset: AssetIssueContract) {
        self.assets.insert_mut(id, Arc::new(asset));
    }

    /// All assets, by id; of a forked chain none.
    pub(crate) fn assets(&self) -> impl Iterator<Item = (&i64, &Arc<AssetIssueContract>)> {
        self.assets.iter()
    }

    pub(crate) fn account_by_id(&self, id: &[u8]) -> Option<&Arc<Account>> {
        self.account_ids
            .get(id)
            .and_then(|address| self.accounts.get(address))
    }

    pub(crate) fn put_account_id(&mut self, id: Vec<u8>, address: Address) {
        self.account_ids.insert_mut(id, address);
    }

    /// Whether an account has this name.
    pub(crate) fn is_name_taken(&self, name: &[u8]) -> bool {
        self.names.contains(name)
    }

    pub(crate) fn put_name(&mut self, name: Vec<u8>) {
        self.names.insert_mut(name);
    }

    /// The id of the next token: counted up, past those of genesis.
    pub(crate) fn take_token_id(&mut self) -> i64 {
        while self.asset(self.properties.next_token).is_some() {
            self.properties.next_token += 1;
        }
        let id = self.properties.next_token;
        self.properties.next_token += 1;
        id
    }

    pub(crate) fn delegation(&self, key: &DelegationKey) -> Option<&Delegation> {
        self.delegations.get(key)
    }

    pub(crate) fn put_delegation(&mut self, key: DelegationKey, delegation: Delegation) {
        if delegation.bandwidth == 0 && delegation.energy == 0 {
            self.delegations.remove_mut(&key);
        } else {
            self.delegations.insert_mut(key, delegation);
        }
    }

    pub(crate) fn delegations(&self) -> impl Iterator<Item = (&DelegationKey, &Delegation)> {
        self.delegations.iter()
    }

    pub(crate) fn place(&self, txid: &TxId) -> Option<Place> {
        self.transactions.get(txid).copied()
    }

    pub(crate) fn put_place(&mut self, txid: TxId, place: Place) {
        self.transactions.insert_mut(txid, place);
    }

    pub(crate) fn remove_place(&mut self, txid: &TxId) {
        self.transactions.remove_mut(txid);
    }

    pub(crate) fn witness(&self, address: &Address) -> Option<&Arc<Witness>> {
        self.witnesses.get(address)
    }

    pub(crate) fn put_witness(&mut self, address: Address, witness: Witness) {
        self.witnesses.insert_mut(address, Arc::new(witness));
    }

    pub(crate) fn witnesses(&self) -> impl Iterator<Item = (&Address, &Arc<Witness>)> {
        self.witnesses.iter()
    }

    pub(crate) fn proposal(&self, id: i64) -> Option<&Arc<Proposal>> {
        self.proposals.get(&id)
    }

    pub(crate) fn put_proposal(&mut self, id: i64, proposal: Proposal) {
        self.proposals.insert_mut(id, Arc::new(proposal));
    }

    /// All proposals, by number.
    pub(crate) fn proposals(&self) -> impl Iterator<Item = (&i64, &Arc<Proposal>)> {
        self.proposals.iter()
    }

    pub(crate) fn exchange(&self, id: i64) -> Option<&Arc<Exchange>> {
        self.exchanges.get(&id)
    }

    pub(crate) fn put_exchange(&mut self, id: i64, exchange: Exchange) {
        self.exchanges.insert_mut(id, Arc::new(exchange));
    }

    /// Gives an exchange the next number.
    pub(crate) fn put_new_exchange(&mut self, exchange: Exchange) -> i64 {
        let id = i64::try_from(self.exchanges.size() + 1).unwrap_or(i64::MAX);
        self.put_exchange(id, exchange);
        id
    }

    /// All exchanges, by number.
    pub(crate) fn exchanges(&self) -> impl Iterator<Item = (&i64, &Arc<Exchange>)> {
        self.exchanges.iter()
    }

    /// Notes that an account votes.
    pub(crate) fn put_voter(&mut self, address: Address) {
        self.voters.insert_mut(address);
    }

    /// The accounts that have ever voted.
    pub(crate) fn voters(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.voters
            .iter()
            .filter_map(|address| self.accounts.get(address))
    }

    /// Whether an account's transactions need no signature of its own.
    pub(crate) fn is_unlocked(&self, address: &[u8]) -> bool {
        Address::from_bytes(address).is_ok_and(|address| self.unlocked.contains(&address))
    }

    pub(crate) fn unlock(&mut self, address: Address) {
        self.unlocked.insert_mut(address);
    }

    pub(crate) fn lock(&mut self, address: &Address) {
        self.unlocked.remove_mut(address);
    }

    /// The reference a transaction must carry for these low two bytes of a
    /// block's number: 65,536 blocks are kept, each replacing the one before it
    /// with the same bytes.
    pub(crate) fn reference(&self, bytes: &[u8]) -> Option<&[u8; 8]> {
        self.recent.get(&<[u8; 2]>::try_from(bytes).ok()?)
    }

    pub(crate) fn put_reference(&mut self, bytes: [u8; 2], hash: [u8; 8]) {
        self.recent.insert_mut(bytes, hash);
    }
}

/// The number of a canonical token id: `"1000001"`, not `"01000001"`.
pub(crate) fn asset_id(digits: &[u8]) -> Option<i64> {
    match digits {
        [b'1'..=b'9', ..] if digits.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(digits).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// The reference of a block: the low two bytes of its number, bytes 8..16 of
/// its id (`TransactionCapsule.setReference`).
pub(crate) fn reference_of(id: &BlockId) -> ([u8; 2], [u8; 8]) {
    let mut bytes = [0; 2];
    let mut hash = [0; 8];
    let all = id.as_bytes();
    bytes.copy_from_slice(all.get(6..8).unwrap_or(&[0; 2]));
    hash.copy_from_slice(all.get(8..16).unwrap_or(&[0; 8]));
    (bytes, hash)
}
