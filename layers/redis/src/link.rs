//! The connection, and the task that watches it.
//!
//! Every [`BEAT`], the task asks the server whether it tracks this connection. If there is no answer within the
//! deadline, or the connection fails, the server is down, and only the next check is sent. If the answer is no, the
//! connection is new: tracking is switched on, and a new era begins.
//!
//! The client library does not pass on the notification that the server was emptied. So each store keeps its own key
//! there, and a new era begins when that key is gone. Writing this key also shows if a server no longer accepts writes:
//! a primary that stepped down without closing connections. The task disconnects from such a server every [`LEAVE`],
//! until the server's name leads to one that accepts writes.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use fred::{
    clients::{Client, WithOptions},
    error::Error,
    interfaces::{ClientInterface, ClientLike, EventInterface, KeysInterface, TrackingInterface},
    types::{Expiration, Key, Value, client::Invalidation},
};
use futures_util::FutureExt;
use tokio::{
    runtime::Handle,
    sync::broadcast::{
        Receiver,
        error::{RecvError, TryRecvError},
    },
    task::AbortHandle,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{digest::Digest, outage::Cause, shared::Shared};

/// How often the server is checked.
const BEAT: Duration = Duration::from_millis(250);

/// How often to disconnect from a server that no longer accepts writes.
const LEAVE: Duration = Duration::from_secs(1);

/// The watching task. Dropping this ends the task and the connection.
#[derive(Debug)]
pub(crate) struct Watch {
    task: AbortHandle,
    client: Client,
    runtime: Handle,
}

impl Watch {
    /// Starts to connect and to watch.
    pub(crate) fn start(shared: &Arc<Shared>) -> Self {
        let client = shared.client.clone();
        let runtime = shared.runtime.clone();
        let task = runtime.spawn(watch(client.clone(), Arc::downgrade(shared)));
        Self { task: task.abort_handle(), client, runtime }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
        // If the runtime is gone, so are the tasks that keep the connection, and this task does not run.
        let client = self.client.clone();
        self.runtime.spawn(async move { client.quit().await });
    }
}

async fn watch(client: Client, shared: Weak<Shared>) {
    let mut news = client.invalidation_rx();
    let mut errors = client.error_rx();
    let mut reconnected = client.reconnect_rx();
    let mut connection = client.connect();
    let mut writes = Writes::default();
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let step = tokio::select! {
            biased;
            told = news.recv() => Step::News(told),
            error = errors.recv() => Step::Down(error.ok().map(|(error, _)| error)),
            _ = reconnected.recv() => Step::Reconnected,
            _ = beat.tick() => Step::Beat,
        };
        let Some(shared) = shared.upgrade() else { break };
        match step {
            Step::News(told) => take(&shared, told),
            Step::Down(error) => {
                shared.down(error.as_ref().map_or(Cause::CLOSED, Cause::of));
                shared.first_try.end();
            }
            // In a cluster, the new connection may be to another node than the one that was asked.
            Step::Reconnected => ask(&client, &shared, &mut news, &mut writes, true).await,
            Step::Beat => ask(&client, &shared, &mut news, &mut writes, false).await,
        }
        // The client retries forever, except for errors that it considers permanent, such as a wrong password, which
        // may still be corrected.
        if connection.is_finished() {
            if let Some(Ok(Err(error))) = (&mut connection).now_or_never() {
                shared.down(Cause::of(&error));
                shared.first_try.end();
            }
            tokio::time::sleep(BEAT).await;
            connection = client.connect();
        }
    }
}

enum Step {
    News(Result<Invalidation, RecvError>),
    Down(Option<Error>),
    Reconnected,
    Beat,
}

/// Whether the server ever accepted writes, and when the task last disconnected from one that did
/// not.
#[derive(Debug, Default)]
struct Writes {
    were_taken: bool,
    left: Option<Instant>,
}

/// The state of the store's own key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum OwnKey {
    Kept,
    /// The key was gone, and was set again.
    Gone,
    /// The server is a replica of another.
    ReadOnly,
    /// Unknown, for example because the server is out of memory.
    Unknown,
}

