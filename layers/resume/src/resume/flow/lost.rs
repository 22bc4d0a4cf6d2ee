//! Handles a request that meets the loss of its session: waits until the session is resumed, and sends the request
//! again.

use std::sync::Arc;

use bartizan_core::{Passage, Reason, Session, body::ReplaceBody, mcp};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::WWW_AUTHENTICATE};
use tokio::time::Instant;

use super::{
    super::{
        outcome::Outcome,
        resumer::{Resumer, Store},
    },
    answers::FORGOTTEN,
    elsewhere,
    written::is_same_place,
};
use crate::replay::{
    answer::{accepted, pass, refuse_with_id, settle, show_as},
    by_session::BySession,
    credentials, entry,
    follow::NoOutcome,
    inside::Inside,
    kept::{Kept, LAST_EVENT_ID},
    loss::{self, Verdict},
    message::is_for_lost_server,
    opened::Denial,
    returned,
    single_flight::Part,
};

/// How often one request is sent again.
pub const TIMES: usize = 2;

/// Continues a request whose `response` shows, or may show, a loss.
pub(crate) async fn lost<S, T, B>(
    shared: Arc<Resumer<S, T>>,
    kept: Arc<Kept<B>>,
    response: Response<S::Body>,
    verdict: Verdict,
) -> Result<Response<S::Body>, S::Error>
where
    S: Inside<B>,
    T: Store,
    B: ReplaceBody + Unpin + Send + 'static,
{
    let deadline = Instant::now() + shared.config.timeout;
    let Some(mut seen) = kept.session().cloned() else {
        return Ok(pass(response, kept.is_get()));
    };
    let (mut verdict, mut answer) = settle(response, verdict, kept.is_get(), deadline).await;
    for _ in 0..TIMES {
        if verdict == Verdict::Arrived {
            break;
        }
        let is_unreachable = verdict == Verdict::Unreachable;
        let reason = match resumed(&shared, &kept, &seen, is_unreachable, deadline).await {
            Outcome::Moved(_) if is_for_lost_server(&kept).await => return Ok(accepted()),
            Outcome::Moved(session) => {
                let Some(request) = at_new_place(&kept, &session) else {
                    return Ok(refuse_with_id(&kept, Reason::SessionMoved).await);
                };
                let mut response = shared.call(request).await?;
                show_as(&mut response, kept.shown_id());
                // Outer layers may ask where a response comes from.
                response.extensions_mut().insert(session.clone());
                let verdict_by_head = loss::by_head(&response, || kept.is_at_endpoint());
                (verdict, answer) =
                    settle(response, verdict_by_head, kept.is_get(), deadline).await;
                seen = session;
                continue;
            }
            Outcome::Denied(denial) => return Ok(denied(&denial)),
            Outcome::Failed(reason) => reason,
            Outcome::Ended => Reason::BackendLost,
        };
        return Ok(refuse_with_id(&kept, reason).await);
    }
    if verdict != Verdict::Arrived {
        return Ok(refuse_with_id(&kept, FORGOTTEN).await);
    }
    Ok(returned::with_body(answer, &kept))
}

/// Waits until the session is resumed, by this request or another.
async fn resumed<S, T, B>(
    shared: &Arc<Resumer<S, T>>,
    kept: &Kept<B>,
    seen: &Session,
    is_unreachable: bool,
    deadline: Instant,
) -> Outcome
where
    S: Inside<B>,
    T: Store,
    B: ReplaceBody + Unpin + Send + 'static,
{
    loop {
        let mut is_own = false;
        let follow = match shared.config.under_way.join(BySession(seen.clone())) {
            Part::Follow(follow) => follow,
            Part::Lead(lead) => {
                // Requests that wait for the owner's attempt share its result, but another caller
                // must not open the session itself.
                if let Some(outcome) = unless_own(shared, kept, seen).await {
                    drop(lead);
                    return outcome;
                }
                is_own = true;
                let follow = lead.follow();
                let (shared, head) = (Arc::clone(shared), kept.head());
                let seen = seen.clone();
                // It continues without this request if the client disconnects.
                tokio::spawn(async move {
                    let outcome =
                        elsewhere::resume::<S, T, B>(&shared, &head, &seen, is_unreachable).await;
                    lead.publish(outcome);
                });
                follow
            }
        };
        match follow.outcome(deadline).await {
            // The other attempt was for an earlier loss, and its result has been lost since. (A server may use the same
            // id again, so the id does not show this.)
            Ok(Outcome::Moved(session)) if session.version() == seen.version() => {}
            // Another caller was denied; this one tries with its own credentials.
            Ok(Outcome::Denied(_)) if !is_own => {}
            Ok(outcome) => return outcome,
            // For example, the session was being ended: look again.
            Err(NoOutcome::Dropped) => {}
            Err(NoOutcome::TimedOut) => return Outcome::Failed(Reason::BackendUnreachable),
        }
        if Instant::now() >= deadline {
            return Outcome::Failed(Reason::BackendUnreachable);
        }
    }
}

/// The response to a caller whose credentials may not open the session again; `None` if they may.
async fn unless_own<S, T: Store, B>(
    shared: &Resumer<S, T>,
    kept: &Kept<B>,
    seen: &Session,
) -> Option<Outcome> {
    let authorization = kept.authorization();
    if credentials::may_open(seen, authorization) {
        return None;
    }
    // In the meantime the session may have been opened, or other credentials may have been
    // accepted.
    match shared.current(seen).await {
        Ok(Some(current)) if !is_same_place(&current, seen) => Some(Outcome::Moved(current)),
        Ok(Some(current)) if credentials::may_open(&current, authorization) => None,
        Ok(Some(_)) if shared.config.strangers.meet(seen) => {
            Some(Outcome::Failed(Reason::BackendOutOfReach))
        }
        Ok(Some(_)) => Some(Outcome::Failed(Reason::BackendUnreachable)),
        Ok(None) => Some(Outcome::Ended),
        Err(_) => Some(Outcome::Failed(Reason::StoreUnavailable)),
    }
}

/// Sends the request again, to where the session is now.
pub(super) fn at_new_place<B>(kept: &Arc<Kept<B>>, session: &Session) -> Option<Request<B>>
where
    B: ReplaceBody + Unpin + Send + 'static,
{
    let id = session.record().upstream_id().map_or(session.id(), |id| id.as_bytes());
    let id = HeaderValue::from_bytes(id).ok()?;
    let mut request = kept.again()?;
    request.headers_mut().insert(&mcp::SESSION_ID, id);
    if entry::has_moved(session.record()) {
        request.headers_mut().remove(&LAST_EVENT_ID);
    }
    Passage::with(&mut request, |passage| passage.set_session(session.clone()));
    Some(request)
}

/// The response of a backend that does not serve the caller.
fn denied<R: ReplaceBody>(denial: &Denial) -> Response<R> {
    let mut response = Response::new(R::from_bytes(Bytes::new()));
    *response.status_mut() = denial.status;
    for challenge in denial.challenges.iter() {
        response.headers_mut().append(WWW_AUTHENTICATE, challenge.clone());
    }
    response
}
