//! Hop-by-hop fields ([RFC 9110 §7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)).
//!
//! A proxy reads all lines of `Connection`, removes each field that it names, then `Connection`
//! itself and the fields that are always hop-by-hop. An attacker can use this rule to delete fields
//! that a later hop relies on, by naming them. So in a *request*, naming such a field is refused:
//!
//! | `Connection` names | outcome |
//! |---|---|
//! | `close`, `keep-alive`, `upgrade`, `te`, an absent field, any field not below | obeyed |
//! | a protected end-to-end field ([`is_protected`]) | [`ProtectedField`] |
//! | something that is not a token | [`ProtectedField`] |
//!
//! In a response every named field is removed, because the backend set them itself. `Forwarded` and
//! `X-Forwarded-For` describe the internal route and do not belong there (RFC 7239 §8.2), so they
//! are removed too.

use std::fmt;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, CONTENT_LENGTH, FORWARDED, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRANSFER_ENCODING, UPGRADE,
    },
};

use crate::fields::list;

/// The stripped fields that matter for forwarding.
#[derive(Debug, Default)]
pub struct Stripped {
    upgrade: Option<HeaderValue>,
    takes_trailers: bool,
    trailers: TrailerRule,
}

/// The fields that the trailers of a message must not contain.
#[derive(Clone, Debug, Default)]
pub struct TrailerRule {
    // Mostly empty: then it is one word, without an allocation.
    #[allow(clippy::box_collection, reason = "it travels in every body, and is mostly empty")]
    nominated: Option<Box<Vec<HeaderName>>>,
}

/// The error when `Connection` names a protected field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProtectedField(());

impl Stripped {
    /// The protocol in `Upgrade`, if the sender also named that field in `Connection`.
    #[must_use]
    pub fn upgrade(&self) -> Option<&HeaderValue> {
        self.upgrade.as_ref()
    }

    /// The first of these protocols that is in `relayed`. Names are compared without regard to
    /// case.
    #[must_use]
    pub fn upgrade_to(&self, relayed: &[Box<str>]) -> Option<HeaderValue> {
        let is_relayed = |offer: &&str| relayed.iter().any(|name| name.eq_ignore_ascii_case(offer));
        let offers = self.upgrade()?.to_str().ok()?.split(',').map(str::trim);
        offers.into_iter().find(is_relayed).and_then(|offer| HeaderValue::from_str(offer).ok())
    }

    /// Whether the sender accepts trailers (`TE: trailers`).
    #[must_use]
    pub fn takes_trailers(&self) -> bool {
        self.takes_trailers
    }

    /// The rule for the trailers that may follow.
    #[must_use]
    pub fn into_trailer_rule(self) -> TrailerRule {
        self.trailers
    }
}

impl TrailerRule {
    /// Removes from `trailers` the fields that `Connection` named and those that are not allowed in
    /// trailers ([RFC 9110 §6.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-6.5.1)).
    pub fn apply(&self, trailers: &mut HeaderMap) {
        let is_nominated = |name| self.nominated.as_ref().is_some_and(|all| all.contains(name));
        let unwanted: Vec<_> = trailers
            .keys()
            .filter(|name| is_forbidden_trailer(name) || is_nominated(name))
            .cloned()
            .collect();
        for name in unwanted {
            trailers.remove(name);
        }
    }
}

/// Strips hop-by-hop fields from a request.
///
/// Costs one pass over the field names when there are none.
///
/// # Errors
///
/// If `Connection` names a protected field, or something that is not a token. The fields are
/// unchanged then.
pub fn strip_request(headers: &mut HeaderMap) -> Result<Stripped, ProtectedField> {
    if !headers.keys().any(is_hop_by_hop) {
        return Ok(Stripped::default());
    }
    let mut nominated = Vec::new();
    for option in list::tokens(headers, &CONNECTION) {
        let name = option.ok().and_then(|option| HeaderName::try_from(option).ok());
        let name = name.ok_or(ProtectedField(()))?;
        if is_protected(&name) {
            return Err(ProtectedField(()));
        }
        nominated.push(name);
    }
    Ok(strip(headers, nominated))
}

