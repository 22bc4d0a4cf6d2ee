//! Two stores on one server: two replicas.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::time::Duration;

use bartizan_core::{
    Answer, BackendId, Key, Record, Route, SessionStore,
    store::{CountSessions, Inserted, RecordVersion, Replaced},
};
use bartizan_redis::RedisStore;
use bartizan_testkit::{RedisServer, eventually};
use common::{
    PATIENCE, fresh, get, insert, insert_record, on, ready, record, relay::Relay, remove, replace,
    with_key,
};
use tokio::time::Instant;

async fn two() -> (RedisStore, RedisStore, RedisServer) {
    let (a, server) = fresh(|builder| builder).await;
    let b = on(&server, |builder| builder).await;
    (a, b, server)
}

/// Whether `store` answers from its near-cache.
fn is_near(store: &RedisStore, id: &str) -> bool {
    with_key(id, |key| matches!(store.get(key), Answer::Now(Ok(Some(_)))))
}

#[tokio::test]
async fn what_one_opens_the_other_finds_and_what_one_ends_is_over_for_the_other() {
    let (a, b, _server) = two().await;
    insert(&a, "id").await.unwrap();
    assert!(get(&b, "id").await.unwrap().is_some());
    assert!(is_near(&b, "id"), "read once, it is near");
    remove(&a, "id").await.unwrap();
    let gone = async || !is_near(&b, "id");
    eventually("the news has come", Duration::from_secs(2), gone).await;
    assert!(get(&b, "id").await.unwrap().is_none());
    // And in the other direction, once the other replica has learned that it has ended: a new
    // session with another id.
    assert!(matches!(insert(&b, "id").await.unwrap(), Inserted::Ended));
}

#[tokio::test]
async fn a_change_by_one_is_seen_by_the_other() {
    let (a, b, _server) = two().await;
    insert(&a, "id").await.unwrap();
    let before = get(&b, "id").await.unwrap().unwrap();
    let held = before.hold();
    let moved = record().with_backend("http://b:2".parse().unwrap());
    let changed = replace(&a, "id", RecordVersion::FIRST, moved.clone()).await.unwrap();
    assert!(matches!(changed, Replaced::Replaced(_)));
    let seen = async || {
        let now = get(&b, "id").await.unwrap().unwrap();
        now.record() == &moved && now.version() == RecordVersion::FIRST.next() && now.is_held()
    };
    eventually("the change is seen, and what was held is held", PATIENCE, seen).await;
    drop(held);
    assert!(!get(&b, "id").await.unwrap().unwrap().is_held());
}

#[tokio::test]
async fn an_absence_is_believed_until_the_session_is_there() {
    let (a, b, server) = two().await;
    assert!(get(&b, "id").await.unwrap().is_none());
    let asked = server.calls("get");
    for _ in 0..20 {
        assert!(get(&b, "id").await.unwrap().is_none());
    }
    assert_eq!(server.calls("get"), asked, "once asked, it is known to be absent");
    insert(&a, "id").await.unwrap();
    let there = async || get(&b, "id").await.unwrap().is_some();
    eventually("the news has come", Duration::from_secs(2), there).await;
}

