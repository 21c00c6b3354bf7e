//! A node behind TLS: believed when an authority that this machine trusts vouches
//! for it, else refused in one sentence.

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/tls")
        .join(name)
}

/// Answers every request with `{}`, with this certificate; ends with the test's
/// process. The port.
fn serve(certificate: &str) -> u16 {
    let chain = vec![CertificateDer::from_pem_file(fixture(certificate)).unwrap()];
    let key = PrivateKeyDer::from_pem_file(fixture("key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            let mut request = [0; 4096];
            // A client that does not believe us says so and is gone.
            if stream.read(&mut request).is_ok_and(|read| read > 0) {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                let _gone = stream.write_all(answer).and_then(|()| stream.flush());
            }
        }
    });
    port
}

/// What the program says of a node with this certificate, trusting the test's
/// authority or only what the machine trusts.
fn ask(certificate: &str, trusted: bool) -> (i32, String) {
    let home = tempfile::tempdir().unwrap();
    let node = format!("https://127.0.0.1:{}", serve(certificate));
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedrail"));
    command
        .args([
            "token",
            "info",
            "--json",
            "--network",
            "nile",
            "--node",
            &node,
        ])
        .env("SEEDRAIL_HOME", home.path());
    if trusted {
        command.env("SSL_CERT_FILE", fixture("authority.pem"));
    }
    let output = command.output().unwrap();
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    let message = error["error"]["message"].as_str().unwrap().to_owned();
    (output.status.code().unwrap(), message)
}

#[test]
fn only_a_certificate_that_is_vouched_for_is_believed() {
    // The one that is good gets as far as its answer.
    let (code, message) = ask("loopback.pem", true);
    assert_eq!(code, 3, "{message}");
    assert!(message.contains("is this a TRON node?"), "{message}");
    for (certificate, trusted, words) in [
        ("loopback.pem", false, "UnknownIssuer"),
        ("self-signed.pem", false, "UnknownIssuer"),
        ("self-signed.pem", true, "UnknownIssuer"),
        ("elsewhere.pem", true, "not valid for name"),
        ("expired.pem", true, "expired"),
    ] {
        let (code, message) = ask(certificate, trusted);
        assert_eq!(code, 3, "{certificate}: {message}");
        assert!(
            message.contains("cannot connect") && message.contains(words),
            "{certificate}: {message}"
        );
        assert!(!message.contains('\n'), "{message}");
    }
}
