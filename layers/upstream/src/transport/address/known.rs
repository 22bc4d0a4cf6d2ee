//! The state of one name, and the decisions that follow from it. No I/O, and no clock.

use std::{net::SocketAddr, time::Duration};

use bartizan_core::failure::FailureKind;
use tokio::time::Instant;

/// How long the kept address must refuse connections before another is tried.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// The same, for failures whose cause may be the network.
const FAILED_FOR: Duration = Duration::from_secs(30);
/// Failures further apart count as two events, because the time between them was not observed.
const GAP: Duration = Duration::from_secs(10);
/// The most addresses of a name that are remembered.
const MAX_ADDRESSES: usize = 64;

/// One name: its last answer, and the address that is dialled.
#[derive(Debug, Default)]
pub(super) struct Known {
    // Without duplicates; the family of the answer's first address first, and each in ascending order.
    answer: Vec<SocketAddr>,
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    address: SocketAddr,
    epoch: u64,
    failing: Option<Failing>,
}

/// Failures without a success in between.
#[derive(Clone, Copy, Debug)]
struct Failing {
    since: Instant,
    // The time from which all failures were refusals.
    refused_since: Option<Instant>,
    last: Instant,
}

/// The role of a new connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Connected {
    /// To the kept address.
    Kept { epoch: u64 },
    /// To an address that is kept from now on, in place of another.
    Moved { epoch: u64 },
    /// To an address that must not be used, because another was kept in the meantime.
    Stale,
}

impl Known {
    /// Takes the answer of a lookup, unless it is empty.
    pub(super) fn answered(&mut self, mut answer: Vec<SocketAddr>) {
        let Some(prefers_v6) = answer.first().map(SocketAddr::is_ipv6) else { return };
        answer.sort_unstable_by_key(|address| (address.is_ipv6() != prefers_v6, *address));
        answer.dedup();
        answer.truncate(MAX_ADDRESSES);
        self.answer = answer;
    }

    pub(super) const fn has_answer(&self) -> bool {
        !self.answer.is_empty()
    }

    /// The addresses to dial at `now`, in this order.
    pub(super) fn order(&self, now: Instant) -> Vec<SocketAddr> {
        let Some(kept) = self.kept.as_ref().filter(|kept| self.answer.contains(&kept.address))
        else {
            return self.alternate().collect();
        };
        let others = self.alternate().filter(|address| *address != kept.address);
        if self.is_one_server() {
            return std::iter::once(kept.address).chain(others).collect();
        }
        if kept.is_given_up(now) {
            return others.chain([kept.address]).collect();
        }
        vec![kept.address]
    }

    /// Records a connection to `address`. `next_epoch` is called if the address is kept from now
    /// on.
    pub(super) fn connected(
        &mut self,
        address: SocketAddr,
        now: Instant,
        next_epoch: impl FnOnce() -> u64,
    ) -> Connected {
        let has_kept = match &mut self.kept {
            Some(kept) if kept.address == address => {
                kept.failing = None;
                return Connected::Kept { epoch: kept.epoch };
            }
            kept => kept.is_some(),
        };
        // Another address may be in use by now.
        if has_kept && !self.order(now).contains(&address) {
            return Connected::Stale;
        }
        let epoch = next_epoch();
        self.kept = Some(Kept { address, epoch, failing: None });
        if has_kept { Connected::Moved { epoch } } else { Connected::Kept { epoch } }
    }

    /// Records that no connection to `address` could be made. Returns whether it is the kept one, which must now be
    /// tried until it connects or is given up.
    pub(super) fn failed(&mut self, address: SocketAddr, kind: FailureKind, now: Instant) -> bool {
        let can_move = !self.is_one_server() && self.answer.contains(&address);
        let Some(kept) = self.kept.as_mut().filter(|kept| kept.address == address) else {
            return false;
        };
        // A problem of this host.
        if kind == FailureKind::ConnectionLimit {
            return false;
        }
        let is_refused = kind == FailureKind::Refused;
        let before = kept.failing.filter(|failing| failing.is_recent(now));
        kept.failing = Some(match before {
            Some(before) => Failing {
                refused_since: is_refused.then(|| before.refused_since.unwrap_or(now)),
                last: now,
                ..before
            },
            None => Failing { since: now, refused_since: is_refused.then_some(now), last: now },
        });
        can_move
    }

    /// Whether the kept address has failed, and not been given up yet.
    pub(super) fn is_to_be_tried(&self, now: Instant) -> bool {
        let kept = self.kept.as_ref().filter(|kept| self.answer.contains(&kept.address));
        kept.is_some_and(|kept| {
            kept.failing.is_some_and(|failing| failing.is_recent(now)) && !kept.is_given_up(now)
        })
    }

