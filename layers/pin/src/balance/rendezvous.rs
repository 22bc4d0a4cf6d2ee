//! The policy of rendezvous hashing.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::{
    candidate::{Balance, Candidate},
    random::Random,
};

/// Takes the backend with the highest hash of key and id
/// ([rendezvous hashing](https://en.wikipedia.org/wiki/Rendezvous_hashing)): the same in every replica
/// and after every restart. When a backend leaves, only its keys move; when one is added, only the keys that it gets
/// move. Without a key, it takes any backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rendezvous(());

impl Rendezvous {
    /// Makes the policy.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl Balance for Rendezvous {
    fn choose(&self, candidates: &[Candidate<'_>], key: Option<&[u8]>) -> Option<usize> {
        let Some(key) = key else { return Random::new().choose(candidates, None) };
        let weight = |candidate: &Candidate<'_>| weight(key, candidate.backend().id().as_str());
        let heaviest = candidates.iter().enumerate().max_by_key(|(_, one)| weight(one));
        heaviest.map(|(index, _)| index)
    }
}

/// The keys of the hash are fixed, because all replicas must use the same.
fn weight(key: &[u8], id: &str) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    hasher.write_u64(key.len() as u64);
    hasher.write(key);
    hasher.write(id.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::{super::tests::idle, *};

    fn choose(ports: &[usize], key: &[u8]) -> usize {
        let backends = idle(ports.iter().copied());
        let candidates: Vec<_> = backends.iter().map(|backend| backend.candidate(None)).collect();
        ports[Rendezvous::new().choose(&candidates, Some(key)).unwrap()]
    }

    #[test]
    fn the_hash_is_the_one_of_every_release() {
        assert_eq!(weight(b"key", "http://b:1"), 16_867_242_217_502_175_226);
    }

    proptest::proptest! {
        #[test]
        fn only_the_keys_of_a_backend_that_leaves_move(
            key in proptest::collection::vec(0u8.., 0..20),
            leaves in 1usize..6,
        ) {
            let all = [1, 2, 3, 4, 5];
            let before = choose(&all, &key);
            let rest: Vec<usize> = all.into_iter().filter(|name| *name != leaves).collect();
            let after = choose(&rest, &key);
            if before == leaves {
                proptest::prop_assert_ne!(after, leaves);
            } else {
                proptest::prop_assert_eq!(after, before);
            }
            let mut turned = all;
            turned.reverse();
            proptest::prop_assert_eq!(choose(&turned, &key), before, "order does not count");
        }
    }
}
