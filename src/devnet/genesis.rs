//! The first block and the state it leaves: who has what, from nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    devnet::{
        committee::{self, Witness},
        execute::created_address,
        fork::Forked,
        history,
        params::Parameters,
        state::{Account, Operations, Properties, State, Usage, reference_of},
        trc20::Trc20,
    },
    tron::{
        block::{Block, BlockHeader, merkle_root},
        contract::{
            AssetIssueContract, Contract, CreateSmartContract, Key, Permission,
            TransferAssetContract, TransferContract,
        },
        keys::SecretKey,
        proto::Writer,
        transaction::Transaction,
    },
    types::{Address, BlockId, TokenId, UnixMs},
};

/// The parent that mainnet's genesis names (`genesis.block.parentHash`).
const PARENT: &str = "e58f33f9baf9305dc6f82b9f1934ea8f0ade2defb951258d50167028c780351f";
/// What genesis has in place of a witness.
const MOTTO: &[u8] = b"A new system must allow existing systems to be linked together without requiring any central control or coordination";
/// Who genesis transfers come from: these very characters.
const NOBODY: &[u8] = b"0x000000000000000000000";

/// BTT's whole supply in raw units: 990,000,000,000 tokens.
pub(crate) const BTT_SUPPLY: i64 = 990_000_000_000_000_000;

/// An account of the genesis block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GenesisAccount {
    pub(crate) address: Address,
    #[serde(default)]
    pub(crate) name: String,
    /// Sun.
    #[serde(rename = "balance_sun", default)]
    pub(crate) balance: i64,
    /// Raw units of BTT.
    #[serde(rename = "btt_raw", default)]
    pub(crate) btt: i64,
}

/// What a chain starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Genesis {
    #[serde(rename = "time_ms")]
    pub(crate) time: UnixMs,
    pub(crate) parameters: Parameters,
    pub(crate) accounts: Vec<GenesisAccount>,
    /// Issues BTT and keeps what the others do not get; none for a chain
    /// without BTT, as java-tron makes it.
    pub(crate) issuer: Option<Address>,
    pub(crate) witness: Address,
    /// Further witnesses: they take turns with the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) more_witnesses: Vec<Address>,
    /// Whose key each witness has in its witness permission, the first's first; none
    /// where they sign with their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) witness_signers: Vec<Address>,
    #[serde(default, skip_serializing_if = "Operations::is_configured")]
    pub(crate) operations: Operations,
    /// TRC-20 tokens, which every account of this block holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) trc20: Vec<Trc20>,
    /// Stake of nobody here, in TRX: what the others of a large chain have.
    #[serde(default, skip_serializing_if = "NetworkStake::is_none")]
    pub(crate) network_stake: NetworkStake,
    /// The parent that the first block names, if it is not mainnet's.
    #[serde(
        rename = "parent_hash",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) parent: Option<BlockId>,
    /// How long unstaked TRX wait, if that is not what the parameter says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unfreeze_delay_ms: Option<i64>,
    /// How many opcodes a transaction may run, if energy is not all that ends one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transaction_opcodes: Option<u64>,
    /// The chain under this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fork: Option<Forked>,
}

/// The id of the first token that is issued over a forked chain: that chain's own count on
/// below it.
const FIRST_OVER_FORK: i64 = 2_000_001;

/// TRX that the rest of the network has staked, so that stake here gets as little as
/// it does on a large chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NetworkStake {
    #[serde(rename = "bandwidth_trx")]
    pub(crate) bandwidth: i64,
    #[serde(rename = "energy_trx")]
    pub(crate) energy: i64,
}

