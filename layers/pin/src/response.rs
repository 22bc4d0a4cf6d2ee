//! The response path: what a response shows about its backend, and what is learned from it.

use std::{future::poll_fn, sync::Arc};

use bartizan_core::{
    Answer, BackendId, Dialect, GuardBody, Key, Reason, Session, SessionStore, StoreError,
    UpstreamFailure,
    refusal::ReturnedBody,
    store::{RecordVersion, Replaced},
};
use http::{Request, Response, StatusCode};

use crate::{
    affinity::SetCookie,
    attempt::Attempt,
    backends::{Backends, Slot},
    bounds::{Incoming, Inside},
    config::{Config, OnLost},
    kept_key::KeptKey,
    key::ExtractKey,
    learn::{Learned, learn},
    outcome::Outcome,
    reclaimable::ReclaimableBody,
    refusal::refuse,
};

/// Why the response is examined.
pub(crate) enum After<S, B, K, T> {
    /// To detect the loss of the backend to which the work is pinned.
    Followed(Followed<K, T>),
    /// For what it opens at the chosen backend, and to decide whether to try another one.
    Attempted(Box<Attempt<S, B, K, T>>),
}

/// Work in flight to the backend that it is pinned to.
pub(crate) struct Followed<K, T> {
    pub(crate) config: Arc<Config<K, T>>,
    // `None` for a backend that an outer layer chose and this layer does not know.
    pub(crate) slot: Option<Arc<Slot>>,
    // The key, with the version of its pin that was seen. `None` if the pin is a session.
    pub(crate) key: Option<(KeptKey, RecordVersion)>,
    // Whether an outer layer or a cookie chose the backend, for work that has no session yet.
    pub(crate) may_open: bool,
    // Whether a cookie chose it, which the client cannot replace itself.
    pub(crate) cookie: Option<SetCookie>,
}

/// What work still waits for after its response.
pub(crate) enum Unsettled<S, B, R, K, T: SessionStore> {
    /// Another backend.
    Turn(Box<Attempt<S, B, K, T>>, Request<ReclaimableBody<B>>),
    /// The store, to save the key that the response names.
    Learn(Arc<Config<K, T>>, Learned<T>, Response<R>),
    /// The store, to move a pin to the backend of the response.
    Move(Arc<Config<K, T>>, Session, BackendId, Response<R>),
    /// The store, to remove a pin.
    Unpin(
        Arc<Config<K, T>>,
        Answer<Result<bool, StoreError>, T::RemoveIfUnchanged>,
        Response<GuardBody<R>>,
    ),
}

/// Whether a response is sent now or after a wait.
type Settled<S, B, R, K, T> = Answer<Response<GuardBody<R>>, Unsettled<S, B, R, K, T>>;

/// Waits for the response of the inner service, and handles it.
pub(crate) async fn receive<S, B, K, T>(
    future: S::Future,
    after: After<S, B, K, T>,
) -> Result<Response<GuardBody<S::Body>>, S::Error>
where
    S: Inside<B>,
    B: Incoming,
    K: ExtractKey,
    T: SessionStore,
{
    match on_response(future.await?, after) {
        Answer::Now(response) => Ok(response),
        // Boxed separately, because most responses do not need it.
        Answer::Later(unsettled) => Box::pin(settle(unsettled)).await,
    }
}

/// Handles the response of a backend, or its failure.
#[inline]
pub(crate) fn on_response<S, B, R, K, T>(
    response: Response<R>,
    after: After<S, B, K, T>,
) -> Settled<S, B, R, K, T>
where
    B: Incoming,
    K: ExtractKey,
    T: SessionStore,
{
    match after {
        After::Followed(followed) => on_followed(response, followed),
        After::Attempted(attempt) => on_attempted(response, attempt),
    }
}

