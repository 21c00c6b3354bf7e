//! `seedrail daemon`: a client that lives, with HTTP in front of it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use serde_json::json;
use tokio::time::MissedTickBehavior;

use super::{
    Context, account,
    errands::{Errands, Programs},
    failure::{Failure, Outcome},
    files::absolute,
    notify::ServiceManager,
    pay,
    reload::Running,
    schedule,
    session::GrantFlags,
    settings::private_folder,
    signals::Reloads,
    swarm::SwarmFlags,
    units::{self, BidArg, Price},
};
use crate::{
    api::{ApiConfig, ApiError, Server, TlsFiles, serve},
    client::{
        Client, OpenError, Payments, Peek, Schedule, Settling, StoreError, Trade, WatchError,
        WatchFolder, Watched, Window,
        event::{Event, Happened},
        peek,
        snapshot::{Prices, Queue, Revision, SettlePolicy},
    },
    tron::keys::Signer,
    types::{InfoHash, RawAmount},
};

/// Between two looks at the folder whose torrent files are added.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// The stored list, in the home folder.
pub(super) fn list_file(home: &Path) -> PathBuf {
    home.join("client.db")
}

/// Where commands of the same user reach the daemon, in the home folder.
pub(super) fn socket_file(home: &Path) -> PathBuf {
    home.join("daemon.sock")
}

#[derive(Debug, Args)]
pub(crate) struct Daemon {
    /// Folder that torrents are put into. Default: `downloads` in the home folder.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Address and port of the page and the HTTP interfaces; `off` opens none.
    #[arg(long, value_name = "ADDR|off", default_value = "127.0.0.1:7080", value_parser = http)]
    http: Http,
    /// File with the password of `admin`, for the page and other programs.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// File with the certificate for HTTPS, and those that lead to its issuer (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// File with the certificate's private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Name that the page is reached by; may be repeated.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Path that the page is at behind a reverse proxy, for example /seedrail.
    #[arg(long, value_name = "PATH", default_value = "")]
    prefix: String,
    /// Address range of reverse proxies that are believed; may be repeated.
    #[arg(long, value_name = "RANGE")]
    trusted_proxy: Vec<crate::api::Network>,
    /// Serve other machines without encryption: passwords cross the network for all to read.
    #[arg(long)]
    allow_plain_http: bool,
    /// Lowest price at first, for example 5BTT/GiB; later prices are kept in the list.
    #[arg(long, value_name = "PRICE")]
    ask: Option<Price>,
    /// Highest price that you pay at first, for example 20BTT/GiB, or `auto` for as little as
    /// is needed; later prices are kept in the list.
    #[arg(long, value_name = "PRICE|auto")]
    bid: Option<BidArg>,
    /// Highest bid of `--bid auto`.
    #[arg(long, value_name = "PRICE", requires = "bid")]
    max_bid: Option<Price>,
    /// Spending limit until the next start, for example 50BTT.
    #[arg(long, value_name = "AMOUNT", value_parser = units::btt, requires = "bid")]
    max_spend: Option<RawAmount>,
    /// How debts are paid: `off`, `free` (as long as no fee is burnt), or an amount a day, for
    /// example 10BTT. Without it the list says; at first `off`.
    #[arg(long, value_name = "off|free|AMOUNT", value_parser = policy)]
    settle: Option<SettlePolicy>,
    /// Time between two looks for debts.
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "10m")]
    settle_every: Duration,
    /// Downloads that run at once; others wait for their turn. Without it the list says; at
    /// first all run.
    #[arg(long, value_name = "N")]
    max_downloads: Option<u32>,
    /// Complete torrents that are shared at once; others wait for their turn. Without it the
    /// list says; at first all are shared.
    #[arg(long, value_name = "N")]
    max_seeds: Option<u32>,
    /// Limits at a time of the day, in place of the usual ones, for example "mon-fri 08:00-18:00
    /// up=256KiB/s down=none"; may be repeated, and the first that has the moment counts.
    #[arg(long, value_name = "WHEN", value_parser = schedule::window)]
    schedule: Vec<Window>,
    /// Folder whose torrent files are added. Each is then called `….added`, or `….refused`.
    #[arg(long, value_name = "DIR")]
    watch: Option<PathBuf>,
    /// Program that is run when a torrent is complete, with its info-hash, name and path.
    #[arg(long, value_name = "PROGRAM")]
    on_complete: Option<PathBuf>,
    /// Program that is run for each new problem, with its code, its subject, what is wrong and
    /// what to do.
    #[arg(long, value_name = "PROGRAM")]
    on_problem: Option<PathBuf>,
    #[command(flatten)]
    swarm: SwarmFlags,
    #[command(flatten)]
    grant: GrantFlags,
}

