//! Serving the peer's requests.

use std::{sync::atomic::Ordering, time::Instant};

use tokio::io::AsyncWriteExt;

use super::{Conn, run::Close, stream::Writer};
use crate::swarm::{
    buffers::Buffers,
    extended::OUR_REQQ,
    hooks::UploadClass,
    lock::lock,
    scheduler::MAX_CREDIT,
    wire::{self, Block, MAX_REQUEST, Message},
};

/// Read from disk and sent at once: enough that neither the threads nor the
/// system calls count, and it fits a second-level cache.
const BURST: usize = 256 << 10;

/// Messages about pieces of ours that are written at once.
const HAVES_AT_ONCE: usize = 4096;

/// What is to be written next: messages, then chunks with their headers. The
/// bytes are kept between two bursts, so that they need not be cleared again.
#[derive(Debug)]
pub(in crate::swarm) struct Burst {
    bytes: Vec<u8>,
    used: usize,
}

impl Burst {
    /// An empty one.
    fn new(buffers: &Buffers) -> Self {
        Self {
            bytes: buffers.take_sending(),
            used: 0,
        }
    }

    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }

    fn put(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    /// The place of the next bytes.
    fn room(&mut self, length: usize) -> &mut [u8] {
        let start = self.used;
        self.used += length;
        if self.bytes.len() < self.used {
            self.bytes.resize(self.used, 0);
        }
        self.bytes
            .get_mut(start..self.used)
            .expect("it was made long enough")
    }

    /// Appends a chunk's message; `read` fills in its data.
    pub(in crate::swarm) fn put_chunk<E>(
        &mut self,
        block: Block,
        read: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.put(&wire::piece_header(block));
        let length = usize::try_from(block.length).expect("usize has at least 32 bits");
        read(self.room(length))
    }
}

impl Conn {
    /// Whether it will be served.
    pub(super) fn on_request(&self, block: Block) -> Result<bool, Close> {
        let choking = lock(&self.link).choking;
        if block.length > MAX_REQUEST {
            return Err(Close::Protocol("it asks for too much at once"));
        }
        // Only this task adds to the queue.
        let most = usize::try_from(OUR_REQQ).unwrap_or(usize::MAX);
        let full = lock(&self.out).requests.len() >= most;
        // What is granted while choked is used up by what is served alone.
        let served = !full && self.torrent.can_serve(block) && (!choking || self.is_granted(block));
        if served {
            let mut out = lock(&self.out);
            out.requests.push_back(block);
            out.unused_slot_since = None;
            drop(out);
            self.write_ready.notify_one();
        } else if self.fast {
            self.send(Message::Reject(block));
        }
        Ok(served)
    }

    pub(super) fn on_cancel(&self, block: Block) {
        let mut out = lock(&self.out);
        let before = out.requests.len();
        out.requests.retain(|one| *one != block);
        let removed = out.requests.len() < before;
        drop(out);
        if removed && self.fast {
            self.send(Message::Reject(block));
        }
    }

    /// Serves the peer, or stops serving it.
    pub(in crate::swarm) fn set_choking(&self, choking: bool) {
        let mut link = lock(&self.link);
        if link.choking == choking {
            return;
        }
        link.choking = choking;
        drop(link);
        let mut out = lock(&self.out);
        if !choking {
            out.unused_slot_since.get_or_insert_with(Instant::now);
            drop(out);
            self.send(Message::Unchoke);
            return;
        }
        let refused = std::mem::take(&mut out.requests);
        if !out.wastes_its_slot() {
            out.unused_slot_since = None;
        }
        drop(out);
        self.send(Message::Choke);
        if self.fast {
            for block in refused {
                self.send(Message::Reject(block));
            }
        }
    }

    pub(super) fn change_class(&self, class: UploadClass) {
        let mut link = lock(&self.link);
        if link.class == class {
            return;
        }
        link.class = class;
        drop(link);
        match class {
            UploadClass::Paid { .. } => self.set_choking(false),
            UploadClass::Refused => self.set_choking(true),
            UploadClass::Free => {}
        }
        self.shared.rechoke.notify_one();
        self.write_ready.notify_one();
    }

