//! A session that a response names goes into the store.

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

/// Where a session was opened, and from where.
pub(crate) struct Place<'a> {
    pub(crate) backend: Option<&'a BackendId>,
    pub(crate) path: Option<Arc<String>>,
    pub(crate) client: Option<ClientNetwork>,
}

/// Whether the store knew a session.
#[allow(clippy::exhaustive_enums, reason = "public for the model of this workspace alone")]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Known {
    /// It did not.
    New,
    /// It did.
    Already,
}

/// Inserts the session that `answer` names, with what layers inside have left for its record. From then on it is in
/// use for as long as the body of `answer` lives.
///
/// # Errors
///
/// Why `answer` must not leave.
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
        // Its client has to send `notifications/initialized` next, or a call.
        Protocol::Mcp => config.store.insert_unconfirmed(key, record),
        Protocol::Header => config.store.insert_if_absent(key, record),
    };
    let (session, known) = on_insert(config.wait(inserted).await, backend)?;
    alias::to_client(answer.headers_mut(), &config.header, &session);
    answer.body_mut().hold(InUse::new(&session, Arc::clone(config)));
    Ok(known)
}

/// The session that `backend` has named, if the store has it.
///
/// # Errors
///
/// Why it must not be handed out.
pub fn on_insert(
    inserted: Result<Inserted, StoreError>,
    backend: Option<&BackendId>,
) -> Result<(Session, Known), Reason> {
    match inserted {
        Ok(Inserted::Inserted(session)) => Ok((session, Known::New)),
        // The backend named a session that it had opened before, and knows by that id still.
        Ok(Inserted::Exists(session))
            if session.record().backend() == backend
                && alias::upstream_id(&session) == session.id() =>
        {
            Ok((session, Known::Already))
        }
        Ok(Inserted::Full) => Err(Reason::TooManySessions),
        // The id is another session's: the client that got it second would be sent to the first.
        Ok(_) => Err(Reason::InvalidResponse),
        Err(_) => Err(Reason::StoreUnavailable),
    }
}
