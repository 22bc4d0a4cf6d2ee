//! A key in the path.

use http::{HeaderMap, Uri};

use super::extract::{ExtractKey, PinKey};

/// A segment of the path, not decoded: the backend gets the same bytes.
#[derive(Clone, Debug)]
pub struct PathSegmentKey(Where);

#[derive(Clone, Debug)]
enum Where {
    At(usize),
    After(Box<str>),
}

impl PathSegmentKey {
    /// Reads the segment at `index`, counted from 0.
    #[must_use]
    pub const fn at(index: usize) -> Self {
        Self(Where::At(index))
    }

    /// Reads the segment after `prefix`, such as `/rooms/`.
    #[must_use]
    pub fn after(prefix: &str) -> Self {
        Self(Where::After(prefix.into()))
    }
}

impl ExtractKey for PathSegmentKey {
    fn key<'a>(&self, uri: &'a Uri, _: &'a HeaderMap) -> Option<PinKey<'a>> {
        let path = uri.path();
        let segment = match &self.0 {
            Where::At(index) => path.strip_prefix('/')?.split('/').nth(*index),
            Where::After(prefix) => path.strip_prefix(&**prefix)?.split('/').next(),
        };
        segment.map(|segment| PinKey::of_client(segment.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_read_by_its_place_or_its_prefix() {
        let by = |key: PathSegmentKey, uri: &str| {
            let uri: Uri = uri.parse().unwrap();
            let found = key.key(&uri, &HeaderMap::new()).map(|key| key.as_bytes().to_vec());
            found.map(|bytes| String::from_utf8(bytes).unwrap())
        };
        assert_eq!(by(PathSegmentKey::at(1), "/rooms/a%2Fb/x?y").as_deref(), Some("a%2Fb"));
        assert_eq!(by(PathSegmentKey::at(3), "/rooms/a/x"), None);
        assert_eq!(by(PathSegmentKey::after("/rooms/"), "/rooms/a/x").as_deref(), Some("a"));
        assert_eq!(by(PathSegmentKey::after("/rooms/"), "/other/a"), None);
    }
}
