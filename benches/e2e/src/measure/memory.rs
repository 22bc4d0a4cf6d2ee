//! What is resident: per connection, stream and session, each in a fresh process.

use std::{fmt, time::Duration};

use tokio::time::sleep;

use crate::{
    client::{Fault, Sessions, Streams, connect},
    contender::Proxy,
};

/// What there is a number of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Figure {
    /// The process, before it has done more than start.
    Fresh,
    /// Connections that wait, each after one call.
    Connections(usize),
    /// Open event streams, each in a separate session.
    Streams(usize),
    /// Event streams that were open, and ended a while ago.
    Ended(usize),
    /// Sessions, and no connection for any of them.
    Sessions(usize),
}

/// Sessions that are there before anything is counted, so that what is made once is made.
const WARM: usize = 64;

/// How long an allocator may take to return memory that it no longer needs.
const WHILE: Duration = Duration::from_secs(30);

impl Figure {
    /// Bytes of each.
    ///
    /// # Errors
    ///
    /// If one answer is not the one that it should be.
    pub(crate) async fn measure(self, proxy: &Proxy) -> Result<f64, Fault> {
        let (addr, naming) = (proxy.addr, proxy.contender.naming());
        let sessions = match self {
            Self::Fresh => return Ok(proxy.process.resident()? as f64),
            Self::Streams(count) | Self::Ended(count) => {
                Sessions::open(addr, naming, count).await?
            }
            Self::Connections(_) | Self::Sessions(_) => Sessions::open(addr, naming, WARM).await?,
        };
        let before = proxy.process.resident()?;
        // While what is counted is still there.
        let per = |count: usize| {
            let after = proxy.process.resident()?;
            Ok((after as f64 - before as f64) / count as f64)
        };
        match self {
            Self::Fresh => per(1),
            Self::Connections(count) => {
                let mut connections = connect(addr, count).await?;
                for (connection, session) in connections.iter_mut().zip(sessions.iter()) {
                    connection.call(session, sessions.answers()).await?;
                }
                per(count)
            }
            Self::Streams(count) => {
                let _streams = Streams::open(addr, &sessions, count, None).await?;
                per(count)
            }
            Self::Ended(count) => {
                drop(Streams::open(addr, &sessions, count, None).await?);
                sleep(WHILE).await;
                per(count)
            }
            Self::Sessions(count) => {
                let _sessions = Sessions::open(addr, naming, count).await?;
                per(count)
            }
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh => f.write_str("fresh"),
            Self::Connections(count) => write!(f, "per idle connection ({count})"),
            Self::Streams(count) => write!(f, "per open stream ({count})"),
            Self::Ended(count) => write!(f, "per stream that has ended ({count})"),
            Self::Sessions(count) => write!(f, "per session ({count})"),
        }
    }
}
