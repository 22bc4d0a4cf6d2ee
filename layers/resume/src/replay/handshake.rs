//! How a session was opened: the recorded data, and the requirements for another backend's answer. Pure.
//!
//! ```text
//! entry   = form(1) moved(1) content
//! form    = 1, as it is / 2, sealed / 0, the session ends (and nothing else)
//! content = length(2) version length(4) capabilities body
//! ```
//!
//! Lengths are big-endian; `capabilities` and `body` are JSON. `moved` is 1 once the session was resumed.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What a server agreed to in its response to `initialize`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Agreement {
    pub(crate) version: Box<str>,
    /// A JSON object.
    pub(crate) capabilities: Box<str>,
}

/// How a session was opened.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Handshake {
    pub(crate) agreement: Agreement,
    /// The body of the client's `initialize`.
    pub(crate) body: Bytes,
}

/// The findings so far in the response to `initialize`.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Scanned {
    Agreement(Agreement),
    /// An error, or no answer to `initialize` at all.
    Nothing,
    NotYet,
}

/// Reads the answer to `initialize`, one JSON message or a stream of events, as it comes.
pub(crate) struct Scan {
    is_event_stream: bool,
    /// What was read of one message, or of one event.
    text: BytesMut,
    /// How far the text was searched for the end of its event, and where the current line begins.
    at: usize,
    line: usize,
    limit_bytes: usize,
    read_bytes: usize,
}

#[derive(Deserialize)]
struct RawAnswer<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawResult<'a> {
    #[serde(borrow, rename = "protocolVersion")]
    version: Cow<'a, str>,
    #[serde(borrow)]
    capabilities: Option<&'a RawValue>,
}

impl Handshake {
    pub(crate) fn write(&self) -> Option<Vec<u8>> {
        let Agreement { version, capabilities } = &self.agreement;
        let version_len = u16::try_from(version.len()).ok()?.to_be_bytes();
        let capabilities_len = u32::try_from(capabilities.len()).ok()?.to_be_bytes();
        Some(
            [
                &version_len[..],
                version.as_bytes(),
                &capabilities_len,
                capabilities.as_bytes(),
                &self.body,
            ]
            .concat(),
        )
    }

    pub(crate) fn read(content: &[u8]) -> Option<Self> {
        let (length, rest) = content.split_first_chunk()?;
        let (version, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (capabilities, body) = rest.split_at_checked(length)?;
        let agreement = Agreement {
            version: str::from_utf8(version).ok()?.into(),
            capabilities: str::from_utf8(capabilities).ok()?.into(),
        };
        Some(Self { agreement, body: Bytes::copy_from_slice(body) })
    }
}

impl Agreement {
    /// Whether `other` offers everything that `self` does.
    pub(crate) fn is_kept_by(&self, other: &Self) -> bool {
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
        self.version == other.version
            && is_within(&read(&self.capabilities), &read(&other.capabilities))
    }

    /// What a result of `initialize` says.
    fn of(result: &RawValue) -> Option<Self> {
        let result: RawResult<'_> = serde_json::from_str(result.get()).ok()?;
        let capabilities = result.capabilities.map_or("{}", RawValue::get);
        Some(Self { version: result.version.into(), capabilities: capabilities.into() })
    }
}

/// Whether `more` offers everything in `less`: each member that exists and is not switched off.
fn is_within(less: &serde_json::Value, more: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (less, more) {
        (Value::Null | Value::Bool(false), _) => true,
        (Value::Object(less), Value::Object(more)) => less
            .iter()
            .all(|(name, value)| is_within(value, more.get(name).unwrap_or(&Value::Null))),
        (less, more) => less == more,
    }
}

impl Scan {
    pub(crate) fn new(is_event_stream: bool, limit_bytes: usize) -> Self {
        Self { is_event_stream, text: BytesMut::new(), at: 0, line: 0, limit_bytes, read_bytes: 0 }
    }

    /// Reads on.
    pub(crate) fn push(&mut self, data: &[u8]) -> Scanned {
        self.read_bytes = self.read_bytes.saturating_add(data.len());
        self.text.extend_from_slice(data);
        if self.is_event_stream {
            while let Some(event) = self.next_event() {
                match message(&data_of(&event)) {
                    Scanned::NotYet => {}
                    found => return found,
                }
            }
        }
        if self.read_bytes > self.limit_bytes { Scanned::Nothing } else { Scanned::NotYet }
    }

    /// Takes the first event out, which ends with an empty line
    /// ([HTML §9.2.6](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream)).
    /// A line ends with CR LF, LF or CR; if an event ends with a CR, a following LF makes another, empty event.
    fn next_event(&mut self) -> Option<BytesMut> {
        while let Some(byte) = self.text.get(self.at) {
            let is_after_cr = self.at > 0 && self.text.get(self.at - 1) == Some(&b'\r');
            let ends_line = *byte == b'\r' || *byte == b'\n' && !is_after_cr;
            let is_empty = self.line == self.at;
            self.at += 1;
            if ends_line && is_empty {
                let end = std::mem::take(&mut self.at);
                self.line = 0;
                return Some(self.text.split_to(end));
            }
            if matches!(byte, b'\r' | b'\n') {
                self.line = self.at;
            }
        }
        None
    }