/// One command for each session that is not cached, none for one that is, and uses are reported
/// together.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_calls_of_a_hundred_sessions_cost_a_hundred_reads() {
    let (a, b, server) = two().await;
    let ids: Vec<_> = (0..100).map(|n| format!("session-{n}")).collect();
    for id in &ids {
        insert(&a, id).await.unwrap();
    }
    let (reads, touches) = (server.calls("get"), server.calls("setrange"));
    for round in 0..100 {
        for at in 0..100 {
            // Not in the order in which they were opened.
            let id = &ids[(at * 37 + round) % 100];
            assert!(get(&b, id).await.unwrap().is_some());
        }
    }
    assert_eq!(server.calls("get") - reads, 100);
    // Not counting the checks whether the server tracks the connection.
    let asked = server.calls("client|trackinginfo");
    let again = async || server.calls("client|trackinginfo") >= asked + 6;
    eventually("the connection was watched for a while", PATIENCE, again).await;
    assert!(ids.iter().all(|id| is_near(&b, id)));
    assert_eq!(server.calls("setrange") - touches, 0, "a quarter of the idle time has not passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_ask_at_once_cost_one_read() {
    let (a, b, server) = two().await;
    insert(&a, "id").await.unwrap();
    let reads = server.calls("get");
    let asks = (0..64).map(|_| {
        let b = b.clone();
        tokio::spawn(async move { get(&b, "id").await.unwrap().is_some() })
    });
    for ask in asks.collect::<Vec<_>>() {
        assert!(ask.await.unwrap());
    }
    // They may not all have been concurrent.
    let cost = server.calls("get") - reads;
    assert!((1..=3).contains(&cost), "{cost}");
}

/// A use by any replica restarts the idle time; it is reported to the server at most once per
/// quarter.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_lives_as_long_as_it_is_used_anywhere_and_no_longer() {
    let (a, b, server) = two().await;
    let short = Record::new(Duration::from_secs(2), Duration::from_secs(60));
    insert_record(&a, "used", short.clone()).await.unwrap();
    insert_record(&a, "unused", short.clone()).await.unwrap();
    insert_record(&a, "held", short).await.unwrap();
    let hold = get(&b, "held").await.unwrap().unwrap().hold();
    let (start, touches) = (Instant::now(), server.calls("setrange"));
    let told = || server.calls("setrange") - touches;
    // Two sessions are used, each reported at most once per quarter of the idle time, for longer than the idle time.
    let enough = async || {
        assert!(get(&b, "used").await.unwrap().is_some());
        told() >= 12
    };
    eventually("their use was reported for a while", PATIENCE, enough).await;
    let quarters = start.elapsed().as_millis() / 500;
    assert!(u128::from(told()) <= 2 * (quarters + 2), "{} in {quarters} quarters", told());
    assert!(get(&a, "used").await.unwrap().is_some());
    assert!(
        get(&a, "unused").await.unwrap().is_none() && get(&b, "unused").await.unwrap().is_none()
    );
    assert!(get(&a, "held").await.unwrap().is_some(), "an open stream is use");
    drop(hold);
    let over = async || server.cli(&["--scan", "--pattern", "bartizan:{*"]).is_empty();
    eventually("it idles out once it is let go", PATIENCE, over).await;
}

/// However rapidly uses follow each other, even if the session is not looked up.
#[tokio::test]
async fn a_session_that_is_only_touched_lives_too() {
    let (store, server) = fresh(|builder| builder).await;
    let short = Record::new(Duration::from_secs(1), Duration::from_secs(60));
    insert_record(&store, "id", short).await.unwrap();
    let session = get(&store, "id").await.unwrap().unwrap();
    let (start, touches) = (Instant::now(), server.calls("setrange"));
    let enough = async || {
        store.touch(&session);
        start.elapsed() > Duration::from_millis(2_500)
    };
    eventually("it was touched for a while", PATIENCE, enough).await;
    assert!(get(&store, "id").await.unwrap().is_some());
    let told = server.calls("setrange") - touches;
    assert!((3..=10).contains(&told), "{told} reports in ten quarters of the idle time");
}

