//! When calls are due that come at a rate.

use std::{thread, time::Duration};

use tokio::{sync::mpsc, time::Instant};

/// Says to each connection in turn when its next call is due, until `until`.
///
/// Runs on a separate thread, because the runtime's timer has a resolution of milliseconds and would send calls in
/// bursts.
pub(crate) fn start(
    rate: u32,
    until: Instant,
    connections: usize,
) -> Vec<mpsc::UnboundedReceiver<Instant>> {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..connections).map(|_| mpsc::unbounded_channel()).unzip();
    thread::spawn(move || {
        let start = Instant::now();
        for (n, sender) in (0_u32..).zip(senders.iter().cycle()) {
            let due = start + Duration::from_secs(1) * n / rate;
            if due >= until {
                return;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.send(due).is_err() {
                return;
            }
        }
    });
    receivers
}
