//! What reaches a backend and what comes back, over real sockets: HTTP/1.1 and HTTP/2 in clear text.
//!
//! `tests/ROWS.md` explains the names of rows.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bartizan_core::{Passage, Work};
use bartizan_testkit::{BoxBody, Recorder, Script, Server, eventually, serve, server::boxed};
use bartizan_upstream::Upstream;
use bytes::Bytes;
use common::{Kind, on_each_transport, send, upstream, upstream_by};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Request, Response, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Channel, Full, StreamBody};
use hyper::body::Incoming;
use tower::ServiceExt;

on_each_transport! {
    the_fields_of_one_hop_do_not_reach_the_backend,
    host_is_the_backends_and_the_target_is_kept_byte_for_byte,
    methods_that_are_not_forwarded,
    bodies_and_trailers_pass_both_ways_over_both_versions,
    frames_pass_as_they_come_both_ways,
    a_response_that_comes_before_the_request_is_over_is_passed_on,
    when_the_client_goes_the_backend_hears_of_it_at_once,
    a_websocket_becomes_a_tunnel_that_keeps_its_session_in_use,
    a_large_body_passes_whole,
    a_known_length_stays_known,
    extended_connect_becomes_a_tunnel_between_two_http2_streams,
    a_body_of_unknown_length_passes_whatever_the_method,
    the_version_of_the_backend_is_not_passed_on,
}

/// Both protocols of the server.
fn origins(server: &Server) -> [String; 2] {
    [format!("http://{}", server.addr), format!("h2c://{}", server.addr)]
}

fn body(text: &'static str) -> BoxBody {
    boxed(Full::from(text))
}

async fn text(response: Response<BoxBody>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
}

