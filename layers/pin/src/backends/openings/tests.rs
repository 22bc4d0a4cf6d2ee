//! What is known after which failures, and what becomes of it.

use super::*;

/// A backend that is granted what it wishes.
#[derive(Default)]
struct One(Openings);

impl One {
    fn fail(&mut self, now_ms: u64) -> Wish {
        let wish = self.0.fail(false, now_ms);
        if wish != Wish::Stay {
            self.0.pause(wish == Wish::Out, now_ms);
        }
        wish
    }

    fn is_paused(&self, now_ms: u64) -> bool {
        self.0.standing(now_ms) == Standing::Paused
    }
}

fn client(last: u8) -> Client {
    Client::at([192, 0, 2, last].into())
}

fn siblings(succeeded: u32, rejected: u32, succeeded_ms: u64) -> Siblings {
    Siblings { succeeded, rejected, succeeded_ms }
}

#[test]
fn a_first_failure_pauses_and_the_third_in_a_row_is_out() {
    let mut one = One::default();
    assert_eq!(one.fail(1_000), Wish::Pause);
    assert!(one.is_paused(1_249) && !one.is_paused(1_250) && !one.0.is_out());
    // A burst that met the same sickness does not prolong it, but counts.
    assert_eq!(one.fail(1_010), Wish::Pause);
    assert!(one.is_paused(1_249) && !one.is_paused(1_250));
    assert_eq!(one.fail(1_020), Wish::Out);
    assert!(one.0.is_out());
    assert!(one.is_paused(2_019) && !one.is_paused(2_020), "a second");
}

#[test]
fn each_try_that_fails_doubles_the_pause_up_to_ten_seconds() {
    let mut one = One::default();
    (0..3).for_each(|_| {
        one.fail(1_000);
    });
    let mut now_ms = 2_000;
    for pause_ms in [2_000, 4_000, 8_000, 10_000, 10_000] {
        assert!(one.0.claim(now_ms) && !one.0.claim(now_ms), "one try");
        one.fail(now_ms + 10);
        assert!(one.is_paused(now_ms + 9 + pause_ms), "{pause_ms}");
        now_ms += 10 + pause_ms;
        assert!(!one.is_paused(now_ms), "{pause_ms}");
    }
}

#[test]
fn a_success_puts_it_back_and_a_relapse_goes_on_where_it_was() {
    let mut one = One::default();
    (0..3).for_each(|_| {
        one.fail(1_000);
    });
    assert!(one.0.succeed(false, 2_500), "it was out");
    assert!(!one.is_paused(2_500) && !one.0.is_out() && one.0.burden().failures == 0);
    assert!(!one.0.succeed(false, 2_600), "it was not");
    (0..3).for_each(|_| {
        one.fail(3_000);
    });
    assert!(one.is_paused(4_999) && !one.is_paused(5_000), "two seconds");
    one.0.succeed(false, 6_000);
    (0..3).for_each(|_| {
        one.fail(16_000);
    });
    assert!(one.is_paused(16_999) && !one.is_paused(17_000), "that was long ago");
}

#[test]
fn a_try_of_which_nothing_is_heard_is_given_to_another() {
    let mut one = One::default();
    (0..3).for_each(|_| {
        one.fail(1_000);
    });
    assert!(one.0.claim(2_000));
    assert!(!one.0.claim(4_499) && one.0.claim(4_500));
    one.0.release();
    assert!(one.0.claim(4_501), "nothing came of it");
}

#[test]
fn few_failures_among_many_successes_are_load_and_nothing_else() {
    let mut one = One::default();
    for now_ms in 1..=100 {
        one.0.succeed(false, now_ms);
        if now_ms % 10 == 0 {
            assert_eq!(one.fail(now_ms), Wish::Stay);
        }
    }
    assert_eq!(one.0.burden(), Burden { failures: 10, is_suspect: false });
    assert_eq!(one.0.failures(10_000), 3, "it decays");
    assert_eq!(one.0.failures(100_000), 0);
    assert_eq!(one.0.look_at_ms(), u64::MAX, "and is forgotten");
}

#[test]
fn three_failures_in_a_row_count_whatever_was_before() {
    let mut one = One::default();
    (0..1_000).for_each(|_| {
        one.0.succeed(false, 100);
    });
    assert_eq!([one.fail(101), one.fail(102), one.fail(103)], [Wish::Stay, Wish::Stay, Wish::Out]);
}

