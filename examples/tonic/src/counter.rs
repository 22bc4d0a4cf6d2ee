//! A gRPC service whose state exists only in this process.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::ready,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bartizan::{
    ClientAddr,
    forwarded::{SanitizeForwardedLayer, TrustedPeers},
    peer,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    body::Body,
    metadata::MetadataValue,
    server::{Grpc, NamedService},
    transport::{Error, Server},
};
use tonic_prost::ProstCodec;
use tower::service_fn;
use tower_service::Service;

/// Asks to add one.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Increment {}

/// The count of the session.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Count {
    #[prost(uint64, tag = "1")]
    pub(crate) value: u64,
}

/// The service; clones share their counts.
#[derive(Clone, Debug)]
struct Counter {
    name: Arc<str>,
    opened: Arc<AtomicU64>,
    counts: Arc<Mutex<HashMap<String, u64>>>,
}

/// Serves until the task ends.
pub(crate) async fn serve(listener: TcpListener) -> Result<(), Error> {
    let name = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
    let counter = Counter { name: name.into(), opened: Arc::default(), counts: Arc::default() };
    // Finds the address of the client behind the proxy, which runs on this host.
    let proxies = TrustedPeers::default().and_loopback();
    let sanitize = SanitizeForwardedLayer::new().trust(proxies).peer_from(peer::of_tonic);
    Server::builder()
        .layer(sanitize)
        .add_service(counter)
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
}

impl Counter {
    fn increment(&self, request: &Request<Increment>) -> Result<Response<Count>, Status> {
        let client = ClientAddr::of(request.extensions()).map(ClientAddr::ip);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = request.metadata().get("x-session-id") {
            let count = id.to_str().ok().and_then(|id| counts.get_mut(id));
            let count = count.ok_or_else(|| Status::not_found("no such session here"))?;
            *count += 1;
            return Ok(seen(client, Response::new(Count { value: *count })));
        }
        // A real service uses ids that cannot be guessed.
        let id = format!("{}-{}", self.name, self.opened.fetch_add(1, Ordering::Relaxed));
        counts.insert(id.clone(), 1);
        let mut response = Response::new(Count { value: 1 });
        let id = MetadataValue::try_from(id).map_err(|_| Status::internal("id"))?;
        response.metadata_mut().insert("x-session-id", id);
        Ok(seen(client, response))
    }
}

/// Adds the address of the client to a response.
fn seen<T>(client: Option<IpAddr>, mut response: Response<T>) -> Response<T> {
    let client = client.and_then(|ip| MetadataValue::try_from(ip.to_string()).ok());
    if let Some(client) = client {
        response.metadata_mut().insert("x-seen-client", client);
    }
    response
}

impl NamedService for Counter {
    const NAME: &'static str = "example.Counter";
}

impl Service<http::Request<Body>> for Counter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let counter = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Count, Increment>::default());
            let increment = service_fn(move |request| ready(counter.increment(&request)));
            Ok(grpc.unary(increment, request).await)
        })
    }
}
