//! Says at most once a minute that spans are lost. Pure.

use std::time::Duration;

use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(60);

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    last: Option<Instant>,
    told: u64,
}

impl Complaint {
    /// How many spans were lost since this was said last, if it is to be said `now` that `lost` were lost in all.
    pub(super) fn is_due(&mut self, now: Instant, lost: u64) -> Option<u64> {
        let more = lost.saturating_sub(self.told);
        let is_soon = self.last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL);
        if more == 0 || is_soon {
            return None;
        }
        (self.last, self.told) = (Some(now), lost);
        Some(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_complains_at_once_and_then_once_a_minute() {
        let mut complaint = Complaint::default();
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        assert_eq!(complaint.is_due(at(0), 0), None);
        assert_eq!(complaint.is_due(at(1), 3), Some(3));
        assert_eq!(complaint.is_due(at(2), 4), None);
        assert_eq!(complaint.is_due(at(60), 9), None);
        assert_eq!(complaint.is_due(at(61), 9), Some(6));
        assert_eq!(complaint.is_due(at(200), 9), None, "it is well again");
        assert_eq!(complaint.is_due(at(201), 10), Some(1));
    }
}
