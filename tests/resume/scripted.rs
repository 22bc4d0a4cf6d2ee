//! A strict MCP server that answers by a script: it echoes its id on every response, refuses calls before
//! `initialized`, and can answer `initialize` in every wrong way.

#![allow(dead_code, reason = "each test takes its part")]

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use bartizan_testkit::{BoxBody, Server, serve, server::boxed};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, channel::Channel};
use hyper::body::Incoming;

/// How the server answers `initialize`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Opening {
    Good,
    /// As events, on a stream that does not end.
    GoodAndEndless,
    Status(u16),
    RpcError,
    NoId,
    OtherVersion,
    FewerCapabilities,
    NoResultAndEndless,
    Silent,
    /// A good answer, after which `initialized` is refused.
    InitializedRefused,
}

/// The answer for an unknown session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unknown {
    NotFound,
    /// As the SDKs' transports answer before `initialize`.
    BadRequest(&'static str),
}

/// One request, as the server got it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Debug, Default)]
struct Sessions {
    /// Whether it is initialized, and how often it was called.
    live: HashMap<String, (bool, u32)>,
    seen: Vec<Seen>,
}

/// A server that answers by a script; it can forget its sessions.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) server: Server,
    sessions: Arc<Mutex<Sessions>>,
}

#[derive(Clone)]
struct Script {
    opening: Opening,
    unknown: Unknown,
    sessions: Arc<Mutex<Sessions>>,
}

static NUMBER: AtomicU32 = AtomicU32::new(1);

impl Scripted {
    pub(crate) async fn start(opening: Opening) -> Self {
        Self::with(opening, Unknown::NotFound).await
    }

    pub(crate) async fn with(opening: Opening, unknown: Unknown) -> Self {
        let sessions = Arc::<Mutex<Sessions>>::default();
        let script = Script { opening, unknown, sessions: Arc::clone(&sessions) };
        let server = serve(move |request| script.clone().respond(request)).await;
        Self { server, sessions }
    }

    pub(crate) fn uri(&self) -> String {
        self.server.uri()
    }

    /// Forgets all sessions, as a server that was restarted does.
    pub(crate) fn forget(&self) {
        self.sessions.lock().unwrap().live.clear();
    }

    /// Forgets the requests that it has seen.
    pub(crate) fn forget_what_was_seen(&self) {
        self.sessions.lock().unwrap().seen.clear();
    }

    /// The sessions that it has.
    pub(crate) fn live(&self) -> usize {
        self.sessions.lock().unwrap().live.len()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.sessions.lock().unwrap().seen.clone()
    }

    /// How many bodies held `text`.
    pub(crate) fn saw(&self, text: &str) -> usize {
        let holds = |seen: &Seen| String::from_utf8_lossy(&seen.body).contains(text);
        self.seen().into_iter().filter(holds).count()
    }
}

impl Script {
    async fn respond(self, request: Request<Incoming>) -> Response<BoxBody> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return answer(500, None, "") };
        let body = body.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        let seen = Seen { method: head.method.clone(), headers: head.headers.clone(), body };
        self.sessions.lock().unwrap().seen.push(seen);
        if text.contains(r#""initialize""#) {
            return self.open().await;
        }
        let id = head.headers.get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        let mut sessions = self.sessions.lock().unwrap();
        let Some((id, mut state)) =
            id.and_then(|id| sessions.live.get(&id).map(|state| (id.clone(), *state)))
        else {
            return match self.unknown {
                Unknown::NotFound => answer(404, None, &error("Session not found")),
                Unknown::BadRequest(words) => answer(400, None, &error(words)),
            };
        };
        if head.method == Method::DELETE {
            sessions.live.remove(&id);
            return answer(200, Some(&id), "");
        }
        if text.contains("notifications/initialized") {
            if self.opening == Opening::InitializedRefused {
                return answer(500, Some(&id), "");
            }
            state.0 = true;
            sessions.live.insert(id.clone(), state);
            return answer(202, Some(&id), "");
        }
        if !state.0 {
            return answer(400, Some(&id), &error("Received request before initialization"));
        }
        if head.method == Method::GET {
            let text = "id: 7\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n";
            return endless(&id, text);
        }
        state.1 += 1;
        sessions.live.insert(id.clone(), state);
        let number = state.1;
        answer(
            200,
            Some(&id),
            &format!(
                r#"{{"jsonrpc":"2.0","id":7,"result":{{"content":[{{"type":"text","text":"{number}"}}]}}}}"#
            ),
        )
    }

    async fn open(&self) -> Response<BoxBody> {
        let result = |version: &str, capabilities: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":0,"result":{{"protocolVersion":"{version}","capabilities":{capabilities},"serverInfo":{{"name":"s","version":"0"}}}}}}"#
            )
        };
        const VERSION: &str = "2025-06-18";
        const CAPABILITIES: &str = r#"{"tools":{"listChanged":true}}"#;
        let good = result(VERSION, CAPABILITIES);
        let id = format!("scripted-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let open = || {
            self.sessions.lock().unwrap().live.insert(id.clone(), (false, 0));
            Some(&*id)
        };
        match self.opening {
            Opening::Good | Opening::InitializedRefused => answer(200, open(), &good),
            Opening::GoodAndEndless => {
                open();
                endless(&id, &format!("id: 1\ndata: \n\ndata: {good}\n\n"))
            }
            Opening::Status(status) => answer(status, None, "{}"),
            Opening::RpcError => answer(200, open(), &error("no")),
            Opening::NoId => answer(200, None, &good),
            Opening::OtherVersion => answer(200, open(), &result("2025-03-26", CAPABILITIES)),
            Opening::FewerCapabilities => answer(200, open(), &result(VERSION, "{}")),
            Opening::NoResultAndEndless => {
                open();
                endless(&id, ": nothing yet\n\n")
            }
            Opening::Silent => std::future::pending().await,
        }
    }
}

fn error(message: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":null,"error":{{"code":-32000,"message":"{message}"}}}}"#)
}

fn answer(status: u16, session: Option<&str>, body: &str) -> Response<BoxBody> {
    let mut response =
        Response::builder().status(status).header("content-type", "application/json");
    if let Some(id) = session {
        response = response.header("mcp-session-id", id);
    }
    response.body(boxed(Full::from(body.to_owned()))).unwrap()
}

/// A stream of events that does not end by itself.
fn endless(session: &str, text: &str) -> Response<BoxBody> {
    let (mut sender, body) = Channel::<Bytes>::new(1);
    let text = Bytes::from(text.to_owned());
    tokio::spawn(async move {
        let _ = sender.send_data(text).await;
        std::future::pending::<()>().await;
    });
    Response::builder()
        .status(StatusCode::OK)
        .header("content-type", "text/event-stream")
        .header("mcp-session-id", session)
        .body(boxed(body))
        .unwrap()
}
