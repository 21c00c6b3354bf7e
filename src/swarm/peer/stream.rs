//! The bytes to and from a peer: TCP or uTP, plain or enciphered.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use librqbit_utp::{UtpStream, UtpStreamReadHalf, UtpStreamWriteHalf};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::swarm::mse::{Agreed, Cipher};

/// Enciphered at once: as much as is usually written at once.
const ENCIPHER: usize = 64 << 10;

/// How a connection is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// uTP (BEP 29), on UDP.
    Utp,
}

/// A connection before it is split.
pub(super) struct Stream {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
}

/// What comes from the peer.
pub(super) struct Reader {
    half: ReadHalf,
    /// Read before, and deciphered.
    ahead: Bytes,
    cipher: Option<Cipher>,
}

enum ReadHalf {
    Tcp(OwnedReadHalf),
    Utp(UtpStreamReadHalf),
}

/// What goes to the peer. Enciphered bytes may wait for a flush.
pub(super) struct Writer {
    half: WriteHalf,
    cipher: Option<Cipher>,
    /// Enciphered and not sent yet, from `sent` on.
    waiting: Vec<u8>,
    sent: usize,
}

enum WriteHalf {
    Tcp(OwnedWriteHalf),
    Utp(UtpStreamWriteHalf),
}

impl Stream {
    pub(super) fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Self::new(ReadHalf::Tcp(reader), WriteHalf::Tcp(writer)))
    }

    pub(super) fn utp(stream: UtpStream) -> Self {
        let (reader, writer) = stream.split();
        Self::new(ReadHalf::Utp(reader), WriteHalf::Utp(writer))
    }

    fn new(reader: ReadHalf, writer: WriteHalf) -> Self {
        Self {
            reader: Reader {
                half: reader,
                ahead: Bytes::new(),
                cipher: None,
            },
            writer: Writer {
                half: writer,
                cipher: None,
                waiting: Vec::new(),
                sent: 0,
            },
        }
    }

    pub(super) fn transport(&self) -> Transport {
        match self.reader.half {
            ReadHalf::Tcp(_) => Transport::Tcp,
            ReadHalf::Utp(_) => Transport::Utp,
        }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.reader.cipher.is_some()
    }

    /// From now on as both sides agreed.
    pub(super) fn apply(&mut self, agreed: Agreed) {
        self.reader.ahead = agreed.ahead.into();
        if let Some((reading, writing)) = agreed.ciphers {
            self.reader.cipher = Some(reading);
            self.writer.cipher = Some(writing);
        }
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.ahead.is_empty() {
            let length = this.ahead.len().min(buf.remaining());
            buf.put_slice(&this.ahead.split_to(length));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(match &mut this.half {
            ReadHalf::Tcp(half) => Pin::new(half).poll_read(context, buf),
            ReadHalf::Utp(half) => Pin::new(half).poll_read(context, buf),
        })?;
        if let Some(cipher) = &mut this.cipher
            && let Some(fresh) = buf.filled_mut().get_mut(before..)
        {
            cipher.apply(fresh);
        }
        Poll::Ready(Ok(()))
    }
}

impl Writer {
    /// Sends what is enciphered.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self
            .waiting
            .get(self.sent..)
            .filter(|rest| rest.has_remaining())
        {
            let written = ready!(self.half.poll_write(context, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
        }
        self.waiting.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl WriteHalf {
    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(half) => Pin::new(half).poll_write(context, bytes),
            Self::Utp(half) => Pin::new(half).poll_write(context, bytes),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => Pin::new(half).poll_flush(context),
            Self::Utp(half) => Pin::new(half).poll_flush(context),
        }
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.cipher.is_none() {
            return self.half.poll_write(context, bytes);
        }
        ready!(self.poll_drain(context))?;
        let taken = bytes.get(..ENCIPHER).unwrap_or(bytes);
        let this = &mut *self;
        this.waiting.extend_from_slice(taken);
        if let Some(cipher) = &mut this.cipher {
            cipher.apply(&mut this.waiting);
        }
        let length = taken.len();
        // What cannot go now goes with the next write or flush.
        if let Poll::Ready(Err(error)) = this.poll_drain(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(length))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let (None, WriteHalf::Tcp(half)) = (&this.cipher, &mut this.half) {
            return Pin::new(half).poll_write_vectored(context, slices);
        }
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write(context, first.map_or(&[], |slice| &**slice))
    }

    fn is_write_vectored(&self) -> bool {
        self.cipher.is_none() && matches!(self.half, WriteHalf::Tcp(_))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        self.half.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        match &mut self.half {
            WriteHalf::Tcp(half) => Pin::new(half).poll_shutdown(context),
            WriteHalf::Utp(half) => Pin::new(half).poll_shutdown(context),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(context, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(context)
    }
}
