//! Who may use the capacity next. Pure: time comes in as nanoseconds, grants go
//! out as values.
//!
//! Capacity is a token bucket. Two classes share it, paid and free, and the
//! connections of a class share what the class gets, by weight. Both levels are
//! weighted fair queues on virtual time: every user has a *pass*, the one with
//! the lowest is served a chunk, and its pass advances by bytes / weight. The
//! shares are those of deficit round robin, but nobody is ever ahead by more
//! than a chunk, whatever the ratio of the weights; a deficit round of weights
//! 1 : 1000 would serve a thousand chunks in a row.
//!
//! What the free class may get is bounded once more: no free connection gets
//! more beside payers than the lowest of them, divided by the ratio of the
//! classes (4 at 80 %). Otherwise a single free rider among many payers would
//! have the whole free share, and be faster than any of them.
//!
//! It is work-conserving: a class or a connection that wants nothing is passed
//! over, and what it leaves is shared by the others. One that comes back may
//! catch up `CATCH_UP` bytes, so that a pause of one round trip costs it
//! nothing, and no more, so that it cannot save up.

mod equals;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use equals::Equals;

use super::hooks::{ConnId, UploadClass};

/// Bytes granted at once: a chunk.
pub const GRANT: u64 = 16 << 10;

/// How much a connection may have been granted and not used. Enough to keep a
/// socket busy while its task is not running, little enough not to be a queue.
pub const MAX_CREDIT: u64 = 8 * GRANT;

/// What may be caught up after a pause.
const CATCH_UP: u64 = 8 * GRANT;

/// Passes count bytes times this over weight, so that large weights keep
/// precision: 2³⁰ weights tell apart, and 2⁹⁷ bytes fit.
const SCALE: u128 = 1 << 30;

/// The bucket holds at most this part of a second …
const BURST_PER_SECOND: u64 = 20;
/// … but at least this, for a tick of the timer is a millisecond.
const MIN_BURST: u64 = 2 * GRANT;

const NANOS: u128 = 1_000_000_000;

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// This connection may use so many bytes.
    Grant(ConnId, u64),
    /// The bucket is empty; ask again in so many nanoseconds.
    Wait(u64),
    /// Nobody wants anything.
    Idle,
}

/// The shares of one capacity.
#[derive(Debug)]
pub struct Scheduler {
    rate: Option<u64>,
    /// Bytes × 10⁹; may be one grant below zero.
    tokens: i128,
    filled_at: Option<u64>,
    paid: Class,
    free: Class,
    vtime: u128,
    class_of: HashMap<ConnId, bool>,
    /// How many times the share of its equals each connection has; 1 is not kept.
    factors: HashMap<ConnId, u64>,
}

/// A fraction of a class's share, above zero and at most one.
#[derive(Debug, Clone, Copy)]
struct Part {
    num: u128,
    den: u128,
}

const WHOLE: Part = Part { num: 1, den: 1 };

#[derive(Debug)]
struct Class {
    share: u128,
    pass: u128,
    vtime: u128,
    flows: HashMap<ConnId, Flow>,
    waiting: BTreeSet<(u128, ConnId)>,
    /// The active flows by weight, and how many they are: those that want something, or did
    /// within what may be caught up.
    equals: BTreeMap<u128, Equals>,
    active: u128,
    /// Active flows that want nothing, by when that ends.
    leaving: BTreeSet<(u128, ConnId)>,
}

#[derive(Debug)]
struct Flow {
    weight: u128,
    /// Its share beside others of the same weight.
    factor: u128,
    wanted: u64,
    pass: u128,
    /// It is among its equals.
    counted: bool,
}

impl Flow {
    /// Until when it is active although it wants nothing, in virtual time.
    fn until(&self) -> u128 {
        let pause = u128::from(CATCH_UP) * SCALE / self.weight;
        self.pass.saturating_add(pause)
    }
}

impl Scheduler {
    /// A capacity of `rate` bytes a second (`None`: no limit), of which paid
    /// connections get `paid_share` percent (1 to 99) while both want data.
    pub fn new(rate: Option<u64>, paid_share: u8) -> Self {
        let share = paid_share.clamp(1, 99);
        Self {
            rate: rate.map(|rate| rate.max(1)),
            tokens: 0,
            filled_at: None,
            paid: Class::new(share),
            free: Class::new(100 - share),
            vtime: 0,
            class_of: HashMap::new(),
            factors: HashMap::new(),
        }
    }

