//! Finds, waits for or opens the session of a request at its gateway.

use std::sync::Arc;

use bartizan_core::{Reason, Session, SessionId, SessionStore, body::ReplaceBody};
use tokio::time::{Instant, timeout};

use super::{
    super::{
        config::OPEN_TIMEOUT,
        gateway::Gateway,
        gateway_session::GatewaySession,
        name::NameGateway,
        splitter::Splitter,
        table::{Found, Opened, Pair, close_soon},
    },
    share::share,
};
use crate::replay::{inside::Inside, kept::Head, single_flight::Lead};

/// Waits for the session that was `found`, or opens it in place of the one that was `lost`.
pub(super) async fn settled<S, N, T, B>(
    shared: &Arc<Splitter<S, N, T>>,
    found: Found,
    head: &Head,
    session: &Session,
    gateway: &Gateway,
    lost: Option<&SessionId>,
) -> Opened
where
    S: Inside<B>,
    N: NameGateway,
    T: SessionStore,
    B: ReplaceBody + Unpin + Send + 'static,
{
    let follow = match found {
        Found::Open(open) => return Ok(used(open)),
        Found::Full => return Err(Reason::TooManySessions),
        Found::Ended => return Err(Reason::BackendLost),
        Found::Wait(follow) => follow,
        Found::Lead(opening) => {
            let follow = opening.follow();
            let (shared, head) = (Arc::clone(shared), head.clone());
            let (session, gateway) = (session.clone(), gateway.clone());
            // It continues without this request if the client disconnects.
            tokio::spawn(lead::<S, N, T, B>(
                shared,
                opening,
                head,
                session,
                gateway,
                lost.cloned(),
            ));
            follow
        }
    };
    let outcome = follow.outcome(Instant::now() + OPEN_TIMEOUT).await;
    outcome.unwrap_or(Err(Reason::BackendUnreachable)).map(used)
}

fn used(session: Arc<GatewaySession>) -> Arc<GatewaySession> {
    session.note_use();
    session
}

async fn lead<S, N, T, B>(
    shared: Arc<Splitter<S, N, T>>,
    opening: Lead<Pair, Opened>,
    head: Head,
    session: Session,
    gateway: Gateway,
    lost: Option<SessionId>,
) where
    S: Inside<B>,
    N: NameGateway,
    T: SessionStore,
    B: ReplaceBody + Unpin + Send + 'static,
{
    let name = opening.key().gateway().to_owned();
    let opened = share::<S, N, T, B>(&shared, &head, &session, (&name, &gateway), lost.as_ref());
    let opened = timeout(OPEN_TIMEOUT, opened).await;
    let opened = opened.unwrap_or(Err(Reason::BackendUnreachable)).map(Arc::new);
    let gateways = &shared.config.gateways;
    let is_wanted = |opened: &GatewaySession| {
        !session.is_ended() && gateways.is_current(&name, &opened.gateway)
    };
    if let Some(evicted) = shared.config.sessions.finish(opening, opened, is_wanted) {
        close_soon(&[evicted]);
    }
}
