//! The store of the model follows the same rules as the one in memory.
#![allow(clippy::panic, clippy::unwrap_used, reason = "test")]

use std::time::Duration;

use bartizan_core::{
    Key, Record as Stored, Route, SessionStore,
    store::{Inserted, Replaced},
};
use bartizan_memory::MemoryStore;
use bartizan_model::store::{self, Insert, Record, Replace};
use proptest::prelude::*;

const IDLE: Duration = Duration::from_secs(100);

#[derive(Clone, Debug)]
enum Op {
    Insert(u8),
    Get,
    /// By the version that is there, or one that is not.
    Replace(bool, u8),
    Remove,
    RemoveIfUnchanged(bool),
    Idle,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..2_u8).prop_map(Op::Insert),
        2 => Just(Op::Get),
        3 => (any::<bool>(), 0..2_u8).prop_map(|(is_current, backend)| Op::Replace(is_current, backend)),
        1 => Just(Op::Remove),
        1 => any::<bool>().prop_map(Op::RemoveIfUnchanged),
        1 => Just(Op::Idle),
    ]
}

fn stored(backend: u8) -> Stored {
    Stored::new(IDLE, 100 * IDLE).with_backend(format!("b{backend}").parse().unwrap())
}

fn record(backend: u8) -> Record {
    Record { backend, ..Record::default() }
}

fn read(session: &bartizan_core::Session) -> (String, u32) {
    (session.record().backend().unwrap().to_string(), session.version().get())
}

fn expected(record: Record) -> (String, u32) {
    (format!("b{}", record.backend), record.version.into())
}

async fn agree(ops: Vec<Op>) {
    let (real, mut model) = (MemoryStore::new(), store::Stored::default());
    let route = Route::default();
    let key = Key::new(&route, None, b"a");
    for op in ops {
        match op {
            Op::Insert(backend) => {
                let found = real.insert_if_absent(key, stored(backend)).wait().await.unwrap();
                match (model.insert(record(backend)), found) {
                    (Insert::Inserted, Inserted::Inserted(session))
                    | (Insert::Exists, Inserted::Exists(session)) => {
                        assert_eq!(read(&session), expected(model.get().unwrap()));
                    }
                    (Insert::Ended, Inserted::Ended) => {}
                    (model, found) => panic!("{model:?}, {found:?}"),
                }
            }
            Op::Get => {
                let found = real.get(key).wait().await.unwrap();
                assert_eq!(found.as_ref().map(read), model.get().map(expected));
            }
            Op::Replace(is_current, backend) => {
                let version = model.get().map_or(1, |record| record.version);
                let seen = if is_current { version } else { version + 1 };
                let found = real.replace(key, u32::from(seen).into(), stored(backend)).wait().await;
                match (model.replace(seen, record(backend)), found.unwrap()) {
                    (Replace::Replaced(record), Replaced::Replaced(session))
                    | (Replace::Changed(record), Replaced::Changed(session)) => {
                        assert_eq!(read(&session), expected(record));
                    }
                    (Replace::Gone, Replaced::Gone) => {}
                    (model, found) => panic!("{model:?}, {found:?}"),
                }
            }
            Op::Remove => {
                real.remove(key).wait().await.unwrap();
                model.remove();
            }
            Op::RemoveIfUnchanged(is_current) => {
                let version = model.get().map_or(1, |record| record.version);
                let seen = if is_current { version } else { version + 1 };
                let found = real.remove_if_unchanged(key, u32::from(seen).into()).wait().await;
                assert_eq!(found.unwrap(), model.remove_if_unchanged(seen));
            }
            // Longer than a removal is remembered.
            Op::Idle => {
                tokio::time::advance(IDLE).await;
                model.idle();
            }
        }
    }
}

proptest! {
    #[test]
    fn the_model_and_the_store_in_memory_agree(ops in prop::collection::vec(op(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(agree(ops));
    }
}
