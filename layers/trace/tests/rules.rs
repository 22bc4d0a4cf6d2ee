//! Which requests are recorded, and what the service inside sees: the rows of the table in the crate docs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test")]

mod common;

use bartizan_core::PeerAddr;
use bartizan_trace::{Ratio, TraceBackendsLayer, TraceRequestsLayer};
use futures_util::FutureExt;
use http::Request;
use opentelemetry::trace::{SpanId, SpanKind};
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SpanData};
use tower::{Layer, ServiceExt};

use common::*;

/// Sends a request through a layer; what reached the service inside, and what was recorded.
fn sent(
    layer: impl FnOnce(SdkTracer) -> TraceRequestsLayer<SdkTracer>,
    fields: &[(&str, &str)],
    trusted: Option<bool>,
) -> (Seen, Option<SpanData>) {
    let (spans, inner) = (Spans::new(), Inner::default());
    let service = layer(spans.tracer()).layer(inner.clone());
    let response = service.oneshot(request(fields, trusted)).now_or_never().unwrap().unwrap();
    drop(response);
    let seen = inner.one();
    (seen, spans.take().pop())
}

fn all(tracer: SdkTracer) -> TraceRequestsLayer<SdkTracer> {
    TraceRequestsLayer::new(tracer)
}

fn none(tracer: SdkTracer) -> TraceRequestsLayer<SdkTracer> {
    TraceRequestsLayer::new(tracer).sample(Ratio::NONE)
}

/// The line that names `span` as the parent.
fn named(span: &SpanData) -> String {
    let (context, flags) = (&span.span_context, span.span_context.trace_flags().to_u8());
    format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id())
}

#[test]
fn without_a_trace_chance_decides() {
    for trusted in [None, Some(false), Some(true)] {
        let (seen, span) = sent(all, &[("tracestate", "a=1")], trusted);
        let span = span.unwrap();
        assert_eq!(
            (span.span_kind.clone(), span.parent_span_id),
            (SpanKind::Server, SpanId::INVALID)
        );
        assert_eq!(seen.parents, [named(&span)]);
        assert!(seen.states.is_empty(), "it belonged to another trace");
        assert!(seen.context.unwrap().is_sampled());

        let (seen, span) = sent(none, &[("tracestate", "a=1")], trusted);
        assert!(span.is_none() && seen.parents.is_empty() && seen.context.is_none());
        assert_eq!(seen.states, ["a=1"]);
    }
}

#[test]
fn the_flag_of_a_trusted_peer_decides() {
    // Sampled: whatever the ratio.
    for layer in [all, none] {
        let fields = [("traceparent", &*line("01")), ("tracestate", "a=1")];
        let (seen, span) = sent(layer, &fields, Some(true));
        let span = span.unwrap();
        assert_eq!(span.span_context.trace_id().to_string(), TRACE);
        assert_eq!(span.parent_span_id.to_string(), PARENT);
        assert!(span.parent_span_is_remote);
        assert_eq!((seen.parents, seen.states), (vec![named(&span)], vec!["a=1".to_owned()]));
    }
    // Not sampled: whatever the ratio.
    for layer in [all, none] {
        let fields = [("traceparent", &*line("00")), ("tracestate", "a=1, b=2")];
        let (seen, span) = sent(layer, &fields, Some(true));
        assert!(span.is_none() && seen.context.is_none());
        assert_eq!((seen.parents, seen.states), (vec![line("00")], vec!["a=1, b=2".to_owned()]));
    }
}

