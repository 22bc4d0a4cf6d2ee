//! The key under which a session is stored. Pure.
//!
//! ```text
//! key     = prefix ":{" hex( SHA-256( parts ) ) "}"
//! parts   = length(route) route  length(principal) principal  id      lengths in 4 bytes
//! ```
//!
//! This is version 1 of the names. A later version would have its number between the colon and the brace, so that
//! neither version reads the other's keys. `tests/format.rs` has vectors.
//!
//! A copy of the store reveals no usable id. The braces are a hash tag: keys that later releases
//! may add for a session share its slot in a cluster.

use bartizan_core::Key;
use sha2::{Digest as _, Sha256};

/// A digest of the route, principal and id of a session.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(key: Key<'_>) -> Self {
        let mut hash = Sha256::new();
        key.feed(|part| hash.update(part));
        Self(hash.finalize().into())
    }

    /// Reads a name that [`Self::name`] wrote.
    pub(crate) fn read(prefix: &str, name: &[u8]) -> Option<Self> {
        let hex = name.strip_prefix(prefix.as_bytes())?.strip_prefix(b":{")?.strip_suffix(b"}")?;
        let mut bytes = [0; 32];
        let read = base16ct::lower::decode(hex, &mut bytes).ok()?.len();
        (read == bytes.len()).then_some(Self(bytes))
    }

    /// The name in the store.
    pub(crate) fn name(&self, prefix: &str) -> String {
        let mut digits = [0; 64];
        let digits = base16ct::lower::encode_str(&self.0, &mut digits).unwrap_or_default();
        [prefix, ":{", digits, "}"].concat()
    }

    /// Reads a digest from the beginning of some bytes.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().copied().map(Self)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Half of the digest, which distinguishes sessions in the counts.
    pub(crate) fn short(&self) -> Vec<u8> {
        self.0.iter().take(16).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use bartizan_core::{Principal, Route};

    use super::*;

    #[test]
    fn every_part_of_the_key_counts_and_none_runs_into_another() {
        let (a, ab) = (Route::new("a"), Route::new("ab"));
        let (alice, bob) = (Principal::new("i", "alice"), Principal::new("i", "bob"));
        let keys = [
            Key::new(&a, None, b"id"),
            Key::new(&ab, None, b"id"),
            Key::new(&a, None, b"bid"),
            Key::new(&a, Some(&alice), b"id"),
            Key::new(&a, Some(&bob), b"id"),
        ];
        let mut names = keys.map(|key| Digest::of(key).name("p"));
        names.sort();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }

    #[test]
    fn a_name_reads_back_and_reveals_nothing() {
        let route = Route::default();
        let digest = Digest::of(Key::new(&route, None, b"secret-id"));
        let name = digest.name("bartizan");
        assert!(name.starts_with("bartizan:{") && !name.contains("secret"));
        assert_eq!(Digest::read("bartizan", name.as_bytes()), Some(digest));
        for other in [
            "bartizan:{}",
            "other:{00}",
            "bartizan",
            "",
            &name[1..],
            &name.replace('{', ""),
            &name.replace('{', "2{"),
        ] {
            assert_eq!(Digest::read("bartizan", other.as_bytes()), None, "{other}");
        }
    }
}
