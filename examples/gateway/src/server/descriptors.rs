//! How many file descriptors the process may open, and how many client connections they suffice for.

/// What the process itself needs: the runtime, listeners, the store, files.
const OWN: usize = 32;
/// What the runtime of a worker needs.
const OF_WORKER: usize = 4;

/// Raises the limit as far as the process may, and returns how many client connections it has room for. The soft
/// limit is low only for programs that use `select`.
pub(crate) fn raise(workers: usize) -> usize {
    limit().map_or(usize::MAX, |descriptors| room(descriptors, workers))
}

/// How many client connections `descriptors` suffice for. Each call in flight also needs a connection to its backend.
fn room(descriptors: usize, workers: usize) -> usize {
    // A single worker uses the main runtime.
    let own = OWN + OF_WORKER * workers.saturating_sub(1);
    (descriptors.saturating_sub(own) / 2).max(1)
}

#[cfg(unix)]
fn limit() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() { maximum } else { current };
    limit.and_then(|limit| usize::try_from(limit).ok())
}

#[cfg(not(unix))]
const fn limit() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_two_descriptors_and_the_process_some_of_its_own() {
        for (descriptors, workers, clients) in
            [(1024, 1, 496), (1024, 9, 480), (256, 1, 112), (33, 1, 1), (0, 2, 1)]
        {
            assert_eq!(room(descriptors, workers), clients, "{descriptors}, {workers}");
        }
        #[cfg(unix)]
        assert!((1..usize::MAX).contains(&raise(1)));
    }
}
