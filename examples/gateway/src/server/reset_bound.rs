//! How many of its requests an HTTP/2 client may reset at once. Pure.
//!
//! A request that is reset before its response begins costs the backend a whole request, and the client almost nothing
//! (CVE-2023-44487). A stream that was open for longer, or whose response had begun, does not count: that is how
//! clients cancel calls and end event streams.

use std::time::Duration;

/// A reset counts if it comes within this time and before the response begins.
pub(super) const AT_ONCE: Duration = Duration::from_secs(1);

/// How many of the last requests are considered. Half of them may be reset in this way.
const OUT_OF: u32 = 200;

/// Counts how many of the last 200 requests of a connection were reset right away.
#[derive(Debug)]
pub(super) struct ResetBound {
    out_of: u32,
    // One bit for each of the last requests. Empty until a request is reset.
    given_up: Vec<u64>,
    next: u32,
    count: u32,
}

impl ResetBound {
    /// Allows `headroom` times as many, because a proxy carries the requests of many clients.
    pub(super) const fn new(headroom: u32) -> Self {
        Self { out_of: OUT_OF * headroom, given_up: Vec::new(), next: 0, count: 0 }
    }

    /// Counts a request, and returns whether too many of the last ones were reset right away.
    pub(super) fn record(&mut self, is_given_up: bool) -> bool {
        if !is_given_up && self.count == 0 {
            return false;
        }
        if self.given_up.is_empty() {
            self.given_up.resize(self.out_of.div_ceil(u64::BITS) as usize, 0);
        }
        let (word, bit) = (self.next / u64::BITS, 1 << (self.next % u64::BITS));
        self.next = (self.next + 1) % self.out_of;
        let Some(word) = self.given_up.get_mut(word as usize) else { return false };
        self.count -= u32::from(*word & bit != 0);
        *word = if is_given_up { *word | bit } else { *word & !bit };
        self.count += u32::from(is_given_up);
        self.count > self.out_of / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of the request at which `bound` is exceeded, if that happens within 100,000
    /// requests.
    fn passed(mut bound: ResetBound, is_given_up: impl Fn(u32) -> bool) -> Option<u32> {
        (1..100_000).find(|number| bound.record(is_given_up(*number)))
    }

    #[test]
    fn more_than_half_of_the_last_200_may_not_be_given_up() {
        assert_eq!(passed(ResetBound::new(1), |_| true), Some(101));
        assert_eq!(passed(ResetBound::new(1), |number| number % 2 == 0), None);
        assert_eq!(passed(ResetBound::new(1), |number| number % 100 != 0), Some(102));
        assert_eq!(passed(ResetBound::new(1), |number| number > 1000), Some(1101));
        // Old resets no longer count.
        assert_eq!(passed(ResetBound::new(1), |number| number % 300 < 100), None);
        assert_eq!(passed(ResetBound::new(1), |number| number % 300 < 101), Some(400));
    }

    #[test]
    fn a_proxy_may_have_ten_times_as_many() {
        assert_eq!(passed(ResetBound::new(10), |_| true), Some(1001));
        assert_eq!(passed(ResetBound::new(10), |number| number % 3000 < 1000), None);
    }
}
