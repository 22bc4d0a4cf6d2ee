//! Whether each session stays on its backend, and whether a failure would be detected.

use crate::{
    client::{Fault, Sessions, connect},
    contender::Proxy,
};

/// As many as no balancer of four backends gets right by chance.
const SESSIONS: usize = 199;
const CALLS: usize = 3;
const CONNECTIONS: usize = 4;

/// How many calls were not answered by the backend of their session, and of how many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strays {
    pub(crate) strays: usize,
    pub(crate) calls: usize,
}

/// Calls each session over connections that others share.
///
/// # Errors
///
/// If something else goes wrong.
pub(crate) async fn check(proxy: &Proxy) -> Result<Strays, Fault> {
    let sessions = Sessions::open(proxy.addr, proxy.contender.naming(), SESSIONS).await?;
    let mut connections = connect(proxy.addr, CONNECTIONS).await?;
    let calls = SESSIONS * CALLS;
    let mut strays = 0;
    for (n, session) in sessions.iter().take(calls).enumerate() {
        // 199 is not a multiple of 4, so a session's next call uses another connection.
        let Some(connection) = connections.get_mut(n % CONNECTIONS) else { continue };
        match connection.call(session, sessions.answers()).await {
            Err(fault) if fault.is_stray() => strays += 1,
            other => other?,
        }
    }
    Ok(Strays { strays, calls })
}
