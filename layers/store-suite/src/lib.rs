//! The tests that every [`SessionStore`](bartizan_core::SessionStore) must pass.
//!
//! To test your own store, implement [`Harness`], which opens stores and lets time pass, and call [`store_suite!`] in a
//! test of your crate. Each rule is a separate test, so a failure names the rule.
//!
//! ```
//! use std::{future::Future, time::Duration};
//!
//! use bartizan_memory::MemoryStore;
//! use bartizan_store_suite::{Caps, Features, Harness};
//!
//! struct OnMemory;
//!
//! impl Harness for OnMemory {
//!     type Store = MemoryStore;
//!
//!     async fn open(&self, caps: Caps) -> MemoryStore {
//!         MemoryStore::builder()
//!             .max_sessions(caps.total)
//!             .max_sessions_per_principal(caps.per_principal)
//!             .max_sessions_per_client(caps.per_client)
//!             .build()
//!     }
//!
//!     // The store measures time by tokio's clock.
//!     fn is_tokio_paused(&self) -> bool {
//!         true
//!     }
//!
//!     async fn advance(&self, by: Duration) {
//!         tokio::time::advance(by).await;
//!     }
//!
//!     fn features(&self) -> Features {
//!         Features::none().caps_principals().caps_clients().evicts_unconfirmed().counts_openings()
//!     }
//! }
//!
//! // In `tests/suite.rs`:
//! bartizan_store_suite::store_suite!(OnMemory);
//!
//! // Or all in one test:
//! bartizan_store_suite::run_all(|| OnMemory);
//! ```
//!
//! # Rules
//!
//! | group | rules |
//! |---|---|
//! | records | a lookup returns the complete record; fields of later releases survive; the first insert wins; route, principal and id all count |
//! | versions | a replacement and a conditional removal take effect only if the version matches; neither creates a session |
//! | ends | for a minute after its end, a session cannot be inserted again; every holder of the session is notified of the end |
//! | time | idle time and lifetime; a lookup, a touch and a hold count as use; no session outlives its lifetime |
//! | caps | a full store refuses new sessions and keeps the others; ends and expiry make room |
//! | races | one of many concurrent inserts, replacements or removals wins; the cap holds; a removed session stays removed |
//!
//! A store need not have everything: limits for one principal or one client, eviction of sessions that were never
//! confirmed, and places for openings in flight are [features](Features). A store without a feature must behave like
//! the default implementation in the trait.
//!
//! # Failure modes
//!
//! A check panics if the store breaks its rule, and if the store answers with an error. One that never answers makes the
//! check hang: give the store a timeout.
//!
//! # Cost
//!
//! Milliseconds if time can be moved. If `advance` must wait, the checks about time take up to five idle times each, in
//! parallel.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failure here is a failed test"
)]

mod check;
mod checks;
mod harness;
mod support;

pub use check::{Check, run_all};
pub use harness::{Caps, Features, Harness};

/// Makes a module `store_suite` with one test for each rule. The argument is an expression that makes a [`Harness`]; it
/// is evaluated for each test.
///
/// ```no_run
/// # use bartizan_core::{SessionStore, store::NoStore};
/// # use bartizan_store_suite::{Caps, Harness};
/// # struct MyHarness;
/// # impl Harness for MyHarness {
/// #     type Store = NoStore;
/// #     async fn open(&self, _: Caps) -> NoStore { NoStore::default() }
/// #     async fn advance(&self, _: std::time::Duration) {}
/// # }
/// bartizan_store_suite::store_suite!(MyHarness);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! store_suite {
    ($harness:expr) => {
        mod store_suite {
            #[allow(unused_imports, reason = "the harness may be named by a path")]
            use super::*;

            $crate::__with_checks! { __tests $harness }
        }
    };
}

/// All checks: the module of each, its name, and whether its tasks run on one thread or many.
#[doc(hidden)]
#[macro_export]
macro_rules! __with_checks {
    ($then:ident $($more:tt)*) => {
        $crate::$then! { [
            records what_was_inserted_is_found_with_all_that_it_holds One,
            records what_is_unconfirmed_is_found_like_any_other One,
            records the_first_insert_stays One,
            records all_of_the_key_counts One,
            records parts_of_later_releases_survive_a_replacement One,
            versions a_replacement_needs_the_version_that_is_there One,
            versions a_replacement_creates_nothing One,
            versions only_what_was_seen_is_removed One,
            ends an_end_beats_a_late_insert_and_a_touch One,
            ends an_end_is_of_one_key_alone One,
            ends a_tombstone_stands_for_a_minute One,
            ends a_removal_reaches_all_that_hold_the_session One,
            ends an_expiry_reaches_all_that_hold_the_session One,
            ends a_replacement_is_not_an_end One,
            time an_unused_session_idles_out One,
            time a_lookup_restarts_the_idle_time One,
            time a_touch_restarts_the_idle_time One,
            time a_held_session_does_not_idle_out One,
            time a_hold_of_an_earlier_version_counts One,
            time nothing_outlives_its_lifetime One,
            time a_replacement_does_not_extend_the_lifetime One,
            time an_expired_session_is_gone_for_every_operation One,
            caps a_full_store_refuses_new_sessions_and_keeps_the_others One,
            caps what_ends_makes_room One,
            caps what_expires_makes_room One,
            caps one_principal_cannot_take_all_the_room One,
            caps one_client_cannot_take_all_the_room One,
            caps unconfirmed_sessions_make_room One,
            caps openings_in_flight_take_places One,
            races of_many_inserts_one_wins Many,
            races of_many_replacements_one_wins Many,
            races of_a_replacement_and_a_removal_one_wins Many,
            races nothing_outlives_its_removal Many,
            races the_cap_holds_in_a_race Many,
        ] $($more)* }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    ([$($module:ident $name:ident $threads:ident,)*] $harness:expr) => {
        $(
            #[test]
            fn $name() {
                $crate::Check::run_named(stringify!($name), &$harness);
            }
        )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __all {
    ([$($module:ident $name:ident $threads:ident,)*]) => {
        vec![$($crate::check::Check::new(
            stringify!($name),
            $crate::check::Threads::$threads,
            |harness| Box::pin($crate::checks::$module::$name(harness)),
        ),)*]
    };
}
