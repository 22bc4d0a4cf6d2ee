//! Each rule of the affinity cookie, with a service that simulates the backends.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test support")]

mod common;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bartizan_core::{
    Backend, Key, Passage, PublicOrigin, Reason, Record, Route, Session, Work, client::Evidence,
    failure::FailureKind, store::StoredSession,
};
use bartizan_memory::MemoryStore;
use bartizan_pin::{
    AffinityCookie, Backends, PinBackend, PinBackendLayer, ReclaimableBody,
    balance::{Candidate, RoundRobin},
    key::{ExtractKey, HeaderKey},
};
use http::{
    HeaderMap, Request,
    header::{COOKIE, SET_COOKIE},
    uri::Scheme,
};
use tower::{Layer, util::MapRequest};

use common::*;

const SECRET: &[u8] = b"0123456789abcdef";
const OTHER: &[u8] = b"fedcba9876543210";

fn cookie() -> AffinityCookie {
    AffinityCookie::new(SECRET).unwrap()
}

/// The backends, and the header fields that reach them.
#[derive(Clone, Default)]
struct Seen(World, Arc<Mutex<Vec<HeaderMap>>>);

impl Seen {
    fn pinned_by<K: ExtractKey + Clone, T: Clone>(
        &self,
        layer: &PinBackendLayer<K, T>,
    ) -> PinBackend<
        MapRequest<
            World,
            impl FnMut(Request<ReclaimableBody<Body>>) -> Request<ReclaimableBody<Body>>
            + Clone
            + use<K, T>,
        >,
        K,
        T,
    > {
        let seen = Arc::clone(&self.1);
        layer.layer(MapRequest::new(self.0.clone(), move |request: Request<_>| {
            seen.lock().unwrap().push(request.headers().clone());
            request
        }))
    }

    /// The cookies of the last request, as the backend got them.
    fn cookies(&self) -> Vec<String> {
        let seen = self.1.lock().unwrap();
        let lines = seen.last().unwrap().get_all(COOKIE).iter();
        lines.map(|line| line.to_str().unwrap().to_owned()).collect()
    }
}

fn layer(backends: &Backends) -> PinBackendLayer {
    PinBackendLayer::new(backends.clone()).balance(RoundRobin::new()).affinity(cookie())
}

fn with(cookies: &[&str]) -> Request<Body> {
    let mut request = request("call");
    for line in cookies {
        request.headers_mut().append(COOKIE, line.parse().unwrap());
    }
    request
}

/// The lines that set the cookie, and the cookie that a client sends back.
fn set(response: &Answer) -> Option<String> {
    let lines = response.headers().get_all(SET_COOKIE).iter();
    let mut lines = lines.filter(|line| line.as_bytes().starts_with(b"bartizan-backend="));
    let line = lines.next()?.to_str().unwrap();
    assert_eq!(lines.next(), None, "it is set once");
    Some(line.split(';').next().unwrap().to_owned())
}

/// The cookie of `backend`.
async fn cookie_of(backend: &str, cookie: AffinityCookie) -> String {
    let layer = PinBackendLayer::new(backends([backend])).affinity(cookie);
    set(&send(&layer.layer(World::default()), with(&[])).await).unwrap()
}

#[tokio::test]
async fn a_client_without_the_cookie_gets_one_and_stays_with_it() {
    let (seen, set_of) = (Seen::default(), backends([A, B, C]));
    let service = seen.pinned_by(&layer(&set_of));
    for _ in 0..3 {
        let first = send(&service, with(&[])).await;
        let (cookie, backend) = (set(&first).unwrap(), seen.0.last().backend);
        assert!(!cookie.contains(&backend) && !cookie.contains("http"), "{cookie}");
        for _ in 0..5 {
            let next = send(&service, with(&[&cookie])).await;
            assert_eq!(
                (seen.0.last().backend, seen.0.last().work),
                (backend.clone(), Work::Pinned)
            );
            assert_eq!(set(&next), None, "it has the cookie");
            // A session that the response opens belongs to this backend.
            assert_eq!(next.extensions().get::<Backend>().unwrap().id().as_str(), backend);
        }
    }
    let mut called = seen.0.backends_called();
    called.dedup();
    assert_eq!(called.len(), 3, "clients without the cookie are balanced");
}