/// Strips hop-by-hop fields from a response.
///
/// Costs one pass over the field names when there are none.
pub fn strip_response(headers: &mut HeaderMap) -> Stripped {
    if !headers.keys().any(|name| is_hop_by_hop(name) || is_of_the_way_in(name)) {
        return Stripped::default();
    }
    headers.remove(FORWARDED);
    headers.remove("x-forwarded-for");
    let nominated = list::tokens(headers, &CONNECTION)
        .flatten()
        .filter_map(|option| HeaderName::try_from(option).ok())
        .collect();
    strip(headers, nominated)
}

/// Headers that describe the sender: everything except message framing, content, trailers,
/// conditionals and idempotency keys. For a layer that makes its own request on behalf of a client.
///
/// Costs one pass, and a copy of what is left.
#[must_use]
pub fn of_sender(headers: &HeaderMap) -> HeaderMap {
    let of_sender = headers.iter().filter(|(name, _)| !is_of_message(name));
    of_sender.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_of_message(name: &HeaderName) -> bool {
    const NAMES: [&str; 11] = [
        "connection",
        "digest",
        "expect",
        // A server that knows the key would repeat its answer to the other request.
        "idempotency-key",
        "range",
        "repr-digest",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "want-content-digest",
    ];
    let name = name.as_str();
    name.starts_with("content-") || name.starts_with("if-") || NAMES.contains(&name)
}

/// Asks the next hop to upgrade to `protocol`, or confirms the upgrade.
pub fn upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Asks the next hop for trailers, over HTTP/2 or another version.
pub fn take_trailers(headers: &mut HeaderMap, over_http2: bool) {
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if !over_http2 {
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Whether the field is hop-by-hop, even if `Connection` does not name it.
#[must_use]
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether the field describes the route of a request, and so does not belong in a response.
#[must_use]
pub fn is_of_the_way_in(name: &HeaderName) -> bool {
    matches!(name.as_str(), "forwarded" | "x-forwarded-for")
}

/// Whether `Connection` names a field for which `is_relied_on` returns true. The options are passed
/// as they were sent, in upper or lower case.
pub fn nominates(headers: &HeaderMap, is_relied_on: impl Fn(&str) -> bool) -> bool {
    // One pass over the names costs less than a lookup of a name that is mostly absent.
    headers.keys().any(|name| *name == CONNECTION)
        && list::tokens(headers, &CONNECTION).flatten().any(is_relied_on)
}

/// Whether `Connection` in a request must not name the field, because a backend, a later hop or Bartizan itself relies
/// on it. RFC 9110 §7.6.1 does not allow a sender to name fields that are intended for all recipients.
#[must_use]
pub fn is_protected(name: &HeaderName) -> bool {
    const PREFIXES: [&str; 6] = ["a2a-", "grpc-", "mcp-", "x-bartizan-", "x-forwarded-", "sec-"];
    let name = name.as_str();
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || matches!(
            name,
            "accept"
                | "authorization"
                | "cache-control"
                | "cdn-loop"
                | "client-cert"
                | "client-cert-chain"
                | "content-encoding"
                | "content-length"
                | "content-type"
                | "cookie"
                | "forwarded"
                | "host"
                | "last-event-id"
                | "max-forwards"
                | "origin"
                | "set-cookie"
                | "traceparent"
                | "tracestate"
                | "transfer-encoding"
                | "via"
                | "x-real-ip"
        )
}

fn strip(headers: &mut HeaderMap, nominated: Vec<HeaderName>) -> Stripped {
    let upgrade = nominated.contains(&UPGRADE).then(|| headers.get(UPGRADE).cloned()).flatten();
    let takes_trailers = list::members(headers, &TE).any(|coding| {
        let name = coding.split(|byte| *byte == b';').next().unwrap_or_default();
        list::trim(name).eq_ignore_ascii_case(b"trailers")
    });
    // It is wrong for a message that was framed otherwise, whatever `Connection` names
    // (https://www.rfc-editor.org/rfc/rfc9112#section-6.3).
    if headers.remove(TRANSFER_ENCODING).is_some() {
        headers.remove(CONTENT_LENGTH);
    }
    for name in &nominated {
        headers.remove(name);
    }
    for name in [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, UPGRADE] {
        headers.remove(name);
    }
    for name in ["http2-settings", "keep-alive", "proxy-authentication-info", "proxy-connection"] {
        headers.remove(name);
    }
    let nominated = (!nominated.is_empty()).then(|| Box::new(nominated));
    Stripped { upgrade, takes_trailers, trailers: TrailerRule { nominated } }
}

/// Fields that frame, route or authenticate a message have no meaning after its content.
fn is_forbidden_trailer(name: &HeaderName) -> bool {
    is_hop_by_hop(name)
        || name.as_str().starts_with("mcp-")
        || matches!(
            name.as_str(),
            "authorization"
                | "cache-control"
                | "content-encoding"
                | "content-length"
                | "content-range"
                | "content-type"
                | "cookie"
                | "expect"
                | "forwarded"
                | "host"
                | "max-forwards"
                | "set-cookie"
                | "trailer"
                | "via"
                | "x-forwarded-for"
        )
}

impl fmt::Display for ProtectedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection header names a protected field")
    }
}

impl std::error::Error for ProtectedField {}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        lines.iter().map(pair).collect()
    }

    /// Strips a request and returns the remaining fields, in alphabetical order.
    fn left(lines: &[(&str, &str)]) -> Vec<String> {
        let mut headers = headers(lines);
        strip_request(&mut headers).unwrap();
        let mut left: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
        left.sort();
        left
    }

    #[test]
    fn what_speaks_of_the_sender_is_all_but_what_speaks_of_the_message() {
        let sender = [("accept", "*/*"), ("authorization", "a"), ("x-a", "1"), ("x-a", "2")];
        let message = [
            ("connection", "close"),
            ("content-type", "a/b"),
            ("content-digest", "sha-256=:"),
            ("idempotency-key", "1"),
            ("if-none-match", "*"),
            ("range", "bytes=0-1"),
            ("te", "trailers"),
            ("trailer", "x-t"),
        ];
        assert_eq!(of_sender(&headers(&[&sender[..], &message].concat())), headers(&sender));
    }

    /// RFC 9110 §7.6.1.
    #[test]
    fn what_belongs_to_one_hop_stays_there() {
        let none = Vec::<String>::new();
        assert_eq!(left(&[("connection", "close")]), none); // HB-1
        assert_eq!(left(&[("connection", "X-Foo"), ("x-foo", "1")]), none); // HB-2
        let both = [("connection", "x-FOO , X-Bar"), ("x-foo", "1"), ("x-bar", "1")];
        assert_eq!(left(&both), none); // HB-3
        let lines = [("connection", "X-A"), ("connection", "X-B"), ("x-a", "1"), ("x-b", "1")];
        assert_eq!(left(&lines), none); // HB-4
        assert_eq!(left(&[("connection", ",X-A,,"), ("x-a", "1")]), none); // HB-5
        assert_eq!(left(&[("connection", "X-Missing"), ("x-b", "1")]), ["x-b"]); // HB-6
        assert_eq!(left(&[("keep-alive", "timeout=5"), ("proxy-connection", "x")]), none); // HB-7
        let h2c = [
            ("upgrade", "h2c"),
            ("connection", "Upgrade, HTTP2-Settings"),
            ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ];
        assert_eq!(left(&h2c), none); // HB-11
        assert_eq!(left(&[("proxy-authorization", "Basic x")]), none); // HB-14
        assert_eq!(left(&[("transfer-encoding", "chunked")]), none); // HB-26
        assert_eq!(left(&[("x-unknown", "1")]), ["x-unknown"]); // HB-27
        // The second of two lines is obeyed as the first is.
        let second = [("connection", "close"), ("connection", "x-secret"), ("x-secret", "1")];
        assert_eq!(left(&second), none);
    }

    #[test]
    fn trailers_and_upgrades_are_told() {
        let of = |lines: &[(&str, &str)]| strip_request(&mut headers(lines)).unwrap();
        assert!(of(&[("te", "trailers, deflate"), ("connection", "TE")]).takes_trailers()); // HB-8
        assert!(of(&[("te", "trailers")]).takes_trailers()); // HB-9
        assert!(!of(&[("te", "gzip")]).takes_trailers()); // HB-10
        let websocket = of(&[("upgrade", "websocket"), ("connection", "Upgrade")]);
        assert_eq!(websocket.upgrade().unwrap(), "websocket"); // HB-12
        assert!(of(&[("upgrade", "websocket")]).upgrade().is_none()); // HB-13
    }

    #[test]
    fn a_protected_field_is_not_nominated_away() {
        for name in [
            // HB-16
            "X-Forwarded-For",
            "X-Forwarded-Anything",
            "x-real-ip",
            // HB-17
            "Authorization",
            "Host",
            "Content-Length",
            "Transfer-Encoding",
            "Cookie",
            "Cache-Control",
            // HB-18
            "Mcp-Session-Id",
            "Mcp-Name",
            "MCP-Protocol-Version",
            "Via",
            "CDN-Loop",
            "Forwarded",
            "traceparent",
        ] {
            for value in [name.to_owned(), format!("close, {name}")] {
                let mut fields = headers(&[("connection", &value), ("x-kept", "1")]);
                assert!(strip_request(&mut fields).is_err(), "{value}");
                assert_eq!(fields.len(), 2, "untouched");
            }
            let mut lines = headers(&[("connection", "close"), ("connection", name)]);
            assert!(strip_request(&mut lines).is_err(), "{name} on the second line");
        }
        let mut quoted = headers(&[("connection", "keep-alive, \"X-Foo\"")]);
        assert!(strip_request(&mut quoted).is_err()); // HB-25
    }

    /// RFC 9112 §6.3.
    #[test]
    fn a_length_beside_a_transfer_coding_goes_with_it() {
        let lines = [("content-length", "3"), ("transfer-encoding", "chunked"), ("x-a", "1")];
        assert_eq!(left(&lines), ["x-a"]);
        let mut response = headers(&lines);
        strip_response(&mut response);
        assert_eq!(response.len(), 1);
        let mut nominated = headers(&[("connection", "transfer-encoding"), lines[0], lines[1]]);
        strip_response(&mut nominated);
        assert!(nominated.is_empty(), "{nominated:?}");
        assert_eq!(left(&[("content-length", "3"), ("te", "x")]), ["content-length"]);
    }

    #[test]
    fn a_response_is_stripped_of_all_it_nominates() {
        let mut fields = headers(&[
            ("connection", "Set-Cookie, \"odd\""),
            ("set-cookie", "a=1"),
            ("proxy-authenticate", "Basic"),
            ("content-type", "text/plain"),
        ]);
        strip_response(&mut fields);
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["content-type"]); // HB-15, HB-19
        let mut fields = headers(&[
            ("forwarded", "for=192.0.2.1"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-kept", "1"),
        ]);
        strip_response(&mut fields);
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["x-kept"]); // FB-12
    }

    #[test]
    fn a_trailer_is_kept_unless_nominated_or_out_of_place() {
        let stripped = strip_request(&mut headers(&[("connection", "X-T")])).unwrap();
        let mut trailers = headers(&[
            ("x-t", "nominated"), // HB-21
            ("content-length", "1"),
            ("host", "a"),
            ("authorization", "x"),
            ("mcp-session-id", "x"), // HB-22
            ("grpc-status", "0"),
            ("x-kept", "1"), // HB-20
        ]);
        stripped.into_trailer_rule().apply(&mut trailers);
        let mut left: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["grpc-status", "x-kept"]);
    }

    proptest::proptest! {
        #[test]
        fn stripping_twice_is_stripping_once(
            connection in "[a-z ,-]{0,30}",
            names in proptest::collection::vec("(te|upgrade|keep-alive|x-a|x-b|via)", 0..5),
        ) {
            let mut lines = vec![("connection", connection.as_str())];
            lines.extend(names.iter().map(|name| (name.as_str(), "1")));
            let mut once = headers(&lines);
            if strip_request(&mut once).is_ok() {
                let mut twice = once.clone();
                strip_request(&mut twice).unwrap();
                proptest::prop_assert_eq!(&once, &twice);
                proptest::prop_assert!(!once.keys().any(is_hop_by_hop));
            }
        }
    }
}