/// RFC 9110 §7.6.1, as a backend sees it.
async fn the_fields_of_one_hop_do_not_reach_the_backend<T: Kind>() {
    let rows: [(&str, &[(&str, &str)], &[&str]); 9] = [
        ("HB-1", &[("connection", "close")], &["close"]),
        ("HB-2", &[("connection", "X-Foo"), ("x-foo", "1")], &["x-foo"]),
        (
            "HB-3",
            &[("connection", "x-FOO , X-Bar"), ("x-foo", "1"), ("x-bar", "1")],
            &["x-foo", "x-bar"],
        ),
        (
            "HB-4",
            &[("connection", "X-A"), ("connection", "X-B"), ("x-a", "1"), ("x-b", "1")],
            &["x-a", "x-b"],
        ),
        (
            "HB-7",
            &[("keep-alive", "timeout=5"), ("proxy-connection", "x")],
            &["keep-alive", "proxy-connection"],
        ),
        ("HB-10", &[("te", "gzip")], &["\r\nte:", "gzip"]),
        (
            "HB-11",
            &[
                ("upgrade", "h2c"),
                ("connection", "Upgrade, HTTP2-Settings"),
                ("http2-settings", "AAMAAABk"),
            ],
            &["upgrade", "http2-settings", "h2c"],
        ),
        ("HB-13", &[("upgrade", "websocket")], &["upgrade", "websocket"]),
        ("HB-14", &[("proxy-authorization", "Basic x")], &["proxy-authorization"]),
    ];
    for (row, fields, gone) in rows {
        let recorder = Recorder::start().await;
        let mut request = Request::get("/p").header("x-kept", row).body(body("")).unwrap();
        for (name, value) in fields {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        assert_eq!(
            send(&upstream::<T>(), &recorder.uri(), Work::Free, request).await.status(),
            200,
            "{row}"
        );
        let seen = recorder.text().to_lowercase();
        assert!(seen.contains("x-kept"), "HB-27: {seen}");
        for name in gone {
            assert!(!seen.contains(name), "{row}: {seen}");
        }
    }
    // HB-8, HB-9: the remaining part of TE is written again.
    let recorder = Recorder::start().await;
    let request = Request::get("/").header("te", "trailers, deflate").header("connection", "TE");
    send(&upstream::<T>(), &recorder.uri(), Work::Free, request.body(body("")).unwrap()).await;
    assert!(recorder.text().contains("te: trailers\r\n"), "{}", recorder.text());
    // HB-16 to HB-18, HB-25: nothing reaches it.
    for name in ["Authorization", "X-Forwarded-For", "Mcp-Session-Id", "Host", "\"x\""] {
        let recorder = Recorder::start().await;
        let request = Request::get("/").header("connection", name).body(body("")).unwrap();
        assert_eq!(
            send(&upstream::<T>(), &recorder.uri(), Work::Free, request).await.status(),
            400,
            "{name}"
        );
        assert_eq!(recorder.requests(), 0);
    }
}

async fn host_is_the_backends_and_the_target_is_kept_byte_for_byte<T: Kind>() {
    for target in ["/a/../b", "/%2e%2e/b", "//evil/", "/a;x", "/a%2Fb", "/?a=%zz&&", "/"] {
        let recorder = Recorder::start().await;
        let request = Request::get(target).header("host", "public.example").body(body("")).unwrap();
        send(&upstream::<T>(), &recorder.uri(), Work::Free, request).await;
        let seen = recorder.text();
        assert!(seen.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "SM-43: {seen}");
        assert!(seen.contains(&format!("host: {}\r\n", recorder.addr)), "{seen}");
    }
    let recorder = Recorder::start().await;
    let options = Request::options("*").header("host", "public.example").body(body("")).unwrap();
    send(&upstream::<T>(), &recorder.uri(), Work::Free, options).await;
    assert!(recorder.text().starts_with("OPTIONS * HTTP/1.1\r\n"), "{}", recorder.text());

    let recorder = Recorder::start().await;
    let preserving = upstream_by::<T>(Upstream::builder().preserve_host());
    let request = Request::get("/").header("host", "public.example").body(body("")).unwrap();
    send(&preserving, &recorder.uri(), Work::Free, request).await;
    assert!(recorder.text().contains("host: public.example\r\n"));
}

async fn methods_that_are_not_forwarded<T: Kind>() {
    let recorder = Recorder::start().await;
    for method in ["TRACE", "CONNECT"] {
        let request = Request::builder().method(method).uri("http://a/").body(body("")).unwrap();
        let response = send(&upstream::<T>(), &recorder.uri(), Work::Free, request).await;
        assert_eq!(response.status(), 405, "{method}");
        assert!(response.headers().contains_key("allow"));
    }
    assert_eq!(recorder.requests(), 0);
    // Without a backend the request is refused; with a fixed one it is forwarded.
    let nowhere = upstream::<T>().oneshot(Request::get("/").body(body("")).unwrap()).await.unwrap();
    assert_eq!(nowhere.status(), 500);
    let fixed = upstream_by::<T>(Upstream::builder().to(recorder.uri().parse().unwrap()));
    assert_eq!(
        fixed.oneshot(Request::get("/").body(body("")).unwrap()).await.unwrap().status(),
        200
    );
}

/// Echoes the body with its trailers, and reports the HTTP version.
async fn echo() -> Server {
    serve(async |request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        let mut response = Response::new(boxed(body));
        let version = format!("{:?}", head.version);
        response.headers_mut().insert("x-version", version.parse().unwrap());
        response.headers_mut().insert("forwarded", "for=inside".parse().unwrap());
        response.headers_mut().insert("trailer", "x-t".parse().unwrap());
        response
    })
    .await
}

fn with_trailers(trailers: HeaderMap) -> BoxBody {
    let frames = [Frame::data(Bytes::from("data")), Frame::trailers(trailers)];
    boxed(StreamBody::new(stream::iter(frames.map(Ok::<_, std::io::Error>))))
}

async fn bodies_and_trailers_pass_both_ways_over_both_versions<T: Kind>() {
    let server = echo().await;
    for (origin, version) in origins(&server).iter().zip(["HTTP/1.1", "HTTP/2.0"]) {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-t", "kept".parse().unwrap());
        trailers.insert("x-nominated", "HB-21".parse().unwrap());
        trailers.insert("authorization", "HB-22".parse().unwrap());
        let request = Request::post("/")
            .version(Version::HTTP_2)
            .header("te", "trailers")
            .header("trailer", "x-t, x-nominated, authorization")
            .header("connection", "x-nominated")
            .body(with_trailers(trailers))
            .unwrap();
        let response = send(&upstream::<T>(), origin, Work::Free, request).await;
        assert_eq!(response.headers()["x-version"], version);
        assert!(!response.headers().contains_key("forwarded"), "FB-12");
        let collected = response.into_body().collect().await.unwrap();
        let trailers = collected.trailers().unwrap();
        assert_eq!((trailers.len(), &trailers["x-t"]), (1, &"kept".parse().unwrap()), "{version}");
        assert_eq!(collected.to_bytes(), "data");
    }
}

