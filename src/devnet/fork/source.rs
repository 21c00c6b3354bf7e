//! The node that is forked, asked from a thread of its own: who needs an answer may be on any
//! thread, in a runtime or in none.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::Instant,
};

use super::{
    ForkError, Forked, Key, answers,
    record::{Answer, Doubt},
};
use crate::{
    devnet::genesis::NetworkStake,
    tron::rpc::{Node, NodeConfig, NodeError},
    types::BlockId,
};

/// Questions asked at once: a node that limits us is not asked more.
const AT_ONCE: usize = 4;
/// Questions that may wait for their turn.
const WAITING: usize = 64;
/// How long an answer may come after it was due, before nobody waits for it.
const LATE: Duration = Duration::from_secs(1);

/// What a fork begins with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beginning {
    pub(crate) forked: Forked,
    pub(crate) stake: NetworkStake,
}

enum Question {
    Begin,
    Read {
        chain: BlockId,
        key: Key,
        cycle: i64,
    },
}

enum Reply {
    Begin(Beginning),
    Read(Answer),
}

struct Ask {
    question: Question,
    until: Instant,
    reply: SyncSender<Result<Reply, NodeError>>,
}

/// The forked node.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    asks: mpsc::Sender<Ask>,
    /// For one question, its turn included.
    patience: Duration,
    /// Whether nobody needs answers any more.
    ended: Arc<watch::Sender<bool>>,
}

impl Source {
    /// Sets it up; nothing is sent yet. `json_rpc` is where `/jsonrpc` answers, if that is not
    /// the node's own URL.
    pub(crate) fn start(config: &NodeConfig, json_rpc: Option<&str>) -> Result<Self, ForkError> {
        let wrong = |error: &dyn std::fmt::Display| ForkError::Setup(error.to_string());
        if cfg!(not(panic = "unwind")) {
            return Err(wrong(
                &"a program that is built with panic = \"abort\" cannot fork a chain",
            ));
        }
        let node = Node::new(config).map_err(|error| wrong(&error))?;
        let json_rpc = match json_rpc {
            None => node.clone(),
            Some(url) => {
                let url = url.trim_end_matches('/').trim_end_matches("/jsonrpc");
                let config = NodeConfig {
                    urls: vec![url.to_owned()],
                    ..config.clone()
                };
                Node::new(&config).map_err(|error| wrong(&error))?
            }
        };
        let reader = Reader {
            node,
            json_rpc,
            is_known: AtomicBool::new(false),
            has_json_rpc: AtomicBool::new(false),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| wrong(&error))?;
        let (asks, asked) = mpsc::channel(WAITING);
        let ended = watch::Sender::new(false);
        let end = ended.subscribe();
        thread::Builder::new()
            .name("devnet fork".to_owned())
            .spawn(move || runtime.block_on(serve(Arc::new(reader), asked, end)))
            .map_err(|error| wrong(&error))?;
        Ok(Self {
            asks,
            patience: config.timeout * 2,
            ended: Arc::new(ended),
        })
    }

    /// Lets those go who wait for an answer.
    pub(crate) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Which chain it is, where it is now, and what is staked there.
    pub(crate) fn begin(&self) -> Result<Beginning, ForkError> {
        let what = "the chain it is on";
        match self.ask(Question::Begin, &what)? {
            Reply::Begin(beginning) => Ok(beginning),
            Reply::Read(_) => Err(ForkError::Stopped),
        }
    }

    /// What it says of `key`; it must be on `chain`.
    pub(crate) fn read(&self, chain: BlockId, key: Key, cycle: i64) -> Result<Answer, ForkError> {
        match self.ask(Question::Read { chain, key, cycle }, &key)? {
            Reply::Read(answer) => Ok(answer),
            Reply::Begin(_) => Err(ForkError::Stopped),
        }
    }

    /// Waits for an answer on this thread.
    fn ask(&self, question: Question, what: &dyn std::fmt::Display) -> Result<Reply, ForkError> {
        let (reply, answer) = sync_channel(1);
        let until = Instant::now() + self.patience;
        let ask = Ask {
            question,
            until,
            reply,
        };
        self.asks.try_send(ask).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ForkError::Busy,
            mpsc::error::TrySendError::Closed(_) => ForkError::Stopped,
        })?;
        match answer.recv_timeout(self.patience + LATE) {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(ForkError::Node {
                what: what.to_string(),
                reason: error.to_string(),
            }),
            Err(RecvTimeoutError::Timeout) => Err(ForkError::Node {
                what: what.to_string(),
                reason: "it did not answer in time".to_owned(),
            }),
            Err(RecvTimeoutError::Disconnected) => Err(ForkError::Stopped),
        }
    }
}

/// Answers until nobody can ask any more, or needs to. What is being asked then ends with this
/// thread's runtime.
async fn serve(reader: Arc<Reader>, asked: mpsc::Receiver<Ask>, mut end: watch::Receiver<bool>) {
    tokio::select! {
        () = answer_all(reader, asked) => {}
        // An error says that there is no devnet any more.
        _ended = end.wait_for(|ended| *ended) => {}
    }
}

