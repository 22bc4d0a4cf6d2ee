//! The authenticated caller.

use std::sync::Arc;

use http::Request;

use crate::Passage;

/// The authenticated caller, as the user's own authentication established it.
///
/// It must stay the same when a token is refreshed: issuer and subject, never the token itself.
/// Sessions belong to their principal: another one's id is answered as an unknown id
/// (`protocol.md` S-18 to S-20).
///
/// ```
/// use bartizan_core::Principal;
///
/// // In your authentication layer, after the token was verified:
/// let mut request = http::Request::new(());
/// Principal::new("https://issuer.example", "alice").attach(&mut request);
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Principal(Arc<str>);

impl Principal {
    /// Names the caller `subject` of `issuer`.
    #[must_use]
    pub fn new(issuer: &str, subject: &str) -> Self {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        Self(format!("{}:{issuer}{subject}", issuer.len()).into())
    }

    /// The caller of `request`, if a layer named one.
    pub fn of<B>(request: &Request<B>) -> Option<&Self> {
        Passage::of(request)?.principal()
    }

    /// Hands the caller on with `request`.
    pub fn attach<B>(self, request: &mut Request<B>) {
        Passage::with(request, |passage| passage.principal = Some(self));
    }

    /// Issuer and subject in one unambiguous text, for keys.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuer_and_subject_are_kept_apart() {
        assert_ne!(Principal::new("ab", "c"), Principal::new("a", "bc"));
        assert_eq!(Principal::new("a", "b"), Principal::new("a", "b"));
    }
}
