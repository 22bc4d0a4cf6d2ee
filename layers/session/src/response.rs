//! The response path: from the response of the inner service, through the store, to the client.

use std::sync::Arc;

use bartizan_core::{
    Answer, Backend, GuardBody, Principal, Reason, SessionStore, gauges::sessions::SessionEnds,
    refusal::ReturnedBody, store::Replaced,
};
use bytes::Bytes;
use http::{HeaderValue, Response};
use http_body::Body;

use crate::{
    alias,
    binding::{self, Claimed},
    body::{InUse, SessionBody},
    bounds::{Incoming, Inside},
    change::{Asked, Change, change},
    config::Config,
    denial, echo, event,
    evicted::end_evicted,
    insert::{Known, Place, insert},
    judge,
    opening::Opening,
    refusal::{gone, refuse_late, render},
    stray::Stray,
};

/// Why the response is examined.
pub(crate) enum After<S, T: SessionStore> {
    /// It must not hand out an id: plain HTTP and the modern era do not open sessions.
    NoSession { config: Arc<Config<T>>, stray: Option<Box<Stray<S, T>>> },
    /// To detect the loss or the end of its session.
    Live { in_use: InUse<T>, asked: Asked },
    /// The same, and to bind its session to its caller.
    Claimed(Box<Claimed<T>>),
    /// To find the id of a session that it opens.
    Learn { opening: Box<Opening<S, T>> },
}

/// A response that must wait for the store.
pub(crate) enum Unsettled<S, R, T: SessionStore> {
    /// It changes its session.
    Changed(Response<R>, InUse<T>, Change),
    /// It may change its session, and bind it to its caller.
    Claimed(Response<R>, Box<Claimed<T>>, Option<Change>),
    /// It opens a session.
    Opened(Response<R>, Box<Opening<S, T>>),
    /// It names a session that the client must not get.
    Stray(Response<SessionBody<R, T>>, Box<Stray<S, T>>, HeaderValue),
    /// It is a refusal, outside of a session, that lacks the id of its request.
    Refused(Response<SessionBody<R, T>>, Arc<Config<T>>),
}

/// Waits for the response of the inner service, and handles it.
pub(crate) async fn receive<S, B, T>(
    future: S::Future,
    after: After<S, T>,
) -> Result<Response<SessionBody<S::Body, T>>, S::Error>
where
    S: Inside<B>,
    B: Incoming,
    T: SessionStore,
{
    match on_response(future.await?, after) {
        Answer::Now(response) => Ok(response),
        // Boxed separately, because most responses do not need it.
        Answer::Later(unsettled) => Box::pin(settle::<S, B, T>(unsettled)).await,
    }
}

/// Handles the response of the inner service. It waits if the store must be updated first.
#[inline]
pub(crate) fn on_response<S, R, T: SessionStore>(
    mut response: Response<R>,
    after: After<S, T>,
) -> Answer<Response<SessionBody<R, T>>, Unsettled<S, R, T>> {
    match after {
        After::NoSession { config, stray } => {
            let id = response.headers_mut().remove(&config.header);
            let response = finish(response, None);
            match (id, stray) {
                (Some(id), Some(stray)) => Answer::Later(Unsettled::Stray(response, stray, id)),
                _ if echo::is_wanted(&response) => {
                    Answer::Later(Unsettled::Refused(response, config))
                }
                _ => Answer::Now(response),
            }
        }
        After::Live { in_use, asked } => match look(&mut response, &in_use, asked) {
            None => Answer::Now(finish(response, Some(in_use))),
            Some(change) => Answer::Later(Unsettled::Changed(response, in_use, change)),
        },
        After::Claimed(claimed) => {
            let change = look(&mut response, &claimed.in_use, claimed.asked);
            if change.is_some() || binding::is_confirmed(&response, claimed.in_use.session()) {
                return Answer::Later(Unsettled::Claimed(response, claimed, change));
            }
            Answer::Now(finish(response, Some(claimed.in_use)))
        }
        After::Learn { opening } => {
            let status = response.status();
            if status.is_client_error() || status.is_server_error() {
                // No session was opened, so the client must not get an id that would not be found.
                response.headers_mut().remove(&opening.config.header);
                // Everything needed from the request was read before it was sent.
                response.extensions_mut().remove::<ReturnedBody>();
                return Answer::Now(finish(response, None));
            }
            match judge::session_id(response.headers(), &opening.config.header) {
                Ok(None) => Answer::Now(finish(response, None)),
                Ok(Some(_)) => Answer::Later(Unsettled::Opened(response, opening)),
                Err(_) => {
                    event::refused(Reason::InvalidResponse, None);
                    Answer::Now(render(Reason::InvalidResponse.into(), &opening.dialect))
                }
            }
        }
    }
}

