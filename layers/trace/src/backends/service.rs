//! How a try is recorded. The inner service is called synchronously: the instance that was polled ready, without a
//! clone.

use std::task::{Context, Poll};

use bartizan_core::{Passage, TraceContext};
use http::{Request, Response};
use opentelemetry::{
    KeyValue,
    trace::{SpanBuilder, SpanKind, Tracer},
};
use tower_service::Service;

use super::TryFuture;
use crate::{
    attributes,
    span::{OpenSpan, Parent},
    traceparent::{self, TRACEPARENT},
};

/// Records each try to forward a request; see the [crate docs](crate).
#[derive(Clone, Debug)]
pub struct TraceBackends<S, T> {
    inner: S,
    tracer: T,
    is_on: bool,
}

impl<S, T> TraceBackends<S, T> {
    pub(super) const fn new(inner: S, tracer: T, is_on: bool) -> Self {
        Self { inner, tracer, is_on }
    }

    /// The service inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to change.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without this one.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, T, B, R> Service<Request<B>> for TraceBackends<S, T>
where
    S: Service<Request<B>, Response = Response<R>>,
    T: Tracer,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = TryFuture<S::Future, T::Span>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let parent = if self.is_on { TraceContext::of(&request).copied() } else { None };
        let span = match parent {
            Some(parent) => open(&self.tracer, parent, &mut request),
            None => None,
        };
        TryFuture::new(self.inner.call(request), span)
    }
}

#[inline(never)]
fn open<T: Tracer, B>(
    tracer: &T,
    parent: TraceContext,
    request: &mut Request<B>,
) -> Option<Box<OpenSpan<T::Span>>> {
    let method = attributes::method(request.method());
    let mut all = Vec::with_capacity(8);
    all.push(KeyValue::new("http.request.method", method));
    if let Some(backend) = Passage::of(request).and_then(Passage::backend) {
        all.extend(attributes::backend(backend));
    }
    let builder = SpanBuilder::from_name(attributes::name(method)).with_attributes(all);
    let (span, own) = OpenSpan::start(tracer, builder, SpanKind::Client, Parent::Here(parent))?;
    if let Some(line) = traceparent::render(&own) {
        request.headers_mut().insert(&TRACEPARENT, line);
    }
    Some(Box::new(span))
}
