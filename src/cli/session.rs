//! Session keys: what `seed` and `get` sign with, so that the process that talks
//! to strangers never holds the wallet's key. The wallet signs a spend grant for
//! one, once; its file is of mode 0600 and ends with the grant.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Context, account,
    failure::{Failure, Outcome},
    settings::{Network, private_folder, read_secret},
    store,
    units::{self, btt_text},
};
use crate::{
    client::Renew,
    ledger::{GrantUse, Ledger, Parties},
    receipts::{
        self, Identity, ReceiptDomain, SignedGrant, SpendGrant, TakeBackError, newest_grant,
    },
    tron::{keys::SecretKey, keystore::create_private},
    types::{Address, BlockId, Clock, RawAmount, Salt, SystemClock, TokenId},
};

/// A grant begins so many seconds before it is made: clocks differ.
const BEGINS_BEFORE: u64 = 60;
/// A session key that ends sooner is not begun with.
const LEAST_LEFT: u64 = 600;
/// How long a grant is good when not said: one that spends, …
const SPENDS_FOR: Duration = Duration::from_secs(24 * 3600);
/// … and one that only says who is there.
const SELLS_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// Flags of a new session key.
#[derive(Debug, Args)]
#[command(next_help_heading = "Session key")]
pub(crate) struct GrantFlags {
    /// Spending limit of a new session key, for example 5BTT.
    #[arg(long, value_name = "AMOUNT", value_parser = units::btt)]
    grant: Option<RawAmount>,
    /// Spending limit of the session key for one peer. Default: all of it.
    #[arg(long, value_name = "AMOUNT", value_parser = units::btt, requires = "grant")]
    grant_per_peer: Option<RawAmount>,
    /// Life of the session key, for example 12h or 7d.
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    grant_for: Option<Duration>,
}

impl GrantFlags {
    /// Whether a key that was granted before keeps to all that was typed now: a cap of the
    /// command line holds, whatever keys there are.
    fn allow(&self, grant: &SpendGrant) -> bool {
        let lasts = grant
            .not_after
            .saturating_sub(grant.not_before)
            .saturating_sub(BEGINS_BEFORE);
        self.grant.is_none_or(|total| total == grant.max_total)
            && self
                .grant_per_peer
                .is_none_or(|cap| cap.min(grant.max_total) == grant.max_per_payee)
            && self.grant_for.is_none_or(|time| time.as_secs() == lasts)
    }
}

/// What is in a session key's file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionFile {
    genesis: BlockId,
    key: String,
    grant: Value,
}

impl Drop for SessionFile {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}

fn now_secs() -> u64 {
    u64::try_from(SystemClock.now().secs()).unwrap_or(0)
}

/// A raw key is for tests and devnets: elsewhere it never meets strangers.
pub(crate) fn no_raw_key_among_strangers(context: &Context) -> Outcome {
    let network = context.settings.network;
    if network == Network::Devnet || !account::is_raw(&context.settings)? {
        return Ok(());
    }
    let message = format!("a raw private key is not used among strangers on {network}");
    Err(Failure::failed("raw_key", message)
        .hint("keep it in a wallet file: `seedrail wallet import`"))
}

/// Who the swarm signs as: a session key of the account, an earlier one if it
/// still serves; on a devnet, a raw key itself.
pub(crate) fn identity(
    context: &Context,
    genesis: BlockId,
    ledger: &dyn Parties,
    flags: &GrantFlags,
    spends: Option<Option<RawAmount>>,
) -> Outcome<Identity> {
    no_raw_key_among_strangers(context)?;
    if account::is_raw(&context.settings)? {
        let key = account::key(context)?;
        if spends.is_some() {
            context.out.note(format!(
                "receipts are signed with the key of {} itself, as this is a devnet",
                key.address()
            ));
        }
        return Ok(Identity::own(Arc::new(key)));
    }
    let payer = account::address(context)?;
    if let Some((key, grant)) = usable(context, genesis, ledger, payer, flags, spends.is_some())? {
        context.out.note(format!("session key {}", told(&grant)));
        return session(key, grant);
    }
    let (key, grant) = make(context, genesis, ledger, payer, flags, spends)?;
    session(key, grant)
}

fn session(key: SecretKey, grant: SignedGrant) -> Outcome<Identity> {
    Identity::session(Arc::new(key), grant).map_err(|error| Failure::failed("session_key", error))
}

