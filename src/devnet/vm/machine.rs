//! The loop (`VM.java`), and how frames begin and end.

use std::{sync::Arc, time::Instant};

use super::{
    Env, Internal, Log,
    code::{self, Code},
    energy::{self, CREATE_DATA, FACTOR_ONE, Price},
    fault::Fault,
    frame::{Ending, Entry, Frame},
    memory::Memory,
    op::{arith, flow},
    rules::Rules,
    table::{self, Row},
    word::{self, Word},
    world::{Checkpoint, World},
};
use crate::{tron::keys::keccak256_parts, types::Address};

/// What the calls of one program may copy and hash, bytes. Energy does not bound it: a
/// call of 40 units takes 3 MiB along. java-tron has its 80 ms; this ends at the same
/// opcode on every machine.
const MAX_WORK: usize = 64 * 1_024 * 1_024;
/// A call by itself, in bytes of that work.
const CALL_WORK: usize = 1_024;
/// Opcodes between two looks at the clock.
const CLOCK_EVERY: u64 = 4_096;

/// What comes after an opcode.
pub(super) enum Next {
    Step,
    Jumped,
    Stop,
    Return(Vec<u8>),
    Revert(Vec<u8>),
    Enter(Box<Frame>),
}

/// All that the frames of one program share.
pub(super) struct Context<'a> {
    pub(super) world: World,
    pub(super) env: &'a Env,
    pub(super) rules: Rules,
    /// Internal transactions so far.
    pub(super) nonce: u64,
    pub(super) internal: Vec<Internal>,
    pub(super) logs: Vec<Log>,
    pub(super) deleted: Vec<Address>,
    /// Contracts that this transaction made.
    pub(super) created: Vec<Address>,
    pub(super) console: Vec<Vec<u8>>,
    pub(super) penalty: i64,
    until_clock: u64,
    /// Opcodes that may be run after those, if there is such a limit.
    opcodes_left: Option<u64>,
    work: usize,
}

/// An internal transaction to be noted.
pub(super) struct Note<'a> {
    pub(super) note: &'static str,
    pub(super) from: Address,
    /// Nobody of a vote.
    pub(super) to: Option<Address>,
    pub(super) value: i64,
    pub(super) tokens: Vec<(i64, i64)>,
    pub(super) data: &'a [u8],
}

/// How a frame ended.
pub(super) enum End {
    Done(Vec<u8>),
    Reverted(Vec<u8>),
    Failed(Fault),
}

impl<'a> Context<'a> {
    pub(super) fn new(world: World, env: &'a Env, rules: Rules) -> Self {
        let first = env.opcodes.map_or(CLOCK_EVERY, |all| all.min(CLOCK_EVERY));
        Self {
            world,
            env,
            rules,
            nonce: 0,
            internal: Vec::new(),
            logs: Vec::new(),
            deleted: Vec::new(),
            created: Vec::new(),
            console: Vec::new(),
            penalty: 0,
            until_clock: first,
            opcodes_left: env.opcodes.map(|all| all - first),
            work: 0,
        }
    }

    /// Notes an internal transaction and gives its hash.
    pub(super) fn note(&mut self, parent: &[u8; 32], note: Note<'_>) -> [u8; 32] {
        self.nonce += 1;
        let receiver = match note.to {
            Some(to) if note.note != "create" => to.to_bytes().to_vec(),
            _ => Vec::new(),
        };
        let hash = keccak256_parts(&[
            parent,
            &receiver,
            note.data,
            &note.value.to_be_bytes(),
            &self.nonce.to_be_bytes(),
        ]);
        self.internal.push(Internal {
            hash,
            from: note.from,
            to: note.to,
            value: note.value,
            tokens: note.tokens,
            note: note.note,
            is_rejected: false,
            extra: String::new(),
        });
        hash
    }

    /// Marks the internal transactions from `at` on as undone.
    pub(super) fn reject_from(&mut self, at: usize) {
        for internal in self.internal.iter_mut().skip(at) {
            internal.is_rejected = true;
        }
    }

    /// A frame about to run.
    #[expect(clippy::too_many_arguments, reason = "each is one fact of a call")]
    pub(super) fn enter(
        &mut self,
        code: Arc<Code>,
        entry: Entry,
        limit: i64,
        parent: [u8; 32],
        depth: usize,
        ending: Ending,
        before: Checkpoint,
    ) -> Frame {
        let factor = if self.rules.dynamic {
            self.catch_up(&entry.address)
        } else {
            FACTOR_ONE
        };
        Frame {
            code,
            pc: 0,
            stack: Vec::with_capacity(16),
            memory: Memory::default(),
            returned: Vec::new(),
            limit,
            used: 0,
            address: entry.address,
            entry,
            parent,
            depth,
            factor,
            usage: 0,
            call_energy: 0,
            call_penalty: 0,
            ending,
            before,
            internal: self.internal.len(),
            logs: self.logs.len(),
            deleted: self.deleted.len(),
        }
    }

