//! How a request head for HTTP/1.1 becomes one for HTTP/2, and back. Pure.

use bartizan_core::Backend;
use http::{
    HeaderValue, Request, Uri, Version,
    header::{CONNECTION, HOST, TRANSFER_ENCODING},
    uri::{Authority, InvalidUriParts, PathAndQuery},
};

/// Puts the origin into the target, and removes fields that HTTP/2 does not use.
///
/// The authority is taken from `Host`, which is removed: some servers refuse the two together even if they are equal
/// ([RFC 9113 §8.3.1](https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1)). Without `Host` it is the backend's.
pub(super) fn to_http2<B>(
    request: &mut Request<B>,
    backend: &Backend,
) -> Result<(), InvalidUriParts> {
    let headers = request.headers_mut();
    let host = headers.remove(HOST);
    // The fields that it names are already removed. `TE: trailers` must stay, but hyper would
    // remove every named field.
    headers.remove(CONNECTION);
    headers.remove(TRANSFER_ENCODING);
    let named = |host: HeaderValue| Authority::try_from(host.as_bytes()).ok();
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(backend.scheme().clone());
    parts.authority =
        host.and_then(named).or(parts.authority).or_else(|| Some(backend.authority().clone()));
    *request.uri_mut() = Uri::from_parts(parts)?;
    *request.version_mut() = Version::HTTP_2;
    Ok(())
}

/// Undoes [`to_http2`].
pub(super) fn to_http1<B>(request: &mut Request<B>) {
    let parts = std::mem::take(request.uri_mut()).into_parts();
    if let Some(host) = parts.authority.and_then(|name| HeaderValue::from_str(name.as_str()).ok()) {
        request.headers_mut().insert(HOST, host);
    }
    *request.uri_mut() = Uri::from(parts.path_and_query.unwrap_or(PathAndQuery::from_static("/")));
    *request.version_mut() = Version::HTTP_11;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_what_host_names_and_host_goes() {
        let backend: Backend = "https://b:1".parse().unwrap();
        for (host, authority) in [(Some("public.example"), "public.example"), (None, "b:1")] {
            let mut request =
                Request::get("/p?q").header("connection", "te").header("te", "trailers");
            if let Some(host) = host {
                request = request.header(HOST, host);
            }
            let mut request = request.body(()).unwrap();
            to_http2(&mut request, &backend).unwrap();
            assert_eq!(request.uri().to_string(), format!("https://{authority}/p?q"));
            assert_eq!(request.version(), Version::HTTP_2);
            assert!(!request.headers().contains_key(HOST));
            assert!(!request.headers().contains_key(CONNECTION));
            assert_eq!(request.headers()["te"], "trailers");
            // Repeating it, as for a second connection, changes nothing.
            to_http2(&mut request, &backend).unwrap();
            assert_eq!(request.uri().to_string(), format!("https://{authority}/p?q"));
            to_http1(&mut request);
            assert_eq!(
                (request.uri(), request.version()),
                (&Uri::from_static("/p?q"), Version::HTTP_11)
            );
            assert_eq!(request.headers()[HOST], authority);
        }
    }
}