/// However much a session is used, and even if its record is replaced, its lifetime ends.
#[tokio::test]
async fn neither_use_nor_replacement_outlives_the_lifetime() {
    let (store, server) = fresh(|builder| builder).await;
    let short = Record::new(Duration::from_secs(2), Duration::from_secs(4));
    insert_record(&store, "id", short.clone()).await.unwrap();
    let (start, key) = (Instant::now(), server.cli(&["--scan", "--pattern", "bartizan:{*"]));
    let left = || server.cli(&["PTTL", &key]).parse::<i64>().unwrap();
    let touches = server.calls("setrange");
    let used = async || {
        assert!(get(&store, "id").await.unwrap().is_some());
        start.elapsed() > Duration::from_secs(3) && server.calls("setrange") - touches >= 3
    };
    eventually("it was used for a while", Duration::from_millis(3_900), used).await;
    assert!((1..=1_000).contains(&left()), "{} ms after the use", left());
    let moved = short.with_backend("http://b:1".parse().unwrap());
    let replaced = replace(&store, "id", RecordVersion::FIRST, moved).await.unwrap();
    assert!(matches!(replaced, Replaced::Replaced(_)), "{replaced:?}");
    assert!((1..=1_000).contains(&left()), "{} ms after the replacement", left());
    let over = async || get(&store, "id").await.unwrap().is_none();
    eventually("it is over", Duration::from_secs(2), over).await;
    assert!(start.elapsed() < Duration::from_millis(4_900), "{:?}", start.elapsed());
}

#[tokio::test]
async fn every_key_expires_and_none_reveals_an_id() {
    let (store, server) = fresh(|builder| builder.prefix("gw")).await;
    let brief = Record::new(Duration::from_secs(100), Duration::from_secs(50));
    insert_record(&store, "secret-one", brief).await.unwrap();
    insert(&store, "secret-two").await.unwrap();
    remove(&store, "secret-two").await.unwrap();
    let keys = server.cli(&["--scan", "--pattern", "gw:{*"]);
    assert_eq!(keys.lines().count(), 2, "{keys}");
    let mut lives: Vec<u64> =
        keys.lines().map(|key| server.cli(&["PTTL", key]).parse().unwrap()).collect();
    lives.sort_unstable();
    assert!((45_000..=50_000).contains(&lives[0]), "the lifetime is shorter than the idle time");
    assert!((55_000..=60_000).contains(&lives[1]), "a tombstone stays for a minute");
    let everything = format!("{}{}", server.cli(&["--scan"]), keys);
    assert!(!everything.contains("secret"));
    for key in keys.lines() {
        assert!(!server.cli(&["GET", key]).contains("secret"));
    }
}

/// Two releases share a store during a rolling deploy.
#[tokio::test]
async fn parts_of_a_later_release_survive_a_change_by_this_one() {
    let (store, server) = fresh(|builder| builder).await;
    insert(&store, "id").await.unwrap();
    let key = server.cli(&["--scan", "--pattern", "bartizan:{*"]);
    server.cli(&[
        "EVAL",
        "return redis.call('APPEND', KEYS[1], '\\200\\0\\0\\0\\3new')",
        "1",
        &key,
    ]);
    let seen = async || get(&store, "id").await.unwrap().unwrap().record().fields().count() == 1;
    eventually("the change by the other release is seen", PATIENCE, seen).await;
    let session = get(&store, "id").await.unwrap().unwrap();
    let changed = session.record().clone().with_backend("http://b:1".parse().unwrap());
    replace(&store, "id", session.version(), changed).await.unwrap();
    let stored = server.cli(&["--no-raw", "GET", &key]);
    assert!(stored.contains(r"\xc8\x00\x00\x00\x03new"), "{stored}");
    assert!(stored.contains("http://b:1"), "{stored}");
}

/// Clocks drift and may be corrected: the server's clock is read repeatedly, on one connection.
#[tokio::test]
async fn the_servers_clock_is_followed() {
    let (_store, server) = fresh(|builder| builder).await;
    let asked = server.calls("time");
    eventually("it is asked again", PATIENCE, async || server.calls("time") >= asked + 2).await;
}

