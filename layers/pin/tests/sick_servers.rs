//! One failing backend of several, over real servers and the real `Upstream`. `sick.rs` has the earlier numbers.
//!
//! In a separate test program, so that no other test competes for the processor: its counts depend on timing.
#![allow(clippy::unwrap_used, reason = "test support")]

mod sickbay;

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use sickbay::{Clinic, Policy, Sickness};

/// Each kind of failure under each policy, half of the cases at a time.
#[tokio::test]
async fn of_200_openings_five_at_most_meet_one_sick_backend_after_the_first_second() {
    fastrand::seed(1);
    for policies in Policy::ALL.chunks(2) {
        let cases = policies.iter().flat_map(|policy| Sickness::ALL.map(|kind| (*policy, kind)));
        let cases = cases.zip([2, 4, 8, 2, 4].into_iter().cycle()).enumerate();
        let outcomes = join_all(cases.map(|(number, ((policy, kind), size))| async move {
            let clinic = Clinic::real(size, policy).await;
            clinic.fall_sick(0, kind);
            sleep(Duration::from_millis(40) * u32::try_from(number).unwrap()).await;
            (policy, kind, size, clinic.open_200().await)
        }));
        let outcomes = outcomes.await;
        assert!(outcomes.iter().all(|(.., failed)| *failed <= 5), "{outcomes:?}");
    }
}
