//! The process of the backends.

use std::{
    env, io,
    io::{BufRead, BufReader},
    net::SocketAddr,
};

use crate::process::{LOAD_CPU, Process};

/// How many there are; the peers' configuration files name as many.
const COUNT: usize = 4;

/// Running backends.
#[derive(Debug)]
pub(crate) struct Backends {
    pub(crate) addrs: Vec<SocketAddr>,
    _process: Process,
}

impl Backends {
    pub(crate) fn start() -> io::Result<Self> {
        let args = ["backends".to_owned(), COUNT.to_string()];
        let mut process = Process::piped(LOAD_CPU, &env::current_exe()?, &args)?;
        let lines = BufReader::new(process.stdout().ok_or(io::ErrorKind::BrokenPipe)?).lines();
        let addr = |line: io::Result<String>| line?.parse().map_err(io::Error::other);
        let addrs = lines.take(COUNT).map(addr).collect::<io::Result<_>>()?;
        Ok(Self { addrs, _process: process })
    }
}
