use std::{sync::Arc, time::Duration};

use bartizan_core::{Record, Route, store::RecordVersion};
use futures_util::FutureExt;

use super::*;

const TRUST: Trust = Trust { bound_ms: 30_000, absent_bound_ms: 5_000, grace_ms: 10_000 };
const UP: Moment = Moment { era: 1, down_since_ms: None };

fn near() -> Near {
    Near::new(100, TRUST)
}

fn digest(id: &str) -> Digest {
    Digest::of(Key::new(&Route::default(), None, id.as_bytes()))
}

/// A session with one second of idle time and ten seconds of lifetime, inserted and last used at 1,000 on the server's
/// clock.
fn live(version: u32) -> Live {
    Live {
        born_ms: 1_000,
        touched_ms: 1_000,
        version: version.into(),
        record: Record::new(Duration::from_secs(1), Duration::from_secs(10)),
    }
}

fn announce(near: &Near, digest: Digest) -> Ticket {
    let mut begun = None;
    drop(near.begin(digest, |ticket| {
        begun = Some(ticket);
        async { Ok(None) }.boxed().shared()
    }));
    begun.expect("no other read is on its way")
}

fn settle(
    near: &Near,
    id: &str,
    ticket: Ticket,
    now_ms: u64,
    brought: Option<Live>,
) -> Option<Session> {
    let route = Route::default();
    let key = Key::new(&route, None, id.as_bytes());
    near.settle((digest(id), ticket), (1, now_ms), brought.map(|live| (key, live)))
}

fn read(near: &Near, id: &str, now_ms: u64) -> Session {
    let ticket = announce(near, digest(id));
    settle(near, id, ticket, now_ms, Some(live(1))).unwrap()
}

fn is_trusted(near: &Near, id: &str, moment: Moment, now: (u64, u64)) -> bool {
    near.look(&digest(id), moment, now).is_some()
}

#[test]
fn what_was_read_is_trusted_within_its_era_its_bound_and_its_life() {
    let near = near();
    let session = read(&near, "a", 100);
    assert!(is_trusted(&near, "a", UP, (100, 1_000)));
    assert!(!is_trusted(&near, "b", UP, (100, 1_000)));
    assert!(!is_trusted(&near, "a", Moment { era: 2, ..UP }, (100, 1_000)));
    assert!(is_trusted(&near, "a", UP, (30_099, 1_000)));
    assert!(!is_trusted(&near, "a", UP, (30_100, 1_000)), "past the bound");
    assert!(!is_trusted(&near, "a", UP, (100, 2_000)), "idled out");
    let hold = session.hold();
    assert!(is_trusted(&near, "a", UP, (100, 2_000)), "an open stream is use");
    drop(hold);
    assert!(is_trusted(&near, "a", UP, (100, 2_999)), "in use when it was last looked for");
    assert!(!is_trusted(&near, "a", UP, (100, 3_000)), "idled out since");
    session.set_used_ms(10_500);
    assert!(is_trusted(&near, "a", UP, (100, 10_999)));
    assert!(!is_trusted(&near, "a", UP, (100, 11_000)), "past its lifetime");
    let off = Near::new(100, Trust { bound_ms: 0, ..TRUST });
    read(&off, "a", 100);
    assert!(!is_trusted(&off, "a", UP, (100, 1_000)), "switched off");
}

#[test]
fn in_an_outage_live_sessions_are_trusted_for_a_while_and_absences_are_not() {
    let near = near();
    read(&near, "a", 100);
    let ticket = announce(&near, digest("absent"));
    assert!(settle(&near, "absent", ticket, 100, None).is_none());
    assert!(is_trusted(&near, "absent", UP, (5_099, 0)));
    assert!(!is_trusted(&near, "absent", UP, (5_100, 0)));
    let down = Moment { era: 1, down_since_ms: Some(200) };
    assert!(is_trusted(&near, "a", down, (10_199, 1_000)));
    assert!(!is_trusted(&near, "a", down, (10_200, 1_000)), "the grace is over");
    assert!(!is_trusted(&near, "absent", down, (200, 1_000)));
}

