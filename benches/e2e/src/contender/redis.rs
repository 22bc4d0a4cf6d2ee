//! The Redis server of one gateway.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::process::{LOAD_CPU, Process};

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running server that keeps nothing on disk.
#[derive(Debug)]
pub(crate) struct Redis {
    addr: SocketAddr,
    _process: Process,
}

impl Redis {
    /// Starts it, and waits until it accepts connections.
    pub(crate) async fn start(addr: SocketAddr) -> io::Result<Self> {
        let port = addr.port().to_string();
        let args = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"];
        let args = args.map(str::to_owned);
        let process = Process::start(LOAD_CPU, Path::new("redis-server"), &args)?;
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = TcpStream::connect(addr).await {
            if Instant::now() > deadline {
                return Err(error);
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { addr, _process: process })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }
}
