//! The goals for the gateway, and whether it meets them.

use serde::Serialize;

use crate::{report::Row, stats::Quartiles};

/// A bound on what a case costs over another one under the same load.
#[derive(Debug)]
struct Goal {
    measure: &'static str,
    /// What the name of the load begins with.
    load: &'static str,
    case: &'static str,
    /// The base of the ratio; none if the limit is on the value itself.
    over: Over,
    limit: f64,
}

#[derive(Clone, Copy, Debug)]
enum Over {
    /// The base of the sandwich, with the control beside it.
    Base,
    /// Another contender of the same rounds.
    Peer(&'static str),
    /// Nothing: a value.
    One,
    /// Nothing: a note of that name.
    Note(&'static str),
}

/// Whether a goal is met.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    goal: String,
    limit: f64,
    value: f64,
    /// How far the value may be off, by the control's own spread.
    noise: f64,
    verdict: &'static str,
}

const fn goal(
    measure: &'static str,
    load: &'static str,
    case: &'static str,
    over: Over,
    limit: f64,
) -> Goal {
    Goal { measure, load, case, over, limit }
}

const GOALS: &[Goal] = &[
    goal("cpu", "32 connections", "gateway", Over::Base, 1.08),
    goal("cpu", "256 connections", "gateway", Over::Base, 1.08),
    goal("cpu", "32 connections, 5000/s", "gateway", Over::Base, 1.08),
    goal("cpu", "32 connections", "gateway-near", Over::Peer("gateway"), 1.02),
    goal("cpu", "32 connections", "gateway-redis", Over::Base, 1.40),
    goal("cpu", "32 connections", "gateway", Over::Peer("pingora"), 0.55),
    goal("cpu", "32 connections", "gateway", Over::Peer("envoy"), 0.50),
    goal("cpu", "32 connections", "gateway", Over::Peer("axum-reverse-proxy"), 0.90),
    goal("cpu", "256 connections", "gateway", Over::Peer("axum-reverse-proxy"), 0.55),
    goal("cpu", "32 connections", "gateway", Over::Peer("haproxy"), 1.00),
    goal("cpu", "32 connections", "gateway", Over::Peer("nginx"), 1.15),
    goal("events", "", "gateway", Over::Base, 1.03),
    goal("events", "", "gateway", Over::Note("events_per_read"), 1.00),
    goal("sessions", "", "1000000", Over::Base, 1.05),
    goal("memory", "per idle connection", "gateway", Over::Base, 1.05),
    goal("memory", "per open stream", "gateway", Over::Base, 1.10),
    goal("memory", "per session", "gateway", Over::One, 200.0),
];

/// The verdicts on what was measured.
pub(crate) fn judge(rows: &[Row]) -> Vec<Verdict> {
    GOALS.iter().flat_map(|goal| goal.judge(rows)).collect()
}

impl Goal {
    /// One verdict for each load that the goal is about.
    fn judge(&self, rows: &[Row]) -> Vec<Verdict> {
        let of = |row: &&Row| row.measure == self.measure && row.case == self.case;
        let rows_of = rows.iter().filter(of).filter(|row| self.is_of(&row.load));
        rows_of.filter_map(|row| self.verdict(row, rows)).collect()
    }

    /// Calls are of a load by its whole name; what is counted, by its beginning.
    fn is_of(&self, load: &str) -> bool {
        if self.measure == "cpu" { load == self.load } else { load.starts_with(self.load) }
    }

    fn verdict(&self, row: &Row, rows: &[Row]) -> Option<Verdict> {
        let beside = |case: &str| {
            rows.iter().find(|other| {
                other.measure == row.measure && other.load == row.load && other.case == case
            })
        };
        let control = beside("control").and_then(|control| control.over_base);
        let (value, over) = match self.over {
            Over::Base => {
                (row.corrected.or(Some(row.over_base?.median))?, " over its base".to_owned())
            }
            Over::Peer(peer) => (paired(row, beside(peer)?)?, format!(" over {peer}")),
            Over::One => (row.value?.median, format!(", {}", row.unit)),
            Over::Note(note) => (*row.notes.get(note)?, format!(", {note}")),
        };
        let noise = match self.over {
            Over::Base | Over::Peer(_) => control.map_or(0.0, Quartiles::noise),
            Over::One | Over::Note(_) => 0.0,
        };
        let verdict = match value - self.limit {
            // As many digits as are reported.
            over if over < 0.0005 => "met",
            over if over <= noise => "within noise",
            _ => "missed",
        };
        let goal = format!("{} {}: {}{over}", row.measure, row.load, row.case);
        Some(Verdict { goal, limit: self.limit, value, noise, verdict })
    }
}

impl Verdict {
    pub(crate) fn line(&self) -> String {
        let Self { goal, limit, value, noise, verdict } = self;
        format!("{verdict:12} {value:8.3} of {limit:.2} (noise {noise:.3})  {goal}")
    }
}

/// The median of what one cost over the other, round by round.
fn paired(row: &Row, peer: &Row) -> Option<f64> {
    let ratios = row.ratios.iter().zip(&peer.ratios).map(|(one, other)| one / other);
    Quartiles::of(&ratios.collect::<Vec<_>>()).map(|all| all.median)
}
