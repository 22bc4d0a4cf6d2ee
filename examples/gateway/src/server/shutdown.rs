//! The signals to stop.

use std::io;

use tokio_util::sync::CancellationToken;

/// A token that the first SIGTERM or SIGINT cancels. The second ends the process at once.
///
/// # Errors
///
/// If the signals cannot be caught.
pub(crate) fn on_signal() -> io::Result<CancellationToken> {
    let mut signals = Signals::new()?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stopping: finishing calls in flight; a second signal exits immediately");
        token.cancel();
        let status = signals.next().await;
        std::process::exit(status);
    });
    Ok(stop)
}

/// The signals of this platform; each comes as the status that a shell gives to a process ended by it.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> i32 {
        self.0.recv().await;
        130
    }
}