async fn frames_pass_as_they_come_both_ways<T: Kind>() {
    let server = echo().await;
    for origin in origins(&server) {
        let (mut sender, channel) = Channel::<Bytes, std::io::Error>::new(4);
        sender.send_data(Bytes::from("one")).await.unwrap();
        let request = Request::post("/").body(boxed(channel)).unwrap();
        let mut response = send(&upstream::<T>(), &origin, Work::Free, request).await;
        // The first comes back before the second is sent.
        for next in ["one", "two", "three"] {
            let frame = response.body_mut().frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), next);
            if next == "one" {
                sender.send_data(Bytes::from("two")).await.unwrap();
            } else if next == "two" {
                sender.send_data(Bytes::from("three")).await.unwrap();
            }
        }
        drop(sender);
        // HTTP/2 may end with a frame that is empty.
        let rest = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(rest, "", "{origin}");
    }
}

async fn a_response_that_comes_before_the_request_is_over_is_passed_on<T: Kind>() {
    let early = Script::Respond(Bytes::from_static(
        b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno",
    ));
    let recorder = Recorder::with(early).await;
    let (mut sender, channel) = Channel::<Bytes, std::io::Error>::new(4);
    sender.send_data(Bytes::from("the first of many")).await.unwrap();
    let request = Request::post("/").body(boxed(channel)).unwrap();
    let response = send(&upstream::<T>(), &recorder.uri(), Work::Free, request).await;
    assert_eq!(response.status(), 413);
    assert_eq!(text(response).await, "no");
}

async fn when_the_client_goes_the_backend_hears_of_it_at_once<T: Kind>() {
    struct Open(Arc<AtomicUsize>);
    impl Drop for Open {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let open = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&open);
    let server = serve(move |request: Request<Incoming>| {
        counter.fetch_add(1, Ordering::SeqCst);
        let guard = Open(Arc::clone(&counter));
        async move {
            if request.uri().path() == "/never" {
                let _guard = guard;
                return std::future::pending().await;
            }
            let first = stream::iter([Ok::<_, std::io::Error>(Frame::data(Bytes::from("event")))]);
            let guarded = first.chain(stream::pending()).map(move |frame| {
                let _ = &guard;
                frame
            });
            Response::new(boxed(StreamBody::new(guarded)))
        }
    })
    .await;
    for origin in origins(&server) {
        let upstream = upstream::<T>();
        let mut response =
            send(&upstream, &origin, Work::Free, Request::get("/stream").body(body("")).unwrap())
                .await;
        assert!(response.body_mut().frame().await.is_some());
        assert_eq!(open.load(Ordering::SeqCst), 1);
        drop(response);
        let gone = || async { open.load(Ordering::SeqCst) == 0 };
        eventually("the stream is gone", Duration::from_secs(1), gone).await;
        // The same before there is a response.
        let waiting = tokio::spawn({
            let origin = origin.clone();
            async move {
                send(&upstream, &origin, Work::Free, Request::get("/never").body(body("")).unwrap())
                    .await
            }
        });
        let there = || async { open.load(Ordering::SeqCst) == 1 };
        eventually("the call is there", Duration::from_secs(5), there).await;
        waiting.abort();
        eventually("the call is gone", Duration::from_secs(1), gone).await;
    }
}

