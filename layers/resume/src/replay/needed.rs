//! The part of a client's `initialize` that is needed to open a similar session. Pure.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Deserialize, Serialize)]
struct Initialize<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Params<'a>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Params<'a> {
    #[serde(borrow)]
    protocol_version: Cow<'a, str>,
    #[serde(borrow)]
    capabilities: &'a RawValue,
    #[serde(borrow)]
    client_info: ClientInfo<'a>,
}

#[derive(Deserialize, Serialize)]
struct ClientInfo<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
}

/// The body of an `initialize`, unchanged if it has at most `limit_bytes`. For a larger one, the part that every
/// session needs ([MCP 2025-11-25,
/// Lifecycle](https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#initialization)): version,
/// capabilities, and the client's name and version. `None` if that is too large, too.
pub(crate) fn needed(body: Bytes, limit_bytes: usize) -> Option<Bytes> {
    if body.len() <= limit_bytes {
        return Some(body);
    }
    let initialize: Initialize<'_> = serde_json::from_slice(&body).ok()?;
    let needed = serde_json::to_vec(&initialize).ok()?;
    (needed.len() <= limit_bytes).then_some(needed.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(extra: usize) -> Bytes {
        let extra = "x".repeat(extra);
        format!(
            r#"{{"jsonrpc":"2.0","id":"a\u0041","method":"initialize","params":{{
            "protocolVersion":"2025-06-18","capabilities":{{"roots":{{"listChanged":true}}}},
            "clientInfo":{{"name":"c","version":"1","icons":["{extra}"]}},"_meta":{{"x":"{extra}"}}}}}}"#
        )
        .into()
    }

    #[test]
    fn a_small_body_is_kept_as_it_is_and_a_large_one_without_what_is_not_needed() {
        assert_eq!(needed(body(1), 1_000), Some(body(1)));
        let large = needed(body(8_000), 2_048).unwrap();
        let expected = r#"{"jsonrpc":"2.0","id":"a\u0041","method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"roots":{"listChanged":true}},"clientInfo":{"name":"c","version":"1"}}}"#;
        assert_eq!(large, expected);
    }

    #[test]
    fn one_that_is_too_large_all_the_same_or_no_initialize_is_not_kept() {
        assert_eq!(needed(body(8_000), 100), None);
        for bad in ["", "[]", "{}", r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#] {
            assert_eq!(needed(Bytes::from(bad.to_owned() + &" ".repeat(100)), 50), None, "{bad}");
        }
    }
}
