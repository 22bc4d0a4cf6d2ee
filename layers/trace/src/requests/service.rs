//! How a request is recorded. The inner service is called synchronously: the instance that was polled ready, without a
//! clone.

use std::{
    borrow::Cow,
    sync::Arc,
    task::{Context, Poll},
};

use bartizan_core::{PeerAddr, PublicOrigin, TraceContext};
use http::{Request, Response};
use opentelemetry::{
    KeyValue,
    trace::{SpanBuilder, SpanKind, Tracer},
};
use tower_service::Service;

use super::{ResponseFuture, body::TracedBody, future::Recorded};
use crate::{
    Ratio, TraceCounts,
    arrival::{Arrival, Plan},
    attributes, event,
    rate::Rate,
    span::{OpenSpan, Parent},
    traceparent::{self, TRACEPARENT},
    tracestate::{self, TRACESTATE},
    trust::Trust,
};

/// Continues or starts the trace of each request; see the [crate docs](crate).
#[derive(Clone, Debug)]
pub struct TraceRequests<S, T> {
    inner: S,
    tracer: T,
    // None: it is off.
    config: Option<Arc<Config>>,
}

#[derive(Debug)]
pub(super) struct Config {
    pub(super) ratio: Ratio,
    pub(super) trust: Trust,
    pub(super) rate: Arc<Rate>,
    pub(super) routes: Vec<Cow<'static, str>>,
    pub(super) counts: TraceCounts,
}

impl<S, T> TraceRequests<S, T> {
    pub(super) const fn new(inner: S, tracer: T, config: Option<Arc<Config>>) -> Self {
        Self { inner, tracer, config }
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

impl<S, T, B, R> Service<Request<B>> for TraceRequests<S, T>
where
    S: Service<Request<B>, Response = Response<R>>,
    T: Tracer,
    R: http_body::Body,
{
    type Response = Response<TracedBody<R, T::Span>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, T::Span>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let recorded = match &self.config {
            Some(config) => config.open(&self.tracer, &mut request),
            None => None,
        };
        ResponseFuture::new(self.inner.call(request), recorded)
    }
}

impl Config {
    /// Starts a span if the request is to be recorded, and settles its fields.
    #[inline]
    fn open<T: Tracer, B>(
        &self,
        tracer: &T,
        request: &mut Request<B>,
    ) -> Option<Box<Recorded<T::Span>>> {
        // The common case, by one lookup: neither is there a context, nor does chance choose the request.
        if !request.headers().contains_key(&TRACEPARENT) && !self.ratio.draw() {
            return None;
        }
        self.consider(tracer, request)
    }

    #[inline(never)]
    fn consider<T: Tracer, B>(
        &self,
        tracer: &T,
        request: &mut Request<B>,
    ) -> Option<Box<Recorded<T::Span>>> {
        let arrival = Arrival::of(request.headers());
        if arrival == Arrival::Malformed {
            self.counts.count_malformed();
            event::malformed(request.headers().get_all(&TRACEPARENT).iter().count());
        }
        let plan = match arrival {
            // It was drawn already.
            Arrival::Without => arrival.plan(|| false, || true),
            _ => arrival.plan(|| self.trust.includes(request), || self.ratio.draw()),
        };
        let recorded = self.record(&plan, tracer, request);
        if recorded.is_none() {
            plan.otherwise.settle(request.headers_mut(), || fastrand::u64(1..).to_ne_bytes());
        }
        recorded
    }

    fn record<T: Tracer, B>(
        &self,
        plan: &Plan,
        tracer: &T,
        request: &mut Request<B>,
    ) -> Option<Box<Recorded<T::Span>>> {
        if !plan.is_wanted {
            return None;
        }
        if !self.rate.admit() {
            self.counts.count_dropped();
            return None;
        }
        let parent = plan.parent.map_or(Parent::None, Parent::Remote);
        let builder = self.builder(request);
        let (span, own) = OpenSpan::start(tracer, builder, SpanKind::Server, parent)?;
        self.counts.count_recorded();
        // Whatever is below: its parent is this span.
        let headers = request.headers_mut();
        match (plan.parent, traceparent::render(&own)) {
            (Some(_), Some(line)) => {
                headers.insert(&TRACEPARENT, line);
                tracestate::settle(headers);
            }
            // It belongs to no trace that goes on.
            (_, line) => {
                headers.remove(&TRACESTATE);
                if let Some(line) = line {
                    headers.insert(&TRACEPARENT, line);
                }
            }
        }
        TraceContext::attach(own, request);
        Some(Box::new(Recorded::new(span, request)))
    }

    fn builder<B>(&self, request: &Request<B>) -> SpanBuilder {
        let method = attributes::method(request.method());
        let path = request.uri().path();
        let route = self.routes.iter().find(|route| *route == path);
        let name = match route {
            Some(route) => format!("{} {route}", attributes::name(method)).into(),
            None => Cow::Borrowed(attributes::name(method)),
        };
        let mut all = Vec::with_capacity(8);
        all.push(KeyValue::new("http.request.method", method));
        all.extend(attributes::scheme(scheme(request)));
        all.extend(attributes::version(request.version()));
        if let Some(route) = route {
            let route = opentelemetry::StringValue::from(route.clone());
            all.push(KeyValue::new("http.route", route.clone()));
            all.push(KeyValue::new("url.path", route));
        }
        SpanBuilder::from_name(name).with_attributes(all)
    }
}

/// The scheme that the client used, as far as it is known.
fn scheme<B>(request: &Request<B>) -> Option<&str> {
    let of_peer = |peer: &PeerAddr| if peer.is_over_tls() { "https" } else { "http" };
    let public = PublicOrigin::of(request).map(|origin| origin.scheme().as_str());
    public.or(request.uri().scheme_str()).or_else(|| PeerAddr::of(request).map(of_peer))
}