#[tokio::test]
async fn the_backend_sees_its_own_cookies_and_sets_its_own() {
    let (seen, set_of) = (Seen::default(), backends([A]));
    let service = seen.pinned_by(&layer(&set_of));
    seen.0.name("set-cookie", "sid=1; Path=/app");
    let first = send(&service, with(&["sid=0; theme=dark"])).await;
    assert_eq!(seen.cookies(), ["sid=0; theme=dark"]);
    let lines: Vec<_> = first.headers().get_all(SET_COOKIE).iter().collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], "sid=1; Path=/app");
    let cookie = set(&first).unwrap();
    send(&service, with(&[&format!("sid=1; {cookie}; theme=dark"), &cookie, "x=y"])).await;
    assert_eq!(seen.cookies(), ["sid=1; theme=dark", "x=y"]);
    // A session needs no cookie, and the backend does not get one.
    let mut of_session = of_session(A);
    of_session.headers_mut().append(COOKIE, cookie.parse().unwrap());
    assert_eq!(set(&send(&service, of_session).await), None);
    assert!(seen.cookies().is_empty());
    // Without the setting, no cookie is removed or set.
    let plain = seen.pinned_by(&PinBackendLayer::new(set_of));
    assert_eq!(set(&send(&plain, with(&[&cookie])).await), None);
    assert_eq!(seen.cookies(), [cookie]);
}

#[tokio::test]
async fn a_cookie_that_names_no_backend_here_is_as_none_and_is_replaced() {
    let (seen, set_of) = (Seen::default(), backends([A]));
    let service = seen.pinned_by(&layer(&set_of));
    let good = cookie_of(A, cookie()).await;
    let of_other_set = cookie_of(B, cookie()).await;
    let other_secret = cookie_of(A, AffinityCookie::new(OTHER).unwrap()).await;
    let cut = &good[..good.len() - 1];
    for shown in
        [&*of_other_set, &other_secret, cut, "bartizan-backend=http://a:1", "bartizan-backend="]
    {
        let response = send(&service, with(&[shown])).await;
        assert_eq!(response.status(), 200, "{shown}");
        assert_ne!(seen.0.last().work, Work::Pinned, "{shown}");
        assert_eq!(set(&response).as_ref(), Some(&good), "{shown}");
        assert!(seen.cookies().is_empty(), "{shown}");
    }
    // A valid cookie next to an invalid one counts.
    let both = send(&service, with(&[&format!("{of_other_set}; {good}")])).await;
    assert_eq!((seen.0.last().work, set(&both)), (Work::Pinned, None));
    // When the backend leaves the set, its cookie is stale. When it comes back, the cookie is valid
    // again.
    set_of.add(B.parse().unwrap());
    assert_eq!(set(&send(&service, with(&[&of_other_set])).await), None);
    assert_eq!(seen.0.last().backend, B);
    set_of.remove(&id(B));
    assert_eq!(set(&send(&service, with(&[&of_other_set])).await), Some(good));
    assert_eq!(seen.0.last().backend, A);
}

#[tokio::test]
async fn every_replica_with_the_secret_reads_it_and_secrets_rotate() {
    let old_cookie = cookie_of(B, cookie()).await;
    let replica = Seen::default();
    let set_of = backends([C, B, A]);
    let service = replica.pinned_by(&layer(&set_of));
    assert_eq!(set(&send(&service, with(&[&old_cookie])).await), None);
    assert_eq!(replica.0.last().backend, B);
    // The new secret signs; cookies that the old one signed are read and replaced.
    let rotated = AffinityCookie::new(OTHER).unwrap().accept(SECRET).unwrap();
    let service = replica.pinned_by(&PinBackendLayer::new(set_of).affinity(rotated.clone()));
    let new_cookie = set(&send(&service, with(&[&old_cookie])).await).unwrap();
    assert_eq!((replica.0.last().backend, replica.0.last().work), (B.into(), Work::Pinned));
    assert_eq!(new_cookie, cookie_of(B, rotated).await);
    assert_eq!(set(&send(&service, with(&[&new_cookie])).await), None);
    assert_eq!(replica.0.last().backend, B);
}

