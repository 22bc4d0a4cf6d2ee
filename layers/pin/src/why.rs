//! Why work is refused whose backend is not here, or cannot be reached. Pure.

use std::time::Duration;

use bartizan_core::Reason;

use crate::backends::Absence;

/// Why work is refused whose backend is not in the set.
#[must_use]
pub const fn absent(absence: Absence) -> Reason {
    match absence {
        Absence::Gone => Reason::BackendLost,
        Absence::Unknown => Reason::BackendUnknown,
        Absence::Foreign => Reason::BackendOutOfReach,
    }
}

/// Why pinned work is refused whose backend has refused every connection for the time `refused_for`, and could not be
/// reached for `unreachable_for`, as far as was seen. Nothing: it is too early to tell.
#[must_use]
pub fn unreachable(
    refused_for: Option<Duration>,
    unreachable_for: Option<Duration>,
    lost_after: Duration,
) -> Option<Reason> {
    let is_long = |time: Option<Duration>| time.is_some_and(|time| time >= lost_after);
    match () {
        // Its server has ended.
        () if is_long(refused_for) => Some(Reason::BackendLost),
        // This side may be the cause.
        () if is_long(unreachable_for) => Some(Reason::BackendOutOfReach),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refusals_for_long_are_a_loss() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (refused, failed, why) in [
            (None, None, None),
            (seconds(4), seconds(4), None),
            (seconds(5), seconds(5), Some(Reason::BackendLost)),
            (seconds(4), seconds(5), Some(Reason::BackendOutOfReach)),
            (None, seconds(60), Some(Reason::BackendOutOfReach)),
        ] {
            assert_eq!(unreachable(refused, failed, Duration::from_secs(5)), why);
        }
    }
}