/// Waits for whatever the response still needs.
pub(crate) async fn settle<S, B, K, T>(
    mut unsettled: Unsettled<S, B, S::Body, K, T>,
) -> Result<Response<GuardBody<S::Body>>, S::Error>
where
    S: Inside<B>,
    B: Incoming,
    K: ExtractKey,
    T: SessionStore,
{
    loop {
        let (mut attempt, request) = match unsettled {
            Unsettled::Turn(attempt, request) => (attempt, request),
            Unsettled::Learn(config, learned, response) => {
                return Ok(learned.wait(&config, response).await);
            }
            Unsettled::Move(config, pin, backend, response) => {
                return Ok(repin(&config, &pin, &backend, response).await);
            }
            Unsettled::Unpin(config, removed, answer) => {
                return Ok(unpin(&config, removed, answer).await);
            }
        };
        poll_fn(|cx| attempt.service().poll_ready(cx)).await?;
        let future = attempt.service().call(request);
        match on_attempted(future.await?, attempt) {
            Answer::Now(response) => return Ok(response),
            Answer::Later(next) => unsettled = next,
        }
    }
}

/// Holds `answer` back until the pin that was seen is removed. A pin that has moved in the meantime
/// stays.
pub(crate) async fn unpin<R, K, T: SessionStore>(
    config: &Config<K, T>,
    removed: Answer<Result<bool, StoreError>, T::RemoveIfUnchanged>,
    answer: Response<GuardBody<R>>,
) -> Response<GuardBody<R>> {
    // The answer stays the same even if the store fails.
    let _ = config.wait(removed).await;
    answer
}

/// Handles the response, or the failure, of the backend that work is pinned to.
#[inline]
fn on_followed<S, B, R, K, T>(
    mut response: Response<R>,
    followed: Followed<K, T>,
) -> Settled<S, B, R, K, T>
where
    K: ExtractKey,
    T: SessionStore,
{
    let Followed { config, slot, key, may_open, cookie } = followed;
    let Some(slot) = slot else { return done(response) };
    let unpin = |config: Arc<Config<K, T>>, (key, seen): (KeptKey, RecordVersion), answer| {
        let key = Key::new(&config.route, None, &key.bytes);
        let removed = config.store.remove_if_unchanged(key, seen);
        Answer::Later(Unsettled::Unpin(config, removed, answer))
    };
    match UpstreamFailure::of(&response) {
        None if is_refusal(&response) => done(response),
        None => {
            Backends::responded(&slot);
            if may_open {
                // The session that it opens belongs to this backend.
                response.extensions_mut().insert(slot.backend().clone());
            }
            if let Some(cookie) = cookie.filter(|cookie| cookie.is_due()) {
                config.set_cookie(slot.backend().id(), cookie, &mut response);
            }
            match key {
                Some(key) if config.lost_on_404 && response.status() == StatusCode::NOT_FOUND => {
                    config.backends.pin_counts().backend_404.add_one();
                    unpin(config, key, response.map(GuardBody::forwarded))
                }
                key => {
                    let shown = key.as_ref().map(|(key, _)| &*key.bytes);
                    match learn(&response, &config, slot.backend().id(), shown, false) {
                        None => done(response),
                        Some(learned) => Answer::Later(Unsettled::Learn(config, learned, response)),
                    }
                }
            }
        }
        Some(failure) if failure.is_unreachable() => {
            config.backends.unreachable(&slot, failure);
            // If the work moves to another backend, it does so with its next request.
            let moves = config.on_lost == OnLost::Repin
                || cookie.is_some()
                || key.as_ref().is_some_and(|(key, _)| key.is_clients);
            let reason =
                if moves { None } else { config.backends.loss(&slot, failure, config.lost_after) };
            let Some(reason) = reason else { return done(response) };
            config.backends.pin_counts().refused(reason);
            // The refusal that this one replaces has the right format.
            let dialect = Dialect::like(response.headers());
            let mut answer = refuse(reason, Some(slot.backend().id()), &dialect);
            ReturnedBody::hand_on(&mut response, &mut answer);
            match key {
                Some(key) if reason == Reason::BackendLost => unpin(config, key, answer),
                _ => Answer::Now(answer),
            }
        }
        // The backend may be up and have failed just once, so nothing is known.
        Some(_) => done(response),
    }
}