    /// Gives a connection so many times (at least once) the share of its equals: of free
    /// ones, or of payers of the same weight, who together have no more than before. It
    /// counts from when the connection wants something next, and for free ones not while a
    /// payer wants data: none of them may come close to what a payer gets.
    pub fn prefer(&mut self, conn: ConnId, factor: u64) {
        if factor > 1 {
            self.factors.insert(conn, factor);
        } else {
            self.factors.remove(&conn);
        }
    }

    /// Changes the capacity from now on.
    pub fn set_rate(&mut self, rate: Option<u64>) {
        self.rate = rate.map(|rate| rate.max(1));
        self.tokens = self.tokens.min(0);
    }

    /// The capacity in bytes a second.
    pub fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// How many bytes a connection wants, on top of what it was granted;
    /// replaces what it wanted before. A refused one wants nothing.
    pub fn want(&mut self, conn: ConnId, class: UploadClass, bytes: u64) {
        let factor = self.factors.get(&conn).copied().unwrap_or(1);
        let (paid, weight, factor) = match class {
            UploadClass::Paid { weight } => (true, weight.max(1), factor.max(1)),
            UploadClass::Free if self.paid.active > 0 => (false, 1, 1),
            UploadClass::Free => (false, 1, factor),
            UploadClass::Refused => return self.end_flow(conn),
        };
        if self.class_of.get(&conn).is_some_and(|was| *was != paid) {
            self.end_flow(conn);
        }
        self.class_of.insert(conn, paid);
        let vtime = self.vtime;
        let class = if paid { &mut self.paid } else { &mut self.free };
        let was_idle = class.waiting.is_empty();
        class.want(conn, weight.into(), factor.into(), bytes);
        if was_idle && !class.waiting.is_empty() {
            let floor = vtime.saturating_sub(u128::from(CATCH_UP) * SCALE / class.share);
            class.pass = class.pass.max(floor);
        }
    }

    /// The connection wants nothing for now. What it was served counts on.
    pub fn idle(&mut self, conn: ConnId) {
        if let Some(paid) = self.class_of.get(&conn) {
            let class = if *paid {
                &mut self.paid
            } else {
                &mut self.free
            };
            class.idle(conn);
        }
    }

    /// Forgets a connection.
    pub fn remove(&mut self, conn: ConnId) {
        self.factors.remove(&conn);
        self.end_flow(conn);
    }

    fn end_flow(&mut self, conn: ConnId) {
        if let Some(paid) = self.class_of.remove(&conn) {
            let class = if paid { &mut self.paid } else { &mut self.free };
            class.remove(conn);
        }
    }

    /// Takes back what was granted and not used.
    pub fn refund(&mut self, bytes: u64) {
        self.tokens += i128::from(bytes) * NANOS.cast_signed();
    }

    /// Decides at `now` (nanoseconds of any clock that does not go back). A
    /// grant is what was wanted, at most [`GRANT`].
    pub fn next(&mut self, now: u64) -> Decision {
        self.fill(now);
        let paid = match (self.paid.waiting.is_empty(), self.free.waiting.is_empty()) {
            (true, true) => return Decision::Idle,
            (false, true) => true,
            (true, false) => false,
            (false, false) => self.paid.pass <= self.free.pass,
        };
        if let Some(rate) = self.rate
            && self.tokens <= 0
        {
            let missing = self.tokens.unsigned_abs() + 1;
            let wait = missing.div_ceil(u128::from(rate));
            return Decision::Wait(u64::try_from(wait).unwrap_or(u64::MAX));
        }
        let part = if paid { WHOLE } else { self.part_of_free() };
        let class = if paid { &mut self.paid } else { &mut self.free };
        self.vtime = self.vtime.max(class.pass);
        let Some((conn, bytes)) = class.serve(part) else {
            return Decision::Idle;
        };
        if self.rate.is_some() {
            self.tokens -= i128::from(bytes) * NANOS.cast_signed();
        }
        Decision::Grant(conn, bytes)
    }

