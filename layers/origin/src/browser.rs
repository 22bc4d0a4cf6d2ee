//! Whether a browser sent a request. Pure.

use http::{HeaderMap, header::ORIGIN};

/// Whether `headers` hold `Origin` or `Sec-Fetch-*`, which pages cannot set or remove. One pass over the names: most
/// requests have neither.
#[inline]
pub(crate) fn is_browsers(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let name = name.as_str().as_bytes();
        name == ORIGIN.as_str().as_bytes() || name.starts_with(b"sec-fetch-")
    })
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
            assert_eq!(is_browsers(&headers), is_browser, "{name}");
        }
        assert!(!is_browsers(&HeaderMap::new()));
    }
}