async fn answer_all(reader: Arc<Reader>, mut asked: mpsc::Receiver<Ask>) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(ask) = asked.recv().await {
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else {
            return;
        };
        let reader = Arc::clone(&reader);
        tokio::spawn(async move {
            let answer = tokio::time::timeout_at(ask.until, reader.answer(&ask.question)).await;
            let answer = answer.unwrap_or_else(|_| Err(reader.late()));
            // Who asked may have gone.
            let _ = ask.reply.send(answer);
            drop(turn);
        });
    }
}

/// Asks the node.
struct Reader {
    node: Node,
    /// Where `/jsonrpc` is.
    json_rpc: Node,
    /// Whether it has named the forked chain since it last failed: another node may be in its
    /// place then.
    is_known: AtomicBool,
    has_json_rpc: AtomicBool,
}

impl Reader {
    fn late(&self) -> NodeError {
        self.unbelieved("it did not answer in time")
    }

    fn unbelieved(&self, reason: impl ToString) -> NodeError {
        NodeError::Unknown {
            url: self.node.urls().join(", "),
            reason: reason.to_string(),
        }
    }

    async fn answer(&self, question: &Question) -> Result<Reply, NodeError> {
        let answer = match question {
            Question::Begin => self.begin().await.map(Reply::Begin),
            Question::Read { chain, key, cycle } => {
                self.read(*chain, key, *cycle).await.map(Reply::Read)
            }
        };
        if answer.is_err() {
            self.is_known.store(false, Ordering::Relaxed);
            self.has_json_rpc.store(false, Ordering::Relaxed);
        }
        answer
    }

    async fn begin(&self) -> Result<Beginning, NodeError> {
        let chain = self.node.genesis().await?;
        self.is_known.store(true, Ordering::Relaxed);
        let nothing = json!({});
        let head = self
            .node
            .answer("wallet/getnowblock", &nothing, answers::head);
        let (block, time, witness) = head.await?;
        // What all have staked is said with what any account has.
        let stake = match witness {
            Some(witness) => {
                let whose = json!({ "address": witness.to_hex(), "visible": false });
                let path = "wallet/getaccountresource";
                self.node.answer(path, &whose, answers::stake).await?
            }
            None => NetworkStake::default(),
        };
        self.with_json_rpc(chain).await?;
        Ok(Beginning {
            forked: Forked { chain, block, time },
            stake,
        })
    }

    /// Makes sure that it is on this chain.
    async fn on(&self, chain: BlockId) -> Result<(), NodeError> {
        if !self.is_known.load(Ordering::Relaxed) {
            let named = self.node.genesis().await?;
            if named != chain {
                return Err(self.unbelieved(format!(
                    "it is on another chain (genesis {named}) than the one that was forked ({chain})"
                )));
            }
            self.is_known.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Makes sure that its JSON-RPC is of the same chain.
    async fn with_json_rpc(&self, chain: BlockId) -> Result<(), NodeError> {
        if self.has_json_rpc.load(Ordering::Relaxed) {
            return Ok(());
        }
        let id = chain.as_bytes().last_chunk::<4>();
        let id = id.map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let of_this_chain = |answer: &Value| match answers::chain_id(answer)? {
            found if found == id => Ok(()),
            other => Err(format!("its chain id is {other:#x}, not {id:#x}")),
        };
        self.call("eth_chainId", &json!([]), of_this_chain)
            .await
            .map_err(|error| NodeError::Unknown {
                url: self.json_rpc.urls().join(", "),
                reason: format!(
                    "its JSON-RPC cannot be used ({error}); if that has another URL, name it by \
                     --fork-jsonrpc"
                ),
            })?;
        self.has_json_rpc.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn call<T>(
        &self,
        method: &str,
        parameters: &Value,
        read: impl Fn(&Value) -> Result<T, Doubt>,
    ) -> Result<T, NodeError> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        self.json_rpc.answer("jsonrpc", &body, read).await
    }

    async fn read(&self, chain: BlockId, key: &Key, cycle: i64) -> Result<Answer, NodeError> {
        self.on(chain).await?;
        let node = &self.node;
        match *key {
            Key::Account(address) => {
                let body = json!({ "address": address.to_hex(), "visible": false });
                let read = |answer: &Value| answers::account(answer, address);
                let found = node.answer("wallet/getaccount", &body, read).await?;
                Ok(Answer::Account { address, found })
            }
            Key::Token(id) => {
                let body = json!({ "value": id.to_string(), "visible": false });
                let path = "wallet/getassetissuebyid";
                let found = node.answer(path, &body, answers::token).await?;
                Ok(Answer::Token { id, found })
            }
            Key::Contract(address) => {
                let body = json!({ "value": address.to_hex(), "visible": false });
                let read = |answer: &Value| answers::contract(answer, address, cycle);
                let found = node.answer("wallet/getcontractinfo", &body, read).await?;
                Ok(Answer::Contract { address, found })
            }
            Key::Slot(address, row) => {
                self.with_json_rpc(chain).await?;
                let who = format!("0x{}", hex::encode(address.body()));
                // Of a slot's number the chain looks at the low half alone.
                let slot = format!("0x{:0>64}", hex::encode(row));
                let parameters = json!([who, slot, "latest"]);
                let value = self.call("eth_getStorageAt", &parameters, answers::slot);
                Ok(Answer::Slot {
                    address,
                    row: hex::encode(row),
                    value: value.await?,
                })
            }
        }
    }
}
