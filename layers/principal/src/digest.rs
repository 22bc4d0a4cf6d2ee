//! A name for credentials that do not state one: their digest. Pure.
//!
//! SHA-256 without a key, so that all replicas give the same name, also after a restart. A secret with enough entropy
//! (an access token, an API key) cannot be recovered from its digest. A person's password (`Basic`) could be guessed
//! from it, but the digest stays in this process: a shared store keeps it only hashed together with the session id.

use bartizan_core::Principal;
use sha2::{Digest as _, Sha256};

/// Names the caller that sent all of `lines` in a field, with `issuer` as the issuer.
pub(crate) fn principal<'a>(issuer: &str, lines: impl IntoIterator<Item = &'a [u8]>) -> Principal {
    let mut hash = Sha256::new();
    for line in lines {
        // The length distinguishes two lines from one line with the content of both.
        hash.update((line.len() as u64).to_be_bytes());
        hash.update(line);
    }
    let mut digits = [0; 64];
    let digest = base16ct::lower::encode_str(&hash.finalize(), &mut digits).unwrap_or_default();
    Principal::new(issuer, digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_a_name_of_its_own_that_does_not_reveal_it() {
        let of = |lines: &[&'static str]| principal("i", lines.iter().map(|line| line.as_bytes()));
        let names = [of(&["ab"]), of(&["a", "b"]), of(&["b", "a"]), of(&[""]), of(&["", ""])];
        for (at, name) in names.iter().enumerate() {
            assert!(names.iter().skip(at + 1).all(|other| other != name), "{name:?}");
        }
        assert_eq!(of(&["Bearer secret"]), of(&["Bearer secret"]));
        assert!(!of(&["Bearer secret"]).as_str().contains("secret"));
        assert_ne!(principal("j", [&b"ab"[..]]), of(&["ab"]), "another field");
    }

    /// Replicas of different releases must agree.
    #[test]
    fn the_name_never_changes() {
        let name = principal("bartizan:authorization", [&b"Bearer opaque"[..]]);
        assert_eq!(name.issuer(), "bartizan:authorization");
        assert_eq!(
            name.subject(),
            "a95070057ed32d5d7b5f9936ece6edb70f98935dbba5c3d3cf53a382531f0952"
        );
    }
}
