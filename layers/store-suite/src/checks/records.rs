//! Records and keys.

use std::{sync::Arc, time::Duration};

use bartizan_core::{
    Key, Principal, Record, Route, SessionStore,
    session::ClientNetwork,
    store::{Inserted, RecordVersion, Replaced},
};

use crate::{
    Harness,
    support::{Opened, get, insert, on, record},
};

pub(crate) async fn what_was_inserted_is_found_with_all_that_it_holds<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    assert!(opened.get("id").await.is_none(), "an empty store has no session");
    let full = Record::new(Duration::from_secs(60), Duration::from_secs(600))
        .with_backend("http://b:1".parse().unwrap())
        .with_upstream_id("other".parse().unwrap())
        .with_path(Arc::new("/mcp".to_owned()))
        .with_client(ClientNetwork::of("192.0.2.7".parse().unwrap()))
        .with_field(Record::OWNER, b"owner")
        .with_field("unknown", b"kept\0\xff")
        .with_field("empty", b"")
        .with_field("large", &[b'x'; 4_096]);
    opened.open("id", full.clone()).await;
    let session = opened.find("id").await;
    assert_eq!(session.record(), &full);
    assert_eq!(session.version(), RecordVersion::FIRST, "an insert makes the first version");
    assert_eq!((session.id(), session.key()), (&b"id"[..], opened.key("id")));
    opened.open("plain", record()).await;
    assert_eq!(opened.find("plain").await.record(), &record());
}

pub(crate) async fn what_is_unconfirmed_is_found_like_any_other<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    assert!(matches!(opened.insert_unconfirmed("id").await, Inserted::Inserted(_)));
    assert!(matches!(opened.insert_unconfirmed("id").await, Inserted::Exists(_)));
    for _ in 0..2 {
        opened.find("id").await;
    }
    let evicted = opened.store.take_evicted(&opened.route);
    assert!(evicted.is_none(), "a store with room evicts nothing");
    opened.remove("id").await;
    assert!(matches!(opened.insert_unconfirmed("id").await, Inserted::Ended));
}

pub(crate) async fn the_first_insert_stays<H: Harness>(harness: &H) {
    let opened = Opened::by(harness).await;
    opened.open("id", on("a")).await;
    match opened.insert("id", on("b")).await {
        Inserted::Exists(session) => assert_eq!(session.record(), &on("a")),
        other => panic!("the key has a live record: {other:?}"),
    }
    assert_eq!(opened.find("id").await.record(), &on("a"));
}

pub(crate) async fn all_of_the_key_counts<H: Harness>(harness: &H) {
    let store = Opened::by(harness).await.store;
    let (here, there) = (Route::new("here"), Route::new("there"));
    let (alice, bob) = (Principal::new("i", "alice"), Principal::new("i", "bob"));
    let own = Key::new(&here, Some(&alice), b"id");
    insert(&store, own, record()).await;
    for other in [
        Key::new(&here, Some(&bob), b"id"),
        Key::new(&here, None, b"id"),
        Key::new(&there, Some(&alice), b"id"),
        Key::new(&here, Some(&alice), b"ID"),
        Key::new(&here, Some(&alice), b"id2"),
    ] {
        assert!(get(&store, other).await.is_none(), "{other:?} is not {own:?}");
        store.remove(other).wait().await.unwrap();
    }
    assert!(get(&store, own).await.is_some(), "nothing has removed it");
    insert(&store, Key::new(&here, None, b"anonymous"), record()).await;
    let with_token = Key::new(&here, Some(&alice), b"anonymous");
    assert!(get(&store, with_token).await.is_none(), "the session is anonymous");
}

pub(crate) async fn parts_of_later_releases_survive_a_replacement<H: Harness>(harness: &H) {
    const LATER: &[u8] = &[200, 0, 0, 0, 2, b'x', b'y', 201, 0, 0, 0, 0];
    let opened = Opened::by(harness).await;
    let later = record().with_parts(LATER).unwrap();
    opened.open("id", later).await;
    let seen = opened.find("id").await;
    assert_eq!(seen.record().to_parts(), LATER);
    let moved = seen.record().clone().with_backend("b".parse().unwrap());
    let replaced = opened.replace("id", seen.version(), moved).await;
    assert!(matches!(replaced, Replaced::Replaced(_)));
    let parts = opened.find("id").await.record().to_parts();
    assert!(parts.ends_with(LATER), "{parts:?}");
}
