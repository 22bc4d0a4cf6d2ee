//! Whether a request has come round, and the marks it leaves with. Pure.
//!
//! The four evidences are independent: a client that resets one does not hide another.

use std::borrow::Cow;

use bartizan_core::{Passage, Reason, fields::hop_by_hop};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{self, ALLOW, CONTENT_TYPE, Entry, VIA},
};

use crate::{
    cdn_loop, count,
    layer::{Config, Count, Inbound, MaxForwards},
    max_forwards::{self, Ask},
    via,
};

const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// What becomes of a request that is not forwarded.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is refused, by this evidence.
    Refused(Reason, &'static str),
    /// It was meant for this proxy.
    Answered(Box<Response<Bytes>>),
}

/// Judges `request`, and marks it if it may pass.
pub(crate) fn judge<B>(config: &Config, request: &mut Request<B>) -> Result<(), Verdict> {
    // A hop behind this one would obey, and drop the marks.
    if hop_by_hop::nominates(request.headers(), |option| config.relies_on(option)) {
        return Err(Verdict::Refused(Reason::ProtectedField, "Connection"));
    }
    let begins_anew = begins_anew(config.inbound, request);
    if let Some(count) = &config.count {
        take_count(count, request.headers_mut(), begins_anew)?;
    }
    if let Some(own) = &config.via {
        let seen = via::look(request.headers().get_all(VIA).iter(), config.name.as_str());
        if seen.own > 0 || seen.members > own.max_members.get() {
            return Err(Verdict::Refused(Reason::LoopDetected, "Via"));
        }
        if let Some(line) = own.line(request.version()) {
            request.headers_mut().append(VIA, line);
        }
    }
    if let Some(own) = &config.cdn_loop {
        let id = own.id.to_str().unwrap_or_default();
        let passes = cdn_loop::passes(request.headers().get_all(CDN_LOOP).iter(), id);
        if passes >= own.passes.get() {
            return Err(Verdict::Refused(Reason::LoopDetected, "CDN-Loop"));
        }
        request.headers_mut().append(CDN_LOOP, own.id.clone());
    }
    match &config.max_forwards {
        Some(own) => take_max_forwards(*own, request),
        None => Ok(()),
    }
}

fn begins_anew<B>(inbound: Inbound, request: &Request<B>) -> bool {
    match inbound {
        Inbound::Counted => false,
        Inbound::Ignored => true,
        Inbound::CountedIfTrusted => {
            Passage::of(request).and_then(Passage::trusts_peer) == Some(false)
        }
    }
}

fn take_count(count: &Count, headers: &mut HeaderMap, begins_anew: bool) -> Result<(), Verdict> {
    #[cfg(feature = "seal")]
    if let Some((seal_name, keys)) = &count.seal {
        return take_sealed_count(count, (seal_name, keys), headers, begins_anew);
    }
    match headers.entry(count.header.clone()) {
        Entry::Vacant(entry) => {
            entry.insert(count::text(1));
        }
        Entry::Occupied(mut entry) => {
            let crossed = if begins_anew { Ok(0) } else { count::read(entry.iter()) };
            // In the place of all lines that came.
            entry.insert(count::text(next(count, crossed)?));
        }
    }
    Ok(())
}

#[cfg(feature = "seal")]
fn take_sealed_count(
    count: &Count,
    (seal_name, keys): (&HeaderName, &crate::SealKeys),
    headers: &mut HeaderMap,
    begins_anew: bool,
) -> Result<(), Verdict> {
    let crossed = if begins_anew
        || !(headers.contains_key(&count.header) || headers.contains_key(seal_name))
    {
        Ok(0)
    } else {
        let has_count = headers.contains_key(&count.header);
        let number =
            has_count.then(|| count::read(headers.get_all(&count.header).iter())).transpose();
        number.and_then(|number| {
            keys.open(headers, (&count.header, seal_name), number).map(|()| number.unwrap_or(0))
        })
    };
    let next = next(count, crossed)?;
    headers.insert(count.header.clone(), count::text(next));
    let seal = keys.seal(&count.header, next);
    headers.insert(seal_name.clone(), seal.ok_or(Verdict::Refused(Reason::Misconfigured, "seal"))?);
    Ok(())
}

/// The count that leaves, if the one that came may be exceeded.
fn next(count: &Count, crossed: Result<u32, count::Malformed>) -> Result<u32, Verdict> {
    let malformed = |_| Verdict::Refused(Reason::MalformedHopCount, "hop count");
    let crossed = crossed.map_err(malformed)?;
    if crossed >= count.limit.get() {
        return Err(Verdict::Refused(Reason::LoopDetected, "hop count"));
    }
    Ok(crossed.saturating_add(1))
}

fn take_max_forwards<B>(own: MaxForwards, request: &mut Request<B>) -> Result<(), Verdict> {
    let is_trace = *request.method() == Method::TRACE;
    if !is_trace && *request.method() != Method::OPTIONS {
        return Ok(());
    }
    if is_trace && !own.answers_trace {
        return Err(Verdict::Refused(Reason::MethodNotAllowed, "TRACE"));
    }
    let malformed = |_| Verdict::Refused(Reason::MalformedHopCount, "Max-Forwards");
    match max_forwards::read(request.headers(), own.own_max).map_err(malformed)? {
        Ask::Nothing => {}
        Ask::Forward(left) => {
            request.headers_mut().insert(header::MAX_FORWARDS, count::text(left));
        }
        Ask::Answer if is_trace => return Err(Verdict::Answered(Box::new(trace(request)))),
        Ask::Answer => return Err(Verdict::Answered(Box::new(options()))),
    }
    Ok(())
}

/// What this proxy forwards.
pub(crate) const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

fn options() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(ALLOWED));
    response
}

/// The head as it came here, with the marks that were just added, and without what authenticates
/// ([RFC 9110 §9.3.8](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.8)).
fn trace<B>(request: &Request<B>) -> Response<Bytes> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let mut text = format!("TRACE {target} HTTP/1.1\r\n").into_bytes();
    for (name, value) in request.headers().iter().filter(|(name, _)| !authenticates(name)) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            text.extend_from_slice(part);
        }
    }
    text.extend_from_slice(b"\r\n");
    let mut response = Response::new(Bytes::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("message/http"));
    response
}

fn authenticates(name: &HeaderName) -> bool {
    let name: Cow<'_, str> = name.as_str().into();
    let begins = ["client-cert", "mcp-session", "x-api", "x-auth"];
    matches!(&*name, "authorization" | "cookie" | "proxy-authorization")
        || begins.iter().any(|prefix| name.starts_with(prefix))
        || name.contains("token")
        || name.contains("secret")
        || name.ends_with("-seal")
}
