//! The one request extension through which layers pass on facts.
//!
//! Each insert into [`http::Extensions`] costs an allocation, so all layers share one value, and each fills in its
//! part. Readers use the getters of the fact itself: [`Session::of`], [`PeerAddr::of`], [`ClientAddr::of`],
//! [`PublicOrigin::of`], [`Principal::of`], [`Backend::of`], [`TraceContext::of`].

use std::{any::Any, cell::Cell, fmt, sync::Arc};

use http::Extensions;

use crate::{
    Backend, Carrier, ClientAddr, Dialect, PeerAddr, Principal, ProxyName, PublicOrigin, Session,
    TraceContext, backend::Tried,
};

thread_local! {
    /// Extensions with an empty passage and nothing else, kept for reuse.
    static SPARE: Cell<Option<Extensions>> = const { Cell::new(None) };
}

/// The facts that layers have recorded about a request so far.
#[derive(Clone, Debug, Default)]
pub struct Passage {
    pub(crate) peer: Option<PeerAddr>,
    trusts_peer: Option<bool>,
    pub(crate) client: Option<ClientAddr>,
    pub(crate) origin: Option<PublicOrigin>,
    principal: Option<Principal>,
    may_bind: bool,
    pub(crate) session: Option<Session>,
    backend: Option<Backend>,
    tried: Option<Tried>,
    work: Work,
    dialect: Option<Dialect>,
    lease: Option<Lease>,
    guard: Option<ProxyName>,
    pub(crate) is_sanitized: bool,
    from_browser: Option<bool>,
    trace: Option<TraceContext>,
}

/// How a request relates to sessions, which decides what may be done with it when a backend fails.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Work {
    /// Any backend may serve it, and the response may open a session there. The default.
    #[default]
    MayOpen,
    /// Any backend may serve it, and it does not open a session.
    Free,
    /// Any backend may serve it, and the request asks for a session there.
    Opening,
    /// Only the backend that holds the session may serve it.
    Pinned,
}

/// Keeps a session in use while any clone exists, even beyond the response body, as for a tunnel.
#[derive(Clone)]
pub struct Lease(Arc<dyn Any + Send + Sync>);

impl Passage {
    /// The facts about a request, if any layer recorded one.
    #[inline]
    pub fn of(carrier: &impl Carrier) -> Option<&Self> {
        carrier.extensions().get()
    }

    /// Reads or changes the facts about a request. The first call for a request allocates, unless
    /// it can reuse the allocation that [`Self::take`] kept on this thread; later calls do not.
    pub fn with<T>(carrier: &mut impl Carrier, fill: impl FnOnce(&mut Self) -> T) -> T {
        let extensions = carrier.extensions_mut();
        if let Some(passage) = extensions.get_mut() {
            return fill(passage);
        }
        if extensions.is_empty()
            && let Some(spare) = SPARE.take()
        {
            *extensions = spare;
            // Always empty: the facts were taken out when the spare was kept.
            if let Some(passage) = extensions.get_mut() {
                return fill(passage);
            }
        }
        let mut passage = Self::default();
        let filled = fill(&mut passage);
        extensions.insert(passage);
        filled
    }

    /// The peer of the connection on which the request arrived.
    #[must_use]
    pub fn peer(&self) -> Option<&PeerAddr> {
        self.peer.as_ref()
    }

    /// Whether the peer is trusted to state who the client is, if a layer decided that.
    #[must_use]
    pub fn trusts_peer(&self) -> Option<bool> {
        self.trusts_peer
    }

    /// Decides whether the peer is trusted to state who the client is.
    pub fn set_trusts_peer(&mut self, trusts: bool) {
        self.trusts_peer = Some(trusts);
    }

    /// Names the client and what it addressed.
    pub fn set_client(&mut self, client: Option<ClientAddr>, origin: PublicOrigin) {
        self.client = client;
        self.origin = Some(origin);
    }

    /// Whether a layer in this process has sanitised the forwarding fields: it wrote each of them, or let it pass on
    /// purpose.
    #[must_use]
    pub fn is_sanitized(&self) -> bool {
        self.is_sanitized
    }

    /// States that the forwarding fields contain only what this process wrote or let pass. This applies to the current
    /// peer: attaching another [`PeerAddr`] resets it.
    pub fn set_sanitized(&mut self) {
        self.is_sanitized = true;
    }

