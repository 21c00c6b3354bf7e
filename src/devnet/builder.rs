//! Starting a devnet.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::net::TcpListener;

use crate::{
    devnet::{
        api::{self, Origins, Purse},
        chain::Chain,
        fork::{ForkError, Source},
        genesis::{
            BTT_SUPPLY, Genesis, GenesisAccount, GenesisOptions, NetworkStake, well_known_key,
        },
        handle::Devnet,
        journal::{Document, Journal, JournalError},
        log::Event,
        node::{Habits, Log, Node, Pace, SLOT, Surroundings},
        params::{ParameterError, Parameters, Preset},
        rules::ChainRules,
        state::Operations,
        trc20::Trc20,
    },
    tron::{
        keys::SecretKey,
        mnemonic::{Mnemonic, MnemonicError},
        rpc::NodeConfig,
    },
    types::{Address, BlockId, Clock, RawAmount, Sun, SystemClock, UnixMs},
};

/// The recovery phrase of a devnet's accounts unless another is given: known to
/// everybody, worth nothing anywhere else.
pub const DEFAULT_MNEMONIC: &str = "test test test test test test test test test test test junk";

/// Where in a phrase's tree the accounts are.
const HD_PATH: &str = "m/44'/195'/0'/0";
/// Accounts a devnet may start with.
const MAX_ACCOUNTS: u32 = 1_000;
/// At most this many witnesses: as many as make TRON's blocks.
const MAX_WITNESSES: usize = 27;
/// How far before "now" a fresh chain begins, so that its first block is due
/// at once.
const FIRST_BLOCK: Duration = SLOT;

