//! Where the gateway is.

use std::{io, net::Ipv4Addr};

use tokio::net::UdpSocket;

/// The routing table of Linux; elsewhere there is none, and only UPnP is tried.
const ROUTES: &str = "/proc/net/route";
/// The longest table that is read: a thousand routes.
const MAX_ROUTES: u64 = 128 << 10;
/// A route that goes through a gateway.
const RTF_GATEWAY: u16 = 2;

/// The gateway of the default route.
pub(super) async fn default_gateway() -> Option<Ipv4Addr> {
    use tokio::io::AsyncReadExt;
    let file = tokio::fs::File::open(ROUTES).await.ok()?;
    let mut text = String::new();
    file.take(MAX_ROUTES).read_to_string(&mut text).await.ok()?;
    parse(&text)
}

/// Finds the default route of the lowest metric: columns are interface, destination,
/// gateway, flags, two counters, metric, mask; addresses are in the machine's order.
fn parse(routes: &str) -> Option<Ipv4Addr> {
    let mut found = routes
        .lines()
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let [_, "00000000", gateway, flags, _, _, metric, "00000000", ..] = columns[..] else {
                return None;
            };
            let flags = u16::from_str_radix(flags, 16).ok()?;
            let gateway = u32::from_str_radix(gateway, 16).ok()?;
            let metric: u32 = metric.parse().ok()?;
            (flags & RTF_GATEWAY != 0).then(|| (metric, Ipv4Addr::from(gateway.to_ne_bytes())))
        })
        .collect::<Vec<_>>();
    found.sort();
    found.first().map(|(_, gateway)| *gateway)
}

/// Our own address as somebody there sees it.
pub(super) async fn own_address(bind: Ipv4Addr, there: (Ipv4Addr, u16)) -> io::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((bind, 0)).await?;
    socket.connect(there).await?;
    match socket.local_addr()?.ip() {
        std::net::IpAddr::V4(ours) => Ok(ours),
        std::net::IpAddr::V6(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_default_route_of_the_lowest_metric_is_taken() {
        let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n";
        let routes = format!(
            "{head}wlan0\t00000000\tFE01A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
             eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
             tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n\
             eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
        );
        assert_eq!(parse(&routes), Some(Ipv4Addr::new(192, 168, 1, 1)));
        assert_eq!(parse(head), None);
        assert_eq!(parse("eth0 00000000 zz 0003 0 0 0 00000000"), None);
    }
}
