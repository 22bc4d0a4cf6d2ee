//! A place in a store for a session that is being opened.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{Principal, Route, session::ClientNetwork};

/// The caller and the client for which a session is about to be opened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Applicant<'a> {
    /// The stack instance.
    pub route: &'a Route,
    /// The caller, if it is known.
    pub principal: Option<&'a Principal>,
    /// The network of the client, if it is known and [counted](super::SessionStore::counts_clients).
    pub client: Option<ClientNetwork>,
}

impl<'a> Applicant<'a> {
    /// Describes the opening of a session on `route`.
    #[must_use]
    pub fn new(
        route: &'a Route,
        principal: Option<&'a Principal>,
        client: Option<ClientNetwork>,
    ) -> Self {
        Self { route, principal, client }
    }
}

/// A place for a session that is being opened. It counts against the cap of the store until it is dropped; by then, the
/// session is in the store or was refused.
#[derive(Default)]
#[must_use = "a place is given back when it is dropped"]
pub struct Place(Option<Arc<AtomicUsize>>);

impl Place {
    /// A place that is not counted, for stores that do not limit the openings in flight.
    pub const fn uncounted() -> Self {
        Self(None)
    }

    /// Counts one more opening in `openings`, if `has_room` returns true for the new number of openings. Otherwise
    /// changes nothing and returns `None`.
    #[must_use]
    pub fn take(openings: &Arc<AtomicUsize>, has_room: impl FnOnce(usize) -> bool) -> Option<Self> {
        let before = openings.fetch_add(1, Ordering::AcqRel);
        let place = Self(Some(Arc::clone(openings)));
        has_room(before.saturating_add(1)).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(openings) = &self.0 {
            openings.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("is_counted", &self.0.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_until_it_is_dropped_and_one_that_is_not_given_never() {
        let openings = Arc::new(AtomicUsize::new(0));
        let count = || openings.load(Ordering::Relaxed);
        let most = |openings: usize| openings <= 2;
        let (one, two) = (Place::take(&openings, most), Place::take(&openings, most));
        assert!(one.is_some() && two.is_some() && Place::take(&openings, most).is_none());
        assert_eq!(count(), 2);
        drop(one);
        assert_eq!(count(), 1);
        drop(Place::uncounted());
        assert!(Place::take(&openings, most).is_some());
        drop(two);
        assert_eq!(count(), 0);
    }
}
