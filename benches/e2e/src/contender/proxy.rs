//! A contender, running before the backends.

use std::{
    error::Error,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{Backends, Contender, Programs, config::Config, redis::Redis};
use crate::{
    client::Sessions,
    process::{PROXY_CPU, Process},
};

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running proxy with all that belongs to it.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) contender: Contender,
    pub(crate) addr: SocketAddr,
    pub(crate) process: Process,
    _config: Option<Config>,
    _redis: Option<Redis>,
}

impl Proxy {
    /// Starts it, and waits until a session can be opened.
    ///
    /// # Errors
    ///
    /// If its program is missing, or does not serve in time.
    pub(crate) async fn start(
        contender: Contender,
        programs: &Programs,
        backends: &Backends,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let program = programs.path(contender)?;
        let addr = free_address()?;
        let redis = match contender {
            Contender::GatewayNear | Contender::GatewayRedis => {
                Some(Redis::start(free_address()?).await?)
            }
            _ => None,
        };
        let config = match contender {
            Contender::Nginx | Contender::RoundRobin | Contender::Haproxy | Contender::Envoy => {
                Some(Config::write(contender, addr, &backends.addrs)?)
            }
            _ => None,
        };
        let args = arguments(contender, addr, &backends.addrs, config.as_ref(), redis.as_ref());
        let process = Process::start(PROXY_CPU, &program, &args)?;
        let mut proxy = Self { contender, addr, process, _config: config, _redis: redis };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Err(fault) = Sessions::open(addr, contender.naming(), 1).await else {
                return Ok(proxy);
            };
            if proxy.process.is_over() || Instant::now() > deadline {
                return Err(format!("{contender} does not start: {fault}").into());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The command line of a contender.
fn arguments(
    contender: Contender,
    addr: SocketAddr,
    backends: &[SocketAddr],
    config: Option<&Config>,
    redis: Option<&Redis>,
) -> Vec<String> {
    let config = config.map(|config| config.path().to_string_lossy().into_owned());
    let config = config.unwrap_or_default();
    let addresses = || [addr].iter().chain(backends).map(SocketAddr::to_string).collect();
    let arguments = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
    match contender {
        // It cannot keep a session, and so there is one backend to forward to.
        Contender::Floor | Contender::Control | Contender::FloorMultiThread => {
            let addresses = [Some(&addr), backends.first()].into_iter().flatten();
            let addresses = addresses.map(SocketAddr::to_string);
            let runtime = (contender == Contender::FloorMultiThread).then(|| "multi-thread".into());
            addresses.chain(runtime).collect()
        }
        Contender::Pingora | Contender::AxumReverseProxy => addresses(),
        Contender::Gateway
        | Contender::GatewayBefore
        | Contender::GatewayNear
        | Contender::GatewayRedis => {
            let backend = |addr: &SocketAddr| format!("--backend=http://{addr}");
            let mut all = vec![format!("--listen={addr}"), "--log=error".to_owned()];
            // As many as are opened, and those that were opened before.
            all.push("--max-sessions=2000000".to_owned());
            all.extend(backends.iter().map(backend));
            all.extend(redis.map(|redis| format!("--store={}", redis.url())));
            if contender == Contender::GatewayRedis {
                all.push("--near-cache=off".to_owned());
            }
            all
        }
        Contender::Nginx | Contender::RoundRobin => arguments(&["-e", "stderr", "-c", &config]),
        Contender::Haproxy => arguments(&["-db", "-q", "-f", &config]),
        Contender::Envoy => arguments(&[
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "error",
            "-c",
            &config,
        ]),
    }
}

/// An address that was free a moment ago.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}