/// What `response` changes about its session. Also replaces the session id with the client's.
#[inline(always)]
fn look<R, T: SessionStore>(
    response: &mut Response<R>,
    in_use: &InUse<T>,
    asked: Asked,
) -> Option<Change> {
    let (config, session) = (in_use.config(), in_use.session());
    let change = change(response, session, asked, config.protocol, &config.header);
    // A session that ends or moves keeps the client's id, whatever its backend calls it.
    if change != Some(Change::Another) {
        alias::to_client(response.headers_mut(), &config.header, session);
    }
    if change.is_none() && echo::is_wanted(response) {
        return Some(Change::Refused);
    }
    change
}

/// Holds a response back until the store is updated.
pub(crate) async fn settle<S, B, T>(
    unsettled: Unsettled<S, S::Body, T>,
) -> Result<Response<SessionBody<S::Body, T>>, S::Error>
where
    S: Inside<B>,
    B: Incoming,
    T: SessionStore,
{
    Ok(match unsettled {
        Unsettled::Changed(response, in_use, change) => {
            on_change(response, in_use, change, None).await
        }
        Unsettled::Claimed(response, claimed, change) => {
            let Claimed { in_use, caller, .. } = *claimed;
            match change {
                Some(change) => on_change(response, in_use, change, Some(caller)).await,
                None => on_accepted(response, in_use, caller).await,
            }
        }
        Unsettled::Refused(response, config) => echo::echo(response, &config).await,
        Unsettled::Opened(response, opening) => on_opened(response, *opening).await,
        Unsettled::Stray(response, stray, id) => {
            let backend = response.extensions().get::<Backend>().cloned();
            stray.end::<B>(backend, id).await;
            response
        }
    })
}

/// Holds a response back until its session has an owner: the caller, or another caller that was faster.
async fn on_accepted<R, T: SessionStore>(
    response: Response<R>,
    in_use: InUse<T>,
    caller: Principal,
) -> Response<SessionBody<R, T>> {
    match binding::bind(in_use.config(), in_use.session(), &caller).await {
        Ok(()) => finish(response, Some(in_use)),
        Err(reason) => refuse_late(in_use.config(), reason),
    }
}

