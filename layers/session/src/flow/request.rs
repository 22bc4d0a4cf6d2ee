//! The way in: from the arrival of a request, over the store and its own body, to the inner service.

use std::sync::Arc;

use bartizan_core::{
    Answer, Dialect, Key, OpeningHead, Passage, Principal, Reason, Refusal, Session, SessionStore,
    StoreError, Work, mcp::Content, passage::Lease, refusal::RequestId, session::Fingerprint,
    take_ready,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header::UPGRADE};
use http_body::Body;
use tower_service::Service;

use super::{After, Opening, Parked, refused};
use crate::{
    PeekedBody, alias,
    body::InUse,
    event,
    future::State,
    judge::{self, BodyVerdict, Verdict},
    layer::{Config, Protocol, Sessionless},
    peeking::{Looked, Peeking, Purpose},
    timed::timed,
};

/// A request arrives; `service` is ready for it.
pub(crate) fn arrived<S, B, R, T>(
    service: &mut S,
    config: &Arc<Config<T>>,
    mut request: Request<B>,
) -> State<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes> + Unpin,
    T: SessionStore,
{
    match judge::head(&request, config.protocol, &config.header, config.sessionless) {
        Verdict::Lookup(id) => {
            let key = Key::new(&config.route, Principal::of(&request), id);
            match config.store.get(key) {
                Answer::Now(found) => looked_up(service, config, request, found),
                Answer::Later(found) => State::Lookup {
                    found: timed(found, config.store_timeout),
                    parked: Some(Box::new(Parked {
                        service: take_ready(service),
                        config: Arc::clone(config),
                        request,
                    })),
                },
            }
        }
        Verdict::Pass => {
            let after = match config.protocol {
                Protocol::Mcp => After::NoSession { config: Arc::clone(config) },
                Protocol::Header => After::Pass,
            };
            Passage::with(&mut request, |passage| passage.set_work(Work::Free));
            let future = service.call(request.map(PeekedBody::untouched));
            State::Inner { future, after }
        }
        Verdict::Forward(work) => {
            open(service, config, request.map(PeekedBody::untouched), work, None)
        }
        Verdict::Peek => peek(service, config, Purpose::Judge, request),
        Verdict::Refuse(refusal) => refuse(service, config, request, refusal),
    }
}

/// The store has looked for the session of a request.
pub(crate) fn looked_up<S, B, R, T>(
    service: &mut S,
    config: &Arc<Config<T>>,
    request: Request<B>,
    found: Result<Option<Session>, StoreError>,
) -> State<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes> + Unpin,
    T: SessionStore,
{
    match found {
        Ok(Some(session)) => forward(service, config, request, session),
        Ok(None) if may_initialize(config, &request) => {
            peek(service, config, Purpose::UnknownId, request)
        }
        Ok(None) => refuse(service, config, request, Reason::UnknownSession.into()),
        Err(_) => answer(config, request.headers(), Reason::StoreUnavailable.into(), None),
    }
}

/// The body of a request was looked into.
pub(crate) fn peeked<S, B, R, T>(peeking: Peeking<S, B, T>, looked: Looked) -> State<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes> + Unpin,
    T: SessionStore,
{
    let config = Arc::clone(&peeking.config);
    let headers = &peeking.head().headers;
    match &peeking.purpose {
        Purpose::Echo(refusal) => answer(&config, headers, refusal.clone(), id_in(&looked)),
        Purpose::UnknownId if asks_for_session(&looked) => {
            let (mut service, config, mut request) = peeking.into_request();
            request.headers_mut().remove(&config.header);
            open(&mut service, &config, request, Work::Opening, id_in(&looked))
        }
        Purpose::UnknownId => {
            answer(&config, headers, Reason::UnknownSession.into(), id_in(&looked))
        }
        Purpose::Judge => {
            let forwards = config.sessionless == Sessionless::Forward;
            let verdict = match looked {
                // No `initialize` is that large.
                Err(Reason::BodyTooLarge) if forwards => BodyVerdict::Forward(Work::MayOpen, None),
                Err(reason) => BodyVerdict::Refuse(reason, None),
                Ok(content) => judge::body(headers, content, config.sessionless),
            };
            match verdict {
                BodyVerdict::Refuse(reason, id) => answer(&config, headers, reason.into(), id),
                BodyVerdict::Forward(work, id) => {
                    let (mut service, config, request) = peeking.into_request();
                    open(&mut service, &config, request, work, id)
                }
            }
        }
    }
}

