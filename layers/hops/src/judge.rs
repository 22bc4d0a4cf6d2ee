//! Decides whether a request is in a loop, and writes the fields for the next hop. Pure.
//!
//! The four signals are independent: a client that resets one does not hide another.

use std::borrow::Cow;

use bartizan_core::{Passage, Reason, fields::hop_by_hop};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{self, ALLOW, CONTENT_TYPE, Entry, VIA},
};

use crate::{
    cdn_loop::{self, CdnLoop},
    config::Config,
    count,
    hop_count::{HopCount, Inbound},
    max_forwards::{self, Ask, MaxForwards},
    verdict::{Pass, Refused, Signal, Verdict},
    via::{self, Via},
};

const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// Judges `request`, and writes the fields for the next hop if it may pass.
pub(crate) fn judge<B>(config: &Config, request: &mut Request<B>) -> Result<Pass, Verdict> {
    let (is_marked, trusts_peer) =
        Passage::with(request, |passage| (passage.meet_guard(&config.name), passage.trusts_peer()));
    if is_marked {
        return Ok(Pass::Unchanged);
    }
    // The next hop would obey, and drop these fields.
    if hop_by_hop::nominates(request.headers(), |option| config.relies_on(option)) {
        return Err(Refused::new(Reason::ProtectedField, Signal::Connection).into());
    }
    if let Some(count) = &config.count {
        take_count(count, request.headers_mut(), starts_at_zero(count.inbound, trusts_peer))?;
    }
    if let Some(via) = &config.via {
        take_via(config, via, request)?;
    }
    if let Some(own) = &config.cdn_loop {
        take_cdn_loop(own, request.headers_mut())?;
    }
    if let Some(own) = &config.max_forwards {
        take_max_forwards(*own, request)?;
    }
    Ok(Pass::Marked)
}

fn starts_at_zero(inbound: Inbound, trusts_peer: Option<bool>) -> bool {
    match inbound {
        Inbound::Counted => false,
        Inbound::Ignored => true,
        Inbound::CountedIfTrusted => trusts_peer == Some(false),
    }
}

fn take_count(
    count: &HopCount,
    headers: &mut HeaderMap,
    starts_at_zero: bool,
) -> Result<(), Refused> {
    #[cfg(feature = "sign")]
    if let Some(keys) = &count.keys {
        return take_signed_count(count, keys, headers, starts_at_zero);
    }
    match headers.entry(count.header.name()) {
        Entry::Vacant(entry) => {
            entry.insert(count::text(1));
        }
        Entry::Occupied(mut entry) => {
            let crossed = if starts_at_zero { Ok(0) } else { count::read(entry.iter()) };
            // Replaces all incoming lines.
            entry.insert(count::text(next(count, crossed)?));
        }
    }
    Ok(())
}

#[cfg(feature = "sign")]
fn take_signed_count(
    count: &HopCount,
    keys: &crate::signature::SigningKeys,
    headers: &mut HeaderMap,
    starts_at_zero: bool,
) -> Result<(), Refused> {
    let (name, signature_name) = (count.header.name(), count.header.signature());
    let is_new = !headers.contains_key(name) && !headers.contains_key(signature_name);
    let crossed = if starts_at_zero || is_new {
        Ok(0)
    } else {
        let has_count = headers.contains_key(name);
        let number = has_count.then(|| count::read(headers.get_all(name).iter())).transpose();
        number.and_then(|number| {
            keys.verify(headers, &count.header, number).map(|()| number.unwrap_or(0))
        })
    };
    let next = next(count, crossed)?;
    let signature = keys.sign(name, next);
    let signature =
        signature.ok_or(Refused::new(Reason::Misconfigured, Signal::UnreadableCount))?;
    headers.insert(name, count::text(next));
    headers.insert(signature_name, signature);
    Ok(())
}

/// The outgoing count, if the incoming one is below the limit.
fn next(count: &HopCount, crossed: Result<u32, count::Malformed>) -> Result<u32, Refused> {
    let malformed = |_| Refused::new(Reason::MalformedHopCount, Signal::UnreadableCount);
    let (crossed, limit) = (crossed.map_err(malformed)?, count.limit.get());
    if crossed >= limit {
        return Err(Refused::as_loop(Signal::HopCount { count: crossed, limit }));
    }
    Ok(crossed.saturating_add(1))
}

fn take_via<B>(config: &Config, via: &Via, request: &mut Request<B>) -> Result<(), Refused> {
    let line = config.via_lines.of(request.version());
    match request.headers_mut().entry(VIA) {
        Entry::Vacant(entry) => {
            entry.insert(line.clone());
        }
        Entry::Occupied(mut entry) => {
            let seen = via::look(entry.iter(), config.name.as_str());
            if seen.own > 0 {
                return Err(Refused::as_loop(Signal::OwnName { count: seen.own }));
            }
            let (count, limit) = (seen.members, via.max_members.get());
            if count > limit {
                return Err(Refused::as_loop(Signal::ViaMembers { count, limit }));
            }
            entry.append(line.clone());
        }
    }
    Ok(())
}

fn take_cdn_loop(own: &CdnLoop, headers: &mut HeaderMap) -> Result<(), Refused> {
    let count = cdn_loop::passes(headers.get_all(CDN_LOOP).iter(), own.id.as_str());
    let limit = own.passes.get();
    if count >= limit {
        return Err(Refused::as_loop(Signal::OwnId { count, limit }));
    }
    headers.append(CDN_LOOP, own.id.value().clone());
    Ok(())
}

fn take_max_forwards<B>(own: MaxForwards, request: &mut Request<B>) -> Result<(), Verdict> {
    let is_trace = *request.method() == Method::TRACE;
    if !is_trace && *request.method() != Method::OPTIONS {
        return Ok(());
    }
    if is_trace && !own.answers_trace {
        return Err(Refused::new(Reason::MethodNotAllowed, Signal::Trace).into());
    }
    let malformed = |_| Refused::new(Reason::MalformedHopCount, Signal::MaxForwards);
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

/// The methods that this proxy forwards.
pub(crate) const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

fn options() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(ALLOWED));
    response
}

/// The head as it arrived, with the fields that were just added, and without credentials ([RFC 9110
/// §9.3.8](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.8)).
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
        || name.ends_with("-signature")
}
