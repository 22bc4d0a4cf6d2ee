//! Sanitises the head of a request. Pure.

use bartizan_core::{
    ClientAddr, Passage, PeerAddr, PublicOrigin, Reason,
    client::Evidence,
    fields::{hop_by_hop, only_line, settle_length},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version, uri::Scheme};

use crate::{
    chain::{self, Believed, Said},
    config::{Config, Ready, Source},
    element::{Element, MAX_ELEMENTS},
    event,
    field::{self, Field},
    name,
    named::ClientIpHeader,
    node::{self, Hop},
    origin,
    scan::{self, Scan},
    target, write,
};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Reads the fields of a trusted peer, drops fields that must not pass, writes the fields for the backend, and records
/// the facts in the passage. Facts from an outer layer of this process are kept.
pub(crate) fn sanitize<B>(ready: &Ready, request: &mut Request<B>) -> Result<(), Reason> {
    let config = &ready.config;
    target::check(request)?;
    // Over HTTP/1.1 the server has already read the length, and merged several equal ones.
    if request.version() > Version::HTTP_11 {
        settle_length(request.headers_mut()).map_err(|_| Reason::InvalidLength)?;
    }
    let Arrival { peer, judged } = Arrival::of(config, request);
    let is_trusted = judged.unwrap_or_else(|| config.trust.includes(peer.as_ref()));
    let scan = scan::scan(request.headers(), ready, is_trusted);
    if scan.has_coding {
        target::check_coding(request.headers())?;
    }
    // The next hop would obey, and drop the fields written here.
    if scan.has_connection && hop_by_hop::nominates(request.headers(), name::is_provenance) {
        return Err(Reason::ProtectedField);
    }
    if judged.is_some() {
        keep(config, request, scan, is_trusted);
        return Ok(());
    }
    let mut own = own_origin(config, peer.as_ref(), request);
    let mut told = is_trusted.then(|| Told::read(config, request.headers(), &own));
    if let Some(prefix) = &config.prefix {
        let origin = told.as_mut().and_then(|told| told.origin.as_mut()).unwrap_or(&mut own);
        origin.set_prefix(prefix.after(origin.prefix()));
    }

    let headers = request.headers_mut();
    remove(config, headers, &scan.unwanted, is_trusted);
    let (hops, lines, origin) = match &told {
        Some(Told { hops, lines, origin }) => (&**hops, &**lines, origin.as_ref().unwrap_or(&own)),
        None => (&[][..], &[][..], &own),
    };
    let peer = peer.as_ref();
    write::fields(headers, &config.style, write::Facts { peer, hops, lines, own: &own, origin });

    let client = client(peer, hops);
    let origin = told.and_then(|told| told.origin).unwrap_or(own);
    Passage::with(request, |passage| {
        passage.set_trusts_peer(is_trusted);
        passage.set_client(client, origin);
        passage.set_sanitized();
        // The pass over the names has found this anyway, so the layer that validates origins need not repeat it.
        passage.set_from_browser(scan.from_browser);
    });
    Ok(())
}

/// Keeps what an outer layer found out about the client, and the fields that it wrote. Adds the prefix that was
/// stripped between the two layers.
#[cold]
fn keep<B>(config: &Config, request: &mut Request<B>, scan: Scan, is_trusted: bool) {
    // Layers between the two may have changed the fields.
    Passage::with(request, |passage| passage.set_from_browser(scan.from_browser));
    let mut unwanted = scan.unwanted;
    unwanted.retain(|name| !name::is_managed(name.as_str()));
    remove(config, request.headers_mut(), &unwanted, is_trusted);
    let Some(prefix) = &config.prefix else { return };
    let Some(mut origin) = PublicOrigin::of(request).cloned() else { return };
    origin.set_prefix(prefix.after(origin.prefix()));
    let headers = request.headers_mut();
    // If the outer layer wrote the field, it is no longer correct.
    let is_written = config.style.fields.has(Field::XForwardedPrefix);
    if let Some(prefix) = origin.prefix()
        && (is_written || headers.contains_key(field::PREFIX))
    {
        headers.insert(field::PREFIX, prefix.clone());
    }
    origin.attach(request);
}

#[inline]
fn remove(config: &Config, headers: &mut HeaderMap, unwanted: &[HeaderName], is_trusted: bool) {
    for name in unwanted {
        headers.remove(name);
    }
    if config.restarts_traces && !is_trusted {
        headers.remove(TRACEPARENT);
        headers.remove(TRACESTATE);
    }
}

/// What is known about a request before this layer handles it.
struct Arrival {
    /// The peer that the server attached, or else the one that the hook found, which is then attached.
    peer: Option<PeerAddr>,
    /// Whether the peer is trusted, if an outer layer has judged it.
    judged: Option<bool>,
}

impl Arrival {
    #[inline]
    fn of<B>(config: &Config, request: &mut Request<B>) -> Self {
        let passage = Passage::of(request);
        let judged = passage
            .filter(|passage| passage.is_sanitized())
            .and_then(|passage| passage.trusts_peer());
        if let Some(peer) = passage.and_then(Passage::peer) {
            return Self { peer: Some(peer.clone()), judged };
        }
        let Some(addr) = config.peer_from.and_then(|find| find(request.extensions())) else {
            return Self { peer: None, judged };
        };
        // The outer layer did not know the peer.
        let peer = PeerAddr::new(addr);
        peer.clone().attach(request);
        Self { peer: Some(peer), judged: None }
    }
}

/// What trusted proxies reported.
struct Told {
    hops: Vec<Hop>,
    lines: Vec<HeaderValue>,
    origin: Option<PublicOrigin>,
}

impl Told {
    fn read(config: &Config, headers: &HeaderMap, own: &PublicOrigin) -> Self {
        let mut told = match config.source {
            Source::XForwardedFor => Self::by_fields(config, headers, own),
            Source::Forwarded => Self::by_elements(config, headers, own),
        };
        if let Some(field) = &config.client_ip {
            told.name_client(headers, field);
        }
        // A client may have sent one of the two, and no proxy touched it. That field is not trusted, but the operator
        // of the proxies will want to know.
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

    /// Takes the client from `field`, if it is valid. A chain that names another client does not belong to this
    /// request.
    fn name_client(&mut self, headers: &HeaderMap, field: &ClientIpHeader) {
        let line = only_line(headers, field.name()).ok().flatten();
        let Some(client) = line.and_then(|line| node::parse_address(line.as_bytes())) else {
            return;
        };
        if self.hops.last().is_none_or(|hop| hop.ip != client.ip) {
            self.hops = vec![client];
            self.lines = Vec::new();
        }
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

/// The lines of `Forwarded`, in order, starting with the first element in `read`, which counts from the right.
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
