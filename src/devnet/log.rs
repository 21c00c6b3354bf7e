//! What a developer looks at while the node runs: requests, transactions, blocks,
//! refusals, a line each.

use std::{fmt, time::Duration};

use super::{
    abi,
    chain::Sealed,
    execute::{Execution, Receipt},
    incoming::Incoming,
    reject::Reject,
    vm::ContractResult,
};
use crate::{
    tron::{
        contract::{Contract, type_name},
        transaction::Transaction,
    },
    types::{Address, Sun, TxId, UnitAmount},
};

/// The longest text of a client that a line shows, characters.
const MAX_TEXT: usize = 80;

/// Something that happened. Its `Display` is the line for it, without control
/// characters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A request was answered.
    Request {
        /// `GET`, `POST`.
        method: String,
        /// The path.
        path: String,
        /// Of JSON-RPC, the methods.
        calls: String,
        /// The HTTP status.
        status: u16,
        /// How long it took.
        took: Duration,
    },
    /// A transaction is in a block.
    Transaction {
        /// Its id.
        txid: TxId,
        /// What it did, in words.
        summary: String,
        /// What it cost.
        fee: Sun,
        /// Of a contract's: the energy that it used.
        energy: Option<u64>,
        /// Why it failed, when it is in its block all the same.
        failure: Option<String>,
    },
    /// A contract printed a line by `console.log`.
    Console {
        /// The transaction it ran for.
        txid: TxId,
        /// The line.
        text: String,
    },
    /// A block is on the chain.
    Block {
        /// Its number.
        number: u64,
        /// Its id.
        id: crate::types::BlockId,
        /// How many transactions it has.
        transactions: usize,
    },
    /// Something was read of the forked chain.
    Read {
        /// What, such as `account T…`.
        what: String,
    },
    /// A transaction was not taken, or left the pool.
    Refusal {
        /// Its id.
        txid: TxId,
        /// What it would have done, in words.
        summary: String,
        /// Why not.
        why: Reject,
    },
}

impl Event {
    pub(crate) fn refusal(incoming: &Incoming, why: Reject) -> Self {
        Self::Refusal {
            txid: incoming.txid(),
            summary: summary(incoming.contract().ok(), incoming.transaction()),
            why,
        }
    }

    /// A block, after its transactions.
    pub(crate) fn of_block(sealed: &Sealed) -> Vec<Self> {
        let executed = sealed.block.transactions.iter().zip(&sealed.receipts);
        let mut events: Vec<_> = executed
            .flat_map(|(transaction, receipt)| {
                let mut lines = vec![Self::executed(transaction, receipt)];
                lines.extend(Self::printed(transaction, receipt));
                lines
            })
            .collect();
        events.push(Self::Block {
            number: sealed.number(),
            id: sealed.id,
            transactions: sealed.block.transactions.len(),
        });
        events
    }

    fn executed(transaction: &Transaction, receipt: &Receipt) -> Self {
        let contract = transaction.raw_data().ok();
        let contract = contract.and_then(|raw| raw.contracts.first()?.decoded().ok());
        let execution = receipt.outcome.execution.as_deref();
        Self::Transaction {
            txid: transaction.txid(),
            summary: summary(contract.as_ref(), transaction),
            fee: Sun(u64::try_from(receipt.fee()).unwrap_or_default()),
            energy: execution
                .map(|execution| u64::try_from(execution.energy.total).unwrap_or_default()),
            failure: execution.and_then(failure),
        }
    }

    /// What it printed, in order.
    fn printed(transaction: &Transaction, receipt: &Receipt) -> Vec<Self> {
        let execution = receipt.outcome.execution.as_deref();
        let lines = execution.map_or(&[][..], |execution| &execution.console);
        let txid = transaction.txid();
        lines
            .iter()
            .map(|call| Self::Console {
                txid,
                text: abi::printed(call),
            })
            .collect()
    }
}

/// Why a contract failed: the chain's word for it, then its own.
fn failure(execution: &Execution) -> Option<String> {
    let message = execution.message.as_ref()?;
    let name = execution.result.name();
    Some(match execution.result {
        ContractResult::Revert => match abi::reason(&execution.output) {
            Some(reason) => format!("{name}: {reason}"),
            None => name.to_owned(),
        },
        _ => format!("{name}: {message}"),
    })
}

/// `TransferContract T… -> T…, 5 TRX`.
fn summary(contract: Option<&Contract>, transaction: &Transaction) -> String {
    let Some(contract) = contract else {
        let raw = transaction.raw_data().ok();
        let number = raw.and_then(|raw| Some(raw.contracts.first()?.contract_type));
        let name = number.and_then(type_name);
        return name.unwrap_or("no contract that can be read").to_owned();
    };
    let name = contract.contract_type().name();
    if let Contract::TriggerSmart(call) = contract
        && let (Ok(from), Ok(to)) = (
            Address::from_bytes(&call.owner_address),
            Address::from_bytes(&call.contract_address),
        )
    {
        return format!("{name} {from} -> {to}");
    }
    match contract.as_transfer() {
        Some(transfer) => {
            let amount = UnitAmount {
                raw: transfer.amount,
                token: transfer.token,
            };
            format!("{name} {} -> {}, {amount}", transfer.from, transfer.to)
        }
        None => match Address::from_bytes(contract.owner_address()) {
            Ok(owner) => format!("{name} of {owner}"),
            Err(_) => name.to_owned(),
        },
    }
}

/// A client's text on one line, as far as it is shown.
fn plain(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_TEXT).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request {
                method,
                path,
                calls,
                status,
                took,
            } => {
                write!(f, "{method} {}", plain(path))?;
                if !calls.is_empty() {
                    write!(f, " {}", plain(calls))?;
                }
                write!(f, "  {status}, {} ms", took.as_millis())
            }
            Self::Transaction {
                txid,
                summary,
                fee,
                energy,
                failure,
            } => {
                write!(f, "    {txid}\n      {summary}; ")?;
                match failure {
                    Some(why) => write!(f, "failed, {}, fee {fee}", plain(why))?,
                    None => write!(f, "done, fee {fee}")?,
                }
                match energy {
                    Some(energy) => write!(f, ", energy {energy}"),
                    None => Ok(()),
                }
            }
            Self::Console { text, .. } => write!(f, "      console.log: {}", plain(text)),
            Self::Block {
                number,
                id,
                transactions,
            } => {
                let s = if *transactions == 1 { "" } else { "s" };
                write!(f, "  block {number}, {transactions} transaction{s}, {id}")
            }
            Self::Read { what } => write!(f, "  read {}", plain(what)),
            Self::Refusal { txid, summary, why } => {
                let why = plain(&why.to_string());
                write!(f, "  refused {txid}\n      {summary}: {why}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_no_control_characters_and_not_too_much() {
        let event = Event::Request {
            method: "POST".into(),
            path: format!("/\u{1b}[2J{}", "x".repeat(1_000)),
            calls: String::new(),
            status: 200,
            took: Duration::from_millis(3),
        };
        let line = event.to_string();
        assert!(line.starts_with("POST /\u{fffd}[2J"), "{line}");
        assert!(line.chars().count() < 120, "{line}");
        assert!(line.ends_with("…  200, 3 ms"), "{line}");
    }
}
