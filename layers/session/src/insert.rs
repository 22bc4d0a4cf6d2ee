//! Stores a session that a response names.

use std::sync::Arc;

use bartizan_core::{
    BackendId, Key, Principal, Reason, Record, Session, SessionStore, StoreError,
    session::{Additions, ClientNetwork},
    store::Inserted,
};
use http::Response;

use crate::{
    alias,
    body::{InUse, SessionBody},
    config::{Config, Protocol},
    judge,
};

/// Where a session was opened, and by whom.
pub(crate) struct Place<'a> {
    pub(crate) backend: Option<&'a BackendId>,
    pub(crate) path: Option<Arc<String>>,
    pub(crate) client: Option<ClientNetwork>,
}

/// Whether the store knew a session.
#[allow(clippy::exhaustive_enums, reason = "public for the model of this workspace alone")]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Known {
    /// The store did not know it.
    New,
    /// The store knew it.
    Already,
}

/// Inserts the session that `answer` names, with the entries that inner layers have added for its record. It counts as
/// in use while the body of `answer` exists.
///
/// # Errors
///
/// If `answer` must not be sent.
pub(crate) async fn insert<R, T: SessionStore>(
    answer: &mut Response<SessionBody<R, T>>,
    config: &Arc<Config<T>>,
    principal: Option<&Principal>,
    place: Place<'_>,
) -> Result<Known, Reason> {
    let Place { backend, path, client } = place;
    let record = Record::new(config.idle, config.lifetime);
    let record = match backend {
        Some(backend) => record.with_backend(backend.clone()),
        None => record,
    };
    let record = match path {
        Some(path) => record.with_path(path),
        None => record,
    };
    let record = match client {
        Some(client) => record.with_client(client),
        None => record,
    };
    let record = Additions::take(answer.extensions_mut()).apply(record);
    let id = judge::session_id(answer.headers(), &config.header).ok().flatten();
    let key = Key::new(&config.route, principal, id.ok_or(Reason::InvalidResponse)?);
    let inserted = match config.protocol {
        // Its client must send `notifications/initialized` or a call next.
        Protocol::Mcp => config.store.insert_unconfirmed(key, record),
        Protocol::Header => config.store.insert_if_absent(key, record),
    };
    let (session, known) = on_insert(config.wait(inserted).await, backend)?;
    if known == Known::New {
        config.counts.all().opened.add_one();
    }
    alias::to_client(answer.headers_mut(), &config.header, &session);
    answer.body_mut().hold(InUse::new(&session, Arc::clone(config)));
    Ok(known)
}

/// The session that `backend` has named, if the store has it.
///
/// # Errors
///
/// If the id must not be handed out.
pub fn on_insert(
    inserted: Result<Inserted, StoreError>,
    backend: Option<&BackendId>,
) -> Result<(Session, Known), Reason> {
    match inserted {
        Ok(Inserted::Inserted(session)) => Ok((session, Known::New)),
        // The backend named a session that it had opened earlier and still knows by that id.
        Ok(Inserted::Exists(session))
            if session.record().backend() == backend
                && alias::upstream_id(&session) == session.id() =>
        {
            Ok((session, Known::Already))
        }
        Ok(Inserted::Full) => Err(Reason::TooManySessions),
        // The id belongs to another session: the second client would be sent to the first client's
        // session.
        Ok(_) => Err(Reason::InvalidResponse),
        Err(_) => Err(Reason::StoreUnavailable),
    }
}