impl Writes {
    /// Whether to disconnect from the server now.
    fn are_lost(&mut self, own: OwnKey) -> bool {
        match own {
            OwnKey::Kept | OwnKey::Gone => self.were_taken = true,
            OwnKey::ReadOnly
                if self.were_taken && self.left.is_none_or(|left| left.elapsed() >= LEAVE) =>
            {
                self.left = Some(Instant::now());
                return true;
            }
            OwnKey::ReadOnly | OwnKey::Unknown => {}
        }
        false
    }
}

/// Handles invalidations.
fn take(shared: &Arc<Shared>, told: Result<Invalidation, RecvError>) {
    match told {
        // An invalidation without keys means that all of them are gone.
        Ok(told) if told.keys.is_empty() => shared.begin_era(),
        Ok(told) => {
            let ours = |name: &Key| Digest::read(&shared.prefix, name.as_bytes());
            for digest in told.keys.iter().filter_map(ours) {
                shared.near.invalidate(&digest);
                // The session may have ended while a stream of it is open here.
                if let Some(reading) = shared.look_after(digest) {
                    shared.runtime.spawn(reading);
                }
            }
        }
        // More invalidations than the buffer could hold.
        Err(_) => shared.begin_era(),
    }
}

async fn ask(
    client: &Client,
    shared: &Arc<Shared>,
    news: &mut Receiver<Invalidation>,
    writes: &mut Writes,
    is_anew: bool,
) {
    let asked = timeout(shared.timeout, begin_or_go_on(client, shared, is_anew));
    match asked.await {
        Ok(Ok(own)) => {
            // All invalidations that came before this answer.
            loop {
                match news.try_recv() {
                    Ok(told) => take(shared, Ok(told)),
                    Err(TryRecvError::Lagged(_)) => shared.begin_era(),
                    Err(_) => break,
                }
            }
            shared.up();
            if writes.are_lost(own) {
                let _ = timeout(shared.timeout, client.force_reconnection()).await;
            }
        }
        Ok(Err(error)) => shared.down(Cause::of(&error)),
        Err(_) => shared.down(Cause::TIMEOUT),
    }
}

/// Checks that the server answers and tracks this connection.
async fn begin_or_go_on(client: &Client, shared: &Shared, is_anew: bool) -> Result<OwnKey, Error> {
    let asking = client.with_options(&shared.options);
    if !shared.is_cached {
        shared.ask_time().await?;
        let own = own_key(&asking, shared).await;
        if own == OwnKey::Gone || is_anew {
            shared.salt.agree(&asking, &shared.prefix).await;
        }
        return Ok(own);
    }
    let is_new = is_anew || names_off(&asking.client_trackinginfo().await?);
    if is_new {
        client.start_tracking(Vec::<String>::new(), false, false, false, false).await?;
    }
    let own = own_key(&asking, shared).await;
    if own == OwnKey::Gone || is_new {
        shared.begin_era();
        shared.salt.agree(&asking, &shared.prefix).await;
    }
    if is_new {
        shared.ask_time().await?;
    }
    Ok(own)
}

/// Checks the store's own key, and sets it.
async fn own_key(asking: &WithOptions<Client>, shared: &Shared) -> OwnKey {
    let expiry = Some(Expiration::PX(60_000));
    match asking.set(&shared.own_key, "1", expiry, None, true).await {
        Ok(Some::<String>(_)) => OwnKey::Kept,
        Ok(None) => OwnKey::Gone,
        Err(error) if error.details().starts_with("READONLY") => OwnKey::ReadOnly,
        Err(_) => OwnKey::Unknown,
    }
}

/// Whether `off` is among the flags.
fn names_off(info: &Value) -> bool {
    match info {
        Value::Array(values) => values.iter().any(names_off),
        Value::Map(map) => map.values().any(names_off),
        value => value.as_str().as_deref() == Some("off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_took_writes_is_left_when_it_does_no_longer() {
        let mut writes = Writes::default();
        assert!(!writes.are_lost(OwnKey::ReadOnly), "a replica on purpose");
        assert!(!writes.are_lost(OwnKey::Gone) && !writes.are_lost(OwnKey::Unknown));
        assert!(writes.are_lost(OwnKey::ReadOnly) && !writes.are_lost(OwnKey::ReadOnly));
        tokio::time::advance(LEAVE).await;
        assert!(writes.are_lost(OwnKey::ReadOnly) && !writes.are_lost(OwnKey::Kept));
    }
}
