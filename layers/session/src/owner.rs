//! The owner of a session that was opened without a principal. Pure.
//!
//! | the record names | the caller | the session is |
//! |---|---|---|
//! | no owner | has no principal | the caller's |
//! | no owner | has a principal that may bind | free for the caller to bind |
//! | no owner | has another principal | unknown |
//! | an owner | is the owner | the caller's |
//! | an owner | is another one, or has no principal | unknown |
//!
//! A session that was opened with a principal is found only by that principal, which is part of its
//! key.
//!
//! The owner is named by SHA-256 of its principal and the session id. The id is a secret that stores do not keep in the
//! clear, so a copy of the store does not reveal the owner, even if the principal could be guessed.

use bartizan_core::{Principal, Session};
use sha2::{Digest as _, Sha256};

/// A digest that identifies the owner of one session.
pub(crate) type Owner = [u8; 32];

/// The relation of a session to a caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// The session belongs to the caller.
    Own,
    /// The session has no owner yet; the caller becomes the owner if the backend accepts it.
    ToBind,
    /// Unknown.
    Foreign,
}

/// The relation of `session` to the caller, who `may_bind` it if it has no owner.
pub(crate) fn standing(session: &Session, caller: Option<&Principal>, may_bind: bool) -> Standing {
    let has_key_of_its_own = session.key().principal.is_some();
    match (session.record().owner(), caller) {
        _ if has_key_of_its_own => Standing::Own,
        (None, None) => Standing::Own,
        (None, Some(_)) if may_bind => Standing::ToBind,
        (Some(owner), Some(caller)) if owner == name(caller, session.id()) => Standing::Own,
        _ => Standing::Foreign,
    }
}

/// The name of `principal` as the owner of the session `id`.
pub(crate) fn name(principal: &Principal, id: &[u8]) -> Owner {
    let principal = principal.as_str();
    let mut hash = Sha256::new();
    hash.update((principal.len() as u64).to_be_bytes());
    hash.update(principal);
    hash.update(id);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use bartizan_core::{Key, Record, Route, store::StoredSession};

    use super::*;

    fn session(principal: Option<&Principal>, owner: Option<&Owner>) -> Session {
        let route = Route::default();
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        let record = match owner {
            Some(owner) => record.with_field(Record::OWNER, owner),
            None => record.with_field("another", b"field"),
        };
        Session::new(Key::new(&route, principal, b"id"), record, 1.into(), 0)
    }

    #[test]
    fn each_row_of_the_table() {
        let (alice, bob) = (Principal::new("i", "alice"), Principal::new("i", "bob"));
        let owner = name(&alice, b"id");
        let (free, bound) = (session(None, None), session(None, Some(&owner)));
        for (session, caller, may_bind, expected) in [
            (&free, None, false, Standing::Own),
            (&free, None, true, Standing::Own),
            (&free, Some(&alice), true, Standing::ToBind),
            (&free, Some(&alice), false, Standing::Foreign),
            (&bound, Some(&alice), true, Standing::Own),
            (&bound, Some(&alice), false, Standing::Own),
            (&bound, Some(&bob), true, Standing::Foreign),
            (&bound, None, true, Standing::Foreign),
            (&session(Some(&alice), None), Some(&alice), true, Standing::Own),
        ] {
            assert_eq!(standing(session, caller, may_bind), expected, "{session:?} {caller:?}");
        }
    }

    #[test]
    fn an_owner_is_named_for_one_session_and_one_principal() {
        let names = [
            name(&Principal::new("i", "alice"), b"id"),
            name(&Principal::new("i", "bob"), b"id"),
            name(&Principal::new("i", "alice"), b"di"),
            name(&Principal::new("i", "alicei"), b"d"),
        ];
        for (at, name) in names.iter().enumerate() {
            assert!(!names.iter().skip(at + 1).any(|other| other == name));
        }
    }
}
