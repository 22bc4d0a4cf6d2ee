//! The way in: from the arrival of a request to the backend that it is pinned to, or a new choice.

use std::sync::Arc;

use bartizan_core::{
    Answer, Backend, Dialect, GuardBody, Key, Passage, Reason, Session, SessionStore, StoreError,
    Work, backend::Tried, take_ready,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{Attempt, Followed, OwnedKey, Parked, refused, timed};
use crate::{
    OnLost, ReclaimableBody,
    backends::{Pinned, Slot},
    future::State,
    key::{ExtractKey, PinKey, is_usable},
    layer::Config,
};

/// What is lost of work that moves to another backend.
#[derive(Default)]
struct Lost {
    /// The pin of its key.
    pin: Option<Session>,
    /// The backend, if it is in the set. It may be back by now and nobody have asked: then nothing moves.
    slot: Option<Arc<Slot>>,
}

/// A request arrives; `service` is ready for it.
pub(crate) fn arrived<S, B, R, K, T>(
    service: &mut S,
    config: &Arc<Config<K, T>>,
    request: Request<B>,
) -> State<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes> + Unpin,
    K: ExtractKey,
    T: SessionStore,
{
    if let Some(passage) = Passage::of(&request) {
        if let Some(chosen) = passage.backend() {
            let chosen = chosen.clone();
            return as_chosen(service, config, request, &chosen);
        }
        let pinned = passage.session().and_then(|session| session.record().backend());
        if let Some(backend) = pinned {
            return match config.backends.find(backend) {
                Pinned::There(slot)
                    if config.on_lost == OnLost::Fail || !is_lost(config, &slot) =>
                {
                    follow(service, config, request, slot, None)
                }
                pinned if config.on_lost == OnLost::Repin => {
                    let lost = Lost { pin: None, slot: pinned.slot() };
                    open(service, config, request, None, lost)
                }
                _ => answered(refused(Reason::BackendLost, Some(backend), &Dialect::of(&request))),
            };
        }
    }
    let key = config.extract.key(request.uri(), request.headers());
    let Some(key) = key.filter(|key| is_usable(key.as_bytes())) else {
        return open(service, config, request, None, Lost::default());
    };
    let found = config.store.get(Key::new(&config.route, None, key.as_bytes()));
    let key = OwnedKey::from(key);
    match found {
        Answer::Now(found) => looked_up(service, config, request, key, found),
        Answer::Later(found) => State::Lookup {
            found: timed(found, config.store_timeout),
            parked: Some(Box::new(Parked {
                service: take_ready(service),
                config: Arc::clone(config),
                request,
                key,
            })),
        },
    }
}

/// The store has looked for the pin of a key.
pub(crate) fn looked_up<S, B, R, K, T>(
    service: &mut S,
    config: &Arc<Config<K, T>>,
    request: Request<B>,
    key: OwnedKey,
    found: Result<Option<Session>, StoreError>,
) -> State<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes> + Unpin,
    K: ExtractKey,
    T: SessionStore,
{
    let pin = match found {
        Ok(Some(pin)) => pin,
        // What cannot be kept is better not begun: whoever tries again would do it twice.
        Ok(None) if key.is_clients && !config.store.has_room(&config.route, None) => {
            return answered(refused(Reason::TooManySessions, None, &Dialect::of(&request)));
        }
        Ok(None) => return open(service, config, request, Some(key), Lost::default()),
        Err(_) => {
            return answered(refused(Reason::StoreUnavailable, None, &Dialect::of(&request)));
        }
    };
    // A client cannot make another key of a path: its pin moves.
    let moves = key.is_clients || config.on_lost == OnLost::Repin;
    let slot = pin.record().backend().map(|backend| config.backends.find(backend));
    match slot {
        Some(Pinned::There(slot)) if !moves || !is_lost(config, &slot) => {
            follow(service, config, request, slot, Some(key))
        }
        slot if moves => {
            let lost = Lost { pin: Some(pin), slot: slot.and_then(Pinned::slot) };
            open(service, config, request, Some(key), lost)
        }
        _ => {
            let backend = pin.record().backend();
            let answer = refused(Reason::BackendLost, backend, &Dialect::of(&request));
            match config.store.remove(pin.key()) {
                Answer::Now(_) => answered(answer),
                Answer::Later(removed) => State::Remove {
                    removed: timed(removed, config.store_timeout),
                    answer: Some(Box::new(answer)),
                },
            }
        }
    }
}

/// Honours the choice of an outer layer.
fn as_chosen<S, B, R, K, T>(
    service: &mut S,
    config: &Arc<Config<K, T>>,
    request: Request<B>,
    chosen: &Backend,
) -> State<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>, Response = Response<R>>,
    B: Body,
    T: SessionStore,
{
    let slot = config.backends.find(chosen.id()).slot();
    let followed = Followed { config: Arc::clone(config), slot, key: None };
    State::Followed {
        future: service.call(request.map(ReclaimableBody::own)),
        followed: Some(followed),
    }
}

/// Sends work to the backend that it is pinned to.
fn follow<S, B, R, K, T>(
    service: &mut S,
    config: &Arc<Config<K, T>>,
    mut request: Request<B>,
    slot: Arc<Slot>,
    key: Option<OwnedKey>,
) -> State<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>, Response = Response<R>>,
    B: Body,
    T: SessionStore,
{
    Passage::with(&mut request, |passage| {
        passage.set_backend(slot.backend().clone());
        passage.set_work(Work::Pinned);
    });
    let future = service.call(request.map(ReclaimableBody::own));
    let followed = Followed { config: Arc::clone(config), slot: Some(slot), key };
    State::Followed { future, followed: Some(followed) }
}

/// Chooses a backend for new work, or for work whose pin moves.
fn open<S, B, R, K, T>(
    service: &mut S,
    config: &Arc<Config<K, T>>,
    request: Request<B>,
    key: Option<OwnedKey>,
    lost: Lost,
) -> State<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>, Response = Response<R>> + Clone,
    B: Body,
    T: SessionStore,
{
    let bytes = key.as_ref().map(|key| &*key.bytes);
    let passage = Passage::of(&request);
    let work = passage.map(Passage::work).unwrap_or_default();
    let account = passage.and_then(Passage::tried).cloned();
    let tried = account.as_ref().map(Tried::snapshot).unwrap_or_default();
    let before = lost.slot.filter(|slot| !tried.contains(slot.backend().id()));
    let choose = || config.backends.choose(&*config.balance, work, bytes, &tried);
    let opening = before.and_then(|slot| config.backends.retry(&slot)).or_else(choose);
    let Some(opening) = opening else {
        return answered(refused(Reason::NoBackend, None, &Dialect::of(&request)));
    };
    if let Some(account) = account {
        account.add(opening.slot().backend().id());
    }
    let retry = service.clone();
    let (attempt, request) =
        Attempt::begin(retry, Arc::clone(config), request, opening, key, lost.pin);
    State::Attempt { future: service.call(request), attempt: Some(Box::new(attempt)) }
}

/// Whether a backend could not be reached for too long.
fn is_lost<K, T>(config: &Config<K, T>, slot: &Slot) -> bool {
    config.backends.unreachable_for(slot).is_some_and(|time| time >= config.lost_after)
}

fn answered<S, B, R, K, T>(answer: Response<GuardBody<R>>) -> State<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>>,
    T: SessionStore,
{
    State::Answered { answer: Some(Box::new(answer)) }
}

impl From<PinKey<'_>> for OwnedKey {
    fn from(key: PinKey<'_>) -> Self {
        Self { bytes: key.as_bytes().into(), is_clients: key.is_clients() }
    }
}
