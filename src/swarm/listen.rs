//! Where others reach a session: TCP, and uTP at the UDP port of the same number.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

use super::utp::Utp;

/// Connections waiting to be accepted.
const BACKLOG: u32 = 256;
/// Attempts at a port that is free for TCP and UDP.
const PORT_TRIES: u32 = 16;

/// What was bound.
pub(super) struct Listeners {
    pub(super) addr: SocketAddr,
    pub(super) tcp: Option<TcpListener>,
    pub(super) utp: Option<Utp>,
}

impl Listeners {
    /// Nobody reaches it.
    pub(super) fn none(addr: SocketAddr) -> Self {
        Self {
            addr: SocketAddr::new(addr.ip(), 0),
            tcp: None,
            utp: None,
        }
    }

    /// Binds what is wanted to `addr`; port 0 takes one that is free for all.
    pub(super) async fn bind(addr: SocketAddr, tcp: bool, utp: bool) -> io::Result<Self> {
        if !tcp {
            let utp = Utp::bind(addr).await?;
            return Ok(Self {
                addr: utp.socket.bind_addr(),
                tcp: None,
                utp: Some(utp),
            });
        }
        for left in (0..PORT_TRIES).rev() {
            let listener = listen(addr)?;
            let found = listener.local_addr()?;
            let twin = if utp {
                match Utp::bind(found).await {
                    Ok(utp) => Some(utp),
                    Err(_) if addr.port() == 0 && left > 0 => continue,
                    Err(error) => return Err(error),
                }
            } else {
                None
            };
            return Ok(Self {
                addr: found,
                tcp: Some(listener),
                utp: twin,
            });
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A listener that was closed a moment ago must not keep us out.
    if cfg!(unix) {
        socket.set_reuseaddr(true)?;
    }
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}