    /// Records that the request has passed the loop guard with this name. Returns `true` if a guard with the same name
    /// has just recorded it: two guards with one name in front of one service are not a loop. In that case the mark is
    /// removed, so that the next guard with this name records it again.
    ///
    /// Only one mark is kept: a guard with another name replaces it.
    pub fn meet_guard(&mut self, name: &ProxyName) -> bool {
        if self.guard.as_ref() == Some(name) {
            self.guard = None;
            return true;
        }
        self.guard = Some(name.clone());
        false
    }

    /// Takes the facts out of a request's extensions. For the innermost service: if the extensions
    /// hold nothing else, their allocation is kept for the next request of this thread.
    pub fn take(extensions: &mut Extensions) -> Self {
        let Some(place) = extensions.get_mut::<Self>() else { return Self::default() };
        let passage = std::mem::take(place);
        if extensions.len() == 1 {
            SPARE.set(Some(std::mem::take(extensions)));
        } else {
            extensions.remove::<Self>();
        }
        passage
    }

    /// Whether the request has fields that only browsers send ([`browser::sent`](crate::fields::browser::sent)), if a
    /// layer looked.
    #[must_use]
    pub fn from_browser(&self) -> Option<bool> {
        self.from_browser
    }

    /// Records whether the request has fields that only browsers send.
    pub fn set_from_browser(&mut self, is_from_browser: bool) {
        self.from_browser = Some(is_from_browser);
    }

    /// The caller, if an authentication layer named one.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// Names the caller, and resets whether the caller may bind sessions.
    pub fn set_principal(&mut self, principal: Principal) {
        self.principal = Some(principal);
        self.may_bind = false;
    }

    /// Whether the caller may become the owner of a session that was opened without a principal.
    #[must_use]
    pub fn may_bind(&self) -> bool {
        self.may_bind
    }

    /// Decides whether the current caller may become the owner of a session that was opened without a principal.
    /// Default: it may not, and such a session is unknown to it.
    pub fn set_may_bind(&mut self, may_bind: bool) {
        self.may_bind = may_bind;
    }

    /// The live session that the request belongs to.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Names the live session that the request belongs to.
    pub fn set_session(&mut self, session: Session) {
        self.session = Some(session);
    }

    /// Removes the session from the request, which then asks for a new session.
    pub fn clear_session(&mut self) {
        self.session = None;
    }

    /// The backend that the request must go to.
    #[must_use]
    pub fn backend(&self) -> Option<&Backend> {
        self.backend.as_ref()
    }

    /// Sends the request to `backend`.
    pub fn set_backend(&mut self, backend: Backend) {
        self.backend = Some(backend);
    }

    /// The backends that must not be chosen for the request, if an outer layer keeps a list of them.
    #[must_use]
    pub fn tried(&self) -> Option<&Tried> {
        self.tried.as_ref()
    }

    /// Excludes the backends in `tried` from the choice for this request; the chosen one is added
    /// to it.
    pub fn set_tried(&mut self, tried: Tried) {
        self.tried = Some(tried);
    }

    /// How the request relates to sessions.
    #[must_use]
    pub fn work(&self) -> Work {
        self.work
    }

    /// States how the request relates to sessions.
    pub fn set_work(&mut self, work: Work) {
        self.work = work;
    }

    /// The format for refusals of this request, if a layer has decided it.
    #[must_use]
    pub fn dialect(&self) -> Option<&Dialect> {
        self.dialect.as_ref()
    }

    /// Decides the format for refusals of this request.
    pub fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = Some(dialect);
    }

    /// The place of the request in a trace, if a layer records it.
    #[must_use]
    pub fn trace(&self) -> Option<&TraceContext> {
        self.trace.as_ref()
    }

    /// Records the place of the request in a trace: the parent of what is done next.
    pub fn set_trace(&mut self, trace: TraceContext) {
        self.trace = Some(trace);
    }

    /// Stores a lease for a service that keeps the exchange open beyond the response body, such as
    /// a tunnel.
    pub fn set_lease(&mut self, lease: Lease) {
        self.lease = Some(lease);
    }

    /// Takes the lease, which must be dropped when the exchange is over.
    pub fn take_lease(&mut self) -> Option<Lease> {
        self.lease.take()
    }
}

