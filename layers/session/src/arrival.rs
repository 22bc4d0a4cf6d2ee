//! The request path: from the arrival of a request, through the store, to the inner service.
//!
//! Whatever is possible without waiting is done at once. The rest goes into one boxed future, together with the ready
//! instance of the service.

use std::sync::Arc;

use bartizan_core::{
    Answer, Dialect, Key, Passage, Principal, Reason, Refusal, Session, SessionStore, StoreError,
    Work, passage::Lease, take_ready,
};
use http::{Method, Request, Response, header::UPGRADE};

use crate::{
    alias,
    binding::{self, Claimed},
    body::{InUse, SessionBody},
    bounds::{Incoming, Inside},
    change::Asked,
    config::{Config, Protocol},
    echo::refuse_with_id,
    future::{BoxFuture, ResponseFuture},
    judge::{self, Purpose, Verdict},
    opening::Opening,
    peeked_body::PeekedBody,
    peeking::peek,
    refusal::refuse,
    response::{After, receive},
    stray::Stray,
};

/// The next step for a request.
enum Next<S, R, T: SessionStore> {
    Send(After<S, T>),
    Peek(Purpose),
    Echo(Refusal),
    Answer(Box<Response<SessionBody<R, T>>>),
}

/// A request arrives; `service` is ready for it.
#[inline]
pub(crate) fn on_arrival<S, B, T>(
    service: &mut S,
    config: &Arc<Config<T>>,
    mut request: Request<B>,
) -> ResponseFuture<S, B, S::Body, T>
where
    S: Inside<B>,
    B: Incoming,
    T: SessionStore,
{
    let next = match judge::head(&request, config) {
        Verdict::Lookup(id) => {
            let caller = Principal::of(&request);
            match config.store.get(Key::new(&config.route, caller, id)) {
                // The common case: found by the caller's key, and the record does not name another
                // owner.
                Answer::Now(Ok(Some(session))) if session.record().owner().is_none() => {
                    Next::Send(live(config, &mut request, session))
                }
                found => {
                    let has_principal = caller.is_some();
                    match binding::find(config, &request, caller, id, found) {
                        Answer::Now(found) => on_lookup(config, &mut request, has_principal, found),
                        Answer::Later(found) => {
                            let (service, config) = (take_ready(service), Arc::clone(config));
                            return ResponseFuture::boxed(look_up(service, config, request, found));
                        }
                    }
                }
            }
        }
        Verdict::Pass => pass(service, config, &mut request),
        Verdict::Forward(work) => match Opening::begin(service, config, &mut request, work, None) {
            Ok(opening) => Next::Send(After::Learn { opening }),
            Err(answer) => Next::Answer(answer),
        },
        Verdict::Peek(purpose) => Next::Peek(purpose),
        Verdict::Refuse(refusal) => turn_away(config, &request, refusal),
    };
    match next {
        Next::Send(after) => {
            ResponseFuture::inner(service.call(request.map(PeekedBody::untouched)), after)
        }
        Next::Peek(purpose) => {
            let (service, config) = (take_ready(service), Arc::clone(config));
            ResponseFuture::boxed(Box::pin(peek(service, config, purpose, request)))
        }
        Next::Echo(refusal) => {
            let config = Arc::clone(config);
            ResponseFuture::boxed(Box::pin(async move {
                Ok(refuse_with_id(&config, request, refusal).await)
            }))
        }
        Next::Answer(answer) => ResponseFuture::answered(answer),
    }
}

