//! What the tests stand on: nodes, processes, homes, servers and links that they
//! start, and what they wait for.

pub(crate) mod child;
pub(crate) mod failing_ledger;
pub(crate) mod gated_ledger;
pub(crate) mod home;
pub(crate) mod http_server;
pub(crate) mod link;
pub(crate) mod lying_node;
pub(crate) mod market;
pub(crate) mod pay_proxy;
pub(crate) mod peer;
pub(crate) mod postgres_server;
pub(crate) mod schema;
pub(crate) mod scripted;
pub(crate) mod site;
pub(crate) mod small_disk;
pub(crate) mod socks;
pub(crate) mod terminal;
pub(crate) mod torrents;
pub(crate) mod waiting;
pub(crate) mod web;