    /// What the `failures` of all tried addresses show about the name.
    pub(super) fn verdict(&self, failures: &[(SocketAddr, FailureKind)]) -> FailureKind {
        let Some((_, first)) = failures.first() else { return FailureKind::NoRoute };
        let any = |kind| failures.iter().any(|(_, one)| *one == kind);
        if failures.iter().all(|(_, kind)| kind == first) {
            return *first;
        }
        if any(FailureKind::ConnectTimeout) {
            return FailureKind::ConnectTimeout;
        }
        // The known server refuses, and the other addresses cannot be reached from here, as on a host without IPv6.
        let kept = self.kept.as_ref().map(|kept| kept.address);
        if failures
            .iter()
            .any(|(address, kind)| Some(*address) == kept && *kind == FailureKind::Refused)
        {
            return FailureKind::Refused;
        }
        FailureKind::NoRoute
    }

    /// Whether the addresses look like one server: at most one of each family.
    fn is_one_server(&self) -> bool {
        let v6 = self.answer.iter().filter(|address| address.is_ipv6()).count();
        v6 <= 1 && self.answer.len() - v6 <= 1
    }

    /// All addresses, with the families alternating ([RFC 8305 §4](https://www.rfc-editor.org/rfc/rfc8305#section-4)).
    fn alternate(&self) -> impl Iterator<Item = SocketAddr> {
        let first = self.answer.first().map(SocketAddr::is_ipv6);
        let split = self.answer.partition_point(|address| Some(address.is_ipv6()) == first);
        let (preferred, other) = self.answer.split_at(split);
        (0..preferred.len().max(other.len()))
            .flat_map(move |at| preferred.get(at).into_iter().chain(other.get(at)).copied())
    }
}

impl Kept {
    fn is_given_up(&self, now: Instant) -> bool {
        self.failing.is_some_and(|failing| {
            let refused = failing.refused_since.is_some_and(|since| since + REFUSED_FOR <= now);
            failing.is_recent(now) && (refused || failing.since + FAILED_FOR <= now)
        })
    }
}