    /// The part of the free share that the free connections may have: as many
    /// of them as there are payers of the lowest weight have all of it.
    fn part_of_free(&self) -> Part {
        let equals = &self.paid.equals;
        let all = equals
            .iter()
            .map(|(weight, of)| weight * of.count)
            .sum::<u128>();
        let lowest = equals.iter().map(|(weight, of)| of.least(*weight)).min();
        let Some(lowest) = lowest else {
            return WHOLE;
        };
        let free = self.free.active;
        let of_free = lowest.saturating_mul(free.max(1));
        Part {
            num: of_free.min(all),
            den: all,
        }
    }

    fn fill(&mut self, now: u64) {
        let since = self.filled_at.map_or(0, |then| now.saturating_sub(then));
        self.filled_at = Some(now);
        if let Some(rate) = self.rate {
            let burst = (rate / BURST_PER_SECOND).max(MIN_BURST);
            let most = i128::from(burst) * NANOS.cast_signed();
            let more = i128::from(since) * i128::from(rate);
            self.tokens = self.tokens.saturating_add(more).min(most);
        }
    }
}

impl Class {
    fn new(share: u8) -> Self {
        Self {
            share: share.into(),
            pass: 0,
            vtime: 0,
            flows: HashMap::new(),
            waiting: BTreeSet::new(),
            equals: BTreeMap::new(),
            active: 0,
            leaving: BTreeSet::new(),
        }
    }

    /// Before a flow changes: it is no longer among its equals.
    fn uncount(&mut self, conn: ConnId) {
        let Some(flow) = self.flows.get_mut(&conn) else {
            return;
        };
        self.leaving.remove(&(flow.until(), conn));
        if !std::mem::take(&mut flow.counted) {
            return;
        }
        self.active = self.active.saturating_sub(1);
        if let Some(equals) = self.equals.get_mut(&flow.weight) {
            equals.take(flow.factor);
            if equals.count == 0 {
                self.equals.remove(&flow.weight);
            }
        }
    }

    /// After a flow changed: it is among its equals, if it is active.
    fn count(&mut self, conn: ConnId) {
        let Some(flow) = self.flows.get_mut(&conn) else {
            return;
        };
        let until = flow.until();
        if flow.wanted == 0 && until <= self.vtime {
            return;
        }
        flow.counted = true;
        self.active += 1;
        self.equals.entry(flow.weight).or_default().add(flow.factor);
        if flow.wanted == 0 {
            self.leaving.insert((until, conn));
        }
    }

    /// Virtual time goes on: whoever wanted nothing for long is not active any more.
    fn advance(&mut self, to: u128) {
        self.vtime = self.vtime.max(to);
        while let Some((until, conn)) = self.leaving.first().copied()
            && until <= self.vtime
        {
            self.leaving.pop_first();
            self.uncount(conn);
        }
    }

    fn want(&mut self, conn: ConnId, weight: u128, factor: u128, bytes: u64) {
        // Most often nothing but the bytes has changed.
        if let Some(flow) = self.flows.get_mut(&conn)
            && (flow.weight, flow.factor) == (weight, factor)
            && flow.wanted > 0
            && bytes > 0
        {
            flow.wanted = bytes;
            return;
        }
        self.uncount(conn);
        let vtime = self.vtime;
        let flow = self.flows.entry(conn).or_insert(Flow {
            weight,
            factor,
            wanted: 0,
            pass: vtime,
            counted: false,
        });
        if flow.wanted > 0 {
            self.waiting.remove(&(flow.pass, conn));
        } else {
            let floor = vtime.saturating_sub(u128::from(CATCH_UP) * SCALE / weight);
            flow.pass = flow.pass.max(floor);
        }
        flow.weight = weight;
        flow.factor = factor;
        flow.wanted = bytes;
        if bytes > 0 {
            self.waiting.insert((flow.pass, conn));
        }
        self.count(conn);
    }

    fn idle(&mut self, conn: ConnId) {
        self.uncount(conn);
        if let Some(flow) = self.flows.get_mut(&conn) {
            flow.wanted = 0;
            self.waiting.remove(&(flow.pass, conn));
        }
        self.count(conn);
    }

    fn remove(&mut self, conn: ConnId) {
        self.uncount(conn);
        if let Some(flow) = self.flows.remove(&conn) {
            self.waiting.remove(&(flow.pass, conn));
        }
    }

