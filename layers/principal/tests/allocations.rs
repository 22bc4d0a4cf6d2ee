//! The allocations of a request, in addition to those of the inner service.
#![allow(clippy::unwrap_used, reason = "test support")]

use std::{convert::Infallible, future::ready};

use bartizan_core::{Passage, Principal};
use bartizan_principal::NamePrincipalLayer;
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Request};
use tower::{Layer, Service, service_fn};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn a_caller_that_was_seen_lately_costs_none_and_a_switched_off_layer_neither() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let header = NamePrincipalLayer::header(HeaderName::from_static("x-user")).unwrap();
    for (layer, most_for_new) in [
        (NamePrincipalLayer::jwt(), 6),
        (NamePrincipalLayer::authorization(), 6),
        (header, 6),
        (NamePrincipalLayer::none(), 0),
    ] {
        let is_on = most_for_new > 0;
        let service = service_fn(|request: Request<()>| {
            assert_eq!(Principal::of(&request).is_some(), is_on);
            ready(Ok::<_, Infallible>(request))
        });
        let mut service = layer.layer(service);
        let mut allocations = |name: &str| {
            let mut request = Request::new(());
            // {"iss":"i","sub":"a"}
            let value = format!("Bearer e30.eyJpc3MiOiJpIiwic3ViIjoiYSJ9.{name}");
            for field in ["authorization", "x-user"] {
                request.headers_mut().insert(field, HeaderValue::from_str(&value).unwrap());
            }
            Passage::with(&mut request, |passage| passage.set_trusts_peer(true));
            let before = dhat::HeapStats::get().total_blocks;
            service.call(request).now_or_never().unwrap().unwrap();
            dhat::HeapStats::get().total_blocks - before
        };
        // Allocations that happen once per thread.
        allocations("first");
        let new = allocations("new");
        assert!(new <= most_for_new, "{layer:?}: {new} for a new caller");
        for _ in 0..3 {
            assert_eq!(allocations("new"), 0, "{layer:?}");
        }
    }
}
