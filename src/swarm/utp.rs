//! uTP (BEP 29): connections over UDP that yield to other traffic.

use std::{io, net::SocketAddr, num::NonZeroUsize, sync::Arc};

use librqbit_utp::{SocketOpts, UtpSocketUdp};
use tokio_util::sync::CancellationToken;

/// uTP connections at once; each may buffer [`RECEIVE_BUFFER`] and as much to send.
const MAX_STREAMS: usize = 128;
/// Bytes of one connection that came and were not read yet: 100 ms at 80 Mbit/s.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Bytes of one connection that wait to be acknowledged.
const SEND_BUFFER: usize = 1 << 20;

/// A uTP socket.
pub(super) struct Utp {
    pub(super) socket: Arc<UtpSocketUdp>,
    v6: bool,
    token: CancellationToken,
}

impl Utp {
    pub(super) async fn bind(addr: SocketAddr) -> io::Result<Self> {
        let token = CancellationToken::new();
        let options = SocketOpts {
            vsock_rx_bufsize_bytes: NonZeroUsize::new(RECEIVE_BUFFER),
            vsock_tx_bufsize_bytes_max: NonZeroUsize::new(SEND_BUFFER),
            max_live_vsocks: NonZeroUsize::new(MAX_STREAMS),
            // Nagle's algorithm would hold the end of each burst until the other side says, 40 ms
            // later, that the rest has come. We write whole bursts anyway.
            disable_nagle: true,
            cancellation_token: token.clone(),
            ..SocketOpts::default()
        };
        let socket = UtpSocketUdp::new_udp_with_opts(addr, options, Default::default())
            .await
            .map_err(io::Error::other)?;
        Ok(Self {
            socket,
            v6: addr.is_ipv6(),
            token,
        })
    }

    /// Ends its tasks and breaks its connections.
    pub(super) fn end(&self) {
        self.token.cancel();
    }

    /// Whether packets to `addr` can be sent from this socket.
    pub(super) fn reaches(&self, addr: SocketAddr) -> bool {
        addr.is_ipv4() || self.v6
    }
}

impl Drop for Utp {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::Ipv4Addr,
        time::{Duration, Instant},
    };

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A receiver acknowledges what is less than two packets after so long.
    const ACKNOWLEDGED_LATE: Duration = Duration::from_millis(40);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_end_of_a_burst_does_not_wait_for_an_acknowledgement() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (here, there) = (Utp::bind(any).await.unwrap(), Utp::bind(any).await.unwrap());
        let address = there.socket.bind_addr();
        let mut quickest = Duration::MAX;
        // One of them is quick on the busiest machine.
        for _ in 0..30 {
            let both = tokio::join!(here.socket.connect(address), there.socket.accept());
            let (mut writing, mut reading) = (both.0.unwrap(), both.1.unwrap());
            let began = Instant::now();
            let mut bytes = [0; 200];
            writing.write_all(&bytes[..100]).await.unwrap();
            reading.read_exact(&mut bytes[..100]).await.unwrap();
            writing.write_all(&bytes[100..]).await.unwrap();
            reading.read_exact(&mut bytes[100..]).await.unwrap();
            quickest = quickest.min(began.elapsed());
        }
        assert!(quickest < ACKNOWLEDGED_LATE / 2, "{quickest:?}");
    }
}
