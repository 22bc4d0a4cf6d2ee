//! Handles a request that names a gateway.

use std::sync::Arc;

use bartizan_core::{
    Passage, Reason, SessionId, SessionStore, Work, body::ReplaceBody, mcp, session::Additions,
};
use http::{Method, Request, Response};
use tokio::time::Instant;

use super::{
    super::{
        config::OPEN_TIMEOUT,
        name::NameGateway,
        splitter::Splitter,
        table::{Found, Look},
    },
    address::{address, to_session},
    end::end,
    expired::end_expired,
    open,
    seed::{HOME, seed},
};
use crate::replay::{
    answer::{accepted, pass, refuse_with_id, settle, show_as},
    ask::ask_readable,
    inside::Inside,
    kept::{Kept, LAST_EVENT_ID},
    loss::{self, Verdict},
    message::is_for_lost_server,
    record, returned,
};

/// Handles a request that names the gateway `name`.
pub(crate) async fn arrived<S, N, T, B>(
    shared: Arc<Splitter<S, N, T>>,
    mut service: S,
    name: Box<str>,
    kept: Arc<Kept<B>>,
    mut request: Request<B>,
) -> Result<Response<S::Body>, S::Error>
where
    S: Inside<B>,
    N: NameGateway,
    T: SessionStore,
    B: ReplaceBody + Unpin + Send + 'static,
{
    let Some(gateway) = shared.config.gateways.get(&name) else {
        return Ok(refuse_with_id(&kept, Reason::NoBackend).await);
    };
    let Some(session) = kept.session().cloned() else {
        let is_opening = Passage::of(&request).map(Passage::work) == Some(Work::Opening);
        address(&mut request, &gateway);
        if is_opening {
            ask_readable(request.headers_mut());
        }
        let mut response = service.call(request).await?;
        if !is_opening || !record::opens(&response) {
            return Ok(pass(response, kept.is_get()));
        }
        Additions::leave(response.extensions_mut(), HOME, name.as_bytes());
        // Tells the layer that stores the session where it is.
        response.extensions_mut().insert(gateway.backend().clone());
        return record::record(shared.config.recording(), kept, response).await;
    };
    if request.method() == Method::DELETE {
        return end(shared, service, kept, request, &session).await;
    }
    let listed = || seed::<S, N, T, B>(&shared, &kept.head(), &session, &name, &gateway);
    let Look { mut found, idle } = shared.config.sessions.find(&session, &name, listed);
    if !idle.is_empty() {
        tokio::spawn(end_expired(Arc::clone(&shared), idle));
    }
    let mut lost: Option<SessionId> = None;
    // If this has to wait, the instance may hold a permit that the other request waits for.
    let mut ready = matches!(found, Found::Open(_)).then_some(service);
    let mut first = Some(request);
    loop {
        let is_last = first.is_none();
        let opened = match open::settled::<S, N, T, B>(
            &shared,
            found,
            &kept.head(),
            &session,
            &gateway,
            lost.as_ref(),
        )
        .await
        {
            Ok(opened) => opened,
            Err(reason) => return Ok(refuse_with_id(&kept, reason).await),
        };
        let Some(mut request) = first.take().or_else(|| again(&kept)) else {
            return Ok(refuse_with_id(&kept, Reason::SessionMoved).await);
        };
        to_session(&mut request, &opened);
        let mut response = match ready.take() {
            Some(mut service) => service.call(request).await?,
            None => shared.spare.call(request).await?,
        };
        show_as(&mut response, kept.shown_id());
        let is_at_endpoint = || mcp::is_same_endpoint(opened.uri.path(), kept.path());
        let verdict = loss::by_head(&response, is_at_endpoint);
        let deadline = Instant::now() + OPEN_TIMEOUT;
        let (verdict, answer) = settle(response, verdict, kept.is_get(), deadline).await;
        match verdict {
            Verdict::Unknown if is_for_lost_server(&kept).await => return Ok(accepted()),
            Verdict::Unknown if !is_last => {
                found = shared.config.sessions.replace(&session, &name, &opened, listed);
                lost = Some(opened.id.clone());
            }
            // Neither the gateway's answer about its session nor the loss of that session ends the client's session.
            Verdict::Unknown => {
                return Ok(refuse_with_id(&kept, Reason::BackendUnreachable).await);
            }
            _ if Reason::of(&answer) == Some(Reason::BackendLost) => {
                return Ok(refuse_with_id(&kept, Reason::BackendUnreachable).await);
            }
            _ => return Ok(returned::with_body(answer, &kept)),
        }
    }
}

/// The request again, for a session that was opened again and has other events.
fn again<B: ReplaceBody + Unpin + Send + 'static>(kept: &Arc<Kept<B>>) -> Option<Request<B>> {
    let mut request = kept.again()?;
    request.headers_mut().remove(&LAST_EVENT_ID);
    Some(request)
}