#[tokio::test]
async fn a_draining_backend_keeps_its_clients_and_gets_no_others() {
    let (seen, set_of) = (Seen::default(), backends([A, B]));
    let service = seen.pinned_by(&layer(&set_of));
    let cookie = cookie_of(A, cookie()).await;
    set_of.drain(&id(A));
    for _ in 0..4 {
        assert_eq!(set(&send(&service, with(&[&cookie])).await), None);
        assert_eq!(seen.0.last().backend, A);
        let others = set(&send(&service, with(&[])).await).unwrap();
        assert_ne!(others, cookie);
        assert_eq!(seen.0.last().backend, B);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_backend_is_lost_moves_and_is_refused_until_then() {
    let (seen, set_of) = (Seen::default(), backends([A, B]));
    let service = seen.pinned_by(&layer(&set_of));
    let cookie = cookie_of(A, cookie()).await;
    seen.0.fail(A, FailureKind::Refused, Reads::Nothing);
    for second in 0..6 {
        let refused = send(&service, with(&[&cookie])).await;
        assert_eq!(Reason::of(&refused), Some(Reason::BackendUnreachable), "{second} s");
        assert_eq!((seen.0.last().backend, set(&refused)), (A.into(), None));
        if second < 5 {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }
    // Never 404, as for a session; the next request goes elsewhere.
    let mut moved = None;
    for _ in 0..3 {
        let response = send(&service, with(&[&cookie])).await;
        moved = set(&response);
        if moved.is_some() {
            break;
        }
        assert_eq!(response.status(), 503);
    }
    assert_eq!(seen.0.last().backend, B);
    let moved = moved.unwrap();
    // The client stays there when the first backend is back.
    seen.0.mend(A);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(set(&send(&service, with(&[&moved])).await), None);
    assert_eq!(seen.0.last().backend, B);
}

#[tokio::test(start_paused = true)]
async fn a_client_stays_where_the_backend_is_back_before_it_could_move() {
    let (seen, set_of) = (Seen::default(), backends([A, B]));
    let last = |all: &[Candidate<'_>], _: Option<&[u8]>| all.len().checked_sub(1);
    let layer = PinBackendLayer::new(set_of).balance(last).affinity(cookie());
    let service = seen.pinned_by(&layer);
    let cookie = cookie_of(A, cookie()).await;
    seen.0.fail(A, FailureKind::Refused, Reads::Nothing);
    for _ in 0..4 {
        assert_eq!(send(&service, with(&[&cookie])).await.status(), 503);
        tokio::time::advance(Duration::from_secs(2)).await;
    }
    // As far as is known the backend is lost, and one request may try it.
    seen.0.mend(A);
    assert_eq!(send(&service, with(&[&cookie])).await.status(), 200);
    assert_eq!(seen.0.last().backend, A, "the other is there");
}

#[tokio::test]
async fn an_error_binds_no_client_to_the_backend_that_fails() {
    let (seen, set_of) = (Seen::default(), backends([A]));
    let service = seen.pinned_by(&layer(&set_of));
    for (status, is_set) in [(500, false), (404, false), (302, true)] {
        seen.0.answer(status);
        let response = send(&service, with(&[])).await;
        assert_eq!((response.status().as_u16(), set(&response).is_some()), (status, is_set));
    }
    // The inner service refuses the request itself: no backend was asked, so the client is not
    // bound to one.
    let cookie_of_a = cookie_of(A, cookie()).await;
    for cookies in [&[][..], &[&*cookie_of_a]] {
        let refused = send(&service, refused_inside(with(cookies))).await;
        assert_eq!(set(&refused), None);
        assert!(refused.extensions().get::<Backend>().is_none(), "{cookies:?}");
    }
    // One backend fails, then another succeeds.
    seen.0.answer(200);
    set_of.add(B.parse().unwrap());
    seen.0.fail(A, FailureKind::Refused, Reads::Nothing);
    let cookie = cookie_of(B, cookie()).await;
    for _ in 0..2 {
        assert_eq!(set(&send(&service, with(&[])).await).as_ref(), Some(&cookie));
    }
}

#[tokio::test]
async fn sessions_and_keys_go_first() {
    let (seen, set_of) = (Seen::default(), backends([A, B]));
    let by_a = cookie_of(A, cookie()).await;
    let service = seen.pinned_by(&layer(&set_of));
    let mut session = of_session(B);
    session.headers_mut().append(COOKIE, by_a.parse().unwrap());
    assert_eq!(set(&send(&service, session).await), None);
    assert_eq!(seen.0.last().backend, B);
    // A request that asks for a session is new work: sessions are balanced, with or without the cookie.
    for _ in 0..2 {
        let mut opening = with(&[&by_a]);
        Passage::with(&mut opening, |passage| passage.set_work(Work::Opening));
        assert_eq!(set(&send(&service, opening).await), None);
    }
    let called = seen.0.backends_called();
    assert_ne!(called[called.len() - 1], called[called.len() - 2]);
    // An outer layer chose.
    let mut chosen = with(&[&by_a]);
    Passage::with(&mut chosen, |passage| passage.set_backend(B.parse().unwrap()));
    assert_eq!(set(&send(&service, chosen).await), None);
    assert_eq!(seen.0.last().backend, B);
    // A key.
    let keyed = layer(&set_of).key(HeaderKey::new("x-s".parse().unwrap()), MemoryStore::new());
    let service = seen.pinned_by(&keyed);
    seen.0.name("x-s", "k");
    let first = send(&service, shows("none-yet")).await;
    let pinned = first.extensions().get::<Backend>().unwrap().id().to_string();
    let elsewhere = cookie_of(if pinned == A { B } else { A }, cookie()).await;
    for _ in 0..4 {
        let mut request = shows("k");
        request.headers_mut().append(COOKIE, elsewhere.parse().unwrap());
        assert_eq!(set(&send(&service, request).await), None);
        assert_eq!(seen.0.last().backend, pinned);
    }
    assert_eq!(set(&first), None, "the key pins");
}

/// A store may keep a session whose record does not name a backend, for a layer above that pins it in another way.
#[tokio::test]
async fn a_session_without_a_backend_is_none_of_the_cookies() {
    let (seen, set_of) = (Seen::default(), backends([A, B]));
    let by_a = cookie_of(A, cookie()).await;
    let service = seen.pinned_by(&layer(&set_of));
    for _ in 0..2 {
        let (mut request, route) = (with(&[&by_a]), Route::default());
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        let session = Session::new(Key::new(&route, None, b"s"), record, 1.into(), 0);
        Passage::with(&mut request, |passage| passage.set_session(session));
        assert_eq!(set(&send(&service, request).await), None);
        assert!(seen.cookies().is_empty());
    }
    let called = seen.0.backends_called();
    assert_ne!(called[0], called[1], "balanced");
}

#[tokio::test]
async fn a_client_that_used_https_gets_a_cookie_for_https() {
    let service = layer(&backends([A])).layer(World::default());
    let behind_tls = Some(PublicOrigin::new(Scheme::HTTPS, Evidence::Forwarded));
    let in_front = Some(PublicOrigin::new(Scheme::HTTP, Evidence::Forwarded));
    for (uri, origin, is_secure) in [
        ("/mcp", None, false),
        ("http://a/mcp", None, false),
        ("https://a/mcp", None, true),
        ("/mcp", behind_tls, true),
        ("https://a/mcp", in_front, false),
    ] {
        let mut request = Request::get(uri).body(Body::default()).unwrap();
        if let Some(origin) = origin {
            origin.attach(&mut request);
        }
        let response = send(&service, request).await;
        let line = response.headers()[SET_COOKIE].to_str().unwrap();
        assert_eq!(line.ends_with("; SameSite=Lax; Secure"), is_secure, "{uri}: {line}");
    }
}

#[tokio::test]
async fn the_names_follow_the_set_for_every_service_of_the_layer() {
    let set_of = backends([A]);
    let (layer, world) = (layer(&set_of), World::default());
    let [one, other] = [layer.layer(world.clone()), layer.layer(world.clone())];
    let mut known = vec![set(&send(&one, with(&[])).await).unwrap()];
    for port in 2..20 {
        let name = format!("http://a:{port}");
        set_of.add(name.parse().unwrap());
        known.push(cookie_of(&name, cookie()).await);
        for cookie in &known {
            assert_eq!(set(&send(&other, with(&[cookie])).await), None, "{port}");
        }
    }
}
