//! The optional layers around a test service.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use bartizan::forwarded::TrustedPeers;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::Full;
use tower::service_fn;

use super::*;

const PAGE: &str = "https://app.example";

/// What the inner service got.
#[derive(Clone, Debug, Default)]
struct Seen {
    calls: Arc<AtomicUsize>,
    headers: Arc<Mutex<HeaderMap>>,
}

/// Sends a request from `peer` through `front` to a service that responds with `fields`.
async fn send(
    front: &Front,
    peer: &str,
    request: http::request::Builder,
    fields: &'static [(&'static str, &'static str)],
) -> (Response<FrontBody>, Seen) {
    let seen = Seen::default();
    let kept = seen.clone();
    let inner = service_fn(move |request: Request<()>| {
        kept.calls.fetch_add(1, Ordering::SeqCst);
        *kept.headers.lock().unwrap() = request.headers().clone();
        let response = fields
            .iter()
            .fold(Response::builder().status(404), |all, (name, value)| all.header(*name, *value));
        std::future::ready(Ok::<_, Infallible>(response.body(Full::<Bytes>::from("no")).unwrap()))
    });
    let service = front.wrap(inner, &PeerAddr::new(peer.parse().unwrap()));
    (service.oneshot(request.body(()).unwrap()).await.unwrap(), seen)
}

fn cors() -> Front {
    let exposed = vec![HeaderName::from_static("mcp-session-id")];
    let cors = AllowCorsLayer::new([PAGE.parse().unwrap()], exposed);
    Front { cors: Some(cors), ..Front::default() }
}

fn lines<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect()
}

const LOCAL: &str = "127.0.0.1:1";

/// The response of a backend with its own CORS fields.
const OWN_CORS: &[(&str, &str)] = &[
    ("access-control-allow-origin", "*"),
    ("access-control-allow-credentials", "true"),
    ("access-control-expose-headers", "x-other"),
    ("access-control-max-age", "7"),
    ("x-other", "1"),
];

