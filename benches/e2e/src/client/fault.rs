//! Wrong answers.

use std::{error, fmt, io};

/// Why a run does not count.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The connection failed, or ended before the answer.
    Connection(io::Error),
    /// Another status than 200: 404 is a session's answer from a backend that does not have it.
    Status(u16),
    /// The answer is not the one of the backend that opened the session.
    Body(String),
    /// An opened session without an id.
    NoSession,
    /// An event of a stream that does not follow the one before it.
    Event { expected: u64 },
    /// Nothing came for too long.
    Silence,
}

impl Fault {
    /// The connection ended where an answer should be.
    pub(crate) fn closed() -> Self {
        Self::Connection(io::ErrorKind::UnexpectedEof.into())
    }

    /// Whether a backend was asked that is not the session's.
    pub(crate) fn is_stray(&self) -> bool {
        matches!(self, Self::Status(404) | Self::Body(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => write!(f, "connection: {error}"),
            Self::Status(404) => f.write_str("status 404: not the backend of the session"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Body(body) => write!(f, "not the answer of the session's backend: {body:?}"),
            Self::NoSession => f.write_str("no session id in the answer that opens it"),
            Self::Event { expected } => write!(f, "event {expected} is missing"),
            Self::Silence => f.write_str("no answer in time"),
        }
    }
}

impl error::Error for Fault {}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}
