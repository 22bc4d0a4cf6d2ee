//! Whether a request without a session id is MCP or plain HTTP. Pure.
//!
//! It is MCP if it claims a version, accepts an event stream by name, or goes to an endpoint. A client can easily omit
//! these, so plain HTTP must not be a privilege: a client does not get a session that a plain response opens.
//!
//! Wildcards in `Accept` do not count, since every HTTP client sends them. Other unusual forms count: an event stream
//! with quality zero or inside a quoted string, a version that does not exist or is repeated.

use bartizan_core::{fields::media, mcp};
use http::{
    HeaderMap, Method, Request,
    header::{HeaderName, ORIGIN},
};

use crate::endpoints::{Endpoints, leads_below};

/// The rules that apply to a request without a session id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// The rules of MCP.
    Mcp,
    /// No rules: it belongs to something else that the same server offers.
    Plain,
}

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The kind of a request without a session id.
pub(crate) fn of<B>(request: &Request<B>, endpoints: &Endpoints) -> Kind {
    let headers = request.headers();
    let is_mcp = headers.contains_key(&mcp::PROTOCOL_VERSION)
        || media::accepts_event_stream(headers)
        || endpoints.contain(request.uri().path());
    if is_mcp { Kind::Mcp } else { Kind::Plain }
}

/// Whether a request asks for metadata, which clients must be able to read before they have a session. They send their
/// protocol version with it.
///
/// The well-known part may follow the path of an issuer
/// ([OpenID Connect Discovery 1.0 §4](https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig)).
pub(crate) fn asks_for_metadata<B>(request: &Request<B>) -> bool {
    let path = request.uri().path();
    // A path that a server may resolve to another place is not metadata.
    *request.method() == Method::GET
        && path.contains("/.well-known/")
        && leads_below(path, ".well-known")
}

/// Whether a web page may have sent this POST without the server's consent: it comes from a browser, and its content
/// type is not JSON and may not need a preflight ([Fetch, CORS
/// protocol](https://fetch.spec.whatwg.org/#cors-safelisted-request-header)).
pub(crate) fn may_be_forged(headers: &HeaderMap) -> bool {
    let is_browsers = headers.contains_key(ORIGIN) || headers.contains_key(&SEC_FETCH_SITE);
    is_browsers && !media::is_json(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str, fields: &[(&str, &str)]) -> Request<()> {
        let request = Request::builder().method(method).uri(uri);
        let with_fields =
            fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        with_fields.body(()).unwrap()
    }

    #[test]
    fn each_criterion_makes_a_request_mcps_and_nothing_else_does() {
        for (uri, name, value, kind) in [
            ("/other", "mcp-protocol-version", "2025-11-25", Kind::Mcp),
            ("/other", "mcp-protocol-version", "2026-07-28", Kind::Mcp),
            ("/other", "mcp-protocol-version", "", Kind::Mcp),
            ("/other", "accept", "text/event-stream", Kind::Mcp),
            ("/other", "accept", "application/json, Text/EVENT-Stream;q=0", Kind::Mcp),
            ("/other", "accept", "application/json,text/event-stream ; q=0.1", Kind::Mcp),
            ("/other", "accept", "*/*", Kind::Plain),
            ("/other", "accept", "text/*", Kind::Plain),
            ("/other", "accept", "text/event-streams", Kind::Plain),
            ("/other", "accept", "application/json", Kind::Plain),
            ("/other", "content-type", "text/event-stream", Kind::Plain),
            ("/other", "mcp-method", "tools/list", Kind::Plain),
            ("/mcp", "accept", "*/*", Kind::Mcp),
            ("/mcp/", "accept", "*/*", Kind::Mcp),
            ("/%6dcp?x", "accept", "*/*", Kind::Mcp),
            ("http://host:1/mcp", "accept", "*/*", Kind::Mcp),
            ("http://mcp/", "accept", "*/*", Kind::Plain),
            ("/?x=/mcp", "accept", "*/*", Kind::Plain),
            ("*", "accept", "*/*", Kind::Plain),
        ] {
            let request = request("GET", uri, &[(name, value)]);
            assert_eq!(of(&request, &Endpoints::Default), kind, "{uri} {name}: {value}");
            assert_eq!(of(&request, &Endpoints::Every), Kind::Mcp, "{uri} {name}: {value}");
        }
        // The second line of a list is read, too.
        let second =
            request("POST", "/other", &[("accept", "*/*"), ("accept", "text/event-stream")]);
        assert_eq!(of(&second, &Endpoints::Default), Kind::Mcp);
    }

    #[test]
    fn metadata_is_asked_for_by_get_below_a_well_known_path() {
        for (method, uri, expected) in [
            ("GET", "/.well-known/oauth-protected-resource/mcp", true),
            ("GET", "/tenant/.well-known/openid-configuration", true),
            ("POST", "/.well-known/oauth-protected-resource", false),
            ("GET", "/x.well-known/y", false),
            ("GET", "/mcp?/.well-known/", false),
            ("GET", "/.well-known/../mcp", false),
            ("GET", "/.well-known/%2e%2e/mcp", false),
            ("GET", "/.well-known/..%2fmcp", false),
            ("GET", "/.well-known/..\\mcp", false),
            ("GET", "/.well-known/..;x/mcp", false),
            ("GET", "/.well-known/%252e%252e/mcp", false),
            ("GET", "/.well-known/a/../../mcp", false),
            ("GET", "/mcp/.well-known/..", false),
            ("GET", "/.well-known/", false),
            ("GET", "/.well-known/a/../b", true),
            ("GET", "/.well-known/oauth-authorization-server/tenant%20a", true),
        ] {
            assert_eq!(asks_for_metadata(&request(method, uri, &[])), expected, "{method} {uri}");
        }
    }

    #[test]
    fn a_browsers_request_is_taken_for_forged_unless_it_has_json() {
        for (fields, expected) in [
            (&[("origin", "https://a"), ("content-type", "text/plain")][..], true),
            (&[("origin", "null")], true),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("content-type", "text/plain;application/json"),
                ],
                true,
            ),
            (
                &[("origin", "https://a"), ("content-type", "application/json; charset=utf-8")],
                false,
            ),
            (&[("content-type", "text/plain")], false),
            (&[], false),
        ] {
            assert_eq!(
                may_be_forged(request("POST", "/mcp", fields).headers()),
                expected,
                "{fields:?}"
            );
        }
    }
}
