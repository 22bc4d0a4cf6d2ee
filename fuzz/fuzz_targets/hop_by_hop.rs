#![no_main]
//! A head of lines `name: value`: what is stripped once is stripped.

use bartizan_core::fields::hop_by_hop;
use http::{HeaderMap, HeaderName, HeaderValue};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&line[colon + 1..])) {
            headers.append(name, value);
        }
    }
    let mut response = headers.clone();
    hop_by_hop::strip_response(&mut response);
    assert!(!response.keys().any(hop_by_hop::is_hop_by_hop));
    if hop_by_hop::strip_request(&mut headers).is_ok() {
        assert!(!headers.keys().any(hop_by_hop::is_hop_by_hop));
        let once = headers.clone();
        assert!(hop_by_hop::strip_request(&mut headers).is_ok());
        assert_eq!(once, headers);
    }
});
