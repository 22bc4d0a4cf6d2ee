//! Judges a request by its head, and by its body if the head is not enough. Pure.

use bartizan_core::{
    Reason, Refusal, SessionId, Work,
    fields::{list, only_line},
    mcp::{Claim, Content, ProtocolVersion},
    refusal::RequestId,
};
use http::{HeaderMap, HeaderName, Method, Request};

use crate::{
    config::{Config, Protocol, Sessionless},
    kind::{self, Kind},
};

/// The verdict on the head of a request.
#[derive(Debug)]
pub(crate) enum Verdict<'a> {
    /// It has a well-formed id: look it up.
    Lookup(&'a [u8]),
    /// It continues without a session, and its response may open one.
    Forward(Work),
    /// It continues without a session, and its response must not open one.
    Pass,
    /// Its body must be read first.
    Peek(Purpose),
    /// It is refused.
    Refuse(Refusal),
}

/// Why the body of a request is read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// To decide about a request without a session.
    Judge,
    /// To see whether a request with an id that was not found asks for a new session.
    UnknownId,
}

/// The verdict on the body of a request without a session.
#[derive(Debug)]
pub(crate) enum BodyVerdict {
    /// It continues, and its response may open a session.
    Forward(Work, Option<RequestId>),
    /// It is refused.
    Refuse(Reason, Option<RequestId>),
}

/// Whether the body of a request may have a JSON-RPC id, and ask for a session.
pub(crate) fn may_have_id<B>(request: &Request<B>, protocol: Protocol) -> bool {
    protocol == Protocol::Mcp && request.method() == Method::POST
}

/// Judges the head of a request.
#[inline]
pub(crate) fn head<'a, B, T>(request: &'a Request<B>, config: &Config<T>) -> Verdict<'a> {
    let Config { protocol, sessionless, .. } = *config;
    let shown = session_id(request.headers(), &config.header);
    if protocol == Protocol::Mcp {
        if matches!(shown, Ok(None)) && kind::of(request, &config.endpoints) == Kind::Plain {
            return Verdict::Pass;
        }
        match *request.method() {
            Method::GET | Method::POST | Method::DELETE => {}
            Method::OPTIONS => return Verdict::Pass,
            _ => return not_allowed("GET, POST, DELETE, OPTIONS"),
        }
    }
    match shown {
        Ok(Some(id)) => Verdict::Lookup(id),
        Ok(None) => match protocol {
            Protocol::Mcp => head_without_session(request, sessionless),
            Protocol::Header if sessionless == Sessionless::Forward => {
                Verdict::Forward(Work::MayOpen)
            }
            Protocol::Header => Verdict::Refuse(Reason::MissingSessionId.into()),
        },
        Err(reason) => Verdict::Refuse(reason.into()),
    }
}

fn head_without_session<B>(request: &Request<B>, sessionless: Sessionless) -> Verdict<'_> {
    let claim = Claim::of(request.headers());
    let forwards = sessionless == Sessionless::Forward;
    match *request.method() {
        Method::POST if kind::may_be_forged(request.headers()) => {
            Verdict::Refuse(Reason::UnsupportedMediaType.into())
        }
        Method::POST if claim.is_modern() => Verdict::Pass,
        Method::POST if claim == Claim::Repeated => Verdict::Refuse(Reason::HeaderMismatch.into()),
        Method::POST => Verdict::Peek(Purpose::Judge),
        _ if kind::asks_for_metadata(request) => Verdict::Pass,
        _ if claim.is_modern() => not_allowed("POST"),
        _ if forwards => Verdict::Forward(Work::MayOpen),
        Method::GET => not_allowed("POST, DELETE"),
        _ => Verdict::Refuse(Reason::MissingSessionId.into()),
    }
}

/// Judges the body of an MCP request without a session whose header does not claim the modern era;
/// `body` is `None` if it is not JSON-RPC.
pub(crate) fn body(
    headers: &HeaderMap,
    body: Option<Content>,
    sessionless: Sessionless,
) -> BodyVerdict {
    let claim = Claim::of(headers);
    let forwards = sessionless == Sessionless::Forward;
    match body {
        None if forwards => BodyVerdict::Forward(Work::MayOpen, None),
        None => BodyVerdict::Refuse(Reason::MalformedBody, None),
        Some(Content::Batch { len, claims_version }) => {
            let legal = len > 0 && !claims_version && may_batch(claim);
            match (legal, forwards) {
                (true, true) => BodyVerdict::Forward(Work::MayOpen, None),
                (true, false) => BodyVerdict::Refuse(Reason::MissingSessionId, None),
                (false, _) => BodyVerdict::Refuse(Reason::BatchNotAllowed, None),
            }
        }
        Some(Content::Message(message)) => {
            let id = message.request_id().cloned();
            match (message.meta_version(), claim) {
                // A revision that is newer than this code: the backend decides whether it supports
                // it.
                (Some(version), Claim::Unknown(claimed)) if claimed == version.as_bytes() => {
                    BodyVerdict::Forward(Work::Free, id)
                }
                (Some(_), _) => BodyVerdict::Refuse(Reason::HeaderMismatch, id),
                (None, _) if message.is_initialize() => BodyVerdict::Forward(Work::Opening, id),
                (None, Claim::Unknown(_)) => BodyVerdict::Refuse(Reason::UnknownVersion, id),
                (None, _) if forwards => BodyVerdict::Forward(Work::MayOpen, id),
                (None, _) => BodyVerdict::Refuse(Reason::MissingSessionId, id),
            }
        }
        // `Content` may get more variants; unknown ones are refused.
        Some(_) => BodyVerdict::Refuse(Reason::MalformedBody, None),
    }
}

/// The one session id in `headers`, without the white space around it.
///
/// The field is not a list: a comma is part of the id, and a second line is an error even if it repeats the first (RFC
/// 9110 §5.3).
pub(crate) fn session_id<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a [u8]>, Reason> {
    let line = only_line(headers, name).map_err(|_| Reason::MalformedSessionId)?;
    let Some(line) = line else { return Ok(None) };
    let id = list::trim(line.as_bytes());
    if SessionId::is_valid(id) { Ok(Some(id)) } else { Err(Reason::MalformedSessionId) }
}

fn may_batch(claim: Claim<'_>) -> bool {
    match claim {
        Claim::Absent => true,
        Claim::Known(version) => ProtocolVersion::has_batches(version),
        _ => false,
    }
}

fn not_allowed<'a>(allow: &'static str) -> Verdict<'a> {
    Verdict::Refuse(Refusal::new(Reason::MethodNotAllowed).allow(allow))
}
