//! What is done to the head of a request. Pure.

use bartizan_core::{
    ClientAddr, Passage, PeerAddr, PublicOrigin, Reason, client::Evidence, fields::hop_by_hop,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, uri::Scheme};

use crate::{
    chain::{self, Believed, Said},
    element::{Element, MAX_ELEMENTS},
    event, field,
    layer::{Config, Source},
    name,
    node::Hop,
    origin, write,
};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Reads what a trusted peer says, drops what may not pass, writes what is known, and hands it on.
pub(crate) fn sanitize<B>(config: &Config, request: &mut Request<B>) -> Result<(), Reason> {
    let peer = peer(config, request);
    let is_trusted = config.trust.includes(peer.as_ref());
    let scan = name::scan(request.headers(), &config.internal_prefixes, is_trusted);
    // A hop behind this one would obey, and drop what is written here.
    if scan.has_connection && hop_by_hop::nominates(request.headers(), name::is_provenance) {
        return Err(Reason::ProtectedField);
    }
    let mut own = own_origin(config, peer.as_ref(), request);
    let mut told =
        if is_trusted { Told::read(config, request.headers(), &own) } else { Told::nothing() };
    if let Some(prefix) = &config.prefix {
        let origin = told.origin.as_mut().unwrap_or(&mut own);
        origin.set_prefix(origin::joined(origin.prefix(), prefix));
    }

    let headers = request.headers_mut();
    for name in scan.unwanted {
        headers.remove(name);
    }
    if config.restarts_traces && !is_trusted {
        headers.remove(TRACEPARENT);
        headers.remove(TRACESTATE);
    }
    let (peer, hops, origin) = (peer.as_ref(), &told.hops, told.origin.as_ref().unwrap_or(&own));
    let facts = write::Facts { peer, hops, lines: told.lines, own: &own, origin };
    write::fields(headers, &config.style, facts);

    let client = client(peer, hops);
    Passage::with(request, |passage| {
        passage.set_trusts_peer(is_trusted);
        passage.set_client(client, told.origin.unwrap_or(own));
    });
    Ok(())
}

/// What trusted proxies said.
struct Told {
    hops: Vec<Hop>,
    lines: Vec<HeaderValue>,
    origin: Option<PublicOrigin>,
}

impl Told {
    fn nothing() -> Self {
        Self { hops: Vec::new(), lines: Vec::new(), origin: None }
    }

    fn read(config: &Config, headers: &HeaderMap, own: &PublicOrigin) -> Self {
        let told = match config.source {
            Source::XForwardedFor => Self::by_fields(config, headers, own),
            Source::Forwarded => Self::by_elements(config, headers, own),
        };
        // One of the two may be what a client sent and no proxy touched: it is not believed, whatever
        // it says; but whoever has set up the proxies will want to know.
        if headers.contains_key(field::FORWARDED) && headers.contains_key(field::FOR) {
            let other = match config.source {
                Source::XForwardedFor => Self::by_elements(config, headers, own),
                Source::Forwarded => Self::by_fields(config, headers, own),
            };
            let (believed, dropped) = (told.hops.last().copied(), other.hops.last().copied());
            if believed.map(|hop| hop.ip) != dropped.map(|hop| hop.ip) {
                event::disagreement(believed, dropped);
            }
        }
        told
    }

    fn by_fields(config: &Config, headers: &HeaderMap, own: &PublicOrigin) -> Self {
        let Believed { hops, .. } =
            chain::believe(&config.trust, chain::addresses(headers, &field::FOR));
        let origin = origin::told_by_fields(headers, own);
        Self { hops, lines: Vec::new(), origin: Some(origin) }
    }

    fn by_elements(config: &Config, headers: &HeaderMap, own: &PublicOrigin) -> Self {
        let mut read: Vec<(usize, Element<'_>)> = Vec::new();
        let mut said = Vec::new();
        for element in chain::elements(headers, &field::FORWARDED).take(MAX_ELEMENTS) {
            let Ok((line, element)) = element else {
                said.push(Said::Garbage);
                break;
            };
            said.push(Said::from(&element));
            read.push((line, element));
        }
        let Believed { hops, entries } = chain::believe(&config.trust, said.into_iter());
        read.truncate(entries);
        let origin = read.last().map(|(_, element)| origin::told_by_element(element, own));
        Self { hops, lines: vouched_lines(headers, &read), origin }
    }
}

/// The lines of `Forwarded`, in order, from the first element in `read` on; `read` is from the right.
fn vouched_lines(headers: &HeaderMap, read: &[(usize, Element<'_>)]) -> Vec<HeaderValue> {
    let mut lines = Vec::new();
    for (from_right, line) in headers.get_all(field::FORWARDED).into_iter().rev().enumerate() {
        let first = read.iter().rev().find(|(of_line, _)| *of_line == from_right);
        let Some((_, first)) = first else { continue };
        let rest = line.as_bytes().get(first.start..).unwrap_or_default();
        lines.extend(HeaderValue::from_bytes(rest));
    }
    lines.reverse();
    lines
}

/// The peer that the server attached, or else the one that the hook finds, which is attached then.
fn peer<B>(config: &Config, request: &mut Request<B>) -> Option<PeerAddr> {
    if let Some(peer) = PeerAddr::of(request) {
        return Some(peer.clone());
    }
    let peer = PeerAddr::new(config.peer_from?(request.extensions())?);
    peer.clone().attach(request);
    Some(peer)
}

/// What the peer addressed, as this server sees it.
fn own_origin<B>(config: &Config, peer: Option<&PeerAddr>, request: &Request<B>) -> PublicOrigin {
    let is_over_tls = config.is_over_tls || peer.is_some_and(PeerAddr::is_over_tls);
    let scheme = if is_over_tls { Scheme::HTTPS } else { Scheme::HTTP };
    PublicOrigin::new(scheme, Evidence::Peer).with_host(origin::host(request))
}

fn client(peer: Option<&PeerAddr>, hops: &[Hop]) -> Option<ClientAddr> {
    if let Some(hop) = hops.last() {
        return Some(ClientAddr::new(hop.ip, hop.port, Evidence::Forwarded));
    }
    let addr = peer?.addr()?;
    Some(ClientAddr::new(addr.ip(), Some(addr.port()), Evidence::Peer))
}
