//! The way out: from the response of the inner service, over the store, to the client.

use std::sync::Arc;

use bartizan_core::{
    Answer, Backend, BackendId, Dialect, GuardBody, Key, Principal, Reason, Record, SessionStore,
    StoreError, UpstreamFailure,
    session::{Additions, Fingerprint},
    store::Inserted,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tower_service::Service;

use super::{After, Held, Opening, Step, finish, refused};
use crate::{
    PeekedBody, SessionBody, alias,
    body::InUse,
    event,
    future::State,
    judge,
    layer::{Config, Protocol},
    orphan::EndOrphan,
    timed::timed,
};

/// The inner service has responded.
pub(crate) fn responded<S, B, R, T>(
    mut response: Response<R>,
    after: After<S, T>,
) -> Step<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>, Response = Response<R>> + Clone,
    T: SessionStore,
{
    match after {
        After::Pass => Step::Done(finish(response, None)),
        After::NoSession { config } => {
            response.headers_mut().remove(&config.header);
            Step::Done(finish(response, None))
        }
        After::Live { in_use, ends } => live(response, in_use, ends),
        After::Learn { opening } => learn(response, opening),
    }
}

/// The store has taken a new session, or not.
pub(crate) fn inserted<S, B, R, T>(
    mut held: Held<S, R, T>,
    inserted: Result<Inserted, StoreError>,
) -> Step<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>, Response = Response<R>> + Clone,
    T: SessionStore,
{
    let reason = match inserted {
        Ok(Inserted::Inserted(session)) => {
            alias::to_client(held.answer.headers_mut(), &held.config.header, &session);
            held.answer.body_mut().hold(InUse::new(&session, held.config));
            return Step::Done(held.answer);
        }
        // The backend named a session that it had opened before, and knows by that id still.
        Ok(Inserted::Exists(session))
            if session.record().backend() == held.backend.as_ref()
                && alias::upstream_id(&session) == session.id() =>
        {
            held.answer.body_mut().hold(InUse::new(&session, held.config));
            return Step::Done(held.answer);
        }
        Ok(Inserted::Full) => Reason::TooManySessions,
        // The id is another session's: whoever got it second would be sent to the first.
        Ok(_) => Reason::InvalidResponse,
        Err(_) => Reason::StoreUnavailable,
    };
    match held.opening {
        Some(opening) => end_orphan(&held.answer, *opening, reason),
        None => Step::Done(refuse(reason, &held.config)),
    }
}

/// Ends a session on the backend that opened it, since the client will not be told of it.
fn end_orphan<S, B, R, T>(
    answer: &Response<SessionBody<R, T>>,
    opening: Opening<S, T>,
    reason: Reason,
) -> Step<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>, Response = Response<R>>,
    T: SessionStore,
{
    let Opening { service, config, head, dialect, .. } = opening;
    let id = answer.headers().get(&config.header);
    event::refused(reason, id.map(|id| Fingerprint::of(id.as_bytes())));
    let refusal = refused(reason.into(), &dialect);
    match id {
        Some(id) if config.protocol == Protocol::Mcp => {
            let backend = answer.extensions().get::<Backend>().cloned();
            let delete =
                head.delete(config.header.clone(), id.clone(), backend, PeekedBody::empty());
            Step::Next(State::Orphan {
                ending: EndOrphan::new(service, delete),
                answer: Some(Box::new(refusal)),
            })
        }
        _ => Step::Done(refusal),
    }
}

/// Settles the response to a request of a live session.
fn live<S, B, R, T>(mut response: Response<R>, in_use: InUse<T>, ends: bool) -> Step<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>, Response = Response<R>> + Clone,
    T: SessionStore,
{
    let config = Arc::clone(in_use.config());
    let status = response.status();
    let moved_to = response.extensions().get::<Backend>().map(Backend::id);
    let moved_to = moved_to.filter(|id| in_use.session().record().backend() != Some(*id)).cloned();
    // One that ends or moves is named as it was, whatever its backend calls it.
    let names_another = !ends
        && moved_to.is_none()
        && status.is_success()
        && response
            .headers()
            .get(&config.header)
            .is_some_and(|id| id.as_bytes() != alias::upstream_id(in_use.session()));
    if !names_another {
        alias::to_client(response.headers_mut(), &config.header, in_use.session());
    }
    if ends {
        let unreachable =
            UpstreamFailure::of(&response).is_some_and(UpstreamFailure::is_unreachable);
        if unreachable {
            let mut gone = Response::new(SessionBody::new(GuardBody::refused(Bytes::new()), None));
            *gone.status_mut() = StatusCode::NO_CONTENT;
            return remove(gone, &in_use, "ended by the client, backend unreachable");
        }
        if status.is_success() {
            return remove(finish(response, None), &in_use, "ended by the client");
        }
    }
    let lost = Reason::of(&response) == Some(Reason::BackendLost);
    if lost || (config.protocol == Protocol::Mcp && status == StatusCode::NOT_FOUND) {
        return remove(finish(response, None), &in_use, "lost by the backend");
    }
    if let Some(backend) = moved_to {
        return rebind(response, in_use, &backend);
    }
    if names_another {
        // A backend that changes the id opens a session in the course of another one.
        let session = in_use.session();
        let backend = session.record().backend().cloned();
        return insert(response, config, backend, session.key().principal, None);
    }
    Step::Done(finish(response, Some(in_use)))
}

/// Settles a response that may open a session.
fn learn<S, B, R, T>(mut response: Response<R>, opening: Box<Opening<S, T>>) -> Step<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>, Response = Response<R>> + Clone,
    T: SessionStore,
{
    let config = Arc::clone(&opening.config);
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        // No session was opened; an id that was handed out would not be found.
        response.headers_mut().remove(&config.header);
        return Step::Done(finish(response, None));
    }
    match judge::session_id(response.headers(), &config.header) {
        Ok(None) => Step::Done(finish(response, None)),
        Ok(Some(_)) => {
            let backend =
                response.extensions().get::<Backend>().map(|backend| backend.id().clone());
            let principal = opening.principal.clone();
            insert(response, config, backend, principal.as_ref(), Some(opening))
        }
        Err(_) => {
            event::refused(Reason::InvalidResponse, None);
            Step::Done(refused(Reason::InvalidResponse.into(), &opening.dialect))
        }
    }
}

