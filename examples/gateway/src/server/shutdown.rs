//! The signals, and the two steps of a shutdown.
//!
//! | signal | what happens |
//! |---|---|
//! | SIGTERM | not ready at once; the port closes after the drain delay, so that load balancers see it first |
//! | SIGINT | both at once: an operator at a terminal need not wait for load balancers |
//! | a second SIGTERM or SIGINT | the process ends at once, with the status that a shell reports for that signal |
//! | SIGHUP | the certificate of the listener is read again; without a certificate, only logged |

use std::{io, time::Duration};

use tokio::{
    sync::{
        mpsc::{self, Receiver},
        watch,
    },
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// The two steps of a shutdown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    /// The gateway is no longer ready, but still accepts connections.
    leaving: CancellationToken,
    /// It accepts no more connections, and finishes the calls in flight.
    closing: CancellationToken,
    /// Sent at each SIGHUP.
    hangups: watch::Sender<()>,
}

impl Stop {
    /// Takes both steps at once.
    pub(crate) fn now(&self) {
        self.leaving.cancel();
        self.closing.cancel();
    }

    /// Whether the first step is taken.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Changes at each SIGHUP. Calling this records that the gateway has something to reload.
    pub(crate) fn hangups(&self) -> watch::Receiver<()> {
        self.hangups.subscribe()
    }

    /// Cancelled by the second step.
    pub(crate) fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }
}

/// Takes the steps when a signal arrives, the second one `delay` after the first.
///
/// # Errors
///
/// If the signals cannot be caught.
pub(crate) fn on_signal(delay: Duration) -> io::Result<Stop> {
    let mut caught = Caught::new()?;
    let (tell, mut told) = mpsc::channel(1);
    tokio::spawn(async move { while tell.send(caught.next().await).await.is_ok() {} });
    let stop = Stop::default();
    let steps = stop.clone();
    tokio::spawn(async move {
        let second = take_steps(&mut told, &steps, delay).await;
        std::process::exit(second.status());
    });
    Ok(stop)
}

/// What a caught signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Signal {
    Interrupt,
    #[cfg_attr(windows, allow(dead_code, reason = "Windows does not have this signal"))]
    Terminate,
    #[cfg_attr(windows, allow(dead_code, reason = "Windows does not have this signal"))]
    Hangup,
}

impl Signal {
    /// The exit status that a shell reports for a process killed by this signal.
    const fn status(self) -> i32 {
        match self {
            Self::Hangup => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// Returns when the second signal to stop arrives.
async fn take_steps(signals: &mut Receiver<Signal>, stop: &Stop, delay: Duration) -> Signal {
    let first = next_to_stop(signals, stop).await;
    stop.leaving.cancel();
    if first == Signal::Terminate && !delay.is_zero() {
        tracing::info!(
            "stopping: not ready, and accepting connections for another {}; a second signal exits immediately",
            humantime::format_duration(delay)
        );
        tokio::select! {
            second = next_to_stop(signals, stop) => return second,
            () = sleep(delay) => {}
        }
    }
    tracing::info!("stopping: finishing calls in flight; a second signal exits immediately");
    stop.closing.cancel();
    next_to_stop(signals, stop).await
}

async fn next_to_stop(signals: &mut Receiver<Signal>, stop: &Stop) -> Signal {
    loop {
        match signals.recv().await {
            // A receiver exists, so something will be reloaded.
            Some(Signal::Hangup) if stop.hangups.send(()).is_ok() => {}
            Some(Signal::Hangup) => {
                tracing::warn!(
                    "SIGHUP ignored: the configuration is not reloaded; restart to change it"
                );
            }
            Some(signal) => return signal,
            // All senders are gone.
            None => std::future::pending().await,
        }
    }
}

/// The signals of this platform.
#[cfg(unix)]
struct Caught {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Caught {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { interrupt, terminate, hangup: signal(SignalKind::hangup())? })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.hangup.recv() => Signal::Hangup,
        }
    }
}

#[cfg(windows)]
struct Caught(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Caught {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> Signal {
        self.0.recv().await;
        Signal::Interrupt
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        sync::mpsc::Sender,
        task::JoinHandle,
        time::{Instant, advance},
    };

    use super::*;

    const DELAY: Duration = Duration::from_secs(3);

    fn start() -> (Sender<Signal>, Stop, JoinHandle<Signal>) {
        let (tell, mut told) = mpsc::channel(8);
        let stop = Stop::default();
        let steps = stop.clone();
        (tell, stop, tokio::spawn(async move { take_steps(&mut told, &steps, DELAY).await }))
    }

    #[tokio::test(start_paused = true)]
    async fn sigterm_closes_after_the_delay() {
        let (tell, stop, _steps) = start();
        let begun = Instant::now();
        tell.send(Signal::Terminate).await.unwrap();
        stop.leaving.cancelled().await;
        assert!(stop.is_leaving() && !stop.closing.is_cancelled());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        stop.closing().cancelled().await;
        assert!(begun.elapsed() >= DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn an_interrupt_closes_at_once() {
        let (tell, stop, _steps) = start();
        let begun = Instant::now();
        tell.send(Signal::Interrupt).await.unwrap();
        stop.closing().cancelled().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_ends_it_in_either_step() {
        for wait in [Duration::ZERO, 2 * DELAY] {
            let (tell, stop, steps) = start();
            tell.send(Signal::Terminate).await.unwrap();
            stop.leaving.cancelled().await;
            sleep(wait).await;
            tell.send(Signal::Interrupt).await.unwrap();
            assert_eq!(steps.await.unwrap().status(), 130);
            assert_eq!(stop.closing.is_cancelled(), !wait.is_zero());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hangup_is_neither_a_first_nor_a_second_signal() {
        let (tell, stop, steps) = start();
        tell.send(Signal::Hangup).await.unwrap();
        advance(DELAY).await;
        assert!(!stop.is_leaving());
        tell.send(Signal::Terminate).await.unwrap();
        stop.leaving.cancelled().await;
        tell.send(Signal::Hangup).await.unwrap();
        stop.closing().cancelled().await;
        assert!(!steps.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn a_hangup_is_passed_on_if_there_is_something_to_reload() {
        let (tell, stop, _steps) = start();
        let mut hangups = stop.hangups();
        for _ in 0..2 {
            tell.send(Signal::Hangup).await.unwrap();
            hangups.changed().await.unwrap();
        }
        assert!(!stop.is_leaving());
    }
}
