//! The keys that a request shows. Pure.

use bartizan::core::fields::only_line;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    HeaderMap, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE},
};

use super::key::{KeyKind, OauthKey};

/// The fields that name a key, the most specific first: only one server knows a code, but all servers may know a
/// client. A state may be chosen by the client, and be the same each time.
const FIELDS: [(&str, KeyKind); 6] = [
    ("code", KeyKind::Flow),
    // FastMCP's OAuth proxy.
    ("txn_id", KeyKind::Flow),
    ("refresh_token", KeyKind::Token),
    // The token to revoke or introspect.
    ("token", KeyKind::Token),
    ("client_id", KeyKind::Client),
    ("state", KeyKind::Flow),
];

/// The keys in the head of a request: its bearer token alone, or those of its query, then the client that it
/// authenticates as ([RFC 6749 §2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1)).
pub(super) fn in_head(uri: &Uri, headers: &HeaderMap) -> Vec<OauthKey> {
    let credentials = only_line(headers, AUTHORIZATION).ok().flatten();
    let credentials = credentials.and_then(|line| line.to_str().ok()?.trim().split_once(' '));
    let mut keys = in_fields(uri.query().unwrap_or_default().as_bytes());
    match credentials {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            OauthKey::new(KeyKind::Token, token.trim()).into_iter().collect()
        }
        Some((scheme, pair)) if scheme.eq_ignore_ascii_case("basic") => {
            keys.extend(client_of_basic(pair.trim()));
            keys
        }
        _ => keys,
    }
}

/// The keys in a query or a form. If a field is repeated, the first one counts.
pub(super) fn in_fields(encoded: &[u8]) -> Vec<OauthKey> {
    let find = |(name, kind): (&str, KeyKind)| {
        let (_, value) = form_urlencoded::parse(encoded).find(|(other, _)| *other == *name)?;
        OauthKey::new(kind, &value)
    };
    FIELDS.into_iter().filter_map(find).collect()
}

/// Whether a body is a form whose fields can be read.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    const FORM: &str = "application/x-www-form-urlencoded";
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(FORM))
}

fn client_of_basic(pair: &str) -> Option<OauthKey> {
    let decoded = BASE64_STANDARD.decode(pair).ok()?;
    let client = decoded.split(|byte| *byte == b':').next()?;
    // The name is encoded as in a form, so it can be parsed as a form with one field that has no value.
    let (name, _) = form_urlencoded::parse(client).next()?;
    OauthKey::new(KeyKind::Client, &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: KeyKind, value: &str) -> OauthKey {
        OauthKey::new(kind, value).unwrap()
    }

    fn head(uri: &str, credentials: &[&str]) -> Vec<OauthKey> {
        let lines = credentials.iter().map(|line| (AUTHORIZATION, line.parse().unwrap()));
        in_head(&uri.parse().unwrap(), &lines.collect())
    }

    #[test]
    fn a_query_shows_its_code_its_client_and_its_state() {
        let authorize = "/authorize?response_type=code&client_id=a%20b&state=s&x=1";
        assert_eq!(head(authorize, &[]), [key(KeyKind::Client, "a b"), key(KeyKind::Flow, "s")]);
        assert_eq!(head("/consent?txn_id=t", &[]), [key(KeyKind::Flow, "t")]);
        let callback = "/auth/callback?state=t&code=c";
        assert_eq!(head(callback, &[]), [key(KeyKind::Flow, "c"), key(KeyKind::Flow, "t")]);
        assert_eq!(head("/authorize?client_id=a&client_id=b", &[]), [key(KeyKind::Client, "a")]);
        for none in
            ["/authorize", "/authorize?", "/authorize?client_id=", "/?xclient_id=a", "/client_id=a"]
        {
            assert_eq!(head(none, &[]), [], "{none}");
        }
    }

    #[test]
    fn credentials_show_a_token_or_a_client() {
        assert_eq!(head("/mcp?client_id=a", &["Bearer t"]), [key(KeyKind::Token, "t")]);
        assert_eq!(head("/mcp", &["bEARER  t"]), [key(KeyKind::Token, "t")]);
        let basic = format!("Basic {}", BASE64_STANDARD.encode("a%3Ab+c:secret:x"));
        assert_eq!(head("/token", &[&basic]), [key(KeyKind::Client, "a:b c")]);
        for none in ["Bearer", "Bearer ", "Basic %", "Basic Og==", "Digest username=a", ""] {
            assert_eq!(head("/token", &[none]), [], "{none}");
        }
        assert_eq!(head("/token", &["Bearer a", "Bearer b"]), []);
    }

    #[test]
    fn a_form_is_known_by_its_type() {
        for (kind, expected) in [
            ("application/x-www-form-urlencoded", true),
            ("Application/X-WWW-Form-Urlencoded; charset=utf-8", true),
            ("application/json", false),
            ("multipart/form-data; application/x-www-form-urlencoded", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
            assert_eq!(is_form(&headers), expected, "{kind}");
        }
    }
}
