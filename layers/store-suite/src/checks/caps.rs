//! Limits: when a full store refuses sessions, and what makes room.

use bartizan_core::{
    Key, Principal, Session, SessionStore,
    session::{ClientNetwork, Hold},
    store::{Applicant, Inserted, Replaced},
};

use crate::{
    Caps, Harness,
    support::{Opened, brief, eventually, insert, on, record},
};

pub(crate) async fn a_full_store_refuses_new_sessions_and_keeps_the_others<H: Harness>(
    harness: &H,
) {
    let opened = Opened::with(harness, Caps::of(3)).await;
    assert!(opened.has_room(None), "it is empty");
    for id in ["1", "2", "3"] {
        opened.open(id, record()).await;
    }
    assert!(matches!(opened.insert("4", record()).await, Inserted::Full));
    assert!(opened.get("4").await.is_none());
    eventually("a full store says so", async || !opened.has_room(None)).await;
    let alice = Principal::new("i", "alice");
    let other = Key::new(&opened.route, Some(&alice), b"1");
    assert!(matches!(insert(&opened.store, other, record()).await, Inserted::Full));
    for id in ["1", "2", "3"] {
        let seen = opened.find(id).await;
        assert!(matches!(opened.insert(id, record()).await, Inserted::Exists(_)));
        let replaced = opened.replace(id, seen.version(), on("b")).await;
        assert!(matches!(replaced, Replaced::Replaced(_)), "what is there may move");
    }
}

pub(crate) async fn what_ends_makes_room<H: Harness>(harness: &H) {
    let opened = Opened::with(harness, Caps::of(2)).await;
    for id in ["1", "2"] {
        opened.open(id, record()).await;
    }
    assert!(matches!(opened.insert("3", record()).await, Inserted::Full));
    opened.remove("1").await;
    eventually("a removal makes room", async || opened.has_room(None)).await;
    eventually("a removal makes room", async || opened.is_inserted("3").await).await;
    assert!(matches!(opened.insert("4", record()).await, Inserted::Full), "for one");
    let seen = opened.find("2").await.version();
    assert!(opened.remove_if_unchanged("2", seen).await);
    eventually("so does this one", async || opened.is_inserted("4").await).await;
    opened.find("3").await;
}

pub(crate) async fn what_expires_makes_room<H: Harness>(harness: &H) {
    let opened = Opened::with(harness, Caps::of(2)).await;
    for id in ["1", "2"] {
        opened.open(id, brief(harness)).await;
    }
    assert!(matches!(opened.insert("3", record()).await, Inserted::Full));
    harness.advance(harness.idle() * 5 / 4).await;
    eventually("what expires makes room", async || opened.has_room(None)).await;
    for id in ["3", "4"] {
        eventually("what expires makes room", async || opened.is_inserted(id).await).await;
    }
    assert!(matches!(opened.insert("5", record()).await, Inserted::Full), "and no more");
}

pub(crate) async fn one_principal_cannot_take_all_the_room<H: Harness>(harness: &H) {
    let is_capped = harness.features().caps_principals;
    let opened = Opened::with(harness, Caps { per_principal: 2, ..Caps::ROOMY }).await;
    let (alice, bob) = (Principal::new("i", "alice"), Principal::new("i", "bob"));
    let open = async |who: Option<&Principal>, id: &[u8]| {
        insert(&opened.store, Key::new(&opened.route, who, id), record()).await
    };
    for id in [b"1", b"2"] {
        assert!(matches!(open(Some(&alice), id).await, Inserted::Inserted(_)));
    }
    let third = open(Some(&alice), b"3").await;
    if !is_capped {
        return assert!(matches!(third, Inserted::Inserted(_)), "there is no such limit");
    }
    assert!(matches!(third, Inserted::Full), "{third:?}");
    eventually("the principal has no room", async || !opened.has_room(Some(&alice))).await;
    assert!(opened.has_room(Some(&bob)) && opened.has_room(None), "others have");
    for id in [b"1", b"2"] {
        assert!(matches!(open(Some(&bob), id).await, Inserted::Inserted(_)));
    }
    for n in 0..5_u8 {
        let anonymous = open(None, &[b'a' + n]).await;
        assert!(matches!(anonymous, Inserted::Inserted(_)), "sessions without a principal");
    }
    let key = Key::new(&opened.route, Some(&alice), b"1");
    opened.store.remove(key).wait().await.unwrap();
    let is_open = async || matches!(open(Some(&alice), b"4").await, Inserted::Inserted(_));
    eventually("a removal makes room", is_open).await;
}

