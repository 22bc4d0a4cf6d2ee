//! The session at a gateway that the record of a client session lists: one that was opened for it there, by any
//! replica, or the one that the client opened itself.

use std::sync::Arc;

use bartizan_core::{Session, SessionId, SessionStore, body::ReplaceBody};

use super::{
    super::{
        gateway::Gateway,
        gateway_session::GatewaySession,
        listed::{Place, Read},
        name::NameGateway,
        splitter::Splitter,
    },
    address::with_credentials,
};
use crate::replay::{ask::Ask, closing::Closing, inside::Inside, kept::Head, target};

/// The name of the entry that says at which gateway the client opened its session.
pub(super) const HOME: &str = "gateway";

/// The session at `gateway`, which is called `name`, that the record of `session` lists.
pub(super) fn seed<S, N, T, B>(
    shared: &Arc<Splitter<S, N, T>>,
    head: &Head,
    session: &Session,
    name: &str,
    gateway: &Gateway,
) -> Option<GatewaySession>
where
    S: Inside<B>,
    N: NameGateway,
    T: SessionStore,
    B: ReplaceBody + Unpin + Send + 'static,
{
    if !shared.config.gateways.is_current(name, gateway) {
        return None;
    }
    let listed = Read::of(&shared.config.entries, session).listed()?;
    if let Some(place) = listed.find(name, gateway) {
        return Some(at_place::<S, N, T, B>(shared, head, session, gateway, place));
    }
    let id = home(session, name, gateway)?;
    let (record, owner) = (session.record(), session.key().principal);
    let target = target::read(&shared.config.entries, record, owner);
    let head = head.clone().at(target);
    Some(known::<S, N, T, B>(shared, head, session, gateway, id))
}

/// The session at `place`, which is at `gateway`.
pub(super) fn at_place<S, N, T, B>(
    shared: &Arc<Splitter<S, N, T>>,
    head: &Head,
    session: &Session,
    gateway: &Gateway,
    place: &Place,
) -> GatewaySession
where
    S: Inside<B>,
    N: NameGateway,
    T: SessionStore,
    B: ReplaceBody + Unpin + Send + 'static,
{
    let head = head.clone().at(place.target());
    known::<S, N, T, B>(shared, head, session, gateway, place.id.clone())
}

/// The id by which `gateway` knows the session that the client opened itself, if it was there.
pub(super) fn home(session: &Session, name: &str, gateway: &Gateway) -> Option<SessionId> {
    let record = session.record();
    let is_home = record.field(HOME) == Some(name.as_bytes())
        && record.backend() == Some(gateway.backend().id());
    if !is_home {
        return None;
    }
    match record.upstream_id() {
        Some(id) => Some(id.clone()),
        None => SessionId::from_bytes(session.id()).ok(),
    }
}

fn known<S, N, T, B>(
    shared: &Arc<Splitter<S, N, T>>,
    head: Head,
    session: &Session,
    gateway: &Gateway,
    id: SessionId,
) -> GatewaySession
where
    S: Inside<B>,
    N: NameGateway,
    T: SessionStore,
    B: ReplaceBody + Unpin + Send + 'static,
{
    let head = with_credentials(head, gateway);
    let handshake = shared.config.entries.read(session.record(), session.key().principal);
    // It works without the record of its opening; only the client ends it.
    let closing = handshake.map(|handshake| {
        let ask = Ask::new(&head, &handshake.agreement.version);
        let (backend, timeout) = (Some(gateway.backend().clone()), shared.config.close_timeout);
        Closing::new::<S, B>(&shared.spare, ask, id.clone(), backend, timeout)
    });
    GatewaySession::new(id, gateway.clone(), head.uri, session, closing)
}
