//! A program of this workspace, run as a process of its own.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// A running program; dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Process {
    /// Starts `program` with `args`.
    pub fn start(program: &str, args: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads lines until one holds `text`, and gives that one.
    pub async fn line_with(&mut self, text: &str) -> String {
        let line = timeout(Duration::from_secs(30), async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line.contains(text) {
                    return line;
                }
            }
            panic!("the program ended without a line with {text:?}");
        });
        line.await.expect("the line comes")
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("the program runs")
    }

    /// Asks it to leave.
    pub async fn terminate(&self) {
        let id = self.id().to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
        assert!(status.success());
    }

    /// Its exit code.
    pub async fn wait(&mut self) -> Option<i32> {
        let exit = timeout(Duration::from_secs(60), self.child.wait()).await;
        exit.expect("the program ends").unwrap().code()
    }
}