async fn a_websocket_becomes_a_tunnel_that_keeps_its_session_in_use<T: Kind>() {
    let server = serve(async |mut request: Request<Incoming>| {
        if request.headers().get("upgrade").is_none_or(|upgrade| upgrade != "websocket") {
            return Response::new(boxed(Full::from("no upgrade")));
        }
        assert_eq!(request.headers()["connection"], "upgrade");
        tokio::spawn(async move {
            let upgraded = hyper::upgrade::on(&mut request).await.unwrap();
            let mut io = hyper_util::rt::TokioIo::new(upgraded);
            let mut buffer = [0; 4];
            while tokio::io::AsyncReadExt::read_exact(&mut io, &mut buffer).await.is_ok() {
                tokio::io::AsyncWriteExt::write_all(&mut io, &buffer).await.unwrap();
            }
        });
        let response = Response::builder().status(101);
        let response = response.header("upgrade", "websocket").header("connection", "upgrade");
        response.body(boxed(Full::default())).unwrap()
    })
    .await;
    // A front server, since only a real connection can be upgraded.
    let held = Arc::new(());
    let (upstream, uri, lease) = (upstream::<T>(), server.uri(), Arc::clone(&held));
    let front = serve(move |request: Request<Incoming>| {
        let (upstream, uri, lease) = (upstream.clone(), uri.clone(), Arc::clone(&lease));
        async move {
            let mut request = request.map(boxed);
            Passage::with(&mut request, |passage| {
                passage.set_backend(uri.parse().unwrap());
                passage.set_lease(bartizan_core::passage::Lease::new(lease));
            });
            upstream.oneshot(request).await.unwrap().map(boxed)
        }
    })
    .await;
    let mut stream = tokio::net::TcpStream::connect(front.addr).await.unwrap();
    let handshake = "GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: keep-alive, Upgrade\r\nsec-websocket-key: x\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, handshake.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut byte).await.unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
    for message in [b"ping", b"pong"] {
        tokio::io::AsyncWriteExt::write_all(&mut stream, message).await.unwrap();
        let mut answer = [0; 4];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer).await.unwrap();
        assert_eq!(&answer, message);
    }
    // One copy here, one in the handler, one in the tunnel.
    assert_eq!(Arc::strong_count(&held), 3);
    drop(stream);
    let released = || async { Arc::strong_count(&held) == 2 };
    eventually("the lease ends with the tunnel", Duration::from_secs(2), released).await;
    // Any other protocol is stripped, and the request is forwarded normally (HB-11, SM-41).
    let reply = bartizan_testkit::raw::exchange(
        front.addr,
        b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\nconnection: upgrade, close\r\n\r\n",
        Duration::from_secs(5),
    )
    .await;
    assert_eq!(reply.status(), Some(200), "{}", reply.text());
    assert!(reply.text().ends_with("no upgrade"));
}

async fn a_large_body_passes_whole<T: Kind>() {
    let server = echo().await;
    const CHUNKS: usize = 1024;
    for origin in origins(&server) {
        let chunk = Bytes::from(vec![7; 64 * 1024]);
        let chunks = stream::iter(
            (0..CHUNKS).map(move |_| Ok::<_, std::io::Error>(Frame::data(chunk.clone()))),
        );
        let request = Request::post("/").body(boxed(StreamBody::new(chunks))).unwrap();
        let mut response = send(&upstream::<T>(), &origin, Work::Free, request).await;
        let mut total = 0;
        while let Some(frame) = response.body_mut().frame().await {
            total += frame.unwrap().into_data().map_or(0, |data| data.len());
        }
        assert_eq!(total, CHUNKS * 64 * 1024);
    }
}

async fn a_known_length_stays_known<T: Kind>() {
    let recorder = Recorder::start().await;
    let request = Request::post("/").body(body("12345")).unwrap();
    let response = send(&upstream::<T>(), &recorder.uri(), Work::Free, request).await;
    assert!(recorder.text().contains("content-length: 5\r\n"), "{}", recorder.text());
    assert_eq!(response.body().size_hint().exact(), Some(2));
}

