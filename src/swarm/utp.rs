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