/// An invalidation overtakes the reply that was read before it.
#[test]
fn what_a_change_overtook_is_not_trusted() {
    let overtake: [fn(&Near); 4] = [
        |near| near.invalidate(&digest("a")),
        Near::spoil_all,
        // A removal here.
        |near| near.forget(&digest("a")),
        |near| near.give_up(&digest("a"), announce(near, digest("b"))),
    ];
    for (n, overtake) in overtake.into_iter().enumerate() {
        let near = near();
        let ticket = announce(&near, digest("a"));
        overtake(&near);
        assert!(
            settle(&near, "a", ticket, 100, Some(live(1))).is_some(),
            "used by who asked before"
        );
        // A ticket of another read changes nothing.
        assert_eq!(is_trusted(&near, "a", UP, (100, 1_000)), n == 3);
        assert!(near.peek(&digest("a")).is_some(), "kept for those who hold it");
    }
    // The invalidation comes after the reply.
    let near = near();
    read(&near, "a", 100);
    near.invalidate(&digest("a"));
    assert!(!is_trusted(&near, "a", UP, (100, 1_000)));
}

/// The change came between two reads, and the reply to the first is handled last.
#[test]
fn a_read_that_was_overtaken_does_not_end_the_next_one_nor_undo_it() {
    let near = near();
    let before = announce(&near, digest("a"));
    near.invalidate(&digest("a"));
    let after = announce(&near, digest("a"));
    near.give_up(&digest("a"), before);
    assert!(settle(&near, "a", after, 100, None).is_none(), "it has ended");
    let stale = settle(&near, "a", before, 100, Some(live(1)));
    assert!(stale.is_some());
    let entry = near.look(&digest("a"), UP, (100, 1_000)).expect("the later read is trusted");
    assert!(entry.session().is_none());

    // The other way round: the later read finds what the earlier one left, and it is one session.
    let (before, after) = {
        let before = announce(&near, digest("b"));
        near.invalidate(&digest("b"));
        (before, announce(&near, digest("b")))
    };
    let held = settle(&near, "b", before, 100, Some(live(1))).unwrap().hold();
    let later = settle(&near, "b", after, 100, Some(live(2))).unwrap();
    assert_eq!(later.version(), RecordVersion::from(2));
    assert!(later.is_held() && near.held().len() == 1);
    drop(held);
    assert!(!later.is_held());
}

/// The result of a script during a read, and the result of the read, are one session.
#[test]
fn what_was_written_and_what_was_read_is_one_session() {
    let near = near();
    let route = Route::default();
    let ticket = announce(&near, digest("a"));
    let written = near.keep(digest("a"), 1, Key::new(&route, None, b"a"), live(1));
    let hold = written.hold();
    let read = settle(&near, "a", ticket, 100, Some(live(1))).unwrap();
    assert!(read.is_held(), "the hold is found");
    assert!(!is_trusted(&near, "a", UP, (100, 1_000)), "the write overtook the read");
    drop(hold);
    assert!(!read.is_held());
    // A session with the same key and another insert time is another session.
    let again =
        near.keep(digest("a"), 1, Key::new(&route, None, b"a"), Live { born_ms: 2_000, ..live(1) });
    let hold = read.hold();
    assert!(!again.is_held());
    drop(hold);
}

#[test]
fn what_is_held_does_not_fall_out() {
    let near = Near::new(10, TRUST);
    let hold = read(&near, "held", 100).hold();
    for n in 0..1_000 {
        read(&near, &format!("other-{n}"), 100);
    }
    assert!(near.cache.len() <= 20, "{}", near.cache.len());
    assert_eq!(near.held().len(), 1);
    drop(hold);
    assert!(near.held().is_empty());
}

#[test]
fn a_use_is_told_once_per_quarter_of_the_idle_time() {
    let near = near();
    read(&near, "a", 100);
    let entry = near.peek(&digest("a")).unwrap();
    assert!(!entry.is_use_due(1_249, Use::Request));
    assert!(
        entry.is_use_due(1_250, Use::Request)
            && !entry.is_use_due(1_250, Use::Request)
            && !entry.is_use_due(1_499, Use::Request)
    );
    // A later read, before the server has written the use, does not change that.
    near.invalidate(&digest("a"));
    read(&near, "a", 200);
    let entry = near.peek(&digest("a")).unwrap();
    assert!(!entry.is_use_due(1_499, Use::Request) && entry.is_use_due(1_500, Use::Request));
}

