//! The trait for extractors, and the keys that they find.

use std::{borrow::Cow, fmt};

use bartizan_core::session::Fingerprint;
use http::{HeaderMap, Uri};

/// The maximum length of a key, in bytes; a longer one is ignored.
pub const MAX_KEY_BYTES: usize = 1024;

/// A key that was found in a request.
#[derive(Clone, Eq, PartialEq)]
pub struct PinKey<'a> {
    bytes: Cow<'a, [u8]>,
    is_clients: bool,
}

/// Finds the key by which a request is pinned.
///
/// ```
/// use bartizan_pin::key::{ExtractKey, PinKey};
/// use http::{HeaderMap, Uri};
///
/// /// The first label of the host: `acme` of `acme.example.com`.
/// struct Tenant;
///
/// impl ExtractKey for Tenant {
///     fn key<'a>(&self, uri: &'a Uri, _: &'a HeaderMap) -> Option<PinKey<'a>> {
///         let (tenant, _) = uri.host()?.split_once('.')?;
///         Some(PinKey::of_client(tenant.as_bytes()))
///     }
/// }
///
/// let uri: Uri = "http://acme.example.com/".parse()?;
/// assert_eq!(Tenant.key(&uri, &HeaderMap::new()).unwrap().as_bytes(), b"acme");
/// # Ok::<(), http::uri::InvalidUri>(())
/// ```
pub trait ExtractKey: Send + Sync + 'static {
    /// The key of a request.
    fn key<'a>(&self, uri: &'a Uri, headers: &'a HeaderMap) -> Option<PinKey<'a>>;

    /// The key that a response names for the first time.
    fn learn<'a>(&self, headers: &'a HeaderMap) -> Option<Cow<'a, [u8]>> {
        let _ = headers;
        None
    }

    /// This extractor's key, or else `other`'s.
    fn or<E: ExtractKey>(self, other: E) -> FirstOf<Self, E>
    where
        Self: Sized,
    {
        FirstOf { first: self, second: other }
    }
}

/// The key that the first of two extractors finds; see [`ExtractKey::or`].
#[derive(Clone, Copy, Debug)]
pub struct FirstOf<A, B> {
    first: A,
    second: B,
}

/// Never finds a key: work is pinned only by its session.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKey(());

impl<'a> PinKey<'a> {
    /// A key that a backend chose: only a response pins it.
    #[must_use]
    pub fn of_backend(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { bytes: bytes.into(), is_clients: false }
    }

    /// A key that the client chose: the first successful request pins it.
    #[must_use]
    pub fn of_client(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { bytes: bytes.into(), is_clients: true }
    }

    /// The key. It may be a secret.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the first successful request pins it.
    #[must_use]
    pub fn is_clients(&self) -> bool {
        self.is_clients
    }
}

impl fmt::Debug for PinKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinKey")
            .field("hash", &format_args!("{}", Fingerprint::of(&self.bytes)))
            .field("is_clients", &self.is_clients)
            .finish()
    }
}

impl<A: ExtractKey, B: ExtractKey> ExtractKey for FirstOf<A, B> {
    fn key<'a>(&self, uri: &'a Uri, headers: &'a HeaderMap) -> Option<PinKey<'a>> {
        self.first.key(uri, headers).or_else(|| self.second.key(uri, headers))
    }

    fn learn<'a>(&self, headers: &'a HeaderMap) -> Option<Cow<'a, [u8]>> {
        self.first.learn(headers).or_else(|| self.second.learn(headers))
    }
}

impl ExtractKey for NoKey {
    fn key<'a>(&self, _: &'a Uri, _: &'a HeaderMap) -> Option<PinKey<'a>> {
        None
    }
}

impl<F> ExtractKey for F
where
    F: for<'a> Fn(&'a Uri, &'a HeaderMap) -> Option<Cow<'a, [u8]>> + Send + Sync + 'static,
{
    fn key<'a>(&self, uri: &'a Uri, headers: &'a HeaderMap) -> Option<PinKey<'a>> {
        self(uri, headers).map(PinKey::of_client)
    }
}

/// Makes an extractor from a closure, and adds the lifetimes that the compiler cannot infer.
///
/// ```
/// use std::borrow::Cow;
/// use bartizan_pin::key::from_fn;
///
/// let by_host = from_fn(|uri, _| uri.host().map(|host| Cow::Borrowed(host.as_bytes())));
/// # let _ = by_host;
/// ```
pub fn from_fn<F>(closure: F) -> F
where
    F: for<'a> Fn(&'a Uri, &'a HeaderMap) -> Option<Cow<'a, [u8]>> + Send + Sync + 'static,
{
    closure
}

/// Whether a value can be a key: not empty and not too long.
pub(crate) fn is_usable(key: &[u8]) -> bool {
    (1..=MAX_KEY_BYTES).contains(&key.len())
}

#[cfg(test)]
mod tests {
    use super::{super::query::QueryKey, *};

    #[test]
    fn a_key_is_never_printed() {
        let printed = format!("{:?}", PinKey::of_backend(&b"secret"[..]));
        assert!(printed.starts_with("PinKey {") && !printed.contains("115, 101"), "{printed}");
    }

    #[test]
    fn the_first_that_finds_a_key_counts_and_a_closure_is_an_extractor() {
        let host = from_fn(|uri, _| uri.host().map(|host| Cow::Borrowed(host.as_bytes())));
        fn by<E: ExtractKey>(extractor: &E, uri: &str) -> Option<Vec<u8>> {
            let (uri, headers) = (uri.parse().unwrap(), HeaderMap::new());
            extractor.key(&uri, &headers).map(|key| key.as_bytes().to_vec())
        }
        let first_of = QueryKey::new("s").or(host);
        assert_eq!(by(&first_of, "http://h/?s=1"), Some(b"1".to_vec()));
        assert_eq!(by(&first_of, "http://h/"), Some(b"h".to_vec()));
        assert_eq!(by(&first_of, "/"), None);
    }
}
