//! What a session is found by.

use std::fmt;

use crate::{Principal, Route, session::Fingerprint};

/// The key of a session: its route, its principal and its id. All three must match, so an id is
/// unknown to another principal and on another route.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Key<'a> {
    /// The stack instance.
    pub route: &'a Route,
    /// The caller, or none for an anonymous session.
    pub principal: Option<&'a Principal>,
    /// The id, as the client presents it. It is a secret.
    pub id: &'a [u8],
}

impl<'a> Key<'a> {
    /// Puts a key together.
    #[must_use]
    pub fn new(route: &'a Route, principal: Option<&'a Principal>, id: &'a [u8]) -> Self {
        Self { route, principal, id }
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("route", &self.route.as_str())
            .field("principal", &self.principal)
            .field("id_hash", &format_args!("{}", Fingerprint::of(self.id)))
            .finish()
    }
}
