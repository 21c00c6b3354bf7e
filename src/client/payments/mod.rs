//! Payments of a client: the `sr_pay` extension on the ledger and the node, what is read of
//! both for readers, and the settling of debts by policy.

mod ending;
mod news;
mod node_view;
mod people;
mod planning;
mod reading;
mod settling;
mod trade;
mod watching;

use std::{sync::Arc, time::Duration};

use tokio::sync::{Notify, mpsc, watch};

use ending::Ends;
pub(super) use news::News;
use node_view::NodeView;
pub(super) use reading::Reading;
pub(super) use settling::Settler;
pub use trade::Trade;
pub use watching::{Looked, SettleWatch, Waiting};

use crate::{
    ledger::Ledger,
    receipts::{
        Identity, SignedGrant,
        pay::{PayConfig, PayError, PayEvent, PayExtension},
    },
    settle::{NodeChain, Plan, Policy},
    tron::keys::Signer,
    types::{Address, SystemClock, TokenId},
};

/// News that wait for the client. What comes on top is not told; the newest reading of the
/// ledger is never lost.
const NEWS: usize = 256;

/// How payments are set up.
pub struct PaymentsConfig {
    /// Who we are, and what signs receipts.
    pub identity: Identity,
    /// The chain, at our own node.
    pub chain: NodeChain,
    /// Where receipts and payouts are kept.
    pub ledger: Arc<dyn Ledger>,
    /// What is paid in.
    pub token: TokenId,
    /// What is sold and bought at first.
    pub trade: Trade,
    /// Is told what happens, before the client is. Must not block.
    pub on_event: Arc<dyn Fn(&PayEvent) + Send + Sync>,
    /// Renews the session key before it ends; `None`: it ends.
    pub renew: Option<Renew>,
    /// Settles debts; `None`: a person does.
    pub settling: Option<Settling>,
}

/// Opens a wallet, or says why it stays closed.
pub type OpenWallet = Arc<dyn Fn() -> Result<Arc<dyn Signer>, String> + Send + Sync>;

/// Has the wallet sign a grant like this one for another session key. May not wait for a
/// person.
pub type Renew = Arc<dyn Fn(&SignedGrant) -> Result<Identity, String> + Send + Sync>;

/// Whether a plan is paid.
pub type Consent = Arc<dyn Fn(&Plan) -> bool + Send + Sync>;

/// How debts are settled.
pub struct Settling {
    /// Whose debts they are.
    pub account: Address,
    /// Opens the wallet when something is to be paid; it is closed after each round. May
    /// wait for a person.
    pub wallet: OpenWallet,
    /// What is paid, besides what the policy says of fees.
    pub policy: Policy,
    /// Between two looks for debts; `None`: they are looked for at a payee's credit limit
    /// alone, and when it is told to.
    pub every: Option<Duration>,
    /// Asked at a payee's credit limit whether debts are paid although that burns fees. May
    /// wait for a person. `None`: nobody can be asked.
    pub consent: Option<Consent>,
    /// How this process names itself to others who wait for the account.
    pub holder: String,
}

impl std::fmt::Debug for PaymentsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PaymentsConfig")
            .field("identity", &self.identity)
            .field("trade", &self.trade)
            .finish_non_exhaustive()
    }
}

/// Payments that were started, for a session and for a client.
pub struct Payments {
    extension: Arc<PayExtension>,
    pub(super) account: Address,
    pub(super) token: TokenId,
    pub(super) chain: NodeChain,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) trade: Trade,
    pub(super) renew: Option<Renew>,
    pub(super) settling: Option<Arc<Settling>>,
    pub(super) news: mpsc::Receiver<News>,
    pub(super) teller: mpsc::Sender<News>,
}