#[test]
fn the_flag_of_a_stranger_does_not() {
    for trusted in [None, Some(false)] {
        for flags in ["01", "00"] {
            let fields = [("traceparent", &*line(flags)), ("tracestate", "a=1")];
            let (seen, span) = sent(all, &fields, trusted);
            let span = span.unwrap();
            assert_eq!(span.span_context.trace_id().to_string(), TRACE);
            assert_eq!(span.parent_span_id.to_string(), PARENT);
            assert_eq!((seen.parents, seen.states), (vec![named(&span)], vec!["a=1".to_owned()]));
        }
        let (seen, span) = sent(none, &[("traceparent", &line("00"))], trusted);
        assert!(span.is_none());
        assert_eq!(seen.parents, [line("00")]);

        // Nor for a backend: the parent changes with the flag.
        let fields = [("traceparent", &*line("03")), ("tracestate", "a=1")];
        let (seen, span) = sent(none, &fields, trusted);
        assert!(span.is_none());
        assert_eq!(seen.states, ["a=1"]);
        let parent = &seen.parents[0];
        assert!(parent.starts_with(&format!("00-{TRACE}-")), "{parent}");
        assert!(parent.ends_with("-02") && !parent.contains(PARENT), "{parent}");
    }
}

#[test]
fn a_malformed_one_starts_again() {
    let (upper, short) = (line("01").to_uppercase(), line("0"));
    let zeros = line("01").replace(TRACE, &"0".repeat(32));
    let forbidden = line("01").replacen("00", "ff", 1);
    let good = line("01");
    for lines in [&[&*upper][..], &[&*short], &[&*zeros], &[&*forbidden], &[&*good, &*good], &[""]]
    {
        let fields: Vec<_> = lines.iter().map(|line| ("traceparent", *line)).collect();
        let fields = [fields, vec![("tracestate", "a=1")]].concat();
        for trusted in [None, Some(true)] {
            let (seen, span) = sent(all, &fields, trusted);
            let span = span.unwrap();
            assert_ne!(span.span_context.trace_id().to_string(), TRACE);
            assert_eq!(span.parent_span_id, SpanId::INVALID);
            assert_eq!((seen.parents, seen.states), (vec![named(&span)], Vec::new()), "{lines:?}");

            let (seen, span) = sent(none, &fields, trusted);
            assert!(span.is_none());
            assert!(seen.parents.is_empty() && seen.states.is_empty(), "{lines:?}");
        }
    }
}

#[test]
fn a_later_version_is_read_as_this_one() {
    let later = line("01").replacen("00", "cc", 1) + "-more";
    let (seen, span) = sent(none, &[("traceparent", &later)], Some(true));
    let span = span.unwrap();
    assert_eq!(span.parent_span_id.to_string(), PARENT);
    assert_eq!(seen.parents, [named(&span)]);
    // What is not recorded passes as it came.
    let later = line("00").replacen("00", "cc", 1) + "-more";
    let (seen, span) = sent(none, &[("traceparent", &later)], Some(true));
    assert!(span.is_none());
    assert_eq!(seen.parents, [later]);
}

