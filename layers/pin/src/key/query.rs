//! A key in the query.

use http::{HeaderMap, Uri};

use super::extract::{ExtractKey, PinKey};

/// A query parameter, not decoded. If several have the same name, the first.
#[derive(Clone, Debug)]
pub struct QueryKey(Box<str>);

impl QueryKey {
    /// Reads the parameter `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }
}

impl ExtractKey for QueryKey {
    fn key<'a>(&self, uri: &'a Uri, _: &'a HeaderMap) -> Option<PinKey<'a>> {
        let parameters = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
        let mut named = parameters.filter(|(name, _)| *name == &*self.0);
        named.next().map(|(_, value)| PinKey::of_client(value.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_is_found_by_its_whole_name() {
        let uri: Uri = "/sse?xsession_id=0&session_id=a%20b&session_id=c".parse().unwrap();
        let headers = HeaderMap::new();
        let found = QueryKey::new("session_id").key(&uri, &headers);
        assert_eq!(found, Some(PinKey::of_client(&b"a%20b"[..])));
        assert_eq!(QueryKey::new("id").key(&uri, &headers), None);
    }
}
