//! A request meets the loss of its session: it waits for the session to be resumed, and is sent again.

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

/// Goes on with a request whose `response` shows a loss, or may.
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
                // The layers outside may ask where a response comes from.
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
                // What the owner opens, those who wait get; but nobody opens it as his own.
                if let Some(outcome) = unless_own(shared, kept, seen).await {
                    drop(lead);
                    return outcome;
                }
                is_own = true;
                let follow = lead.follow();
                let (shared, head) = (Arc::clone(shared), kept.head());
                let seen = seen.clone();
                // It goes on without this request, should the client leave.
                tokio::spawn(async move {
                    let outcome =
                        elsewhere::resume::<S, T, B>(&shared, &head, &seen, is_unreachable).await;
                    lead.publish(outcome);
                });
                follow
            }
        };
        match follow.outcome(deadline).await {
            // Another's attempt was for an earlier place: what it led to is what was lost since. (A server may
            // give one id again and again: the place alone does not tell.)
            Ok(Outcome::Moved(session)) if session.version() == seen.version() => {}
            // Another caller was denied: this one asks with its own credentials.
            Ok(Outcome::Denied(_)) if !is_own => {}
            Ok(outcome) => return outcome,
            // The session was being ended, say: look again.
            Err(NoOutcome::Dropped) => {}
            Err(NoOutcome::TimedOut) => return Outcome::Failed(Reason::BackendUnreachable),
        }
        if Instant::now() >= deadline {
            return Outcome::Failed(Reason::BackendUnreachable);
        }
    }
}

/// What comes of a loss that is met by somebody by whose credentials the session is not opened; none if it may be.
async fn unless_own<S, T: Store, B>(
    shared: &Resumer<S, T>,
    kept: &Kept<B>,
    seen: &Session,
) -> Option<Outcome> {
    let authorization = kept.authorization();
    if credentials::may_open(seen, authorization) {
        return None;
    }
    // Meanwhile it may have been opened, or others' credentials have been accepted.
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

/// The request once more, to where the session is now.
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

/// A backend does not serve the caller, and says so.
fn denied<R: ReplaceBody>(denial: &Denial) -> Response<R> {
    let mut response = Response::new(R::from_bytes(Bytes::new()));
    *response.status_mut() = denial.status;
    for challenge in denial.challenges.iter() {
        response.headers_mut().append(WWW_AUTHENTICATE, challenge.clone());
    }
    response
}