    /// Brings a contract's factor to this cycle.
    fn catch_up(&mut self, address: &Address) -> i64 {
        let old = self.world.state.contract_energy(address);
        let new = self.world.state.contract_energy_now(address);
        if old != Some(new) {
            self.world.state.put_contract_energy(*address, new);
        }
        new.factor + FACTOR_ONE
    }

    /// Counts a call that takes so many bytes along.
    pub(super) fn count_work(&mut self, frame: &Frame, bytes: usize) -> Result<(), Fault> {
        self.work = self.work.saturating_add(bytes).saturating_add(CALL_WORK);
        if self.work > MAX_WORK {
            let op = frame.op_name();
            return Err(Fault::OutOfTime(format!(
                "CPU timeout for '{op}' operation executing"
            )));
        }
        Ok(())
    }

    /// Ends a program that has run for too long, if there is such a limit.
    pub(super) fn check_clock(&self, op: &str) -> Result<(), Fault> {
        match self.env.deadline {
            Some(deadline) if Instant::now() > deadline => Err(Fault::OutOfTime(format!(
                "CPU timeout for '{op}' operation executing"
            ))),
            _ => Ok(()),
        }
    }

    /// Looks at the clock, and how many opcodes there are before the next look.
    #[cold]
    fn go_on(&mut self, op: &str) -> Result<(), Fault> {
        self.check_clock(op)?;
        self.until_clock = CLOCK_EVERY;
        if let Some(left) = &mut self.opcodes_left {
            // In a block, java-tron says it in these words.
            if *left == 0 {
                return Err(Fault::OutOfTime("Already Time Out".to_owned()));
            }
            self.until_clock = CLOCK_EVERY.min(*left);
            *left -= self.until_clock;
        }
        Ok(())
    }

    /// Runs a frame until it ends or calls another. The common opcodes are named, so that they
    /// and their rows are compiled into the loop.
    fn run(&mut self, frame: &mut Frame) -> Result<Next, Fault> {
        let code = Arc::clone(&frame.code);
        let code = code.bytes();
        macro_rules! common {
            ($op:expr; $( $one:literal $run:path, )* ; $( $with:ident: $( $of:literal )+, )*) => {
                match $op {
                    $( $one => {
                        const ROW: Row = table::constant::<$one>();
                        self.begin(frame, $one, &ROW)?;
                        $run(self, frame)
                    } )*
                    $( $( $of => {
                        const ROW: Row = table::constant::<$of>();
                        self.begin(frame, $of, &ROW)?;
                        $with(&mut *frame, $of)
                    } )+ )*
                    op => {
                        let row = table::row(op);
                        self.begin(frame, op, row)?;
                        (row.run)(self, frame)
                    }
                }
            };
        }
        let push = |frame: &mut Frame, op: usize| flow::push_of(frame, code, op - 0x5f);
        let dup = |frame: &mut Frame, op: usize| flow::dup_of(frame, op - 0x80);
        let swap = |frame: &mut Frame, op: usize| flow::swap_with(frame, op - 0x8f);
        loop {
            let next = common! { code::op(code, frame.pc);
                0x01 arith::add, 0x02 arith::mul, 0x03 arith::sub,
                0x10 arith::lt, 0x11 arith::gt, 0x14 arith::eq, 0x15 arith::iszero, 0x16 arith::and,
                0x50 flow::pop, 0x56 flow::jump, 0x57 flow::jumpi, 0x5b flow::jumpdest,
                ;
                push: 0x60 0x61 0x62 0x63,
                dup: 0x80 0x81 0x82 0x83 0x84 0x85 0x86 0x87,
                swap: 0x90 0x91 0x92 0x93 0x94 0x95 0x96 0x97,
            };
            match next? {
                Next::Step => frame.pc += 1,
                Next::Jumped => {}
                end => return Ok(end),
            }
        }
    }

    /// Whether an opcode may run: the chain has it, the stack holds what it takes, and its
    /// energy is paid.
    #[inline(always)]
    fn begin(&mut self, frame: &mut Frame, op: u8, row: &Row) -> Result<(), Fault> {
        if !self.rules.has(row.since) {
            return Err(Fault::InvalidOpcode(op));
        }
        let held = frame.stack.len();
        // Far beyond any stack where there is too little on it.
        if held.wrapping_sub(row.pops) > row.room {
            return Err(match held < row.pops {
                true => Fault::StackTooSmall(row.pops, held),
                false => Fault::StackTooLarge,
            });
        }
        let mut cost = match row.price {
            Price::Fixed(cost) => cost,
            Price::By(price) => price(self, frame)?,
        };
        let mut penalty = 0;
        if row.is_call {
            frame.usage += cost - frame.call_energy - frame.call_penalty;
            penalty = frame.call_penalty;
        } else {
            frame.usage += cost;
            if frame.factor > FACTOR_ONE {
                penalty = energy::penalty(cost, frame.factor);
                cost += penalty;
            }
        }
        if frame.left() < cost {
            return Err(out_of_energy(frame, row.name, cost, penalty));
        }
        frame.used += cost;
        if penalty != 0 {
            self.penalty += penalty;
        }
        if self.until_clock == 0 {
            self.go_on(row.name)?;
        }
        self.until_clock -= 1;
        Ok(())
    }

