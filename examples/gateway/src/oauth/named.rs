//! The keys that a response names for the first time. Pure.

use bartizan::core::fields::media;
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_ENCODING, LOCATION},
};
use serde_json::Value;

use super::{
    key::{KeyKind, OauthKey},
    shown::in_fields,
};

/// The members of a JSON document that name a key: a registered client
/// ([RFC 7591 §3.2.1](https://www.rfc-editor.org/rfc/rfc7591#section-3.2.1)), and tokens
/// ([RFC 6749 §5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1)).
const MEMBERS: [(&str, KeyKind); 3] = [
    ("client_id", KeyKind::Client),
    ("access_token", KeyKind::Token),
    ("refresh_token", KeyKind::Token),
];

/// The key in the target of a redirect, unless its request had it: those are in `shown`. If there are several, the most
/// specific one: a redirect to the client has the client's own state next to its code, and only that state next to an
/// error ([RFC 6749 §4.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2)).
pub(super) fn in_redirect(
    status: StatusCode,
    headers: &HeaderMap,
    shown: &[OauthKey],
) -> Option<OauthKey> {
    let target = headers.get(LOCATION).filter(|_| status.is_redirection());
    let query = target.and_then(|target| target.to_str().ok()?.split_once('?'));
    let query = query.and_then(|(_, query)| query.split('#').next()).unwrap_or_default();
    if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "error") {
        return None;
    }
    let named = in_fields(query.as_bytes()).into_iter().find(|key| !key.is_clients());
    named.filter(|key| !shown.contains(key))
}

/// The keys in a JSON document; none if it is not an object.
pub(super) fn in_json(document: &[u8]) -> Vec<OauthKey> {
    let Ok(Value::Object(document)) = serde_json::from_slice(document) else { return Vec::new() };
    let find = |(name, kind)| OauthKey::new(kind, document.get(name)?.as_str()?);
    MEMBERS.into_iter().filter_map(find).collect()
}

/// Whether the body of a response may be a JSON document with keys, and can be read.
pub(super) fn may_be_in_json(status: StatusCode, headers: &HeaderMap) -> bool {
    status.is_success() && media::is_json(headers) && !headers.contains_key(CONTENT_ENCODING)
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;

    use super::*;

    fn key(kind: KeyKind, value: &str) -> OauthKey {
        OauthKey::new(kind, value).unwrap()
    }

    #[test]
    fn a_redirect_names_what_its_request_did_not_show() {
        let shown = [key(KeyKind::Flow, "s"), key(KeyKind::Client, "a")];
        for (status, location, expected) in [
            (302, "/consent?txn_id=t", Some("t")),
            (302, "https://idp/authorize?client_id=i&state=t", Some("t")),
            (303, "http://localhost:1/cb?code=c&state=s#x?code=d", Some("c")),
            (303, "http://localhost:1/cb?code=c&state=another", Some("c")),
            (302, "http://localhost:1/cb?error=access_denied&state=another", None),
            (307, "/docs/?client_id=a&state=s", None),
            (302, "/docs/?client_id=made-up", None),
            (302, "/docs", None),
            (201, "/consent?txn_id=t", None),
        ] {
            let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
            let status = status.try_into().unwrap();
            let expected = expected.map(|value| key(KeyKind::Flow, value));
            assert_eq!(in_redirect(status, &headers, &shown), expected, "{location}");
        }
        assert_eq!(in_redirect(StatusCode::FOUND, &HeaderMap::new(), &shown), None);
    }

    #[test]
    fn a_document_names_a_client_or_tokens() {
        let registered = br#"{"client_id":"a","client_secret":"s","redirect_uris":[]}"#;
        assert_eq!(in_json(registered), [key(KeyKind::Client, "a")]);
        let tokens = br#"{"access_token":"x","refresh_token":"y","token_type":"bearer"}"#;
        assert_eq!(in_json(tokens), [key(KeyKind::Token, "x"), key(KeyKind::Token, "y")]);
        for none in [
            "",
            "[]",
            "\"access_token\"",
            r#"{"access_token":1}"#,
            r#"{"result":{"client_id":"a"}}"#,
        ] {
            assert_eq!(in_json(none.as_bytes()), [], "{none}");
        }
        assert_eq!(in_json("[".repeat(16_000).as_bytes()), []);
    }

    #[test]
    fn a_document_is_read_of_a_success_that_is_plain_json() {
        let json = |name: http::HeaderName, value: &str| {
            HeaderMap::from_iter([(name, value.parse().unwrap())])
        };
        let plain = json(CONTENT_TYPE, "application/json");
        assert!(may_be_in_json(StatusCode::CREATED, &plain));
        assert!(!may_be_in_json(StatusCode::BAD_REQUEST, &plain));
        assert!(!may_be_in_json(StatusCode::OK, &json(CONTENT_TYPE, "text/html")));
        let mut encoded = plain;
        encoded.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(!may_be_in_json(StatusCode::OK, &encoded));
    }
}
