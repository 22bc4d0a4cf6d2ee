//! The parts of a JSON-RPC body that matter to a proxy, without parsing it into a tree.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::refusal::RequestId;

/// The content of a POST body.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Content {
    /// One message.
    Message(Message),
    /// An array of messages.
    Batch {
        /// How many elements it has.
        len: usize,
        /// Whether an element states its own version, as modern requests do.
        claims_version: bool,
    },
}

/// One JSON-RPC message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    method: Option<Box<str>>,
    id: Option<RequestId>,
    meta_version: Option<Box<str>>,
}

/// The error when a body is not a JSON-RPC message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotJsonRpc(());

impl Content {
    /// Reads a whole body, to its end: if a member appears twice, a reader that stops early might
    /// see a different one than the backend.
    ///
    /// # Errors
    ///
    /// If `body` is not JSON or not an object or array, has a duplicate member, an id that is
    /// neither a string nor a number, or neither a method nor an id.
    pub fn parse(body: &[u8]) -> Result<Self, NotJsonRpc> {
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
        match first {
            Some(b'{') => Message::parse(body).map(Self::Message),
            Some(b'[') => parse_batch(body),
            _ => Err(NotJsonRpc(())),
        }
    }
}

/// The id of the request in a whole body, without reading its parameters. `None` if the body is a notification, a
/// response, a batch, or not a message.
///
/// A response has the id of a request from the server: a refusal with that id would seem to be about one of the
/// client's requests.
#[must_use]
pub fn request_id(body: &[u8]) -> Option<RequestId> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let raw: RawMessage<'_> = parse(body).ok()?;
    let id = raw.id().ok()?;
    raw.method.and(id)
}

impl Message {
    fn parse(body: &[u8]) -> Result<Self, NotJsonRpc> {
        let raw: RawMessage<'_> = parse(body)?;
        let id = raw.id()?;
        if raw.method.is_none() && id.is_none() {
            return Err(NotJsonRpc(()));
        }
        let meta_version = match raw.params {
            Some(params) => version_in(params)?,
            None => None,
        };
        Ok(Self { method: raw.method.map(|method| method.into()), id, meta_version })
    }

    /// The method; `None` for a response.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// The id; `None` for a notification.
    #[must_use]
    pub fn id(&self) -> Option<&RequestId> {
        self.id.as_ref()
    }

    /// The id that a refusal echoes: that of a request. `None` for a notification, and for a response, whose id is that
    /// of a request from the server.
    #[must_use]
    pub fn request_id(&self) -> Option<&RequestId> {
        self.id().filter(|_| !self.is_response())
    }

    /// The version in `params._meta`, where modern requests state it.
    #[must_use]
    pub fn meta_version(&self) -> Option<&str> {
        self.meta_version.as_deref()
    }

    /// Whether it asks for a session: an `initialize` request.
    #[must_use]
    pub fn is_initialize(&self) -> bool {
        self.id.is_some() && self.method() == Some("initialize")
    }

    /// Whether it answers a request from the server.
    #[must_use]
    pub fn is_response(&self) -> bool {
        self.method.is_none()
    }
}

#[derive(Deserialize)]
struct RawMessage<'a> {
    #[serde(borrow)]
    jsonrpc: Option<Cow<'a, str>>,
    // A `null` id must differ from a missing id.
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

impl RawMessage<'_> {
    /// The id, if there is one and the JSON-RPC version is right.
    fn id(&self) -> Result<Option<RequestId>, NotJsonRpc> {
        if self.jsonrpc != Some("2.0".into()) {
            return Err(NotJsonRpc(()));
        }
        self.id.map(|id| RequestId::from_raw(id.get()).ok_or(NotJsonRpc(()))).transpose()
    }
}

#[derive(Deserialize)]
struct RawParams<'a> {
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawMeta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<Cow<'a, str>>,
}

fn parse_batch(body: &[u8]) -> Result<Content, NotJsonRpc> {
    let elements: Vec<&RawValue> = parse(body)?;
    let mut claims_version = false;
    for element in &elements {
        let element: RawMessage<'_> = parse(element.get().as_bytes())?;
        if let Some(params) = element.params {
            claims_version |= version_in(params)?.is_some();
        }
    }
    Ok(Content::Batch { len: elements.len(), claims_version })
}

fn version_in(params: &RawValue) -> Result<Option<Box<str>>, NotJsonRpc> {
    // Only an object has `_meta`. serde would also read an array into a struct, member by member.
    if !params.get().starts_with('{') {
        return Ok(None);
    }
    let params: RawParams<'_> = parse(params.get().as_bytes())?;
    let Some(meta) = params.meta.filter(|meta| meta.get().starts_with('{')) else {
        return Ok(None);
    };
    let meta: RawMeta<'_> = parse(meta.get().as_bytes())?;
    Ok(meta.version.map(|version| version.into()))
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, NotJsonRpc> {
    serde_json::from_slice(bytes).map_err(|_| NotJsonRpc(()))
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

impl fmt::Display for NotJsonRpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body is not a JSON-RPC message")
    }
}

