//! Connections to names: the lookup, the table of known names, and the choice between addresses.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bartizan_core::failure::FailureKind;
use foldhash::quality::RandomState;
use http::{Uri, uri::Scheme};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep, timeout_at},
};
use tower_service::Service;

use super::{
    super::{connector::ConnectError, socket::Socket},
    Resolver,
    known::{Connected, Known},
    race,
};

/// The timeout of a lookup, if an earlier answer can be used instead.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a kept address that fails is tried.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How many names are remembered; beyond that, the one that was dialled longest ago is forgotten.
const MAX_NAMES: usize = 1024;

/// The table of backend names; see the [module docs](super).
pub(in super::super) struct Names {
    by_authority: Mutex<HashMap<Box<str>, Name, RandomState>>,
    resolver: Resolver,
    timeout: Duration,
    epochs: AtomicU64,
    has_moved: AtomicBool,
}

struct Name {
    known: Known,
    // The epoch of the address that it moved to last.
    moved: Option<u64>,
    failure: FailureKind,
    look_up: Option<LookUp>,
    is_tried: bool,
    used: Instant,
}

/// A lookup in progress. It ends when its sender is dropped.
struct LookUp {
    since: Instant,
    end: watch::Receiver<()>,
}

/// A connection, and the epoch of its address.
pub(in super::super) struct Reached {
    pub(in super::super) io: TokioIo<TcpStream>,
    pub(in super::super) epoch: u64,
}

/// [`Names`] as a connector for hyper-util's client.
#[derive(Clone, Debug)]
pub(in super::super) struct ByName {
    pub(in super::super) names: Arc<Names>,
    pub(in super::super) write_timeout: Option<Duration>,
}

