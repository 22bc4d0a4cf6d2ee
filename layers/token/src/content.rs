//! The content of a token, byte for byte, before it is sealed. Pure.
//!
//! ```text
//! content = version(1) born(8) lifetime(4) length(1) backend  id      big-endian, milliseconds, since 1970
//! owner   = length(8) route  principal
//! ```
//!
//! The owner is not in the token: it is what the token is sealed for.

use std::time::Duration;

use bartizan_core::{BackendId, Key, Record, SessionId};

const VERSION: u8 = 1;

/// The content of a token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Content {
    pub(crate) born_ms: u64,
    pub(crate) lifetime: Duration,
    pub(crate) backend: Option<BackendId>,
    /// The id by which the backend knows the session.
    pub(crate) upstream_id: SessionId,
}

impl Content {
    pub(crate) fn write(&self) -> Option<Vec<u8>> {
        let backend = self.backend.as_ref().map_or("", |backend| backend.as_str());
        let lifetime = u32::try_from(self.lifetime.as_millis()).unwrap_or(u32::MAX);
        let mut bytes = vec![VERSION];
        bytes.extend(self.born_ms.to_be_bytes());
        bytes.extend(lifetime.to_be_bytes());
        bytes.push(u8::try_from(backend.len()).ok()?);
        bytes.extend(backend.as_bytes());
        bytes.extend(self.upstream_id.as_bytes());
        Some(bytes)
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (born, rest) = rest.split_first_chunk()?;
        let (lifetime, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let (backend, id) = rest.split_at_checked(usize::from(*length))?;
        let backend = match str::from_utf8(backend).ok()? {
            "" => None,
            name => Some(BackendId::new(name).ok()?),
        };
        (*version == VERSION).then_some(())?;
        Some(Self {
            born_ms: u64::from_be_bytes(*born),
            lifetime: Duration::from_millis(u32::from_be_bytes(*lifetime).into()),
            backend,
            upstream_id: SessionId::from_bytes(id).ok()?,
        })
    }

    /// The record for this content. Uses are not recorded, so there is no idle time.
    pub(crate) fn into_record(self) -> Record {
        let record = Record::new(self.lifetime, self.lifetime).with_upstream_id(self.upstream_id);
        match self.backend {
            Some(backend) => record.with_backend(backend),
            None => record,
        }
    }
}

/// The owner for which a token is sealed.
pub(crate) fn owner(key: Key<'_>) -> Vec<u8> {
    let route = key.route.as_str();
    let principal = key.principal.map_or("", |principal| principal.as_str());
    [&(route.len() as u64).to_be_bytes()[..], route.as_bytes(), principal.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use bartizan_core::{Principal, Route};

    use super::*;

    fn content(backend: Option<&str>) -> Content {
        Content {
            born_ms: 7,
            lifetime: Duration::from_secs(60),
            backend: backend.map(|backend| backend.parse().unwrap()),
            upstream_id: "upstream".parse().unwrap(),
        }
    }

    #[test]
    fn what_was_written_is_read() {
        for content in [content(None), content(Some("http://b:1"))] {
            assert_eq!(Content::read(&content.write().unwrap()), Some(content.clone()));
            let record = content.clone().into_record();
            assert_eq!(record.backend(), content.backend.as_ref());
            assert_eq!(record.upstream_id(), Some(&content.upstream_id));
        }
        let mut other_version = content(None).write().unwrap();
        other_version[0] = 2;
        assert_eq!(Content::read(&other_version), None);
        assert_eq!(Content::read(b""), None);
    }

    #[test]
    fn owners_do_not_run_into_each_other() {
        let (a, ab) = (Route::new("a"), Route::new("ab"));
        let alice = Principal::new("i", "alice");
        let owners = [
            owner(Key::new(&a, None, b"")),
            owner(Key::new(&ab, None, b"")),
            owner(Key::new(&a, Some(&alice), b"")),
        ];
        assert!(owners[0] != owners[1] && owners[1] != owners[2] && owners[0] != owners[2]);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let _ = Content::read(&bytes);
        }
    }
}
