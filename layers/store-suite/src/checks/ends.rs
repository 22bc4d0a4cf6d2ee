//! Ends: that they last, for how long, and who is notified.

use std::time::Duration;

use bartizan_core::{
    Key, Principal, Route, SessionStore,
    store::{Inserted, RecordVersion, Replaced},
};

use crate::{
    Harness,
    support::{Opened, brief, comes, has_come, insert, on, record},
};

pub(crate) async fn an_end_beats_a_late_insert_and_a_touch<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    let session = opened.open("id", record()).await;
    opened.remove("id").await;
    assert!(opened.get("id").await.is_none());
    assert!(matches!(opened.insert("id", record()).await, Inserted::Ended));
    opened.store.touch(&session);
    assert!(opened.get("id").await.is_none(), "a touch revives nothing");
    // A session that was ended before its insert cannot be inserted.
    opened.remove("early").await;
    assert!(matches!(opened.insert("early", record()).await, Inserted::Ended));
    opened.remove("id").await;
    assert!(matches!(opened.insert("id", record()).await, Inserted::Ended), "ended twice");
    assert!(opened.is_inserted("other").await);
    assert!(opened.has_room(None));
}

pub(crate) async fn an_end_is_of_one_key_alone<H: Harness>(harness: &H) {
    let store = Opened::by(harness).await.store;
    let (here, there) = (Route::new("here"), Route::new("there"));
    let (alice, bob) = (Principal::new("i", "alice"), Principal::new("i", "bob"));
    store.remove(Key::new(&here, Some(&alice), b"id")).wait().await.unwrap();
    for other in [
        Key::new(&here, Some(&bob), b"id"),
        Key::new(&here, None, b"id"),
        Key::new(&there, Some(&alice), b"id"),
        Key::new(&here, Some(&alice), b"ID"),
    ] {
        let outcome = insert(&store, other, record()).await;
        assert!(matches!(outcome, Inserted::Inserted(_)), "{other:?} has not ended");
    }
    let same = Key::new(&here, Some(&alice), b"id");
    assert!(matches!(insert(&store, same, record()).await, Inserted::Ended));
}

pub(crate) async fn a_tombstone_stands_for_a_minute<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    for id in ["removed", "unchanged"] {
        opened.open(id, record()).await;
    }
    opened.remove("removed").await;
    opened.remove("early").await;
    assert!(opened.remove_if_unchanged("unchanged", RecordVersion::FIRST).await);
    let ids = ["removed", "unchanged", "early"];
    harness.advance(Duration::from_secs(50)).await;
    for id in ids {
        let outcome = opened.insert(id, record()).await;
        assert!(matches!(outcome, Inserted::Ended), "after 50 s, {id}: {outcome:?}");
    }
    harness.advance(Duration::from_secs(20)).await;
    for id in ids {
        assert!(opened.get(id).await.is_none(), "it does not come back by itself");
        let outcome = opened.insert(id, record()).await;
        assert!(matches!(outcome, Inserted::Inserted(_)), "after 70 s, {id}: {outcome:?}");
    }
}

pub(crate) async fn a_removal_reaches_all_that_hold_the_session<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    let elsewhere = opened.store.clone();
    for id in ["removed", "unchanged"] {
        let first = opened.open(id, record()).await;
        let second = match opened.replace(id, first.version(), on("b")).await {
            Replaced::Replaced(session) => session,
            other => panic!("{other:?}"),
        };
        let found = opened.find(id).await;
        let bystander = opened.open(&format!("beside {id}"), record()).await;
        let _holds = [&first, &second, &found, &bystander].map(|session| session.hold());
        let mut untouched = bystander.ended();
        let ends = [&first, &second, &found].map(|session| session.ended());
        for mut end in [&first, &second, &found].map(|session| session.ended()) {
            assert!(!has_come(&mut end).await, "{id}: it is live");
        }
        if id == "removed" {
            elsewhere.remove(opened.key(id)).wait().await.unwrap();
        } else {
            assert!(opened.remove_if_unchanged(id, second.version()).await);
        }
        for (end, who) in ends.into_iter().zip(["inserted", "replaced", "found"]) {
            assert!(comes(end).await, "{id}: the one that was {who} learns of it");
        }
        assert!(first.is_ended() && second.is_ended() && found.is_ended());
        assert!(!has_come(&mut untouched).await, "{id}: another session has not ended");
    }
}

pub(crate) async fn an_expiry_reaches_all_that_hold_the_session<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    opened.open("id", brief(harness)).await;
    let session = opened.find("id").await;
    let _hold = session.hold();
    let mut end = session.ended();
    for _ in 0..5 {
        harness.advance(harness.idle() / 2).await;
        assert!(!has_come(&mut end).await, "it is in use");
    }
    harness.advance(harness.idle() * 3 / 4).await;
    assert!(opened.get("id").await.is_none(), "its lifetime is over");
    assert!(comes(end).await, "the stream that holds it learns of it");
}

pub(crate) async fn a_replacement_is_not_an_end<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    let mut session = opened.open("id", record()).await;
    let _hold = session.hold();
    let mut end = session.ended();
    for backend in ["a", "b", "c"] {
        session = match opened.replace("id", session.version(), on(backend)).await {
            Replaced::Replaced(session) => session,
            other => panic!("{other:?}"),
        };
        assert!(!has_come(&mut end).await && !session.is_ended(), "it has moved to {backend}");
    }
    opened.find("id").await;
    assert!(!has_come(&mut end).await);
}
