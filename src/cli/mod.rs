//! The command line: parse, call, print. Every command is a thin caller of the
//! library; what they have in common is here and in the files named for it.

mod account;
mod accounts;
mod act;
mod alike;
mod balance;
mod chain;
mod config;
mod config_file;
mod csv_flags;
mod daemon;
mod demo;
mod devnet;
mod earnings;
mod errands;
mod events;
mod failure;
mod file_options;
mod files;
mod foreground;
mod get;
mod goals;
mod help;
mod init;
mod ledger;
mod live;
mod new_wallet;
mod notify;
mod output;
mod pay;
mod payment;
mod peers;
mod permissions;
mod plot;
mod printable;
mod progress;
mod receipts;
mod reload;
mod runtime;
mod schedule;
mod seed;
mod send;
mod send_file;
mod session;
mod settings;
mod settle;
mod shell;
mod signals;
mod signed_by;
mod source;
mod steer;
mod store;
mod swarm;
mod terminal;
mod token;
mod topics;
mod torrent;
mod trust;
mod tx;
mod tx_build;
mod tx_documents;
mod tx_words;
mod units;
mod wallet;

use std::{
    ffi::OsString,
    path::PathBuf,
    pin::pin,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::{ArgAction, FromArgMatches, Parser, Subcommand, error::ErrorKind, parser::ValueSource};

use self::{
    failure::{Exit, Failure, Outcome},
    file_options::{FileOptions, Typed},
    output::{LogWriter, Output},
    settings::{Origin, Settings},
    signals::Interrupt,
};

/// A BitTorrent client that pays and earns BTT on TRON.
#[derive(Debug, Parser)]
#[command(
    name = "seedrail",
    version,
    max_term_width = 100,
    propagate_version = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags every command takes, before or after its name. `-h` leaves them out.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// TRON network. Default: devnet.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        env = "SEEDRAIL_NETWORK",
        value_name = "NAME",
        value_parser = settings::Network::parser()
    )]
    network: Option<settings::Network>,
    /// URL of a full node; may be repeated, for when one fails.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        env = "SEEDRAIL_NODE",
        value_delimiter = ',',
        value_name = "URL"
    )]
    node: Vec<String>,
    /// URL for /walletsolidity, if it is not that of --node.
    #[arg(long, global = true, hide_short_help = true, value_name = "URL")]
    solidity_node: Vec<String>,
    /// File with the node's API key, which is sent by https and to this machine only.
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// Limit of requests a second to each node. Default: 10 for public nodes, none for
    /// others.
    #[arg(long, global = true, hide_short_help = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_second: Option<u32>,
    /// The ledger's file, or postgres://USER@HOST/DATABASE; a URL with a password only by
    /// SEEDRAIL_LEDGER.
    #[arg(
        long,
        global = true, hide_short_help = true,
        env = "SEEDRAIL_LEDGER",
        hide_env_values = true,
        value_name = "FILE|URL",
        value_parser = settings::LedgerPlace::of
    )]
    ledger: Option<settings::LedgerPlace>,
    /// The id of a block that you know to be in the chain: a ledger that has read no
    /// block yet learns from it who makes the blocks, instead of believing the node;
    /// any other is checked against it.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        env = "SEEDRAIL_CHECKPOINT",
        value_name = "BLOCKID"
    )]
    checkpoint: Option<crate::types::BlockId>,
    /// Folder of wallets, ledgers and settings. Default: ~/.local/share/seedrail.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        env = "SEEDRAIL_HOME",
        value_name = "DIR"
    )]
    home: Option<PathBuf>,
    /// Wallet to use, or an address for commands that sign nothing.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "NAME|ADDRESS",
        add = clap_complete::ArgValueCompleter::new(shell::wallets)
    )]
    account: Option<String>,
    /// File with a raw private key in hex, for tests and devnets.
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Program that signs for the account; it gets a JSON request on its standard input.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        env = "SEEDRAIL_SIGNER",
        value_name = "PROGRAM"
    )]
    signer: Option<PathBuf>,
    /// File with the wallet's passphrase.
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Print JSON on stdout.
    #[arg(long, global = true, hide_short_help = true)]
    json: bool,
    /// Answer yes to all questions, also before money is moved.
    #[arg(long, global = true, hide_short_help = true)]
    yes: bool,
    /// Log more on stderr; -vv logs everything.
    #[arg(short, long, global = true, hide_short_help = true, action = ArgAction::Count)]
    verbose: u8,
    /// Print only warnings and errors on stderr.
    #[arg(
        short,
        long,
        global = true,
        hide_short_help = true,
        conflicts_with = "verbose"
    )]
    quiet: bool,
    /// Colours on stderr.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "WHEN",
        default_value = "auto"
    )]
    color: clap::ColorChoice,
    /// Which of these came from the environment.
    #[arg(skip)]
    from_environment: Vec<String>,
    /// Which of these came from `config.toml`.
    #[arg(skip)]
    from_file: Vec<String>,
}