    /// The body has ended.
    pub(crate) fn end(self) -> Scanned {
        let found = if self.is_event_stream { Scanned::Nothing } else { message(&self.text) };
        if found == Scanned::NotYet { Scanned::Nothing } else { found }
    }
}

/// The result in one message; undecided if it is not a response.
fn message(text: &[u8]) -> Scanned {
    let Ok(answer) = serde_json::from_slice::<RawAnswer<'_>>(without_mark(text)) else {
        return Scanned::NotYet;
    };
    match (answer.result, answer.error) {
        (None, None) => Scanned::NotYet,
        (Some(result), None) => Agreement::of(result).map_or(Scanned::Nothing, Scanned::Agreement),
        _ => Scanned::Nothing,
    }
}

/// The text after an optional byte order mark, which some writers add and readers ignore.
fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// The data of an event: its `data` lines, joined.
fn data_of(event: &[u8]) -> Vec<u8> {
    let lines = without_mark(event).split(|byte| b"\r\n".contains(byte));
    let data = lines.filter_map(|line| {
        let value = line.strip_prefix(b"data:")?;
        Some(value.strip_prefix(b" ").unwrap_or(value))
    });
    data.collect::<Vec<_>>().join(&b'\n')
}

// Written by hand, so that logs do not contain what a client says about itself.
impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake")
            .field("version", &self.agreement.version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreement(version: &str, capabilities: &str) -> Agreement {
        Agreement { version: version.into(), capabilities: capabilities.into() }
    }

    #[test]
    fn what_was_written_is_read() {
        let handshake = Handshake {
            agreement: agreement("2025-06-18", r#"{"tools":{}}"#),
            body: Bytes::from("body"),
        };
        assert_eq!(Handshake::read(&handshake.write().unwrap()), Some(handshake));
        assert_eq!(Handshake::read(b""), None);
        assert_eq!(Handshake::read(&[0, 9, b'x']), None);
    }

    #[test]
    fn a_server_keeps_an_agreement_if_it_offers_no_less() {
        let old = agreement("v", r#"{"tools":{"listChanged":true},"prompts":{},"x":false}"#);
        for (version, capabilities, keeps) in [
            ("v", r#"{"tools":{"listChanged":true},"prompts":{}}"#, true),
            ("v", r#"{"tools":{"listChanged":true,"more":1},"prompts":{},"logging":{}}"#, true),
            ("w", r#"{"tools":{"listChanged":true},"prompts":{}}"#, false),
            ("v", r#"{"tools":{"listChanged":false},"prompts":{}}"#, false),
            ("v", r#"{"tools":{},"prompts":{}}"#, false),
            ("v", r#"{"tools":{"listChanged":true}}"#, false),
            ("v", "7", false),
        ] {
            let new = agreement(version, capabilities);
            assert_eq!(old.is_kept_by(&new), keeps, "{version} {capabilities}");
        }
    }

    const RESULT: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"v","capabilities":{"tools":{}},"serverInfo":{}}}"#;

    fn scan(is_event_stream: bool, text: &str, step: usize) -> Scanned {
        let mut scan = Scan::new(is_event_stream, 1024);
        for piece in text.as_bytes().chunks(step) {
            match scan.push(piece) {
                Scanned::NotYet => {}
                found => return found,
            }
        }
        scan.end()
    }

    #[test]
    fn the_agreement_is_found_in_json_and_among_events_however_they_come() {
        let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;
        let events = format!(
            "id: 0\nretry: 3000\ndata: \n\n: ping\n\ndata: {log}\n\nid: 1\r\ndata:{RESULT}\r\n\r\n"
        );
        let found = Scanned::Agreement(agreement("v", r#"{"tools":{}}"#));
        let (with_cr, with_mark) = (events.replace("\r\n", "\n").replace('\n', "\r"), "\u{feff}");
        for step in 1..40 {
            assert_eq!(scan(false, RESULT, step), found);
            for events in [&events, &with_cr, &events.replace('\n', "\r\n")] {
                assert_eq!(scan(true, events, step), found, "{events:?}");
            }
            assert_eq!(scan(true, &format!("{with_mark}data:{RESULT}\n\n"), step), found);
            assert_eq!(scan(false, &format!("{with_mark} {RESULT}"), step), found);
        }
    }

    #[test]
    fn nothing_else_is_an_agreement() {
        let error = r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32603,"message":"no"}}"#;
        let no_version = r#"{"jsonrpc":"2.0","id":0,"result":{"capabilities":{}}}"#;
        for text in ["", "x", "{}", error, no_version, &" ".repeat(2000)] {
            assert_eq!(scan(false, text, 7), Scanned::Nothing, "{text}");
            assert_eq!(scan(true, &format!("data: {text}\n\n"), 7), Scanned::Nothing, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let _ = Handshake::read(&bytes);
            let _ = Scan::new(true, 40).push(&bytes);
        }
    }
}
