//! Requests other than MCP, and logins, through the gateway as a process.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bartizan_testkit::{
    BoxBody, Server,
    client::{Answer, INITIALIZE, Raw, call},
    serve,
    server::boxed,
};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use crate::fixtures::Gateway;

/// An authorization server and an MCP server in one process, which accepts only the values that it has issued itself.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    name: &'static str,
    made: Arc<Mutex<HashSet<String>>>,
    calls: Arc<AtomicUsize>,
}

impl Memory {
    fn make(&self, kind: &str) -> String {
        let mut made = self.made.lock().unwrap();
        let value = format!("{kind}-{}-{}", self.name, made.len());
        made.insert(value.clone());
        value
    }

    /// Whether it has issued the value of the field `name` in `encoded`.
    fn knows(&self, encoded: &str, name: &str) -> bool {
        let mut values = encoded.split('&').filter_map(|pair| pair.split_once('='));
        let value = values.find(|(other, _)| *other == name);
        value.is_some_and(|(_, value)| self.made.lock().unwrap().contains(value))
    }

    async fn respond(self, request: Request<Incoming>) -> Response<BoxBody> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let (head, body) = request.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap();
        let query = head.uri.query().unwrap_or_default();
        let is_known = match head.uri.path() {
            "/authorize" => self.knows(query, "client_id") || query.contains("client_id=static"),
            "/consent" => self.knows(&format!("{query}&{body}"), "txn_id"),
            "/token" => {
                self.knows(&body, "code")
                    && (self.knows(&body, "client_id") || body.contains("static"))
            }
            "/mcp" => {
                let token = head.headers.get("authorization").map(|line| line.to_str().unwrap());
                let token = token.unwrap_or_default().trim_start_matches("Bearer ");
                self.made.lock().unwrap().contains(token)
            }
            _ => true,
        };
        let answer = Response::builder().header("x-server", self.name);
        if !is_known {
            return answer.status(401).body(boxed(Full::default())).unwrap();
        }
        let json = |value: String| (200, "content-type", "application/json".to_owned(), value);
        let (status, field, value, text) = match head.uri.path() {
            "/register" => json(format!(r#"{{"client_id":"{}"}}"#, self.make("client"))),
            "/authorize" => {
                (302, "location", format!("/consent?txn_id={}", self.make("txn")), String::new())
            }
            "/consent" if head.method == Method::POST => {
                let back = format!("http://localhost:1/cb?code={}&state=mine", self.make("code"));
                (302, "location", back, String::new())
            }
            "/token" => json(format!(r#"{{"access_token":"{}"}}"#, self.make("token"))),
            "/mcp" if body == INITIALIZE => {
                (200, "mcp-session-id", self.make("session"), "{}".to_owned())
            }
            path => (
                200,
                "content-type",
                "text/plain".to_owned(),
                format!("{} {path} {body}", head.method),
            ),
        };
        answer.status(status).header(field, value).body(boxed(Full::from(text))).unwrap()
    }
}

pub(crate) async fn servers() -> (Vec<Server>, Vec<Memory>) {
    let (mut servers, mut memories) = (Vec::new(), Vec::new());
    for name in ["a", "b"] {
        let memory = Memory { name, ..Memory::default() };
        memories.push(memory.clone());
        servers.push(serve(move |request| memory.clone().respond(request)).await);
    }
    (servers, memories)
}

/// A client of the gateway that sends `fields`.
pub(crate) async fn send(
    gateway: &Gateway,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: &str,
) -> Answer {
    let request = Request::builder().method(method).uri(format!("{}{target}", gateway.uri()));
    let request =
        fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let body = Full::from(Bytes::copy_from_slice(body.as_bytes()));
    Raw::new(&gateway.uri()).send(request.body(body).unwrap()).await
}

pub(crate) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

/// The value after `name=` in the redirect target of a response.
fn in_location(answer: &Answer, name: &str) -> Option<String> {
    let location = answer.headers.get("location")?.to_str().unwrap();
    let (_, value) = location.split_once(&format!("{name}="))?;
    Some(value.split('&').next().unwrap().to_owned())
}

/// Logs in and opens a session; if that fails, returns the step that failed.
async fn log_in(gateway: &Gateway, client: Option<&str>) -> Result<String, &'static str> {
    log_in_by(&[gateway], client).await
}

/// The same, with each step through the next of `gateways`.
pub(crate) async fn log_in_by(
    gateways: &[&Gateway],
    client: Option<&str>,
) -> Result<String, &'static str> {
    let mut gateways = gateways.iter().cycle();
    let mut next = || *gateways.next().unwrap();
    let client = match client {
        Some(client) => client.to_owned(),
        None => {
            let registered = send(next(), "POST", "/register", &[JSON], "{}").await;
            registered.message()["client_id"].as_str().ok_or("register")?.to_owned()
        }
    };
    let authorize = format!("/authorize?client_id={client}&state=mine");
    let answer = send(next(), "GET", &authorize, &[], "").await;
    let txn = in_location(&answer, "txn_id").ok_or("authorize")?;
    let page = send(next(), "GET", &format!("/consent?txn_id={txn}"), &[], "").await;
    if page.status != 200 {
        return Err("consent");
    }
    let answer =
        send(next(), "POST", "/consent", &[FORM], &format!("txn_id={txn}&action=approve")).await;
    let code = in_location(&answer, "code").ok_or("agree")?;
    let form = format!("grant_type=authorization_code&code={code}&client_id={client}");
    let answer = send(next(), "POST", "/token", &[FORM], &form).await;
    if answer.status != 200 {
        return Err("token");
    }
    let token = format!("Bearer {}", answer.message()["access_token"].as_str().unwrap());
    let fields =
        [JSON, ("accept", "application/json, text/event-stream"), ("authorization", &token)];
    let opened = send(next(), "POST", "/mcp", &fields, INITIALIZE).await;
    let session = opened.session().ok_or("initialize")?.to_owned();
    let [json, accept, authorization] = fields;
    let fields = [json, accept, authorization, ("mcp-session-id", &session)];
    for _ in 0..3 {
        let answer = send(next(), "POST", "/mcp", &fields, &call(1, "any")).await;
        if answer.status != 200 {
            return Err("call");
        }
    }
    Ok(session)
}

pub(crate) const ROUND_ROBIN: &str = "--policy=round-robin";

#[tokio::test]
async fn what_is_not_mcps_is_forwarded_and_endpoints_are_named() {
    let (servers, memories) = servers().await;
    let uris = [servers[0].uri()];
    let args = ["--endpoint=/mcp,/api/mcp", "--allow-origin=https://a"];
    let gateway = Gateway::before(&uris, &args).await;
    for (method, target, fields, body) in [
        ("GET", "/favicon.ico", &[][..], ""),
        ("PUT", "/any", &[], "text"),
        ("POST", "/plain", &[FORM, ("origin", "https://a")], "a=b"),
        ("DELETE", "/any", &[], ""),
    ] {
        let answer = send(&gateway, method, target, fields, body).await;
        assert_eq!(answer.text(), format!("{method} {target} {body}"));
    }
    let before = memories[0].calls.load(Ordering::Relaxed);
    for target in ["/mcp", "/api/mcp/", "/api//MCP?x", "/%6dcp"] {
        assert_eq!(send(&gateway, "GET", target, &[], "").await.status, 405, "{target}");
        for (page, status) in [("https://a", 415), ("https://evil", 403)] {
            let forged = [("content-type", "text/plain"), ("origin", page)];
            assert_eq!(send(&gateway, "POST", target, &forged, INITIALIZE).await.status, status);
        }
    }
    assert_eq!(memories[0].calls.load(Ordering::Relaxed), before);
    let every = Gateway::before(&uris, &["--endpoint=*"]).await;
    assert_eq!(send(&every, "GET", "/favicon.ico", &[], "").await.status, 405);
}

#[tokio::test]
async fn a_login_stays_on_one_backend_if_it_is_pinned_and_only_then() {
    let (servers, _memories) = servers().await;
    let uris = [servers[0].uri(), servers[1].uri()];
    let pinned = Gateway::before(&uris, &[ROUND_ROBIN, "--pin-oauth"]).await;
    let mut sessions = Vec::new();
    for _ in 0..6 {
        sessions.push(log_in(&pinned, None).await.unwrap());
    }
    for name in ["session-a", "session-b"] {
        assert!(sessions.iter().any(|id| id.starts_with(name)), "both are used: {sessions:?}");
    }
    // A client that every server knows stays where it began.
    for _ in 0..4 {
        log_in(&pinned, Some("static")).await.unwrap();
    }
    let apart = Gateway::before(&uris, &[ROUND_ROBIN]).await;
    for _ in 0..3 {
        assert!(log_in(&apart, None).await.is_err());
    }
}

#[tokio::test]
async fn what_a_client_makes_up_is_not_learned() {
    let (servers, _memories) = servers().await;
    let uris = [servers[0].uri(), servers[1].uri()];
    let gateway = Gateway::before(&uris, &[ROUND_ROBIN, "--pin-oauth"]).await;
    let target = "/page?client_id=made-up&state=made-up&code=made-up";
    let form = send(&gateway, "POST", "/page", &[FORM], "client_id=made-up").await;
    assert_eq!(form.text(), "POST /page client_id=made-up", "what was looked into is passed on");
    // One after the other, as without the option.
    let answer = send(&gateway, "GET", target, &[], "").await;
    let next = send(&gateway, "GET", target, &[], "").await;
    assert_ne!(answer.headers["x-server"], next.headers["x-server"]);
}

#[tokio::test]
async fn the_client_of_a_backend_that_is_gone_begins_again() {
    let (mut servers, _memories) = servers().await;
    let uris = [servers[0].uri(), servers[1].uri()];
    let gateway = Gateway::before(&uris, &[ROUND_ROBIN, "--pin-oauth"]).await;
    let registered = send(&gateway, "POST", "/register", &[JSON], "{}").await;
    let client = registered.message()["client_id"].as_str().unwrap().to_owned();
    let at = usize::from(client.starts_with("client-b"));
    servers[at].kill().await;
    let authorize = format!("/authorize?client_id={client}&state=mine");
    let lost = send(&gateway, "GET", &authorize, &[], "").await;
    assert!(lost.status.is_server_error(), "{}", lost.status);
    // The other server does not know the client and says so, and the client registers again.
    assert_eq!(send(&gateway, "GET", &authorize, &[], "").await.status, 401);
    log_in(&gateway, None).await.unwrap();
}