pub(crate) async fn one_client_cannot_take_all_the_room<H: Harness>(harness: &H) {
    let is_capped = harness.features().caps_clients;
    let unlimited = Opened::by(harness).await;
    assert!(!unlimited.store.counts_clients(), "no limit is set");
    let opened = Opened::with(harness, Caps { per_client: 2, ..Caps::ROOMY }).await;
    assert_eq!(opened.store.counts_clients(), is_capped);
    let of = |ip: &str| record().with_client(ClientNetwork::of(ip.parse().unwrap()));
    for id in ["1", "2"] {
        opened.open(id, of("192.0.2.1")).await;
    }
    let third = opened.insert("3", of("192.0.2.1")).await;
    if !is_capped {
        return assert!(matches!(third, Inserted::Inserted(_)), "there is no such limit");
    }
    assert!(matches!(third, Inserted::Full), "{third:?}");
    opened.open("4", of("192.0.2.2")).await;
    opened.open("5", record()).await;
    opened.remove("1").await;
    let is_open = async || {
        let outcome = opened.insert("6", of("192.0.2.1")).await;
        matches!(outcome, Inserted::Inserted(_))
    };
    eventually("a removal makes room", is_open).await;
}

pub(crate) async fn unconfirmed_sessions_make_room<H: Harness>(harness: &H) {
    let opened = Opened::with(harness, Caps::of(4)).await;
    // Time for a store that records confirmations in the background, and to give the sessions
    // different ages.
    let a_moment = async || harness.advance(harness.idle() / 20).await;
    let mut opening: Vec<(Session, Hold)> = Vec::new();
    for id in ["confirmed", "1", "2", "3"] {
        match opened.insert_unconfirmed(id).await {
            Inserted::Inserted(session) => opening.push((session.clone(), session.hold())),
            other => panic!("there is room for {id}: {other:?}"),
        }
        a_moment().await;
        if id == "confirmed" {
            opened.find(id).await;
            a_moment().await;
        }
    }
    let another = opened.insert_unconfirmed("4").await;
    if !harness.features().evicts_unconfirmed {
        assert!(matches!(another, Inserted::Full), "it evicts nothing: {another:?}");
        return assert!(opened.store.take_evicted(&opened.route).is_none());
    }
    let Inserted::Inserted(newest) = another else {
        panic!("an unconfirmed session makes room: {another:?}");
    };
    let _hold = newest.hold();
    assert!(opened.store.take_evicted(&"another".into()).is_none(), "it is of this route");
    let evicted = opened.store.take_evicted(&opened.route).expect("the one that was evicted");
    assert_eq!(evicted.id(), b"1", "the oldest that nothing has confirmed");
    assert!(opened.store.take_evicted(&opened.route).is_none(), "it is taken once");
    assert!(opened.get("1").await.is_none());
    assert!(opening[1].0.is_ended() && !opening[2].0.is_ended());
    assert!(opened.is_inserted("5").await, "any insert may evict");
    let evicted = opened.store.take_evicted(&opened.route).map(|session| session.id().to_vec());
    assert_eq!(evicted.as_deref(), Some(&b"2"[..]));
    for id in ["confirmed", "3", "4", "5"] {
        opened.find(id).await;
    }
    a_moment().await;
    let full = opened.insert_unconfirmed("6").await;
    assert!(matches!(full, Inserted::Full), "all are confirmed: {full:?}");
    assert!(opened.store.take_evicted(&opened.route).is_none());
}

pub(crate) async fn openings_in_flight_take_places<H: Harness>(harness: &H) {
    let opened = Opened::with(harness, Caps::of(3)).await;
    opened.open("1", record()).await;
    let reserve = || opened.store.reserve(Applicant::new(&opened.route, None, None));
    let (one, two) = (reserve(), reserve());
    assert!(one.is_some() && two.is_some(), "there is room for two more");
    if harness.features().counts_openings {
        assert!(reserve().is_none(), "two openings are in flight");
        drop(one);
        assert!(reserve().is_some(), "one has come to nothing");
    } else {
        drop(one);
    }
    drop(two);
    for id in ["2", "3"] {
        opened.open(id, record()).await;
    }
    eventually("a full store has no place", async || reserve().is_none()).await;
}