    /// What a connection's weight is worth: those of one weight share what they have by
    /// their factors.
    fn part_of_equals(&self, flow: &Flow) -> Part {
        let equals = self.equals.get(&flow.weight);
        let (count, factors) = equals.map_or((0, 0), |of| (of.count, of.factors));
        Part {
            num: flow.factor * count.max(1),
            den: factors.max(flow.factor),
        }
    }

    /// Serves a chunk to the one whose turn it is; `of_class` of the class's share
    /// is what the class may have now.
    fn serve(&mut self, of_class: Part) -> Option<(ConnId, u64)> {
        let (pass, conn) = self.waiting.pop_first()?;
        self.advance(pass);
        let flow = self.flows.get(&conn)?;
        let part = self.part_of_equals(flow);
        let bytes = flow.wanted.min(GRANT);
        // While it wants more, it is where it is among its equals.
        let has_enough = flow.wanted == bytes;
        if has_enough {
            self.uncount(conn);
        }
        let flow = self.flows.get_mut(&conn)?;
        flow.wanted -= bytes;
        flow.pass = pass + u128::from(bytes) * SCALE * part.den / (flow.weight * part.num);
        if has_enough {
            self.count(conn);
        } else {
            self.waiting.insert((flow.pass, conn));
        }
        // At most 2¹⁴ × 2³⁰ × 2⁷³: a grant, the scale, all weights.
        self.pass += u128::from(bytes) * SCALE * of_class.den / (self.share * of_class.num);
        Some((conn, bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const PAID: fn(u64) -> UploadClass = |weight| UploadClass::Paid { weight };

    /// Runs for so long with everybody hungry; bytes each got.
    fn run(scheduler: &mut Scheduler, hungry: &[(u64, UploadClass)], seconds: u64) -> Vec<u64> {
        let mut got = vec![0; hungry.len()];
        let mut now = 0;
        while now < seconds * SECOND {
            for (conn, class) in hungry {
                scheduler.want(ConnId(*conn), *class, MAX_CREDIT);
            }
            match scheduler.next(now) {
                Decision::Grant(conn, bytes) => {
                    let at = hungry.iter().position(|(id, _)| ConnId(*id) == conn);
                    got[at.unwrap()] += bytes;
                }
                Decision::Wait(more) => now += more,
                Decision::Idle => break,
            }
        }
        got
    }

    fn close(got: u64, wanted: u64) -> bool {
        got.abs_diff(wanted) <= wanted / 50 + 2 * MIN_BURST
    }

    #[test]
    fn paid_and_free_share_by_percent_and_weights_within() {
        let mut scheduler = Scheduler::new(Some(4 << 20), 80);
        let hungry = [
            (1, PAID(2)),
            (2, PAID(1)),
            (3, UploadClass::Free),
            (4, UploadClass::Free),
            (5, UploadClass::Free),
        ];
        let got = run(&mut scheduler, &hungry, 10);
        let all = 40u64 << 20;
        assert!(close(got.iter().sum(), all), "{got:?}");
        assert!(close(got[0], all * 8 / 10 * 2 / 3), "{got:?}");
        assert!(close(got[1], all * 8 / 10 / 3), "{got:?}");
        for free in &got[2..] {
            assert!(close(*free, all / 15), "{got:?}");
        }
    }

    #[test]
    fn a_free_rider_among_payers_gets_a_quarter_of_the_lowest() {
        for payers in [1, 2, 7, 20] {
            let mut scheduler = Scheduler::new(Some(4 << 20), 80);
            let mut hungry: Vec<_> = (0..payers).map(|n| (n, PAID(5 + n % 2))).collect();
            hungry.push((99, UploadClass::Free));
            let got = run(&mut scheduler, &hungry, 8);
            let (free, paid) = got.split_last().unwrap();
            assert!(close(got.iter().sum(), 32 << 20), "{got:?}");
            assert!(close(4 * free, paid[0]), "{payers}: {got:?}");
        }
    }

    #[test]
    fn an_unused_share_goes_to_the_other_side() {
        let mut scheduler = Scheduler::new(Some(1 << 20), 80);
        let got = run(&mut scheduler, &[(1, UploadClass::Free)], 4);
        assert!(close(got[0], 4 << 20));
        let mut scheduler = Scheduler::new(Some(1 << 20), 80);
        assert!(close(run(&mut scheduler, &[(1, PAID(7))], 4)[0], 4 << 20));
    }

    #[test]
    fn payers_of_one_price_share_by_what_they_pass_on_and_others_lose_nothing() {
        let mut scheduler = Scheduler::new(Some(4 << 20), 80);
        scheduler.prefer(ConnId(1), 3);
        let hungry = [(1, PAID(5)), (2, PAID(5)), (3, PAID(10))];
        let got = run(&mut scheduler, &hungry, 8);
        let all = 32 << 20;
        // Twice the price, twice the share of the others in the mean.
        assert!(close(got[2], all / 2), "{got:?}");
        assert!(close(got[0], all * 3 / 8), "{got:?}");
        assert!(close(got[1], all / 8), "{got:?}");
        // It alone wants data: nothing is left lying.
        let mut scheduler = Scheduler::new(Some(4 << 20), 80);
        scheduler.prefer(ConnId(1), 8);
        let got = run(&mut scheduler, &hungry[1..2], 1);
        assert!(close(got[0], 4 << 20), "{got:?}");
    }

    #[test]
    fn a_free_rider_gets_a_quarter_of_the_payer_who_has_least() {
        let mut scheduler = Scheduler::new(Some(4 << 20), 80);
        scheduler.prefer(ConnId(1), 4);
        let weight = 1 << 20;
        let hungry = [(1, PAID(weight)), (2, PAID(weight)), (3, UploadClass::Free)];
        let got = run(&mut scheduler, &hungry, 8);
        assert!(close(got[0], 4 * got[1]), "{got:?}");
        assert!(close(4 * got[2], got[1]), "{got:?}");
    }

    #[test]
    fn a_preferred_free_connection_has_more_of_the_free_share_but_not_beside_payers() {
        let mut scheduler = Scheduler::new(Some(4 << 20), 80);
        scheduler.prefer(ConnId(1), 7);
        let free = [(1, UploadClass::Free), (2, UploadClass::Free)];
        let got = run(&mut scheduler, &free, 8);
        assert!(close(got[0], 28 << 20) && close(got[1], 4 << 20), "{got:?}");
        let mut scheduler = Scheduler::new(Some(4 << 20), 80);
        scheduler.prefer(ConnId(1), 7);
        let hungry = [(3, PAID(1)), free[0], free[1]];
        let got = run(&mut scheduler, &hungry, 8);
        assert!(4 * got[1] <= got[0] + 4 * MAX_CREDIT, "{got:?}");
        assert!(close(got[1], got[2]), "{got:?}");
        scheduler.remove(ConnId(1));
        assert!(scheduler.factors.is_empty());
    }

    #[test]
    fn idleness_is_not_saved_up() {
        let mut scheduler = Scheduler::new(Some(1 << 20), 80);
        run(&mut scheduler, &[(1, PAID(1))], 10);
        scheduler.filled_at = None;
        scheduler.tokens = 0;
        let got = run(&mut scheduler, &[(1, PAID(1)), (2, PAID(1))], 4);
        assert!(got[0].abs_diff(got[1]) <= 2 * CATCH_UP, "{got:?}");
    }

    #[test]
    fn a_user_with_one_request_at_a_time_gets_no_more_than_its_weight() {
        let mut scheduler = Scheduler::new(Some(1 << 20), 80);
        let mut got = [0u64; 2];
        let mut now = 0;
        while now < 10 * SECOND {
            scheduler.want(ConnId(0), PAID(3), MAX_CREDIT);
            scheduler.want(ConnId(1), PAID(1), GRANT);
            match scheduler.next(now) {
                Decision::Grant(conn, bytes) => {
                    got[usize::try_from(conn.0).unwrap()] += bytes;
                    scheduler.idle(ConnId(1));
                }
                Decision::Wait(more) => now += more,
                Decision::Idle => unreachable!(),
            }
        }
        assert!(close(got[0], 3 * got[1]), "{got:?}");
    }

    #[test]
    fn without_a_limit_nobody_waits_and_refused_get_nothing() {
        let mut scheduler = Scheduler::new(None, 80);
        scheduler.want(ConnId(1), UploadClass::Free, GRANT + 5);
        scheduler.want(ConnId(2), UploadClass::Refused, GRANT);
        assert_eq!(scheduler.next(0), Decision::Grant(ConnId(1), GRANT));
        assert_eq!(scheduler.next(0), Decision::Grant(ConnId(1), 5));
        assert_eq!(scheduler.next(0), Decision::Idle);
    }

    /// The active flows of a class, looked for one by one.
    fn active(class: &Class) -> impl Iterator<Item = &Flow> {
        let is_active = |flow: &&Flow| flow.wanted > 0 || flow.until() > class.vtime;
        class.flows.values().filter(is_active)
    }

    /// What the sums say, as [`Scheduler::part_of_free`] would find it without them.
    fn plain_part_of_free(scheduler: &Scheduler) -> (u128, u128) {
        let paid: Vec<_> = active(&scheduler.paid).collect();
        let worth = |flow: &Flow| {
            let equals = || paid.iter().filter(|one| one.weight == flow.weight);
            let count = u128::try_from(equals().count()).unwrap();
            let factors: u128 = equals().map(|one| one.factor).sum();
            let low = equals().map(|one| one.factor).min().unwrap();
            (flow.weight * count * low / factors).max(1)
        };
        let Some(lowest) = paid.iter().map(|flow| worth(flow)).min() else {
            return (WHOLE.num, WHOLE.den);
        };
        let all = paid.iter().map(|flow| flow.weight).sum();
        let free = u128::try_from(active(&scheduler.free).count()).unwrap();
        ((lowest * free.max(1)).min(all), all)
    }

    fn plain_part_of_equals(class: &Class, flow: &Flow) -> (u128, u128) {
        let equals = || active(class).filter(|one| one.weight == flow.weight);
        let count = u128::try_from(equals().count()).unwrap();
        let factors: u128 = equals().map(|one| one.factor).sum();
        (flow.factor * count.max(1), factors.max(flow.factor))
    }

    proptest! {
        /// Whatever happens, the sums that are kept are those of the flows.
        #[test]
        fn the_sums_are_those_of_the_flows(
            steps in proptest::collection::vec((0u8..8, 0u64..9, 0u64..4, 0u64..200_000), 1..300),
        ) {
            let mut scheduler = Scheduler::new(Some(1 << 20), 80);
            let mut now = 0;
            for (what, conn, weight, bytes) in steps {
                let id = ConnId(conn);
                match what {
                    0 => scheduler.want(id, UploadClass::Free, bytes),
                    1 | 2 => scheduler.want(id, PAID(weight), bytes),
                    3 => scheduler.idle(id),
                    4 => scheduler.remove(id),
                    5 => scheduler.prefer(id, weight),
                    6 => scheduler.want(id, UploadClass::Refused, bytes),
                    _ => {}
                }
                for _ in 0..what {
                    now += bytes * 20;
                    scheduler.next(now);
                }
                let part = scheduler.part_of_free();
                prop_assert_eq!((part.num, part.den), plain_part_of_free(&scheduler));
                for class in [&scheduler.paid, &scheduler.free] {
                    for flow in class.flows.values() {
                        let part = class.part_of_equals(flow);
                        let plain = plain_part_of_equals(class, flow);
                        prop_assert_eq!((part.num, part.den), plain);
                    }
                    let count = u128::try_from(active(class).count()).unwrap();
                    prop_assert_eq!(class.active, count);
                    // No more is kept than there are flows.
                    prop_assert!(class.leaving.len() <= class.flows.len());
                    prop_assert!(class.equals.values().all(|of| of.count > 0));
                }
            }
        }

        #[test]
        fn weights_are_kept_and_nothing_is_lost(
            weights in proptest::collection::vec(1u64..1000, 1..6),
            rate in 100_000u64..50_000_000,
        ) {
            let mut scheduler = Scheduler::new(Some(rate), 80);
            let hungry: Vec<_> = (0..).zip(weights.iter().map(|w| PAID(*w))).collect();
            let got = run(&mut scheduler, &hungry, 5);
            let all: u64 = got.iter().sum();
            prop_assert!(close(all, rate * 5), "{all} of {}", rate * 5);
            let sum: u64 = weights.iter().sum();
            for (got, weight) in got.iter().zip(&weights) {
                let fair = all * weight / sum;
                prop_assert!(got.abs_diff(fair) <= 3 * CATCH_UP, "{got} not {fair}");
            }
        }
    }
}
