//! The session that the client opened itself.

use std::sync::Arc;

use bartizan_core::{Session, SessionId, body::ReplaceBody};

use super::{
    super::{
        gateway::Gateway, gateway_session::GatewaySession, name::NameGateway, splitter::Splitter,
    },
    address::with_credentials,
};
use crate::replay::{ask::Ask, closing::Closing, inside::Inside, kept::Head, target};

/// The name of the entry that says at which gateway the client opened its session.
pub(super) const HOME: &str = "gateway";

/// The session that the client opened itself, if it was at `gateway`.
pub(super) fn seed<S, N, B>(
    shared: &Arc<Splitter<S, N>>,
    head: &Head,
    session: &Session,
    name: &str,
    gateway: &Gateway,
) -> Option<GatewaySession>
where
    S: Inside<B>,
    N: NameGateway,
    B: ReplaceBody + Unpin + Send + 'static,
{
    let (record, backend) = (session.record(), gateway.backend());
    if !shared.config.gateways.is_current(name, gateway) {
        return None;
    }
    if record.field(HOME) != Some(name.as_bytes()) || record.backend() != Some(backend.id()) {
        return None;
    }
    let id = match record.upstream_id() {
        Some(id) => id.clone(),
        None => SessionId::from_bytes(session.id()).ok()?,
    };
    let handshake = shared.config.entries.read(record, session.key().principal)?;
    let target = target::read(&shared.config.entries, record, session.key().principal);
    let head = with_credentials(head.clone().at(target), gateway);
    let ask = Ask::new(&head, &handshake.agreement.version);
    let (backend, timeout) = (Some(backend.clone()), shared.config.close_timeout);
    let closing = Closing::new::<S, B>(&shared.spare, ask, id.clone(), backend, timeout);
    Some(GatewaySession::new(id, gateway.clone(), head.uri, true, Some(closing)))
}
