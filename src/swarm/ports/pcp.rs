//! The packets of the Port Control Protocol (RFC 6887) and of its elder, NAT-PMP
//! (RFC 6886). Pure. Replies are of fixed length; whatever does not fit the request
//! is none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The UDP port of both protocols.
pub const PORT: u16 = 5351;

/// PCP's version.
const PCP: u8 = 2;
/// NAT-PMP's version.
const PMP: u8 = 0;
/// PCP: map a port.
const OP_MAP: u8 = 1;
/// Set in the operation of a reply.
const REPLY: u8 = 0x80;
/// Both: a version that the gateway does not speak.
const OTHER_VERSION: u16 = 1;
/// Bytes of a PCP MAP message, either way.
const PCP_LEN: usize = 60;

/// What a mapping is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// The protocol's number in IP headers.
    fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// NAT-PMP's operation.
    fn operation(self) -> u8 {
        match self {
            Self::Udp => 1,
            Self::Tcp => 2,
        }
    }
}

/// A mapping to ask for, to renew, or, with a lifetime of 0, to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What it is for.
    pub protocol: Protocol,
    /// The port here.
    pub internal: u16,
    /// The port hoped for out there.
    pub external: u16,
    /// Seconds.
    pub lifetime: u32,
}

/// What a gateway granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// The port out there; never 0, but where a mapping ends.
    pub external: u16,
    /// The address out there, if it was told.
    pub address: Option<Ipv4Addr>,
    /// Seconds.
    pub lifetime: u32,
}

/// A reply to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Not an answer to it.
    Other,
    /// The gateway does not speak this version.
    OtherVersion,
    /// No; the gateway's result code.
    Refused(u16),
    /// Yes.
    Granted(Granted),
}

impl Request {
    /// As PCP says it; `client` is our address as the gateway sees it, the nonce
    /// names the mapping for as long as it lives.
    pub fn pcp(&self, client: Ipv4Addr, nonce: [u8; 12]) -> [u8; PCP_LEN] {
        let mut out = [0; PCP_LEN];
        let fields: [&[u8]; 8] = [
            &[PCP, OP_MAP, 0, 0],
            &self.lifetime.to_be_bytes(),
            &client.to_ipv6_mapped().octets(),
            &nonce,
            &[self.protocol.number(), 0, 0, 0],
            &self.internal.to_be_bytes(),
            &self.external.to_be_bytes(),
            // Any address, of IPv4.
            &Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets(),
        ];
        for (place, byte) in out.iter_mut().zip(fields.into_iter().flatten()) {
            *place = *byte;
        }
        out
    }

    /// As NAT-PMP says it.
    pub fn pmp(&self) -> [u8; 12] {
        let [i0, i1] = self.internal.to_be_bytes();
        let [e0, e1] = self.external.to_be_bytes();
        let [l0, l1, l2, l3] = self.lifetime.to_be_bytes();
        let operation = self.protocol.operation();
        [PMP, operation, 0, 0, i0, i1, e0, e1, l0, l1, l2, l3]
    }

    /// Reads the reply to [`pcp`](Self::pcp).
    pub fn read_pcp(&self, nonce: [u8; 12], bytes: &[u8]) -> Reply {
        // Whoever speaks only NAT-PMP answers in that.
        if let [PMP, operation, high, low, ..] = bytes
            && operation & REPLY != 0
            && u16::from_be_bytes([*high, *low]) == OTHER_VERSION
        {
            return Reply::OtherVersion;
        }
        let Some((head, body)) = bytes.split_first_chunk::<24>() else {
            return Reply::Other;
        };
        let [version, operation, _, result, l0, l1, l2, l3, ..] = *head;
        if operation != OP_MAP | REPLY {
            return Reply::Other;
        }
        if u16::from(result) == OTHER_VERSION {
            return Reply::OtherVersion;
        }
        if version != PCP {
            return Reply::Other;
        }
        let Some((body, _options)) = body.split_first_chunk::<36>() else {
            return Reply::Other;
        };
        let (theirs, body) = body.split_at(12);
        let [protocol, _, _, _, i0, i1, e0, e1, address @ ..] = body else {
            return Reply::Other;
        };
        let same = theirs == nonce
            && *protocol == self.protocol.number()
            && u16::from_be_bytes([*i0, *i1]) == self.internal;
        if !same {
            return Reply::Other;
        }
        if result != 0 {
            return Reply::Refused(result.into());
        }
        let address = address.first_chunk::<16>().and_then(|octets| {
            let address = Ipv6Addr::from(*octets).to_canonical();
            match address {
                IpAddr::V4(v4) if !v4.is_unspecified() => Some(v4),
                _ => None,
            }
        });
        self.granted(
            u16::from_be_bytes([*e0, *e1]),
            address,
            u32::from_be_bytes([l0, l1, l2, l3]),
        )
    }

