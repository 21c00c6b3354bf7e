//! The HTTP API: `/wallet` for the head with the pool on top, `/walletsolidity`
//! for the solid chain, as java-tron answers them.

mod account;
mod admin;
mod asset;
mod block;
mod broadcast;
mod build;
mod chain_info;
mod committee;
mod contracts;
mod control;
mod eth;
mod eth_build;
mod eth_contract;
mod eth_moved;
mod events;
mod exchange;
mod execution;
mod failure;
mod filters;
mod grid;
mod guard;
mod http;
mod jsonrpc;
mod line;
mod merge;
mod page;
mod pager;
mod request;
mod stake;
mod transaction;
mod trigger;
mod wide;

use std::sync::Arc;

use serde_json::Value;

pub(crate) use {admin::Purse, filters::Filters, guard::Origins, line::serve, request::Verb};
use {broadcast::Sent, failure::Failure, request::Call};

use crate::{
    devnet::{
        chain::{Chain, Sealed},
        incoming::Incoming,
        node::Node,
        state::State,
    },
    types::{BlockId, TxId, UnixMs},
};

/// Which chain a request sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// The head, and the pool.
    Wallet,
    /// Up to the solid head.
    Solidity,
}

/// What an endpoint may ask the node.
struct Ctx<'a> {
    node: &'a Node,
    side: Side,
    /// Broadcasts reach the node this often: 1 but for faults.
    deliveries: u32,
}

impl Ctx<'_> {
    fn solid_number(&self, chain: &Chain) -> u64 {
        let solid = chain.solid();
        match self.node.faults.held_solid() {
            Some(held) => solid.min(held),
            None => solid,
        }
    }

    /// The state a request sees: on `/wallet` with the pending transactions.
    fn state(&self) -> State {
        let chain = self.node.chain();
        match self.side {
            Side::Wallet => chain.pending_state().clone(),
            Side::Solidity => {
                let solid = self.solid_number(&chain);
                // A head held back for longer than states are kept shows the
                // oldest one there is.
                (solid..=chain.head().number())
                    .find_map(|number| chain.state_at(number))
                    .unwrap_or_else(|| chain.head_state())
                    .clone()
            }
        }
    }

    /// The state after a block, if it is still kept.
    fn state_at(&self, number: u64) -> Option<State> {
        self.node.chain().state_at(number).cloned()
    }

    fn real_head(&self) -> Arc<Sealed> {
        Arc::clone(self.node.chain().head())
    }

    fn solid_block(&self) -> Arc<Sealed> {
        let chain = self.node.chain();
        let solid = chain.block(self.solid_number(&chain));
        Arc::clone(solid.unwrap_or_else(|| chain.genesis()))
    }

    fn head(&self) -> Arc<Sealed> {
        match self.side {
            Side::Wallet => self.real_head(),
            Side::Solidity => self.solid_block(),
        }
    }

    fn seen(&self, chain: &Chain, sealed: &Arc<Sealed>) -> Option<Arc<Sealed>> {
        let visible = self.side == Side::Wallet || sealed.number() <= self.solid_number(chain);
        visible.then(|| Arc::clone(sealed))
    }

    fn block(&self, number: i64) -> Option<Arc<Sealed>> {
        let chain = self.node.chain();
        let sealed = chain.block(u64::try_from(number).ok()?)?;
        self.seen(&chain, sealed)
    }

    fn block_by_id(&self, id: &BlockId) -> Option<Arc<Sealed>> {
        let chain = self.node.chain();
        self.seen(&chain, chain.block_by_id(id)?)
    }

    fn find(&self, txid: &TxId) -> Option<(Arc<Sealed>, usize)> {
        let chain = self.node.chain();
        let (sealed, index) = chain.find(txid)?;
        Some((self.seen(&chain, sealed)?, index))
    }

    fn find_pending(&self, txid: &TxId) -> Option<Incoming> {
        match self.side {
            Side::Wallet => self.node.chain().find_pending(txid).cloned(),
            Side::Solidity => None,
        }
    }

    fn pending(&self) -> Vec<Incoming> {
        self.node.chain().pending().to_vec()
    }

    fn now(&self) -> UnixMs {
        self.node.now()
    }

    fn send(&self, incoming: Incoming) -> Sent {
        let txid = incoming.txid();
        let mut result = Ok(());
        for _ in 0..self.deliveries {
            result = self.node.accept(incoming.clone());
        }
        Sent { txid, result }
    }
}

type Endpoint = fn(&Ctx<'_>, &Call) -> Result<Value, Failure>;

/// How an endpoint answers GET.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Get {
    /// As POST, with its parameters in the query.
    Answers,
    /// 405.
    Refused,
    /// 200 with nothing: a servlet whose `doGet` is empty.
    Silent,
}

