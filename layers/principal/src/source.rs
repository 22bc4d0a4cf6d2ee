//! Where the name of a caller is taken from.

use bartizan_core::{
    Passage, Principal,
    fields::{list, only_line},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header::AUTHORIZATION};

use crate::{
    bounds::{MAX_NAME_BYTES, RESERVED},
    digest, field, jwt,
    recent::{self, ReaderId},
};

/// The source of names, shared by the services of a layer.
#[derive(Debug)]
pub(crate) struct Source {
    id: ReaderId,
    kind: Kind,
    may_bind: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Issuer and subject of a bearer JWT; otherwise as `Authorization`.
    Jwt,
    /// The digest of the credentials.
    Authorization,
    /// The value of this field from a trusted proxy, and the issuer of the names from there.
    Header(HeaderName, Box<str>),
}

/// The issuer of the names that are digests of credentials.
const CREDENTIALS: &str = "bartizan:authorization";

impl Kind {
    pub(crate) fn header(name: HeaderName) -> Self {
        let issuer = format!("{RESERVED}header:{name}").into();
        Self::Header(name, issuer)
    }
}

impl Source {
    pub(crate) fn new(kind: Kind, may_bind: bool) -> Self {
        Self { id: ReaderId::new(), kind, may_bind }
    }

    /// Names the caller of `request` in its passage, unless a layer above has done so.
    #[inline]
    pub(crate) fn name<B>(&self, request: &mut Request<B>) {
        let principal = match &self.kind {
            Kind::Jwt => self.read(request.headers(), &AUTHORIZATION, CREDENTIALS, |value| {
                jwt::principal(value).unwrap_or_else(|| digest::principal(CREDENTIALS, [value]))
            }),
            Kind::Authorization => {
                self.read(request.headers(), &AUTHORIZATION, CREDENTIALS, |value| {
                    digest::principal(CREDENTIALS, [value])
                })
            }
            Kind::Header(name, issuer) => {
                let trusts_peer = Passage::of(request).and_then(Passage::trusts_peer);
                field::strip(request.headers_mut(), name, trusts_peer == Some(true));
                self.read(request.headers(), name, issuer, |value| stated(issuer, value))
            }
        };
        let Some(principal) = principal else { return };
        Passage::with(request, |passage| {
            if passage.principal().is_none() {
                passage.set_principal(principal);
                passage.set_may_bind(self.may_bind);
            }
        });
    }

    /// The caller that the field `name` in `headers` states; `None` if the field is absent or
    /// empty.
    #[inline]
    fn read(
        &self,
        headers: &HeaderMap,
        name: &HeaderName,
        issuer: &str,
        read: impl FnOnce(&[u8]) -> Principal,
    ) -> Option<Principal> {
        match only_line(headers, name) {
            Ok(None) => None,
            Ok(Some(line)) => {
                let value = trim(line.as_bytes());
                // Empty credentials are credentials: their caller does not get the sessions of
                // callers without any.
                let is_nobody = value.is_empty() && *name != AUTHORIZATION;
                (!is_nobody).then(|| recent::principal(self.id, value, read))
            }
            // Recipients differ in which line they read, so the lines together name a separate caller, different from
            // the one that any line names.
            Err(_) => {
                let lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
                Some(digest::principal(issuer, lines))
            }
        }
    }
}

/// `value` without surrounding white space, which is mostly absent.
#[inline]
fn trim(value: &[u8]) -> &[u8] {
    match value {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => value,
        _ => list::trim(value),
    }
}

/// The caller that a trusted proxy calls `value`.
fn stated(issuer: &str, value: &[u8]) -> Principal {
    match str::from_utf8(value) {
        Ok(subject) if value.len() <= MAX_NAME_BYTES => Principal::new(issuer, subject),
        _ => digest::principal(issuer, [value]),
    }
}