    /// Reads the reply to [`pmp`](Self::pmp).
    pub fn read_pmp(&self, bytes: &[u8]) -> Reply {
        let [version, operation, r0, r1, rest @ ..] = bytes else {
            return Reply::Other;
        };
        if *version != PMP || *operation != self.protocol.operation() | REPLY {
            return Reply::Other;
        }
        match u16::from_be_bytes([*r0, *r1]) {
            0 => {}
            OTHER_VERSION => return Reply::OtherVersion,
            result => return Reply::Refused(result),
        }
        let [_, _, _, _, i0, i1, e0, e1, l0, l1, l2, l3, ..] = rest else {
            return Reply::Other;
        };
        if u16::from_be_bytes([*i0, *i1]) != self.internal {
            return Reply::Other;
        }
        self.granted(
            u16::from_be_bytes([*e0, *e1]),
            None,
            u32::from_be_bytes([*l0, *l1, *l2, *l3]),
        )
    }

    fn granted(&self, external: u16, address: Option<Ipv4Addr>, lifetime: u32) -> Reply {
        let ends = self.lifetime == 0;
        if ends != (lifetime == 0) || (external == 0 && !ends) {
            return Reply::Other;
        }
        Reply::Granted(Granted {
            external,
            address,
            lifetime,
        })
    }
}

/// NAT-PMP: what is the address out there?
pub const PMP_ADDRESS: [u8; 2] = [PMP, 0];

/// Reads the reply to [`PMP_ADDRESS`].
pub fn read_pmp_address(bytes: &[u8]) -> Option<Ipv4Addr> {
    let [PMP, REPLY, 0, 0, _, _, _, _, a, b, c, d, ..] = bytes else {
        return None;
    };
    let address = Ipv4Addr::new(*a, *b, *c, *d);
    (!address.is_unspecified()).then_some(address)
}

