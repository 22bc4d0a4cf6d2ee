//! One attempt at a time: what is done to the place of a session is done by one, and the others wait.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bartizan_core::{Reason, Session};
use http::{HeaderValue, Response, StatusCode, header::WWW_AUTHENTICATE};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// What became of an attempt.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    NotYet,
    /// The session is live, at the place that this version of it names.
    Moved(Session),
    /// There is no such session any more, or nobody can go on with it.
    Ended,
    /// It could not be resumed just now.
    Failed(Reason),
    /// A backend did not serve whoever made the attempt; others may be served.
    Denied(Denial),
    /// Something else was done: look again.
    Again,
}

/// A backend asks for other credentials: its status, and what it says of those that it takes.
#[derive(Clone, Debug)]
pub(crate) struct Denial {
    pub(crate) status: StatusCode,
    pub(crate) challenges: Arc<[HeaderValue]>,
}

/// The attempts of this process that are on their way.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<Flight, watch::Receiver<Outcome>>>);

/// What an attempt is for: all versions of a session are one.
#[derive(Clone, Debug)]
struct Flight(Session);

/// The part of a request in an attempt.
#[derive(Debug)]
pub(crate) enum Part {
    Lead(Lead),
    Follow(Follow),
}

/// The right to make the attempt, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lead {
    flights: Arc<Flights>,
    flight: Flight,
    outcome: watch::Sender<Outcome>,
}

/// Waits for an attempt.
#[derive(Debug)]
pub(crate) struct Follow(watch::Receiver<Outcome>);

impl Denial {
    pub(crate) fn of<R>(response: &Response<R>) -> Option<Self> {
        let status = response.status();
        if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return None;
        }
        let challenges = response.headers().get_all(WWW_AUTHENTICATE);
        Some(Self { status, challenges: challenges.iter().cloned().collect() })
    }
}

impl Flights {
    /// Joins the attempt for `session`, or begins one.
    pub(crate) fn join(self: &Arc<Self>, session: &Session) -> Part {
        let flight = Flight(session.clone());
        match self.table().entry(flight.clone()) {
            Entry::Occupied(entry) => Part::Follow(Follow(entry.get().clone())),
            Entry::Vacant(entry) => {
                let (outcome, follow) = watch::channel(Outcome::NotYet);
                entry.insert(follow);
                Part::Lead(Lead { flights: Arc::clone(self), flight, outcome })
            }
        }
    }

    /// How many attempts are on their way.
    pub(crate) fn len(&self) -> usize {
        self.table().len()
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Flight, watch::Receiver<Outcome>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    pub(crate) fn follow(&self) -> Follow {
        Follow(self.outcome.subscribe())
    }

    /// Tells those who wait.
    pub(crate) fn finish(self, outcome: Outcome) {
        self.outcome.send_replace(outcome);
    }
}

impl Follow {
    /// Waits for the outcome; none if there is none by `deadline`.
    pub(crate) async fn outcome(mut self, deadline: Instant) -> Option<Outcome> {
        let outcome = self.0.wait_for(|outcome| !matches!(outcome, Outcome::NotYet));
        match timeout_at(deadline, outcome).await {
            Ok(Ok(outcome)) => Some(outcome.clone()),
            // Who led is gone without a word.
            Ok(Err(_)) => Some(Outcome::Again),
            Err(_) => None,
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.flights.table().remove(&self.flight);
    }
}

impl PartialEq for Flight {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for Flight {}

impl Hash for Flight {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bartizan_core::{Key, Record, Route, store::StoredSession};

    use super::*;

    fn session(id: &str) -> Session {
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        Session::new(Key::new(&Route::default(), None, id.as_bytes()), record, 1.into(), 1)
    }

    #[tokio::test(start_paused = true)]
    async fn one_leads_and_the_others_learn_what_became_of_it() {
        let flights = Arc::new(Flights::default());
        let (one, other) = (session("one"), session("other"));
        let Part::Lead(lead) = flights.join(&one) else { panic!("the first leads") };
        let later = one.next_version(one.record().clone());
        let Part::Follow(follow) = flights.join(&later) else { panic!("the second follows") };
        assert!(matches!(flights.join(&other), Part::Lead(_)));
        let soon = Instant::now() + Duration::from_secs(1);
        let waiting = Follow(follow.0.clone()).outcome(soon);
        assert!(waiting.await.is_none(), "not for ever");
        lead.finish(Outcome::Ended);
        let soon = Instant::now() + Duration::from_secs(1);
        assert!(matches!(follow.outcome(soon).await, Some(Outcome::Ended)));
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_leads_and_goes_away_leaves_the_place_to_others() {
        let flights = Arc::new(Flights::default());
        let Part::Lead(lead) = flights.join(&session("one")) else { panic!("the first leads") };
        let follow = lead.follow();
        drop(lead);
        let soon = Instant::now() + Duration::from_secs(1);
        assert!(matches!(follow.outcome(soon).await, Some(Outcome::Again)));
        assert!(matches!(flights.join(&session("one")), Part::Lead(_)));
    }
}
