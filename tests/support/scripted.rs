//! A peer that says what the test says: over one link to a seller, with a key of its own,
//! and without any of the buyer's code.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use seedrail::{
    ledger::EpochId,
    receipts::{
        Hello, HelloMessage, HoldReason, Message, Receipt, ReceiptDomain, SignedReceipt, VERSION,
    },
    swarm::hooks::{ConnId, Extension, PeerContext, PeerExtension, PeerLink, UploadClass},
    tron::keys::SecretKey,
    types::{Address, InfoHash, RawAmount, Salt, TokenId, TxId},
};

use super::link::{PIECE, Party, genesis, key, wait_until};

static CONNECTIONS: AtomicU64 = AtomicU64::new(1 << 32);

#[derive(Default)]
struct Heard {
    messages: Mutex<Vec<Message>>,
    class: Mutex<Option<UploadClass>>,
    closed: Mutex<Option<String>>,
}

impl PeerLink for Heard {
    fn send(&self, payload: Vec<u8>) -> bool {
        let message = Message::decode(&payload).expect("what we write is read");
        self.messages.lock().expect("not poisoned").push(message);
        true
    }

    fn set_class(&self, class: UploadClass) {
        *self.class.lock().expect("not poisoned") = Some(class);
    }

    fn wake(&self) {}

    fn close(&self, reason: &str) {
        let mut closed = self.closed.lock().expect("not poisoned");
        closed.get_or_insert_with(|| reason.to_owned());
    }
}

/// The peer. It is gone when it is dropped.
pub(crate) struct Scripted {
    key: SecretKey,
    payee: Address,
    seller: Arc<dyn PeerExtension>,
    heard: Arc<Heard>,
}

impl Scripted {
    /// Greets a seller, from this address, with the key of this number.
    pub(crate) fn greet(n: u8, remote: SocketAddr, seller: &Party, payee: Address) -> Self {
        let heard = Arc::new(Heard::default());
        let conn = ConnId(CONNECTIONS.fetch_add(1, Ordering::Relaxed));
        let context = PeerContext {
            conn,
            info_hash: InfoHash::from_bytes([3; 20]),
            private: false,
            remote,
            own_id: [2; 20],
            peer_id: [1; 20],
            piece_length: PIECE,
        };
        let attached = seller
            .pay
            .attach(context, Arc::clone(&heard) as Arc<dyn PeerLink>);
        let peer = Self {
            key: key(n),
            payee,
            seller: attached,
            heard,
        };
        let nonce = Salt::from_bytes([n; 32]);
        peer.say(&Message::Hello(Box::new(HelloMessage {
            version: VERSION,
            chain: genesis(),
            token: TokenId::BTT,
            address: peer.key.address(),
            nonce,
            since: 1,
            instance: [n; 8],
            sells: false,
            grant: None,
            revoke: None,
        })));
        let theirs = peer.wait("its hello", |message| match message {
            Message::Hello(hello) => Some(hello.clone()),
            _ => None,
        });
        let hello = Hello {
            this: peer.key.address(),
            peer: theirs.address,
            nonce_self: nonce,
            nonce_peer: theirs.nonce,
            peer_ids: Hello::peer_ids(&[1; 20], &[2; 20]),
        };
        let domain = ReceiptDomain::new(genesis());
        let signature = domain.sign(&hello, &peer.key).expect("a key signs");
        // A message before its time closes: the seller reads its ledger first.
        peer.wait("its proof", |message| {
            matches!(message, Message::Auth(_)).then_some(())
        });
        peer.say(&Message::Auth(signature));
        peer
    }

    pub(crate) fn say(&self, message: &Message) {
        // A seller that closes says so by its link.
        if let Err(violation) = self.seller.message(&message.encode()) {
            self.heard.close(&violation.0);
        }
    }

    /// The first message of the seller's in which `look` finds something.
    pub(crate) fn wait<T>(&self, what: &str, look: impl Fn(&Message) -> Option<T>) -> T {
        let mut found = None;
        wait_until(what, || {
            let heard = self.heard.messages.lock().expect("not poisoned");
            found = heard.iter().find_map(&look);
            found.is_some()
        });
        found.expect("it was waited for")
    }

    pub(crate) fn heard(&self) -> Vec<Message> {
        self.heard.messages.lock().expect("not poisoned").clone()
    }

    pub(crate) fn closed(&self) -> Option<String> {
        self.heard.closed.lock().expect("not poisoned").clone()
    }

    /// Bids, and waits until it is sold to.
    pub(crate) fn buy_at(&self, price: u64) {
        self.say(&Message::Bid(price));
        self.wait("an award", |message| {
            matches!(message, Message::Award { .. }).then_some(())
        });
    }

    /// Why it was not sold to, if the seller said so.
    pub(crate) fn turned_away(&self) -> Option<HoldReason> {
        let heard = self.heard.messages.lock().expect("not poisoned");
        heard.iter().rev().find_map(|message| match message {
            Message::Hold { why, .. } => *why,
            _ => None,
        })
    }

    /// Takes so many bytes of what it may have at a price; how many it got.
    pub(crate) fn take(&self, bytes: u64) -> u64 {
        const CHUNK: u32 = 16 << 10;
        let mut taken = 0;
        while taken < bytes
            && (u64::from(CHUNK)..u64::MAX).contains(&self.seller.upload_allowance())
        {
            self.seller.served(0, CHUNK);
            taken += u64::from(CHUNK);
        }
        taken
    }

    /// A receipt of its own hand.
    pub(crate) fn receipt(
        &self,
        epoch: i64,
        sequence: u64,
        amount: i64,
        bytes: u64,
    ) -> SignedReceipt {
        let body = Receipt {
            payer: self.key.address(),
            payee: self.payee,
            signer: self.key.address(),
            vault: Address::ZERO,
            token: TokenId::BTT,
            epoch: EpochId::new(epoch).expect("not negative"),
            since_block: 1,
            sequence,
            amount: RawAmount::new(amount).expect("not negative"),
            delivered_bytes: bytes,
            issued_at: 1_790_000_000,
            grant: Salt::ZERO,
        };
        SignedReceipt::sign(body, &ReceiptDomain::new(genesis()), &self.key).expect("it signs")
    }

    pub(crate) fn pay(&self, epoch: i64, sequence: u64, amount: i64, bytes: u64) {
        let signed = self.receipt(epoch, sequence, amount, bytes);
        self.say(&Message::Receipt(Box::new(signed)));
    }

    pub(crate) fn says_it_paid(&self, n: u8) {
        self.say(&Message::Settled(TxId::from_bytes([n; 32])));
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.seller.closed();
    }
}
