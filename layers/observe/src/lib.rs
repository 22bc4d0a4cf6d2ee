//! Counts requests at the edge of a reverse proxy and at its backends, and reads what the other layers count.
//!
//! No layer sees both ends of a proxy: at the edge are the clients' view and the refusals, and only behind the layer
//! that chooses a backend is it known which one. So there are two layers, which share one handle, [`Metrics`]. Each of
//! them works alone. What is a state and not an event (backends, sessions, streams) is not counted here: the handle
//! [reads it](Metrics::watch) from the parts that have it, when the metrics are asked for.
//!
//! # When to use it, and when not
//!
//! To see load, errors and latency of a proxy in Prometheus or anything that reads its format. It reads no bodies: a
//! call whose JSON-RPC response is an error counts as the status 200 that it has. It is not an access log, and it
//! makes no traces.
//!
//! # What is counted
//!
//! | event | metric | labels | layer |
//! |---|---|---|---|
//! | a response head is there | `http_server_request_duration_seconds`, a histogram | `http_request_method`: 9 methods, `_OTHER`; `status_class`: `1xx` to `5xx` | edge |
//! | a request is dropped, or fails, without a response | the same | `status_class`: `none` | edge |
//! | a response head is there | `http_server_responses_total` | `http_response_status_code`: a registered code, else its class | edge |
//! | the response is a refusal of this proxy | `bartizan_refusals_total` | `error_type`: [`Reason`](bartizan_core::Reason) in snake case | edge |
//! | a request arrives, until the end of its response body, or until it is dropped | `http_server_active_requests`, a gauge | | edge |
//! | a frame of a response body is sent | `bartizan_response_bytes_total` | | edge |
//! | a request is sent to a backend | `bartizan_work_total` | `backend`; `work`: `may_open`, `free`, `opening`, `pinned` | backends |
//! | the backend's response head is there | `http_client_request_duration_seconds`, a histogram | `backend`; `outcome`: `1xx` to `5xx` | backends |
//! | the backend gives no response | the same, and `bartizan_backend_failures_total` | `outcome`: `failed`; `kind`: [`FailureKind`](bartizan_core::failure::FailureKind) in snake case | backends |
//! | the service inside refuses to send it | the same histogram | `outcome`: `refused` | backends |
//! | the request is dropped before there is a response | the same histogram | `outcome`: `cancelled` | backends |
//!
//! All labels are closed sets. Never a label: a session id or its hash, a principal, a client's address, a path, a
//! `Host`, or a method as the client sent it. There are as many values of `backend` as there are backends, [64 at
//! most](MetricsBuilder::max_backends); requests to further ones, and those that name no backend, count as `_OTHER`.
//! The last series of a backend are shown five minutes after it was [removed](Metrics::backend_removed).
//!
//! The ranges of the histograms end at 5, 10, 25, 50, 75, 100, 250, 500 and 750 ms, at 1, 2.5, 5, 7.5 and 10 s (the
//! [advice of OpenTelemetry](https://opentelemetry.io/docs/specs/semconv/http/http-metrics/)), and at 30, 60 and
//! 300 s.
//!
//! # Place in the stack
//!
//! ```
//! use bartizan_observe::Metrics;
//! # use {bartizan_core::{Backend, Passage}, bytes::Bytes, http::{Request, Response}, http_body_util::Empty};
//! # use tower::{Layer, ServiceExt, service_fn, layer::util::Identity};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # let stack = Identity::new();
//! # let upstream = service_fn(async |_: Request<()>| Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new())));
//! let metrics = Metrics::new();
//! // Around all that responds, so that refusals are counted.
//! let proxy = metrics.edge().layer(
//!     // The layers that choose a backend.
//!     stack.layer(
//!         // Directly around the service that forwards: each try counts.
//!         metrics.backends().layer(upstream),
//!     ),
//! );
//! # proxy.oneshot(Request::default()).await.unwrap();
//!
//! let snapshot = metrics.snapshot();
//! assert_eq!(snapshot.number("http_server_responses_total", &[("http_response_status_code", "200")]), Some(1));
//! println!("{snapshot}"); // what `/metrics` responds with, as bartizan_observe::TEXT_FORMAT
//! # }
//! ```
//!
//! A [`Snapshot`] prints itself in the text format of Prometheus. Serve it on a port that clients cannot reach. With
//! the feature `prometheus-client`, [`Metrics`] is a collector for the registry of an application.
//!
//! # Failure modes
//!
//! The layers depend on nothing that can be down, and refuse nothing. A slow source delays the reader of the metrics,
//! and no request. Numbers start at zero with the process. A server that refuses a request before it calls its service
//! (a malformed head, for example) is not seen.
//!
//! # Security
//!
//! No client can add a series, whatever it sends, and no value of a label comes from a request. The metrics name the
//! backends and say how loaded they are: who may read them is up to the server.
//!
//! # Cost
//!
//! No allocation per request. Two clock readings for each of the layers are a third of what they cost; the rest is a
//! handful of atomic additions. Figures are in the guide of the crate `bartizan`. All threads share the counters.
//!
//! # Sources
//!
//! [Prometheus: metric names](https://prometheus.io/docs/practices/naming/),
//! [text format](https://prometheus.io/docs/instrumenting/exposition_formats/),
//! [OpenTelemetry: HTTP metrics](https://opentelemetry.io/docs/specs/semconv/http/http-metrics/).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backends;
#[cfg(feature = "prometheus-client")]
mod collector;
mod event;
mod labels;
mod metrics;
mod names;
mod requests;
mod snapshot;
mod text;

pub use backends::{BackendsFuture, ObserveBackends, ObserveBackendsLayer};
pub use metrics::{Metrics, MetricsBuilder};
pub use requests::{ObserveRequests, ObserveRequestsLayer, ObservedBody, RequestsFuture};
pub use snapshot::{Durations, Family, Sample, SampleValue, Snapshot};
pub use text::TEXT_FORMAT;

/// The example in the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
