//! Each layer, and all of them together, around a service that does nothing.

use std::{
    convert::Infallible,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bartizan::{
    ReverseProxyStack,
    core::{Key, Record, Route, SessionStore},
    forwarded::{Fields, SanitizeForwardedLayer, TrustedPeers},
    hops::LimitHopsLayer,
    memory::MemoryStore,
    observe::Metrics,
    origin::GuardOriginLayer,
    pin::{Backends, PinBackendLayer},
    principal::NamePrincipalLayer,
    session::ValidateSessionLayer,
    streams::TrackStreamsLayer,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer, Service};

use crate::{
    Inert, InertReplaceable, RECORDED, Requests, SESSION_ID, later::Later, named::NameAlike,
};

type Body = Empty<Bytes>;

/// A name, and what sends so many requests.
pub type Case = (&'static str, Box<dyn Fn(u64)>);

pub fn cases() -> Vec<Case> {
    let client = || Requests::new("203.0.113.9:50000", &[]);
    let spoofing =
        [("x-forwarded-for", "6.6.6.6"), ("x-real-ip", "6.6.6.6"), ("forwarded", "for=6.6.6.6")];
    let chain = [("x-forwarded-for", "198.51.100.5, 10.0.0.8"), ("x-forwarded-proto", "https")];
    let proxies = || TrustedPeers::networks(["10.0.0.0/8".parse().unwrap()]);
    let hop = [("x-hop-count", "1"), ("via", "1.1 bartizan-00000000")];
    let sanitize = SanitizeForwardedLayer::new;
    // A page of this server itself, in a browser.
    let page = [
        ("origin", "http://gateway.example:8080"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-dest", "empty"),
    ];
    let page = || Requests::new("203.0.113.9:50000", &page);
    let guard = || GuardOriginLayer::new().allow_host("gateway.example".parse().unwrap());
    // One with a JWT of 800 bytes, as they are; one with an opaque token.
    let with_jwt = || Requests::new("203.0.113.9:1", &[("authorization", JWT)]);
    let with_token = || Requests::new("203.0.113.9:1", &[("authorization", TOKEN)]);
    vec![
        case("nothing", client(), Inert),
        case("forwarded", client(), sanitize().layer(Inert)),
        case("hops", client(), LimitHopsLayer::new().layer(Inert)),
        case("both", client(), sanitize().layer(LimitHopsLayer::new().layer(Inert))),
        case("origin-nothing", client(), InertReplaceable),
        case("origin", client(), guard().layer(InertReplaceable)),
        case("session", client(), session().layer(Inert)),
        // Its store answers later: the request waits, if not for long.
        case("session-later", client(), ValidateSessionLayer::mcp(Later(store())).layer(Inert)),
        case("pin", client(), pin().layer(Inert)),
        case("streams", client().calls(), TrackStreamsLayer::new().layer(InertReplaceable)),
        // A GET that accepts events, and gets something else.
        case("streams-listening", client(), TrackStreamsLayer::new().layer(InertReplaceable)),
        // By hand: what the stack adds to it is the price of its switches.
        case(
            "layers",
            client(),
            sanitize().layer(LimitHopsLayer::new().layer(session().layer(pin().layer(Inert)))),
        ),
        case("stack", client(), ReverseProxyStack::new(session(), pin()).layer(Inert)),
        case(
            "stack-principal-none",
            client(),
            ReverseProxyStack::new(session(), pin()).auth(NamePrincipalLayer::none()).layer(Inert),
        ),
        // What the guard of browser requests costs in the stack: `stack` has it.
        case(
            "stack-without-origin",
            client(),
            ReverseProxyStack::new(session(), pin())
                .origin(|layer| layer.only_if(false))
                .layer(Inert),
        ),
        case(
            "stack-calls",
            client().calls(),
            ReverseProxyStack::new(session(), pin()).layer(Inert),
        ),
        case("stack-streams", client().calls(), tracking().layer(Inert)),
        case(
            "resume",
            client(),
            ReverseProxyStack::new(session(), pin()).resume(|layer| layer).layer(Inert),
        ),
        // Requests are counted as clients see them, and as backends do.
        case("edge", client(), Metrics::new().edge().layer(Inert)),
        case("stack-observed", client(), observed(&Metrics::new())),
        case("forwarded-all-fields", client(), sanitize().write(Fields::ALL).layer(Inert)),
        case("spoofed-nothing", Requests::new("203.0.113.9:1", &spoofing), Inert),
        case(
            "spoofed-forwarded",
            Requests::new("203.0.113.9:1", &spoofing),
            sanitize().layer(Inert),
        ),
        case("chain-nothing", Requests::new("10.0.0.1:1", &chain), Inert),
        case(
            "chain-forwarded",
            Requests::new("10.0.0.1:1", &chain),
            sanitize().trust(proxies()).layer(Inert),
        ),
        case("jwt-nothing", with_jwt(), Inert),
        case("jwt-principal", with_jwt(), NamePrincipalLayer::jwt().layer(Inert)),
        case("token-nothing", with_token(), Inert),
        case("token-least", with_token(), NameAlike::new(Inert)),
        case("token-principal", with_token(), NamePrincipalLayer::authorization().layer(Inert)),
        case("token-principal-none", with_token(), NamePrincipalLayer::none().layer(Inert)),
        case("page-nothing", page(), InertReplaceable),
        case("page-origin", page(), guard().layer(InertReplaceable)),
        case("second-nothing", Requests::new("203.0.113.9:1", &hop), Inert),
        case(
            "second-hops",
            Requests::new("203.0.113.9:1", &hop),
            LimitHopsLayer::new().layer(Inert),
        ),
    ]
}

/// Guards the session that all requests belong to.
fn session() -> ValidateSessionLayer<MemoryStore> {
    ValidateSessionLayer::mcp(store())
}

fn store() -> MemoryStore {
    let (store, route) = (MemoryStore::new(), Route::default());
    let key = Key::new(&route, None, SESSION_ID.as_bytes());
    let record = Record::new(Record::IDLE, Record::LIFETIME)
        .with_backend(BACKEND.parse().unwrap())
        .with_field("resume", RECORDED);
    let _ = store.insert_if_absent(key, record);
    store
}

fn pin() -> PinBackendLayer {
    PinBackendLayer::new(Backends::new([BACKEND.parse().unwrap()]))
}

/// All layers, with streams tracked.
fn tracking() -> ReverseProxyStack<MemoryStore> {
    ReverseProxyStack::new(session(), pin()).streams(|layer| layer)
}

/// All layers, counted at both ends.
fn observed(
    metrics: &Metrics,
) -> impl Service<Request<Body>, Response = Response<impl Sized + 'static>, Error = Infallible>
+ Clone
+ 'static {
    let stack = ReverseProxyStack::new(session(), pin());
    metrics.edge().layer(stack.layer(metrics.backends().layer(Inert)))
}

/// From an issuer that does not exist, with an invalid signature.
const JWT: &str = "Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6IjAxMjM0NTY3ODlhYmNkZWYifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlL3JlYWxtcy90b29scyIsInN1YiI6IjBhMWIyYzNkLTBhMWItMmMzZC00ZTVmLTBhMWIyYzNkNGU1ZiIsImF1ZCI6Imh0dHBzOi8vZ2F0ZXdheS5leGFtcGxlL21jcCIsImV4cCI6MTgwMDAwMDAwMCwiaWF0IjoxNzk5OTk2NDAwLCJqdGkiOiI0ZjNlMmQxYy00ZjNlLTJkMWMtMGI5YS00ZjNlMmQxYzBiOWEiLCJzY29wZSI6InRvb2xzOnJlYWQgdG9vbHM6Y2FsbCBvZmZsaW5lX2FjY2VzcyIsImNsaWVudF9pZCI6ImNsaWVudC0wMTIzNDU2Nzg5In0.RCCCPP3m8cJrMPkOx90B5Ih1NKIPCw0Ew27YDnHg_XewdnDrlAvVM1-XParYYZuR_8kR9XzO1Fi7vyzgN1PJvfoP8BadyVdWdAZmds-wtOuJAsRCadoc9rpm0_i21LEAqeoOdVpcLoIQJCoI5wePf4k4XrCUI1VRglaLluik_vI6DJ_Fr9dghDeBa90KcwnLShJS5Npw5nIPyqTaHphAbBicJCeemFHVgUIEE2_rVxPBZrEyad1j_DXHl_8Ips2QCVBmp0Wt222IMcKw-HghFCtEVlVtiaqCvK2uOpV4-kU1pBTQJcJLQK46wSdyKYi6lzrqjTcXlwYHLtM6FGB61w";

const TOKEN: &str = "Bearer 4f3e2d1c0b9a48576655443322110f0e1d2c3b4a";

const BACKEND: &str = "http://127.0.0.1:9001";

fn case<S, R>(name: &'static str, requests: Requests, service: S) -> Case
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible> + Clone + 'static,
{
    let send = move |count| {
        // For the timers of those that wait.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _context = runtime.enter();
        let mut service = service.clone();
        for _ in 0..count {
            let response = pin!(service.call(requests.next()));
            let Poll::Ready(response) = response.poll(&mut Context::from_waker(Waker::noop()))
            else {
                continue;
            };
            assert!(black_box(response).unwrap().status().is_success());
        }
    };
    (name, Box::new(send))
}