/// Where the page is.
#[derive(Debug, Clone, Copy)]
struct Http(Option<SocketAddr>);

fn http(text: &str) -> Result<Http, String> {
    if text == "off" {
        return Ok(Http(None));
    }
    let address = text.parse();
    let address = address.map_err(|_| format!("`{text}` is neither ADDRESS:PORT nor off"))?;
    Ok(Http(Some(address)))
}

fn policy(text: &str) -> Result<SettlePolicy, String> {
    match text {
        "off" => Ok(SettlePolicy::Off),
        "free" => Ok(SettlePolicy::Free),
        amount => Ok(SettlePolicy::UpTo {
            day_raw: units::btt(amount)?,
        }),
    }
}

/// Refuses a torrent that a running daemon of this home has: two would write to one place.
pub(super) fn refuse_its_own(context: &Context, hash: InfoHash) -> Outcome {
    let kept = peek(&list_file(&context.settings.home));
    let kept = kept.map_err(|error| Failure::failed("list", error))?;
    match kept.open && kept.torrents.iter().any(|(other, _)| *other == hash) {
        true => Err(Failure::failed(
            "in_daemon",
            format!("the daemon of this home has torrent {hash} already"),
        )
        .hint(format!("`seedrail show {hash}` shows how far it is"))),
        false => Ok(()),
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Session(error) => error.into(),
            OpenError::Store(error @ StoreError::InUse(_)) => Self::failed("in_use", error)
                .hint("a daemon of this home is running: `seedrail ls` asks it"),
            OpenError::Store(error) => Self::failed("list", error),
            OpenError::Torrent(error) => error.into(),
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let code = match &error {
            ApiError::PlainHttp(_) => return Self::usage(error),
            ApiError::Listen { .. } => "listen",
            _ => "http",
        };
        let mut message = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            let why = source.to_string();
            if !message.contains(&why) {
                message = format!("{message}: {why}");
            }
        }
        Self::failed(code, message)
    }
}

