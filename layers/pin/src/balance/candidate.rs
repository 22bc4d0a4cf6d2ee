//! The trait for policies, and the candidates that they choose among.

use std::fmt;

use bartizan_core::{Backend, store::CountSessions};

/// Chooses a backend for work that is not pinned.
///
/// A closure is a policy as well:
///
/// ```
/// use bartizan_pin::{Backends, PinBackendLayer, balance::Candidate};
///
/// let backends = Backends::new(["http://a:1".parse()?, "http://b:1".parse()?]);
/// // The least loaded of all; the first of several.
/// let layer = PinBackendLayer::new(backends).balance(
///     |candidates: &[Candidate<'_>], _key: Option<&[u8]>| {
///         let loads = candidates.iter().map(Candidate::load).enumerate();
///         loads.min_by_key(|(_, load)| *load).map(|(index, _)| index)
///     },
/// );
/// # let _ = layer;
/// # Ok::<(), bartizan_core::backend::InvalidBackend>(())
/// ```
pub trait Balance: Send + Sync {
    /// Returns the index of the chosen candidate, or `None` if there are no candidates. `key` is the key that
    /// an extractor found in the request, if any.
    fn choose(&self, candidates: &[Candidate<'_>], key: Option<&[u8]>) -> Option<usize>;
}

/// A backend that may be chosen.
pub struct Candidate<'a> {
    backend: &'a Backend,
    in_flight: &'a dyn InFlightCount,
    counts: Option<&'a dyn CountSessions>,
    /// The load for recent failures.
    burden: usize,
}

/// Counts the work in flight to one backend.
pub(crate) trait InFlightCount {
    fn in_flight(&self) -> usize;
}

impl<'a> Candidate<'a> {
    pub(crate) fn new(
        backend: &'a Backend,
        in_flight: &'a dyn InFlightCount,
        counts: Option<&'a dyn CountSessions>,
    ) -> Self {
        Self { backend, in_flight, counts, burden: 0 }
    }

    /// Adds to the load.
    pub(crate) fn burden(self, burden: usize) -> Self {
        Self { burden: self.burden.saturating_add(burden), ..self }
    }

    /// The backend.
    #[must_use]
    pub fn backend(&self) -> &'a Backend {
        self.backend
    }

    /// Its sessions, the requests in flight to it, and the new work that recently failed there. Computed on
    /// each call.
    #[must_use]
    pub fn load(&self) -> usize {
        let sessions = self.counts.map_or(0, |counts| counts.sessions_on(self.backend.id()));
        self.in_flight.in_flight().saturating_add(sessions).saturating_add(self.burden)
    }
}

impl<F> Balance for F
where
    F: Fn(&[Candidate<'_>], Option<&[u8]>) -> Option<usize> + Send + Sync,
{
    fn choose(&self, candidates: &[Candidate<'_>], key: Option<&[u8]>) -> Option<usize> {
        self(candidates, key)
    }
}

impl fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("backend", self.backend())
            .field("load", &self.load())
            .finish()
    }
}
