//! A layer that is switched at run time.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::Request;
use pin_project_lite::pin_project;
use tower_service::Service;

/// A service with or without a layer around it: one type for both.
///
/// As `tower::util::Either`, but inlined: a layer that is off must cost no more than a branch.
#[derive(Clone, Debug)]
#[allow(unnameable_types, clippy::exhaustive_enums, reason = "named by bounds alone")]
pub enum Switch<A, B> {
    /// With the layer.
    On(A),
    /// Without it.
    Off(B),
}

pin_project! {
    /// Response future of [`Switch`].
    #[project = SwitchedProj]
    #[derive(Debug)]
    #[allow(unnameable_types, clippy::exhaustive_enums, reason = "named by bounds alone")]
    pub enum Switched<A, B> {
        // With the layer.
        On { #[pin] future: A },
        // Without it.
        Off { #[pin] future: B },
    }
}

impl<A, B, Body> Service<Request<Body>> for Switch<A, B>
where
    A: Service<Request<Body>>,
    B: Service<Request<Body>, Response = A::Response, Error = A::Error>,
{
    type Response = A::Response;
    type Error = A::Error;
    type Future = Switched<A::Future, B::Future>;

    #[inline(always)]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), A::Error>> {
        match self {
            Self::On(service) => service.poll_ready(cx),
            Self::Off(service) => service.poll_ready(cx),
        }
    }

    #[inline(always)]
    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self {
            Self::On(service) => Switched::On { future: service.call(request) },
            Self::Off(service) => Switched::Off { future: service.call(request) },
        }
    }
}

impl<A, B> Future for Switched<A, B>
where
    A: Future,
    B: Future<Output = A::Output>,
{
    type Output = A::Output;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<A::Output> {
        match self.project() {
            SwitchedProj::On { future } => future.poll(cx),
            SwitchedProj::Off { future } => future.poll(cx),
        }
    }
}
