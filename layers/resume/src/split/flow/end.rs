//! Ends a session for its client.

use std::sync::Arc;

use bartizan_core::{
    Reason, Session, SessionId, SessionStore, UpstreamFailure, body::ReplaceBody, store::Replaced,
};
use http::{Request, Response, StatusCode};
use tokio::time::Instant;

use super::{
    super::{
        config::OPEN_TIMEOUT,
        listed::{self, Listed, Read},
        name::NameGateway,
        splitter::Splitter,
        table::close_soon,
    },
    address::to_session,
    seed::{HOME, at_place, seed},
    share::SWAPS,
};
use crate::replay::{
    answer::{refuse, settle, show_as},
    inside::Inside,
    kept::{Head, Kept},
    loss::{self, Verdict},
};

/// Ends a session for its client: at the gateway where the client opened it, and then at all
/// others.
pub(super) async fn end<S, N, T, B>(
    shared: Arc<Splitter<S, N, T>>,
    mut service: S,
    kept: Arc<Kept<B>>,
    mut request: Request<B>,
    session: &Session,
) -> Result<Response<S::Body>, S::Error>
where
    S: Inside<B>,
    N: NameGateway,
    T: SessionStore,
    B: ReplaceBody + Unpin + Send + 'static,
{
    let mut ended = None;
    if let Some(name) = home_name(session)
        && let Some(gateway) = shared.config.gateways.get(name)
    {
        let listed = seed::<S, N, T, B>(&shared, &kept.head(), session, name, &gateway);
        let at_home = listed.map(Arc::new).or_else(|| shared.config.sessions.open(session, name));
        if let Some(at_home) = at_home {
            *request.uri_mut() = at_home.uri.clone();
            to_session(&mut request, &at_home);
            ended = Some(at_home.id.clone());
        }
    }
    let mut response = service.call(request).await?;
    show_as(&mut response, kept.shown_id());
    let by_head = loss::by_head(&response, || kept.is_at_endpoint());
    let deadline = Instant::now() + OPEN_TIMEOUT;
    let (verdict, mut answer) = settle(response, by_head, false, deadline).await;
    if answer.status() == StatusCode::BAD_REQUEST && verdict == Verdict::Unknown {
        // A 400 would look as if the session had not ended.
        answer = refuse(Reason::BackendLost, &kept.head().dialect(None));
    }
    if !is_over(&answer, verdict) {
        return Ok(answer);
    }
    let Ok(last) = note_end(&shared, session).await else {
        // Another replica may be opening one at this moment, which would be left behind.
        return Ok(refuse(Reason::StoreUnavailable, &kept.head().dialect(None)));
    };
    end_others::<S, N, T, B>(&shared, &kept.head(), &last, ended.as_ref());
    // The outer layer, which saw an earlier version, may not remove this one.
    match shared.remove(&last).await {
        Ok(()) => Ok(answer),
        Err(_) => Ok(refuse(Reason::StoreUnavailable, &kept.head().dialect(None))),
    }
}

fn home_name(session: &Session) -> Option<&str> {
    session.record().field(HOME).and_then(|name| str::from_utf8(name).ok())
}

/// Whether the client session is over after its own gateway gave `answer`.
fn is_over<R>(answer: &Response<R>, verdict: Verdict) -> bool {
    verdict != Verdict::Arrived
        || answer.status().is_success() && Reason::of(answer).is_none()
        || UpstreamFailure::of(answer).is_some_and(UpstreamFailure::is_unreachable)
}

/// The store could not record it.
struct StoreFailed;

/// Marks that the session ends, so that no replica opens anything for it any more. Returns the last version that lists
/// the open sessions.
async fn note_end<S, N, T: SessionStore>(
    shared: &Splitter<S, N, T>,
    session: &Session,
) -> Result<Session, StoreFailed> {
    let mut current = session.clone();
    for _ in 0..SWAPS {
        if matches!(Read::of(&shared.config.entries, &current), Read::Ending(_)) {
            return Ok(current);
        }
        let record = listed::ending(current.record());
        match shared.replace(&current, record).await {
            // A store that cannot change records does not list sessions, either.
            Ok(Replaced::Changed(other)) if other.version() != current.version() => current = other,
            Ok(_) => return Ok(current),
            Err(_) => return Err(StoreFailed),
        }
    }
    Err(StoreFailed)
}

/// Ends all sessions at gateways that the record of `session` lists or that this process knows of, except the one that
/// has already been `ended`.
fn end_others<S, N, T, B>(
    shared: &Arc<Splitter<S, N, T>>,
    head: &Head,
    session: &Session,
    ended: Option<&SessionId>,
) where
    S: Inside<B>,
    N: NameGateway,
    T: SessionStore,
    B: ReplaceBody + Unpin + Send + 'static,
{
    let config = &shared.config;
    let mut others = config.sessions.take(|other, _| other.key() == session.key());
    let listed = match Read::of(&config.entries, session) {
        Read::Listed(listed) | Read::Ending(listed) => listed,
        Read::Unreadable => Listed::default(),
    };
    for place in listed.places() {
        if !others.iter().any(|known| known.id == place.id)
            && let Some(gateway) = config.gateways.get(place.name())
            // A gateway whose address or credentials have changed gets no request, because these credentials may not be
            // for it.
            && place.is_at(place.name(), &gateway)
        {
            let known = at_place::<S, N, T, B>(shared, head, session, &gateway, place);
            others.push(Arc::new(known));
        }
    }
    others.retain(|known| Some(&known.id) != ended);
    close_soon(&others);
}
