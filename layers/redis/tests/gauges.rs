//! Each number of a store moves by the event that it names, once, and by no other; on a real server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

mod common;

use std::time::Duration;

use bartizan_core::{Record, SessionStore, store::RecordVersion};
use bartizan_redis::RedisStore;
use bartizan_testkit::{RedisServer, eventually};
use common::{PATIENCE, fresh, get, insert, insert_record, on, record, remove, replace, with_key};
use gauges::Ledger;
use tokio::time::sleep;

#[path = "../../../tests/support/gauges.rs"]
mod gauges;

const NOTHING: [String; 0] = [];

fn reads(result: &str) -> String {
    format!("store_reads_total{{result={result}}} 1")
}

fn took(op: &str) -> String {
    format!("store_seconds{{op={op}}} 1")
}

#[tokio::test]
async fn a_lookup_counts_where_it_ends_and_an_operation_by_its_name() {
    let (store, _server) = fresh(|builder| builder.max_sessions(9)).await;
    let mut ledger = Ledger::new(store.clone());
    insert(&store, "a").await.unwrap();
    assert_eq!(ledger.moved(), [took("insert")]);
    assert!(get(&store, "a").await.unwrap().is_some());
    assert_eq!(ledger.moved(), [reads("read"), took("get")]);
    assert!(get(&store, "a").await.unwrap().is_some());
    assert_eq!(ledger.moved(), [reads("hit")]);
    for result in [[reads("read"), took("get")].to_vec(), vec![reads("hit")]] {
        assert!(get(&store, "nobody's").await.unwrap().is_none());
        assert_eq!(ledger.moved(), result);
    }
    replace(&store, "a", RecordVersion::FIRST, record()).await.unwrap();
    assert_eq!(ledger.moved(), [took("replace")]);
    let unchanged = with_key("a", |key| store.remove_if_unchanged(key, 2.into()));
    assert!(unchanged.wait().await.unwrap());
    assert_eq!(ledger.moved(), [took("remove_if_unchanged")]);
    insert(&store, "b").await.unwrap();
    remove(&store, "b").await.unwrap();
    // Why it was removed, the caller knows.
    assert_eq!(ledger.moved(), [took("insert"), took("remove")]);
    // All who ask at once share one.
    insert(&store, "c").await.unwrap();
    ledger.moved();
    let (one, two) = tokio::join!(get(&store, "c"), get(&store, "c"));
    assert!(one.unwrap().is_some() && two.unwrap().is_some());
    assert_eq!(ledger.moved(), [reads("read"), took("get")]);
    eventually("it is counted", PATIENCE, async || ledger.level("sessions") == 1).await;
    assert_eq!((ledger.level("sessions_max"), ledger.level("store_up")), (9, 1));
}

#[tokio::test]
async fn what_makes_room_is_evicted_and_what_is_removed_is_not() {
    let (store, _server) = fresh(|builder| builder.max_sessions(2)).await;
    let mut ledger = Ledger::new(store.clone());
    for (id, evicted) in [("a", 0), ("b", 0), ("c", 1), ("d", 1)] {
        let inserted = with_key(id, |key| store.insert_unconfirmed(key, record()));
        inserted.wait().await.unwrap();
        let ended = ["session_duration_seconds", "sessions_ended_total"]
            .map(|name| format!("{name}{{cause=evicted}} 1"));
        let mut expected = ended.into_iter().take(2 * evicted).collect::<Vec<_>>();
        expected.push(took("insert"));
        assert_eq!(ledger.moved(), expected, "{id}");
    }
}

fn expired(ledger: &mut Ledger<RedisStore>) -> usize {
    let moved = ledger.moved();
    let expired = moved.iter().filter_map(|name| {
        name.strip_prefix("sessions_ended_total{cause=expired} ")?.parse::<usize>().ok()
    });
    assert!(!moved.iter().any(|name| name.contains("cause=evicted")), "{moved:?}");
    expired.sum()
}

#[tokio::test]
async fn what_expires_is_counted_by_one_replica_and_what_is_removed_by_none() {
    let (one, server) = fresh(|builder| builder).await;
    let two = on(&server, |builder| builder).await;
    let mut ledgers = [&one, &two].map(|store| Ledger::new(store.clone()));
    let (short, minute) = (Duration::from_millis(400), Duration::from_secs(60));
    for (id, idle, lifetime) in
        [("idle", short, minute), ("lifetime", minute, short), ("stays", minute, minute)]
    {
        insert_record(&one, id, Record::new(idle, lifetime)).await.unwrap();
    }
    insert_record(&one, "removed", Record::new(short, minute)).await.unwrap();
    remove(&two, "removed").await.unwrap();
    let mut ended = 0;
    for round in 0..20 {
        sleep(Duration::from_millis(200)).await;
        // An insert looks, too.
        insert_record(&two, &format!("late {round}"), Record::new(minute, minute)).await.unwrap();
        ended += ledgers.iter_mut().map(expired).sum::<usize>();
    }
    assert_eq!(ended, 2, "by idling out and by age");
}

#[tokio::test]
async fn an_outage_is_one_and_what_is_cached_is_stale() {
    let mut server = RedisServer::start().await;
    let store = on(&server, |builder| builder).await;
    insert(&store, "a").await.unwrap();
    assert!(get(&store, "a").await.unwrap().is_some());
    let mut ledger = Ledger::new(store.clone());
    server.kill();
    eventually("it is noticed", PATIENCE, async || !store.is_ready()).await;
    let moved = ledger.moved();
    assert!(moved.contains(&"store_outages_total 1".to_owned()), "{moved:?}");
    assert_eq!(ledger.level("store_up"), 0);
    let lookups = |ledger: &mut Ledger<RedisStore>| {
        let mut moved = ledger.moved();
        moved.retain(|name| !name.starts_with("store_errors_total"));
        moved
    };
    assert!(get(&store, "a").await.unwrap().is_some());
    assert_eq!(lookups(&mut ledger), [reads("stale")]);
    assert!(get(&store, "b").await.is_err());
    assert_eq!(lookups(&mut ledger), [reads("failed")]);
    assert!(insert(&store, "b").await.is_err());
    assert_eq!(lookups(&mut ledger), NOTHING, "nothing was sent");
}
