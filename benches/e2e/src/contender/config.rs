//! The configuration files of the peers, filled in.

use std::{fs, io, net::SocketAddr, path::PathBuf};

use tempfile::TempDir;

use super::Contender;
use crate::process::open_files;

/// A directory with a configuration file; dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Config {
    dir: TempDir,
}

impl Config {
    /// The file of a contender that listens at `listen`.
    pub(crate) fn write(
        contender: Contender,
        listen: SocketAddr,
        backends: &[SocketAddr],
    ) -> io::Result<Self> {
        let config = Self { dir: tempfile::tempdir()? };
        // Each client connection also needs a connection to a backend.
        let connections = open_files().saturating_sub(200).min(30_000);
        let mut text = template(contender)
            .replace("@DIR@", &config.dir.path().to_string_lossy())
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
        self.dir.path().join("config.yaml")
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
