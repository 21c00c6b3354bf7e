//! Serving the peer's requests.

use std::sync::atomic::Ordering;

use bytes::{Buf, Bytes};
use tokio::io::AsyncWriteExt;

use super::{Conn, run::Close, stream::Writer};
use crate::swarm::{
    extended::OUR_REQQ,
    hooks::UploadClass,
    lock::lock,
    scheduler::MAX_CREDIT,
    wire::{self, Block, MAX_REQUEST, Message},
};

/// Read from disk at once, when the peer asks for chunks in a row.
const READ_AHEAD: u32 = 512 << 10;

/// Bytes of a piece that were read and not sent yet.
#[derive(Debug, Default)]
struct ReadAhead {
    piece: u32,
    begin: u32,
    data: Bytes,
}

impl ReadAhead {
    fn get(&self, block: Block) -> Option<Bytes> {
        if block.piece != self.piece {
            return None;
        }
        let from = usize::try_from(block.begin.checked_sub(self.begin)?).ok()?;
        let to = from.checked_add(usize::try_from(block.length).ok()?)?;
        (to <= self.data.len()).then(|| self.data.slice(from..to))
    }
}

impl Conn {
    pub(super) fn on_request(&self, block: Block) -> Result<(), Close> {
        let choking = lock(&self.link).choking;
        if block.length > MAX_REQUEST {
            return Err(Close::Protocol("it asks for too much at once"));
        }
        let served = !choking && self.torrent.can_serve(block);
        let mut out = lock(&self.out);
        let full = out.requests.len() >= usize::try_from(OUR_REQQ).unwrap_or(usize::MAX);
        if served && !full {
            out.requests.push_back(block);
            drop(out);
            self.write_ready.notify_one();
        } else {
            drop(out);
            if self.fast {
                self.send(Message::Reject(block));
            }
        }
        Ok(())
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
        if !choking {
            self.send(Message::Unchoke);
            return;
        }
        let refused = std::mem::take(&mut lock(&self.out).requests);
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

    /// The next request that may be served now. If there is none, whatever
    /// changes that wakes the writer.
    fn next_request(&self) -> Option<Block> {
        let (head, queued) = {
            let out = lock(&self.out);
            let queued: u64 = out.requests.iter().map(|one| u64::from(one.length)).sum();
            (out.requests.front().copied(), queued)
        };
        let limited = !self.shared.up.is_unlimited();
        let Some(head) = head else {
            if limited {
                self.shared.up.release(self.id, &self.up_credit);
            }
            return None;
        };
        let bytes = u64::from(head.length);
        let allowed = self.meter.get().map_or(u64::MAX, |m| m.upload_allowance());
        if allowed < bytes {
            if limited {
                self.shared.up.release(self.id, &self.up_credit);
            }
            return None;
        }
        if limited && !self.up_credit.take(bytes) {
            let class = lock(&self.link).class;
            // A long request may need more credit than is held otherwise.
            let most = queued.min(allowed).min(MAX_CREDIT.max(bytes));
            let wanted = most.saturating_sub(self.up_credit.bytes());
            self.shared.up.want(self.id, class, wanted);
            // It may have been granted meanwhile, or soon: that wakes the writer.
            return None;
        }
        let mut out = lock(&self.out);
        if out.requests.front() == Some(&head) {
            out.requests.pop_front();
            Some(head)
        } else {
            None
        }
    }

    /// How far the peer asks for bytes in a row after `block`.
    fn run_after(&self, block: Block) -> u32 {
        let out = lock(&self.out);
        let mut end = block.begin.saturating_add(block.length);
        for next in &out.requests {
            if next.piece != block.piece || next.begin != end {
                break;
            }
            let longer = end.saturating_add(next.length);
            if longer - block.begin > READ_AHEAD {
                break;
            }
            end = longer;
        }
        end - block.begin
    }

    /// Sends messages and chunks until the connection ends.
    pub(super) async fn write_loop(&self, mut socket: Writer) -> Result<(), Close> {
        let mut buf = bytes::BytesMut::new();
        let mut ahead = ReadAhead::default();
        loop {
            {
                let mut out = lock(&self.out);
                for message in out.control.drain(..) {
                    message.encode(&mut buf);
                }
                out.control_bytes = 0;
            }
            let block = self.next_request();
            if block.is_none() && buf.is_empty() {
                self.write_ready.notified().await;
                continue;
            }
            let Some(block) = block else {
                self.write(&mut socket, &mut buf).await?;
                continue;
            };
            let data = match ahead.get(block) {
                Some(data) => data,
                None => {
                    let length = self.run_after(block);
                    let data = self.torrent.read(Block { length, ..block }).await;
                    ahead = ReadAhead {
                        piece: block.piece,
                        begin: block.begin,
                        data: data.map_err(|_| Close::Local("our copy cannot be read"))?,
                    };
                    ahead
                        .get(block)
                        .ok_or(Close::Local("our copy cannot be read"))?
                }
            };
            buf.extend_from_slice(&wire::piece_header(block));
            let mut both = (&mut buf).chain(data);
            self.write(&mut socket, &mut both).await?;
            let bytes = u64::from(block.length);
            self.traffic.up.fetch_add(bytes, Ordering::Relaxed);
            self.torrent.count_up(bytes);
            if let Some(meter) = self.meter.get() {
                meter.served(block.piece, block.length);
            }
        }
    }

    async fn write(&self, socket: &mut Writer, bytes: &mut impl Buf) -> Result<(), Close> {
        let traffic = &self.traffic;
        let now = traffic.millis().max(1);
        traffic.writing_since.store(now, Ordering::Relaxed);
        socket.write_all_buf(bytes).await?;
        socket.flush().await?;
        traffic.writing_since.store(0, Ordering::Relaxed);
        traffic.sent_at.store(traffic.millis(), Ordering::Relaxed);
        Ok(())
    }
}
