//! TLS to backends, by rustls.

use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use rustls::ClientConfig;

use super::address::ByName;

/// Puts TLS over `tcp`: by `config`, or trusting the certificates of the system. None if those cannot
/// be read.
pub(super) fn connector(
    tcp: ByName,
    config: Option<ClientConfig>,
) -> Option<HttpsConnector<ByName>> {
    let builder = HttpsConnectorBuilder::new();
    let builder = match config {
        Some(mut config) => {
            // The connector states what it can speak.
            config.alpn_protocols.clear();
            builder.with_tls_config(config)
        }
        None => {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            builder.with_provider_and_native_roots(provider).ok()?
        }
    };
    Some(builder.https_only().enable_all_versions().wrap_connector(tcp))
}