#[test]
fn a_backend_that_fails_every_other_time_goes_out() {
    let mut one = One::default();
    let mut wish = Wish::Stay;
    for now_ms in 1..=3 {
        one.0.succeed(false, now_ms);
        // Not granted, so that it continues.
        wish = one.0.fail(false, now_ms);
    }
    assert_eq!(wish, Wish::Out);
    assert!(one.0.burden().is_suspect);
}

#[test]
fn openings_in_flight_for_two_seconds_are_failures_and_late_successes_take_them_back() {
    let mut openings = Openings::default();
    (0..3).for_each(|_| {
        openings.begin(1_000);
    });
    assert_eq!(openings.look(3_000), Wish::Stay);
    assert_eq!(openings.look(3_250), Wish::Out);
    assert!(!openings.is_certain(), "the cause may be here");
    openings.pause(true, 3_250);
    assert_eq!(openings.end(1_000, 3_300), (true, Wish::Stay));
    assert!(openings.succeed(true, 3_300));
    assert!(!openings.is_paused());
    // One that fails at last was counted.
    openings.end(1_000, 3_400);
    assert_eq!(openings.fail(true, 3_400), Wish::Stay);
    assert!(openings.is_certain());
    // One whose client leaves in time was not.
    openings.begin(10_000);
    assert_eq!(openings.end(10_000, 11_900), (false, Wish::Stay));
    assert_eq!((openings.look(60_000), openings.failures(60_000)), (Wish::Stay, 0));
}

#[test]
fn rejections_are_compared_from_the_third_client_on() {
    let mut openings = Openings::default();
    (0..1_000).for_each(|_| assert!(!openings.reject(client(1), 1_000)));
    assert!(!openings.reject(client(2), 1_000));
    assert!(openings.reject(client(3), 1_000));
    for (siblings, wish) in [
        (siblings(6, 0, 1_001), Wish::Out),
        (siblings(1_000, 100, 1_001), Wish::Out),
        (siblings(5, 0, 1_001), Wish::Stay),
        (siblings(0, 0, 0), Wish::Stay),
        (siblings(10, 5, 1_001), Wish::Stay),
        (siblings(1_000, 0, 999), Wish::Stay),
    ] {
        assert_eq!(openings.compare(&siblings, 1_002), (wish, false), "{siblings:?}");
    }
    openings.succeed(false, 1_003);
    assert!(!openings.reject(client(4), 1_004), "a new row");
}

#[test]
fn a_try_that_is_rejected_has_failed_only_if_siblings_do_not_reject() {
    for (siblings, is_back) in [(siblings(20, 1, 1), false), (siblings(4, 4, 1), true)] {
        let mut one = One::default();
        (0..3).for_each(|_| {
            one.fail(1_000);
        });
        assert!(!one.0.reject(client(1), 1_500), "no try");
        assert!(one.0.claim(2_000) && one.0.reject(client(1), 2_010));
        assert_eq!(one.0.compare(&siblings, 2_010), (Wish::Stay, is_back));
        assert_eq!(one.is_paused(2_011), !is_back);
        assert_eq!(one.is_paused(4_009), !is_back);
    }
}

#[test]
fn while_clients_are_rejected_openings_go_there_one_at_a_time() {
    let mut openings = Openings::default();
    openings.begin(1_000);
    openings.reject(client(1), 1_000);
    assert_eq!(openings.standing(1_001), Standing::Doubtful);
    openings.end(1_000, 1_002);
    assert_eq!(openings.standing(1_003), Standing::Ready);
    openings.begin(1_004);
    openings.succeed(false, 1_005);
    assert_eq!(openings.standing(1_006), Standing::Ready);
}

proptest::proptest! {
    /// Whatever happens, a backend is back soon after it has recovered.
    #[test]
    fn after_anything_a_backend_is_tried_within_ten_seconds(
        steps in proptest::collection::vec((0u8..7, 0u64..4_000), 0..80),
    ) {
        let (mut one, mut now_ms) = (One::default(), 1);
        for (step, later_ms) in steps {
            now_ms += later_ms;
            match step {
                0 => { one.0.succeed(false, now_ms); },
                1 | 2 => { one.fail(now_ms); },
                3 => { one.0.reject(client(1), now_ms); },
                4 => { one.0.claim(now_ms); },
                5 => { one.0.begin(now_ms); },
                _ => one.0.release(),
            }
        }
        let is_tried = (0..=40).any(|tick| one.0.claim(now_ms + tick * 250));
        proptest::prop_assert!(is_tried);
        now_ms += 10_000;
        one.0.succeed(false, now_ms);
        proptest::prop_assert!(!one.0.is_paused() && !one.0.is_out());
    }
}
