//! Configuration of [`NamePrincipal`] services.

use std::sync::Arc;

use http::HeaderName;
use tower_layer::Layer;

use crate::{
    ConfigError, field,
    service::NamePrincipal,
    source::{Kind, Source},
};

/// Builds [`NamePrincipal`] services; see the [crate docs](crate).
///
/// ```
/// use bartizan_principal::NamePrincipalLayer;
///
/// // Only in front of backends that verify the token of each request.
/// let by_token = NamePrincipalLayer::jwt();
/// // Behind a proxy that authenticates callers.
/// let by_proxy = NamePrincipalLayer::header("x-user".parse()?)?;
/// # let _ = (by_token, by_proxy);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
#[derive(Clone, Debug)]
pub struct NamePrincipalLayer {
    kind: Kind,
    may_bind: bool,
    is_on: bool,
}

impl NamePrincipalLayer {
    /// Names callers by the issuer and the subject of the JWT in `Authorization: Bearer`, so that a session outlives
    /// its token. Callers with other credentials are named as by [`authorization`](Self::authorization).
    ///
    /// **The token is not verified.** Any client can write one that names another caller. Use it only in front
    /// of backends that verify the token of each request.
    pub const fn jwt() -> Self {
        Self::new(Kind::Jwt)
    }

    /// Names callers by a digest of the value of `Authorization`: for opaque tokens, API keys and other schemes.
    /// A caller with a new token is another caller, and does not find its session.
    ///
    /// **The credentials are not verified.** Use it only in front of backends that verify those of each request.
    pub const fn authorization() -> Self {
        Self::new(Kind::Authorization)
    }

    /// Names callers by the field `name`, such as `x-user`, which trusted proxies set. From any other peer, the field
    /// is removed before the inner service can see it.
    ///
    /// Which peers are trusted is decided by a layer above (`SanitizeForwarded`, or
    /// [`Passage::set_trusts_peer`](bartizan_core::Passage::set_trusts_peer)); without one, none is.
    ///
    /// # Errors
    ///
    /// If `name` is reserved: `authorization`, `host`, `x-forwarded-for`, a hop-by-hop field.
    pub fn header(name: HeaderName) -> Result<Self, ConfigError> {
        field::check(&name)?;
        Ok(Self::new(Kind::header(name)))
    }

    /// Does not name callers: its services pass every request on unchanged. For switching the layer off at run time,
    /// with the same type.
    pub const fn none() -> Self {
        Self { kind: Kind::Jwt, may_bind: false, is_on: false }
    }

    const fn new(kind: Kind) -> Self {
        Self { kind, may_bind: true, is_on: true }
    }

    /// Whether a session that was opened without credentials goes to the first caller whose request in it is answered
    /// with 2xx. If not, such a session is unknown to callers with credentials. Default: yes, because some servers ask
    /// for a token only when a call needs one.
    pub fn binds_anonymous(self, may_bind: bool) -> Self {
        Self { may_bind, ..self }
    }
}

impl<S> Layer<S> for NamePrincipalLayer {
    type Service = NamePrincipal<S>;

    fn layer(&self, inner: S) -> NamePrincipal<S> {
        let source = || Arc::new(Source::new(self.kind.clone(), self.may_bind));
        NamePrincipal::new(inner, self.is_on.then(source))
    }
}
