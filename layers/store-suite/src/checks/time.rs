//! Idle time and lifetime, and what counts as use.

use bartizan_core::{
    SessionStore,
    store::{Inserted, Replaced},
};

use crate::{
    Harness,
    support::{Opened, brief, record},
};

pub(crate) async fn an_unused_session_idles_out<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    for id in ["early", "late"] {
        opened.open(id, brief(harness)).await;
    }
    harness.advance(harness.idle() * 3 / 4).await;
    assert!(opened.get("early").await.is_some(), "three quarters of the idle time have passed");
    harness.advance(harness.idle() / 2).await;
    assert!(opened.get("late").await.is_none(), "the idle time has passed");
    let again = opened.insert("late", record()).await;
    assert!(matches!(again, Inserted::Inserted(_)), "what has expired may be opened again");
}

pub(crate) async fn a_lookup_restarts_the_idle_time<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    opened.open("id", brief(harness)).await;
    for n in 1..=3 {
        harness.advance(harness.idle() * 3 / 4).await;
        assert!(opened.get("id").await.is_some(), "it was looked up: {n}");
    }
    opened.remove("id").await;
}

pub(crate) async fn a_touch_restarts_the_idle_time<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    let session = opened.open("id", brief(harness)).await;
    for _ in 0..3 {
        harness.advance(harness.idle() * 3 / 4).await;
        opened.store.touch(&session);
    }
    harness.advance(harness.idle() / 4).await;
    assert!(opened.get("id").await.is_some(), "it was touched");
}

pub(crate) async fn a_held_session_does_not_idle_out<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    opened.open("id", brief(harness)).await;
    let session = opened.find("id").await;
    let hold = session.hold();
    // In steps, so that a store can record uses in the background.
    for _ in 0..8 {
        harness.advance(harness.idle() / 4).await;
    }
    let found = opened.get("id").await.expect("a stream of it is open");
    assert!(found.is_held(), "what is found is the session that is held");
    drop((hold, found));
    harness.advance(harness.idle() * 5 / 4).await;
    assert!(opened.get("id").await.is_none(), "it was not used since");
}

pub(crate) async fn a_hold_of_an_earlier_version_counts<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    opened.open("id", brief(harness)).await;
    let first = opened.find("id").await;
    let moved = brief(harness).with_backend("b".parse().unwrap());
    let replaced = opened.replace("id", first.version(), moved).await;
    assert!(matches!(&replaced, Replaced::Replaced(_)));
    drop(replaced);
    let hold = first.hold();
    for _ in 0..8 {
        harness.advance(harness.idle() / 4).await;
    }
    let found = opened.get("id").await.expect("a stream that began before the move is open");
    assert!(found.is_held());
    drop(hold);
}

pub(crate) async fn nothing_outlives_its_lifetime<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    opened.open("id", brief(harness)).await;
    let session = opened.find("id").await;
    let _hold = session.hold();
    for n in 1..=5 {
        harness.advance(harness.idle() / 2).await;
        assert!(opened.get("id").await.is_some(), "{n} sixths of its lifetime have passed");
    }
    harness.advance(harness.idle() * 3 / 4).await;
    opened.store.touch(&session);
    assert!(opened.get("id").await.is_none(), "held and used, and over all the same");
}

pub(crate) async fn a_replacement_does_not_extend_the_lifetime<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    opened.open("id", brief(harness)).await;
    for n in 1..=5 {
        harness.advance(harness.idle() / 2).await;
        let seen = opened.find("id").await;
        let moved = brief(harness).with_backend(format!("b{n}").parse().unwrap());
        let replaced = opened.replace("id", seen.version(), moved).await;
        assert!(matches!(replaced, Replaced::Replaced(_)), "{replaced:?}");
    }
    harness.advance(harness.idle() * 3 / 4).await;
    assert!(opened.get("id").await.is_none(), "the age counts from the insert");
}

pub(crate) async fn an_expired_session_is_gone_for_every_operation<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    let mut seen = Vec::new();
    for id in ["replaced", "removed", "inserted", "touched"] {
        seen.push(opened.open(id, brief(harness)).await);
    }
    harness.advance(harness.idle() * 5 / 4).await;
    let version = seen[0].version();
    let replaced = opened.replace("replaced", version, record()).await;
    assert!(matches!(replaced, Replaced::Gone), "{replaced:?}");
    assert!(!opened.remove_if_unchanged("removed", version).await);
    for id in ["inserted", "removed"] {
        let inserted = opened.insert(id, record()).await;
        assert!(matches!(inserted, Inserted::Inserted(_)), "{id} leaves nothing: {inserted:?}");
    }
    for _ in 0..2 {
        assert!(opened.get("touched").await.is_none(), "a touch revives nothing");
        opened.store.touch(&seen[3]);
    }
}