impl Global {
    /// Where the value of the flag `id`, which has one, came from.
    fn given(&self, id: &str) -> Origin {
        if self.from_environment.iter().any(|known| known == id) {
            Origin::Environment
        } else if self.from_file.iter().any(|known| known == id) {
            Origin::Config
        } else {
            Origin::Flag
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show everything on this machine: a paid download, then the payment on a local chain.
    Demo(demo::Demo),
    /// Set up a home folder: network and wallet.
    Init(init::Init),
    /// Make, import and list wallets.
    #[command(subcommand)]
    Wallet(wallet::Wallet),
    /// Show TRX, BTT and other TRC-10 holdings and the bandwidth left.
    Balance(balance::Balance),
    /// Show and manage an account: resources, staking, permissions.
    #[command(subcommand)]
    Account(accounts::Account),
    /// Show, list and issue TRC-10 tokens.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Pay TRX, BTT or another TRC-10 token; also all rows of a CSV file.
    Send(send::Send),
    /// Handle transactions step by step; build, sign and decode need no node.
    #[command(subcommand)]
    Tx(tx::Tx),
    /// Download torrents, for free or paying for priority.
    #[command(visible_alias = "download")]
    Get(get::Get),
    /// Share files, for free or for a price.
    #[command(visible_alias = "share")]
    Seed(seed::Seed),
    /// Run a client that keeps a list of torrents, with a page and HTTP interfaces.
    Daemon(Box<daemon::Daemon>),
    /// Add torrents to the daemon's list.
    Add(Box<steer::Add>),
    /// List the daemon's torrents.
    #[command(visible_alias = "list")]
    Ls(steer::Ls),
    /// Show one of the daemon's torrents, with its files and trackers.
    Show(steer::Show),
    /// Pause torrents of the daemon.
    Pause(steer::Which),
    /// Resume torrents of the daemon.
    Resume(steer::Which),
    /// Remove torrents from the daemon's list.
    #[command(visible_alias = "remove")]
    Rm(steer::Rm),
    /// Limit the rates of a torrent of the daemon, or of all together.
    Limit(steer::Limit),
    /// Change how many of the daemon's torrents run at once, and which come first.
    Queue(steer::QueueCommand),
    /// Show, add and remove trackers of one of the daemon's torrents.
    Trackers(steer::Trackers),
    /// Show the files of one of the daemon's torrents, and change which are downloaded, and
    /// which first.
    Files(steer::FilesCommand),
    /// Change the prices of a torrent of the daemon, or of all.
    Price(steer::PriceCommand),
    /// Watch the daemon's torrents until Ctrl-C.
    Watch(steer::Watch),
    /// Make and show torrent files.
    #[command(subcommand)]
    Torrent(torrent::Torrent),
    /// Run an HTTP tracker.
    Tracker(torrent::Tracker),
    /// Run the embedded TRON node.
    Devnet(devnet::Devnet),
    /// Signed debts: list, verify, export, import.
    #[command(subcommand)]
    Receipts(receipts::Receipts),
    /// Pay debts on the chain, in batches, each exactly once.
    #[command(subcommand)]
    Settle(settle::Settle),
    /// Check, back up and export the ledger.
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Payment history of peers; ban or forgive them.
    Peers(peers::Peers),
    /// Show what you earned, and what of it is paid.
    Earnings(earnings::Earnings),
    /// Show the settings and where each comes from.
    #[command(subcommand)]
    Config(config::Config),
    /// Print the completion script of a shell.
    Completions(shell::Completions),
    /// Print the manual page, or write one for each command to a folder.
    Man(shell::Man),
}

/// What every command is given.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) out: Output,
    pub(crate) interrupt: Interrupt,
    /// What was typed.
    arguments: Vec<OsString>,
    /// The options that `config.toml` gives.
    file: FileOptions,
    /// Whether the work under way ends by itself, and in order, when Ctrl-C comes.
    pub(crate) ends_in_order: Arc<AtomicBool>,
}

impl Context {
    /// Does `work`, or gives it up when Ctrl-C comes, unless it ends in order by then.
    pub(crate) async fn or_interrupt<T>(
        &self,
        work: impl Future<Output = Outcome<T>>,
    ) -> Outcome<T> {
        let mut work = pin!(work);
        tokio::select! {
            outcome = &mut work => return outcome,
            () = self.interrupt.wait() => {}
        }
        if self.ends_in_order.load(Ordering::SeqCst) {
            work.await
        } else {
            Err(Failure::interrupted())
        }
    }
}

/// Parses the arguments, runs the command, and gives the exit status.
pub fn main() -> ExitCode {
    shell::answer_a_shell();
    let arguments: Vec<_> = std::env::args_os().collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    if let Some(topic) = help::topic(&arguments) {
        return match output::write(topic.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => ExitCode::from(failure.exit as u8),
        };
    }
    let (cli, file) = match parse(&arguments) {
        Ok(parsed) => parsed,
        Err(Wrong::Typed(error)) => return usage_error(&error, json),
        Err(Wrong::Filed(failure)) => {
            Output { json, quiet: false }.failure(&failure);
            return ExitCode::from(failure.exit as u8);
        }
    };
    start_logging(&cli.global);
    let out = Output {
        json: cli.global.json,
        quiet: cli.global.quiet,
    };
    let runtime = match runtime::builder().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out.failure(&Failure::failed("runtime", error));
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        let interrupt = Interrupt::listen()?;
        let settings = Settings::read(&cli.global)?;
        run(
            cli.command,
            Context {
                settings,
                out,
                interrupt,
                arguments,
                file,
                ends_in_order: Arc::default(),
            },
        )
        .await
    });
    // Blocking work that is still going on (a prompt) must not keep us.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out.failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// What cannot be parsed.
