//! What to do next with a payout, by what is on disk. Pure.
//!
//! The same table serves a run in its course and a run after a crash: there is
//! no memory that matters. Its rows are enumerated by the test below.

use crate::{
    ledger::{AttemptRow, AttemptState, PayoutKind, PayoutRow, PayoutState},
    types::{TxId, UnixMs},
};

/// How often a payout of a plan is signed before it is given up: each attempt
/// took two minutes to die, so something else is wrong.
pub const MAX_ATTEMPTS: usize = 5;

/// What the table needs beside the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The head's time: a node refuses what expires at or before it.
    pub head: UnixMs,
    /// Whether new attempts may be signed: false after too many refusals, and where
    /// there is no key that the chain takes alone.
    pub may_sign: bool,
}

/// The next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Sign attempt number so-and-so, put it on disk, then send it.
    Sign(u32),
    /// Send the bytes of this attempt (again).
    Send(TxId),
    /// Only read blocks until this attempt is solid or dead.
    Follow(TxId),
    /// The same, and nobody waits for it: those who hold the account's keys have
    /// not signed it yet.
    Await(TxId),
    /// Give it up: every attempt is dead or none was ever made.
    GiveUp(String),
    /// It has ended.
    Done,
    /// The rows contradict each other; a program error or a damaged ledger.
    Broken(&'static str),
}

/// The table. `attempts` are the payout's, by ordinal.
///
/// | payout | attempts | step |
/// |---|---|---|
/// | planned | none | sign, or give up when signing has stopped |
/// | in flight | one offered | leave it to the holders of the keys |
/// | in flight | one living, not expired | send the same bytes |
/// | in flight | one living, expired | follow: it may be in a block |
/// | in flight | all dead | settle: sign the next, up to five; send: give up |
/// | confirmed | one solid | done |
/// | failed | none living or solid | done |
/// | anything else | | broken |
pub fn next_step(payout: &PayoutRow, attempts: &[impl AsRef<AttemptRow>], facts: &Facts) -> Step {
    let mut living = None;
    let mut solid = 0;
    for attempt in attempts.iter().map(AsRef::as_ref) {
        match attempt.state {
            AttemptState::Dead => {}
            AttemptState::Solid => solid += 1,
            AttemptState::Offered
            | AttemptState::Signed
            | AttemptState::Sent
            | AttemptState::Included => {
                if living.replace(attempt).is_some() {
                    return Step::Broken("two attempts of it may pay");
                }
            }
        }
    }
    match (payout.state, living, solid) {
        (PayoutState::Planned, None, 0) if attempts.is_empty() => {
            if facts.may_sign {
                Step::Sign(1)
            } else {
                Step::GiveUp("it was not signed, and nothing more is signed now".to_owned())
            }
        }
        (PayoutState::InFlight, Some(attempt), 0) => {
            if attempt.state == AttemptState::Offered {
                Step::Await(attempt.txid)
            } else if attempt.state != AttemptState::Included && facts.head < attempt.expiration {
                Step::Send(attempt.txid)
            } else {
                Step::Follow(attempt.txid)
            }
        }
        (PayoutState::InFlight, None, 0) if !attempts.is_empty() => {
            after_death(payout, attempts, facts)
        }
        (PayoutState::Confirmed, None, 1) | (PayoutState::Failed, None, 0) => Step::Done,
        _ => Step::Broken("its state and its attempts contradict each other"),
    }
}

