//! Everything that is needed to make a connection.

use std::{sync::Arc, time::Duration};

use bartizan_core::{Backend, failure::FailureKind};
use http::Uri;
use tokio::net::TcpStream;

#[cfg(feature = "tls")]
use super::tls::Tls;
use super::{TransportError, address::Names, socket::Socket};

/// How connections are made, for all pools.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    pub(super) names: Arc<Names>,
    pub(super) connect_timeout: Duration,
    pub(super) connection_wait: Duration,
    pub(super) write_timeout: Option<Duration>,
    /// The TLS configuration for backends.
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Tls>,
}

impl Dialer {
    /// Makes a TCP connection to `backend`; with the epoch of its address.
    pub(super) async fn reach(
        &self,
        backend: &Backend,
    ) -> Result<(Socket<TcpStream>, u64), TransportError> {
        let uri = origin(backend).ok_or(TransportError::Unsupported)?;
        let reached = self.names.connect(&uri).await;
        let reached = reached.map_err(|error| TransportError::Failed(error.kind()))?;
        Ok((Socket::new(reached.io.into_inner(), self.write_timeout), reached.epoch))
    }

    /// Makes a TCP connection to `backend` and closes it.
    pub(super) async fn probe(&self, backend: &Backend) -> Result<(), FailureKind> {
        // Only a URI that cannot be built has no failure kind.
        let uri = origin(backend).ok_or(FailureKind::ConnectionLimit)?;
        self.names.connect(&uri).await.map(drop).map_err(|error| error.kind())
    }
}

/// The origin of `backend` as a URI.
pub(super) fn origin(backend: &Backend) -> Option<Uri> {
    let uri = Uri::builder().scheme(backend.scheme().clone());
    uri.authority(backend.authority().clone()).path_and_query("/").build().ok()
}
