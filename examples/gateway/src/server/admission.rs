//! The server's own layers around the stack, and their order.

use std::sync::Arc;

use bartizan::{
    core::{Dialect, PeerAddr},
    observe::ObserveRequests,
};
use hyper::body::Incoming;
use tower::ServiceBuilder;
use tower_http::validate_request::{ValidateRequestHeader, ValidateRequestHeaderLayer};
use tower_layer::Layer;

use crate::access_log::{LogAccess, LogAccessLayer};

use super::{
    connection_state::ConnectionState,
    front::{Front, Fronted},
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
    records::Records,
    service::ServerService,
};

/// The request body that the stack gets.
pub(crate) type RequestBody = TimedBody<LimitedBody<UploadBody<Incoming>>>;

/// A stack whose responses have the body `R`, behind the server's own layers.
pub(super) type Admitted<S, R> = TrackInFlight<ObserveRequests<Bounded<S, R>>>;

/// The same service without its two outermost layers.
type Bounded<S, R> =
    LogAccess<ValidateRequestHeader<LimitBody<TimeOutBody<S>>, RequireHost<RespondingBody<R>>>>;

/// Puts the server's own layers around `stack`, for the requests of one connection.
pub(super) fn admit<S, R>(
    stack: S,
    limits: &Limits,
    records: &Records,
    connection: Arc<ConnectionState>,
) -> Admitted<S, R> {
    // Outermost, because refusals are also in flight until they are written.
    let bound = bound(stack, limits, records);
    TrackInFlightLayer::new(connection).layer(records.edge.layer(bound))
}

/// The same with `front` around them, for the requests of `peer`.
pub(super) fn admit_behind<S>(
    front: &Front,
    peer: &PeerAddr,
    stack: S,
    limits: &Limits,
    records: &Records,
    connection: Arc<ConnectionState>,
) -> TrackInFlight<ObserveRequests<Fronted<UploadBody<Incoming>>>>
where
    S: ServerService,
{
    // Every response passes the front layers, refusals included.
    let fronted = front.wrap(bound(stack, limits, records), peer);
    TrackInFlightLayer::new(connection).layer(records.edge.layer(fronted))
}

fn bound<S, R>(stack: S, limits: &Limits, records: &Records) -> Bounded<S, R> {
    let dialect = limits.speaks_mcp.then_some(Dialect::JsonRpc(None));
    ServiceBuilder::new()
        // Every response passes this layer, refusals included.
        .layer(LogAccessLayer::new(records.access_log.clone()))
        // The cheapest check first: it reads only the head.
        .layer(ValidateRequestHeaderLayer::custom(RequireHost::new().refuse_as(dialect.clone())))
        // Outside the timeout: a body that is refused for its size needs no timeout.
        .layer(LimitBodyLayer::new(limits.body_bytes).refuse_as(dialect))
        // Innermost, so that it times only how long the stack waits for the body.
        .layer(TimeOutBodyLayer::new(limits.body_pause))
        .service(stack)
}
