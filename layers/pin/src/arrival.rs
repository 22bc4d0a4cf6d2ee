//! The request path: from the arrival of a request to the backend that it is pinned to, or to a new
//! choice.
//!
//! Whatever is possible without waiting is done at once. The rest goes into one boxed future, together with the ready
//! instance of the service.

use std::sync::Arc;

use bartizan_core::{
    Answer, Dialect, GuardBody, Key, Passage, Reason, Session, SessionStore, StoreError, Work,
    backend::Tried, store::RecordVersion, take_ready,
};
use http::{Request, Response};

use crate::{
    affinity::{SetCookie, Shown},
    attempt::{Attempt, Choice},
    backends::{Absence, Pinned, Slot},
    bounds::{Incoming, Inside},
    config::{Config, OnLost},
    future::{BoxFuture, ResponseFuture},
    kept_key::KeptKey,
    key::{ExtractKey, is_usable},
    reclaimable::ReclaimableBody,
    refusal::{refuse, with_body},
    response::{After, Followed, receive, unpin},
    why,
};

/// The next step for a request.
enum Next<R, K, T: SessionStore> {
    /// It goes to the backend that it is pinned to; the request is already addressed.
    Follow(Followed<K, T>),
    /// It goes to the chosen backend, and perhaps to others.
    Open(Choice),
    /// It is answered here.
    Answer(Response<GuardBody<R>>),
    /// The same, after its pin is removed.
    Unpin(Answer<Result<bool, StoreError>, T::RemoveIfUnchanged>, Response<GuardBody<R>>),
}

/// What is lost when work moves to another backend.
#[derive(Default)]
struct Lost {
    /// The pin of its key.
    pin: Option<Session>,
    /// The backend, if it is in the set. It may be back without any request having noticed: then nothing moves.
    slot: Option<Arc<Slot>>,
}

/// A request arrives; `service` is ready for it.
#[inline]
pub(crate) fn on_arrival<S, B, K, T>(
    service: &mut S,
    config: &Arc<Config<K, T>>,
    mut request: Request<B>,
) -> ResponseFuture<S, B, S::Body, K, T>
where
    S: Inside<B>,
    B: Incoming,
    K: ExtractKey,
    T: SessionStore,
{
    let affinity = config.affinity.as_ref();
    let shown = affinity.and_then(|affinity| affinity.take(&config.backends, &mut request));
    let next = match by_passage(config, &mut request) {
        Some(next) => next,
        None => match key(config, &request) {
            None => by_cookie(config, &mut request, shown),
            Some(key) => match config.store.get(Key::new(&config.route, None, &key.bytes)) {
                Answer::Now(found) => on_lookup(config, &mut request, key, found),
                Answer::Later(found) => {
                    let (service, config) = (take_ready(service), Arc::clone(config));
                    return ResponseFuture::boxed(look_up(service, config, request, key, found));
                }
            },
        },
    };
    match next {
        Next::Follow(followed) => {
            let future = service.call(request.map(ReclaimableBody::own));
            ResponseFuture::inner(future, After::Followed(followed))
        }
        Next::Open(choice) => {
            let retry = service.clone();
            let (attempt, request) = Attempt::begin(retry, Arc::clone(config), request, choice);
            ResponseFuture::inner(service.call(request), After::Attempted(Box::new(attempt)))
        }
        Next::Answer(answer) => ResponseFuture::answered(with_body(answer, request)),
        Next::Unpin(removed, answer) => {
            let (config, answer) = (Arc::clone(config), with_body(answer, request));
            ResponseFuture::boxed(Box::pin(
                async move { Ok(unpin(&config, removed, answer).await) },
            ))
        }
    }
}

