//! What is reported of stored values that cannot be read.
#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use common::{fresh, get, insert};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// The fields of all events of level ERROR.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<String>>>);

impl Visit for Journal {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != "message" {
            self.0.lock().unwrap().push(format!("{field}={value:?}"));
        }
    }
}

impl Subscriber for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR && metadata.target().starts_with("bartizan")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        assert_eq!(event.metadata().target(), "bartizan::redis");
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn one_event_a_minute_reports_records_that_cannot_be_read() {
    let journal = Journal::default();
    let _set = tracing::subscriber::set_default(journal.clone());
    let (store, server) = fresh(|builder| builder.near_cache(0)).await;
    insert(&store, "secret-id").await.unwrap();
    assert!(get(&store, "secret-id").await.unwrap().is_some());
    assert!(journal.0.lock().unwrap().is_empty(), "nothing to report");
    let key = server.cli(&["--scan", "--pattern", "bartizan:{*"]);
    let later = "return redis.call('SET', KEYS[1], '\\0BZ\\2')";
    assert_eq!(server.cli(&["EVAL", later, "1", &key]), "OK");
    for _ in 0..50 {
        assert!(get(&store, "secret-id").await.is_err());
    }
    let reported = journal.0.lock().unwrap().clone();
    assert_eq!(reported, ["cause=\"written by a later release\"", "left_out=0"]);
}
