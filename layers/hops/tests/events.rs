//! What the event of a refusal reports.
#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex},
};

use bartizan_hops::{CdnLoop, LimitHopsLayer, ProxyName, Via};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer, ServiceExt, service_fn};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// The fields of the last event.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<String>>>);

impl Visit for Journal {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != "message" {
            self.0.lock().unwrap().push(format!("{field}={value:?}"));
        }
    }
}

impl Subscriber for Journal {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        assert_eq!(event.metadata().target(), "bartizan::hops");
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_refusal_reports_which_name_was_seen_where() {
    let layer = LimitHopsLayer::new().name(ProxyName::new("gw1").unwrap());
    let layer =
        layer.limit(4.try_into().unwrap()).via(Via::new().max_members(2.try_into().unwrap()));
    let layer = layer.cdn_loop(CdnLoop::new("gw.example".parse().unwrap()));
    for (field, value, expected) in [
        (
            "x-hop-count",
            "7",
            &["reason=LoopDetected", "signal=\"hop count\"", "count=7", "limit=4"][..],
        ),
        ("via", "1.1 a, 1.1 GW1:80", &["signal=\"Via\"", "seen=\"gw1\"", "count=1"]),
        ("via", "1.1 a, 1.1 b, 1.1 c", &["signal=\"Via\"", "count=3", "limit=2"]),
        ("cdn-loop", "gw.example", &["signal=\"CDN-Loop\"", "seen=\"gw.example\"", "count=1"]),
        ("x-hop-count", "x", &["reason=MalformedHopCount", "signal=\"hop count\""]),
        ("connection", "via", &["reason=ProtectedField", "signal=\"Connection\""]),
    ] {
        let inside = service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        });
        let journal = Journal::default();
        let _guard = tracing::subscriber::set_default(journal.clone());
        let request = Request::get("/").header(field, value).body(()).unwrap();
        let response = layer.layer(inside).oneshot(request).await.unwrap();
        assert_ne!(response.status(), 200);
        let fields = journal.0.lock().unwrap();
        assert!(fields.contains(&"proxy=\"gw1\"".to_owned()), "{fields:?}");
        for part in expected {
            assert!(fields.contains(&(*part).to_owned()), "{part}: {fields:?}");
        }
        let has_seen = expected.iter().any(|part| part.starts_with("seen="));
        assert_eq!(fields.iter().any(|part| part.starts_with("seen=")), has_seen, "{fields:?}");
    }
}