impl std::fmt::Debug for Payments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payments")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl Payments {
    /// Starts payments. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// See [`PayError`].
    pub async fn start(config: PaymentsConfig) -> Result<Self, PayError> {
        let account = config.identity.account();
        let view = NodeView {
            chain: config.chain.clone(),
            ledger: Arc::clone(&config.ledger),
        };
        let (teller, news) = mpsc::channel(NEWS);
        let (tell, told) = (teller.clone(), config.on_event);
        let extension = PayExtension::start(PayConfig {
            identity: config.identity,
            genesis: config.ledger.genesis(),
            token: config.token,
            terms: config.trade.terms(),
            on_private: false,
            ledger: Arc::clone(&config.ledger) as Arc<dyn crate::ledger::ReceiptBook>,
            chain: Arc::new(view),
            clock: Arc::new(SystemClock),
            on_event: Arc::new(move |event| {
                told(&event);
                // Full when no client listens, or one is far behind: then only the newest
                // are not told of, and the ledger has what counts.
                let _full = tell.try_send(News::Pay(event));
            }),
        })
        .await?;
        Ok(Self {
            extension,
            account,
            token: config.token,
            chain: config.chain,
            ledger: config.ledger,
            trade: config.trade,
            renew: config.renew,
            settling: config.settling.map(Arc::new),
            news,
            teller,
        })
    }

    /// What a session is given.
    pub(super) fn extension(&self) -> Arc<PayExtension> {
        Arc::clone(&self.extension)
    }
}

/// Payments in the owner's hands.
pub(super) struct Running {
    pub(super) extension: Arc<PayExtension>,
    /// What the user's own limits and friends are.
    pub(super) base: Trade,
    pub(super) news: mpsc::Receiver<News>,
    pub(super) readings: watch::Receiver<Option<Arc<Reading>>>,
    pub(super) settler: Option<Settler>,
    pub(super) renew: Option<Renew>,
    settling: Option<Arc<Settling>>,
    ledger: Arc<dyn Ledger>,
    chain: NodeChain,
    last_plan: planning::LastPlan,
    /// The ledger is to be read now.
    read_again: Arc<Notify>,
    teller: mpsc::Sender<News>,
    pub(super) account: Address,
    pub(super) token: TokenId,
    /// Settling and planning end with this.
    ends: Ends,
}

impl Running {
    /// Starts what reads, and what settles.
    pub(super) fn new(payments: Payments) -> Self {
        let read_again = Arc::new(Notify::new());
        let readings = reading::start(
            payments.ledger.clone(),
            payments.chain.clone(),
            payments.account,
            payments.token,
            Arc::clone(&read_again),
        );
        let ends = Ends::new();
        let settler = payments.settling.clone().map(|settling| {
            Settler::start(
                settling,
                ends.ended(),
                Arc::clone(&payments.ledger),
                payments.chain.clone(),
                payments.token,
                payments.teller.clone(),
            )
        });
        Self {
            extension: payments.extension,
            base: payments.trade,
            news: payments.news,
            readings,
            settler,
            renew: payments.renew,
            settling: payments.settling,
            ledger: payments.ledger,
            chain: payments.chain,
            last_plan: planning::LastPlan::default(),
            read_again,
            teller: payments.teller,
            account: payments.account,
            token: payments.token,
            ends,
        }
    }

    /// Ends in order: what settles or plans, then what buys and sells.
    pub(super) async fn end(self) {
        drop(self.settler);
        self.ends.end().await;
        let extension = self.extension;
        let ended = tokio::task::spawn_blocking(move || extension.shutdown());
        if ended.await.is_err() {
            tracing::debug!("the runtime is shutting down");
        }
    }

    /// Renews the session key, in the background; false if that cannot be.
    pub(super) fn renew_key(&self) -> bool {
        let Some((renew, grant)) = self.renew.clone().zip(self.extension.grant()) else {
            return false;
        };
        let (extension, teller) = (Arc::clone(&self.extension), self.teller.clone());
        let ledger = Arc::clone(&self.ledger);
        tokio::task::spawn_blocking(move || {
            let renewed = is_wanted(ledger.as_ref(), &grant)
                .and_then(|()| renew(&grant))
                .and_then(|identity| {
                    let renewed = extension.renew(identity);
                    renewed.map_err(|error| error.to_string())
                });
            // The client has ended.
            let _gone = teller.blocking_send(News::Renewed(renewed));
        });
        true
    }
}

/// Whether a key may have a successor: none that a person took back.
fn is_wanted(ledger: &dyn Ledger, grant: &SignedGrant) -> Result<(), String> {
    let grant = &grant.grant;
    let marks = ledger.grant_marks(grant.payer, grant.signer);
    let marks = marks.map_err(|error| error.to_string())?;
    match marks.revoked.is_some_and(|serial| serial >= grant.serial) {
        true => Err("it was taken back".to_owned()),
        false => Ok(()),
    }
}
