//! The suite finds faults: each check fails on a store that breaks its rule, and no check fails on a correct store.
#![allow(clippy::panic, clippy::unwrap_used, reason = "test")]

mod broken;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use bartizan_store_suite::{Check, run_all};
use broken::{Fault, WithFault};

/// The faults, and the checks that must find each.
const MUTANTS: &[(Fault, &[&str])] = &[
    (Fault::LosesFields, &["what_was_inserted_is_found_with_all_that_it_holds"]),
    (Fault::LosesLaterParts, &["parts_of_later_releases_survive_a_replacement"]),
    (Fault::UnconfirmedIsLost, &["what_is_unconfirmed_is_found_like_any_other"]),
    (Fault::LastInsertStays, &["the_first_insert_stays", "of_many_inserts_one_wins"]),
    (Fault::IgnoresRoutes, &["all_of_the_key_counts", "an_end_is_of_one_key_alone"]),
    (Fault::IgnoresPrincipals, &["all_of_the_key_counts", "an_end_is_of_one_key_alone"]),
    (Fault::IgnoresCase, &["all_of_the_key_counts", "an_end_is_of_one_key_alone"]),
    (
        Fault::ReplacesAnyVersion,
        &["a_replacement_needs_the_version_that_is_there", "of_many_replacements_one_wins"],
    ),
    (
        Fault::ReplaceCreates,
        &["a_replacement_creates_nothing", "an_expired_session_is_gone_for_every_operation"],
    ),
    (Fault::ReplaceIsAnEnd, &["a_replacement_is_not_an_end"]),
    (Fault::ReplaceIsABirth, &["a_replacement_does_not_extend_the_lifetime"]),
    (Fault::ReplaceForgetsHolds, &["a_hold_of_an_earlier_version_counts"]),
    (Fault::RemovesAnyVersion, &["only_what_was_seen_is_removed"]),
    (Fault::RemovalAlwaysWins, &["of_a_replacement_and_a_removal_one_wins"]),
    (Fault::RemovalEndsAllPrincipals, &["an_end_is_of_one_key_alone"]),
    (
        Fault::NoTombstone,
        &["an_end_beats_a_late_insert_and_a_touch", "nothing_outlives_its_removal"],
    ),
    (Fault::BriefTombstone, &["a_tombstone_stands_for_a_minute"]),
    (Fault::EternalTombstone, &["a_tombstone_stands_for_a_minute"]),
    (Fault::SilentRemoval, &["a_removal_reaches_all_that_hold_the_session"]),
    (Fault::SilentExpiry, &["an_expiry_reaches_all_that_hold_the_session"]),
    (Fault::NeverIdlesOut, &["an_unused_session_idles_out"]),
    (Fault::IdlesOutEarly, &["an_unused_session_idles_out"]),
    (Fault::LookupIsNoUse, &["a_lookup_restarts_the_idle_time"]),
    (Fault::TouchIsNoUse, &["a_touch_restarts_the_idle_time"]),
    (Fault::HeldIdlesOut, &["a_held_session_does_not_idle_out"]),
    (Fault::LivesForEver, &["nothing_outlives_its_lifetime"]),
    (Fault::ExpiryLeavesATombstone, &["an_expired_session_is_gone_for_every_operation"]),
    (
        Fault::NeverFull,
        &["a_full_store_refuses_new_sessions_and_keeps_the_others", "the_cap_holds_in_a_race"],
    ),
    (Fault::EndedCount, &["what_ends_makes_room"]),
    (Fault::ExpiredCount, &["what_expires_makes_room"]),
    (Fault::PrincipalsAreNotCapped, &["one_principal_cannot_take_all_the_room"]),
    (Fault::ClientsAreNotCapped, &["one_client_cannot_take_all_the_room"]),
    (Fault::EvictsNothing, &["unconfirmed_sessions_make_room"]),
    (Fault::EvictsAndTellsNoOne, &["unconfirmed_sessions_make_room"]),
    (Fault::OpeningsAreNotCounted, &["openings_in_flight_take_places"]),
];

/// The checks that fail on a store with `fault`.
fn failing(fault: Fault) -> BTreeSet<&'static str> {
    let fails = |check: &Check<WithFault>| {
        // A race does not show a fault every time.
        let tries = if matches!(fault, Fault::NoTombstone) { 50 } else { 1 };
        (0..tries).any(|_| catch_unwind(AssertUnwindSafe(|| check.run(&WithFault(fault)))).is_err())
    };
    Check::all().iter().filter(|&check| fails(check)).map(Check::name).collect()
}

#[test]
fn each_fault_is_found_by_the_check_of_its_rule() {
    let mut missed = Vec::new();
    for &(fault, checks) in MUTANTS {
        let failing = failing(fault);
        missed
            .extend(checks.iter().filter(|&check| !failing.contains(check)).map(|it| (fault, it)));
    }
    assert!(missed.is_empty(), "these faults pass the checks of their rules: {missed:?}");
}

#[test]
fn each_check_has_a_store_that_it_finds_broken() {
    let all: BTreeSet<_> = Check::<WithFault>::all().iter().map(Check::name).collect();
    let found: BTreeSet<_> = MUTANTS.iter().flat_map(|(_, checks)| *checks).copied().collect();
    assert_eq!(all, found);
}

#[test]
fn a_store_without_a_fault_passes() {
    run_all(|| WithFault(Fault::None));
}

#[test]
fn a_store_with_a_fault_is_named_with_the_rules_that_it_breaks() {
    let outcome = catch_unwind(|| run_all(|| WithFault(Fault::TouchIsNoUse)));
    let message = outcome.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("a_touch_restarts_the_idle_time"), "{message}");
}
