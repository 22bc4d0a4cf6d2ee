//! A program of this workspace, run as a separate process.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};

/// A running program, killed when it is dropped.
///
/// Its output is read all the time, so that it never waits for a reader.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: UnboundedReceiver<String>,
    error_lines: UnboundedReceiver<String>,
}

impl Process {
    /// Starts `program` with `args`. Its standard error is also written to the test's own.
    pub fn start(program: &str, args: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let lines = lines_of(child.stdout.take().unwrap(), |_| {});
        let error_lines = lines_of(child.stderr.take().unwrap(), |line| eprintln!("{line}"));
        Self { child, lines, error_lines }
    }

    /// Reads lines of the standard output until one contains `text`, and returns that one.
    pub async fn line_with(&mut self, text: &str) -> String {
        find(&mut self.lines, text).await
    }

    /// Reads lines of the standard error until one contains `text`, and returns that one.
    pub async fn error_line_with(&mut self, text: &str) -> String {
        find(&mut self.error_lines, text).await
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("the program runs")
    }

    /// Sends it the signal with this name, such as `HUP`.
    pub async fn signal(&self, name: &str) {
        signal(self.id(), name).await;
    }

    /// Asks it to stop, by SIGTERM.
    pub async fn terminate(&self) {
        self.signal("TERM").await;
    }

    /// Its exit code, or nothing if a signal ended it.
    pub async fn wait(&mut self) -> Option<i32> {
        let exit = self.wait_exit(Duration::from_secs(60)).await;
        exit.expect("the program ends").code()
    }

    /// How it ended, if it does so within `deadline`.
    pub async fn wait_exit(&mut self, deadline: Duration) -> Option<ExitStatus> {
        timeout(deadline, self.child.wait()).await.ok().map(|exit| exit.unwrap())
    }
}

/// Sends the signal with this name, such as `HUP`, to the process with this id.
pub async fn signal(id: u32, name: &str) {
    let (option, id) = (format!("-{name}"), id.to_string());
    let status = Command::new("kill").args([option, id]).status().await.unwrap();
    assert!(status.success(), "SIG{name}");
}

fn lines_of(
    output: impl AsyncRead + Send + Unpin + 'static,
    seen: fn(&str),
) -> UnboundedReceiver<String> {
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            seen(&line);
            // Keeps reading even if the output is not used.
            let _ = sender.send(line);
        }
    });
    receiver
}

async fn find(lines: &mut UnboundedReceiver<String>, text: &str) -> String {
    let line = timeout(Duration::from_secs(30), async {
        while let Some(line) = lines.recv().await {
            if line.contains(text) {
                return line;
            }
        }
        panic!("the program ended without a line with {text:?}");
    });
    line.await.expect("the line comes")
}