fn told(signed: &SignedGrant) -> String {
    let grant = &signed.grant;
    let hours = grant.not_after.saturating_sub(now_secs()) / 3600;
    format!(
        "{} signs for {}, {}; it ends in {hours} h",
        grant.signer,
        grant.payer,
        limits(grant)
    )
}

/// What a session key may spend.
fn limits(grant: &SpendGrant) -> String {
    if grant.max_total == RawAmount::ZERO {
        return "and can spend nothing".to_owned();
    }
    format!(
        "at most {} in all and {} for one peer",
        btt_text(grant.max_total.unsigned()),
        btt_text(grant.max_per_payee.unsigned()),
    )
}

fn folder(context: &Context) -> PathBuf {
    context.settings.home.join("sessions")
}

/// The session files of an account on a chain.
fn files(context: &Context, genesis: BlockId, payer: Address) -> Outcome<Vec<PathBuf>> {
    let folder = folder(context);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::file(&folder, error)),
    };
    let prefix = prefix(genesis, payer);
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| Failure::file(&folder, error))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(&prefix) && name.ends_with(".json")) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn prefix(genesis: BlockId, payer: Address) -> String {
    let text = genesis.to_string();
    format!("{}-{payer}-", text.get(48..).unwrap_or(&text))
}

fn remove(path: &Path) -> Outcome {
    fs::remove_file(path).map_err(|error| Failure::file(path, error))
}

fn read(path: &Path) -> Outcome<(SecretKey, SignedGrant)> {
    let bad = |what: &str| Failure::file(path, format!("not a session key: {what}"));
    let text = read_secret(path)?;
    let file: SessionFile =
        serde_json::from_str(&text).map_err(|_| bad("it is not of its form"))?;
    let key = SecretKey::from_hex(&file.key).map_err(|_| bad("its key is no key"))?;
    let grant = SignedGrant::from_json(file.grant.clone()).map_err(|_| bad("its grant"))?;
    if grant.grant.signer != key.address() {
        return Err(bad("its grant is for another key"));
    }
    Ok((key, grant))
}

/// The session key of this account that is good for longest, if it will do.
/// Those that have ended or were revoked are deleted.
fn usable(
    context: &Context,
    genesis: BlockId,
    ledger: &dyn Parties,
    payer: Address,
    flags: &GrantFlags,
    spends: bool,
) -> Outcome<Option<(SecretKey, SignedGrant)>> {
    let mut best: Option<(SecretKey, SignedGrant)> = None;
    for path in files(context, genesis, payer)? {
        let (key, signed) = read(&path)?;
        let grant = &signed.grant;
        let marks = ledger.grant_marks(payer, grant.signer)?;
        if grant.not_after <= now_secs() || marks.revoked.is_some_and(|up| up >= grant.serial) {
            remove(&path)?;
            continue;
        }
        let spent = ledger.grant_left(signed.hash(), None)? == RawAmount::ZERO;
        let left = grant.not_after > now_secs() + LEAST_LEFT && (!spends || !spent);
        let later = best
            .as_ref()
            .is_none_or(|(_, other)| other.grant.not_after < grant.not_after);
        if left && flags.allow(grant) && later {
            best = Some((key, signed));
        }
    }
    Ok(best)
}

/// Asks for the caps, once, and has the wallet sign the grant.
fn make(
    context: &Context,
    genesis: BlockId,
    ledger: &dyn Parties,
    payer: Address,
    flags: &GrantFlags,
    spends: Option<Option<RawAmount>>,
) -> Outcome<(SecretKey, SignedGrant)> {
    let max_total = match (flags.grant, spends) {
        (Some(total), _) => total,
        (None, None) => RawAmount::ZERO,
        (None, Some(Some(budget))) => budget,
        (None, Some(None)) => ask_total(context)?,
    };
    let max_per_payee = flags.grant_per_peer.unwrap_or(max_total).min(max_total);
    let lasts = flags.grant_for.unwrap_or(if spends.is_some() {
        SPENDS_FOR
    } else {
        SELLS_FOR
    });
    if lasts.as_secs() <= LEAST_LEFT {
        return Err(Failure::usage(
            "a session key is made for more than ten minutes",
        ));
    }
    let (key, grant) = draft(payer, max_total, max_per_payee, lasts)?;
    let open = open_total(&ledger.grants(payer)?, ledger)?;
    context.out.note(format!(
        "your wallet lets a new session key, {}, sign for {payer}, {}; it ends in {} h{}",
        grant.signer,
        limits(&grant),
        lasts.as_secs() / 3600,
        match open {
            0 => String::new(),
            open => format!("; other open session keys may sign {} more", btt_text(open)),
        }
    ));
    if max_total > RawAmount::ZERO {
        context.out.confirm("Grant it?", context.settings.yes)?;
    }
    grant_it(context, genesis, ledger, key, grant, None)
}

