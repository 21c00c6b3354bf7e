//! Two machines talking over a link that is cut anywhere: what the tests of
//! attacks stand on.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::*;
use crate::{
    ledger::{EpochId, Pair, Remainder, Stored},
    swarm::hooks::{ConnId, PriceTag, UploadClass},
    tron::keys::SecretKey,
    types::{Address, BlockId, InfoHash, RawAmount, Salt, TokenId, UnixMs},
};

pub(crate) const PRICE: u64 = 5_000_000;
pub(crate) const PIECE: u32 = 256 << 10;
pub(crate) const CHUNK: u32 = 16 << 10;

pub(crate) fn k(n: u8) -> SecretKey {
    SecretKey::from_hex(&format!("{n:064x}")).unwrap()
}

pub(crate) fn raw(n: i64) -> RawAmount {
    RawAmount::new(n).unwrap()
}

pub(crate) fn domain() -> ReceiptDomain {
    ReceiptDomain::new(BlockId::from_bytes([9; 32]))
}

pub(crate) fn pair() -> Pair {
    Pair {
        payer: k(1).address(),
        payee: k(2).address(),
        token: TokenId::BTT,
    }
}

pub(crate) fn setup(n: u8, conn: u64, now: UnixMs) -> Setup {
    Setup {
        domain: domain(),
        token: TokenId::BTT,
        identity: Identity::own(Arc::new(k(n))),
        revokes: Vec::new(),
        ask: (n == 2).then_some(Ask {
            floor_price: PRICE,
            unproven_cap: raw(10_000_000),
        }),
        bid: (n == 1).then_some(Bid::Fixed(PRICE)),
        torrent: InfoHash::from_bytes([3; 20]),
        piece_length: PIECE,
        conn: ConnId(conn),
        peer_ids: ([n; 20], [3 - n.min(2); 20]),
        nonce: Salt::from_bytes([u8::try_from(conn % 251).unwrap(); 32]),
        instance: [n; 8],
        since: 100,
        now,
    }
}

/// One party: its machine, both sides of the pair, and a disk that is a map.
pub(crate) struct Side {
    pub(crate) n: u8,
    pub(crate) machine: Exchange,
    pub(crate) debt: Debt,
    pub(crate) credit: Credit,
    /// Newest of each epoch: issued by the buyer, received by the seller.
    pub(crate) disk: HashMap<EpochId, SignedReceipt>,
    pub(crate) remainder: Remainder,
    /// What became solid in 30 days, as the seller's ledger has it.
    pub(crate) settled: RawAmount,
    pub(crate) inbox: VecDeque<Message>,
    pub(crate) sent: Vec<Message>,
    pub(crate) class: Option<UploadClass>,
    pub(crate) closed: bool,
}

impl Side {
    pub(crate) fn new(n: u8) -> Self {
        let (machine, _) = Exchange::new(setup(n, 0, UnixMs(0)));
        Self {
            n,
            machine,
            debt: Debt::new(pair()),
            credit: Credit::new(PIECE),
            disk: HashMap::new(),
            remainder: Remainder::default(),
            settled: RawAmount::ZERO,
            inbox: VecDeque::new(),
            sent: Vec::new(),
            class: None,
            closed: false,
        }
    }

    pub(crate) fn input(&mut self, input: Input, now: UnixMs) {
        let outputs = self
            .machine
            .input(input, &mut self.debt, &mut self.credit, now);
        self.perform(outputs, now);
    }

    pub(crate) fn take(&mut self, message: Message, now: UnixMs) {
        let outputs = self
            .machine
            .message(message, &mut self.debt, &mut self.credit, now);
        self.perform(outputs, now);
    }

    pub(crate) fn perform(&mut self, outputs: Vec<Output>, now: UnixMs) {
        for output in outputs {
            match output {
                // Through the codec, as it would be.
                Output::Send(message) => {
                    self.sent.push(Message::decode(&message.encode()).unwrap())
                }
                Output::Load { .. } => {
                    let disk: Vec<_> = self.disk.values().copied().collect();
                    let (issued, received) = if self.n == 1 {
                        (disk, Vec::new())
                    } else {
                        self.credit
                            .load(&disk, 0, self.settled, self.settled, false);
                        (Vec::new(), disk)
                    };
                    let known = Known {
                        issued,
                        received,
                        ..Known::default()
                    };
                    self.input(Input::Loaded(Box::new(known)), now);
                }
                Output::Admit { bid } => self.input(Input::Admitted(bid), now),
                Output::Issue => self.issue(now),
                Output::Store(signed) => {
                    let epoch = signed.receipt.epoch;
                    let stored = match self.disk.get(&epoch) {
                        None => Stored::New,
                        Some(old) if old.receipt.sequence == signed.receipt.sequence => {
                            Stored::Equivocation
                        }
                        Some(old) => Stored::Superseded {
                            before: old.receipt.amount,
                        },
                    };
                    let sold = self.credit.sold_left(epoch);
                    if stored != Stored::Equivocation {
                        self.disk.insert(epoch, *signed);
                    }
                    self.input(
                        Input::Stored {
                            receipt: *signed,
                            stored,
                            sold,
                        },
                        now,
                    );
                }
                Output::Class(class) => self.class = Some(class),
                Output::Close(_) => self.closed = true,
                Output::Evidence(_)
                | Output::Revoked(..)
                | Output::LookFor(_)
                | Output::TurnedBack(_)
                | Output::LimitReached
                | Output::Wake => {}
            }
        }
    }