/// No use of an unconfirmed session has been reported to the server.
#[test]
fn the_first_request_is_told_at_once_and_the_response_that_opens_is_no_request() {
    let near = near();
    let live = Live { touched_ms: 0, ..live(1) };
    let route = Route::default();
    near.keep(digest("a"), 0, Key::new(&route, None, b"a"), live);
    let entry = near.peek(&digest("a")).unwrap();
    assert!(!entry.is_use_due(1_249, Use::Hold), "a quarter since it was opened");
    assert!(entry.is_use_due(1_001, Use::Request) && !entry.is_use_due(1_001, Use::Request));
    assert!(!entry.is_use_due(1_250, Use::Hold) && entry.is_use_due(1_251, Use::Hold));
}

#[test]
fn a_use_that_could_not_be_told_is_told_again_in_a_while() {
    let near = near();
    read(&near, "a", 100);
    let entry = near.peek(&digest("a")).unwrap();
    assert!(entry.is_use_due(1_300, Use::Request));
    entry.use_was_not_told(1_300);
    assert!(
        !entry.is_use_due(1_360, Use::Request)
            && entry.is_use_due(1_364, Use::Request)
            && !entry.is_use_due(1_364, Use::Request)
    );
    // After the server may have been restored to an earlier state, its own record counts.
    let route = Route::default();
    near.keep(digest("a"), 2, Key::new(&route, None, b"a"), live(1));
    assert!(near.peek(&digest("a")).unwrap().is_use_due(1_365, Use::Request));
}

/// Only sessions that a task waits for, and for which no invalidation would come, are read again.
#[test]
fn a_session_whose_end_is_waited_for_is_looked_after_where_no_news_would_come() {
    let near = near();
    let session = read(&near, "a", 100);
    let is_unfollowed = |near: &Near, moment| near.unfollowed(&digest("a"), moment).is_some();
    let later = Moment { era: 2, ..UP };
    let mut ended = session.ended();
    assert!(!is_unfollowed(&near, later), "no task waits");
    assert!((&mut ended).now_or_never().is_none());
    assert!(!is_unfollowed(&near, later), "it is not held");
    let hold = session.hold();
    assert!(!is_unfollowed(&near, UP), "the server would tell");
    assert!(is_unfollowed(&near, later));
    near.invalidate(&digest("a"));
    assert!(is_unfollowed(&near, UP), "the server has notified once, and will not again");
    // A spoiled read does not count, and one that was not spoiled does.
    let overtaken = announce(&near, digest("a"));
    near.invalidate(&digest("a"));
    assert!(settle(&near, "a", overtaken, 100, None).is_none());
    assert!(!session.is_ended());
    let sound = announce(&near, digest("a"));
    assert!(settle(&near, "a", sound, 100, None).is_none());
    assert!(session.is_ended() && (&mut ended).now_or_never().is_some());
    assert!(!is_unfollowed(&near, later));
    drop(hold);
}

/// Companions live for as long as this replica keeps the record.
#[test]
fn companions_of_a_record_stay_until_its_entry_goes() {
    let near = near();
    let route = Route::default();
    let key = Key::new(&route, None, b"id");
    let companion = Arc::new(());
    let opened = live(1);
    let record = opened.record.with_companion(companion.clone());
    drop(near.keep(digest("id"), 1, key, Live { record, ..opened }));
    assert_eq!(Arc::strong_count(&companion), 2);
    for version in [1, 2] {
        // The record is read again unchanged, and as changed by another replica.
        let ticket = announce(&near, digest("id"));
        drop(settle(&near, "id", ticket, 1_000, Some(live(version))));
        assert!(Arc::strong_count(&companion) >= 2, "{version}");
    }
    near.forget(&digest("id"));
    assert_eq!(Arc::strong_count(&companion), 1);
}
