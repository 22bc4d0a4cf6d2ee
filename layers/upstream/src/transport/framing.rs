//! Tells hyper that a request has a body.

use http::{
    HeaderValue, Method, Request,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use http_body::Body;

/// States that a GET or HEAD over HTTP/1.1 has a body, if it has one of unknown length: otherwise hyper would assume
/// that it has none, and leave the body out. Over HTTP/2 hyper removes the field again.
#[inline]
pub(super) fn state_body<B: Body>(request: &mut Request<B>) {
    let body = request.body();
    if !matches!(*request.method(), Method::GET | Method::HEAD)
        || body.is_end_stream()
        || body.size_hint().exact().is_some()
        || request.headers().contains_key(CONTENT_LENGTH)
    {
        return;
    }
    request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
}
