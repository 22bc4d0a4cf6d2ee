//! Processes on their own CPU, and the kernel's statistics about them.

use std::{
    fs, io,
    path::Path,
    process::{Child, Command, Stdio},
};

/// The CPU of the proxy.
pub(crate) const PROXY_CPU: &str = "0";
/// The CPU of the backends, of stores and of the load.
pub(crate) const LOAD_CPU: &str = "1";

/// A running program; dropped, it is killed. It does not outlive this process either.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts a program with one worker thread, if it is Tokio's to say, on `cpu` alone.
    pub(crate) fn start(cpu: &str, program: &Path, args: &[String]) -> io::Result<Self> {
        let child = pinned(cpu, program).args(args).stdout(Stdio::null()).spawn()?;
        Ok(Self(child))
    }

    /// The same, with its standard output to be read.
    pub(crate) fn piped(cpu: &str, program: &Path, args: &[String]) -> io::Result<Self> {
        let child = pinned(cpu, program).args(args).stdout(Stdio::piped()).spawn()?;
        Ok(Self(child))
    }

    pub(crate) fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.0.stdout.take()
    }

    /// Whether it has left.
    pub(crate) fn is_over(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// Time on a CPU, of all its threads, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> io::Result<u64> {
        let mut sum = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            let stat = fs::read_to_string(thread?.path().join("schedstat"))?;
            sum += stat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(sum)
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Pins this process, and with it those that it starts and does not pin.
pub(crate) fn pin_self(cpu: &str) -> io::Result<()> {
    let id = std::process::id().to_string();
    let status = Command::new("taskset").args(["-pc", cpu, &id]).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("taskset failed")) }
}

/// How many files a process may have open.
pub(crate) fn open_files() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(1024)
}

/// `setpriv` and `taskset` become the program, so that its id is that of the process.
fn pinned(cpu: &str, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "-c", cpu]).arg(program);
    command.env("TOKIO_WORKER_THREADS", "1").stdin(Stdio::null());
    command
}
