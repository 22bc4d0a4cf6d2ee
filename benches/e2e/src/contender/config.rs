//! The configuration files of the peers, filled in.

use std::{
    env, fs, io,
    net::SocketAddr,
    path::PathBuf,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use super::Contender;
use crate::process::open_files;

/// A directory with a configuration file; dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Config {
    dir: PathBuf,
}

impl Config {
    /// The file of a contender that listens at `listen`.
    pub(crate) fn write(
        contender: Contender,
        listen: SocketAddr,
        backends: &[SocketAddr],
    ) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = env::temp_dir().join(format!("bartizan-e2e-{}-{n}", process::id()));
        fs::create_dir_all(&dir)?;
        let config = Self { dir };
        // Each client has a connection to a backend beside its own.
        let connections = open_files().saturating_sub(200).min(30_000);
        let mut text = template(contender)
            .replace("@DIR@", &config.dir.to_string_lossy())
            .replace("@CONNECTIONS@", &connections.to_string())
            .replace("@CLIENTS@", &(connections / 2).to_string())
            .replace("@LISTEN@", &listen.to_string())
            .replace("@PORT@", &listen.port().to_string());
        for (n, backend) in backends.iter().enumerate() {
            text = text
                .replace(&format!("@BACKEND_{n}@"), &backend.to_string())
                .replace(&format!("@BACKEND_PORT_{n}@"), &backend.port().to_string());
        }
        fs::write(config.path(), text)?;
        Ok(config)
    }

    pub(crate) fn path(&self) -> PathBuf {
        // Envoy goes by the extension; the others do not mind.
        self.dir.join("config.yaml")
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn template(contender: Contender) -> &'static str {
    match contender {
        Contender::Nginx => include_str!("../../../peers/nginx.conf"),
        Contender::RoundRobin => include_str!("../../../peers/nginx-round-robin.conf"),
        Contender::Haproxy => include_str!("../../../peers/haproxy.cfg"),
        Contender::Envoy => include_str!("../../../peers/envoy.yaml"),
        _ => "",
    }
}
