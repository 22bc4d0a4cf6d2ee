//! What is reported about a server that does not answer, and what is not.
#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use bartizan_redis::RedisStore;
use bartizan_testkit::{RedisServer, eventually};
use common::{PATIENCE, ready};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// All events of all levels and crates, as text.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<(Level, String)>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

impl Subscriber for Journal {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push((*event.metadata().level(), line.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Journal {
    fn warnings(&self) -> Vec<String> {
        let journal = self.0.lock().unwrap();
        let warnings = journal.iter().filter(|(level, _)| *level == Level::WARN);
        warnings.map(|(_, line)| line.clone()).collect()
    }

    /// How many failures were noted without a warning.
    fn further_failures(&self) -> usize {
        let journal = self.0.lock().unwrap();
        journal.iter().filter(|(_, line)| line.contains("still does not answer")).count()
    }
}

const SECRET: &str = "hunter2-secret";

#[tokio::test]
async fn a_server_that_was_never_reached_is_reported_with_the_cause_and_no_password() {
    let journal = Journal::default();
    let _set = tracing::subscriber::set_default(journal.clone());
    let locked = RedisServer::with(&["--requirepass", "right"]).await;
    let mut gone = RedisServer::start().await;
    gone.kill();
    let address = locked.addr();
    for (url, cause) in [
        (format!("redis://:{SECRET}@{}", gone.addr()), "connection refused"),
        (format!("redis://{address}"), "the server requires a password, and none was given"),
        (format!("redis://:{SECRET}@{address}"), "wrong user name or password"),
        (format!("redis://user-{SECRET}:{SECRET}@{address}"), "wrong user name or password"),
    ] {
        journal.0.lock().unwrap().clear();
        let store = RedisStore::builder(&url).build().unwrap();
        let is_told = async || store.failure() == Some(cause) && !journal.warnings().is_empty();
        eventually(cause, PATIENCE, is_told).await;
        eventually("it keeps failing", PATIENCE, async || journal.further_failures() >= 3).await;
        let warnings = journal.warnings();
        let [warning] = warnings.as_slice() else { panic!("{cause}: {warnings:?}") };
        assert!(warning.contains(&format!("cause={cause:?}")), "{warning}");
        assert_eq!(store.failure(), Some(cause));
        assert!(!format!("{store:?}").contains(SECRET));
    }
    let journal = journal.0.lock().unwrap();
    assert!(!journal.iter().any(|(_, line)| line.contains(SECRET)), "{journal:?}");
}

#[tokio::test]
async fn a_server_that_answers_is_not_and_one_that_goes_is() {
    let journal = Journal::default();
    let _set = tracing::subscriber::set_default(journal.clone());
    let mut server = RedisServer::start().await;
    let store = RedisStore::builder(&server.url()).build().unwrap();
    ready(&store).await;
    assert_eq!(store.failure(), None);
    assert_eq!(journal.warnings(), Vec::<String>::new());
    server.kill();
    eventually("it is noticed", PATIENCE, async || store.failure().is_some()).await;
    assert_eq!(journal.warnings().len(), 1, "{:?}", journal.warnings());
    server.restart().await;
    ready(&store).await;
    assert_eq!(store.failure(), None);
}
