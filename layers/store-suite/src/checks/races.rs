//! Concurrent operations.

use bartizan_core::{
    Key, Route, SessionStore,
    store::{Inserted, RecordVersion, Replaced},
};
use tokio::task::JoinHandle;

use crate::{
    Caps, Harness,
    support::{Opened, get, insert, on, record},
};

async fn all<T>(tasks: impl Iterator<Item = JoinHandle<T>>) -> Vec<T> {
    // Starts all of them before it waits for the first.
    let mut outcomes = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

pub(crate) async fn of_many_inserts_one_wins<H: Harness>(harness: &H) {
    let store = harness.open(Caps::ROOMY).await;
    let tasks = (0..64).map(|n: u32| {
        let store = store.clone();
        tokio::spawn(async move {
            let route = Route::default();
            insert(&store, Key::new(&route, None, b"id"), on(&format!("b{n}"))).await
        })
    });
    let (mut winners, mut others) = (Vec::new(), Vec::new());
    for outcome in all(tasks).await {
        match outcome {
            Inserted::Inserted(session) => winners.push(session),
            Inserted::Exists(session) => others.push(session),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((winners.len(), others.len()), (1, 63), "one of them wins");
    let is_the_same = others.iter().all(|session| session.record() == winners[0].record());
    assert!(is_the_same, "the others get the record of the one that won");
}

pub(crate) async fn of_many_replacements_one_wins<H: Harness>(harness: &H) {
    let store = harness.open(Caps::ROOMY).await;
    let route = Route::default();
    insert(&store, Key::new(&route, None, b"id"), record()).await;
    let tasks = (0..64).map(|n: u32| {
        let store = store.clone();
        tokio::spawn(async move {
            let route = Route::default();
            let (key, moved) = (Key::new(&route, None, b"id"), on(&format!("b{n}")));
            store.replace(key, RecordVersion::FIRST, moved).wait().await.unwrap()
        })
    });
    let outcomes = all(tasks).await;
    let won = outcomes.iter().filter(|it| matches!(it, Replaced::Replaced(_))).count();
    assert_eq!(won, 1, "one of them wins");
}

pub(crate) async fn of_a_replacement_and_a_removal_one_wins<H: Harness>(harness: &H) {
    let store = harness.open(Caps::ROOMY).await;
    for round in 0..20_u32 {
        let id = format!("m{round}");
        let route = Route::default();
        insert(&store, Key::new(&route, None, id.as_bytes()), record()).await;
        let tasks = (0..16).map(|n: u32| {
            let (store, id) = (store.clone(), id.clone());
            tokio::spawn(async move {
                let route = Route::default();
                let key = Key::new(&route, None, id.as_bytes());
                let first = RecordVersion::FIRST;
                if (n + round).is_multiple_of(2) {
                    let removed = store.remove_if_unchanged(key, first);
                    return (removed.wait().await.unwrap(), false);
                }
                let moved = store.replace(key, first, on("b")).wait().await.unwrap();
                (false, matches!(moved, Replaced::Replaced(_)))
            })
        });
        let outcomes = all(tasks).await;
        let removed = outcomes.iter().filter(|(is_removed, _)| *is_removed).count();
        let moved = outcomes.iter().filter(|(_, is_moved)| *is_moved).count();
        assert_eq!(removed + moved, 1, "{removed} removals and {moved} replacements have won");
        let there = get(&store, Key::new(&route, None, id.as_bytes())).await;
        assert_eq!(there.is_some(), moved == 1, "what has won has taken effect");
    }
}

pub(crate) async fn nothing_outlives_its_removal<H: Harness>(harness: &H) {
    let store = harness.open(Caps::ROOMY).await;
    for round in 0..20_u32 {
        let id = format!("r{round}");
        let tasks = (0..16).map(|n: u32| {
            let (store, id) = (store.clone(), id.clone());
            tokio::spawn(async move {
                let route = Route::default();
                let key = Key::new(&route, None, id.as_bytes());
                // In each round, a different one of the four comes last.
                match (n + round) % 4 {
                    0 => drop(insert(&store, key, record()).await),
                    1 => drop(get(&store, key).await),
                    2 => {
                        let outcome = store.replace(key, RecordVersion::FIRST, record());
                        drop(outcome.wait().await.unwrap());
                    }
                    _ => store.remove(key).wait().await.unwrap(),
                }
            })
        });
        all(tasks).await;
        let route = Route::default();
        let key = Key::new(&route, None, id.as_bytes());
        assert!(get(&store, key).await.is_none(), "it was removed");
    }
}

pub(crate) async fn the_cap_holds_in_a_race<H: Harness>(harness: &H) {
    let opened = Opened::with(harness, Caps::of(8)).await;
    let tasks = (0..64).map(|n: u32| {
        let store = opened.store.clone();
        tokio::spawn(async move {
            let (route, id) = (Route::default(), format!("{n}"));
            insert(&store, Key::new(&route, None, id.as_bytes()), record()).await
        })
    });
    let outcomes = all(tasks).await;
    let inserted = outcomes.iter().filter(|it| matches!(it, Inserted::Inserted(_))).count();
    let full = outcomes.iter().filter(|it| matches!(it, Inserted::Full)).count();
    assert_eq!((inserted, full), (8, 56), "as many as there is room for");
}
