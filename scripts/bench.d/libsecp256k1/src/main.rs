//! What libsecp256k1 would give: `NAME SECONDS` prints
//! `{"ops":…,"wall_s":…,"cpu_s":…}`, of the timed part alone.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use secp256k1::{Message, Secp256k1, SecretKey};
use seedrail::{
    tron::{
        contract::Contract,
        keys::{SecretKey as OurKey, Signature},
        transaction::{Draft, RefBlock, Transaction},
    },
    types::{RawAmount, Token, UnixMs},
};
use sha2::{Digest, Sha256};

fn key() -> [u8; 32] {
    std::array::from_fn(|n| n as u8 + 1)
}

/// It signs, nothing else.
fn bound() -> Box<dyn FnMut(u64)> {
    let (context, key) = (
        Secp256k1::signing_only(),
        SecretKey::from_byte_array(key()).unwrap(),
    );
    Box::new(move |n| {
        let digest: [u8; 32] = Sha256::digest(n.to_be_bytes()).into();
        black_box(context.sign_ecdsa_recoverable(Message::from_digest(digest), &key));
    })
}

/// The newest version, which re-randomises after each.
fn bound_now() -> Box<dyn FnMut(u64)> {
    use secp256k1_now::{Message, SecretKey, ecdsa::RecoverableSignature};
    let key = SecretKey::from_secret_bytes(key()).unwrap();
    Box::new(move |n| {
        let digest: [u8; 32] = Sha256::digest(n.to_be_bytes()).into();
        let message = Message::from_digest(digest);
        black_box(RecoverableSignature::sign_ecdsa_recoverable(message, &key));
    })
}

/// The kernel `tx-build-sign`, with its signature made by this library.
fn build_and_sign() -> Box<dyn FnMut(u64)> {
    let own = OurKey::from_bytes(&key()).unwrap();
    let (context, key) = (
        Secp256k1::signing_only(),
        SecretKey::from_byte_array(key()).unwrap(),
    );
    let to = "TDvSsdrNM5eeXNL3czpa6AxLDHZA9nwe9K".parse().unwrap();
    let token = Token::Trc10("1002000".parse().unwrap());
    let ref_block = RefBlock {
        bytes: [0xa4, 0xb1],
        hash: [3; 8],
    };
    let from = own.address();
    let transfer = move |n: u64| {
        let contract = Contract::transfer(from, to, token, RawAmount::new(1_000).unwrap());
        let timestamp = UnixMs(1_790_000_000_000 + n as i64);
        Draft::new(contract, ref_block, UnixMs(1_790_000_060_000), timestamp).build()
    };
    let sign = move |n: u64| {
        let unsigned = transfer(n);
        let message = Message::from_digest(*unsigned.txid().as_bytes());
        let (id, rs) = context
            .sign_ecdsa_recoverable(message, &key)
            .serialize_compact();
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&rs);
        bytes[64] = i32::from(id) as u8;
        let mut transaction = Transaction::from(unsigned);
        transaction.add_signature(&Signature::from_slice(&bytes).unwrap());
        transaction.encode()
    };
    // The same bytes as ours, or there is nothing to compare.
    assert_eq!(sign(7), transfer(7).sign(&own).unwrap().encode());
    Box::new(move |n| {
        black_box(sign(n));
    })
}

fn cpu_hundredths() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = after.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, seconds] = arguments.as_slice() else {
        panic!("which kernel, and how many seconds?");
    };
    let mut kernel = match name.as_str() {
        "bound" => bound(),
        "bound-now" => bound_now(),
        "tx-build-sign" => build_and_sign(),
        other => panic!("there is no kernel `{other}`"),
    };
    let seconds = Duration::from_secs_f64(seconds.parse().unwrap());
    kernel(u64::from(u32::MAX));
    let (begin, cpu) = (Instant::now(), cpu_hundredths());
    let mut ops = 0;
    while begin.elapsed() < seconds {
        for _ in 0..16 {
            kernel(ops);
            ops += 1;
        }
    }
    let (wall, cpu) = (begin.elapsed().as_secs_f64(), cpu_hundredths() - cpu);
    println!(
        "{{\"ops\":{ops},\"wall_s\":{wall:.6},\"cpu_s\":{}.{:02}}}",
        cpu / 100,
        cpu % 100
    );
}