/// Waits for the store to look up the pin of a key; `service` is ready for the request.
// A block instead of an `async fn`, whose future would store its arguments twice and be copied with
// them.
fn look_up<S, B, K, T>(
    mut service: S,
    config: Arc<Config<K, T>>,
    mut request: Request<B>,
    key: KeptKey,
    found: T::Get,
) -> BoxFuture<S::Body, S::Error>
where
    S: Inside<B>,
    B: Incoming,
    K: ExtractKey,
    T: SessionStore,
{
    Box::pin(async move {
        let found = config.wait(Answer::Later(found)).await;
        let (future, after) = match on_lookup(&config, &mut request, key, found) {
            Next::Follow(followed) => {
                (service.call(request.map(ReclaimableBody::own)), After::Followed(followed))
            }
            Next::Open(choice) => {
                let (attempt, request) = Attempt::begin(service.clone(), config, request, choice);
                (service.call(request), After::Attempted(Box::new(attempt)))
            }
            Next::Answer(answer) => return Ok(with_body(answer, request)),
            Next::Unpin(removed, answer) => {
                let answer = with_body(answer, request);
                return Ok(unpin(&config, removed, answer).await);
            }
        };
        // Dropped here, so that a permit in the instance is not held until the response arrives.
        drop(service);
        receive::<S, B, K, T>(future, after).await
    })
}

/// Sends work to the backend of the session or of an outer layer; `None` if neither names one.
#[inline]
fn by_passage<B, R, K, T: SessionStore>(
    config: &Arc<Config<K, T>>,
    request: &mut Request<B>,
) -> Option<Next<R, K, T>> {
    let passage = Passage::of(request)?;
    if let Some(chosen) = passage.backend() {
        let slot = config.backends.find(chosen.id()).slot();
        if let Some(slot) = &slot {
            slot.counts().named.add_one();
        }
        let may_open = passage.session().is_none();
        let config = Arc::clone(config);
        return Some(Next::Follow(Followed { config, slot, key: None, may_open, cookie: None }));
    }
    let backend = passage.session()?.record().backend()?;
    let absence = match config.backends.find(backend) {
        Pinned::There(slot) if config.on_lost == OnLost::Fail || !is_lost(config, &slot) => {
            return Some(follow(config, request, slot, None, None));
        }
        pinned if config.on_lost == OnLost::Repin => {
            let lost = Lost { pin: None, slot: pinned.slot() };
            return Some(open(config, request, None, lost, None));
        }
        Pinned::There(_) => Absence::Unknown,
        Pinned::Absent(absence) => absence,
    };
    let reason = why::absent(absence);
    config.backends.pin_counts().refused(reason);
    Some(Next::Answer(refuse(reason, Some(backend), &Dialect::of(request))))
}

/// The key of a request, if it has a usable one.
fn key<B, K: ExtractKey, T>(config: &Config<K, T>, request: &Request<B>) -> Option<KeptKey> {
    let key = config.extract.key(request.uri(), request.headers())?;
    is_usable(key.as_bytes()).then(|| key.into())
}

/// Sends work without session or key to the backend of its cookie, or else to any backend.
fn by_cookie<B, R, K, T: SessionStore>(
    config: &Arc<Config<K, T>>,
    request: &mut Request<B>,
    shown: Option<Shown>,
) -> Next<R, K, T> {
    let Some(Shown { backend, set }) = shown else {
        return open(config, request, None, Lost::default(), None);
    };
    let lost = match backend.map(|id| config.backends.find(&id)) {
        Some(Pinned::There(slot)) if !is_lost(config, &slot) => {
            return follow(config, request, slot, None, Some(set));
        }
        pinned => Lost { pin: None, slot: pinned.and_then(Pinned::slot) },
    };
    open(config, request, None, lost, Some(set))
}