/// A new key, and what it is to be granted from now on.
fn draft(
    payer: Address,
    max_total: RawAmount,
    max_per_payee: RawAmount,
    lasts: Duration,
) -> Outcome<(SecretKey, SpendGrant)> {
    let key = SecretKey::generate().map_err(|error| Failure::failed("random", error))?;
    let now = now_secs();
    let grant = SpendGrant {
        payer,
        signer: key.address(),
        token: TokenId::BTT,
        max_per_payee,
        max_total,
        not_before: now.saturating_sub(BEGINS_BEFORE),
        not_after: now.saturating_add(lasts.as_secs()),
        serial: now,
    };
    Ok((key, grant))
}

/// What renews the session key of a process that runs on; none where a person would have to
/// type something, or no session key is used.
pub(super) fn renewal(
    context: &Context,
    genesis: BlockId,
    ledger: &Arc<dyn Ledger>,
) -> Outcome<Option<Renew>> {
    if account::is_raw(&context.settings)?
        || account::signer_is_missing(context)?
        || account::is_asked_for(context)?
    {
        return Ok(None);
    }
    let (context, ledger) = (context.clone(), Arc::clone(ledger));
    Ok(Some(Arc::new(move |old| {
        let renewed = renew(&context, genesis, ledger.as_ref(), old);
        renewed.map_err(|failure| failure.message)
    })))
}

/// A key that may do what the old one could still do, for as long as that was made for.
fn renew(
    context: &Context,
    genesis: BlockId,
    ledger: &dyn Parties,
    old: &SignedGrant,
) -> Outcome<Identity> {
    let renews = old.hash();
    let left = ledger.grant_left(renews, None)?;
    let old = &old.grant;
    if left == RawAmount::ZERO && old.max_total > RawAmount::ZERO {
        return Err(Failure::funds("its spending limit is used up"));
    }
    let lasts = old.not_after.saturating_sub(old.not_before);
    let lasts = Duration::from_secs(lasts.saturating_sub(BEGINS_BEFORE).max(LEAST_LEFT));
    let per_payee = old.max_per_payee.min(left);
    let (key, grant) = draft(old.payer, left, per_payee, lasts)?;
    let (key, grant) = grant_it(context, genesis, ledger, key, grant, Some(renews))?;
    context
        .out
        .note(format!("session key renewed: {}", told(&grant)));
    session(key, grant)
}

/// Has the wallet sign a grant, which follows another one if that is said, and keeps the key.
fn grant_it(
    context: &Context,
    genesis: BlockId,
    ledger: &dyn Parties,
    key: SecretKey,
    grant: SpendGrant,
    renews: Option<Salt>,
) -> Outcome<(SecretKey, SignedGrant)> {
    let (payer, now) = (grant.payer, now_secs());
    let wallet = account::signer(context)?;
    let domain = ReceiptDomain::new(genesis);
    let signed = SignedGrant::sign(grant, &domain, wallet.as_ref())
        .map_err(|error| Failure::failed("sign", error))?;
    drop(wallet);
    // A grant without its key is of no use to anybody; a key whose grant the ledger
    // does not have would be found, and refused, by every later run.
    match renews {
        Some(renews) => ledger.store_renewal(&signed.to_row(), renews, now)?,
        None => ledger.store_grant(&signed.to_row(), now)?,
    };
    let folder = folder(context);
    private_folder(&folder)?;
    let file = SessionFile {
        genesis,
        key: hex::encode(key.expose_bytes().as_slice()),
        grant: signed.to_json(),
    };
    let text = serde_json::to_string(&file).map_err(|error| Failure::failed("json", error))?;
    let text = Zeroizing::new(text);
    let path = folder.join(format!("{}{}.json", prefix(genesis, payer), grant.signer));
    create_private(&path, text.as_bytes()).map_err(|error| Failure::file(&path, error))?;
    Ok((key, signed))
}

fn ask_total(context: &Context) -> Outcome<RawAmount> {
    if context.settings.yes || !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        return Err(Failure::usage("how much may the session key sign away?")
            .hint("say it with --grant 50BTT or --max-spend 50BTT"));
    }
    for _ in 0..3 {
        let text = super::output::ask(&format!(
            "Spending limit of the session key [{USUAL_LIMIT}]: "
        ))?;
        let text = if text.is_empty() { USUAL_LIMIT } else { &text };
        match units::btt(text) {
            Ok(limit) => return Ok(limit),
            Err(why) => context.out.show(why),
        }
    }
    Err(Failure::usage("no spending limit was given").hint("say it with --grant 50BTT"))
}