impl Daemon {
    /// Runs until a signal ends it in order.
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let manager = ServiceManager::of_environment();
        let home = &context.settings.home;
        private_folder(home)?;
        let kept = peek(&list_file(home)).map_err(|error| Failure::failed("list", error))?;
        if kept.open {
            return Err(OpenError::Store(StoreError::InUse(list_file(home))).into());
        }
        let prices = self.prices()?;
        self.programs().check()?;
        self.swarm.check()?;
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            return Err(Failure::usage(
                "--tls-certificate and --tls-key go together",
            ));
        }
        let payments = self.payments(context, prices, &kept).await?;
        let folder = self
            .folder
            .clone()
            .unwrap_or_else(|| home.join("downloads"));
        let folder = absolute(&folder)?;
        let mut config = self.swarm.for_client(context, 80, folder)?;
        config.store = Some(list_file(home));
        config.payments = payments;
        config.prices = prices;
        config.policy = self.settle;
        config.queue = self.queue();
        config.schedule = self.schedule()?;
        let client = Client::open(config).await?;
        let listen = client.snapshot().transfer.value.listen;
        self.swarm.keep_port(context, listen);
        let served = serve(self.api(home), client.clone()).await;
        let server = match served {
            Ok(server) => server,
            Err(error) => {
                client.close().await;
                return Err(error.into());
            }
        };
        // Before anybody is told that it is there: SIGHUP does not end it any more.
        let reloads = context.interrupt.reloads()?;
        self.announce(context, &client, &server)?;
        manager.tell("READY=1");
        self.watch(context, &client, &manager, reloads).await;
        manager.tell("STOPPING=1");
        server.stop().await;
        client.close().await;
        context.out.event(&json!({ "event": "ended" }))?;
        context
            .out
            .note("ended in order; `seedrail daemon` goes on from here");
        Ok(())
    }

    /// The limits that were said, up and down.
    pub(super) fn limits(&self) -> [Option<u64>; 2] {
        self.swarm.limits()
    }

    /// How many torrents run at once, as far as it was said.
    pub(super) fn queue(&self) -> Queue {
        Queue {
            downloads: self.max_downloads,
            seeds: self.max_seeds,
        }
    }

    /// Limits by the time of day.
    pub(super) fn schedule(&self) -> Outcome<Schedule> {
        schedule::schedule(&self.schedule)
    }

    /// What is run for what happens.
    pub(super) fn programs(&self) -> Programs {
        Programs {
            on_complete: self.on_complete.clone(),
            on_problem: self.on_problem.clone(),
        }
    }

    /// How debts are paid, if that was said.
    pub(super) fn policy(&self) -> Option<SettlePolicy> {
        self.settle
    }

    pub(super) fn prices(&self) -> Outcome<Prices> {
        let (bid_raw, bid_auto) = match (self.bid, self.max_bid) {
            (None, _) => (None, false),
            (Some(BidArg::Fixed(price)), None) => (Some(price.0), false),
            (Some(BidArg::Fixed(_)), Some(_)) => {
                return Err(Failure::usage("--max-bid goes with --bid auto"));
            }
            (Some(BidArg::Auto), Some(most)) => (Some(most.0), true),
            (Some(BidArg::Auto), None) => {
                return Err(Failure::usage("--bid auto needs an upper limit")
                    .hint("give --max-bid 20BTT/GiB"));
            }
        };
        Ok(Prices {
            ask_raw: self.ask.map(|ask| ask.0),
            bid_raw,
            bid_auto,
        })
    }

    /// Payments, if there is a price, said now or kept.
    async fn payments(
        &self,
        context: &Context,
        prices: Prices,
        kept: &Peek,
    ) -> Outcome<Option<Payments>> {
        let (bid_raw, bid_auto) = match prices.bid_raw {
            Some(raw) => (Some(raw), prices.bid_auto),
            None => (kept.prices.bid_raw, kept.prices.bid_auto),
        };
        let trade = Trade {
            prices: Prices {
                ask_raw: prices.ask_raw.or(kept.prices.ask_raw),
                bid_raw,
                bid_auto,
            },
            own: kept.torrents.iter().copied().collect(),
            max_spend: self.max_spend,
            ..Trade::default()
        };
        if !trade.sells() && !trade.buys() {
            if self
                .settle
                .is_some_and(|policy| policy != SettlePolicy::Off)
            {
                return Err(Failure::usage("--settle goes with --ask or --bid")
                    .hint("without a price nothing is bought, and nothing is owed"));
            }
            return Ok(None);
        }
        let settling = match self.settle {
            // A wallet that is open is a wallet that may pay: only when that is wanted.
            None | Some(SettlePolicy::Off) => None,
            Some(_) => {
                let signer: Arc<dyn Signer> = Arc::from(account::signer(context)?);
                let mut policy = context.settings.settle.policy();
                policy.activate = false;
                Some(Settling {
                    account: signer.address(),
                    wallet: Arc::new(move || Ok(Arc::clone(&signer))),
                    policy,
                    every: Some(self.settle_every),
                    holder: super::settle::desk::holder(),
                    consent: None,
                })
            }
        };
        pay::start(context, trade, &self.grant, None, settling).await
    }

    fn api(&self, home: &Path) -> ApiConfig {
        let tls = self.tls_certificate.clone().zip(self.tls_key.clone());
        ApiConfig {
            listen: self.http.0,
            socket: Some(socket_file(home)),
            password_file: self.password_file.clone(),
            tokens_file: home.join("tokens.json"),
            hosts: self.host.clone(),
            prefix: self.prefix.clone(),
            trusted_proxies: self.trusted_proxy.clone(),
            allow_plain_http: self.allow_plain_http,
            tls: tls.map(|(certificate, key)| TlsFiles { certificate, key }),
        }
    }

    fn announce(&self, context: &Context, client: &Client, server: &Server) -> Outcome {
        let snapshot = client.snapshot();
        let listen = snapshot.transfer.value.listen;
        let torrents = snapshot.torrents.len();
        let socket = socket_file(&context.settings.home);
        let document = json!({
            "event": "started",
            "listen": listen,
            "http": server.address(),
            "url": server.url(),
            "first_url": server.first_url().map(|url| url.to_string()),
            "socket": socket,
            "torrents": torrents,
        });
        context.out.result(&document, || {
            let reached = match listen.port() {
                0 => "nobody can connect, behind the proxy".to_owned(),
                _ => format!("peers are listened for at {listen}"),
            };
            let mut text = format!(
                "{} in the list; {reached}",
                units::counted(torrents as u64, "torrent")
            );
            match (server.first_url(), server.url()) {
                (Some(url), _) => text.push_str(&format!(
                    "\nthe page, with a token that is shown only now: {}",
                    url.as_str()
                )),
                (None, Some(url)) => text.push_str(&format!("\nthe page: {url}")),
                (None, None) => {}
            }
            text.push_str("\nCtrl-C ends it; `seedrail add`, `ls` and others steer it");
            text
        })
    }

    /// Tells of what happens until a signal comes.
    async fn watch(
        &self,
        context: &Context,
        client: &Client,
        manager: &ServiceManager,
        mut reloads: Reloads,
    ) {
        let mut folder = self.watch.clone().map(WatchFolder::new);
        let mut looks = tokio::time::interval(WATCH_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unreadable = None;
        let mut errands = Errands::new(self.programs(), context.out);
        let mut shown = Revision(0);
        let mut running = Running::new(context);
        let mut events = client.events();
        for problem in &client.snapshot().problems.value.problems {
            context
                .out
                .warn(format!("{}. {}", problem.message, problem.hint));
        }
        let every = manager.every().unwrap_or(Duration::from_secs(3600));
        let mut watchdog = tokio::time::interval(every);
        loop {
            tokio::select! {
                () = context.interrupt.wait() => return,
                () = reloads.next() => {
                    manager.tell("RELOADING=1");
                    running.reload(context, client, &mut errands).await;
                    manager.tell("READY=1");
                }
                event = events.next() => match event {
                    Some(event) => {
                        tell(context, &event);
                        errands.hear(client, &event.what);
                    }
                    None => return,
                },
                Some(snapshot) = client.changed(shown), if errands.wants_problems() => {
                    shown = snapshot.revision;
                    errands.look(&snapshot);
                }
                _ = looks.tick() => if let Some(folder) = &mut folder {
                    look_at(context, client, folder, &mut unreadable).await;
                },
                _ = watchdog.tick() => if manager.every().is_some() {
                    manager.tell("WATCHDOG=1");
                },
            }
        }
    }
}