#[test]
fn a_state_below_another_parent_is_one_line_that_fits() {
    let parent = line("01");
    let long = vec!["k=v"; 33].join(",");
    for (states, expected) in [
        (&["a=1", "b=2"][..], Some("a=1,b=2".to_owned())),
        (&["not a list"], None),
        (&[&*long], Some(vec!["k=v"; 32].join(","))),
    ] {
        let fields: Vec<_> = states.iter().map(|state| ("tracestate", *state)).collect();
        let fields = [vec![("traceparent", &*parent)], fields].concat();
        let (seen, span) = sent(all, &fields, Some(true));
        assert!(span.is_some());
        assert_eq!(seen.states, Vec::from_iter(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_are_recorded_than_allowed_per_second() {
    let (spans, inner) = (Spans::new(), Inner::default());
    let layer = TraceRequestsLayer::new(spans.tracer()).max_per_second(3);
    // Its services share the limit.
    let services = [layer.layer(inner.clone()), layer.clone().layer(inner.clone())];
    let parent = line("01");
    for round in 0..2 {
        for number in 0..5 {
            let call = request(&[("traceparent", &parent)], Some(true));
            services[number % 2].clone().oneshot(call).await.unwrap();
        }
        assert_eq!(spans.take().len(), 3, "{round}");
        let seen = std::mem::take(&mut *inner.seen.lock().unwrap());
        assert_eq!(seen.iter().filter(|seen| seen.parents == [parent.clone()]).count(), 2);
        assert_eq!(
            (layer.counts().recorded(), layer.counts().dropped()),
            (3 + 3 * round, 2 + 2 * round)
        );
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
    }
}

#[test]
fn what_the_tracer_declines_is_not_recorded() {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    let provider = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).build();
    let inner = Inner::default();
    let layer = TraceRequestsLayer::new(provider.tracer("off"));
    let call = request(&[("traceparent", &line("01"))], Some(true));
    layer.layer(inner.clone()).oneshot(call).now_or_never().unwrap().unwrap();
    let seen = inner.one();
    assert_eq!((seen.parents, seen.context), (vec![line("01")], None));
    assert_eq!(layer.counts().recorded(), 0);
}

#[test]
fn a_hook_or_nothing_at_all_says_whom_to_trust() {
    let fields = [("traceparent", &*line("00"))];
    let (_, span) = sent(|tracer| all(tracer).trust_all(), &fields, Some(false));
    assert!(span.is_none(), "the flag counts");
    let hook = |tracer| all(tracer).trust(|peer: &PeerAddr| peer.ip().unwrap().is_loopback());
    let (_, span) = sent(hook, &fields, Some(true));
    assert!(span.is_some(), "its address is not known");
    for (address, counts) in [("127.0.0.1:1", true), ("192.0.2.7:1", false)] {
        let (spans, inner) = (Spans::new(), Inner::default());
        let mut call = request(&fields, None);
        PeerAddr::new(address.parse().unwrap()).attach(&mut call);
        hook(spans.tracer()).layer(inner).oneshot(call).now_or_never().unwrap().unwrap();
        assert_eq!(spans.take().is_empty(), counts, "{address}");
    }
}

#[test]
fn switched_off_they_change_nothing() {
    let (seen, span) = sent(|tracer| all(tracer).only_if(false), &[("traceparent", "no")], None);
    assert!(span.is_none() && seen.context.is_none());
    assert_eq!(seen.parents, ["no"]);
    let (spans, inner) = (Spans::new(), Inner::default());
    let service = TraceRequestsLayer::new(spans.tracer())
        .layer(TraceBackendsLayer::new(spans.tracer()).only_if(false).layer(inner.clone()));
    service.oneshot(Request::new(())).now_or_never().unwrap().unwrap();
    assert_eq!(inner.one().parents, [named(&spans.one())]);
}

#[test]
fn a_try_is_the_child_of_its_request() {
    let (spans, inner) = (Spans::new(), Inner::default());
    let tried = TraceBackendsLayer::new(spans.tracer()).layer(inner.clone());
    let service = TraceRequestsLayer::new(spans.tracer()).layer(tried);
    let fields = [("traceparent", &*line("01")), ("tracestate", "a=1")];
    service.clone().oneshot(request(&fields, Some(true))).now_or_never().unwrap().unwrap();
    let [tried, whole] = <[SpanData; 2]>::try_from(spans.take()).unwrap();
    assert_eq!((&tried.span_kind, &whole.span_kind), (&SpanKind::Client, &SpanKind::Server));
    assert_eq!(tried.parent_span_id, whole.span_context.span_id());
    assert!(!tried.parent_span_is_remote);
    assert_eq!(tried.span_context.trace_id().to_string(), TRACE);
    let seen = inner.one();
    assert_eq!((seen.parents, seen.states), (vec![named(&tried)], vec!["a=1".to_owned()]));
    // Of a request that is not recorded, no try is.
    service
        .oneshot(request(&[("traceparent", &line("00"))], Some(true)))
        .now_or_never()
        .unwrap()
        .unwrap();
    assert!(spans.take().is_empty());
    assert_eq!(inner.one().parents, [line("00")]);
}
