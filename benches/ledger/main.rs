//! What `scripts/bench ledger` measures: one step with one store. Prints
//! `{"ops":…,"wall_s":…}`, of the timed part alone. A store is a file's name or
//! a URL of PostgreSQL.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that fails shall end with a panic; its result is its output"
)]

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use seedrail::{
    ledger::{
        AccountLease, AttemptEnd, AttemptRow, AttemptState, BatchId, BatchRow, BlockRow, EpochId,
        Ledger, PayoutId, PayoutKind, PayoutRow, PayoutState, PostgresLedger, PostgresUrl,
        ReceiptRow, SqliteLedger, TransferRow,
    },
    receipts::{Receipt, ReceiptDomain, ReceiptLine, SignedReceipt, import},
    settle::{
        Policy, net,
        plan::{Means, plan, select},
    },
    tron::{
        contract::Contract,
        fees::Situation,
        keys::SecretKey,
        transaction::{Draft, RefBlock},
    },
    types::{
        Address, BlockId, Clock as _, RawAmount, Salt, Sun, SystemClock, Token, TokenId, UnixMs,
    },
};
use sha2::{Digest, Sha256};

const NOW_SECS: u64 = 1_790_000_100;
/// Receipts are of this many payers.
const PAYERS: u64 = 1_000;
/// As many are committed together as the program does.
const GROUP: usize = 1_000;

fn genesis() -> BlockId {
    BlockId::from_bytes([7; 32])
}

fn open(store: &str) -> Box<dyn Ledger> {
    if PostgresUrl::is_one(store) {
        let url = PostgresUrl::parse(store).unwrap();
        Box::new(PostgresLedger::open(&url, genesis()).unwrap())
    } else {
        Box::new(SqliteLedger::open(Path::new(store), genesis()).unwrap())
    }
}

fn key(n: u64) -> SecretKey {
    SecretKey::from_bytes(&Sha256::digest(n.to_be_bytes())).unwrap()
}

/// Who is paid by receipts.
fn payee() -> Address {
    key(u64::MAX).address()
}

fn block(number: u64) -> BlockId {
    let mut bytes = [0xbb; 32];
    let (head, _) = bytes.split_at_mut(8);
    head.copy_from_slice(&number.to_be_bytes());
    BlockId::from_bytes(bytes)
}

fn signed(n: u64) -> SignedReceipt {
    let key = key(n % PAYERS);
    let receipt = Receipt {
        payer: key.address(),
        payee: payee(),
        signer: key.address(),
        vault: Address::ZERO,
        token: TokenId::BTT,
        epoch: EpochId::new(i64::try_from(n).unwrap()).unwrap(),
        since_block: 70_000_000,
        sequence: 1,
        amount: RawAmount::new(1_000).unwrap(),
        delivered_bytes: 1 << 20,
        issued_at: NOW_SECS - 100,
        grant: Salt::ZERO,
    };
    SignedReceipt::sign(receipt, &ReceiptDomain::new(genesis()), &key).unwrap()
}