fn after_death(payout: &PayoutRow, attempts: &[impl AsRef<AttemptRow>], facts: &Facts) -> Step {
    let remark = match attempts.last().map(AsRef::as_ref) {
        Some(last) if last.block.is_some() => "it was included and failed on the chain",
        Some(last) if !last.remark.is_empty() && !last.is_accepted() => last.remark.as_str(),
        _ => "no block took it before it expired",
    };
    // A `send` was watched by its user, who decides anew.
    if payout.kind == PayoutKind::Send || !facts.may_sign {
        return Step::GiveUp(remark.to_owned());
    }
    if attempts.len() >= MAX_ATTEMPTS {
        return Step::GiveUp(format!("{MAX_ATTEMPTS} attempts died; the last: {remark}"));
    }
    u32::try_from(attempts.len() + 1).map_or(Step::Broken("too many attempts"), Step::Sign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::{BatchId, PayoutId},
        types::{Address, BlockId, RawAmount, Token, TokenId},
    };

    const EXPIRATION: UnixMs = UnixMs(100);

    fn payout(kind: PayoutKind, state: PayoutState) -> PayoutRow {
        PayoutRow {
            id: PayoutId::new(1).unwrap(),
            batch: BatchId::new(1).unwrap(),
            kind,
            payer: Address::from_body([1; 20]),
            payee: Address::from_body([2; 20]),
            token: Token::Trc10(TokenId::BTT),
            from: RawAmount::ZERO,
            amount: RawAmount::new(5).unwrap(),
            memo: Vec::new(),
            label: String::new(),
            not_for_debts: false,
            state,
            reason: String::new(),
            owed: RawAmount::ZERO,
            owed_to_us: RawAmount::ZERO,
        }
    }

    fn attempt(ordinal: usize, state: AttemptState) -> AttemptRow {
        let byte = u8::try_from(ordinal).unwrap();
        AttemptRow {
            txid: TxId::from_bytes([byte; 32]),
            payout: PayoutId::new(1).unwrap(),
            ordinal: u32::from(byte),
            bytes: Vec::new(),
            reference: BlockId::from_bytes([0; 32]),
            expiration: EXPIRATION,
            signed_at: UnixMs(0),
            state,
            block: None,
            fee: None,
            remark: String::new(),
        }
    }

    /// Every payout state with every list of up to three attempts, before and
    /// after the expiration, with and without leave to sign: 8,288 rows, each
    /// checked against the rules said in another way than the code says them.
    #[test]
    fn every_row_of_the_table() {
        use AttemptState::{Dead, Included, Offered, Sent, Signed, Solid};
        let attempt_states = [Offered, Signed, Sent, Included, Solid, Dead];
        let mut lists: Vec<Vec<AttemptState>> = vec![vec![]];
        for length in 1..=3 {
            let longer: Vec<_> = lists
                .iter()
                .filter(|list| list.len() == length - 1)
                .flat_map(|list| attempt_states.map(|state| [&list[..], &[state]].concat()))
                .collect();
            lists.extend(longer);
        }
        let mut rows = 0;
        for kind in [PayoutKind::Settle, PayoutKind::Send] {
            for state in [
                PayoutState::Planned,
                PayoutState::InFlight,
                PayoutState::Confirmed,
                PayoutState::Failed,
            ] {
                for list in &lists {
                    for (head, may_sign) in [(99, true), (99, false), (100, true), (100, false)] {
                        let attempts: Vec<_> = list
                            .iter()
                            .enumerate()
                            .map(|(index, state)| attempt(index + 1, *state))
                            .collect();
                        let facts = Facts {
                            head: UnixMs(head),
                            may_sign,
                        };
                        let step = next_step(&payout(kind, state), &attempts, &facts);
                        check(kind, state, list, facts, &step);
                        rows += 1;
                    }
                }
            }
        }
        assert_eq!(rows, 2 * 4 * (1 + 6 + 36 + 216) * 4);
    }

    fn check(
        kind: PayoutKind,
        state: PayoutState,
        list: &[AttemptState],
        facts: Facts,
        step: &Step,
    ) {
        let row = format!("{kind:?} {state:?} {list:?} {facts:?} gives {step:?}");
        let not_dead = list.iter().filter(|s| **s != AttemptState::Dead).count();
        match step {
            Step::Sign(ordinal) => {
                assert_eq!(not_dead, 0, "re-signed while one may pay: {row}");
                assert!(facts.may_sign, "{row}");
                assert_eq!(*ordinal as usize, list.len() + 1, "{row}");
                assert!(list.is_empty() == (state == PayoutState::Planned), "{row}");
                assert!(kind == PayoutKind::Settle || list.is_empty(), "{row}");
            }
            Step::Send(_) => {
                assert_eq!((state, not_dead), (PayoutState::InFlight, 1), "{row}");
                assert!(facts.head < EXPIRATION, "{row}");
                assert!(
                    !list.contains(&AttemptState::Offered),
                    "sent unsigned: {row}"
                );
            }
            Step::Await(_) => {
                assert_eq!((state, not_dead), (PayoutState::InFlight, 1), "{row}");
                assert!(list.contains(&AttemptState::Offered), "{row}");
            }
            Step::Follow(_) => {
                assert_eq!((state, not_dead), (PayoutState::InFlight, 1), "{row}");
            }
            Step::GiveUp(_) => {
                assert_eq!(not_dead, 0, "gave up what may pay: {row}");
                assert!(
                    matches!(state, PayoutState::Planned | PayoutState::InFlight),
                    "{row}"
                );
            }
            Step::Done => assert!(
                (state == PayoutState::Confirmed
                    && not_dead == 1
                    && list.contains(&AttemptState::Solid))
                    || (state == PayoutState::Failed && not_dead == 0),
                "{row}"
            ),
            Step::Broken(_) => {
                let sound = match state {
                    PayoutState::Planned => list.is_empty(),
                    PayoutState::InFlight => {
                        !list.is_empty() && not_dead <= 1 && !list.contains(&AttemptState::Solid)
                    }
                    PayoutState::Confirmed => not_dead == 1 && list.contains(&AttemptState::Solid),
                    PayoutState::Failed => not_dead == 0,
                };
                assert!(!sound, "{row}");
            }
        }
    }

    #[test]
    fn five_dead_attempts_are_enough() {
        let attempts: Vec<_> = (1..=MAX_ATTEMPTS)
            .map(|ordinal| attempt(ordinal, AttemptState::Dead))
            .collect();
        let facts = Facts {
            head: UnixMs(0),
            may_sign: true,
        };
        let payout = payout(PayoutKind::Settle, PayoutState::InFlight);
        assert!(matches!(
            next_step(&payout, &attempts, &facts),
            Step::GiveUp(_)
        ));
        assert_eq!(next_step(&payout, &attempts[1..], &facts), Step::Sign(5));
    }
}
