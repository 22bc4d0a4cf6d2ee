//! The authenticated caller.

use std::sync::Arc;

/// The authenticated caller, as your own authentication layer established it.
///
/// It must stay the same when a token is refreshed: use issuer and subject, never the token itself. Sessions belong to
/// their principal: if another principal presents a session id, the id is unknown.
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
        // The length distinguishes ("ab", "c") from ("a", "bc").
        Self(format!("{}:{issuer}{subject}", issuer.len()).into())
    }

    /// The authority that vouches for the subject, such as the issuer of its token.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.parts().0
    }

    /// The caller's name at the issuer.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        let parts =
            self.0.split_once(':').and_then(|(len, both)| both.split_at_checked(len.parse().ok()?));
        parts.unwrap_or(("", &self.0)) // unreachable: `new` wrote the length
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
        for (issuer, subject) in [("https://a", "b"), ("", "x:y"), ("1:", ""), ("", "")] {
            let principal = Principal::new(issuer, subject);
            assert_eq!((principal.issuer(), principal.subject()), (issuer, subject));
        }
    }
}
