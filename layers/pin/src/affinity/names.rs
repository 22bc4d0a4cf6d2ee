//! The name of each backend under each key, made once per change of the set, so that requests need no keyed hash.

use std::collections::HashMap;

use bartizan_core::BackendId;
use foldhash::fast::RandomState;
use http::HeaderValue;

use super::cookie::AffinityCookie;

/// The names of the backends in one set.
#[derive(Default)]
pub(super) struct Names {
    /// The number of changes of the set, starting at 1.
    pub(super) generation: u64,
    // A guess is compared with the names whose hash is like its own, mostly none. The seed is random, so a client cannot
    // choose which: how long the lookup takes leads to no name.
    by_name: HashMap<Box<[u8]>, Named, RandomState>,
    lines: HashMap<BackendId, Lines, RandomState>,
}

/// The backend that a cookie names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Named {
    pub(super) backend: BackendId,
    /// Whether the signing key made the name.
    pub(super) is_current: bool,
}

struct Lines {
    plain: HeaderValue,
    secure: HeaderValue,
}

impl Names {
    pub(super) fn new(cookie: &AffinityCookie, generation: u64, ids: Vec<BackendId>) -> Self {
        let mut names = Self { generation, ..Self::default() };
        for id in ids {
            for (place, name) in cookie.names_of(&id).enumerate() {
                let is_current = place == 0;
                if is_current {
                    let line = |is_secure| HeaderValue::try_from(cookie.line(&name, is_secure));
                    if let (Ok(plain), Ok(secure)) = (line(false), line(true)) {
                        names.lines.insert(id.clone(), Lines { plain, secure });
                    }
                }
                let named = Named { backend: id.clone(), is_current };
                names.by_name.entry(name.into_bytes().into()).or_insert(named);
            }
        }
        names
    }

    /// The backend that a cookie names; `None` for a value that no key made for a backend of the set.
    pub(super) fn find(&self, value: &[u8]) -> Option<Named> {
        self.by_name.get(value).cloned()
    }

    /// The field value that sets the cookie to the name of a backend.
    pub(super) fn line(&self, backend: &BackendId, is_secure: bool) -> Option<HeaderValue> {
        let lines = self.lines.get(backend)?;
        Some(if is_secure { lines.secure.clone() } else { lines.plain.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_its_backend_by_any_key_and_no_other_value_does() {
        let (old, new) = (b"0123456789abcdef", b"fedcba9876543210");
        let rotated = AffinityCookie::new(new).unwrap().accept(old).unwrap();
        let old = AffinityCookie::new(old).unwrap();
        let [a, b] = ["http://a:1", "http://b:1"].map(|id| id.parse::<BackendId>().unwrap());
        let name = |cookie: &AffinityCookie, id| cookie.names_of(id).next().unwrap();
        let names = Names::new(&rotated, 1, vec![a.clone()]);
        let named = |is_current| Some(Named { backend: a.clone(), is_current });
        assert_eq!(names.find(name(&rotated, &a).as_bytes()), named(true));
        assert_eq!(names.find(name(&old, &a).as_bytes()), named(false));
        let good = name(&rotated, &a);
        for forged in
            [name(&rotated, &b), good[1..].into(), good.to_uppercase(), a.to_string(), "".into()]
        {
            assert_eq!(names.find(forged.as_bytes()), None, "{forged}");
        }
        // The signing secret is also accepted: cookies that it signed need not be replaced.
        let twice = AffinityCookie::new(new).unwrap().accept(new).unwrap();
        let twice = Names::new(&twice, 1, vec![a.clone()]);
        assert_eq!(twice.find(good.as_bytes()), named(true));
        assert_eq!(names.line(&b, false), None);
        let line = names.line(&a, false).unwrap();
        assert!(line.to_str().unwrap().starts_with(&format!("bartizan-backend={good};")));
    }
}