/// Why a devnet did not start.
#[derive(Debug, thiserror::Error)]
pub enum DevnetError {
    /// The port is taken, or the address is not this machine's.
    #[error("the devnet cannot listen on {address}: {source}; try --port 0 for a free one")]
    Listen {
        /// Where it should have listened.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The phrase gives no keys.
    #[error(transparent)]
    Mnemonic(#[from] MnemonicError),
    /// Too many accounts.
    #[error("a devnet starts with at most {MAX_ACCOUNTS} accounts, not {0}")]
    Accounts(u32),
    /// More than there is.
    #[error(
        "{accounts} accounts of {} BTT are more than the supply of {} BTT",
        each / 1_000_000, BTT_SUPPLY / 1_000_000
    )]
    Supply {
        /// How many accounts.
        accounts: u32,
        /// Raw units for each.
        each: i64,
    },
    /// More TRX than an account, or all together, can hold.
    #[error("{accounts} accounts of {each} are more TRX than a chain can hold")]
    Balance {
        /// How many accounts.
        accounts: u32,
        /// Sun for each.
        each: Sun,
    },
    /// A block time of nothing.
    #[error("a block time of {0:?} is too short: use at least 1 ms, or instant blocks")]
    BlockTime(Duration),
    /// A parameter that does not exist.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// A genesis document that is none.
    #[error("this is not the genesis of a devnet: {0}")]
    Genesis(String),
    /// The chain to fork cannot be read.
    #[error(transparent)]
    Fork(#[from] ForkError),
    /// A state file that cannot be used.
    #[error(transparent)]
    State(#[from] Arc<JournalError>),
    /// The server ended, which it does not by itself.
    #[error("the devnet stopped listening")]
    Ended,
}

impl From<JournalError> for DevnetError {
    fn from(error: JournalError) -> Self {
        Self::State(Arc::new(error))
    }
}

/// What a chain over a forked one starts from: that one is asked what it is.
fn forking(genesis: Genesis, source: Option<&Source>) -> Result<Genesis, ForkError> {
    let Some(source) = source else {
        return Ok(genesis);
    };
    let beginning = source.begin()?;
    Ok(Genesis {
        network_stake: match genesis.network_stake == NetworkStake::default() {
            true => beginning.stake,
            false => genesis.network_stake,
        },
        fork: Some(beginning.forked),
        ..genesis
    })
}

/// An account of a fresh devnet, with its key.
#[derive(Clone)]
pub struct DevnetAccount {
    /// Its address.
    pub address: Address,
    /// Its key: public knowledge, unless the mnemonic was your own.
    pub key: SecretKey,
}

impl fmt::Debug for DevnetAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevnetAccount")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// What a devnet starts with. See [`Devnet::builder`].
#[must_use = "a builder does nothing until started"]
pub struct Builder {
    listen: SocketAddr,
    accounts: u32,
    balance: Sun,
    btt: RawAmount,
    mnemonic: String,
    genesis_time: Option<UnixMs>,
    pace: Pace,
    solid_lag: Option<u64>,
    parameters: Parameters,
    clock: Arc<dyn Clock>,
    others: Vec<GenesisAccount>,
    witness: SecretKey,
    witnesses: usize,
    separate_witness_keys: bool,
    with_btt: bool,
    state: Option<PathBuf>,
    keep_blocks: Option<u64>,
    operations: Operations,
    network_stake: NetworkStake,
    parent: Option<BlockId>,
    unfreeze_delay_ms: Option<i64>,
    transaction_opcodes: Option<u64>,
    trc20: Vec<Trc20>,
    hd_path: String,
    habits: Habits,
    origins: Vec<String>,
    log: Option<Log>,
    fork: Option<NodeConfig>,
    fork_json_rpc: Option<String>,
}

impl Builder {
    /// The port on 127.0.0.1; 0, the default, takes a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.listen.set_port(port);
        self
    }

    /// The address to listen on. The default, 127.0.0.1, is reached from this
    /// machine only; a devnet asks nobody for a password.
    pub fn address(mut self, address: IpAddr) -> Self {
        self.listen.set_ip(address);
        self
    }

    /// How many accounts of the mnemonic get TRX and BTT; 10 by default, at
    /// most 1,000.
    pub fn accounts(mut self, accounts: u32) -> Self {
        self.accounts = accounts;
        self
    }

    /// TRX for each account; 1,000,000 TRX by default.
    pub fn balance(mut self, balance: Sun) -> Self {
        self.balance = balance;
        self
    }

    /// BTT for each account, raw units; 1,000,000,000 BTT by default.
    pub fn btt(mut self, btt: RawAmount) -> Self {
        self.btt = btt;
        self
    }

    /// The recovery phrase of the accounts, at m/44'/195'/0'/0/i.
    pub fn mnemonic(mut self, phrase: impl Into<String>) -> Self {
        self.mnemonic = phrase.into();
        self
    }

    /// The genesis block's time, and so the chain's identity: the same time,
    /// accounts and parameters give the same chain. By default it is now.
    pub fn genesis_time(mut self, time: UnixMs) -> Self {
        self.genesis_time = Some(time);
        self
    }

    /// When blocks are made; every 3 s by default, as on TRON.
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// A block every `time`; see [`Pace::Every`].
    pub fn block_time(self, time: Duration) -> Self {
        self.pace(Pace::Every(time))
    }

    /// A block for every transaction, solid at once; see [`Pace::Instant`].
    pub fn instant(self) -> Self {
        self.pace(Pace::Instant)
    }

    /// How many blocks on top make a block solid: 1 by default (mainnet has
    /// about 19), 0 with instant blocks.
    pub fn solid_lag(mut self, blocks: u64) -> Self {
        self.solid_lag = Some(blocks);
        self
    }

    /// The chain parameters to start from.
    pub fn preset(mut self, preset: Preset) -> Self {
        self.parameters = Parameters::new(preset);
        self.operations = match preset {
            Preset::MainnetLike => Operations::Voted,
            Preset::Genesis => Operations::Configured,
        };
        self
    }

    /// Permissions may name only the contract types of a chain that has stake 2.0 from
    /// its configuration, as private java-tron chains do and
    /// [`Preset::Genesis`] says. Comes after [`preset`](Self::preset).
    pub fn configured_operations(mut self) -> Self {
        self.operations = Operations::Configured;
        self
    }

    /// TRX that the rest of the network has staked for bandwidth and for energy, so
    /// that stake gets as little as on a large chain; nothing by default.
    pub fn network_stake(mut self, bandwidth_trx: u32, energy_trx: u32) -> Self {
        self.network_stake = NetworkStake {
            bandwidth: bandwidth_trx.into(),
            energy: energy_trx.into(),
        };
        self
    }

    /// How long unstaked TRX wait before they can be withdrawn, whatever the chain
    /// parameter `getUnfreezeDelayDays` says, so that stake need not be given up for days to
    /// be tested.
    pub fn unfreeze_delay(mut self, wait: Duration) -> Self {
        self.unfreeze_delay_ms = Some(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        self
    }

    /// How many opcodes a transaction's code may run, at least 1: one that needs more ends as
    /// OUT_OF_TIME, at the same opcode on every machine. By default only energy ends one.
    pub fn transaction_opcodes(mut self, opcodes: u64) -> Self {
        self.transaction_opcodes = Some(opcodes.max(1));
        self
    }

    /// A TRC-20 token that is deployed at genesis; each account gets 1,000,000,000 of it. See
    /// [`Devnet::trc20`] for its address.
    pub fn trc20(mut self, token: Trc20) -> Self {
        if !self.trc20.contains(&token) {
            self.trc20.push(token);
        }
        self
    }

    /// Where in the phrase's tree the accounts are: `/0`, `/1` ... are added;
    /// `m/44'/195'/0'/0` by default.
    pub fn hd_path(mut self, path: impl Into<String>) -> Self {
        self.hd_path = path.into();
        self
    }

    /// Whether instant blocks go on, empty, every 3 s while nothing happens; true by
    /// default, so that the chain's time does not stand still.
    pub fn idle_blocks(mut self, idle_blocks: bool) -> Self {
        self.habits.idle_blocks = idle_blocks;
        self
    }

    /// Lets pages of another origin (`https://app.example`, or `*` for all) call the node,
    /// beside those of this machine, and the node answer to that origin's name.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Tells of every request, transaction, block and refusal. Called from many threads,
    /// between two answers: it must not wait for long.
    pub fn log(mut self, log: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.log = Some(Arc::new(log));
        self
    }

    /// Takes transactions that expire before the chain's time but not before the
    /// clock's: after a change of the node's time, programs that stamp by the wall clock
    /// go on. A java-tron node would refuse them.
    pub fn lenient_expiration(mut self) -> Self {
        self.habits.lenient_expiration = true;
        self
    }

    /// Forks the chain of this node: accounts, TRC-10 tokens and contracts with their code and
    /// storage that are not on the devnet's own chain are read from it, each when it is first
    /// needed, as it is then. Nothing is ever sent there. The first URL counts, and its
    /// `timeout` for each answer. With [`state`](Self::state) what was read is kept, so that
    /// the node need not be there to go on.
    ///
    /// The accounts of the phrase, the witnesses and [`trc20`](Self::trc20) tokens are laid
    /// over it, and so are blocks, votes and parameters: `docs/devnet.md` says what is as there.
    /// Unless [`network_stake`](Self::network_stake) says otherwise, as much is staked as there.
    pub fn fork(mut self, node: NodeConfig) -> Self {
        self.fork = Some(node);
        self
    }

    /// Where the forked node answers `/jsonrpc`, which storage is read by, if not at its own
    /// URL: java-tron has a port of its own for that.
    pub fn fork_json_rpc(mut self, url: impl Into<String>) -> Self {
        self.fork_json_rpc = Some(url.into());
        self
    }

    /// Changes one chain parameter, named as `/wallet/getchainparameters` names
    /// it. Comes after [`preset`](Self::preset).
    ///
    /// # Errors
    /// No such parameter, or a negative value.
    pub fn parameter(mut self, name: &str, value: i64) -> Result<Self, ParameterError> {
        self.parameters.set(name, value)?;
        Ok(self)
    }

    /// Where the time comes from; the machine's clock by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// One more account of the genesis block, with a name and sun but no BTT.
    /// The sun may be negative, as java-tron's black hole's are.
    pub fn genesis_account(mut self, name: &str, address: Address, sun: i64) -> Self {
        self.others.push(GenesisAccount {
            address,
            name: name.to_owned(),
            balance: sun,
            btt: 0,
        });
        self
    }

    /// How many witnesses take turns, at most 27; one by default. The further ones
    /// have keys everybody knows.
    pub fn witnesses(mut self, count: usize) -> Self {
        self.witnesses = count.clamp(1, MAX_WITNESSES);
        self
    }

    /// Each witness signs its blocks with the key of its witness permission instead of
    /// its own, as TRON allows: a key everybody knows.
    pub fn separate_witness_keys(mut self) -> Self {
        self.separate_witness_keys = true;
        self
    }

    /// The witness that signs the blocks; by default a key everybody knows.
    pub fn witness(mut self, key: SecretKey) -> Self {
        self.witness = key;
        self
    }

    /// A chain without BTT, as java-tron makes it: the first token issued gets
    /// the id 1000001.
    pub fn without_btt(mut self) -> Self {
        self.with_btt = false;
        self
    }

    /// Keeps the chain in a file: each block and cheat is on disk before it can
    /// be seen, and a devnet started on the file again goes on from there. What
    /// was pending, snapshots and faults are not kept. Without
    /// [`genesis_time`](Self::genesis_time) the file's own is taken; everything
    /// else the chain begins with must be as it was.
    pub fn state(mut self, path: impl Into<PathBuf>) -> Self {
        self.state = Some(path.into());
        self
    }

    /// How many blocks stay in memory; all by default. Older ones are unknown to
    /// the API, and their transactions forgotten once they have expired. At
    /// least the solid lag and 128 are kept.
    pub fn keep_blocks(mut self, blocks: u64) -> Self {
        self.keep_blocks = Some(blocks);
        self
    }

    /// Takes more accounts, parameters and the time of genesis from a JSON
    /// document: `{"time_ms"?, "parameters"?: {name: value},
    /// "accounts"?: [{"address", "name"?, "balance_sun"?, "btt_raw"?}],
    /// "network_stake"?: {"bandwidth_trx"?, "energy_trx"?}, "unfreeze_delay_ms"?,
    /// "parent_hash"?}`, the last one 64 digits of hex.
    ///
    /// # Errors
    /// No such document: a sentence names what is wrong.
    pub fn genesis_json(mut self, text: &str) -> Result<Self, DevnetError> {
        let options = GenesisOptions::parse(text).map_err(DevnetError::Genesis)?;
        if let Some(time) = options.time {
            self.genesis_time = Some(time);
        }
        for (name, value) in &options.parameters {
            self.parameters.set(name, *value)?;
        }
        self.others.extend(options.accounts);
        self.network_stake = options.network_stake;
        self.parent = options.parent.or(self.parent);
        self.unfreeze_delay_ms = options.unfreeze_delay_ms.or(self.unfreeze_delay_ms);
        Ok(self)
    }

    fn check(&self) -> Result<(), DevnetError> {
        if self.accounts > MAX_ACCOUNTS {
            return Err(DevnetError::Accounts(self.accounts));
        }
        let count = i64::from(self.accounts);
        let others = self.others.iter().map(|account| account.btt);
        let btt = others.fold(self.btt.get().checked_mul(count), |sum, btt| {
            sum?.checked_add(btt)
        });
        if btt.is_none_or(|all| all > BTT_SUPPLY) {
            return Err(DevnetError::Supply {
                accounts: self.accounts,
                each: self.btt.get(),
            });
        }
        let balance = i64::try_from(self.balance.0).ok();
        if balance.and_then(|each| each.checked_mul(count)).is_none() {
            return Err(DevnetError::Balance {
                accounts: self.accounts,
                each: self.balance,
            });
        }
        match self.pace {
            Pace::Every(time) if time < Duration::from_millis(1) => {
                Err(DevnetError::BlockTime(time))
            }
            _ => Ok(()),
        }
    }

    /// The chain, the accounts it gives something to, and the node that is forked.
    fn chain(&self) -> Result<(Chain, Vec<DevnetAccount>, Option<Source>), DevnetError> {
        self.check()?;
        let source = match &self.fork {
            Some(node) => Some(Source::start(node, self.fork_json_rpc.as_deref())?),
            None => None,
        };
        let mnemonic = Mnemonic::parse(&self.mnemonic)?;
        let accounts = (0..self.accounts)
            .map(|index| {
                let path = format!("{}/{index}", self.hd_path).parse()?;
                let key = mnemonic.key_at("", &path)?;
                Ok(DevnetAccount {
                    address: key.address(),
                    key,
                })
            })
            .collect::<Result<Vec<_>, MnemonicError>>()?;
        let mut witnesses = vec![self.witness.clone()];
        witnesses.extend((2..=self.witnesses).map(|n| well_known_key(&format!("witness {n}"))));
        let mut signers: Vec<_> = (1..=self.witnesses)
            .map(|n| well_known_key(&format!("signer of witness {n}")))
            .collect();
        let addresses = |keys: &[SecretKey]| keys.iter().map(SecretKey::address).collect();
        let balance = i64::try_from(self.balance.0).unwrap_or(i64::MAX);
        let genesis = Genesis {
            time: self
                .genesis_time
                .unwrap_or_else(|| self.clock.now().minus(FIRST_BLOCK)),
            parameters: self.parameters.clone(),
            accounts: accounts
                .iter()
                .map(|account| GenesisAccount {
                    address: account.address,
                    name: String::new(),
                    balance,
                    btt: if self.with_btt { self.btt.get() } else { 0 },
                })
                .chain(self.others.iter().cloned())
                .collect(),
            issuer: self
                .with_btt
                .then(|| well_known_key("issuer of BTT").address()),
            witness: self.witness.address(),
            more_witnesses: addresses(witnesses.get(1..).unwrap_or_default()),
            witness_signers: if self.separate_witness_keys {
                addresses(&signers)
            } else {
                Vec::new()
            },
            operations: self.operations,
            network_stake: self.network_stake,
            parent: self.parent,
            unfreeze_delay_ms: self.unfreeze_delay_ms,
            transaction_opcodes: self.transaction_opcodes,
            trc20: self.trc20.clone(),
            fork: None,
        };
        let default_lag = u64::from(self.pace != Pace::Instant);
        // A witness permission may name any key that the devnet knows.
        signers.extend(accounts.iter().map(|account| account.key.clone()));
        let rules = ChainRules {
            witnesses,
            signers,
            interval_ms: self.pace.interval_ms(),
            solid_lag: self.solid_lag.unwrap_or(default_lag),
            keep_blocks: self.keep_blocks,
        };
        let chain = match &self.state {
            None => Chain::new(rules, &forking(genesis, source.as_ref())?),
            Some(path) => self.kept(path, rules, genesis, source.as_ref())?,
        };
        Ok((chain, accounts, source))
    }

    /// The chain of the state file, or a fresh one with a fresh file.
    fn kept(
        &self,
        path: &Path,
        rules: ChainRules,
        mut genesis: Genesis,
        source: Option<&Source>,
    ) -> Result<Chain, DevnetError> {
        let (mut journal, document) = Journal::open(path)?;
        let mut chain = match document {
            None => {
                genesis = forking(genesis, source)?;
                journal.replace(&Document {
                    genesis: genesis.clone(),
                    answers: Vec::new(),
                    records: Vec::new(),
                    not_before: UnixMs(0),
                })?;
                Chain::new(rules, &genesis)
            }
            Some(document) => {
                if self.genesis_time.is_none() {
                    genesis.time = document.genesis.time;
                }
                // As it was when the fork was made, of which the node cannot tell any more.
                if let (Some(forked), Some(_)) = (document.genesis.fork, source) {
                    genesis.fork = Some(forked);
                    if self.network_stake == NetworkStake::default() {
                        genesis.network_stake = document.genesis.network_stake;
                    }
                }
                // Files that are older than the choice do not have it.
                genesis.operations = document.genesis.operations;
                if document.genesis != genesis {
                    return Err(JournalError::Genesis(path.to_owned()).into());
                }
                Chain::restore(rules, &document).map_err(|reason| JournalError::Damaged {
                    path: path.to_owned(),
                    reason,
                })?
            }
        };
        chain.keep_journal(journal);
        Ok(chain)
    }

    /// Starts it. When this returns, it answers.
    ///
    /// # Errors
    /// A phrase that is none, amounts beyond the supply, a port that is taken.
    pub async fn start(self) -> Result<Devnet, DevnetError> {
        // A long chain is made again block by block.
        let (this, chain) = tokio::task::spawn_blocking(move || {
            let chain = self.chain();
            (self, chain)
        })
        .await
        .map_err(|_| DevnetError::Ended)?;
        this.listen_with(chain?).await
    }

    async fn listen_with(
        self,
        (chain, accounts, fork): (Chain, Vec<DevnetAccount>, Option<Source>),
    ) -> Result<Devnet, DevnetError> {
        let failure = chain.failure();
        let listener = TcpListener::bind(self.listen)
            .await
            .and_then(|listener| Ok((listener.local_addr()?, listener)))
            .map_err(|source| DevnetError::Listen {
                address: self.listen,
                source,
            });
        let (address, listener) = listener?;
        let known = (self.mnemonic == DEFAULT_MNEMONIC).then(|| self.mnemonic.clone());
        let keys = accounts.iter().map(|a| (a.address, a.key.clone()));
        let around = Surroundings {
            habits: self.habits,
            purse: Purse::new(known, self.hd_path.clone(), keys.collect()),
            origins: Origins(self.origins),
            log: self.log,
            fork,
        };
        let node = Arc::new(Node::new(chain, self.pace, self.clock, around));
        let serving = Arc::clone(&node);
        let tasks = vec![
            tokio::spawn(Arc::clone(&node).produce()),
            tokio::spawn(async move {
                if let Err(error) = api::serve(listener, serving).await {
                    tracing::error!(%error, "the devnet stopped listening");
                }
            }),
        ];
        Ok(Devnet {
            node,
            accounts,
            mnemonic: self.mnemonic,
            address,
            tasks,
            failure,
        })
    }
}

impl Devnet {
    /// A devnet with TRON's pace and mainnet-like parameters on a free port of
    /// 127.0.0.1: ten accounts of 1,000,000 TRX and 1,000,000,000 BTT each.
    pub fn builder() -> Builder {
        Builder {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            accounts: 10,
            balance: Sun(1_000_000_000_000),
            btt: RawAmount::new(1_000_000_000_000_000).expect("positive"),
            mnemonic: DEFAULT_MNEMONIC.to_owned(),
            genesis_time: None,
            pace: Pace::Every(SLOT),
            solid_lag: None,
            parameters: Parameters::new(Preset::MainnetLike),
            clock: Arc::new(SystemClock),
            others: Vec::new(),
            witness: well_known_key("witness"),
            witnesses: 1,
            separate_witness_keys: false,
            with_btt: true,
            state: None,
            keep_blocks: None,
            operations: Operations::Voted,
            network_stake: NetworkStake::default(),
            parent: None,
            unfreeze_delay_ms: None,
            transaction_opcodes: None,
            trc20: Vec::new(),
            hd_path: HD_PATH.to_owned(),
            habits: Habits {
                idle_blocks: true,
                lenient_expiration: false,
            },
            origins: Vec::new(),
            log: None,
            fork: None,
            fork_json_rpc: None,
        }
    }
}
