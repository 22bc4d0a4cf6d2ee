//! What the server lets through to the stack, and in which order it decides.

use std::sync::Arc;

use bartizan::core::Dialect;
use hyper::body::Incoming;
use tower::ServiceBuilder;
use tower_http::validate_request::{ValidateRequestHeader, ValidateRequestHeaderLayer};

use crate::access_log::{AccessLog, LogAccess, LogAccessLayer};

use super::{
    connection_state::ConnectionState,
    layers::{
        in_flight_body::UploadBody,
        limit_body::{LimitBody, LimitBodyLayer},
        limited_body::LimitedBody,
        require_host::RequireHost,
        time_out_body::{TimeOutBody, TimeOutBodyLayer},
        timed_body::{RespondingBody, TimedBody},
        track_in_flight::{TrackInFlight, TrackInFlightLayer},
    },
    limits::Limits,
};

/// The request body that the stack gets.
pub(crate) type RequestBody = TimedBody<LimitedBody<UploadBody<Incoming>>>;

/// A stack whose responses have the body `R`, behind the server's own layers.
pub(super) type Admitted<S, R> = TrackInFlight<
    LogAccess<ValidateRequestHeader<LimitBody<TimeOutBody<S>>, RequireHost<RespondingBody<R>>>>,
>;

/// Puts the server's own layers around `stack`, for the requests of one connection.
pub(super) fn admit<S, R>(
    stack: S,
    limits: &Limits,
    access_log: Option<AccessLog>,
    connection: Arc<ConnectionState>,
) -> Admitted<S, R> {
    let dialect = limits.speaks_mcp.then_some(Dialect::JsonRpc(None));
    ServiceBuilder::new()
        // Outermost: refusals, too, are in flight until they are written.
        .layer(TrackInFlightLayer::new(connection))
        // Layers that every response passes, refusals included, go here.
        .layer(LogAccessLayer::new(access_log))
        // The cheapest refusal first; it looks at the head only.
        .layer(ValidateRequestHeaderLayer::custom(RequireHost::new().refuse_as(dialect.clone())))
        // Before the timeout: a body that is refused for its size needs none.
        .layer(LimitBodyLayer::new(limits.body_bytes).refuse_as(dialect))
        // Innermost: times how long the stack itself waits.
        .layer(TimeOutBodyLayer::new(limits.body_pause))
        .service(stack)
}