impl Lease {
    /// Makes a lease that drops `held` when its last copy is dropped.
    #[must_use]
    pub fn new(held: impl Send + Sync + 'static) -> Self {
        Self(Arc::new(held))
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("copies", &Arc::strong_count(&self.0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn facts_of_two_layers_share_one_extension() {
        let mut request = Request::new(());
        assert!(Passage::of(&request).is_none());
        Passage::with(&mut request, |passage| passage.set_work(Work::Opening));
        Passage::with(&mut request, |passage| passage.set_backend("http://a:1".parse().unwrap()));
        assert_eq!(request.extensions().len(), 1);
        assert_eq!(Passage::of(&request).unwrap().work(), Work::Opening);
        assert_eq!(Backend::of(&request).unwrap().id().as_str(), "http://a:1");
    }

    #[test]
    fn no_fact_survives_into_the_next_request() {
        let mut first = Request::new(());
        Passage::with(&mut first, |passage| {
            passage.set_work(Work::Pinned);
            passage.set_backend("http://a:1".parse().unwrap());
            passage.set_trusts_peer(true);
            passage.set_principal(Principal::new("i", "alice"));
            passage.set_may_bind(true);
            passage.set_lease(Lease::new(()));
            passage.set_dialect(Dialect::Grpc);
            passage.set_sanitized();
            passage.meet_guard(&ProxyName::random());
            passage.set_trace(TraceContext::new([1; 16], [1; 8], 1).unwrap());
        });
        let taken = Passage::take(first.extensions_mut());
        assert_eq!((taken.work(), taken.backend().is_some()), (Work::Pinned, true));
        assert!(first.extensions().is_empty());
        let mut second = Request::new(());
        let known = Passage::with(&mut second, |passage| format!("{passage:?}"));
        assert_eq!(known, format!("{:?}", Passage::default()));
        assert_eq!(second.extensions().len(), 1);
    }

    #[test]
    fn what_others_left_is_not_kept_for_the_next_request() {
        let mut request = Request::new(());
        Passage::with(&mut request, |passage| passage.set_work(Work::Free));
        request.extensions_mut().insert("somebody's own");
        assert_eq!(Passage::take(request.extensions_mut()).work(), Work::Free);
        assert_eq!(request.extensions().get(), Some(&"somebody's own"));
        assert!(Passage::of(&request).is_none());
        // Empty extensions, or extensions without a passage.
        assert_eq!(Passage::take(request.extensions_mut()).work(), Work::MayOpen);
        let mut next = Request::new(());
        Passage::with(&mut next, |_| ());
        assert!(next.extensions().get::<&str>().is_none());
    }

    #[test]
    fn the_mark_of_a_guard_is_met_once() {
        let (gw, other) = (ProxyName::new("gw").unwrap(), ProxyName::new("other").unwrap());
        let mut passage = Passage::default();
        for round in 0..2 {
            assert!(!passage.meet_guard(&gw), "{round}: the first one leaves its mark");
            assert!(passage.meet_guard(&ProxyName::new("GW").unwrap()), "{round}: of that name");
        }
        assert!(!passage.meet_guard(&gw) && !passage.meet_guard(&other), "another name");
        assert!(!passage.meet_guard(&gw), "replaced");
    }

    #[test]
    fn another_peer_is_not_judged_yet() {
        let mut request = Request::new(());
        let peer = PeerAddr::new("192.0.2.7:1".parse().unwrap());
        peer.clone().attach(&mut request);
        Passage::with(&mut request, Passage::set_sanitized);
        assert!(Passage::of(&request).unwrap().is_sanitized());
        peer.attach(&mut request);
        assert!(!Passage::of(&request).unwrap().is_sanitized());
    }

    #[test]
    fn another_principal_may_not_bind_sessions_unless_that_is_said_anew() {
        let mut request = Request::new(());
        Passage::with(&mut request, |passage| {
            passage.set_principal(Principal::new("i", "alice"));
            assert!(!passage.may_bind());
            passage.set_may_bind(true);
        });
        assert!(Passage::of(&request).unwrap().may_bind());
        Principal::new("i", "bob").attach(&mut request);
        assert!(!Passage::of(&request).unwrap().may_bind());
    }

    #[test]
    fn a_lease_ends_with_its_last_copy() {
        let held = Arc::new(());
        let lease = Lease::new(Arc::clone(&held));
        let copy = lease.clone();
        drop(lease);
        assert_eq!(Arc::strong_count(&held), 2);
        drop(copy);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