/// Holds a response back until the session that it names is in the store.
fn insert<S, B, R, T>(
    mut response: Response<R>,
    config: Arc<Config<T>>,
    backend: Option<BackendId>,
    principal: Option<&Principal>,
    opening: Option<Box<Opening<S, T>>>,
) -> Step<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>, Response = Response<R>> + Clone,
    T: SessionStore,
{
    let record = record(&config, backend.as_ref());
    let record = Additions::take(response.extensions_mut()).apply(record);
    let outcome = match judge::session_id(response.headers(), &config.header) {
        Ok(Some(id)) => {
            let key = Key::new(&config.route, principal, id);
            config.store.insert_if_absent(key, record)
        }
        Ok(None) => return Step::Done(finish(response, None)),
        Err(_) => return Step::Done(refuse(Reason::InvalidResponse, &config)),
    };
    let deadline = config.store_timeout;
    let held = Held { answer: finish(response, None), config, backend, opening };
    match outcome {
        Answer::Now(outcome) => inserted(held, outcome),
        Answer::Later(outcome) => Step::Next(State::Insert {
            inserted: timed(outcome, deadline),
            held: Some(Box::new(held)),
        }),
    }
}

/// Holds a response back until its session has the backend that it was moved to.
fn rebind<S, B, R, T>(
    response: Response<R>,
    in_use: InUse<T>,
    backend: &BackendId,
) -> Step<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>>,
    T: SessionStore,
{
    let config = Arc::clone(in_use.config());
    let session = in_use.session();
    let record = session.record().clone().with_backend(backend.clone());
    let outcome = config.store.replace(session.key(), session.version(), record);
    // Whoever lost this race is told by the next request, which goes where the winner says.
    let answer = finish(response, Some(in_use));
    match outcome {
        Answer::Now(_) => Step::Done(answer),
        Answer::Later(replaced) => Step::Next(State::Replace {
            replaced: timed(replaced, config.store_timeout),
            held: Some(Box::new(Held { answer, config, backend: None, opening: None })),
        }),
    }
}

/// Holds an answer back until its session is out of the store.
fn remove<S, B, R, T>(
    answer: Response<SessionBody<R, T>>,
    in_use: &InUse<T>,
    cause: &'static str,
) -> Step<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>>,
    T: SessionStore,
{
    event::ended(in_use.session().fingerprint(), cause);
    let config = in_use.config();
    match config.store.remove(in_use.session().key()) {
        Answer::Now(_) => Step::Done(answer),
        Answer::Later(removed) => {
            let config = Arc::clone(config);
            Step::Next(State::Remove {
                removed: timed(removed, config.store_timeout),
                held: Some(Box::new(Held { answer, config, backend: None, opening: None })),
            })
        }
    }
}

fn record<T>(config: &Config<T>, backend: Option<&BackendId>) -> Record {
    let record = Record::new(config.idle, config.lifetime);
    match backend {
        Some(backend) => record.with_backend(backend.clone()),
        None => record,
    }
}

/// Refuses where the request, and so its id, is no longer at hand.
fn refuse<R, T: SessionStore>(reason: Reason, config: &Config<T>) -> Response<SessionBody<R, T>> {
    event::refused(reason, None);
    let dialect = match config.protocol {
        Protocol::Mcp => Dialect::JsonRpc(None),
        Protocol::Header => Dialect::Problem,
    };
    refused(reason.into(), &dialect)
}
