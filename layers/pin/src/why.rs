//! The reason for a refusal if the backend is not in the set or cannot be reached. Pure.

use std::time::Duration;

use bartizan_core::Reason;

use crate::backends::Absence;

/// The reason for a refusal if the backend is not in the set.
#[must_use]
pub const fn absent(absence: Absence) -> Reason {
    match absence {
        Absence::Gone => Reason::BackendLost,
        Absence::Unknown => Reason::BackendUnknown,
        Absence::Foreign => Reason::BackendOutOfReach,
    }
}

/// The reason for refusing pinned work whose backend, as far as was seen, has refused every connection for
/// `refused_for` and been unreachable for `unreachable_for`. `None` if it is too early to decide.
#[must_use]
pub fn unreachable(
    refused_for: Option<Duration>,
    unreachable_for: Option<Duration>,
    lost_after: Duration,
) -> Option<Reason> {
    let is_long = |time: Option<Duration>| time.is_some_and(|time| time >= lost_after);
    match () {
        // The server is gone.
        () if is_long(refused_for) => Some(Reason::BackendLost),
        // The cause may be on this side.
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
