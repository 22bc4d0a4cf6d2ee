//! Each number of the layer moves by the event that it names, once, and by no other.
#![allow(clippy::unwrap_used, reason = "test support")]

use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use bartizan_core::GuardBody;
use bartizan_memory::MemoryStore;
use bartizan_pin::{Backends, PinBackendLayer};
use bartizan_resume::{ResumeCounts, ResumeSessionLayer};
use bartizan_session::{SessionCounts, ValidateSessionLayer};
use bytes::Bytes;
use gauges::Ledger;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, service_fn};

#[path = "../../../tests/support/gauges.rs"]
mod gauges;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#;
const RESULT: &str =
    r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;
const NOTHING: [String; 0] = [];

/// How a backend answers an `initialize`.
#[derive(Clone, Copy, Debug)]
enum Opens {
    Not(u16),
    Silent,
    /// It denies what it has just opened.
    Forgetful,
}

/// The backends `http://a:1` and `http://b:1`.
#[derive(Clone, Default)]
struct World(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    live: HashSet<String>,
    opened: u32,
    /// How the next ones that are asked for a session answer; well, if there is none.
    openings: VecDeque<Opens>,
}

impl World {
    /// Both forget all sessions, and will answer so when they are asked for another.
    fn forget(&self, openings: &[Opens]) {
        let mut state = self.0.lock().unwrap();
        state.live.clear();
        state.openings = openings.iter().copied().collect();
    }

    async fn respond<B>(
        self,
        request: Request<B>,
    ) -> Result<Response<GuardBody<Full<Bytes>>>, Infallible>
    where
        B: Body<Data = Bytes, Error: std::fmt::Debug>,
    {
        let id = request.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        let method = request.method().clone();
        request.into_body().collect().await.unwrap();
        let mut response = Response::new(GuardBody::forwarded(Full::from(RESULT)));
        let status = match id {
            None => {
                let next = self.0.lock().unwrap().openings.pop_front();
                match next {
                    Some(Opens::Not(status)) => status,
                    Some(Opens::Silent) => pending().await,
                    opens => {
                        let mut state = self.0.lock().unwrap();
                        state.opened += 1;
                        let id = format!("session-{}", state.opened);
                        response.headers_mut().insert("mcp-session-id", id.parse().unwrap());
                        if opens.is_none() {
                            state.live.insert(id);
                        }
                        200
                    }
                }
            }
            Some(id) => {
                let mut state = self.0.lock().unwrap();
                let is_live = state.live.contains(&id);
                if method == Method::DELETE {
                    state.live.remove(&id);
                }
                if is_live { 200 } else { 404 }
            }
        };
        *response.status_mut() = status.try_into().unwrap();
        Ok(response)
    }
}

struct Stack<S> {
    world: World,
    service: S,
    resume: Ledger<ResumeCounts>,
    session: Ledger<SessionCounts>,
}

/// A stack with an open session, `session-1`.
async fn stack(
    set: impl FnOnce(ResumeSessionLayer<MemoryStore>) -> ResumeSessionLayer<MemoryStore>,
) -> Stack<
    impl Service<Request<Full<Bytes>>, Response = Response<impl Sized>, Error = Infallible> + Clone,
> {
    let (world, store) = (World::default(), MemoryStore::new());
    let upstream = {
        let world = world.clone();
        service_fn(move |request| world.clone().respond(request))
    };
    let backends = Backends::new(["http://a:1", "http://b:1"].map(|it| it.parse().unwrap()));
    let resume = set(ResumeSessionLayer::new(store.clone()));
    let session = ValidateSessionLayer::mcp(store);
    let (of_resume, of_session) = (Ledger::new(resume.counts()), Ledger::new(session.counts()));
    let pinned = PinBackendLayer::new(backends).layer(upstream);
    let service = session.layer(resume.layer(pinned));
    let opening = Request::post("/mcp").body(Full::from(INITIALIZE)).unwrap();
    assert_eq!(service.clone().oneshot(opening).await.unwrap().status(), 200);
    let mut stack = Stack { world, service, resume: of_resume, session: of_session };
    assert_eq!(stack.session.moved(), ["sessions_opened_total 1"]);
    stack
}

