//! TLS to backends, with rustls.

use std::sync::Arc;

use bartizan_core::{Backend, failure::FailureKind};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    TransportError, address::ByName, connector::ConnectError, dialer::Dialer, socket::Socket,
};

/// The TLS configuration for backends.
#[derive(Clone)]
pub(super) struct Tls {
    any: TlsConnector,
    http1: TlsConnector,
}

/// Which protocols are offered
/// ([ALPN, RFC 7301](https://www.rfc-editor.org/rfc/rfc7301)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Alpn {
    /// HTTP/2 and HTTP/1.1.
    Any,
    /// Only HTTP/1.1.
    Http1,
}

impl Tls {
    /// Uses `config`, or trusts the certificates of the system. `None` if those cannot be read.
    pub(super) fn new(config: Option<ClientConfig>) -> Option<Self> {
        let config = match config {
            Some(config) => config,
            None => system()?,
        };
        let offering = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            TlsConnector::from(Arc::new(config))
        };
        Some(Self { any: offering(&[b"h2", b"http/1.1"]), http1: offering(&[b"http/1.1"]) })
    }

    /// Connects to `backend` and negotiates a protocol; returns the epoch of the address, too.
    pub(super) async fn reach(
        &self,
        dialer: &Dialer,
        backend: &Backend,
        alpn: Alpn,
    ) -> Result<(TlsStream<Socket<TcpStream>>, u64), TransportError> {
        let connector = match alpn {
            Alpn::Any => &self.any,
            Alpn::Http1 => &self.http1,
        };
        let host = backend.authority().host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| TransportError::Failed(FailureKind::Tls))?;
        let reaching = async {
            let (socket, epoch) = dialer.reach(backend).await?;
            let stream = connector.connect(name, socket).await.map_err(|error| {
                TransportError::Failed(ConnectError::new(Box::new(error)).kind())
            })?;
            Ok((stream, epoch))
        };
        match timeout(dialer.connect_timeout, reaching).await {
            Ok(reached) => reached,
            Err(_) => Err(TransportError::Failed(FailureKind::ConnectTimeout)),
        }
    }
}

fn system() -> Option<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().ok()?;
    Some(config.with_native_roots().ok()?.with_no_client_auth())
}

/// Adds TLS to `tcp` in the form for hyper-util's client. Uses `config`, or trusts the certificates of the system.
/// `None` if those cannot be read.
pub(super) fn connector(
    tcp: ByName,
    config: Option<ClientConfig>,
) -> Option<HttpsConnector<ByName>> {
    let mut config = match config {
        Some(config) => config,
        None => system()?,
    };
    // The connector states what it can speak.
    config.alpn_protocols.clear();
    let builder = HttpsConnectorBuilder::new().with_tls_config(config);
    Some(builder.https_only().enable_all_versions().wrap_connector(tcp))
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}
