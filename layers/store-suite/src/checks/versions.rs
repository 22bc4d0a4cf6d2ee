//! Compare and set.

use bartizan_core::store::{Inserted, RecordVersion, Replaced};

use crate::{
    Harness,
    support::{Opened, on, record},
};

pub(crate) async fn a_replacement_needs_the_version_that_is_there<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    opened.open("id", record().with_field("unknown", b"kept")).await;
    let seen = opened.find("id").await;
    let moved = seen.record().clone().with_backend("b".parse().unwrap());
    let replaced = opened.replace("id", seen.version(), moved.clone()).await;
    assert!(matches!(replaced, Replaced::Replaced(_)), "the version is the one seen");
    let now = opened.find("id").await;
    assert_eq!(now.version(), seen.version().next());
    assert_eq!(now.record(), &moved);
    match opened.replace("id", seen.version(), record()).await {
        Replaced::Changed(session) => assert_eq!(session.version(), now.version()),
        other => panic!("the version has changed: {other:?}"),
    }
    let ahead = opened.replace("id", now.version().next(), record()).await;
    assert!(matches!(ahead, Replaced::Changed(_)), "there is no such version yet");
    assert_eq!(opened.find("id").await.record(), &moved);
}

pub(crate) async fn a_replacement_creates_nothing<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    let never = opened.replace("never", RecordVersion::FIRST, record()).await;
    assert!(matches!(never, Replaced::Gone), "there is nothing to replace");
    assert!(opened.get("never").await.is_none());
    let seen = opened.open("id", record()).await.version();
    opened.remove("id").await;
    let late = opened.replace("id", seen, record()).await;
    assert!(matches!(late, Replaced::Gone), "an ended session stays ended");
    assert!(opened.get("id").await.is_none());
}

pub(crate) async fn only_what_was_seen_is_removed<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    let first = RecordVersion::FIRST;
    assert!(!opened.remove_if_unchanged("id", first).await, "there is nothing");
    let absent = opened.insert("id", record()).await;
    assert!(matches!(absent, Inserted::Inserted(_)), "nothing was left behind");
    let seen = opened.find("id").await;
    opened.replace("id", seen.version(), on("b")).await;
    assert!(!opened.remove_if_unchanged("id", seen.version()).await, "it has moved since");
    let now = opened.find("id").await;
    assert_eq!(now.record(), &on("b"));
    opened.open("other", record()).await;
    let ahead = now.version().next();
    assert!(!opened.remove_if_unchanged("id", ahead).await, "there is no such version yet");
    assert!(opened.remove_if_unchanged("id", now.version()).await, "it is the version seen");
    assert!(opened.get("id").await.is_none());
    assert!(!opened.remove_if_unchanged("id", now.version()).await, "it has ended before");
    let late = opened.insert("id", record()).await;
    assert!(matches!(late, Inserted::Ended), "it leaves a tombstone");
    assert!(opened.get("other").await.is_some());
}
