//! Which credentials allow a session to be opened again: those that its backend has accepted.
//!
//! Otherwise, a client that knows the id of a session could have it opened as its own when the backend is lost.
//! Sessions of a principal do not need this, because only their principal finds them.

use std::{
    cell::RefCell,
    hash::{BuildHasher, Hash, RandomState},
    sync::LazyLock,
};

use bartizan_core::{Record, Session};
use http::HeaderValue;
use sha2::{Digest, Sha256};
use siphasher::sip128::{Hasher128, SipHasher13};

/// The name of the entry: a digest of the `Authorization` value that the backend accepted last.
pub(crate) const NAME: &str = "resume-by";

/// How many pairs of session and value a thread remembers.
const REMEMBERED: usize = 512;

type Remembered = [u128; REMEMBERED];

thread_local! {
    static NOTED: RefCell<Box<Remembered>> = RefCell::new(Box::new([0; REMEMBERED]));
}

// A secret key, so that clients cannot make up a value that looks recorded.
static KEY: LazyLock<SipHasher13> = LazyLock::new(|| {
    let random = || RandomState::new().hash_one(0);
    SipHasher13::new_with_keys(random(), random())
});

/// The digest of `authorization` in the session that its backend knows by `upstream_id`.
pub(crate) fn digest(upstream_id: &[u8], authorization: &HeaderValue) -> [u8; 32] {
    let mut digest = Sha256::new();
    // The id contains no zero byte. It is a secret, so equal values in two sessions have different
    // digests.
    digest.update(upstream_id);
    digest.update([0]);
    digest.update(authorization.as_bytes());
    digest.finalize().into()
}

/// Whether a caller with `authorization` may have `session` opened again.
pub(crate) fn may_open(session: &Session, authorization: Option<&HeaderValue>) -> bool {
    // A session that was bound to a caller is also found only by that caller.
    if session.key().principal.is_some() || session.record().owner().is_some() {
        return true;
    }
    let Some(accepted) = session.record().field(NAME) else { return true };
    authorization.is_some_and(|shown| digest(upstream_id(session), shown) == *accepted)
}

/// The record of `session` with `authorization`, which its backend has just accepted; `None` if the record already has
/// it. Mostly that is known without reading the record.
pub(crate) fn accepted(session: &Session, authorization: &HeaderValue) -> Option<Record> {
    if session.key().principal.is_some() {
        return None;
    }
    let mark = mark(session, authorization);
    if is_noted(mark) {
        return None;
    }
    let digest = digest(upstream_id(session), authorization);
    if session.record().field(NAME) == Some(&digest) {
        note(mark);
        return None;
    }
    Some(session.record().clone().with_field(NAME, &digest))
}

fn upstream_id(session: &Session) -> &[u8] {
    session.record().upstream_id().map_or(session.id(), |id| id.as_bytes())
}

fn is_noted(mark: u128) -> bool {
    NOTED.try_with(|noted| noted.try_borrow().ok()?.get(place(mark)).copied()).ok().flatten()
        == Some(mark)
}

fn note(mark: u128) {
    // Unavailable while the thread is ending.
    let _ = NOTED.try_with(|noted| {
        if let Ok(mut noted) = noted.try_borrow_mut()
            && let Some(noted) = noted.get_mut(place(mark))
        {
            *noted = mark;
        }
    });
}

fn place(mark: u128) -> usize {
    mark as usize % REMEMBERED
}

/// A keyed hash of 128 bits over the session and the value, in one pass.
fn mark(session: &Session, authorization: &HeaderValue) -> u128 {
    let mut hasher = *KEY;
    (upstream_id(session), authorization.as_bytes()).hash(&mut hasher);
    hasher.finish128().as_u128()
}

#[cfg(test)]
mod tests {
    use bartizan_core::{Key, Principal, Route, store::StoredSession};

    use super::*;

    fn session(owner: Option<&Principal>, record: Record) -> Session {
        Session::new(Key::new(&Route::default(), owner, b"id"), record, 1.into(), 1)
    }

    fn record() -> Record {
        Record::new(Record::IDLE, Record::LIFETIME)
    }

    #[test]
    fn whoever_was_accepted_last_may_open_and_nobody_else() {
        let [one, two] = ["Bearer one", "Bearer two"].map(HeaderValue::from_static);
        let fresh = session(None, record());
        assert!(may_open(&fresh, None) && may_open(&fresh, Some(&one)), "nothing was recorded");
        let first = session(None, accepted(&fresh, &one).unwrap());
        assert!(may_open(&first, Some(&one)));
        assert!(!may_open(&first, Some(&two)) && !may_open(&first, None));
        assert!(accepted(&first, &one).is_none());
        assert!(accepted(&first, &one).is_none(), "noted");
        let second = session(None, accepted(&first, &two).unwrap());
        assert!(may_open(&second, Some(&two)) && !may_open(&second, Some(&one)));
        // The session has moved and has another id, so the digest is no longer valid.
        let moved = second.record().clone().with_upstream_id("other".parse().unwrap());
        assert!(!may_open(&session(None, moved), Some(&two)));
    }

    #[test]
    fn a_principals_session_needs_no_digest() {
        let alice = Principal::new("issuer", "alice");
        let session = session(Some(&alice), record());
        assert!(accepted(&session, &HeaderValue::from_static("Bearer one")).is_none());
        assert!(may_open(&session, None));
    }
}