    /// The next requests that may be served now. If there are none, whatever
    /// changes that wakes the writer.
    fn next_requests(&self) -> Vec<Block> {
        let mut chosen = Vec::new();
        let mut room = BURST;
        // Only who speaks BEP 6 does not take a request that is overtaken for lost.
        if self.fast {
            self.torrent.order(self, &mut lock(&self.out).requests);
        }
        loop {
            let head = lock(&self.out).requests.front().copied();
            let Some(head) = head else {
                self.up_allowance.release();
                break;
            };
            let length = usize::try_from(head.length).unwrap_or(usize::MAX);
            if length > room && !chosen.is_empty() {
                break;
            }
            let bytes = u64::from(head.length);
            let meter = self.meter.get();
            // For each chunk: other connections of the same payer use it too.
            let allowed = meter.map_or(u64::MAX, |meter| meter.upload_allowance());
            if allowed < bytes {
                self.up_allowance.release();
                break;
            }
            let wanted = || {
                let class = lock(&self.link).class;
                let out = lock(&self.out);
                let queued = out.requests.iter().map(|one| u64::from(one.length)).sum();
                // A long request may need more credit than is held otherwise.
                (class, allowed.min(queued).min(MAX_CREDIT.max(bytes)))
            };
            if !self.up_allowance.take(bytes, wanted) {
                // It may have been granted meanwhile, or soon: that wakes the writer.
                break;
            }
            let mut out = lock(&self.out);
            if out.requests.front() != Some(&head) {
                break;
            }
            out.requests.pop_front();
            drop(out);
            if let Some(meter) = meter {
                meter.served(head.piece, head.length);
            }
            room = room.saturating_sub(length);
            chosen.push(head);
        }
        chosen
    }

    /// Sends messages and chunks until the connection ends.
    pub(super) async fn write_loop(&self, mut socket: Writer) -> Result<(), Close> {
        let buffers = &self.shared.buffers;
        let mut held: Option<Burst> = None;
        let mut messages = bytes::BytesMut::new();
        loop {
            {
                let mut out = lock(&self.out);
                for message in out.control.drain(..) {
                    message.encode(&mut messages);
                }
                out.control_bytes = 0;
                out.rejects = 0;
                if let Some((pieces, mut next)) = out.haves.take() {
                    let more = (next..pieces.len()).filter(|piece| pieces.has(*piece));
                    for piece in more.take(HAVES_AT_ONCE) {
                        Message::Have(piece).encode(&mut messages);
                        next = piece + 1;
                    }
                    if (next..pieces.len()).any(|piece| pieces.has(piece)) {
                        out.haves = Some((pieces, next));
                    }
                }
            }
            let blocks = self.next_requests();
            if blocks.is_empty() && messages.is_empty() {
                // An idle connection holds no memory.
                if let Some(burst) = held.take() {
                    buffers.give_back_sending(burst.bytes);
                }
                messages = bytes::BytesMut::new();
                self.write_ready.notified().await;
                continue;
            }
            let mut burst = held.take().unwrap_or_else(|| Burst::new(buffers));
            burst.put(&messages);
            messages.clear();
            if !blocks.is_empty() {
                let read = self.torrent.read(burst, &blocks).await;
                burst = read.map_err(|_| Close::Local("our copy cannot be read"))?;
            }
            self.write(&mut socket, burst.filled()).await?;
            burst.used = 0;
            held = Some(burst);
            self.torrent.gave(self, &blocks);
            for block in blocks {
                let bytes = u64::from(block.length);
                self.traffic.up.fetch_add(bytes, Ordering::Relaxed);
                self.torrent.count_up(bytes);
            }
        }
    }

    async fn write(&self, socket: &mut Writer, bytes: &[u8]) -> Result<(), Close> {
        let traffic = &self.traffic;
        let now = traffic.millis().max(1);
        traffic.writing_since.store(now, Ordering::Relaxed);
        socket.write_all(bytes).await?;
        socket.flush().await?;
        traffic.writing_since.store(0, Ordering::Relaxed);
        traffic.sent_at.store(traffic.millis(), Ordering::Relaxed);
        Ok(())
    }
}