impl NetworkStake {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What a user may say of genesis beside the accounts of the phrase.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GenesisOptions {
    #[serde(rename = "time_ms")]
    pub(crate) time: Option<UnixMs>,
    pub(crate) parameters: BTreeMap<String, i64>,
    pub(crate) accounts: Vec<GenesisAccount>,
    pub(crate) network_stake: NetworkStake,
    #[serde(rename = "parent_hash")]
    pub(crate) parent: Option<BlockId>,
    pub(crate) unfreeze_delay_ms: Option<i64>,
}

impl GenesisOptions {
    /// Reads a JSON document; what is wrong with it, in words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let options: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut seen = BTreeSet::new();
        for account in &options.accounts {
            let address = account.address;
            if !seen.insert(address) {
                return Err(format!("{address} is there twice"));
            }
            if account.balance < 0 || account.btt < 0 {
                return Err(format!("{address} would have less than nothing"));
            }
        }
        let stake = options.network_stake;
        if stake.bandwidth < 0 || stake.energy < 0 {
            return Err("`network_stake` is from 0 on".to_owned());
        }
        if options.unfreeze_delay_ms.is_some_and(|wait| wait < 0) {
            return Err("`unfreeze_delay_ms` is from 0 on".to_owned());
        }
        Ok(options)
    }
}

/// A key everybody knows, from a name: the witness's and the issuer's.
pub(crate) fn well_known_key(name: &str) -> SecretKey {
    let digest: [u8; 32] = Sha256::digest(format!("seedrail devnet {name}")).into();
    SecretKey::from_bytes(&digest).expect("SHA-256 of these names is in the curve's range")
}

/// Who deploys TRC-20 tokens, and may mint more of them.
pub(crate) fn trc20_owner() -> Address {
    well_known_key("owner of TRC-20 tokens").address()
}

/// BTT as on mainnet: the id, the name since the redenomination, six decimals.
fn btt(issuer: Address, genesis: UnixMs) -> AssetIssueContract {
    AssetIssueContract {
        owner_address: issuer.to_bytes().to_vec(),
        name: b"BTTOLD".to_vec(),
        abbr: b"BTTOLD".to_vec(),
        total_supply: BTT_SUPPLY,
        trx_num: 1,
        precision: 6,
        num: 1,
        start_time: genesis.0.max(1),
        end_time: genesis.0.max(1) + 1_000,
        description: b"Official Token of BitTorrent Protocol".to_vec(),
        url: b"www.bittorrent.com".to_vec(),
        id: TokenId::BTT.to_string(),
        ..AssetIssueContract::default()
    }
}

/// A genesis transaction: a contract and nothing else, unsigned.
pub(crate) fn transaction(contract: &Contract) -> Transaction {
    let kind = contract.contract_type();
    let mut any = Writer::new();
    any.bytes(1, kind.type_url().as_bytes())
        .bytes(2, &contract.encode());
    let mut inner = Writer::new();
    inner
        .int64(1, kind.number().into())
        .element(2, any.as_bytes());
    let mut raw = Writer::new();
    raw.element(11, inner.as_bytes());
    Transaction::from_parts(raw.into_bytes(), Vec::new(), Vec::new())
}

