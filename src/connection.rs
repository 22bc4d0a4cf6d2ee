//! Serves a stack with hyper, in your own accept loop.
//!
//! ```no_run
//! # use std::convert::Infallible;
//! # use bartizan::{core::PeerAddr, connection::ConnectionService};
//! # use http::{Request, Response};
//! # use hyper::{body::Incoming, server::conn::http1};
//! # use hyper_util::rt::TokioIo;
//! # async fn serve<S, R>(stack: S) -> std::io::Result<()>
//! # where
//! #     S: tower::Service<Request<Incoming>, Response = Response<R>, Error = Infallible>,
//! #     S: Clone + Send + 'static,
//! #     S::Future: Send,
//! #     R: http_body::Body<Data = bytes::Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
//! # {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! loop {
//!     let (stream, peer) = listener.accept().await?;
//!     let service = ConnectionService::new(stack.clone(), PeerAddr::new(peer));
//!     tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
//! }
//! # }
//! ```
//!
//! A layer that keeps something about one connection wraps the clone of the stack that this connection gets:
//! `ConnectionService::new(layer_of_this_connection.layer(stack.clone()), peer)`.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bartizan_core::PeerAddr;
use http::Request;
use pin_project_lite::pin_project;
use tower_service::Service;

/// Adapts a Tower service to hyper, for the requests of one connection.
///
/// It attaches the [`PeerAddr`] to each request. A service that is ready is called immediately; only one that is
/// not ready waits, in a box with its request. hyper-util's `TowerToHyperService` always makes the request wait,
/// which costs some hundred instructions more.
#[derive(Clone, Debug)]
pub struct ConnectionService<S> {
    service: S,
    peer: PeerAddr,
}

pin_project! {
    /// Response future of [`ConnectionService`].
    ///
    /// # Cancellation
    ///
    /// Dropping it drops the future of the service.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S: Service<Request<B>>, B> {
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S: Service<Request<B>>, B> {
        Called { #[pin] response: S::Future },
        Parked { parked: Option<Box<(S, Request<B>)>> },
        Failed { error: Option<S::Error> },
    }
}

impl<S> ConnectionService<S> {
    /// Calls a clone of `service` for each request that `peer` sends.
    pub const fn new(service: S, peer: PeerAddr) -> Self {
        Self { service, peer }
    }
}

impl<S, B> hyper::service::Service<Request<B>> for ConnectionService<S>
where
    S: Service<Request<B>> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    #[inline]
    fn call(&self, mut request: Request<B>) -> ResponseFuture<S, B> {
        self.peer.clone().attach(&mut request);
        let mut service = self.service.clone();
        let state = match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => State::Called { response: service.call(request) },
            Poll::Ready(Err(error)) => State::Failed { error: Some(error) },
            Poll::Pending => State::Parked { parked: Some(Box::new((service, request))) },
        };
        ResponseFuture { state }
    }
}

impl<S, B> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Called { response } => return response.poll(cx),
                StateProj::Parked { parked } => {
                    if let Some(waiting) = parked {
                        ready!(waiting.0.poll_ready(cx))?;
                    }
                    let Some(ready) = parked.take() else { return Poll::Pending };
                    let (mut service, request) = *ready;
                    state.set(State::Called { response: service.call(request) });
                }
                StateProj::Failed { error } => match error.take() {
                    Some(error) => return Poll::Ready(Err(error)),
                    None => return Poll::Pending, // polled again after it was ready
                },
            }
        }
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for ResponseFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Called { .. } => "ResponseFuture(Called)",
            State::Parked { .. } => "ResponseFuture(Parked)",
            State::Failed { .. } => "ResponseFuture(Failed)",
        })
    }
}
