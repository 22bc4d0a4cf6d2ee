//! Calls over many connections.

use std::{io, time::Duration};

use tokio::{
    sync::mpsc::UnboundedReceiver,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{Connection, Fault, Sessions, pace, sessions::Walk};

/// How long an answer may take, or the last of them.
const PATIENCE: Duration = Duration::from_secs(10);

/// When a connection makes its next call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As soon as it has the answer.
    Closed,
    /// When it is due, at so many calls per second over all connections.
    Open { rate: u32 },
}

/// What came of a load.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) connections: Vec<Connection>,
    /// How long each call took: from when it was sent, or from when it was due.
    pub(crate) latencies: Vec<Duration>,
    /// How long all of it took.
    pub(crate) elapsed: Duration,
}

/// Calls the sessions for as long as `duration`, and until all answers are here.
///
/// # Errors
///
/// If one answer is not the one that it should be.
pub(crate) async fn drive(
    connections: Vec<Connection>,
    sessions: &Sessions,
    pace: Pace,
    duration: Duration,
) -> Result<Done, Fault> {
    let started = Instant::now();
    let until = started + duration;
    let count = connections.len();
    let mut due = match pace {
        Pace::Closed => Vec::new(),
        Pace::Open { rate } => pace::start(rate, until, count),
    };
    let mut tasks = JoinSet::new();
    for (n, connection) in connections.into_iter().enumerate() {
        let walk = sessions.walk(n);
        match due.pop() {
            None => tasks.spawn(closed(connection, walk, until)),
            Some(due) => tasks.spawn(open(connection, walk, due)),
        };
    }
    let mut done =
        Done { connections: Vec::with_capacity(count), latencies: Vec::new(), elapsed: duration };
    let all = async {
        while let Some(one) = tasks.join_next().await {
            let (connection, latencies) = one.map_err(io::Error::other)??;
            done.connections.push(connection);
            done.latencies.extend(latencies);
        }
        Ok::<_, Fault>(())
    };
    timeout(duration + PATIENCE, all).await.map_err(|_| Fault::Silence)??;
    done.elapsed = started.elapsed();
    Ok(done)
}

type Part = Result<(Connection, Vec<Duration>), Fault>;

async fn closed(mut connection: Connection, mut walk: Walk, until: Instant) -> Part {
    let mut latencies = Vec::with_capacity(4 * 1024);
    let mut sent = Instant::now();
    while sent < until {
        walk.call(&mut connection).await?;
        let answered = Instant::now();
        latencies.push(answered - sent);
        sent = answered;
    }
    Ok((connection, latencies))
}

async fn open(
    mut connection: Connection,
    mut walk: Walk,
    mut calls: UnboundedReceiver<Instant>,
) -> Part {
    let mut latencies = Vec::with_capacity(4 * 1024);
    while let Some(due) = calls.recv().await {
        walk.call(&mut connection).await?;
        latencies.push(due.elapsed());
    }
    Ok((connection, latencies))
}
