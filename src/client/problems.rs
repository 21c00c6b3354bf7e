//! What needs a person.

use std::collections::BTreeMap;

use super::snapshot::{Problem, ProblemCode};
use crate::types::UnixMs;

/// Problems that are kept: a thousand torrents may fail for one disk.
const MAX_PROBLEMS: usize = 1000;

/// The problems as they stand.
#[derive(Debug, Default)]
pub(super) struct Board {
    problems: BTreeMap<(ProblemCode, Option<String>), Problem>,
}

impl Board {
    /// There is this problem. True if it is new, or is another one than before.
    pub(super) fn set(
        &mut self,
        code: ProblemCode,
        subject: Option<String>,
        message: String,
        hint: &str,
        now: UnixMs,
    ) -> bool {
        let key = (code, subject.clone());
        let before = self.problems.get(&key);
        if before.is_some_and(|before| before.message == message) {
            return false;
        }
        let since = before.map_or(now, |before| before.since);
        if before.is_none() && self.problems.len() >= MAX_PROBLEMS {
            return false;
        }
        let problem = Problem {
            code,
            subject,
            message,
            hint: hint.to_owned(),
            since,
        };
        self.problems.insert(key, problem);
        true
    }

    /// It is over. True if it was there.
    pub(super) fn clear(&mut self, code: ProblemCode, subject: Option<&str>) -> bool {
        let key = (code, subject.map(str::to_owned));
        self.problems.remove(&key).is_some()
    }

    /// Nothing is left of what they were about.
    pub(super) fn clear_subject(&mut self, subject: &str) {
        self.problems
            .retain(|(_, about), _| about.as_deref() != Some(subject));
    }

    /// All of them, the oldest first.
    pub(super) fn all(&self) -> Vec<Problem> {
        let mut all: Vec<Problem> = self.problems.values().cloned().collect();
        all.sort_by_key(|problem| problem.since);
        all
    }
}
