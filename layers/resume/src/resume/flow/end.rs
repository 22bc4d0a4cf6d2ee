//! Ends a session for its client, wherever it is, even if another replica is resuming it.

use std::sync::Arc;

use bartizan_core::{Reason, body::ReplaceBody};
use http::{Request, Response, StatusCode};
use tokio::time::Instant;

use super::{
    super::resumer::{Resumer, Store},
    lost::at_new_place,
    noted::{Noted, note_end},
    written::is_same_place,
};
use crate::replay::{
    answer::{self, pass, settle, show_as},
    by_session::BySession,
    follow::NoOutcome,
    inside::Inside,
    kept::Kept,
    loss::{self, Verdict},
    single_flight::Part,
};

/// How often to follow a session that moves.
const PLACES: usize = 4;

/// Ends the session of a request. Meanwhile, this replica makes no attempt to resume it, and an attempt elsewhere finds
/// that it is ending.
pub(crate) async fn end<S, T, B>(
    shared: Arc<Resumer<S, T>>,
    service: S,
    kept: Arc<Kept<B>>,
    request: Request<B>,
) -> Result<Response<S::Body>, S::Error>
where
    S: Inside<B>,
    T: Store,
    B: ReplaceBody + Unpin + Send + 'static,
{
    let mut ready = Some(service);
    let Some(seen) = kept.session().cloned() else {
        return Ok(pass(shared.call(request).await?, false));
    };
    let deadline = Instant::now() + shared.config.timeout;
    let refuse = |reason| Ok(answer::refuse(reason, &kept.head().dialect(None)));
    let _lead = loop {
        match shared.config.under_way.join(BySession(seen.clone())) {
            Part::Lead(lead) => break lead,
            Part::Follow(follow) => {
                // The instance may hold a permit that the other request waits for.
                ready = None;
                if let Err(NoOutcome::TimedOut) = follow.outcome(deadline).await {
                    return refuse(Reason::BackendUnreachable);
                }
            }
        }
    };
    let mut current = match shared.current(&seen).await {
        Ok(Some(current)) => current,
        Ok(None) => return refuse(Reason::BackendLost),
        Err(_) => return refuse(Reason::StoreUnavailable),
    };
    let mut request = if is_same_place(&current, &seen) {
        Some(request)
    } else {
        drop(request);
        at_new_place(&kept, &current)
    };
    let mut ended = None;
    for _ in 0..PLACES {
        let Some(next) = request.take() else { break };
        // Uses the ready instance first, unless this had to wait or the session has moved.
        let mut response = match ready.take() {
            Some(mut service) => service.call(next).await?,
            None => shared.call(next).await?,
        };
        show_as(&mut response, kept.shown_id());
        let by_head = loss::by_head(&response, || kept.is_at_endpoint());
        let (verdict, answer) = settle(response, by_head, false, deadline).await;
        if !has_ended(&answer, verdict) {
            return Ok(answer);
        }
        // A 400 would look as if the session had not ended.
        let is_said_by_text = answer.status() == StatusCode::BAD_REQUEST;
        ended = Some(if is_said_by_text { refuse(Reason::BackendLost)? } else { answer });
        match note_end(&shared, current.clone()).await {
            Noted::Moved(moved) => {
                request = at_new_place(&kept, &moved);
                current = moved;
            }
            Noted::Ends => break,
            // The session may have moved in the meantime; its new session would be left behind.
            Noted::Failed => return refuse(Reason::StoreUnavailable),
        }
    }
    // Before other requests continue, which must find it gone. The outer layer removes it once
    // more, and counts it if the backend has ended it.
    let removed = shared.remove(&current).await;
    let is_counted_outside = ended.as_ref().is_some_and(|answer| answer.status().is_success());
    if removed.is_ok() && !is_counted_outside {
        shared.config.counts.all().not_resumed.add(&current);
    }
    match (ended, removed) {
        (Some(response), Ok(())) => Ok(response),
        (Some(_), Err(_)) => refuse(Reason::StoreUnavailable),
        (None, _) => refuse(Reason::BackendUnreachable),
    }
}

/// Whether the backend has ended the session, or the backend itself is gone.
pub fn has_ended<R>(response: &Response<R>, verdict: Verdict) -> bool {
    verdict != Verdict::Arrived || response.status().is_success() && Reason::of(response).is_none()
}
