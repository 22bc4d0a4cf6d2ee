//! The rules of the crate's front page, in their order.
//!
//! `tests/ROWS.md` explains the names of rows.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bartizan_core::{GuardBody, Passage, Reason};
use bartizan_hops::{
    CdnLoop, HopCount, Inbound, LimitHopsLayer, LoopStatus, MaxForwards, ProxyName, Via,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, ServiceExt, service_fn};

type Answer = Response<GuardBody<Empty<Bytes>>>;

/// What the inner service got, or the response if it was not called.
async fn send(layer: &LimitHopsLayer, request: Request<()>) -> Result<(HeaderMap, Answer), Answer> {
    let got = Arc::<Mutex<Option<HeaderMap>>>::default();
    let kept = Arc::clone(&got);
    let inside = service_fn(move |request: Request<()>| {
        *kept.lock().unwrap() = Some(request.headers().clone());
        // HC-31: a backend that echoes the count.
        let response = Response::builder().header("x-hop-count", "7").header("x-answer", "1");
        let response = response.version(Version::HTTP_2).body(Empty::<Bytes>::new()).unwrap();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let response = layer.layer(inside).oneshot(request).await.unwrap();
    let got = got.lock().unwrap().take();
    match got {
        Some(headers) => Ok((headers, response)),
        None => Err(response),
    }
}

fn request(fields: &[(&str, &str)]) -> Request<()> {
    let request = fields
        .iter()
        .fold(Request::post("/"), |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap()
}

fn lines<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect()
}

async fn forwarded(layer: &LimitHopsLayer, fields: &[(&str, &str)]) -> HeaderMap {
    send(layer, request(fields)).await.unwrap().0
}

async fn refused(layer: &LimitHopsLayer, fields: &[(&str, &str)]) -> (u16, Reason) {
    let response = send(layer, request(fields)).await.unwrap_err();
    (response.status().as_u16(), Reason::of(&response).unwrap())
}

const LOOP: (u16, Reason) = (508, Reason::LoopDetected);
const MALFORMED: (u16, Reason) = (400, Reason::MalformedHopCount);

fn limit(limit: u32) -> LimitHopsLayer {
    LimitHopsLayer::new().limit(limit.try_into().unwrap())
}

fn named() -> LimitHopsLayer {
    LimitHopsLayer::new().name(ProxyName::new("gw1").unwrap())
}

/// L-5.
#[tokio::test]
async fn counts_up_to_the_limit_and_refuses_the_rest() {
    for (row, fields, leaves) in [
        ("HC-1", &[][..], "1"),
        ("HC-2", &[("x-hop-count", "0")], "1"),
        ("HC-25", &[("x-hop-count", "3")], "4"),
        ("HC-28", &[("x-hop-count", "003"), ("x-hop-count", "2, 1")], "4"),
    ] {
        let headers = forwarded(&limit(4), fields).await;
        assert_eq!(lines(&headers, "x-hop-count"), [leaves], "{row}");
    }
    for (row, value) in
        [("HC-26", "4"), ("HC-5", "3, 5"), ("HC-27", "4294967295"), ("HC-10", "99999999999")]
    {
        assert_eq!(refused(&limit(4), &[("x-hop-count", value)]).await, LOOP, "{row}");
    }
    for value in ["+3", "-1", "3.0", "0x3", "3 4", "\"3\"", "3,x", "", ","] {
        assert_eq!(
            refused(&limit(4), &[("x-hop-count", value)]).await,
            MALFORMED,
            "HC-24: {value}"
        );
    }
    let two = [("x-hop-count", "3"), ("x-hop-count", "x")];
    assert_eq!(refused(&limit(4), &two).await, MALFORMED, "HC-21");
    // Up to the largest number.
    assert_eq!(
        lines(&forwarded(&limit(u32::MAX), &[("x-hop-count", "4294967294")]).await, "x-hop-count"),
        ["4294967295"]
    );
    assert_eq!(refused(&limit(u32::MAX), &[("x-hop-count", "4294967295")]).await, LOOP, "HC-27");
}

/// A chain of `limit` gateways works, and one more does not.
#[tokio::test]
async fn the_limit_is_inclusive() {
    for limit_value in [1, 2, 10] {
        let layer = limit(limit_value).without_via();
        let mut headers = HeaderMap::new();
        for crossed in 1..=limit_value {
            let mut request = Request::new(());
            *request.headers_mut() = headers;
            headers = send(&layer, request).await.unwrap().0;
            assert_eq!(lines(&headers, "x-hop-count"), [crossed.to_string()]);
        }
        let mut request = Request::new(());
        *request.headers_mut() = headers;
        assert_eq!(send(&layer, request).await.unwrap_err().status(), 508);
    }
}

/// HC-31.
#[tokio::test]
async fn the_count_is_not_echoed() {
    let (_, response) = send(&LimitHopsLayer::new(), request(&[])).await.unwrap();
    assert!(response.headers().contains_key("x-answer"));
    assert!(!response.headers().contains_key("x-hop-count"));
}

/// HC-29: the signals are independent.
#[tokio::test]
async fn a_count_that_is_reset_does_not_hide_the_own_name() {
    let fields = [("x-hop-count", "0"), ("via", "1.1 gw1")];
    assert_eq!(refused(&named(), &fields).await, LOOP);
    let fields = [("x-hop-count", "10"), ("via", "1.1 other")];
    assert_eq!(refused(&named(), &fields).await, LOOP);
}

#[tokio::test]
async fn the_count_of_a_stranger_can_be_left_aside() {
    let from = |trusted: Option<bool>, count: &str| {
        let mut request = request(&[("x-hop-count", count), ("x-hop-count", count)]);
        if let Some(trusted) = trusted {
            Passage::with(&mut request, |passage| passage.set_trusts_peer(trusted));
        }
        request
    };
    for (inbound, trusted, leaves) in [
        (Inbound::Counted, Some(false), None),
        (Inbound::CountedIfTrusted, Some(false), Some("1")),
        (Inbound::CountedIfTrusted, Some(true), None),
        (Inbound::CountedIfTrusted, None, None),
        (Inbound::Ignored, Some(true), Some("1")),
        (Inbound::Ignored, None, Some("1")),
    ] {
        let layer = LimitHopsLayer::new().count(HopCount::new().inbound(inbound));
        for count in ["4294967295", "x"] {
            let outcome = send(&layer, from(trusted, count)).await;
            let left = outcome.as_ref().ok().map(|(headers, _)| lines(headers, "x-hop-count"));
            assert_eq!(left, leaves.map(|leaves| vec![leaves]), "{inbound:?} {trusted:?} {count}");
        }
    }
}

/// H-11 to H-13.
#[tokio::test]
async fn the_own_name_is_written_behind_the_others_and_found_again() {
    for (row, version, before, after) in [
        ("VA-1", Version::HTTP_11, &[][..], &["1.1 gw1"][..]),
        ("VA-2", Version::HTTP_2, &[], &["2.0 gw1"]),
        ("H-11", Version::HTTP_10, &[], &["1.0 gw1"]),
        ("H-11", Version::HTTP_3, &[], &["3.0 gw1"]),
        ("VA-3", Version::HTTP_11, &["1.0 fred"], &["1.0 fred", "1.1 gw1"]),
        (
            "VA-10",
            Version::HTTP_11,
            &[r"1.1 other (a\), 1.1 gw1"],
            &[r"1.1 other (a\), 1.1 gw1", "1.1 gw1"],
        ),
        ("VA-14", Version::HTTP_11, &["gw1"], &["gw1", "1.1 gw1"]),
    ] {
        let fields: Vec<_> = before.iter().map(|line| ("via", *line)).collect();
        let mut request = request(&fields);
        *request.version_mut() = version;
        let (headers, response) = send(&named(), request).await.unwrap();
        assert_eq!(lines(&headers, "via"), after, "{row}");
        assert!(!response.headers().contains_key("via"), "VA-16: by choice only");
    }
    for (row, via) in [
        ("VA-4", "1.1 gw1"),
        ("VA-5", "1.1 GW1"),
        ("VA-7", "1.1 gw1:8080"),
        ("VA-11", "HTTP/1.1 gw1"),
    ] {
        assert_eq!(refused(&named(), &[("via", via)]).await, LOOP, "{row}");
    }
    let members = vec!["1.1 x"; 101].join(",");
    assert_eq!(refused(&named(), &[("via", &members)]).await, LOOP, "VA-15");
    assert_eq!(lines(&forwarded(&named(), &[("via", &members[6..])]).await, "via").len(), 2);
    let few = named().via(Via::new().max_members(1.try_into().unwrap()));
    assert_eq!(refused(&few, &[("via", "1.1 a, 1.1 b")]).await, LOOP, "VA-15");
    let without = named().without_via();
    assert_eq!(lines(&forwarded(&without, &[("via", "1.1 gw1")]).await, "via"), ["1.1 gw1"]);
}

/// VA-16.
#[tokio::test]
async fn responses_are_signed_by_choice_with_the_version_that_they_came_by() {
    let (_, response) = send(&named().via(Via::new().on_responses()), request(&[])).await.unwrap();
    assert_eq!(lines(response.headers(), "via"), ["2.0 gw1"]);
}

/// H-12, H-13: a gateway that reaches itself is a loop; two gateways are not a loop, even in one process.
#[tokio::test]
async fn by_default_a_layer_knows_itself_and_no_other() {
    let layer = LimitHopsLayer::new();
    let headers = forwarded(&layer, &[]).await;
    let [via] = lines(&headers, "via")[..] else { panic!("{headers:?}") };
    assert!(via.starts_with("1.1 bartizan-"), "{via}");
    assert_eq!(refused(&layer.clone(), &[("via", via)]).await, LOOP);
    let other = forwarded(&LimitHopsLayer::new(), &[("via", via)]).await;
    assert_eq!(lines(&other, "via").len(), 2);
    assert_eq!(lines(&forwarded(&named(), &[("via", via)]).await, "via"), [via, "1.1 gw1"]);
}

/// L-1 to L-3.
#[tokio::test]
async fn the_own_id_is_added_to_cdn_loop_and_found_again() {
    let layer = LimitHopsLayer::new().cdn_loop(CdnLoop::new("gw.example".parse().unwrap()));
    for (row, fields, after) in [
        ("CL-1", &[][..], &["gw.example"][..]),
        (
            "CL-2",
            &[("cdn-loop", r#"foo.example, bar.example; trace="abc""#)],
            &[r#"foo.example, bar.example; trace="abc""#, "gw.example"],
        ),
        ("CL-8", &[("cdn-loop", "gw.example:8443")], &["gw.example:8443", "gw.example"]),
        (
            "CL-12",
            &[("cdn-loop", r#"foo; x="unterminated"#)],
            &[r#"foo; x="unterminated"#, "gw.example"],
        ),
    ] {
        assert_eq!(lines(&forwarded(&layer, fields).await, "cdn-loop"), after, "{row}");
    }
    for (row, value) in [("CL-3", "gw.example"), ("CL-4", "GW.Example; x=1")] {
        assert_eq!(refused(&layer, &[("cdn-loop", value)]).await, LOOP, "{row}");
    }
    let twice = CdnLoop::new("gw.example".parse().unwrap()).passes(2.try_into().unwrap());
    let twice = LimitHopsLayer::new().cdn_loop(twice);
    let once_more = forwarded(&twice, &[("cdn-loop", "gw.example")]).await;
    assert_eq!(lines(&once_more, "cdn-loop"), ["gw.example", "gw.example"]); // CL-9
    assert_eq!(refused(&twice, &[("cdn-loop", "gw.example, gw.example")]).await, LOOP, "CL-9");
    let untouched = forwarded(&LimitHopsLayer::new(), &[("cdn-loop", "gw.example")]).await;
    assert_eq!(lines(&untouched, "cdn-loop"), ["gw.example"], "off by default");
}

fn with_method(method: Method, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = request(fields);
    *request.method_mut() = method;
    request
}

/// H-14.
#[tokio::test]
async fn max_forwards_is_obeyed_for_options_and_trace() {
    let layer = LimitHopsLayer::new().max_forwards(MaxForwards::new(5));
    let ask = |method: Method, fields: &'static [(&'static str, &'static str)]| {
        let (layer, request) = (layer.clone(), with_method(method, fields));
        async move { send(&layer, request).await }
    };
    let answer = ask(Method::OPTIONS, &[("max-forwards", "0")]).await.unwrap_err();
    assert_eq!((answer.status().as_u16(), Reason::of(&answer)), (204, None), "MF-1");
    assert!(answer.headers()["allow"].to_str().unwrap().contains("OPTIONS"));
    for (row, method, fields, left) in [
        ("MF-2", Method::OPTIONS, &[("max-forwards", "1")][..], &["0"][..]),
        ("MF-3", Method::OPTIONS, &[("max-forwards", "10")], &["5"]),
        ("MF-6", Method::GET, &[("max-forwards", "0")], &["0"]),
        ("MF-7", Method::OPTIONS, &[], &[]),
        ("MF-9", Method::OPTIONS, &[("max-forwards", "999999999999999999999999999999")], &["5"]),
    ] {
        let (headers, _) = ask(method, fields).await.unwrap();
        assert_eq!(lines(&headers, "max-forwards"), left, "{row}");
    }
    for value in ["abc", "-1", "1, 2"] {
        let request = with_method(Method::OPTIONS, &[("max-forwards", value)]);
        assert_eq!(send(&layer, request).await.unwrap_err().status(), 400, "MF-8: {value}");
    }
    let two = ask(Method::OPTIONS, &[("max-forwards", "1"), ("max-forwards", "1")]).await;
    assert_eq!(two.unwrap_err().status(), 400, "MF-8");
    let trace = ask(Method::TRACE, &[("max-forwards", "0")]).await.unwrap_err();
    assert_eq!(trace.status(), 405, "MF-5");
    assert!(trace.headers().contains_key("allow"));
    // With the setting off, the field is passed on.
    let request = with_method(Method::OPTIONS, &[("max-forwards", "0")]);
    let (headers, _) = send(&LimitHopsLayer::new(), request).await.unwrap();
    assert_eq!(lines(&headers, "max-forwards"), ["0"]);
}

/// MF-4, H-30.
#[tokio::test]
async fn trace_shows_the_head_without_what_authenticates() {
    let layer = LimitHopsLayer::new().max_forwards(MaxForwards::new(5).answer_trace());
    let fields = [
        ("max-forwards", "0"),
        ("x-shown", "1"),
        ("authorization", "secret"),
        ("cookie", "secret"),
        ("mcp-session-id", "secret"),
    ];
    let answer = send(&layer, with_method(Method::TRACE, &fields)).await.unwrap_err();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"message/http".parse().unwrap())
    );
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let text = str::from_utf8(&body).unwrap();
    assert!(text.starts_with("TRACE / HTTP/1.1\r\n") && text.contains("x-shown: 1\r\n"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    let on = send(&layer, with_method(Method::TRACE, &[("max-forwards", "2")])).await.unwrap().0;
    assert_eq!(lines(&on, "max-forwards"), ["1"]);
}

/// HB-18, HC-30, CL-11, L-2.
#[tokio::test]
async fn no_mark_is_nominated_away() {
    for option in ["X-Hop-Count", "via", "CDN-Loop", "Max-Forwards"] {
        for lines in
            [vec![("connection", option)], vec![("connection", "close"), ("connection", option)]]
        {
            let expected = (400, Reason::ProtectedField);
            assert_eq!(refused(&LimitHopsLayer::new(), &lines).await, expected, "{option}");
        }
    }
    let own = LimitHopsLayer::new().count(HopCount::new().header("x-depth".parse().unwrap()));
    assert_eq!(refused(&own, &[("connection", "X-Depth")]).await.0, 400);
    assert_eq!(lines(&forwarded(&own, &[("connection", "x-hop-count")]).await, "x-depth"), ["1"]);
}

/// H-20, L-4 to L-7: a header field that contains only the name and the error.
#[tokio::test]
async fn a_loop_is_refused_in_the_form_and_with_the_status_that_were_chosen() {
    for (status, code) in [
        (LoopStatus::LoopDetected, 508),
        (LoopStatus::BadGateway, 502),
        (LoopStatus::NotFound, 404),
    ] {
        let answer =
            send(&named().status(status), request(&[("via", "1.1 gw1")])).await.unwrap_err();
        assert_eq!(answer.status(), code);
        assert_eq!(answer.headers()["proxy-status"], "gw1; error=proxy_loop_detected");
        let body = answer.into_body().collect().await.unwrap();
        assert!(body.trailers().is_none());
    }
    let mcp = request(&[("via", "1.1 gw1"), ("mcp-session-id", "x")]);
    let answer = send(&named(), mcp).await.unwrap_err();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Loop detected"}}"#);
    let grpc = request(&[("via", "1.1 gw1"), ("content-type", "application/grpc")]);
    let answer = send(&named(), grpc).await.unwrap_err();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["grpc-status"]),
        (200, &"9".parse().unwrap())
    );
}

#[tokio::test]
async fn contextforge_has_its_own_field_limit_and_answer() {
    let layer = LimitHopsLayer::contextforge();
    let field = "x-contextforge-uaid-hop";
    assert_eq!(lines(&forwarded(&layer, &[(field, "4")]).await, field), ["5"]);
    assert_eq!(refused(&layer, &[(field, "5")]).await, (404, Reason::LoopDetected));
    // Stricter than the original on purpose (X12): a malformed count is not read as zero.
    assert_eq!(refused(&layer, &[(field, "five")]).await.0, 400);
}

#[cfg(feature = "sign")]
#[tokio::test]
async fn a_signed_count_cannot_be_lowered() {
    use bartizan_hops::SigningKeys;

    let keys = SigningKeys::new("k1", b"0123456789abcdef").unwrap();
    let count = HopCount::new().limit(3.try_into().unwrap()).sign(keys);
    let layer = LimitHopsLayer::new().without_via().count(count.clone());
    let mut request_fields = Vec::<(String, String)>::new();
    let own = |headers: &HeaderMap| -> Vec<(String, String)> {
        ["x-hop-count", "x-hop-count-signature"]
            .map(|name| (name.to_owned(), headers[name].to_str().unwrap().to_owned()))
            .into()
    };
    let as_fields = |fields: &[(String, String)]| -> Request<()> {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        request(&fields)
    };
    for crossed in ["1", "2", "3"] {
        let (headers, response) = send(&layer, as_fields(&request_fields)).await.unwrap();
        request_fields = own(&headers);
        assert_eq!(request_fields[0].1, crossed);
        assert!(!response.headers().contains_key("x-hop-count-signature"));
    }
    assert_eq!(send(&layer, as_fields(&request_fields)).await.unwrap_err().status(), 508);
    let mut lowered = request_fields.clone();
    lowered[0].1 = "1".to_owned();
    assert_eq!(send(&layer, as_fields(&lowered)).await.unwrap_err().status(), 400);
    for part in [&request_fields[..1], &request_fields[1..]] {
        assert_eq!(send(&layer, as_fields(part)).await.unwrap_err().status(), 400, "{part:?}");
    }
    assert_eq!(refused(&layer, &[("connection", "x-hop-count-signature")]).await.0, 400);
    let edge = layer.count(count.inbound(Inbound::Ignored));
    assert_eq!(own(&send(&edge, as_fields(&lowered)).await.unwrap().0)[0].1, "1");
}
