//! A session that the client knows by another id than the backend.
//!
//! The store says so by the record's upstream id. Requests carry that to the backend, responses carry the
//! client's id back; where there is none, both know the session by the same id, and nothing is changed.

use bartizan_core::Session;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The id by which the backend knows `session`.
pub(crate) fn upstream_id(session: &Session) -> &[u8] {
    session.record().upstream_id().map_or(session.id(), |id| id.as_bytes())
}

/// Names the session of a request as its backend knows it.
pub(crate) fn to_backend(headers: &mut HeaderMap, name: &HeaderName, session: &Session) {
    if let Some(id) = session.record().upstream_id() {
        set(headers, name, id.as_bytes());
    }
}

/// Names the session of a response as the client knows it, where the response names it at all.
pub(crate) fn to_client(headers: &mut HeaderMap, name: &HeaderName, session: &Session) {
    if session.record().upstream_id().is_some() && headers.contains_key(name) {
        set(headers, name, session.id());
    }
}

fn set(headers: &mut HeaderMap, name: &HeaderName, id: &[u8]) {
    match HeaderValue::from_bytes(id) {
        Ok(id) => headers.insert(name, id),
        // No id is no field value; better none than the wrong one.
        Err(_) => headers.remove(name),
    };
}