enum Wrong {
    /// What was typed.
    Typed(clap::Error),
    /// What is in `config.toml`.
    Filed(Failure),
}

/// The command with its options: those that were typed, of the environment, of `config.toml`.
fn parse(arguments: &[OsString]) -> Result<(Cli, FileOptions), Wrong> {
    let typed = Typed::of(arguments).map_err(Wrong::Typed)?;
    let file = typed.path.as_deref().map(file_options::read).transpose();
    let file = file.map_err(Wrong::Filed)?.unwrap_or_default();
    let counting = typed.counting(&file);
    let all = typed.with(arguments, &counting);
    let matches = match help::command().try_get_matches_from(all) {
        Ok(matches) => matches,
        // What is typed wrong comes first.
        Err(error) => match help::command().try_get_matches_from(arguments) {
            Ok(_) => return Err(Wrong::Filed(typed.blame(&counting, &error))),
            Err(error) => return Err(Wrong::Typed(error)),
        },
    };
    let mut cli = Cli::from_arg_matches(&matches).map_err(Wrong::Typed)?;
    cli.global.from_environment = matches
        .ids()
        .filter(|id| matches.value_source(id.as_str()) == Some(ValueSource::EnvVariable))
        .map(ToString::to_string)
        .collect();
    cli.global.from_file = counting.iter().map(|option| option.key.clone()).collect();
    Ok((cli, file))
}

