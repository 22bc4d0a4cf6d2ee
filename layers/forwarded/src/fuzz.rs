//! Entry points for the fuzz targets of this workspace. Not part of the public API.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken promise is a finding"
)]

use std::net::SocketAddr;

use bartizan_core::PeerAddr;
use http::{HeaderName, HeaderValue, Request};

use crate::{
    Chain, Fields, SanitizeForwardedLayer, Source, TrustedPeers, element, field, name, node,
    origin, path_prefix, sanitize::sanitize,
};

/// A line of `Forwarded`: the elements that are read lie within it, in order.
pub fn element(line: &[u8]) {
    let Ok(elements) = element::parse_line(line) else { return };
    assert!(elements.len() <= element::MAX_ELEMENTS);
    assert!(elements.is_sorted_by_key(|element| element.start));
    for element in elements {
        assert!(element.start < line.len());
        // The rest of the line, from any of its elements on, is a line.
        assert!(element::parse_line(&line[element.start..]).is_ok());
    }
}

/// An address, a host, a prefix, a name.
pub fn pieces(bytes: &[u8]) {
    if let Some(hop) = node::parse_address(bytes) {
        assert!(!matches!(hop.ip, std::net::IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some()));
        assert_eq!(
            node::parse_address(hop.ip.to_string().as_bytes()).map(|again| again.ip),
            Some(hop.ip)
        );
    }
    let _ = node::parse(bytes);
    if origin::is_host(bytes) || path_prefix::is_prefix(bytes) {
        assert!(HeaderValue::from_bytes(bytes).is_ok());
        assert!(!bytes.iter().any(|byte| b"\",; \\".contains(byte)));
    }
    if let Ok(text) = str::from_utf8(bytes) {
        let _ = (name::kind(text), name::is_provenance(text));
    }
}

/// A whole request: lines of `name: value`, from a trusted or untrusted peer. The result parses,
/// and sanitising it again does not change it.
pub fn request(bytes: &[u8]) {
    let [choice, text @ ..] = bytes else { return };
    let is_trusted = choice & 1 != 0;
    let source = if choice & 2 != 0 { Source::Forwarded } else { Source::XForwardedFor };
    let networks = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    let layer = SanitizeForwardedLayer::new()
        .trust(TrustedPeers::networks(networks))
        .source(source)
        .write(Fields::ALL)
        .chain(if choice & 4 != 0 { Chain::Append } else { Chain::Replace });
    let config = &layer.ready();
    let peer = if is_trusted { "10.0.0.1:1" } else { "203.0.113.9:1" };
    let mut request = Request::new(());
    PeerAddr::new(peer.parse::<SocketAddr>().unwrap()).attach(&mut request);
    for line in text.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&line[colon + 1..])) {
            request.headers_mut().append(name, value);
        }
    }
    if sanitize(config, &mut request).is_err() {
        return;
    }
    let headers = request.headers();
    for line in headers.get_all(field::FORWARDED) {
        assert!(element::parse_line(line.as_bytes()).is_ok(), "{line:?}");
    }
    let addresses = headers[field::FOR].to_str().unwrap();
    for address in addresses.split(", ") {
        assert!(node::parse_address(address.as_bytes()).is_some(), "{address}");
    }
    if !is_trusted {
        assert_eq!(addresses, "203.0.113.9");
        assert!(headers.keys().all(|name| name::kind(name.as_str()) != Some(name::Kind::Told)));
    }
    assert!(
        headers
            .keys()
            .all(|name| !name.as_str().contains('_') || name::kind(name.as_str()).is_none())
    );
    for field in [field::FOR, field::PROTO, field::PORT, field::REAL_IP] {
        assert_eq!(headers.get_all(field).iter().count(), 1);
    }
    let once = headers.clone();
    // A second layer in the same process changes nothing.
    let again = sanitize(config, &mut request);
    assert!(again.is_ok() && once == *request.headers());
    // The next server changes only the chain.
    request.extensions_mut().clear();
    PeerAddr::new(peer.parse::<SocketAddr>().unwrap()).attach(&mut request);
    let is_stable = !is_trusted || choice & 4 == 0;
    if is_stable && sanitize(config, &mut request).is_ok() {
        assert_eq!(&once, request.headers());
    }
}
