//! The end of a session at its backend.

use std::{pin::Pin, sync::Arc, time::Duration};

use bartizan_core::{Backend, SessionId, body::ReplaceBody};
use tokio::{runtime::Handle, time::timeout};

use super::{
    ask::Ask,
    inside::{Inside, Spare},
};

/// Ends a session at its backend, once, within a timeout. The types of the service and of its bodies are erased,
/// because this is kept with sessions that outlive their request.
pub(crate) struct Closing {
    begin: Box<dyn FnOnce() -> Option<Ending> + Send>,
    timeout: Duration,
}

type Ending = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Closing {
    /// The end of the session `id` at `backend`, which may take `timeout`.
    pub(crate) fn new<S, B>(
        service: &Arc<Spare<S>>,
        ask: Ask,
        id: SessionId,
        backend: Option<Backend>,
        timeout: Duration,
    ) -> Self
    where
        S: Inside<B>,
        B: ReplaceBody + Unpin + Send + 'static,
    {
        // Weak, because open sessions must not keep the service alive.
        let service = Arc::downgrade(service);
        let begin = move || -> Option<Ending> {
            let service = service.upgrade()?;
            let request = ask.delete::<B>(&id, backend.as_ref())?;
            Some(Box::pin(async move { drop(service.call(request).await) }))
        };
        Self { begin: Box::new(begin), timeout }
    }

    /// Ends the session, whatever its backend answers.
    pub(crate) async fn run(self) {
        if let Some(ending) = (self.begin)() {
            let _ = timeout(self.timeout, ending).await;
        }
    }

    /// Ends the session without waiting for it.
    pub(crate) fn spawn(self) {
        // Without a runtime, the process is exiting.
        if let Ok(runtime) = Handle::try_current()
            && let Some(ending) = (self.begin)()
        {
            runtime.spawn(timeout(self.timeout, ending));
        }
    }
}