/// Sessions that another replica opened count in the balancing of this one.
#[tokio::test]
async fn sessions_are_counted_by_backend_over_all_replicas() {
    let (a, b, _server) = two().await;
    let (one, two): (BackendId, BackendId) =
        ("http://b:1".parse().unwrap(), "http://b:2".parse().unwrap());
    for n in 0..6 {
        let backend = if n < 4 { &one } else { &two };
        insert_record(&a, &format!("s{n}"), record().with_backend(backend.clone())).await.unwrap();
    }
    assert_eq!(
        (a.sessions_on(&one), a.sessions_on(&two), a.len()),
        (4, 2, 6),
        "at once where they were opened"
    );
    let told = async || (b.sessions_on(&one), b.sessions_on(&two), b.len()) == (4, 2, 6);
    eventually("the other replica knows", PATIENCE, told).await;
    remove(&b, "s0").await.unwrap();
    let less = async || a.sessions_on(&one) == 3 && b.sessions_on(&one) == 3;
    eventually("both know that one has ended", PATIENCE, less).await;
    let session = get(&a, "s1").await.unwrap().unwrap();
    replace(&a, "s1", session.version(), record().with_backend(two.clone())).await.unwrap();
    let moved = async || (b.sessions_on(&one), b.sessions_on(&two)) == (2, 3);
    eventually("both know that one has moved", PATIENCE, moved).await;
}

/// With high latency, counting does not take longer with each backend.
#[tokio::test]
async fn many_backends_are_counted_over_a_long_line() {
    let (a, server) = fresh(|builder| builder).await;
    let relay = Relay::to(server.addr(), Duration::from_millis(10)).await;
    let b = RedisStore::builder(&relay.url()).build().unwrap();
    ready(&b).await;
    for n in 0..100 {
        let on = record().with_backend(format!("http://b:{n}").parse().unwrap());
        insert_record(&a, &format!("s{n}"), on).await.unwrap();
    }
    eventually("the other replica knows", PATIENCE, async || b.len() == 100).await;
}

#[tokio::test]
async fn past_the_cap_a_new_session_is_refused_by_every_replica() {
    let (a, server) = fresh(|builder| builder.max_sessions(3)).await;
    let b = on(&server, |builder| builder.max_sessions(3)).await;
    for n in 0..3 {
        assert!(matches!(insert(&a, &format!("s{n}")).await.unwrap(), Inserted::Inserted(_)));
    }
    assert!(matches!(insert(&a, "one more").await.unwrap(), Inserted::Full));
    let full = async || !b.has_room(&Route::default(), None);
    eventually("the other replica knows", PATIENCE, full).await;
    assert!(get(&b, "s0").await.unwrap().is_some(), "live ones are untouched");
    remove(&b, "s0").await.unwrap();
    let room = async || a.has_room(&Route::default(), None) && b.has_room(&Route::default(), None);
    eventually("there is room again", PATIENCE, room).await;
}

/// A session that its backend names again must not be ended because the store is full.
#[tokio::test]
async fn past_the_cap_what_is_there_is_there_and_what_has_ended_has_ended() {
    let (store, _server) = fresh(|builder| builder.max_sessions(1)).await;
    insert(&store, "live").await.unwrap();
    remove(&store, "ended").await.unwrap();
    assert!(matches!(insert(&store, "live").await.unwrap(), Inserted::Exists(_)));
    assert!(matches!(insert(&store, "ended").await.unwrap(), Inserted::Ended));
    assert!(matches!(insert(&store, "new").await.unwrap(), Inserted::Full));
    assert!(get(&store, "new").await.unwrap().is_none());
}

/// If no replica is left, nothing stays at the server.
#[tokio::test]
async fn the_counts_expire_too() {
    let (store, server) = fresh(|builder| builder).await;
    for (id, seconds) in [("long", 300), ("short", 100)] {
        let record = Record::new(Duration::from_secs(seconds), Duration::from_secs(1_000));
        insert_record(&store, id, record.with_backend("http://b:1".parse().unwrap()))
            .await
            .unwrap();
    }
    let members = || server.cli(&["ZCARD", "bartizan:on:http://b:1"]);
    eventually("both are counted", PATIENCE, async || members() == "2").await;
    for key in ["bartizan:on:http://b:1", "bartizan:backends"] {
        let left: i64 = server.cli(&["PTTL", key]).parse().unwrap();
        assert!((250_000..=300_000).contains(&left), "{key} stays for {left} ms");
    }
    let keys = server.cli(&["--scan"]);
    assert!(keys.lines().all(|key| server.cli(&["PTTL", key]) != "-1"), "{keys}");
}

