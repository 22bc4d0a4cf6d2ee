//! Requires that each request names its host exactly once.
//!
//! For tower-http's `ValidateRequestHeaderLayer`.

use std::{fmt, marker::PhantomData};

use bartizan::core::{Dialect, GuardBody, Reason, Refusal, fields::only_line};
use http::{HeaderValue, Request, Response, Version, header::HOST, uri::Authority};
use tower_http::validate_request::ValidateRequest;

/// Refuses requests without one valid `Host`, with 400. `R` is the inner service's response body.
pub(in crate::server) struct RequireHost<R> {
    dialect: Option<Dialect>,
    _body: PhantomData<fn() -> R>,
}

impl<R> RequireHost<R> {
    /// Refuses in the format that the request calls for.
    pub(in crate::server) const fn new() -> Self {
        Self { dialect: None, _body: PhantomData }
    }

    /// Refuses in the format `dialect`, unless the request is gRPC.
    pub(in crate::server) fn refuse_as(self, dialect: Option<Dialect>) -> Self {
        Self { dialect, ..self }
    }
}

impl<B, R> ValidateRequest<B> for RequireHost<R> {
    type ResponseBody = GuardBody<R>;

    #[inline]
    fn validate(&mut self, request: &mut Request<B>) -> Result<(), Response<GuardBody<R>>> {
        if names_its_host(request) {
            return Ok(());
        }
        tracing::debug!(reason = %Reason::InvalidHost, "refused");
        let dialect = Dialect::fixed_or_of(self.dialect.as_ref(), request);
        Err(Refusal::new(Reason::InvalidHost).respond(&dialect))
    }
}

// Not derived, because that would require `R: Debug` or `R: Clone`.
impl<R> Clone for RequireHost<R> {
    fn clone(&self) -> Self {
        Self { dialect: self.dialect.clone(), _body: PhantomData }
    }
}

impl<R> fmt::Debug for RequireHost<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireHost").field("dialect", &self.dialect).finish()
    }
}

/// Whether there is one valid `Host`, as HTTP/1.1 requires ([RFC 9112
/// §3.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2)). HTTP/2 may name it in `:authority` ([RFC 9113
/// §8.3.1](https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1)), and HTTP/1.0 need not name it.
fn names_its_host<B>(request: &Request<B>) -> bool {
    match only_line(request.headers(), HOST) {
        Ok(Some(host)) => is_valid(host),
        Ok(None) => match request.version() {
            Version::HTTP_11 => false,
            Version::HTTP_2 => request.uri().authority().is_some(),
            _ => true,
        },
        Err(_) => false,
    }
}

fn is_valid(host: &HeaderValue) -> bool {
    is_plain(host.as_bytes())
        || Authority::try_from(host.as_bytes()).is_ok_and(|name| !name.as_str().contains('@'))
}

/// Whether `host` is a name or an IPv4 address, with or without a port. A cheap test that most hosts pass.
fn is_plain(host: &[u8]) -> bool {
    let mut parts = host.splitn(2, |byte| *byte == b':');
    let (name, port) = (parts.next().unwrap_or_default(), parts.next());
    let is_name_char = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    // No early exit, so that the compiler can vectorise the loop.
    let all = |text: &[u8], is_char: fn(&u8) -> bool| {
        text.iter().fold(true, |all, byte| all & is_char(byte))
    };
    !name.is_empty()
        && all(name, is_name_char)
        && port.is_none_or(|port| (1..=5).contains(&port.len()) && all(port, u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http_body_util::Full;
    use tower::{Layer, ServiceExt, service_fn};
    use tower_http::validate_request::ValidateRequestHeaderLayer;

    use super::*;

    #[test]
    fn a_request_names_one_valid_host() {
        for (version, hosts, sound) in [
            (Version::HTTP_11, &["a"][..], true),
            (Version::HTTP_11, &["[::1]:80"], true),
            (Version::HTTP_11, &["a.example:8080"], true),
            (Version::HTTP_11, &["a_b~c"], true),
            (Version::HTTP_11, &["a/b"], false),
            (Version::HTTP_11, &[], false),
            (Version::HTTP_11, &["a", "a"], false),
            (Version::HTTP_11, &[""], false),
            (Version::HTTP_11, &["a, b"], false),
            (Version::HTTP_11, &["a b"], false),
            (Version::HTTP_11, &["u@a"], false),
            (Version::HTTP_10, &[], true),
            (Version::HTTP_2, &[], false),
            (Version::HTTP_2, &["a"], true),
            (Version::HTTP_2, &["a", "b"], false),
        ] {
            let request = Request::builder().version(version);
            let request = hosts.iter().fold(request, |request, host| request.header(HOST, *host));
            assert_eq!(names_its_host(&request.body(()).unwrap()), sound, "{version:?} {hosts:?}");
        }
        let request = Request::builder().version(Version::HTTP_2).uri("http://a/");
        assert!(names_its_host(&request.body(()).unwrap()), ":authority");
    }

    #[tokio::test]
    async fn a_request_without_one_is_refused_in_its_form_and_goes_no_further() {
        type Body = GuardBody<Full<Bytes>>;
        for (dialect, content_type, status, form) in [
            (None, "application/json", 400, "application/problem+json"),
            (Some(Dialect::JsonRpc(None)), "application/json", 400, "application/json"),
            (Some(Dialect::JsonRpc(None)), "application/grpc", 200, "application/grpc"),
        ] {
            let inner = service_fn(async |_: Request<()>| -> Result<Response<Body>, Infallible> {
                panic!("called")
            });
            let require = RequireHost::new().refuse_as(dialect);
            let service = ValidateRequestHeaderLayer::custom(require).layer(inner);
            let request = Request::builder().header("content-type", content_type);
            let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
            assert_eq!(
                (response.status().as_u16(), &response.headers()["content-type"]),
                (status, &form.parse().unwrap())
            );
            assert_eq!(Reason::of(&response), Some(Reason::InvalidHost));
        }
    }
}
