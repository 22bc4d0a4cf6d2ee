//! What any session store must do, as tests that each store's crate runs.

/// Makes a test of each thing that a store must do. `$store` is an expression that makes a new, empty
/// store with room for at least a hundred sessions, and whatever must live as long as it; the crate that calls this depends on
/// `bartizan-core` and `tokio`.
#[macro_export]
macro_rules! store_suite {
    ($store:expr) => {
        mod store_suite {
            use std::time::Duration;

            use bartizan_core::{
                Key, Principal, Record, Route, Session, SessionStore,
                store::{Inserted, RecordVersion, Replaced},
            };

            use super::*;

            fn record() -> Record {
                Record::new(Record::IDLE, Record::LIFETIME)
            }

            async fn insert<T: SessionStore>(store: &T, key: Key<'_>, record: Record) -> Inserted {
                store.insert_if_absent(key, record).wait().await.unwrap()
            }

            async fn get<T: SessionStore>(store: &T, key: Key<'_>) -> Option<Session> {
                store.get(key).wait().await.unwrap()
            }

            #[tokio::test]
            async fn what_was_inserted_is_found_with_all_that_it_holds() {
                let ((store, _host), route) = ($store, Route::default());
                let key = Key::new(&route, None, b"id");
                assert!(get(&store, key).await.is_none());
                let record = Record::new(Duration::from_secs(60), Duration::from_secs(600))
                    .with_backend("http://b:1".parse().unwrap())
                    .with_upstream_id("other".parse().unwrap())
                    .with_field("unknown", b"kept");
                assert!(matches!(insert(&store, key, record.clone()).await, Inserted::Inserted(_)));
                let session = get(&store, key).await.unwrap();
                assert_eq!(session.record(), &record);
                assert_eq!(session.version(), RecordVersion::FIRST);
                assert_eq!((session.id(), session.key()), (&b"id"[..], key));
            }

            /// Whether or not the store ever evicts it.
            #[tokio::test]
            async fn what_is_to_be_confirmed_is_found_like_any_other() {
                let ((store, _host), route) = ($store, Route::default());
                let key = Key::new(&route, None, b"id");
                let inserted = store.insert_unconfirmed(key, record()).wait().await.unwrap();
                assert!(matches!(inserted, Inserted::Inserted(_)));
                let again = store.insert_unconfirmed(key, record()).wait().await.unwrap();
                assert!(matches!(again, Inserted::Exists(_)));
                for _ in 0..2 {
                    assert!(get(&store, key).await.is_some());
                }
                assert!(store.take_evicted(&route).is_none());
                store.remove(key).wait().await.unwrap();
                let late = store.insert_unconfirmed(key, record()).wait().await.unwrap();
                assert!(matches!(late, Inserted::Ended));
            }

            #[tokio::test]
            async fn the_first_insert_stays() {
                let ((store, _host), route) = ($store, Route::default());
                let key = Key::new(&route, None, b"id");
                let first = record().with_backend("a".parse().unwrap());
                insert(&store, key, first.clone()).await;
                match insert(&store, key, record().with_backend("b".parse().unwrap())).await {
                    Inserted::Exists(session) => assert_eq!(session.record(), &first),
                    other => panic!("{other:?}"),
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn of_many_that_insert_one_wins() {
                let (store, _host) = $store;
                let tasks = (0..64).map(|n: u32| {
                    let store = store.clone();
                    tokio::spawn(async move {
                        let route = Route::default();
                        let backend = format!("b{n}").parse().unwrap();
                        let key = Key::new(&route, None, b"id");
                        insert(&store, key, record().with_backend(backend)).await
                    })
                });
                let (mut winners, mut told) = (Vec::new(), Vec::new());
                for task in tasks.collect::<Vec<_>>() {
                    match task.await.unwrap() {
                        Inserted::Inserted(session) => winners.push(session),
                        Inserted::Exists(session) => told.push(session),
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!((winners.len(), told.len()), (1, 63));
                assert!(told.iter().all(|session| session.record() == winners[0].record()));
            }

            #[tokio::test]
            async fn all_of_the_key_counts() {
                let (store, _host) = $store;
                let (here, there) = (Route::new("here"), Route::new("there"));
                let (alice, bob) = (Principal::new("i", "alice"), Principal::new("i", "bob"));
                insert(&store, Key::new(&here, Some(&alice), b"id"), record()).await;
                for other in [
                    Key::new(&here, Some(&bob), b"id"),
                    Key::new(&here, None, b"id"),
                    Key::new(&there, Some(&alice), b"id"),
                    Key::new(&here, Some(&alice), b"ID"),
                    Key::new(&here, Some(&alice), b"id2"),
                ] {
                    assert!(get(&store, other).await.is_none(), "{other:?}");
                    store.remove(other).wait().await.unwrap();
                }
                assert!(get(&store, Key::new(&here, Some(&alice), b"id")).await.is_some());
                insert(&store, Key::new(&here, None, b"anonymous"), record()).await;
                let shown = Key::new(&here, Some(&alice), b"anonymous");
                assert!(get(&store, shown).await.is_none());
            }

            #[tokio::test]
            async fn a_replacement_needs_the_version_that_is_there() {
                let ((store, _host), route) = ($store, Route::default());
                let key = Key::new(&route, None, b"id");
                let first = record().with_field("unknown", b"kept");
                insert(&store, key, first).await;
                let seen = get(&store, key).await.unwrap();
                let moved = seen.record().clone().with_backend("b".parse().unwrap());
                let replaced = store.replace(key, seen.version(), moved).wait().await.unwrap();
                assert!(matches!(replaced, Replaced::Replaced(_)));
                let now = get(&store, key).await.unwrap();
                assert_eq!(now.version(), seen.version().next());
                assert_eq!(now.record().field("unknown"), Some(&b"kept"[..]));
                match store.replace(key, seen.version(), record()).wait().await.unwrap() {
                    Replaced::Changed(session) => assert_eq!(session.version(), now.version()),
                    other => panic!("{other:?}"),
                }
                store.remove(key).wait().await.unwrap();
                let late = store.replace(key, now.version(), record()).wait().await.unwrap();
                assert!(matches!(late, Replaced::Gone), "an ended session stays ended");
                assert!(get(&store, key).await.is_none());
                let never = Key::new(&route, None, b"never");
                let first = RecordVersion::FIRST;
                let outcome = store.replace(never, first, record()).wait().await.unwrap();
                assert!(matches!(outcome, Replaced::Gone), "a replacement does not create");
                assert!(get(&store, never).await.is_none());
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn of_many_that_replace_one_wins() {
                let (store, _host) = $store;
                let route = Route::default();
                insert(&store, Key::new(&route, None, b"id"), record()).await;
                let tasks = (0..64).map(|_| {
                    let store = store.clone();
                    tokio::spawn(async move {
                        let route = Route::default();
                        let key = Key::new(&route, None, b"id");
                        store.replace(key, RecordVersion::FIRST, record()).wait().await.unwrap()
                    })
                });
                let mut won = 0;
                for task in tasks.collect::<Vec<_>>() {
                    won += usize::from(matches!(task.await.unwrap(), Replaced::Replaced(_)));
                }
                assert_eq!(won, 1);
            }

            #[tokio::test]
            async fn the_end_beats_a_late_insert_and_a_touch() {
                let ((store, _host), route) = ($store, Route::default());
                let key = Key::new(&route, None, b"id");
                insert(&store, key, record()).await;
                let session = get(&store, key).await.unwrap();
                store.remove(key).wait().await.unwrap();
                assert!(get(&store, key).await.is_none());
                assert!(matches!(insert(&store, key, record()).await, Inserted::Ended));
                store.touch(&session);
                assert!(get(&store, key).await.is_none());
                // Ended before it began, it does not begin.
                let early = Key::new(&route, None, b"early");
                store.remove(early).wait().await.unwrap();
                assert!(matches!(insert(&store, early, record()).await, Inserted::Ended));
                let other = Key::new(&route, None, b"other");
                assert!(matches!(insert(&store, other, record()).await, Inserted::Inserted(_)));
                assert!(store.has_room(&route, None));
            }

            #[tokio::test]
            async fn only_what_was_seen_is_removed() {
                let ((store, _host), route) = ($store, Route::default());
                let key = Key::new(&route, None, b"id");
                let first = RecordVersion::FIRST;
                let remove =
                    async |key, seen| store.remove_if_unchanged(key, seen).wait().await.unwrap();
                assert!(!remove(key, first).await, "there is nothing");
                assert!(matches!(insert(&store, key, record()).await, Inserted::Inserted(_)));
                let seen = get(&store, key).await.unwrap();
                let moved = record().with_backend("b".parse().unwrap());
                store.replace(key, seen.version(), moved).wait().await.unwrap();
                assert!(!remove(key, seen.version()).await, "it has moved since");
                let now = get(&store, key).await.unwrap();
                assert_eq!(now.record().backend().unwrap().as_str(), "b");
                let other = Key::new(&route, None, b"other");
                insert(&store, other, record()).await;
                assert!(!remove(key, now.version().next()).await, "nobody has seen that");
                assert!(remove(key, now.version()).await);
                assert!(get(&store, key).await.is_none() && now.is_ended());
                assert!(!remove(key, now.version()).await, "it has ended before");
                assert!(matches!(insert(&store, key, record()).await, Inserted::Ended));
                assert!(get(&store, other).await.is_some());
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn of_a_move_and_a_removal_of_one_version_one_wins() {
                let (store, _host) = $store;
                for round in 0..20_u8 {
                    let id = [b'm', b'a' + round];
                    let route = Route::default();
                    insert(&store, Key::new(&route, None, &id), record()).await;
                    let tasks = (0..16).map(|n: u32| {
                        let store = store.clone();
                        tokio::spawn(async move {
                            let route = Route::default();
                            let key = Key::new(&route, None, &id);
                            let first = RecordVersion::FIRST;
                            if n % 2 == 0 {
                                let removed = store.remove_if_unchanged(key, first);
                                return (removed.wait().await.unwrap(), false);
                            }
                            let moved = store.replace(key, first, record()).wait().await.unwrap();
                            (false, matches!(moved, Replaced::Replaced(_)))
                        })
                    });
                    let (mut removed, mut moved) = (0, 0);
                    for task in tasks.collect::<Vec<_>>() {
                        let (is_removed, is_moved) = task.await.unwrap();
                        removed += usize::from(is_removed);
                        moved += usize::from(is_moved);
                    }
                    assert_eq!(removed + moved, 1);
                    let there = get(&store, Key::new(&route, None, &id)).await;
                    assert_eq!(there.is_some(), moved == 1);
                }
            }

            #[tokio::test]
            async fn an_end_is_of_one_key_alone() {
                let (store, _host) = $store;
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
                    assert!(matches!(outcome, Inserted::Inserted(_)), "{other:?}");
                }
                let same = Key::new(&here, Some(&alice), b"id");
                assert!(matches!(insert(&store, same, record()).await, Inserted::Ended));
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn whatever_races_with_the_end_comes_to_nothing() {
                let (store, _host) = $store;
                let route = Route::default();
                for round in 0..20_u8 {
                    let id = [b'r', b'a' + round];
                    let tasks = (0..16).map(|n: u32| {
                        let store = store.clone();
                        tokio::spawn(async move {
                            let route = Route::default();
                            let key = Key::new(&route, None, &id);
                            match n % 4 {
                                0 => drop(insert(&store, key, record()).await),
                                1 => drop(get(&store, key).await),
                                2 => {
                                    let seen = RecordVersion::FIRST;
                                    let outcome = store.replace(key, seen, record());
                                    drop(outcome.wait().await.unwrap());
                                }
                                _ => store.remove(key).wait().await.unwrap(),
                            }
                        })
                    });
                    for task in tasks.collect::<Vec<_>>() {
                        task.await.unwrap();
                    }
                    let key = Key::new(&route, None, &id);
                    assert!(get(&store, key).await.is_none(), "it was removed");
                }
            }
        }
    };
}
