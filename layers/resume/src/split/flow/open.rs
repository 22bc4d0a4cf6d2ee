//! The session of a request at its gateway is found, waited for or opened.

use std::sync::Arc;

use bartizan_core::{Reason, Session, body::ReplaceBody};
use tokio::time::{Instant, timeout};

use super::{
    super::{
        config::{OPEN_TIMEOUT, RECORD_LIMIT_BYTES},
        gateway::Gateway,
        gateway_session::GatewaySession,
        name::NameGateway,
        splitter::Splitter,
        table::{Found, Opened, Pair, close_soon},
    },
    address::with_credentials,
};
use crate::replay::{
    ask::At,
    inside::Inside,
    kept::Head,
    opened::{self, Expected},
    single_flight::Lead,
};

/// Waits for the session that was `found`, or opens it.
pub(super) async fn settled<S, N, B>(
    shared: &Arc<Splitter<S, N>>,
    found: Found,
    head: &Head,
    session: &Session,
    gateway: &Gateway,
) -> Opened
where
    S: Inside<B>,
    N: NameGateway,
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
            // It goes on without this request, should the client leave.
            tokio::spawn(lead::<S, N, B>(shared, opening, head, session, gateway));
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

async fn lead<S, N, B>(
    shared: Arc<Splitter<S, N>>,
    opening: Lead<Pair, Opened>,
    head: Head,
    session: Session,
    gateway: Gateway,
) where
    S: Inside<B>,
    N: NameGateway,
    B: ReplaceBody + Unpin + Send + 'static,
{
    let opened = timeout(OPEN_TIMEOUT, open::<S, N, B>(&shared, &head, &session, &gateway)).await;
    let opened = opened.unwrap_or(None).map(Arc::new).ok_or(Reason::BackendUnreachable);
    let name = opening.key().gateway().to_owned();
    let gateways = &shared.config.gateways;
    let is_wanted = |opened: &GatewaySession| {
        !session.is_ended() && gateways.is_current(&name, &opened.gateway)
    };
    if let Some(evicted) = shared.config.sessions.finish(opening, opened, is_wanted) {
        close_soon(&[evicted]);
    }
}

/// Opens a session at `gateway` as the client opened its own.
async fn open<S, N, B>(
    shared: &Arc<Splitter<S, N>>,
    head: &Head,
    session: &Session,
    gateway: &Gateway,
) -> Option<GatewaySession>
where
    S: Inside<B>,
    N: NameGateway,
    B: ReplaceBody + Unpin + Send + 'static,
{
    let owner = session.key().principal;
    let handshake = shared.config.entries.read(session.record(), owner)?;
    let head = with_credentials(head.clone(), gateway);
    let expected = Expected {
        handshake: &handshake,
        // Another server has other tools; it must speak the version that was agreed to.
        accepts: |recorded, offered| recorded.version == offered.version,
        limit_bytes: RECORD_LIMIT_BYTES,
        deadline: Instant::now() + OPEN_TIMEOUT,
        close_timeout: shared.config.close_timeout,
    };
    let at = At::Backend(gateway.backend());
    let opened = opened::open::<S, B>(&shared.spare, &head, at, expected).await.ok()?;
    let id = opened.id.clone();
    Some(GatewaySession::new(id, gateway.clone(), head.uri, false, opened.keep()))
}
