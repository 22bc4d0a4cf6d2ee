//! `StripHopByHop`, row by row of its rule table.
//!
//! `tests/ROWS.md` explains the names of rows.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bartizan_core::{Reason, TrailerFilterBody};
use bartizan_forwarded::StripHopByHopLayer;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, ServiceExt, service_fn};

type Body =
    StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

/// A body with only trailers.
fn of_trailers(fields: HeaderMap) -> Body {
    StreamBody::new(futures_util::stream::iter(vec![Ok(Frame::trailers(fields))]))
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn names(headers: &HeaderMap) -> Vec<String> {
    let mut names: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    names.sort();
    names
}

struct Exchange {
    request: Vec<String>,
    request_trailers: Vec<String>,
    response: Vec<String>,
    response_trailers: Vec<String>,
}

/// What is left of a request with `fields` and trailers, and of its response.
async fn pass(
    fields: &[(&str, &str)],
    request_trailers: &[(&str, &str)],
    (status, answer, answer_trailers): (u16, &[(&str, &str)], &[(&str, &str)]),
) -> Result<Exchange, Reason> {
    let got = Arc::<Mutex<Option<(HeaderMap, HeaderMap)>>>::default();
    let (kept, answer) = (Arc::clone(&got), (headers(answer), headers(answer_trailers)));
    let client = service_fn(move |request: Request<TrailerFilterBody<Body>>| {
        let (kept, (headers, trailers)) = (Arc::clone(&kept), answer.clone());
        async move {
            let (head, request_body) = request.into_parts();
            let got = request_body.collect().await.unwrap().trailers().cloned();
            *kept.lock().unwrap() = Some((head.headers, got.unwrap_or_default()));
            let mut response = Response::new(of_trailers(trailers));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            *response.headers_mut() = headers;
            Ok::<_, Infallible>(response)
        }
    });
    let mut request = Request::new(of_trailers(headers(request_trailers)));
    *request.headers_mut() = headers(fields);
    let layer = StripHopByHopLayer::new().upgrades(["websocket"]);
    let response = layer.layer(client).oneshot(request).await.unwrap();
    let Some((request, request_trailers)) = got.lock().unwrap().take() else {
        return Err(Reason::of(&response).unwrap());
    };
    let (head, body) = response.into_parts();
    let response_trailers = body.collect().await.unwrap().trailers().cloned().unwrap_or_default();
    Ok(Exchange {
        request: names(&request),
        request_trailers: names(&request_trailers),
        response: names(&head.headers),
        response_trailers: names(&response_trailers),
    })
}

async fn request(fields: &[(&str, &str)]) -> Result<Vec<String>, Reason> {
    Ok(pass(fields, &[], (200, &[], &[])).await?.request)
}

#[tokio::test]
async fn what_belongs_to_one_hop_stays_there() {
    for (row, fields, expected) in [
        ("HB-1", &[("connection", "close")][..], &[][..]),
        ("HB-2", &[("connection", "X-Foo"), ("x-foo", "1")], &[]),
        ("HB-7", &[("keep-alive", "timeout=5"), ("proxy-connection", "x")], &[]),
        (
            "HB-8",
            &[("te", "trailers, deflate"), ("connection", "TE")],
            &["connection: te", "te: trailers"],
        ),
        ("HB-10", &[("te", "gzip")], &[]),
        (
            "HB-11",
            &[
                ("upgrade", "h2c"),
                ("connection", "Upgrade, HTTP2-Settings"),
                ("http2-settings", "x"),
            ],
            &[],
        ),
        (
            "HB-12",
            &[("upgrade", "websocket"), ("connection", "Upgrade")],
            &["connection: upgrade", "upgrade: websocket"],
        ),
        ("HB-13", &[("upgrade", "websocket")], &[]),
        ("HB-14", &[("proxy-authorization", "x")], &[]),
        ("HB-26", &[("transfer-encoding", "chunked")], &[]),
        ("HB-27", &[("x-unknown", "1")], &["x-unknown: 1"]),
    ] {
        assert_eq!(request(fields).await.unwrap(), expected, "{row}");
    }
}

#[tokio::test]
async fn a_protected_field_is_not_nominated_away() {
    for (row, option) in [
        ("HB-16", "X-Forwarded-For"),
        ("HB-17", "Authorization"),
        ("HB-18", "Mcp-Session-Id"),
        ("HB-18, L-2, CL-11", "CDN-Loop"),
        ("HB-25", "\"X-Foo\""),
    ] {
        assert_eq!(request(&[("connection", option)]).await, Err(Reason::ProtectedField), "{row}");
    }
}

#[tokio::test]
async fn responses_and_trailers_are_stripped_too() {
    let answer =
        [("connection", "x-a"), ("x-a", "1"), ("proxy-authenticate", "x"), ("x-kept", "1")];
    let exchange = pass(
        &[("connection", "x-t")],
        &[("x-t", "1"), ("authorization", "x"), ("x-kept", "1")],
        (200, &answer, &[("x-a", "1"), ("grpc-status", "0")]),
    );
    let exchange = exchange.await.unwrap();
    assert_eq!(exchange.request_trailers, ["x-kept: 1"]); // HB-20 to HB-22
    assert_eq!(exchange.response, ["x-kept: 1"]); // HB-15, HB-19
    assert_eq!(exchange.response_trailers, ["grpc-status: 0"]); // HB-21
}

#[tokio::test]
async fn a_change_of_protocol_is_told_if_it_was_asked_for() {
    let asked = [("upgrade", "websocket"), ("connection", "Upgrade")];
    let agreed = [("upgrade", "websocket"), ("connection", "upgrade")];
    let exchange = pass(&asked, &[], (101, &agreed, &[])).await.unwrap();
    assert_eq!(exchange.response, ["connection: upgrade", "upgrade: websocket"]);
    let exchange = pass(&asked, &[], (200, &agreed, &[])).await.unwrap();
    assert!(exchange.response.is_empty(), "SM-42");
    let exchange = pass(&[], &[], (101, &agreed, &[])).await.unwrap();
    assert!(exchange.response.is_empty(), "SM-40");
}
