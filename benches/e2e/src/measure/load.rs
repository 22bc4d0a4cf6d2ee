//! One run: what the proxy does, and the CPU time that it takes for it.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{
    client::{Done, Fault, Pace, Sessions, Streams, connect, drive},
    contender::Proxy,
};

/// What the proxy does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// Forwards calls of so many connections.
    Calls { connections: usize, pace: Pace },
    /// Forwards so many streams of events that are so many milliseconds apart.
    Events { streams: usize, every: u64 },
}

/// What a run gave.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// CPU time of the proxy per request or event, in microseconds.
    pub(crate) cost: f64,
    /// What else there is to know, by name and unit.
    pub(crate) notes: BTreeMap<&'static str, f64>,
}

impl Load {
    /// Drives the proxy, first so that it is warm and then for `duration`.
    ///
    /// # Errors
    ///
    /// If one answer is not the one that it should be.
    pub(crate) async fn run(
        self,
        proxy: &Proxy,
        sessions: &Sessions,
        duration: Duration,
    ) -> Result<Sample, Fault> {
        match self {
            Self::Calls { connections, pace } => {
                let connections = connect(proxy.addr, connections).await?;
                let warm = drive(connections, sessions, pace, duration / 5).await?;
                let before = proxy.process.cpu_ns()?;
                let done = drive(warm.connections, sessions, pace, duration).await?;
                let spent = proxy.process.cpu_ns()? - before;
                Ok(Sample::of_calls(spent, &done))
            }
            Self::Events { streams, every } => {
                let streams = Streams::open(proxy.addr, sessions, streams, Some(every)).await?;
                let (streams, _) = streams.hear(duration / 5).await?;
                let before = proxy.process.cpu_ns()?;
                let (_streams, heard) = streams.hear(duration).await?;
                let spent = proxy.process.cpu_ns()? - before;
                let per_read = heard.events as f64 / heard.reads as f64;
                Ok(Sample {
                    cost: spent as f64 / 1e3 / heard.events as f64,
                    notes: BTreeMap::from([("events_per_read", per_read)]),
                })
            }
        }
    }
}

impl Sample {
    fn of_calls(spent: u64, done: &Done) -> Self {
        let mut latencies = done.latencies.clone();
        latencies.sort_unstable();
        let at = |share: f64| {
            let at = (latencies.len() as f64 * share) as usize;
            latencies.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
        };
        let (calls, seconds) = (latencies.len() as f64, done.elapsed.as_secs_f64());
        let notes = BTreeMap::from([
            ("p50_us", at(0.5)),
            ("p99_us", at(0.99)),
            ("requests_per_s", calls / seconds),
            // How much of its CPU the proxy had.
            ("busy", spent as f64 / 1e9 / seconds),
        ]);
        Self { cost: spent as f64 / 1e3 / calls, notes }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls { connections: 1, pace: Pace::Closed } => f.write_str("1 connection"),
            Self::Calls { connections, pace: Pace::Closed } => {
                write!(f, "{connections} connections")
            }
            Self::Calls { connections, pace: Pace::Open { rate } } => {
                write!(f, "{connections} connections, {rate}/s")
            }
            Self::Events { streams, every } => write!(f, "{streams} streams, {every} ms apart"),
        }
    }
}
