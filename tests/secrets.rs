//! Neither events of any level nor `Debug` output contain session ids or credentials.
#![allow(clippy::unwrap_used, reason = "test support")]

use std::{
    convert::Infallible,
    fmt::{self, Write as _},
    sync::{Arc, Mutex},
};

use bartizan::{
    ReverseProxyStack,
    core::{
        Backend, Dialect, GuardBody, Passage, Principal, Reason, Refusal, Session, UpstreamFailure,
        failure::FailureKind, seal::KeyRing,
    },
    forwarded::{SanitizeForwardedLayer, TrustedPeers},
    memory::MemoryStore,
    pin::{
        Backends, OnLost, PinBackendLayer,
        key::{CookieKey, ExtractKey, QueryKey},
    },
    session::{MintIds, ValidateSessionLayer},
    token::TokenStore,
};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, service_fn};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{}}"#;

/// All output, at any level.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<String>>);

impl Journal {
    fn note(&self, what: impl fmt::Debug) {
        let _ = writeln!(self.0.lock().unwrap(), "{what:?} {what:#?}");
    }
}

impl Visit for Journal {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = writeln!(self.0.lock().unwrap(), "{field}={value:?}");
    }
}

impl Subscriber for Journal {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A simulated backend: it opens sessions, sets cookies, and behaves as the request asks in `x-do`.
async fn respond(
    journal: Journal,
    request: Request<impl http_body::Body<Data = Bytes, Error = Infallible> + fmt::Debug>,
) -> Result<Response<GuardBody<Full<Bytes>>>, Infallible> {
    journal.note(Passage::of(&request));
    journal.note(Session::of(&request).map(Session::record));
    let (head, body) = request.into_parts();
    let opens = body.collect().await.unwrap().to_bytes() == INITIALIZE;
    let asked = head.headers.get("x-do").map_or("", |asked| asked.to_str().unwrap());
    if asked == "refuse" {
        let mut response = Refusal::new(Reason::BackendUnreachable).respond(&Dialect::Problem);
        response.extensions_mut().insert(UpstreamFailure::new(FailureKind::Refused));
        return Ok(response);
    }
    let mut response = Response::new(GuardBody::forwarded(Full::from("ok")));
    *response.status_mut() = asked.parse().unwrap_or_default();
    if opens {
        let id = if asked == "garbage" { "hush id" } else { "hush-id" };
        response.headers_mut().insert("mcp-session-id", id.parse().unwrap());
    }
    response.headers_mut().insert("set-cookie", "sid=hush-cookie".parse().unwrap());
    Ok(response)
}

/// Sends valid and invalid requests that open, use, steal and end sessions, and records everything that can be printed.
async fn go_through<S, R>(journal: &Journal, service: S)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible>,
    S: Clone + fmt::Debug,
    S::Future: fmt::Debug,
    R: fmt::Debug,
{
    journal.note(&service);
    let mut ids = vec![None, Some("hush-id".to_owned()), Some("hush-unknown".into())];
    ids.extend([Some("hush id".into()), Some(format!("hush{}", "x".repeat(1024)))]);
    for round in 0..3 {
        for id in ids.clone() {
            for (method, body) in [
                (Method::POST, INITIALIZE),
                (Method::POST, "{}"),
                (Method::GET, ""),
                (Method::DELETE, ""),
            ] {
                for asked in ["200", "500", "refuse", "garbage", "404"] {
                    for subject in [None, Some("alice")] {
                        let mut request = Request::builder()
                            .method(method.clone())
                            .uri("/mcp?s=hush-key")
                            .header("authorization", "Bearer hush-token")
                            .header("cookie", "sid=hush-cookie")
                            .header("x-forwarded-for", "hush-hop")
                            .header("x-do", asked);
                        if let Some(id) = &id {
                            request = request.header("mcp-session-id", id);
                        }
                        let mut request = request.body(Full::from(body)).unwrap();
                        if let Some(subject) = subject {
                            Principal::new("issuer", subject).attach(&mut request);
                        }
                        let call = service.clone().oneshot(request).await.unwrap();
                        let (head, body) = call.into_parts();
                        let opened = head.headers.get("mcp-session-id");
                        let opened = opened.map(|id| id.to_str().unwrap().to_owned());
                        if round == 0 && opened.is_some() && !ids.contains(&opened) {
                            ids.push(opened);
                        }
                        journal.note((head.status, body, head.extensions.get::<Backend>()));
                    }
                }
            }
        }
    }
    for id in ids.into_iter().flatten() {
        let said = journal.0.lock().unwrap();
        assert!(!said.contains(&id), "an id: {id}");
    }
    let said = std::mem::take(&mut *journal.0.lock().unwrap());
    let at = said.find("hush").map(|at| said.get(at.saturating_sub(200)..at + 50));
    assert_eq!(at, None);
    // A secret printed byte by byte would still be a secret.
    assert!(!said.contains("104, 117, 115, 104"));
    assert!(said.contains("UnknownSession") && said.contains("id_hash"), "something was said");
}

#[tokio::test]
async fn no_secret_is_told() {
    let journal = Journal::default();
    let _guard = tracing::subscriber::set_default(journal.clone());
    for on_lost in [OnLost::Fail, OnLost::Repin] {
        let backends =
            || Backends::new(["http://a:1", "http://b:1"].map(|one| one.parse().unwrap()));
        let key = CookieKey::new("sid").or(QueryKey::new("s"));
        let pins = MemoryStore::builder().max_sessions(1).build();
        let pin = PinBackendLayer::new(backends()).on_lost(on_lost).key(key, pins);
        let sanitize = SanitizeForwardedLayer::new().trust(TrustedPeers::default().and_loopback());
        let inside = {
            let journal = journal.clone();
            service_fn(move |request| respond(journal.clone(), request))
        };
        let keys = KeyRing::new(1, &[7; 32]).unwrap();
        macro_rules! over {
            ($store:expr) => {
                let session = ValidateSessionLayer::mcp($store);
                let stack =
                    ReverseProxyStack::new(session, pin.clone()).forwarded(|_| sanitize.clone());
                go_through(&journal, stack.layer(inside.clone())).await;
            };
        }
        over!(MemoryStore::new());
        over!(MemoryStore::builder().max_sessions(1).build());
        over!(MintIds::new(MemoryStore::new()));
        over!(TokenStore::new(keys).remembering_ends(MemoryStore::new()));
    }
}
