//! The stack behind a real server, in this process.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "test support")]

use std::{convert::Infallible, error::Error, net::SocketAddr};

use bartizan::{
    ReverseProxyStack,
    core::PeerAddr,
    memory::MemoryStore,
    pin::{Backends, PinBackendLayer},
    resume::{ResumeCounts, ResumeSessionLayer},
    session::ValidateSessionLayer,
    upstream::Upstream,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, task::JoinSet};
use tower::{Layer, Service, ServiceExt};

/// The stack behind a server on a free port. Dropping it closes every connection at once.
pub struct Gateway {
    pub addr: SocketAddr,
    pub store: MemoryStore,
    pub backends: Backends,
    task: tokio::task::JoinHandle<()>,
}

impl Gateway {
    /// Guards MCP sessions in front of servers at `origins`.
    pub async fn mcp<'a>(origins: impl IntoIterator<Item = &'a str>) -> Self {
        Self::with(origins, |session| session, |pin| pin).await
    }

    /// The same, with the layers configured.
    pub async fn with<'a>(
        origins: impl IntoIterator<Item = &'a str>,
        session: impl FnOnce(ValidateSessionLayer<MemoryStore>) -> ValidateSessionLayer<MemoryStore>,
        pin: impl FnOnce(PinBackendLayer) -> PinBackendLayer,
    ) -> Self {
        let store = MemoryStore::new();
        let backends = Backends::new(origins.into_iter().map(|origin| origin.parse().unwrap()));
        let stack =
            ReverseProxyStack::mcp(store.clone(), backends.clone()).session(session).pin(pin);
        Self::serve(stack.layer(Upstream::builder().build()), store, backends).await
    }

    /// Serves with `service`, which has its sessions in `store` and its backends in `backends`.
    pub async fn serve<S, R>(service: S, store: MemoryStore, backends: Backends) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<R>, Error = Infallible, Future: Send>,
        S: Clone + Send + 'static,
        R: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, peer)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let peer = PeerAddr::new(peer);
                let service = service.clone();
                connections.spawn(async move {
                    let service = service_fn(move |mut request: Request<Incoming>| {
                        peer.clone().attach(&mut request);
                        let service = service.clone();
                        async move { service.oneshot(request).await }
                    });
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let io = TokioIo::new(stream);
                    let _ = builder.serve_connection_with_upgrades(io, service).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { addr, store, backends, task }
    }

    pub fn uri(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The MCP endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}/mcp", self.addr)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A gateway that resumes sessions, in front of servers at `origins`.
pub async fn resuming(
    origins: &[String],
    configure: impl FnOnce(ResumeSessionLayer<MemoryStore>) -> ResumeSessionLayer<MemoryStore>,
) -> (Gateway, ResumeCounts) {
    let store = MemoryStore::new();
    let backends = Backends::new(origins.iter().map(|origin| origin.parse().unwrap()));
    let stack = ReverseProxyStack::mcp(store.clone(), backends.clone()).resume(configure);
    let counts = stack.resume_counts();
    let service = stack.layer(Upstream::builder().build());
    (Gateway::serve(service, store, backends).await, counts)
}