/// What is offered as the limit of a session key.
const USUAL_LIMIT: &str = "50BTT";

/// What grants that are good and not used up may still sign away, in raw units. Those that
/// follow one another sign away no more than the first of them leaves.
fn open_total(uses: &[GrantUse], ledger: &dyn Parties) -> Outcome<u64> {
    let left: BTreeMap<Salt, RawAmount> = uses
        .iter()
        .map(|used| (used.grant.hash, used.left))
        .collect();
    let mut open: BTreeMap<Salt, u64> = BTreeMap::new();
    for used in uses {
        if state(used, ledger)? == "open" {
            let most = left.get(&used.first).unwrap_or(&used.left).unsigned();
            let all = open.entry(used.first).or_default();
            *all = all.saturating_add(used.left.unsigned()).min(most);
        }
    }
    Ok(open.values().fold(0, |sum, open| sum.saturating_add(*open)))
}

fn state(used: &GrantUse, ledger: &dyn Parties) -> Outcome<&'static str> {
    let grant = &used.grant;
    let marks = ledger.grant_marks(grant.payer, grant.signer)?;
    Ok(
        if marks.revoked.is_some_and(|serial| serial >= grant.serial) {
            "revoked"
        } else if grant.not_after < now_secs() {
            "ended"
        } else if marks.highest.is_some_and(|serial| serial > grant.serial) {
            "replaced"
        } else if grant.max_total == RawAmount::ZERO {
            "identity"
        } else if used.left == RawAmount::ZERO {
            "used up"
        } else {
            "open"
        },
    )
}

impl From<TakeBackError> for Failure {
    fn from(error: TakeBackError) -> Self {
        match error {
            TakeBackError::NothingGranted { .. } => {
                Self::failed("no_grant", error).hint("`seedrail wallet grants` shows them")
            }
            TakeBackError::Sign(error) => Self::failed("sign", error),
            TakeBackError::Ledger(error) => error.into(),
        }
    }
}

/// `seedrail wallet grants`: what session keys may sign, and taking it back.
pub(crate) async fn grants(context: &Context, revoke: Option<Address>) -> Outcome {
    let payer = account::address(context)?;
    if let Some(signer) = revoke {
        let (_, ledger) = store::open_offline(context).await?;
        return take_back(context, ledger.as_ref(), payer, signer);
    }
    let (_, ledger) = store::open_to_read(context).await?;
    let uses = ledger.grants(payer)?;
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for used in &uses {
        let grant = &used.grant;
        let state = state(used, ledger.as_ref())?;
        lines.push(format!(
            "{}  {state:<9} signed {} of {} ({} for one peer), until {}",
            grant.signer,
            btt_text(used.issued.unsigned()),
            btt_text(grant.max_total.unsigned()),
            btt_text(grant.max_per_payee.unsigned()),
            grant.not_after,
        ));
        rows.push(json!({
            "signer": grant.signer,
            "state": state,
            "serial": grant.serial,
            "max_total_raw": grant.max_total,
            "max_per_payee_raw": grant.max_per_payee,
            "issued_raw": used.issued,
            "not_before": grant.not_before,
            "not_after": grant.not_after,
            "hash": grant.hash,
        }));
    }
    let open = open_total(&uses, ledger.as_ref())?;
    let document = json!({ "account": payer, "open_raw": open.to_string(), "grants": rows });
    context.out.result(&document, || {
        if lines.is_empty() {
            return "no grants".to_owned();
        }
        lines.push(format!("open in all: {}", btt_text(open)));
        lines.join("\n")
    })
}

fn take_back(context: &Context, ledger: &dyn Parties, payer: Address, signer: Address) -> Outcome {
    // Before a passphrase is asked for.
    newest_grant(ledger, payer, signer)?;
    let wallet = account::signer(context)?;
    let serial = receipts::take_back(ledger, wallet.as_ref(), signer, now_secs())?;
    for path in files(context, ledger.genesis(), payer)? {
        if path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .is_some_and(|stem| stem.ends_with(&signer.to_string()))
        {
            remove(&path)?;
        }
    }
    let document = json!({ "revoked": signer, "serial": serial });
    context.out.result(&document, || {
        format!(
            "revoked: nothing more is signed by {signer}; peers are told when `seed` or `get` meets them next"
        )
    })
}
