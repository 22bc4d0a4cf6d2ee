//! The way of a request through the layer, and the values that travel with it.

mod request;
mod response;

use std::sync::Arc;

use bartizan_core::{BackendId, Dialect, GuardBody, OpeningHead, Principal, Refusal, SessionStore};
use http::{Request, Response};
use tower_service::Service;

use crate::{PeekedBody, SessionBody, body::InUse, future::State, layer::Config};

pub(crate) use request::{arrived, looked_up, peeked};
pub(crate) use response::{inserted, responded};

/// A request that waits for the store, with the instance that was ready for it.
pub(crate) struct Parked<S, B, T> {
    pub(crate) service: S,
    pub(crate) config: Arc<Config<T>>,
    pub(crate) request: Request<B>,
}

/// What the response is looked at for.
#[derive(Default)]
pub(crate) enum After<S, T: SessionStore> {
    /// Nothing: no session comes of it.
    #[default]
    Pass,
    /// It must hand out no id: modern requests have no sessions.
    NoSession { config: Arc<Config<T>> },
    /// The loss or the end of its session.
    Live { in_use: InUse<T>, ends: bool },
    /// The id of a session that it opens.
    Learn { opening: Box<Opening<S, T>> },
}

/// What is kept of a request whose response may open a session.
pub(crate) struct Opening<S, T> {
    // Not polled ready: for the end of an orphan.
    service: S,
    config: Arc<Config<T>>,
    principal: Option<Principal>,
    head: OpeningHead,
    dialect: Dialect,
}

/// A response that is held until the store has done its part.
pub(crate) struct Held<S, R, T: SessionStore> {
    pub(crate) answer: Response<SessionBody<R, T>>,
    config: Arc<Config<T>>,
    backend: Option<BackendId>,
    opening: Option<Box<Opening<S, T>>>,
}

/// What comes next.
pub(crate) enum Step<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>>,
    T: SessionStore,
{
    Done(Response<SessionBody<R, T>>),
    Next(State<S, B, R, T>),
}

/// Lets a response go, its session in use for as long as its body lives.
fn finish<R, T: SessionStore>(
    response: Response<R>,
    in_use: Option<InUse<T>>,
) -> Response<SessionBody<R, T>> {
    response.map(|body| SessionBody::new(GuardBody::forwarded(body), in_use))
}

/// Makes the response of a refusal.
fn refused<R, T: SessionStore>(refusal: Refusal, dialect: &Dialect) -> Response<SessionBody<R, T>> {
    refusal.respond(dialect).map(|body| SessionBody::new(body, None))
}
