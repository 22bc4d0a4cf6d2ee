//! The way out: what a response says of its backend, and what is learned from it.

use std::sync::Arc;

use bartizan_core::{
    Answer, BackendId, Dialect, GuardBody, Key, Reason, Record, Session, SessionStore, StoreError,
    UpstreamFailure, store::Inserted,
};
use http::{Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

use super::{Attempt, Followed, Held, Moved, OwnedKey, Step, refused, timed};
use crate::{
    Backends, OnLost, ReclaimableBody,
    future::State,
    key::{ExtractKey, is_usable},
    layer::Config,
};

/// The backend that work is pinned to has responded, or could not.
pub(crate) fn followed<S, B, R, K, T>(
    response: Response<R>,
    followed: Followed<K, T>,
) -> Step<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>>,
    K: ExtractKey,
    T: SessionStore,
{
    let Followed { config, slot, key } = followed;
    let Some(slot) = slot else { return done(response) };
    match UpstreamFailure::of(&response) {
        None if is_refusal(&response) => done(response),
        None => {
            Backends::responded(&slot);
            match key {
                Some(key) if config.lost_on_404 && response.status() == StatusCode::NOT_FOUND => {
                    unpin(response.map(GuardBody::forwarded), &config, &key)
                }
                key => {
                    learn(response, &config, slot.backend().id(), key.map(|key| key.bytes), false)
                }
            }
        }
        Some(failure) if failure.is_unreachable() => {
            config.backends.unreachable(&slot);
            let time = config.backends.unreachable_for(&slot).unwrap_or_default();
            // What moves to another backend does so on its next request.
            let moves =
                config.on_lost == OnLost::Repin || key.as_ref().is_some_and(|key| key.is_clients);
            if moves || time < config.lost_after {
                return done(response);
            }
            // The refusal that this one stands in for has the right form.
            let dialect = Dialect::like(response.headers());
            let answer = refused(Reason::BackendLost, Some(slot.backend().id()), &dialect);
            match key {
                None => Step::Done(answer),
                Some(key) => unpin(answer, &config, &key),
            }
        }
        // It may be there and have failed just this once: nothing is known.
        Some(_) => done(response),
    }
}

/// A backend that was chosen has responded, or could not.
pub(crate) fn attempted<S, B, R, K, T>(
    mut response: Response<R>,
    mut attempt: Box<Attempt<S, B, K, T>>,
) -> Step<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>>,
    B: Body,
    K: ExtractKey,
    T: SessionStore,
{
    let Some(failure) = UpstreamFailure::of(&response) else {
        if is_refusal(&response) {
            return done(response);
        }
        Backends::responded(attempt.slot());
        let backend = attempt.slot().backend().clone();
        response.extensions_mut().insert(backend.clone());
        // The backend must not leave until what it opened is in a store, or was refused.
        if let Some(opening) = attempt.opened() {
            response.extensions_mut().insert(opening);
        }
        if let Some(pin) = attempt.moving.take() {
            return repin(response, &attempt.config, &pin, backend.id());
        }
        let key = attempt.key.take();
        let is_clients = key.as_ref().is_some_and(|key| key.is_clients);
        let key = key.map(|key| key.bytes);
        return learn(response, &attempt.config, backend.id(), key, is_clients);
    };
    if failure.is_unreachable() {
        attempt.config.backends.unreachable(attempt.slot());
    }
    if failure.is_untouched()
        && let Some(request) = attempt.turn()
    {
        return Step::Next(State::Turn {
            attempt: Some(attempt),
            request: Some(Box::new(request)),
        });
    }
    done(response)
}

/// The store has the key that a response names, or not.
pub(crate) fn stored<S, B, R, K, T>(
    held: Held<R>,
    backend: &BackendId,
    stored: Result<Inserted, StoreError>,
) -> Step<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>>,
    T: SessionStore,
{
    let reason = match stored {
        Ok(Inserted::Inserted(_)) => return done(held.response),
        // Of two first requests with one key the winner decides for all later ones.
        Ok(Inserted::Exists(_)) if held.is_clients => return done(held.response),
        Ok(Inserted::Exists(pin)) if pin.record().backend() == Some(backend) => {
            return done(held.response);
        }
        Ok(Inserted::Full) => Reason::TooManySessions,
        Ok(_) => Reason::InvalidResponse,
        Err(_) => Reason::StoreUnavailable,
    };
    Step::Done(refused(reason, Some(backend), &Dialect::like(held.response.headers())))
}

/// The pin of a key was moved, or not; what else the response names is pinned where it comes from.
pub(crate) fn moved<S, B, R, K, T>(moved: Moved<R, K, T>) -> Step<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>>,
    K: ExtractKey,
    T: SessionStore,
{
    let Moved { response, config, pin, backend } = moved;
    let learned = config.extract.learn(response.headers());
    // Of two that move one key, the winner has decided where it leads.
    if learned.is_some_and(|key| *key == *pin.id()) {
        return done(response);
    }
    learn(response, &config, &backend, None, false)
}

/// Pins the key that a response names, or that the client has made, to `backend`.
fn learn<S, B, R, K, T>(
    response: Response<R>,
    config: &Arc<Config<K, T>>,
    backend: &BackendId,
    shown: Option<Box<[u8]>>,
    is_clients: bool,
) -> Step<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>>,
    K: ExtractKey,
    T: SessionStore,
{
    if !opens(response.status()) {
        return done(response);
    }
    let learned = config.extract.learn(response.headers()).filter(|key| is_usable(key));
    let (key, is_clients) = match (learned, shown) {
        // A key that is pinned already, named again.
        (Some(key), Some(shown)) if !is_clients && *key == *shown && is_pinned(&response) => {
            return done(response);
        }
        // A backend's, whatever the client showed: no other backend may name it, too.
        (Some(key), _) => (key, false),
        (None, Some(shown)) if is_clients => (shown.into_vec().into(), true),
        _ => return done(response),
    };
    let record = Record::new(config.idle, config.lifetime).with_backend(backend.clone());
    let outcome = config.store.insert_if_absent(Key::new(&config.route, None, &key), record);
    let held = Held { response, is_clients };
    match outcome {
        Answer::Now(outcome) => stored(held, backend, outcome),
        Answer::Later(outcome) => Step::Next(State::Insert {
            stored: timed(outcome, config.store_timeout),
            held: Some(Box::new((held, backend.clone()))),
        }),
    }
}

/// Moves the pin of a key to `backend`. Of two that move it one wins, for all later requests.
fn repin<S, B, R, K, T>(
    response: Response<R>,
    config: &Arc<Config<K, T>>,
    pin: &Session,
    backend: &BackendId,
) -> Step<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>>,
    K: ExtractKey,
    T: SessionStore,
{
    let config = Arc::clone(config);
    let held = Moved { response, config, pin: pin.clone(), backend: backend.clone() };
    if pin.record().backend() == Some(backend) {
        return moved(held);
    }
    let record = pin.record().clone().with_backend(backend.clone());
    match held.config.store.replace(pin.key(), pin.version(), record) {
        Answer::Now(_) => moved(held),
        Answer::Later(replaced) => Step::Next(State::Replace {
            replaced: timed(replaced, held.config.store_timeout),
            held: Some(Box::new(held)),
        }),
    }
}

/// Removes the pin of `key`, and then gives `answer`.
fn unpin<S, B, R, K, T>(
    answer: Response<GuardBody<R>>,
    config: &Arc<Config<K, T>>,
    key: &OwnedKey,
) -> Step<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>>,
    T: SessionStore,
{
    match config.store.remove(Key::new(&config.route, None, &key.bytes)) {
        Answer::Now(_) => Step::Done(answer),
        Answer::Later(removed) => Step::Next(State::Remove {
            removed: timed(removed, config.store_timeout),
            answer: Some(Box::new(answer)),
        }),
    }
}

fn done<S, B, R, K, T>(response: Response<R>) -> Step<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>>,
    T: SessionStore,
{
    Step::Done(response.map(GuardBody::forwarded))
}

/// Whether the service inside refused the request on its own: no backend has spoken, or was found to be
/// silent.
fn is_refusal<R>(response: &Response<R>) -> bool {
    Reason::of(response).is_some()
}

/// Whether a response of this status may name a key: anything but an error.
fn opens(status: StatusCode) -> bool {
    !status.is_client_error() && !status.is_server_error()
}

/// Whether the response is to pinned work; one to new work names its backend.
fn is_pinned<R>(response: &Response<R>) -> bool {
    response.extensions().get::<bartizan_core::Backend>().is_none()
}
