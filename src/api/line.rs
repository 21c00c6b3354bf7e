//! A connection: bounded in time, in both directions.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// The head of a request, and the idle time of a connection before it.
    pub(super) head: Duration,
    /// The body of a request.
    pub(super) body: Duration,
    /// A reader that takes nothing of what waits for it.
    pub(super) write: Duration,
    /// A TLS handshake.
    pub(super) handshake: Duration,
    /// Requests that are being answered when the server ends.
    pub(super) grace: Duration,
}

/// Those of every server but the tests'.
pub(super) const TIMES: Times = Times {
    head: Duration::from_secs(30),
    body: Duration::from_secs(60),
    write: Duration::from_secs(30),
    handshake: Duration::from_secs(10),
    grace: Duration::from_secs(5),
};

/// A stream whose writes fail when the other side takes nothing for a time.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    /// How long a write may wait.
    limit: Duration,
    /// Runs while a write waits.
    patience: Pin<Box<Sleep>>,
    waits: bool,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            patience: Box::pin(tokio::time::sleep(limit)),
            waits: false,
        }
    }

    /// What a write came to, or that it has waited for too long.
    fn patiently<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waits = false;
            return polled;
        }
        if !self.waits {
            self.waits = true;
            self.patience.as_mut().reset(Instant::now() + self.limit);
        }
        match self.patience.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.patiently(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.patiently(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.patiently(cx, polled)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_reader_that_takes_nothing_loses_its_connection() {
        let limit = Duration::from_millis(50);
        let (near, mut far) = tokio::io::duplex(16);
        let mut wire = Wire::new(near, limit);
        let begun = Instant::now();
        let error = wire.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= limit);
        // What waited before does not count against the next write.
        far.read_exact(&mut [0; 16]).await.unwrap();
        wire.write_all(&[0; 16]).await.unwrap();
        far.read_exact(&mut [0; 16]).await.unwrap();
    }
}