impl Names {
    /// Asks `resolver`; a connection may take `timeout`, including the lookup.
    pub(in super::super) fn new(resolver: Resolver, timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            by_authority: Mutex::default(),
            resolver,
            timeout,
            epochs: AtomicU64::new(0),
            has_moved: AtomicBool::new(false),
        })
    }

    /// The epoch of the address that `authority` moved to, if it has moved from another.
    #[inline]
    pub(in super::super) fn moved(&self, authority: &str) -> Option<u64> {
        // Nearly always, this is the result.
        if !self.has_moved.load(Ordering::Relaxed) {
            return None;
        }
        self.names().get(authority)?.moved
    }

    /// The latest epoch of any name: while it stays the same, no name has moved.
    #[inline]
    pub(in super::super) fn latest(&self) -> u64 {
        self.epochs.load(Ordering::Relaxed)
    }

    /// As [`Self::moved`], but guaranteed to see every move that [`Self::latest`] has counted.
    #[cold]
    pub(in super::super) fn moved_by_now(&self, authority: &str) -> Option<u64> {
        self.names().get(authority)?.moved
    }

    /// Connects to the origin in `uri`.
    ///
    /// Cancel-safe: what was learned before stays.
    pub(in super::super) async fn connect(
        self: &Arc<Self>,
        uri: &Uri,
    ) -> Result<Reached, ConnectError> {
        // Slightly less than the timeout, so that a deadline around this one comes later: only here is it known which
        // address was silent.
        let deadline = Instant::now() + self.timeout.saturating_sub(self.timeout / 50);
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let default = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        if let Ok(ip) = host.parse::<IpAddr>() {
            let address = SocketAddr::new(ip, uri.port_u16().unwrap_or(default));
            let outcome = race::connect(&[address], deadline).await;
            return match outcome.connected {
                Some((_, io)) => Ok(Reached { io, epoch: 0 }),
                None => Err(Known::default().verdict(&outcome.failures).into()),
            };
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let port = Port { stated: uri.port_u16(), default };
        self.look_up(authority, host, port, deadline).await;
        // Repeats only if another request gave the address up in the meantime.
        for _ in 0..3 {
            let order = self.order(authority)?;
            let outcome = race::connect(&order, deadline).await;
            if let Some(reached) = self.settle(authority, uri, outcome)? {
                return Ok(reached);
            }
        }
        Err(FailureKind::NoRoute.into())
    }

    /// Waits for the answer of a lookup, if necessary.
    async fn look_up(self: &Arc<Self>, authority: &str, host: &str, port: Port, deadline: Instant) {
        let (mut end, patience) = {
            let mut names = self.names();
            let name = entry(&mut names, authority);
            let look_up = match name.look_up.take() {
                // A cancelled lookup has no sender.
                Some(look_up) if look_up.end.has_changed().is_ok() => look_up,
                _ => self.begin(authority, host, port),
            };
            let patience =
                if name.known.has_answer() { look_up.since + PATIENCE } else { deadline };
            let end = look_up.end.clone();
            name.look_up = Some(look_up);
            (end, patience)
        };
        let _ = timeout_at(patience.min(deadline), end.changed()).await;
    }

    /// Begins a lookup in a separate task: it may take longer than any request, and there is only one per name at a
    /// time.
    fn begin(self: &Arc<Self>, authority: &str, host: &str, port: Port) -> LookUp {
        let (begun, end) = watch::channel(());
        let names = Arc::clone(self);
        let (authority, host) = (Box::<str>::from(authority), Box::<str>::from(host));
        tokio::spawn(async move {
            let answer = names.resolver.look_up(&host).await;
            if let Some(name) = names.names().get_mut(&authority) {
                match answer {
                    Ok(answer) => {
                        name.known.answered(answer.into_iter().map(|one| port.of(one)).collect());
                    }
                    Err(error) => name.failure = ConnectError::of_look_up(&error),
                }
            }
            drop(begun);
        });
        LookUp { since: Instant::now(), end }
    }

    fn order(&self, authority: &str) -> Result<Vec<SocketAddr>, FailureKind> {
        let mut names = self.names();
        let name = entry(&mut names, authority);
        let order = name.known.order(Instant::now());
        if order.is_empty() { Err(name.failure) } else { Ok(order) }
    }

    /// Records the result of a race. `None` if it must be run again.
    fn settle(
        self: &Arc<Self>,
        authority: &str,
        uri: &Uri,
        outcome: race::Outcome,
    ) -> Result<Option<Reached>, FailureKind> {
        let now = Instant::now();
        let mut names = self.names();
        let name = entry(&mut names, authority);
        let mut is_to_be_tried = false;
        for (address, kind) in &outcome.failures {
            is_to_be_tried |= name.known.failed(*address, *kind, now);
        }
        let Some((address, io)) = outcome.connected else {
            let verdict = name.known.verdict(&outcome.failures);
            let is_first = is_to_be_tried && !std::mem::replace(&mut name.is_tried, true);
            // A runtime that ends drops the task at once, which takes the lock.
            drop(names);
            if is_first {
                let trial = Trial { names: Arc::clone(self), uri: uri.clone(), is_over: false };
                tokio::spawn(try_again(trial));
            }
            return Err(verdict);
        };
        let next_epoch = || self.epochs.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(match name.known.connected(address, now, next_epoch) {
            Connected::Kept { epoch } => Some(Reached { io, epoch }),
            Connected::Moved { epoch } => {
                name.moved = Some(epoch);
                self.has_moved.store(true, Ordering::Relaxed);
                Some(Reached { io, epoch })
            }
            Connected::Stale => None,
        })
    }

    /// Whether to try the kept address of `authority` again.
    fn is_to_be_tried(&self, authority: &str) -> bool {
        let mut names = self.names();
        let Some(name) = names.get_mut(authority) else { return false };
        name.is_tried = name.known.is_to_be_tried(Instant::now());
        name.is_tried
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.names().len()
    }

    fn names(&self) -> MutexGuard<'_, HashMap<Box<str>, Name, RandomState>> {
        // A panic while the lock was held leaves consistent data, because each change is one step.
        self.by_authority.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The trial of a kept address; dropped, there is none. Its worker may end before it does.
struct Trial {
    names: Arc<Names>,
    uri: Uri,
    /// Whether that is noted already: another may have begun since.
    is_over: bool,
}

impl Trial {
    fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if let Some(name) = self.names.names().get_mut(self.authority()) {
            name.is_tried = false;
        }
    }
}