#[tokio::test]
async fn a_page_of_an_allowed_origin_reads_every_response() {
    for backend in [&[][..], OWN_CORS] {
        let request = Request::post("/mcp").header("origin", PAGE);
        let (response, seen) = send(&cors(), LOCAL, request, backend).await;
        let headers = response.headers();
        assert_eq!(response.status(), 404);
        assert_eq!(lines(headers, "access-control-allow-origin"), [PAGE]);
        assert_eq!(lines(headers, "access-control-expose-headers"), ["mcp-session-id"]);
        assert!(!headers.contains_key("access-control-allow-credentials"), "{headers:?}");
        assert!(!headers.contains_key("access-control-max-age"), "{headers:?}");
        assert_eq!(headers.contains_key("x-other"), !backend.is_empty());
        assert_eq!(seen.calls.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn its_preflight_is_answered_here() {
    let request = Request::builder()
        .method(Method::OPTIONS)
        .header("origin", PAGE)
        .header("access-control-request-method", "DELETE")
        .header("access-control-request-headers", "mcp-session-id,x-any");
    let (response, seen) = send(&cors(), LOCAL, request, OWN_CORS).await;
    let headers = response.headers();
    assert_eq!(response.status(), 200);
    assert_eq!(lines(headers, "access-control-allow-origin"), [PAGE]);
    assert_eq!(lines(headers, "access-control-allow-methods"), ["DELETE"]);
    assert_eq!(lines(headers, "access-control-allow-headers"), ["mcp-session-id,x-any"]);
    assert_eq!(seen.calls.load(Ordering::SeqCst), 0);
}

/// The origin guard below decides about these requests.
#[tokio::test]
async fn other_requests_pass_as_they_are() {
    let preflight = |origin: &str| {
        let request = Request::builder().method(Method::OPTIONS).header("origin", origin);
        request.header("access-control-request-method", "POST")
    };
    for request in [
        preflight("https://evil.example"),
        preflight("null"),
        preflight("https://app.example:8443"),
        Request::post("/"),
        Request::post("/").header("origin", PAGE).header("origin", PAGE),
        Request::builder().method(Method::OPTIONS).header("origin", PAGE),
    ] {
        let (response, seen) = send(&cors(), LOCAL, request, OWN_CORS).await;
        assert_eq!(lines(response.headers(), "access-control-allow-origin"), ["*"]);
        assert_eq!(lines(response.headers(), "vary"), ["origin"]);
        assert_eq!((response.status().as_u16(), seen.calls.load(Ordering::SeqCst)), (404, 1));
    }
}

#[tokio::test]
async fn an_id_is_kept_from_trusted_peers_and_drawn_for_others() {
    let name = HeaderName::from_static("x-request-id");
    let trusted = TrustedPeers::networks(["10.0.0.0/8".parse().unwrap()]);
    let ids = RequestIds::new(name.clone(), Some(trusted));
    let front = Front { request_ids: Some(ids), ..Front::default() };
    let of = async |peer: &str, sent: &[&str], front: &Front| {
        let request = sent.iter().fold(Request::get("/"), |all, id| all.header(&name, *id));
        let (response, seen) = send(front, peer, request, &[]).await;
        let got = seen.headers.lock().unwrap().clone();
        let id = lines(&got, "x-request-id").concat();
        assert_eq!(lines(response.headers(), "x-request-id"), [id.as_str()]);
        id
    };
    assert_eq!(of("10.0.0.1:1", &["theirs"], &front).await, "theirs");
    for (peer, sent) in
        [("10.0.0.1:1", &[][..]), ("10.0.0.1:1", &["a", "b"]), ("192.0.2.7:1", &["theirs"])]
    {
        let id = of(peer, sent, &front).await;
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'), "{id}");
        assert_ne!(id, of(peer, sent, &front).await);
    }
    let all = Front { request_ids: Some(RequestIds::new(name.clone(), None)), ..Front::default() };
    assert_eq!(of("192.0.2.7:1", &["theirs"], &all).await, "theirs");
}

#[tokio::test]
async fn sensitive_fields_are_marked_on_both_ways() {
    let sensitive = [HeaderName::from_static("authorization"), HeaderName::from_static("x-key")];
    let front = Front { sensitive: sensitive.into(), ..Front::default() };
    let request = Request::get("/").header("authorization", "Bearer t").header("x-plain", "1");
    let (response, seen) = send(&front, LOCAL, request, &[("x-key", "k"), ("x-plain", "1")]).await;
    let got = seen.headers.lock().unwrap().clone();
    assert!(got["authorization"].is_sensitive() && !got["x-plain"].is_sensitive());
    let headers = response.headers();
    assert!(headers["x-key"].is_sensitive() && !headers["x-plain"].is_sensitive());
}

/// A page must be able to read this response, too.
#[tokio::test]
async fn a_panic_is_answered_in_the_form_of_the_request() {
    let inner = service_fn(async |request: Request<()>| -> Result<Response<Full<Bytes>>, _> {
        assert!(request.uri().path() != "/panic", "secret");
        Ok::<_, Infallible>(Response::new(Full::from("fine")))
    });
    let peer = PeerAddr::new(LOCAL.parse().unwrap());
    for (refuse_as, content_type, status, form) in [
        (Some(Dialect::JsonRpc(None)), "application/json", 500, "application/json"),
        (None, "text/plain", 500, "application/problem+json"),
        (Some(Dialect::JsonRpc(None)), "application/grpc", 200, "application/grpc"),
    ] {
        let front = Front { catch_panics: Some(CatchPanics { refuse_as }), ..cors() };
        let service = front.wrap(inner, &peer);
        let to = |path: &str| {
            let request = Request::get(path).header("content-type", content_type);
            request.header("origin", PAGE).body(()).unwrap()
        };
        let response = service.clone().oneshot(to("/panic")).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["content-type"], form);
        assert_eq!(lines(response.headers(), "access-control-allow-origin"), [PAGE]);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains("secret"));
        // The next request is served.
        assert_eq!(service.oneshot(to("/")).await.unwrap().status(), StatusCode::OK);
    }
}

#[test]
fn it_is_on_if_any_layer_is() {
    assert!(!Front::default().is_on());
    assert!(cors().is_on());
}
