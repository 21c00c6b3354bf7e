//! Settlement: from receipts to coins, exactly once. See `DESIGN.md` beside
//! this file.
//!
//! Pure: [`net`](net()), [`plan`](mod@plan), [`state`], [`recovery`], [`audit`]. With
//! effects: [`Engine`].

pub mod audit;
mod chain;
mod claims;
pub mod earnings;
mod engine;
mod error;
mod net;
mod node;
mod patience;
mod payout_dialect;
pub mod payout_file;
pub mod plan;
mod proof;
pub mod recovery;
mod report;
pub mod state;
mod trust;
mod unsolid;

pub use audit::{Difference, DifferenceKind};
pub use chain::{Answer, Chain, Head, LastAct};
pub use claims::{Claim, Claims, claims, is_signed_by, known_block, settlement, stored_claims};
pub use engine::{
    ALIKE_FOR, Before, Begun, BroughtBack, CancelReport, Engine, FileQuote, FileReport, LIFETIME,
    OFFER_LIFETIME, OfferReport, OfferTerms, OrderName, Question, RecoverReport, RowEnd, RowState,
    RunReport, SLOWEST_SIGNER, SendEnd, SendOrder, SendQuote, SendReport, Unfinished, Until,
    random_number,
};
pub use error::SettleError;
pub use net::{Debt, net};
pub use node::NodeChain;
pub use payout_dialect::{ColumnNames, ColumnNamesError, ReadAs, Unit};
pub use payout_file::{FileRow, PayoutFile, PayoutFileError};
pub use plan::{Deferred, Plan, PlannedPayout, Policy, Why};
pub use proof::{MAX_PROOF_BYTES, PaymentProof, ProofError};
pub use report::{
    BatchReport, CANCELLED, Event, PAID_ELSEWHERE, PLANNED_ANEW, PayoutReport, RESTORED, totals_of,
};
pub use trust::{Trust, learn_witnesses};