impl Genesis {
    /// The block, and the state after it.
    pub(crate) fn build(&self) -> (Block, State) {
        let mut state = State::new(
            self.parameters.clone(),
            Properties {
                head: BlockId::from_bytes([0; 32]),
                head_time: self.time,
                genesis_time: self.time,
                public_net: Usage::default(),
                burnt: 0,
                minted: 0,
                net_weight: self.network_stake.bandwidth,
                energy_weight: self.network_stake.energy,
                power_weight: 0,
                next_token: match self.fork {
                    Some(_) => FIRST_OVER_FORK,
                    None => TokenId::FIRST,
                },
                operations: self.operations,
                next_maintenance: self.time,
                next_proposal: 1,
                // What was read in a cycle is of that cycle, and 0 stands for none.
                cycle: i64::from(self.fork.is_some()),
                genesis: BlockId::from_bytes([0; 32]),
                unfreeze_delay_ms: self.unfreeze_delay_ms,
                transaction_opcodes: self.transaction_opcodes,
            },
        );
        let mut transactions = Vec::new();
        for entry in &self.accounts {
            let mut account = Account::genesis(entry.address, entry.name.as_bytes(), entry.balance);
            account.set_asset(TokenId::BTT.get(), entry.btt);
            state.properties.minted += entry.balance;
            state.put_account(account);
            state.put_name(entry.name.clone().into_bytes());
            transactions.push(transaction(&Contract::from(TransferContract {
                owner_address: NOBODY.to_vec(),
                to_address: entry.address.to_bytes().to_vec(),
                amount: entry.balance,
            })));
        }
        if let Some(issuer) = self.issuer {
            self.issue_btt(&mut state, issuer, &mut transactions);
        }
        for (token, contract, made) in self.tokens() {
            // The code is ours, the symbols were looked at, and each was named once.
            let deployed = token.deploy(&mut state, trc20_owner(), &contract, made.txid());
            debug_assert!(deployed.is_ok(), "{deployed:?}");
            transactions.push(made);
        }

        let mut signers = self.witness_signers.iter();
        for address in std::iter::once(&self.witness).chain(&self.more_witnesses) {
            let mut witness = match state.account(address) {
                Some(account) => account.as_ref().clone(),
                None => Account::genesis(*address, b"", 0),
            };
            witness.is_witness = true;
            witness.witness_permission = signers.next().map(|signer| {
                Arc::new(Permission {
                    r#type: 1,
                    id: 1,
                    permission_name: "witness".to_owned(),
                    threshold: 1,
                    keys: vec![Key {
                        address: signer.to_bytes().to_vec(),
                        weight: 1,
                    }],
                    ..Permission::default()
                })
            });
            state.put_account(witness);
            state.put_witness(*address, Witness::genesis());
        }
        state.properties.next_maintenance = committee::maintenance_after(&state, self.time);
        history::install(&mut state);
        if self.fork.is_some() {
            state.begin_fork();
        }

        let block = Block {
            header: BlockHeader {
                number: 0,
                timestamp: self.time,
                tx_trie_root: merkle_root(&transactions),
                parent_hash: self
                    .parent
                    .unwrap_or_else(|| PARENT.parse().expect("64 digits of hex")),
                witness_address: MOTTO.to_vec(),
                version: 0,
                account_state_root: Vec::new(),
            },
            witness_signature: Vec::new(),
            transactions,
        };
        let id = block.id();
        let (bytes, hash) = reference_of(&id);
        state.put_reference(bytes, hash);
        state.put_block_id(id);
        state.properties.head = id;
        state.properties.genesis = id;
        (block, state)
    }

    /// The tokens, how they are made, and by which transactions.
    fn tokens(&self) -> Vec<(&Trc20, CreateSmartContract, Transaction)> {
        let holders: Vec<Address> = self
            .accounts
            .iter()
            .map(|account| account.address)
            .collect();
        self.trc20
            .iter()
            .map(|token| {
                let contract = token.contract(trc20_owner(), &holders);
                let made = transaction(&Contract::from(contract.clone()));
                (token, contract, made)
            })
            .collect()
    }

    /// Where each token is.
    pub(crate) fn token_addresses(&self) -> Vec<(Trc20, Address)> {
        self.tokens()
            .into_iter()
            .map(|(token, contract, made)| {
                let at = created_address(&made.txid(), &contract.owner_address);
                (token.clone(), at)
            })
            .collect()
    }

    fn issue_btt(&self, state: &mut State, issuer: Address, transactions: &mut Vec<Transaction>) {
        let btt_id = TokenId::BTT.get();
        let asset = btt(issuer, self.time);
        let given: i64 = self.accounts.iter().map(|account| account.btt).sum();
        let mut account = match state.account(&issuer) {
            Some(account) => account.as_ref().clone(),
            None => Account::genesis(issuer, b"BitTorrent", 0),
        };
        account.issued = Some((asset.name.clone(), btt_id));
        account.set_asset(btt_id, account.asset(btt_id) + BTT_SUPPLY - given);
        state.put_account(account);
        transactions.push(transaction(&Contract::from(asset.clone())));
        for entry in self.accounts.iter().filter(|entry| entry.btt > 0) {
            transactions.push(transaction(&Contract::from(TransferAssetContract {
                asset_name: btt_id.to_string().into_bytes(),
                owner_address: issuer.to_bytes().to_vec(),
                to_address: entry.address.to_bytes().to_vec(),
                amount: entry.btt,
            })));
        }
        state.put_asset(btt_id, asset);
    }
}
