//! The cookie of a request, and when a response sets it.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use bartizan_core::{BackendId, Passage, PublicOrigin, Work};
use http::{HeaderMap, Request, Response, StatusCode, header::SET_COOKIE, uri::Scheme};

use super::{
    cookie::AffinityCookie,
    field::{strip, take},
    names::{Named, Names},
};
use crate::backends::Backends;

/// The cookie with the names of the backends.
pub(crate) struct Affinity {
    cookie: AffinityCookie,
    names: ArcSwap<Names>,
}

/// The cookie of a request.
pub(crate) struct Shown {
    /// The backend that it names, if a key made the name.
    pub(crate) backend: Option<BackendId>,
    /// How the response sets it.
    pub(crate) set: SetCookie,
}

/// How the response sets the cookie, if the cookie may pin the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetCookie {
    is_secure: bool,
    /// Whether the cookie of the request was not made by the signing key.
    is_stale: bool,
}

impl Affinity {
    pub(crate) fn new(cookie: AffinityCookie) -> Self {
        Self { cookie, names: ArcSwap::default() }
    }

    /// Takes the cookie out of a request, because backends need not see it. `None` if it may not pin the request.
    pub(crate) fn take<B>(&self, backends: &Backends, request: &mut Request<B>) -> Option<Shown> {
        let name = self.cookie.cookie_name();
        if !may_pin(request) {
            strip(request.headers_mut(), name);
            return None;
        }
        let named = take(request.headers_mut(), name, |value| self.names(backends).find(value));
        let is_stale = !named.as_ref().is_some_and(|Named { is_current, .. }| *is_current);
        let set = SetCookie { is_secure: self.is_secure(request), is_stale };
        Some(Shown { backend: named.map(|named| named.backend), set })
    }

    /// Sets the cookie to the name of the backend that has responded.
    pub(crate) fn set<R>(
        &self,
        backends: &Backends,
        backend: &BackendId,
        set: SetCookie,
        response: &mut Response<R>,
    ) {
        if !binds(response.status(), response.headers()) {
            return;
        }
        if let Some(line) = self.names(backends).line(backend, set.is_secure) {
            response.headers_mut().append(SET_COOKIE, line);
        }
    }

    fn is_secure<B>(&self, request: &Request<B>) -> bool {
        if self.cookie.is_always_secure() {
            return true;
        }
        let scheme = PublicOrigin::of(request).map(PublicOrigin::scheme);
        scheme.or_else(|| request.uri().scheme()) == Some(&Scheme::HTTPS)
    }

    fn names(&self, backends: &Backends) -> Guard<Arc<Names>> {
        let names = self.names.load();
        if names.generation == backends.generation() {
            return names;
        }
        let (generation, ids) = backends.members();
        // Not what is kept by then: another thread may have kept those of an earlier set.
        let names = Arc::new(Names::new(&self.cookie, generation, ids));
        self.names.store(Arc::clone(&names));
        Guard::from_inner(names)
    }
}

impl SetCookie {
    /// Whether the response sets the cookie again after the request followed it.
    pub(crate) fn is_due(self) -> bool {
        self.is_stale
    }
}

/// Whether the cookie may pin a request. Requests that have a session or ask for one are pinned by the session, and
/// those with a chosen backend go there.
fn may_pin<B>(request: &Request<B>) -> bool {
    !Passage::of(request).is_some_and(|passage| {
        passage.session().is_some()
            || passage.work() == Work::Opening
            || passage.backend().is_some()
    })
}

/// Whether the backend may hold state of the client after this response. An error does not bind a client to a failing
/// backend, unless the backend itself has set a cookie.
fn binds(status: StatusCode, headers: &HeaderMap) -> bool {
    match status {
        _ if status.is_server_error() => false,
        _ if status.is_client_error() => headers.contains_key(SET_COOKIE),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use bartizan_core::client::Evidence;

    use super::*;

    #[test]
    fn an_error_binds_nobody_unless_the_backend_remembers_the_client() {
        let remembers = HeaderMap::from_iter([(SET_COOKIE, "sid=1".parse().unwrap())]);
        for (status, without, with) in [
            (101, true, true),
            (200, true, true),
            (302, true, true),
            (401, false, true),
            (404, false, true),
            (500, false, false),
            (503, false, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(binds(status, &HeaderMap::new()), without, "{status}");
            assert_eq!(binds(status, &remembers), with, "{status}");
        }
    }

    #[test]
    fn what_the_client_used_decides_about_secure() {
        let affinity = Affinity::new(AffinityCookie::new(&[7; 16]).unwrap());
        let request = |uri: &str| Request::get(uri).body(()).unwrap();
        assert!(!affinity.is_secure(&request("/")));
        assert!(!affinity.is_secure(&request("http://a/")));
        assert!(affinity.is_secure(&request("https://a/")));
        // A trusted proxy in front takes precedence.
        let mut behind_tls = request("http://a/");
        PublicOrigin::new(Scheme::HTTPS, Evidence::Forwarded).attach(&mut behind_tls);
        assert!(affinity.is_secure(&behind_tls));
        let always = Affinity::new(AffinityCookie::new(&[7; 16]).unwrap().always_secure());
        assert!(always.is_secure(&request("/")));
    }
}
