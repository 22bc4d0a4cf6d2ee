//! Reads in flight: concurrent readers of one key share one read.
//!
//! If the key changes during a read, the read is *spoiled* and leaves this table at once. Tasks that already wait for
//! it get its result, because they asked before the change. Later tasks begin a new read, and never get a result from
//! before the change. A read that is no longer in the table when it ends knows that its result must not be cached.

use std::collections::HashMap;

use bartizan_core::{Session, StoreError};
use foldhash::quality::RandomState;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use crate::digest::Digest;

/// A read in flight, shared by all waiting tasks. It is cancelled with the last of them.
pub(crate) type Reading = Shared<Read>;

type Read = BoxFuture<'static, Result<Option<Session>, StoreError>>;

/// Distinguishes a read from a later one of the same key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ticket(u64);

/// The reads in flight that are not spoiled.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    begun: u64,
    by_digest: HashMap<Digest, Flight, RandomState>,
}

#[derive(Debug)]
struct Flight {
    ticket: Ticket,
    // Weak, so that this table does not keep a read alive.
    reading: WeakShared<Read>,
}

impl Flights {
    /// Joins the read of `digest`, or begins the one that `read` returns.
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

    /// Ends the read of `digest`; returns whether it was not spoiled.
    pub(crate) fn end(&mut self, digest: &Digest, ticket: Ticket) -> bool {
        let is_sound = self.by_digest.get(digest).is_some_and(|flight| flight.ticket == ticket);
        if is_sound {
            self.by_digest.remove(digest);
        }
        is_sound
    }

    /// Spoils the read of `digest`: its result may be out of date.
    pub(crate) fn spoil(&mut self, digest: &Digest) {
        self.by_digest.remove(digest);
    }

    /// Spoils all reads.
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

    /// Begins or joins a read; returns the ticket if a read was begun.
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
            // The end of one read neither ends the other nor makes its result valid.
            assert!(!flights.end(&digest(), before.unwrap()));
            assert_eq!(ask(&mut flights).0, None, "the later one is still on its way");
            assert!(flights.end(&digest(), after.unwrap()));
        }
    }
}
