//! Entry points for the fuzz targets of this workspace. Not part of the public API.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken promise is a finding"
)]

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header::MAX_FORWARDS};

use crate::{
    CdnLoop, LimitHopsLayer, MaxForwards, cdn_loop, count, judge::judge, max_forwards, via,
};

fn lines(bytes: &[u8]) -> Vec<HeaderValue> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .collect()
}

/// A hop count: the result is the largest of its numbers, and writing it and reading it back gives
/// the same number.
pub fn count(bytes: &[u8]) {
    let lines = lines(bytes);
    let Ok(number) = count::read(lines.iter()) else { return };
    let all = lines.iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let digits = all.filter_map(|member| str::from_utf8(member).ok()).map(str::trim_ascii);
    // Numbers beyond 128 bits are also beyond 32 bits.
    let largest = digits
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().unwrap_or(u128::MAX))
        .max();
    if let Some(largest) = largest {
        assert_eq!(u128::from(number), largest.min(u128::from(u32::MAX)));
    }
    assert_eq!(count::read([count::text(number)].iter()), Ok(number));
}

/// `Via`: a name that is appended on its own line is found, whatever comes before it.
pub fn via(bytes: &[u8]) {
    let mut lines = lines(bytes);
    let before = via::look(lines.iter(), "gw1");
    lines.push(HeaderValue::from_static("1.1 gw1"));
    let after = via::look(lines.iter(), "gw1");
    assert_eq!((after.own, after.members), (before.own + 1, before.members + 1));
}

/// `CDN-Loop`: the same.
pub fn cdn_loop(bytes: &[u8]) {
    let mut lines = lines(bytes);
    let before = cdn_loop::passes(lines.iter(), "gw.example");
    lines.push(HeaderValue::from_static("gw.example"));
    assert_eq!(cdn_loop::passes(lines.iter(), "gw.example"), before + 1);
}

/// `Max-Forwards`: the outgoing number is less than the incoming one, and at most the proxy's own
/// maximum.
pub fn max_forwards(bytes: &[u8]) {
    let headers: HeaderMap = lines(bytes).into_iter().map(|line| (MAX_FORWARDS, line)).collect();
    if let Ok(max_forwards::Ask::Forward(left)) = max_forwards::read(&headers, 7) {
        assert!(left <= 7);
    }
}

/// A whole request: each pass adds each mark once, and a request passes at most `limit` times.
pub fn request(bytes: &[u8]) {
    let cdn_loop = CdnLoop::new("gw.example".parse().unwrap()).passes(100.try_into().unwrap());
    let layer = LimitHopsLayer::new().without_via().max_forwards(MaxForwards::new(5));
    let config = layer.cdn_loop(cdn_loop).config();
    let mut request = Request::new(());
    if bytes.first().is_some_and(|byte| byte & 1 != 0) {
        *request.method_mut() = Method::OPTIONS;
    }
    for line in bytes.get(1..).unwrap_or_default().split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&line[colon + 1..])) {
            request.headers_mut().append(name, value);
        }
    }
    for _ in 0..=10 {
        // Each round goes over the wire, so marks of guards in this process do not travel with it.
        request.extensions_mut().clear();
        if judge(&config, &mut request).is_err() {
            return;
        }
        assert_eq!(request.headers().get_all("x-hop-count").iter().count(), 1);
    }
    panic!("it passed more often than the limit allows");
}
