//! The stack inside a tonic server.

use axum::Router;
use bartizan::{
    Backend, ReverseProxyStack, memory::MemoryStore, peer, pin::Backends, upstream::Upstream,
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
    // gRPC metadata is a header field. A call without it may go to any backend, and its response
    // may open a session.
    let metadata = HeaderName::from_static("x-session-id");
    let stack = ReverseProxyStack::header(metadata, MemoryStore::new(), Backends::new(backends))
        // tonic knows the address of the client: it is forwarded to the backend.
        .forwarded(|layer| layer.peer_from(peer::of_tonic));
    let service = stack.layer(Upstream::builder().build());
    Server::builder()
        .add_routes(Routes::from(Router::new().fallback_service(service)))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
}