/// Handles the response, or the failure, of a chosen backend.
fn on_attempted<S, B, R, K, T>(
    mut response: Response<R>,
    mut attempt: Box<Attempt<S, B, K, T>>,
) -> Settled<S, B, R, K, T>
where
    B: Incoming,
    K: ExtractKey,
    T: SessionStore,
{
    let Some(failure) = UpstreamFailure::of(&response) else {
        if is_refusal(&response) {
            attempt.settle(Outcome::Unknown);
            return done(response);
        }
        Backends::responded(attempt.slot());
        attempt.settle(Outcome::of_status(response.status()));
        let backend = attempt.slot().backend().clone();
        response.extensions_mut().insert(backend.clone());
        // The backend must not be removed until what it opened is in a store or was refused.
        if let Some(in_flight) = attempt.opened() {
            response.extensions_mut().insert(in_flight);
        }
        let config = &attempt.config;
        if let Some(cookie) = attempt.choice.cookie {
            config.set_cookie(backend.id(), cookie, &mut response);
        }
        if let Some(pin) = attempt.choice.moving.take() {
            let (config, backend) = (Arc::clone(config), backend.id().clone());
            return Answer::Later(Unsettled::Move(config, pin, backend, response));
        }
        let key = attempt.choice.key.as_ref();
        let is_clients = key.is_some_and(|key| key.is_clients);
        let shown = key.map(|key| &*key.bytes);
        return match learn(&response, config, backend.id(), shown, is_clients) {
            None => done(response),
            Some(learned) => Answer::Later(Unsettled::Learn(Arc::clone(config), learned, response)),
        };
    };
    attempt.settle(Outcome::of_failure(failure, attempt.work()));
    if failure.is_unreachable() {
        attempt.config.backends.unreachable(attempt.slot(), failure);
    }
    if failure.is_untouched()
        && let Some(request) = attempt.turn()
    {
        return Answer::Later(Unsettled::Turn(attempt, request));
    }
    if failure.is_untouched() && !ReturnedBody::is_in(&response) {
        attempt.return_body(&mut response);
    }
    done(response)
}

/// Holds a response back until the key is pinned to the backend of the response. If two responses move the pin, one
/// wins for all later requests.
async fn repin<R, K, T>(
    config: &Config<K, T>,
    pin: &Session,
    backend: &BackendId,
    response: Response<R>,
) -> Response<GuardBody<R>>
where
    K: ExtractKey,
    T: SessionStore,
{
    if pin.record().backend() != Some(backend) {
        let record = pin.record().clone().with_backend(backend.clone());
        let replaced = config.store.replace(pin.key(), pin.version(), record);
        // If another one won or the store failed, the next request finds out.
        if matches!(config.wait(replaced).await, Ok(Replaced::Replaced(_))) {
            config.backends.pin_counts().moved.add_one();
        }
    }
    // Other keys that the response names are pinned to its backend. If two responses move one key, the winner has
    // decided its backend.
    let names_it = config.extract.learn(response.headers()).is_some_and(|key| *key == *pin.id());
    let learned = if names_it { None } else { learn(&response, config, backend, None, false) };
    match learned {
        None => response.map(GuardBody::forwarded),
        Some(learned) => learned.wait(config, response).await,
    }
}

#[inline]
fn done<S, B, R, K, T: SessionStore>(response: Response<R>) -> Settled<S, B, R, K, T> {
    Answer::Now(response.map(GuardBody::forwarded))
}

/// Whether the inner service itself refused the request: no backend has responded or failed.
fn is_refusal<R>(response: &Response<R>) -> bool {
    Reason::of(response).is_some()
}
