//! Opens a session at a gateway and lists it in the record of its client session. All replicas use the session that is
//! listed first.

use std::sync::Arc;

use bartizan_core::{
    Reason, Record, Session, SessionId, SessionStore, body::ReplaceBody, store::Replaced,
};
use http::Uri;
use tokio::time::Instant;

use super::{
    super::{
        config::{OPEN_TIMEOUT, RECORD_LIMIT_BYTES},
        gateway::Gateway,
        gateway_session::GatewaySession,
        listed::{Listed, Read},
        name::NameGateway,
        splitter::Splitter,
    },
    address::with_credentials,
    seed::{home, seed},
    written::Written,
};
use crate::replay::{
    ask::At,
    inside::Inside,
    kept::Head,
    opened::{self, Expected},
};

/// How often to retry if others change the record at the same time. Each time, one of them has succeeded.
pub(super) const SWAPS: usize = 64;

/// The session at a gateway, given by its name, that the record of `session` lists by now, except the one that was
/// `lost`; otherwise a new one, which is opened and listed.
pub(super) async fn share<S, N, T, B>(
    shared: &Arc<Splitter<S, N, T>>,
    head: &Head,
    session: &Session,
    (name, gateway): (&str, &Gateway),
    lost: Option<&SessionId>,
) -> Result<GatewaySession, Reason>
where
    S: Inside<B>,
    N: NameGateway,
    T: SessionStore,
    B: ReplaceBody + Unpin + Send + 'static,
{
    let seed = |session: &Session| seed::<S, N, T, B>(shared, head, session, name, gateway);
    let current = match shared.current(session).await {
        Ok(Some(current)) => current,
        Ok(None) => return Err(Reason::BackendLost),
        Err(_) => return Err(Reason::StoreUnavailable),
    };
    match Read::of(&shared.config.entries, &current) {
        Read::Ending(_) => return Err(Reason::BackendLost),
        Read::Unreadable => return Err(Reason::StoreUnavailable),
        Read::Listed(listed) if !listed.has_room(name) => return Err(Reason::TooManySessions),
        Read::Listed(_) => {}
    }
    if let Some(theirs) = seed(&current).filter(|theirs| Some(&theirs.id) != lost) {
        return Ok(theirs);
    }
    let Some((opened, uri)) = open::<S, N, T, B>(shared, head, &current, gateway).await else {
        if let Some(lost) = lost {
            strike(shared, current, name, lost).await;
        }
        return Err(Reason::BackendUnreachable);
    };
    let mut current = current;
    for _ in 0..SWAPS {
        // If this is dropped, a session that was opened is ended.
        let record =
            listing(shared, &current, |listed| listed.put(name, gateway, &opened.id, &uri).is_ok());
        let record = record.ok_or(Reason::TooManySessions)?;
        let replaced = shared.replace(&current, record).await;
        let replaced = replaced.map_err(|_| Reason::StoreUnavailable)?;
        let entries = &shared.config.entries;
        let read = |session: &Session| Read::of(entries, session);
        let listed = |session: &Session| id_at(&read(session).listed()?, session, name, gateway);
        match Written::of(replaced, &current, lost, read, listed) {
            Written::Done(session) => {
                let id = opened.id.clone();
                let closing = opened.keep();
                return Ok(GatewaySession::new(id, gateway.clone(), uri, &session, closing));
            }
            Written::Theirs(session) => return seed(&session).ok_or(Reason::BackendUnreachable),
            Written::Again(other) => current = other,
            Written::Over => return Err(Reason::BackendLost),
            Written::Impossible => return Err(Reason::StoreUnavailable),
        }
    }
    Err(Reason::StoreUnavailable)
}

/// The id of the session at `gateway` that a record lists.
fn id_at(listed: &Listed, session: &Session, name: &str, gateway: &Gateway) -> Option<SessionId> {
    match listed.find(name, gateway) {
        Some(place) => Some(place.id.clone()),
        None => home(session, name, gateway),
    }
}

/// Removes a session that its gateway does not know from the list, unless another one has replaced it by now.
async fn strike<S, N, T: SessionStore>(
    shared: &Splitter<S, N, T>,
    mut current: Session,
    name: &str,
    lost: &SessionId,
) {
    for _ in 0..SWAPS {
        let record = listing(shared, &current, |listed| listed.take(name, lost));
        let Some(record) = record else { return };
        match shared.replace(&current, record).await {
            Ok(Replaced::Changed(other)) if other.version() != current.version() => {
                current = other;
            }
            // If this failed, the next request finds out.
            _ => return,
        }
    }
}

/// The record of `session` with its list changed by `change`; `None` if it was not or cannot be
/// changed.
fn listing<S, N, T>(
    shared: &Splitter<S, N, T>,
    session: &Session,
    change: impl FnOnce(&mut Listed) -> bool,
) -> Option<Record> {
    let entries = &shared.config.entries;
    let mut listed = Read::of(entries, session).listed()?;
    change(&mut listed).then(|| listed.write(entries, session))?
}

/// Opens a session at `gateway` as the client opened its own. Returns the session, and its path.
async fn open<S, N, T, B>(
    shared: &Arc<Splitter<S, N, T>>,
    head: &Head,
    session: &Session,
    gateway: &Gateway,
) -> Option<(opened::Opened, Uri)>
where
    S: Inside<B>,
    N: NameGateway,
    T: SessionStore,
    B: ReplaceBody + Unpin + Send + 'static,
{
    let owner = session.key().principal;
    let handshake = shared.config.entries.read(session.record(), owner)?;
    let head = with_credentials(head.clone(), gateway);
    let expected = Expected {
        handshake: &handshake,
        // Another server may have other tools, but must use the agreed protocol version.
        accepts: |recorded, offered| recorded.version == offered.version,
        limit_bytes: RECORD_LIMIT_BYTES,
        deadline: Instant::now() + OPEN_TIMEOUT,
        close_timeout: shared.config.close_timeout,
    };
    let at = At::Backend(gateway.backend());
    let opened = opened::open::<S, B>(&shared.spare, &head, at, expected).await.ok()?;
    Some((opened, head.uri))
}