async fn run(command: Command, context: Context) -> Outcome {
    use Command::{Daemon, Demo, Devnet, Get, Seed, Tracker};
    let context = &context;
    // These end in order when they are told to; all others may be dropped.
    let ends_in_order = matches!(
        command,
        Daemon(_) | Command::Watch(_) | Demo(_) | Devnet(_) | Get(_) | Seed(_) | Tracker(_)
    );
    let work = async {
        match command {
            Command::Init(command) => command.run(context).await,
            Command::Devnet(command) => command.run(context).await,
            Command::Demo(command) => command.run(context).await,
            Command::Get(command) => command.run(context).await,
            Command::Seed(command) => command.run(context).await,
            Command::Daemon(command) => command.run(context).await,
            Command::Add(command) => command.run(context).await,
            Command::Ls(command) => command.run(context).await,
            Command::Show(command) => command.run(context).await,
            Command::Pause(which) => which.pause(context).await,
            Command::Resume(which) => which.resume(context).await,
            Command::Rm(command) => command.run(context).await,
            Command::Limit(command) => command.run(context).await,
            Command::Queue(command) => command.run(context).await,
            Command::Trackers(command) => command.run(context).await,
            Command::Files(command) => command.run(context).await,
            Command::Price(command) => command.run(context).await,
            Command::Watch(command) => command.run(context).await,
            Command::Torrent(command) => command.run(context).await,
            Command::Tracker(command) => command.run(context).await,
            Command::Settle(command) => command.run(context).await,
            Command::Ledger(command) => command.run(context).await,
            Command::Peers(command) => command.run(context).await,
            Command::Earnings(command) => command.run(context).await,
            Command::Send(command) => command.run(context).await,
            Command::Receipts(command) => command.run(context).await,
            Command::Wallet(command) => command.run(context).await,
            Command::Balance(command) => command.run(context).await,
            Command::Account(command) => command.run(context).await,
            Command::Token(command) => command.run(context).await,
            Command::Tx(command) => command.run(context).await,
            Command::Config(command) => command.run(context),
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(context),
        }
    };
    if ends_in_order {
        work.await
    } else {
        let interrupt = &context.interrupt;
        let out = context.out;
        let told = move || out.failure(&Failure::interrupted());
        interrupt.end_what_blocks(told, &context.ends_in_order);
        context.or_interrupt(work).await
    }
}

/// Help or the version: a result.
fn print_help(help: &clap::Error, json: bool) -> ExitCode {
    match help.print() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let failure = output::unwritten(&error);
            Output { json, quiet: false }.failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn usage_error(error: &clap::Error, json: bool) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return print_help(error, json);
    }
    if !json {
        // An argument is repeated as it was given, and may be a link from anywhere.
        let rendered = error.render().to_string();
        let harmless = printable::lines(&rendered);
        // Nobody is left to tell if that fails.
        let _ = if harmless == rendered {
            error.print()
        } else {
            std::io::Write::write_all(&mut std::io::stderr(), harmless.as_bytes())
        };
        return ExitCode::from(Exit::Usage as u8);
    }
    let rendered = error.render().to_string();
    // Its first paragraph, in one line: a list of what is missing follows the colon.
    let lines = rendered.lines().map(str::trim);
    let message = lines
        .take_while(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let failure =
        Failure::usage(message.trim_start_matches("error: ")).hint("see `seedrail --help`");
    Output { json, quiet: false }.failure(&failure);
    ExitCode::from(Exit::Usage as u8)
}

fn start_logging(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        // uTP asks for a buffer that no system grants, and warns of that each time.
        (false, 0) => "warn,librqbit_utp::socket=error",
        (false, 1) => "info,seedrail=debug",
        (false, _) => "debug,seedrail=trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("SEEDRAIL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    let ansi = match global.color {
        clap::ColorChoice::Always => true,
        clap::ColorChoice::Never => false,
        clap::ColorChoice::Auto => std::io::IsTerminal::is_terminal(&std::io::stderr()),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || LogWriter { coloured: ansi })
        .with_ansi(ansi)
        .with_target(false)
        .init();
}
