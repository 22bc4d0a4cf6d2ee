//! The way of a request through the layer, and the values that travel with it.

mod attempt;
mod request;
mod response;

use std::{pin::Pin, sync::Arc, time::Duration};

use bartizan_core::{BackendId, Dialect, GuardBody, Reason, Session, SessionStore, store};
use http::{Request, Response};
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use crate::{ReclaimableBody, backends::Slot, event, future::State, layer::Config};

pub(crate) use attempt::Attempt;
pub(crate) use request::{arrived, looked_up};
pub(crate) use response::{attempted, followed, moved, stored};

/// A store's answer with this layer's timer, boxed off the path of pinned work.
pub(crate) type Timed<F> = store::Timed<F, Pin<Box<Sleep>>>;

/// Work that waits for the store, with the instance that was ready for it.
pub(crate) struct Parked<S, B, K, T> {
    pub(crate) service: S,
    pub(crate) config: Arc<Config<K, T>>,
    pub(crate) request: Request<B>,
    pub(crate) key: OwnedKey,
}

/// A key that outlives its request.
#[derive(Clone)]
pub(crate) struct OwnedKey {
    bytes: Box<[u8]>,
    is_clients: bool,
}

/// Work that is on its way to the backend it is pinned to.
pub(crate) struct Followed<K, T> {
    config: Arc<Config<K, T>>,
    // None for a backend that an outer layer chose and this one does not know.
    slot: Option<Arc<Slot>>,
    // None when a session is the pin.
    key: Option<OwnedKey>,
}

/// A response that is held until the store has the key that it names.
pub(crate) struct Held<R> {
    response: Response<R>,
    is_clients: bool,
}

/// A response that is held until the pin of a key leads to where it comes from.
pub(crate) struct Moved<R, K, T> {
    response: Response<R>,
    config: Arc<Config<K, T>>,
    pin: Session,
    backend: BackendId,
}

/// What comes next.
pub(crate) enum Step<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>>,
    T: SessionStore,
{
    Done(Response<GuardBody<R>>),
    Next(State<S, B, R, K, T>),
}

fn timed<F>(answer: F, deadline: Duration) -> Timed<F> {
    Timed::new(answer, Box::pin(sleep(deadline)))
}

fn refused<R>(
    reason: Reason,
    backend: Option<&BackendId>,
    dialect: &Dialect,
) -> Response<GuardBody<R>> {
    event::refused(reason, backend);
    bartizan_core::Refusal::new(reason).respond(dialect)
}