    /// Runs a program to its end; what it used and how it ended.
    pub(super) fn play(&mut self, root: Frame) -> (Frame, End) {
        let mut callers: Vec<Frame> = Vec::new();
        let mut frame = root;
        loop {
            let end = match self.run(&mut frame) {
                Ok(Next::Enter(child)) => {
                    callers.push(std::mem::replace(&mut frame, *child));
                    continue;
                }
                Ok(Next::Return(output)) => End::Done(output),
                Ok(Next::Revert(output)) => End::Reverted(output),
                Ok(Next::Stop | Next::Step | Next::Jumped) => End::Done(Vec::new()),
                Err(fault) if fault.ends_all() => {
                    let root = callers.into_iter().next().unwrap_or(frame);
                    return (root, End::Failed(fault));
                }
                Err(fault) => End::Failed(fault),
            };
            if !matches!(end, End::Failed(_)) && self.rules.dynamic {
                self.count_usage(&frame);
            }
            if let End::Failed(fault) = &end
                && !matches!(fault, Fault::Transfer(_))
            {
                frame.used = frame.limit;
            }
            let Some(caller) = callers.pop() else {
                return (frame, end);
            };
            let callee = std::mem::replace(&mut frame, caller);
            self.resume(&mut frame, callee, end);
        }
    }

    fn count_usage(&mut self, frame: &Frame) {
        let state = &mut self.world.state;
        let mut energy = state.contract_energy(&frame.address).unwrap_or_default();
        energy.usage = energy.usage.saturating_add(frame.usage);
        state.put_contract_energy(frame.address, energy);
    }

    /// Takes back what a failed frame did.
    fn undo(&mut self, callee: &mut Frame) {
        let here = self.world.checkpoint();
        let before = std::mem::replace(&mut callee.before, here);
        self.world.restore(before);
        self.logs.truncate(callee.logs);
        self.deleted.truncate(callee.deleted);
        // Its own internal transaction, and all from within it.
        self.reject_from(callee.internal.saturating_sub(1));
    }

    fn resume(&mut self, caller: &mut Frame, mut callee: Frame, end: End) {
        match callee.ending {
            Ending::Call {
                energy,
                output_at,
                output_size,
            } => self.resume_call(caller, &mut callee, end, energy, output_at, output_size),
            Ending::Create { address, energy } => {
                self.resume_create(caller, &mut callee, end, address, energy);
            }
            Ending::Program => {}
        }
        caller.pc += 1;
    }

    /// What a callee gave back, and whether it is done. One that failed is undone, and gave
    /// back nothing.
    fn output(
        &mut self,
        caller: &mut Frame,
        callee: &mut Frame,
        end: End,
    ) -> Option<(Vec<u8>, bool)> {
        match end {
            End::Done(output) => Some((output, true)),
            End::Reverted(output) => Some((output, false)),
            End::Failed(_) => {
                self.undo(callee);
                caller.push(Word::ZERO);
                None
            }
        }
    }

    fn resume_call(
        &mut self,
        caller: &mut Frame,
        callee: &mut Frame,
        end: End,
        energy: i64,
        output_at: usize,
        output_size: usize,
    ) {
        let Some((output, is_done)) = self.output(caller, callee, end) else {
            return;
        };
        if !is_done {
            self.undo(callee);
        }
        caller.push_bool(is_done);
        let shown = output.get(..output_size).unwrap_or(&output);
        caller.memory.write_within(output_at, shown);
        caller.returned = output;
        caller.used -= (energy - callee.used).max(0);
    }

    fn resume_create(
        &mut self,
        caller: &mut Frame,
        callee: &mut Frame,
        end: End,
        address: Address,
        energy: i64,
    ) {
        let Some((output, is_done)) = self.output(caller, callee, end) else {
            return;
        };
        let is_invalid = self.rules.london && output.first() == Some(&0xef);
        let keeping = i64::try_from(output.len())
            .unwrap_or(i64::MAX)
            .saturating_mul(CREATE_DATA);
        if is_invalid || (is_done && callee.left() < keeping) {
            self.undo(callee);
            caller.push(Word::ZERO);
            return;
        }
        if is_done {
            callee.used += keeping;
            self.world.state.save_code(address, Code::new(output));
            caller.push(word::of_full_address(&address));
        } else {
            self.undo(callee);
            caller.push(Word::ZERO);
            caller.returned = output;
        }
        caller.used -= (energy - callee.used).max(0);
    }
}

#[cold]
fn out_of_energy(frame: &Frame, name: &str, cost: i64, penalty: i64) -> Fault {
    let (limit, used) = (frame.limit, frame.used);
    Fault::OutOfEnergy(if frame.factor > FACTOR_ONE {
        format!(
            "Not enough energy for '{name}' operation executing: curInvokeEnergyLimit[{limit}], curOpEnergy[{}], penaltyEnergy[{penalty}], usedEnergy[{used}]",
            cost - penalty
        )
    } else {
        format!(
            "Not enough energy for '{name}' operation executing: curInvokeEnergyLimit[{limit}], curOpEnergy[{cost}], usedEnergy[{used}]"
        )
    })
}
