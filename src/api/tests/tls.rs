//! TLS with given certificate files.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{client, config, exchange, request};
use crate::api::{ApiConfig, ApiError, TlsFiles, serve};

const CERTIFICATE: &str = include_str!("../../../fixtures/tls/self-signed.pem");
const KEY: &str = include_str!("../../../fixtures/tls/key.pem");

fn with_tls(folder: &Path, certificate: &str, key: &str, mode: u32) -> ApiConfig {
    let files = TlsFiles {
        certificate: folder.join("certificate.pem"),
        key: folder.join("key.pem"),
    };
    fs::write(&files.certificate, certificate).unwrap();
    fs::write(&files.key, key).unwrap();
    fs::set_permissions(&files.key, fs::Permissions::from_mode(mode)).unwrap();
    ApiConfig {
        tls: Some(files),
        ..config(folder)
    }
}

#[tokio::test]
async fn a_browser_that_knows_the_certificate_is_served_and_its_cookie_is_secure() {
    let folder = tempfile::tempdir().unwrap();
    let config = with_tls(folder.path(), CERTIFICATE, KEY, 0o600);
    let server = serve(config, client(folder.path()).await).await.unwrap();
    assert!(server.url().unwrap().starts_with("https://"));
    let mut roots = RootCertStore::empty();
    let own = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    roots.add(own).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(tls));
    let stream = TcpStream::connect(server.address().unwrap()).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    let body = format!("{{\"password\": \"{}\"}}", super::PASSWORD);
    let headers = [("Content-Type", "application/json")];
    let bytes = request(
        "POST /api/v1/session",
        "localhost",
        &headers,
        body.as_bytes(),
    );
    let reply = exchange(stream, &bytes).await.unwrap();
    assert_eq!(reply.status, 200);
    assert!(reply.header("set-cookie").unwrap().contains("; Secure"));
    // Plain HTTP at the same port is not answered.
    let plain = TcpStream::connect(server.address().unwrap()).await.unwrap();
    let reply = exchange(plain, &request("GET /healthz", "localhost", &[], b"")).await;
    assert!(reply.is_none());
}

#[tokio::test]
async fn files_that_cannot_be_used_are_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(folder.path()).await;
    let start = async |certificate: &str, key: &str, mode: u32| {
        let config = with_tls(folder.path(), certificate, key, mode);
        serve(config, client.clone()).await.unwrap_err()
    };
    let error = start(CERTIFICATE, KEY, 0o644).await;
    assert!(matches!(error, ApiError::File { .. }), "{error}");
    for (certificate, key) in [
        (CERTIFICATE, ""),
        ("", KEY),
        (CERTIFICATE, CERTIFICATE),
        (KEY, KEY),
    ] {
        let error = start(certificate, key, 0o600).await;
        assert!(matches!(error, ApiError::Certificate { .. }), "{error}");
    }
}
