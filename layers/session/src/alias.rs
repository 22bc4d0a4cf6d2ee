//! A session whose id at the client differs from its id at the backend.
//!
//! The record then has an upstream id. Requests to the backend carry that id, and responses carry the client's id.
//! Without an upstream id, both use the same id, and nothing is changed.

use bartizan_core::Session;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The id by which the backend knows `session`.
pub(crate) fn upstream_id(session: &Session) -> &[u8] {
    session.record().upstream_id().map_or(session.id(), |id| id.as_bytes())
}

/// Replaces the session id of a request with the backend's.
pub(crate) fn to_backend(headers: &mut HeaderMap, name: &HeaderName, session: &Session) {
    if let Some(id) = session.record().upstream_id() {
        set(headers, name, id.as_bytes());
    }
}

/// Replaces the session id of a response, if it has one, with the client's.
pub(crate) fn to_client(headers: &mut HeaderMap, name: &HeaderName, session: &Session) {
    if session.record().upstream_id().is_some() && headers.contains_key(name) {
        set(headers, name, session.id());
    }
}

fn set(headers: &mut HeaderMap, name: &HeaderName, id: &[u8]) {
    match HeaderValue::from_bytes(id) {
        Ok(id) => headers.insert(name, id),
        // Never happens, because every id is a valid field value. No id would be better than the
        // wrong one.
        Err(_) => headers.remove(name),
    };
}
