//! Waiting for an attempt that another request makes.

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// Waits for an attempt.
#[derive(Clone)]
pub(crate) struct Follow<V>(pub(super) watch::Receiver<Option<V>>);

/// Why a wait for an attempt has no outcome.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoOutcome {
    /// The request that made the attempt was dropped: another one may make it.
    Dropped,
    /// It took too long.
    TimedOut,
}

impl<V: Clone> Follow<V> {
    /// Waits for the outcome until `deadline`.
    pub(crate) async fn outcome(mut self, deadline: Instant) -> Result<V, NoOutcome> {
        match timeout_at(deadline, self.0.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone().ok_or(NoOutcome::Dropped),
            Ok(Err(_)) => Err(NoOutcome::Dropped),
            Err(_) => Err(NoOutcome::TimedOut),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::replay::single_flight::{Part, SingleFlight};

    type Flights = Arc<SingleFlight<&'static str, u8>>;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn one_leads_and_the_others_get_its_outcome() {
        let flights = Flights::default();
        let Part::Lead(lead) = flights.join("one") else { panic!("the first leads") };
        let Part::Follow(follow) = flights.join("one") else { panic!("the second follows") };
        assert!(matches!(flights.join("other"), Part::Lead(_)));
        assert!(flights.follow(&"one").is_some() && flights.follow(&"other").is_none());
        assert_eq!(follow.clone().outcome(soon()).await, Err(NoOutcome::TimedOut));
        lead.publish(7);
        assert_eq!(follow.outcome(soon()).await, Ok(7));
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lead_that_is_dropped_leaves_its_place_to_another() {
        let flights = Flights::default();
        let Part::Lead(lead) = flights.join("one") else { panic!("the first leads") };
        let follow = lead.follow();
        drop(lead);
        assert_eq!(follow.outcome(soon()).await, Err(NoOutcome::Dropped));
        assert!(matches!(flights.join("one"), Part::Lead(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_was_called_off_is_not_in_the_way_of_the_next() {
        let flights = Flights::default();
        let Part::Lead(first) = flights.join("one") else { panic!("the first leads") };
        let follow = first.follow();
        assert!(first.is_current());
        flights.call_off(|key| *key == "one");
        let Part::Lead(second) = flights.join("one") else { panic!("the next leads, too") };
        assert!(!first.is_current() && second.is_current());
        first.publish(1);
        assert_eq!(follow.outcome(soon()).await, Ok(1), "its own outcome");
        assert!(second.is_current(), "the end of the first is not that of the second");
        assert_eq!(flights.len(), 1);
    }
}
