//! Sessions that lose their backend: real servers (rmcp) behind the stack, and scripted ones.

mod common;

use std::sync::Arc;

use bartizan::{
    ReverseProxyStack,
    memory::MemoryStore,
    pin::{Backends, PinBackendLayer},
    resume::{ResumeCounts, ResumeSessionLayer},
    session::ValidateSessionLayer,
    upstream::Upstream,
};
use bartizan_testkit::{CounterServer, client::Raw};
use common::Gateway;
use tower::Layer;

/// A gateway that resumes sessions, before servers at `origins`.
async fn resuming(
    origins: &[String],
    configure: impl FnOnce(ResumeSessionLayer<MemoryStore>) -> ResumeSessionLayer<MemoryStore>,
) -> (Gateway, ResumeCounts) {
    let store = MemoryStore::new();
    let backends = Backends::new(origins.iter().map(|origin| origin.parse().unwrap()))
        .counted_by(Arc::new(store.clone()));
    let resume = configure(ResumeSessionLayer::new(store.clone()));
    let counts = resume.counts();
    let stack = ReverseProxyStack::new(
        ValidateSessionLayer::mcp(store.clone()),
        PinBackendLayer::new(backends.clone()),
    )
    .resume(resume);
    let service = stack.layer(Upstream::builder().build());
    (Gateway::serve(service, store, backends).await, counts)
}

fn uris(servers: &[CounterServer]) -> Vec<String> {
    servers.iter().map(CounterServer::uri).collect()
}

/// Which server holds the only session.
fn home(servers: &[CounterServer]) -> usize {
    servers.iter().position(|server| server.initializes() > 0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_backend_is_killed_goes_on_at_another_with_the_same_id() {
    let mut servers = CounterServer::start_many(2).await;
    let (gateway, counts) = resuming(&uris(&servers), |layer| layer).await;
    let client = Raw::new(&gateway.uri());
    let id = client.initialize().await;
    assert_eq!(client.increment(&id).await.count(), Some(1));
    let lost = home(&servers);
    servers[lost].kill().await;
    let answer = client.increment(&id).await;
    assert_eq!(answer.count(), Some(1), "a new counter: {answer:?}");
    assert_eq!(client.increment(&id).await.count(), Some(2));
    assert!(answer.session().is_none_or(|shown| shown == id));
    let other = &servers[1 - lost];
    assert_eq!(other.initializes(), 1);
    assert!(other.with_session(&id).is_empty(), "the backend knows it by its own id");
    assert_eq!((counts.resumed(), gateway.store.len()), (1, 1));
    assert_eq!(client.delete(Some(&id)).await.status, 202);
    assert_eq!((client.increment(&id).await.status.as_u16(), gateway.store.len()), (404, 0));
}
