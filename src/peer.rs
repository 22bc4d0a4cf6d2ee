//! The peer of a request, as a framework knows it.
//!
//! For [`SanitizeForwardedLayer::peer_from`](https://docs.rs/bartizan-forwarded): a server that attaches a
//! [`PeerAddr`](crate::core::PeerAddr) itself needs none of these.

use std::net::SocketAddr;

use http::Extensions;

/// The peer that axum's `into_make_service_with_connect_info::<SocketAddr>` keeps.
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
#[must_use]
pub fn of_axum(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<axum::extract::ConnectInfo<SocketAddr>>().map(|info| info.0)
}

/// The peer that tonic's server keeps.
#[cfg(feature = "tonic")]
#[cfg_attr(docsrs, doc(cfg(feature = "tonic")))]
#[must_use]
pub fn of_tonic(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<tonic::transport::server::TcpConnectInfo>()?.remote_addr()
}