/// Holds a response back until the store has the change of its session.
async fn on_change<R, T>(
    response: Response<R>,
    in_use: InUse<T>,
    change: Change,
    caller: Option<Principal>,
) -> Response<SessionBody<R, T>>
where
    R: Body<Data = Bytes> + Send + 'static,
    T: SessionStore,
{
    let config = Arc::clone(in_use.config());
    let session = in_use.session();
    let (answer, cause) = match change {
        Change::Ended => (finish(response, None), "ended by the client"),
        Change::EndedUnreachable => (gone(), "ended by the client, backend unreachable"),
        Change::Lost => {
            let answer = finish(response, None);
            // The record is removed first, because that must not wait for the client's body.
            let ends = &config.counts.all().backend_lost;
            let answer = on_lost(answer, in_use, ends, "lost with its backend").await;
            return echo::echo(answer, &config).await;
        }
        Change::Denied => {
            let (denies, response) = denial::look(response, config.peek_limit_bytes).await;
            if !denies {
                return response.map(|body| SessionBody::new(body, Some(in_use)));
            }
            let answer = response.map(|body| SessionBody::new(body, None));
            let ends = &config.counts.all().backend_404;
            return on_lost(answer, in_use, ends, "unknown to its backend").await;
        }
        Change::Refused => return echo::echo(finish(response, Some(in_use)), &config).await,
        Change::Moved(backend) => {
            let record = session.record().clone().with_backend(backend);
            let replaced = config.store.replace(session.key(), session.version(), record);
            let answer = finish(response, Some(in_use));
            // If two responses move the session, one wins, and the next request goes to the
            // winner's backend.
            if matches!(config.wait(replaced).await, Ok(Replaced::Replaced(_))) {
                config.counts.all().moved.add_one();
            }
            return answer;
        }
        Change::Another => {
            let backend = session.record().backend().cloned();
            let principal = caller.or_else(|| session.key().principal.cloned());
            let path = session.record().shared_path();
            let client = session.record().client();
            drop(in_use);
            let mut answer = finish(response, None);
            let place = Place { backend: backend.as_ref(), path, client };
            return match insert(&mut answer, &config, principal.as_ref(), place).await {
                Ok(_) => answer,
                Err(reason) => refuse_late(&config, reason),
            };
        }
    };
    event::ended(session.fingerprint(), cause);
    let removed = config.store.remove(session.key());
    let session = session.clone();
    drop(in_use);
    // The answer stays the same even if the store fails: the backend's next 404 removes the record.
    if config.wait(removed).await.is_ok() {
        config.counts.all().delete.add(&session);
    }
    answer
}

/// Holds a response back until the record that its request saw is removed. If the session has moved to another backend
/// since, the old backend's answer says nothing about it.
async fn on_lost<R, T: SessionStore>(
    answer: Response<SessionBody<R, T>>,
    in_use: InUse<T>,
    ends: &SessionEnds,
    cause: &'static str,
) -> Response<SessionBody<R, T>> {
    let config = Arc::clone(in_use.config());
    let session = in_use.session().clone();
    let removed = config.store.remove_if_unchanged(session.key(), session.version());
    drop(in_use);
    // The answer stays the same even if the store fails: the backend's next 404 removes the record.
    if matches!(config.wait(removed).await, Ok(true)) {
        ends.add(&session);
        event::ended(session.fingerprint(), cause);
    }
    answer
}

/// Holds a response back until the session that it opens is in the store. If the store refuses, the client gets a
/// refusal, and the session is ended at the backend.
async fn on_opened<S, B, T>(
    response: Response<S::Body>,
    opening: Opening<S, T>,
) -> Response<SessionBody<S::Body, T>>
where
    S: Inside<B>,
    B: Incoming,
    T: SessionStore,
{
    let backend = response.extensions().get::<Backend>().map(|backend| backend.id().clone());
    let mut answer = finish(response, None);
    let (config, principal) = (&opening.config, opening.principal.as_ref());
    let (path, client) = (Some(opening.path()), opening.client);
    let place = Place { backend: backend.as_ref(), path, client };
    let inserted = insert(&mut answer, config, principal, place).await;
    end_evicted::<S, B, T>(&opening.service, config);
    match inserted {
        // No client knows of the session, and none ever will.
        Ok(Known::New) if opening.has_left.get() => {
            if let Some(session) = answer.body().session().cloned() {
                if config.wait(config.store.remove(session.key())).await.is_ok() {
                    config.counts.all().undelivered.add(&session);
                }
                alias::to_backend(answer.headers_mut(), &config.header, &session);
            }
            opening.end(answer, Reason::UnknownSession).await
        }
        Ok(_) => answer,
        Err(reason) => opening.end(answer, reason).await,
    }
}

/// Sends a response; its session is in use until its body is dropped.
#[inline]
fn finish<R, T: SessionStore>(
    response: Response<R>,
    in_use: Option<InUse<T>>,
) -> Response<SessionBody<R, T>> {
    response.map(|body| SessionBody::new(GuardBody::forwarded(body), in_use))
}