/// Tries a kept address until it connects, or until it is given up and another connects: how long it counts as failing
/// must not depend on how often requests use it.
async fn try_again(mut trial: Trial) {
    loop {
        sleep(TRY_AGAIN).await;
        // Boxed, because the future is recursive: this task begins it.
        let connecting: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(trial.names.connect(&trial.uri));
        let connected = connecting.await.is_ok();
        trial.is_over = !trial.names.is_to_be_tried(trial.authority());
        if trial.is_over || connected {
            return;
        }
    }
}

fn entry<'a>(names: &'a mut HashMap<Box<str>, Name, RandomState>, authority: &str) -> &'a mut Name {
    let now = Instant::now();
    if names.len() >= MAX_NAMES && !names.contains_key(authority) {
        let oldest = names.iter().min_by_key(|(_, name)| name.used);
        if let Some(oldest) = oldest.map(|(authority, _)| authority.clone()) {
            names.remove(&oldest);
        }
    }
    let name = names.entry(authority.into()).or_insert_with(|| Name {
        known: Known::default(),
        moved: None,
        failure: FailureKind::Dns,
        look_up: None,
        is_tried: false,
        used: now,
    });
    name.used = now;
    name
}

/// The port of a backend.
#[derive(Clone, Copy)]
struct Port {
    stated: Option<u16>,
    default: u16,
}

impl Port {
    fn of(self, mut address: SocketAddr) -> SocketAddr {
        match self.stated {
            Some(port) => address.set_port(port),
            None if address.port() == 0 => address.set_port(self.default),
            None => {}
        }
        address
    }
}

impl Service<Uri> for ByName {
    type Response = TokioIo<Socket<TcpStream>>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { names, write_timeout } = self.clone();
        Box::pin(async move {
            let io = names.connect(&uri).await?.io.into_inner();
            Ok(TokioIo::new(Socket::new(io, write_timeout)))
        })
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// It began before another address was kept.
    #[tokio::test]
    async fn a_connection_to_another_address_than_the_kept_one_is_not_used() {
        let listen = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listeners = [listen().await, listen().await];
        let [old, young] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
        let names = Names::new(Resolver::System, Duration::from_secs(5));
        entry(&mut names.names(), "tools").known.answered(vec![young]);
        let uri = Uri::from_static("http://tools");
        for (address, is_used) in [(young, true), (old, false), (young, true)] {
            let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
            let outcome = race::Outcome { connected: Some((address, io)), failures: Vec::new() };
            let reached = names.settle("tools", &uri, outcome).unwrap();
            assert_eq!(reached.map(|reached| reached.epoch), is_used.then_some(1), "{address}");
        }
    }

    #[test]
    fn a_kept_address_is_tried_again_where_the_worker_that_did_so_has_ended() {
        let names = Names::new(Resolver::System, Duration::from_secs(5));
        let addresses = ["127.0.0.1:1", "127.0.0.2:1"].map(|text| text.parse().unwrap());
        {
            let mut table = names.names();
            let known = &mut entry(&mut table, "tools").known;
            known.answered(addresses.to_vec());
            known.connected(addresses[0], Instant::now(), || 1);
        }
        let uri = Uri::from_static("http://tools");
        for _ in 0..2 {
            let worker =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            worker.block_on(async {
                let failures = vec![(addresses[0], FailureKind::Refused)];
                let outcome = race::Outcome { connected: None, failures };
                assert!(names.settle("tools", &uri, outcome).is_err());
            });
            assert!(names.names()["tools"].is_tried);
            drop(worker);
            assert!(!names.names()["tools"].is_tried);
        }
    }
}