impl Failing {
    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) <= GAP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: FailureKind = FailureKind::Refused;
    const SILENT: FailureKind = FailureKind::ConnectTimeout;
    const LIMIT: FailureKind = FailureKind::ConnectionLimit;

    fn at(text: &str) -> SocketAddr {
        format!("{text}:80").parse().unwrap()
    }

    fn known(answer: &[&str]) -> Known {
        let mut known = Known::default();
        known.answered(answer.iter().map(|text| at(text)).collect());
        known
    }

    fn order(known: &Known, now: Instant) -> Vec<String> {
        known.order(now).iter().map(|address| address.ip().to_string()).collect()
    }

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn the_order_does_not_depend_on_that_of_the_answer() {
        let now = Instant::now();
        for answer in [["10.0.0.9", "10.0.0.10", "10.0.0.9"], ["10.0.0.10", "10.0.0.9", "10.0.0.9"]]
        {
            assert_eq!(order(&known(&answer), now), ["10.0.0.9", "10.0.0.10"]);
        }
        // The system knows which family to prefer.
        let both = ["[::2]", "10.0.0.2", "10.0.0.1", "[::1]"];
        assert_eq!(order(&known(&both), now), ["::1", "10.0.0.1", "::2", "10.0.0.2"]);
        let many = (0..1000).map(|n| SocketAddr::from(([10, 0, (n / 256) as u8, n as u8], 80)));
        let mut known = Known::default();
        known.answered(many.collect());
        assert_eq!(known.order(now).len(), MAX_ADDRESSES);
    }

    #[test]
    fn the_kept_address_is_dialled_alone_while_the_name_has_it() {
        let now = Instant::now();
        let mut known = known(&["10.0.0.1", "10.0.0.2"]);
        assert_eq!(known.connected(at("10.0.0.2"), now, || 1), Connected::Kept { epoch: 1 });
        known.answered(vec![at("10.0.0.1"), at("10.0.0.3"), at("10.0.0.2")]);
        assert_eq!(order(&known, now), ["10.0.0.2"]);
        assert_eq!(known.connected(at("10.0.0.2"), now, || 2), Connected::Kept { epoch: 1 });
        // An answer without addresses changes nothing.
        known.answered(Vec::new());
        assert_eq!(order(&known, now), ["10.0.0.2"]);
        // One that was dialled before another was kept.
        assert_eq!(known.connected(at("10.0.0.1"), now, || 2), Connected::Stale);

        known.answered(vec![at("10.0.0.3"), at("10.0.0.1")]);
        assert_eq!(order(&known, now), ["10.0.0.1", "10.0.0.3"]);
        assert_eq!(known.connected(at("10.0.0.1"), now, || 2), Connected::Moved { epoch: 2 });
        assert_eq!(known.connected(at("10.0.0.2"), now, || 3), Connected::Stale);
    }

    #[test]
    fn one_server_with_an_address_of_each_family_is_dialled_at_both() {
        let now = Instant::now();
        let mut known = known(&["[::1]", "127.0.0.1"]);
        known.connected(at("127.0.0.1"), now, || 1);
        assert_eq!(order(&known, now), ["127.0.0.1", "::1"]);
        assert!(!known.failed(at("127.0.0.1"), REFUSED, now));
        assert_eq!(known.connected(at("[::1]"), now, || 2), Connected::Moved { epoch: 2 });
        assert_eq!(order(&known, now), ["::1", "127.0.0.1"]);
    }

    #[test]
    fn a_kept_address_is_given_up_when_it_has_failed_for_long_without_a_gap() {
        let start = Instant::now();
        for (failures, given_up) in [
            // Second by second, up to five seconds.
            (&[(0, REFUSED), (2_000, REFUSED), (4_900, REFUSED)][..], false),
            (&[(0, REFUSED), (2_000, REFUSED), (5_000, REFUSED)], true),
            // Two events.
            (&[(0, REFUSED), (11_000, REFUSED)], false),
            // Silence is weaker.
            (&[(0, SILENT), (5_000, SILENT), (10_000, SILENT)], false),
            (&[(0, REFUSED), (3_000, SILENT), (6_000, REFUSED)], false),
            (&[(0, SILENT), (9_000, SILENT), (18_000, SILENT), (27_000, SILENT)], false),
            (
                &[
                    (0, SILENT),
                    (9_000, SILENT),
                    (18_000, SILENT),
                    (27_000, SILENT),
                    (30_000, SILENT),
                ],
                true,
            ),
            // Problems of this host do not count.
            (&[(0, LIMIT), (2_000, LIMIT), (5_000, LIMIT), (9_000, LIMIT)], false),
        ] {
            let mut known = known(&["10.0.0.1", "10.0.0.2"]);
            known.connected(at("10.0.0.1"), start, || 1);
            let mut now = start;
            for (ms, kind) in failures {
                now = after(start, *ms);
                assert_eq!(known.failed(at("10.0.0.1"), *kind, now), *kind != LIMIT);
            }
            let expected: &[&str] =
                if given_up { &["10.0.0.2", "10.0.0.1"] } else { &["10.0.0.1"] };
            assert_eq!(order(&known, now), expected, "{failures:?}");
            let is_to_be_tried = !given_up && failures.iter().all(|(_, kind)| *kind != LIMIT);
            assert_eq!(known.is_to_be_tried(now), is_to_be_tried, "{failures:?}");
            if given_up {
                // An old verdict does not count.
                assert_eq!(order(&known, after(now, 11_000)), ["10.0.0.1"]);
                known.connected(at("10.0.0.1"), now, || 2);
                assert_eq!(order(&known, now), ["10.0.0.1"]);
            }
        }
    }

    #[test]
    fn a_name_refuses_when_all_its_addresses_do_or_the_one_that_was_in_use() {
        let now = Instant::now();
        let (a, b) = (at("127.0.0.1"), at("[::1]"));
        let new = known(&["127.0.0.1", "[::1]"]);
        let mut used = known(&["127.0.0.1", "[::1]"]);
        used.connected(a, now, || 1);
        for (first, second, unused_verdict, used_verdict) in [
            (REFUSED, REFUSED, REFUSED, REFUSED),
            (REFUSED, LIMIT, FailureKind::NoRoute, REFUSED),
            (REFUSED, FailureKind::NoRoute, FailureKind::NoRoute, REFUSED),
            (LIMIT, REFUSED, FailureKind::NoRoute, FailureKind::NoRoute),
            (REFUSED, SILENT, SILENT, SILENT),
            (SILENT, REFUSED, SILENT, SILENT),
            (LIMIT, LIMIT, LIMIT, LIMIT),
        ] {
            let failures = [(a, first), (b, second)];
            assert_eq!(new.verdict(&failures), unused_verdict, "{first:?} {second:?}");
            assert_eq!(used.verdict(&failures), used_verdict, "{first:?} {second:?}");
        }
    }
}
