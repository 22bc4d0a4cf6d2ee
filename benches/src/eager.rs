//! Calls a Tower service as hyper does: at once if it is ready, which these are.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bartizan::core::PeerAddr;
use http::{Request, Response};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower::{Service, ServiceExt, util::Oneshot};

/// A Tower service for one connection.
#[derive(Clone, Debug)]
pub struct Eager<S> {
    service: S,
    peer: PeerAddr,
}

pin_project! {
    /// The response; parked with its request only where the service was not ready.
    #[project = EagerProj]
    pub enum EagerFuture<S: Service<Request<Incoming>>> {
        Called { #[pin] future: S::Future },
        Parked { future: Pin<Box<Oneshot<S, Request<Incoming>>>> },
    }
}

impl<S> Eager<S> {
    pub const fn new(service: S, peer: PeerAddr) -> Self {
        Self { service, peer }
    }
}

impl<S, R> hyper::service::Service<Request<Incoming>> for Eager<S>
where
    S: Service<Request<Incoming>, Response = Response<R>, Error = Infallible> + Clone,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = EagerFuture<S>;

    fn call(&self, mut request: Request<Incoming>) -> EagerFuture<S> {
        self.peer.clone().attach(&mut request);
        let mut service = self.service.clone();
        match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(_) => EagerFuture::Called { future: service.call(request) },
            Poll::Pending => EagerFuture::Parked { future: Box::pin(service.oneshot(request)) },
        }
    }
}

impl<S, R> Future for EagerFuture<S>
where
    S: Service<Request<Incoming>, Response = Response<R>, Error = Infallible>,
{
    type Output = Result<Response<R>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            EagerProj::Called { future } => future.poll(cx),
            EagerProj::Parked { future } => future.as_mut().poll(cx),
        }
    }
}
