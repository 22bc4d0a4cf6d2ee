//! Whatever happens to the set, pinned work goes to its backend or nowhere, and nothing is sent twice.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test support")]

mod common;

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use bartizan_core::{Backend, GuardBody, Reason, Work, failure::FailureKind};
use bartizan_pin::{PinBackendLayer, ReclaimableBody};
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::Full;
use proptest::{collection::vec, prelude::*};
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt, service_fn};

use common::*;

const ALL: [&str; 3] = [A, B, C];

#[derive(Clone, Copy, Debug)]
enum Event {
    Session(usize),
    New,
    Fail(usize, FailureKind),
    Mend(usize),
    Drain(usize),
    Ready(usize),
    Add(usize),
    Remove(usize),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let one = 0..ALL.len();
    let kind = prop_oneof![
        Just(FailureKind::Refused),
        Just(FailureKind::RefusedStream),
        Just(FailureKind::Terminated)
    ];
    prop_oneof![
        4 => one.clone().prop_map(Event::Session),
        4 => Just(Event::New),
        2 => (one.clone(), kind).prop_map(|(one, kind)| Event::Fail(one, kind)),
        1 => one.clone().prop_map(Event::Mend),
        1 => one.clone().prop_map(Event::Drain),
        1 => one.clone().prop_map(Event::Ready),
        1 => one.clone().prop_map(Event::Add),
        1 => one.prop_map(Event::Remove),
        2 => (1u64..4000).prop_map(Event::Pass),
    ]
}

/// A model of what the layer should know: which backends there are, whether they drain, and how
/// they fail.
#[derive(Default)]
struct Model {
    drains: BTreeMap<usize, bool>,
    fails: BTreeMap<usize, FailureKind>,
}

impl Model {
    fn takes_new_work(&self) -> impl Iterator<Item = usize> {
        self.drains.iter().filter(|(_, drains)| !**drains).map(|(one, _)| *one)
    }
}

async fn play(events: Vec<Event>) -> Result<(), TestCaseError> {
    let (world, set) = (World::default(), backends(ALL));
    let service = PinBackendLayer::new(set.clone()).layer(world.clone());
    let mut model = Model { drains: (0..3).map(|one| (one, false)).collect(), ..Model::default() };
    for event in events {
        world.calls.lock().unwrap().clear();
        match event {
            Event::Session(one) => {
                let response = send(&service, of_session(ALL[one])).await;
                let calls = world.calls.lock().unwrap().clone();
                if !model.drains.contains_key(&one) {
                    prop_assert_eq!(Reason::of(&response), Some(Reason::BackendLost));
                    prop_assert!(calls.is_empty());
                    continue;
                }
                prop_assert_eq!(world.backends_called(), [ALL[one]]);
                prop_assert_eq!(calls[0].work, Work::Pinned);
                let fails = model.fails.contains_key(&one);
                prop_assert_eq!(response.status() == 200, !fails);
            }
            Event::New => {
                let response = send(&service, request("new")).await;
                let called = world.backends_called();
                let eligible: Vec<_> = model.takes_new_work().map(|one| ALL[one]).collect();
                let mut once = called.clone();
                once.sort();
                once.dedup();
                prop_assert_eq!(once.len(), called.len(), "each once: {:?}", called);
                prop_assert!(called.iter().all(|one| eligible.contains(&&**one)));
                let touches = model.fails.values().any(|kind| *kind == FailureKind::Terminated);
                let well = model.takes_new_work().any(|one| !model.fails.contains_key(&one));
                if eligible.is_empty() {
                    prop_assert_eq!(Reason::of(&response), Some(Reason::NoBackend));
                } else if !touches {
                    // A backend that can take the request gets it; a request that failed was tried
                    // at every backend.
                    prop_assert_eq!(response.status() == 200, well);
                    prop_assert!(well || called.len() == eligible.len());
                }
                if response.status() == 200 {
                    let chosen = response.extensions().get::<Backend>().unwrap();
                    prop_assert_eq!(chosen.id().as_str(), called.last().unwrap());
                    prop_assert_eq!(&world.last().body, "new");
                }
            }
            Event::Fail(one, kind) => {
                let reads = match kind {
                    FailureKind::Terminated => Reads::Body,
                    _ => Reads::Nothing,
                };
                world.fail(ALL[one], kind, reads);
                model.fails.insert(one, kind);
            }
            Event::Mend(one) => {
                world.mend(ALL[one]);
                model.fails.remove(&one);
            }
            Event::Drain(one) => {
                prop_assert_eq!(set.drain(&id(ALL[one])), model.drains.contains_key(&one));
                model.drains.entry(one).and_modify(|drains| *drains = true);
            }
            Event::Ready(one) => {
                prop_assert_eq!(set.ready(&id(ALL[one])), model.drains.contains_key(&one));
                model.drains.entry(one).and_modify(|drains| *drains = false);
            }
            Event::Add(one) => {
                set.add(ALL[one].parse().unwrap());
                model.drains.insert(one, false);
            }
            Event::Remove(one) => {
                prop_assert_eq!(set.remove(&id(ALL[one])), model.drains.remove(&one).is_some());
            }
            Event::Pass(ms) => tokio::time::advance(Duration::from_millis(ms)).await,
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn pinned_work_goes_to_its_backend_or_nowhere(events in vec(event(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(events))?;
    }
}

/// A backend that leaves the set in the meantime still answers work in flight.
#[tokio::test]
async fn work_in_flight_is_answered_when_its_backend_leaves() {
    let gate = Arc::new(Semaphore::new(0));
    let set = backends([A]);
    let held = Arc::clone(&gate);
    let service = PinBackendLayer::new(set.clone()).layer(service_fn(
        move |request: Request<ReclaimableBody<Body>>| {
            let gate = Arc::clone(&held);
            async move {
                let _turn = gate.acquire().await.unwrap();
                assert_eq!(Backend::of(&request).unwrap().id(), &id(A));
                let body: Body = Full::from("ok");
                Ok::<_, Infallible>(Response::new(GuardBody::forwarded(body)))
            }
        },
    ));
    let calls = (0..20).map(|n| {
        let request = if n % 2 == 0 { of_session(A) } else { request("new") };
        tokio::spawn(service.clone().oneshot(request))
    });
    let calls: Vec<_> = calls.collect();
    while set.snapshot()[0].opening() < 10 {
        tokio::task::yield_now().await;
    }
    assert!(set.remove(&id(A)));
    assert_eq!(send(&service, request("late")).await.status(), 503);
    assert_eq!(send(&service, of_session(A)).await.status(), 404);
    gate.add_permits(20);
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap().unwrap().status(), 200);
    }
}
