//! What a request costs in allocations where there is an affinity cookie, beside those of the service inside.
#![allow(clippy::unwrap_used, reason = "test support")]

use std::{convert::Infallible, future::ready};

use bartizan_core::{Key, Passage, Record, Route, Session, store::StoredSession};
use bartizan_pin::{AffinityCookie, Backends, PinBackendLayer, ReclaimableBody};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{
    Request, Response,
    header::{COOKIE, SET_COOKIE},
};
use http_body_util::Empty;
use tower::{Layer, Service, service_fn};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

type Body = Empty<Bytes>;

#[tokio::test]
async fn a_cookie_costs_what_is_documented() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let names = (1..=50).map(|port| format!("http://b:{port}").parse().unwrap());
    let service = service_fn(|_: Request<ReclaimableBody<Body>>| {
        ready(Ok::<_, Infallible>(Response::new(Body::new())))
    });
    let affinity = AffinityCookie::new(&[7; 16]).unwrap();
    let backends = Backends::new(names);
    let layer = PinBackendLayer::new(backends.clone()).affinity(affinity);
    let mut pinning = layer.layer(service);
    let mut call = |request| pinning.call(request).now_or_never().unwrap().unwrap();
    // Other layers have made the passage.
    let request = |cookies: &[&str]| {
        let mut request = Request::new(Body::new());
        for line in cookies {
            request.headers_mut().append(COOKIE, line.parse().unwrap());
        }
        Passage::with(&mut request, |_| ());
        request
    };
    let set = call(request(&[])).headers()[SET_COOKIE].clone();
    let pair = set.to_str().unwrap().split(';').next().unwrap();
    let among = format!("theme=dark; {pair}; sid=1");
    let route = Route::default();
    let of_session = |cookie: &str| {
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        let record = record.with_backend("http://b:1".parse().unwrap());
        let session = Session::new(Key::new(&route, None, b"s"), record, 1.into(), 0);
        let mut request = request(&[cookie]);
        Passage::with(&mut request, |passage| passage.set_session(session));
        request
    };
    let mut plain = PinBackendLayer::new(backends).layer(service);
    let mut plain = |request| plain.call(request).now_or_never().unwrap().unwrap();
    let allocations = |call: &mut dyn FnMut(_) -> Response<_>, make: &dyn Fn() -> Request<Body>| {
        call(make());
        let requests: Vec<_> = (0..50).map(|_| make()).collect();
        let before = dhat::HeapStats::get().total_blocks;
        for request in requests {
            assert_eq!(call(request).status(), 200);
        }
        (dhat::HeapStats::get().total_blocks - before) / 50
    };
    let without_setting = allocations(&mut plain, &|| request(&["theme=dark; sid=1"]));
    let mut with = |make: &dyn Fn() -> Request<Body>| allocations(&mut call, make);
    let new = with(&|| request(&["theme=dark; sid=1"])) - without_setting;
    let shown = [&[pair][..], &[&*among], &["theme=dark", pair, "sid=1"]];
    let shown = shown.map(|cookies| with(&|| request(cookies)));
    let of_session =
        ["theme=dark; sid=1", pair, &*among].map(|cookie| with(&|| of_session(cookie)));
    assert_eq!((new, shown, of_session), (2, [3, 6, 6], [0, 0, 3]));
}
