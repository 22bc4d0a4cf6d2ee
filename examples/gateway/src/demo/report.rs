//! The table that the demonstration prints at its end.

use std::{fmt, net::SocketAddr};

use super::client::Outcome;

/// The results of all sessions, by server.
#[derive(Debug)]
pub(super) struct Report {
    servers: Vec<(String, SocketAddr)>,
    sessions: Vec<Outcome>,
    calls: u64,
}

impl Report {
    /// Reports on `sessions`, each of which should have made `calls`.
    pub(super) fn new(
        servers: Vec<(String, SocketAddr)>,
        sessions: Vec<Outcome>,
        calls: u64,
    ) -> Self {
        Self { servers, sessions, calls }
    }

    /// Whether every session counted correctly.
    pub(super) fn is_right(&self) -> bool {
        !self.sessions.is_empty() && self.right() == self.sessions.len()
    }

    fn right(&self) -> usize {
        let is_right = |session: &&Outcome| session.calls == self.calls && session.slips.is_empty();
        self.sessions.iter().filter(is_right).count()
    }

    fn row(&self, server: Option<&str>) -> Row {
        let mut row = Row::default();
        for session in self.sessions.iter().filter(|it| it.server.as_deref() == server) {
            row.sessions += 1;
            row.calls += session.calls;
            row.slips += session.slips.len();
        }
        row
    }
}

#[derive(Default)]
struct Row {
    sessions: usize,
    calls: u64,
    slips: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        writeln!(f, "backend                      sessions  calls  slips")?;
        for (name, address) in &self.servers {
            let Row { sessions, calls, slips } = self.row(Some(name));
            let backend = format!("{name} {address}");
            writeln!(f, "{backend:<28} {sessions:>8} {calls:>6} {slips:>6}")?;
        }
        let unanswered = self.row(None);
        if unanswered.sessions > 0 {
            let Row { sessions, calls, slips } = unanswered;
            writeln!(f, "{:<28} {sessions:>8} {calls:>6} {slips:>6}", "(no answer)")?;
        }
        writeln!(f)?;
        for slip in self.sessions.iter().flat_map(|session| &session.slips) {
            writeln!(f, "slip: {slip}")?;
        }
        let (right, all, calls) = (self.right(), self.sessions.len(), self.calls);
        if self.is_right() {
            write!(f, "ok: all {all} sessions counted 1 to {calls}, each on one backend")
        } else {
            write!(f, "FAILED: {right} of {all} sessions counted 1 to {calls} on one backend")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(sessions: Vec<Outcome>) -> Report {
        let servers = vec![("a".to_owned(), ([127, 0, 0, 1], 1).into())];
        Report::new(servers, sessions, 2)
    }

    fn session(server: Option<&str>, calls: u64, slips: &[&str]) -> Outcome {
        let slips = slips.iter().map(|slip| (*slip).to_owned()).collect();
        Outcome { server: server.map(str::to_owned), calls, slips }
    }

    #[test]
    fn all_sessions_must_have_made_all_calls_without_a_slip() {
        assert!(report(vec![session(Some("a"), 2, &[])]).is_right());
        for wrong in [
            vec![],
            vec![session(Some("a"), 2, &[]), session(Some("a"), 1, &[])],
            vec![session(Some("a"), 2, &["call 2"])],
            vec![session(None, 0, &["no session"])],
        ] {
            let report = report(wrong);
            assert!(!report.is_right());
            assert!(report.to_string().contains("FAILED"), "{report}");
        }
    }

    #[test]
    fn a_slip_is_told() {
        let text = report(vec![session(Some("a"), 2, &["call 2: x"])]).to_string();
        assert!(text.contains("slip: call 2: x") && text.contains("a 127.0.0.1:1"), "{text}");
    }
}
