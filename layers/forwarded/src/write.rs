//! The fields for the backend. Pure.
//!
//! Each field is written from known facts and never just passed on. With [`Chain::Append`], the hops that trusted
//! proxies reported stay in front of the peer; entries beyond them are the client's claim, and are cut.

use std::{
    fmt::{self, Write as _},
    net::IpAddr,
};

use bartizan_core::{PeerAddr, PublicOrigin};
use http::{HeaderMap, HeaderValue, uri::Scheme};

use crate::{
    by::ForwardedBy,
    element::push_value,
    field::{self, Field, Fields},
    node::Hop,
};

/// What to do with the chain that trusted proxies wrote.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Chain {
    /// Keep it, and append the peer.
    #[default]
    Append,
    /// Replace it with the client alone.
    Replace,
}

/// How the client and the proxies are named in `Forwarded`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Naming {
    /// By address.
    #[default]
    Address,
    /// By address, and port where known.
    AddressAndPort,
    /// By a random name without meaning ([RFC 7239 §6.3](https://www.rfc-editor.org/rfc/rfc7239#section-6.3)). No field
    /// then contains an address: `X-Forwarded-For` and `X-Real-IP` are not written.
    Obfuscated,
}

/// How the fields are written.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    pub(crate) fields: Fields,
    pub(crate) chain: Chain,
    pub(crate) naming: Naming,
    pub(crate) by: Option<ForwardedBy>,
}

/// What is known about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) peer: Option<&'a PeerAddr>,
    /// What trusted proxies reported; empty if they reported nothing, or there are none.
    pub(crate) hops: &'a [Hop],
    /// The lines of `Forwarded` that trusted proxies wrote, in order.
    pub(crate) lines: &'a [HeaderValue],
    /// What the peer addressed.
    pub(crate) own: &'a PublicOrigin,
    /// What the client addressed.
    pub(crate) origin: &'a PublicOrigin,
}

impl Facts<'_> {
    fn peer_hop(&self) -> Option<Hop> {
        let addr = self.peer?.addr()?;
        Some(Hop { ip: addr.ip(), port: Some(addr.port()) })
    }

    fn client(&self) -> Option<Hop> {
        self.hops.last().copied().or_else(|| self.peer_hop())
    }
}

/// Writes the fields that `style` asks for; none of them is in `headers` yet.
pub(crate) fn fields(headers: &mut HeaderMap, style: &Style, facts: Facts<'_>) {
    let is_hidden = style.naming == Naming::Obfuscated;
    if style.fields.has(Field::XForwardedFor)
        && !is_hidden
        && let Some(value) = x_forwarded_for(style.chain, &facts)
    {
        headers.insert(field::FOR, value);
    }
    if style.fields.has(Field::XRealIp)
        && !is_hidden
        && let Some(value) = client_text(&facts)
    {
        headers.insert(field::REAL_IP, value);
    }
    if style.fields.has(Field::XForwardedProto) {
        headers.insert(field::PROTO, HeaderValue::from_static(scheme_text(facts.origin.scheme())));
    }
    if style.fields.has(Field::XForwardedHost)
        && let Some(host) = facts.origin.host()
    {
        headers.insert(field::HOST, host.clone());
    }
    if style.fields.has(Field::XForwardedPort) {
        headers.insert(field::PORT, port_text(facts.origin.port()));
    }
    if style.fields.has(Field::XForwardedPrefix)
        && let Some(prefix) = facts.origin.prefix()
    {
        headers.insert(field::PREFIX, prefix.clone());
    }
    if style.fields.has(Field::Forwarded) {
        forwarded(headers, style, facts);
    }
}

fn x_forwarded_for(chain: Chain, facts: &Facts<'_>) -> Option<HeaderValue> {
    if chain == Chain::Replace || facts.hops.is_empty() {
        return client_text(facts);
    }
    let mut text = String::with_capacity(16 * (facts.hops.len() + 1));
    let peer = facts.peer.and_then(PeerAddr::ip);
    for ip in facts.hops.iter().rev().map(|hop| hop.ip).chain(peer) {
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}{ip}");
    }
    HeaderValue::try_from(text).ok()
}

fn client_text(facts: &Facts<'_>) -> Option<HeaderValue> {
    match facts.hops.last() {
        Some(client) => HeaderValue::try_from(client.ip.to_string()).ok(),
        // Formatted once per connection.
        None => facts.peer.and_then(PeerAddr::ip_text).cloned(),
    }
}

fn scheme_text(scheme: &Scheme) -> &'static str {
    if *scheme == Scheme::HTTPS { "https" } else { "http" }
}

fn port_text(port: u16) -> HeaderValue {
    match port {
        80 => HeaderValue::from_static("80"),
        443 => HeaderValue::from_static("443"),
        port => port.into(),
    }
}

/// Writes the elements of [RFC 7239 §4](https://www.rfc-editor.org/rfc/rfc7239#section-4).
fn forwarded(headers: &mut HeaderMap, style: &Style, facts: Facts<'_>) {
    let mut text = String::with_capacity(96);
    let appends = style.chain == Chain::Append && style.naming != Naming::Obfuscated;
    if appends && !facts.lines.is_empty() {
        push_element(&mut text, style, facts.peer_hop(), facts.own);
        for line in facts.lines {
            headers.append(field::FORWARDED, line.clone());
        }
    } else if let Some((client, proxies)) = facts.hops.split_last().filter(|_| appends) {
        // Converted from `X-Forwarded-For`. What the client addressed goes into the client's
        // element.
        push_element(&mut text, style, Some(*client), facts.origin);
        for proxy in proxies.iter().rev() {
            let _ = write!(text, ", for={}", NodeText(Some(*proxy), style.naming));
        }
        text.push_str(", ");
        push_element(&mut text, style, facts.peer_hop(), facts.own);
    } else {
        push_element(&mut text, style, facts.client(), facts.origin);
    }
    if let Ok(line) = HeaderValue::try_from(text) {
        headers.append(field::FORWARDED, line);
    }
}

fn push_element(text: &mut String, style: &Style, node: Option<Hop>, origin: &PublicOrigin) {
    let _ = write!(text, "for={}", NodeText(node, style.naming));
    if let Some(by) = &style.by {
        let _ = write!(text, ";by={}", by.as_str());
    }
    if let Some(host) = origin.host().and_then(|host| host.to_str().ok()) {
        text.push_str(";host=");
        push_value(text, host);
    }
    let _ = write!(text, ";proto={}", scheme_text(origin.scheme()));
}

/// A node as it is written in an element.
struct NodeText(Option<Hop>, Naming);

impl fmt::Display for NodeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1 == Naming::Obfuscated {
            return write!(f, "_{:016x}", fastrand::u64(..));
        }
        let Some(Hop { ip, port }) = self.0 else { return f.write_str("unknown") };
        let port = port.filter(|port| self.1 == Naming::AddressAndPort && *port != 0);
        match (ip, port) {
            (IpAddr::V4(ip), None) => write!(f, "{ip}"),
            (IpAddr::V4(ip), Some(port)) => write!(f, "\"{ip}:{port}\""),
            (IpAddr::V6(ip), None) => write!(f, "\"[{ip}]\""),
            (IpAddr::V6(ip), Some(port)) => write!(f, "\"[{ip}]:{port}\""),
        }
    }
}
