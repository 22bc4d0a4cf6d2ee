//! The stack inside a tonic server.

use std::sync::Arc;

use axum::Router;
use bartizan::{
    ReverseProxyStack,
    core::Backend,
    forwarded::SanitizeForwardedLayer,
    memory::MemoryStore,
    peer,
    pin::{Backends, PinBackendLayer},
    session::ValidateSessionLayer,
    upstream::Upstream,
};
use http::HeaderName;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    service::Routes,
    transport::{Error, Server},
};
use tower_layer::Layer;

/// Sends the calls of a session to the backend that opened it.
pub(crate) async fn serve(listener: TcpListener, backends: Vec<Backend>) -> Result<(), Error> {
    let store = MemoryStore::new();
    let backends = Backends::new(backends).counted_by(Arc::new(store.clone()));
    // Metadata is a header field. A call without it is new work; its response may open a session.
    let metadata = HeaderName::from_static("x-session-id");
    let stack = ReverseProxyStack::new(
        ValidateSessionLayer::header(metadata, store),
        PinBackendLayer::new(backends),
    )
    // The backend is told who the client is, by where tonic keeps it.
    .forwarded(SanitizeForwardedLayer::new().peer_from(peer::of_tonic));
    let service = stack.layer(Upstream::builder().build());
    Server::builder()
        .add_routes(Routes::from(Router::new().fallback_service(service)))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
}
