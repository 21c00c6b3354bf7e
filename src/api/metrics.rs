//! `/metrics`: figures for Prometheus, in its text format 0.0.4.

use std::{collections::BTreeMap, fmt::Write as _};

use axum::{http::StatusCode, response::Response};

use super::{answer::with_type, site::Site};
use crate::client::snapshot::{Snapshot, TorrentState};

const STATES: [(TorrentState, &str); 9] = [
    (TorrentState::Metadata, "metadata"),
    (TorrentState::Checking, "checking"),
    (TorrentState::Downloading, "downloading"),
    (TorrentState::Seeding, "seeding"),
    (TorrentState::Paused, "paused"),
    (TorrentState::Queued, "queued"),
    (TorrentState::DiskRefused, "disk_refused"),
    (TorrentState::Finishing, "finishing"),
    (TorrentState::Failed, "failed"),
];

/// Collects families, each with its help and type once.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("writing to a text does not fail");
    }
}

pub(super) fn answer(site: &Site) -> Response {
    let text = of(&site.client.snapshot(), site.started.elapsed().as_secs());
    with_type(
        StatusCode::OK,
        "text/plain; version=0.0.4; charset=utf-8",
        text,
    )
}

/// All figures. None has a label for each torrent or peer: their number has no bound.
fn of(snapshot: &Snapshot, uptime_secs: u64) -> String {
    let mut text = Text::default();
    text.family("seedrail_info", "gauge", "The version that runs.");
    text.line(format_args!(
        "seedrail_info{{version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    ));
    text.one(
        "seedrail_uptime_seconds",
        "gauge",
        "Since the server was started.",
        uptime_secs,
    );
    let transfer = &snapshot.transfer.value;
    let counter = "counter";
    text.one(
        "seedrail_downloaded_bytes_total",
        counter,
        "Received, ever.",
        transfer.downloaded,
    );
    text.one(
        "seedrail_uploaded_bytes_total",
        counter,
        "Sent, ever.",
        transfer.uploaded,
    );
    text.one(
        "seedrail_down_bytes_per_second",
        "gauge",
        "Received now.",
        transfer.down_rate,
    );
    text.one(
        "seedrail_up_bytes_per_second",
        "gauge",
        "Sent now.",
        transfer.up_rate,
    );
    if let Some(nodes) = transfer.dht_nodes {
        text.one(
            "seedrail_dht_nodes",
            "gauge",
            "Nodes of the hash table that are known.",
            nodes,
        );
    }
    let mut states: BTreeMap<TorrentState, u64> = BTreeMap::new();
    let (mut paying, mut free) = (0_u64, 0_u64);
    let (mut earned, mut spent) = (0_u64, 0_u64);
    let mut held: BTreeMap<&str, u64> = BTreeMap::new();
    for torrent in snapshot.torrents.values() {
        let row = &torrent.row.value;
        *states.entry(row.state).or_default() += 1;
        earned = earned.saturating_add(row.earned_raw);
        spent = spent.saturating_add(row.spent_raw);
        for peer in &*torrent.peers.value {
            let paid = peer.paid.as_ref();
            match paid.is_some_and(|paid| {
                paid.purchase_price_raw.is_some() || paid.sale_price_raw.is_some()
            }) {
                true => paying += 1,
                false => free += 1,
            }
            if paid.is_some_and(|paid| paid.held.is_some()) {
                *held.entry("held").or_default() += 1;
            }
        }
    }
    text.family("seedrail_torrents", "gauge", "Torrents, by what they do.");
    for (state, name) in STATES {
        let count = states.get(&state).copied().unwrap_or_default();
        text.line(format_args!(
            "seedrail_torrents{{state=\"{name}\"}} {count}"
        ));
    }
    text.family("seedrail_peers", "gauge", "Connected peers.");
    text.line(format_args!("seedrail_peers{{class=\"paying\"}} {paying}"));
    text.line(format_args!("seedrail_peers{{class=\"free\"}} {free}"));
    let held = held.get("held").copied().unwrap_or_default();
    text.one(
        "seedrail_peers_held",
        "gauge",
        "Paying peers that wait for a receipt or a settlement.",
        held,
    );
    text.one(
        "seedrail_earned_raw_total",
        counter,
        "Earned, ever, in raw units of the token.",
        earned,
    );
    text.one(
        "seedrail_spent_raw_total",
        counter,
        "Spent, ever, in raw units of the token.",
        spent,
    );
    money(&mut text, snapshot);
    text.family(
        "seedrail_disk_free_bytes",
        "gauge",
        "Room in a folder of torrents.",
    );
    for disk in &snapshot.disks.value.disks {
        if let Some(free) = disk.free {
            let folder = label(&disk.folder.display().to_string());
            text.line(format_args!(
                "seedrail_disk_free_bytes{{folder=\"{folder}\"}} {free}"
            ));
        }
    }
    let mut problems: BTreeMap<String, u64> = BTreeMap::new();
    for problem in &snapshot.problems.value.problems {
        let code = serde_json::to_value(problem.code).ok();
        let code = code.and_then(|code| Some(code.as_str()?.to_owned()));
        *problems.entry(code.unwrap_or_default()).or_default() += 1;
    }
    text.family(
        "seedrail_problems",
        "gauge",
        "What needs a person, by its code.",
    );
    for (code, count) in problems {
        text.line(format_args!("seedrail_problems{{code=\"{code}\"}} {count}"));
    }
    text.0
}

fn money(text: &mut Text, snapshot: &Snapshot) {
    let Some(money) = &snapshot.money else {
        return;
    };
    let money = &money.value;
    let sum = |of: fn(&crate::client::snapshot::Position) -> crate::types::RawAmount| {
        let amounts = money
            .positions
            .iter()
            .map(|position| i128::from(of(position).get()));
        amounts.sum::<i128>()
    };
    let owed = sum(|position| position.owes_us_raw);
    let owe = sum(|position| position.we_owe_raw);
    text.one(
        "seedrail_owed_raw",
        "gauge",
        "Owed to us and not settled, in raw units.",
        owed,
    );
    text.one(
        "seedrail_owe_raw",
        "gauge",
        "Owed by us and not settled, in raw units.",
        owe,
    );
    let pending: u64 = money.batches.iter().map(|batch| batch.pending).sum();
    text.one(
        "seedrail_payouts_pending",
        "gauge",
        "Payouts on their way.",
        pending,
    );
    let up = u8::from(money.node.silent.is_none());
    text.one("seedrail_node_up", "gauge", "1 if the node answers.", up);
    if let Some(head) = money.node.solid_head {
        text.one(
            "seedrail_solid_block",
            "gauge",
            "The newest final block.",
            head,
        );
    }
    if let Some(balance) = &money.balance {
        text.one(
            "seedrail_balance_raw",
            "gauge",
            "What the account holds, in raw units.",
            balance.token_raw.get(),
        );
        text.one(
            "seedrail_bandwidth_left_bytes",
            "gauge",
            "Bytes of transactions that cost nothing today.",
            balance.bandwidth_left,
        );
    }
    let until = money
        .grants
        .iter()
        .filter(|grant| {
            matches!(
                grant.state,
                crate::client::snapshot::GrantState::Open
                    | crate::client::snapshot::GrantState::Identity
            )
        })
        .map(|grant| grant.until.0.saturating_sub(snapshot.at.0).div_euclid(1000))
        .max();
    if let Some(left) = until {
        text.one(
            "seedrail_key_seconds_left",
            "gauge",
            "Until the session key ends.",
            left,
        );
    }
}

/// A label's value.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