    pub(crate) fn issue(&mut self, now: UnixMs) {
        if !self.debt.has_epoch() {
            let last = self.disk.values().next().copied();
            self.debt
                .claimed(EpochId::new(7).unwrap(), 100, last, self.remainder);
        }
        let draft = self.debt.draft(now).unwrap().unwrap();
        let signed = SignedReceipt::sign(draft.receipt, &domain(), &k(1)).unwrap();
        self.disk.insert(signed.receipt.epoch, signed);
        self.remainder = draft.remainder;
        self.debt.issued(&draft, signed, now);
        self.input(Input::Issued(signed), now);
    }
}

pub(crate) struct Duo {
    pub(crate) bid: Bid,
    pub(crate) buyer: Side,
    pub(crate) seller: Side,
    pub(crate) now: UnixMs,
    pub(crate) conn: u64,
    pub(crate) piece: u32,
    pub(crate) budget: Budget,
    /// Price · bytes verified since the buyer last forgot something.
    pub(crate) verified: u128,
}

impl Duo {
    pub(crate) fn new() -> Self {
        Self::bidding(Bid::Fixed(PRICE))
    }

    pub(crate) fn bidding(bid: Bid) -> Self {
        let mut duo = Self {
            bid,
            buyer: Side::new(1),
            seller: Side::new(2),
            now: UnixMs(1_790_000_000_000),
            conn: 0,
            piece: 0,
            budget: Budget::new(None),
            verified: 0,
        };
        duo.connect();
        duo
    }

    pub(crate) fn connect(&mut self) {
        self.conn += 1;
        for side in [&mut self.buyer, &mut self.seller] {
            let mut setup = setup(side.n, self.conn, self.now);
            setup.bid = setup.bid.map(|_| self.bid);
            let (machine, outputs) = Exchange::new(setup);
            side.machine
                .closed(&mut side.debt, &mut side.credit, self.now);
            side.machine = machine;
            side.inbox.clear();
            side.sent.clear();
            side.closed = false;
            side.perform(outputs, self.now);
        }
    }

    /// Delivers messages until there are none, or `most` were.
    pub(crate) fn deliver(&mut self, most: usize) {
        for _ in 0..most {
            self.seller.inbox.extend(self.buyer.sent.drain(..));
            self.buyer.inbox.extend(self.seller.sent.drain(..));
            let now = self.now;
            if let Some(message) = self.seller.inbox.pop_front() {
                self.seller.take(message, now);
            } else if let Some(message) = self.buyer.inbox.pop_front() {
                self.buyer.take(message, now);
            } else {
                return;
            }
        }
    }

    pub(crate) fn tick(&mut self, ms: i64) {
        self.now = UnixMs(self.now.0 + ms);
        let now = self.now;
        self.buyer.input(Input::Tick, now);
        self.seller.input(Input::Tick, now);
    }

    /// Moves one piece, as far as both sides allow; true when it was paid for.
    pub(crate) fn piece(&mut self) -> bool {
        self.piece += 1;
        let (now, piece) = (self.now, self.piece);
        let mut chunks = Vec::new();
        for _ in 0..PIECE / CHUNK {
            let buyer = &mut self.buyer;
            let tag =
                buyer
                    .machine
                    .price_request(piece, CHUNK, &mut buyer.debt, &mut self.budget, now);
            let Some(tag) = tag else { break };
            let allowed = self.seller.machine.upload_allowance(&self.seller.credit);
            if allowed < u64::from(CHUNK) {
                buyer
                    .machine
                    .request_dropped(tag, CHUNK, &mut buyer.debt, &mut self.budget);
                break;
            }
            self.seller.machine.served(CHUNK, &mut self.seller.credit);
            chunks.push((tag, CHUNK));
        }
        let buyer = &mut self.buyer;
        if chunks.len() < usize::try_from(PIECE / CHUNK).unwrap() {
            for (tag, bytes) in chunks {
                buyer
                    .machine
                    .request_dropped(tag, bytes, &mut buyer.debt, &mut self.budget);
            }
            return false;
        }
        buyer
            .machine
            .piece_verified(piece, &chunks, &mut buyer.debt, &mut self.budget, now);
        self.verified += chunks
            .iter()
            .map(|(tag, bytes)| cost(u64::from(*bytes), tag.0))
            .sum::<u128>();
        chunks.iter().all(|(tag, _)| *tag != PriceTag(0))
    }

    pub(crate) fn check(&self) {
        for (epoch, held) in &self.seller.disk {
            let own = &self.buyer.disk[epoch];
            assert!(held.receipt.sequence <= own.receipt.sequence);
            assert!(held.receipt.amount <= own.receipt.amount);
        }
    }
}

/// A seller with an awarded bidder, and the bidder's own hand.
pub(crate) fn awarded() -> Duo {
    let mut duo = Duo::new();
    duo.deliver(100);
    assert_eq!(duo.seller.class, Some(UploadClass::Paid { weight: PRICE }));
    duo
}

pub(crate) fn body(sequence: u64, amount: i64, bytes: u64) -> Receipt {
    Receipt {
        payer: k(1).address(),
        payee: k(2).address(),
        signer: k(1).address(),
        vault: Address::ZERO,
        token: TokenId::BTT,
        epoch: EpochId::new(7).unwrap(),
        since_block: 100,
        sequence,
        amount: raw(amount),
        delivered_bytes: bytes,
        issued_at: 1_790_000_000,
        grant: Salt::ZERO,
    }
}

pub(crate) fn signed(body: Receipt) -> Message {
    Message::Receipt(Box::new(
        SignedReceipt::sign(body, &domain(), &k(1)).unwrap(),
    ))
}

pub(crate) fn serve_all(duo: &mut Duo) -> u64 {
    let mut served = 0;
    while duo.seller.machine.upload_allowance(&duo.seller.credit) >= u64::from(CHUNK) {
        duo.seller.machine.served(CHUNK, &mut duo.seller.credit);
        served += u64::from(CHUNK);
    }
    served
}