/// An endpoint, how it answers GET, whether `/walletsolidity` has it too.
fn route(name: &str) -> Option<(Endpoint, Get, bool)> {
    use Get::{Answers, Refused, Silent};
    let found: (Endpoint, Get, bool) = match name {
        "getnowblock" => (block::get_now_block, Answers, true),
        "getblock" => (block::get_block, Answers, true),
        "getblockbynum" => (block::get_block_by_num, Answers, true),
        "getblockbyid" => (block::get_block_by_id, Answers, true),
        "getblockbylatestnum" => (block::get_block_by_latest_num, Answers, true),
        "getblockbylimitnext" => (block::get_block_by_limit_next, Answers, true),
        "gettransactioncountbyblocknum" => (block::get_transaction_count, Answers, true),
        "getblockbalance" => (block::get_block_balance, Refused, false),
        "gettransactionbyid" => (transaction::get_by_id, Answers, true),
        "gettransactioninfobyid" => (transaction::get_info_by_id, Answers, true),
        "gettransactioninfobyblocknum" => (transaction::get_info_by_block_num, Answers, true),
        "gettransactionreceiptbyid" => (transaction::get_receipt_by_id, Answers, false),
        "gettransactionfrompending" => (transaction::get_pending_by_id, Answers, false),
        "gettransactionlistfrompending" => (transaction::get_pending_list, Answers, false),
        "getpendingsize" => (transaction::get_pending_size, Answers, false),
        "getsignweight" => (transaction::get_sign_weight, Silent, false),
        "getapprovedlist" => (transaction::get_approved_list, Silent, false),
        "getaccount" => (account::get_account, Answers, true),
        "getaccountbyid" => (account::get_account_by_id, Answers, true),
        "getaccountnet" => (account::get_account_net, Answers, false),
        "getaccountresource" => (account::get_account_resource, Answers, false),
        "getaccountbalance" => (stake::get_account_balance, Refused, false),
        "getassetissuebyid" => (asset::get_by_id, Answers, true),
        "getassetissuebyname" => (asset::get_by_name, Answers, true),
        "getassetissuelistbyname" => (asset::get_list_by_name, Answers, true),
        "getassetissuebyaccount" => (asset::get_by_account, Answers, false),
        "getassetissuelist" => (asset::get_list, Answers, true),
        "getpaginatedassetissuelist" => (asset::get_page, Answers, true),
        "getdelegatedresource" => (stake::get_delegated_v1, Answers, true),
        "getdelegatedresourcev2" => (stake::get_delegated_v2, Answers, true),
        "getdelegatedresourceaccountindex" => (stake::get_index_v1, Answers, true),
        "getdelegatedresourceaccountindexv2" => (stake::get_index_v2, Answers, true),
        "getcandelegatedmaxsize" => (stake::get_can_delegate, Answers, true),
        "getavailableunfreezecount" => (stake::get_unfreeze_count, Answers, true),
        "getcanwithdrawunfreezeamount" => (stake::get_withdrawable, Answers, true),
        "getchainparameters" => (chain_info::get_chain_parameters, Answers, false),
        "getbandwidthprices" => (chain_info::get_bandwidth_prices, Answers, true),
        "getenergyprices" => (chain_info::get_energy_prices, Answers, true),
        "getmemofee" => (chain_info::get_memo_fee, Answers, false),
        "getburntrx" => (chain_info::get_burnt_trx, Answers, true),
        "getnextmaintenancetime" => (chain_info::get_next_maintenance, Answers, false),
        "getnodeinfo" => (chain_info::get_node_info, Answers, true),
        "listwitnesses" => (committee::list_witnesses, Answers, true),
        // Empty on a node without peers, and where the count is not kept.
        "listnodes" | "totaltransaction" => (chain_info::get_nothing, Answers, false),
        "getcontract" => (contracts::get_contract, Answers, false),
        "getcontractinfo" => (contracts::get_contract_info, Answers, false),
        "triggersmartcontract" => (trigger::trigger, Silent, false),
        "triggerconstantcontract" => (trigger::call_constant, Silent, true),
        "estimateenergy" => (trigger::estimate, Silent, true),
        "listproposals" => (committee::list_proposals, Answers, false),
        "getproposalbyid" => (committee::get_proposal, Answers, false),
        "getpaginatedproposallist" => (committee::page_of_proposals, Answers, false),
        "listexchanges" => (exchange::list, Answers, true),
        "getexchangebyid" => (exchange::by_id, Answers, true),
        "getpaginatedexchangelist" => (exchange::page_of, Answers, false),
        "getmarketorderbyaccount"
        | "getmarketorderbyid"
        | "getmarketpricebypair"
        | "getmarketorderlistbypair"
        | "getmarketpairlist" => (contracts::nothing, Answers, true),
        "getexpandedspendingkey"
        | "getakfromask"
        | "getnkfromnsk"
        | "getspendingkey"
        | "getdiversifier"
        | "getincomingviewingkey"
        | "getzenpaymentaddress"
        | "getrcm"
        | "getnewshieldedaddress"
        | "createshieldedtransaction"
        | "createshieldedtransactionwithoutspendauthsig"
        | "createspendauthsig"
        | "createshieldnullifier"
        | "getshieldtransactionhash"
        | "createshieldedcontractparameters"
        | "createshieldedcontractparameterswithoutask"
        | "gettriggerinputforshieldedtrc20contract" => (contracts::shielded, Answers, false),
        "scanshieldedtrc20notesbyivk"
        | "scanshieldedtrc20notesbyovk"
        | "isshieldedtrc20contractnotespent"
        | "scannotebyivk"
        | "scanandmarknotebyivk"
        | "scannotebyovk"
        | "getmerkletreevoucherinfo"
        | "isspend" => (contracts::shielded, Answers, true),
        "getReward" => (committee::get_reward, Answers, true),
        "getBrokerage" => (committee::get_brokerage, Answers, true),
        "getpaginatednowwitnesslist" => (committee::page_of_witnesses, Answers, true),
        "createCommonTransaction" => (build::build_any, Silent, false),
        "validateaddress" => (chain_info::validate_address, Answers, false),
        "broadcasttransaction" => (broadcast::broadcast_transaction, Refused, false),
        "broadcasthex" => (broadcast::broadcast_hex, Refused, false),
        _ => return None,
    };
    Some(found)
}

