//! What the layers of a stack count themselves.

use bartizan_core::gauges::{Gauges, Reading};
use bartizan_pin::Backends;
use bartizan_resume::ResumeCounts;
use bartizan_session::SessionCounts;
use bartizan_streams::Streams;

/// What the layers of a stack count: backends and their states, sessions that were opened, resumed and ended, open
/// event streams. Made by [`ReverseProxyStack::gauges`](crate::ReverseProxyStack::gauges); cheap to clone.
#[derive(Clone, Debug)]
pub struct StackGauges {
    pub(super) backends: Backends,
    pub(super) sessions: SessionCounts,
    /// None: streams are not tracked.
    pub(super) streams: Option<Streams>,
    /// None: sessions are not resumed.
    pub(super) resumed: Option<ResumeCounts>,
}

impl Gauges for StackGauges {
    fn read(&self, out: &mut dyn FnMut(Reading<'_>)) {
        self.backends.read(out);
        self.sessions.read(out);
        if let Some(streams) = &self.streams {
            streams.read(out);
        }
        if let Some(resumed) = &self.resumed {
            resumed.read(out);
        }
    }
}
