//! What is recorded about a request, and its line: a JSON object. Pure.
//!
//! | member | what |
//! |---|---|
//! | `time` | when the request ended, in UTC |
//! | `client` | the client's address, as trusted proxies report it, or the peer's |
//! | `method`, `path` | of the request; the path without its query, cut at 1,024 bytes |
//! | `status` | of the response; null if the client went away before there was one |
//! | `reason` | why this gateway refused the request, if it did |
//! | `backend` | the backend that the request was last forwarded to |
//! | `head_ms`, `total_ms` | from the arrival of the request to the head and to the end of the response |
//! | `request_bytes` | its declared length; null if it was not declared |
//! | `response_bytes` | how much of the response body was sent |
//! | `session` | a short hash of the session id, keyed differently in each process; never the id |
//! | `end` | `complete`; `cut` if the client went away, or the gateway stopped; `failed` if the body broke off |

use std::{
    fmt::{self, Write},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bartizan::{
    Backend,
    core::{Reason, session::Fingerprint},
};
use http::{Method, StatusCode};

/// The longest path that is recorded, in bytes.
pub(super) const MAX_PATH_BYTES: usize = 1_024;

/// How a response ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum End {
    #[default]
    Cut,
    Failed,
    Complete,
}

/// What is known where a request is forwarded.
#[derive(Clone, Debug, Default)]
pub(super) struct Noted {
    pub(super) backend: Option<Backend>,
    pub(super) client: Option<IpAddr>,
}

/// What the outermost and the innermost layer share about one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Note(Arc<Mutex<Noted>>);

impl Note {
    pub(super) fn write(&self, noted: Noted) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = noted;
    }

    fn read(&self) -> Noted {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What is recorded about one request.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) peer: Option<IpAddr>,
    pub(super) method: Method,
    pub(super) path: Box<str>,
    pub(super) status: Option<StatusCode>,
    pub(super) reason: Option<Reason>,
    pub(super) note: Note,
    pub(super) head: Option<Duration>,
    pub(super) total: Duration,
    pub(super) ended: SystemTime,
    pub(super) request_bytes: Option<u64>,
    pub(super) response_bytes: u64,
    pub(super) session: Option<Fingerprint>,
    pub(super) end: End,
}

impl Entry {
    /// Appends the line, with its end.
    pub(super) fn write(&self, line: &mut String) {
        let Noted { backend, client } = self.note.read();
        let client = client.or(self.peer);
        let time = humantime::format_rfc3339_millis(self.ended);
        // Writing to a string cannot fail.
        let _ = write!(line, r#"{{"time":"{time}","client":{}"#, Text(client));
        let _ = write!(
            line,
            r#","method":{},"path":{}"#,
            Text(Some(&self.method)),
            Text(Some(&self.path))
        );
        let _ = write!(line, r#","status":{}"#, Plain(self.status.map(|status| status.as_u16())));
        let _ = write!(line, r#","reason":{}"#, Text(self.reason.map(Name)));
        let backend = backend.as_ref().map(|backend| backend.id().as_str());
        let _ = write!(line, r#","backend":{}"#, Text(backend));
        let _ = write!(
            line,
            r#","head_ms":{},"total_ms":{}"#,
            Plain(self.head.map(Millis)),
            Millis(self.total)
        );
        let _ = write!(line, r#","request_bytes":{}"#, Plain(self.request_bytes));
        let _ = write!(line, r#","response_bytes":{}"#, self.response_bytes);
        let _ =
            write!(line, r#","session":{},"end":"{}"}}"#, Text(self.session), self.end.as_str());
        line.push('\n');
    }
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Failed => "failed",
            Self::Complete => "complete",
        }
    }
}

/// The part of `path` that is recorded.
pub(super) fn recorded(path: &str) -> Box<str> {
    let mut end = path.len().min(MAX_PATH_BYTES);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    path.get(..end).unwrap_or_default().into()
}

/// Writes a value as a JSON string, or null.
struct Text<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(value) = &self.0 else { return f.write_str("null") };
        match serde_json::to_string(&value.to_string()) {
            Ok(text) => f.write_str(&text),
            Err(_) => Err(fmt::Error),
        }
    }
}

/// Writes a value as it is, or null.
struct Plain<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}

/// A reason by its name, not its text.
struct Name(Reason);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Milliseconds with three decimals.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}.{:03}", micros / 1_000, micros % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_json_object_whatever_is_in_it() {
        let note = Note::default();
        let mut entry = Entry {
            peer: Some([10, 0, 0, 1].into()),
            method: Method::POST,
            path: recorded("/a\"b\\c\u{1}\u{e9}"),
            status: Some(StatusCode::NOT_FOUND),
            reason: Some(Reason::UnknownSession),
            note: note.clone(),
            head: Some(Duration::from_micros(1_234)),
            total: Duration::from_micros(56_007),
            ended: SystemTime::UNIX_EPOCH,
            request_bytes: Some(3),
            response_bytes: 4,
            session: Some(Fingerprint::of(b"secret-id")),
            end: End::Complete,
        };
        let mut line = String::new();
        entry.write(&mut line);
        assert!(line.ends_with("}\n") && line.lines().count() == 1, "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["path"], "/a\"b\\c\u{1}\u{e9}");
        assert_eq!(
            (&value["time"], &value["client"]),
            (&"1970-01-01T00:00:00.000Z".into(), &"10.0.0.1".into())
        );
        assert_eq!((&value["status"], &value["reason"]), (&404.into(), &"UnknownSession".into()));
        assert_eq!(
            (value["head_ms"].as_f64(), value["total_ms"].as_f64()),
            (Some(1.234), Some(56.007))
        );
        assert!(value["backend"].is_null() && value["session"].as_str().unwrap().len() == 16);

        note.write(Noted {
            backend: Some("http://b:1".parse().unwrap()),
            client: Some([192, 0, 2, 1].into()),
        });
        (entry.status, entry.head, entry.session, entry.reason) = (None, None, None, None);
        line.clear();
        entry.write(&mut line);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&value["backend"], &value["client"]),
            (&"http://b:1".into(), &"192.0.2.1".into())
        );
        for name in ["status", "head_ms", "session", "reason"] {
            assert!(value[name].is_null(), "{name}");
        }
    }

    #[test]
    fn a_long_path_is_cut_between_characters() {
        let long = format!("/{}", "\u{e9}".repeat(1_000));
        let path = recorded(&long);
        assert!(long.starts_with(&*path) && path.len() == MAX_PATH_BYTES - 1);
        assert_eq!(&*recorded("/mcp"), "/mcp");
    }
}
