//! Fields that only browsers send, and that their pages can neither set nor remove: `Origin` and `Sec-Fetch-*`
//! ([forbidden request headers](https://fetch.spec.whatwg.org/#forbidden-request-header)).

use http::HeaderMap;

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
    let name = name.as_bytes();
    name == b"origin" || name.starts_with(b"sec-fetch-")
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
