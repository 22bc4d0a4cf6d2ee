//! A separate Redis server per test.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

/// A running server with its own port and directory. Dropping it kills the server and deletes its
/// data.
#[derive(Debug)]
pub struct RedisServer {
    program: &'static str,
    port: u16,
    dir: TempDir,
    config: Option<PathBuf>,
    args: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same, with more arguments.
    pub async fn with(args: &[&str]) -> Self {
        Self::of("redis-server", args).await
    }

    /// `program` is `redis-server`, or one like it.
    pub async fn of(program: &'static str, args: &[&str]) -> Self {
        Self::launched(program, None, args).await
    }

    /// With its own configuration file, which it may write to.
    pub async fn configured(config: &Path, args: &[&str]) -> Self {
        Self::launched("redis-server", Some(config), args).await
    }

    async fn launched(program: &'static str, config: Option<&Path>, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        let config = config.map(Path::to_owned);
        let mut server = Self { program, port: 0, dir, config, args, child: None };
        // Another process may take the port between its choice and its use: then the server ends at once.
        for _ in 0..20 {
            server.port = free_port();
            server.launch();
            if server.answers().await {
                return server;
            }
            server.kill();
        }
        panic!("{program} does not start; install it (on Debian: apt-get install redis-server)");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Kills it (-9).
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again at the same port, with the data that it had written; none, by default.
    pub async fn restart(&mut self) {
        // Another connection may have taken the port in the meantime, until it ends.
        for _ in 0..50 {
            self.kill();
            self.launch();
            if self.answers().await {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{} does not start again at port {}", self.program, self.port);
    }

    /// Suspends the process: its connections stay open, but it does not answer.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// What `redis-cli` prints.
    pub fn cli(&self, args: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(args).output();
        String::from_utf8_lossy(&output.expect("redis-cli runs").stdout).trim().to_owned()
    }

    /// How often `command` was called.
    pub fn calls(&self, command: &str) -> u64 {
        let stats = self.cli(&["INFO", "commandstats"]);
        let prefix = format!("cmdstat_{command}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&prefix));
        line.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0)
    }

    fn launch(&mut self) {
        let child = Command::new(self.program)
            .args(&self.config)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--enable-debug-command", "local"])
            .args(["--dir", self.dir.path().to_str().unwrap()])
            .args(&self.args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn();
        let hint = "redis-server is installed (on Debian: apt-get install redis-server)";
        self.child = Some(child.expect(hint));
    }

    async fn answers(&mut self) -> bool {
        for _ in 0..200 {
            let has_ended =
                self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some());
            if has_ended {
                return false;
            }
            if timeout(Duration::from_secs(1), ping(self.addr())).await.is_ok_and(|answers| answers)
            {
                return true;
            }
            sleep(Duration::from_millis(25)).await;
        }
        false
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Whether a server answers at `addr`, even if it asks for a password or is loading.
async fn ping(addr: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(addr).await else { return false };
    let mut answer = [0; 1];
    stream.write_all(b"PING\r\n").await.is_ok()
        && stream.read_exact(&mut answer).await.is_ok()
        && matches!(answer, [b'+' | b'-'])
}
