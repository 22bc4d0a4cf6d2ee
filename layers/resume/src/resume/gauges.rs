//! The numbers of the layer.
//!
//! | metric | is |
//! |---|---|
//! | `bartizan_resumes_total{outcome}` | attempts to resume a lost session: `resumed`; `given_up`; `denied`, the backend does not accept the caller |
//! | `bartizan_resume_handshakes_failed_total{cause}` | backends that did not take over a session: `no_answer`, an error, or not confirmed; `timeout`; `unfit`, another answer than the first server's; `denied` |
//! | `bartizan_resume_unrecorded_total` | sessions that were opened without a record, since there was no space left |
//! | `bartizan_sessions_ended_total{cause="not_resumed"}` | lost sessions that no backend could take over, or that their clients ended before one did |
//! | `bartizan_session_duration_seconds{cause="not_resumed"}` | how long they were in use |

use bartizan_core::gauges::{Gauges, Metric, Reading, sessions::SessionEnds};

use super::counts::{Counts, Handshakes, ResumeCounts};

const RESUMES: Metric =
    Metric::counter("bartizan_resumes_total", "Attempts to resume a session that was lost.");
const HANDSHAKES: Metric = Metric::counter(
    "bartizan_resume_handshakes_failed_total",
    "Backends that were asked to take over a lost session, and did not.",
);
const UNRECORDED: Metric = Metric::counter(
    "bartizan_resume_unrecorded_total",
    "Sessions that were opened without a record, and are not resumed.",
);

impl Gauges for ResumeCounts {
    fn read(&self, out: &mut dyn FnMut(Reading<'_>)) {
        let Counts { resumed, given_up, denied, unrecorded, handshakes, not_resumed } = self.all();
        for (outcome, count) in [("resumed", resumed), ("given_up", given_up), ("denied", denied)] {
            out(Reading::new(&RESUMES, &[("outcome", outcome)], count.get()));
        }
        let Handshakes { no_answer, timeout, unfit, denied } = handshakes;
        for (cause, count) in
            [("no_answer", no_answer), ("timeout", timeout), ("unfit", unfit), ("denied", denied)]
        {
            out(Reading::new(&HANDSHAKES, &[("cause", cause)], count.get()));
        }
        out(Reading::new(&UNRECORDED, &[], unrecorded.get()));
        SessionEnds::read(&[not_resumed], out);
    }
}