/// Adds the torrent files of a folder. That it cannot be read is said once.
async fn look_at(
    context: &Context,
    client: &Client,
    folder: &mut WatchFolder,
    unreadable: &mut Option<String>,
) {
    let out = context.out;
    match folder.look(client).await {
        Ok(watched) => {
            *unreadable = None;
            for Watched { file, added, stuck } in watched {
                let file = file.display();
                match added {
                    Ok((hash, known)) => tracing::info!(%file, %hash, known, "a file was added"),
                    Err(error) => out.warn(format!("{file} is not added: {error}")),
                }
                if let Some(error) = stuck {
                    out.warn(format!("{file} keeps its name: {error}"));
                }
            }
        }
        Err(WatchError::Client(_)) => {}
        Err(error) => {
            let why = error.to_string();
            if unreadable.as_ref() != Some(&why) {
                out.warn(format!("{}: {why}", folder.folder().display()));
                *unreadable = Some(why);
            }
        }
    }
}

/// Says once what a person wants to know later.
fn tell(context: &Context, event: &Event) {
    match &event.what {
        Happened::Added { name, .. } => tracing::info!(name, "added"),
        Happened::Removed { name, .. } => tracing::info!(name, "removed"),
        Happened::Completed { name, .. } => context.out.note(format!("complete: {name}")),
        Happened::GoalReached { name, .. } => {
            context.out.note(format!("shared enough, paused: {name}"));
        }
        Happened::Problem { message, hint, .. } => {
            context.out.warn(format!("{message}. {hint}"));
        }
        Happened::Failed { name, reason, .. } => context.out.warn(format!("{name}: {reason}")),
        Happened::PeerBanned { .. }
        | Happened::TrackerFailed { .. }
        | Happened::TrackerWarned { .. }
        | Happened::Settled { .. }
        | Happened::WebSeedFailed { .. }
        | Happened::DiskRefused { .. }
        | Happened::ProblemOver { .. }
        | Happened::Resync => tracing::debug!(event = ?event.what),
    }
}
