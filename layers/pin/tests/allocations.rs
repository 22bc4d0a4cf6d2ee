//! The allocations of a request, in addition to those of the inner service.
#![allow(clippy::unwrap_used, reason = "test support")]

use std::{convert::Infallible, future::ready};

use bartizan_core::{Key, Passage, Record, Route, Session, store::StoredSession};
use bartizan_pin::{Backends, PinBackendLayer, ReclaimableBody};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer, Service, service_fn};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

type Body = Empty<Bytes>;

fn allocations(mut calls: impl FnMut(Request<Body>), requests: Vec<Request<Body>>) -> u64 {
    let before = dhat::HeapStats::get().total_blocks;
    requests.into_iter().for_each(&mut calls);
    dhat::HeapStats::get().total_blocks - before
}

#[tokio::test]
async fn pinned_work_costs_none_and_new_work_a_few_whatever_the_number_of_backends() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let names = (1..=50).map(|port| format!("http://b:{port}").parse().unwrap());
    let service = service_fn(|_: Request<ReclaimableBody<Body>>| {
        ready(Ok::<_, Infallible>(Response::new(Body::new())))
    });
    let mut service = PinBackendLayer::new(Backends::new(names)).layer(service);
    let mut call = |request| {
        let response = service.call(request).now_or_never().unwrap().unwrap();
        assert_eq!(response.status(), 200);
    };
    let route = Route::default();
    let pinned = |port| {
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        let record = record.with_backend(format!("http://b:{port}").parse().unwrap());
        let session = Session::new(Key::new(&route, None, b"s"), record, 1.into(), 0);
        let mut request = Request::new(Body::new());
        Passage::with(&mut request, |passage| passage.set_session(session));
        request
    };
    let new = || {
        let mut request = Request::new(Body::new());
        Passage::with(&mut request, |_| ());
        request
    };
    // Allocations that happen once per thread.
    allocations(&mut call, vec![pinned(1), new()]);
    assert_eq!(allocations(&mut call, (1..=50).map(pinned).collect()), 0);
    let each = allocations(&mut call, (0..50).map(|_| new()).collect()) / 50;
    assert!(each <= 9, "{each} allocations for new work");
}
