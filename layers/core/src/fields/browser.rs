//! Fields that only browsers send, and that their pages can neither set nor remove: `Origin` and `Sec-Fetch-*`
//! ([forbidden request headers](https://fetch.spec.whatwg.org/#forbidden-request-header)).

use http::HeaderMap;

const ORIGIN: &str = "origin";
const FETCH_METADATA: &str = "sec-fetch-";

/// How the names of these fields begin, in lower case.
pub const BEGINNINGS: [&str; 2] = [ORIGIN, FETCH_METADATA];

/// Whether `headers` hold a field that only browsers send. One pass over the names: most requests have none.
#[inline]
#[must_use]
pub fn sent(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| marks(name.as_str()))
}

/// Whether only browsers send the field `name`, in lower case.
#[inline]
#[must_use]
pub fn marks(name: &str) -> bool {
    // The first bytes of most names show that they are neither.
    match name.as_bytes().first_chunk() {
        Some(b"orig") => name == ORIGIN,
        Some(b"sec-") => name.starts_with(FETCH_METADATA),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn it_is_by_origin_or_fetch_metadata() {
        for (name, is_browser) in [
            ("Origin", true),
            ("Sec-Fetch-Site", true),
            ("sec-fetch-mode", true),
            ("sec-fetch-dest", true),
            ("sec-fetch-anything", true),
            ("sec-websocket-key", false),
            ("sec-fetch", false),
            ("x-origin", false),
            ("origins", false),
            ("referer", false),
            ("user-agent", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("a"));
            headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(""));
            assert_eq!(sent(&headers), is_browser, "{name}");
        }
        assert!(!sent(&HeaderMap::new()));
    }
}
