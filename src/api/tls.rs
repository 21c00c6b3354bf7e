//! TLS with given certificate files.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio_rustls::TlsAcceptor;

use super::{ApiError, TlsFiles, secret};

/// The largest PEM file, bytes.
const MAX_PEM: u64 = 1 << 20;

/// What speaks TLS with these files.
pub(super) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, ApiError> {
    let bad = |path: &std::path::Path, why: String| ApiError::Certificate {
        path: path.to_owned(),
        why,
    };
    let key = secret::read_private(&files.key, MAX_PEM).map_err(|source| ApiError::File {
        path: files.key.clone(),
        source,
    })?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| bad(&files.key, error.to_string()))?;
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(&files.certificate, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| bad(&files.certificate, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
