//! A proxy between two real processes: it reads the payments off the wire, and
//! kills one of the two at a message.

use std::{
    collections::HashMap,
    net::SocketAddr,
    process::Child,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use seedrail::{
    ledger::EpochId,
    receipts::{Message, SignedReceipt},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Payer,
    Payee,
}

/// When one is to die.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Death {
    /// A message of this name, from this side,
    pub(crate) message: &'static str,
    pub(crate) from: Who,
    /// the so-manieth from now on,
    pub(crate) nth: u32,
    /// kills this one:
    pub(crate) of: Who,
    /// `None`: before it is passed on; otherwise so long after.
    pub(crate) after: Option<Duration>,
}

/// What went over the wire, whoever lived through it.
#[derive(Default)]
pub(crate) struct Witness {
    /// Every receipt that was sent, byte for byte.
    pub(crate) receipts: HashMap<(EpochId, u64), Vec<u8>>,
    /// The highest sequence that was said to be durable.
    pub(crate) acknowledged: HashMap<EpochId, u64>,
    /// A receipt that was sent again, and differently.
    pub(crate) changed: Option<(EpochId, u64)>,
}

impl Witness {
    fn look(&mut self, message: &Message) {
        let seen: Vec<&SignedReceipt> = match message {
            Message::Receipt(signed) => vec![signed],
            Message::Sync { issued, received } => issued.iter().chain(received).collect(),
            Message::Ack {
                epoch,
                sequence,
                durable: true,
            } => {
                let highest = self.acknowledged.entry(*epoch).or_default();
                *highest = (*highest).max(*sequence);
                return;
            }
            _ => return,
        };
        for signed in seen {
            let key = (signed.receipt.epoch, signed.receipt.sequence);
            let bytes = Message::Receipt(Box::new(*signed)).encode();
            let first = self.receipts.entry(key).or_insert_with(|| bytes.clone());
            if *first != bytes {
                self.changed = Some(key);
            }
        }
    }
}

/// The proxy; it ends with the test's runtime.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    seller: SocketAddr,
    pub(crate) witness: Mutex<Witness>,
    death: Mutex<Option<Death>>,
    processes: Mutex<HashMap<Who, Child>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("not poisoned")
}

fn name(message: &Message) -> &'static str {
    match message {
        Message::Hello(_) => "hello",
        Message::Auth(_) => "auth",
        Message::Grants { .. } => "grants",
        Message::Sync { .. } => "sync",
        Message::Quote { .. } => "quote",
        Message::Bid(_) => "bid",
        Message::Award { .. } => "award",
        Message::Receipt(_) => "receipt",
        Message::Ack { .. } => "ack",
        _ => "other",
    }
}

impl Proxy {
    /// In front of a seller that will listen there.
    pub(crate) async fn start(seller: SocketAddr) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let proxy = Arc::new(Self {
            address: listener.local_addr().expect("it is bound"),
            seller,
            witness: Mutex::default(),
            death: Mutex::new(None),
            processes: Mutex::default(),
        });
        let accepting = Arc::clone(&proxy);
        tokio::spawn(async move {
            while let Ok((buyer, _)) = listener.accept().await {
                let Ok(seller) = TcpStream::connect(accepting.seller).await else {
                    continue;
                };
                let (from_buyer, to_buyer) = buyer.into_split();
                let (from_seller, to_seller) = seller.into_split();
                let one = Arc::clone(&accepting);
                tokio::spawn(async move { one.relay(from_buyer, to_seller, Who::Payer).await });
                let other = Arc::clone(&accepting);
                tokio::spawn(async move { other.relay(from_seller, to_buyer, Who::Payee).await });
            }
        });
        proxy
    }

    /// A process is there, instead of the one before.
    pub(crate) fn runs(&self, who: Who, child: Child) {
        if let Some(mut before) = locked(&self.processes).insert(who, child) {
            // It may have ended by itself.
            let _ = before.kill();
            let _ = before.wait();
        }
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&self, who: Who) -> Option<std::process::ExitStatus> {
        let mut processes = locked(&self.processes);
        let child = processes.get_mut(&who)?;
        child.try_wait().expect("it is our child")
    }

    pub(crate) fn plan(&self, death: Death) {
        *locked(&self.death) = Some(death);
    }

    /// Whether the planned death has happened.
    pub(crate) fn happened(&self) -> bool {
        locked(&self.death).is_none()
    }

    async fn relay(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, sender: Who) {
        let (mut buffer, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
        let mut greeted = false;
        loop {
            let Ok(read @ 1..) = from.read(&mut chunk).await else {
                return;
            };
            buffer.extend_from_slice(&chunk[..read]);
            while let Some(length) = whole(&buffer, greeted) {
                let message: Vec<u8> = buffer.drain(..length).collect();
                if greeted {
                    if !self.pass(&message, &mut to, sender).await {
                        return;
                    }
                } else {
                    assert_eq!(message[0], 19, "the connection is not encrypted");
                    greeted = true;
                    if to.write_all(&message).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Passes one message on, unless somebody dies of it first.
    async fn pass(&self, message: &[u8], to: &mut OwnedWriteHalf, sender: Who) -> bool {
        // Length, 20 (BEP 10), the extension's number; 0 is its handshake.
        let ours = match message {
            [_, _, _, _, 20, 1..=255, payload @ ..] => Message::decode(payload).ok(),
            _ => None,
        };
        let mut dies = None;
        if let Some(ours) = &ours {
            locked(&self.witness).look(ours);
            let mut death = locked(&self.death);
            if let Some(planned) = death.as_mut()
                && planned.message == name(ours)
                && planned.from == sender
            {
                planned.nth -= 1;
                dies = (planned.nth == 0).then_some(*planned);
            }
        }
        let Some(death) = dies else {
            return to.write_all(message).await.is_ok();
        };
        if let Some(after) = death.after {
            // Gone already, it cannot be written to.
            let _ = to.write_all(message).await;
            // So as to hit it at different moments of what it does with this.
            tokio::time::sleep(after).await;
        }
        if let Some(child) = locked(&self.processes).get_mut(&death.of) {
            child.kill().expect("it runs");
            child.wait().expect("it is our child");
        }
        *locked(&self.death) = None;
        true
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for child in locked(&self.processes).values_mut() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The length of the first whole message there is: a handshake (BEP 3), or a
/// length and so many bytes.
fn whole(buffer: &[u8], greeted: bool) -> Option<usize> {
    let length = if greeted {
        let prefix = buffer.first_chunk::<4>()?;
        4 + usize::try_from(u32::from_be_bytes(*prefix)).ok()?
    } else {
        68
    };
    (buffer.len() >= length).then_some(length)
}
