//! A request meets the loss of its session: it waits for the session to be resumed, and is sent again.

use std::{sync::Arc, time::Duration};

use bartizan_core::{GuardBody, Passage, Reason, Session, mcp, mcp::Content, refusal::RequestId};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::WWW_AUTHENTICATE};
use http_body::Body;
use tokio::time::Instant;

use super::{elsewhere, pass, refuse, show_as};
use crate::{
    ReplayBody, ResumeBody, entry,
    flight::{Denial, Outcome, Part},
    kept::{Kept, LAST_EVENT_ID},
    look,
    loss::{self, LOOK_BYTES, Verdict},
    shared::{Inside, Shared, Store},
};

/// How often one request is sent again.
const TIMES: usize = 2;

/// How long the rest of a body is waited for, to know what is in it.
const BODY_DEADLINE: Duration = Duration::from_secs(1);

/// Goes on with a request whose `response` tells of a loss, or may.
pub(crate) async fn lost<S, T, B>(
    shared: Arc<Shared<S, T>>,
    kept: Arc<Kept<B>>,
    response: Response<S::Body>,
    verdict: Verdict,
) -> Result<Response<ResumeBody<S::Body>>, S::Error>
where
    S: Inside<B>,
    T: Store,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
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
                // For whoever outside asks where a response comes from.
                response.extensions_mut().insert(session.clone());
                let verdict_by_head = loss::by_head(&response);
                (verdict, answer) =
                    settle(response, verdict_by_head, kept.is_get(), deadline).await;
                seen = session;
                continue;
            }
            Outcome::Denied(denial) => return Ok(denied(&denial)),
            Outcome::Failed(reason) => reason,
            Outcome::Ended | Outcome::NotYet | Outcome::Again => Reason::BackendLost,
        };
        return Ok(refuse_with_id(&kept, reason).await);
    }
    Ok(answer)
}

/// Reads what a verdict still needs.
pub(crate) async fn settle<R: Body<Data = Bytes>>(
    response: Response<R>,
    verdict: Verdict,
    is_get: bool,
    deadline: Instant,
) -> (Verdict, Response<ResumeBody<R>>) {
    if verdict != Verdict::Look {
        return (verdict, pass(response, is_get));
    }
    let (head, body) = response.into_parts();
    let (text, looked) = look::at_text(body, LOOK_BYTES, deadline).await;
    let response = Response::from_parts(head, ResumeBody::looked(looked));
    (loss::by_text(&text), response)
}

/// Waits until the session is resumed, by whoever is at it.
async fn resumed<S, T, B>(
    shared: &Arc<Shared<S, T>>,
    kept: &Kept<B>,
    seen: &Session,
    is_unreachable: bool,
    deadline: Instant,
) -> Outcome
where
    S: Inside<B>,
    T: Store,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    loop {
        let mut is_own = false;
        let follow = match shared.config.flights.join(seen) {
            Part::Follow(follow) => follow,
            Part::Lead(lead) => {
                is_own = true;
                let follow = lead.follow();
                let (shared, head) = (Arc::clone(shared), kept.head());
                let seen = seen.clone();
                // It goes on without this request, should the client leave.
                tokio::spawn(async move {
                    let outcome = elsewhere::resume(&shared, &head, &seen, is_unreachable).await;
                    lead.finish(outcome);
                });
                follow
            }
        };
        match follow.outcome(deadline).await {
            // Another's attempt was for an earlier place: what it led to is what was lost since. (A server may
            // give one id again and again: the place alone does not tell.)
            Some(Outcome::Moved(session)) if session.version() == seen.version() => {}
            Some(Outcome::Again) => {}
            // Another caller's affair: this one asks with its own credentials.
            Some(Outcome::Denied(_)) if !is_own => {}
            Some(outcome) => return outcome,
            None => return Outcome::Failed(Reason::BackendUnreachable),
        }
        if Instant::now() >= deadline {
            return Outcome::Failed(Reason::BackendUnreachable);
        }
    }
}

/// The request once more, to where the session is now.
pub(super) fn at_new_place<B>(
    kept: &Arc<Kept<B>>,
    session: &Session,
) -> Option<Request<ReplayBody<B>>>
where
    B: Body<Data = Bytes> + Unpin,
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

/// Refuses a request, with its own id: for that, what was not read of its body is read now.
pub(crate) async fn refuse_with_id<B, R>(
    kept: &Arc<Kept<B>>,
    reason: Reason,
) -> Response<ResumeBody<R>>
where
    B: Body<Data = Bytes> + Unpin,
    R: Body,
{
    kept.read_on(Instant::now() + BODY_DEADLINE).await;
    refuse(reason, &kept.head().dialect(id_of(kept)))
}

/// Whether a request speaks to the server that is lost of something that only that one knows: it answers a
/// request of the server, or takes one back. Another server could take it for its own.
pub(crate) async fn is_for_lost_server<B: Body<Data = Bytes> + Unpin>(kept: &Arc<Kept<B>>) -> bool {
    // A body that is known to be too large for that is not waited for.
    if !kept.is_small() {
        return false;
    }
    kept.read_on(Instant::now() + BODY_DEADLINE).await;
    match kept.content() {
        Some(Content::Message(message)) => {
            message.is_response() || message.method() == Some("notifications/cancelled")
        }
        _ => false,
    }
}

/// A backend does not serve the caller, and says so.
fn denied<R: Body>(denial: &Denial) -> Response<ResumeBody<R>> {
    let mut response = Response::new(ResumeBody::guarded(GuardBody::refused(Bytes::new())));
    *response.status_mut() = denial.status;
    for challenge in denial.challenges.iter() {
        response.headers_mut().append(WWW_AUTHENTICATE, challenge.clone());
    }
    response
}

/// Nobody waits for it any more.
pub(crate) fn accepted<R: Body>() -> Response<ResumeBody<R>> {
    let mut response = Response::new(ResumeBody::guarded(GuardBody::refused(Bytes::new())));
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

fn id_of<B: Body<Data = Bytes> + Unpin>(kept: &Kept<B>) -> Option<RequestId> {
    match kept.content()? {
        Content::Message(message) => message.id().cloned(),
        _ => None,
    }
}
