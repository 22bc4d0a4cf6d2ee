//! Guards with the same name that a request passes one after the other, in one process.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
};

use bartizan_core::{PeerAddr, Reason};
use bartizan_hops::{CdnLoop, LimitHopsLayer, MaxForwards, ProxyName, Via};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn, util::MapRequestLayer};

/// What the inner service got.
#[derive(Clone, Default)]
struct Inside(Arc<Mutex<Option<HeaderMap>>>);

impl Inside {
    fn keep(&self, headers: &HeaderMap) -> Result<Response<Full<Bytes>>, Infallible> {
        *self.0.lock().unwrap() = Some(headers.clone());
        Ok(Response::new(Full::from("inside")))
    }

    fn take(&self) -> Option<HeaderMap> {
        self.0.lock().unwrap().take()
    }
}

/// Sends a request through these layers. Returns the response, and what the inner service got.
macro_rules! send {
    ($request:expr, $($layer:expr),+) => {{
        let inside = Inside::default();
        let kept = inside.clone();
        let service =
            service_fn(move |request: Request<()>| ready(kept.keep(request.headers())));
        let service = ServiceBuilder::new()$(.layer($layer.clone()))+.service(service);
        let response = service.oneshot($request).await.unwrap();
        ((response.status().as_u16(), Reason::of(&response)), response.headers().clone(), inside.take())
    }};
}

const PASSED: (u16, Option<Reason>) = (200, None);
const LOOP: (u16, Option<Reason>) = (508, Some(Reason::LoopDetected));

fn named(name: &str) -> LimitHopsLayer {
    LimitHopsLayer::new().name(ProxyName::new(name).unwrap())
}

fn lines<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect()
}

/// With a passage, as behind a server that attaches the peer, and without one.
fn requests() -> [Request<()>; 2] {
    let mut with_peer = Request::new(());
    PeerAddr::new("192.0.2.7:1".parse().unwrap()).attach(&mut with_peer);
    [Request::new(()), with_peer]
}

#[tokio::test]
async fn two_of_one_name_count_once_and_write_one_line() {
    let layer = LimitHopsLayer::new().cdn_loop(CdnLoop::new("gw.example".parse().unwrap()));
    let equal = (named("edge"), named("Edge"));
    for (outer, inner) in [(layer.clone(), layer), equal] {
        for request in requests() {
            let (passed, _, inside) = send!(request, outer, inner);
            assert_eq!(passed, PASSED);
            let headers = inside.unwrap();
            assert_eq!(lines(&headers, "x-hop-count"), ["1"]);
            assert_eq!(lines(&headers, "via").len(), 1);
            assert!(lines(&headers, "cdn-loop").len() <= 1);
        }
    }
}

#[tokio::test]
async fn at_the_limit_the_second_one_does_not_count_either() {
    let layer = named("edge").limit(1.try_into().unwrap());
    let (passed, _, inside) = send!(Request::new(()), layer, layer);
    assert_eq!((passed, lines(&inside.unwrap(), "x-hop-count")), (PASSED, vec!["1"]));
}

#[tokio::test]
async fn a_guard_that_nests_itself_is_refused_at_the_third() {
    let layer = LimitHopsLayer::new();
    for request in requests() {
        let (refused, _, inside) = send!(request, layer, layer, layer);
        assert_eq!((refused, inside.is_none()), (LOOP, true));
    }
    // Without `Via`, the third guard counts, so the limit ends the loop.
    let layer = LimitHopsLayer::new().without_via().limit(2.try_into().unwrap());
    let (passed, _, inside) = send!(Request::new(()), layer, layer, layer, layer);
    assert_eq!((passed, lines(&inside.unwrap(), "x-hop-count")), (PASSED, vec!["2"]));
    let (refused, _, _) = send!(Request::new(()), layer, layer, layer, layer, layer);
    assert_eq!(refused, LOOP);
}

#[tokio::test]
async fn layers_with_names_of_their_own_are_two_gateways() {
    let (a, b) = (LimitHopsLayer::new(), LimitHopsLayer::new());
    let (passed, _, inside) = send!(Request::new(()), a, b);
    assert_eq!(passed, PASSED);
    let headers = inside.unwrap();
    assert_eq!((lines(&headers, "x-hop-count"), lines(&headers, "via").len()), (vec!["2"], 2));
    // The mark of `a` is gone when the request comes back to it.
    assert_eq!(send!(Request::new(()), a, b, a).0, LOOP);
}

/// Nothing that a client sends is taken for a mark.
#[tokio::test]
async fn the_mark_does_not_come_by_the_wire() {
    let layer = named("edge");
    let seen = Request::get("/").header("via", "1.1 edge").body(()).unwrap();
    assert_eq!(send!(seen, layer, layer).0, LOOP);
    // A request that leaves the process and comes back has header fields, but no extensions.
    let wire = MapRequestLayer::new(|mut request: Request<()>| {
        request.extensions_mut().clear();
        request
    });
    assert_eq!(send!(Request::new(()), layer, wire, layer).0, LOOP);
    assert_eq!(send!(Request::new(()), layer, layer, wire, layer).0, LOOP);
}

#[tokio::test]
async fn max_forwards_is_taken_down_once() {
    let layer = named("edge").max_forwards(MaxForwards::new(5));
    let mut request = Request::get("/").header("max-forwards", "1").body(()).unwrap();
    *request.method_mut() = Method::OPTIONS;
    let (passed, _, inside) = send!(request, layer, layer);
    assert_eq!((passed, lines(&inside.unwrap(), "max-forwards")), (PASSED, vec!["0"]));
}

#[tokio::test]
async fn a_response_is_signed_once() {
    let layer = named("edge").via(Via::new().on_responses());
    let (_, response, _) = send!(Request::new(()), layer, layer);
    assert_eq!(lines(&response, "via"), ["1.1 edge"]);
}

/// A service that is called twice with one request, as a retry between two guards does.
#[tokio::test]
async fn each_copy_of_a_request_has_the_mark() {
    let layer = named("edge");
    let inner = layer.layer(service_fn(async |request: Request<()>| {
        assert_eq!(lines(request.headers(), "x-hop-count"), ["1"]);
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    let retrying = service_fn(move |request: Request<()>| {
        let inner = inner.clone();
        async move {
            let first = inner.clone().oneshot(request.clone()).await?;
            assert_eq!(first.status(), 200);
            inner.oneshot(request).await
        }
    });
    assert_eq!(layer.layer(retrying).oneshot(Request::new(())).await.unwrap().status(), 200);
}
