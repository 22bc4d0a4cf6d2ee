//! Reads that are on their way: all who ask for one key at one time share one.
//!
//! A read that a change has overtaken is *spoiled*: it leaves this table at once. Those who wait for it get
//! what it brings, since they asked before the change; whoever asks from then on begins a read anew, and
//! never gets what was read before the change. That it is not in the table any more is how a read learns
//! that what it brings is not to be trusted.

use std::collections::HashMap;

use bartizan_core::{Session, StoreError};
use foldhash::quality::RandomState;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use crate::digest::Digest;

/// A read that is on its way, for all who wait for it; it is given up with the last of them.
pub(crate) type Reading = Shared<Read>;

type Read = BoxFuture<'static, Result<Option<Session>, StoreError>>;

/// Tells a read from a later one of the same key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ticket(u64);

/// The reads that are on their way and not spoiled.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    begun: u64,
    by_digest: HashMap<Digest, Flight, RandomState>,
}

#[derive(Debug)]
struct Flight {
    ticket: Ticket,
    // Nobody waits for the sake of this table.
    reading: WeakShared<Read>,
}

impl Flights {
    /// Joins the read of `digest`, or begins the one that `read` makes.
    pub(crate) fn begin(
        &mut self,
        digest: Digest,
        read: impl FnOnce(Ticket) -> Reading,
    ) -> Reading {
        let begun = self.by_digest.get(&digest);
        if let Some(reading) = begun.and_then(|flight| flight.reading.upgrade()) {
            return reading;
        }
        self.begun = self.begun.wrapping_add(1);
        let ticket = Ticket(self.begun);
        let reading = read(ticket);
        if let Some(weak) = reading.downgrade() {
            self.by_digest.insert(digest, Flight { ticket, reading: weak });
        }
        reading
    }

    /// The read of `digest` has ended; says whether it was not spoiled.
    pub(crate) fn end(&mut self, digest: &Digest, ticket: Ticket) -> bool {
        let is_sound = self.by_digest.get(digest).is_some_and(|flight| flight.ticket == ticket);
        if is_sound {
            self.by_digest.remove(digest);
        }
        is_sound
    }

    /// What the read of `digest` brings may be out of date.
    pub(crate) fn spoil(&mut self, digest: &Digest) {
        self.by_digest.remove(digest);
    }

    /// What any read brings may be out of date.
    pub(crate) fn spoil_all(&mut self) {
        self.by_digest.clear();
    }
}

#[cfg(test)]
mod tests {
    use bartizan_core::{Key, Route};
    use futures_util::FutureExt;

    use super::*;

    fn digest() -> Digest {
        Digest::of(Key::new(&Route::default(), None, b"id"))
    }

    /// Begins or joins; answers the ticket if a read was begun.
    fn ask(flights: &mut Flights) -> (Option<Ticket>, Reading) {
        let mut begun = None;
        let reading = flights.begin(digest(), |ticket| {
            begun = Some(ticket);
            async { Ok(None) }.boxed().shared()
        });
        (begun, reading)
    }

    #[test]
    fn who_asks_while_a_read_is_on_its_way_joins_it() {
        let mut flights = Flights::default();
        let (first, _waits) = ask(&mut flights);
        assert_eq!(ask(&mut flights).0, None);
        let first = first.unwrap();
        assert!(flights.end(&digest(), first) && !flights.end(&digest(), first));
        assert!(ask(&mut flights).0.is_some());
    }

    #[test]
    fn a_read_that_nobody_waits_for_any_more_is_not_joined() {
        let mut flights = Flights::default();
        let (before, waits) = ask(&mut flights);
        drop(waits);
        let (after, _waits) = ask(&mut flights);
        assert!(before.is_some() && after.is_some() && before != after);
        assert!(!flights.end(&digest(), before.unwrap()));
    }

    #[test]
    fn who_asks_after_a_change_does_not_join_a_read_from_before_it() {
        let spoilers: [fn(&mut Flights); 2] =
            [|flights| flights.spoil(&digest()), Flights::spoil_all];
        for spoil in spoilers {
            let mut flights = Flights::default();
            let (before, _waits_for_one) = ask(&mut flights);
            spoil(&mut flights);
            let (after, _waits_for_another) = ask(&mut flights);
            // Nor does the end of the one end the other, or lend it its good name.
            assert!(!flights.end(&digest(), before.unwrap()));
            assert_eq!(ask(&mut flights).0, None, "the later one is still on its way");
            assert!(flights.end(&digest(), after.unwrap()));
        }
    }
}
