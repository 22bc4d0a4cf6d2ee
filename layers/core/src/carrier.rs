//! What carries the facts of a request.

use http::{Extensions, Request, request::Parts};

/// What carries the facts of a request: the request, its head, or its extensions alone.
///
/// Layers and handlers meet a request in these three forms: a Tower service gets the whole of it, an axum
/// extractor its [`Parts`], and a tonic handler its [`Extensions`]. The getters (`ClientAddr::of`,
/// `Session::of`, …) and `attach` take any of them.
pub trait Carrier: sealed::Sealed {
    /// The extensions.
    fn extensions(&self) -> &Extensions;

    /// The extensions, mutably.
    fn extensions_mut(&mut self) -> &mut Extensions;
}

mod sealed {
    use http::{Extensions, Request, request::Parts};

    #[allow(unnameable_types, reason = "sealed: only the three forms of a request are carriers")]
    pub trait Sealed {}

    impl<B> Sealed for Request<B> {}
    impl Sealed for Parts {}
    impl Sealed for Extensions {}
}

impl<B> Carrier for Request<B> {
    #[inline]
    fn extensions(&self) -> &Extensions {
        self.extensions()
    }

    #[inline]
    fn extensions_mut(&mut self) -> &mut Extensions {
        self.extensions_mut()
    }
}

impl Carrier for Parts {
    #[inline]
    fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    #[inline]
    fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }
}

impl Carrier for Extensions {
    #[inline]
    fn extensions(&self) -> &Extensions {
        self
    }

    #[inline]
    fn extensions_mut(&mut self) -> &mut Extensions {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backend, PeerAddr, Principal};

    #[test]
    fn facts_are_attached_to_and_read_from_each_form() {
        let principal = || Principal::new("issuer", "alice");
        let backend = || "http://a:1".parse::<Backend>().unwrap();
        let peer = || PeerAddr::new("192.0.2.7:1".parse().unwrap());

        let mut request = Request::new(());
        principal().attach(&mut request);
        let (mut parts, ()) = request.into_parts();
        backend().attach(&mut parts);
        let mut extensions = parts.extensions.clone();
        peer().attach(&mut extensions);
        assert_eq!(extensions.len(), 1, "they share one place");
        assert_eq!(Principal::of(&extensions), Some(&principal()));
        assert_eq!(Backend::of(&extensions), Some(&backend()));
        assert_eq!(PeerAddr::of(&extensions).unwrap().addr(), peer().addr());
        assert_eq!(Principal::of(&parts), Some(&principal()));
        assert!(PeerAddr::of(&parts).is_none());
    }
}