async fn extended_connect_becomes_a_tunnel_between_two_http2_streams<T: Kind>() {
    let server = serve(async |mut request: Request<Incoming>| {
        assert_eq!(request.method(), "CONNECT");
        let protocol = request.extensions().get::<hyper::ext::Protocol>().unwrap();
        assert_eq!(protocol.as_str(), "websocket");
        assert_eq!(request.uri().path(), "/chat");
        tokio::spawn(async move {
            let upgraded = hyper::upgrade::on(&mut request).await.unwrap();
            let mut io = hyper_util::rt::TokioIo::new(upgraded);
            let mut buffer = [0; 4];
            while tokio::io::AsyncReadExt::read_exact(&mut io, &mut buffer).await.is_ok() {
                tokio::io::AsyncWriteExt::write_all(&mut io, &buffer).await.unwrap();
            }
        });
        Response::new(boxed(Full::default()))
    })
    .await;
    let (upstream, uri) = (upstream::<T>(), format!("h2c://{}", server.addr));
    let front = serve(move |request: Request<Incoming>| {
        let (upstream, uri) = (upstream.clone(), uri.clone());
        async move {
            let mut request = request.map(boxed);
            Passage::with(&mut request, |passage| passage.set_backend(uri.parse().unwrap()));
            upstream.oneshot(request).await.unwrap().map(boxed)
        }
    })
    .await;
    let stream = tokio::net::TcpStream::connect(front.addr).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    // The server's SETTINGS must have arrived, which announce extended CONNECT.
    let warm = Request::options(format!("http://{}/", front.addr)).body(body("")).unwrap();
    let _ = warm;
    let connect = |protocol: &'static str| {
        Request::connect(format!("http://{}/chat", front.addr))
            .version(Version::HTTP_2)
            .extension(hyper::ext::Protocol::from_static(protocol))
            .body(body(""))
            .unwrap()
    };
    let mut response = loop {
        match sender.send_request(connect("websocket")).await {
            Ok(response) => break response,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(response.status(), 200);
    let mut io = hyper_util::rt::TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    for message in [b"ping", b"pong"] {
        tokio::io::AsyncWriteExt::write_all(&mut io, message).await.unwrap();
        let mut answer = [0; 4];
        tokio::io::AsyncReadExt::read_exact(&mut io, &mut answer).await.unwrap();
        assert_eq!(&answer, message);
    }
    // A protocol that is not relayed is not asked for.
    let refused = sender.send_request(connect("masque")).await.unwrap();
    assert_eq!(refused.status(), 501);
}

/// hyper assumes that a GET or HEAD has no body, unless its fields say otherwise.
async fn a_body_of_unknown_length_passes_whatever_the_method<T: Kind>() {
    let server = serve(|request: Request<Incoming>| async move {
        let method = request.method().to_string();
        let sent = request.into_body().collect().await.unwrap().to_bytes();
        let mut response = Response::new(body(""));
        let seen = format!("{method}:{}", String::from_utf8_lossy(&sent));
        response.headers_mut().insert("x-seen", seen.parse().unwrap());
        response
    })
    .await;
    let upstream = upstream::<T>();
    for origin in origins(&server) {
        for method in ["GET", "HEAD", "OPTIONS", "DELETE", "POST", "QUERY"] {
            let frames = stream::iter([Ok::<_, std::io::Error>(Frame::data(Bytes::from("query")))]);
            let request = Request::builder().method(method).uri("/");
            let request = request.body(boxed(StreamBody::new(frames))).unwrap();
            let response = send(&upstream, &origin, Work::Free, request).await;
            assert_eq!(response.headers()["x-seen"], format!("{method}:query"), "{origin}");
        }
        let response = send(&upstream, &origin, Work::Free, Request::new(body(""))).await;
        assert_eq!(response.headers()["x-seen"], "GET:", "{origin}");
    }
}

/// A server writes the version of the response that it is given
/// ([RFC 9110 §2.5](https://www.rfc-editor.org/rfc/rfc9110#section-2.5)).
async fn the_version_of_the_backend_is_not_passed_on<T: Kind>() {
    let old = Script::RespondAndClose(Bytes::from_static(b"HTTP/1.0 200 OK\r\n\r\nuntil the end"));
    let recorder = Recorder::with(old).await;
    let response =
        send(&upstream::<T>(), &recorder.uri(), Work::Free, Request::new(body(""))).await;
    assert_eq!(response.version(), Version::HTTP_11);
    assert_eq!(text(response).await, "until the end");
}