/// What a result code means, in the words of the descriptions.
pub fn refusal(result: u16) -> &'static str {
    match result {
        2 => "not authorized",
        3 => "malformed request, or a network failure",
        4 => "unsupported operation, or out of resources",
        8 => "out of resources",
        9 => "unsupported protocol",
        10 => "too many mappings already",
        11 => "it cannot provide that port",
        12 => "we are behind another translator",
        13 => "too many remote peers",
        _ => "an error without a name",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONCE: [u8; 12] = *b"abcdefghijkl";
    const ASKED: Request = Request {
        protocol: Protocol::Tcp,
        internal: 6881,
        external: 6881,
        lifetime: 3600,
    };

    /// Annotated as in RFC 6887, figures 2 and 9.
    #[test]
    fn pcp_asks_as_its_description_draws_it() {
        let bytes = ASKED.pcp(Ipv4Addr::new(192, 168, 1, 2), NONCE);
        let expected = hex::decode(concat!(
            "02",                               // version
            "01",                               // MAP
            "0000",                             // reserved
            "00000e10",                         // lifetime
            "00000000000000000000ffffc0a80102", // client
            "6162636465666768696a6b6c",         // nonce
            "06000000",                         // TCP, reserved
            "1ae1",                             // internal port
            "1ae1",                             // suggested external port
            "00000000000000000000ffff00000000", // suggested external address
        ))
        .unwrap();
        assert_eq!(bytes.as_slice(), expected);
    }

    fn pcp_reply(result: u8, external: u16, lifetime: u32) -> Vec<u8> {
        let mut bytes = ASKED.pcp(Ipv4Addr::new(203, 0, 113, 5), NONCE).to_vec();
        bytes[1] |= REPLY;
        bytes[3] = result;
        bytes[4..8].copy_from_slice(&lifetime.to_be_bytes());
        bytes[42..44].copy_from_slice(&external.to_be_bytes());
        let address = Ipv4Addr::new(203, 0, 113, 5).to_ipv6_mapped();
        bytes[44..60].copy_from_slice(&address.octets());
        bytes
    }

    #[test]
    fn pcp_is_believed_only_where_it_fits() {
        let read = |bytes: &[u8]| ASKED.read_pcp(NONCE, bytes);
        let good = pcp_reply(0, 40_000, 1800);
        assert_eq!(
            read(&good),
            Reply::Granted(Granted {
                external: 40_000,
                address: Some(Ipv4Addr::new(203, 0, 113, 5)),
                lifetime: 1800,
            })
        );
        assert_eq!(read(&pcp_reply(8, 0, 30)), Reply::Refused(8));
        assert_eq!(read(&pcp_reply(1, 0, 0)), Reply::OtherVersion);
        assert_eq!(read(&[0, 0x81, 0, 1]), Reply::OtherVersion);
        // A port or a time that is none.
        assert_eq!(read(&pcp_reply(0, 0, 1800)), Reply::Other);
        assert_eq!(read(&pcp_reply(0, 40_000, 0)), Reply::Other);
        assert_eq!(read(&good[..59]), Reply::Other);
        // Another's nonce, protocol, port; a request, not a reply.
        for at in [24, 36, 41, 1] {
            let mut other = good.clone();
            other[at] ^= 0x80;
            assert_eq!(read(&other), Reply::Other, "{at}");
        }
        let ends = Request {
            lifetime: 0,
            ..ASKED
        };
        assert!(matches!(
            ends.read_pcp(NONCE, &pcp_reply(0, 0, 0)),
            Reply::Granted(_)
        ));
    }

    /// Annotated as in RFC 6886, sections 3.2 and 3.3.
    #[test]
    fn nat_pmp_asks_and_answers() {
        assert_eq!(
            ASKED.pmp(),
            [0, 2, 0, 0, 0x1a, 0xe1, 0x1a, 0xe1, 0, 0, 0x0e, 0x10]
        );
        let reply = |result: u8| {
            [
                0, 130, 0, result, 0, 0, 0, 9, 0x1a, 0xe1, 0x9c, 0x40, 0, 0, 7, 8,
            ]
        };
        assert_eq!(
            ASKED.read_pmp(&reply(0)),
            Reply::Granted(Granted {
                external: 40_000,
                address: None,
                lifetime: 1800,
            })
        );
        assert_eq!(ASKED.read_pmp(&reply(2)), Reply::Refused(2));
        assert_eq!(ASKED.read_pmp(&reply(0)[..15]), Reply::Other);
        let udp = Request {
            protocol: Protocol::Udp,
            ..ASKED
        };
        assert_eq!(udp.read_pmp(&reply(0)), Reply::Other);
        assert_eq!(
            read_pmp_address(&[0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 5]),
            Some(Ipv4Addr::new(203, 0, 113, 5))
        );
        assert_eq!(
            read_pmp_address(&[0, 128, 0, 3, 0, 0, 0, 9, 0, 0, 0, 0]),
            None
        );
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = ASKED.read_pcp(NONCE, &bytes);
            let _ = ASKED.read_pmp(&bytes);
            let _ = read_pmp_address(&bytes);
        }

        #[test]
        fn almost_replies_never_panic(at in 0usize..60, byte: u8, cut in 0usize..61) {
            let mut bytes = pcp_reply(0, 40_000, 1800);
            bytes[at] = byte;
            let _ = ASKED.read_pcp(NONCE, &bytes[..cut.min(60)]);
        }
    }
}