impl<S, R> Stack<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + Clone,
{
    async fn send(&self, method: Method) -> u16 {
        let request = Request::builder().method(method).uri("/mcp");
        let request = request.header("mcp-session-id", "session-1").body(Full::from(CALL)).unwrap();
        self.service.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    /// Of this layer, and of the one that validates sessions.
    fn moved(&mut self) -> (Vec<String>, Vec<String>) {
        (self.resume.moved(), self.session.moved())
    }
}

fn resumes(outcome: &str) -> String {
    format!("resumes_total{{outcome={outcome}}} 1")
}

fn failed(cause: &str, times: u32) -> String {
    format!("resume_handshakes_failed_total{{cause={cause}}} {times}")
}

fn ended(cause: &str) -> [String; 2] {
    [
        format!("session_duration_seconds{{cause={cause}}} 1"),
        format!("sessions_ended_total{{cause={cause}}} 1"),
    ]
}

#[tokio::test(start_paused = true)]
async fn an_attempt_has_one_outcome_and_each_backend_that_fails_it_a_cause() {
    use Opens::{Forgetful, Not, Silent};
    for (openings, status, outcome, causes) in [
        (&[][..], 200, "resumed", vec![]),
        (&[Not(500)], 200, "resumed", vec![failed("no_answer", 1)]),
        (&[Not(503), Not(429)], 503, "given_up", vec![failed("no_answer", 2)]),
        (&[Forgetful], 200, "resumed", vec![failed("no_answer", 1)]),
        (&[Silent], 200, "resumed", vec![failed("timeout", 1)]),
        (&[Silent, Silent], 503, "given_up", vec![failed("timeout", 2)]),
        (&[Not(400)], 200, "resumed", vec![failed("unfit", 1)]),
        (&[Not(401)], 401, "denied", vec![failed("denied", 1)]),
    ] {
        let mut stack = stack(|layer| layer).await;
        assert_eq!(stack.send(Method::POST).await, 200);
        assert_eq!(stack.moved(), (NOTHING.to_vec(), NOTHING.to_vec()));
        stack.world.forget(openings);
        assert_eq!(stack.send(Method::POST).await, status, "{openings:?}");
        // Where both are silent, the request's time is up when the attempt's is.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let expected = [causes, vec![resumes(outcome)]].concat();
        assert_eq!(stack.moved(), (expected, NOTHING.to_vec()), "{openings:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_requests_that_meet_one_loss_are_one_attempt() {
    let mut stack = stack(|layer| layer).await;
    stack.world.forget(&[]);
    let send = || stack.send(Method::POST);
    assert_eq!(tokio::join!(send(), send(), send(), send()), (200, 200, 200, 200));
    assert_eq!(stack.moved(), (vec![resumes("resumed")], NOTHING.to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_can_take_over_ends_here_and_in_no_other_count() {
    let mut stack = stack(|layer| layer).await;
    stack.world.forget(&[Opens::Not(400), Opens::Not(400)]);
    assert_eq!(stack.send(Method::POST).await, 404);
    let expected = [vec![failed("unfit", 2), resumes("given_up")], ended("not_resumed").to_vec()];
    assert_eq!(stack.moved(), (expected.concat(), NOTHING.to_vec()));
    assert_eq!(stack.send(Method::POST).await, 404);
    assert_eq!(stack.moved(), (NOTHING.to_vec(), NOTHING.to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_delete_is_counted_by_the_session_layer_unless_the_session_was_lost() {
    let mut stack_of_live = stack(|layer| layer).await;
    assert_eq!(stack_of_live.send(Method::DELETE).await, 200);
    assert_eq!(stack_of_live.moved(), (NOTHING.to_vec(), ended("delete").to_vec()));
    let mut stack = stack(|layer| layer).await;
    stack.world.forget(&[]);
    assert_eq!(stack.send(Method::DELETE).await, 404);
    assert_eq!(stack.moved(), (ended("not_resumed").to_vec(), NOTHING.to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_record_is_counted_when_it_opens_and_ends_by_its_404() {
    let mut stack = stack(|layer| layer.total_record_limit(1)).await;
    assert_eq!(stack.resume.moved(), ["resume_unrecorded_total 1"]);
    stack.world.forget(&[]);
    assert_eq!(stack.send(Method::POST).await, 404);
    assert_eq!(stack.moved(), (NOTHING.to_vec(), ended("backend_404").to_vec()));
    let opening = Request::post("/mcp").body(Full::from(INITIALIZE)).unwrap();
    assert_eq!(stack.service.clone().oneshot(opening).await.unwrap().status(), 200);
    let expected = vec!["resume_unrecorded_total 1".to_owned()];
    assert_eq!(stack.moved(), (expected, vec!["sessions_opened_total 1".to_owned()]));
}

/// The attempt goes on, and ends the session, though its client has left.
#[tokio::test(start_paused = true)]
async fn what_is_given_up_for_nobody_is_counted_too() {
    let mut stack = stack(|layer| layer.timeout(Duration::from_secs(8))).await;
    stack.world.forget(&[Opens::Silent, Opens::Silent]);
    let left = tokio::time::timeout(Duration::from_secs(1), stack.send(Method::POST)).await;
    assert!(left.is_err());
    assert_eq!(stack.moved(), (NOTHING.to_vec(), NOTHING.to_vec()));
    tokio::time::sleep(Duration::from_secs(20)).await;
    let expected = vec![failed("timeout", 2), resumes("given_up")];
    assert_eq!(stack.moved(), (expected, NOTHING.to_vec()));
}
