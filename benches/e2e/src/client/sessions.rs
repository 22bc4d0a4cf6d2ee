//! The sessions of a proxy, and the ways that connections take through them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};

use super::{Connection, Fault, Naming};
use crate::{backend, wire::Id};

/// How many connections open sessions at a time.
const OPENING: usize = 32;

/// How long all of that may take, and how much longer for each session.
const PATIENCE: Duration = Duration::from_secs(10);
const EACH: Duration = Duration::from_millis(1);

/// A session, and the number of the backend that opened it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) id: Id,
    pub(crate) backend: u8,
}

/// The sessions that were opened through one proxy, with what their backends answer.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    opened: Arc<[Session]>,
    answers: Arc<[Vec<u8>]>,
}

/// A way through all sessions, another one for each connection.
#[derive(Debug)]
pub(crate) struct Walk {
    sessions: Sessions,
    at: usize,
}

impl Sessions {
    /// Opens so many through the proxy at `addr`.
    pub(crate) async fn open(
        addr: SocketAddr,
        naming: Naming,
        count: usize,
    ) -> Result<Self, Fault> {
        let mut tasks = JoinSet::new();
        let connections = OPENING.min(count);
        for first in 0..connections {
            tasks.spawn(async move {
                let mut connection = Connection::open(addr).await?;
                let mut opened = Vec::with_capacity(count / connections + 1);
                for n in (first..count).step_by(connections) {
                    opened.push(connection.initialize(naming.name(n)).await?);
                }
                Ok::<_, Fault>(opened)
            });
        }
        let mut opened = Vec::with_capacity(count);
        let all = async {
            while let Some(some) = tasks.join_next().await {
                opened.extend(some.map_err(std::io::Error::other)??);
            }
            Ok::<_, Fault>(())
        };
        let patience = PATIENCE + EACH * u32::try_from(count).unwrap_or(u32::MAX);
        timeout(patience, all).await.map_err(|_| Fault::Silence)??;
        let answers = (0..=u8::MAX).map(backend::body).collect();
        Ok(Self { opened: opened.into(), answers })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.opened.iter().cycle()
    }

    pub(crate) fn answers(&self) -> &[Vec<u8>] {
        &self.answers
    }

    /// The way of a connection: no session stays on one connection.
    pub(crate) fn walk(&self, connection: usize) -> Walk {
        // Prime to every number of sessions that is in use.
        Walk { sessions: self.clone(), at: connection.wrapping_mul(104_729) }
    }
}

impl Walk {
    /// Calls the next session on the way.
    pub(crate) async fn call(&mut self, connection: &mut Connection) -> Result<(), Fault> {
        let opened = &self.sessions.opened;
        self.at = (self.at + 7_919) % opened.len();
        let session = opened.get(self.at).ok_or(Fault::NoSession)?;
        connection.call(session, &self.sessions.answers).await
    }
}

impl Naming {
    /// The name that the client gives to its `n`th session.
    fn name(self, n: usize) -> Option<Id> {
        let mixed = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (high, low) = (mixed >> 48, mixed & 0xffff_ffff_ffff);
        let name = format!("ffffffff-0000-4000-{high:04x}-{low:012x}");
        (self == Self::Client).then(|| name.as_bytes().try_into().ok())?
    }
}