/// What a path comes to.
enum Answer {
    Json(Value),
    /// 200 with an empty body.
    Empty,
    /// 404 to GET, 405 to everything else: no such servlet.
    Unknown,
    /// 405.
    NotAllowed,
}

/// Answers a call to `/wallet` or `/walletsolidity`.
fn answer(node: &Node, side: Side, name: &str, call: &Call, deliveries: u32) -> Answer {
    let answered = node.reading(|| answer_of_state(node, side, name, call, deliveries));
    answered.unwrap_or_else(|error| Answer::Json(Failure::from(error).to_json()))
}

/// The same, from what has been read so far of a forked chain.
fn answer_of_state(node: &Node, side: Side, name: &str, call: &Call, deliveries: u32) -> Answer {
    let ctx = Ctx {
        node,
        side,
        deliveries,
    };
    let reply = |result: Result<Value, Failure>| {
        Answer::Json(result.unwrap_or_else(|failure| failure.to_json()))
    };
    if side == Side::Wallet
        && let Some(kind) = build::contract_of(name)
    {
        let refuses = matches!(
            name,
            "createaccount" | "freezebalancev2" | "delegateresource" | "cancelallunfreezev2"
        );
        return match call.verb {
            Verb::Post => reply(build::build(&ctx, call, kind)),
            Verb::Get if refuses => Answer::NotAllowed,
            Verb::Get => Answer::Empty,
        };
    }
    match route(name) {
        Some((_, _, false)) if side == Side::Solidity => Answer::Unknown,
        Some((_, Get::Refused, _)) if call.verb == Verb::Get => Answer::NotAllowed,
        Some((_, Get::Silent, _)) if call.verb == Verb::Get => Answer::Empty,
        Some((endpoint, _, _)) => {
            let answered = endpoint(&ctx, call);
            reply(answered.map(|value| wide::answer(name, call, value)))
        }
        None => Answer::Unknown,
    }
}

/// The answer to `triggerconstantcontract` on a state, without a node around it.
#[cfg(test)]
pub(crate) fn constant_call(state: &State, slot: super::execute::Slot, body: &str) -> Value {
    let call = Call {
        verb: Verb::Post,
        query: std::collections::BTreeMap::new(),
        body: body.to_owned(),
    };
    trigger::constant_on(&call, state, slot)
}

/// A contract's ABI as a node shows it, as the message for it.
#[cfg(test)]
pub(crate) fn abi(shown: &Value) -> crate::tron::contract::Abi {
    use crate::tron::contract::{Abi, Message as _};
    let bytes = merge::merge(&shown.to_string(), Abi::FIELDS, false).expect("a node's own words");
    Abi::decode(&bytes).expect("it was just written")
}

/// The answer to a request, as the server gives it: its JSON, or nothing.
#[cfg(test)]
pub(crate) fn ask(node: &Arc<Node>, verb: Verb, path: &str, body: &str) -> Value {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query = url::form_urlencoded::parse(query.as_bytes());
    let call = Call {
        verb,
        query: query.into_owned().collect(),
        body: body.to_owned(),
    };
    let (side, name) = match path.rsplit_once('/') {
        Some(("/wallet", name)) => (Side::Wallet, name),
        Some(("/walletsolidity", name)) => (Side::Solidity, name),
        Some((_, "jsonrpc" | "")) if verb == Verb::Post => {
            return jsonrpc::answer(node, &call).unwrap_or_default();
        }
        _ => return Value::Null,
    };
    match answer(node, side, name, &call, 1) {
        Answer::Json(value) => value,
        Answer::Empty | Answer::Unknown | Answer::NotAllowed => Value::Null,
    }
}
