//! How a request is forwarded. The transport is called synchronously.

use std::{
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bartizan_core::{
    Backend, Dialect, GuardBody, Passage, Reason, Refusal, Work, failure::FailureKind,
    refusal::ReturnedBody,
};
use bytes::Bytes;
use http::{Method, Request, Response, Version};
use http_body::Body;
use tokio::time::sleep;
use tower_service::Service;

use crate::{
    ResponseFuture, TrailerFilterBody,
    config::Config,
    event,
    future::Exchange,
    head,
    transport::{ByProtocol, Transport},
    upgrade::{self, Tunnel},
};

/// Forwards a request to the backend that a layer chose; see the [crate docs](crate).
///
/// ```
/// use std::time::Duration;
///
/// use bartizan_upstream::{Upstream, transport::TransportBuilder};
///
/// let connections = TransportBuilder::new()
///     .connect_timeout(Duration::from_secs(2))
///     .max_connections_per_backend(500);
/// let upstream = Upstream::builder()
///     .connections(connections)
///     .response_timeout(Some(Duration::from_secs(60)))
///     .build();
/// # let _ = upstream;
/// ```
pub struct Upstream<C = ByProtocol> {
    transport: C,
    config: Arc<Config>,
}

impl<C> Upstream<C> {
    pub(crate) fn new(transport: C, config: Arc<Config>) -> Self {
        Self { transport, config }
    }
}

impl Upstream {
    /// A service with its own connections, for the thread of another runtime.
    ///
    /// For servers that run one current-thread runtime per core: a connection is driven by the runtime that made it, so
    /// a request that takes another thread's connection wakes that thread twice. Clones share their connections, which
    /// suits a multi-thread runtime.
    ///
    /// | | is |
    /// |---|---|
    /// | connections, and the task that closes idle ones | this worker's own |
    /// | addresses of names | shared: all workers go to one address, and follow when it changes |
    /// | configuration | the same |
    /// | connections, where [`max_connections_per_backend`] or [`max_idle_per_backend`] is set | shared, so that the limits hold for all workers |
    ///
    /// Where connections are shared, all runtimes must live as long as one of them serves requests.
    ///
    /// ```
    /// use bartizan_upstream::Upstream;
    ///
    /// let upstream = Upstream::builder().build();
    /// let workers: Vec<_> = (0..4).map(|_| upstream.for_worker()).collect();
    /// # let _ = workers;
    /// ```
    ///
    /// [`max_connections_per_backend`]: crate::transport::TransportBuilder::max_connections_per_backend
    /// [`max_idle_per_backend`]: crate::transport::TransportBuilder::max_idle_per_backend
    #[must_use]
    pub fn for_worker(&self) -> Self {
        Self::new(self.transport.for_worker(), Arc::clone(&self.config))
    }

    /// Makes a TCP connection to `backend`, at the address that its requests go to, and closes it: for `connect_by` of
    /// [`bartizan_pin::Backends`](https://docs.rs/bartizan-pin).
    ///
    /// # Errors
    ///
    /// Why no connection could be made.
    ///
    /// # Cancellation
    ///
    /// Dropping it cancels the attempt.
    pub fn connect(
        &self,
        backend: &Backend,
    ) -> impl Future<Output = Result<(), FailureKind>> + Send + use<> {
        self.transport.connect(backend)
    }
}

impl<C, B> Service<Request<B>> for Upstream<C>
where
    C: Transport<TrailerFilterBody<B>>,
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<GuardBody<TrailerFilterBody<C::Body>>>;
    type Error = Infallible;
    type Future = ResponseFuture<C::Future, C::Body>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let config = &self.config;
        let (mut head, body) = request.into_parts();
        let mut passage = Passage::take(&mut head.extensions);
        let dialect = match passage.dialect() {
            Some(dialect) => dialect.clone(),
            None => Dialect::detect(&head.headers),
        };
        let refuse = |refusal: Refusal, backend, body| {
            event::refused(refusal.reason(), backend);
            let mut refusal = refusal.respond(&dialect);
            if ReturnedBody::is_wanted(&dialect)
                && let Some(returned) = ReturnedBody::new(body)
            {
                returned.attach(&mut refusal);
            }
            ResponseFuture::refused(refusal)
        };
        let Some(backend) = passage.backend().or(config.to.as_ref()).cloned() else {
            return refuse(Reason::Misconfigured.into(), None, body);
        };
        if head.method == Method::CONNECT && head.extensions.get::<hyper::ext::Protocol>().is_some()
        {
            if !upgrade::is_extended_connect(&head, &backend, &config.relayed) {
                return refuse(Reason::UpgradeNotSupported.into(), Some(&backend), body);
            }
        } else if !head::is_forwarded(&head.method) {
            let allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
            let refusal = Refusal::new(Reason::MethodNotAllowed).allow(allow);
            return refuse(refusal, Some(&backend), body);
        }
        let is_http1 = head.version != Version::HTTP_2;
        let stripped = match head::rewrite(&mut head, &backend, config.host) {
            Ok(stripped) => stripped,
            Err(reason) => return refuse(reason.into(), Some(&backend), body),
        };
        let names_trailers =
            stripped.takes_trailers() && is_http1 && matches!(dialect, Dialect::Grpc);
        let tunnel = Tunnel::open(&mut head, &stripped, &backend, config, &mut passage);
        let work = passage.work();
        let deadline = match work {
            Work::Opening => shorter(config.opening_timeout, config.response_timeout),
            _ => config.response_timeout,
        };
        let body = TrailerFilterBody::new(body, stripped.into_trailer_rule());
        let future = self.transport.send(&backend, Request::from_parts(head, body));
        let config = Arc::clone(config);
        let exchange = Exchange { config, backend, work, dialect, names_trailers, tunnel };
        // No timer is made where there is no deadline.
        let deadline = deadline.map(|deadline| Box::pin(sleep(deadline)));
        ResponseFuture::sent(future, deadline, exchange, C::take_back)
    }
}

fn shorter<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

impl<C: Clone> Clone for Upstream<C> {
    fn clone(&self) -> Self {
        Self { transport: self.transport.clone(), config: Arc::clone(&self.config) }
    }
}

impl<C> fmt::Debug for Upstream<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("config", &self.config).finish_non_exhaustive()
    }
}