impl std::error::Error for NotJsonRpc {}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> Message {
        match Content::parse(body.as_bytes()) {
            Ok(Content::Message(message)) => message,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn an_id_is_kept_byte_for_byte() {
        for id in ["1", "\"1\"", "9007199254740993", "1.5", r#""a\"\\\u2028\ud800""#, "-7", "0"] {
            let read = message(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#));
            assert_eq!(read.id().unwrap().as_raw(), id); // JR-1 to JR-4, JR-10
        }
        let notification = message(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        assert_eq!(notification.id(), None); // JR-6
    }

    #[test]
    fn only_a_request_has_an_id_to_echo() {
        for (body, id) in [
            (r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#, Some("7")),
            (
                r#" {"params":{"_meta":7},"method":"ping","id":"a\"b","jsonrpc":"2.0"}"#,
                Some(r#""a\"b""#),
            ),
            (r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"id":7}}"#, None),
            (r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, None),
            (r#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"m"}}"#, None),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, None),
            (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, None),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, None),
            (r#"{"id":7,"method":"ping"}"#, None),
            (r#"{"jsonrpc":"2.0","id":7,"method":"ping","params":{}"#, None),
            (r#"[{"jsonrpc":"2.0","id":7,"method":"ping"}]"#, None),
            (r#"["2.0",7,"ping",{}]"#, None),
            ("", None),
        ] {
            let found = request_id(body.as_bytes());
            assert_eq!(found.as_ref().map(RequestId::as_raw), id, "{body}");
            if let Ok(Content::Message(message)) = Content::parse(body.as_bytes()) {
                assert_eq!(message.request_id().map(RequestId::as_raw), id, "{body}");
            }
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for body in [
            "",
            " ",
            "nonsense",
            "\"text\"",
            "7",
            "{}",
            "{",
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, // JR-5
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, // JR-7
            r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,   // JR-9
            r#"{"jsonrpc":"2.0","id":[],"method":"ping"}"#,   // JR-9
            r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"initialize"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"} x"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{},"_meta":{}}}"#,
            r#"[7]"#,
        ] {
            assert!(Content::parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Content::parse(b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}").is_err());
    }

    /// A stack overflow would end the process.
    #[test]
    fn depth_takes_no_stack() {
        let deep = |open: &str, close: &str| open.repeat(20_000) + "1" + &close.repeat(20_000);
        let values = [deep("[", "]"), deep(r#"{"a":"#, "}"), "[".repeat(60_000)];
        let bodies = values.into_iter().flat_map(|value| {
            [
                value.clone(),
                format!("[{value}]"),
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{value}}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"_meta":{value}}}}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","other":{value}}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":{value},"method":"x"}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":{value}}}"#),
            ]
        });
        for body in bodies {
            let read = std::thread::Builder::new().stack_size(64 * 1024);
            read.spawn(move || Content::parse(body.as_bytes()).is_ok()).unwrap().join().unwrap();
        }
    }

    /// A body that other parsers might read differently is not accepted as a message.
    #[test]
    fn what_readers_disagree_on_is_refused() {
        for body in [
            "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"}",
            r#"{"jsonrpc":"2.0","id":1,"method":"x","m\u0065thod":"initialize"}"#,
            r#"{"jsonrpc":"2.0","id":1,"i\u0064":2,"method":"initialize"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}{}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize",}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize"/**/}"#,
            r#"{"jsonrpc":"2.0","id":01,"method":"initialize"}"#,
            r#"{"jsonrpc":"2.0","id":NaN,"method":"initialize"}"#,
            "{\"jsonrpc\":\"2.0\",\"id\":\"a\nb\",\"method\":\"initialize\"}",
        ] {
            assert!(Content::parse(body.as_bytes()).is_err(), "{body}");
        }
        // It is a message, but not a request for a session.
        for body in [
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize\u0000"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"Initialize"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"method":"initialize"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"METHOD":"initialize"}"#,
        ] {
            assert!(!message(body).is_initialize(), "{body}");
        }
    }

    #[test]
    fn the_kind_of_a_message_is_told() {
        let initialize = message(r#"{"method":"initialize","params":{},"id":1,"jsonrpc":"2.0"}"#);
        assert!(initialize.is_initialize() && !initialize.is_response());
        assert!(message(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).is_response());
        // A method with escapes is the same method.
        assert!(message(r#"{"jsonrpc":"2.0","id":1,"method":"initi\u0061lize"}"#).is_initialize());
        assert!(!message(r#"{"jsonrpc":"2.0","method":"initialize"}"#).is_initialize());
    }

    #[test]
    fn the_version_in_the_envelope_is_found_and_nowhere_else() {
        let version = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
        let of = |params: &str| {
            let body =
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{params}}}"#);
            message(&body).meta_version().map(str::to_owned)
        };
        assert_eq!(of(&format!(r#"{{"_meta":{version}}}"#)).as_deref(), Some("2026-07-28"));
        for params in [version.to_owned(), format!("[{version}]"), r#"{"_meta":7}"#.into()] {
            assert_eq!(of(&params), None, "{params}");
        }
    }

    #[test]
    fn a_batch_is_counted_and_searched_for_versions() {
        let modern = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        let legacy = r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#;
        for (body, len, claims_version) in [
            ("[]".to_owned(), 0, false),                 // ED-20
            (format!("[{legacy},{legacy}]"), 2, false),  // ED-17
            (format!(" [{legacy}, {modern}]"), 2, true), // ED-19
        ] {
            let read = Content::parse(body.as_bytes()).unwrap();
            assert_eq!(read, Content::Batch { len, claims_version }, "{body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(0u8.., 0..200)) {
            let _ = Content::parse(&body);
        }

        #[test]
        fn a_string_id_survives(id in "[^\u{0}-\u{1f}\"\\\\]{0,20}") {
            let body = format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"x"}}"#);
            let read = message(&body);
            let expected = format!("\"{id}\"");
            proptest::prop_assert_eq!(read.id().unwrap().as_raw(), expected);
        }
    }
}
