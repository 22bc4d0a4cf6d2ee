//! A server that requests are forwarded to.

mod tried;

use std::{fmt, str::FromStr, sync::Arc};

use http::{
    HeaderValue, Uri,
    uri::{Authority, Scheme},
};

pub use tried::Tried;

/// Names a backend, the same in every replica and across restarts.
///
/// One to [`BackendId::MAX_BYTES`] visible ASCII characters. Cloning costs one reference count.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BackendId(Arc<str>);

/// The way a backend speaks HTTP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP/1.1 over clear TCP.
    Http1,
    /// HTTP/2 over clear TCP by prior knowledge
    /// ([RFC 9113 §3.3](https://www.rfc-editor.org/rfc/rfc9113#section-3.3)).
    Http2,
    /// Whatever TLS negotiates (ALPN).
    Tls,
}

/// A backend: its id and its origin. Cloning costs one reference count.
///
/// ```
/// use bartizan_core::Backend;
///
/// let backend: Backend = "http://10.0.0.7:9001".parse()?;
/// assert_eq!(backend.id().as_str(), "http://10.0.0.7:9001");
/// assert!("http://10.0.0.7:9001/mcp".parse::<Backend>().is_err());
/// # Ok::<(), bartizan_core::backend::InvalidBackend>(())
/// ```
#[derive(Clone)]
pub struct Backend(Arc<Origin>);

#[derive(Clone)]
struct Origin {
    id: BackendId,
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    protocol: Protocol,
    is_third_party: bool,
}

/// The error when a text or URI does not name a backend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidBackend(&'static str);

impl BackendId {
    /// The longest id, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Takes `text` as an id.
    ///
    /// # Errors
    ///
    /// If `text` is empty, longer than [`Self::MAX_BYTES`], or holds anything but visible ASCII.
    pub fn new(text: &str) -> Result<Self, InvalidBackend> {
        if text.is_empty() || text.len() > Self::MAX_BYTES {
            return Err(InvalidBackend("a backend id has 1 to 255 characters"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidBackend("a backend id is visible ASCII"));
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Backend {
    /// Names the origin in `uri`: `http://host[:port]`, `https://host[:port]`, or `h2c://host[:port]`
    /// for HTTP/2 in clear text by prior knowledge.
    ///
    /// # Errors
    ///
    /// If `uri` has another scheme, no host, user information, or a path or query: a backend is an
    /// origin, and the path of each request is forwarded unchanged.
    pub fn new(id: BackendId, uri: &Uri) -> Result<Self, InvalidBackend> {
        let (scheme, protocol) = match uri.scheme_str() {
            Some("http") => (Scheme::HTTP, Protocol::Http1),
            Some("https") => (Scheme::HTTPS, Protocol::Tls),
            Some("h2c") => (Scheme::HTTP, Protocol::Http2),
            _ => return Err(InvalidBackend("a backend's scheme is http, https or h2c")),
        };
        let authority = uri.authority().ok_or(InvalidBackend("a backend has a host"))?;
        if authority.as_str().contains('@') {
            return Err(InvalidBackend("a backend's URI holds no user information"));
        }
        if authority.host().is_empty() {
            return Err(InvalidBackend("a backend has a host"));
        }
        // `Authority` also accepts a colon without a port, or with a port out of range.
        if authority.port_u16().is_none() && authority.as_str() != authority.host() {
            return Err(InvalidBackend("a backend's port is 1 to 65535"));
        }
        if uri.path() != "/" && !uri.path().is_empty() {
            return Err(InvalidBackend(
                "a backend is an origin (scheme, host, port): its URI has no path, since the path of \
                 each request is forwarded as it came",
            ));
        }
        if uri.query().is_some() {
            return Err(InvalidBackend("a backend is an origin: its URI has no query"));
        }
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| InvalidBackend("a backend's host is ASCII"))?;
        let authority = authority.clone();
        let is_third_party = false;
        Ok(Self(Arc::new(Origin { id, scheme, authority, host, protocol, is_third_party })))
    }

    /// Marks this server as run by a third party. It is not sent the proxy's public host, port or
    /// prefix, and `X-Forwarded-Proto` has the scheme of the connection to it, not the client's.
    /// Otherwise such a server could build redirects to itself that lead back to the proxy, or to
    /// another scheme. It is sent the client's address like any other backend.
    #[must_use]
    pub fn third_party(self) -> Self {
        Self(Arc::new(Origin { is_third_party: true, ..(*self.0).clone() }))
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &BackendId {
        &self.0.id
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &Scheme {
        &self.0.scheme
    }

    /// Host and port, as configured.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.0.authority
    }

    /// The authority as a `Host` field value, formatted once.
    #[must_use]
    pub fn host(&self) -> &HeaderValue {
        &self.0.host
    }

    /// The way it speaks HTTP.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.0.protocol
    }

    /// Whether a third party runs it.
    #[must_use]
    pub fn is_third_party(&self) -> bool {
        self.0.is_third_party
    }

    /// Whether `other` is the same server: the same origin, with the same protocol.
    #[must_use]
    pub fn same_origin(&self, other: &Self) -> bool {
        self.0.scheme == other.0.scheme
            && self.0.authority == other.0.authority
            && self.0.protocol == other.0.protocol
    }
}

impl fmt::Display for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BackendId {
    type Err = InvalidBackend;

    fn from_str(text: &str) -> Result<Self, InvalidBackend> {
        Self::new(text)
    }
}

impl FromStr for Backend {
    type Err = InvalidBackend;

    /// Reads an origin; the text without a closing slash is also the id.
    fn from_str(text: &str) -> Result<Self, InvalidBackend> {
        let uri = Uri::try_from(text).map_err(|_| InvalidBackend("not a URI"))?;
        Self::new(BackendId::new(text.strip_suffix('/').unwrap_or(text))?, &uri)
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("id", &self.0.id.as_str())
            .field("scheme", &self.0.scheme.as_str())
            .field("authority", &self.0.authority.as_str())
            .field("protocol", &self.0.protocol)
            .finish()
    }
}

impl PartialEq for Backend {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.id == other.0.id && self.same_origin(other))
    }
}

impl Eq for Backend {}

impl fmt::Display for InvalidBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidBackend {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_backend_and_anything_more_is_not() {
        for good in
            ["http://a:1", "http://a:1/", "https://a.example", "h2c://[::1]:9", "http://10.0.0.1"]
        {
            assert!(good.parse::<Backend>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "a:1",
            "/x",
            "ftp://a",
            "http://",
            "http://u@a",
            "http://a/mcp",
            "http://a?q",
            "http://a:",
            "http://a:99999",
            "http://:80",
        ] {
            assert!(bad.parse::<Backend>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_closing_slash_is_not_part_of_the_id() {
        let with: Backend = "http://a:1/".parse().unwrap();
        let without: Backend = "http://a:1".parse().unwrap();
        assert_eq!(with, without);
        assert_eq!(with.host(), "a:1");
        assert_eq!("h2c://a:1".parse::<Backend>().unwrap().protocol(), Protocol::Http2);
    }
}
