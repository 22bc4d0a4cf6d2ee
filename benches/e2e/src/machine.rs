//! Where and when it was measured.

use std::{collections::BTreeMap, fs, process::Command, thread};

use serde::Serialize;

use crate::contender::Programs;

/// The machine, the programs and the day.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    date: String,
    commit: String,
    versions: BTreeMap<&'static str, String>,
}

impl Machine {
    pub(crate) fn here(programs: &Programs) -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name"));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu: model.unwrap_or("unknown").trim_start_matches(['\t', ' ', ':']).to_owned(),
            // Of the machine, not those that this process is pinned to.
            cores: cpus.lines().filter(|line| line.starts_with("processor")).count().max(1),
            kernel: kernel.trim().to_owned(),
            date: said("date", &["-u", "+%F"]),
            commit: said("git", &["rev-parse", "--short", "HEAD"]),
            versions: programs.versions(),
        }
    }

    /// Whether there is a CPU for the proxy and one for the rest.
    pub(crate) fn has_two_cpus() -> bool {
        thread::available_parallelism().is_ok_and(|count| count.get() >= 2)
    }
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
