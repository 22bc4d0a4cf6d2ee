//! Two backends that can lose their sessions, and a client.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses its part")]

mod flaky;

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bartizan_core::{
    Backend, Dialect, GuardBody, Reason, Refusal, UpstreamFailure, failure::FailureKind,
};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceExt};

pub use flaky::Flaky;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
const RESULT: &str =
    r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;

/// Backends that lose sessions on demand.
#[derive(Clone, Debug, Default)]
pub struct World(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    down: HashSet<String>,
    live: HashSet<(String, String)>,
    opened: u32,
}

impl World {
    /// Takes down the backends that hold a session, and up the others; returns the number of sessions lost.
    pub fn lose_all(&self) -> usize {
        let mut state = self.0.lock().unwrap();
        state.down = state.live.drain().map(|(backend, _)| backend).collect();
        state.down.len()
    }

    pub fn lose(&self, backend: &str) {
        self.0.lock().unwrap().down.insert(backend.to_owned());
    }

    pub async fn respond<B: Body<Data = Bytes>>(
        self,
        request: Request<B>,
    ) -> Result<Response<GuardBody<Full<Bytes>>>, Infallible>
    where
        B::Error: std::fmt::Debug,
    {
        let backend = Backend::of(&request).unwrap().id().to_string();
        tokio::task::yield_now().await;
        if self.0.lock().unwrap().down.contains(&backend) {
            let refusal = Refusal::new(Reason::BackendUnreachable);
            let mut response = refusal.respond(&Dialect::JsonRpc(None));
            response.extensions_mut().insert(UpstreamFailure::new(FailureKind::Refused));
            return Ok(response);
        }
        let id = request.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        let method = request.method().clone();
        request.into_body().collect().await.unwrap();
        let mut state = self.0.lock().unwrap();
        let mut response = Response::new(GuardBody::forwarded(Full::from(RESULT)));
        let Some(id) = id else {
            state.opened += 1;
            let id = format!("session-{}", state.opened);
            response.headers_mut().insert("mcp-session-id", id.parse().unwrap());
            state.live.insert((backend, id));
            return Ok(response);
        };
        let session = (backend, id);
        if !state.live.contains(&session) {
            *response.status_mut() = http::StatusCode::NOT_FOUND;
        } else if method == Method::DELETE {
            state.live.remove(&session);
        }
        Ok(response)
    }
}

/// Opens a session, and gives its id.
pub async fn open<S, R>(service: &S) -> String
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + Clone,
{
    let request = Request::post("/mcp").body(Full::from(INITIALIZE)).unwrap();
    let response = service.clone().oneshot(request).await.unwrap();
    response.headers()["mcp-session-id"].to_str().unwrap().to_owned()
}

/// Calls a tool, and gives the status.
pub async fn post<S, R>(service: &S, session: &str) -> u16
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + Clone,
{
    send(service, Method::POST, session).await
}

/// Ends a session, and gives the status.
pub async fn delete<S, R>(service: &S, session: &str) -> u16
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + Clone,
{
    send(service, Method::DELETE, session).await
}

async fn send<S, R>(service: &S, method: Method, session: &str) -> u16
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + Clone,
{
    let request = Request::builder().method(method).uri("/mcp").header("mcp-session-id", session);
    let request = request.body(Full::from(r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#)).unwrap();
    service.clone().oneshot(request).await.unwrap().status().as_u16()
}