/// Continues after the store has looked up the pin of a key.
fn on_lookup<B, R, K, T: SessionStore>(
    config: &Arc<Config<K, T>>,
    request: &mut Request<B>,
    key: KeptKey,
    found: Result<Option<Session>, StoreError>,
) -> Next<R, K, T> {
    let refusal = |reason| Next::Answer(refuse(reason, None, &Dialect::of(request)));
    let pin = match found {
        Ok(Some(pin)) => pin,
        // If the pin cannot be stored, the work must not begin: a client that tries again would do
        // it twice.
        Ok(None) if key.is_clients && !config.store.has_room(&config.route, None) => {
            return refusal(Reason::TooManySessions);
        }
        Ok(None) => return open(config, request, Some(key), Lost::default(), None),
        Err(_) => return refusal(Reason::StoreUnavailable),
    };
    // A client cannot choose another key if the key is part of a path, so the pin moves.
    let moves = key.is_clients || config.on_lost == OnLost::Repin;
    let Some(backend) = pin.record().backend() else {
        return open(config, request, Some(key), Lost { pin: Some(pin), slot: None }, None);
    };
    let refusal = |reason| {
        config.backends.pin_counts().refused(reason);
        refuse(reason, Some(backend), &Dialect::of(request))
    };
    match config.backends.find(backend) {
        Pinned::There(slot) if !moves || !is_lost(config, &slot) => {
            follow(config, request, slot, Some((key, pin.version())), None)
        }
        // Servers that share their state can take it at once; otherwise the backend may become
        // known in a moment.
        Pinned::Absent(Absence::Unknown) if config.on_lost != OnLost::Repin => {
            Next::Answer(refusal(Reason::BackendUnknown))
        }
        pinned if moves => {
            let lost = Lost { pin: Some(pin), slot: pinned.slot() };
            open(config, request, Some(key), lost, None)
        }
        Pinned::Absent(Absence::Gone) => {
            let answer = refusal(Reason::BackendLost);
            Next::Unpin(config.store.remove_if_unchanged(pin.key(), pin.version()), answer)
        }
        _ => Next::Answer(refusal(Reason::BackendOutOfReach)),
    }
}

/// Sends work to the backend that it is pinned to.
#[inline]
fn follow<B, R, K, T: SessionStore>(
    config: &Arc<Config<K, T>>,
    request: &mut Request<B>,
    slot: Arc<Slot>,
    key: Option<(KeptKey, RecordVersion)>,
    cookie: Option<SetCookie>,
) -> Next<R, K, T> {
    slot.counts().pinned.add_one();
    Passage::with(request, |passage| {
        passage.set_backend(slot.backend().clone());
        passage.set_work(Work::Pinned);
    });
    let config = Arc::clone(config);
    let may_open = cookie.is_some();
    Next::Follow(Followed { config, slot: Some(slot), key, may_open, cookie })
}

/// Chooses a backend for new work, or for work whose pin moves.
fn open<B, R, K, T: SessionStore>(
    config: &Config<K, T>,
    request: &Request<B>,
    key: Option<KeptKey>,
    lost: Lost,
    cookie: Option<SetCookie>,
) -> Next<R, K, T> {
    let bytes = key.as_ref().map(|key| &*key.bytes);
    let passage = Passage::of(request);
    let work = passage.map(Passage::work).unwrap_or_default();
    let account = passage.and_then(Passage::tried);
    let tried = account.map(Tried::snapshot).unwrap_or_default();
    let before = lost.slot.filter(|slot| !tried.contains(slot.backend().id()));
    let choose = || config.backends.choose(&*config.balance, work, bytes, &tried);
    let in_flight = before.and_then(|slot| config.backends.retry(&slot)).or_else(choose);
    let Some(in_flight) = in_flight else {
        return Next::Answer(refuse(Reason::NoBackend, None, &Dialect::of(request)));
    };
    in_flight.slot().counts().chosen.add_one();
    if let Some(account) = account {
        account.add(in_flight.slot().backend().id());
    }
    Next::Open(Choice { in_flight, key, moving: lost.pin, cookie })
}

/// Whether a backend has been unreachable for too long.
fn is_lost<K, T>(config: &Config<K, T>, slot: &Slot) -> bool {
    config.backends.is_out_of_reach(slot, config.lost_after)
}
