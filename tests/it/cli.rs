//! The command line, by the real binary and an empty home.

mod accounts;
mod earnings;
mod first_run;
mod fresh_home;
mod goals;
mod habits;
mod ledger;
mod limit;
mod lying;
mod multisig;
mod paid;
mod payout_file;
mod printed;
mod renewal;
mod screen;
mod shell;
mod shown;
mod signer;
mod slow_payers;
mod small_truths;
mod sources;
mod tx;
mod wallet;
mod witnesses;
