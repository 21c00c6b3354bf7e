//! The command line, by the real binary and an empty home.

mod earnings;
mod habits;
mod ledger;
mod multisig;
mod payout_file;
mod run;
mod shell;
mod tx;
mod wallet;