/// A stolen or made-up key never gets another key's session, cached or not.
#[tokio::test]
async fn another_principal_and_another_route_find_nothing() {
    let (a, b, _server) = two().await;
    let (here, there) = (Route::default(), Route::new("there"));
    let alice = bartizan_core::Principal::new("i", "alice");
    insert(&a, "id").await.unwrap();
    for store in [&a, &b, &a, &b] {
        assert!(get(store, "id").await.unwrap().is_some());
        for key in [Key::new(&here, Some(&alice), b"id"), Key::new(&there, None, b"id")] {
            assert!(store.get(key).wait().await.unwrap().is_none());
        }
    }
}

/// Holds a session of `store` and waits for its end.
async fn waits_for_the_end(store: &RedisStore, id: &str) -> tokio::task::JoinHandle<()> {
    let session = get(store, id).await.unwrap().unwrap();
    let (hold, mut ended) = (session.hold(), session.ended());
    // Polled once, so that the session is known to have a waiter.
    assert!(futures_util::poll!(&mut ended).is_pending());
    tokio::spawn(async move {
        ended.await;
        drop(hold);
    })
}

#[tokio::test]
async fn whoever_waits_for_the_end_of_a_session_is_told_wherever_it_ends() {
    let (a, b, server) = two().await;
    for near_cache in [true, false] {
        let c = if near_cache { b.clone() } else { on(&server, |store| store.near_cache(0)).await };
        for id in ["here", "there", "told-before", "lives"] {
            let id = format!("{id}-{near_cache}");
            insert(&a, &id).await.unwrap();
            let waiting = waits_for_the_end(&c, &id).await;
            if id.starts_with("told-before") {
                // The server notifies each reader of a change only once.
                let changed = replace(&a, &id, RecordVersion::FIRST, record()).await.unwrap();
                assert!(matches!(changed, Replaced::Replaced(_)));
                let told = async || !is_near(&c, &id);
                eventually("the news of the change has come", PATIENCE, told).await;
            }
            let by = if id.starts_with("here") { &c } else { &a };
            if id.starts_with("lives") {
                // Every connection was checked, and stores without a near-cache have looked for the end repeatedly.
                let calls = || (server.calls("client|trackinginfo"), server.calls("get"));
                let (watched, read) = calls();
                let enough = async || {
                    let now = calls();
                    now.0 >= watched + 12 && (near_cache || now.1 >= read + 2)
                };
                eventually("it was watched for a while", PATIENCE, enough).await;
                assert!(!waiting.is_finished());
                continue;
            }
            remove(by, &id).await.unwrap();
            let begun = Instant::now();
            tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap();
            let bound = if near_cache { 500 } else { 1_500 };
            assert!(begun.elapsed() < Duration::from_millis(bound), "{id}: {:?}", begun.elapsed());
        }
    }
}

#[tokio::test]
async fn an_end_that_came_while_the_server_was_away_or_was_emptied_is_told() {
    let (store, mut server) = fresh(|builder| builder).await;
    for restart in [true, false] {
        insert(&store, "id").await.unwrap();
        let waiting = waits_for_the_end(&store, "id").await;
        if restart {
            server.restart().await;
            ready(&store).await;
        } else {
            server.cli(&["FLUSHALL"]);
        }
        tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_session_whose_life_is_over_at_the_server_has_ended() {
    let (store, _server) = fresh(|builder| builder).await;
    let short = Record::new(Duration::from_secs(60), Duration::from_millis(300));
    insert_record(&store, "id", short).await.unwrap();
    let waiting = waits_for_the_end(&store, "id").await;
    tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap();
}