/// Writes a file of signed receipts, each of an epoch of its own.
fn make(file: &str, count: u64) {
    let threads = u64::try_from(thread::available_parallelism().unwrap().get()).unwrap();
    let parts: Vec<_> = (0..threads)
        .map(|at| {
            thread::spawn(move || {
                let domain = ReceiptDomain::new(genesis());
                (count * at / threads..count * (at + 1) / threads)
                    .map(|n| ReceiptLine::new(&domain, signed(n), None).to_json())
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let mut out = BufWriter::new(File::create(file).unwrap());
    for part in parts {
        for line in part.join().unwrap() {
            writeln!(out, "{line}").unwrap();
        }
    }
    out.flush().unwrap();
}

fn lines(file: &str, limit: usize) -> Vec<String> {
    let reader = BufReader::new(File::open(file).unwrap());
    reader.lines().take(limit).map(Result::unwrap).collect()
}

/// Reads and verifies lines, on one thread.
fn verify(file: &str, limit: usize) -> (usize, Duration) {
    let lines = lines(file, limit);
    let begin = Instant::now();
    for line in &lines {
        ReceiptLine::parse(line).unwrap().verify(NOW_SECS).unwrap();
    }
    (lines.len(), begin.elapsed())
}

/// Stores receipts that are in memory.
fn store(file: &str, store: &str) -> (usize, Duration) {
    let rows: Vec<ReceiptRow> = lines(file, usize::MAX)
        .iter()
        .map(|line| ReceiptLine::parse(line).unwrap().signed.to_row())
        .collect();
    let ledger = open(store);
    let begin = Instant::now();
    for group in rows.chunks(GROUP) {
        ledger.store_received_all(group).unwrap();
    }
    (rows.len(), begin.elapsed())
}

/// What `receipts import` does.
fn ingest(file: &str, store: &str) -> (usize, Duration) {
    let ledger = open(store);
    let begin = Instant::now();
    let reader = BufReader::with_capacity(1 << 20, File::open(file).unwrap());
    let report = import(reader, payee(), ledger.as_ref(), NOW_SECS).unwrap();
    assert_eq!(report.refused_count, 0);
    (usize::try_from(report.new).unwrap(), begin.elapsed())
}

/// A payer with a batch, ready to be signed.
struct Desk {
    key: SecretKey,
    ledger: Box<dyn Ledger>,
    lease: AccountLease,
    number: u64,
}

impl Desk {
    fn new(store: &str, n: u64) -> Self {
        let ledger = open(store);
        let key = key(n);
        let lease = ledger.lease_account(key.address(), "bench").unwrap();
        ledger
            .bind_account(&lease, block(1), UnixMs(3_000))
            .unwrap();
        Self {
            key,
            ledger,
            lease,
            number: 1,
        }
    }

    /// Plans payouts to addresses never seen.
    fn plan(&self, count: usize) -> Vec<PayoutRow> {
        let digest = |n: usize| -> [u8; 32] {
            Sha256::new()
                .chain_update(self.key.address().body())
                .chain_update(self.number.to_be_bytes())
                .chain_update(n.to_be_bytes())
                .finalize()
                .into()
        };
        let id = |n: usize| {
            let (head, _) = digest(n)
                .split_first_chunk::<8>()
                .map(|(a, b)| (*a, b.len()))
                .unwrap();
            i64::from_be_bytes(head) & i64::MAX
        };
        let batch = BatchRow {
            id: BatchId::new(id(usize::MAX)).unwrap(),
            payer: self.key.address(),
            kind: PayoutKind::Settle,
            created_at: UnixMs(1_790_000_000_000),
        };
        let payouts: Vec<_> = (0..count)
            .zip(id(0)..)
            .map(|(n, id)| {
                let (body, _) = digest(n)
                    .split_last_chunk::<20>()
                    .map(|(a, b)| (*b, a.len()))
                    .unwrap();
                PayoutRow {
                    id: PayoutId::new(id & i64::MAX).unwrap(),
                    batch: batch.id,
                    kind: PayoutKind::Settle,
                    payer: batch.payer,
                    payee: Address::from_body(body),
                    token: Token::Trc10(TokenId::BTT),
                    from: RawAmount::ZERO,
                    amount: RawAmount::new(1_000).unwrap(),
                    memo: Vec::new(),
                    label: String::new(),
                    not_for_debts: false,
                    state: PayoutState::Planned,
                    reason: String::new(),
                    owed: RawAmount::new(1_000).unwrap(),
                    owed_to_us: RawAmount::ZERO,
                }
            })
            .collect();
        self.ledger
            .insert_batch(&self.lease, &batch, &payouts)
            .unwrap();
        payouts
    }
}

/// As the executor signs.
fn attempt(key: &SecretKey, payout: &PayoutRow, reference: BlockId) -> AttemptRow {
    let expiration = UnixMs(1_790_000_060_000);
    let contract = Contract::transfer(payout.payer, payout.payee, payout.token, payout.amount);
    let draft = Draft::new(
        contract,
        RefBlock::from(reference),
        expiration,
        UnixMs(1_790_000_000_000),
    );
    let transaction = draft.build().sign(key).unwrap();
    AttemptRow {
        txid: transaction.txid(),
        payout: payout.id,
        ordinal: 1,
        bytes: transaction.encode(),
        reference,
        expiration,
        signed_at: UnixMs(1_790_000_000_000),
        state: AttemptState::Signed,
        block: None,
        fee: None,
        remark: String::new(),
    }
}

/// Signs alone, on one thread.
fn sign(store: &str, count: usize) -> (usize, Duration) {
    let desk = Desk::new(store, 1);
    let payouts = desk.plan(count);
    let begin = Instant::now();
    for payout in &payouts {
        std::hint::black_box(attempt(&desk.key, payout, block(1)));
    }
    (payouts.len(), begin.elapsed())
}

/// Signs on one thread while what is signed is made durable.
fn attempts(store: &str, count: usize) -> (usize, Duration) {
    let desk = Desk::new(store, 2);
    let payouts = desk.plan(count);
    let begin = Instant::now();
    let (signed, to_keep) = mpsc::sync_channel::<Vec<AttemptRow>>(4);
    let kept = thread::scope(|scope| {
        let key = &desk.key;
        let payouts = &payouts;
        scope.spawn(move || {
            for group in payouts.chunks(GROUP) {
                let group = group.iter().map(|payout| attempt(key, payout, block(1)));
                signed.send(group.collect()).unwrap();
            }
        });
        to_keep
            .iter()
            .map(|group| {
                desk.ledger
                    .insert_attempts(&desk.lease, &group)
                    .unwrap()
                    .len()
            })
            .sum()
    });
    (kept, begin.elapsed())
}

/// One worker of several: batches of payouts from the plan to the solid block,
/// without a chain, for some seconds.
fn worker(store: &str, n: u64, seconds: u64) -> (usize, Duration) {
    let mut desk = Desk::new(store, n);
    let begin = Instant::now();
    let mut done = 0;
    while begin.elapsed() < Duration::from_secs(seconds) {
        let payouts = desk.plan(GROUP);
        let signed: Vec<_> = payouts
            .iter()
            .map(|payout| attempt(&desk.key, payout, block(desk.number)))
            .collect();
        desk.ledger.insert_attempts(&desk.lease, &signed).unwrap();
        let answers: Vec<_> = signed
            .iter()
            .map(|attempt| (attempt.txid, "taken".to_owned()))
            .collect();
        desk.ledger.mark_sent(&desk.lease, &answers).unwrap();
        let number = desk.number + 1;
        let time = UnixMs(i64::try_from(number).unwrap() * 3_000);
        let solid = BlockRow {
            id: block(number),
            parent: block(desk.number),
            time,
            witness: Address::ZERO,
            signer: Address::from_body([0xee; 20]),
            transfers: payouts
                .iter()
                .zip(&signed)
                .map(|(payout, attempt)| TransferRow {
                    txid: attempt.txid,
                    block: number,
                    block_time: time,
                    payer: payout.payer,
                    payee: payout.payee,
                    token: payout.token,
                    amount: payout.amount,
                })
                .collect(),
            ends: signed
                .iter()
                .map(|attempt| AttemptEnd::Solid(attempt.txid))
                .collect(),
        };
        desk.ledger.apply_blocks(&desk.lease, &[solid]).unwrap();
        desk.number = number;
        done += payouts.len();
    }
    (done, begin.elapsed())
}

/// Writes a file of receipts by the key in PAYER_KEY, each to a payee of its own,
/// for the chain with this genesis block.
fn debts(file: &str, count: u64, genesis: &str) {
    let key = hex::decode(std::env::var("PAYER_KEY").unwrap()).unwrap();
    let key = SecretKey::from_bytes(&key).unwrap();
    let domain = ReceiptDomain::new(genesis.parse().unwrap());
    let now = u64::try_from(SystemClock.now().secs()).unwrap();
    let mut out = BufWriter::new(File::create(file).unwrap());
    for n in 0..count {
        let payee: [u8; 32] = Sha256::digest(n.to_be_bytes()).into();
        let (body, _) = payee.split_first_chunk::<20>().unwrap();
        let receipt = Receipt {
            payer: key.address(),
            payee: Address::from_body(*body),
            signer: key.address(),
            vault: Address::ZERO,
            token: TokenId::BTT,
            epoch: EpochId::new(i64::try_from(n).unwrap()).unwrap(),
            since_block: 0,
            sequence: 1,
            amount: RawAmount::new(1_000).unwrap(),
            delivered_bytes: 1 << 20,
            issued_at: now,
            grant: Salt::ZERO,
        };
        let signed = SignedReceipt::sign(receipt, &domain, &key).unwrap();
        let line = ReceiptLine::new(&domain, signed, None).to_json();
        writeln!(out, "{line}").unwrap();
    }
    out.flush().unwrap();
}

/// Makes a ledger file of `count` open debts of one payer to as many payees: the
/// sums that receipts leave behind, which is all that a plan reads of them.
fn owe(store: &str, count: u64) {
    drop(open(store));
    let mut connection = rusqlite::Connection::open(store).unwrap();
    let transaction = connection.transaction().unwrap();
    let payer = key(0).address();
    {
        let mut insert = transaction
            .prepare(
                "INSERT INTO pair (payer, payee, token, issued, received, first_since, owed_since)
                 VALUES (?1, ?2, ?3, ?4, 0, 70000000, ?5)",
            )
            .unwrap();
        for n in 0..count {
            let payee: [u8; 32] = Sha256::digest(n.to_be_bytes()).into();
            let (body, _) = payee.split_first_chunk::<20>().unwrap();
            let amount = i64::try_from(1_000 + n % 100_000).unwrap();
            let since = i64::try_from(NOW_SECS - n % 86_400).unwrap();
            insert
                .execute((payer.body(), body, TokenId::BTT.get(), amount, since))
                .unwrap();
        }
    }
    transaction.commit().unwrap();
}

/// Plans over all debts of a ledger: reads, nets, orders, prices. Prints how much
/// memory it took at most.
fn plan_all(store: &str) -> (usize, Duration) {
    let ledger = open(store);
    let payer = key(0).address();
    let prices = [("getTransactionFee", 1_000)].map(|(name, sun)| (name.to_owned(), sun));
    let mut means = Means {
        token_balance: RawAmount::MAX,
        trx: Sun(u64::MAX),
        situation: Situation::new(prices.into_iter().collect()),
        ..Means::default()
    };
    means.situation.resources.free_limit = 600;
    let policy = Policy::default();
    let begin = Instant::now();
    let debts: Vec<_> = ledger
        .positions(payer, TokenId::BTT)
        .unwrap()
        .iter()
        .map(net)
        .collect();
    let selected = select(&debts, &policy, NOW_SECS);
    let now = UnixMs(1_790_000_000_000);
    let plan = plan(payer, TokenId::BTT, selected, &means, &policy, now);
    let wall = begin.elapsed();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    eprintln!("{}", peak.unwrap().trim());
    (plan.payouts.len(), wall)
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (ops, wall) = match words.as_slice() {
        ["debts", file, count, genesis] => {
            debts(file, count.parse().unwrap(), genesis);
            return;
        }
        ["owe", place, count] => {
            owe(place, count.parse().unwrap());
            return;
        }
        ["plan", place] => plan_all(place),
        ["make", file, count] => {
            make(file, count.parse().unwrap());
            return;
        }
        ["verify", file, limit] => verify(file, limit.parse().unwrap()),
        ["store", file, place] => store(file, place),
        ["ingest", file, place] => ingest(file, place),
        ["sign", place, count] => sign(place, count.parse().unwrap()),
        ["attempts", place, count] => attempts(place, count.parse().unwrap()),
        ["worker", place, n, seconds] => {
            worker(place, n.parse().unwrap(), seconds.parse().unwrap())
        }
        _ => {
            println!("make, verify, store, ingest, sign, attempts, worker, debts, owe, plan");
            return;
        }
    };
    println!("{{\"ops\":{ops},\"wall_s\":{}}}", wall.as_secs_f64());
}
