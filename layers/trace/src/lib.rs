//! Continues W3C traces through a proxy, with OpenTelemetry spans for its requests and its tries.
//!
//! A trace shows one call through all the services that it passes. A proxy that forwards `traceparent` as it came is not
//! in that picture: the backend's span becomes a sibling of the proxy's, and a failover looks like one slow call. These
//! two layers record a span for each request and one for each try, and each backend's span becomes the child of the try
//! that reached it.
//!
//! They use the API of [`opentelemetry`] alone: bring the SDK and the exporter of your choice.
//!
//! # When to use it, and when not
//!
//! In a proxy whose clients or backends are traced. For numbers (rates, durations, errors) use metrics: they count every
//! request, and traces show a few.
//!
//! # Rules
//!
//! Which requests are recorded, and what the service inside sees:
//!
//! | the request has | recorded | if recorded | if not |
//! |---|---|---|---|
//! | no `traceparent` | [by ratio](TraceRequestsLayer::sample) | a new trace; `tracestate` is removed | unchanged |
//! | a valid one, from a trusted peer, sampled | yes | the same trace, with this span as the parent | unchanged |
//! | a valid one, from a trusted peer, not sampled | no | – | unchanged |
//! | a valid one, from another peer, sampled | by ratio | the same trace, with this span as the parent | the same trace with a new parent id, not sampled |
//! | a valid one, from another peer, not sampled | by ratio | the same trace, with this span as the parent | unchanged |
//! | a malformed one: wrong length, digits or case, an id of zeros, version `ff`, two lines | by ratio | a new trace; `tracestate` is removed | `traceparent` and `tracestate` are removed |
//! | one of a later version | as one of version 00: its first 55 characters count | written as version 00 | as above |
//! | any, and [`max_per_second`](TraceRequestsLayer::max_per_second) are recorded already | no | – | as above |
//! | any, and the tracer declines | no | – | as above |
//!
//! The inner service is called in every case, and `traceparent` is never a reason to refuse a request.
//!
//! What happens to `tracestate` below a parent that is written here (it is otherwise unchanged):
//!
//! | `tracestate` | is |
//! |---|---|
//! | a list of up to 32 members and 512 bytes on one line | unchanged |
//! | on several lines | combined into one, in order |
//! | longer | cut by whole members: those beyond 32, then those of more than 128 bytes, then the last ones |
//! | not a list | removed |
//!
//! What is recorded:
//!
//! | span | layer | kind | begins | ends |
//! |---|---|---|---|---|
//! | the request | [`TraceRequestsLayer`] | server | with the request | with the body of the response; with its head if the body is an event stream that a GET or `subscriptions/listen` asked for, or a tunnel |
//! | each try | [`TraceBackendsLayer`] | client | with the call of the service inside | with the head of the response |
//!
//! An exporter sees a span when it has ended. An event stream that a client listens to lives for hours: its span would
//! arrive too late to be useful. The response to a call ends with the call, even if it is an event stream.
//! The span of a try ends with the head as the [semantic
//! conventions](https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client-span-duration) recommend; how
//! long its body took is in the span of the request.
//!
//! | attribute | request | try |
//! |---|---|---|
//! | `http.request.method` | one of nine, else `_OTHER` | the same |
//! | `http.response.status_code` | always | if the backend responded |
//! | `http.route`, `url.path` | for the [routes](TraceRequestsLayer::route) that you name | – |
//! | `url.scheme` | if known | of the backend |
//! | `network.protocol.version` | always | – |
//! | `server.address`, `server.port` | – | of the backend, as configured |
//! | `error.type` | the reason of a refusal in snake case; a type of [RFC 9209 §2.3](https://www.rfc-editor.org/rfc/rfc9209#section-2.3) for a failed backend; the status from 500; `body` if the body failed; `cancelled` if the client left; `service` for an error of the service inside | the same, the status from 400 |
//!
//! The status of a span is an error for a response from 500 (request) or from 400 (try), and for failures.
//!
//! # Place in the stack
//!
//! [`TraceRequestsLayer`] outermost, so that refusals are recorded too; then tell it [whom to
//! trust](TraceRequestsLayer::trust). Below a layer that judges the peer (`SanitizeForwarded`), it knows.
//! [`TraceBackendsLayer`] directly above the service that forwards, below the layer that chooses a backend: that one
//! calls it once per try. The requests that a layer between them makes itself, such as the handshake when a session is
//! resumed, carry the context of the request that they are made for, and become its children.
//!
//! ```
//! use bartizan_trace::{TraceBackendsLayer, TraceRequestsLayer};
//! use opentelemetry::trace::TracerProvider;
//! # use {http::{Request, Response}, http_body_util::Empty, bytes::Bytes, tower::{Layer, ServiceExt, service_fn}};
//! # use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # let exporter = InMemorySpanExporter::default();
//! # let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
//! let tracer = provider.tracer("my-proxy");
//! let forward = service_fn(async |request: Request<()>| {
//!     let parent = request.headers()["traceparent"].to_str().unwrap();
//!     assert!(parent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "the same trace");
//!     assert!(!parent.contains("00f067aa0ba902b7"), "another parent");
//!     # Ok::<_, std::convert::Infallible>(
//!     Response::new(Empty::<Bytes>::new())
//!     # )
//! });
//! let tried = TraceBackendsLayer::new(tracer.clone()).layer(forward);
//! // The layers that guard sessions and choose backends stand here.
//! let proxy = TraceRequestsLayer::new(tracer).trust_all().layer(tried);
//!
//! let call = Request::post("/mcp")
//!     .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
//! assert_eq!(proxy.oneshot(call.body(()).unwrap()).await.unwrap().status(), 200);
//! # assert_eq!(exporter.get_finished_spans().unwrap().len(), 2);
//! # }
//! ```
//!
//! Configured, for a public listener behind load balancers:
//!
//! ```
//! use bartizan_trace::{Ratio, TraceRequestsLayer};
//! # let tracer = opentelemetry::trace::noop::NoopTracer::new();
//!
//! let layer = TraceRequestsLayer::new(tracer)
//!     .trust(|peer| peer.ip().is_some_and(|ip| ip.is_loopback()))
//!     .sample(Ratio::new(0.01)?)
//!     .max_per_second(20)
//!     .route("/mcp");
//! # let _ = layer;
//! # Ok::<(), bartizan_core::ConfigError>(())
//! ```
//!
//! Each layer is of use alone. Without [`TraceBackendsLayer`], the parent of the backend's span is the request's span.
//! [`TraceBackendsLayer`] records the tries of each request that has a [`TraceContext`](bartizan_core::TraceContext),
//! whichever layer attached it.
//!
//! # Failure modes
//!
//! The layers wait for nothing. What happens when a collector is away is the exporter's business: choose one that drops
//! spans rather than wait, as the SDK's batch processor does. A span that is dropped before its end is recorded as
//! cancelled.
//!
//! # Security
//!
//! Spans hold no session id, no token, no query, no path but those that you name, and nothing of a body: everything in
//! them is from a closed set. That is why `url.path` and `url.full`, which the semantic conventions require, are absent
//! by default.
//!
//! A stranger's sampled flag does not decide what is recorded here, nor what a backend records: otherwise strangers could
//! fill the collector. For the same reason chance decides by numbers of its own, not by the trace id. A stranger can
//! still choose the trace id, and so add spans to a trace that it knows the id of.
//!
//! # Cost
//!
//! In instructions, by callgrind, of both layers around a service that does nothing:
//!
//! | request | instructions | allocations |
//! |---|---|---|
//! | both layers switched off | 210 | 0 |
//! | without `traceparent`, not recorded | 460 ([`TraceRequestsLayer`] alone: 280) | 0 |
//! | with one, not recorded | 1,320 | 0 |
//! | the same, and a stranger's flag is taken back | 2,070 | 1 |
//! | recorded, with the SDK and without an exporter | 8,000 | several |
//!
//! Half of the second row is the lookup of the field, and most of the rest is moving requests and responses. The body of
//! a response costs one comparison per frame.
//!
//! # Sources
//!
//! [Trace Context](https://www.w3.org/TR/trace-context/), [Level 2](https://www.w3.org/TR/trace-context-2/),
//! [semantic conventions for HTTP spans](https://opentelemetry.io/docs/specs/semconv/http/http-spans/).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod arrival;
mod attributes;
mod backends;
mod counts;
mod event;
mod rate;
mod ratio;
mod requests;
mod span;
mod traceparent;
mod tracestate;
mod trust;

pub use backends::{TraceBackends, TraceBackendsLayer, TryFuture};
pub use bartizan_core::ConfigError;
pub use counts::TraceCounts;
pub use ratio::Ratio;
pub use requests::{ResponseFuture, TraceRequests, TraceRequestsLayer, TracedBody};

/// The example in the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