/// Waits for the store to look up the session of a request; `service` is ready for it.
// A block instead of an `async fn`, whose future would store its arguments twice and be copied with
// them.
fn look_up<S, B, T>(
    mut service: S,
    config: Arc<Config<T>>,
    mut request: Request<B>,
    found: T::Get,
) -> BoxFuture<S::Body, S::Error, T>
where
    S: Inside<B>,
    B: Incoming,
    T: SessionStore,
{
    Box::pin(async move {
        let found = config.wait(Answer::Later(found)).await;
        let has_principal = Principal::of(&request).is_some();
        let again = match &found {
            Ok(None) if has_principal => binding::find_unowned(&config, &request),
            _ => None,
        };
        let found = match again {
            // Boxed separately, as below.
            Some(found) => Box::pin(config.wait(found)).await,
            None => found,
        };
        match on_lookup(&config, &mut request, has_principal, found) {
            Next::Send(after) => {
                let future = service.call(request.map(PeekedBody::untouched));
                // Dropped here, so that a permit in the instance is not held until the response
                // arrives.
                drop(service);
                receive::<S, B, T>(future, after).await
            }
            // Boxed separately, because requests of live sessions do not need it.
            Next::Peek(purpose) => Box::pin(peek(service, config, purpose, request)).await,
            Next::Echo(refusal) => {
                drop(service);
                Ok(Box::pin(refuse_with_id(&config, request, refusal)).await)
            }
            Next::Answer(answer) => Ok(*answer),
        }
    })
}

/// Continues after the store has looked up the session of a request.
#[inline]
fn on_lookup<S, B, R, T: SessionStore>(
    config: &Arc<Config<T>>,
    request: &mut Request<B>,
    has_principal: bool,
    found: Result<Option<Session>, StoreError>,
) -> Next<S, R, T> {
    let refusal = match found {
        Ok(Some(session)) if binding::is_own(&session, has_principal) => {
            return Next::Send(live(config, request, session));
        }
        Ok(found) => match found.and_then(|session| claimed(config, request, session)) {
            Some(after) => return Next::Send(after),
            None if judge::may_have_id(request, config.protocol) => {
                return Next::Peek(Purpose::UnknownId);
            }
            None => Reason::UnknownSession,
        },
        Err(_) => Reason::StoreUnavailable,
    };
    turn_away(config, request, refusal.into())
}

/// Refuses a request, with its JSON-RPC id if it may have one, because the client may wait for that
/// id.
#[cold]
fn turn_away<S, B, R, T: SessionStore>(
    config: &Config<T>,
    request: &Request<B>,
    refusal: Refusal,
) -> Next<S, R, T> {
    if judge::may_have_id(request, config.protocol) {
        return Next::Echo(refusal);
    }
    Next::Answer(refuse(config, request.headers(), refusal, None))
}

/// Prepares a request of a live session that may belong to another caller; `None` if it does.
#[cold]
fn claimed<S, B, T: SessionStore>(
    config: &Arc<Config<T>>,
    request: &mut Request<B>,
    session: Session,
) -> Option<After<S, T>> {
    let claim = binding::claim(request, &session)?;
    match (live(config, request, session), claim) {
        (After::Live { in_use, asked }, Some(caller)) => {
            Some(After::Claimed(Box::new(Claimed { in_use, asked, caller })))
        }
        (after, _) => Some(after),
    }
}

/// Prepares a request of a live session.
#[inline(always)]
fn live<S, B, T: SessionStore>(
    config: &Arc<Config<T>>,
    request: &mut Request<B>,
    session: Session,
) -> After<S, T> {
    let is_mcp = config.protocol == Protocol::Mcp;
    let ends = is_mcp && request.method() == Method::DELETE;
    let asked = Asked::of(&session, request.uri().path(), ends);
    let in_use = InUse::new(&session, Arc::clone(config));
    // A tunnel outlives the response body.
    let becomes_tunnel =
        request.headers().contains_key(UPGRADE) || request.method() == Method::CONNECT;
    let lease = becomes_tunnel.then(|| Lease::new(InUse::new(&session, Arc::clone(config))));
    alias::to_backend(request.headers_mut(), &config.header, &session);
    Passage::with(request, |passage| {
        passage.set_session(session);
        if is_mcp {
            passage.set_dialect(Dialect::JsonRpc(None));
        }
        if let Some(lease) = lease {
            passage.set_lease(lease);
        }
    });
    After::Live { in_use, asked }
}

/// Prepares a request that continues without a session.
fn pass<S: Clone, B, R, T: SessionStore>(
    service: &S,
    config: &Arc<Config<T>>,
    request: &mut Request<B>,
) -> Next<S, R, T> {
    Passage::with(request, |passage| passage.set_work(Work::Free));
    let stray = Stray::prepare(service, config, request);
    Next::Send(After::NoSession { config: Arc::clone(config), stray })
}