/// Calls the inner service with a request of a live session.
fn forward<S, B, R, T>(
    service: &mut S,
    config: &Arc<Config<T>>,
    mut request: Request<B>,
    session: Session,
) -> State<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>, Response = Response<R>>,
    T: SessionStore,
{
    let is_mcp = config.protocol == Protocol::Mcp;
    let ends = is_mcp && request.method() == Method::DELETE;
    let in_use = InUse::new(&session, Arc::clone(config));
    // A tunnel outlives the response body.
    let becomes_tunnel =
        request.headers().contains_key(UPGRADE) || request.method() == Method::CONNECT;
    let lease = becomes_tunnel.then(|| Lease::new(InUse::new(&session, Arc::clone(config))));
    alias::to_backend(request.headers_mut(), &config.header, &session);
    Passage::with(&mut request, |passage| {
        passage.set_session(session);
        if is_mcp {
            passage.set_dialect(Dialect::JsonRpc(None));
        }
        if let Some(lease) = lease {
            passage.set_lease(lease);
        }
    });
    let future = service.call(request.map(PeekedBody::untouched));
    State::Inner { future, after: After::Live { in_use, ends } }
}

/// Calls the inner service with a request whose response may open a session.
fn open<S, B, R, T>(
    service: &mut S,
    config: &Arc<Config<T>>,
    mut request: Request<PeekedBody<B>>,
    work: Work,
    id: Option<RequestId>,
) -> State<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>, Response = Response<R>> + Clone,
    T: SessionStore,
{
    let principal = Principal::of(&request).cloned();
    if work == Work::Opening {
        // Before a backend is bothered with opening what cannot be kept.
        let refused = if !config.store.answers() {
            Some(Reason::StoreUnavailable)
        } else if !config.store.has_room(&config.route, principal.as_ref()) {
            Some(Reason::TooManySessions)
        } else {
            None
        };
        if let Some(reason) = refused {
            return answer(config, request.headers(), reason.into(), id);
        }
    }
    let dialect = dialect(config, request.headers(), id);
    Passage::with(&mut request, |passage| {
        passage.set_work(work);
        passage.set_dialect(dialect.clone());
    });
    let opening = Box::new(Opening {
        service: service.clone(),
        config: Arc::clone(config),
        principal,
        head: OpeningHead::of(&request),
        dialect,
    });
    State::Inner { future: service.call(request), after: After::Learn { opening } }
}

/// Refuses a request, after a look for its JSON-RPC id if it can have one.
fn refuse<S, B, R, T>(
    service: &mut S,
    config: &Arc<Config<T>>,
    request: Request<B>,
    refusal: Refusal,
) -> State<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>> + Clone,
    B: Body<Data = Bytes> + Unpin,
    T: SessionStore,
{
    let may_have_id = config.protocol == Protocol::Mcp && request.method() == Method::POST;
    if may_have_id {
        return peek(service, config, Purpose::Echo(refusal), request);
    }
    answer(config, request.headers(), refusal, None)
}

fn peek<S, B, R, T>(
    service: &mut S,
    config: &Arc<Config<T>>,
    purpose: Purpose,
    request: Request<B>,
) -> State<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>> + Clone,
    B: Body<Data = Bytes> + Unpin,
    T: SessionStore,
{
    let peeking = Peeking::new(take_ready(service), Arc::clone(config), purpose, request);
    State::Peek { peeking: Some(Box::new(peeking)) }
}

/// Answers a request here.
fn answer<S, B, R, T>(
    config: &Config<T>,
    headers: &HeaderMap,
    refusal: Refusal,
    id: Option<RequestId>,
) -> State<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>>,
    T: SessionStore,
{
    let session = judge::session_id(headers, &config.header).ok().flatten();
    event::refused(refusal.reason(), session.map(Fingerprint::of));
    let answer = refused(refusal, &dialect(config, headers, id));
    State::Answered { answer: Some(Box::new(answer)) }
}

fn dialect<T>(config: &Config<T>, headers: &HeaderMap, id: Option<RequestId>) -> Dialect {
    match config.protocol {
        Protocol::Mcp => Dialect::JsonRpc(id).unless_grpc(headers),
        Protocol::Header => Dialect::detect(headers),
    }
}

fn may_initialize<B, T>(config: &Config<T>, request: &Request<B>) -> bool {
    config.protocol == Protocol::Mcp && request.method() == Method::POST
}

fn asks_for_session(looked: &Looked) -> bool {
    matches!(looked, Ok(Some(Content::Message(message))) if message.is_initialize())
}

fn id_in(looked: &Looked) -> Option<RequestId> {
    match looked {
        Ok(Some(Content::Message(message))) => message.id().cloned(),
        _ => None,
    }
}
