//! What a gateway, or whoever says to be one, answers.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::fuzz_target;
use seedrail::swarm::ports::{
    find_service,
    pcp::{Protocol, Reply, Request, read_pmp_address},
    read_answer, read_fault,
};

fuzz_target!(|bytes: &[u8]| {
    for (protocol, lifetime) in [(Protocol::Tcp, 3600), (Protocol::Udp, 0)] {
        let request = Request {
            protocol,
            internal: 0x3030,
            external: 0x3030,
            lifetime,
        };
        for reply in [request.read_pcp([b'0'; 12], bytes), request.read_pmp(bytes)] {
            if let Reply::Granted(granted) = reply {
                assert_eq!(granted.lifetime == 0, lifetime == 0);
                assert!(granted.external != 0 || lifetime == 0);
            }
        }
    }
    let _ = read_pmp_address(bytes);
    let router = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let Some(location) = read_answer(bytes, router) else {
        if let Ok(text) = std::str::from_utf8(bytes) {
            let location = "http://10.0.0.1/".parse().expect("a URL");
            if let Some(service) = find_service(text, &location) {
                assert_eq!(service.control.host_str(), Some("10.0.0.1"));
            }
            let _ = read_fault(text);
        }
        return;
    };
    assert_eq!(location.host_str(), Some("10.0.0.1"));
});
