//! The format of a refusal.

use http::HeaderMap;

use crate::{fields::media, mcp};

/// The format of a refusal.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Dialect {
    /// A problem document, for plain HTTP.
    #[default]
    Problem,
    /// A JSON-RPC error, with the id of the request where it was read.
    JsonRpc(Option<RequestId>),
    /// A trailers-only gRPC response.
    Grpc,
}

/// The id of a JSON-RPC request, byte for byte as the client sent it: a JSON string or number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestId(Box<str>);

impl Dialect {
    /// The format for a request with `headers`: gRPC by content type, MCP by its own fields, else plain
    /// HTTP.
    #[must_use]
    pub fn detect(headers: &HeaderMap) -> Self {
        if media::is_grpc(headers) {
            return Self::Grpc;
        }
        let speaks_mcp = [&mcp::SESSION_ID, &mcp::PROTOCOL_VERSION, &mcp::METHOD]
            .into_iter()
            .any(|name| headers.contains_key(name));
        if speaks_mcp { Self::JsonRpc(None) } else { Self::Problem }
    }

    /// The format of a refusal that replaces another one, which has `headers`.
    #[must_use]
    pub fn like(headers: &HeaderMap) -> Self {
        if media::is_grpc(headers) {
            return Self::Grpc;
        }
        if media::is_json(headers) { Self::JsonRpc(None) } else { Self::Problem }
    }

    /// This format, unless the request is gRPC, which always gets a gRPC response.
    #[must_use]
    pub fn unless_grpc(self, headers: &HeaderMap) -> Self {
        if media::is_grpc(headers) { Self::Grpc } else { self }
    }
}

impl RequestId {
    /// Takes `raw`, which must be a JSON string or number, exactly as in the body.
    #[must_use]
    pub fn from_raw(raw: &str) -> Option<Self> {
        let first = raw.bytes().next()?;
        (first == b'"' || first == b'-' || first.is_ascii_digit()).then(|| Self(raw.into()))
    }

    /// The id as JSON.
    #[must_use]
    pub fn as_raw(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_told_by_the_fields() {
        let headers = |name: &str, value: &str| {
            let name: http::HeaderName = name.parse().unwrap();
            HeaderMap::from_iter([(name, value.parse().unwrap())])
        };
        for (name, value, expected) in [
            ("content-type", "application/grpc", Dialect::Grpc),
            ("content-type", "application/grpc+proto", Dialect::Grpc),
            ("content-type", "application/grpc-web", Dialect::Problem),
            ("content-type", "application/json", Dialect::Problem),
            ("mcp-session-id", "x", Dialect::JsonRpc(None)),
            ("MCP-Protocol-Version", "x", Dialect::JsonRpc(None)),
        ] {
            assert_eq!(Dialect::detect(&headers(name, value)), expected, "{name}: {value}");
        }
    }

    #[test]
    fn only_a_string_or_a_number_is_an_id() {
        for raw in ["1", "-1", "\"1\"", "1.5", "9007199254740993"] {
            assert_eq!(RequestId::from_raw(raw).unwrap().as_raw(), raw);
        }
        for raw in ["", "null", "{}", "[]", "true"] {
            assert!(RequestId::from_raw(raw).is_none(), "{raw}");
        }
    }
}
